"""The one place that judges what a caller passed, so that the rest stays readable.

Each function raises a TypeError or ValueError that names the argument, what it got, what is allowed and what to do,
before anything has run; what it returns is ready to use.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from os import PathLike

import torch

from minillama.files import one_line

ROLES = ("system", "user", "assistant")
LARGEST_SEED = LARGEST_SIZE = 2**63 - 1  # as int64
LONGEST_TEXT = 2**26  # characters; sentencepiece takes all memory for a gigabyte, and no context has room for it
CHAT_FORMATS = ("llama-2", "chatml", "none")
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
LONGEST_SHOWN = 200  # characters of a wrong value
RAW = (bytes, bytearray, memoryview)  # sequences of numbers that were never meant as one


def shown(value) -> str:
    """A wrong value as a message shows it: its repr in one line, cut if it is long."""
    try:
        text = repr(value[:LONGEST_SHOWN] if isinstance(value, str | bytes) else value)
    except Exception:  # a whole number of more than 4300 digits, or an object whose repr is broken
        digits = " of thousands of digits" if isinstance(value, Integral) else ""
        return f"<{type(value).__name__}{digits}>"
    return one_line(text, LONGEST_SHOWN)  # a tensor's has several


def typed(value) -> str:
    """The type of a wrong value, and the value.

    >>> typed("a"), typed(None)
    ("str 'a'", 'NoneType None')
    """
    return f"{type(value).__name__} {shown(value)}"


def number(name: str, value, low: float, high: float = math.inf) -> float:
    """A finite number from low to high; numpy's, or a tensor without axes, comes back as Python's."""
    if type(value) is float and low <= value <= high and value < math.inf:  # at once: the loop asks at every step
        return value
    value = plain(value)
    if high < math.inf:
        allowed = f"a number from {low:g} to {high:g}"
    else:
        allowed = "a finite number" if low == -math.inf else f"a finite number of at least {low:g}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {allowed}, got {typed(value)}")
    try:
        converted = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        converted = math.inf
    if not math.isfinite(converted) or not low <= converted <= high:
        raise ValueError(f"{name} must be {allowed}, got {shown(value)}")
    return converted


def whole(name: str, value, low: float = -math.inf, high: float = math.inf) -> int:
    """A whole number from low to high; numpy's, or a tensor without axes, comes back as Python's."""
    if type(value) is int and low <= value <= high:
        return value
    value = plain(value)
    if low == -math.inf:
        allowed = "a whole number"
    elif high < LARGEST_SIZE:
        allowed = f"a whole number from {low} to {high}"
    else:
        allowed = f"a whole number of at least {low}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be {allowed}, got {typed(value)}")
    if not low <= value <= high:
        below = " and below 2**63" if value > high == LARGEST_SIZE else ""
        raise ValueError(f"{name} must be {allowed}{below}, got {shown(int(value))}")
    return int(value)


def flag(name: str, value) -> bool:
    """True or False; numpy's, or a tensor without axes, comes back as Python's. Nothing else counts as either."""
    if value is True or value is False:
        return value
    value = plain(value)
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {typed(value)}")
    return value


def flags(**values) -> list[bool]:
    """Several of them, each under its name."""
    return [flag(name, value) for name, value in values.items()]


def plain(value):
    """The Python object of a numpy scalar, or of a tensor or array without axes; anything else as it is."""
    if isinstance(value, int | float | str) and type(value).__module__ == "builtins":
        return value
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        absent = getattr(value, "is_meta", False) or getattr(value, "is_sparse", False)  # no number
        return value if absent else value.item()
    return value


def kind(name: str, value, wanted: type) -> None:
    """An object of a class, or of one made from it."""
    if not isinstance(value, wanted):
        raise TypeError(f"{name} must be a {wanted.__name__}, got {typed(value)}")


def path(name: str, value) -> None:
    """A path that can be one: not empty, without the character that no file system has."""
    if not isinstance(value, str | PathLike):
        raise TypeError(f"{name} must be a path, got {typed(value)}")
    if str(value) == "":
        raise ValueError(f"{name} is an empty path; write '.' for the current folder")
    if "\0" in str(value):
        raise ValueError(f"{name} must be a path without a null character, got {shown(str(value))}")
    try:
        os.stat(value)
    except (OSError, UnicodeEncodeError) as error:  # in most cases there is nothing yet
        if not isinstance(error, OSError) or error.errno == errno.ENAMETOOLONG:
            raise ValueError(f"{name} must be a path that this system can have, got {shown(str(value))}") from None


def listing(name: str, value, of: str) -> None:
    """A non-empty list or tuple."""
    if isinstance(value, str):
        advice = f"; write [{value[:40]!r}]" if of == "str" else ""
        raise TypeError(f"{name} must be a list of {of}, got the bare str {value[:40]!r}{advice}")
    if not isinstance(value, Sequence) or isinstance(value, RAW):
        raise TypeError(f"{name} must be a list of {of}, got {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} is empty; expected a non-empty list of {of}")


def text(name: str, value) -> None:
    """A str that UTF-8 can encode, of at most LONGEST_TEXT characters."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {typed(value)}")
    if len(value) > LONGEST_TEXT:
        raise ValueError(f"{name} has {len(value):,} characters; at most {LONGEST_TEXT:,} are read: shorten it")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        found = f"a lone surrogate, {value[error.start]!r} at index {error.start}"
        raise ValueError(f"{name} has {found}; that is not a character: remove it") from None


def are_texts(value) -> bool:
    """Whether a value is taken for texts, not for token ids: by its first member, or if it is one text."""
    return isinstance(value, str) or (isinstance(value, Sequence) and len(value) > 0 and isinstance(value[0], str))


def texts(name: str, value) -> None:
    """A non-empty list of str."""
    listing(name, value, "str")
    for k, each in enumerate(value):
        text(f"{name}[{k}]", each)


def dialog(value, name: str = "dialog") -> None:
    """An optional system message, then user and assistant alternating, the user's last."""
    listing(name, value, "messages {'role': ..., 'content': ...}")
    messages(value, name)
    for k, message in enumerate(value):
        if not isinstance(message["role"], str) or message["role"] not in ROLES:
            raise ValueError(f"{name}[{k}]['role'] must be one of {ROLES}, got {shown(message['role'])}")
    roles = [message["role"] for message in value]
    turns = roles[1:] if roles[0] == "system" else roles
    if turns != [("user", "assistant")[k % 2] for k in range(len(turns))]:
        raise ValueError(
            f"{name}: roles must be an optional system, then user and assistant alternating, got {shown(roles)}"
        )
    if len(turns) % 2 == 0:
        raise ValueError(f"{name}: the last message must be the user's, got {roles[-1]!r}; add a user message")


def messages(value, name: str = "dialog") -> None:
    """Any messages that have a role and a text, in any order."""
    if not isinstance(value, Sequence) or isinstance(value, (str, *RAW)):
        raise TypeError(f"{name} must be a list of messages, got {typed(value)}")
    for k, message in enumerate(value):
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            raise ValueError(f"{name}[{k}] must be a dict with the keys 'role' and 'content', got {shown(message)}")
        text(f"{name}[{k}]['content']", message["content"])


def prompt_tokens(value, params, max_gen_len: int, name: str = "prompt_tokens") -> list[list[int]]:
    """At most max_batch_size non-empty lists of token ids, each with room for a new token; params are the model's."""
    listing(name, value, "lists of token ids")
    for k, row in enumerate(value):
        if isinstance(row, Integral):
            raise TypeError(
                f"{name} must be a list of lists of token ids, but {name}[{k}] is {shown(row)}; write [[...]]"
            )
        listing(f"{name}[{k}]", row, "token ids")
    room(name, dict(enumerate(value)), params, max_gen_len)
    last = params.vocab_size - 1
    return [
        [i if type(i) is int and 0 <= i <= last else whole(f"a token id in {name}[{k}]", i, 0, last) for i in row]
        for k, row in enumerate(value)
    ]


def run(tokens, max_gen_len, seed, logprobs, params) -> tuple[list[list[int]], int, list[int] | None, bool]:
    """What `Llama.generate` and `generate_steps` take: prompt_tokens, max_gen_len, seeds and logprobs come back."""
    logprobs, max_gen_len = flag("logprobs", logprobs), whole("max_gen_len", max_gen_len, 0)
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


def dialogs(value) -> None:
    """A non-empty list of dialogs."""
    listing("dialogs", value, "dialogs")
    if isinstance(value[0], dict):
        raise TypeError("dialogs must be a list of dialogs, got one dialog; write [dialog]")
    for k, each in enumerate(value):
        dialog(each, f"dialogs[{k}]")


def is_dialog(prompt_or_dialog) -> bool:
    """Whether it is a dialog rather than a str; it must be one of them."""
    if isinstance(prompt_or_dialog, str):
        text("prompt_or_dialog", prompt_or_dialog)
        return False
    dialog(prompt_or_dialog, "prompt_or_dialog")
    return True


def max_gen_len(value, params) -> int:
    """How many new tokens at most; None: as many as the context of params, the model's ModelArgs, has room for."""
    return params.max_seq_len - 1 if value is None else whole("max_gen_len", value, 0)


def build(
    ckpt_dir, tokenizer_path, max_seq_len, max_batch_size, seed, device, dtype, chat_format=None
) -> tuple[int | None, int, int]:
    """What `Llama.build` takes; max_seq_len, max_batch_size and seed come back."""
    path("ckpt_dir", ckpt_dir)
    if tokenizer_path is not None:
        path("tokenizer_path", tokenizer_path)
    numbers = (
        None if max_seq_len is None else whole("max_seq_len", max_seq_len, 1, LARGEST_SIZE),
        whole("max_batch_size", max_batch_size, 1, LARGEST_SIZE),
        whole("seed", seed, 0, LARGEST_SEED),
    )
    if device is not None:
        try:
            type_ = torch.device(device).type
        except (RuntimeError, TypeError, ValueError):
            type_ = None
        if type_ not in ("cpu", "cuda", "mps") or isinstance(device, bool | int):
            raise ValueError(f"device must be 'cpu', 'cuda', 'cuda:1' or 'mps', got {shown(device)}")
        if type_ == "mps" and not torch.backends.mps.is_available():
            raise ValueError(
                "device is 'mps', but this machine has no such GPU; pass 'cpu', or None to use whatever is available"
            )
        if type_ == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f"device is {str(device)!r}, but torch finds no GPU; pass 'cpu', or None to use whatever is available"
            )
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype must be a torch.dtype such as torch.float32, got {typed(dtype)}")
    if dtype not in (None, *DTYPES):
        raise ValueError(f"dtype must be torch.float32, bfloat16, float16 or float64, got {dtype}")
    if chat_format is not None and (not isinstance(chat_format, str) or chat_format not in CHAT_FORMATS):
        error = ValueError if isinstance(chat_format, str) else TypeError
        allowed = f"None (the checkpoint's own) or one of {CHAT_FORMATS}"
        raise error(f"chat_format must be {allowed}, got {shown(chat_format)}")
    return numbers


def faster(compile: bool, int8: bool, n_ranks: int) -> tuple[bool, bool]:
    """The two ways to a faster model that `Llama.build` offers."""
    compile, int8 = flag("compile", compile), flag("int8", int8)
    for name, wanted in (("compile", compile), ("int8", int8)):
        if wanted and n_ranks > 1:
            raise ValueError(f"{name} must be False where {n_ranks} ranks share a model: the combination is untested")
    return compile, int8


def stops(value) -> list[str]:
    """stop: one str or several, none of them empty."""
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, Sequence) or isinstance(value, RAW) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"stop must be a str or a list of str, got {shown(value)}")
    for each in value:
        text("stop", each)
    if "" in value:
        raise ValueError("stop contains an empty str, which would stop at once; remove it")
    return list(value)


def seeds(value, bsz: int) -> list[int] | None:
    """One seed per row: None, an int s (row k gets s + k), or a list with one for each row."""
    if value is None:
        return None
    if isinstance(value, Sequence) and not isinstance(value, (str, *RAW)):
        if len(value) != bsz:
            raise ValueError(f"seed has length {len(value)}, but there are {bsz} rows; give one int, or one per row")
        return [whole(f"seed[{k}]", each, 0, LARGEST_SEED) for k, each in enumerate(value)]
    first = whole("seed", value, 0, LARGEST_SEED - bsz)
    return [first + k for k in range(bsz)]
