"""Right answers to the exercises on the next token."""

import numpy as np
import torch

from minillama import sample_top_p
from minillama.sampling import apply_temperature, nucleus


def candidate(logits, temperature, top_p, generator):
    last = logits[:, -1]  # (bsz, vocab_size)
    if temperature == 0:
        next_token = torch.argmax(last, dim=-1)  # (bsz,)
    else:
        next_token = sample_top_p(torch.softmax(last / temperature, dim=-1), top_p, generator)  # (bsz, 1)
    return next_token.reshape(-1)


def candidate_by_the_limit(logits, temperature, top_p, generator):
    return sample_top_p(apply_temperature(logits[:, -1], temperature), top_p, generator)[:, 0]


def candidate_without_the_sampler(logits, temperature, top_p, generator):
    last = logits[:, logits.shape[1] - 1, :]
    if not temperature:
        return last.max(dim=1).indices
    weights = ((last - last.amax(1, keepdim=True)) / temperature).exp()
    probs, ids = (weights / weights.sum(1, keepdim=True)).sort(dim=1, descending=True)
    probs[probs.cumsum(1) - probs > top_p] = 0
    return ids.gather(1, torch.multinomial(probs, 1, generator=generator)).squeeze(1)


def candidate_row_by_row(logits, temperature, top_p, generator):
    ids = []
    for row in logits[:, -1]:
        if temperature > 0:
            ids.append(sample_top_p((row / temperature).softmax(0)[None], top_p, generator).item())
        else:
            ids.append(int(np.argmax(row.numpy())))
    return torch.tensor(ids)


def write(tokens, input_text_mask, candidate, cur_pos):
    tokens = tokens.clone()  # (bsz, total_len)
    tokens[:, cur_pos] = torch.where(input_text_mask[:, cur_pos], tokens[:, cur_pos], candidate)
    return tokens


def write_in_a_loop(tokens, mask, candidate, cur_pos):
    tokens = tokens.clone()
    for k in range(len(tokens)):
        if not mask[k, cur_pos]:
            tokens[k, cur_pos] = candidate[k]
    return tokens


def write_where_free(tokens, mask, candidate, cur_pos):
    written, free = tokens.detach().clone(), ~mask[:, cur_pos]
    written[free, cur_pos] = candidate[free]
    return written


def write_at_once(tokens, mask, candidate, cur_pos):
    here = torch.arange(tokens.shape[1]) == cur_pos  # (total_len,)
    return torch.where(here & ~mask, candidate[:, None], tokens)


def write_by_pieces(tokens, mask, candidate, cur_pos):
    column = torch.where(mask, tokens, candidate.unsqueeze(1))[:, cur_pos : cur_pos + 1]
    return torch.cat([tokens[:, :cur_pos], column, tokens[:, cur_pos + 1 :]], dim=1)


def write_with_numpy(tokens, mask, candidate, cur_pos):
    rows = tokens.numpy().copy()
    rows[:, cur_pos] = np.where(mask[:, cur_pos].numpy(), rows[:, cur_pos], candidate.numpy())
    return torch.from_numpy(rows)


def draw(probs, top_p, from_prompt, generators):
    candidate = torch.argmax(probs, dim=-1)  # (bsz,)
    for k in range(len(probs)):
        if not from_prompt[k]:
            candidate[k] = sample_top_p(probs[k : k + 1], top_p, generators[k]).item()
    return candidate


def draw_from_lists(probs, top_p, from_prompt, generators):
    rows = zip(probs.split(1), from_prompt.tolist(), generators, strict=True)
    drawn = [row.argmax(-1, True) if inside else sample_top_p(row, top_p, [g]) for row, inside, g in rows]
    return torch.cat(drawn).flatten()


def draw_at_once(probs, top_p, from_prompt, generators):
    candidate = torch.argmax(probs, dim=-1)
    drawing = [k for k, inside in enumerate(from_prompt) if not inside]
    if drawing:
        candidate[drawing] = sample_top_p(probs[drawing], top_p, [generators[k] for k in drawing]).reshape(-1)
    return candidate


def draw_without_the_sampler(probs, top_p, from_prompt, generators):
    top = nucleus(probs, top_p)
    rows = []
    for k in range(len(probs)):
        place = 0 if from_prompt[k] else torch.multinomial(top.renormalised[k], 1, generator=generators[k])
        rows.append(int(top.probs_idx[k, place]))
    return torch.tensor(rows)


RIGHT = {
    "candidate": [candidate, candidate_by_the_limit, candidate_without_the_sampler, candidate_row_by_row],
    "write_column": [
        write,
        write_in_a_loop,
        write_where_free,
        write_at_once,
        write_by_pieces,
        write_with_numpy,
    ],
    "draw_rows": [draw, draw_from_lists, draw_at_once, draw_without_the_sampler],
}

EQUIVALENT = {
    "candidate": {"if temperature <= 0:": "no temperature is below 0"},
    "write_column": {},
    "draw_rows": {},
}
