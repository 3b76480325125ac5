"""The one place that judges what a caller passed, so that the rest stays readable.

Each function raises a TypeError or ValueError that names the argument, what it got, what is allowed and what to do,
before anything has run; what it returns is ready to use.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from os import PathLike

import torch

ROLES = ("system", "user", "assistant")
LARGEST_SEED = 2**63 - 1
CHAT_FORMATS = ("llama-2", "chatml", "none")


def number(name: str, value, low: float, high: float = math.inf) -> float:
    """A finite number from low to high; numpy's, or a tensor without axes, comes back as Python's."""
    value = _of_tensor(value)
    allowed = f"a number from {low:g} to {high:g}" if high < math.inf else f"a finite number of at least {low:g}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {allowed}, got {type(value).__name__} {value!r}")
    try:
        converted = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        converted = math.inf
    if not math.isfinite(converted) or not low <= converted <= high:
        raise ValueError(f"{name} must be {allowed}, got {value!r}")
    return converted


def whole(name: str, value, low: int, high: float = math.inf) -> int:
    """A whole number from low to high; numpy's, or a tensor without axes, comes back as Python's."""
    value = _of_tensor(value)
    allowed = f"a whole number of at least {low}" if high == math.inf else f"a whole number from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be {allowed}, got {type(value).__name__} {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be {allowed}, got {value}")
    return int(value)


def _of_tensor(value):
    return value.item() if isinstance(value, torch.Tensor) and value.dim() == 0 else value


def listing(name: str, value, of: str) -> None:
    """A non-empty list or tuple."""
    if isinstance(value, str):
        advice = f"; write [{value[:40]!r}]" if of == "str" else ""
        raise TypeError(f"{name} must be a list of {of}, got the bare str {value[:40]!r}{advice}")
    if not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a list of {of}, got {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} is empty; expected a non-empty list of {of}")


def text(name: str, value) -> None:
    """A str that UTF-8 can encode."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {type(value).__name__} {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        found = f"a lone surrogate, {value[error.start]!r} at index {error.start}"
        raise ValueError(f"{name} has {found}; that is not a character: remove it") from None


def texts(name: str, value) -> None:
    """A non-empty list of str."""
    listing(name, value, "str")
    for k, each in enumerate(value):
        text(f"{name}[{k}]", each)


def dialog(value, name: str = "dialog") -> None:
    """An optional system message, then user and assistant alternating, the user's last."""
    listing(name, value, "messages {'role': ..., 'content': ...}")
    for k, message in enumerate(value):
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            raise ValueError(f"{name}[{k}] must be a dict with the keys 'role' and 'content', got {message!r}")
        text(f"{name}[{k}]['content']", message["content"])
        if message["role"] not in ROLES:
            raise ValueError(f"{name}[{k}]['role'] must be one of {ROLES}, got {message['role']!r}")
    roles = [message["role"] for message in value]
    turns = roles[1:] if roles[0] == "system" else roles
    if turns != [("user", "assistant")[k % 2] for k in range(len(turns))]:
        raise ValueError(f"{name}: roles must be an optional system, then user and assistant alternating, got {roles}")
    if len(turns) % 2 == 0:
        raise ValueError(
            f"{name}: the last message must be the user's, got {roles[-1]!r}; add a user message for the model to "
            f"answer"
        )


def prompt_tokens(value, params, max_gen_len: int, name: str = "prompt_tokens") -> None:
    """At most max_batch_size non-empty lists of token ids, each with room for a new token; params are the model's."""
    listing(name, value, "lists of token ids")
    for k, row in enumerate(value):
        if isinstance(row, Integral):
            raise TypeError(f"{name} must be a list of lists of token ids, but {name}[{k}] is {row!r}; write [[...]]")
        listing(f"{name}[{k}]", row, "token ids")
    room(name, dict(enumerate(value)), params, max_gen_len)
    for k, row in enumerate(value):
        for i in row:
            whole(f"a token id in {name}[{k}]", i, 0, params.vocab_size - 1)


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


def dialogs(value) -> None:
    """A non-empty list of dialogs."""
    listing("dialogs", value, "dialogs")
    if isinstance(value[0], dict):
        raise TypeError("dialogs must be a list of dialogs, got one dialog; write [dialog]")
    for k, each in enumerate(value):
        dialog(each, f"dialogs[{k}]")


def prompt_or_dialog(value) -> None:
    """A str, or a dialog."""
    if isinstance(value, str):
        text("prompt_or_dialog", value)
    else:
        dialog(value, "prompt_or_dialog")


def max_gen_len(value, params) -> int:
    """How many new tokens at most; None: as many as the context of params, the model's ModelArgs, has room for."""
    return params.max_seq_len - 1 if value is None else whole("max_gen_len", value, 0)


def build(ckpt_dir, tokenizer_path, max_seq_len, max_batch_size, seed, device, dtype, chat_format=None) -> None:
    """What `Llama.build` takes."""
    for name, path in (("ckpt_dir", ckpt_dir), ("tokenizer_path", tokenizer_path)):
        if not isinstance(path, str | PathLike) and (name == "ckpt_dir" or path is not None):
            raise TypeError(f"{name} must be a path, got {type(path).__name__} {path!r}")
    if max_seq_len is not None:
        whole("max_seq_len", max_seq_len, 1)
    whole("max_batch_size", max_batch_size, 1)
    whole("seed", seed, 0, LARGEST_SEED)
    if device is not None:
        try:
            kind = torch.device(device).type
        except (RuntimeError, TypeError):
            raise ValueError(f"device must be 'cpu', 'cuda', 'cuda:1' or 'mps', got {device!r}") from None
        if kind not in ("cpu", "cuda", "mps"):
            raise ValueError(f"device must be 'cpu', 'cuda', 'cuda:1' or 'mps', got {device!r}")
        if kind == "mps" and not torch.backends.mps.is_available():
            raise ValueError(
                "device is 'mps', but this machine has no such GPU; pass 'cpu', or None to use whatever is available"
            )
        if kind == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f"device is {str(device)!r}, but torch finds no GPU; pass 'cpu', or None to use whatever is available"
            )
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype must be a torch.dtype such as torch.float32, got {type(dtype).__name__} {dtype!r}")
    if dtype not in (None, torch.float32, torch.bfloat16, torch.float16, torch.float64):  # no others are computed with
        raise ValueError(f"dtype must be torch.float32, bfloat16, float16 or float64, got {dtype}")
    _chat_format(chat_format)


def _chat_format(value) -> None:
    """The name of a chat format, or None for the checkpoint's own."""
    if value is not None and value not in CHAT_FORMATS:
        error = ValueError if isinstance(value, str) else TypeError
        raise error(f"chat_format must be None (the checkpoint's own) or one of {CHAT_FORMATS}, got {value!r}")


def faster(compile: bool, int8: bool, device: torch.device, n_ranks: int) -> None:
    """The two ways to a faster model that `Llama.build` offers, where this machine has what they need."""
    for name, wanted in (("compile", compile), ("int8", int8)):
        if wanted and n_ranks > 1:
            raise ValueError(f"{name} must be False where {n_ranks} ranks share a model: the combination is untested")
    if compile and device.type == "cpu" and shutil.which(os.environ.get("CXX", "g++")) is None:
        raise ValueError("compile=True needs a C++ compiler on a CPU; install g++, or leave compile out")


def stops(value) -> list[str]:
    """stop: one str or several, none of them empty."""
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, Sequence) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"stop must be a str or a list of str, got {value!r}")
    for each in value:
        text("stop", each)
    if "" in value:
        raise ValueError("stop contains an empty str, which would stop at once; remove it")
    return list(value)


def seeds(value, bsz: int) -> list[int] | None:
    """One seed per row: None, an int s (row k gets s + k), or a list with one for each row."""
    if value is None:
        return None
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if len(value) != bsz:
            raise ValueError(f"seed has length {len(value)}, but there are {bsz} rows; give one int, or one per row")
        return [whole(f"seed[{k}]", each, 0, LARGEST_SEED) for k, each in enumerate(value)]
    first = whole("seed", value, 0, LARGEST_SEED - bsz)
    return [first + k for k in range(bsz)]
