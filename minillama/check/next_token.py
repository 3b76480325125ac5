"""Checks of the exercises on the next token: the candidate of each row, the column that is written, the generators."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from minillama.check.former import NotAttempted, Wrong, call, expect_tensor, judge
from minillama.check.report import Report
from minillama.check.sampling import reference, seeded
from minillama.sampling import apply_temperature

FIRST = [[0.0, 3.0, 0.0, 1.0], [1.0, 0.0, 0.0, 2.0], [2.0, 0.0, 1.0, 0.0]]  # the best ids: 1, 3, 0
LAST = [[2.0, 1.0, 0.0, -1.0], [0.0, 3.0, 1.0, 2.0], [1.0, 0.0, 0.5, 2.0]]  # the best ids: 0, 1, 3
LOGITS = torch.tensor([FIRST, LAST]).transpose(0, 1)  # (bsz, seqlen, vocab_size) = (3, 2, 4)


def candidate(function: Callable[[Tensor, float, float, Generator], Tensor]) -> Report:
    """Judge f(logits (bsz, seqlen, vocab_size), temperature, top_p, generator): one id a row, (bsz,) int64."""

    def greedy(logits: Tensor) -> Callable[[Callable], None]:
        def case(f: Callable) -> None:
            generator = seeded(0)
            before = generator.get_state()
            try:
                got = call(f, logits, 0.0, 0.9, generator)
            except RuntimeError as error:
                if "inf" not in str(error):
                    raise
                raise Wrong(
                    "At temperature 0 you divided by 0. Nothing is divided there: argmax of the logits."
                ) from None
            drawn = not torch.equal(before, generator.get_state())
            _expect_ids(got, logits, logits[:, -1].argmax(-1), drawn)

        return case

    def best_only(logits: Tensor) -> Callable[[Callable], None]:
        due = logits[:, -1].argmax(-1)
        alike = torch.zeros_like(due)  # the first of ids that are all equally likely

        def case(f: Callable) -> None:
            got = call(f, logits, 0.5, 0.0, seeded(0))
            if len(logits) == 1 and isinstance(got, Tensor) and torch.equal(got, alike):
                raise Wrong(
                    "In a batch of one all ids became equally likely: softmax ran down the rows. The vocabulary is the "
                    "last axis: dim=-1."
                )
            _expect_ids(got, logits, due)

        return case

    many = LOGITS[2:].expand(4000, -1, -1)

    def seeds(f: Callable) -> None:
        first, again, other = (call(f, many[:64], 1.0, 1.0, seeded(seed)) for seed in (7, 7, 8))
        if not torch.equal(first, again):
            raise Wrong("Two generators with the same seed gave different ids. Hand generator on to the sampler.")
        if torch.equal(first, other):
            raise Wrong("Every seed gives the same ids. Above temperature 0 they are drawn: sample_top_p.")

    def frequencies(temperature: float, top_p: float) -> Callable[[Callable], None]:
        def case(f: Callable) -> None:
            got = call(f, many, temperature, top_p, seeded(1))
            expect_tensor(got, torch.zeros(len(many), dtype=torch.long))
            shares = got.bincount(minlength=4)[:4] / len(many)

            def fits(last: Tensor, temperature: float, top_p: float) -> bool:
                due = reference(apply_temperature(last, temperature), top_p)
                return bool(((shares - due).abs() <= 5 * (due * (1 - due) / len(many)).sqrt() + 1e-6).all())

            last = LOGITS[2, -1]
            if fits(last, temperature, top_p):
                return
            if bool((shares == 1).any()):
                raise Wrong("One id was drawn every time. sample_top_p wants probabilities: softmax comes first.")
            hints = [
                ("The temperature has no effect. Divide the logits by it before softmax.", (last, 1.0, top_p)),
                ("You multiplied by the temperature. Divide by it.", (last, 1 / temperature, top_p)),
                ("top_p has no effect: tokens of the tail were drawn.", (last, temperature, 1.0)),
                ("The draw uses the first position. The last one speaks of the new token: logits[:, -1].",
                 (LOGITS[2, 0], temperature, top_p)),
            ]  # fmt: skip
            for hint, setting in hints:
                if fits(*setting):
                    raise Wrong(hint)
            due = reference(apply_temperature(last, temperature), top_p)
            table = "\n".join(f"id {i}: due {due[i]:.3f}, yours {shares[i]:.3f}" for i in range(4))
            raise Wrong(f"Over {len(many)} draws the ids come too often or too seldom:\n{table}")

        return case

    return judge(
        function,
        [
            ("temperature 0: the best id of each row", greedy(LOGITS)),
            ("temperature 0, a batch of one row", greedy(LOGITS[1:2])),
            ("drawn from the best token alone, three rows", best_only(LOGITS)),
            ("drawn, a batch of one row", best_only(LOGITS[1:2])),
            ("the generator decides", seeds),
            ("4000 draws at temperature 2, top_p = 0.84", frequencies(2.0, 0.84)),
            ("4000 draws at temperature 0.5, top_p = 1", frequencies(0.5, 1.0)),
        ],
    )


def _expect_ids(got, logits: Tensor, due: Tensor, drawn: bool = False) -> None:
    bsz, seqlen, _ = logits.shape
    if isinstance(got, Tensor) and got.shape != due.shape:
        reasons = {
            (bsz, 1): "sample_top_p returns a column. reshape(-1) lays it flat: (bsz,).",
            (): "squeeze() removed the axis of the batch too, for it has the length 1. reshape(-1) keeps it."
            if bsz == 1
            else "All rows were searched together. The vocabulary is the last axis: dim=-1.",
            (bsz, seqlen): "You took every position. Only the last one speaks of the new token: logits[:, -1].",
            (seqlen,): "You picked all positions of one text. The last position of every text is due: logits[:, -1].",
            (logits.shape[2],): "You searched down the columns. The vocabulary is the last axis: dim=-1.",
            (seqlen, logits.shape[2]): "You searched across the rows. Pick logits[:, -1], then dim=-1.",
        }
        if tuple(got.shape) in reasons:
            raise Wrong(f"{reasons[tuple(got.shape)]} Due {tuple(due.shape)}, yours {tuple(got.shape)}.")
    expect_tensor(got, due)
    if torch.equal(got, due):
        return
    if torch.equal(got, logits[:, 0].argmax(-1)):
        raise Wrong("These are the ids of the first position. The last one speaks of the new token: logits[:, -1].")
    if torch.equal(got, logits[..., -1].argmax(-1)):
        raise Wrong("You took the last token of the vocabulary. The positions are the middle axis: logits[:, -1].")
    if torch.equal(got, logits[:, -1].argmin(-1)):
        raise Wrong("These are the least likely ids. Take the largest logit: argmax.")
    if not got.any() and due.any():
        raise Wrong("These are places in the sorted order. gather turns them into ids; sample_top_p does it for you.")
    if drawn:
        raise Wrong("You drew at temperature 0. Nothing is left to chance there: argmax.")
    raise Wrong(f"due   {due.tolist()}\nyours {got.tolist()}")


CANVAS = torch.tensor([[1, 5, 9, -1, -1, -1], [1, 7, 3, 6, -1, -1], [1, 4, 8, 6, 9, -1]])
MASK = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0]]).bool()


def write_column(function: Callable[[Tensor, Tensor, Tensor, int], Tensor]) -> Report:
    """Judge f(tokens, input_text_mask (bsz, total_len), candidate (bsz,), cur_pos): a copy with one column written."""

    def case(tokens: Tensor, mask: Tensor, ids: list[int], cur_pos: int) -> Callable[[Callable], None]:
        drawn = torch.tensor(ids)

        def run(f: Callable) -> None:
            before = tokens.clone()
            got = f(before, mask.clone(), drawn.clone(), cur_pos)
            if got is ...:
                raise NotAttempted
            if not torch.equal(before, tokens):
                raise Wrong("You wrote on the canvas that you were given. Work on a copy: tokens = tokens.clone().")
            _expect_canvas(got, tokens, mask, drawn, cur_pos)

        return run

    start = torch.where(MASK, CANVAS, -1)
    ended = torch.where(MASK, CANVAS, 2)  # a canvas padded with eos
    square = start[:, :3]
    return judge(
        function,
        [
            ("the first column", case(start, MASK, [7, 3, 5], 2)),
            ("a candidate that equals the prompt's token", case(start, MASK, [9, 3, 5], 2)),
            ("a later column: what the rounds before have written stays", case(CANVAS, MASK, [5, 7, 3], 4)),
            ("the last column, no prompt left", case(CANVAS, MASK, [3, 5, 8], 5)),
            ("as many rows as columns", case(square, MASK[:, :3], [3, 8, 4], 2)),
            ("a column that is the prompts' alone", case(start, MASK, [3, 8, 5], 1)),
            ("one row", case(CANVAS[:1], MASK[:1], [6], 4)),
            ("a canvas padded with 2", case(ended, MASK, [6, 3, 5], 3)),
        ],
    )


def _expect_canvas(got, tokens: Tensor, mask: Tensor, drawn: Tensor, cur_pos: int) -> None:
    here, there = mask[:, cur_pos], tokens[:, cur_pos]  # (bsz,) both

    def with_column(values: Tensor, column: int = cur_pos) -> Tensor:
        canvas = tokens.clone()
        canvas[:, column] = values
        return canvas

    next_token = torch.where(here, there, drawn)
    due = with_column(next_token)
    if isinstance(got, Tensor) and got.shape == drawn.shape != due.shape:
        raise Wrong("That is the column. The whole canvas is due: write the column into the copy and return the copy.")
    expect_tensor(got, due)
    if torch.equal(got, due):
        return
    total_len = tokens.shape[1]
    mistakes = [
        ("All free places got the candidate, also those that earlier rounds have written. Only column cur_pos is due: "
         "[:, cur_pos].", torch.where(mask, tokens, drawn[:, None])),
        ("The candidate overwrote the prompts. Where the mask is True, the prompt's token stays.", with_column(drawn)),
        ("The two are swapped: torch.where(mask, a, b) takes a where the mask is True. That is the prompt's token.",
         with_column(torch.where(here, drawn, there))),
        ("You looked for -1. The mask says which places are free, whatever stands there.",
         with_column(torch.where(there != -1, there, drawn))),
        ("Nothing was written. torch.where makes a new tensor; put it into the column: tokens[:, cur_pos] = … And take "
         "the mask of that column.", tokens),
    ]  # fmt: skip
    if len(tokens) == total_len:
        mistakes.append(
            ("The candidates run along the rows. They belong to the rows one by one: a column.",
             torch.where(mask, tokens, drawn))
        )  # fmt: skip
    if cur_pos:
        mistakes.append(
            ("You wrote column cur_pos - 1. Its token was read already; column cur_pos is due.",
             with_column(next_token, cur_pos - 1))
        )  # fmt: skip
        if len(tokens) > cur_pos:
            row = tokens.clone()
            row[cur_pos, : len(drawn)] = next_token
            mistakes.append(("You wrote a row. A column is tokens[:, cur_pos].", row))
    for hint, wrong in mistakes:
        if torch.equal(got, wrong):
            raise Wrong(hint)
    raise Wrong(f"cur_pos {cur_pos}:\ndue   {due.tolist()}\nyours {got.tolist()}")


VOCAB_SIZE = 64
FLAT = torch.full((1, VOCAB_SIZE), 1 / VOCAB_SIZE)
NUCLEUS = torch.tensor([0.1, 0.05, 0.6, 0.25])

Draw = Callable[[Tensor, float, Tensor, Sequence[Generator]], Tensor]


def draw_rows(function: Draw) -> Report:
    """Judge f(probs (bsz, vocab_size), top_p, from_prompt (bsz,) bool, generators, one a row): candidates, (bsz,).

    A row inside its prompt takes its most probable token and leaves its generator alone; every other row draws from
    its own.
    """

    def shape(f: Callable) -> None:
        for from_prompt in ([False, True, False], [False, False, False], [True, False, True], [False]):
            _drawn(f, FLAT.expand(len(from_prompt), -1), 1.0, torch.tensor(from_prompt), range(len(from_prompt)))

    def untouched(f: Callable) -> None:
        for flags in ([False, True, False], [True, False, False], [True, True, False], [False, False, True]):
            generators = _all_seeded(range(3))
            states = [generator.get_state() for generator in generators]
            _drawn(f, FLAT.expand(3, -1), 1.0, torch.tensor(flags), generators)
            used = [not torch.equal(state, each.get_state()) for state, each in zip(states, generators, strict=True)]
            if used == flags:
                raise Wrong("Turned round: the rows inside their prompt drew, and no other. Draw where from_prompt is "
                            "False.")  # fmt: skip
            for k, inside in enumerate(flags):
                if not inside and not used[k]:
                    raise Wrong(
                        f"Row {k} did not draw from generators[{k}]. A row that draws has a generator of its own."
                    )
            for k, inside in enumerate(flags):
                if inside and used[k]:
                    raise Wrong(
                        f"Row {k} is still inside its prompt, but generators[{k}] was used: a draw for nothing. Its "
                        "first own token then depends on how long it had to wait."
                    )

    def inside(f: Callable) -> None:
        probs = torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.2, 0.7]])
        got = _drawn(f, probs, 1.0, torch.tensor([True, True]), range(2))
        if got.tolist() != [1, 2]:
            raise Wrong(f"Inside a prompt the most probable id is due: [1, 2], yours {got.tolist()}. argmax gives it.")

    def goes_on(f: Callable) -> None:
        generators = _all_seeded([5])
        texts = [int(_drawn(f, FLAT, 1.0, torch.tensor([False]), generators)) for _ in range(12)]
        if len(set(texts)) == 1:
            raise Wrong("Every column draws the same. Do not seed a generator again: it goes on where it stopped.")

    def mates(f: Callable) -> None:
        alone = _text(f, [5], [3])[0]
        for lengths, seeds in (([5, 5], [3, 4]), ([5, 2], [3, 4]), ([2, 5], [4, 3]), ([2, 7, 5], [8, 9, 3])):
            row = seeds.index(3)
            text = _text(f, lengths, seeds)[row]
            if text != alone:
                raise Wrong(
                    f"A prompt of 5 tokens, seed 3, as row {row} of prompts of {lengths} tokens: its text differs from "
                    f"that alone.\nalone  {alone}\nbeside {text}"
                )
        if alone == _text(f, [5], [4])[0]:
            raise Wrong("Two seeds gave the same text. Outside its prompt a row draws: sample_top_p.")

    def kept(f: Callable) -> None:
        n = 600
        from_prompt = torch.zeros(n, dtype=torch.bool)
        got = _drawn(f, NUCLEUS.expand(n, -1), 0.7, from_prompt, range(n))
        shares, due = got.bincount(minlength=4)[:4] / n, reference(NUCLEUS, 0.7)
        if bool((shares[due == 0] > 0).any()):
            places = float(shares[:2].sum()) > 0.999
            raise Wrong(
                "These are places in the sorted order, not ids. Gather the ids back."
                if places
                else "Tokens were drawn that top_p = 0.7 cuts off. Hand top_p on to the sampler."
            )
        if bool(((shares - due).abs() > 5 * (due * (1 - due) / n).sqrt() + 1e-6).any()):
            raise Wrong(f"Over {n} rows the ids come too often or too seldom:\ndue   {due.tolist()}\n"
                        f"yours {shares.tolist()}")  # fmt: skip

    return judge(
        function,
        [
            ("one id a row, also for rows inside their prompt: (bsz,)", shape),
            ("who draws, and from which generator", untouched),
            ("inside a prompt: the most probable id", inside),
            ("column after column", goes_on),
            ("a row's text alone and beside others", mates),
            ("600 rows at top_p = 0.7", kept),
        ],
    )


def _drawn(f: Callable, probs: Tensor, top_p: float, from_prompt: Tensor, generators: Sequence) -> Tensor:
    """What f draws, of the right shape and kind; generators: themselves, or their seeds."""
    if not isinstance(generators, list):
        generators = _all_seeded(generators)
    got = call(f, probs, top_p, from_prompt, generators)
    bsz, n_drawing = len(probs), int((~from_prompt).sum())
    if isinstance(got, Tensor) and got.shape == (bsz, 1):
        raise Wrong(f"That is a column, {tuple(got.shape)}. reshape(-1) lays it flat: (bsz,).")
    if isinstance(got, Tensor) and n_drawing != bsz and got.shape[:1] == (n_drawing,):
        raise Wrong(f"The rows inside their prompt are missing: {bsz} ids are due, yours are {n_drawing}.")
    return expect_tensor(got, torch.zeros(bsz, dtype=torch.long))


def _text(f: Callable, lengths: list[int], seeds: list[int], n_new: int = 8) -> list[list[int]]:
    """The ids that a toy model writes after prompts of these lengths, a row each: every id is equally likely."""
    generators = _all_seeded(seeds)
    texts: list[list[int]] = [[] for _ in lengths]
    for cur_pos in range(min(lengths), max(lengths) + n_new):
        from_prompt = torch.tensor([cur_pos < n for n in lengths])
        ids = _drawn(f, FLAT.expand(len(lengths), -1), 1.0, from_prompt, generators).tolist()
        for k, (i, inside) in enumerate(zip(ids, from_prompt.tolist(), strict=True)):
            if not inside:
                texts[k].append(i)
    return [text[:n_new] for text in texts]


def _all_seeded(seeds: Sequence[int]) -> list[Generator]:
    return [seeded(seed) for seed in seeds]
