"""Checks of the exercises on the network: norm, rotation, attention."""

import torch
import torch.nn.functional as F

from minillama.check.exercise import exercise, swap, swaps


def _of(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def right_rms_norm(x, weight, eps):
    """f(x (bsz, seqlen, dim), weight (dim,), eps): RMSNorm of x, in x's shape and dtype."""
    x32 = x.float()
    mean = x32.square().mean(-1, keepdim=True)
    y = x32 * torch.rsqrt(mean + eps)
    return y.type_as(x) * weight


_X, _W, _MEAN = _of(2, 2, 3, 5) + 1, _of(3, 5) + 2, ".square().mean(-1, keepdim=True)"
_SCALED, _OFF = "x32 * torch.rsqrt(mean + eps)", "x.float() - x.float().mean(-1, True)"
rms_norm = exercise(right_rms_norm, cases={
    "two texts of three tokens": (_X, _W, 1e-5),
    "small numbers, where eps counts": (_X * torch.tensor([[0.02], [1e-3], [1e-5]]), _W, 1e-3),
    "every size is 4, eps is 0.5": (_of(4, 4, 4, 4) - 1, _of(5, 4), 0.5),
    "large numbers in float16": (400 * _X.half(), _W.half(), 1e-5),
    "a token in float16": (torch.tensor([[[300.0, 400.0, -900.0]]]).half(), _W[:3].half(), 1e-6),
    "bfloat16": (_of(6, 5, 1, 16).bfloat16(), _of(7, 16).exp().bfloat16(), 1e-5),
}, mistakes={
    "LayerNorm subtracts the mean, and so do var and std; RMSNorm does not.":
        [swap("x.float()", _OFF), swap("x.float()", _OFF, "square().mean", "var"), swap("square().mean", "var"), swap(
         _SCALED, "x32 / (x32.std(-1, keepdim=True) + eps)")],
    "Average the squares: mean, not sum.": [swap(".mean(", ".sum("), swap(_SCALED, "F.normalize(x32, dim=-1)")],
    "Each token has its own mean, over the last axis: mean(-1, keepdim=True).":
        swaps("-1, keepdim=True", "", "0, True", "1, True", "(1, 2), True"),
    "keepdim=True is missing: the means must be (bsz, seqlen, 1).": swap(", keepdim=True", ""),
    "Average the squares, not the numbers.": swaps(_MEAN, ".mean(-1, True) ** 2", ".abs().mean(-1, True) ** 2"),
    "Divide by the root of the mean square: torch.rsqrt.": swaps("torch.rsqrt", "1 / ", "torch.sqrt", ""),
    "The weight is missing: multiply by it at the end.": swap(" * weight", ""),
    "Multiply by the weight itself.": swaps("* weight", "+ weight", "/ weight", "* (1 + weight)"),
    "eps is missing: add it to the mean square, under the root.": swap(" + eps", ""),
    "Do not hard-code eps: add the one passed.": swaps("+ eps", "+ 1e-5", "+ 1e-6", "+ 1e-8", "+ 1e-12"),
    "eps is added to the mean square, under the root.": swaps("torch.rsqrt(mean + eps)", "1 / (mean.sqrt() + eps)",
        "(mean.rsqrt() + eps)", "mean.clamp(min=eps).rsqrt()", "(x32 + eps).square().mean(-1, True).rsqrt()"),
    "16 bits overflow or round too early. Compute in float32, x.float(), up to the cast back.": [*swaps("x.float()",
        "x"), *swaps("x32.square()", "x.square()", "(x * x).float()"), swap("eps)", "eps).type_as(x)"), *(swap(
        "x.float()", "x", "* torch.rsqrt(", y) for y in ("/ torch.sqrt(", "* (lambda z: 1 / z.sqrt())("))],
    "The weight came too early: cast back with .type_as(x), then multiply by it.":
        [swap("y.type_as(x) * weight", "(y * weight).type_as(x)"), lambda x, w, eps: F.rms_norm(x, w.shape, w, eps)],
    "The result is float32. Cast back before the weight: .type_as(x).": swap(".type_as(x)", ""),
    "Do not hard-code the dtype: cast back with .type_as(x).": swaps("type_as(x)", "half()", "bfloat16()"),
})  # fmt: skip


def right_rotary(x, angles):
    """f(x (bsz, seqlen, n_heads, head_dim), angles (seqlen, head_dim / 2)): every adjacent pair turned."""
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)


_A, _B, _CAT = "a * cos - b * sin", "a * sin + b * cos", ("stack", "cat", ".flatten(-2)", "")
_HALVES, _ANGLES = ("0::2", ":x.shape[-1] // 2", "1::2", "x.shape[-1] // 2 :"), "[:, None]"
rotary = exercise(right_rotary, cases={
    "two texts, five positions, three heads": (_of(1, 2, 5, 3, 8), 3 * _of(2, 5, 4)),
    "every size is 3, head_dim 6": (_of(3, 3, 3, 3, 6), 3 * _of(4, 3, 3)),
    "one position, two pairs": (_of(5, 1, 1, 2, 4), torch.tensor([[0.5, 2.0]])),
    "heads of one pair": (_of(6, 3, 4, 2, 2), torch.tensor([[0.0], [1.0], [2.0], [3.0]])),
}, mistakes={
    "You turned the other way. (a, b) becomes (a cos − b sin, a sin + b cos).": swap("angles.sin", "-angles.sin"),
    "You paired number i with i + head_dim / 2. Pair neighbours: x[..., 0::2] with x[..., 1::2].":
        [swap(*_HALVES), swap(*_HALVES, *_CAT)],
    "Put each pair back side by side: stack on a last axis, flatten(-2).": [swap(*_CAT), swap(".flatten(-2)", ""), swap(
        ", dim=-1).flatten(-2)", ").reshape(x.shape)"), swap("torch.stack([", "(", "], dim=-1).flatten(-2)", ")")],
    "The second number was computed from the turned first. Keep both old numbers.": swap("a * sin", f"({_A}) * sin"),
    "A sign is wrong: (a cos − b sin, a sin + b cos).": [swap(" +", " -"), swap("- b", "+ b"), swap("[a *", "[-a *")],
    "cos and sin are swapped: (a cos − b sin, a sin + b cos).":
        [swap("cos, sin", "sin, cos"), swap(_B, "a * cos + b * sin"), swap(_A, "a * sin - b * cos")],
    "The two numbers of each pair are swapped.": [swap("a, b =", "b, a ="), swap(f"{_A}, {_B}", f"{_B}, {_A}")],
    "A term is missing: (a cos − b sin, a sin + b cos).":
        [*swaps(_B, "b", "b * cos"), swap(" - b * sin", ""), swap(_A, "a * cos", _B, "b * cos"), swap(" * cos", "")],
    "Nothing was turned: return the new numbers of each pair.": swap(_A, "a", _B, "b"),
    "Angles belong to positions, not heads or rows: angles[:, None].": swaps(_ANGLES, "", "[:, None, None]"),
    "angles[p, i] turns pair i at position p. Yours turned by another angle.":
        swaps(_ANGLES, "[0]", "[-1]", ".flip(0)[:, None]", "[:, None, :1]", "[:, None, -1:]"),
    "Only a part was turned. All texts, positions, heads and pairs turn.":
        [lambda x, t, d=d: torch.cat([right_rotary(x, t).split(2, d)[0], *x.split(2, d)[1:]], d) for d in (1, 2, 3)],
    "Turn by the angles as they are, in radians.":
        [lambda x, angles, k=k: right_rotary(x, angles * k) for k in (2, 0.5, torch.pi / 180, 180 / torch.pi)],
    "Both numbers of a pair turn by one angle. Repeat each in place: repeat_interleave, not repeat.":
        lambda x, t: torch.stack([right_rotary(x, t.repeat(1, 2)[:, k::2])[..., k::2] for k in (0, 1)], -1).flatten(-2),
})  # fmt: skip


def right_attention(queries, keys, values):
    """f(queries (bsz, n_heads, seqlen, head_dim), keys, values (bsz, n_kv_heads, …)): causal, grouped attention."""
    group, seqlen = queries.shape[1] // keys.shape[1], queries.shape[2]
    keys, values = keys.repeat_interleave(group, 1), values.repeat_interleave(group, 1)
    future = torch.ones(seqlen, seqlen).triu(1).bool()
    scores = queries @ keys.transpose(2, 3) / queries.shape[3] ** 0.5
    scores = scores.masked_fill(future, -torch.inf)
    return scores.softmax(-1) @ values


def _heads(seed, bsz, n_heads, n_kv_heads, seqlen, head_dim):
    return 2 * _of(seed, bsz, n_heads, seqlen, head_dim), *_of(seed + 1, 2, bsz, n_kv_heads, seqlen, head_dim)


_MASK, _ROOT, _OUT = ".masked_fill(future, -torch.inf)", " / queries.shape[3] ** 0.5", "scores.softmax(-1) @ values"
_SOFT, _WIDE, _TILE = ".softmax(-1)", "repeat_interleave(group, 1)", "repeat(1, group, 1, 1)"
attention = exercise(right_attention, cases={
    "two texts, twelve heads share three": _heads(1, 2, 12, 3, 5, 8),
    "three texts, six heads share two": _heads(3, 3, 6, 2, 4, 5),
    "four heads share two": _heads(5, 1, 4, 2, 3, 16),
    "three heads, each with its own keys": _heads(7, 2, 3, 3, 6, 4),
    "six heads share one": _heads(9, 1, 6, 1, 2, 48),
    "every size is 3": _heads(11, 3, 3, 3, 3, 3),
    "one token sees itself": _heads(13, 2, 4, 4, 1, 6),
}, mistakes={
    "Tokens see the future. Put -inf wherever the key comes after the query: triu(1).":
        [swap(_MASK, ""), swap("triu(1)", "triu(2)")],
    "The mask hides the wrong half. Hide what is above the diagonal: triu(1).":
        [*swaps("triu(1)", "tril(-1)", "tril()"), swap("triu(1)", "tril()", "-torch.inf", "-1e9")],
    "The future still gets a share of the softmax. Fill its scores with -inf.": [*swaps("-torch.inf", "0.0", "-1.0",
        "-10.0", "torch.inf", "1e9"), *swaps(_MASK, " - 1 * future", " + 1 * future")],
    "The mask came after the softmax: the rows do not add up to 1. Mask the scores first.":
        [swap(_MASK, "", _SOFT, _SOFT + mask) for mask in (_MASK, ".tril()", ".masked_fill(future, -1e9)")],
    "A token sees itself. Hide only what comes after it: triu(1), not triu().":
        [swap("triu(1)", "triu()"), swap("triu(1)", "triu()", "-torch.inf", "-1e9")],
    "Everything is nan: 0 * -inf is nan. Fill instead: masked_fill(…, -inf).": swap(_MASK, " + future * -torch.inf"),
    "The scores are not divided by sqrt(head_dim).": swap(_ROOT, ""),
    "You divided by head_dim. Divide by its square root, once.": swap(" ** 0.5", ""),
    "You multiplied by sqrt(head_dim). Divide by it.": swap("/ queries", "* queries"),
    "That is the root of another number. head_dim is the last axis, queries.shape[-1].":
        [*swaps("s.shape[3]", "s.shape[0]", "s.shape[1]", "s.shape[2]", "s[0, :, 0].numel()",
         "s[0, ::group, 0].numel()"), *swaps("queries.shape[3]", "4", "8", "16", "48", "64", "128")],
    "Scale the scores, before the softmax.": [swap(_ROOT, "", _OUT, _OUT + _ROOT), swap(_OUT, _OUT + _ROOT)],
    "softmax ran along the wrong axis. Each query shares 1 among the keys: dim=-1.":
        swaps(_SOFT, ".softmax(0)", ".softmax(1)", ".softmax(2)"),
    "The weights of a query are positive and add up to 1: use softmax.":
        [*swaps(_SOFT, "", ".exp()", ".sigmoid()"), *(swap(_MASK, mask, _SOFT, "") for mask in ("", ".tril()"))],
    "The heads were laid out 0, 1, 0, 1. Neighbours share, 0, 0, 1, 1: repeat_interleave.":
        [swap(_WIDE, _TILE), *(swap(f"{x}.{_WIDE}", f"{x}.{_TILE}") for x in ("keys", "values"))],
    "All heads use the same keys. Each group has its own.": swaps(_WIDE, "narrow(1, 0, 1)", "mean(1, keepdim=True)"),
    "Query heads share a key head: repeat each, repeat_interleave(group, dim=1).":
        [swap(f".{_WIDE}", ""), swap("group, 1)", "group, 2)"), swap(f"values.{_WIDE}", "values")],
    "Take the group from the shapes: n_heads // n_kv_heads.": swaps("queries.shape[1] // keys.shape[1]", "2", "3", "4"),
    "Return (bsz, n_heads, seqlen, head_dim), like the queries. You moved or joined axes at the end.":
        swaps(_OUT, *(f"({_OUT}).transpose(1, 2){end}" for end in ("", ".flatten(2)", ".reshape(queries.shape)"))),
    "Queries meet keys in the scores; their softmax mixes the values.": [swap("@ values", "@ keys"), *swaps(
        "queries @ keys", "queries @ values", "keys @ keys"), lambda q, k, v: right_attention(q, v, k)],
    "The values are missing: weights @ values.": swaps(_OUT, "scores.softmax(-1)", "scores"),
    "A row is a query, a column a key: queries @ keys.transpose(2, 3).": swap("queries @ keys", "keys @ queries"),
    "Swap only the last two axes: keys.transpose(2, 3).":
        swaps("keys.transpose(2, 3)", "keys.flatten(2).unflatten(2, (-1, seqlen))", "keys", "keys.permute(3, 2, 1, 0)"),
})  # fmt: skip
