"""Checks of the exercises on sampling."""

from __future__ import annotations

from collections.abc import Callable

import torch

from minillama.check.compare import About
from minillama.check.exercise import exercise, swap, swaps

NOTES = torch.tensor([[0.5, 0.3, 0.1, 0.07, 0.03]])
MIXED = torch.tensor([[0.1, 0.25, 0.02, 0.6, 0.03], [0.15, 0.35, 0.2, 0.04, 0.26]])  # no order undoes itself
TIED = torch.tensor([[0.125, 0.5, 0.25, 0.125], [0.5, 0.0, 0.25, 0.25]])
SURE = torch.tensor([[0.05, 0.05, 0.9, 0.0], [0.2, 0.1, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
        "These are the best rows of each column: the vocabulary is dim=-1.": swap("dim=-1", "dim=0"),
        "Each row has its own best token: dim=-1.": [swap("dim=-1", ""), lambda probs: int(probs.argmax())],
        "Only the first row was looked at. Return one id for each row.":
            swaps("probs.arg", "probs[0].unsqueeze(0).arg", "probs[0].repeat(len(probs), 1).arg", "probs[0].arg"),
        "These are probabilities, not ids: argmax.": swaps("argmax(dim=-1)", "amax(-1)", "amax(-1, True)", "max()"),
        "Drop keepdim: one id per row is (bsz,), not (bsz, 1).": swap("dim=-1", "dim=-1, keepdim=True"),
        "These are the least probable tokens: argmax, or a descending sort.": swap("argmax", "argmin"),
        "These are all ids, sorted. Return only the best.": swaps("argmax(", "argsort(descending=True, ", "argsort("),
        "Greedy does not draw: argmax.": swaps("argmax(dim=-1)", "multinomial(1)", "multinomial(1).squeeze(-1)"),
        "That marks the best token of each row. Return its id: argmax.":
            swaps("probs.argmax(dim=-1)", "probs == probs.amax(-1, True)", "(probs == probs.amax(-1, True)).long()"),
        "Ids count from 0: the first column is 0.": swap("dim=-1)", "dim=-1) + 1"),
    },
)  # fmt: skip


def right_top_p(probs, p):
    """f(probs (bsz, vocab_size), p): probabilities of the same shape, nucleus kept and renormalised."""
    probs_sort, probs_idx = torch.sort(probs, dim=-1, descending=True)
    before = torch.cumsum(probs_sort, dim=-1) - probs_sort
    kept = probs_sort.masked_fill(before > p, 0.0)
    kept = kept / kept.sum(dim=-1, keepdim=True)
    return torch.zeros_like(probs).scatter(-1, probs_idx, kept)


_BACK, _SUM = "torch.zeros_like(probs).scatter(-1, probs_idx, kept)", "kept / kept.sum(dim=-1, keepdim=True)"
_FILTERS = {
    "The kept probabilities do not add up to 1. Divide them by their sum.": swap(_SUM, "kept"),
    "Each row is divided by its own sum: sum(dim=-1, keepdim=True).":
        swaps("sum(dim=-1, keepdim=True)", "sum()", "sum(dim=0, keepdim=True)", "sum(dim=-1)"),
    "softmax makes other probabilities. To renormalise, divide by the sum.":
        swaps(_SUM, "kept.softmax(-1)", "kept.masked_fill(kept == 0, -torch.inf).softmax(-1)"),
    "A dropped token has probability 0, not -inf.": swap(", 0.0)", ", -torch.inf)"),
    "Do not make the kept tokens equal.": swap(_SUM, "(kept > 0) / (kept > 0).to(probs).sum(-1, keepdim=True)"),
    "Nothing was dropped. Is the order, or the limit, inverted?": lambda probs, p: probs.clone(),
}  # fmt: skip
_NUCLEUS = {
    "The tail was not dropped. Sort with descending=True, then mask.": swap(", descending=True", ""),
    "The token whose mass before it equals p is kept: > p, not >=.": swap("before > p", "before >= p"),
    "The token that crosses p stays: judge it by cumsum - probs_sort, the mass before it.":
        [swap(" - probs_sort", ""), swap("before > p", "(before + probs_sort > p) & (before > 0)")],
    "You kept the tail and dropped the rest: drop where the mass is > p.": swap("before > p", "before <= p"),
    "The masses were added up in the order of the ids. Sort first.":
        swap("torch.sort(probs, dim=-1, descending=True)", "probs, torch.arange(probs.shape[-1]).expand_as(probs)"),
    "The mass before a token decides, not its own probability: cumsum.":
        swaps("before > p", "probs_sort < p", "probs_sort <= p", "probs_sort < 1 - p", "probs_sort <= 1 - p"),
    "Compare the mass with p, not with 1 - p.": swap("before > p", "before > 1 - p"),
    "cumsum and sort work along the last axis: dim=-1.":
        [swap("probs_sort, dim=-1", "probs_sort, dim=0"), swap("(probs, dim=-1", "(probs, dim=0")],
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
        **_NUCLEUS,
        **_FILTERS,
        "The numbers are right, but in sorted order. scatter puts them back.": swap(_BACK, "kept"),
        "gather reads, scatter writes: column i goes to probs_idx[:, i].": swap(_BACK, "kept.gather(-1, probs_idx)"),
        "The mask is in sorted order, but you laid it over probs.":
            [swap("probs_sort.mask", "probs.mask"), swap("probs_sort.mask", "probs.mask", _BACK, "kept")],
        "You worked down the columns. The vocabulary is dim=-1.": swap("dim=-1", "dim=0", "(-1", "(0"),
        "That is min_p: a share of the best. top_p adds the masses up.": lambda probs, p: right_min_p(probs, p),
        "Divide by the sum of what is kept, not by p.": swap("kept.sum(dim=-1, keepdim=True)", "p"),
        "Return only the probabilities, without the indices.": swaps(_BACK, "kept, probs_idx", _BACK + ", probs_idx"),
    },
)  # fmt: skip


def right_sample_top_p(probs, p, generator):
    """f(probs (bsz, vocab_size), p, generator): one token id per row, (bsz, 1), drawn from the nucleus."""
    probs_sort, probs_idx = torch.sort(probs, dim=-1, descending=True)
    before = torch.cumsum(probs_sort, dim=-1) - probs_sort
    kept = probs_sort.masked_fill(before > p, 0.0)
    place = torch.multinomial(kept, num_samples=1, generator=generator)
    return torch.gather(probs_idx, -1, place)


def seeds(f: Callable) -> dict[str, bool]:
    rows, generator, advanced = MIXED[1:].expand(64, -1), seeded(7), seeded(7)
    torch.rand(1000, generator=advanced)
    first, after = f(rows, 1.0, generator), f(rows, 1.0, advanced)
    return {
        "the same seed gives the same tokens": torch.equal(first, f(rows, 1.0, seeded(7))),
        "another seed gives the same tokens": torch.equal(first, f(rows, 1.0, seeded(8))),
        "a generator gives the same tokens twice": torch.equal(first, after),
        "every row gets the same token": bool((first == first[0]).all()),
    }


def frequencies(p: float) -> Callable:
    """How often each token came in 6000 draws of each row, (2, vocab_size); chance has a part in it."""

    def case(f: Callable) -> About:
        drawn = f(MIXED.repeat(6000, 1), p, seeded(1)).reshape(-1, 2)  # (draws, rows)
        return About(torch.stack([column.bincount(minlength=5)[:5] / len(drawn) for column in drawn.T]), 0.04)

    return case


sample_top_p = exercise(
    right_sample_top_p,
    cases={
        "p = 0 gives the most probable token's id: (bsz, 1), int64": lambda f: f(MIXED, 0.0, seeded(0)),
        "three rows, p = 0": lambda f: f(SURE, 0.0, seeded(0)),
        "the generator decides": seeds,
        "6000 draws at p = 0.7": frequencies(0.7),
        "6000 draws at p = 0.3": frequencies(0.3),
        "6000 draws at p = 1": frequencies(1.0),
    },
    mistakes={
        "These are places in the sorted order: gather the ids.": swap("torch.gather(probs_idx, -1, place)", "place"),
        "The draw is a token id already: leave gather out.":
            [swap("-1, place", "-1, probs_idx.gather(-1, place)"), swap("(kept,", "(probs,")],
        "gather must read the ids, probs_idx. You read probabilities.":
            swaps("torch.gather(probs_idx", "torch.gather(probs_sort", "torch.gather(kept", "torch.gather(probs"),
        "The same seed gave different tokens: pass generator= on.": swap("=generator", "=None"),
        "Every generator gives the same tokens: is one seeded inside?": swap("=generator", "=seeded(0)"),
        "The best token always comes: multinomial, not argmax.": lambda probs, p, generator: probs.argmax(-1, True),
        "Nothing was filtered. Filter first, then draw from what is left.":
            [swap("before > p", "before > 9"), lambda probs, p, g: probs.multinomial(1, generator=g)],
        "Draw by probability, not uniformly.": swap("(kept,", "((kept > 0).float(),"),
        "softmax makes other probabilities. Draw by the probabilities as they are.":
            swaps("(kept,", "(kept.softmax(-1),", "(kept.masked_fill(kept == 0, -torch.inf).softmax(-1),"),
        "Every row draws its own token, not only the first.": [
            lambda x, p, g: right_sample_top_p(x[:1], p, g).expand(len(x), 1),
            swap("multinomial(kept,", "multinomial(kept[:1],", "generator)", "generator).expand(len(kept), 1)"),
            swap("(kept,", "(kept[:1],"),
        ],
        "The shape is (bsz, 1): do not drop the last axis.": swap("-1, place)", "-1, place).squeeze(-1)"),
        "Return one token per row: num_samples=1.":
            swaps("num_samples=1", "num_samples=2, replacement=True", "num_samples=len(probs[0]), replacement=True"),
        **_NUCLEUS,
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
        "The limit is min_p times the row's largest probability.":
            [*swaps("min_p *", "-min_p +", "(1 - min_p) *", "min_p + 0 *"), swap("amax", "mean")],
        "A token exactly at the limit stays: drop where it is < the limit.":
            swaps("< limit", "<= limit", "<= limit - (limit == probs.amax(-1, keepdim=True)) * 1e-9"),
        "Each row has its own maximum: amax(dim=-1, keepdim=True).":
            swaps("amax(dim=-1, keepdim=True)", "max()", "amax(dim=0, keepdim=True)", "amax(dim=-1)"),
        "Divide by the sum, not by the largest.": swap("kept.sum(", "kept.amax("),
        "You kept the improbable tokens: drop where a token is < the limit.": swaps("< limit", ">= limit", "> limit"),
        "clamp drops nothing: write 0 there.": swap("masked_fill(probs < limit, 0.0)", "clamp(min=limit)"),
        "That is top_p: it adds masses up. min_p compares with the row's best.": lambda probs, p: right_top_p(probs, p),
        "The values are in sorted order. No sort is needed.": lambda probs, p: right_min_p(probs, p).sort(-1, True)[0],
        **_FILTERS,
    },
)  # fmt: skip
