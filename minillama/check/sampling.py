"""Checks of the exercises on sampling."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from minillama.check.judge import Wrong, call, expect_close, expect_tensor, judge
from minillama.check.report import Report
from minillama.sampling import filter_min_p, nucleus

NOTES = torch.tensor([[0.5, 0.3, 0.1, 0.07, 0.03]])
MIXED = torch.tensor([[0.1, 0.05, 0.6, 0.25], [0.25, 0.4, 0.15, 0.2]])  # not sorted, two rows
TIED = torch.tensor([[0.125, 0.5, 0.25, 0.125]])


def greedy(function: Callable[[Tensor], Tensor]) -> Report:
    """Judge f(probs (bsz, vocab_size)): the id of each row's most probable token, (bsz,) int64."""

    def case(probs: Tensor) -> Callable[[Callable], None]:
        mistakes = [
            (
                "These are the best rows of each column. The vocabulary is the last axis: dim=-1.",
                lambda: probs.argmax(0),
            )
        ]

        def run(f: Callable) -> None:
            got = call(f, probs)
            if isinstance(got, Tensor) and got.dim() == 0:
                raise Wrong("One number came back for all rows. Each row has its own best token: dim=-1.")
            if isinstance(got, Tensor) and got.shape == probs.shape[:1] and got.is_floating_point():
                raise Wrong("These are no ids but numbers with a point. The id is the column, a whole number: argmax.")
            expect_close(got, probs.argmax(-1), mistakes)

        return run

    return judge(
        function,
        [
            ("as many rows as tokens", case(torch.eye(4)[[2, 0, 3, 2]])),
            ("one row", case(NOTES)),
            ("two rows, each with its own best", case(MIXED)),
        ],
    )


def top_p(function: Callable[[Tensor, float], Tensor]) -> Report:
    """Judge f(probs (bsz, vocab_size), p): probabilities of the same shape, nucleus kept and renormalised."""

    def case(probs: Tensor, p: float) -> Callable[[Callable], None]:
        mistakes = [
            ("The tail was not dropped. Sort downwards (descending=True), then mask.", lambda: _upwards(probs, p)),
            ("The token whose mass before it equals p is kept: drop where the mass is > p.", lambda: _strict(probs, p)),
            ("The token that crosses p stays: judge it by the mass before it.", lambda: _late(probs, p)),
            ("The kept probabilities do not add up to 1. Divide them by their sum.", lambda: _kept(probs, p)),
            ("These are the right numbers in sorted order. Put each back at its token's id: torch.scatter with the "
             "indices of the sort.", lambda: nucleus(probs, p).renormalised),
            ("You worked down the columns. The vocabulary is the last axis: dim=-1.", lambda: reference(probs.T, p).T),
            ("All rows were divided by one sum. Each row has its own: sum(dim=-1, keepdim=True).",
             lambda: _kept(probs, p) / _kept(probs, p).sum()),
            ("You kept the tail and dropped the rest. Where the mask is True a token is dropped.",
             lambda: _normal(probs - _kept(probs, p))),
            ("gather reads, scatter writes: column i of the sorted values belongs into column probs_idx[:, i].",
             lambda: nucleus(probs, p).renormalised.gather(-1, nucleus(probs, p).probs_idx)),
            ("The mask is in sorted order, but you laid it over probs. Mask the sorted values, then put them back.",
             lambda: _normal(probs.where(nucleus(probs, p).kept, 0.0))),
            ("The masses were added up in the order of the ids. Sort first, most probable first.",
             lambda: _normal(probs.where(probs.cumsum(-1) - probs <= p, 0.0))),
        ]  # fmt: skip
        return lambda f: expect_close(call(f, probs, p), reference(probs, p), mistakes)

    return judge(
        function,
        [
            ("the example, p = 0.85", case(NOTES, 0.85)),
            ("two rows that are not sorted, p = 0.7", case(MIXED, 0.7)),
            ("a token whose mass before it is exactly p = 0.5", case(TIED, 0.5)),
            ("p = 0 keeps the best token alone", case(MIXED, 0.0)),
            ("p = 1 keeps all", case(MIXED, 1.0)),
            ("float64", case(MIXED.double(), 0.5)),
        ],
    )


def sample_top_p(function: Callable[..., Tensor]) -> Report:
    """Judge f(probs (bsz, vocab_size), p, generator): one token id a row, (bsz, 1), drawn from the nucleus."""
    many = MIXED[:1].expand(4000, -1)

    def shape(f: Callable) -> None:
        expect_tensor(call(f, MIXED, 0.7, seeded(0)), torch.zeros(2, 1, dtype=torch.long))

    def greedy(f: Callable) -> None:
        got = call(f, MIXED, 0.0, seeded(0))
        places = torch.zeros(2, 1, dtype=torch.long)
        hint = "These are places in the sorted order, not token ids. Look the ids up: torch.gather(probs_idx, -1, …)."
        due = MIXED.argmax(-1, keepdim=True)
        if not any(torch.equal(expect_tensor(got, due), each) for each in (due, places)):
            raise Wrong("At p = 0 another token than the best was drawn. Filter first, then draw from what is left.")
        expect_close(got, due, [(hint, lambda: places)])

    def seeds(f: Callable) -> None:
        first, again, other = (call(f, many[:64], 1.0, seeded(seed)) for seed in (7, 7, 8))
        if not torch.equal(first, again):
            raise Wrong(
                "Two generators with the same seed gave different tokens. Pass generator= to torch.multinomial."
            )
        if torch.equal(first, other):
            raise Wrong("Every seed gives the same tokens. Draw them: torch.multinomial, not argmax.")

    def frequencies(p: float) -> Callable[[Callable], None]:
        def case(f: Callable) -> None:
            due = reference(many[:1], p)[0]
            got = call(f, many, p, seeded(1)).flatten().bincount(minlength=4)[:4] / len(many)
            spread = 5 * (due * (1 - due) / len(many)).sqrt() + 1e-6  # five standard deviations
            if bool(((got - due).abs() > spread).any()):
                in_order = nucleus(many[:1], p).renormalised[0]
                if bool(((got - in_order).abs() <= spread).all()):
                    raise Wrong("These are places in the sorted order, not token ids. Gather the ids back.")
                shares = "\n".join(f"token {i}: due {d:.3f}, yours {g:.3f}" for i, (d, g) in enumerate(zip(due, got)))  # noqa: B905
                raise Wrong(f"Over {len(many)} draws the tokens come too often or too seldom:\n{shares}")

        return case

    return judge(
        function,
        [
            ("one int64 id a row: (bsz, 1)", shape),
            ("p = 0 gives the most probable token's id", greedy),
            ("the generator decides", seeds),
            ("4000 draws at p = 0.7", frequencies(0.7)),
            ("4000 draws at p = 1", frequencies(1.0)),
        ],
    )


def min_p(function: Callable[[Tensor, float], Tensor]) -> Report:
    """Judge f(probs (bsz, vocab_size), min_p): tokens at least min_p times the row's best, renormalised."""

    def case(probs: Tensor, limit: float) -> Callable[[Callable], None]:
        best = probs.amax(-1, keepdim=True)
        mistakes = [
            ("You compared with min_p itself. The limit is min_p times the row's largest probability.",
             lambda: _normal(probs.where(probs >= limit, 0.0))),
            ("A token exactly at the limit stays: drop where it is < the limit.",
             lambda: _normal(probs.where(probs > limit * best, 0.0))),
            ("All rows were measured by one maximum. Each row has its own: amax(dim=-1, keepdim=True).",
             lambda: _normal(probs.where(probs >= limit * probs.max(), 0.0))),
            ("The kept probabilities do not add up to 1. Divide them by their sum.",
             lambda: probs.where(probs >= limit * best, 0.0)),
            ("All rows were divided by one sum. Each row has its own: sum(dim=-1, keepdim=True).",
             lambda: (lambda kept: kept / kept.sum())(probs.where(probs >= limit * best, 0.0))),
            ("You kept the improbable tokens and dropped the rest: drop where a token is < the limit.",
             lambda: _normal(probs.where(probs < limit * best, 0.0))),
        ]  # fmt: skip
        return lambda f: expect_close(call(f, probs, limit), filter_min_p(probs, limit), mistakes)

    return judge(
        function,
        [
            ("the example, min_p = 0.15", case(NOTES, 0.15)),
            ("two rows, min_p = 0.5", case(MIXED, 0.5)),
            ("a token exactly at the limit, min_p = 0.25", case(TIED, 0.25)),
            ("min_p = 0 keeps all", case(MIXED, 0.0)),
            ("min_p = 1 keeps the best", case(MIXED, 1.0)),
        ],
    )


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _normal(probs: Tensor) -> Tensor:
    return probs / probs.sum(-1, keepdim=True)


def reference(probs: Tensor, p: float) -> Tensor:
    """The renormalised nucleus in the order of the ids, (…, vocab_size)."""
    return _normal(_kept(probs, p))


def _kept(probs: Tensor, p: float) -> Tensor:
    top = nucleus(probs, p)
    return torch.zeros_like(probs).scatter(-1, top.probs_idx, top.probs_sort.where(top.kept, 0.0))


def _from_sorted(probs: Tensor, descending: bool, keep: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    probs_sort, probs_idx = probs.sort(dim=-1, descending=descending, stable=True)
    kept = probs_sort.where(keep(probs_sort.cumsum(-1), probs_sort), 0.0)
    return _normal(torch.zeros_like(probs).scatter(-1, probs_idx, kept))


def _upwards(probs: Tensor, p: float) -> Tensor:
    return _from_sorted(probs, False, lambda total, own: total - own <= p)


def _strict(probs: Tensor, p: float) -> Tensor:
    return _from_sorted(probs, True, lambda total, own: total - own < p)


def _late(probs: Tensor, p: float) -> Tensor:
    return _from_sorted(probs, True, lambda total, own: total <= p)
