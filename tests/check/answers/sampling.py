"""Right answers to the exercises on sampling."""

import numpy as np
import torch

from minillama.sampling import filter_min_p, nucleus
from minillama.sampling import sample_top_p as package_sample_top_p


def solution_top_p(probs, p):
    probs_sort, probs_idx = torch.sort(probs, dim=-1, descending=True)
    mask = torch.cumsum(probs_sort, dim=-1) - probs_sort > p
    kept = probs_sort.masked_fill(mask, 0.0)
    kept = kept / kept.sum(dim=-1, keepdim=True)
    return torch.zeros_like(probs).scatter(-1, probs_idx, kept)


def top_p_of_the_package(probs, p):
    top = nucleus(probs, p)
    return torch.zeros_like(probs).scatter(-1, top.probs_idx, top.renormalised)


def top_p_in_a_loop(probs, p):
    kept = torch.zeros_like(probs)
    for row, out in zip(probs, kept, strict=True):
        before = torch.zeros((), dtype=probs.dtype)
        for k in sorted(range(len(row)), key=lambda k: -row[k]):
            if before > p:
                break
            out[k] = row[k]
            before = before + row[k]
    return kept / kept.sum(-1, True)


def top_p_by_ranks(probs, p):
    probs_sort, probs_idx = probs.sort(-1, True)
    dropped = (probs_sort.cumsum(-1) - probs_sort > p).gather(-1, probs_idx.argsort(-1))
    kept = torch.where(dropped, torch.zeros_like(probs), probs)
    return torch.nn.functional.normalize(kept, p=1, dim=-1)


def top_p_with_numpy(probs, p):
    values = probs.numpy()
    order = np.argsort(-values, axis=-1, kind="stable")
    ranked = np.take_along_axis(values, order, -1)
    ranked = np.where(ranked.cumsum(-1) - ranked > p, 0, ranked)
    kept = np.zeros_like(values)
    np.put_along_axis(kept, order, ranked / ranked.sum(-1, keepdims=True), -1)
    return torch.from_numpy(kept)


def sample_from_the_filter(probs, p, generator):
    return torch.multinomial(top_p_of_the_package(probs, p), num_samples=1, generator=generator)


def sample_by_the_inverse(probs, p, generator):
    edges = top_p_of_the_package(probs, p).cumsum(-1)
    edges = edges / edges[:, -1:]
    return (torch.rand(len(probs), 1, generator=generator) >= edges).sum(-1, keepdim=True)


def sample_by_the_gumbel_trick(probs, p, generator):
    noise = -torch.rand(probs.shape, generator=generator).clamp(min=1e-9).log()
    return (top_p_of_the_package(probs, p) / noise).argmax(-1, keepdim=True)


RIGHT = {
    "greedy": [
        lambda probs: probs.max(dim=-1).indices,
        lambda probs: probs.topk(1).indices.squeeze(-1),
        lambda probs: probs.argsort(dim=-1, descending=True)[:, 0],
        lambda probs: torch.tensor([max(range(len(row)), key=lambda k: row[k]) for row in probs.tolist()]),
        lambda probs: torch.from_numpy(probs.numpy().argmax(-1)),
        lambda probs: torch.stack([torch.argmax(row) for row in probs]),
    ],
    "top_p": [
        solution_top_p,
        top_p_of_the_package,
        top_p_in_a_loop,
        top_p_by_ranks,
        top_p_with_numpy,
    ],
    "sample_top_p": [
        sample_from_the_filter,
        sample_by_the_inverse,
        sample_by_the_gumbel_trick,
        lambda probs, p, generator: package_sample_top_p(probs, p, generator),
    ],
    "min_p": [
        filter_min_p,
        lambda probs, m: (lambda kept: kept / kept.sum(-1, True))(probs * (probs >= m * probs.max(-1, True).values)),
        lambda probs, m: torch.stack(
            [(row * ~(row < m * row.max())) / row[row >= m * row.max()].sum() for row in probs]
        ),
        lambda probs, m: torch.from_numpy(
            (lambda x: x / x.sum(-1, keepdims=True))(
                np.where(probs.numpy() < m * probs.numpy().max(-1, keepdims=True), 0, probs.numpy())
            )
        ),
    ],
}

LAST = "torch.sort works along the last axis by itself"
EQUIVALENT = {
    "sample_top_p": {"probs_sort, probs_idx = torch.sort(probs, descending=True)": LAST},
    "top_p": {
        "probs_sort, probs_idx = torch.sort(probs, descending=True)": LAST,
        "return torch.ones_like(probs).scatter(-1, probs_idx, kept)": "scatter writes every column",
    },
}
