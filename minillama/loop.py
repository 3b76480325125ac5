"""The generate loop: one column of the canvas after another, each from the logits of those before it.

`steps` is the whole of it. It knows nothing about text or about Llama: `forward` may be any function from token ids
to logits. What a model needs around it (one run at a time on its cache, several ranks, few waits for a GPU) is in
`generation.py` and `guard.py`. Names are those of Meta's `llama/generation.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minillama.logprobs import TopLogprobs, token_logprobs
from minillama.logprobs import top_logprobs as most_probable
from minillama.sampling import Sampling, draw_rows

Forward = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True, slots=True)
class GenerationStep:
    """One column of the canvas, just written."""

    prev_pos: int  # forward read the columns prev_pos : cur_pos …
    cur_pos: int  # … and this one was written
    tokens: Tensor  # (bsz, total_len) the live canvas; clone it to keep it
    logits: Tensor  # (bsz, vocab_size) raw, for column cur_pos
    probs: Tensor | None  # (bsz, vocab_size) after penalties, temperature, top_k and min_p; None if greedy
    candidate: Tensor  # (bsz,) the model's choice; inside a prompt nothing is drawn: the most probable token
    next_token: Tensor  # (bsz,) the candidate, or the prompt's own token
    from_prompt: Tensor  # (bsz,) bool, input_text_mask[:, cur_pos]
    eos_reached: Tensor  # (bsz,) bool, this column included
    logprobs: Tensor | None  # (bsz, cur_pos - prev_pos) of the columns prev_pos + 1 : cur_pos + 1, if asked for
    top_logprobs: TopLogprobs | None = None  # (bsz, cur_pos - prev_pos, n) twice, of the same columns, if asked for


def canvas(prompt_tokens: Sequence[Sequence[int]], total_len: int, pad_id: int, device=None) -> Tensor:
    """The prompts, one per row, written over (bsz, total_len) int64 of pad_id.

    >>> canvas([[1, 9], [1, 5, 4]], total_len=4, pad_id=-1)
    tensor([[ 1,  9, -1, -1],
            [ 1,  5,  4, -1]])
    """
    tokens = torch.full((len(prompt_tokens), total_len), pad_id, dtype=torch.long, device=device)
    for k, t in enumerate(prompt_tokens):
        tokens[k, : len(t)] = torch.tensor(t, dtype=torch.long, device=device)
    return tokens


@torch.no_grad()
def steps(
    forward: Forward,
    prompt_tokens: Sequence[Sequence[int]],
    max_gen_len: int,
    sampling: Sampling,
    *,
    max_seq_len: int,
    stop_ids: Sequence[int],
    pad_id: int = -1,
    seeds: Sequence[int] | None = None,
    logprobs: bool = False,
    top_logprobs: int = 0,
    start: int = 0,
    device: torch.device | str | None = None,
    all_ended: Callable[[Tensor], bool] = lambda eos_reached: all(eos_reached.tolist()),
    agree: Callable[[Tensor], Tensor] = lambda next_token: next_token,
) -> Iterator[GenerationStep]:
    """Continue every prompt, column by column; one `GenerationStep` for each column that is written.

    forward(tokens (bsz, n) int64, start_pos) gives the logits (bsz, n, vocab_size) after tokens that stand at the
    positions start_pos to start_pos + n - 1; it has seen the earlier ones in the calls before. Where no logprobs are
    asked for it may give those of the last position alone, (bsz, 1, vocab_size). The first call reads the columns that
    every prompt fills, min_prompt_len, without those before `start`, which forward has seen already (so start is below
    min_prompt_len); every later call reads the column just written.

    prompt_tokens: bsz lists of ids, of any lengths, none of them pad_id. The canvas is max_gen_len columns longer than
    the longest prompt (so shorter rows are written on), at most max_seq_len; max_gen_len = 0, or prompts that fill
    max_seq_len, give no step. sampling: temperature 0 is greedy; else row k draws with a generator of its own, seeded
    by seeds[k] (by k if seeds is None), and only after its prompt. Penalties count a row's own tokens, up to its end.
    A row has reached eos when it writes one of stop_ids after its prompt. The loop ends when all_ended(eos_reached
    (bsz,)) says so, or at the last column; a row that has ended is written until then, and whoever reads the canvas
    cuts it.
    agree: what next_token (bsz,) passes through, so that processes which share a model all write the same.
    Nothing is judged here: `Llama.generate_steps` does that before it calls.

    A model that counts down, and stops at 2:

    >>> def countdown(tokens, start_pos):
    ...     return torch.nn.functional.one_hot((tokens - 1).clamp(min=0), 10).float()
    >>> greedy, limits = Sampling(temperature=0), {"max_seq_len": 16, "stop_ids": [2]}
    >>> [step.next_token.tolist() for step in steps(countdown, [[1, 5], [1, 6, 4]], 8, greedy, **limits)]
    [[4, 4], [3, 3], [2, 2]]
    """
    if max_gen_len == 0:
        return
    bsz, lengths = len(prompt_tokens), [len(t) for t in prompt_tokens]
    min_prompt_len = min(lengths)
    total_len = min(max_seq_len, max_gen_len + max(lengths))
    generators = [torch.Generator(device or "cpu").manual_seed(seed) for seed in seeds or range(bsz)]
    stops = torch.tensor(stop_ids, dtype=torch.long, device=device)  # (n stop ids,)

    tokens = canvas(prompt_tokens, total_len, pad_id, device)  # (bsz, total_len)
    input_text_mask = tokens != pad_id  # (bsz, total_len)
    eos_reached = torch.zeros(bsz, dtype=torch.bool, device=device)  # (bsz,)
    steers, counted = sampling.steers, tokens.where(input_text_mask, -1)  # (bsz, total_len), -1: counts for no penalty
    prev_pos = start
    for cur_pos in range(min_prompt_len, total_len):
        logits = forward(tokens[:, prev_pos:cur_pos], prev_pos)  # (bsz, cur_pos - prev_pos or 1, vocab_size)
        last = logits[:, -1]  # (bsz, vocab_size)
        choice = last
        if steers:
            choice = sampling.steer(last, counted[:, :cur_pos], input_text_mask[:, :cur_pos])  # (bsz, vocab_size)
        probs = sampling.probs(choice)  # (bsz, vocab_size), None if greedy
        rows = [k for k in range(bsz) if lengths[k] <= cur_pos] if probs is not None else []  # that draw
        if len(rows) == bsz:
            candidate = draw_rows(probs, sampling.top_p, generators).reshape(-1)  # (bsz,)
        else:
            candidate = torch.argmax(choice, dim=-1)  # (bsz,)
        if 0 < len(rows) < bsz:
            drawn = draw_rows(probs[rows], sampling.top_p, [generators[k] for k in rows])  # (n rows, 1)
            candidate[rows] = drawn.reshape(-1)
        from_prompt = input_text_mask[:, cur_pos]  # (bsz,)
        next_token = agree(torch.where(from_prompt, tokens[:, cur_pos], candidate))  # (bsz,)
        tokens[:, cur_pos] = next_token
        if steers:
            counted[:, cur_pos] = next_token.masked_fill(eos_reached, -1)
        eos_reached = eos_reached | (~from_prompt & torch.isin(next_token, stops))  # (bsz,)
        scores = token_logprobs(logits, tokens[:, prev_pos + 1 : cur_pos + 1]) if logprobs else None
        best = most_probable(logits, top_logprobs) if top_logprobs else None
        yield GenerationStep(
            prev_pos, cur_pos, tokens, last, probs, candidate, next_token, from_prompt, eos_reached, scores, best
        )
        prev_pos = cur_pos
        if all_ended(eos_reached):
            break
