"""python -m tests.check.table: writes exercises.md, what the judges are tested on, a row an exercise."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

from minillama import check
from minillama.check.exercise import Exercise
from minillama.check.limits import pinned
from tests.check.mutants import LIMIT, PATIENCE, mutants, survives

FILE = Path(__file__).with_name("exercises.md")
MODULES = [import_module(f"tests.check.answers.{file.stem}") for file in sorted(FILE.parent.glob("answers/*.py"))]
# Right answers in several styles, {exercise: functions}: loops, numpy, methods, another order.
RIGHT = {name: functions for module in MODULES for name, functions in module.RIGHT.items()}
# Mutants that do the same as the right answer, and why, {exercise: {changed statement: reason}}.
EQUIVALENT = {name: listed for module in MODULES for name, listed in module.EQUIVALENT.items()}
EXERCISES: dict[str, Exercise] = {
    name: getattr(check, name).exercise for name in check.__all__ if hasattr(getattr(check, name), "exercise")
}


@cache
def tried(name: str) -> tuple[int, list[str]]:
    """How many mutants the right answer of an exercise has, and which its cases take for right."""
    with pinned():
        every, equivalent = list(mutants(EXERCISES[name])), EQUIVALENT.get(name, {})
        seconds = {True: PATIENCE, False: LIMIT}
        alive = [each for each, mutant in every if survives(EXERCISES[name], mutant, seconds[each in equivalent])]
        return len(every), alive


def table() -> str:
    head = ["exercise", "right answers", "mistakes", "wrong answers", "cases", "mutants", "killed", "equivalent"]
    rows = [head, ["---"] + ["---:"] * 7]
    for name, exercise in EXERCISES.items():
        count, alive = tried(name)
        numbers = [1 + len(RIGHT.get(name, [])), len(exercise.mistakes), len(exercise.wrong), len(exercise.cases)]
        rows.append([name, *numbers, count, count - len(alive), len(EQUIVALENT.get(name, {}))])
    total = [sum(column) for column in list(zip(*rows[2:], strict=True))[1:]]
    rows.append(["**all**", *total])
    title = "# What the judges are tested on\n\nWritten by `python -m tests.check.table`.\n"
    return "\n".join([title, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"


if __name__ == "__main__":
    FILE.write_text(table(), encoding="utf-8")
