"""Kernels that start at once: forks of one process that has imported what every notebook imports.

Half of what a short notebook costs is importing torch, matplotlib and ipywidgets. Here that is done once. A fork is a
kernel of its own: it has its own folder, environment and names, and imports minillama by itself.

The first kernel waits for those imports. On a machine that does something else they may take longer than the minute
that a NotebookClient gives a kernel to start, and outputs may come later than the 4 seconds after which it goes on
without them: `NotebookClient(notebook, **PATIENT)`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

IMPORTED = ("ipykernel.ipkernel", "ipykernel.kernelapp", "ipywidgets", "matplotlib.backends.backend_svg",
            "matplotlib.backends.backend_agg", "sentencepiece", "torch")  # fmt: skip
PATIENT = {"timeout": 300, "startup_timeout": 300, "iopub_timeout": 300}  # seconds
READ_BY_THEM = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "KINETO_LOG_LEVEL": "99"}


@contextlib.contextmanager
def forked_kernels() -> Iterator[None]:
    """Inside the block Jupyter's kernel "python3" is such a fork; where processes cannot fork, it stays as it is."""
    if sys.platform != "linux":
        yield
        return
    from ipykernel.kernelspec import get_kernel_dict

    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as door:
        address, spec = f"{folder}/socket", Path(folder, "kernels", "python3")
        door.bind(address)
        door.listen()  # who calls before all is imported waits
        spec.mkdir(parents=True)
        argv = [sys.executable, "-S", __file__, "launch", address, "-f", "{connection_file}"]
        (spec / "kernel.json").write_text(json.dumps(get_kernel_dict() | {"argv": argv}))
        before = os.environ.get("JUPYTER_PATH")
        os.environ["JUPYTER_PATH"] = folder if before is None else f"{folder}{os.pathsep}{before}"
        command = [sys.executable, __file__, "serve", str(door.fileno())]
        server = subprocess.Popen(command, env=os.environ | READ_BY_THEM, pass_fds=[door.fileno()])
        try:
            yield
        finally:
            server.kill()
            server.wait()
            os.environ.pop("JUPYTER_PATH") if before is None else os.environ.update(JUPYTER_PATH=before)


def serve(door: socket.socket) -> None:
    """Import once; then a fork for every launcher that calls."""
    sys.path.pop(0)  # the folder of this file
    for name in IMPORTED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a fork ended
    while True:
        launcher, _ = door.accept()
        if os.fork() == 0:
            door.close()
            become_kernel(launcher)
        launcher.close()


def become_kernel(launcher: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    stream = launcher.makefile("rw")
    due = json.loads(stream.readline())
    stream.write(f"{os.getpid()}\n")
    stream.flush()
    os.chdir(due["folder"])
    os.environ.clear()
    os.environ.update(due["environment"])
    os.environ.pop("JPY_PARENT_PID", None)  # the launcher is watched instead
    threading.Thread(target=lambda: (launcher.recv(1), os._exit(1)), daemon=True).start()
    sys.argv = ["ipykernel_launcher", *due["argv"]]
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()
    sys.exit()


def launch(address: str, argv: list[str]) -> None:
    """What Jupyter takes for the kernel: has it made, hands signals on to it, and lives as long."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        stream = server.makefile("rw")
        stream.write(json.dumps({"folder": os.getcwd(), "environment": dict(os.environ), "argv": argv}) + "\n")
        stream.flush()
        pid = int(stream.readline())
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda number, frame: os.kill(pid, number))
        server.recv(1)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(socket.socket(fileno=int(sys.argv[2])))
    else:
        launch(sys.argv[2], sys.argv[3:])
