"""What was handed in: notebooks, whose they are, and which exercises they should solve."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from minillama.check.progress import CONTENTS
from minillama.files import listed
from minillama.words import say

MOST = 2**26  # bytes of a notebook
COURSE = "minillama.check"
CALL = re.compile(r"^(\w+)\.(\w+)\((my_\w+)\)$", re.M)  # check.top_p(my_top_p)
IMPORT = re.compile(r"^\s*(?:import (\w+)|from ([\w.]+) import (.+))$", re.M)


@dataclass
class Submission:
    """A notebook of one student. tasks: [exercise, function, module of its judge]; problem: why it cannot be run."""

    path: Path
    student: str
    notebook: str = ""
    cells: list[str] = field(default_factory=list)
    tasks: list[list[str]] = field(default_factory=list)
    problem: str = ""


def read_cells(path: Path) -> list[tuple[str, set[str]]]:
    """The source and the tags of each code cell. Raises ValueError for anything but a notebook, which it names."""
    try:
        if path.stat().st_size > MOST:
            raise ValueError(f"it has more than {MOST:,} bytes")
        cells = json.loads(path.read_bytes())["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in code]
        tags = [set(cell.get("metadata", {}).get("tags", ())) for cell in code]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{str(path)!r} is no notebook: {error}") from None
    return list(zip(sources, tags, strict=True))


def course_tasks() -> dict[str, list[list[str]]]:
    """{notebook: tasks} of the course."""
    return {
        name: [[exercise, function, COURSE] for exercise, function in parts["exercises"].items()]
        for name, parts in CONTENTS.items()
    }


def tasks_of(original: Path) -> dict[str, list[list[str]]]:
    """{notebook: tasks} of a notebook of one's own: what its cells tagged `exercise` call, like check.top_p(my_top_p).

    A judge is one of the course's, or of a module beside the notebook that a cell imports. Raises ValueError where
    there is no exercise.
    """
    cells, tasks, modules = read_cells(original), [], {"check": COURSE}
    for source, tags in cells:
        for plain, package, names in IMPORT.findall(source):
            modules |= {plain: plain} if plain else {}
            modules |= {name.strip(): f"{package}.{name.strip()}" for name in names.split(",")} if package else {}
        if "exercise" in tags:
            tasks += [
                [exercise, function, modules.get(module, module)] for module, exercise, function in CALL.findall(source)
            ]
    if not tasks:
        raise ValueError(f"{str(original)!r} has no exercise: no cell tagged `exercise` calls check.NAME(my_NAME)")
    return {original.stem: tasks}


def read(path: Path, contents: dict[str, list[list[str]]]) -> Submission:
    """A notebook that was handed in; what cannot be read or recognised is said in `problem`."""
    try:
        cells = [source for source, _ in read_cells(path)]
    except ValueError as error:
        return Submission(path, _student(path, ""), problem=str(error))
    notebook = _recognised(path, cells, contents)
    if not notebook:
        template = "{path} is not one of the notebooks {names}: neither its name nor its exercises say so"
        problem = say(template, path=repr(str(path)), names=listed(contents))
        return Submission(path, _student(path, ""), problem=problem)
    return Submission(path, _student(path, notebook), notebook, cells, contents[notebook])


def _recognised(path: Path, cells: list[str], contents: dict[str, list[list[str]]]) -> str:
    """The notebook that the file's name holds, else the one most of whose functions are defined in it."""
    named = [name for name in contents if name in path.stem]
    if named:
        return max(named, key=len)
    defined = set(re.findall(r"^def (my_\w+)", "\n".join(cells), re.M))
    shares = {
        name: len(defined.intersection(task[1] for task in tasks)) / len(tasks) for name, tasks in contents.items()
    }
    best = max(shares, key=shares.get)
    return best if shares[best] >= 0.5 else ""


def _student(path: Path, notebook: str) -> str:
    """What the file is called beside the notebook, as in 07_top_p-anna.ipynb, else its folder's name."""
    pieces = re.sub(r"\(\d+\)", "", path.stem).split(notebook or "\n")  # (1): handed in twice
    rest = " ".join(filter(None, (piece.strip(" _-.") for piece in pieces)))
    folders = [name for name in reversed(path.absolute().parent.parts) if name not in (notebook, path.anchor)]
    return rest or next(iter(folders), path.stem)
