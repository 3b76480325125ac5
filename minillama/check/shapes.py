"""check_shape: say aloud which shape a tensor should have."""

from collections.abc import Sequence

from torch import Tensor

from minillama import allowed, arguments
from minillama.words import say


def check_shape(x: Tensor, shape: Sequence[int]) -> None:
    """Print the shape of x if it is `shape`; else raise ValueError that says what was expected, and on which axis.

    Raises TypeError where x is no tensor, or shape no list of sizes.

    >>> import torch
    >>> check_shape(torch.zeros(2, 3), (2, 3))
    ✓ shape (2, 3)
    """
    allowed.listed(allowed.place, 0)("shape", shape)
    if getattr(x, "is_nested", False):
        raise ValueError("x must be a tensor whose rows are equally long, got a nested one")
    if not isinstance(getattr(x, "shape", None), Sequence):
        raise TypeError(f"x must be a tensor, got {arguments.typed(x)}")
    expected, got = tuple(shape), tuple(x.shape)
    if len(expected) != len(got):
        raise ValueError(f"expected {len(expected)} axes, shape {expected}; x has {len(got)} axes, shape {got}")
    for axis, (want, have) in enumerate(zip(expected, got, strict=True)):
        if want != have:
            raise ValueError(f"expected shape {expected}, but x has shape {got}: axis {axis} is {have}, not {want}")
    print(say("✓ shape {shape}", shape=got))
