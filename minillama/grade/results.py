"""What is said of the notebooks that were handed in: verdicts, points, and the tables that hold them."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path

from minillama.check.exercise import no_function
from minillama.check.judge import Outcome, Wrong
from minillama.check.limits import TimeIsUp, pinned
from minillama.check.report import SIGNS, Case, Report
from minillama.check.wire import FromAfar, unpacked
from minillama.files import one_line
from minillama.grade.process import NOT_OURS, Found
from minillama.grade.submissions import Submission
from minillama.words import aligned, say

SHOWN = SIGNS | {"missing": "–"}
NAMED = {"passed": "passed", "failed": "failed", "not attempted": "not attempted", "missing": "missing"}


@dataclass
class Verdict:
    """On one exercise. status: of a Report, or "missing": the notebook has no such function."""

    exercise: str
    function: str
    status: str
    hint: str
    points: float
    of: float


@dataclass
class Graded:
    """A notebook with its verdicts. failed: {cell: how it failed}."""

    submission: Submission
    verdicts: list[Verdict] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)

    @property
    def points(self) -> float:
        return sum(each.points for each in self.verdicts)

    @property
    def of(self) -> float:
        return sum(each.of for each in self.verdicts)

    @property
    def passed(self) -> bool:
        return not self.submission.problem and all(each.status == "passed" for each in self.verdicts)


@cache
def judge_of(exercise: str, module: str) -> FromAfar:
    """The judge of an exercise. Raises ValueError where there is none."""
    table = getattr(getattr(importlib.import_module(module), exercise, None), "exercise", None)
    if table is None:
        raise ValueError(f"{module}.{exercise} is no judge of an exercise")
    return FromAfar(**{each.name: getattr(table, each.name) for each in fields(table)})


def verdict(task: list[str], found: Found, of: float) -> Verdict:
    """What an exercise is worth, from what came of its function. No code of the notebook runs here."""
    exercise, name, module = task
    if found.missing:
        return Verdict(exercise, name, "missing", "", 0, of)
    with pinned():
        report = _report(judge_of(exercise, module), name, found)
    hint = next((f"{case.name}: {case.hint}" for case in report.cases if not case.passed), "")
    return Verdict(exercise, name, report.status, one_line(hint, 600), of * (report.status == "passed"), of)


def _report(judge: FromAfar, name: str, found: Found) -> Report:
    if found.instead.startswith(("solution_", "right_")):
        hint = say("{name} is {other}: write a function of your own.", name=name, other=found.instead)
        return Report(name, "failed", [Case(say("is your own"), False, hint)])
    if found.instead:
        return no_function(name, found.instead)
    outcomes = []
    for line in found.outcomes[: len(judge.rounds)]:
        try:
            outcomes.append(unpacked(line))
        except ValueError:
            outcomes.append(_over(say(NOT_OURS)))
    if len(outcomes) < len(judge.rounds) and not (outcomes and _is_last(outcomes[-1])):
        outcomes.append(_over(found.ended or say("It was not tried on every case.")))
    return judge.verdict(name, outcomes)


def _is_last(outcome: Outcome) -> bool:
    return outcome.stub or isinstance(outcome.error, TimeIsUp)


def _over(why: str) -> Outcome:
    return Outcome(error=Wrong(why), outside=True)


# ---- tables


def table(graded: list[Graded]) -> str:
    """For each notebook its students and exercises, then the hints."""
    texts = []
    for notebook in dict.fromkeys(each.submission.notebook for each in graded):
        rows = [each for each in graded if each.submission.notebook == notebook]
        names = list(dict.fromkeys(v.exercise for each in rows for v in each.verdicts))
        head = [notebook or say("not recognised"), *names, say("points")]
        lines = [head, *([_shown(each.submission.student), *_signs(each, names), _points(each)] for each in rows)]
        texts += [*aligned(lines), ""]
    remarks = [f"{_shown(each.submission.student)}: {line}" for each in graded for line in _remarks(each)]
    signs = "   ".join(f"{sign} {say(NAMED[status])}" for status, sign in SHOWN.items())
    return "\n".join([*texts, *remarks, *[""] * bool(remarks), signs])


def _signs(each: Graded, names: list[str]) -> list[str]:
    found = {v.exercise: SHOWN[v.status] for v in each.verdicts}
    return [found.get(name, "") for name in names]


def _points(each: Graded) -> str:
    return say("{points:g} of {all:g}", points=each.points, all=each.of)


def _remarks(each: Graded) -> Iterable[str]:
    if each.submission.problem:
        yield _shown(each.submission.problem)
    for v in each.verdicts:
        if v.status == "failed":
            yield say("{exercise} failed · {hint}", exercise=v.exercise, hint=v.hint)


def _shown(text: str) -> str:
    return one_line(text)


def write_json(graded: list[Graded], path: Path) -> None:
    """All there is, an object for each notebook."""
    entries = [
        {
            "student": each.submission.student, "file": str(each.submission.path),
            "notebook": each.submission.notebook, "problem": each.submission.problem,
            "points": each.points, "of": each.of,
            "exercises": [vars(v) for v in each.verdicts],
            "failed_cells": {str(number): text for number, text in each.failed.items()},
        }
        for each in graded
    ]  # fmt: skip
    path.write_text(json.dumps(entries, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")


def write_csv(graded: list[Graded], path: Path) -> None:
    """A line for each student: the status of each exercise, the points of each notebook, and their sum."""
    columns = list(dict.fromkeys(f"{each.submission.notebook}/{v.exercise}" for each in graded for v in each.verdicts))
    with path.open("w", newline="", encoding="utf-8-sig") as file:  # so that a spreadsheet knows it is UTF-8
        writer = csv.writer(file)
        writer.writerow(["student", *columns, "points", "of", "problem"])
        for student in dict.fromkeys(each.submission.student for each in graded):
            own = [each for each in graded if each.submission.student == student]
            status = {f"{each.submission.notebook}/{v.exercise}": v.status for each in own for v in each.verdicts}
            problems = " ".join(each.submission.problem for each in own)
            sums = [f"{sum(each.points for each in own):g}", f"{sum(each.of for each in own):g}"]
            row = [student, *(status.get(column, "") for column in columns), *sums, problems.strip()]
            writer.writerow([_as_text(each) for each in row])


def _as_text(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def read_points(path: Path | None, contents: dict[str, list[list[str]]]) -> dict[str, float]:
    """{exercise: points}, 1 where the file says nothing; JSON like {"top_p": 2, "min_p": 0}, and 0 leaves one out.

    Raises ValueError, which names what is wrong.
    """
    points: dict[str, float] = {exercise: 1 for tasks in contents.values() for exercise, _, _ in tasks}
    if path is None:
        return points
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"--points {str(path)!r} cannot be read: {error}") from None
    fine = isinstance(given, dict) and all(type(each) in (int, float) and 0 <= each < 1e9 for each in given.values())
    if not fine:
        raise ValueError(f'--points {str(path)!r} must be like {{"top_p": 2, "min_p": 0}}: numbers of at least 0')
    if unknown := sorted(given.keys() - points.keys()):
        raise ValueError(f"--points {str(path)!r}: no exercise {unknown[0]!r}; there are {', '.join(points)}")
    return points | given


def say_what_happens(limited: bool) -> None:
    """To stderr, before anything runs."""
    print(say("This runs the students' code on this machine with your rights: it can read and write your files, and "
              "use the network."), file=sys.stderr)  # fmt: skip
    if not limited:
        print(say("Its memory is not limited: psutil is not installed."), file=sys.stderr)
    print(say("To keep it in a container, see docs/instructors.md."), file=sys.stderr, flush=True)
