"""Notebooks with their outputs: each is executed once, and kept by all that its outputs depend on.

tests/notebooks/test_run.py keeps what it has executed here too. The tests never read it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
KEPT = ROOT / "book" / "_build" / "executed"
REAL = "needs-real-model"  # a tag
HIDE = "from minillama import smollm2\nsmollm2.find = lambda: None"  # a page is the same wherever it is built
PATIENT = {"timeout": 600, "startup_timeout": 600, "iopub_timeout": 600}  # seconds


def language_of(path: Path) -> str:
    """Of a notebook, by its folder."""
    return "en" if path.parent == NOTEBOOKS else path.parent.name


@functools.cache
def surroundings(language: str) -> str:
    """A hash of the package, of assets/ and of torch's version: what a notebook's outputs depend on, beside itself."""
    found = hashlib.sha256(version("torch").encode())
    for folder in (ROOT / "minillama", ROOT / "assets"):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(ROOT)
            if "__pycache__" not in name.parts and not (language == "en" and name.parts[:2] == ("minillama", "locale")):
                found.update(str(name).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def place(path: Path) -> Path:
    """Where the executed notebook is kept."""
    found = hashlib.sha256(f"{path.relative_to(NOTEBOOKS)} {surroundings(language_of(path))}".encode())
    found.update(path.read_bytes())
    return KEPT / f"{found.hexdigest()[:24]}.ipynb"


def keep(path: Path, cells: Iterable[NotebookNode]) -> None:
    """Keep the outputs of these cells, which were executed in their order from the notebook at path."""
    notebook, executed = nbformat.read(path, as_version=4), {cell.id: cell for cell in cells}
    notebook.cells = [executed.get(cell.id, cell) for cell in notebook.cells]
    file = place(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".part", delete=False, encoding="utf-8") as part:
        part.write(nbformat.writes(notebook))
    os.replace(part.name, file)  # whole, or not there


def kept(path: Path) -> NotebookNode | None:
    file = place(path)
    return nbformat.read(file, as_version=4) if file.exists() else None


def forget_all_but(paths: Iterable[Path]) -> None:
    """Of these notebooks, as they are now, what they showed stays; what else is kept goes."""
    now = {place(path) for path in paths}
    for file in KEPT.glob("*.ipynb"):
        if file not in now:
            file.unlink()


def execute(path: Path) -> None:
    """Run the notebook in a kernel of its own, in a folder of its own, and keep it."""
    notebook = nbformat.read(path, as_version=4)
    tags = {tag for cell in notebook.cells for tag in cell.metadata.get("tags", ())}
    hidden = [nbformat.v4.new_code_cell(HIDE)] if REAL in tags else []
    with tempfile.TemporaryDirectory() as folder:
        beside = Path(folder, path.relative_to(ROOT)).parent
        beside.mkdir(parents=True)
        Path(folder, "assets").symlink_to(ROOT / "assets")
        own = {"MINILLAMA_DATA": f"{folder}/data", "IPYTHONDIR": f"{folder}/ipython", "OMP_NUM_THREADS": "1"}
        own["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        notebook.cells = hidden + notebook.cells
        client = NotebookClient(notebook, kernel_name="python3", **PATIENT, resources={"metadata": {"path": beside}})
        there = {name: value for name, value in os.environ.items() if name != "MINILLAMA_STRICT"}
        try:
            client.execute(env=there | own, transport_encryption="auto")
        except CellExecutionError as error:
            raise RuntimeError(f"{path.relative_to(ROOT)} has a cell that fails:\n{error}") from None
    keep(path, notebook.cells[len(hidden) :])


def executed(path: Path) -> NotebookNode:
    """The notebook with its outputs; it is run if it was not, or if something has changed since."""
    if kept(path) is None:
        execute(path)
    return kept(path)


def execute_all(paths: Iterable[Path], say: Callable[[str], None] = print) -> None:
    """Two at a time: each has one thread."""
    todo = [path for path in paths if kept(path) is None]

    def run(path: Path) -> Path:
        execute(path)
        return path

    with ThreadPoolExecutor(2) as pool:
        for n, path in enumerate(pool.map(run, todo), start=1):
            say(f"executed {n} of {len(todo)}: {path.relative_to(ROOT)}")
