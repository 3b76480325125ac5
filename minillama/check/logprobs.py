"""Checks of the exercises on log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minillama import logprobs as package
from minillama.check.former import Wrong, call, expect_close, expect_tensor, judge
from minillama.check.report import Report

PAD = -1
Mistakes = Sequence[tuple[str, Callable[[], object]]]


def _case_of(seed: int, *lengths: int, vocab_size: int = 5) -> tuple[Tensor, Tensor]:
    """Random logits (bsz, longest, vocab_size), and tokens (bsz, longest) with PAD behind the shorter rows."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths))
    logits = 2 * torch.randn(*shape, vocab_size, generator=generator)
    tokens = torch.randint(0, vocab_size, shape, generator=generator)
    behind = torch.arange(shape[1]) >= torch.tensor(lengths)[:, None]
    return logits, tokens.masked_fill(behind, PAD)


def _sure_of(tokens: Tensor, vocab_size: int = 5) -> Tensor:
    """Logits of a model that knows what follows each token: all the weight lies on the next one."""
    return 200 * torch.nn.functional.one_hot(tokens.roll(-1, dims=-1), vocab_size).float()


# ---- the score of a token ------------------------------------------------------------------------------------------


def token_logprobs(function: Callable[[Tensor, Tensor, int], Tensor]) -> Report:
    """Judge f(logits (bsz, seqlen, vocab_size), targets (bsz, seqlen), pad_id): log p of the targets, 0 at pads."""

    def case(logits: Tensor, targets: Tensor, pad_id: int = PAD) -> Callable[[Callable], None]:
        safe = targets.where(targets != pad_id, 0)
        due = package.token_logprobs(logits, targets, pad_id)

        def picked(table: Tensor) -> Tensor:
            return table.gather(-1, safe[..., None])[..., 0].where(targets != pad_id, 0.0)

        mistakes = [
            ("The sign is wrong: a log-probability is never above 0. cross_entropy is its negative.", lambda: -due),
            ("The padding has a score of its own. Put 0 where targets is pad_id: torch.where.",
             lambda: logits.log_softmax(-1).gather(-1, safe[..., None])[..., 0]),
            ("These are probabilities. Take the log: log_softmax in the place of softmax.",
             lambda: picked(logits.softmax(-1))),
            ("These are the raw logits. Normalise them first: log_softmax over the vocabulary.",
             lambda: picked(logits)),
            ("You normalised over the positions. The vocabulary is the last axis: dim=-1.",
             lambda: picked(logits.log_softmax(1))),
            ("You normalised over the rows of the batch. The vocabulary is the last axis: dim=-1.",
             lambda: picked(logits.log_softmax(0))),
            ("This is log to the base 2. The natural log is due: torch.log, or log_softmax.",
             lambda: due / math.log(2)),
            ("This is log to the base 10. The natural log is due: torch.log, or log_softmax.",
             lambda: due / math.log(10)),
            ("This is log p of the most probable token. The target's own is due: gather at targets.",
             lambda: logits.log_softmax(-1).amax(-1).where(targets != pad_id, 0.0)),
        ]  # fmt: skip

        def judged(f: Callable) -> None:
            try:
                got = call(f, logits, targets, pad_id)
            except (IndexError, RuntimeError) as error:
                if "out of bounds for dimension" not in str(error):
                    raise
                raise Wrong(
                    "pad_id is no column, so nothing can be read there. Put a real column in its place first, whatever "
                    "number pad_id is: targets.masked_fill(targets == pad_id, 0)."
                ) from error
            if isinstance(got, Tensor) and got.numel() == 1 and due.numel() > 1:
                raise Wrong('One number came out; one for each token is due. cross_entropy has reduction="none".')
            if isinstance(got, Tensor) and got.shape == (*due.shape, 1):
                raise Wrong("One axis too many: gather keeps the axis that it reads. Take [..., 0], or squeeze(-1).")
            if isinstance(got, Tensor) and got.shape == due.shape and got.isinf().any():
                raise Wrong("There is an inf in your result: exp rounded to 0 before log. Use log_softmax.")
            if expect_tensor(got, due)[targets == pad_id].any():
                raise Wrong(mistakes[1][0])
            expect_close(got, due, mistakes)

        return judged

    short_logits, short = _case_of(3, 3, 2)
    far = torch.tensor([[[0.0, -300.0, 20.0], [500.0, 0.0, 490.0]]])
    return judge(
        function,
        [
            ("two rows of three tokens", case(*_case_of(0, 3, 3))),
            ("as many positions as tokens in the vocabulary", case(*_case_of(1, 5, 5))),
            ("a shorter row, padded", case(*_case_of(2, 4, 2))),
            ("another pad_id: 99", case(short_logits, short.masked_fill(short == PAD, 99), pad_id=99)),
            ("tokens that are almost impossible", case(far, torch.tensor([[1, 1]]))),
        ],
    )


# ---- the shift ------------------------------------------------------------------------------------------------------


def prompt_logprobs(function: Callable[[Tensor, Tensor, int], Tensor]) -> Report:
    """Judge f(logits (bsz, seqlen, vocab_size), tokens (bsz, seqlen), pad_id), the logits those of the tokens.

    Due: log p of every token after the first, given those before it, (bsz, seqlen - 1), 0 at pads.
    """

    def score(logits: Tensor, tokens: Tensor) -> Tensor:
        return package.token_logprobs(logits, tokens, PAD)

    def case(logits: Tensor, tokens: Tensor) -> Callable[[Callable], None]:
        due = score(logits[:, :-1], tokens[:, 1:])
        unshifted = score(logits, tokens)
        own = (
            "Each token was scored by the logits at its own position. Those have read the token already, and guess the "
            "one after it. Pair logits[:, :-1] with tokens[:, 1:]."
        )
        whole: Mistakes = [
            (own, lambda: unshifted),
            ("The numbers are right, but nothing predicts the first token: it must have no number, not 0.",
             lambda: torch.cat([torch.zeros(len(tokens), 1), due], dim=1)),
            ("The numbers are right, but there is one too many: after the last token no token follows.",
             lambda: torch.cat([due, torch.zeros(len(tokens), 1)], dim=1)),
        ]  # fmt: skip
        mistakes: Mistakes = [
            (own, lambda: unshifted[:, 1:]),
            (own, lambda: unshifted[:, :-1]),
            ("Shifted the wrong way: the logits at position i + 1 were asked for token i, which they have read. "
             "Pair logits[:, :-1] with tokens[:, 1:].", lambda: score(logits[:, 1:], tokens[:, :-1])),
            ("The sign is wrong: cross_entropy is the negative log-probability.", lambda: -due),
            ("The padding has a score. ignore_index=pad_id leaves 0 there.",
             lambda: score(logits[:, :-1], tokens[:, 1:].clamp(min=0))),
        ]  # fmt: skip

        def judged(f: Callable) -> None:
            got = call(f, logits, tokens, PAD)
            comparable = isinstance(got, Tensor) and got.dtype == due.dtype and got.device == due.device
            for hint, wrong in whole:
                if comparable and got.shape == tokens.shape and torch.allclose(got, wrong(), atol=1e-4):
                    raise Wrong(hint)
            expect_close(got, due, mistakes)

        return judged

    def reciter(f: Callable) -> None:
        tokens = torch.tensor([[3, 1, 4, 0, 2]])
        logits = _sure_of(tokens)
        got = call(f, logits, tokens, PAD)
        if isinstance(got, Tensor) and got.numel() and got.min() < -100:
            raise Wrong(
                "This model knows the text by heart: after each token all its weight lies on the next. Every score "
                "should be 0, yours goes down to "
                f"{got.min().item():.0f}. So a token was not scored by the position before it: pair logits[:, :-1] "
                "with tokens[:, 1:]."
            )
        expect_tensor(got, torch.zeros(1, 4))

    return judge(
        function,
        [
            ("two rows of four tokens", case(*_case_of(4, 4, 4))),
            ("a model that knows the text by heart", reciter),
            ("a shorter row, padded", case(*_case_of(5, 6, 3))),
            ("one token only: no score at all", case(*_case_of(6, 1))),
        ],
    )


# ---- what an echo reports --------------------------------------------------------------------------------------------


def echo_logprobs(function: Callable[[Tensor, Tensor, int], list]) -> Report:
    """Judge f(logits (bsz, seqlen, vocab_size), tokens (bsz, seqlen), pad_id): for each row a list.

    It has one entry for each token of the row, without the padding: None for the first, then log p.
    """

    def case(logits: Tensor, tokens: Tensor) -> Callable[[Callable], None]:
        lengths = (tokens != PAD).sum(-1).tolist()
        scores = package.token_logprobs(logits[:, :-1], tokens[:, 1:], PAD).tolist()
        due = [[None, *row][:n] for row, n in zip(scores, lengths, strict=True)]
        zero = "The first token has the score 0.0: probability 1. Nothing predicts it; report None."
        mistakes: Mistakes = [
            (zero, lambda: [[0.0, *row[1:]] for row in due]),
            (zero, lambda: [[0.0, *row] for row in scores]),
            ("The padding is still there, each with the score 0.0: probability 1. Cut every row at its own length.",
             lambda: [[None, *row] for row in scores]),
            ("The padding is still there, each with None. Cut every row at its own length.",
             lambda: [[None, *(x if k < n - 1 else None for k, x in enumerate(row))]
                      for row, n in zip(scores, lengths, strict=True)]),
            ("A shorter row has one number too many. None is one of its n entries; n - 1 numbers follow.",
             lambda: [[None, *row[:n]] for row, n in zip(scores, lengths, strict=True)]),
            ("The first token is missing. The list should fit the tokens: None for the first.",
             lambda: [row[1:] for row in due]),
            ("The first token is missing. The list should fit the tokens: None for the first.", lambda: scores),
            ("None belongs to the first token. You put it last.", lambda: [[*row[1:], None] for row in due]),
            ("You cut by the value 0.0. A score of 0.0 may be real: the model was certain. Cut by the length of "
             "the row.", lambda: [[None, *(x for x in row if x != 0)] for row in scores]),
            ("You cut by the value 0.0. A score of 0.0 may be real: the model was certain. Cut by the length of "
             "the row.", lambda: [[None, *(x or None for x in row[1:])] for row in due]),
            ("Each token was scored by the logits at its own position. Shift: logits[:, :-1], tokens[:, 1:].",
             lambda: [[None, *row[1:n]] for row, n in zip(package.token_logprobs(logits, tokens, PAD).tolist(),
                                                          lengths, strict=True)]),
        ]  # fmt: skip

        def judged(f: Callable) -> None:
            got = call(f, logits, tokens, PAD)
            if not isinstance(got, list | tuple) or not all(isinstance(row, list | tuple) for row in got):
                advice = " Is there a `return`?" if got is None else ""
                kind = "None" if got is None else type(got).__name__
                raise Wrong(f"A list with a list for each row is due, your function returned {kind}.{advice}")
            got = [[x.item() if isinstance(x, Tensor) and x.numel() == 1 else x for x in row] for row in got]
            if _same(got, due):
                return
            for hint, wrong in mistakes:
                if _same(got, wrong()):
                    raise Wrong(hint)
            raise Wrong(f"due   {_rows(due)}\nyours {_rows(got)}")

        return judged

    sure = torch.tensor([[3, 1, 4, 0, 2]])
    return judge(
        function,
        [
            ("one row", case(*_case_of(7, 4))),
            ("three rows of unequal length", case(*_case_of(8, 2, 5, 4))),
            ("a row of one token", case(*_case_of(9, 1, 3))),
            ("a model that is certain: real zeros", case(_sure_of(sure), sure)),
        ],
    )


def _same(got: Sequence[Sequence], due: Sequence[Sequence]) -> bool:
    def close(a, b) -> bool:
        if a is None or b is None or not isinstance(a, int | float):
            return a is b
        return math.isclose(a, b, abs_tol=1e-4)

    return [len(row) for row in got] == [len(row) for row in due] and all(
        close(a, b) for mine, right in zip(got, due, strict=True) for a, b in zip(mine, right, strict=True)
    )


def _rows(rows: Sequence[Sequence]) -> str:
    words = [[f"{x:.3f}" if isinstance(x, int | float) else str(x) for x in row] for row in rows]
    return " · ".join("[" + ", ".join(row) + "]" for row in words)


# ---- perplexity -----------------------------------------------------------------------------------------------------


def perplexity(function: Callable[[list], float]) -> Report:
    """Judge f(logprobs): exp of minus the mean, None not counted; ValueError if there is no number at all."""

    def case(logprobs: list) -> Callable[[Callable], None]:
        due = package.perplexity(logprobs)
        known = [x for x in logprobs if x is not None]
        nonzero = [x for x in known if x != 0]
        mean = sum(known) / len(known)
        mistakes: list[tuple[str, float]] = [
            ("None was counted as a token. Divide by the number of log-probabilities that are known.",
             math.exp(-sum(known) / len(logprobs))),
            ("A log-probability of 0.0 was left out: the model was certain, and that counts. Test `is not None`.",
             math.exp(-sum(nonzero) / max(1, len(nonzero)))),
            ("The first entry was left out without a look. It may be a number: leave out what is None, and only that.",
             math.exp(-sum(x for x in logprobs[1:] if x is not None) / max(1, len(logprobs) - 1))),
            ("You divided by one token too few. Count the entries that are not None.",
             math.exp(-sum(known) / max(1, len(logprobs) - 1))),
            ("The minus is missing: perplexity is never below 1.", math.exp(mean)),
            ("This is minus the mean. Perplexity is exp of it.", -mean),
            ("You did not divide by the number of tokens: the mean is due, not the sum.",
             math.exp(min(700, -sum(known)))),
            ("The logs are natural: the power of e is due (math.exp), not of 2.", 2.0**-mean),
            ("You averaged the probabilities. Average the logs, then exp.",
             len(known) / sum(map(math.exp, known))),
        ]  # fmt: skip

        def judged(f: Callable) -> None:
            try:
                got = call(f, logprobs)
            except (ZeroDivisionError, OverflowError) as error:
                raise Wrong(
                    f"It raised {type(error).__name__}. Did you multiply probabilities? The product of a long text is "
                    "0. Add the logs, and take exp of the mean."
                ) from error
            got = got.item() if isinstance(got, Tensor) and got.numel() == 1 else got
            if isinstance(got, bool) or not isinstance(got, int | float):
                advice = " Is there a `return`?" if got is None else ""
                kind = "None" if got is None else type(got).__name__
                raise Wrong(f"A number is due, your function returned {kind}.{advice}")
            if math.isclose(got, due, rel_tol=1e-4):
                return
            if math.isinf(got) or got == 0:
                raise Wrong("The product of so many probabilities is 0. Add the logs, and take exp of the mean.")
            for hint, wrong in mistakes:
                if math.isclose(got, wrong, rel_tol=1e-4):
                    raise Wrong(hint)
            raise Wrong(f"{_rows([logprobs[:6]])}: due {due:.4g}, yours {got:.4g}")

        return judged

    def nothing(f: Callable) -> None:
        for logprobs in ([None], []):
            try:
                got = call(f, logprobs)
            except ValueError:
                continue
            except ZeroDivisionError as error:
                raise Wrong(f"{logprobs} has no number: raise a ValueError that says so, before you divide.") from error
            raise Wrong(f"{logprobs} has no number, so there is no perplexity: raise ValueError. Yours gave {got!r}.")

    die = [math.log(1 / 6)] * 4
    return judge(
        function,
        [
            ("four throws of a die", case(die)),
            ("no echo: the first entry is a number", case([-2.0, -0.5, -1.0])),
            ("an echo: the first token has None", case([None, -1.0, -0.5, -3.0])),
            ("a token of which the model was certain", case([None, 0.0, -2.0, -1.0])),
            ("2000 tokens", case([None, *([-3.0, -1.5] * 1000)])),
            ("no log-probability at all", nothing),
        ],
    )
