"""Right answers to the exercises on the parts of the generate loop."""

import numpy as np
import torch

TOO_LONG = "a prompt is too long: no room for a new token"


def columns_in_a_loop(prompt_tokens, max_gen_len, max_seq_len):
    shortest, longest = len(prompt_tokens[0]), 0
    for prompt in prompt_tokens:
        if len(prompt) > max_seq_len - 1:
            raise ValueError(TOO_LONG)
        shortest, longest = min(shortest, len(prompt)), max(longest, len(prompt))
    return list(range(shortest, min(longest + max_gen_len, max_seq_len)))


def columns_by_key(prompt_tokens, max_gen_len, max_seq_len):
    longest = len(max(prompt_tokens, key=len))
    total_len = max_gen_len + longest if max_gen_len + longest < max_seq_len else max_seq_len
    if longest >= total_len:
        raise ValueError(TOO_LONG)
    return tuple(range(len(min(prompt_tokens, key=len)), total_len))


def columns_of_tensors(prompt_tokens, max_gen_len, max_seq_len):
    lengths = torch.tensor([len(t) for t in prompt_tokens])
    if (lengths >= max_seq_len).any():
        raise ValueError(TOO_LONG)
    return torch.arange(int(lengths.min()), min(max_seq_len, int(lengths.max()) + max_gen_len))


def columns_with_numpy(prompt_tokens, max_gen_len, max_seq_len):
    class PromptTooLong(ValueError):
        pass

    lengths = np.array([len(t) for t in prompt_tokens])
    if lengths.max() >= max_seq_len:
        raise PromptTooLong(TOO_LONG)
    return [np.int64(k) for k in range(lengths.min(), min(max_seq_len, max_gen_len + lengths.max()))]


def columns_as_an_array(prompt_tokens, max_gen_len, max_seq_len):
    longest = max(map(len, prompt_tokens))
    if max_seq_len - longest < 1:
        raise ValueError(TOO_LONG)
    return np.arange(min(map(len, prompt_tokens)), min(max_seq_len, longest + max_gen_len))


def eos_reached_in_a_loop(eos_reached, from_prompt, next_token, eos_id):
    ended = eos_reached.clone()
    for k in range(len(ended)):
        if not from_prompt[k] and next_token[k] == eos_id:
            ended[k] = True
    return ended


def cut_in_a_loop(row, prompt_len, max_gen_len, eos_id, echo):
    ids = list(row[:prompt_len]) if echo else []
    for k, token in enumerate(row[prompt_len:]):
        if k == max_gen_len or token == eos_id:
            break
        ids.append(token)
    return ids


def cut_by_index(row, prompt_len, max_gen_len, eos_id, echo):
    end = min(prompt_len + max_gen_len, len(row))
    try:
        end = row.index(eos_id, prompt_len, end)
    except ValueError:
        pass
    return row[0 if echo else prompt_len : end]


def cut_with_numpy(row, prompt_len, max_gen_len, eos_id, echo):
    answer = np.array(row)[prompt_len : prompt_len + max_gen_len]
    stops = np.flatnonzero(answer == eos_id)
    answer = answer[: stops[0]] if len(stops) else answer
    return [*(row[:prompt_len] if echo else []), *answer]


def cut_with_next(row, prompt_len, max_gen_len, eos_id, echo):
    new = row[prompt_len:][:max_gen_len]
    end = next((k for k, token in enumerate(new) if token == eos_id), len(new))
    return echo * row[:prompt_len] + new[:end]


RIGHT = {
    "all_ended": [
        lambda eos_reached: eos_reached.all(),
        lambda eos_reached: all(eos_reached.tolist()),
        lambda eos_reached: all(eos_reached),
        lambda eos_reached: eos_reached.numpy().all(),
        lambda eos_reached: np.all(eos_reached.numpy()),
        lambda eos_reached: not (~eos_reached).any(),
        lambda eos_reached: False not in eos_reached,
        lambda eos_reached: eos_reached.sum() == len(eos_reached),
        lambda eos_reached: eos_reached.all(dim=0, keepdim=True),
        lambda eos_reached: bool(eos_reached.float().mean() == 1),
    ],
    "columns": [
        columns_in_a_loop,
        columns_by_key,
        columns_of_tensors,
        columns_with_numpy,
        columns_as_an_array,
    ],
    "eos_reached": [
        eos_reached_in_a_loop,
        lambda ended, inside, token, eos: torch.logical_or(ended, torch.logical_and(~inside, token.eq(eos))),
        lambda ended, inside, token, eos: torch.where(inside, ended, ended | (token == eos)),
        lambda ended, inside, token, eos: ((token == eos) > inside) | ended,
        lambda ended, inside, token, eos: torch.tensor(
            [e or (not i and t == eos) for e, i, t in zip(ended.tolist(), inside.tolist(), token.tolist(), strict=True)]
        ),
        lambda ended, inside, token, eos: torch.from_numpy(ended.numpy() | (~inside.numpy() & (token.numpy() == eos))),
    ],
    "cut": [
        cut_in_a_loop,
        cut_by_index,
        cut_with_numpy,
        cut_with_next,
    ],
}

EQUIVALENT = {}
