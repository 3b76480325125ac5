"""Checks of the exercises on the network: norm, rotation, attention."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from minillama.check.former import Wrong, call, expect_close, judge
from minillama.check.report import Report
from minillama.model import RMSNorm, apply_rotary_emb


def rms_norm(function: Callable[[Tensor, Tensor, float], Tensor]) -> Report:
    """Judge f(x (bsz, seqlen, dim), weight (dim,), eps): RMSNorm of x, in x's shape and dtype."""

    def case(x: Tensor, weight: Tensor, eps: float = 1e-5) -> Callable[[Callable], None]:
        def scaled(mean_square: Tensor, x: Tensor = x) -> Tensor:
            return (x.float() * torch.rsqrt(mean_square + eps)).type_as(x) * weight

        square, centred = x.float().square(), x.float() - x.float().mean(-1, keepdim=True)
        mean = square.mean(-1, keepdim=True)
        due = _rms_norm(x, weight, eps)
        mistakes = [
            ("RMSNorm does not subtract the mean (LayerNorm does). Only scale.",
             lambda: scaled(centred.square().mean(-1, keepdim=True), centred.type_as(x))),
            ("The sum of the squares is not their mean: .mean(-1, keepdim=True).",
             lambda: scaled(square.sum(-1, keepdim=True))),
            ("All tokens were scaled by one number. Each has its own mean: mean(-1, keepdim=True).",
             lambda: scaled(square.mean())),
            ("You divided by the mean square. Its root is due: torch.rsqrt(…) is 1 / sqrt(…).",
             lambda: (x.float() / (mean + eps)).type_as(x) * weight),
            ("The weight is missing: multiply by it at the end.",
             lambda: _rms_norm(x, torch.ones_like(weight), eps)),
            ("eps belongs under the root, beside the mean square.",
             lambda: (x.float() / (mean.sqrt() + eps)).type_as(x) * weight),
            ("eps is missing: add it to the mean square, under the root.",
             lambda: (x.float() * torch.rsqrt(mean)).type_as(x) * weight),
            ("The squares did not fit into float16. Compute in float32: x.float() first.",
             lambda: torch.zeros_like(x)),
            ("The weight came too early: cast back with .type_as(x), then multiply by the weight.",
             lambda: (x.float() * torch.rsqrt(mean + eps) * weight.float()).type_as(x)),
            ("Rounding to 16 bits came too early: square, mean and root are due in float32, x.float().",
             lambda: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight),
        ]  # fmt: skip
        return lambda f: expect_close(_same_type(call(f, x, weight, eps), x), due, mistakes)

    pair, ones = torch.tensor([[[3.0, 4.0]]]), torch.ones(2)
    rows = torch.tensor([[[1.0, 2.0, -3.0], [10.0, 0.0, -5.0]], [[0.5, 0.5, 2.0], [-4.0, 1.0, 1.0]]])
    weight = torch.tensor([0.5, 1.0, 2.0])
    halves = _random(5, (2, 4, 16)).bfloat16()
    return judge(
        function,
        [
            ("(3, 4), weights 1", case(pair, ones)),
            ("two texts of two tokens, weights of their own", case(rows, weight)),
            ("small numbers, where eps counts", case(rows / 1000, weight)),
            ("(300, 400) in float16", case((100 * pair).half(), ones.half())),
            ("bfloat16: the order of cast and weight", case(halves, _random(6, (16,)).exp().bfloat16())),
        ],
    )


def rotary(function: Callable[[Tensor, Tensor], Tensor]) -> Report:
    """Judge f(x (bsz, seqlen, n_heads, head_dim), angles (seqlen, head_dim / 2)): every adjacent pair turned."""

    def case(x: Tensor, angles: Tensor) -> Callable[[Callable], None]:
        cos, sin = angles.cos()[:, None], angles.sin()[:, None]  # (seqlen, 1, head_dim / 2)
        first, second = x[..., 0::2], x[..., 1::2]
        turned = first * cos - second * sin, first * sin + second * cos
        left, right = x.chunk(2, dim=-1)
        mistakes = [
            ("You turned the other way round. (a, b) becomes (a cos − b sin, a sin + b cos).",
             lambda: _rotary(x, -angles)),
            ("You paired number i with number i + head_dim / 2, as some libraries do with reordered weights. Here "
             "neighbours form a pair: x[..., 0::2] and x[..., 1::2].",
             lambda: torch.cat([left * cos - right * sin, left * sin + right * cos], dim=-1)),
            ("The pairs are turned, but not put back side by side. Stack them on a new last axis, then flatten(-2).",
             lambda: torch.cat(turned, dim=-1)),
            ("The second number was computed from the already turned first. Keep both old numbers.",
             lambda: torch.stack([turned[0], turned[0] * sin + second * cos], dim=-1).flatten(-2)),
            ("Both numbers got a plus. One sign is a minus: (a cos − b sin, a sin + b cos).",
             lambda: torch.stack([first * cos + second * sin, turned[1]], dim=-1).flatten(-2)),
            ("Nothing was turned.", lambda: x),
            ("The angles went to the heads. They belong to the positions: angles[:, None] is "
             "(seqlen, 1, head_dim / 2).", lambda: _rotary(x.transpose(1, 2), angles).transpose(1, 2)),
        ]  # fmt: skip
        mistakes = mistakes if x.shape[1] == x.shape[2] else mistakes[:-1]  # else such angles do not fit
        return lambda f: expect_close(call(f, x, angles), _rotary(x, angles), mistakes)

    quarter = torch.tensor([[math.pi / 2]])
    return judge(
        function,
        [
            ("a quarter turn of (1, 0)", case(torch.tensor([[[[1.0, 0.0]]]]), quarter)),
            ("a quarter turn of (3, 4)", case(torch.tensor([[[[3.0, 4.0]]]]), quarter)),
            ("two pairs, each with its own angle", case(_random(1, (1, 1, 1, 4)), torch.tensor([[0.5, 2.0]]))),
            ("three positions, three heads", case(_random(2, (1, 3, 3, 4)), 3 * _random(3, (3, 2)))),
            ("two texts, five positions", case(_random(4, (2, 5, 3, 8)), 3 * _random(5, (5, 4)))),
        ],
    )


def attention(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Report:
    """Judge f(queries (bsz, n_heads, seqlen, head_dim), keys, values (bsz, n_kv_heads, seqlen, head_dim)).

    Causal grouped-query attention is due: (bsz, n_heads, seqlen, head_dim).
    """

    def case(seed: int, bsz: int, n_heads: int, n_kv_heads: int, seqlen: int) -> Callable[[Callable], None]:
        queries = _random(seed, (bsz, n_heads, seqlen, 4)) * 2
        keys, values = _random(seed + 1, (2, bsz, n_kv_heads, seqlen, 4))
        group, future = n_heads // n_kv_heads, torch.ones(seqlen, seqlen, dtype=torch.bool).triu(1)

        def wide(x: Tensor) -> Tensor:
            return x.repeat_interleave(group, dim=1)

        def attend(k: Tensor, v: Tensor, hidden: Tensor = future, scale: float = 0.5, dim: int = -1, fill=-math.inf):
            scores = (queries @ k.transpose(2, 3) * scale).masked_fill(hidden, fill)
            return scores.softmax(dim) @ v

        k, v = wide(keys), wide(values)
        due = F.scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=group > 1)
        unmasked = (queries @ k.transpose(2, 3) / 2).softmax(-1)
        mistakes = [
            ("The tokens see the future. Add a mask: -inf where the key comes after the query.",
             lambda: attend(k, v, future & False)),
            ("The mask hides the wrong half: the tokens see only themselves and the future. Hide the part above the "
             "diagonal: triu(1).", lambda: attend(k, v, future.T)),
            ("The future got the score 0. It needs -inf: softmax makes a 0 of that, but not of 0.",
             lambda: attend(k, v, fill=0.0)),
            ("The mask came after the softmax: the rows no longer add up to 1. Mask the scores, then take softmax.",
             lambda: unmasked.masked_fill(future, 0.0) @ v),
            ("The scores are not divided by sqrt(head_dim).", lambda: attend(k, v, scale=1.0)),
            ("The scores were divided by head_dim. Its square root is due.", lambda: attend(k, v, scale=0.25)),
            ("softmax ran over the queries. Each query shares out its own 1: dim=-1, the axis of the keys.",
             lambda: attend(k, v, dim=-2)),
            ("The key heads were laid out 0, 1, 0, 1. Neighbours share one, 0, 0, 1, 1: repeat_interleave.",
             lambda: attend(keys.repeat(1, group, 1, 1), values.repeat(1, group, 1, 1))),
            ("Positions and heads were swapped at the end. Leave (bsz, n_heads, seqlen, head_dim).",
             lambda: due.transpose(1, 2).reshape(due.shape)),
        ]  # fmt: skip

        def judged(f: Callable) -> None:
            got = call(f, queries, keys, values)
            like_due = isinstance(got, Tensor) and got.shape == due.shape and got.device == due.device
            if like_due and got.isnan().any():
                raise Wrong(
                    "There is a nan: a row of the mask hides everything. A token sees itself: triu(1), not triu()."
                )
            expect_close(got, due, mistakes)

        return judged

    return judge(
        function,
        [
            ("one token sees itself", case(1, 1, 1, 1, 1)),
            ("three tokens, one head", case(3, 1, 1, 1, 3)),
            ("three heads, each with its own keys", case(5, 2, 3, 3, 4)),
            ("four heads share two", case(7, 2, 4, 2, 5)),
            ("six heads share one", case(9, 1, 6, 1, 4)),
        ],
    )


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    norm = RMSNorm(len(weight), eps).requires_grad_(False)
    norm.weight = torch.nn.Parameter(weight, requires_grad=False)
    return norm(x)


def _same_type(got, x: Tensor):
    if isinstance(got, Tensor) and got.shape == x.shape and got.dtype != x.dtype:
        raise Wrong(f"x came in {x.dtype}, your result is {got.dtype}. Cast back with .type_as(x) before the weight.")
    return got


def _rotary(x: Tensor, angles: Tensor) -> Tensor:
    return apply_rotary_emb(x, x, torch.polar(torch.ones_like(angles), angles))[0]


def _random(seed: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
