"""Every notebook as a parameter, and all of them executed once by nbmake."""

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


@pytest.fixture(scope="session")
def executed(tmp_path_factory):
    """A folder with the notebooks as `pytest --nbmake --overwrite` leaves them, and its report."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copytree(NOTEBOOKS, folder / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    shutil.copytree(NOTEBOOKS.parent / "assets", folder / "assets")
    environment = {**os.environ, "IPYTHONDIR": str(folder / "ipython"), "MPLCONFIGDIR": str(folder / "matplotlib")}
    command = [sys.executable, "-m", "pytest", "-q", "--nbmake", "--overwrite", "--durations=0", "notebooks"]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder / "notebooks"
