"""From logits to one token: penalties (penalties.py), temperature, then top_k, then min_p, then top_p.

Pure functions on tensors; the last axis is the vocabulary. `Sampling` holds the settings of a run, `sample_top_p`
follows Meta's `llama/generation.py`. Nucleus sampling: Holtzman et al., arXiv:1904.09751. min_p: Nguyen et al.,
arXiv:2407.01082.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from minillama import arguments, penalties, tensors

ROUNDING = 1e-4  # more than float32 loses in a sum of probabilities
DISTRIBUTION = "probs must be finite, at least 0, and above 0 somewhere in every row"


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; its settings are judged once, when it is made.

    temperature: at least 0; 0 is greedy. top_p: 0 to 1. top_k: at least 1. min_p: 0 to 1. repetition_penalty: 0.01 to
    100. presence_penalty, frequency_penalty: -2 to 2. logit_bias: {token id: number}. no_repeat_ngram_size: at least 1.
    None leaves a setting out. Raises TypeError or ValueError that names the setting. numpy's numbers become Python's.
    """

    temperature: float = 0.6
    top_p: float = 0.9
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[int, float] | None = field(default=None, hash=False)
    no_repeat_ngram_size: int | None = None

    def __post_init__(self):
        for name, judge, *limits in (
            ("temperature", arguments.number, 0),
            ("top_p", arguments.number, 0, 1),
            ("top_k", arguments.whole, 1),
            ("min_p", arguments.number, 0, 1),
            ("repetition_penalty", arguments.number, *penalties.REPETITION),
            ("presence_penalty", arguments.number, *penalties.PRESENCE),
            ("frequency_penalty", arguments.number, *penalties.FREQUENCY),
            ("logit_bias", arguments.bias),
            ("no_repeat_ngram_size", arguments.whole, 1),
        ):
            value = getattr(self, name)
            if value is not None or name in ("temperature", "top_p"):
                object.__setattr__(self, name, judge(name, value, *limits))

    @property
    def steers(self) -> bool:
        """Whether anything changes the logits before the temperature: `steer` is needed then."""
        amounts = self.repetition_penalty, self.presence_penalty, self.frequency_penalty, self.no_repeat_ngram_size
        return bool(self.logit_bias) or any(amount is not None for amount in amounts)

    @cached_property
    def _bias(self) -> tuple[Tensor, Tensor]:
        return penalties.columns_of(self.logit_bias)

    def steer(self, logits: Tensor, tokens: Tensor, from_prompt: Tensor) -> Tensor:
        """Raw logits (bsz, vocab_size) after the penalties, the bias and the bans, in this order.

        tokens (bsz, n): what each row has so far, its prompt included; an id below 0 does not count. from_prompt
        (bsz, n) bool: which of these are the prompt's; presence and frequency penalty leave them out. Raises ValueError
        where a row has no token left.

        >>> how = Sampling(repetition_penalty=2.0, presence_penalty=1.0)
        >>> how.steer(torch.tensor([[1.0, 2.0]]), torch.tensor([[1]]), torch.tensor([[True]]))
        tensor([[1., 1.]])
        """
        tensors.floats("logits", logits, 2)
        tensors.token_ids("tokens", tokens, logits.device)
        tensors.of_shape("from_prompt", from_prompt, tokens.shape, torch.bool, tokens.device)
        if self.repetition_penalty is not None:
            logits = penalties.penalise_repetition(logits, tokens, self.repetition_penalty)
        if self.presence_penalty is not None:
            logits = penalties.penalise_presence(logits, tokens.masked_fill(from_prompt, -1), self.presence_penalty)
        if self.frequency_penalty is not None:
            logits = penalties.penalise_frequency(logits, tokens.masked_fill(from_prompt, -1), self.frequency_penalty)
        if self.logit_bias:
            logits = penalties.add_at(logits, *self._bias)
        if self.no_repeat_ngram_size is not None:
            logits = penalties.ban_repeated_ngrams(logits, tokens, self.no_repeat_ngram_size)
        n_bans = len(self.logit_bias or ()) + (0 if self.no_repeat_ngram_size is None else tokens.shape[-1])
        if n_bans >= logits.shape[-1] and bool((logits.amax(-1) == -math.inf).any()):  # else there is no need to look
            raise ValueError("logit_bias and no_repeat_ngram_size ban every token of the vocabulary; ban fewer")
        return logits

    def probs(self, logits: Tensor) -> Tensor | None:
        """Logits (bsz, vocab_size) to what top_p then cuts: temperature, top_k, min_p. None if greedy.

        >>> Sampling(temperature=1.0, min_p=0.5).probs(torch.tensor([[1.0, 2.0, 2.5]]))
        tensor([[0.0000, 0.3775, 0.6225]])
        """
        if self.temperature == 0:
            return None
        tensors.floats("logits", logits)
        probs = _tempered(logits, self.temperature)  # (bsz, vocab_size)
        probs = _most_probable(probs, self.top_k) if self.top_k is not None else probs
        return _near_the_best(probs, self.min_p) if self.min_p is not None else probs


def apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    """softmax(logits / temperature): (..., vocab_size) logits to probabilities of the same shape.

    The largest logit is subtracted first, so that no temperature overflows. At temperature 0 all the mass lies on
    the argmax, which is the limit. Raises ValueError where temperature is below 0 or not finite, and on a CPU,
    where looking does not wait for a GPU, if a row's largest logit is not finite.

    >>> apply_temperature(torch.tensor([1.0, 2.0, 3.0]), temperature=0.5)
    tensor([0.0159, 0.1173, 0.8668])
    """
    tensors.floats("logits", logits)
    return _tempered(logits, arguments.number("temperature", temperature, 0))


# Below, a name with _ in front takes arguments that are judged: `Sampling` and the loop do that once a run.


def _tempered(logits: Tensor, temperature: float) -> Tensor:
    largest = logits.amax(-1, keepdim=True)  # (..., 1)
    if largest.device.type == "cpu" and not math.isfinite(sum(largest.flatten().tolist())):
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
    return _most_probable(probs, arguments.whole("k", k, 1))


def _most_probable(probs: Tensor, k: int) -> Tensor:
    smallest = probs.topk(min(k, probs.shape[-1]), dim=-1).values[..., -1:]  # (..., 1)
    return _renormalise(probs.where(probs >= smallest, 0.0))


def filter_min_p(probs: Tensor, min_p: float) -> Tensor:
    """Keep the tokens at least min_p times as probable as the best one, renormalised: (..., vocab_size), same shape.

    >>> filter_min_p(torch.tensor([0.5, 0.3, 0.2]), min_p=0.5)
    tensor([0.6250, 0.3750, 0.0000])
    """
    tensors.floats("probs", probs)
    return _near_the_best(probs, arguments.number("min_p", min_p, 0, 1))


def _near_the_best(probs: Tensor, min_p: float) -> Tensor:
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
    probs_sort, probs_idx, mass_before, kept = _ladder(probs, arguments.number("p", p, 0, 1))
    return Nucleus(probs_sort, probs_idx, mass_before, kept, _renormalise(probs_sort.where(kept, 0.0)))


def _ladder(probs: Tensor, p: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    probs_sort, probs_idx = torch.sort(probs, dim=-1, descending=True, stable=True)
    mass_before = torch.cumsum(probs_sort, dim=-1) - probs_sort
    kept = mass_before <= p if p < 1 else torch.ones_like(probs_sort, dtype=torch.bool)
    return probs_sort, probs_idx, mass_before, kept


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
    if _one_each(generator, probs):
        least, largest = probs.aminmax(dim=-1)  # (bsz,) each, NaN where a row has one
        if not bool(((least >= 0) & (largest > 0) & largest.isfinite()).all()):
            raise ValueError(DISTRIBUTION)
        return draw_rows(probs, p, generator)
    top = nucleus(probs, p)  # sort, mass before, keep, renormalise: each (bsz, vocab_size)
    place = draw(top.renormalised, generator)  # (bsz, 1), places in the sorted order
    return top.probs_idx.gather(-1, place)  # (bsz, 1), token ids


def draw_rows(probs: Tensor, p: float, generators: Sequence[Generator]) -> Tensor:
    """`sample_top_p` with a generator for each row; nothing is judged: what the loop calls at each step.

    A draw is a race, as in torch.multinomial: each column of the nucleus takes an exponential random number, and the
    largest probability / number wins. On a CPU the columns outside take none: the draw does not depend on vocab_size.
    """
    few, ids = _few_with_nucleus(probs, p)  # (bsz, n), (n,) or None
    probs_sort, probs_idx, _, kept = _ladder(few, p)  # (bsz, n) each
    if probs.device.type == "cpu":
        sizes = kept.sum(-1).tolist()
    else:  # to look would wait for a GPU
        sizes, probs_sort = [kept.shape[-1]] * len(kept), probs_sort.where(kept, 0.0)
    numbers = torch.full_like(probs_sort, math.inf)  # (bsz, n), against infinity nothing wins
    for k, generator in enumerate(generators):
        numbers[k, : sizes[k]].exponential_(generator=generator)
    place = torch.argmax(probs_sort / numbers, dim=-1, keepdim=True)  # (bsz, 1), in the sorted order
    column = probs_idx.gather(-1, place)  # (bsz, 1)
    return column if ids is None else ids[column]  # (bsz, 1), token ids


def _few_with_nucleus(probs: Tensor, p: float) -> tuple[Tensor, Tensor | None]:
    """The columns that can be in a nucleus, (bsz, n), and their ids (n,), ascending; None where these are all.

    On a CPU, where sorting is slow: vocab_size tokens, none above (mass - p) / vocab_size, have at most the mass - p
    together. So the others have p at least, and no nucleus needs a token more. Sums in 16 bits are too coarse for this.
    """
    if probs.device.type == "cpu" and probs.dtype in (torch.float32, torch.float64):
        vocab_size = probs.shape[-1]
        needless = (min(probs.sum(-1).tolist()) - p - ROUNDING) / vocab_size  # the probability that none needs
        if needless > 0:
            ids = (probs > needless).any(0).nonzero().view(-1)  # (n,)
            if len(ids) < vocab_size:
                return probs.index_select(1, ids), ids
    return probs, None


def draw(probs: Tensor, generator: Generator | Sequence[Generator] | None = None, num_samples: int = 1) -> Tensor:
    """Columns drawn from each row of probs (bsz, n), with replacement: (bsz, num_samples) int64.

    generator: None for torch's global one, one for all rows, or one for each row. Raises TypeError or ValueError where
    there are not as many generators as rows, or a row of probs is no distribution.
    """
    tensors.floats("probs", probs, 2)
    num_samples = arguments.whole("num_samples", num_samples, 1, arguments.LARGEST_SIZE)
    if _one_each(generator, probs):
        rows = zip(probs.split(1), generator, strict=True)
        return torch.cat([_multinomial(row, num_samples, each) for row, each in rows])
    return _multinomial(probs, num_samples, generator)


def _one_each(generator: Generator | Sequence[Generator] | None, probs: Tensor) -> bool:
    """Whether each row of probs has a generator of its own."""
    if len(probs) == 0:
        raise ValueError(f"probs must have at least one row, got the shape {tuple(probs.shape)}")
    if generator is None or isinstance(generator, Generator):
        return False
    if not isinstance(generator, Sequence) or not all(isinstance(each, Generator) for each in generator):
        raise TypeError(
            f"generator must be None, a torch.Generator or a list of them, got {arguments.typed(generator)}"
        )
    if len(generator) != len(probs):
        raise ValueError(f"generator: expected one for each of the {len(probs)} rows of probs, got {len(generator)}")
    return True


def _multinomial(probs: Tensor, num_samples: int, generator: Generator | None) -> Tensor:
    try:
        return torch.multinomial(probs, num_samples, replacement=num_samples > 1, generator=generator)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{DISTRIBUTION}, and num_samples have room in memory: {reason}") from error


def _renormalise(probs: Tensor) -> Tensor:
    return probs / probs.sum(-1, keepdim=True)
