"""Weights in 8 bits, activations unchanged: a quarter of float32's bytes, half of bfloat16's.

The step for one token reads every weight once and computes little, so its time is the time to read them (notebook 14).
Each row of a matrix has its own scale: its largest number becomes 127, and all are rounded to the nearest whole number.
The field calls this weight-only, per-channel, absmax quantisation (LLM.int8(), arXiv:2208.07339, section 2.1).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minillama.model import Transformer
from minillama.parallel import is_shared

FEW_ROWS = 16  # up to this many rows the CPU's int8 product is used; beyond, the weight is widened once for all


class Int8Linear(nn.Module):
    """A linear layer whose weight (out_features, in_features) is kept as int8, with one scale per row."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight, scale = quantize(linear.weight.detach())
        self.register_buffer("weight", weight)  # (out_features, in_features) int8
        self.register_buffer("scale", scale)  # (out_features,) the dtype of the activations

    def forward(self, x: Tensor) -> Tensor:  # (..., in_features) -> (..., out_features)
        rows = x.flatten(0, -2)  # (n, in_features)
        if x.device.type == "cpu" and len(rows) <= FEW_ROWS:
            y = torch._weight_int8pack_mm(rows, self.weight, self.scale)  # reads int8, adds up in float32
        else:  # widen the weight first; when compiled for a GPU this happens in registers
            y = F.linear(rows, self.weight.to(x.dtype)) * self.scale
        return y.unflatten(0, x.shape[:-1])


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """weight (rows, columns) as int8 and the scale of each row (rows,), so that weight ≈ int8 * scale[:, None].

    >>> quantize(torch.tensor([[0.5, -1.0, 0.25], [0.0, 0.0, 0.0]]))
    (tensor([[  64, -127,   32],
            [   0,    0,    0]], dtype=torch.int8), tensor([0.0079, 0.0000]))
    """
    largest = weight.float().abs().amax(dim=1)  # (rows,)
    scale = largest / 127
    rounded = (weight.float() / scale.clamp(min=torch.finfo(torch.float32).tiny)[:, None]).round()
    return rounded.to(torch.int8), scale.to(weight.dtype)


def to_int8(model: Transformer) -> Transformer:
    """Replace every nn.Linear of the model, in place, one matrix at a time; embeddings and norms stay. Returns it.

    The model can then generate, but no longer be trained, saved or split over ranks. Raises ValueError if it is split.
    """
    if is_shared(model.output.weight):
        raise ValueError("several ranks share this model; int8 is for a model in one process")
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, Int8Linear(child))
    return model


def is_int8(model: Transformer) -> bool:
    return isinstance(model.output, Int8Linear)
