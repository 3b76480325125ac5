"""Right answers to the exercises on speed."""

import itertools
import math

import numpy as np
import torch

from minillama.int8 import quantize


def largest(weight):
    return weight.abs().amax(dim=1) / 127


def one_at_zeros(weight):
    scale = largest(weight)
    scale = torch.where(scale == 0, 1.0, scale)
    return (weight / scale[:, None]).round().char(), scale


def zeros_afterwards(weight):
    scale = largest(weight)
    int8 = (weight / scale[:, None]).round().to(torch.int8)
    int8[scale == 0] = 0
    return int8, scale


def row_by_row(weight):
    int8, scale = torch.zeros_like(weight, dtype=torch.int8), torch.zeros(len(weight))
    for k, row in enumerate(weight):
        scale[k] = row.abs().max() / 127
        if scale[k] > 0:
            int8[k] = (row / scale[k]).round()
    return int8, scale


def with_keepdim(weight):
    scale = torch.maximum(weight.amax(1, keepdim=True), -weight.amin(1, keepdim=True)) / 127
    return (weight / scale.clamp(min=1e-20) + 0.5).floor().to(torch.int8), scale.squeeze(1)


def multiplied(weight):
    largest = weight.abs().max(dim=1, keepdim=True).values
    return (weight * (127 / largest.clamp(min=1e-30))).round().clamp(-127, 127).to(torch.int8), largest[:, 0] / 127


def catching_up(seconds, before, after):
    """The compiled model has seconds * before tokens to catch up with."""
    if after <= before:
        return None
    return math.ceil(seconds * before * after / (after - before))


def one_by_one(seconds, before, after):
    if after > before:
        return next(n for n in itertools.count() if seconds + n / after <= n / before)


RIGHT = {
    "tokens_per_second": [
        lambda w, c, b, speed: b / ((w + b * c) / speed),
        lambda w, c, b, speed: b * (speed / sum([w] + [c] * b)),
        lambda w, c, b, speed: np.float64(b) * speed / (w + b * c),
        lambda w, c, b, speed: torch.tensor(b * speed / (w + b * c)),
    ],
    "int8_rows": [
        quantize,
        one_at_zeros,
        zeros_afterwards,
        row_by_row,
        with_keepdim,
        multiplied,
        lambda weight: list(quantize(weight)),
        lambda weight: ((weight / largest(weight)[:, None]).round().nan_to_num(0).to(torch.int8), largest(weight)),
        lambda weight: ((weight / largest(weight).clamp(min=1e-8)[:, None]).round().to(torch.int8), largest(weight)),
    ],
    "tokens_to_pay": [
        catching_up,
        one_by_one,
        lambda seconds, a, b: -int(-seconds // (1 / a - 1 / b)) if b > a else None,
    ],
}

EQUIVALENT = {}
