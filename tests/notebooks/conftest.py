"""Every notebook as a parameter."""

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


@pytest.fixture(scope="session", autouse=True)
def _list_of_fonts(kernels, tmp_path_factory):
    """matplotlib lists the fonts at its first import, and tells so in the cell if that takes long: here, and once."""
    folder = str(tmp_path_factory.mktemp("matplotlib"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", folder)
        subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], check=True, capture_output=True)
        yield
