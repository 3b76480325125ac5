"""The check of the exercise on the whole generate loop."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from minillama.check.former import Wrong, call, expect_equal, judge
from minillama.check.loop import EOS, until
from minillama.check.report import Report

# A loop over prompts of ids needs no network to be judged: after token n this model is sure of n - 1, so 3 is followed
# by eos (2), which is followed by 1 and 0.
UNEQUAL = [[1, 9], [1, 5, 4], [1, 6, 5, 9]]


def generate(function: Callable[..., list[list[int]]]) -> Report:
    """Judge f(model, prompt_tokens, max_gen_len, max_seq_len, eos_id, pad_id): the greedy answers, a list a row."""

    def case(prompts: list[list[int]], max_gen_len: int, max_seq_len: int = 16) -> Callable[[Callable], None]:
        def run(f: Callable) -> None:
            watched = _CountsDown(len(prompts))
            got = call(f, watched, prompts, max_gen_len, max_seq_len, EOS, -1)
            places = range(min(map(len, prompts)), min(max_seq_len, max_gen_len + max(map(len, prompts))))
            watched.judge(places)
            if isinstance(got, Tensor):
                raise Wrong("A list of lists is due: the rows are not equally long. tokens.tolist(), then cut each.")
            if not isinstance(got, list) or not all(isinstance(row, list) for row in got):
                raise Wrong("A list with one list of ids for each row is due.")
            due = _loop(prompts, places, max_gen_len)
            mistakes = LOOP_MISTAKES.items()
            expect_equal(got, due, ((hint, _loop(prompts, places, max_gen_len, **change)) for hint, change in mistakes))
            last = _last_column(prompts, places)
            if (read := watched.calls[-1][1]) != last:
                why = "Ask `eos_reached.all()` at the end of each round." if read > last else "Not all rows have ended."
                raise Wrong(f"The last round should write column {last}; yours wrote column {read}. {why}")

        return run

    return judge(
        function,
        [
            ("one prompt", case([[1, 6]], 8)),
            ("three prompts of unequal length", case(UNEQUAL, 8)),
            ("max_gen_len ends some rows", case(UNEQUAL, 4)),
            ("every row ends at once", case([[1, 3], [1, 3]], 8)),
            ("an eos inside a prompt", case([[1, 5], [1, 4, 2, 7, 9], [1, 6]], 8)),
            ("the cache ends first", case([[1, 9, 9], [1, 9, 9, 9, 9, 9]], 8, 9)),
        ],
    )


LOOP_MISTAKES: dict[str, dict[str, bool]] = {
    "The model's candidates were written over the longer prompts. Inside a prompt its own token stays: torch.where "
    "with the mask.": {"where": False},
    "The loop ended when one row had ended. It may stop when all have: all, not any.": {"any_row": True},
    "An eos inside a prompt ended its row. Only a new eos counts: ~from_prompt.": {"prompt_ends": True},
    "Nothing was cut: each answer ends before its first eos, and has at most max_gen_len tokens.": {"cut": False},
    "The prompts were returned too. Only the new tokens are asked for.": {"echo": True},
}


def _last_column(prompts: list[list[int]], places: range, **changes: bool) -> int:
    return max(len(row) for row in _loop(prompts, places, 0, **changes, canvas=True)) - 1


def _loop(
    prompts: list[list[int]],
    places: range,
    max_gen_len: int,
    where: bool = True,
    any_row: bool = False,
    prompt_ends: bool = False,
    cut: bool = True,
    echo: bool = False,
    canvas: bool = False,
) -> list[list[int]]:
    """What the loop over a model that counts down gives, right or with one mistake; canvas: its written columns."""
    rows = [list(prompt[: places.start]) for prompt in prompts]
    ended = [False] * len(rows)
    for column in places:
        for k, (row, prompt) in enumerate(zip(rows, prompts, strict=True)):
            inside = column < len(prompt)
            row.append(prompt[column] if inside and where else max(row[-1] - 1, 0))
            ended[k] |= row[-1] == EOS and (prompt_ends or not inside)
        if any(ended) if any_row else all(ended):
            break
    if canvas:
        return rows
    answers = []
    for row, prompt in zip(rows, prompts, strict=True):
        left = prompt[len(row) :]  # columns that were never reached
        new = (row + left + [-1] * (places.stop - len(row) - len(left)))[len(prompt) :]
        answers.append((prompt if echo else []) + (until(new[:max_gen_len], EOS) if cut else new))
    return answers


class _CountsDown:
    """A model that is sure of n - 1 after n, and writes down what it was given."""

    def __init__(self, bsz: int):
        self.bsz = bsz
        self.calls: list[tuple[int, int]] = []  # start_pos and end of each

    def __call__(self, tokens: Tensor, start_pos: int, last_only: bool = False) -> Tensor:
        if not isinstance(tokens, Tensor) or tokens.dim() != 2 or len(tokens) != self.bsz:
            raise Wrong(f"The model reads (bsz, seqlen), all {self.bsz} rows: tokens[:, prev_pos:cur_pos].")
        if tokens.shape[1] == 0:
            raise Wrong("A call with no token at all. Is prev_pos behind cur_pos?")
        if bool((tokens < 0).any()):
            raise Wrong("The model was given padding. A column is read only after it was written in every row.")
        self.calls.append((int(start_pos), int(start_pos) + tokens.shape[1]))
        if len(self.calls) > 100:
            raise Wrong("The model was called a hundred times for a few columns. Does the loop end?")
        following = (tokens - 1).clamp(min=0)
        logits = torch.nn.functional.one_hot(following, 10).float()
        return logits[:, -1:] if last_only else logits  # (bsz, seqlen, vocab_size)

    forward = __call__

    def judge(self, places: range) -> None:
        """Raise Wrong unless the shortest prompt was read in one call, then one column in each."""
        if not self.calls:
            raise Wrong("The model was never called.")
        first = self.calls[0]
        if first != (0, places.start):
            raise Wrong(
                f"The first call read the columns {first[0]}:{first[1]}. Begin with all that every prompt has: "
                f"0:{places.start}, start_pos = 0."
            )
        for (_, seen), (start, end) in zip(self.calls, self.calls[1:], strict=False):
            if start < seen:
                raise Wrong(
                    f"A call began at start_pos = {start}, but the columns up to {seen - 1} had been read. Hand over "
                    "tokens[:, prev_pos:cur_pos] with prev_pos, and end each round with `prev_pos = cur_pos`."
                )
            if (start, end) != (seen, seen + 1):
                raise Wrong(
                    f"After the columns up to {seen - 1} a call read {start}:{end}; {seen}:{seen + 1} is due. "
                    "start_pos is the column of the first token handed over."
                )
