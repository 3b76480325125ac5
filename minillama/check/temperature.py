"""Checks of the exercises on softmax and temperature."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minillama.check.former import Wrong, call, expect_close, expect_tensor, judge
from minillama.check.report import Report
from minillama.logprobs import entropy as package_entropy
from minillama.sampling import apply_temperature

NOTES = torch.tensor([[3.0, 4.0, 5.0, 6.0], [1.5, 2.5, 3.5, 4.5]])
MIXED = torch.tensor([[2.0, -1.0, 0.5, 0.0], [-3.0, 1.0, 0.0, 4.0]])
LARGE = torch.tensor([[1000.0, 999.0, 998.0], [-1000.0, -1002.0, -999.0]])
WIDE = torch.tensor([[1000.0, 5000.0, 3000.0]])
Mistakes = Sequence[tuple[str, Callable[[], Tensor]]]


def softmax(function: Callable[[Tensor, float], Tensor]) -> Report:
    """Judge f(logits (bsz, vocab_size), temperature): probabilities of the same shape, for any logits; 0 is argmax."""

    def case(logits: Tensor, temperature: float) -> Callable[[Callable], None]:
        scaled = logits / temperature if temperature else logits
        best = logits.amax(-1, keepdim=True)
        mistakes = [
            ("You divided by the temperature first: the quotients became inf, and inf - inf is nan. Subtract the "
             "largest first, then divide.", lambda: (scaled - scaled.amax(-1, keepdim=True)).softmax(-1)),
            ("exp overflowed: inf / inf is nan. Subtract each row's largest logit before exp.",
             lambda: _plain(scaled.exp())),
            ("One largest logit was subtracted from all rows. A row far below it has only zeros left. Each row has its "
             "own: amax(dim=-1, keepdim=True).", lambda: _plain(((logits - logits.max()) / (temperature or 1)).exp())),
            ("At temperature 0 you divided by 0. Treat it by itself: probability 1 for the argmax, 0 for the rest.",
             lambda: ((logits - best) / temperature).softmax(-1)),
            ("You multiplied by the temperature. Divide by it.", lambda: (logits * temperature).softmax(-1)),
            ("The temperature has no effect. Divide the logits by it before exp.", lambda: logits.softmax(-1)),
            ("You divided the probabilities by the temperature. Divide the logits, before exp.",
             lambda: logits.softmax(-1) / temperature),
            ("Each column adds up to 1. The vocabulary is the last axis: dim=-1.", lambda: scaled.softmax(0)),
            ("All rows were divided by one sum. Each row has its own: sum(dim=-1, keepdim=True).",
             lambda: _over_all(((logits - best) / (temperature or 1)).exp())),
            ("All rows were divided by one sum. Each row has its own: sum(dim=-1, keepdim=True).",
             lambda: _over_all(scaled.exp())),
            ("The rows do not add up to 1. Divide by the sum of each row.",
             lambda: ((logits - best) / (temperature or 1)).exp()),
            ("The rows do not add up to 1. Divide by the sum of each row.", lambda: scaled.exp()),
        ]  # fmt: skip
        return lambda f: _expect(call(f, logits, temperature), apply_temperature(logits, temperature), mistakes)

    return judge(
        function,
        [
            ("the last position of the notes' example, temperature 0.5", case(NOTES, 0.5)),
            ("two rows that are not sorted, temperature 2", case(MIXED, 2.0)),
            ("logits of 1000 and of -1000", case(LARGE, 1.0)),
            ("float64", case(MIXED.double(), 0.7)),
            ("temperature 1e-35, almost 0", case(WIDE, 1e-35)),
            ("temperature 0: the argmax has it all", case(MIXED, 0.0)),
        ],
    )


SAME_A = torch.tensor(
    [[6.0, 8.0, 10.0, 12.0], [1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 2.0], [5.0, 1.0, 2.0, 0.0], [0.0, 1.0, 2.0, 3.0]]
)
SAME_B = torch.tensor(
    [[3.0, 5.0, 7.0, 9.0], [2.0, 4.0, 6.0, 8.0], [0.0, 1.0, 0.0, 2.0], [5.0, 2.0, 1.0, 0.0], [3.0, 2.0, 1.0, 0.0]]
)
ROUNDED = torch.tensor([[0.1, 10.2, 100.7, -1000.3]])
FAR_A, FAR_B = torch.tensor([[0.0, 200.0]]), torch.tensor([[0.0, 500.0]])


def same_probs(function: Callable[[Tensor, Tensor], Tensor]) -> Report:
    """Judge f(a, b), logits (bsz, vocab_size) each: does softmax make the same of both rows? (bsz,) bool."""

    def case(a: Tensor, b: Tensor, due: list[bool]) -> Callable[[Callable], None]:
        mistakes = [
            ("Softmax has rounded both rows to the same numbers; on paper they differ. Do without softmax: look at "
             "a - b.", lambda: torch.isclose(a.softmax(-1), b.softmax(-1)).all(-1)),
            ("That is on the right track, but a - b is rounded. Compare with a tolerance: torch.isclose.",
             lambda: (a - b == (a - b)[:, :1]).all(-1)),
            ("These rows have equal logits. Logits that differ by a constant count as the same too.",
             lambda: torch.isclose(a, b).all(-1)),
            ("You asked whether the order is the same. The probabilities depend on the differences too.",
             lambda: (a.argsort(-1) == b.argsort(-1)).all(-1)),
            ("You asked whether the best token is the same. All the others count too.",
             lambda: a.argmax(-1) == b.argmax(-1)),
            ("You compared the quotients a / b. Twice the logits are other probabilities; look at a - b.",
             lambda: torch.isclose(a / b, (a / b)[:, -1:]).all(-1)),
        ]  # fmt: skip

        def judged(f: Callable) -> None:
            got = expect_tensor(call(f, a, b), torch.tensor(due))
            if got.tolist() == due:
                return
            for hint, wrong in mistakes:
                if wrong().tolist() == got.tolist():
                    raise Wrong(hint)
            raise Wrong(f"due   {due}\nyours {got.tolist()}")

        return judged

    shifted = SAME_A + torch.tensor([[1.0], [-2.0], [64.0], [0.0], [8.0]])
    return judge(
        function,
        [
            (
                "rows shifted, doubled, equal, with two logits swapped, and turned round",
                case(SAME_A, SAME_B, [True, False, True, False, False]),
            ),
            ("every row shifted by another constant", case(SAME_A, shifted, [True] * 5)),
            (
                "one logit moved in all rows but the last",
                case(SAME_A, SAME_A + torch.eye(5, 4) / 2, [False] * 4 + [True]),
            ),
            ("a shift by 7 that float32 rounds", case(ROUNDED, ROUNDED + 7, [True])),
            ("differences that softmax can no longer show", case(FAR_A, FAR_B, [False])),
        ],
    )


def entropy(function: Callable[[Tensor], Tensor]) -> Report:
    """Judge f(probs (bsz, vocab_size)): the entropy of each row in nats, (bsz,); p = 0 adds nothing."""

    def case(probs: Tensor) -> Callable[[Callable], None]:
        terms = probs * probs.log()
        due = package_entropy(probs)
        mistakes = [
            ("0 * log(0) is 0 * -inf, which is nan. A token of probability 0 adds nothing: torch.where, or "
             "torch.xlogy(probs, probs).", lambda: -terms.sum(-1)),
            ("The sign is wrong. log p is never positive, entropy never negative.", lambda: -due),
            ("These are bits: log to the base 2. Nats are due: torch.log.", lambda: due / torch.tensor(2.0).log()),
            ("This is log to the base 10. Nats are due: torch.log.", lambda: due / torch.tensor(10.0).log()),
            ("You averaged over the tokens. The weights are the probabilities already: sum.",
             lambda: due / probs.shape[-1]),
            ("You forgot the weights: p * log p, not log p.", lambda: -probs.log().sum(-1)),
            ("You worked down the columns. The vocabulary is the last axis: dim=-1.",
             lambda: package_entropy(probs.T)),
            ("This is exp of the entropy. The entropy itself is due.", lambda: due.exp()),
        ]  # fmt: skip
        return lambda f: _expect(call(f, probs), due, mistakes)

    return judge(
        function,
        [
            ("a loaded coin", case(torch.tensor([[0.75, 0.25]]))),
            ("as many rows as tokens", case(torch.tensor([[0.5, 0.3, 0.2], [0.6, 0.2, 0.2], [0.1, 0.1, 0.8]]))),
            ("tokens of probability 0", case(torch.tensor([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]))),
            ("float64", case(torch.full((2, 6), 1 / 6, dtype=torch.float64))),
        ],
    )


def _expect(got, due: Tensor, mistakes: Mistakes) -> None:
    """As expect_close; but a result with nan, too, is held against the known mistakes."""
    comparable = isinstance(got, Tensor) and got.dtype == due.dtype and got.device == due.device
    if comparable and got.isnan().any():
        for hint, wrong in mistakes:
            other = wrong()
            if other.shape == got.shape and torch.allclose(got, other, atol=1e-4, equal_nan=True):
                raise Wrong(hint)
    expect_close(got, due, mistakes)


def _plain(exps: Tensor) -> Tensor:
    return exps / exps.sum(-1, keepdim=True)


def _over_all(exps: Tensor) -> Tensor:
    return exps / exps.sum()
