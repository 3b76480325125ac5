"""Native code that is made once and kept for every later process of the same user.

A package is a folder with a shared library and whatever belongs to it. What a library holds runs with the user's
rights, so one is loaded only if this user wrote it, into a folder that nobody else can write to (`distrust`). Its name
says what it was made for and what it holds: a damaged one no longer fits its name, and is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minillama.words import say

MOST = 2**30  # bytes that are kept in all; what was used longest ago goes first
MAKING = ".making-"  # a package that is being moved in


@dataclass(eq=False)
class Package:
    """A folder that holds one; where it could not be kept it goes when this object does."""

    path: Path


def folder() -> Path:
    """Where packages are kept: the environment variable MINILLAMA_CACHE, else the platform's folder for caches."""
    if chosen := os.environ.get("MINILLAMA_CACHE"):
        return Path(chosen).expanduser().absolute()
    home = Path.home()
    bases = {"win32": os.environ.get("LOCALAPPDATA", home / "AppData/Local"), "darwin": home / "Library/Caches"}
    base = bases.get(sys.platform) or os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(base) / "minillama"


def distrust(root: Path) -> str:
    """Why nothing in a folder is loaded or kept; an empty str if all is well.

    The folder must belong to this user, and others may write neither to it nor, unless they can touch only what is
    theirs (as in /tmp), to a folder above it. Windows has no such modes: there it must lie inside the user's profile.
    """
    try:
        root = root.resolve()
        if os.name == "nt":
            inside = root.is_relative_to(Path.home().resolve())
            return "" if inside else f"{str(root)!r} is not inside your user profile"
        for path in (root, *root.parents):
            status = path.stat()
            if status.st_uid != os.getuid() and (path == root or status.st_uid != 0):
                return f"{str(path)!r} belongs to another user"
            shared = status.st_mode & (0o022 if path == root else 0o002)
            if shared and (path == root or not status.st_mode & stat.S_ISVTX):
                return f"others may write to {str(path)!r}"
    except (OSError, RuntimeError) as error:  # RuntimeError: no home, or a circle of links
        return str(error)
    return ""


def hindrance() -> str:
    """Why nothing would be kept or loaded here; an empty str if all is well."""
    try:
        root = folder()
        nearest = next(path for path in (root, *root.parents) if path.exists())
    except (OSError, RuntimeError) as error:
        return str(error)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        return f"{str(nearest)!r} is no folder that can be written to"
    return distrust(root) if nearest == root else ""


def find(key: str) -> Package | None:
    """The package of this name, if it is there and sound. What is not is removed."""
    root = folder()
    if not root.is_dir() or distrust(root):
        return None
    for path in root.glob(f"{key}-*"):
        if path.name == f"{key}-{_digest(path)}":
            os.utime(path)  # used now
            return Package(path)
        discard(Package(path))
    return None


def discard(package: Package) -> None:
    """Remove a package that cannot be used."""
    if package.path.is_symlink() or not package.path.is_dir():
        package.path.unlink(missing_ok=True)
    shutil.rmtree(package.path, ignore_errors=True)


def package(key: str, make: Callable[[Path], None]) -> Package:
    """The package of this name, made by make(folder) if it is not there.

    Where another process is making the same one, it is waited for. Where nothing can be kept (a full disk, a home that
    is read-only, a folder that others can write to) a warning says why, and the package serves this process alone.
    """
    root = folder()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if reason := distrust(root):
            return _made(key, make, None, reason)
        lock = _locked(root / f"{key}.lock")
    except OSError as error:
        return _made(key, make, None, str(error))
    try:
        return find(key) or _made(key, make, root, "")
    finally:
        lock.release()


def _locked(path: Path):
    """A lock that this process holds; the system gives it back if the process ends."""
    from filelock import FileLock, Timeout  # here, so that importing minillama does not take longer

    lock = FileLock(path)
    try:
        return lock.acquire(timeout=0).lock
    except Timeout:
        print(say("another process is compiling the same step; waiting for it …"), file=sys.stderr, flush=True)
        return lock.acquire().lock


def _made(key: str, make: Callable[[Path], None], root: Path | None, reason: str) -> Package:
    """Make a package in a folder of its own, then move it to root."""
    made = Package(Path(tempfile.mkdtemp(prefix="minillama-")))
    weakref.finalize(made, shutil.rmtree, made.path, ignore_errors=True)
    make(made.path)
    if root is not None:
        try:
            return Package(_keep(key, made.path, root))
        except OSError as error:
            reason = str(error)
    warnings.warn(f"the compiled step is not kept for later: {reason}", stacklevel=2)
    return made


def _keep(key: str, made: Path, root: Path) -> Path:
    """Copy a package to root, whole or not at all, and make room for it."""
    if (size := _size(made)) > MOST:
        raise OSError(f"it has {size / 2**20:,.0f} MiB, at most {MOST / 2**20:,.0f} are kept")
    beside = Path(tempfile.mkdtemp(dir=root, prefix=MAKING))
    try:
        for file in made.iterdir():
            shutil.copyfile(file, beside / file.name)
            (beside / file.name).chmod(0o600)  # whatever the process gives to new files
        kept = beside.replace(root / f"{key}-{_digest(beside)}")
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    with contextlib.suppress(OSError):  # another process may make room, too
        sizes = dict(packages())
        for path in sorted(sizes.keys() - {kept}, key=lambda path: path.stat().st_mtime):
            if sum(sizes.values()) > MOST:
                discard(Package(path))
                del sizes[path]
    return kept


def packages() -> list[tuple[Path, int]]:
    """What is kept: the folder and the bytes of each package, and of what a process left that was ended midway."""
    root = folder()
    return [(path, _size(path)) for path in sorted(root.iterdir()) if path.is_dir()] if root.is_dir() else []


def clear() -> None:
    """Remove everything that is kept."""
    for path, _ in packages():
        discard(Package(path))
    for lock in folder().glob("*.lock"):
        with contextlib.suppress(OSError):  # on Windows, where another process holds it
            lock.unlink()


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir() if file.is_file())


def _digest(path: Path) -> str:
    """What a package holds, as 24 hexadecimal digits; an empty str if anything in it is not this user's own."""
    total = hashlib.sha256()
    try:
        if path.is_symlink():
            return ""
        for file in sorted(path.iterdir()):
            status = file.lstat()
            own = os.name == "nt" or (status.st_uid == os.getuid() and not status.st_mode & 0o022)
            if not stat.S_ISREG(status.st_mode) or not own:
                return ""
            with file.open("rb") as opened:
                total.update(f"{file.name} {status.st_size} ".encode())
                while block := opened.read(2**20):
                    total.update(block)
    except OSError:
        return ""
    return total.hexdigest()[:24]
