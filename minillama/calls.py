"""Judges what a call of `Llama` takes as a whole: what is built, rows of tokens and the room for them, seeds, stops.

Single values (a number, a text, a dialog) are judged in arguments.py; the rules for errors are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral

import torch

from minillama import arguments


def build(
    ckpt_dir, tokenizer_path, max_seq_len, max_batch_size, seed, device, dtype, chat_format=None
) -> tuple[int | None, int, int]:
    """What `Llama.build` takes; max_seq_len, max_batch_size and seed come back."""
    arguments.path("ckpt_dir", ckpt_dir)
    if tokenizer_path is not None:
        arguments.path("tokenizer_path", tokenizer_path)
    numbers = (
        None if max_seq_len is None else arguments.whole("max_seq_len", max_seq_len, 1, arguments.LARGEST_SIZE),
        arguments.whole("max_batch_size", max_batch_size, 1, arguments.LARGEST_SIZE),
        arguments.whole("seed", seed, 0, arguments.LARGEST_SEED),
    )
    if device is not None:
        try:
            type_ = torch.device(device).type
        except (RuntimeError, TypeError, ValueError):
            type_ = None
        if type_ not in ("cpu", "cuda", "mps") or isinstance(device, bool | int):
            raise ValueError(f"device must be 'cpu', 'cuda', 'cuda:1' or 'mps', got {arguments.shown(device)}")
        if type_ == "mps" and not torch.backends.mps.is_available():
            raise ValueError(
                "device is 'mps', but this machine has no such GPU; pass 'cpu', or None to use whatever is available"
            )
        if type_ == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f"device is {str(device)!r}, but torch finds no GPU; pass 'cpu', or None to use whatever is available"
            )
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype must be a torch.dtype such as torch.float32, got {arguments.typed(dtype)}")
    if dtype not in (None, *arguments.DTYPES):
        raise ValueError(f"dtype must be torch.float32, bfloat16, float16 or float64, got {dtype}")
    if chat_format is not None and (not isinstance(chat_format, str) or chat_format not in arguments.CHAT_FORMATS):
        error = ValueError if isinstance(chat_format, str) else TypeError
        allowed = f"None (the checkpoint's own) or one of {arguments.CHAT_FORMATS}"
        raise error(f"chat_format must be {allowed}, got {arguments.shown(chat_format)}")
    return numbers


def faster(compile: bool, int8: bool, n_ranks: int) -> tuple[bool, bool]:
    """The two ways to a faster model that `Llama.build` offers."""
    compile, int8 = arguments.flag("compile", compile), arguments.flag("int8", int8)
    for name, wanted in (("compile", compile), ("int8", int8)):
        if wanted and n_ranks > 1:
            raise ValueError(f"{name} must be False where {n_ranks} ranks share a model: the combination is untested")
    return compile, int8


def prompt_tokens(value, params, max_gen_len: int, name: str = "prompt_tokens") -> list[list[int]]:
    """At most max_batch_size non-empty lists of token ids, each with room for a new token; params are the model's."""
    arguments.listing(name, value, "lists of token ids")
    for k, row in enumerate(value):
        if isinstance(row, Integral):
            raise TypeError(
                f"{name} must be a list of lists of token ids, but {name}[{k}] is {arguments.shown(row)}; write [[...]]"
            )
        arguments.listing(f"{name}[{k}]", row, "token ids")
    room(name, dict(enumerate(value)), params, max_gen_len)
    last = params.vocab_size - 1
    return [[arguments.whole(f"a token id in {name}[{k}]", i, 0, last) for i in row] for k, row in enumerate(value)]


def run(tokens, max_gen_len, seed, logprobs, params) -> tuple[list[list[int]], int, list[int] | None, bool]:
    """What `Llama.generate` and `generate_steps` take: prompt_tokens, max_gen_len, seeds and logprobs come back."""
    logprobs, max_gen_len = arguments.flag("logprobs", logprobs), arguments.whole("max_gen_len", max_gen_len, 0)
    rows = prompt_tokens(tokens, params, max_gen_len)
    return rows, max_gen_len, seeds(seed, len(rows)), logprobs


def room(name: str, rows: Mapping[int | None, Sequence[int]], params, max_gen_len) -> None:
    """Room in the batch and in the context for rows of token ids, each under its index in the caller's list `name`.

    The index None is that of a caller who gave no list.
    """
    if len(rows) > params.max_batch_size:
        raise ValueError(
            f"{name} has {len(rows)} prompts to run, but max_batch_size is {params.max_batch_size}; pass fewer at a "
            f"time, or Llama.build(..., max_batch_size={len(rows)})"
        )
    left, why = (0, "") if max_gen_len == 0 else (1, " and one place must be left for a new token")
    for k, row in rows.items():
        each = name if k is None else f"{name}[{k}]"
        if not row:
            raise ValueError(f"{each} has no tokens, not even bos, which this model lacks; write a text that has some")
        if len(row) > params.max_seq_len - left:
            raise ValueError(
                f"{each} has {len(row)} tokens, but max_seq_len is {params.max_seq_len}{why}; shorten the prompt, or "
                f"raise max_seq_len in Llama.build(...)"
            )


def max_gen_len(value, params) -> int:
    """How many new tokens at most; None: as many as the context of params, the model's ModelArgs, has room for."""
    return params.max_seq_len - 1 if value is None else arguments.whole("max_gen_len", value, 0)


def stops(value) -> list[str]:
    """stop: one str or several, none of them empty."""
    value = [value] if isinstance(value, str) else value
    several = isinstance(value, Sequence) and not isinstance(value, arguments.RAW)
    if not several or not all(isinstance(each, str) for each in value):
        raise TypeError(f"stop must be a str or a list of str, got {arguments.shown(value)}")
    for each in value:
        arguments.text("stop", each)
    if "" in value:
        raise ValueError("stop contains an empty str, which would stop at once; remove it")
    return list(value)


def top_logprobs(value, logprobs: bool, vocab_size: int) -> int:
    """How many of the most probable tokens are named beside each log-probability."""
    value = arguments.whole("top_logprobs", value, 0, vocab_size)
    if value and not logprobs:
        raise ValueError(f"top_logprobs is {value}, but logprobs is False; pass logprobs=True")
    return value


def seeds(value, bsz: int) -> list[int] | None:
    """One seed per row: None, an int s (row k gets s + k), or a list with one for each row."""
    if value is None:
        return None
    if isinstance(value, Sequence) and not isinstance(value, (str, *arguments.RAW)):
        if len(value) != bsz:
            raise ValueError(f"seed has length {len(value)}, but there are {bsz} rows; give one int, or one per row")
        return [arguments.whole(f"seed[{k}]", each, 0, arguments.LARGEST_SEED) for k, each in enumerate(value)]
    first = arguments.whole("seed", value, 0, arguments.LARGEST_SEED - bsz)
    return [first + k for k in range(bsz)]
