"""What a learner has done is kept from kernel to kernel, and never stands in the way."""

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minillama import check
from minillama.check import progress as _function  # noqa: F401  # the module of the same name is taken below
from minillama.widgets import Predict

progress = sys.modules["minillama.check.progress"]
PASSES, FAILS = check.greedy.exercise.right, lambda probs: probs


def attempt(function, name="my_function"):
    function = (lambda inner: lambda *args: inner(*args))(function)
    function.__name__ = name
    return function


def states(notebook=0):
    return check.progress(notebook).parts[0].exercises


@pytest.fixture
def file():
    return progress._file()


def test_a_check_counts_in_the_next_kernel():
    assert states() == {"greedy": "open", "all_ended": "open"}
    check.greedy(attempt(FAILS))
    assert states() == {"greedy": "tried", "all_ended": "open"}
    check.greedy(attempt(PASSES))
    check.greedy(attempt(FAILS))
    assert states() == {"greedy": "passed", "all_ended": "open"}, "what was passed stays passed"
    code = "from minillama import check; print(check.progress(0))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    line = "00_start_here   ✓ greedy  ○ all_ended   0 of 2 predictions made"
    assert said == f"{line}\nNext: all_ended in 00_start_here.\n"


def test_solutions_and_stubs_do_not_count(file):
    check.greedy(attempt(PASSES, "solution_greedy"))
    check.greedy(attempt(lambda probs: ...))
    assert states()["greedy"] == "open" and not file.exists()


def test_what_comes_next():
    assert check.progress().todo == ("greedy", "00_start_here")
    check.top_p(attempt(check.top_p.exercise.right))
    assert check.progress().todo == ("sample_top_p", "07_top_p"), "where the learner is, not at the beginning"
    for name in ("sample_top_p", "min_p"):
        getattr(check, name)(attempt(getattr(check, name).exercise.right))
    assert check.progress().todo == check.progress(7).todo == ("candidate", "08_next_token")
    assert check.progress(16).todo == ("to_halves", "16_real_models")
    assert len(check.progress().parts) == len(progress.CONTENTS) and len(check.progress(7).parts) == 1
    for name, place in progress.NOTEBOOK_OF.items():
        progress._keep({"notebook": place, "exercise": name, "status": "passed"})
    assert check.progress().todo == ("", "") and "Every exercise is passed." in str(check.progress())
    total = len(progress.NOTEBOOK_OF)
    assert f"{total} of {total} exercises passed, 0 tried." in str(check.progress())


def test_a_page_shows_the_same():
    check.greedy(attempt(PASSES))
    page = check.progress()._repr_html_()
    assert "<a href='07_top_p.ipynb'>07_top_p</a>" in page
    assert "<span class='ml-whole'>✓ greedy&ensp;</span> <span class='ml-whole'>○ all_ended&ensp;</span>" in page
    assert "Next: all_ended in 00_start_here." in page


class Shell:
    """As IPython's: it knows the names of the notebook."""

    def __init__(self, monkeypatch, **names):
        self.user_ns = names
        monkeypatch.setitem(sys.modules, "IPython", type("IPython", (), {"get_ipython": staticmethod(lambda: self)}))


def test_a_prediction_counts_once_it_is_chosen_and_revealed(monkeypatch):
    def revealed(choice):
        question = Predict("How many?", ["2", "3"], 3)
        Shell(monkeypatch, predict_kept=question)
        question.choice = choice
        question.reveal()
        return question.score, check.progress(7).parts[0].predictions

    assert revealed(None) == (None, {"predict_kept": "open", "predict_tie": "open"}), "nothing was chosen"
    assert revealed("2") == ((0, 1), {"predict_kept": "tried", "predict_tie": "open"})
    assert "0 of 2 predictions right, 1 wrong" in str(check.progress(7))
    assert "0 of 2 predictions made" in str(check.progress(0)), "elsewhere there is none"
    assert revealed("3") == ((1, 1), {"predict_kept": "passed", "predict_tie": "open"})
    assert str(check.progress(7)).splitlines()[0].endswith("1 of 2 predictions right")


def test_of_two_predictions_with_the_same_name_the_notebook_decides(monkeypatch):
    places = [name for name, parts in progress.CONTENTS.items() if "predict_bug" in parts["predictions"]]
    assert len(places) > 1, "else this test can go"

    def revealed(**others):
        check.reset_progress()
        question = Predict("Which?", ["a", "b"], "a")
        Shell(monkeypatch, predict_bug=question, **others)
        question.choice = "a"
        question.reveal()
        return [
            name for name in places if check.progress(int(name[:2])).parts[0].predictions["predict_bug"] == "passed"
        ]

    for name in places:
        other = next(each for each in progress.CONTENTS[name]["predictions"] if each != "predict_bug")
        assert revealed(**{other: 1}) == [name]
    monkeypatch.setenv("JPY_SESSION_NAME", f"course/notebooks/{places[-1]}.ipynb")
    assert revealed() == [places[-1]]


def test_a_prediction_of_ones_own_is_not_noted(file, monkeypatch):
    for shell in (False, True):
        question = Predict("How many?", ["2", "3"], 3)
        if shell:
            Shell(monkeypatch, my_own=question)
        question.choice = "2"
        question.reveal()
        assert question.revealed and question.score is None
    assert not file.exists()


def write(n):
    for k in range(25):
        progress._keep({"notebook": None, "exercise": f"{n}-{k}", "status": "passed"})


def test_twenty_kernels_write_at_once(file):
    context = multiprocessing.get_context("spawn" if os.name == "nt" else "fork")
    writers = [context.Process(target=write, args=(n,)) for n in range(20)]
    for each in writers:
        each.start()
    for each in writers:
        each.join(300)
    entries = [json.loads(line)["exercise"] for line in file.read_text(encoding="utf-8").splitlines()]
    assert sorted(entries) == sorted(f"{n}-{k}" for n in range(20) for k in range(25))


def test_without_a_lock_it_is_written_all_the_same(file, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr(progress, "WAIT", 0.1)
    file.parent.mkdir()
    with FileLock(file.with_name(f"{file.name}.lock")):
        check.greedy(attempt(PASSES))
    assert states()["greedy"] == "passed"


@pytest.mark.parametrize("junk", [
    b"\x00\xff\xfe junk\n", b"[1, 2]\n", b"null\n", b'{"exercise": 3, "status": "passed", "notebook": null}\n', b"7\n",
    b'{"exercise": "greedy", "status": "excellent", "notebook": "00_start_here"}\n', b'{"exercise": "greedy"}\n',
    b'{"exercise": "greedy", "status": ["passed"], "notebook": []}\n', b"[" * 5000 + b"\n", b'{"exercise": "gre',
])  # fmt: skip
def test_a_damaged_file_gives_a_note_and_loses_nothing_else(file, junk):
    check.greedy(attempt(PASSES))
    with file.open("ab") as stream:
        stream.write(junk)
    check.all_ended(attempt(check.all_ended.exercise.right))
    assert states() == {"greedy": "passed", "all_ended": "passed"}
    assert f"1 line of {file} cannot be read. It does not count." in str(check.progress())
    check.reset_progress()
    assert check.progress().note == ""


def test_of_an_endless_file_the_end_is_read(file, monkeypatch):
    monkeypatch.setattr(progress, "MOST", 300)
    for _ in range(9):
        check.greedy(attempt(PASSES))
    check.all_ended(attempt(FAILS))
    assert states() == {"greedy": "passed", "all_ended": "tried"} and check.progress().note == ""
    assert len(progress._lines(file)) == 2


def blocked_by_a_file(tmp_path):
    (tmp_path / "blocked").write_text("a file")
    return tmp_path / "blocked"


def blocked_by_a_folder(tmp_path):
    (tmp_path / "blocked" / "progress.jsonl").mkdir(parents=True)
    return tmp_path / "blocked"


def locked_up(tmp_path):
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked").chmod(0o500)
    return tmp_path / "blocked" / "inside"


@pytest.mark.parametrize("blocked", [blocked_by_a_file, blocked_by_a_folder, locked_up])
def test_where_nothing_can_be_written_it_counts_until_the_kernel_ends(blocked, tmp_path, monkeypatch):
    if blocked is locked_up and os.geteuid() == 0:
        pytest.skip("nothing is closed to root")
    monkeypatch.setenv("MINILLAMA_DATA", str(blocked(tmp_path)))
    monkeypatch.setattr(progress, "_unwritten", [])
    assert check.greedy(attempt(PASSES)).status == "passed"
    assert states()["greedy"] == "passed"
    assert "MINILLAMA_DATA" in check.progress().note and str(tmp_path) in check.progress().note
    assert "MINILLAMA_DATA" in str(check.progress(0)), "also below a single notebook"
    check.reset_progress()
    assert states()["greedy"] == "open"


def test_a_home_that_is_not_there(monkeypatch):
    def nowhere():
        raise RuntimeError("no home")

    monkeypatch.delenv("MINILLAMA_DATA")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", staticmethod(nowhere))
    monkeypatch.setattr(progress, "_unwritten", [])
    check.greedy(attempt(PASSES))
    assert states()["greedy"] == "passed" and "no home" in check.progress().note


@pytest.mark.parametrize(("platform", "variables", "place"), [
    ("linux", {}, "home/.local/share/minillama"), ("linux", {"XDG_DATA_HOME": "/xdg"}, "/xdg/minillama"),
    ("darwin", {}, "home/Library/Application Support/minillama"), ("win32", {}, "home/AppData/Local/minillama"),
    ("win32", {"LOCALAPPDATA": "/local"}, "/local/minillama"), ("linux", {"MINILLAMA_DATA": "/mine"}, "/mine"),
])  # fmt: skip
def test_where_it_is_kept(platform, variables, place, monkeypatch):
    for name in ("MINILLAMA_DATA", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", staticmethod(lambda: Path("home")))
    assert progress.folder() == Path(place)


def test_a_copy_counts_again_and_overwrites_nothing(file, tmp_path):
    check.greedy(attempt(PASSES))
    kept = check.copy_progress(tmp_path / "kept.jsonl")
    with pytest.raises(FileExistsError):
        check.copy_progress(kept)
    check.reset_progress()
    assert states()["greedy"] == "open"
    kept.rename(file)
    assert states()["greedy"] == "passed"
    with pytest.raises(TypeError, match="^to must be"):
        check.copy_progress(3)


@pytest.mark.parametrize("notebook", [-1, 99, "seven", 7.5, True])
def test_a_notebook_that_is_not_there(notebook):
    with pytest.raises((ValueError, TypeError), match="^notebook must be"):
        check.progress(notebook)


def test_a_report_has_a_line_for_each_check(tmp_path, monkeypatch):
    monkeypatch.setenv("MINILLAMA_REPORT", str(tmp_path / "report.jsonl"))
    report = check.greedy(attempt(FAILS, "my_greedy"))
    check.greedy(attempt(PASSES, "solution_greedy"))
    check.greedy(attempt(lambda probs: ..., "my_greedy"))
    entries = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [each.pop("time")[:2] for each in entries] == ["20"] * 3
    common = {"notebook": "00_start_here", "exercise": "greedy"}
    assert report.hint and entries == [
        common | {"status": "failed", "function": "my_greedy", "hint": report.hint},
        common | {"status": "passed", "function": "solution_greedy", "hint": ""},
        common | {"status": "not attempted", "function": "my_greedy", "hint": ""},
    ]


def test_a_report_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setenv("MINILLAMA_REPORT", str(tmp_path))
    with pytest.warns(UserWarning, match="MINILLAMA_REPORT"):
        assert check.greedy(attempt(PASSES)).status == "passed"
