"""The judges of the exercises on the network: right answers pass, the answers that learners give are understood."""

import math

import pytest
import torch

from minillama import check


def stub(*_):
    raise NotImplementedError


def right_norm(x, weight, eps):
    x32 = x.float()
    return (x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + eps)).type_as(x) * weight


def divided_norm(x, weight, eps):
    x32 = x.float()
    return (x32 / torch.sqrt((x32**2).mean(dim=-1, keepdim=True) + eps)).to(x.dtype) * weight


def norm_with(mean=lambda x: x.square().mean(-1, keepdim=True), root=torch.rsqrt, weigh=True):
    def norm(x, weight, eps):
        x32 = x.float()
        scaled = (x32 * root(mean(x32) + eps)).type_as(x)
        return scaled * weight if weigh else scaled

    return norm


def centred_norm(x, weight, eps):
    return right_norm(x - x.mean(-1, keepdim=True), weight, eps)


def weight_first_norm(x, weight, eps):
    x32 = x.float()
    return (x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + eps) * weight).type_as(x)


NORM_MISTAKES = {
    "LayerNorm": (centred_norm, "subtract the mean"),
    "sum for mean": (norm_with(mean=lambda x: x.square().sum(-1, keepdim=True)), "sum of the squares"),
    "one mean": (norm_with(mean=lambda x: x.square().mean()), "one number"),
    "no root": (norm_with(root=lambda x: 1 / x), "divided by the mean square"),
    "no weight": (norm_with(weigh=False), "weight is missing"),
    "eps outside": (
        lambda x, weight, eps: (x.float() / (x.float().square().mean(-1, True).sqrt() + eps)).type_as(x) * weight,
        "under the root, beside",
    ),
    "no eps": (
        lambda x, weight, eps: (x.float() * torch.rsqrt(x.float().square().mean(-1, True))).type_as(x) * weight,
        "eps is missing",
    ),
    "no cast": (
        lambda x, weight, eps: x * torch.rsqrt(x.square().mean(-1, True) + eps) * weight,
        "did not fit into float16",
    ),
    "weight before the cast": (weight_first_norm, "too early: cast back"),
    "mean in bfloat16": (
        lambda x, weight, eps: (
            x * torch.rsqrt(x.float().square().mean(-1, True).type_as(x) + eps) * weight
            if x.dtype == torch.bfloat16
            else right_norm(x, weight, eps)
        ),
        "due",
    ),
    "no cast back": (
        lambda x, weight, eps: x.float() * torch.rsqrt(x.float().square().mean(-1, True) + eps) * weight,
        "type_as(x)",
    ),
    "no keepdim": (lambda x, weight, eps: x * torch.rsqrt(x.square().mean(-1) + eps), "RuntimeError"),
}


def right_rotary(x, angles):
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)[:, None]).flatten(-2)


def rotary_with(turn, split=lambda x: (x[..., 0::2], x[..., 1::2]), join=None, place=lambda angles: angles[:, None]):
    def rotate(x, angles):
        angles = place(angles)
        new = turn(*split(x), angles.cos(), angles.sin())
        return (join or (lambda a, b: torch.stack([a, b], dim=-1).flatten(-2)))(*new)

    return rotate


def forward_turn(a, b, cos, sin):
    return a * cos - b * sin, a * sin + b * cos


def backward_turn(a, b, cos, sin):
    return a * cos + b * sin, b * cos - a * sin


def overwritten_turn(a, b, cos, sin):
    a = a * cos - b * sin
    return a, a * sin + b * cos


def cat(a, b):
    return torch.cat([a, b], dim=-1)


ROTARY_MISTAKES = {
    "backwards": (rotary_with(backward_turn), "other way round"),
    "halves": (rotary_with(forward_turn, split=lambda x: x.chunk(2, dim=-1), join=cat), "neighbours"),
    "not interleaved": (rotary_with(forward_turn, join=cat), "side by side"),
    "overwritten": (rotary_with(overwritten_turn), "already turned"),
    "two plus signs": (rotary_with(lambda a, b, c, s: (a * c + b * s, a * s + b * c)), "One sign is a minus"),
    "angle of the head": (rotary_with(forward_turn, place=lambda angles: angles), "went to the heads"),
    "nothing": (lambda x, angles: x, "Nothing was turned"),
    "only half of it": (lambda x, angles: x[..., 0::2] * angles.cos()[:, None], "shape"),
}


def attention_with(hidden=lambda n: torch.ones(n, n).triu(1).bool(), fill=-math.inf, scale=None, dim=-1, repeat=None):
    def attend(queries, keys, values):
        group = queries.shape[1] // keys.shape[1]
        widen = repeat or (lambda x, group: x.repeat_interleave(group, dim=1))
        keys, values = widen(keys, group), widen(values, group)
        scores = queries @ keys.transpose(2, 3) * (scale or queries.shape[-1] ** -0.5)
        return scores.masked_fill(hidden(queries.shape[2]), fill).softmax(dim) @ values

    return attend


def masked_after(queries, keys, values):
    group = queries.shape[1] // keys.shape[1]
    keys, values = keys.repeat_interleave(group, dim=1), values.repeat_interleave(group, dim=1)
    return (queries @ keys.mT / queries.shape[-1] ** 0.5).softmax(-1).tril() @ values


ATTENTION_MISTAKES = {
    "no mask": (attention_with(hidden=lambda n: torch.zeros(n, n).bool()), "see the future"),
    "wrong half": (attention_with(hidden=lambda n: torch.ones(n, n).tril(-1).bool()), "wrong half"),
    "zero for -inf": (attention_with(fill=0.0), "score 0"),
    "masked after softmax": (masked_after, "after the softmax"),
    "itself hidden": (attention_with(hidden=lambda n: torch.ones(n, n).triu().bool()), "sees itself"),
    "not divided": (attention_with(scale=1.0), "not divided"),
    "divided by head_dim": (attention_with(scale=0.25), "square root is due"),
    "wrong axis": (attention_with(dim=-2), "over the queries"),
    "repeat": (attention_with(repeat=lambda x, group: x.repeat(1, group, 1, 1)), "repeat_interleave"),
    "heads last": (lambda q, k, v: attention_with()(q, k, v).transpose(1, 2), "shape"),
    "reshaped": (lambda q, k, v: attention_with()(q, k, v).transpose(1, 2).reshape(q.shape), "swapped"),
    "no groups": (attention_with(repeat=lambda x, group: x), "RuntimeError"),
}

JUDGES = {
    "rms_norm": (check.rms_norm, NORM_MISTAKES),
    "rotary": (check.rotary, ROTARY_MISTAKES),
    "attention": (check.attention, ATTENTION_MISTAKES),
}


@pytest.mark.parametrize(
    ("judge", "right"),
    [
        (check.rms_norm, right_norm),
        (check.rms_norm, divided_norm),
        (check.rotary, right_rotary),
        (check.rotary, rotary_with(forward_turn)),
        (check.attention, attention_with()),
    ],
)
def test_right_answers_pass(judge, right):
    report = judge(right)
    assert report.status == "passed", str(report)


@pytest.mark.parametrize("judge", [judge for judge, _ in JUDGES.values()])
def test_a_stub_is_not_attempted(judge):
    assert judge(stub).status == "not attempted"
    assert judge(lambda *_: ...).status == "not attempted"


@pytest.mark.parametrize(("exercise", "name"), [(key, name) for key, (_, wrong) in JUDGES.items() for name in wrong])
def test_mistakes_are_understood(exercise, name):
    judge, mistakes = JUDGES[exercise]
    wrong, hint = mistakes[name]
    report = judge(wrong)
    assert report.status == "failed"
    assert hint in report.hint, str(report)


@pytest.mark.parametrize("exercise", JUDGES)
def test_every_mistake_has_a_hint_of_its_own(exercise):
    judge, mistakes = JUDGES[exercise]
    hints = [judge(wrong).hint for wrong, _ in mistakes.values()]
    assert len(set(hints)) == len(hints)
