"""The ground a learner's function runs on: a time limit, torch as it starts, a few lines of output."""

from __future__ import annotations

import contextlib
import ctypes
import io
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch

from minillama.check.report import say

JUDGE = __file__.replace("limits.py", "judge.py")
AGAIN = 1.0  # seconds after which a bare `except:` that swallowed the interrupt gets the next one
PRINTED_LINES, PRINTED = 10, 4000  # of what a function prints: lines, characters


class TimeIsUp(BaseException):  # not an Exception: a learner's own `except Exception` must not catch it
    pass


# ---- the time limit


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeIsUp in the block after `seconds`, and again where it is swallowed; never inside an import.

    By SIGALRM where there is one and this is the main thread, else by a thread that watches this one. That cannot wake
    a call that sleeps in C; so the time is measured, too.
    """
    alarm = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
    began, waited = time.monotonic(), threading.Event()  # waited: for an import to end
    with _by_signal(seconds, waited) if alarm else _by_thread(seconds, waited):
        yield
        if time.monotonic() - began > seconds and not waited.is_set():
            raise TimeIsUp


@contextlib.contextmanager
def _by_signal(seconds: float, waited: threading.Event) -> Iterator[None]:
    def stop(_, frame: FrameType | None) -> None:
        if _importing(frame):
            waited.set()
            signal.setitimer(signal.ITIMER_REAL, 0.02)
        else:
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
            raise TimeIsUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _by_thread(seconds: float, waited: threading.Event) -> Iterator[None]:
    judged, over, lock = threading.get_ident(), threading.Event(), threading.Lock()

    def interrupt(error: type | None) -> None:
        raised = ctypes.py_object(error) if error else None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(judged), raised)

    def watch() -> None:
        wait = seconds
        while not over.wait(wait):
            with lock:
                if _importing(sys._current_frames().get(judged)):
                    waited.set()
                    wait = 0.02
                elif not over.is_set():
                    interrupt(TimeIsUp)
                    wait = AGAIN

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        with lock:
            interrupt(None)  # what has not arrived yet must not arrive later


def _importing(frame: FrameType | None) -> bool:
    """Whether an import is under way: a module that is interrupted in it stays half made until Python ends."""
    while frame is not None and frame.f_code.co_filename != JUDGE:  # what is below is not the learner's
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
