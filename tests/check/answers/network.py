"""Right answers to the exercises on the network."""

import math

import torch
import torch.nn.functional as F

from minillama.model import RMSNorm, apply_rotary_emb


def package_norm(x, weight, eps):
    norm = RMSNorm(len(weight), eps).requires_grad_(False)
    norm.weight = torch.nn.Parameter(weight, requires_grad=False)
    return norm(x)


def norm_in_a_loop(x, weight, eps):
    out = torch.empty_like(x)
    for k, text in enumerate(x):
        for i, token in enumerate(text):
            out[k, i] = (token.float() / math.sqrt(token.float().square().mean().item() + eps)).type_as(x) * weight
    return out


def rotary_of_complex(x, angles):
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)[:, None]).flatten(-2)


def rotary_in_a_loop(x, angles):
    out = torch.empty_like(x)
    for p in range(x.shape[1]):
        for i in range(x.shape[3] // 2):
            cos, sin = math.cos(angles[p, i]), math.sin(angles[p, i])
            out[:, p, :, 2 * i] = x[:, p, :, 2 * i] * cos - x[:, p, :, 2 * i + 1] * sin
            out[:, p, :, 2 * i + 1] = x[:, p, :, 2 * i] * sin + x[:, p, :, 2 * i + 1] * cos
    return out


def rotary_of_repeated_angles(x, angles):
    cos, sin = (each.repeat_interleave(2, -1)[:, None] for each in (angles.cos(), angles.sin()))
    return x * cos + torch.stack([-x[..., 1::2], x[..., 0::2]], -1).flatten(-2) * sin


def attention_in_a_loop(queries, keys, values):
    out, group = torch.zeros_like(queries), queries.shape[1] // keys.shape[1]
    for b, h, t in torch.cartesian_prod(*(torch.arange(n) for n in queries.shape[:3])).tolist():
        scores = keys[b, h // group, : t + 1] @ queries[b, h, t] / queries.shape[-1] ** 0.5
        out[b, h, t] = scores.softmax(0) @ values[b, h // group, : t + 1]
    return out


def attention_in_groups(queries, keys, values):
    bsz, n_heads, seqlen, head_dim = queries.shape
    grouped = queries.view(bsz, keys.shape[1], -1, seqlen, head_dim)
    scores = torch.einsum("bkgqd,bksd->bkgqs", grouped, keys) / math.sqrt(head_dim)
    scores = scores + torch.full((seqlen, seqlen), float("-inf")).triu(1)
    return torch.einsum("bkgqs,bksd->bkgqd", scores.softmax(-1), values).reshape(queries.shape)


def attention_by_hand(queries, keys, values):
    """The weights masked after exp, then divided by their sum; heads looked up by their number."""
    head = torch.arange(queries.shape[1]) // (queries.shape[1] // keys.shape[1])
    exps = (queries @ keys[:, head].mT / queries.shape[-1] ** 0.5).exp().tril()
    return exps / exps.sum(-1, keepdim=True) @ values[:, head]


def attention_of_expanded_keys(queries, keys, values):
    group, seqlen = queries.shape[1] // keys.shape[1], queries.shape[2]
    keys, values = (x[:, :, None].expand(-1, -1, group, -1, -1).flatten(1, 2) for x in (keys, values))
    scores = torch.matmul(queries, keys.transpose(-2, -1)) * queries.size(-1) ** -0.5
    seen = torch.arange(seqlen)[:, None] >= torch.arange(seqlen)
    return F.softmax(torch.where(seen, scores, -1e4), dim=-1) @ values


RIGHT = {
    "rms_norm": [
        package_norm,
        norm_in_a_loop,
        lambda x, w, e: (x.float() / torch.sqrt((x.float() ** 2).mean(dim=-1, keepdim=True) + e)).to(x.dtype) * w,
        lambda x, w, e: w * (x.double() / (x.double().pow(2).mean(-1, keepdim=True) + e) ** 0.5).to(x.dtype),
        lambda x, w, e: (x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + e)).type_as(x).mul(w),
        lambda x, w, e: F.rms_norm(x.float(), (x.shape[-1],), None, e).type_as(x) * w,
    ],
    "rotary": [
        rotary_of_complex,
        rotary_in_a_loop,
        rotary_of_repeated_angles,
        lambda x, angles: apply_rotary_emb(x, x, torch.polar(torch.ones_like(angles), angles))[0],
    ],
    "attention": [
        attention_in_a_loop,
        attention_in_groups,
        attention_by_hand,
        attention_of_expanded_keys,
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True),
    ],
}

EQUIVALENT = {
    "rotary": {"a, b = (x[..., ::2], x[..., 1::2])": "0::2 begins at the first anyway"},
    "attention": {
        "scores = queries @ keys.transpose(3, 2) / queries.shape[3] ** 0.5": "the same two axes change places",
    },
}
