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
    lowered = torch.where(logits > 0, logits / penalty, logits * penalty)  # (bsz, vocab_size)
    return torch.where(_counts(logits, tokens) > 0, lowered, logits)


def penalise_presence(logits: Tensor, tokens: Tensor, penalty: float) -> Tensor:
    """Subtract the penalty, -2 to 2, from the logit of every token in `tokens`, however often it is there.

    >>> penalise_presence(torch.tensor([[3.0, 2.0, -1.0]]), torch.tensor([[0, 2, 0]]), 0.5)
    tensor([[ 2.5000,  2.0000, -1.5000]])
    """
    penalty = arguments.number("penalty", penalty, *PRESENCE)
    return logits - penalty * (_counts(logits, tokens) > 0)


def penalise_frequency(logits: Tensor, tokens: Tensor, penalty: float) -> Tensor:
    """Subtract the penalty, -2 to 2, from the logit of every token in `tokens`, once for each time it is there.

    >>> penalise_frequency(torch.tensor([[3.0, 2.0, -1.0]]), torch.tensor([[0, 2, 0]]), 0.5)
    tensor([[ 2.0000,  2.0000, -1.5000]])
    """
    penalty = arguments.number("penalty", penalty, *FREQUENCY)
    return logits - penalty * _counts(logits, tokens)


def add_bias(logits: Tensor, bias: Mapping[int, float]) -> Tensor:
    """Add bias {token id: number} to the logits of these tokens; minus infinity bans a token.

    >>> add_bias(torch.tensor([[3.0, 2.0, -1.0]]), {1: 5.0, 2: -math.inf})
    tensor([[3., 7., -inf]])
    """
    tensors.floats("logits", logits, 2)
    bias = arguments.bias("bias", bias, logits.shape[-1])
    ids = torch.tensor([*bias], dtype=torch.long, device=logits.device)  # (n,)
    added = torch.tensor([*bias.values()], dtype=logits.dtype, device=logits.device)  # (n,)
    return logits.index_add(-1, ids, added.expand(len(logits), -1))


def ban_repeated_ngrams(logits: Tensor, tokens: Tensor, n: int) -> Tensor:
    """Minus infinity for every token that would end a sequence of n tokens which the row already has.

    n = 1 bans every token that is there. Where a row has fewer than n tokens nothing changes.

    >>> ban_repeated_ngrams(torch.zeros(1, 4), torch.tensor([[1, 2, 3, 1, 2]]), 3)  # 1 2 3 is there: not again
    tensor([[0., 0., 0., -inf]])
    """
    n = arguments.whole("n", n, 1)
    _judge(logits, tokens)
    if tokens.shape[-1] < n:
        return logits
    ngrams = tokens.unfold(-1, n, 1)  # (bsz, places, n)
    begun = tokens[:, None, tokens.shape[-1] - n + 1 :]  # (bsz, 1, n - 1): how the next one would begin
    same = (ngrams[..., :-1] == begun).all(-1)  # (bsz, places)
    ends = ngrams[..., -1].where(same, -1)  # (bsz, places)
    return logits.masked_fill(_counts(logits, ends) > 0, -math.inf)


def _counts(logits: Tensor, tokens: Tensor) -> Tensor:
    """How often each token is there: (bsz, n) ids to (bsz, vocab_size)."""
    vocab_size = _judge(logits, tokens)
    column = torch.where(
        tokens >= 0, tokens, vocab_size
    ).long()  # (bsz, n): what does not count has a column of its own
    counts = torch.zeros(len(tokens), vocab_size + 1, dtype=torch.long, device=tokens.device)
    return counts.scatter_add_(1, column, torch.ones_like(column))[:, :vocab_size]


def _judge(logits: Tensor, tokens: Tensor) -> int:
    """The size of the vocabulary, where the two fit each other."""
    tensors.floats("logits", logits, 2)
    tensors.token_ids("tokens", tokens, logits.device)
    if len(tokens) != len(logits):
        raise ValueError(f"tokens has {len(tokens)} rows, but logits has {len(logits)}; give one for each")
    vocab_size = logits.shape[-1]
    if tokens.device.type == "cpu" and (largest := int(tokens.max())) >= vocab_size:
        raise ValueError(f"tokens has the id {largest}, outside the vocabulary, 0 to {vocab_size - 1}")
    return vocab_size
