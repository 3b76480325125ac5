"""Outcomes as JSON: a function runs in one process, and is judged in another, which takes nothing but data from it.

What comes back is Python's own types, tensors and the records of compare.py; of anything else only the name of its
type, which is all that a judge says of it.
"""

from __future__ import annotations

import base64
import builtins
import functools
import json
from types import GeneratorType
from typing import Any

import torch
from torch import Tensor

from minillama.check.compare import About, Record, name_of
from minillama.check.exercise import Exercise
from minillama.check.judge import Changed, Outcome, Wrong, message
from minillama.check.limits import TimeIsUp
from minillama.words import say

MOST = 2**24  # characters of an outcome, about
CONTAINERS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
ERRORS = {each.__name__: each for each in (Changed, TimeIsUp, Wrong)}
ERRORS |= {
    name: each for name, each in vars(builtins).items() if isinstance(each, type) and issubclass(each, BaseException)
}


class FromAfar(Exercise):
    """An exercise whose functions run elsewhere: also what is right and wrong is seen as if it came from there."""

    @functools.cached_property
    def expected(self) -> list[Outcome]:
        return [unpacked(packed(each)) for each in super().expected]

    def run(self, *args: Any, **options: Any) -> Outcome:
        return unpacked(packed(super().run(*args, **options)))


# ---- packing


def packed(outcome: Outcome) -> str:
    """An outcome as one line of JSON."""
    fields = {name: getattr(outcome, name) for name in ("where", "outside", "forbidden", "is_own")}
    try:
        fields["error"] = outcome.error and _packed_error(outcome.error)
        if _size([outcome.value, outcome.returned]) > MOST:
            raise ValueError("too large")
        fields |= {"value": _packed(outcome.value), "returned": _packed(outcome.returned)}
        text = json.dumps(fields)
    except (RecursionError, ValueError, RuntimeError):  # RuntimeError: torch's
        text = ""
    if 0 < len(text) <= MOST:
        return text
    return packed(Outcome(error=Wrong(say("The result is too large or too deep to be judged.")), outside=True))


def _size(x: Any) -> int:
    """How many bytes are in it, at least."""
    if isinstance(x, Tensor):
        return x.numel() * x.element_size()
    if isinstance(x, str | bytes):
        return len(x)
    inner = [*x.keys(), *x.values()] if isinstance(x, dict) else x if type(x) in CONTAINERS.values() else ()
    return 8 + sum(map(_size, inner))


def _packed(x: Any) -> Any:
    if x is None or isinstance(x, bool | str) or isinstance(x, float):
        return x
    if isinstance(x, int):
        return x if abs(x) < 2**63 else {"int": hex(x)}
    if isinstance(x, bytes):
        return {"bytes": base64.b64encode(x).decode()}
    if type(x) in CONTAINERS.values():
        return {type(x).__name__: [_packed(each) for each in x]}
    if isinstance(x, dict):
        kind = "record" if isinstance(x, Record) else "dict"
        return {kind: [[_packed(key), _packed(value)] for key, value in x.items()]}
    if isinstance(x, range) and len(x) < MOST:
        return {"range": [x.start, x.stop, x.step]}
    if isinstance(x, About):
        return {"about": [_packed(x.value), x.within]}
    if isinstance(x, Tensor):
        return _packed_tensor(x)
    if isinstance(x, torch.dtype | torch.device):
        return {type(x).__name__: str(x).removeprefix("torch.")}
    if isinstance(x, GeneratorType):
        return {"generator": 0}
    if isinstance(x, type):
        return {"type": [x.__module__, x.__qualname__]}
    if callable(x) and not isinstance(x, torch.nn.Module):
        return {"function": [type(x).__name__, name_of(x)]}
    return {"other": [type(x).__module__, type(x).__qualname__, hasattr(x, "tolist")]}


def _packed_tensor(x: Tensor) -> dict:
    if x.is_quantized:
        return {"other": ["torch", "quantized", True]}
    data, shape = b"", list(x.shape)
    if not x.is_meta:
        x = x.detach().cpu().resolve_conj().resolve_neg().flatten().clone(memory_format=torch.contiguous_format)
        data = bytes(x.view(torch.uint8).tolist())
    parts = [str(x.dtype).removeprefix("torch."), shape, str(x.device), base64.b64encode(data).decode()]
    return {"tensor": parts}


def _packed_error(error: BaseException) -> dict:
    plain = all(each is None or isinstance(each, str | int | bytes) for each in error.args)
    return {
        "names": [each.__name__ for each in type(error).__mro__],
        "text": message(error)[:MOST // 8],
        "args": [_packed(each) for each in error.args] if plain else None,
    }  # fmt: skip


# ---- unpacking


def unpacked(text: str | bytes) -> Outcome:
    """The outcome that a line holds. Raises ValueError for what is none: it may come from anywhere."""
    try:
        data = json.loads(text)
        kinds = {"where": str, "outside": bool, "forbidden": str, "is_own": bool}
        fields = {name: kind(data[name]) for name, kind in kinds.items()}
        error = data["error"] and _unpacked_error(data["error"])
        returned = _unpacked(data.get("returned", {"list": []}))
        return Outcome(value=_unpacked(data.get("value")), error=error, returned=list(returned), **fields)
    except (KeyError, TypeError, AttributeError, RecursionError, RuntimeError, OverflowError, MemoryError) as error:
        raise ValueError(f"no outcome: {error}") from None


def _unpacked(x: Any) -> Any:
    if not isinstance(x, dict):
        if isinstance(x, list):
            raise ValueError("a list without a name")
        return x
    ((kind, x),) = x.items()
    if kind in CONTAINERS:
        return CONTAINERS[kind](map(_unpacked, x))
    if kind in ("dict", "record"):
        return (Record if kind == "record" else dict)((_unpacked(key), _unpacked(value)) for key, value in x)
    if kind == "tensor":
        return _unpacked_tensor(*x)
    makers = {
        "int": lambda x: int(x, 16),
        "bytes": base64.b64decode,
        "range": _range,
        "about": lambda x: About(_unpacked(x[0]), float(x[1])),
        "dtype": _dtype,
        "device": torch.device,
        "generator": lambda x: (each for each in ()),
        "type": lambda x: _class(*map(str, x)),
        "function": _function,
        "other": lambda x: _class(str(x[0]), str(x[1]), "tolist" if x[2] else "")(),
    }
    return makers[kind](x)


def _range(x: list[int]) -> range:
    if len(found := range(*x)) >= MOST:
        raise ValueError("a range that is too long")
    return found


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"no dtype {name}")
    return dtype


def _unpacked_tensor(dtype: str, shape: list[int], device: str, data: str) -> Tensor:
    if device == "meta":
        return torch.empty(shape, dtype=_dtype(dtype), device="meta")
    data = bytearray(base64.b64decode(data))
    raw = torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
    return raw.view(_dtype(dtype)).reshape(shape)


@functools.cache
def _class(module: str, name: str, method: str = "") -> type:
    """A class of that name, the same for the same name."""
    return type(name.rsplit(".", 1)[-1], (), {"__module__": module} | ({method: None} if method else {}))


def _function(x: list) -> Any:
    function = _class("builtins", str(x[0]), "__call__")()
    function.__name__ = str(x[1])
    return function


class _Told:
    """An exception that says what it said where it was raised."""

    text = ""

    def __str__(self) -> str:
        return self.text


@functools.cache
def _told(name: str, base: type) -> type:
    return type(name, (_Told, base), {})


def _unpacked_error(data: dict) -> BaseException:
    """Of Python's own classes and the judges'; a class of anybody else's becomes one of that name below these."""
    names, text = [str(name) for name in data["names"]], str(data["text"])
    if names[0] in ERRORS and data["args"] is not None:
        try:
            error = ERRORS[names[0]](*map(_unpacked, data["args"]))
            if message(error) == text:
                return error
        except TypeError:
            pass
    base = next(ERRORS[name] for name in (*names, "Exception") if name in ERRORS)
    kind = _told(names[0], base)
    error = kind.__new__(kind)
    error.text = text
    return error
