"""Right answers to the exercises on log-probabilities."""

import math
import statistics

import numpy as np
import torch
import torch.nn.functional as F

from minillama.logprobs import perplexity, token_logprobs


def scored_in_a_loop(logits, targets, pad_id):
    scores = torch.zeros(targets.shape)
    for row in range(targets.shape[0]):
        for i in range(targets.shape[1]):
            token = targets[row, i].item()
            if token != pad_id:
                scores[row, i] = logits[row, i, token] - torch.logsumexp(logits[row, i], dim=0)
    return scores


def scored_by_index(logits, targets, pad_id):
    bsz, seqlen = targets.shape
    safe = torch.where(targets == pad_id, torch.zeros_like(targets), targets)
    scores = F.log_softmax(logits, -1)[torch.arange(bsz)[:, None], torch.arange(seqlen), safe]
    return scores * (targets != pad_id)


def scored_by_one_hot(logits, targets, pad_id):
    hot = targets[..., None] == torch.arange(logits.shape[-1])
    return (logits.log_softmax(dim=2) * hot).sum(dim=2)


def scored_by_hand(logits, targets, pad_id):
    shifted = logits - logits.max(dim=-1, keepdim=True).values
    table = shifted - shifted.exp().sum(dim=-1, keepdim=True).log()
    picked = torch.take_along_dim(table, targets.where(targets != pad_id, 0).unsqueeze(-1), dim=-1).squeeze(-1)
    picked[targets == pad_id] = 0
    return picked


def scored_with_numpy(logits, targets, pad_id):
    x, ids = logits.numpy(), targets.numpy()
    table = x - np.logaddexp.reduce(x, axis=-1, keepdims=True)
    picked = np.take_along_axis(table, np.where(ids == pad_id, 0, ids)[..., None], -1)[..., 0]
    return torch.from_numpy(np.where(ids == pad_id, 0, picked).astype(np.float32))


def scored_flat(logits, targets, pad_id):
    table, flat = logits.flatten(0, 1).log_softmax(-1), targets.flatten()
    return F.nll_loss(table, flat, reduction="none", ignore_index=pad_id).neg().view(targets.shape)


def shifted(logits, tokens, pad_id):
    return scored_by_index(logits[:, :-1], tokens[:, 1:], pad_id)


def echoed_in_a_loop(logits, tokens, pad_id):
    scores, answer = shifted(logits, tokens, pad_id), []
    for row in range(len(tokens)):
        entries = []
        for i, token in enumerate(tokens[row]):
            if token == pad_id:
                break
            entries.append(scores[row, i - 1].item() if i else None)
        answer.append(entries)
    return answer


def echoed_by_mask(logits, tokens, pad_id):
    scores = shifted(logits, tokens, pad_id)
    return [[None, *row[ids[1:] != pad_id]] for row, ids in zip(scores, tokens, strict=True)]


def echoed_with_numpy(logits, tokens, pad_id):
    scores, ids = shifted(logits, tokens, pad_id).numpy(), tokens.numpy()
    return [[None] + list(row[: np.count_nonzero(each != pad_id) - 1]) for row, each in zip(scores, ids, strict=True)]


def perplexity_in_a_loop(logprobs):
    total, count = 0.0, 0
    for logprob in logprobs:
        if logprob is None:
            continue
        total += logprob
        count += 1
    if count == 0:
        raise ValueError("no token was predicted")
    return math.e ** (-total / count)


def perplexity_by_mean(logprobs):
    class NothingThere(ValueError):
        pass

    if all(each is None for each in logprobs):
        raise NothingThere("no token was predicted")
    return 1 / math.exp(statistics.fmean(each for each in logprobs if each is not None))


def perplexity_with_numpy(logprobs):
    known = np.array([each for each in logprobs if each is not None])
    if not known.size:
        raise ValueError("no token was predicted")
    return np.exp(-known.mean())


def perplexity_of_tensors(logprobs):
    known = torch.tensor([each for each in logprobs if each is not None])
    if known.numel() == 0:
        raise ValueError("no token was predicted")
    return known.mean().neg().exp()


RIGHT = {
    "token_logprobs": [
        scored_in_a_loop,
        scored_by_index,
        scored_by_one_hot,
        scored_by_hand,
        scored_with_numpy,
        scored_flat,
    ],
    "prompt_logprobs": [
        shifted,
        lambda logits, tokens, pad_id: token_logprobs(logits[:, :-1], tokens[:, 1:], pad_id),
        lambda logits, tokens, pad_id: scored_in_a_loop(logits, tokens.roll(-1, 1), pad_id)[:, :-1],
        lambda logits, tokens, pad_id: scored_by_hand(logits.roll(1, 1), tokens, pad_id)[:, 1:],
        lambda logits, tokens, pad_id: (
            -F.cross_entropy(logits[:, :-1].permute(0, 2, 1), tokens[:, 1:], reduction="none", ignore_index=pad_id)
        ),
    ],
    "echo_logprobs": [
        echoed_in_a_loop,
        echoed_by_mask,
        echoed_with_numpy,
        lambda *args: tuple(map(tuple, echoed_in_a_loop(*args))),
    ],
    "perplexity": [
        perplexity,
        perplexity_in_a_loop,
        perplexity_by_mean,
        perplexity_with_numpy,
        perplexity_of_tensors,
    ],
}

_ANY_COLUMN = "What is read at a pad is thrown away."
EQUIVALENT = {
    "token_logprobs": {
        "column = targets.masked_fill(targets == pad_id, 1)[..., None]": _ANY_COLUMN,
        "scores = table.gather(-1, column)[..., -1].where(targets != pad_id, 0.0)": "The last axis has one place.",
    },
    "prompt_logprobs": {
        "before, targets = (logits[:, :], tokens[:, 1:])": "gather reads as many positions as there are targets."
    },
    "echo_logprobs": {
        "return [[None, *row[:n - 1]] for row, n in zip(scores, lengths)]": "Both have a row each.",
        "return [[None, *row[:n - 1]] for row, n in zip(scores, lengths, strict=False)]": "Both have a row each.",
    },
}
