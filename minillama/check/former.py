"""The helpers of the judges that are not tables yet; it goes when the last of them is one."""

from __future__ import annotations

import copy
import linecache
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from minillama.check import judge as judging
from minillama.check.judge import LONGEST_LINE, Wrong, finish
from minillama.check.limits import TimeIsUp, pinned, shortened_output, time_limit
from minillama.check.report import Case, Report
from minillama.model import ModelArgs


class NotAttempted(Exception):
    """The function is still a stub."""


def judge(function: Callable, cases: Iterable[tuple[str, Callable[[Callable], None]]]) -> Report:
    """Try function on each (name, case); a case calls it and raises Wrong with a hint.

    Never raises, whatever the function does; with MINILLAMA_STRICT=1 in the environment, anything but a pass raises
    AssertionError, so that a notebook can be graded.
    """
    with pinned(), shortened_output():
        report = _judge(getattr(function, "__name__", repr(function)), function, cases)
    return finish(report, function, sys._getframe(1).f_code.co_name)


def _judge(name: str, function: Callable, cases: Iterable[tuple[str, Callable[[Callable], None]]]) -> Report:
    if not callable(function):
        return Report(
            name, "failed", [Case("is a function", False, f"A function is due, got {type(function).__name__}.")]
        )
    done: list[Case] = []
    for case_name, case in cases:
        try:
            with time_limit(judging.TIME_LIMIT):
                case(function)
        except NotAttempted:
            return Report(name, "not attempted")
        except Wrong as wrong:
            hint = _cut(str(wrong))
        except TimeIsUp:
            hint = f"It did not return within {judging.TIME_LIMIT:g} seconds. Is there a loop that never ends?"
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if isinstance(error, NotImplementedError) and not _is_torchs(error):
                return Report(name, "not attempted")
            hint = _cut(f"It raised {_short(error)}{_where(error, function)}")
        else:
            done.append(Case(case_name, True))
            continue
        return Report(name, "failed", [*done, Case(case_name, False, hint)])
    return Report(name, "passed", done)


def call(function: Callable, *args):
    """function(*args) on copies of what it could change. Raises Wrong if it did, NotAttempted for an Ellipsis."""
    copies = [_copy(arg) for arg in args]
    result = function(*copies)
    if result is ...:
        raise NotAttempted
    for before, after in zip(args, copies, strict=True):
        if isinstance(before, Tensor):
            if not torch.equal(before, after):
                raise Wrong(
                    "Your function changed the tensor that it was given. Work on a new one: no `x[…] = …`, "
                    "no `x.div_(…)`."
                )
        elif before is not after and before != after:
            advice = "Only read it."
            if isinstance(before, list):
                advice = "`a + b` and slices make new ones; `+=`, `append`, `extend` and `pop` change the old one."
            raise Wrong(f"Your function changed the {type(before).__name__} that it was given. {advice}")
    return result


def expect_tensor(got, like: Tensor) -> Tensor:
    """Raise Wrong unless got is a tensor of like's shape, dtype and device, without nan."""
    if not isinstance(got, Tensor):
        kind, advice = type(got).__name__, ""
        if got is None:
            kind, advice = "None", " Is there a `return`?"
        elif hasattr(got, "values") and hasattr(got, "indices"):  # torch.max, torch.sort, torch.topk
            kind, advice = f"the pair of torch.{kind}", " Take one of the two: `.values` or `.indices`."
        elif isinstance(got, list | tuple):
            advice = " torch.tensor(…) makes one of a list."
        raise Wrong(f"A tensor is due, your function returned {kind}.{advice}")
    if got.shape != like.shape:
        raise Wrong(f"The shape should be {tuple(like.shape)}, yours is {tuple(got.shape)}.")
    if got.dtype != like.dtype or got.device != like.device:
        raise Wrong(f"A {like.dtype} tensor on {like.device} is due, yours is {got.dtype} on {got.device}.")
    if got.isnan().any():
        raise Wrong("There is a nan in your result. Did you divide by a sum that is 0?")
    return got


def expect_close(got, due: Tensor, mistakes: Sequence[tuple[str, Callable[[], Tensor]]] = ()) -> None:
    """Raise Wrong unless got equals due. A result equal to that of a known mistake gets the mistake's own hint."""
    expect_tensor(got, due)
    if torch.allclose(got, due, atol=1e-4):
        return
    for hint, wrong in mistakes:
        other = wrong()
        if other.shape == got.shape and torch.allclose(got, other, atol=1e-4):
            raise Wrong(hint)
    raise Wrong(f"due   {_numbers(due)}\nyours {_numbers(got)}")


def expect_equal(got, due, mistakes: Iterable[tuple[str, object]] = ()) -> None:
    """Raise Wrong unless got equals due: numbers, texts and lists. Known mistakes are given by their results."""
    if got == due:
        return
    for hint, wrong in mistakes:
        if got == wrong:
            raise Wrong(hint)
    raise Wrong(f"due   {due}\nyours {got}")


def expect_number(got: float, due: float, mistakes: Iterable[tuple[str, float]], rel_tol: float, text: str) -> None:
    """Raise Wrong unless got is about due: with the hint of the mistake that explains it, else with `text`."""
    if math.isclose(got, due, rel_tol=rel_tol):
        return
    for hint, wrong in mistakes:
        if math.isclose(got, wrong, rel_tol=rel_tol):
            raise Wrong(hint)
    raise Wrong(text)


def _copy(arg):
    if isinstance(arg, Tensor):
        return arg.clone()
    return copy.deepcopy(arg) if isinstance(arg, ModelArgs) or _is_plain_list(arg) else arg


def _is_plain_list(arg) -> bool:
    """A list of numbers, texts, or lists and dicts of these: not of generators, which are there to be used."""
    plain = int, float, str, bytes, type(None)
    return isinstance(arg, list) and all(
        all(isinstance(value, plain) for value in each.values())
        if isinstance(each, dict)
        else isinstance(each, plain) or _is_plain_list(each)
        for each in arg
    )


def _is_torchs(error: NotImplementedError) -> bool:
    """PyTorch raises it too, for a dtype or a device that an operation does not know: that is no stub."""
    return re.search(r"not implemented for '|aten::", str(error)) is not None


def _short(error: BaseException) -> str:
    """The name of an exception and the first line of its message."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # a learner's own class may have a broken __str__
        lines = []
    return ": ".join([type(error).__name__, *lines[:1]])


def _where(error: BaseException, function: Callable) -> str:
    """The line of the learner's function in which an exception began, if its source is known."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    line, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = linecache.getline(file, trace.tb_lineno).strip()
        trace = trace.tb_next
    return f"\nin the line: {line}" if line else ""


def _cut(hint: str) -> str:
    """A hint that any screen can show: no endless line, no half character."""
    lines = hint.encode("utf-8", "backslashreplace").decode().splitlines()
    return "\n".join(line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …" for line in lines)


def _numbers(x: Tensor) -> str:
    values = x.flatten().tolist()
    shown = " ".join(f"{value:.4g}" for value in values[:12])
    return shown + (" …" if len(values) > 12 else "")
