"""Right answers to the exercises on steering and search."""

import heapq

import numpy as np
import torch


def repetition_in_a_loop(logits, tokens, penalty):
    out = logits.clone()
    for k, row in enumerate(tokens.tolist()):
        for i in set(row):
            out[k, i] = logits[k, i] / penalty if logits[k, i] > 0 else logits[k, i] * penalty
    return out


def repetition_by_gather(logits, tokens, penalty):
    found = logits.gather(-1, tokens)
    return logits.scatter(-1, tokens, torch.where(found < 0, found * penalty, found / penalty))


def repetition_with_numpy(logits, tokens, penalty):
    values = logits.numpy().copy()
    for row, ids in zip(values, tokens.numpy(), strict=True):
        ids = np.unique(ids)
        row[ids] *= np.where(row[ids] > 0, 1 / penalty, penalty)
    return torch.from_numpy(values)


def banned_by_pairs(ids, n):
    grams = {}
    for group in zip(*(ids[k:] for k in range(n)), strict=False):
        grams.setdefault(group[:-1], []).append(group[-1])
    return grams.get(tuple(ids[len(ids) - n + 1 :]), [])


def banned_by_trying(ids, n):
    groups = {tuple(ids[k : k + n]) for k in range(len(ids) - n + 1)}
    return {i for i in ids if len(ids) + 1 >= n and tuple([*ids, i][len(ids) + 1 - n :]) in groups}


def banned_in_words(ids, n):
    found = []
    for end in range(n - 1, len(ids)):
        same = all(ids[end - j] == ids[len(ids) - j] for j in range(1, n))
        if same and ids[end] not in found:
            found.append(ids[end])
    return sorted(found)


def best_in_a_loop(rows, alpha):
    best, place = None, None
    for k, row in enumerate(rows):
        score = sum(row) / len(row) ** alpha
        if best is None or score > best:
            best, place = score, k
    return place


def best_by_key(rows, alpha):
    return max(range(len(rows)), key=lambda k: sum(rows[k]) * len(rows[k]) ** -alpha)


def best_with_torch(rows, alpha):
    scores = torch.tensor([sum(row) / len(row) ** alpha for row in rows], dtype=torch.float64)
    return torch.argmax(scores)


def beam_in_a_loop(sums, logprobs, k):
    found = []
    for b, row in enumerate(logprobs.tolist()):
        found += [(sums[b].item() + logprob, b, token) for token, logprob in enumerate(row)]
    found = heapq.nlargest(k, found)
    totals, parents, tokens = zip(*found, strict=True)
    return torch.tensor(totals), torch.tensor(parents), torch.tensor(tokens)


def beam_by_sort(sums, logprobs, k):
    totals = (logprobs.T + sums).T.reshape(-1)
    order = totals.argsort(descending=True)[:k]
    parents = torch.div(order, logprobs.size(-1), rounding_mode="floor")
    return [totals[order], parents, order - parents * logprobs.size(-1)]


def beam_of_beams(sums, logprobs, k):
    few, ids = logprobs.topk(min(k, logprobs.shape[-1]), dim=-1)  # no beam can give more
    best, places = (sums.unsqueeze(-1) + few).flatten().topk(k)
    parents = places // few.shape[-1]
    return best, parents, ids.flatten()[places]


def only_by_masked_fill(logits, allowed):
    outside = torch.ones_like(logits, dtype=torch.bool)
    outside[:, allowed] = False
    return logits.masked_fill(outside, -torch.inf)


def only_by_copying(logits, allowed):
    out = torch.full(logits.shape, float("-inf"))
    out[:, allowed] = logits[:, allowed]
    return out


def only_in_a_loop(logits, allowed):
    return torch.tensor([[x if i in allowed else -torch.inf for i, x in enumerate(row)] for row in logits.tolist()])


RIGHT = {
    "repetition": [repetition_in_a_loop, repetition_by_gather, repetition_with_numpy],
    "banned": [banned_by_pairs, banned_by_trying, banned_in_words],
    "best_of": [best_in_a_loop, best_by_key, best_with_torch],
    "beam_step": [beam_in_a_loop, beam_by_sort, beam_of_beams],
    "only": [only_by_masked_fill, only_by_copying, only_in_a_loop],
}

EQUIVALENT = {
    "repetition": {
        "lower = torch.where(logits >= 0, logits / penalty, logits * penalty)": "0 divided or multiplied is 0",
        "there = torch.zeros_like(logits).scatter(-1, tokens, 2.0) > 0": "any number above 0 marks a token",
    },
}
