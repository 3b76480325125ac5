"""The ground a learner's function runs on: a time limit, torch as it starts, a few lines of output."""

from __future__ import annotations

import contextlib
import ctypes
import io
import random
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import torch

from minillama.words import say

JUDGE = __file__.replace("limits.py", "judge.py")
AGAIN = 0.5  # seconds after which a bare `except:` that swallowed the interrupt gets the next one
PRINTED_LINES, PRINTED = 10, 4000  # of what a function prints: lines, characters


class TimeIsUp(BaseException):  # not an Exception: a learner's own `except Exception` must not catch it
    pass


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeIsUp in the block after `seconds`, and again where it is swallowed; never inside an import.

    By SIGALRM where there is one and this is the main thread, else by a thread that watches this one. That cannot wake
    a call that sleeps in C: TimeIsUp is raised when it returns.
    """
    alarm = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
    fired = threading.Event()
    with (_by_signal if alarm else _by_thread)(seconds, fired):
        yield
        if fired.is_set():
            raise TimeIsUp


@contextlib.contextmanager
def _by_signal(seconds: float, fired: threading.Event) -> Iterator[None]:
    def stop(_, frame: FrameType | None) -> None:
        if not _importing(frame):
            fired.set()
            raise TimeIsUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _by_thread(seconds: float, fired: threading.Event) -> Iterator[None]:
    judged, over, lock = threading.get_ident(), threading.Event(), threading.Lock()

    def interrupt(error: type | None) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(judged), error and ctypes.py_object(error))

    def watch() -> None:
        wait = seconds
        while not over.wait(wait):
            wait = AGAIN
            with lock:
                if not over.is_set() and not _importing(sys._current_frames().get(judged)):
                    fired.set()
                    interrupt(TimeIsUp)

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


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """Torch as it is when it starts, whatever the learner has set; afterwards as the learner had it."""
    numpy, device = sys.modules.get("numpy"), torch.get_default_device()
    before = [
        (torch.set_default_dtype, torch.get_default_dtype()),
        (torch.set_grad_enabled, torch.is_grad_enabled()),
        (torch.set_deterministic_debug_mode, torch.get_deterministic_debug_mode()),
        (torch.set_rng_state, torch.get_rng_state()),
        (random.setstate, random.getstate()),
        (lambda options: torch.set_printoptions(**options), torch._tensor_str.get_printoptions()),
        *([(numpy.random.set_state, numpy.random.get_state())] if numpy else []),
    ]
    try:
        _set_device(torch.device("cpu"))
        torch.set_default_dtype(torch.float32)
        torch.set_printoptions(profile="default")
        torch.set_deterministic_debug_mode(0)
        for seed in (torch.random.default_generator.manual_seed, random.seed, *([numpy.random.seed] if numpy else [])):
            seed(0)
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        _set_device(device)
        for restore, value in before:
            restore(value)


def _set_device(device: torch.device) -> None:
    torch.set_default_device(None)
    if torch.get_default_device() != device:  # also inside `with torch.device(…)`
        torch.set_default_device(device)


class _Short(io.StringIO):
    """Keeps the beginning of what is printed, and counts the rest."""

    lines = more = 0

    def write(self, text: str) -> int:
        kept = "".join(text.splitlines(keepends=True)[: PRINTED_LINES - self.lines])[: PRINTED - self.tell()]
        self.lines += kept.count("\n")
        self.more += len(text) - len(kept)
        return super().write(kept) and len(text)


@contextlib.contextmanager
def shortened_output() -> Iterator[None]:
    """Of what the block prints show about ten lines, at its end, and how much more there was."""
    short = _Short()
    try:
        with contextlib.redirect_stdout(short):
            yield
    finally:
        print(short.getvalue(), end="")
        if short.more:
            print(say("… and {count:,} more characters that your function printed", count=short.more))
