"""What changes logits before the temperature: penalties for tokens that are there already, a bias, and bans.

Pure functions: logits (bsz, vocab_size) to logits of the same shape. tokens (bsz, n) int64 are the ids that each row
has so far; an id below 0, as pads are, does not count. The repetition penalty is that of Keskar et al., "CTRL"
(arXiv:1909.05858), as transformers applies it; presence and frequency penalty and the bias follow the formula of
completion APIs (https://platform.openai.com/docs/advanced-usage).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from minillama import arguments, tensors

REPETITION = 0.01, 100.0  # what a repetition penalty may be
PRESENCE = FREQUENCY = -2.0, 2.0  # as completion APIs allow them


def penalise_repetition(logits: Tensor, tokens: Tensor, penalty: float) -> Tensor:
    """Divide the logit of every token in `tokens` by the penalty if it is above 0, else multiply it: both lower it.

    penalty: 0.01 to 100; 1 changes nothing, below 1 asks for repetition. How often a token is there does not matter.

    >>> penalise_repetition(torch.tensor([[3.0, 2.0, -1.0]]), torch.tensor([[0, 2, 0]]), 2.0)
    tensor([[ 1.5000,  2.0000, -2.0000]])
    """
    penalty = arguments.number("penalty", penalty, *REPETITION)
    padded, column = _places(logits, tokens)
    there = padded.gather(-1, column)  # (bsz, n)
    return padded.scatter(-1, column, torch.where(there > 0, there / penalty, there * penalty))[:, :-1]


def penalise_presence(logits: Tensor, tokens: Tensor, penalty: float) -> Tensor:
    """Subtract the penalty, -2 to 2, from the logit of every token in `tokens`, however often it is there.

    >>> penalise_presence(torch.tensor([[3.0, 2.0, -1.0]]), torch.tensor([[0, 2, 0]]), 0.5)
    tensor([[ 2.5000,  2.0000, -1.5000]])
    """
    penalty = arguments.number("penalty", penalty, *PRESENCE)
    padded, column = _places(logits, tokens)
    return padded.scatter(-1, column, padded.gather(-1, column) - penalty)[:, :-1]


def penalise_frequency(logits: Tensor, tokens: Tensor, penalty: float) -> Tensor:
    """Subtract the penalty, -2 to 2, from the logit of every token in `tokens`, once for each time it is there.

    >>> penalise_frequency(torch.tensor([[3.0, 2.0, -1.0]]), torch.tensor([[0, 2, 0]]), 0.5)
    tensor([[ 2.0000,  2.0000, -1.5000]])
    """
    penalty = arguments.number("penalty", penalty, *FREQUENCY)
    padded, column = _places(logits, tokens)
    return padded.scatter_add(-1, column, padded.new_full(column.shape, -penalty))[:, :-1]


def add_bias(logits: Tensor, bias: Mapping[int, float]) -> Tensor:
    """Add bias {token id: number} to the logits of these tokens; minus infinity bans a token.

    >>> add_bias(torch.tensor([[3.0, 2.0, -1.0]]), {1: 5.0, 2: -math.inf})
    tensor([[3., 7., -inf]])
    """
    tensors.floats("logits", logits, 2)
    return add_at(logits, *columns_of(arguments.bias("bias", bias, logits.shape[-1])))


def columns_of(bias: Mapping[int, float]) -> tuple[Tensor, Tensor]:
    """A bias that is judged as two tensors: ids (n,) int64, and what is added (n,)."""
    return torch.tensor([*bias], dtype=torch.long), torch.tensor([*bias.values()], dtype=torch.float64)


def add_at(logits: Tensor, ids: Tensor, added: Tensor) -> Tensor:
    """logits (bsz, vocab_size) with `added` (n,) in the columns ids (n,); nothing is judged."""
    return logits.index_add(-1, ids.to(logits.device), added.to(logits).expand(len(logits), -1))


def ban_repeated_ngrams(logits: Tensor, tokens: Tensor, n: int) -> Tensor:
    """Minus infinity for every token that would end a sequence of n tokens which the row already has.

    n = 1 bans every token that is there. Where a row has fewer than n tokens nothing changes.

    >>> ban_repeated_ngrams(torch.zeros(1, 4), torch.tensor([[1, 2, 3, 1, 2]]), 3)  # 1 2 3 is there: not again
    tensor([[0., 0., 0., -inf]])
    """
    n = arguments.whole("n", n, 1)
    padded, column = _places(logits, tokens)
    if tokens.shape[-1] < n:
        return logits
    ngrams = column.unfold(-1, n, 1)  # (bsz, places, n)
    begun = column[:, None, column.shape[-1] - n + 1 :]  # (bsz, 1, n - 1): how the next one would begin
    same = (ngrams[..., :-1] == begun).all(-1)  # (bsz, places)
    ends = ngrams[..., -1].where(same, logits.shape[-1])  # (bsz, places)
    return padded.scatter(-1, ends, -math.inf)[:, :-1]


def _places(logits: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The logits with a column more, and the column of each token: that one for a token that does not count.

    Returns (bsz, vocab_size + 1) and (bsz, n) int64.
    """
    tensors.floats("logits", logits, 2)
    tensors.token_ids("tokens", tokens, logits.device)
    if len(tokens) != len(logits):
        raise ValueError(f"tokens has {len(tokens)} rows, but logits has {len(logits)}; give one for each")
    vocab_size = logits.shape[-1]
    if tokens.device.type == "cpu" and (largest := int(tokens.max())) >= vocab_size:
        raise ValueError(f"tokens has the id {largest}, outside the vocabulary, 0 to {vocab_size - 1}")
    return F.pad(logits, (0, 1)), torch.where(tokens >= 0, tokens, vocab_size).long()
