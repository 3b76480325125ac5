"""What a trial may take and touch: seconds, bytes, and nothing outside its own folder.

Python tells a hook of every file that is opened, program that is started, module that is imported (PEP 578). The hook
stays for as long as the process lives, and looks on only while a trial runs.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from minillama.formats.sandbox import CHILD

SECONDS = 2.0  # of the processor, that a trial may take …
FILLED = 2**27  # … and a second more for so many bytes that it was asked to fill: a virtual machine is slow at first
PATIENCE = 60  # seconds by the clock, for a trial that waits
ROOM = 64 * 2**20  # bytes that a trial may take besides what it is about
MOST = 4 * 2**30  # bytes that it can ask for
HERE = Path(__file__).resolve().parents[2]
KNOWN = tuple({os.path.realpath(path) + os.sep for path in (
    HERE, sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), "/proc", "/sys", "/usr/share", "/usr/lib"
)} | {"/dev/null", "/dev/urandom"})  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
STARTS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.kill", "pty.spawn", "subprocess.Popen",
          "os.startfile", "webbrowser.open", "socket.", "ctypes.", "pickle.find_class")  # fmt: skip
CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.chown", "os.link",
           "os.symlink", "os.utime", "shutil.", "tempfile.mk")  # fmt: skip

REMOVALS = ("os.remove", "os.rmdir", "shutil.rmtree")
# Where an event has the descriptors of the folders that its paths begin in.
FOLDERS = {"os.remove": [1], "os.rmdir": [1], "shutil.rmtree": [1], "os.mkdir": [2], "os.chmod": [2], "os.chown": [3],
           "os.utime": [3], "os.rename": [2, 3], "os.link": [2, 3]}  # fmt: skip


class Finding(AssertionError):
    """A trial did what none may. mark: the same for what has the same cause, as far as can be told."""

    def __init__(self, what: str, mark: str = ""):
        super().__init__(what)
        self.mark = mark or what


class Forbidden(BaseException):
    """Stops what the hook does not allow; no `except Exception` holds it."""


class Late(BaseException):
    """A trial has waited for PATIENCE seconds."""


@dataclass
class Watch:
    """One trial. reads: the folder that it may read; writes: the one that it may write to, if any.

    What it made there it may remove again, but not what was there before. seconds and taken are known once it has
    ended.
    """

    reads: str
    writes: str | None
    thread: int = field(default_factory=threading.get_ident)
    seen: list[str] = field(default_factory=list)
    seconds: float = 0.0
    has_child: bool = False
    taken: int = 0  # bytes by which the process grew, at the most
    before: frozenset[str] = frozenset()  # the files and folders that were in `writes`

    def look(self, event: str, args: tuple) -> None:
        what = _forbidden(event, args, self)
        if what:
            self.seen.append(what)
            raise Forbidden(what)


_now: Watch | None = None


def _hook(event: str, args: tuple) -> None:
    watch = _now
    if watch is not None and threading.get_ident() == watch.thread:
        watch.look(event, args)


def _forbidden(event: str, args: tuple, watch: Watch) -> str | None:
    """What is wrong with an event, if anything is."""
    if event == "open":
        path, mode, flags = args
        if isinstance(path, int):
            return None
        path = _real(path)
        writes = (mode is not None and {*"wax+"} & {*mode}) or (flags or 0) & WRITES
        if path == os.devnull or _inside(path, watch.writes) or (writes and "__pycache__" in path):
            return None
        if writes or not (_inside(path, watch.reads) or path.startswith(KNOWN)):
            return f"{'writes' if writes else 'reads'} {path}"
        return None
    if event == "subprocess.Popen" and str(CHILD) in args[1]:  # a process of their own for chat templates …
        watch.has_child = True
        return None
    if event == "os.kill" and watch.has_child:  # … which is ended in any case
        return None
    if event.startswith(STARTS):
        return f"{event} {str(args)[:200]}"
    if event.startswith(CHANGES):
        return _changed(event, args, watch)
    if event == "exec":
        name = getattr(args[0], "co_filename", "")
        if not name.startswith(("<frozen", "<string>")) and not _real(name).startswith(KNOWN):
            return f"executes {name}"
    if event == "import" and isinstance(args[1], str) and not _real(args[1]).startswith(KNOWN):
        return f"imports {args[0]} from {args[1]}"
    return None


def _changed(event: str, args: tuple, watch: Watch) -> str | None:
    """What is wrong with a change of the disk."""
    names = [each for each in args if isinstance(each, str | bytes | os.PathLike)]
    folders = [args[place] for place in FOLDERS.get(event, ()) if place < len(args)]
    paths = [_real(name, folder) for name, folder in itertools.zip_longest(names, folders[: len(names)])]
    if outside := [path for path in paths if not _inside(path, watch.writes)]:
        return f"{event} {outside}"
    old = [path for path in paths if path in watch.before and event in REMOVALS]
    return f"{event} {old}, which it did not make" if old else None


def _all_in(folder: str | None) -> frozenset[str]:
    """The files and folders in a folder, at any depth."""
    if folder is None:
        return frozenset()
    return frozenset(os.path.join(at, name) for at, *names in os.walk(folder) for each in names for name in each)


def _real(path, folder: int | None = None) -> str:
    """The path without links; folder: the descriptor of the one that it begins in, else the current one."""
    path = os.fsdecode(path)
    return os.path.realpath(path if folder in (None, -1) else os.path.join(f"/proc/self/fd/{folder}", path))


def _inside(path: str, folder: str | None) -> bool:
    return folder is not None and (path == folder or path.startswith(folder + os.sep))


def _late(*_) -> None:
    raise Late


_installed = False


@contextlib.contextmanager
def watched(reads: Path, writes: Path | None = None) -> Iterator[Watch]:
    """Run what is inside as a trial. Raises Finding at its end if it did what it may not, or waited for too long."""
    global _now, _installed
    if not _installed:
        sys.addaudithook(_hook)
        _installed = True
    watch = Watch(os.path.realpath(reads), None if writes is None else os.path.realpath(writes))
    watch.before = _all_in(watch.writes)
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGALRM, _late) if in_main else None
    if in_main:
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    before, start = _reset_peak(), time.process_time()
    _now = watch
    try:
        with _bounded():
            yield watch
    except Late:
        raise Finding(f"waits for more than {PATIENCE} s", "waits") from None
    except Forbidden:
        pass
    finally:
        _now = None
        watch.seconds, watch.taken = time.process_time() - start, _peak() - before
        if in_main:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
    if watch.seen:
        raise Finding(f"is not allowed to, but {watch.seen[0]}", watch.seen[0].split(" ")[0])


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """MOST more bytes can be asked for: a trial that asks for all there is gets an error, and the machine goes on."""
    try:
        import resource

        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + MOST, before[1]))
    except (ImportError, OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _reset_peak() -> int:
    """Let the peak of memory be counted from here; what the process holds, in bytes. 0 where that is not known."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        return _status("VmRSS")
    except OSError:
        return 0


def _peak() -> int:
    try:
        return _status("VmHWM")
    except OSError:
        return 0


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A new folder, and the process in it; both are as before afterwards."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        try:
            yield Path(folder).resolve()
        finally:
            os.chdir(before)
