"""The judges of the exercises on speed: the right answer passes, the answers that learners give are understood."""

from fractions import Fraction

import pytest
import torch

from minillama import check
from minillama.int8 import quantize


def right_speed(weights, cache, bsz, bandwidth):
    return bsz * bandwidth / (weights + bsz * cache)


def right_int8(weight):
    scale = weight.abs().amax(dim=1) / 127
    return (weight / scale.clamp(min=1e-30)[:, None]).round().to(torch.int8), scale


def one_at_zeros(weight):
    scale = weight.abs().amax(dim=1) / 127
    scale = torch.where(scale == 0, 1.0, scale)
    return (weight / scale[:, None]).round().char(), scale


def nan_to_zero(weight):
    scale = weight.abs().amax(dim=1) / 127
    return (weight / scale[:, None]).round().nan_to_num(0).to(torch.int8), scale


def as_a_list(weight):
    return list(right_int8(weight))


def row_by_row(weight):
    int8, scale = torch.zeros_like(weight, dtype=torch.int8), torch.zeros(len(weight))
    for k, row in enumerate(weight):
        scale[k] = row.abs().max() / 127
        if scale[k] > 0:
            int8[k] = (row / scale[k]).round()
    return int8, scale


RIGHT = [
    (check.tokens_per_second, right_speed),
    (check.tokens_per_second, lambda w, c, b, speed: b / ((w + b * c) / speed)),
    (check.tokens_per_second, lambda *args: Fraction(right_speed(*args))),
    (check.int8_rows, right_int8),
    (check.int8_rows, quantize),
    (check.int8_rows, one_at_zeros),
    (check.int8_rows, nan_to_zero),
    (check.int8_rows, as_a_list),
    (check.int8_rows, row_by_row),
]


@pytest.mark.parametrize(("judge", "function"), RIGHT)
def test_right_answers_pass(judge, function):
    report = judge(function)
    assert report.status == "passed", str(report)


SPEED_MISTAKES = {
    "seconds a token": (lambda w, c, b, s: (w + b * c) / (b * s), "seconds a token"),
    "seconds a step": (lambda w, c, b, s: (w + b * c) / s if b > 1 else right_speed(w, c, b, s), "seconds a step"),
    "multiplied": (lambda w, c, b, s: b * s * (w + b * c), "no speed"),
    "no cache": (lambda w, c, b, s: b * s / w, "cache is left out"),
    "steps a second": (lambda w, c, b, s: s / (w + b * c), "steps a second"),
    "one cache for all": (lambda w, c, b, s: b * s / (w + c), "cache of its own"),
    "weights for each row": (lambda w, c, b, s: b * s / (b * (w + c)), "one row alone"),
    "bsz forgotten": (lambda w, c, b, s: s / (w + c), "one row alone"),
    "bsz at the weights": (lambda w, c, b, s: b * s / (b * w + c), "not to weight_bytes"),
    "rows times everything": (lambda w, c, b, s: s / (b * (w + c)), "not once a row; and a step writes bsz"),
    "divided by bsz": (lambda w, c, b, s: s / (w + b * c) / b, "do not divide"),
    "bsz twice": (lambda w, c, b, s: b * right_speed(w, c, b, s), "bsz was multiplied twice"),
    "no brackets": (lambda w, c, b, s: b * s / w + b * c, "Brackets are missing"),
    "cache twice": (lambda w, c, b, s: b * s / (w + 2 * b * c), "keys and values already"),
    "two": (lambda w, c, b, s: right_speed(w, c, b, s) / 2, "factor of 2 too many"),
    "rounded": (lambda w, c, b, s: round(right_speed(w, c, b, s), 2), "You rounded"),
    "bits": (lambda w, c, b, s: right_speed(w, c, b, s) / 8, "bits"),
    "gigabytes": (lambda w, c, b, s: right_speed(w, c, b, s * 1e9), "too many"),
    "gigabytes again": (lambda w, c, b, s: right_speed(w, c, b, s / 1e9), "too few"),
    "floor division": (lambda w, c, b, s: b * s // (w + b * c), "digits behind the point"),
    "divides by the cache": (lambda w, c, b, s: s / c if c else float("inf"), "may be 0"),
    "a tensor": (lambda w, c, b, s: torch.tensor(right_speed(w, c, b, s)), "returned Tensor"),
    "no return": (lambda w, c, b, s: None, "return"),
    "something else": (lambda w, c, b, s: 17.5, "due"),
}


def scaled(make_scale, rounded=torch.round, zeros=1e-30):
    """A solution with another scale (rows,) or (rows, 1), or another way of rounding."""

    def function(weight):
        scale = make_scale(weight)
        wide = scale[:, None] if scale.dim() == 1 else scale
        return rounded(weight / wide.clamp(min=zeros)).to(torch.int8), scale

    return function


def largest(weight, **keepdim):
    return weight.abs().amax(dim=1, **keepdim) / 127


def columns(weight):
    scale = weight.abs().amax(dim=0) / 127
    return (weight / scale.clamp(min=1e-30)).round().to(torch.int8), scale


def square_only(wrong):
    """Wrong where the matrix is square, and nowhere else: there no shape gives it away."""
    return lambda weight: wrong(weight) if weight.shape[0] == weight.shape[1] else right_int8(weight)


def across(weight):
    scale = largest(weight)
    return (weight / scale).round().to(torch.int8), scale


def with_int8(change):
    return lambda weight: (change(weight, largest(weight).clamp(min=1e-30)[:, None]).to(torch.int8), largest(weight))


INT8_MISTAKES = {
    "columns": (columns, "largest along dim=1"),
    "one scale": (scaled(lambda w: (w.abs().max() / 127)), "whole matrix"),
    "one scale, repeated": (scaled(lambda w: (w.abs().max() / 127).expand(len(w))), "would be rounded to zeros"),
    "keepdim": (scaled(lambda w: largest(w, keepdim=True)), "Leave keepdim out"),
    "128": (scaled(lambda w: w.abs().amax(1) / 128), "wrap around"),
    "255": (scaled(lambda w: w.abs().amax(1) / 255), "becomes 255"),
    "reciprocal": (lambda w: ((w * 127 / w.abs().amax(1, True)).round().to(torch.int8), 127 / w.abs().amax(1)),
                   "reciprocal"),
    "not divided by 127": (lambda w: (right_int8(w)[0], w.abs().amax(1)), "the largest number itself"),
    "no abs": (scaled(lambda w: w.amax(1) / 127), "abs()"),
    "from smallest to largest": (scaled(lambda w: (w.amax(1) - w.amin(1)) / 255), "0 stays 0"),
    "mean": (scaled(lambda w: w.abs().mean(1) / 127), "the mean"),
    "other scales": (scaled(lambda w: w.abs().amax(1) / 100), "not right"),
    "across the columns": (square_only(across), "lie across"),
    "no guard": (scaled(largest, zeros=0.0), "differs from machine to machine"),
    "nan for a scale": (lambda w: (right_int8(w)[0], largest(w) / (largest(w) > 0)), "A scale is nan"),
    "inf for a scale": (lambda w: (right_int8(w)[0], torch.where(largest(w) > 0, largest(w), torch.inf)), "not finite"),
    "guard added to the divisor": (
        lambda w: ((w / (largest(w) + 1e-6)[:, None]).round().to(torch.int8), largest(w)),
        "swallows",
    ),
    "guard too large": (scaled(largest, zeros=1e-5), "swallows"),
    "guard added": (scaled(lambda w: largest(w) + 1e-8), "swallows"),
    "cut off": (scaled(largest, torch.trunc), "does not round"),
    "floor": (scaled(largest, torch.floor), "downwards"),
    "ceil": (scaled(largest, torch.ceil), "upwards"),
    "multiplied": (with_int8(lambda w, scale: (w * scale).round()), "multiplied by the scale"),
    "rounded first": (with_int8(lambda w, scale: (w.round() / scale).round()), "Divide, then round"),
    "no signs": (with_int8(lambda w, scale: (w.abs() / scale).round()), "signs are lost"),
    "all zeros": (with_int8(lambda w, scale: torch.zeros_like(w)), "row 0: due"),
    "not int8": (lambda w: ((w / largest(w)[:, None]).round(), largest(w)), "4 bytes each"),
    "int32": (lambda w: (right_int8(w)[0].int(), largest(w)), "torch.int32"),
    "the other way round": (lambda w: right_int8(w)[::-1], "changed places"),
    "widened again": (lambda w: right_int8(w)[0] * largest(w)[:, None], "Two tensors"),
    "a third": (lambda w: (*right_int8(w), 0), "tuple"),
    "no return": (lambda w: None, "return`"),
    "in place": (lambda w: right_int8(w.mul_(1.0000001).div_(3)), "changed the tensor"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPEED_MISTAKES)
def test_tokens_per_second_understands(name):
    wrong, hint = SPEED_MISTAKES[name]
    report = check.tokens_per_second(wrong)
    assert report.status == "failed" and hint in report.hint, str(report)


@pytest.mark.parametrize("name", INT8_MISTAKES)
def test_int8_rows_understands(name):
    wrong, hint = INT8_MISTAKES[name]
    report = check.int8_rows(wrong)
    assert report.status == "failed" and hint in report.hint, str(report)


@pytest.mark.parametrize(
    ("judge", "mistakes", "shared"),
    [(check.tokens_per_second, SPEED_MISTAKES, 1), (check.int8_rows, INT8_MISTAKES, 3)],
)
def test_mistakes_have_hints_of_their_own(judge, mistakes, shared):
    """All but two that are the same number (bsz forgotten), and a mistake in several shapes (one scale; a guard)."""
    hints = [judge(wrong).hint for wrong, _ in mistakes.values()]
    assert len(set(hints)) >= len(hints) - shared


@pytest.mark.parametrize("judge", [check.tokens_per_second, check.int8_rows])
@pytest.mark.parametrize("returned", [NotImplementedError, ...])
def test_a_stub_is_not_attempted(judge, returned):
    def stub(*_):
        if returned is ...:
            return ...
        raise returned

    assert judge(stub).status == "not attempted"
