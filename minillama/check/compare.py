"""Two results side by side: plain copies of them, the first place where they differ, and words for it."""

from __future__ import annotations

import copy
import dataclasses
import math
import re
import sys
from collections.abc import Callable, Iterator
from types import GeneratorType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minillama.check.report import say

LONGEST_VALUE = 90  # characters of a value in a hint


@dataclasses.dataclass
class About:
    """A result that chance has a part in: right if every number is within `within` of the expected one."""

    value: Any
    within: float


class Record(NamedTuple):
    """A dataclass, taken apart."""

    name: str
    fields: dict


class Difference(NamedTuple):
    """The first place where a result is not as expected."""

    kind: str  # "type", "float", "shape", "dtype", "device", "length", "keys", "nan" or "value"
    at: str  # like "[0, 2]" or "['ids'][1]"; empty for the whole
    expected: Any
    got: Any

    def line(self) -> str:
        """What stands beside every hint."""
        expected, got = unlike(self.expected, self.got)
        if self.kind in ("shape", "dtype", "device"):
            return say("Expected {kind} {expected}, got {got}.", kind=self.kind, expected=expected, got=got)
        if self.kind == "length" and len(expected) + len(got) > LONGEST_VALUE:
            return say("Expected {n} items, got {m}.", n=len(self.expected), m=len(self.got))
        if not self.at:
            return say("Expected {expected}, got {got}.", expected=expected, got=got)
        return say("Expected {expected} at {at}, got {got}.", expected=expected, at=self.at, got=got)


# ---- plain copies


def plain(x: Any) -> Any:
    """x as plain Python and torch: copies of what it holds, no subclass, numpy's scalars and 0-d arrays as numbers.

    What is none of these comes back as it is.
    """
    numpy = sys.modules.get("numpy")
    if isinstance(x, Tensor):
        with torch._C.DisableTorchFunctionSubclass():
            x = x.detach().as_subclass(Tensor)
            return (x if x.layout == torch.strided else x.to_dense()).clone()
    if numpy is not None and isinstance(x, numpy.generic | numpy.ndarray):
        return x.item() if x.ndim == 0 else numpy.array(x)
    if isinstance(x, torch.Generator):
        return torch.Generator  # two of them are not compared
    if x is None or isinstance(x, bool | range | complex | About):
        return x
    for kind in (int, float, str, bytes):
        if isinstance(x, kind):
            return x if type(x) is kind else kind.__add__(x, kind())
    if isinstance(x, list):
        return [plain(each) for each in list.__iter__(x)]
    if isinstance(x, tuple) and not type(x).__module__.startswith("torch.return_types"):
        return tuple(plain(each) for each in tuple.__iter__(x))
    if isinstance(x, dict):
        return {plain(key): plain(value) for key, value in dict.items(x)}
    if isinstance(x, set | frozenset):
        return {plain(each) for each in x}
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        return Record(type(x).__name__, {f.name: plain(getattr(x, f.name)) for f in dataclasses.fields(x)})
    return x


def copied(x: Any) -> Any:
    """A copy of an argument with all that a function could change; models, tokenizers and the like are passed on."""
    if isinstance(x, Tensor):
        return x.clone()
    if isinstance(x, torch.Generator):
        return torch.Generator(x.device).set_state(x.get_state())
    if type(x) in (list, tuple, set):
        return type(x)(copied(each) for each in x)
    if type(x) is dict:
        return {key: copied(value) for key, value in x.items()}
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        return copy.copy(x)
    return x


# ---- the first difference


def difference(expected: Any, got: Any, tolerance: float = 1e-4, at: str = "") -> Difference | None:
    """Where got, a plain copy, is not what is expected; None if it is. A number is taken from a 0-d tensor, too."""

    def differs(kind: str, *pair: Any, at: str = at) -> Difference:
        return Difference(kind, at, *(pair or (expected, got)))

    if isinstance(expected, About):
        got = got.value if isinstance(got, About) else got
        return difference(expected.value, got, expected.within, at)
    if isinstance(expected, Tensor):
        return _tensors(expected, got, tolerance, differs)
    if isinstance(got, Tensor) and got.dim() == 0 and got.device.type != "meta":
        got = got.item()
    if isinstance(expected, bool) or expected is None:
        return (
            None if got is expected else differs("value" if isinstance(got, bool) and expected is not None else "type")
        )
    if isinstance(expected, int | float):
        return _numbers(expected, got, tolerance, differs)
    if isinstance(expected, range):
        expected, got = list(expected), list(got) if isinstance(got, range | tuple) else got
    elif isinstance(expected, list) and isinstance(got, range):
        return differs("type")
    if type(got) is not type(expected):
        return differs("type")
    if isinstance(expected, list | tuple) and not isinstance(expected, Record):
        for k, (one, other) in enumerate(zip(expected, got, strict=False)):
            if found := difference(one, other, tolerance, f"{at}[{k}]"):
                short = not isinstance(one, Tensor | list | tuple | dict) and len(show(expected)) + len(show(got)) < 100
                return differs("value") if short and found.kind == "value" else found
        return None if len(expected) == len(got) else differs("length")
    if isinstance(expected, dict):
        if expected.keys() != got.keys():
            return differs("keys", list(expected), list(got))
        pairs = ((f"{at}[{key!r}]", value, got[key]) for key, value in expected.items())
        return next(filter(None, (difference(one, other, tolerance, where) for where, one, other in pairs)), None)
    if isinstance(expected, Record):
        return differs("type") if expected.name != got.name else difference(expected.fields, got.fields, tolerance, at)
    methods = callable(expected) and getattr(expected, "__name__", 1) == getattr(got, "__name__", 2)
    return None if methods or expected == got else differs("value")


def compared(expected: Any, got: Any, tolerance: float = 1e-4) -> Difference | None:
    """`difference`, also for what cannot be compared: a tensor without numbers, a class that raises."""
    try:
        return difference(expected, got, tolerance)
    except Exception:
        return Difference("type", "", expected, got)


def _tensors(expected: Tensor, got: Any, tolerance: float, differs: Callable[..., Difference]) -> Difference | None:
    if not isinstance(got, Tensor):
        return differs("type")
    if got.shape != expected.shape:
        return differs("shape", tuple(expected.shape), tuple(got.shape))
    if got.device != expected.device:
        return differs("device", expected.device, got.device)
    if got.dtype != expected.dtype:
        return differs("dtype", expected.dtype, got.dtype)
    if expected.is_floating_point() or expected.is_complex():
        close = torch.isclose(got, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    else:
        close = got == expected
    if bool(close.all()):
        return None
    first = tuple((~close).nonzero()[0].tolist())
    if expected.dim() == 0:
        return differs("nan" if bool(got.isnan()) else "value", expected.item(), got.item())
    nan = (got.isnan() & ~expected.isnan()).nonzero().tolist()
    place = tuple(nan[0]) if nan else first
    return differs("nan" if nan else "value", expected[place].item(), got[place].item(), at=str(list(place)))


def _numbers(expected: float, got: Any, tolerance: float, differs: Callable[..., Difference]) -> Difference | None:
    if isinstance(got, bool) or not isinstance(got, int | float):
        return differs("type")
    if isinstance(expected, int):
        if isinstance(got, float):
            return differs("float" if got == expected else "value")
        return None if got == expected else differs("value")
    try:
        if math.isnan(got) or math.isnan(expected):
            return None if math.isnan(got) and math.isnan(expected) else differs("nan" if math.isnan(got) else "value")
        close = math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance)
    except OverflowError:  # an int that no float can hold
        close = False
    return None if close else differs("value")


# ---- words


def show(x: Any) -> str:
    """A value in a hint: short, and on one line."""
    if isinstance(x, Tensor):
        return say("a tensor of shape {shape}", shape=tuple(x.shape))
    if callable(x):
        return say("the function {name}", name=getattr(x, "__name__", type(x).__name__))
    try:
        text = f"{x:.4g}" if isinstance(x, float) else f"{x:,}" if type(x) is int and abs(x) > 9999 else repr(x)
    except Exception:  # a broken __repr__, or an int of too many digits
        text = type(x).__name__
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + " …"


def unlike(expected: Any, got: Any) -> tuple[str, str]:
    """Both in words; if these were the same, in more of them."""
    one, other = show(expected), show(got)
    if one == other and isinstance(expected, float) and isinstance(got, float):
        one, other = repr(expected), repr(got)
    elif isinstance(expected, str | bytes) and isinstance(got, type(expected)) and len(one) > LONGEST_VALUE:
        k = next(
            (k for k, (a, b) in enumerate(zip(expected, got, strict=False)) if a != b), min(len(expected), len(got))
        )
        start = max(k - 20, 0)
        one, other = ("… " * (start > 0) + repr(text[start : start + 60]) for text in (expected, got))
    if one == other:
        one, other = f"{kind_of(expected)} {one}", f"{kind_of(got)} {other}"
    return one, other


def kind_of(x: Any) -> str:
    """What sort of thing a value is: "a tensor", "None", "a whole number (int)"."""
    names = {bool: say("True or False"), int: say("a whole number (int)"), float: say("a number"),
             str: say("a string"), bytes: say("bytes"), list: say("a list"), tuple: say("a tuple"), dict: say("a dict"),
             set: say("a set"), range: say("a range"), type(None): "None", Tensor: say("a tensor")}  # fmt: skip
    if isinstance(x, Record):
        return x.name
    return names.get(type(x), type(x).__name__)


def advice(found: Difference) -> str:
    """A whole hint for a difference that no named mistake explains."""
    if found.kind == "nan":
        template = "There is a nan in your result. These make one: 0/0, inf/inf, inf - inf and 0 * inf.\n{line}"
        return say(template, line=found.line())
    if found.kind == "shape":
        return say("The shape should be {expected}, but yours is {got}.", expected=found.expected, got=found.got)
    if found.kind in ("dtype", "device"):
        template = "Expected a {expected} tensor, but yours is {got}."
        if found.kind == "device":
            template = "Expected a tensor on {expected}, but yours is on {got}."
        return say(template, expected=found.expected, got=found.got)
    if found.kind == "float":
        return say("The value is right, but it is a float. Expected a whole number (int): divide with //.")
    if found.kind == "length":
        count = say("Expected {n} items, got {m}.", n=len(found.expected), m=len(found.got))
        return "\n".join(dict.fromkeys([count, found.line()]))
    if found.kind == "type":
        return " ".join([_returned(found), *_cure(found.expected, found.got)])
    return found.line()


def _returned(found: Difference) -> str:
    expected, got = kind_of(found.expected), kind_of(found.got)
    if type(found.got).__module__.startswith("torch.return_types"):
        got = say("the pair of torch.{name}", name=type(found.got).__name__)
    if found.at:
        return say("Expected {expected} at {at}, got {got}.", expected=expected, at=found.at, got=got)
    if isinstance(found.got, Tensor) and not isinstance(found.expected, Tensor):
        got = say("a tensor of shape {shape}", shape=tuple(found.got.shape))
    return say("Expected {expected}, but your function returned {got}.", expected=expected, got=got)


def _cure(expected: Any, got: Any) -> Iterator[str]:
    if got is None:
        yield say("Did you forget `return`?")
    elif isinstance(got, GeneratorType):
        yield say("`yield` makes this a generator; return {expected}.", expected=kind_of(expected))
    elif type(got).__module__.startswith("torch.return_types"):
        yield say("Take one of the two: `.values` or `.indices`.")
    elif callable(got) and re.fullmatch(r"\w+", name := str(getattr(got, "__name__", ""))):
        yield say("It was not called: write the brackets, `{name}()`.", name=name)
    elif isinstance(expected, Tensor) and isinstance(got, list | tuple | range):
        yield say("torch.tensor(…) makes a tensor of it.")
    elif isinstance(expected, list) and (isinstance(got, Tensor) or hasattr(got, "tolist")):
        yield say("`.tolist()` makes a list of it.")
    elif isinstance(expected, list) and isinstance(got, tuple | set | range | dict):
        yield say("`list(…)` makes a list of it.")
