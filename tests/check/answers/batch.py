"""Right answers to the exercises on the prompt batch."""

import math

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence


def canvas_of_lists(prompt_tokens, max_gen_len, max_seq_len, pad_id):
    total_len = min(max_seq_len, max_gen_len + len(max(prompt_tokens, key=len)))
    return torch.tensor([t + [pad_id] * (total_len - len(t)) for t in prompt_tokens])


def canvas_place_by_place(prompt_tokens, max_gen_len, max_seq_len, pad_id):
    longest = 0
    for t in prompt_tokens:
        if len(t) > longest:
            longest = len(t)
    total_len = longest + max_gen_len
    if total_len > max_seq_len:
        total_len = max_seq_len
    tokens = torch.ones(len(prompt_tokens), total_len, dtype=torch.long) * pad_id
    for k in range(len(prompt_tokens)):
        for column in range(len(prompt_tokens[k])):
            tokens[k, column] = prompt_tokens[k][column]
    return tokens


def canvas_by_pad_sequence(prompt_tokens, max_gen_len, max_seq_len, pad_id):
    rows = pad_sequence([torch.tensor(t) for t in prompt_tokens], batch_first=True, padding_value=pad_id)
    total_len = min(max_seq_len, max_gen_len + rows.shape[1])
    return torch.nn.functional.pad(rows, (0, total_len - rows.shape[1]), value=pad_id)


def canvas_with_numpy(prompt_tokens, max_gen_len, max_seq_len, pad_id):
    lengths = np.array([len(t) for t in prompt_tokens])
    tokens = np.full((len(lengths), min(max_seq_len, max_gen_len + lengths.max())), pad_id, dtype=np.int64)
    for row, t in zip(tokens, prompt_tokens, strict=True):
        row[: len(t)] = t
    return torch.from_numpy(tokens)


def mask_row_by_row(prompt_tokens, total_len):
    mask = torch.zeros(len(prompt_tokens), total_len, dtype=torch.bool)
    for k, t in enumerate(prompt_tokens):
        mask[k, : len(t)] = True
    return mask


def mask_with_numpy(prompt_tokens, total_len):
    lengths = np.array([len(t) for t in prompt_tokens])
    return torch.from_numpy(np.arange(total_len) < lengths.reshape(-1, 1))


def mask_by_a_pad_that_is_no_id(prompt_tokens, total_len):
    return canvas_of_lists(prompt_tokens, total_len, total_len, -1) != -1


def bytes_layer_by_layer(args, bytes_per_number):
    total = 0
    for _ in range(args.n_layers):
        for _ in ("keys", "values"):
            total += args.max_seq_len * args.n_kv_heads * (args.dim // args.n_heads) * bytes_per_number
    return total


RIGHT = {
    "canvas": [canvas_of_lists, canvas_place_by_place, canvas_by_pad_sequence, canvas_with_numpy],
    "input_text_mask": [
        mask_row_by_row,
        mask_with_numpy,
        mask_by_a_pad_that_is_no_id,
        lambda p, n: torch.tensor([[column < len(t) for column in range(n)] for t in p]),
        lambda p, n: torch.tensor([[True] * len(t) + [False] * (n - len(t)) for t in p]),
        lambda p, n: torch.stack([torch.arange(n) <= len(t) - 1 for t in p]),
        lambda p, n: ~(torch.arange(n).expand(len(p), n) >= torch.tensor([[len(t)] for t in p])),
    ],
    "row_bytes": [
        bytes_layer_by_layer,
        lambda args, size: 2 * args.n_layers * args.max_seq_len * args.n_kv_heads * args.head_dim * size,
        lambda args, size: math.prod((2, args.n_layers, args.max_seq_len, args.n_kv_heads, args.head_dim, size)),
        lambda args, size: np.prod([2, args.n_layers, args.max_seq_len, args.n_kv_heads, args.head_dim, size]),
        lambda args, size: (
            torch.zeros(
                2, args.n_layers, args.max_seq_len, args.n_kv_heads, args.head_dim, dtype=torch.int8, device="meta"
            ).numel()
            * size
        ),
        lambda args, size: 2 * size * args.max_seq_len * args.n_layers * args.n_kv_heads * args.dim // args.n_heads,
    ],
}

EQUIVALENT = {}
