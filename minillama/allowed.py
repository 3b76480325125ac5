"""Functions that only show something say here what they take: `@allowed.only(prompt=allowed.text)`.

A judge gets the name of an argument and its value, and raises a TypeError or ValueError that names it, as those of
arguments.py do, before anything is drawn. What it returns, unless that is None, is passed on in place of the value.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence

import torch

from minillama import arguments, tensors

Judge = Callable[[str, object], object]


def only(**judges: Judge) -> Callable[[Callable], Callable]:
    """A decorator: judge these arguments of a function, except where they are left at their default.

    >>> @only(n=count)
    ... def stars(n, sign="*"):
    ...     return n * sign
    >>> stars(torch.tensor(3))
    '***'
    """

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args, **kwargs):
            bound = signature.bind(*args, **kwargs)
            for name, judge in judges.items():
                if name in bound.arguments and bound.arguments[name] is not signature.parameters[name].default:
                    value = judge(name, bound.arguments[name])
                    bound.arguments[name] = bound.arguments[name] if value is None else value
            return function(*bound.args, **bound.kwargs)

        return call

    return decorate


# ---- judges ----------------------------------------------------------------------------------------------------------


def plain(name: str, value) -> object:
    """A number of numpy's or torch's as Python's; the function itself says what is allowed."""
    return arguments.plain(value)


def text(name: str, value) -> None:
    arguments.text(name, value)


def texts(name: str, value) -> None:
    arguments.texts(name, value)


def dialog(name: str, value) -> None:
    arguments.dialog(value, name)


def flag(name: str, value) -> bool:
    return arguments.flag(name, value)


def place(name: str, value) -> int:
    """A token id, a row, a column."""
    return arguments.whole(name, value, 0)


def count(name: str, value) -> int:
    return arguments.whole(name, value, 1)


def probability(name: str, value) -> float:
    return arguments.number(name, value, 0, 1)


def positive(name: str, value) -> float:
    return arguments.number(name, value, 0)


def seed(name: str, value) -> int:
    return arguments.whole(name, value, 0, arguments.LARGEST_SEED)


def an(wanted: type) -> Judge:
    """An object of a class."""
    return lambda name, value: arguments.kind(name, value, wanted)


def names(name: str, value) -> None:
    """A list of str."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a list of str, got {arguments.typed(value)}")
    for k, each in enumerate(value):
        if not isinstance(each, str):
            raise TypeError(f"{name}[{k}] must be a str, got {arguments.typed(each)}")


def label(name: str, value) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {arguments.typed(value)}")


def numbers(name: str, value) -> None:
    """A list of numbers, none below 0."""
    listed(positive)(name, value)


def listed(judge: Judge, least: int = 1) -> Judge:
    """A list whose members satisfy a judge."""

    def judge_all(name: str, value) -> None:
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            raise TypeError(f"{name} must be a list, got {arguments.typed(value)}")
        if len(value) < least:
            raise ValueError(f"{name} must have at least {least} members, got {len(value)}")
        for k, each in enumerate(value):
            judge(f"{name}[{k}]", each)

    return judge_all


def table(judge: Judge, key: Judge = label, least: int = 1) -> Judge:
    """A mapping whose keys and values satisfy a judge each."""

    def judge_all(name: str, value) -> None:
        if not isinstance(value, Mapping):
            raise TypeError(f"{name} must be a dict, got {arguments.typed(value)}")
        if len(value) < least:
            raise ValueError(f"{name} must have at least {least} entry, got {arguments.shown(value)}")
        for k, each in value.items():
            key(f"a key of {name}", k)
            judge(f"{name}[{arguments.shown(k)}]", each)

    return judge_all


def pair(judge: Judge) -> Judge:
    """Two values that satisfy a judge."""

    def judge_both(name: str, value) -> None:
        listed(judge)(name, value)
        if len(value) != 2:
            raise ValueError(f"{name} must be a pair, got {len(value)} values")

    return judge_both


def floats(dims: int) -> Judge:
    """A tensor of floating-point numbers, none of them NaN or infinite, with so many axes."""

    def judge_tensor(name: str, value) -> None:
        tensors.floats(name, value, dims)
        if not bool(value.isfinite().all()):
            raise ValueError(f"{name} must have finite numbers alone, got NaN or infinity")

    return judge_tensor


def tensor(dims: int, *dtypes: torch.dtype) -> Judge:
    """A tensor with so many axes and one of these dtypes."""

    def judge_tensor(name: str, value) -> None:
        tensors.dense(name, value)
        if value.dim() != dims or value.dtype not in dtypes:
            allowed = " or ".join(map(str, dtypes))
            got = f"{value.dim()} of {value.dtype}"
            raise ValueError(f"{name} must have {dims} axes of {allowed}, got {got}")

    return judge_tensor


def as_many(**lengths: int) -> None:
    """Raise a ValueError unless all these arguments have the same length."""
    if len({*lengths.values()}) > 1:
        first, *others = lengths
        raise ValueError(
            f"{first} must be as long as {' and '.join(others)}, got {' and '.join(map(str, lengths.values()))}"
        )
