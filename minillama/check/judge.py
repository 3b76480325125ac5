"""How a learner's function is run: in a time limit, on copies, on settled ground; nothing that it does escapes."""

from __future__ import annotations

import contextlib
import ctypes
import io
import linecache
import os
import random
import re
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from minillama.check.compare import compared, copied, kind_of, plain
from minillama.check.report import Report, say

TIME_LIMIT = 5.0  # seconds a case
AGAIN = 1.0  # seconds after which a bare `except:` that swallowed the interrupt gets the next one
LONGEST_LINE = 400  # characters of a line of a hint
PRINTED_LINES, PRINTED = 10, 4000  # of what a function prints: lines, characters


class Wrong(Exception):
    """A case is not right; the text is the hint that the learner reads."""


class Stub(NotImplementedError):
    """The function returned an Ellipsis: it is not finished."""


class Changed(Exception):
    """The function changed what it was given: the text says what."""


class TimeIsUp(BaseException):  # not an Exception: a learner's own `except Exception` must not catch it
    pass


# ---- the time limit


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeIsUp in the block after `seconds`, and again where it is swallowed; never inside an import.

    By SIGALRM where there is one and this is the main thread, else by a timer in a thread of its own. That one cannot
    wake a call that sleeps in C; so the time is measured, too.
    """
    began = time.monotonic()
    alarm = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
    with _by_signal(seconds) if alarm else _by_thread(seconds):
        yield
        if not alarm and time.monotonic() - began > seconds:
            raise TimeIsUp


@contextlib.contextmanager
def _by_signal(seconds: float) -> Iterator[None]:
    def stop(_, frame: FrameType | None) -> None:
        importing = _importing(frame)
        signal.setitimer(signal.ITIMER_REAL, 0.02 if importing else AGAIN)
        if not importing:
            raise TimeIsUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _by_thread(seconds: float) -> Iterator[None]:
    judged, over, lock = threading.get_ident(), threading.Event(), threading.Lock()

    def watch() -> None:
        wait = seconds
        while not over.wait(wait):
            wait = 0.02
            with lock:
                if not over.is_set() and not _importing(sys._current_frames().get(judged)):
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(judged), ctypes.py_object(TimeIsUp))
                    wait = AGAIN

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        with lock:  # an interrupt that has not arrived yet must not arrive later
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(judged), None)


def _importing(frame: FrameType | None) -> bool:
    """Whether an import is under way: a module that is interrupted in it stays half made until Python ends."""
    while frame is not None:
        if "importlib" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


# ---- settled ground


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """Torch as it is when it starts, whatever the learner has set; afterwards as the learner had it."""
    numpy = sys.modules.get("numpy")
    device, dtype, printing = (
        torch.get_default_device(),
        torch.get_default_dtype(),
        torch._tensor_str.get_printoptions(),
    )
    exact, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    states = torch.get_rng_state(), random.getstate(), numpy.random.get_state() if numpy else None
    graded = torch.is_grad_enabled()
    try:
        torch.set_default_device(None)
        if torch.get_default_device().type != "cpu":  # inside `with torch.device(…)`
            torch.set_default_device("cpu")
        torch.set_default_dtype(torch.float32)
        torch.set_printoptions(profile="default")
        torch.use_deterministic_algorithms(False)
        torch.random.default_generator.manual_seed(0)
        random.seed(0)
        if numpy:
            numpy.random.seed(0)
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_device(None)
        if torch.get_default_device() != device:
            torch.set_default_device(device)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(graded)
        torch.set_printoptions(**printing)
        torch.use_deterministic_algorithms(exact, warn_only=warn_only)
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        if numpy:
            numpy.random.set_state(states[2])


class _Short(io.TextIOBase):
    """A stream that passes the first lines on and counts the others."""

    def __init__(self, stream: Any):
        self.stream, self.lines, self.size = stream, 0, 0

    def write(self, text: str) -> int:
        if self.lines < PRINTED_LINES and self.size < PRINTED:
            shown = "".join(text.splitlines(keepends=True)[: PRINTED_LINES - self.lines])[: PRINTED - self.size]
            self.stream.write(shown)
        self.size += len(text)
        self.lines += text.count("\n")
        return len(text)

    def flush(self) -> None:
        self.stream.flush()


@contextlib.contextmanager
def shortened_output() -> Iterator[None]:
    """Of what the block prints show about ten lines, and how many more there were."""
    short = _Short(sys.stdout)
    try:
        with contextlib.redirect_stdout(short):
            yield
    finally:
        if short.lines > PRINTED_LINES:
            more = short.lines - PRINTED_LINES
            short.stream.write(say("… and {count} more lines that your function printed\n", count=more))
        elif short.size > PRINTED:
            short.stream.write(say("\n… and {count} more characters\n", count=short.size - PRINTED))


# ---- one run of one case


@dataclass
class Outcome:
    """What a function made of a case: a plain copy of the value, or an exception."""

    value: Any = None
    error: BaseException | None = None
    where: str = ""  # the learner's line in which the exception began
    outside: bool = False  # the exception came from what the case did with the result, not from the function
    forbidden: str = ""  # the function called what it should write by hand
    returned: list = field(default_factory=list)  # plain copies of what each call returned

    @property
    def stub(self) -> bool:
        """PyTorch raises NotImplementedError too, for a dtype or a device that an operation does not know: no stub."""
        theirs = re.search(r"not implemented for '|aten::", message(self.error)) or self.outside
        return isinstance(self.error, Stub) or isinstance(self.error, NotImplementedError) and not theirs


class _Watch(TorchFunctionMode):
    """Notes which of the forbidden functions is called: as a method, from the module or from functional."""

    def __init__(self, names: Sequence[str]):
        super().__init__()
        self.names, self.seen = names, ""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "").removeprefix("special_").strip("_")
        self.seen = self.seen or (name if name in self.names else "")
        return func(*args, **(kwargs or {}))


def run(
    function: Callable,
    case: tuple | Callable[[Callable], Any],
    look: Callable[[Any], Any] | None = None,
    without: Sequence[str] = (),
    seconds: float | None = None,
) -> Outcome:
    """Call function as the case says. Nothing but the learner's Ctrl-C is raised.

    case: the arguments of one call, or a function that is given the learner's and returns what is compared. look: what
    is compared of a result; it may raise Wrong.
    """
    outcome, inside = Outcome(), False

    def guarded(*args, **kwargs):
        nonlocal inside
        before = [plain(each) for each in (*args, *kwargs.values())]
        mine, named = [copied(each) for each in args], {key: copied(each) for key, each in kwargs.items()}
        inside = True
        with _Watch(without) if without else contextlib.nullcontext() as watch:
            result = function(*mine, **named)
        inside = False
        outcome.forbidden = outcome.forbidden or (watch.seen if watch else "")
        if result is ...:
            raise Stub
        outcome.returned.append(plain(result))
        for old, new in zip(before, (*mine, *named.values()), strict=True):
            if compared(old, plain(new), tolerance=0.0):
                raise Changed(_changed(old))
        return result

    try:
        with pinned(), time_limit(TIME_LIMIT if seconds is None else seconds):
            result = guarded(*case) if isinstance(case, tuple) else case(guarded)
            outcome.value = plain(look(result) if look else result)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        outcome.error, outcome.where, outcome.outside = error, _where(error, function), not inside
    return outcome


def _changed(old: Any) -> str:
    if isinstance(old, torch.Tensor):
        return say(
            "Your function changed the tensor that it was given. Work on a new one: no `x[…] = …`, no `x.div_(…)`."
        )
    if isinstance(old, list):
        return say(
            "Your function changed the list that it was given. `a + b` and slices make new ones; `+=`, `append`, "
            "`extend` and `pop` change the old one."
        )
    return say(
        "Your function changed the {kind} that it was given. Only read it.", kind=kind_of(old).removeprefix("a ")
    )


def message(error: BaseException | None) -> str:
    try:
        return str(error).strip()
    except Exception:  # a learner's own class may have a broken __str__
        return ""


def raised(outcome: Outcome) -> str:
    """The hint for an exception: its name, the first line of its message, and the learner's line."""
    short = ": ".join([type(outcome.error).__name__, *message(outcome.error).splitlines()[:1]])
    if outcome.where:
        return say("It raised {error}\nin the line: {line}", error=short, line=outcome.where)
    return say("It raised {error}", error=short)


def _where(error: BaseException, function: Callable) -> str:
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    line, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = linecache.getline(file, trace.tb_lineno).strip()
        trace = trace.tb_next
    return line


def readable(hint: str) -> str:
    """A hint that any screen can show: no endless line, no half character."""
    lines = hint.encode("utf-8", "backslashreplace").decode().splitlines()
    return "\n".join(line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …" for line in lines)


# ---- what passed


_latest: weakref.WeakKeyDictionary[Callable, dict[str, bool]] = weakref.WeakKeyDictionary()


def finish(report: Report, function: Callable, exercise: str) -> Report:
    """Remember the verdict. With MINILLAMA_STRICT=1 all but a pass raises AssertionError: so a notebook is graded."""
    with contextlib.suppress(Exception):  # what cannot be weakly referenced or hashed is not remembered
        verdicts = _latest.setdefault(function, {})
        verdicts.pop(exercise, None)
        verdicts[exercise] = report.status == "passed"  # the latest comes last
    if report.status != "passed" and os.environ.get("MINILLAMA_STRICT") == "1":
        raise AssertionError(str(report))
    return report


def use(mine: Callable, solution: Callable) -> Callable:
    """The learner's function if it passed its latest check of the exercise that solution solves, else the solution.

    Says which.
    """
    verdicts, solved = _verdicts(mine), [name for name, passed in _verdicts(solution).items() if passed]
    passed = verdicts.get(solved[-1], False) if solved else any(verdicts.values())
    name = getattr(mine, "__name__", type(mine).__name__)
    if passed:
        print(say("Going on with {name}: your function passed its check.", name=name))
        return mine
    chosen = getattr(solution, "__name__", type(solution).__name__)
    print(say("Going on with {chosen}: {name} has not passed its check.", chosen=chosen, name=name))
    return solution


def _verdicts(function: Callable) -> dict[str, bool]:
    try:
        return _latest.get(function, {})
    except Exception:
        return {}
