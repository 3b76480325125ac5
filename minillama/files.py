"""What readers and writers of files share: small JSON tables, lists in messages, and folders that are written whole."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

DEEPEST = 32  # levels of a JSON file; a checkpoint's have 5 at most, and Python's own calls end at about 1000
WRITING, MOVING = ".writing-", ".moving-"  # folders of a save that is being written, that is being moved in
STALE = 24 * 3600  # seconds after which nobody writes any more what lies in such a folder
Content = str | bytes | Callable[[Path], object]  # what a file holds, or what writes it to a path


def read_json(path: Path, most: int = 16 * 2**20) -> dict:
    """The table of fields in a JSON file of at most `most` bytes and DEEPEST levels.

    Raises ValueError, which names the file, if it is missing, too large, nested too deeply, or anything but such a
    table.
    """
    if not path.is_file():
        raise ValueError(f"ckpt_dir: no file {str(path)!r}")
    if (size := path.stat().st_size) > most:
        raise ValueError(f"ckpt_dir: {str(path)!r} has {size} bytes, at most {most} are read")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"ckpt_dir: {str(path)!r} is nested more than {DEEPEST} levels deep") from None
    except ValueError as error:
        raise ValueError(f"ckpt_dir: {str(path)!r} is not JSON ({error})") from error
    if _is_deep(fields):
        raise ValueError(f"ckpt_dir: {str(path)!r} is nested more than {DEEPEST} levels deep")
    if not isinstance(fields, dict):
        raise ValueError(f"ckpt_dir: {str(path)!r} begins {str(fields)[:40]!r}; expected a table of fields, {{...}}")
    return fields


def _is_deep(value) -> bool:
    """Whether lists and tables lie more than DEEPEST levels inside each other."""
    level = [value]
    for _ in range(DEEPEST):
        tables = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [inner for table in tables for inner in table]
    return any(isinstance(each, dict | list) for each in level)


def one_line(said: object, most: int = 300) -> str:
    """What a file or a library says, as a message shows it: in one line, without control characters, cut if it is long.

    >>> one_line("no such thing:\\n  * \\x1b[31m")
    'no such thing: *  [31m'
    """
    text = re.sub(r"\s*\n\s*", " ", str(said)[: 4 * most])
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= most else f"{text[:most]}…"


def listed(names: Collection[str], most: int = 4) -> str:
    """A few of the names, and how many more there are.

    >>> listed({"b", "a", "c"}, most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(one_line(name, 100) for name in sorted(names)[:most]) + more


@contextlib.contextmanager
def written_beside(
    folder: Path, what: str, replaced: re.Pattern | None = None
) -> Iterator[Callable[[str, Content], None]]:
    """write(name, content), whose files are moved into `folder` at the end: no file there is ever half written.

    If writing fails, nothing has changed, and the OSError names the file and the reason, after `what`: the argument
    that named the folder. replaced: what the names of the weights' files match. They are moved in last; then those of
    an older checkpoint that were not written again, such as surplus shards, are removed. No other file is touched.

    What is being written lies in a folder inside `folder`, so that it is on the same disk, and the folder around it
    need not be writable. Every file gets the mode that the process gives to new files. While the files are moved in,
    that folder has the name MOVING…; if the process ends meanwhile it stays, and `check_whole` finds it.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=folder, prefix=WRITING))
    except OSError as error:
        raise _refused(folder, what, error) from error
    names: set[str] = set()  # of what is to be moved in
    try:
        (beside / "mode").touch()
        mode = (beside / "mode").stat().st_mode & 0o777
        (beside / "mode").unlink()
        yield partial(_write, beside, folder, what, mode)
        names = {path.name for path in beside.iterdir()}
        if blocked := sorted(name for name in names if (folder / name).is_dir()):
            raise OSError(
                f"{what}: {str(folder / blocked[0])!r} is a folder, where a file of that name is to be written"
            )
        weights = {name for name in names if replaced and replaced.fullmatch(name)}
        beside = beside.rename(folder / beside.name.replace(WRITING, MOVING))
        for name in (*sorted(names - weights), *sorted(weights)):
            os.replace(beside / name, folder / name)
        for old in folder.iterdir():
            if replaced and replaced.fullmatch(old.name) and old.name not in names and old.is_file():
                old.unlink()
        names, is_new = set(), False
        for old in _left_over(folder):
            shutil.rmtree(old, ignore_errors=True)
    finally:
        if all((beside / name).exists() for name in names):  # else some files are new and others old
            shutil.rmtree(beside, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()


def check_whole(folder: Path) -> None:
    """Raise ValueError if files of two checkpoints may lie in a folder, because a save ended while they were moved."""
    if moving := sorted(folder.glob(f"{MOVING}*")):
        raise ValueError(
            f"ckpt_dir: a save into {str(folder)!r} has not ended, so some files are new and others old. If it was cut "
            f"off, save again; or move what is in {str(moving[0])!r} into the folder, and remove what was around it"
        )


def _left_over(folder: Path) -> list[Path]:
    """The folders of saves that were cut off: after a later one nobody needs them."""
    now = time.time()
    old = [path for path in folder.glob(f"{WRITING}*") if now - path.stat().st_mtime > STALE]
    return [*folder.glob(f"{MOVING}*"), *old]


def _write(beside: Path, folder: Path, what: str, mode: int, name: str, content: Content) -> None:
    try:
        if callable(content):
            content(beside / name)
        else:
            (beside / name).write_bytes(content.encode() if isinstance(content, str) else content)
        (beside / name).chmod(mode)  # safetensors makes files that only their owner may read
    except Exception as error:  # torch and safetensors have errors of their own for a full disk
        raise _refused(folder / name, what, error) from error


def _refused(path: Path, what: str, error: BaseException) -> BaseException:
    """The OSError that names a path that could not be written; an interrupt stays one, whatever it became."""
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, KeyboardInterrupt):
            return KeyboardInterrupt()
        each = each.__context__
    return OSError(
        f"{what}: {str(path)!r} could not be written: {_reason(error)}; no file there was changed. Make room, or "
        f"choose another folder"
    )


def _reason(error: BaseException) -> str:
    """What the system said, or else the first line of what the writer made of it."""
    first, each = str(error).split("\n")[0], error
    while each is not None:
        if isinstance(each, OSError) and each.strerror:
            return each.strerror
        each = each.__context__
    return first
