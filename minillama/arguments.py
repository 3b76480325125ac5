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
LARGEST_BIAS = 1e6  # of a logit; the largest that a model gives have two digits
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


def above_zero(name: str, value) -> float:
    """A finite number above 0."""
    value = number(name, value, 0)
    if value == 0:
        raise ValueError(f"{name} must be a number above 0, got 0")
    return value


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


def bias(name: str, value, vocab_size: int = LARGEST_SIZE) -> dict[int, float]:
    """Token ids, and what is added to their logits: numbers, or minus infinity, which bans; not for all ids."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict {{token id: number}}, got {typed(value)}")
    judged = {}
    for key, each in value.items():
        i, each = whole(f"a token id in {name}", key, 0, vocab_size - 1), plain(each)
        if i in judged:
            raise ValueError(f"{name} has the token id {i} twice; give it one number")
        banned = isinstance(each, float) and each == -math.inf
        judged[i] = each if banned else number(f"{name}[{i}]", each, -LARGEST_BIAS, LARGEST_BIAS)
    if sum(each == -math.inf for each in judged.values()) == vocab_size:
        raise ValueError(f"{name} is minus infinity for all {vocab_size} tokens, so none is left; ban fewer")
    return judged
