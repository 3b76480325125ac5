"""Log-probabilities: how sure the model was of each token, in nats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from minillama import arguments, tensors


def token_logprobs(logits: Tensor, tokens: Tensor, ignore_index: int = -1) -> Tensor:
    """log p of each token under the logits that predict it.

    logits (bsz, seqlen, vocab_size) raw, before any temperature; tokens (bsz, seqlen) int64, where tokens[:, i] is
    the token *after* the position that gave logits[:, i]. Returns (bsz, seqlen) float32, 0 where tokens is
    ignore_index. cross_entropy is the negative log-probability; hence the minus. Raises TypeError or ValueError where
    the two do not fit each other, or a token is outside the vocabulary.

    >>> token_logprobs(torch.zeros(1, 1, 4), torch.tensor([[2]]))  # four equal logits: log(1/4)
    tensor([[-1.3863]])
    """
    tensors.floats("logits", logits, 3)
    tensors.of_shape("tokens", tokens, logits.shape[:2], torch.long, logits.device)
    ignore_index = arguments.whole("ignore_index", ignore_index, -arguments.LARGEST_SIZE, arguments.LARGEST_SIZE)
    try:
        return -F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none", ignore_index=ignore_index)
    except IndexError:
        raise ValueError(f"tokens has an id outside the vocabulary, 0 to {logits.shape[-1] - 1}") from None


class TopLogprobs(NamedTuple):
    """The most probable tokens at each position, the most probable first."""

    token_ids: Tensor  # (..., n) int64
    logprobs: Tensor  # (..., n)


def top_logprobs(logits: Tensor, n: int) -> TopLogprobs:
    """The n most probable tokens at each position, and log p of each: raw logits (..., vocab_size) to (..., n) twice.

    Raises ValueError where n is not 1 to vocab_size.

    >>> top_logprobs(torch.tensor([0.1, 0.6, 0.3]).log(), 2).token_ids
    tensor([1, 2])
    """
    tensors.floats("logits", logits)
    n = arguments.whole("n", n, 1, logits.shape[-1])
    logprobs, token_ids = torch.log_softmax(logits, dim=-1).topk(n, dim=-1)
    return TopLogprobs(token_ids, logprobs)


def entropy(probs: Tensor) -> Tensor:
    """How uncertain each distribution is: minus the mean log p, in nats; (..., vocab_size) to (...).

    A token of probability 0 adds nothing. Its exp is the number of equally likely tokens that are as uncertain.

    >>> entropy(torch.tensor([0.5, 0.5])).exp()  # a coin
    tensor(2.)
    """
    tensors.floats("probs", probs)
    return torch.special.entr(probs).sum(-1)


def sequence_logprob(logprobs: Sequence[float | None]) -> float:
    """log p of a whole text: the sum. None (the first token of an echo: nothing predicts it) does not count.

    >>> sequence_logprob([None, -1.0, -0.5])
    -1.5
    """
    return math.fsum(_known(logprobs))


def perplexity(logprobs: Sequence[float | None]) -> float:
    """exp of minus the mean: among how many equally likely tokens the model seemed to choose.

    Raises ValueError if there is no log-probability at all.

    >>> round(perplexity([None, math.log(1 / 6), math.log(1 / 6)]), 4)  # a die
    6.0
    """
    known = _known(logprobs)
    if not known:
        raise ValueError("logprobs has no number in it; a perplexity needs at least one predicted token")
    try:
        return math.exp(-math.fsum(known) / len(known))
    except OverflowError:  # more than any float holds
        return math.inf


def least_certain(logprobs: Sequence[float | None], n: int = 3) -> list[int]:
    """The indices of the n lowest log-probabilities, the lowest first.

    >>> least_certain([None, -0.1, -2.0, -0.7], n=2)
    [2, 3]
    """
    n, known = arguments.whole("n", n, 0), iter(_known(logprobs))
    numbers = {i: next(known) for i, logprob in enumerate(logprobs) if logprob is not None}
    return sorted(numbers, key=numbers.get)[:n]


def _known(logprobs: Sequence[float | None]) -> list[float]:
    """The numbers; TypeError or ValueError for what is neither a number (minus infinity is one) nor None."""
    if isinstance(logprobs, (str, *arguments.RAW)) or not isinstance(logprobs, Sequence):
        raise TypeError(f"logprobs must be a list of numbers and None, got {arguments.typed(logprobs)}")
    named = ((f"logprobs[{i}]", arguments.plain(each)) for i, each in enumerate(logprobs) if each is not None)
    return [
        value if isinstance(value, float) and value == -math.inf else arguments.number(name, value, -math.inf)
        for name, value in named
    ]
