"""docs/instructors.md: its tables are computed, its commands can be called, its example works.

`python -m tests.test_instructors` writes the tables.
"""

import inspect
import re
import shlex
from itertools import combinations
from pathlib import Path

import nbformat
import pytest

from minillama import check
from minillama.__main__ import parser
from minillama.check.progress import CONTENTS
from minillama.grade import child, grade
from tests.notebooks.minutes import minutes
from tests.test_readme import SHORT_ROUTE

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "instructors.md"
TEXT = FILE.read_text(encoding="utf-8")
MINUTES = {name: minutes(nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)) for name in CONTENTS}


def rows(*lines):
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def notebooks():
    lines = [
        (f"[{name}](../notebooks/{name}.ipynb)", MINUTES[name], len(parts["exercises"]), len(parts["predictions"]))
        for name, parts in CONTENTS.items()
    ]
    sums = ("all", *(sum(line[k] for line in lines) for k in (1, 2, 3)))
    return rows(("notebook", "minutes", "exercises", "predictions"), ("---", *["---:"] * 3), *lines, sums)


def split(names, parts):
    """The notebooks in order, in so many parts that the longest is as short as can be."""
    cuts = ((0, *inner, len(names)) for inner in combinations(range(1, len(names)), parts - 1))
    plans = ([names[a:b] for a, b in zip(cut, cut[1:], strict=False)] for cut in cuts)
    return min(plans, key=lambda plan: sorted((sum(MINUTES[name] for name in part) for part in plan), reverse=True))


def plan(names, parts, what):
    lines = [
        (k, ", ".join(name[:2] for name in part), sum(MINUTES[name] for name in part))
        for k, part in enumerate(split(names, parts), 1)
    ]
    return rows((what, "notebooks", "minutes"), ("---:", "---", "---:"), *lines)


TABLES = {
    "notebooks": notebooks,
    "two weeks": lambda: plan(list(CONTENTS), 10, "day"),
    "weekend": lambda: plan([name for name in CONTENTS if int(name[:2]) in SHORT_ROUTE], 4, "half day"),
}


def between(name):
    return re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.S)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_what_the_notebooks_say(name):
    assert between(name).search(TEXT)[0].strip() == TABLES[name](), "python -m tests.test_instructors writes it"


def commands():
    return re.findall(
        r"^(?:\S+=\S+ )*python -m minillama (.*)$", "\n".join(re.findall(r"```bash\n(.*?)```", TEXT, re.S)), re.M
    )


@pytest.mark.parametrize("command", commands())
def test_a_command_can_be_called(command):
    assert parser().parse_args(shlex.split(command)).command == "grade"


def test_the_limits_are_those_of_the_command():
    args = parser().parse_args(["grade", "x"])
    assert f"`--seconds {args.seconds}` and `--memory {args.memory}` (GiB)" in TEXT
    seconds = inspect.signature(grade).parameters["cell_seconds"].default
    assert f"a cell gets {seconds} seconds, a file that it writes\n  {child.FILE / 2**30:g} GiB" in TEXT


def test_the_exercise_of_ones_own(tmp_path, monkeypatch):
    judge, notebook = re.findall(r"```python\n(.*?)```", TEXT, re.S)[-2:]
    (tmp_path / "ours.py").write_text(judge, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import ours

    assert ours.double(lambda x: x + x).status == "passed"
    assert ours.double(lambda x: x * x).hint.startswith("That is the square.")
    names = {"ours": ours}
    exec(notebook, names)
    assert ours.double(names["my_double"]).status == "not attempted"


def test_the_line_for_nbgrader(monkeypatch):
    monkeypatch.setenv("MINILLAMA_STRICT", "0")
    line = next(code for code in re.findall(r"```python\n(.*?)```", TEXT, re.S) if "STRICT" in code)
    exec(line, {"my_top_p": check.top_p.exercise.right})
    with pytest.raises(AssertionError, match="^top_p: <lambda>: failed"):
        exec(line, {"my_top_p": lambda probs, p: probs, "__name__": "nbgrader"})


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (FILE.parent / target).exists(), target


if __name__ == "__main__":
    for name, table in TABLES.items():
        TEXT = between(name).sub(lambda _, table=table: f"{table()}\n", TEXT)
    FILE.write_text(TEXT, encoding="utf-8")
