"""Checks of the exercises on sampling."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from minillama.check.compare import About
from minillama.check.exercise import exercise, swap

NOTES = torch.tensor([[0.5, 0.3, 0.1, 0.07, 0.03]])
MIXED = torch.tensor([[0.1, 0.25, 0.02, 0.6, 0.03], [0.15, 0.35, 0.2, 0.04, 0.26]])  # no order undoes itself
TIED = torch.tensor([[0.125, 0.5, 0.25, 0.125], [0.5, 0.0, 0.25, 0.25]])
SURE = torch.tensor([[0.05, 0.05, 0.9, 0.0], [0.2, 0.1, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def reference(probs: Tensor, p: float) -> Tensor:
    """The renormalised nucleus in the order of the ids, (…, vocab_size)."""
    return right_top_p(probs, p)


def _normal(probs: Tensor) -> Tensor:
    return probs / probs.sum(-1, keepdim=True)


def _sorted_mask(probs: Tensor, p: float) -> Tensor:
    probs_sort = probs.sort(dim=-1, descending=True).values
    return probs_sort.cumsum(-1) - probs_sort <= p


def _gathered(probs: Tensor, place: Tensor) -> Tensor:
    return probs.argsort(dim=-1, descending=True).gather(-1, place)


def _upwards(probs: Tensor, p: float) -> Tensor:
    probs_sort, probs_idx = probs.sort(dim=-1, stable=True)
    kept = probs_sort.masked_fill(probs_sort.cumsum(-1) - probs_sort > p, 0.0)
    return torch.zeros_like(probs).scatter(-1, probs_idx, kept)


def right_greedy(probs):
    """f(probs (bsz, vocab_size)): the id of each row's most probable token, (bsz,) int64."""
    return probs.argmax(dim=-1)


greedy = exercise(
    right_greedy,
    cases={
        "two rows, each with its own best": (MIXED.flip(0),),
        "as many rows as tokens": (torch.eye(4)[[2, 0, 3, 2]] * 0.9 + 0.025,),
        "three rows": (SURE,),
        "one row": (NOTES,),
        "one row, the last token is the best": (NOTES.flip(-1),),
        "more rows than tokens": (SURE[:, 1:][[0, 1, 2, 1, 0]],),
    },
    mistakes={
        "These are the best rows of each column. The vocabulary is the last axis: dim=-1.": swap("dim=-1", "dim=0"),
        "Each row has its own best token: dim=-1.": [swap("dim=-1", ""), lambda probs: int(probs.argmax())],
        "These are probabilities, not token ids. The id is the column: argmax.":
            [lambda probs: probs.amax(-1), lambda probs: probs.amax(-1, keepdim=True)],
        "That is the largest probability, not an id. The id is the column: argmax, not max.": lambda probs: probs.max(),
        "Leave keepdim out: one id a row is (bsz,), not (bsz, 1).": swap("dim=-1", "dim=-1, keepdim=True"),
        "These are the least probable tokens: argmax, not argmin.": swap("argmax", "argmin"),
        "torch.max returns a pair: values and indices. Take .indices.": lambda probs: probs.max(dim=-1),
        "These are the ids in sorted order. The best alone is expected: argmax, or [:, 0] of a descending sort.":
            [lambda probs: probs.argsort(dim=-1, descending=True), lambda probs: probs.argsort(dim=-1)],
        "You took the first of an ascending sort, the least probable: descending=True, or [:, -1].":
            lambda probs: probs.argsort(-1, descending=True)[:, -1].clone(),
        "Only the first row was looked at. Return one id for each row.":
            [lambda probs: probs[0].argmax(), lambda probs: probs[:1].argmax(-1)],
        "Every row was given the first row's best token.": lambda probs: probs[0].argmax().expand(len(probs)),
        "Greedy does not draw: no multinomial. Take the most probable token.":
            [lambda probs: torch.multinomial(probs, 1), lambda probs: torch.multinomial(probs, 1).squeeze(-1)],
        "That is a one-hot row, not an id: argmax.": lambda probs: (probs == probs.amax(-1, keepdim=True)).long(),
        "That is a mask, not an id: argmax.": lambda probs: probs == probs.amax(-1, keepdim=True),
        "These are places in the flat tensor. An id is a column: argmax(dim=-1).":
            lambda probs: probs.argmax(-1) + torch.arange(len(probs)) * probs.shape[1],
        "You counted ids from 1. The first column is 0.": swap("dim=-1)", "dim=-1) + 1"),
        "The second most probable token came back. argmax takes the first.": lambda probs: probs.topk(2).indices[:, 1],
    },
)  # fmt: skip


def right_top_p(probs, p):
    """f(probs (bsz, vocab_size), p): probabilities of the same shape, nucleus kept and renormalised."""
    probs_sort, probs_idx = torch.sort(probs, dim=-1, descending=True)
    before = torch.cumsum(probs_sort, dim=-1) - probs_sort
    kept = probs_sort.masked_fill(before > p, 0.0)
    kept = kept / kept.sum(dim=-1, keepdim=True)
    return torch.zeros_like(probs).scatter(-1, probs_idx, kept)


_SUM = "kept / kept.sum(dim=-1, keepdim=True)"
_BACK = "torch.zeros_like(probs).scatter(-1, probs_idx, kept)"
_FILTERS = {
    "The kept probabilities do not add up to 1. Divide them by their sum.": swap(_SUM, "kept"),
    "Each row is divided by its own sum: dim=-1, keepdim=True.":
        swap("sum(dim=-1, keepdim=True)", "sum()"),
    "The sum went down the columns. Each row has its own: sum(dim=-1, keepdim=True).": swap("sum(dim=-1", "sum(dim=0"),
    "keepdim=True is missing: the sums must be (bsz, 1).":
        swap("sum(dim=-1, keepdim=True)", "sum(dim=-1)"),
    "softmax makes other probabilities. To renormalise, divide by the sum.":
        [swap(_SUM, "kept.softmax(-1)"), swap(_SUM, "kept.masked_fill(kept == 0, -torch.inf).softmax(-1)")],
    "A dropped token has probability 0. Here -inf was written, as for logits.": swap(", 0.0)", ", -torch.inf)"),
    "The kept tokens are equally likely now. Divide their probabilities by the sum.":
        swap(_SUM, "(kept > 0).to(kept.dtype) / (kept > 0).sum(dim=-1, keepdim=True)"),
    "Nothing was dropped. Is the order, or the limit, upside down?": lambda probs, p: probs.clone(),
}  # fmt: skip

top_p = exercise(
    right_top_p,
    cases={
        "two rows that are not sorted, p = 0.7": (MIXED, 0.7),
        "the example, p = 0.85": (NOTES, 0.85),
        "three rows, p = 0.6": (SURE, 0.6),
        "a token whose mass before it is exactly p = 0.5": (TIED, 0.5),
        "p = 0 keeps the best token alone": (MIXED, 0.0),
        "p = 1 keeps all": (MIXED, 1.0),
        "float64": (MIXED.double(), 0.5),
    },
    mistakes={
        "The tail was not dropped. Sort with descending=True, then mask.": swap(", descending=True", ""),
        "The token whose mass before it equals p is kept: drop where the mass is > p.":
            [swap("before > p", "before >= p"), swap("before > p", "(before >= p) & (before > 0)")],
        "The token that crosses p stays: judge it by the mass before it, cumsum - probs_sort.":
            [swap(" - probs_sort", ""), swap("before > p", "(before + probs_sort > p) & (before > 0)")],
        "The numbers are right, but in sorted order. scatter puts each back at its token's id.": swap(_BACK, "kept"),
        "gather reads, scatter writes: column i goes to probs_idx[:, i].": swap(_BACK, "kept.gather(-1, probs_idx)"),
        "The mask is in sorted order, but you laid it over probs. Mask the sorted values, then put them back.": [
            lambda probs, p: _normal(probs.where(_sorted_mask(probs, p), 0.0)),
            swap("probs_sort.masked_fill", "probs.masked_fill"),
        ],
        "You worked down the columns. The vocabulary is the last axis: dim=-1.":
            [lambda probs, p: right_top_p(probs.T, p).T, swap("dim=-1", "dim=0", "(-1", "(0")],
        "cumsum went down the columns: dim=-1.": swap("probs_sort, dim=-1", "probs_sort, dim=0"),
        "The sort went down the columns: dim=-1.": swap("sort(probs, dim=-1", "sort(probs, dim=0"),
        "You kept the tail and dropped the rest. Where the mask is True a token is dropped.":
            [swap("before > p", "before <= p"), lambda probs, p: _normal(probs.where(right_top_p(probs, p) == 0, 0.0))],
        "The masses were added up in the order of the ids. Sort first, most probable first.":
            lambda probs, p: _normal(probs.where(probs.cumsum(-1) - probs <= p, 0.0)),
        "You compared each probability with p. The mass before a token decides: cumsum.":
            [lambda probs, p: _normal(probs * (probs >= p)), lambda probs, p: _normal(probs * (probs > p))],
        "You compared each probability with 1 - p. The mass before a token decides: cumsum.":
            [lambda probs, p: _normal(probs * (probs >= 1 - p)), lambda probs, p: _normal(probs * (probs > 1 - p))],
        "The mask compares with 1 - p: it should be > p.": swap("before > p", "before > 1 - p"),
        "That is min_p: a share of the best. top_p adds the masses up.":
            lambda probs, p: _normal(probs * (probs >= p * probs.amax(-1, keepdim=True))),
        "Divide by the sum of what is kept, not by p.": swap("kept.sum(dim=-1, keepdim=True)", "max(p, 1e-9)"),
        "Return the probabilities alone, not a pair with the indices.": swap(_BACK, "kept, probs_idx"),
        "That is the mask, not the probabilities.": lambda probs, p: right_top_p(probs, p) > 0,
        "The result is float32. Keep the dtype of probs.": lambda probs, p: right_top_p(probs, p).float(),
        **_FILTERS,
    },
)  # fmt: skip


def right_sample_top_p(probs, p, generator):
    """f(probs (bsz, vocab_size), p, generator): one token id a row, (bsz, 1), drawn from the nucleus."""
    probs_sort, probs_idx = torch.sort(probs, dim=-1, descending=True)
    before = torch.cumsum(probs_sort, dim=-1) - probs_sort
    kept = probs_sort.masked_fill(before > p, 0.0)
    place = torch.multinomial(kept, num_samples=1, generator=generator)
    return torch.gather(probs_idx, -1, place)


def draws(probs: Tensor, p: float, seed: int = 0) -> Callable:
    return lambda f: f(probs, p, seeded(seed))


def seeds(f: Callable) -> dict[str, bool]:
    rows, generator = MIXED[1:].expand(64, -1), seeded(7)
    first, after = f(rows, 1.0, generator), f(rows, 1.0, advanced(7))
    return {
        "the same seed gives the same tokens": torch.equal(first, f(rows, 1.0, seeded(7))),
        "another seed gives the same tokens": torch.equal(first, f(rows, 1.0, seeded(8))),
        "a generator gives the same tokens twice": torch.equal(first, after),
        "every row gets the same token": bool((first == first[0]).all()),
    }


def advanced(seed: int) -> torch.Generator:
    """A generator that has been drawn from."""
    generator = seeded(seed)
    torch.rand(1000, generator=generator)
    return generator


def frequencies(p: float) -> Callable:
    """How often each token came in 6000 draws of each row, (2, vocab_size); chance has a part in it."""

    def case(f: Callable) -> About:
        drawn = f(MIXED.repeat(6000, 1), p, seeded(1)).reshape(-1, 2)  # (draws, rows)
        return About(torch.stack([column.bincount(minlength=5)[:5] / len(drawn) for column in drawn.T]), 0.04)

    return case


_GATHER = "torch.gather(probs_idx, -1, place)"
_DRAW = "torch.multinomial(kept, num_samples=1, generator=generator)"


def drawn_from(weights: Callable, after: Callable = lambda ids: ids) -> Callable:
    """A sampler that draws from weights(probs, p) in the order of the ids."""
    return lambda probs, p, generator: after(torch.multinomial(weights(probs, p), 1, generator=generator))


sample_top_p = exercise(
    right_sample_top_p,
    cases={
        "p = 0 gives the most probable token's id: (bsz, 1), int64": draws(MIXED, 0.0),
        "three rows, p = 0": draws(SURE, 0.0),
        "the generator decides": seeds,
        "6000 draws at p = 0.7": frequencies(0.7),
        "6000 draws at p = 0.3": frequencies(0.3),
        "6000 draws at p = 1": frequencies(1.0),
    },
    mistakes={
        "These are places in the sorted order, not token ids. Look the ids up: torch.gather(probs_idx, -1, …).":
            swap(_GATHER, "place"),
        "You drew from probabilities in the order of the ids: the draw is a token id already. Leave gather out.": [
            lambda probs, p, generator: _gathered(probs, drawn_from(right_top_p)(probs, p, generator)),
            swap(_GATHER, "torch.gather(probs_idx, -1, torch.gather(probs_idx, -1, place))"),
        ],
        "gather must read the ids, probs_idx. You read probabilities.":
            [swap(_GATHER, f"torch.gather({x}, -1, place)") for x in ("probs_sort", "kept", "probs")],
        "Two generators with the same seed gave different tokens. Pass generator= to torch.multinomial.":
            [swap("generator=generator", "generator=None"), lambda p, q, g: drawn_from(right_top_p)(p, q, None)],
        "Every generator gives the same tokens: is one seeded inside? Use the one you are given, as it is.": [
            lambda probs, p, generator: right_sample_top_p(probs, p, seeded(0)),
            lambda probs, p, generator: drawn_from(right_top_p)(probs, p, seeded(0)),
        ],
        "The best token always comes: multinomial, not argmax.": swap(_DRAW, "kept.argmax(-1, keepdim=True)"),
        "At p = 0 another token than the best was drawn. Filter first, then draw from what is left.":
            [swap("masked_fill(before > p, 0.0)", "clone()"), drawn_from(lambda probs, p: probs)],
        "Only p = 0 was filtered. Drop every token whose mass before it is > p.": [
            swap("before > p", "(before > p) & (p == 0)"),
            drawn_from(lambda probs, p: probs if p else right_top_p(probs, p)),
        ],
        "All tokens of the nucleus come equally often. Draw by their probabilities, not by the mask.": [
            swap("multinomial(kept", "multinomial((kept > 0).float()"),
            drawn_from(lambda x, p: (right_top_p(x, p) > 0) * 1.0),
        ],
        "softmax makes other probabilities. Draw by the probabilities as they are.":
            swap("multinomial(kept", "multinomial(kept.masked_fill(kept == 0, -torch.inf).softmax(-1)"),
        "multinomial takes probabilities, not their logarithms.": swap("multinomial(kept", "multinomial(kept.log()"),
        "One draw served all rows. Each row draws its own token.": [
            lambda probs, p, generator: right_sample_top_p(probs[:1], p, generator).expand(len(probs), 1),
            lambda probs, p, generator: drawn_from(right_top_p)(probs[:1], p, generator).expand(len(probs), 1),
        ],
        "Only the first row was drawn. Return one id for each row.":
            [lambda x, p, g: right_sample_top_p(x[:1], p, g), lambda x, p, g: drawn_from(right_top_p)(x[:1], p, g)],
        "The shape is (bsz, 1), as torch.multinomial gives it: leave out what drops the last axis.":
            [swap(_GATHER, _GATHER + ".squeeze(-1)"), drawn_from(right_top_p, lambda ids: ids.squeeze(-1))],
        "One token a row is expected: num_samples=1.":
            [swap("num_samples=1", f"num_samples={n}, replacement=True") for n in ("2", "probs.shape[-1]")],
        "At p = 0 nothing is kept: the mask must be > p, not >=.": swap("before > p", "before >= p"),
        "The token that crosses p stays: judge it by the mass before it, cumsum - probs_sort.":
            [swap(" - probs_sort", ""), swap("before > p", "(before + probs_sort > p) & (before > 0)")],
        "The tail was not dropped. Sort with descending=True, then mask.":
            [swap(", descending=True", ""), drawn_from(_upwards)],
        "You drew from the tail. Where the mask is True a token is dropped.": swap("before > p", "before <= p"),
        "The masses were added up in the order of the ids. Sort first, most probable first.":
            drawn_from(lambda probs, p: probs * (probs.cumsum(-1) - probs <= p)),
        "Ids are whole numbers (int64): leave out what makes floats of them.":
            [swap(_GATHER, _GATHER + ".float()"), drawn_from(right_top_p, lambda ids: ids.float())],
        "These are the filtered probabilities. Draw a token from them.": lambda probs, p, g: right_top_p(probs, p),
    },
)  # fmt: skip


def right_min_p(probs, min_p):
    """f(probs (bsz, vocab_size), min_p): tokens at least min_p times as probable as the row's best, renormalised."""
    limit = min_p * probs.amax(dim=-1, keepdim=True)
    kept = probs.masked_fill(probs < limit, 0.0)
    return kept / kept.sum(dim=-1, keepdim=True)


min_p = exercise(
    right_min_p,
    cases={
        "two rows, min_p = 0.5": (MIXED, 0.5),
        "the example, min_p = 0.15": (NOTES, 0.15),
        "three rows, min_p = 0.3": (SURE, 0.3),
        "as many rows as tokens, min_p = 0.6": (torch.cat([SURE, TIED[:1]]), 0.6),
        "a token exactly at the limit, min_p = 0.25": (TIED, 0.25),
        "min_p = 0 keeps all": (MIXED, 0.0),
        "min_p = 1 keeps the best": (MIXED, 1.0),
        "float64": (SURE.double(), 0.2),
    },
    mistakes={
        "The limit is min_p times the row's best, not min_p.":
            swap("min_p * probs.amax(dim=-1, keepdim=True)", "min_p"),
        "A token exactly at the limit stays: drop where it is < the limit, not <=.": [
            swap("probs < limit", "probs <= limit"),
            swap("probs < limit", "(probs <= limit) & (limit > min_p * probs)"),
        ],
        "Each row has its own maximum: amax(dim=-1, keepdim=True).": swap("amax(dim=-1, keepdim=True)", "max()"),
        "The maximum went down the columns: amax(dim=-1, keepdim=True).": swap("amax(dim=-1", "amax(dim=0"),
        "keepdim=True is missing: the limit must be (bsz, 1).": swap("amax(dim=-1, keepdim=True)", "amax(dim=-1)"),
        "Divide the kept probabilities by their sum. You divided by the largest.": swap("kept.sum(", "kept.amax("),
        "You kept the improbable tokens and dropped the rest: drop where a token is < the limit.":
            [swap("probs < limit", "probs >= limit"), swap("probs < limit", "probs > limit")],
        "The limit is a product: min_p times the row's best.": swap("min_p * probs", "-min_p + probs"),
        "The limit is (1 - min_p) times the best here. It is min_p times the best.": swap("min_p * ", "(1 - min_p) * "),
        "The limit is min_p times the mean of the row. Take the largest instead: amax.": swap("amax", "mean"),
        "clamp raises small probabilities to the limit. Drop them: write 0.":
            swap("probs.masked_fill(probs < limit, 0.0)", "probs.clamp(min=limit)"),
        "That is top_p: masses added up. min_p compares each token with the row's best.":
            lambda probs, min_p: right_top_p(probs, min_p),
        "The values are in sorted order. No sort is needed here.":
            lambda probs, min_p: right_min_p(probs, min_p).sort(-1, descending=True)[0],
        "That is the mask, not the probabilities.": lambda probs, min_p: right_min_p(probs, min_p) > 0,
        "The result is float32. Keep the dtype of probs.": lambda probs, min_p: right_min_p(probs, min_p).float(),
        **_FILTERS,
    },
)  # fmt: skip
