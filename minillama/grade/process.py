"""A notebook in a process of its own, within limits: what came of its functions, as `child.py` tells it.

If the process ends in a cell, or does not end it, it is started again without that cell; if it ends in a function, that
function has failed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from minillama.check import judge
from minillama.check.report import say
from minillama.check.wire import MOST
from minillama.links import REPOSITORY

CHILD = Path(__file__).with_name("child.py")
STARTS = 8  # of a process for one notebook
FIRST, GRACE, LOOK = 120, 2, 0.1  # seconds: to import, to react to an interrupt, between two looks at the clock
KEPT = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ", "LANG", "LC_ALL", "CUDA_VISIBLE_DEVICES",
        "MINILLAMA_COURSE_MODEL")  # fmt: skip  # of the environment; no password comes with it
HOMES = ("HOME", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "TEMP", "TMP", "TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR",
         "MINILLAMA_DATA", "MINILLAMA_CACHE")  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """seconds: of a notebook; cell: seconds of a cell; memory: bytes of a notebook and what it starts.

    stop: set, it ends all that runs.
    """

    seconds: float = 300
    cell: float = 60
    memory: int = 4 * 2**30
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def call(self) -> float:
        """Seconds of a case, if its own limit cannot end it."""
        return 4 * judge.TIME_LIMIT


@dataclass
class Found:
    """What came of a function: its outcomes as they were sent, and what is to be said if there is more to say."""

    outcomes: list[str] = field(default_factory=list)
    ended: str = ""  # how the process ended in it
    instead: str = ""  # what has its name, if that is not a function of the learner's
    missing: bool = False


class Ended(Exception):
    """The process is over; the text says how."""


def run(cells: list[str], tasks: list[list[str]], folder: Path, limits: Limits) -> tuple[dict, dict[int, str]]:
    """({exercise: Found}, {cell: how it failed}) of a notebook; tasks: [exercise, function, module of the judge].

    folder: where modules that are not the course's are found.
    """
    found: dict[str, Found] = {}
    failed: dict[int, str] = {}
    left, end, why = dict(enumerate(cells)), time.monotonic() + limits.seconds, ""
    for _ in range(STARTS):
        todo = [task for task in tasks if task[0] not in found]
        request = {"root": str(REPOSITORY), "folder": str(folder), "cells": left, "tasks": todo}
        cell, exercise = None, ""
        try:
            for said in _messages(request | {"memory": limits.memory}, limits, end):
                if "cell" in said:
                    cell = int(said["cell"])
                elif "failed" in said:
                    failed[cell] = str(said["failed"])
                elif "exercise" in said:
                    cell, exercise = None, str(said["exercise"])
                    found[exercise] = Found()
                else:
                    _note(found[exercise], said)
            break
        except Ended as ended:
            why = str(ended)
            if exercise:
                found[exercise].ended = why
            elif cell in left:
                failed[cell] = why
                del left[cell]
            if time.monotonic() > end or limits.stop.is_set() or cell is None and not exercise:
                break
    names = [task[0] for task in tasks]
    return {name: found.get(name, Found(ended=why or say("It was not judged."))) for name in names}, failed


def _note(found: Found, said: dict) -> None:
    if "outcome" in said:
        found.outcomes.append(str(said["outcome"]))
    found.instead = str(said.get("instead", found.instead))
    found.missing = found.missing or "missing" in said


def _messages(request: dict, limits: Limits, end: float) -> Iterator[dict]:
    """What the process says, until it says that it is done; else Ended is raised. Nothing of it is left running."""
    with tempfile.TemporaryDirectory(prefix="minillama-grade-", ignore_cleanup_errors=True) as folder:
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment |= dict.fromkeys(HOMES, folder) | {"MPLBACKEND": "agg", "PYTHONPATH": str(REPOSITORY)}
        environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(CHILD)], cwd=folder, env=environment, start_new_session=os.name != "nt",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        lines: queue.Queue[bytes] = queue.Queue(maxsize=16)
        reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
        reader.start()
        try:
            with contextlib.suppress(OSError):  # it has ended already: `_next` says how
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.close()
            seconds, interrupts = FIRST, 0
            while "end" not in (said := _next(process, lines, seconds, interrupts, limits, end)):
                yield said
                in_a_cell = "cell" in said
                seconds, interrupts = (limits.cell, 2) if in_a_cell else (limits.call, 0)
        finally:
            _kill(process)
            for _ in range(round(GRACE / LOOK)):
                with contextlib.suppress(queue.Empty):
                    while reader.is_alive():
                        lines.get(timeout=LOOK)


def _read(process: subprocess.Popen, lines: queue.Queue) -> None:
    """Hand over line by line, and an empty one at the end."""
    with contextlib.suppress(OSError, ValueError):
        while line := process.stdout.readline(2 * MOST):
            lines.put(line)
    lines.put(b"")


def _next(
    process: subprocess.Popen, lines: queue.Queue, seconds: float, interrupts: int, limits: Limits, end: float
) -> dict:
    """The next message. Who takes longer is interrupted, if that is allowed, and then ended."""
    late, over, dead = time.monotonic() + seconds, False, 0
    while True:
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=LOOK)
            break
        now, dead = time.monotonic(), dead + (process.poll() is not None)
        if dead > 3:  # and yet the pipe is open: a fork has it
            raise Ended(_how_it_ended(process))
        if _memory(process.pid) > limits.memory:
            raise Ended(say("It took more than {most:.1f} GiB of memory.", most=limits.memory / 2**30))
        if now > end or limits.stop.is_set():
            raise Ended(say("The notebook did not end within {seconds:g} seconds.", seconds=limits.seconds))
        if now > late:
            over = True
            if not interrupts or os.name == "nt":
                raise Ended(say("It did not end within {seconds:g} seconds.", seconds=seconds))
            process.send_signal(signal.SIGINT)
            late, interrupts = now + GRACE, interrupts - 1
    if not line:
        raise Ended(_how_it_ended(process))
    try:
        said = json.loads(line)
        return said if not (over and "failed" in said) else {"failed": f"Its time was up: {said['failed']}"}
    except (ValueError, TypeError, RecursionError):
        raise Ended(say("It wrote into the pipe that only the grader may write to.")) from None


def _how_it_ended(process: subprocess.Popen) -> str:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    if process.returncode is None:
        return say("It closed the pipe to the grader.")
    if process.returncode < 0:
        return say("It ended the process: signal {number}.", number=-process.returncode)
    return say("It ended the process: exit status {number}.", number=process.returncode)


def watches_memory() -> bool:
    """Whether memory is limited on this system."""
    return importlib.util.find_spec("psutil") is not None or importlib.util.find_spec("resource") is not None


def _memory(pid: int) -> int:
    """Bytes that a process and those below it hold now, 0 if that cannot be known."""
    total = 0
    for each in _family(pid):
        with contextlib.suppress(Exception):  # it has ended
            total += each.memory_info().rss
    return total


def _family(pid: int) -> list:
    """A process and all that it has started, if psutil is there (ipykernel needs it)."""
    try:
        import psutil

        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except Exception:
        return []


def _kill(process: subprocess.Popen) -> None:
    family = _family(process.pid)
    if os.name != "nt":
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    for each in family[1:]:
        with contextlib.suppress(Exception):
            each.kill()
    with contextlib.suppress(OSError):
        process.stdin.close()
    process.wait()
