"""What a check returns: readable in a notebook, in plain text and by a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from minillama.markup import escape, wrap
from minillama.words import say

Status = Literal["passed", "failed", "not attempted"]
SIGNS: dict[Status, str] = {"passed": "✓", "failed": "✗", "not attempted": "○"}
CLASSES: dict[Status, str] = {"passed": "ml-passed", "failed": "ml-failed", "not attempted": "ml-missing"}


@dataclass(frozen=True)
class Case:
    """One input that a function was tried on; the hint is empty if it passed."""

    name: str
    passed: bool
    hint: str = ""

    @property
    def sign(self) -> str:
        return "✓" if self.passed else "✗"


@dataclass(frozen=True)
class Report:
    """The verdict on one exercise. It ends at the first case that failed."""

    name: str
    status: Status
    cases: list[Case] = field(default_factory=list)

    @property
    def hint(self) -> str:
        return next((case.hint for case in self.cases if not case.passed), "")

    def line(self) -> str:
        """The verdict in one line, with the case that failed and its hint."""
        failed = [f"{case.name}: {' '.join(case.hint.split())}" for case in self.cases if not case.passed]
        return " · ".join([self.headline(), *failed])

    def headline(self) -> str:
        """The verdict in one line, without its sign."""
        count = sum(case.passed for case in self.cases)
        if self.status == "not attempted":
            template = "{name}: not attempted yet. Finish the function and run the cell again."
        elif self.status == "passed":
            template = "{name}: passed, 1 case right" if count == 1 else "{name}: passed, {count} cases right"
        else:
            template = "{name}: failed, 1 case right" if count == 1 else "{name}: failed, {count} cases right"
        return say(template, name=self.name, count=count)

    def __str__(self) -> str:
        lines = [f"{SIGNS[self.status]} {self.headline()}"]
        for case in self.cases:
            lines += [f"  {case.sign} {case.name}", *(f"    {line}" for line in case.hint.splitlines())]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [f"<b><span class='ml-sign'>{SIGNS[self.status]}</span>{escape(self.headline())}</b>"]
        for case in self.cases:
            hint = "".join(f"<br><span class='ml-sign'></span>{escape(line)}" for line in case.hint.splitlines())
            rows.append(f"<div><span class='ml-sign'>{case.sign}</span>{escape(case.name)}{hint}</div>")
        return wrap(f"<div class='ml-box {CLASSES[self.status]}'>{''.join(rows)}</div>", "ml-report")
