"""How a learner's function is run: on copies, within limits; nothing that it does escapes."""

from __future__ import annotations

import contextlib
import linecache
import os
import re
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from minillama.check.compare import compared, copied, kind_of, name_of, plain
from minillama.check.limits import pinned, time_limit
from minillama.check.progress import checked
from minillama.check.report import Report
from minillama.words import say

HERE = Path(__file__).parent
TIME_LIMIT = 5.0  # seconds a case
LONGEST_LINE = 400  # characters of a line of a hint


class Wrong(Exception):
    """A case is not right; the text is the hint that the learner reads."""


class Changed(Exception):
    """The function changed what it was given: the text says what."""


@dataclass
class Outcome:
    """What a function made of a case: a plain copy of the value, or an exception."""

    value: Any = None
    error: BaseException | None = None
    where: str = ""  # the learner's line in which the exception began
    outside: bool = False  # the exception came from what the case did with the result, not from the function
    forbidden: str = ""  # the function called what it should write by hand
    returned: list = field(default_factory=list)  # plain copies of what each call returned
    is_own: bool = False  # the function raised the exception itself, not what it called in PyTorch or the package

    @property
    def stub(self) -> bool:
        """PyTorch raises NotImplementedError too, for a dtype or a device that an operation does not know: no stub."""
        theirs = self.outside or re.search(r"not implemented for '|aten::", message(self.error))
        return isinstance(self.error, NotImplementedError) and not theirs


class _Watch(TorchFunctionMode):
    """Notes which of the forbidden functions is called: as a method, from the module or from functional."""

    def __init__(self, names: Sequence[str]):
        super().__init__()
        self.names, self.seen = names, ""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "").removeprefix("special_").strip("_")
        self.seen = self.seen or (name if name in self.names else "")
        return func(*args, **(kwargs or {}))


def run(function: Callable, case: Any, look: Any = None, without: Sequence = (), seconds: float = 0) -> Outcome:
    """Call function as the case says. Nothing but the learner's Ctrl-C is raised.

    case: the arguments of one call, or a function that is given the learner's and returns what is compared. look: what
    is compared of a result; it may raise Wrong. without: torch functions that are noted as forbidden. seconds: of time;
    0 is TIME_LIMIT.
    """
    outcome, watch = Outcome(outside=True), _Watch(without)  # outside until the function is called

    def guarded(*args, **kwargs):
        given, named = copied(args), copied(kwargs)
        before = plain((*given, *named.values()))
        outcome.outside = False
        with watch if without else contextlib.nullcontext():
            result = function(*given, **named)
        outcome.forbidden = watch.seen
        if result is ...:
            raise NotImplementedError
        outcome.outside = True
        outcome.returned.append(plain(result))
        for old, new in zip(before, (*given, *named.values()), strict=True):
            if compared(old, now := plain(new), tolerance=0.0):
                raise Changed(_changed(old, now))
        return result

    try:
        with pinned(), time_limit(seconds or TIME_LIMIT):
            result = guarded(*case) if isinstance(case, tuple) else case(guarded)
            outcome.value = plain(look(result) if look else result)
        outcome.outside = False
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        outcome.error, outcome.where, outcome.is_own = error, _where(error, function), _is_own(error)
    return outcome


def _changed(old: Any, new: Any, at: str = "") -> str:
    """The hint for an argument that was changed: about the innermost list, dict or tensor in it that was."""
    a, b = (dict(enumerate(x)) if type(x) in (list, tuple) else x if isinstance(x, dict) else {} for x in (old, new))
    for key, inner in a.items() if a.keys() == b.keys() else ():
        if isinstance(inner, list | tuple | dict | torch.Tensor) and compared(inner, b[key], tolerance=0.0):
            return _changed(inner, b[key], f"{at}[{key!r}]")
    if isinstance(old, torch.Tensor):
        template = "Your function changed {what}. Do not use `x[…] = …`, `x |= …` or `x.div_(…)`."
    elif isinstance(old, list):
        template = "Your function changed {what}, as `+=`, `append` and `pop` do. Use `a + b`."
    else:
        template = "Your function changed {what}. Do not change it: work on a copy."
    what = "the {kind} at {at} of its argument" if at else "the {kind} it was given"
    return say(template, what=say(what, kind=kind_of(old).removeprefix("a "), at=at))


def message(error: BaseException | None) -> str:
    try:
        return str(error).strip()
    except Exception:  # a learner's own class may have a broken __str__
        return ""


def raised(outcome: Outcome) -> str:
    """The hint for an exception: its name, its message up to a line that does not end with a colon, and where."""
    said = re.split(r"(?<!:)\n", message(outcome.error))[0].split()
    short = f"{type(outcome.error).__name__}: {' '.join(said)}".removesuffix(": ")
    template = "It raised {error}\nin the line: {line}" if outcome.where else "It raised {error}"
    return say(template, error=short, line=outcome.where)


def _where(error: BaseException, function: Callable) -> str:
    file, line, trace = getattr(getattr(function, "__code__", None), "co_filename", None), "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = linecache.getline(file, trace.tb_lineno).strip()
        trace = trace.tb_next
    return line


def _is_own(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    file = Path(trace.tb_frame.f_code.co_filename)
    return "site-packages" not in file.parts and (file.parent == HERE or HERE.parent not in file.parents)


def readable(hint: str) -> str:
    """A hint that any screen can show: no endless line, no half character."""
    lines = hint.encode("utf-8", "backslashreplace").decode().splitlines()
    return "\n".join(line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …" for line in lines)


_latest: weakref.WeakKeyDictionary[Callable, dict[str, bool]] = weakref.WeakKeyDictionary()


class NotPassed(AssertionError):
    """Ends a graded run; in a notebook it shows as one line, without a traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        return [f"{type(self).__name__}: {self}"]


def finish(report: Report, function: Callable, exercise: str) -> Report:
    """Remember the verdict. With MINILLAMA_STRICT=1 all but a pass raises NotPassed: so a notebook is graded."""
    verdicts = _verdicts(function)
    verdicts.pop(exercise, None)
    verdicts[exercise] = report.status == "passed"  # the latest comes last
    checked(exercise, name_of(function), report)
    if report.status != "passed" and os.environ.get("MINILLAMA_STRICT") == "1":
        raise NotPassed(f"{exercise}: {report.line()}")
    return report


def use(mine: Callable, solution: Callable) -> Callable:
    """The learner's function if it passed its latest check of the exercise that solution solves, else the solution.

    Says which.
    """
    verdicts, solved = _verdicts(mine), [name for name, passed in _verdicts(solution).items() if passed]
    if verdicts.get(solved[-1]) if solved else any(verdicts.values()):
        print(say("Using {name}: your function passed its check.", name=name_of(mine)))
        return mine
    template = "Using {chosen}: {name} has not passed its check."
    print(say(template, chosen=name_of(solution), name=name_of(mine)))
    return solution


def _verdicts(function: Callable) -> dict[str, bool]:
    try:
        return _latest.setdefault(function, {})
    except Exception:  # what cannot be weakly referenced or hashed is not remembered
        return {}
