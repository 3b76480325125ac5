"""`python -m minillama grade`: runs notebooks that were handed in, and judges their functions.

Each runs in a process of its own (`child.py`), which says only what its functions made of the cases of the exercises.
They are judged here, where no code of a notebook runs: what a notebook prints, rebinds, deletes or changes in the
package's memory counts for nothing. A function that looks the right answer up does pass, as does a copied one.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from minillama import arguments
from minillama.grade import process, submissions
from minillama.grade.process import Limits
from minillama.grade.results import (
    Graded,
    judge_of,
    read_points,
    say_what_happens,
    table,
    verdict,
    write_csv,
    write_json,
)
from minillama.words import say


def grade(
    notebooks: Sequence[str | Path],
    csv: str | Path | None = None,
    json: str | Path | None = None,
    points: str | Path | None = None,
    original: str | Path | None = None,
    seconds: float = 300,
    memory: float = 4,
    jobs: int = 1,
    cell_seconds: float = 120,
) -> int:
    """Grade notebooks, print the table, and return the exit status: 0 if all passed, 1 if anything did not.

    csv, json: files to write the table to. points: a JSON file {exercise: points}. original: the notebook that was
    given out, if it is not the course's. seconds, memory: of a notebook; memory in GiB. jobs: how many run at once.
    cell_seconds: of a cell. Raises ValueError or OSError, which says what is wrong, before anything runs.
    """
    jobs, memory = arguments.whole("jobs", jobs, 1), arguments.number("memory", memory, 0.1)
    limits = Limits(arguments.number("seconds", seconds, 1), cell_seconds, round(memory * 2**30))
    contents = submissions.tasks_of(Path(original)) if original else submissions.course_tasks()
    worth = read_points(Path(points) if points else None, contents)
    contents = {name: [task for task in tasks if worth[task[0]]] for name, tasks in contents.items()}
    folder = Path(original).absolute().parent if original else Path(submissions.__file__).parent
    if original:
        sys.path.append(str(folder))
    found = [submissions.read(Path(path), contents) for path in notebooks]
    for exercise, module in {(task[0], task[2]) for each in found for task in each.tasks}:
        judge_of(exercise, module)
    if importlib.util.find_spec("IPython") is None:
        raise ValueError("needs IPython to run notebooks, which is not installed: pip install -e '.[notebooks]'")
    for path in filter(None, (csv, json)):  # before the work, not after it
        Path(path).touch()
    say_what_happens(process.watches_memory())
    graded = []
    for each in _graded(found, folder, worth, limits, jobs):
        graded.append(each)
        gaps = {"n": len(graded), "all": len(found), "path": each.submission.path}
        print(say("{n} of {all}: {path}", **gaps), file=sys.stderr, flush=True)
    print(table(graded))
    if csv:
        write_csv(graded, Path(csv))
    if json:
        write_json(graded, Path(json))
    return 0 if all(each.passed for each in graded) else 1


def _graded(
    found: list[submissions.Submission], folder: Path, worth: dict[str, float], limits: Limits, jobs: int
) -> Iterator[Graded]:
    """Notebooks run side by side, and are judged one after another, in the order they were given."""
    with ThreadPoolExecutor(jobs) as pool:
        runs = [
            None if each.problem else pool.submit(process.run, each.cells, each.tasks, folder, limits) for each in found
        ]
        try:
            for each, run in zip(found, runs, strict=True):
                try:
                    outcomes, failed = run.result() if run else ({}, {})
                except process.Ended as ended:
                    outcomes, failed, each.problem = (
                        {},
                        {},
                        say("{path} could not be run: {why}", path=repr(str(each.path)), why=ended),
                    )
                tasks = [] if each.problem else each.tasks
                yield Graded(each, [verdict(task, outcomes[task[0]], worth[task[0]]) for task in tasks], failed)
        except BaseException:  # Ctrl-C
            limits.stop.set()
            pool.shutdown(cancel_futures=True)
            raise
