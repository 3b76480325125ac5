"""Every notebook as a parameter: as it is, and as nbmake leaves it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


def pytest_generate_tests(metafunc):
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", NAMES)


@pytest.fixture
def notebook(name):
    return nbformat.read(NOTEBOOKS / name, as_version=4)


@pytest.fixture
def executed(name, tmp_path):
    """The notebook as `pytest --nbmake --overwrite` leaves it."""
    (tmp_path / "notebooks").mkdir()
    shutil.copy(NOTEBOOKS / name, tmp_path / "notebooks")
    shutil.copytree(NOTEBOOKS.parent / "assets", tmp_path / "assets")
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython"), "MPLCONFIGDIR": str(tmp_path / "matplotlib")}
    command = [sys.executable, "-m", "pytest", "-q", "--nbmake", "--overwrite", f"notebooks/{name}"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return nbformat.read(tmp_path / "notebooks" / name, as_version=4)
