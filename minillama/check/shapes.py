"""check_shape: say aloud which shape a tensor should have."""

from collections.abc import Sequence

from torch import Tensor


def check_shape(x: Tensor, shape: Sequence[int]) -> None:
    """Print the shape of x if it is `shape`; else raise ValueError that says what was expected, and on which axis.

    >>> import torch
    >>> check_shape(torch.zeros(2, 3), (2, 3))
    ✓ shape (2, 3)
    """
    expected, got = tuple(shape), tuple(x.shape)
    if len(expected) != len(got):
        raise ValueError(f"expected {len(expected)} axes, shape {expected}; x has {len(got)} axes, shape {got}")
    for axis, (want, have) in enumerate(zip(expected, got, strict=True)):
        if want != have:
            raise ValueError(f"expected shape {expected}, but x has shape {got}: axis {axis} is {have}, not {want}")
    print(f"✓ shape {got}")
