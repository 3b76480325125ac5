"""Two results side by side: plain copies of them, the first place where they differ, and words for it."""

from __future__ import annotations

import copy
import dataclasses
import re
import sys
from types import GeneratorType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minillama.words import say

LONGEST_VALUE = 90  # characters of a value in a hint
WHOLE = ("shape", "dtype", "device")  # in what whole tensors may differ


@dataclasses.dataclass
class About:
    """A result that chance has a part in: right if every number is within `within` of the expected one."""

    value: Any
    within: float


class Record(dict):
    """The fields of a dataclass, and its name at the key "class"."""

    def __repr__(self) -> str:
        return self["class"]


class Difference(NamedTuple):
    """The first place where a result is not as expected."""

    kind: str  # "type", "float", "shape", "dtype", "device", "length", "keys", "nan", "value", or "raise": it did not
    at: str  # like "[0, 2]" or "['ids'][1]"; empty for the whole
    expected: Any
    got: Any

    def line(self) -> str:
        """Expected and got, the line beside every hint."""
        expected, got = unlike(self.expected, self.got)
        if self.kind == "keys":
            return say("The key {at} is missing." if self.expected else "There should be no key {at}.", at=self.at)
        if self.kind in WHOLE:
            names = {"shape": say("shape {it}"), "dtype": say("dtype {it}"), "device": say("device {it}")}
            expected = names[self.kind].format(it=expected)
        if self.kind == "length" and len(expected) + len(got) > LONGEST_VALUE:
            template = "Expected 1 item, got {m}." if len(self.expected) == 1 else "Expected {n} items, got {m}."
            return say(template, n=len(self.expected), m=len(self.got))
        if not self.at:
            return say("Expected {expected}, got {got}.", expected=expected, got=got)
        return say("Expected {expected} at {at}, got {got}.", expected=expected, at=self.at, got=got)


def plain(x: Any) -> Any:
    """x as plain Python and torch: copies of what it holds, no subclass, numpy's scalars and 0-d arrays as numbers.

    What is none of these comes back as it is.
    """
    numpy = sys.modules.get("numpy")
    if isinstance(x, Tensor):
        with torch._C.DisableTorchFunctionSubclass():
            x = x.detach().as_subclass(Tensor)
            return (x if x.layout == torch.strided else x.to_dense()).clone()
    if numpy and isinstance(x, numpy.generic | numpy.ndarray):
        return x.item() if x.ndim == 0 else numpy.array(x)
    if isinstance(x, torch.Generator):
        return torch.Generator  # two of them are not compared
    if isinstance(x, int | float | str | bytes) and not isinstance(x, bool):
        kind = next(kind for kind in (int, float, str, bytes) if isinstance(x, kind))
        return x if type(x) is kind else kind.__add__(x, kind())
    if isinstance(x, list):
        return [plain(each) for each in list.__iter__(x)]
    if isinstance(x, tuple) and not _of_torch(x):
        return tuple(plain(each) for each in tuple.__iter__(x))
    if isinstance(x, dict):
        return {plain(key): plain(value) for key, value in dict.items(x)}
    if isinstance(x, set | frozenset):
        return {plain(each) for each in x}
    if dataclasses.is_dataclass(x) and not isinstance(x, type | About):
        return Record({"class": type(x).__name__} | {f.name: plain(getattr(x, f.name)) for f in dataclasses.fields(x)})
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
    return copy.copy(x) if dataclasses.is_dataclass(x) and not isinstance(x, type) else x


def _of_torch(x: Any) -> bool:
    """Whether x is a pair of torch: what max, sort and topk return."""
    return type(x).__module__.startswith("torch.return_types")


def compared(expected: Any, got: Any, tolerance: float = 1e-4) -> Difference | None:
    """`difference`, also for what cannot be compared: a tensor without numbers, a class that raises."""
    try:
        return difference(expected, got, tolerance)
    except Exception:
        return Difference("type", "", expected, got)


def difference(expected: Any, got: Any, tolerance: float = 1e-4, at: str = "") -> Difference | None:
    """Where got is not what is expected, both plain copies; None if nowhere. A 0-d tensor counts as its number."""
    if isinstance(got, Tensor) and got.dim() == 0 and not isinstance(expected, Tensor):
        got = got.item()
    if isinstance(expected, range):
        expected, got = list(expected), list(got) if isinstance(got, range | tuple) else got
    if {type(expected), type(got)} <= {int, float}:  # not bool
        kind = _numbers(expected, got, tolerance)
    elif type(got) is not type(expected) or isinstance(got, Record) and expected["class"] != got["class"]:
        kind = "type"
    elif isinstance(expected, About):
        return difference(expected.value, got.value, expected.within, at)
    elif isinstance(expected, Tensor):
        return _tensors(expected, got, tolerance, at)
    elif isinstance(expected, list | tuple):
        for k, (one, other) in enumerate(zip(expected, got, strict=False)):
            if found := difference(one, other, tolerance, f"{at}[{k}]"):
                short = not isinstance(one, Tensor | list | tuple | dict) and len(show(expected)) + len(show(got)) < 100
                return Difference("value", at, expected, got) if short and found.kind == "value" else found
        kind = "length" if len(expected) != len(got) else ""
    elif isinstance(expected, dict):
        if odd := [key for key in expected if key not in got] or [key for key in got if key not in expected]:
            return Difference("keys", f"{at}[{odd[0]!r}]", odd[0] in expected, odd[0] in got)
        pairs = (difference(value, got[key], tolerance, f"{at}[{key!r}]") for key, value in expected.items())
        return next(filter(None, pairs), None)
    else:
        methods = callable(expected) and getattr(expected, "__name__", 1) == getattr(got, "__name__", 2)
        kind = "" if methods or expected == got else "value"
    return Difference(kind, at, expected, got) if kind else None


def _numbers(expected: float, got: float, tolerance: float) -> str:
    """The kind of difference between two numbers. For a float an int is as good, not the other way round."""
    if type(expected) is int:
        return "value" if got != expected else "float" if type(got) is float else ""
    slack = tolerance * max(1, abs(expected))
    if got == expected or expected - slack <= got <= expected + slack or got != got and expected != expected:
        return ""
    return "nan" if got != got else "value"


def _tensors(expected: Tensor, got: Tensor, tolerance: float, at: str) -> Difference | None:
    if got.shape != expected.shape:
        return Difference("shape", at, tuple(expected.shape), tuple(got.shape))
    if got.device != expected.device:
        return Difference("device", at, expected.device, got.device)
    if got.dtype != expected.dtype:
        return Difference("dtype", at, expected.dtype, got.dtype)
    slack = tolerance if got.is_floating_point() or got.is_complex() else 0
    close = torch.isclose(got, expected, rtol=slack, atol=slack, equal_nan=True)
    if bool(close.all()):
        return None
    nan = got.isnan() & ~expected.isnan()
    kind, places = ("nan", nan) if bool(nan.any()) else ("value", ~close)
    place = places.nonzero()[0].tolist()
    return Difference(kind, at + str(place or ""), expected[tuple(place)].item(), got[tuple(place)].item())


def show(x: Any) -> str:
    """A value in a hint: short, and on one line."""
    if isinstance(x, Tensor):
        return say("a tensor of shape {shape}", shape=tuple(x.shape))
    if isinstance(x, type):
        return x.__name__
    if isinstance(x, torch.device):
        return str(x)
    if callable(x):
        return say("the function {name}", name=name_of(x))
    form = "{:.4g}" if isinstance(x, float) else "{:,}" if type(x) is int and abs(x) > 9999 else "{!r}"
    try:
        text = " ".join(line.strip() for line in form.format(x).splitlines())
        if isinstance(x, list | tuple):  # of floats: 6 digits
            text = re.sub(r"\d+\.\d{6,}(e[+-]\d+)?", lambda number: f"{float(number[0]):.6g}", text)
    except Exception:  # a broken __repr__, or an int of too many digits
        text = type(x).__name__
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + " …"


def name_of(function: Any) -> str:
    try:
        return str(getattr(function, "__name__", type(function).__name__))
    except Exception:
        return type(function).__name__


def unlike(expected: Any, got: Any) -> tuple[str, str]:
    """Both in words; if these were the same, in more of them."""
    one, other = show(expected), show(got)
    if one == other and isinstance(expected, float | list | tuple) and isinstance(got, type(expected)):
        one, other = repr(expected), repr(got)
    elif isinstance(expected, str | bytes) and isinstance(got, type(expected)) and len(one) > LONGEST_VALUE:
        pairs = enumerate(zip(expected, got, strict=False))
        start = max(next((k for k, (a, b) in pairs if a != b), min(len(expected), len(got))) - 20, 0)
        one, other = ("… " * (start > 0) + repr(text[start : start + 60]) for text in (expected, got))
    if one == other:
        return f"{kind_of(expected)} {one}", f"{kind_of(got)} {other}"
    return one, other


def kind_of(x: Any) -> str:
    """What sort of thing a value is: "a tensor", "None", "a whole number (int)"."""
    names = {bool: say("True or False"), int: say("a whole number (int)"), float: say("a number"),
             str: say("a string"), bytes: say("bytes"), list: say("a list"), tuple: say("a tuple"), dict: say("a dict"),
             set: say("a set"), range: say("a range"), type(None): "None", Tensor: say("a tensor"),
             GeneratorType: say("a generator")}  # fmt: skip
    if _of_torch(x):
        return say("the pair from torch.{name}", name=type(x).__name__)
    return x["class"] if isinstance(x, Record) else names.get(type(x), type(x).__name__)


def advice(found: Difference) -> str:
    """A whole hint for a difference that no named mistake explains."""
    if found.kind == "type":
        expected, got = kind_of(found.expected), kind_of(found.got)
        template = "Expected {expected}, but your function returned {got}."
        if found.at:
            template = "Expected {expected} at {at}, got {got}."
        said, cure = say(template, expected=expected, at=found.at, got=got), _cure(*found)
        return say("{said} {cure}", said=said, cure=cure) if cure else said
    template = {
        "nan": "A nan comes from 0/0, inf/inf, inf - inf, 0 * inf, or the log of a negative number.\n{line}",
        "float": "The value is right, but it is a float. Expected a whole number (int): divide with //.",
        "raise": "Expected {expected}, but your function returned {got}. Raise {expected} and say what is wrong.",
        "shape": "The shape should be {expected}, but yours is {got}.",
        "dtype": "Expected a {expected} tensor, but yours is {got}.",
        "device": "Expected a {expected} tensor, but yours is {got}.",
    }.get("" if found.at and found.kind in WHOLE else found.kind, "{line}")
    return say(template, expected=show(found.expected), got=show(found.got), line=found.line())


def _cure(_: str, at: str, expected: Any, got: Any) -> str:
    name, makes_tensor = name_of(got) if callable(got) else "", isinstance(got, list | range) or hasattr(got, "tolist")
    sort, makes_list = type(expected), isinstance(got, tuple | set | range)
    cures = [
        (got is None and not at, say("Did you forget `return`?")),
        (isinstance(got, GeneratorType), say("`yield` makes this a generator; return {it}.", it=kind_of(expected))),
        (_of_torch(got), say("Take one of the two: `.values` or `.indices`.")),
        (name.isidentifier(), say("You did not call it: write `{name}()`.", name=name)),
        (sort is Tensor and makes_tensor, say("Convert it with torch.tensor(…).")),
        (sort is list and hasattr(got, "tolist"), say("Convert it with `.tolist()`.")),
        (sort is str and isinstance(got, list), say('Convert it with `"".join(…)`.')),
        (sort is list and makes_list, say("Convert it with `list(…)`.")),
    ]
    return next((text for fits, text in cures if fits), "")
