"""Right answers to the exercise on the whole generate loop."""

import numpy as np
import torch


def until(ids, eos_id):
    return ids[: ids.index(eos_id)] if eos_id in ids else ids


def by_helpers(model, prompt_tokens, max_gen_len, max_seq_len, eos_id, pad_id):
    """As in the notebook, whose canvas is filled with -1."""
    lengths = [len(t) for t in prompt_tokens]
    tokens = torch.full((len(lengths), min(max_seq_len, max_gen_len + max(lengths))), -1)
    for k, t in enumerate(prompt_tokens):
        tokens[k, : len(t)] = torch.tensor(t)
    mask = tokens != pad_id
    ended, prev_pos = torch.zeros(len(lengths), dtype=torch.bool), 0
    for cur_pos in range(min(lengths), tokens.shape[1]):
        candidate = model(tokens[:, prev_pos:cur_pos], prev_pos)[:, -1].argmax(dim=-1)
        next_token = torch.where(mask[:, cur_pos], tokens[:, cur_pos], candidate)
        tokens[:, cur_pos] = next_token
        ended |= ~mask[:, cur_pos] & (next_token == eos_id)
        prev_pos = cur_pos
        if ended.all():
            break
    rows = zip(tokens.tolist(), lengths, strict=True)
    return [until(row[n : n + max_gen_len], eos_id) for row, n in rows]


def by_lists(model, prompt_tokens, max_gen_len, max_seq_len, eos_id, pad_id):
    """Without a canvas: the rows grow; what is handed over is made of them."""
    start, end = min(map(len, prompt_tokens)), min(max_seq_len, max_gen_len + max(map(len, prompt_tokens)))
    rows, done, seen = [list(t[:start]) for t in prompt_tokens], [False] * len(prompt_tokens), 0
    while len(rows[0]) < end and not all(done):
        logits = model(torch.tensor([row[seen:] for row in rows]), seen)
        seen = len(rows[0])
        for k, prompt in enumerate(prompt_tokens):
            new = len(rows[k]) >= len(prompt)
            rows[k].append(logits[k, -1].argmax().item() if new else prompt[len(rows[k])])
            done[k] = done[k] or (new and rows[k][-1] == eos_id)
    return [until(row[len(t) :][:max_gen_len], eos_id) for row, t in zip(rows, prompt_tokens, strict=True)]


def that_stops_early(model, prompt_tokens, max_gen_len, max_seq_len, eos_id, pad_id):
    """A row has ended also after max_gen_len tokens; the last position's logits only; numpy's ids."""
    lengths = torch.tensor([len(t) for t in prompt_tokens])
    total_len = min(max_seq_len, int(lengths.max()) + max_gen_len)
    tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(t) for t in prompt_tokens], True, pad_id)
    tokens = torch.cat([tokens, torch.full((len(tokens), total_len - tokens.shape[1]), pad_id)], dim=1)
    active, prev_pos = torch.ones(len(tokens), dtype=torch.bool), 0
    answers = [[] for _ in prompt_tokens]
    for cur_pos in range(int(lengths.min()), total_len):
        logits = model.forward(tokens[:, prev_pos:cur_pos], start_pos=prev_pos, last_only=True).squeeze(1)
        free = lengths <= cur_pos
        tokens[free, cur_pos] = logits.max(dim=-1).indices[free]
        for k, token in enumerate(tokens[:, cur_pos].numpy()):
            if free[k] and active[k]:
                active[k] = bool(token != eos_id and len(answers[k]) + 1 < max_gen_len)
                answers[k] += [np.int64(token)] * int(token != eos_id)
        if not active.any():
            break
        prev_pos = cur_pos
    return answers


RIGHT = {"generate": [by_helpers, by_lists, that_stops_early]}

EQUIVALENT = {"generate": {}}
