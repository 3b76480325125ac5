"""Weights in 8 bits, all else in floating point: a quarter of float32's bytes, half of bfloat16's.

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

FEW_ROWS = 16  # up to here the CPU's int8 product is used; for more rows it pays to widen the weight, once for all
COLUMNS = 16  # the CPU's product reads so many numbers at a time, and does not stop at the end of a row
AT_ONCE = 256  # rows that are rounded together


class Int8Linear(nn.Module):
    """A linear layer whose weight (out_features, in_features) is kept as int8, with one scale per row.

    PyTorch's CPU product for int8 is fast for rows in bfloat16 alone. So on a CPU x and y are rounded to bfloat16,
    however many rows there are: to 8 bits of precision, a fraction of what the rounding of the weights changes.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight, scale = quantize(linear.weight.detach(), torch.bfloat16)
        self.register_buffer("weight", weight)  # (out_features, in_features) int8
        self.register_buffer("scale", scale)  # (out_features,) bfloat16

    def forward(self, x: Tensor) -> Tensor:  # (..., in_features) -> (..., out_features) in the dtype of x
        rows = x.flatten(0, -2)  # (n, in_features)
        if x.device.type != "cpu":  # widen the weight first; when compiled for a GPU this happens in registers
            y = F.linear(rows, self.weight.to(x.dtype)) * self.scale
        elif len(rows) <= FEW_ROWS and self.in_features % COLUMNS == 0:  # reads int8, adds up in float32
            rows = rows.to(torch.bfloat16, copy=True, memory_format=torch.contiguous_format)  # aligned, as it must be
            y = torch._weight_int8pack_mm(rows, self.weight, self.scale)
        else:
            y = (F.linear(rows.bfloat16().float(), self.weight.float()) * self.scale).bfloat16()
        return y.to(x.dtype).unflatten(0, x.shape[:-1])


def quantize(weight: Tensor, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """int8 (rows, columns) and the scale of each row, (rows,) in `dtype`, so that weight ≈ int8 * scale[:, None].

    The weights are divided by the scales as they are kept: a scale in bfloat16 adds no error of its own.

    >>> quantize(torch.tensor([[0.5, -1.0, 0.25], [0.0, 0.0, 0.0]]))
    (tensor([[  64, -127,   32],
            [   0,    0,    0]], dtype=torch.int8), tensor([0.0079, 0.0000]))
    """
    low, high = weight.aminmax(dim=1)  # (rows,) each, without a copy of the weight
    scale = (torch.maximum(low.abs(), high.abs()).float() / 127).to(dtype)
    divisor = scale.float().clamp(min=torch.finfo(torch.float32).tiny)  # for rows of zeros
    int8 = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    for start in range(0, len(weight), AT_ONCE):  # so that a large matrix is not in float32 as well
        rows = slice(start, start + AT_ONCE)
        int8[rows] = (weight[rows].float() / divisor[rows, None]).round_()
    return int8, scale


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
