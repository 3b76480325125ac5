"""The forks that stand in for kernels are kernels: with a folder and names of their own, and they can be stopped."""

import time

import nbformat
import psutil
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError

from tests.kernels import PATIENT, forked_kernels

SEEN = "import os, sys\nprint(os.getpid(), os.getcwd(), 'torch' in sys.modules, 'minillama' in sys.modules, dir())"


def client(source, folder, **settings):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    return NotebookClient(notebook, resources={"metadata": {"path": folder}}, **PATIENT | settings)


def printed(source, folder):
    made = client(source, folder)
    made.execute()
    return made.nb.cells[0].outputs[0]["text"]


@pytest.mark.skipif("sys.platform != 'linux'", reason="forks")
def test_two_kernels_share_nothing(tmp_path):
    pid, cwd, *imported = printed(SEEN + "\nleft_behind = 1\nsys.modules['minillama'] = 1", tmp_path).split()[:4]
    assert cwd == str(tmp_path) and imported == ["True", "False"]
    (tmp_path / "other").mkdir()
    other, cwd, *imported = printed(SEEN, tmp_path / "other").split()[:4]
    assert cwd.endswith("other") and other != pid and imported == ["True", "False"]
    assert "left_behind" not in printed(SEEN, tmp_path)


def test_a_kernel_that_hangs_is_interrupted_and_ends(tmp_path):
    (tmp_path / "pid").touch()
    hanging = client("import os\nopen('pid', 'w').write(str(os.getpid()))\nwhile True: pass", tmp_path, timeout=3)
    with pytest.raises(CellTimeoutError):
        hanging.execute()
    pid, end = int((tmp_path / "pid").read_text()), time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end, "the kernel outlives its client"
        time.sleep(0.1)


def test_afterwards_jupyters_own_kernel_is_back(monkeypatch):
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    with forked_kernels():
        pass
    import os

    assert "JUPYTER_PATH" not in os.environ
