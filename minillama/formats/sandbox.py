"""Runs a chat template, which may be anybody's, where it can do no harm: in a process of its own, within limits.

A template is a program in the language of jinja2. Its sandbox keeps it from Python's objects, the process has its
time, memory and output limited and can open no file (sandbox_child.py), and only its text comes back.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

SECONDS, MEMORY, OUTPUT = 2, 256 * 2**20, 2**20  # memory in bytes, output in characters
START = 60  # seconds in which Python has to start
CHILD = Path(__file__).with_name("sandbox_child.py")
KEPT = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")  # of the environment
INSTALL = "pip install 'jinja2>=3.1.6' (it is in minillama's extra `formats`)"


def render(template: str, dialogs: list, tokens: dict[str, str]) -> list[dict[str, str]]:
    """{"text": ...}, or {"error": ...} where the template fails, for each of the dialogs; an answer is opened.

    tokens: "bos_token" and the like. Raises ValueError, which says why, where nothing could be laid out.
    """
    folders = [_folder_of(name) for name in ("jinja2", "markupsafe")]
    if None in folders:
        raise ValueError(f"needs jinja2 to be laid out, which is not installed: {INSTALL}")
    request = {"template": template, "dialogs": dialogs, "tokens": tokens, "memory": MEMORY, "output": OUTPUT}
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-I", "-S", "-B", str(CHILD), *folders]
    with subprocess.Popen(command, bufsize=0, env=environment, **pipes) as process:
        try:
            answer = _within(START, process, lambda: process.stdout.read(1))
            if answer:
                answer = _within(SECONDS, process, lambda: _ask(process, json.dumps(request).encode()))
        finally:
            process.kill()
    if answer is None:
        raise ValueError(f"takes more than {SECONDS} s to be laid out")
    try:
        answers = json.loads(answer)
    except ValueError:
        raise ValueError(f"broke the process that lays it out (its exit code is {process.returncode})") from None
    if isinstance(answers, dict):
        raise ValueError(f"needs a newer jinja2 than {answers.get('old')}: {INSTALL}")
    return answers


def _folder_of(package: str) -> str | None:
    """The folder that a package is imported from, which is not imported here; None if it is not installed."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:
        return None
    return None if spec is None or spec.origin is None else str(Path(spec.origin).parent.parent)


def _within(seconds: float, process: subprocess.Popen, work: Callable[[], bytes]) -> bytes | None:
    """What work() returns; None if it takes longer, and then the process is ended."""
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        done = work()
    finally:
        timer.cancel()
    return None if late.is_set() else done


def _ask(process: subprocess.Popen, request: bytes) -> bytes:
    """Hand the request over and read the answer, at most as much as OUTPUT characters take in JSON."""
    with contextlib.suppress(OSError):  # it has ended; perhaps it said why
        while request:
            request = request[process.stdin.write(request) :]
        process.stdin.close()
    answer, most = b"", 12 * OUTPUT + 2**16
    while len(answer) < most and (piece := process.stdout.read(2**16)):
        answer += piece
    return answer
