"""Says what is wrong with a tensor that a caller passed, as arguments.py does for all else.

Nothing here looks at the numbers in a tensor on a GPU, which would have to be waited for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from minillama import arguments

FLOATS = arguments.DTYPES


def dense(name: str, value) -> None:
    """A tensor whose numbers are there, each in its place: what everything here computes with."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor, got {arguments.typed(value)}")
    if torch.compiler.is_compiling():  # the tracer's tensors have no numbers, and not all it can ask
        return
    if value.layout is not torch.strided or value.is_meta or value.is_nested or value.is_quantized or is_lazy(value):
        raise ValueError(f"{name} must be a dense tensor on a real device, got {_other(value)}")


def _other(value: Tensor) -> str:
    """What a tensor is that is not dense, and what to do about it."""
    if is_lazy(value):
        return "a parameter that has no shape yet; run its module first"
    if value.is_meta:
        return "one on the device meta, which has no numbers; make it on another device"
    if value.is_nested:
        return "a nested one; pass its members one by one"
    if value.is_quantized:
        return f"one of {value.dtype}; pass its dequantize()"
    return f"one of the layout {value.layout}; pass its to_dense()"


def floats(name: str, value, dims: int | None = None) -> None:
    """A tensor of floating-point numbers with at least one column; dims: how many axes it has, None for any."""
    dense(name, value)
    if value.dtype not in FLOATS:
        raise TypeError(f"{name} must be a tensor of torch.float32, bfloat16, float16 or float64, got {value.dtype}")
    if (dims is not None and value.dim() != dims) or value.dim() == 0 or value.shape[-1] == 0:
        axes = "at least one axis" if dims is None else f"{dims} axes"
        raise ValueError(f"{name} must have {axes} and at least one column, got the shape {tuple(value.shape)}")


def of_shape(name: str, value, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> None:
    """A tensor that belongs to another one of this shape, on its device."""
    dense(name, value)
    if value.shape != tuple(shape) or value.dtype != dtype:
        got = f"{tuple(value.shape)} and {value.dtype}"
        raise ValueError(f"{name} must have the shape {tuple(shape)} and {dtype}, got {got}")
    _beside(name, value, device)


def token_ids(name: str, value, device: torch.device) -> tuple[int, int]:
    """A tensor (bsz, seqlen) of token ids on the model's device; its shape comes back."""
    dense(name, value)
    if value.dim() != 2 or value.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"{name} must be (bsz, seqlen) of torch.int64, got {tuple(value.shape)} of {value.dtype}")
    if value.shape[0] == 0 or value.shape[1] == 0:
        raise ValueError(f"{name} must have at least one row and one column, got the shape {tuple(value.shape)}")
    _beside(name, value, device)
    return value.shape


def position(name: str, value, bsz: int, device: torch.device) -> tuple[int | Tensor, int | None]:
    """A place in a sequence: an int, a tensor without axes that holds one, or a tensor (bsz,), one for each row.

    It comes back, numpy's as Python's, and with it its number, the largest of several; None where that lies on a GPU
    or is not there yet.
    """
    if not isinstance(value, Tensor):
        value = arguments.whole(name, value, 0, arguments.LARGEST_SIZE)
        return value, value
    dense(name, value)
    if value.dim() == 1:
        of_shape(name, value, (bsz,), torch.long, device)
        if value.device.type != "cpu":
            return value, None
        least, largest = value.aminmax()
        arguments.whole(f"the least of {name}", least, 0, arguments.LARGEST_SIZE)
        return value, int(largest)
    if value.dim() != 0 or value.dtype == torch.bool or value.is_floating_point() or value.is_complex():
        expected = "a whole number, or a tensor without axes that holds one, or (bsz,) of them"
        raise TypeError(f"{name} must be {expected}, got {arguments.typed(value)} of {value.dtype}")
    if torch.compiler.is_compiling() or value.device.type != "cpu":
        _beside(name, value, device)
        return value, None
    return value, arguments.whole(name, value, 0, arguments.LARGEST_SIZE)


def distinct(name: str, value, bsz: int, end: int, device: torch.device) -> None:
    """A tensor (bsz,) int64 of numbers from 0 to end - 1, no two of them equal."""
    of_shape(name, value, (bsz,), torch.long, device)
    if value.device.type == "cpu":
        numbers = value.tolist()
        if len({*numbers}) < bsz or not all(0 <= each < end for each in numbers):
            raise ValueError(
                f"{name} must be different whole numbers from 0 to {end - 1}, got {arguments.shown(numbers)}"
            )


def _beside(name: str, value: Tensor, device: torch.device) -> None:
    if value.device != device:
        raise ValueError(f"{name} must be on the device {device}, got one on {value.device}; move it: {name}.to(...)")
