"""check_shape: say aloud which shape a tensor should have."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def check_shape(x: Tensor, shape: Sequence[int]) -> None:
    """Print the shape of x if it is `shape`; else raise ValueError saying what was due, what came, and which axis.

    >>> import torch
    >>> check_shape(torch.zeros(2, 3), (2, 3))
    ✓ shape (2, 3)
    """
    due, got = tuple(shape), tuple(x.shape)
    if len(due) != len(got):
        raise ValueError(f"x has {len(got)} axes, shape {got}; {len(due)} are due, shape {due}")
    for axis, (want, have) in enumerate(zip(due, got, strict=True)):
        if want != have:
            raise ValueError(f"x has shape {got}, due {due}: axis {axis} is {have} instead of {want}")
    print(f"✓ shape {got}")
