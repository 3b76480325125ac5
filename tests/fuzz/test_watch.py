"""That the campaign sees what it looks for: each thing that a trial must not do is done here."""

import os
import shutil
import subprocess
import sys
import time

import pytest
import torch

from minillama import Llama
from tests.fuzz import calls, files, judge
from tests.fuzz.judge import attempt, check_error, check_memory, check_sound
from tests.fuzz.mutations import changed, gguf_header, text_of, tree_of
from tests.fuzz.originals import originals
from tests.fuzz.watch import Finding, scratch


@pytest.fixture
def folder():
    with scratch() as path:
        (path / "inside").mkdir()
        yield path


def write(path):
    path.write_text("x")


@pytest.mark.parametrize(
    "deed",
    [
        lambda f: write(f / "beside"),
        lambda f: open("/etc/hostname"),
        lambda f: os.system("true"),
        lambda f: subprocess.run([sys.executable, "-c", ""]),
        lambda f: os.remove(f / "beside"),
        lambda f: (f / "new").mkdir(),
        lambda f: __import__("socket").socket(),
        lambda f: __import__("pickle").loads(b"cos\ngetcwd\n."),
        lambda f: exec(compile("1", str(f / "code.py"), "exec")),
    ],
)
def test_what_touches_the_outside(folder, deed):
    with pytest.raises(Finding, match="is not allowed to, but "):
        attempt(lambda: deed(folder), folder / "inside", folder / "inside")


def half_written(path):
    """What a save does that fails: a folder and a file in it, which are removed again; the file by its name alone."""
    path.mkdir()
    write(path / "a")
    shutil.rmtree(path)


def test_what_was_made_may_be_removed_again_and_nothing_else(folder):
    inside = folder / "inside"
    attempt(lambda: half_written(inside / "new"), folder, inside)
    (inside / "old").mkdir()
    write(inside / "old" / "a")
    for deed in (lambda: os.remove(inside / "old" / "a"), lambda: shutil.rmtree(inside / "old")):
        with pytest.raises(Finding, match=r"is not allowed to, but (os.remove|shutil.rmtree) .*old.*it did not make"):
            attempt(deed, folder, inside)
    with pytest.raises(Finding, match=r"is not allowed to, but os.mkdir .*beside"):
        attempt(lambda: half_written(folder / "beside"), folder, inside)
    descriptor = os.open(inside / "old", os.O_RDONLY)
    try:
        with pytest.raises(Finding, match=r"but os.remove .*inside/old/a'\], which it did not make"):
            attempt(lambda: os.remove("a", dir_fd=descriptor), folder, inside)
        with pytest.raises(Finding, match=r"but os.remove .*inside/old/a'\]"):
            attempt(lambda: os.remove("a", dir_fd=descriptor), folder)
    finally:
        os.close(descriptor)
    assert (inside / "old" / "a").exists()


def test_code_that_is_imported_from_the_folder(folder, monkeypatch):
    (folder / "inside" / "surely_not_there.py").write_text("a = 1")
    monkeypatch.syspath_prepend(folder / "inside")
    with pytest.raises(Finding, match="executes .*surely_not_there.py"):
        attempt(lambda: __import__("surely_not_there"), folder / "inside")


def test_what_is_allowed(folder):
    (folder / "inside" / "a").write_text("x")
    assert attempt(lambda: (folder / "inside" / "a").read_text(), folder).result == "x"
    attempt(lambda: write(folder / "inside" / "b"), folder, folder / "inside")
    assert (folder / "inside" / "b").exists()
    write(folder / "beside")  # afterwards nobody looks on


def test_time_and_memory(folder, monkeypatch):
    def turn():
        while True:
            pass

    monkeypatch.setattr("tests.fuzz.watch.PATIENCE", 0.3)
    for wait in (turn, lambda: time.sleep(9)):
        with pytest.raises(Finding, match="waits for more than"):
            attempt(wait, folder)
    monkeypatch.setattr(judge, "SECONDS", 0.0)
    with pytest.raises(Finding, match="takes 0.0 s"):
        attempt(lambda: sum(range(1000)), folder)
    attempt(lambda: sum(range(1000)), folder, asked=2**29)  # a second for what it was asked to fill
    monkeypatch.undo()
    if sys.platform == "linux":
        answer = attempt(lambda: len(bytearray(100 * 2**20)), folder)
        check_memory(answer.watch, 40 * 2**20, "")
        with pytest.raises(Finding, match="takes 1.. MiB, 64 are allowed"):
            check_memory(answer.watch, 0, "")
        assert isinstance(attempt(lambda: bytearray(2**40), folder).error, MemoryError)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("top_p"), "which is not documented"),
        (KeyError("top_p"), "which is not documented"),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "top_p"), "which is not documented"),
        (ValueError("something"), "names none of"),
        (ValueError("top_p" + "x" * 9999), "has 10004 characters"),
        (ValueError("top_p\nline"), "line breaks"),
        (ValueError("top_p \x1b[31m"), "line breaks or control characters"),
    ],
)
def test_errors_that_are_none(error, words):
    with pytest.raises(Finding, match=words):
        check_error(error, ["top_p"])
    check_error(ValueError("top_p must be 1"), ["top_p"])


def test_a_model_that_was_changed():
    check_sound()
    weight = judge.sound_llama()[0].model.output.weight
    before = weight.clone()
    weight.neg_()
    with pytest.raises(Finding, match="another text"):
        check_sound()
    weight.copy_(before)
    check_sound()


def test_wrong_answers_to_calls(monkeypatch):
    monkeypatch.setattr(Llama, "generate", lambda self, **_: None)
    with pytest.raises(Finding, match="accepts top_p=2"):
        calls.trial({"call": "Llama.generate", "args": {"prompt_tokens": "[[1]]", "max_gen_len": "1", "top_p": "2"}})

    def refuse(self, **_):
        raise ValueError("max_gen_len is wrong")

    monkeypatch.setattr(Llama, "generate", refuse)
    with pytest.raises(Finding, match="refuses what is right"):
        calls.trial({"call": "Llama.generate", "args": {"prompt_tokens": "[[1]]", "max_gen_len": "1"}})


def test_wrong_answers_to_files(monkeypatch):
    flipped = {"original": "meta", "door": "build", "edits": {"consolidated.00.pth": [["flip", 20000, 3]]}}
    assert files.trial(flipped) == "refused"
    monkeypatch.setattr("minillama.pth.check_sums", lambda path: None)
    with pytest.raises(Finding, match="hold other numbers than were written"):
        files.trial(flipped)
    monkeypatch.setattr("minillama.doctor._model", lambda *_: ("model", True, ""))
    with pytest.raises(Finding, match="doctor's status is 0"):
        files.trial({"original": "hf", "door": "doctor", "edits": {"config.json": [["cut", 9]]}})


def test_changes_of_files():
    """Each kind of change does what it says, and an untouched JSON file stays what it is."""
    data = b'{"a": [1, {"b": 2}], "c": "x"}'
    tree = b'{"a":[1,{"b":2}],"c":"x"}'
    assert text_of(tree_of(data)).encode() == tree
    for edit, due in {
        ("flip", 0, 0): b"z" + data[1:],
        ("cut", 3): data[:3],
        ("insert", 1, "2020"): b"{  " + data[1:],
        ("delete", 1, 3): b"{: " + data[6:],
        ("again", 0, 1): b"{" + data,
        ("put", (0, 1, 0), "1e400"): tree.replace(b"2", b"1e400"),
        ("drop", (0, 0)): tree.replace(b"1,", b""),
        ("rename", (1,), "d"): tree.replace(b'"c"', b'"d"'),
        ("twice", (1,), "null"): tree[:-1] + b',"c":null}',
    }.items():
        assert changed(data, [[*edit]]) == due, edit
    gguf = originals()["gguf"]["model.gguf"]
    header = gguf_header(gguf)
    assert len(header.places) > 1000 and header.end < len(gguf)
    assert changed(gguf, [["rename entry", 0, header.entries[0][0].hex()]]) == gguf
    assert changed(gguf, [["entry twice", 2]]).count(header.entries[2][0]) == 2
    assert torch.is_grad_enabled()
