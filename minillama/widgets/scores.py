"""What a model thought of every token of a text: plain data for the heat map."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from minillama.generation import Llama

N_TOP = 5


@dataclass(frozen=True)
class ScoredToken:
    """A token of a text, and what the model thought of it; None where nothing predicts it."""

    piece: str
    from_prompt: bool
    logprob: float | None
    rank: int | None  # 1: no token was more probable
    top: list[tuple[str, float]] | None  # the N_TOP most probable tokens there, and their probabilities

    def is_below(self, threshold: float) -> bool:
        return self.logprob is not None and math.exp(self.logprob) < threshold


@dataclass(frozen=True)
class ScoredText:
    """A prompt with what was written after it, scored by the raw logits."""

    prompt: str
    temperature: float
    tokens: list[ScoredToken]
    vocab_size: int


def score(
    llama: Llama, prompt: str, max_gen_len: int = 0, temperature: float = 0.0, top_p: float = 0.9, seed: int = 1
) -> ScoredText:
    """Continue a prompt and score every token. Raises ValueError as `Llama.generate` does."""
    ids = llama.tokenizer.encode(prompt, bos=True, eos=False)
    sampler = {"temperature": temperature, "top_p": top_p, "seed": seed}
    (row,), (logprobs,) = llama.generate([ids], max_gen_len, logprobs=True, echo=True, **sampler)
    logits = llama.logits([row])[0, :-1]  # (seqlen - 1, vocab_size)
    own = logits.gather(-1, torch.tensor(row[1:], device=logits.device)[:, None])  # (seqlen - 1, 1)
    ranks = (1 + (logits > own).sum(-1)).tolist()
    best = logits.softmax(-1).topk(min(N_TOP, logits.shape[-1]), dim=-1)  # (seqlen - 1, N_TOP) twice
    tops = [[*zip(llama.tokenizer.pieces(i), p, strict=True)]
            for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]  # fmt: skip
    columns = (llama.tokenizer.pieces(row), logprobs, [None, *ranks], [None, *tops])
    scored = [
        ScoredToken(name, i < len(ids), logprob, rank, top)
        for i, (name, logprob, rank, top) in enumerate(zip(*columns, strict=True))
    ]
    return ScoredText(prompt, temperature, scored, llama.tokenizer.n_words)
