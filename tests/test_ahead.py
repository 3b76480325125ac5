"""What is kept of compiled steps: whole, this user's own, within its limit; where nothing can be, a process goes on."""

import os
import stat
import subprocess
import sys
import textwrap
import time
import warnings

import pytest

from minillama import ahead
from minillama.doctor import diagnose
from tests.disk import files_end_at

KEY = "0123456789abcdef01234567"
as_root = pytest.mark.skipif(os.name == "nt" or os.getuid() != 0, reason="only root may give files away")
with_modes = pytest.mark.skipif(os.name == "nt", reason="no modes on Windows")


class Maker:
    def __init__(self, size=100):
        self.calls, self.size = 0, size

    def __call__(self, folder):
        self.calls += 1
        (folder / "step.so").write_bytes(b"x" * self.size)
        (folder / "weights.pt").write_bytes(b"y" * 10)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINILLAMA_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def names(root):
    return sorted(path.name for path in root.iterdir() if path.is_dir())


def test_it_is_made_once_and_then_found(root):
    make = Maker()
    first, second = ahead.package(KEY, make), ahead.package(KEY, make)
    assert make.calls == 1 and first.path == second.path == ahead.find(KEY).path
    assert first.path.parent == root and first.path.name.startswith(KEY)
    assert ahead.find("f" * 24) is None
    assert os.name == "nt" or stat.S_IMODE(root.stat().st_mode) == 0o700
    assert ahead.packages() == [(first.path, 110)]


DAMAGES = {
    "a changed byte": lambda path: (path / "step.so").write_bytes(b"x" * 99 + b"z"),
    "cut short": lambda path: (path / "step.so").write_bytes(b"x" * 50),
    "empty": lambda path: (path / "weights.pt").write_bytes(b""),
    "a file more": lambda path: (path / "more").write_bytes(b""),
    "a file less": lambda path: (path / "weights.pt").unlink(),
    "another name": lambda path: (path / "step.so").rename(path / "other.so"),
    "a folder in it": lambda path: (path / "folder").mkdir(),
    "of another key": lambda path: path.rename(path.with_name("f" * 24 + path.name[24:])),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_package_is_made_anew(root, damage):
    make = Maker()
    DAMAGES[damage](ahead.package(KEY, make).path)
    assert ahead.find(KEY) is None
    again = ahead.package(KEY, make)
    assert make.calls == 2 and sorted(file.name for file in again.path.iterdir()) == ["step.so", "weights.pt"]
    assert ahead.find(KEY).path == again.path


@with_modes
@pytest.mark.parametrize("link", ["folder", "file"])
def test_links_are_not_followed(root, tmp_path, link):
    make = Maker()
    path = ahead.package(KEY, make).path
    if link == "folder":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        (path / "step.so").rename(tmp_path / "elsewhere")
        (path / "step.so").symlink_to(tmp_path / "elsewhere")
    assert ahead.find(KEY) is None and (tmp_path / "elsewhere").exists()


@with_modes
def test_what_others_may_write_to_is_not_loaded(root):
    make = Maker()
    path = ahead.package(KEY, make).path
    (path / "step.so").chmod(0o622)
    assert ahead.find(KEY) is None
    ahead.package(KEY, make)
    root.chmod(0o770)
    assert ahead.find(KEY) is None
    with pytest.warns(UserWarning, match="not kept for later: others may write to"):
        for_now = ahead.package(KEY, make)
    assert make.calls == 3 and for_now.path.parent != root and (for_now.path / "step.so").exists()
    assert ("compiled", False) in [(name, fine) for name, fine, _ in diagnose("nowhere")]


@with_modes
def test_a_folder_inside_one_that_all_may_write_to(root, tmp_path, monkeypatch):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setenv("MINILLAMA_CACHE", str(tmp_path / "open" / "kept"))
    with pytest.warns(UserWarning, match="others may write to"):
        ahead.package(KEY, Maker())
    (tmp_path / "open").chmod(0o1777)  # as /tmp is: everyone moves only what is theirs
    assert ahead.package(KEY, Maker()).path.parent == tmp_path / "open" / "kept"


@as_root
@pytest.mark.parametrize("what", ["folder", "package", "file"])
def test_what_another_user_wrote_is_not_loaded(root, what):
    path = ahead.package(KEY, Maker()).path
    os.chown({"folder": root, "package": path, "file": path / "step.so"}[what], 12345, -1)
    if what == "package":  # its files are still ours, and nobody else can write to the folder around it
        path.chmod(0o700)
    assert (ahead.find(KEY) is None) == (what != "package")


@pytest.mark.parametrize("home", ["file/inside", "file"])
def test_where_no_folder_can_be_made_it_serves_this_process(tmp_path, monkeypatch, home):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINILLAMA_CACHE", str(tmp_path / home))
    make = Maker()
    with pytest.warns(UserWarning, match="not kept for later"):
        package = ahead.package(KEY, make)
    assert make.calls == 1 and (package.path / "step.so").read_bytes() == b"x" * 100
    place = package.path
    del package
    assert not place.exists()  # nothing is left behind
    (said,) = [text for name, fine, text in diagnose("nowhere") if name == "compiled" and not fine]
    assert "is no folder that can be written to" in said and "MINILLAMA_CACHE" in said


@with_modes
def test_a_full_disk_keeps_nothing_and_stops_nobody(root, monkeypatch):
    import shutil

    def copyfile(source, target):
        with files_end_at(50):
            return real(source, target)

    real = shutil.copyfile
    monkeypatch.setattr("minillama.ahead.shutil.copyfile", copyfile)
    make = Maker()
    with pytest.warns(UserWarning, match="not kept for later: .*File too large"):
        package = ahead.package(KEY, make)
    assert make.calls == 1 and (package.path / "step.so").stat().st_size == 100
    assert names(root) == []


def test_what_was_used_longest_ago_goes_first(root, monkeypatch):
    monkeypatch.setattr(ahead, "MOST", 350)
    make = Maker()
    paths = [ahead.package(key * 24, make).path for key in "abc"]
    for age, path in zip((30, 20, 10), paths, strict=True):
        os.utime(path, (time.time() - age,) * 2)
    ahead.find("a" * 24)  # used now
    ahead.package("d" * 24, make)
    assert [name[0] for name in names(root)] == ["a", "c", "d"]
    with pytest.warns(UserWarning, match="at most 0 are kept"):
        ahead.package("e" * 24, Maker(400))
    assert [name[0] for name in names(root)] == ["a", "c", "d"]


def test_a_package_that_cannot_be_made_leaves_nothing(root):
    def fail(folder):
        (folder / "step.so").write_bytes(b"x")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        ahead.package(KEY, fail)
    assert names(root) == []
    assert ahead.package(KEY, Maker()).path.parent == root  # the lock was given back


def test_two_processes_make_it_once(root):
    code = """
        import time
        from minillama import ahead
        def make(folder):
            (folder / "step.so").write_bytes(b"x")
            print("made", flush=True)
            time.sleep(1)
        print(ahead.package("a" * 24, make).path)
    """
    start = [sys.executable, "-c", textwrap.dedent(code)]
    both = [subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in both]
    lines = [line for out, _ in said for line in out.splitlines()]
    assert lines.count("made") == 1 and len({line for line in lines if line != "made"}) == 1
    assert sum("another process is compiling" in err for _, err in said) <= 1


def test_clear(root):
    ahead.package(KEY, Maker())
    (root / f"{ahead.MAKING}left").mkdir()
    ahead.clear()
    assert list(root.iterdir()) == [] and ahead.packages() == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ahead.package(KEY, Maker())


def test_the_place(monkeypatch, tmp_path):
    monkeypatch.setenv("MINILLAMA_CACHE", "~/here")
    assert ahead.folder().is_absolute() and ahead.folder().name == "here"
    monkeypatch.delenv("MINILLAMA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert ahead.folder() == tmp_path / "minillama"
