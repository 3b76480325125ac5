"""Rotary embeddings stretched to a context longer than the one they were trained for, as Llama 3.1 does.

Each pair of a head turns at its own speed. Turned more slowly, far positions get angles that the model knows from near
ones. "linear" slows all pairs alike (arXiv:2306.15595). "llama3" slows only the slow pairs, which tell far from near;
the fast ones, which tell neighbours apart, stay as they are, and those in between are slowed in part
(https://github.com/meta-llama/llama-models/blob/main/models/llama3/model.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from minillama import arguments
from minillama.files import one_line

TYPES = ("linear", "llama3")


@dataclass(frozen=True)
class RopeScaling:
    """How the rotations are slowed; the names are those of Hugging Face's config.json.

    rope_type: "linear" or "llama3"; factor: how much slower. The others are of "llama3" alone: a pair that turns more
    than high_freq_factor times within original_max_position_embeddings positions is fast, fewer than low_freq_factor
    times is slow. Raises ValueError for anything else.

    >>> RopeScaling("linear", factor=4.0).slowed(torch.tensor([1.0, 0.1]))
    tensor([0.2500, 0.0250])
    """

    rope_type: str
    factor: float = 1.0
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    original_max_position_embeddings: int | None = None

    def __post_init__(self):
        if not isinstance(self.rope_type, str) or self.rope_type not in TYPES:
            got = arguments.shown(self.rope_type)
            raise ValueError(f"rope_type is {got}; 'default', 'linear' and 'llama3' are computed")
        numbers = ("factor",) if self.rope_type == "linear" else ("factor", "low_freq_factor", "high_freq_factor")
        try:
            for name in numbers:
                object.__setattr__(self, name, arguments.number(name, getattr(self, name), 0))
            if self.rope_type == "llama3":
                name = "original_max_position_embeddings"
                object.__setattr__(self, name, arguments.whole(name, getattr(self, name), 1))
        except TypeError as error:  # from files more often than from callers
            raise ValueError(f"rope_type {self.rope_type!r}: {error}") from None
        if self.factor == 0:
            raise ValueError("factor must be above 0, got 0")
        if self.rope_type == "llama3" and not self.low_freq_factor < self.high_freq_factor:
            low, high = self.low_freq_factor, self.high_freq_factor
            raise ValueError(f"high_freq_factor must be above low_freq_factor, got {high} and {low}")

    def slowed(self, freqs: Tensor) -> Tensor:  # (head_dim / 2,) -> the same
        """The angles by which each pair turns from one position to the next, in radians; freqs: those before."""
        if self.rope_type == "linear":
            return freqs / self.factor
        turns = self.original_max_position_embeddings / (2 * math.pi / freqs)  # within the original context
        smooth = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        between = (1 - smooth) * freqs / self.factor + smooth * freqs
        slow, fast = turns < self.low_freq_factor, turns > self.high_freq_factor
        return torch.where(slow, freqs / self.factor, torch.where(fast, freqs, between))

    def fields(self) -> dict:
        """What config.json says of it."""
        return {name: value for name, value in vars(self).items() if value is not None}


LLAMA_3_1 = RopeScaling("llama3", 8.0, 1.0, 4.0, 8192)  # what "use_scaled_rope" means in Meta's params.json


def scaling_of(value: RopeScaling | dict | None) -> RopeScaling | None:
    """ModelArgs.rope_scaling, which is a dict in params.json. Raises ValueError for anything else."""
    if isinstance(value, dict):
        try:
            return RopeScaling(**value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"ModelArgs.rope_scaling: {one_line(error)}") from None
    if not isinstance(value, RopeScaling | None):
        got = arguments.shown(value)
        raise ValueError(f"ModelArgs.rope_scaling must be a RopeScaling, a dict of its fields or None, got {got}")
    return value
