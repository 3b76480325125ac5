"""What users of such software reported of saving: other disks, parents that are not writable, modes, interrupts, and
processes that are killed."""

import os
import shutil
import stat
import sys
from pathlib import Path

import pytest
import torch

from minillama import Llama
from minillama.files import MOVING, STALE, WRITING, written_beside

UNIX = pytest.mark.skipif(os.name != "posix", reason="modes and links as on Unix")
FORMATS = ["meta", "hf"]


@pytest.fixture(scope="module")
def llama(checkpoint):
    return Llama.build(checkpoint.folder, device="cpu")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@UNIX
@pytest.mark.parametrize("format", FORMATS)
def test_saving_through_a_link_to_another_disk(llama, tmp_path, format):
    disk = Path("/dev/shm")
    if not disk.is_dir() or os.stat(disk).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("one disk only")
    target = disk / f"minillama-test-{os.getpid()}-{format}"
    target.mkdir()
    try:
        (tmp_path / "models").symlink_to(target)
        llama.save(tmp_path / "models", format)
        assert Llama.build(tmp_path / "models", device="cpu").generate([[1, 300]], 3, temperature=0)
    finally:
        for path in target.iterdir():
            path.unlink()
        target.rmdir()


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_is_written_beside_the_folder(llama, tmp_path, format):
    """The folder around it may not be writable: seen here by what else was ever there (as root all is writable)."""
    folder, seen = tmp_path / "parent" / "model", set()
    folder.mkdir(parents=True)
    real = os.replace

    def watched(source, target):
        seen.update(path.name for path in folder.parent.iterdir())
        real(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", watched)
        llama.save(folder, format)
    assert seen == {"model"} and not [path for path in folder.iterdir() if path.is_dir()]


@UNIX
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_get_the_mode_of_any_new_file(llama, tmp_path, format, umask):
    before = os.umask(umask)
    try:
        llama.save(tmp_path / "model", format)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "model").iterdir()}
    assert set(modes.values()) == {0o666 & ~umask}, modes


@pytest.mark.parametrize("format", FORMATS)
def test_a_folder_named_like_a_shard_stops_it_before_anything_changes(llama, tmp_path, format):
    llama.save(tmp_path, format)
    name = {"meta": "params.json", "hf": "tokenizer.json"}[format]
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    before = contents(tmp_path)
    with pytest.raises(OSError, match=f"{name}.* is a folder"):
        llama.save(tmp_path, format, dtype=torch.float16)
    assert contents(tmp_path) == before


def test_an_interrupt_stays_an_interrupt_and_changes_nothing(tmp_path):
    """torch turns one into an error of its own while it writes; that is not a disk that takes no more."""

    def interrupted(path):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904

    (tmp_path / "kept").write_bytes(b"kept")
    with pytest.raises(KeyboardInterrupt), written_beside(tmp_path, "ckpt_dir") as write:
        write("kept", b"new")
        write("other", interrupted)
    assert contents(tmp_path) == {"kept": b"kept"} and [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_folder_that_was_made_for_it_goes_with_a_failure(tmp_path):
    with pytest.raises(OSError, match="could not be written"), written_beside(tmp_path / "new", "ckpt_dir") as write:
        write("a", lambda path: (_ for _ in ()).throw(OSError("no")))
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc takes no folder")
def test_a_place_that_takes_no_folder_is_named(llama):
    with pytest.raises(OSError, match="ckpt_dir: '/proc/nowhere' could not be written"):
        llama.save("/proc/nowhere")


def killed_while(llama, folder, format, n_moved):
    """The exit code of a process that saves, and is killed when n_moved files have been moved in."""
    child = os.fork()
    if child == 0:
        done, real = [], os.replace

        def replace(source, target):
            if len(done) == n_moved:
                os._exit(9)
            done.append(real(source, target))

        try:
            os.replace = replace
            llama.save(folder, format)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize("format", FORMATS)
def test_a_save_that_was_killed_between_two_files_is_found(llama, write_checkpoint, tmp_path, format):
    """New sizes beside old weights, or a new file of weights beside an old one, would load without a word."""
    due = llama.logits([[1, 300, 301]])
    old = Llama.build(write_checkpoint(tmp_path / "old", seed=7).folder, device="cpu")
    for n_moved in range(20):
        folder = tmp_path / f"after {n_moved}"
        old.save(folder, format, shards=2)
        if killed_while(llama, folder, format, n_moved) == 0:
            break
        with pytest.raises(ValueError, match="^ckpt_dir: a save into .* has not ended, so some .* save again"):
            Llama.build(folder, device="cpu")
        llama.save(folder, format)
        assert not [path.name for path in folder.iterdir() if path.is_dir()]
        assert torch.equal(Llama.build(folder, device="cpu").logits([[1, 300, 301]]), due)
    assert n_moved >= 3


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_what_a_killed_save_left_can_be_moved_in_by_hand(llama, write_checkpoint, tmp_path):
    folder = write_checkpoint(tmp_path / "old", seed=7).folder
    assert killed_while(llama, folder, "meta", 1) == 9
    (moving,) = folder.glob(f"{MOVING}*")
    for path in moving.iterdir():
        shutil.move(path, folder / path.name)
    moving.rmdir()
    assert torch.equal(Llama.build(folder, device="cpu").logits([[1, 300]]), llama.logits([[1, 300]]))


def test_a_move_that_fails_at_once_changes_nothing_and_a_later_one_is_found(llama, tmp_path, monkeypatch):
    llama.save(tmp_path)
    before, real = contents(tmp_path), os.replace
    for n_moved in (0, 1):
        done = []

        def replace(source, target, n_moved=n_moved, done=done):
            if len(done) == n_moved:
                raise PermissionError(13, "used by another process")
            done.append(real(source, target))

        monkeypatch.setattr(os, "replace", replace)
        with pytest.raises(PermissionError):
            llama.save(tmp_path, dtype=torch.float16)
        monkeypatch.undo()
        assert bool([*tmp_path.glob(f"{MOVING}*")]) == bool(n_moved)
        if not n_moved:
            assert contents(tmp_path) == before and not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_what_killed_saves_wrote_goes_after_a_day(llama, tmp_path):
    new, old = (tmp_path / f"{WRITING}{name}" for name in ("new", "old"))
    for path in (new, old):
        path.mkdir()
        (path / "params.json").write_text("half")
    day_before = new.stat().st_mtime - STALE - 60
    os.utime(old, (day_before, day_before))
    llama.save(tmp_path)
    assert new.is_dir() and not old.exists()
    assert Llama.build(tmp_path, device="cpu")
