"""From logits to one token: temperature, then top_k, then min_p, then top_p.

Pure functions on tensors; the last axis is the vocabulary. `Sampling` holds the settings of a run, `sample_top_p`
follows Meta's `llama/generation.py`. Nucleus sampling: Holtzman et al., arXiv:1904.09751. min_p: Nguyen et al.,
arXiv:2407.01082.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from minillama import arguments, tensors

LIKELY = 1e-4  # a probability; tokens below it are almost never in a nucleus
ROUNDING = 1e-4  # more than float32 loses in a sum of probabilities


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; its settings are judged once, when it is made.

    temperature: at least 0; 0 is greedy. top_p: 0 to 1. top_k: at least 1, or None. min_p: 0 to 1, or None. Raises
    TypeError or ValueError that names the setting. numpy's numbers become Python's.
    """

    temperature: float = 0.6
    top_p: float = 0.9
    top_k: int | None = None
    min_p: float | None = None

    def __post_init__(self):
        judged = {
            "temperature": arguments.number("temperature", self.temperature, 0),
            "top_p": arguments.number("top_p", self.top_p, 0, 1),
            "top_k": None if self.top_k is None else arguments.whole("top_k", self.top_k, 1),
            "min_p": None if self.min_p is None else arguments.number("min_p", self.min_p, 0, 1),
        }
        for name, value in judged.items():
            object.__setattr__(self, name, value)

    def probs(self, logits: Tensor) -> Tensor | None:
        """Logits (bsz, vocab_size) to what top_p then cuts: temperature, top_k, min_p. None if greedy.

        >>> Sampling(temperature=1.0, min_p=0.5).probs(torch.tensor([[1.0, 2.0, 2.5]]))
        tensor([[0.0000, 0.3775, 0.6225]])
        """
        if self.temperature == 0:
            return None
        probs = apply_temperature(logits, self.temperature)  # (bsz, vocab_size)
        probs = filter_top_k(probs, self.top_k) if self.top_k is not None else probs
        return filter_min_p(probs, self.min_p) if self.min_p is not None else probs


def apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    """softmax(logits / temperature): (..., vocab_size) logits to probabilities of the same shape.

    The largest logit is subtracted first, so that no temperature overflows. At temperature 0 all the mass lies on
    the argmax, which is the limit. Raises ValueError where temperature is below 0 or not finite, and on a CPU,
    where looking does not wait for a GPU, if a row's largest logit is not finite.

    >>> apply_temperature(torch.tensor([1.0, 2.0, 3.0]), temperature=0.5)
    tensor([0.0159, 0.1173, 0.8668])
    """
    tensors.floats("logits", logits)
    temperature = arguments.number("temperature", temperature, 0)
    largest = logits.amax(-1, keepdim=True)  # (..., 1)
    if largest.device.type == "cpu" and not math.isfinite(largest.sum()):
        raise ValueError("logits must have a finite largest number in every row, got NaN or infinity")
    if temperature < torch.finfo(torch.float32).tiny:
        return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
    return torch.softmax((logits - largest) / temperature, dim=-1)


def filter_top_k(probs: Tensor, k: int) -> Tensor:
    """Keep the k most probable tokens (and any that tie with the k-th), renormalised: (..., vocab_size), same shape.

    >>> filter_top_k(torch.tensor([0.5, 0.3, 0.2]), k=2)
    tensor([0.6250, 0.3750, 0.0000])
    """
    tensors.floats("probs", probs)
    k = arguments.whole("k", k, 1)
    smallest = probs.topk(min(k, probs.shape[-1]), dim=-1).values[..., -1:]  # (..., 1)
    return _renormalise(probs.where(probs >= smallest, 0.0))


def filter_min_p(probs: Tensor, min_p: float) -> Tensor:
    """Keep the tokens at least min_p times as probable as the best one, renormalised: (..., vocab_size), same shape.

    >>> filter_min_p(torch.tensor([0.5, 0.3, 0.2]), min_p=0.5)
    tensor([0.6250, 0.3750, 0.0000])
    """
    tensors.floats("probs", probs)
    min_p = arguments.number("min_p", min_p, 0, 1)
    return _renormalise(probs.where(probs >= min_p * probs.amax(-1, keepdim=True), 0.0))


class Nucleus(NamedTuple):
    """What top_p does to a distribution, in order of falling probability; every tensor has the shape of probs."""

    probs_sort: Tensor  # the probabilities, largest first; ties in the order of their ids
    probs_idx: Tensor  # which column of probs each came from, int64: the token id
    mass_before: Tensor  # the probability of all tokens further up
    kept: Tensor  # bool
    renormalised: Tensor  # the kept ones, divided by their sum; 0 elsewhere


def nucleus(probs: Tensor, p: float) -> Nucleus:
    """Sort probs (..., vocab_size) and keep each token whose mass before it is at most p.

    As in Meta's code that mass is cumsum minus the token's own probability, in the dtype of probs: at an exact tie
    rounding decides. p = 0 keeps the best token alone; p = 1 keeps all, whatever the rounding. Raises ValueError
    where p is outside 0 to 1.

    >>> nucleus(torch.tensor([0.1, 0.6, 0.3]), p=0.8).renormalised
    tensor([0.6667, 0.3333, 0.0000])
    """
    tensors.floats("probs", probs)
    p = arguments.number("p", p, 0, 1)
    probs_sort, probs_idx = torch.sort(probs, dim=-1, descending=True, stable=True)
    mass_before = torch.cumsum(probs_sort, dim=-1) - probs_sort
    kept = mass_before <= p if p < 1 else torch.ones_like(probs_sort, dtype=torch.bool)
    return Nucleus(probs_sort, probs_idx, mass_before, kept, _renormalise(probs_sort.where(kept, 0.0)))


def sample_top_p(probs: Tensor, p: float, generator: Generator | Sequence[Generator] | None = None) -> Tensor:
    """Draw one token id a row from the nucleus: (bsz, vocab_size) probabilities to (bsz, 1) int64.

    generator: None for torch's global one; one for all rows, which draws over all columns; or one for each row, which
    draws over the nucleus alone and so does not depend on the row's neighbours. Raises ValueError where p is outside 0
    to 1, or there are not as many generators as rows.

    >>> sample_top_p(torch.tensor([[0.1, 0.6, 0.3]]), p=0.0)
    tensor([[1]])
    """
    tensors.floats("probs", probs, 2)
    p = arguments.number("p", p, 0, 1)
    if isinstance(generator, Generator) and len(probs) == 1:
        generator = [generator]  # it serves this row alone
    ids = _few_with_nucleus(probs, p) if isinstance(generator, Sequence) else _all_ids(probs)  # (n,)
    top = nucleus(probs[:, ids], p)  # sort, mass before, keep, renormalise: each (bsz, n)
    place = draw(top.renormalised, generator, kept=top.kept)  # (bsz, 1), places in the sorted order
    return ids[top.probs_idx.gather(-1, place)]  # (bsz, 1), token ids


def _few_with_nucleus(probs: Tensor, p: float) -> Tensor:
    """Ids (n,), ascending, that hold every row's nucleus: on a CPU, where sorting is slow, often only a few."""
    if probs.device.type == "cpu":
        likely = probs > LIKELY  # (bsz, vocab_size)
        mass = probs.where(likely, 0.0).sum(-1)  # (bsz,)
        if bool((mass > p + ROUNDING).all()):  # then no nucleus needs a token that is left out
            return likely.any(0).nonzero().squeeze(1)
    return _all_ids(probs)


def _all_ids(probs: Tensor) -> Tensor:
    return torch.arange(probs.shape[-1], device=probs.device)


def draw(
    probs: Tensor,
    generator: Generator | Sequence[Generator] | None = None,
    num_samples: int = 1,
    kept: Tensor | None = None,
) -> Tensor:
    """Columns drawn from each row of probs (bsz, n), with replacement: (bsz, num_samples) int64.

    generator: as for `sample_top_p`. kept (bsz, n) bool: which columns of a sorted row can be drawn at all, the first
    ones. With a generator a row, on a CPU, the dropped columns then consume no random numbers: the draw does not depend
    on n. Raises TypeError or ValueError where there are not as many generators as rows, or a row of probs is no
    distribution.
    """
    tensors.floats("probs", probs, 2)
    num_samples = arguments.whole("num_samples", num_samples, 1, arguments.LARGEST_SIZE)
    if len(probs) == 0:
        raise ValueError(f"probs must have at least one row, got the shape {tuple(probs.shape)}")
    if kept is not None:
        tensors.of_shape("kept", kept, probs.shape, torch.bool, probs.device)
    if generator is None or isinstance(generator, Generator):
        return _multinomial(probs, num_samples, generator)
    if not isinstance(generator, Sequence) or not all(isinstance(each, Generator) for each in generator):
        raise TypeError(
            f"generator must be None, a torch.Generator or a list of them, got {arguments.typed(generator)}"
        )
    if len(generator) != len(probs):
        raise ValueError(f"generator: expected one for each of the {len(probs)} rows of probs, got {len(generator)}")
    rows = probs.split(1)
    if kept is not None and probs.device.type == "cpu":
        sizes = kept.sum(-1).clamp(min=1).tolist()
        rows = [row[:, :size] for row, size in zip(rows, sizes, strict=True)]
    drawn = [_multinomial(row, num_samples, g) for row, g in zip(rows, generator, strict=True)]
    return torch.cat(drawn) if len(drawn) > 1 else drawn[0]


def _multinomial(probs: Tensor, num_samples: int, generator: Generator | None) -> Tensor:
    try:
        return torch.multinomial(probs, num_samples, replacement=num_samples > 1, generator=generator)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        fine = (
            "probs must be finite, at least 0, and above 0 somewhere in every row, and num_samples have room in memory"
        )
        raise ValueError(f"{fine}: {reason}") from error


def _renormalise(probs: Tensor) -> Tensor:
    return probs / probs.sum(-1, keepdim=True)
