"""The one place that judges what a caller passed, so that the loop stays readable.

Each function raises a TypeError or ValueError that names the argument, what it got, what is allowed and what to do,
before anything has run; what it returns is ready to use.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from os import PathLike

ROLES = ("system", "user", "assistant")
LARGEST_SEED = 2**63 - 1


def number(name: str, value, low: float, high: float = math.inf) -> None:
    """A finite number from low to high."""
    allowed = f"a number from {low:g} to {high:g}" if high < math.inf else f"a finite number of at least {low:g}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {allowed}, got {type(value).__name__} {value!r}")
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


def whole(name: str, value, low: int, high: float = math.inf) -> None:
    """A whole number from low to high."""
    allowed = f"a whole number of at least {low}" if high == math.inf else f"a whole number from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be {allowed}, got {type(value).__name__} {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be {allowed}, got {value}")


def listing(name: str, value, of: str) -> None:
    """A non-empty list or tuple."""
    if isinstance(value, str):
        raise TypeError(f"{name} must be a list of {of}, got the bare str {value[:40]!r}; write [{value[:40]!r}]")
    if not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a list of {of}, got {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} is empty; at least one of {of} is due")


def texts(name: str, value) -> None:
    """A non-empty list of str."""
    listing(name, value, "str")
    for k, text in enumerate(value):
        if not isinstance(text, str):
            raise TypeError(f"{name}[{k}] must be a str, got {type(text).__name__} {text!r}")


def dialog(value, name: str = "dialog") -> None:
    """An optional system message, then user and assistant in turns, the user's last."""
    listing(name, value, "messages {'role': ..., 'content': ...}")
    for k, message in enumerate(value):
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            raise ValueError(f"{name}[{k}] must be a dict with the keys 'role' and 'content', got {message!r}")
        if not isinstance(message["content"], str):
            kind = type(message["content"]).__name__
            raise TypeError(f"{name}[{k}]['content'] must be a str, got {kind} {message['content']!r}")
        if message["role"] not in ROLES:
            raise ValueError(f"{name}[{k}]['role'] must be one of {ROLES}, got {message['role']!r}")
    roles = [message["role"] for message in value]
    turns = roles[1:] if roles[0] == "system" else roles
    if turns != [("user", "assistant")[k % 2] for k in range(len(turns))]:
        raise ValueError(f"{name}: roles must be system (if any), then user and assistant in turns, got {roles}")
    if len(turns) % 2 == 0:
        raise ValueError(
            f"{name}: the last message must be the user's, got {roles[-1]!r}; add a user message to answer"
        )


def chat(value, seed) -> list[int] | None:
    """A non-empty list of dialogs. Returns a seed for each, or None."""
    listing("dialogs", value, "dialogs")
    if isinstance(value[0], dict):
        raise TypeError("dialogs must be a list of dialogs, got one dialog; write [dialog]")
    for k, each in enumerate(value):
        dialog(each, f"dialogs[{k}]")
    return seeds(seed, len(value))


def prompt_tokens(value, vocab_size: int, max_batch_size: int, longest: int, max_seq_len: int) -> None:
    """At most max_batch_size non-empty lists of token ids, each of at most `longest`."""
    listing("prompt_tokens", value, "lists of token ids")
    if len(value) > max_batch_size:
        raise ValueError(
            f"prompt_tokens has {len(value)} prompts, but max_batch_size is {max_batch_size}; pass fewer at a time, or "
            f"Llama.build(..., max_batch_size={len(value)})"
        )
    for k, row in enumerate(value):
        name = f"prompt_tokens[{k}]"
        if isinstance(row, Integral):
            raise TypeError(f"prompt_tokens must be a list of lists of token ids, but {name} is {row!r}; write [[...]]")
        listing(name, row, "token ids")
        for i in row:
            whole(f"a token id in {name}", i, 0, vocab_size - 1)
        if len(row) > longest:
            room = "" if longest == max_seq_len else " and one place must be left for a new token"
            raise ValueError(
                f"{name} has {len(row)} tokens, but max_seq_len is {max_seq_len}{room}; shorten the prompt, or "
                f"Llama.build(..., max_seq_len=...) with more"
            )


def generation(params, tokens, max_gen_len, temperature, top_p, top_k, min_p, seed) -> list[int] | None:
    """What the loop takes; params is the model's ModelArgs. Returns a seed for each row, or None."""
    whole("max_gen_len", max_gen_len, 0)
    longest = params.max_seq_len - (1 if max_gen_len else 0)
    prompt_tokens(tokens, params.vocab_size, params.max_batch_size, longest, params.max_seq_len)
    number("temperature", temperature, 0)
    number("top_p", top_p, 0, 1)
    if top_k is not None:
        whole("top_k", top_k, 1)
    if min_p is not None:
        number("min_p", min_p, 0, 1)
    return seeds(seed, len(tokens))


def build(ckpt_dir, tokenizer_path, max_seq_len, max_batch_size, model_parallel_size, seed) -> None:
    """What `Llama.build` takes, apart from what torch itself judges."""
    for name, path in (("ckpt_dir", ckpt_dir), ("tokenizer_path", tokenizer_path)):
        if not isinstance(path, str | PathLike) and (name == "ckpt_dir" or path is not None):
            raise TypeError(f"{name} must be a path, got {type(path).__name__} {path!r}")
    if max_seq_len is not None:
        whole("max_seq_len", max_seq_len, 1)
    whole("max_batch_size", max_batch_size, 1)
    whole("seed", seed, 0, LARGEST_SEED)
    if model_parallel_size not in (None, 1):
        raise ValueError(f"model_parallel_size must be None or 1 (one process), got {model_parallel_size!r}")


def stops(value) -> list[str]:
    """stop: one str or several, none of them empty."""
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, Sequence) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"stop must be a str or a list of str, got {value!r}")
    if "" in value:
        raise ValueError("stop holds an empty str, which would stop at once; leave it out")
    return list(value)


def seeds(value, bsz: int) -> list[int] | None:
    """One seed a row: None, an int s (row k gets s + k), or a list with one for each row."""
    if value is None:
        return None
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != bsz:
            raise ValueError(f"seed has {len(value)} seeds for {bsz} rows; give one int, or one for each row")
        for k, each in enumerate(value):
            whole(f"seed[{k}]", each, 0, LARGEST_SEED)
        return [int(each) for each in value]
    whole("seed", value, 0, LARGEST_SEED - bsz)
    return [int(value) + k for k in range(bsz)]
