"""Checks of the exercises on speed: tokens a second from bytes, and rounding weights to int8."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from minillama.check.former import Wrong, call, expect_number, expect_tensor, judge
from minillama.check.report import Report
from minillama.int8 import quantize

UNEVEN = torch.tensor([[0.6, -1.0, 0.26, 0.11], [-8.0, 3.1, 0.7, -2.2], [0.02, 0.03, -0.014, 0.044]])
SQUARE = torch.tensor([[1.3, -0.2, 4.0], [-0.9, 0.33, 0.1], [20.0, -7.7, 9.1]])
ZEROS = torch.tensor([[0.0, 0.0, 0.0], [2.0, -1.1, 0.7]])
SMALL = torch.tensor([[1e-5, -3e-6, 7e-6], [-2e-5, 1.3e-5, 0.0]])


def tokens_per_second(function: Callable[[int, int, int, float], float]) -> Report:
    """Judge f(weight_bytes, cache_bytes, bsz, bandwidth): at most how many tokens a second, all rows together.

    weight_bytes are read once a step, cache_bytes by each of bsz rows; bandwidth is in bytes a second.
    """

    def case(weights: int, cache: int, bsz: int, bandwidth: float) -> Callable[[Callable], None]:
        read = weights + bsz * cache
        due = bsz * bandwidth / read
        mistakes = [
            ("That is seconds a token. Turn it over: bytes a second / bytes a token.", read / (bsz * bandwidth)),
            ("That is seconds a step. Turn it over, and count bsz tokens for each step.", read / bandwidth),
            ("Bytes times bandwidth is no speed. Divide the bandwidth by the bytes.", bsz * bandwidth * read),
            ("The cache is left out. Each row reads cache_bytes beside the weights.", bsz * bandwidth / weights),
            ("These are steps a second. Each step writes a token in each row: bsz tokens.", bandwidth / read),
            ("The cache was counted once. Every row has a cache of its own: bsz * cache_bytes.",
             bsz * bandwidth / (weights + cache)),
            ("So fast is one row alone. With more rows the weights are still read once a step, not once a row; and "
             "the step writes bsz tokens.", bandwidth / (weights + cache)),
            ("The rows share the weights, but not the cache: bsz belongs to cache_bytes, not to weight_bytes.",
             bsz * bandwidth / (bsz * weights + cache)),
            ("Weights are read once a step, not once a row; and a step writes bsz tokens: multiply by bsz.",
             bandwidth / (bsz * (weights + cache))),
            ("A step writes bsz tokens: multiply by bsz, do not divide.", bandwidth / read / bsz),
            ("bsz was multiplied twice. Above the line it stands once: the tokens of a step.", due * bsz),
            ("Brackets are missing: the whole sum stands below the line, / (weight_bytes + bsz * cache_bytes).",
             bsz * bandwidth / weights + bsz * cache),
            ("cache_bytes holds keys and values already: no factor of 2.",
             bsz * bandwidth / (weights + 2 * bsz * cache)),
            ("There is a factor of 2 too many: each byte is read once.", due / 2),
            ("There are bits in it. Bandwidth and sizes are both in bytes: no 8.", due / 8),
            ("There are bits in it. Bandwidth and sizes are both in bytes: no 8.", due * 8),
            ("There is a factor of 1e9 too many. bandwidth is in bytes a second, not in gigabytes.", due * 1e9),
            ("There is a factor of 1e9 too few. bandwidth is in bytes a second, not in gigabytes.", due / 1e9),
            ("The digits behind the point are lost. Divide with /, and do not round.", math.floor(due)),
            *(("You rounded the number. Return it as it is.", round(due, digits)) for digits in (1, 2, 3)),
        ]  # fmt: skip

        def run(f: Callable) -> None:
            got = _number(call(f, weights, cache, bsz, bandwidth))
            expect_number(got, due, mistakes, 1e-6, f"due   {due:.6g} tokens a second\nyours {got:.6g}")

        return run

    return judge(
        function,
        [
            ("the toy matrix, one row, no cache", case(48, 0, 1, 24)),
            ("one row with a cache", case(1000, 250, 1, 3e6)),
            ("six rows, each with its cache", case(13_000_000_000, 70_000_000, 6, 3.1e11)),
            ("a long text in many rows: more cache than weights", case(9_000_000, 700_000, 32, 2.3e10)),
            ("four rows, nothing in the cache", case(7_000_000, 0, 4, 5e9)),
        ],
    )


def int8_rows(function: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Report:
    """Judge f(weight (rows, columns)): the pair int8 (rows, columns) and scale (rows,), as int8.quantize gives it.

    The scale of a row of zeros may be any finite number.
    """

    def case(weight: Tensor) -> Callable[[Callable], None]:
        due, due_scale = quantize(weight)

        def run(f: Callable) -> None:
            with _WatchInt8() as watch:
                result = call(f, weight)
            got, scale = _pair(result, due, due_scale)
            _explain_scale(scale, due_scale, weight)
            if watch.saw_nan:
                raise Wrong(
                    "A row of zeros: 0 / 0 is nan, and what int8 makes of nan differs from machine to machine. "
                    "Divide by scale.clamp(min=…), with a very small number."
                )
            if not torch.equal(got, due):
                _explain_int8(got, due, due_scale, weight)

        return run

    return judge(
        function,
        [
            ("three rows of very different size", case(UNEVEN)),
            ("a square matrix", case(SQUARE)),
            ("a row of zeros", case(ZEROS)),
            ("rows of very small numbers", case(SMALL)),
        ],
    )


class _WatchInt8(TorchFunctionMode):
    """Notices whether a nan is made an int8: most machines give 0, so the result alone would not tell."""

    saw_nan = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [each for each in args if isinstance(each, Tensor)]
        if any(each.dtype == torch.int8 for each in (result, *tensors) if isinstance(each, Tensor)):
            self.saw_nan |= any(bool(each.isnan().any()) for each in tensors if each.is_floating_point())
        return result


def _number(got) -> float:
    if got is None:
        raise Wrong("A number is due, your function returned None. Is there a `return`?")
    if isinstance(got, bool) or not isinstance(got, Real):
        raise Wrong(f"A number is due, your function returned {type(got).__name__}.")
    try:
        finite = math.isfinite(got)
    except OverflowError:  # a whole number that no float can hold
        finite = False
    if not finite:
        raise Wrong("Your result is not finite. Did you divide by cache_bytes? It may be 0.")
    return float(got)


def _pair(result, due: Tensor, due_scale: Tensor) -> tuple[Tensor, Tensor]:
    """The two tensors, of the right kind and shape."""
    if isinstance(result, Tensor):
        raise Wrong("Two tensors are due: return int8, scale. Without its scale nobody can use a row.")
    if not isinstance(result, tuple | list) or len(result) != 2:
        got = "None. Is there a `return`?" if result is None else f"{type(result).__name__}."
        raise Wrong(f"A pair of tensors is due: return int8, scale. Your function returned {got}")
    got, scale = result
    if all(isinstance(each, Tensor) for each in result) and got.shape == due_scale.shape and scale.shape == due.shape:
        raise Wrong("The two have changed places: first int8, then scale.")
    if isinstance(got, Tensor) and got.shape == due.shape and got.is_floating_point():
        raise Wrong(f"The rounded numbers are still {got.dtype}: 4 bytes each. .to(torch.int8) makes it one.")
    expect_tensor(got, due)
    if isinstance(scale, Tensor):
        if scale.isnan().any():
            raise Wrong("A scale is nan. For a row of zeros any ordinary number will do, best 0.")
        rows, columns = due.shape
        if scale.shape == (rows, 1):
            raise Wrong(f"The shape of scale should be {(rows,)}, yours is {(rows, 1)}. Leave keepdim out, and write "
                        "scale[:, None] where you divide.")  # fmt: skip
        if scale.dim() == 0 or scale.numel() == 1:
            raise Wrong("One scale for the whole matrix: a row of small numbers would be rounded to zeros. "
                        "Each row has its own: amax(dim=1).")  # fmt: skip
        if rows != columns and scale.numel() == columns:
            raise Wrong(_COLUMNS)
    return got, expect_tensor(scale, due_scale)


_COLUMNS = "These are scales of columns. Each row, that is each output, has its own: the largest along dim=1."


def _explain_scale(scale: Tensor, due: Tensor, weight: Tensor) -> None:
    """Raise Wrong unless scale is right in every row that is not all zeros."""
    filled = (weight != 0).any(dim=1)  # (rows,)
    if not scale.isfinite().all():
        raise Wrong("A scale is not finite. For a row of zeros any ordinary number will do, best 0.")

    def like(wrong: Tensor) -> bool:
        wrong = wrong.expand(due.shape)
        return torch.allclose(scale[filled], wrong[filled], rtol=1e-3, atol=0)

    if like(due):
        return
    absolute = weight.abs()
    largest = absolute.amax(dim=1)
    mistakes = [
        ("int8 goes from -128 to 127. Divided by 128, the largest number would become 128 and wrap around to -128. "
         "Take 127.", largest / 128),
        ("Divided by this scale the largest number becomes 255, and int8 ends at 127. Take largest / 127.",
         largest / 255),
        ("That is the reciprocal. scale is what int8 is multiplied by: largest / 127.", 127 / largest),
        ("That is the largest number itself. scale is the step from one whole number to the next: largest / 127.",
         largest),
        ("A negative number can be the largest too: take the absolute value first, abs().", weight.amax(dim=1) / 127),
        ("That is the range from smallest to largest. Here 0 stays 0: the largest absolute value counts.",
         (weight.amax(dim=1) - weight.amin(dim=1)) / 255),
        ("One scale for the whole matrix: a row of small numbers would be rounded to zeros. Each row has its own: "
         "amax(dim=1).", absolute.max() / 127),
        ("That is the mean. A number above it would not fit: the scale follows from the largest, amax(dim=1).",
         absolute.mean(dim=1) / 127),
    ]  # fmt: skip
    if weight.shape[0] == weight.shape[1]:
        mistakes.append((_COLUMNS, absolute.amax(dim=0) / 127))
    for hint, wrong in mistakes:
        if like(wrong):
            raise Wrong(hint)
    if filled.all() and float(due.max()) < 1e-6:
        raise Wrong(_GUARD)
    shown = [" ".join(f"{value:.4g}" for value in each.tolist()) for each in (due, scale)]
    raise Wrong(f"The scales are not right.\ndue   {shown[0]}\nyours {shown[1]}")


_GUARD = "What keeps you from dividing by 0 is too large: it swallows rows of small numbers. Take a far smaller one."


def _rounded(got: Tensor, weight: Tensor, divisor: Tensor) -> bool:
    return torch.equal(got, (weight / divisor[:, None]).round().to(torch.int8))


def _explain_int8(got: Tensor, due: Tensor, scale: Tensor, weight: Tensor) -> None:
    quotient = weight / scale.clamp(min=torch.finfo(torch.float32).tiny)[:, None]  # (rows, columns)
    mistakes = [
        ("You cut the digits behind the point off: .to(torch.int8) does not round. Write .round() before it.",
         quotient.trunc()),
        ("You rounded downwards. The nearest whole number is due: round().", quotient.floor()),
        ("You rounded upwards. The nearest whole number is due: round().", quotient.ceil()),
        ("You multiplied by the scale. Divide by it: the largest number of each row becomes 127.",
         (weight * scale[:, None]).round()),
        ("You rounded first and divided then: most of the numbers are lost. Divide, then round.",
         (weight.round() / scale.clamp(min=1e-30)[:, None]).round()),
        ("The signs are lost. abs() is for the scale only.", quotient.abs().round()),
    ]  # fmt: skip
    if weight.shape[0] == weight.shape[1]:
        mistakes.append(("The scales lie across the columns. scale[:, None] is (rows, 1): one for each row.",
                         (weight / scale).round()))  # fmt: skip
    for hint, wrong in mistakes:
        if torch.equal(got, wrong.to(torch.int8)):
            raise Wrong(hint)
    guards = (10.0**-k for k in range(2, 13))
    guarded = any(_rounded(got, weight, scale + eps) or _rounded(got, weight, scale.clamp(min=eps)) for eps in guards)
    if guarded or float(scale.max()) < 1e-6:
        raise Wrong(_GUARD)
    row = int((got != due).any(dim=1).nonzero()[0])
    raise Wrong(f"row {row}: due   {due[row].tolist()}\nrow {row}: yours {got[row].tolist()}")
