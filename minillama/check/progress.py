"""What a learner has done so far: a line in a file for each check and each prediction. Nothing leaves the machine.

Where it is kept: `folder()`. What the course has: contents.json, {notebook: {"exercises": {exercise: function},
"predictions": [name]}}.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from minillama import arguments
from minillama.check.report import CLASSES, SIGNS, Report
from minillama.markup import escape, wrap
from minillama.words import aligned, say

State = Literal["passed", "tried", "open"]
SHOWN: dict[State, str] = {"passed": "passed", "tried": "failed", "open": "not attempted"}  # as a report's status
CONTENTS: dict[str, dict] = json.loads(Path(__file__).with_name("contents.json").read_text(encoding="utf-8"))
NOTEBOOK_OF = {exercise: name for name, parts in CONTENTS.items() for exercise in parts["exercises"]}
MOST = 2**24  # bytes that are read, the latest
WAIT = 2  # seconds for the lock
_unwritten: list[dict] = []  # what could not be kept: it counts as long as this process lives


def folder() -> Path:
    """Where progress is kept: the environment variable MINILLAMA_DATA, else the platform's folder for data."""
    if chosen := os.environ.get("MINILLAMA_DATA"):
        return Path(chosen).expanduser().absolute()
    home = Path.home()
    bases = {
        "win32": os.environ.get("LOCALAPPDATA", home / "AppData/Local"),
        "darwin": home / "Library/Application Support",
    }
    base = bases.get(sys.platform) or os.environ.get("XDG_DATA_HOME") or home / ".local/share"
    return Path(base) / "minillama"


# ---- writing


def checked(exercise: str, function: str, report: Report) -> None:
    """Note a check: in the file that MINILLAMA_REPORT names, and as progress if it is no solution and no stub."""
    entry = {"notebook": NOTEBOOK_OF.get(exercise), "exercise": exercise, "status": report.status}
    if file := os.environ.get("MINILLAMA_REPORT"):
        try:
            with _locked(Path(file)):
                _append(Path(file), _dated(entry | {"function": function, "hint": report.hint}))
        except OSError as error:
            warnings.warn(f"MINILLAMA_REPORT: {error}", stacklevel=2)
    if report.status != "not attempted" and not function.startswith("solution_"):
        _keep(entry)


def predicted(question: object, right: bool) -> tuple[int, int] | None:
    """Note a prediction that was revealed after a choice; it is known by the name that a cell gave it.

    Returns how many predictions of its notebook were right so far, and how many were made; None for one of one's own.
    """
    names = _names_in_the_notebook()
    called = [name for name, value in names.items() if value is question]
    places = [name for name, parts in CONTENTS.items() if set(called) & set(parts["predictions"])]
    opened = Path(os.environ.get("JPY_SESSION_NAME", "")).stem  # set by Jupyter's server
    if opened in places:
        places = [opened]
    if not places:
        return None
    # else the notebook most of whose predictions this kernel knows
    notebook = max(places, key=lambda place: len(names.keys() & set(CONTENTS[place]["predictions"])))
    name = next(name for name in called if name in CONTENTS[notebook]["predictions"])
    _keep({"notebook": notebook, "prediction": name, "status": "passed" if right else "failed"})
    states = list(_part(notebook, _read()[0]).predictions.values())
    return states.count("passed"), len(states) - states.count("open")


def _names_in_the_notebook() -> dict[str, Any]:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return dict(getattr(shell, "user_ns", {}))


def _dated(entry: dict) -> dict:
    return {"time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")} | entry


def _keep(entry: dict) -> None:
    entry = _dated(entry)
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with _locked(_file()):
            _append(_file(), entry)
    except (OSError, RuntimeError):  # RuntimeError: no home
        _unwritten.append(entry)


def _file() -> Path:
    return folder() / "progress.jsonl"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Other processes wait. Where there can be no lock, or one does not come free, it goes on without."""
    from filelock import FileLock  # here, so that an import does not take longer

    lock = FileLock(path.with_name(f"{path.name}.lock"), timeout=WAIT)
    with contextlib.suppress(OSError, NotImplementedError):  # a Timeout is an OSError
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _append(path: Path, entry: dict) -> None:
    """One write of a whole line; a line that broke off before it stays one of its own."""
    if path.exists() and not path.is_file():
        raise OSError(f"{str(path)!r} is no file")
    with path.open("ab+", buffering=0) as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
        broken = file.read(1) not in (b"", b"\n")
        file.write(b"\n" * broken + json.dumps(entry).encode() + b"\n")


# ---- reading


def _read() -> tuple[list[dict], str]:
    """All entries, the oldest first, and a note on what could not be read or kept."""
    entries, broken, note, kept = [], 0, "", not _unwritten
    try:
        path = _file()
        for line in _lines(path):
            entry = _entry(line)
            entries += [entry] if entry else []
            broken += entry is None
        if broken:
            one = "1 line of {file} cannot be read. It does not count."
            template = one if broken == 1 else "{count} lines of {file} cannot be read. They do not count."
            note = say(template, count=broken, file=str(path))
        if _unwritten:
            note = say("Progress cannot be written to {file}, so it ends with this kernel.", file=str(path))
    except (OSError, RuntimeError) as error:
        note, kept = say("Progress is not kept: {error}.", error=error), False
    if not kept:
        more = say("Another folder can be named in the environment variable MINILLAMA_DATA.")
        note = say("{said} {cure}", said=note, cure=more)
    return entries + _unwritten, note


def _lines(path: Path) -> list[bytes]:
    if not path.exists():
        return []
    if not path.is_file():
        raise OSError(f"{str(path)!r} is no file")
    with path.open("rb") as file:
        start = max(file.seek(0, os.SEEK_END) - MOST, 0)
        file.seek(start)
        lines = file.read(MOST).splitlines()
    return [line for line in lines[start > 0 :] if line.strip()]


def _entry(line: bytes) -> dict | None:
    """What a line says; None if it is none of ours."""
    try:
        entry = json.loads(line)
        name = entry.get("exercise") or entry.get("prediction")
        known = isinstance(name, str) and entry["status"] in ("passed", "failed")
        return entry if known and isinstance(entry["notebook"], str | None) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


# ---- what is shown


@dataclass(frozen=True)
class Part:
    """How far a learner is in one notebook."""

    notebook: str
    exercises: dict[str, State]
    predictions: dict[str, State]

    @property
    def todo(self) -> str:
        """The first exercise that has not been passed; empty if all have."""
        return next((name for name, state in self.exercises.items() if state != "passed"), "")

    def marks(self) -> list[str]:
        """The exercises, each with its sign."""
        return [f"{SIGNS[SHOWN[state]]} {name}" for name, state in self.exercises.items()]

    def predicted(self) -> str:
        """How many predictions were right, once one was made."""
        counts = self._counts()
        if not counts["right"] + counts["wrong"]:
            return say("0 of {all} predictions made", **counts)
        wrong = say(", {wrong} wrong", **counts) if counts["wrong"] else ""
        return say("{right} of {all} predictions right", **counts) + wrong

    def _counts(self) -> dict[str, int]:
        states = list(self.predictions.values())
        return {"right": states.count("passed"), "all": len(states), "wrong": states.count("tried")}


@dataclass(frozen=True)
class Progress:
    """Where a learner stands. parts: a notebook each; todo: the exercise to do next and its notebook, or ("", "")."""

    parts: list[Part]
    todo: tuple[str, str]
    note: str

    def lines(self) -> list[str]:
        """What is said below the table."""
        states = [state for part in self.parts for state in part.exercises.values()]
        gaps = {"passed": states.count("passed"), "tried": states.count("tried"), "all": len(states)}
        said = [say("{passed} of {all} exercises passed, {tried} tried.", **gaps)] if len(self.parts) > 1 else []
        exercise, notebook = self.todo
        done = say("Every exercise is passed.")
        said.append(say("Next: {exercise} in {notebook}.", exercise=exercise, notebook=notebook) if exercise else done)
        return said + [self.note] * bool(self.note)

    def __str__(self) -> str:
        rows = [(part.notebook, "  ".join(part.marks()), part.predicted()) for part in self.parts]
        return "\n".join(aligned(rows) + self.lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = []
        for part in self.parts:
            link = f"<a href='{part.notebook}.ipynb'>{part.notebook}</a>"
            marked = " ".join(f"<span class='ml-whole'>{escape(each)}&ensp;</span>" for each in part.marks())
            cells = f"<td>{marked}</td><td>{escape(part.predicted())}</td>"
            rows.append(f"<tr><th scope='row'>{link}</th>{cells}</tr>")
        said = "".join(f"<div>{escape(line)}</div>" for line in self.lines())
        kind = CLASSES["not attempted" if self.todo[0] else "passed"]
        return wrap(f"<div class='ml-box {kind}'><table>{''.join(rows)}</table>{said}</div>", "ml-progress")


def progress(notebook: int | None = None) -> Progress:
    """How far you are: every exercise ✓ passed, ✗ tried or ○ open, how many predictions were right, what comes next.

    notebook: its number, for one notebook alone; None for all. An exercise stays passed once it is. It is kept in
    `progress.jsonl` in the folder that the environment variable MINILLAMA_DATA names, else in the platform's folder for
    data; what cannot be read or written there is told in a note, never an error. `reset_progress()` begins anew,
    `copy_progress(to)` makes a copy.

    >>> print(progress(0))
    00_start_here   ○ greedy  ○ all_ended   0 of 2 predictions made
    Next: greedy in 00_start_here.
    """
    numbers = {int(name[:2]): name for name in CONTENTS}
    if notebook is not None:
        notebook = arguments.whole("notebook", notebook, 0)
        if notebook not in numbers:
            raise ValueError(f"notebook must be a number from 0 to {max(numbers)}, got {notebook}")
    entries, note = _read()
    parts = [_part(name, entries) for name in CONTENTS]
    if notebook is None:
        order = _from_the_latest(parts, entries)
    else:
        place = list(CONTENTS).index(numbers[notebook])
        order = parts[place:] + parts[:place]
    todo = next(((part.todo, part.notebook) for part in order if part.todo), ("", ""))
    return Progress(parts if notebook is None else order[:1], todo, note)


def _part(name: str, entries: list[dict]) -> Part:
    found = {}
    for kind in ("exercise", "prediction"):
        states: dict[str, State] = dict.fromkeys(CONTENTS[name][f"{kind}s"], "open")
        for entry in entries:
            if entry["notebook"] == name and states.get(entry.get(kind), "passed") != "passed":
                states[entry[kind]] = "passed" if entry["status"] == "passed" else "tried"
        found[f"{kind}s"] = states
    return Part(name, **found)


def _from_the_latest(parts: list[Part], entries: list[dict]) -> list[Part]:
    """The notebooks from the one on that was worked in last, so that a route that leaves some out goes on."""
    names = [part.notebook for part in parts]
    place = next((names.index(e["notebook"]) for e in reversed(entries) if e["notebook"] in names), 0)
    return parts[place:] + parts[:place]


def reset_progress() -> Progress:
    """Forget what was done, and show that nothing is left; `copy_progress(to)` before it keeps a copy."""
    _unwritten.clear()
    with contextlib.suppress(OSError, RuntimeError):
        if _file().exists():
            with _locked(_file()):
                _file().unlink()
    return progress()


def copy_progress(to: str | os.PathLike) -> Path:
    """Write all that was noted to a new file, and return its path; moved back as progress.jsonl it counts again.

    Raises FileExistsError if there is something already, OSError, which says why, where nothing can be written.
    """
    arguments.path("to", to)
    entries, _ = _read()
    with Path(to).open("x", encoding="utf-8") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in entries)
    return Path(to)
