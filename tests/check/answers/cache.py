"""Right answers to the exercises on the key-value cache."""

import math

import numpy as np
import torch


def bytes_in_a_loop(args, bsz, seqlen, bytes_per_number):
    total = 0
    for _ in range(args.n_layers):
        keys = bsz * seqlen * args.n_kv_heads * (args.dim // args.n_heads) * bytes_per_number
        total += keys + keys
    return total


def mask_place_by_place(start_pos, seqlen):
    mask = torch.zeros(seqlen, start_pos + seqlen, dtype=torch.bool)
    for row in range(seqlen):
        for column in range(start_pos + seqlen):
            if column <= start_pos + row:
                mask[row, column] = True
    return mask


def mask_of_two_parts(start_pos, seqlen):
    new = torch.tril(torch.ones(seqlen, seqlen)).bool()
    return torch.cat([torch.ones(seqlen, start_pos, dtype=torch.bool), new], dim=1)


def mask_with_numpy(start_pos, seqlen):
    return torch.from_numpy(np.tri(seqlen, start_pos + seqlen, start_pos, dtype=bool))


def prompt_first(model, tokens, n_prompt):
    found = [model(tokens[:, :n_prompt], 0)[:, -1:]]
    for cur_pos in range(n_prompt + 1, tokens.shape[1]):
        found.append(model.forward(tokens[:, cur_pos - 1 : cur_pos], cur_pos - 1, last_only=True))
    return torch.cat(found, dim=1)


def into_a_tensor(model, tokens, n_prompt):
    bsz, total_len = tokens.shape
    logits = torch.empty(bsz, total_len - n_prompt, model.params.vocab_size)
    prev_pos = 0
    with torch.no_grad():
        for cur_pos in range(n_prompt, total_len):
            logits[:, cur_pos - n_prompt] = model(tokens[:, prev_pos:cur_pos], torch.tensor(prev_pos))[:, -1, :]
            prev_pos = cur_pos
    return logits


def with_while(model, tokens, n_prompt):
    rounds, start, end = [], 0, n_prompt
    while end < tokens.size(1):
        rounds += [model(tokens=tokens[:, start:end], start_pos=start)[:, end - start - 1]]
        start, end = end, end + 1
    return torch.stack(rounds).transpose(0, 1)


RIGHT = {
    "cache_bytes": [
        bytes_in_a_loop,
        lambda args, bsz, n, size: math.prod((2, args.n_layers, bsz, n, args.n_kv_heads, args.head_dim, size)),
        lambda args, bsz, n, size: np.int64(2 * args.n_layers * bsz * n * args.n_kv_heads * args.head_dim) * size,
        lambda args, bsz, n, size: 2 * bsz * n * size * args.n_layers * args.n_kv_heads * args.dim // args.n_heads,
        lambda args, bsz, n, size: (
            2 * args.n_layers * torch.empty(bsz, n, args.n_kv_heads, args.head_dim, device="meta").numel() * size
        ),
    ],
    "cache_mask": [
        mask_place_by_place,
        mask_of_two_parts,
        mask_with_numpy,
        lambda p, n: torch.arange(p + n) <= torch.arange(p, p + n)[:, None],
        lambda p, n: torch.arange(p + n)[None] - torch.arange(n)[:, None] < p + 1,
        lambda p, n: torch.ones(p + n, p + n, dtype=torch.bool).tril()[p:],
        lambda p, n: ~torch.ones(n, p + n).triu(p + 1).bool(),
        lambda p, n: torch.full((n, p + n), -torch.inf).triu(p + 1) == 0 if n > 1 else torch.ones(1, p + 1) > 0,
        lambda p, n: torch.tensor([[column <= p + row for column in range(p + n)] for row in range(n)]),
        lambda p, n: torch.stack([torch.cat([torch.ones(p + k + 1), torch.zeros(n - k - 1)]) for k in range(n)]) == 1,
    ],
    "cached_logits": [prompt_first, into_a_tensor, with_while],
}

EQUIVALENT = {}
