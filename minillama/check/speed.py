"""Checks of the exercises on speed: tokens a second from bytes, rounding weights to int8, when compiling pays off."""

import math

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from minillama.check.exercise import exercise, swap, swaps


def right_tokens_per_second(weight_bytes, cache_bytes, bsz, bandwidth):
    """f(weight_bytes, cache_bytes, bsz, bandwidth): at most how many tokens a second, all rows together.

    weight_bytes are read once a step, cache_bytes by each of bsz rows; bandwidth is in bytes a second.
    """
    read = weight_bytes + bsz * cache_bytes
    return bsz * bandwidth / read


_SPEED, _EACH = "bsz * bandwidth / read", "bsz * cache_bytes"
tokens_per_second = exercise(right_tokens_per_second, cases={
    "six rows, each with its cache": (13_000_000_000, 70_000_000, 6, 3.1e11),
    "one row with a cache": (1000, 250, 1, 3e6),
    "a long text in many rows: more cache than weights": (9_000_000, 700_000, 32, 2.3e10),
    "four rows, nothing in the cache": (7_000_000, 0, 4, 5e9),
    "less than one token a second": (29_000_000_000, 1_700_000_000, 3, 9_100_000_000),
    "the toy matrix, one row, no cache": (48, 0, 1, 24),
}, mistakes={
    "That is in seconds. Take the inverse.": swaps(_SPEED, "read / bandwidth / bsz", "read / bandwidth"),
    "Divide the bandwidth by the bytes read.": swaps(" / read", " * read", "* read / bsz", " / bandwidth / read"),
    "The cache is left out. Each row reads cache_bytes beside the weights.": swap(f" + {_EACH}", ""),
    "A step reads the weights and the caches: add both.":
        [swap("weight_bytes +", ""), swap(" +", " -"), swap(f"weight_bytes + {_EACH}", f"max(weight_bytes, {_EACH})")],
    "These are steps per second. Each step writes bsz tokens.": swap(_SPEED, "bandwidth / read"),
    "The cache was counted once. Each row reads its own: bsz * cache_bytes.": swap(_EACH, "cache_bytes"),
    "That is the speed of one row. The weights are read once for all, and a step writes bsz tokens.":
        [swap("bsz *", ""), swap("bsz *", "", "weight", "bsz * weight"), swap("bsz *", "", "/ read", "/ read / bsz")],
    "The rows share the weights; bsz counts their caches.": swap("weight_bytes + bsz", "bsz * weight_bytes + 1"),
    "Multiply by bsz, once: a step writes bsz tokens.": swaps(_SPEED, "bandwidth / read / bsz", f"{_SPEED} * bsz"),
    "Brackets are missing: / (weight_bytes + bsz * cache_bytes).": swap("/ read", f"/ weight_bytes + {_EACH}"),
    "There is a factor of 2 too many: a byte is read once, and the cache holds keys and values.":
        [swap("bsz * cache", "2 * bsz * cache"), *swaps("/ read", "/ read / 2", "/ read * 2")],
    "Bandwidth and sizes are both in bytes, not bits.": swaps("/ read", "/ read * 8", "/ read / 8", "/ read / 4"),
    "bandwidth is in bytes per second, not GB.": swaps("/ read", "/ read * 1e9", "/ read / 1e9", "/ read / 1e6"),
    "Return the number as it is: divide with /, and do not round.": [*swaps(_SPEED, "bsz * bandwidth // read",
        "-(-bsz * bandwidth // read)"), *(swap(_SPEED, f"round({_SPEED}, {digits})") for digits in (None, 1, 2, 3))],
}, tolerance=1e-6)  # fmt: skip


def right_int8_rows(weight):
    """f(weight (rows, columns)): the pair int8 (rows, columns), scale (rows,), any finite one for a row of zeros."""
    scale = weight.abs().amax(dim=1) / 127
    steps = weight / scale.clamp(min=1e-30)[:, None]
    return steps.round().to(torch.int8), scale


class _NanIs99(TorchFunctionMode):
    """What int8 makes of nan differs from machine to machine. Here it is 99."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if not any(isinstance(x, Tensor) and x.dtype == torch.int8 for x in (result, *args[:1])):
            return result
        args = [x.nan_to_num(99) if isinstance(x, Tensor) and x.is_floating_point() else x for x in args]
        return func(*args, **(kwargs or {}))


def _pair(weight, tiny=False):
    """A case: the pair, the scale of a row of zeros as 0 if it is finite; tiny: only whether they are right."""

    def case(f):
        with _NanIs99():
            result = f(weight)
        right = right_int8_rows(weight)
        if not isinstance(result, tuple | list) or [getattr(x, "shape", 0) for x in result] != [x.shape for x in right]:
            return result
        if tiny:
            return {"int8": torch.equal(result[0], right[0]), "scale": torch.allclose(result[1], right[1], 1e-3, 0)}
        return result[0], result[1].where(weight.any(1) | ~result[1].isfinite(), 0)

    return case


_UNEVEN = torch.tensor([[600.0, -1000, 260, 110], [-8, 3.1, 0.7, -2.2], [20, 30, -14, 44]])
_SMALL = torch.tensor([[1e-5, -3e-6, 7e-6], [-2e-5, 1.3e-5, 0.0], [9e-6, -8e-6, -1.1e-5]])
_SCALE, _INT8 = "weight.abs().amax(dim=1) / 127", "steps.round().to(torch.int8)"
int8_rows = exercise(right_int8_rows, cases={
    "three rows of very different size": _pair(_UNEVEN),
    "a square matrix": _pair(torch.tensor([[13.0, -2, 40], [-9, 3.3, 1], [200, -77, 91]])),
    "a row of zeros": _pair(torch.tensor([[0.0, 0, 0, 0, 0], [70, -95, 3, 20, 8]])),
    "rows of very small numbers": _pair(_SMALL, tiny=True),
}, mistakes={
    "A row of zeros: 0 / 0 is nan, and int8 has none. Divide by scale.clamp(min=1e-30).": swap(".clamp(min=1e-30)", ""),
    "The scale of a row of zeros must be finite: 0 is best.":
        swaps("8), scale", "8), scale / (scale > 0)", "8), scale.where(scale > 0, torch.inf)"),
    "Your guard against dividing by 0 is so large that rows of small numbers are lost. Use 1e-30.":
        [swap("1e-30", "1e-5"), *swaps(_SCALE, f"{_SCALE} + 1e-8", f"({_SCALE}).clamp(min=1e-5)")],
    "Return two tensors, int8 and scale, in this order.": swaps(f"{_INT8}, scale", _INT8, f"{_INT8} * scale[:, None]",
        "scale", f"scale, {_INT8}", f"dict(int8={_INT8}, scale=scale)"),
    "The numbers are still float32, 4 bytes each: .to(torch.int8).": swap(".to(torch.int8)", ""),
    "scale is (rows,). Drop keepdim and use scale[:, None].": swap("dim=1", "dim=1, keepdim=True", "[:, None]", ""),
    "One scale for all turns rows of small numbers into zeros. Each row has its own: amax(dim=1).":
        [swap("amax(dim=1)", "max()", "[:, None]", ""), swap("amax(dim=1)", "max().expand(len(weight))")],
    "These are scales of columns. Each row has its own: amax(dim=1).": swap("dim=1", "dim=0", "[:, None]", ""),
    "int8 ends at 127: scale = largest / 127.": swaps("127", "128", "255", "256", "127.5", "254", "100"),
    "That is 1 / scale. Return the scale.": swaps("8), scale", "8), 1 / scale", "8), 1 / scale.clamp(min=1e-30)",
        "8), 127 / weight.abs().amax(1).clamp(min=1e-30)"),
    "That is the largest: divide by 127.": [swap("8), scale", "8), scale * 127"), swap(" / 127", "")],
    "A negative number can be the largest too: abs() first.": swap(".abs()", ""),
    "The largest absolute value counts, so that 0 stays 0 and all fits: amax(dim=1).":
        swaps(_SCALE, "(weight.amax(1) - weight.amin(1)) / 255", "weight.abs().mean(1) / 127", "weight.std(1) / 127"),
    "int8 drops the decimals. Round first: .round().": swaps(".round()", "", ".floor()", ".ceil()"),
    "Divide by the scale: the largest number of each row becomes 127.": swaps(
        "weight / scale.clamp(min=1e-30)[:, None]", "weight * scale[:, None]", "weight", "weight.clamp(-127, 127)"),
    "You rounded before you divided. Divide, then round.": swaps("weight /", "weight.round() /", "weight.trunc() /"),
    "The signs are lost. abs() is for the scale only.": swap("steps.", "steps.abs()."),
    "scale lies across the columns. scale[:, None] is (rows, 1): one for each row.": swap("[:, None]", ""),
})  # fmt: skip


def right_tokens_to_pay(seconds, before, after):
    """f(seconds, before, after): after how many tokens compiling has paid off; None if it never does.

    Compiling takes `seconds`, once. Without it there are `before` tokens a second, with it `after`.
    """
    saved = 1 / before - 1 / after
    if saved <= 0:
        return None
    return math.ceil(seconds / saved)


_CEIL, _NEVER, _SAVED = "math.ceil(seconds / saved)", "if saved <= 0:", "1 / before - 1 / after"
tokens_to_pay = exercise(right_tokens_to_pay, cases={
    "twice as fast": (3.0, 2.0, 4.0),
    "a minute, a small gain": (60.0, 700.0, 950.0),
    "half a second, a large gain": (0.5, 90.0, 400.0),
    "slower than before": (10.0, 300.0, 250.0),
    "as fast as before": (10.0, 64.0, 64.0),
    "nothing to compile: it is loaded at once": (0.0, 100.0, 150.0),
    "less than one token a second": (45.0, 0.3, 0.7),
}, mistakes={
    "Only a whole token counts, and one too few has not paid off: round up, math.ceil.":
        swaps(_CEIL, "int(seconds / saved)", "math.floor(seconds / saved)", "round(seconds / saved)"),
    "Return a whole number of tokens: math.ceil.": swap(_CEIL, "seconds / saved"),
    "If it pays off exactly with a whole number, that number is enough: no token more.":
        swaps(_CEIL, "math.floor(seconds / saved) + 1", "int(seconds / saved + 1)", "math.ceil(seconds / saved) + 1"),
    "If it is no faster than before, it never pays off: return None.": [
        *swaps("return None", *(f"return {x}" for x in (0, -1, 'float("inf")', "False", '"never"'))),
        swap(f"{_NEVER}\n        return None", "if not saved:\n        return None"),
        swap(f"{_NEVER}\n        return None\n    ", "")],
    "As fast as before is no gain either: the time of compiling never comes back.": swap("saved <= 0", "saved < 0"),
    "Here it is faster, and does pay off.": swaps(_NEVER, "if saved <= 0 or not seconds:", "if saved >= 0:"),
    "before and after are the wrong way round: a token takes 1 / before without compiling.":
        swap(_SAVED, "1 / after - 1 / before"),
    "after - before is what you gain in tokens a second. Take what a token saves: 1 / before - 1 / after seconds.":
        swaps(_CEIL, "math.ceil(seconds / (after - before))", "math.ceil(seconds * (after - before))"),
    "In this time the eager model writes seconds * before tokens. The compiled one must catch up with these.":
        swaps(_CEIL, "math.ceil(seconds * before)", "math.ceil(seconds * before) + 1"),
    "seconds * after is not enough: meanwhile the eager model goes on.": swap(_CEIL, "math.ceil(seconds * after)"),
    "Divide the seconds by what a token saves.":
        swaps(_CEIL, "math.ceil(seconds * saved)", "math.ceil(saved / seconds if seconds else 0)"),
    "These are seconds. Count tokens.": swap(_CEIL, "math.ceil(seconds / saved) / after"),
    "`seconds` are seconds already.": swaps(_CEIL, "math.ceil(60 * seconds / saved)", "math.ceil(seconds / saved / 60)",
        "math.ceil(1000 * seconds / saved)", "math.ceil(seconds / saved / 1000)"),
})  # fmt: skip
