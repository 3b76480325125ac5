"""A notebook in a process of its own, within limits: what came of its functions, as `child.py` tells it.

If the process ends in a cell, or the cell does not end, it is started again without the calls of judges in that cell,
then without the cell. If it ends in a function, that function has failed.
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
from minillama.check.wire import MOST
from minillama.grade.submissions import CALL
from minillama.links import REPOSITORY
from minillama.words import say

CHILD = Path(__file__).with_name("child.py")
STARTS = 8  # of a process for one notebook
FIRST, GRACE, LOOK = 120, 2, 0.2  # seconds: to import, to react to an interrupt, between two looks at the clock
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
    cell: float = 120
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


NOT_OURS = "It wrote into the pipe that only the grader may write to."


class Ended(Exception):
    """The process is over; the text says how."""


class _Told:
    """What the messages of a notebook have said so far; one that cannot be right ends the process."""

    def __init__(self, cells: list[str], tasks: list[list[str]]):
        self.left, self.tasks = dict(enumerate(cells)), tasks
        self.found: dict[str, Found] = {}
        self.failed: dict[int, str] = {}
        self.cell: int | None = None
        self.exercise, self.started = "", False

    def todo(self) -> list[list[str]]:
        return [task for task in self.tasks if task[0] not in self.found]

    def hear(self, said: dict) -> None:
        self.started = True
        if "cell" in said and int(said["cell"]) in self.left and not self.exercise:
            self.cell = int(said["cell"])
        elif "failed" in said and self.cell is not None:
            self.failed[self.cell] = str(said["failed"])[:999]
        elif "exercise" in said and said["exercise"] in [task[0] for task in self.todo()]:
            self.cell, self.exercise = None, said["exercise"]
            self.found[self.exercise] = Found()
        elif self.exercise and {"outcome", "instead", "missing"} & said.keys():
            found = self.found[self.exercise]
            if "outcome" in said:
                found.outcomes.append(str(said["outcome"]))
            found.instead = str(said.get("instead", found.instead))
            found.missing = found.missing or "missing" in said
            if sum(map(len, found.outcomes)) > 4 * MOST or len(found.outcomes) > 999:
                raise ValueError("too much")
        else:
            raise ValueError("out of turn")

    def over(self, why: str) -> bool:
        """Note that the process has ended; return whether it is worth starting again."""
        if self.exercise:
            self.found[self.exercise].ended = why
        elif self.cell is not None:
            self.failed[self.cell] = why
            source, without = self.left[self.cell], CALL.sub("", self.left[self.cell])
            self.left[self.cell] = without  # the function that it defines is wanted
            if without == source:
                del self.left[self.cell]
        worth = bool(self.exercise) or self.cell is not None
        self.cell, self.exercise = None, ""
        return worth


def run(cells: list[str], tasks: list[list[str]], folder: Path, limits: Limits) -> tuple[dict, dict[int, str]]:
    """({exercise: Found}, {cell: how it failed}) of a notebook; tasks: [exercise, function, module of the judge].

    folder: where modules that are not the course's are found. Raises Ended if no cell could be run.
    """
    told, end, why = _Told(cells, tasks), time.monotonic() + limits.seconds, say("It was not judged.")
    for _ in range(STARTS):
        request = {"path": _path(folder), "memory": limits.memory}
        try:
            for said in _messages(request | {"cells": told.left, "tasks": told.todo()}, limits, end):
                try:
                    told.hear(said)
                except (ValueError, TypeError, KeyError):
                    raise Ended(say(NOT_OURS)) from None
            break
        except Ended as ended:
            if not told.started:
                raise
            why = str(ended)
            if not told.over(why) or time.monotonic() > end or limits.stop.is_set():
                break
    return {task[0]: told.found.get(task[0], Found(ended=why)) for task in tasks}, told.failed


def _path(folder: Path) -> list[str]:
    """Where a notebook imports from: this package, the folder, then as this process does, but not where it stands."""
    found = [str(REPOSITORY), str(folder), *(each for each in sys.path if each and Path(each) != Path.cwd())]
    return list(dict.fromkeys(found))


def _messages(request: dict, limits: Limits, end: float) -> Iterator[dict]:
    """What the process says, until it says that it is done; else Ended is raised. Nothing of it is left running."""
    made = tempfile.TemporaryDirectory(prefix="minillama-grade-", ignore_cleanup_errors=True)
    with made as folder, tempfile.TemporaryFile() as errors:
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment |= dict.fromkeys(HOMES, folder) | {"MPLBACKEND": "agg", "PYTHONPATH": str(REPOSITORY)}
        environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(CHILD)], cwd=folder, env=environment, start_new_session=os.name != "nt",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
        lines: queue.Queue[bytes] = queue.Queue(maxsize=2)
        reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
        reader.start()
        try:
            with contextlib.suppress(OSError):  # it has ended already: `_next` says how
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.close()
            seconds, interrupts = FIRST, 0
            while "end" not in (said := _next(process, lines, seconds, interrupts, limits, end)):
                yield said
                seconds, interrupts = (limits.cell, 2) if "cell" in said else (limits.call, 0)
        except Ended as ended:
            errors.seek(0)
            reason = errors.read().decode(errors="replace").strip().splitlines()[-1:]
            raise Ended(" ".join([str(ended), *reason * (seconds == FIRST)])) from None  # why it did not start
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
        if time.monotonic() > end:
            raise Ended(say("The notebook did not end within {seconds:g} seconds.", seconds=limits.seconds))
        if limits.stop.is_set():
            raise Ended(say("It was interrupted."))
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=LOOK)
            break
        now, dead = time.monotonic(), dead + (process.poll() is not None)
        if dead > 3:  # and yet the pipe is open: a fork has it
            raise Ended(_how_it_ended(process))
        if _memory(process.pid) > limits.memory:
            raise Ended(say("It took more than {most:.1f} GiB of memory.", most=limits.memory / 2**30))
        if now > late:
            over = True
            if not interrupts or os.name == "nt":
                raise Ended(say("It did not end within {seconds:g} seconds.", seconds=seconds))
            process.send_signal(signal.SIGINT)
            late, interrupts = now + GRACE, interrupts - 1
    if not line:
        raise Ended(_how_it_ended(process))
    try:
        said = dict(json.loads(line))
    except (ValueError, TypeError, RecursionError):
        raise Ended(say(NOT_OURS)) from None
    if over and "failed" in said:
        return {"failed": say("Its time was up: {error}", error=said["failed"])}
    return said


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
