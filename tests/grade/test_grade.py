"""Notebooks that students hand in are graded right, whatever they do; see handed_in.py."""

import json
import sys
import threading
from pathlib import Path

import nbformat
import psutil
import pytest

from minillama.__main__ import main
from minillama.check.wire import packed
from minillama.grade import grade, process, results, submissions
from minillama.grade.process import Limits
from tests.examples import FULL
from tests.grade.handed_in import RIGHT, SUBMISSIONS, HandedIn

CHOSEN = [name for name, each in SUBMISSIONS.items() if each.quick != FULL]  # the others in `make test-full`
NAMES = ["greedy", "all_ended", "entropy"]


def write(path, cells, **metadata):
    code = [nbformat.v4.new_code_cell(source) for source in cells]
    for cell in code:
        if "(my_" in cell.source:
            cell.metadata["tags"] = ["exercise"]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=code), path)
    return str(path)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write(tmp_path_factory.mktemp("given") / "small.ipynb", HandedIn(()).cells())


@pytest.fixture(scope="module")
def handed_in(original, tmp_path_factory):
    """What was said of each of them: they run two at a time."""
    folder = tmp_path_factory.mktemp("handed in")
    paths = [write(folder / name / "small.ipynb", SUBMISSIONS[name].cells()) for name in CHOSEN]
    code = grade(paths, json=folder / "all.json", original=original, memory=3, cell_seconds=6, jobs=2)
    entries = json.loads((folder / "all.json").read_text(encoding="utf-8"))
    assert code == 1 and [each["student"] for each in entries] == CHOSEN
    return {each["student"]: each for each in entries}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.full] * FULL) for name in CHOSEN])
def test_it_is_graded_right(name, handed_in):
    due, found = SUBMISSIONS[name], handed_in[name]["exercises"]
    assert [each["exercise"] for each in found] == NAMES
    assert tuple(each["status"] for each in found) == due.due, found
    hints = [each["hint"] for each in found if each["status"] == "failed"]
    assert all(hints) and (due.hint in hints[0] if hints else not due.hint), hints
    assert handed_in[name]["points"] == due.due.count("passed")


def test_there_are_enough_of_them():
    assert len(SUBMISSIONS) >= 30 and 6 <= sum(each.quick for each in SUBMISSIONS.values()) <= 10


@pytest.mark.full
def test_nothing_is_left_running(handed_in):
    assert not [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", "987654"]]


# ---- the command line, and exercises of one's own

LAB = '''
from minillama.check.exercise import exercise, swap

def right_double(x):
    """f(x): twice x."""
    return 2 * x

double = exercise(right_double, {"three": (3,), "two": (2.5,)}, {"That is the square.": swap("2 * x", "x ** 2")})
'''


def test_an_exercise_of_ones_own(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "lab_of_ours.py").write_text(LAB, encoding="utf-8")
    cells = ["from minillama import check\nimport lab_of_ours", "lab_of_ours.double(my_double)"]
    given = write(tmp_path / "lab1.ipynb", cells)
    right = write(tmp_path / "anna" / "lab1.ipynb", [cells[0], "def my_double(x):\n    return x + x"])
    wrong = write(tmp_path / "ben" / "lab1.ipynb", [cells[0], "def my_double(x):\n    return x * x"])
    points = tmp_path / "points.json"
    points.write_text('{"double": 2.5}', encoding="utf-8")
    assert main(["grade", right, "--original", given, "--points", str(points)]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("This runs the students' code on this machine") and "docs/instructors.md" in err
    assert out.splitlines()[:2] == ["lab1   double   points", "anna   ✓        2.5 of 2.5"]
    assert main(["grade", wrong, "--original", given, "--csv", str(tmp_path / "out.csv")]) == 1
    assert "ben: double failed · three: That is the square. Expected 6, got 9." in capsys.readouterr().out
    table = (tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines()
    assert table == ["student,lab1/double,points,of,problem", "ben,failed,0,1,"]


@pytest.mark.parametrize(("options", "message"), [
    (["--points", "nowhere.json"], "--points 'nowhere.json' cannot be read"),
    (["--points", "{}"], "must be like"), (["--points", '{"top_p": -1}'], "must be like"),
    (["--points", '{"topp": 1}'], "no exercise 'topp'; there are greedy, "), (["--jobs", "0"], "jobs must be"),
    (["--csv", "nowhere/out.csv"], "nowhere/out.csv"),
    (["--original", "nowhere.ipynb"], "'nowhere.ipynb' is no notebook"),
    (["--seconds", "0"], "seconds must be"), (["--memory", "nan"], "memory must be"),
    (["--original", "empty.ipynb"], "'empty.ipynb' has no exercise"),
    (["--original", "odd.ipynb"], "minillama.check.nothing is no judge"),
])  # fmt: skip
def test_what_is_wrong_is_said_before_anything_runs(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    if options[1].startswith("{"):
        (tmp_path / "points.json").write_text("[1]" if options[1] == "{}" else options[1], encoding="utf-8")
        options = ["--points", "points.json"]
    write(tmp_path / "empty.ipynb", ["1"])
    write(tmp_path / "odd.ipynb", ["check.nothing(my_nothing)"])
    notebook = write(tmp_path / "07_top_p.ipynb", ["open('it ran', 'w')"])
    write(tmp_path / "anna" / "odd.ipynb", [])
    assert main(["grade", notebook, "anna/odd.ipynb", *options]) == 2
    out, err = capsys.readouterr()
    assert message in err and out == "" and "This runs" not in err and len(err.splitlines()) == 1


def test_without_ipython_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["grade", write(tmp_path / "07_top_p.ipynb", [])]) == 2
    assert "pip install" in capsys.readouterr().err


def ended(cells, **limits):
    found, failed = process.run(cells, [["greedy", "my_greedy", "minillama.check"]], Path("nowhere"), Limits(**limits))
    assert found["greedy"].outcomes == []
    return found["greedy"].ended, failed


def test_a_process_that_cannot_start_says_why(tmp_path, monkeypatch, capsys):
    (tmp_path / "IPython.py").write_text("raise ImportError('too old')")
    monkeypatch.setattr(process, "REPOSITORY", tmp_path)
    assert grade([write(tmp_path / "anna" / "07_top_p.ipynb", ["1"])]) == 1
    assert "could not be run: It ended the process: exit status 1. ImportError: too old" in capsys.readouterr().out


@pytest.mark.full
def test_it_imports_from_where_this_process_does_and_not_from_where_it_stands(tmp_path, monkeypatch):
    for name in ("there", "here"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"module_{name}.py").touch()
        monkeypatch.syspath_prepend(tmp_path / name)
    monkeypatch.chdir(tmp_path / "here")
    failed = ended(["import module_there", "import module_here"])[1]
    assert failed == {1: "ModuleNotFoundError: No module named 'module_here'"}


@pytest.mark.full
def test_a_notebook_that_takes_too_long():
    assert ended(["while True: pass"], seconds=30)[0] == "The notebook did not end within 30 seconds."


def test_an_interrupted_one():
    stop = threading.Event()
    stop.set()
    with pytest.raises(process.Ended, match="It was interrupted."):
        ended(["while True: pass"], stop=stop)


@pytest.mark.full
def test_memory_is_watched_where_the_system_does_not_limit_it(monkeypatch):
    """The process may take 1 TiB, and what it starts."""
    dumps = json.dumps
    monkeypatch.setattr(process.json, "dumps", lambda request: dumps(request | {"memory": 2**40}))
    hoard = "x = b'1' * 2**30\nimport time\ntime.sleep(60)"
    for cell in (hoard, f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {hoard!r}])"):
        _, failed = ended([cell, "import os\nos._exit(5)"], memory=2**30)
        assert failed == {0: "It took more than 1.0 GiB of memory.", 1: "It ended the process: exit status 5."}


# ---- whose it is, and which notebook

COURSE = submissions.course_tasks()


@pytest.mark.parametrize(("place", "student", "notebook"), [
    ("anna/07_top_p.ipynb", "anna", "07_top_p"), ("07_top_p-ben.ipynb", "ben", "07_top_p"),
    ("carla - 07_top_p (1).ipynb", "carla", "07_top_p"), ("dora/07_top_p/07_top_p.ipynb", "dora", "07_top_p"),
    ("emil_07_top_p_late.ipynb", "emil late", "07_top_p"), ("frida/homework.ipynb", "homework", "00_start_here"),
])  # fmt: skip
def test_who_handed_what_in(place, student, notebook, tmp_path):
    cells = [RIGHT["greedy"], RIGHT["all_ended"]]
    found = submissions.read(Path(write(tmp_path / place, cells)), COURSE)
    assert (found.student, found.notebook, found.problem) == (student, notebook, "")
    assert found.cells == cells and found.tasks == COURSE[notebook]


@pytest.mark.parametrize("text", [
    "", "hello", "[]", "{}", '{"cells": 3}', '{"cells": [3]}', '{"cells": [{"cell_type": "code", "source": 3}]}', None,
    '{"cells": [{"cell_type": "code", "source": ["1"], "metadata": 3}]}', "[" * 9000, '{"cells": []}',
])  # fmt: skip
def test_what_is_no_notebook_is_a_line_of_the_table(text, tmp_path, capsys):
    path = tmp_path / "gustav" / "thing.ipynb"
    if text is not None:
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
    assert grade([path], json=tmp_path / "out.json") == 1
    (entry,) = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert entry["student"] == "thing" and str(path) in entry["problem"] and entry["exercises"] == []
    assert entry["problem"] in capsys.readouterr().out


# ---- tables


def graded(student, *statuses, notebook="07_top_p", hint="a hint"):
    found = submissions.Submission(Path(f"{student}.ipynb"), student, notebook)
    names = [task[0] for task in COURSE[notebook]]
    verdicts = [results.Verdict(name, f"my_{name}", status, hint if status == "failed" else "", status == "passed", 1)
                for name, status in zip(names, statuses, strict=True)]  # fmt: skip
    return results.Graded(found, verdicts)


def test_the_table():
    both = [graded("anna", "passed", "failed", "missing"), graded("ben\x1b[31m", "passed", "not attempted", "passed")]
    text = results.table([*both, graded("anna", "passed", "passed", notebook="00_start_here")])
    assert (
        text
        == """\
07_top_p   top_p   sample_top_p   min_p   points
anna       ✓       ✗              –       1 of 3
ben [31m   ✓       ○              ✓       2 of 3

00_start_here   greedy   all_ended   points
anna            ✓        ✓           2 of 2

anna: sample_top_p failed · a hint

✓ passed   ✗ failed   ○ not attempted   – missing"""
    )


def test_a_spreadsheet_takes_no_name_for_a_formula(tmp_path):
    results.write_csv(
        [graded("=1+1", "passed", "passed", "passed"), graded("-x", "passed", "failed", "passed")], tmp_path / "f"
    )
    lines = (tmp_path / "f").read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == "student,07_top_p/top_p,07_top_p/sample_top_p,07_top_p/min_p,points,of,problem"
    assert lines[1:] == ["'=1+1,passed,passed,passed,3,3,", "'-x,passed,failed,passed,2,3,"]


def test_points(tmp_path):
    (tmp_path / "points").write_text('{"top_p": 2, "min_p": 0}', encoding="utf-8")
    worth = results.read_points(tmp_path / "points", COURSE)
    assert (worth["top_p"], worth["min_p"], worth["greedy"]) == (2, 0, 1) and len(worth) == sum(
        map(len, COURSE.values())
    )


def test_where_memory_is_not_limited_it_says_so(capsys):
    results.say_what_happens(False)
    results.say_what_happens(True)
    _, memory, _, *limited = capsys.readouterr().err.splitlines()
    assert "Its memory is not limited" in memory and len(limited) == 2 and "memory" not in "".join(limited)


def test_what_did_not_come_over_whole_does_not_pass():
    judge = results.judge_of("greedy", "minillama.check")
    task, lines = ["greedy", "my_greedy", "minillama.check"], [packed(each) for each in judge.expected]

    def status(found):
        said = results.verdict(task, found, 3)
        return said.status, said.points, said.hint

    assert status(process.Found(lines)) == ("passed", 3, "")
    assert status(process.Found(lines, ended="It ended."))[0] == "passed", "after the last case"
    for found in (process.Found(lines[:-1]), process.Found([]), process.Found([*lines[:2], "{}", *lines[3:]])):
        assert status(found)[:2] == ("failed", 0)
    assert status(process.Found(lines[:3], ended="It ended."))[2].endswith("It ended.")
    assert status(process.Found(lines[:1] * len(lines)))[0] == "failed"
    assert status(process.Found(missing=True)) == ("missing", 0, "")
