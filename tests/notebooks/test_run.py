"""Every notebook runs as under nbmake, with its stubs; in `make test-full` once more, graded, with the solutions filled
in.

Those that can show a real model run without it, as in a fresh clone: then they show what was recorded. Where it is,
they run with it too, and what it returns is what was recorded.

What a notebook showed is kept for `make book`, which then need not run it again.
"""

import ast
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import minillama
from book.execute import HIDE, REAL, keep
from minillama import course, recorded, smollm2
from minillama.check.report import Report
from minillama.words import translated
from tests.kernels import PATIENT
from tests.notebooks.conftest import NAMES, NOTEBOOKS

WITH_REAL = [name for name in NAMES if f'"{REAL}"' in (NOTEBOOKS / name).read_text(encoding="utf-8")]
OTHER = sorted(path for path in NOTEBOOKS.glob("*/*.ipynb") if ".ipynb_checkpoints" not in path.parts)  # languages
QUICK = (
    "00_start_here",
    "07_top_p",
    "12_chat",
)  # of these; the others run in test-full
COMPARE = "print(real.differences(drawn=('drawn_answers',)))"  # drawn: another processor may draw another text
TWICE = "07_top_p.ipynb"  # the one that `make test`, too, runs a second time, graded
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"


def swallowed_errors(notebook):
    """Errors that never reached a cell: ipywidgets keeps them in the state of an Output widget."""
    state = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    outputs = [output for model in state.values() for output in model["state"].get("outputs", ())]
    return [f"{output['ename']}: {output['evalue']}" for output in outputs if output["output_type"] == "error"]


def test_the_scan_finds_what_nbmake_does_not():
    source = "import ipywidgets as w\ndef f(x): raise ValueError('lost')\nw.interact(f, x=(0, 1))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, kernel_name="python3", **PATIENT).execute()
    assert swallowed_errors(notebook) == ["ValueError: lost"]


def with_solutions(notebook):
    """The notebook as of a learner who solved everything: every stub replaced by its solution."""
    solved = nbformat.from_dict(notebook)
    code = [cell for cell in solved.cells if cell.cell_type == "code"]
    for cell, following in zip(code, code[1:], strict=False):
        if "exercise" in cell.metadata.get("tags", ()):
            name = re.search(r"def my_(\w+)", cell.source).group(1)
            cell.source = re.sub(rf"\bsolution_{name}\b", f"my_{name}", following.source)
    return solved


def shown(cell):
    """What a cell printed and returned, as text, whoever's functions it ran; without addresses and free memory."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    text = re.sub(r"0x[0-9a-f]+|[0-9.]+ GiB free", "", "".join(texts))
    return text.replace("solution_", "my_")


def outline(cell):
    """Of a cell that shows timings: which kinds of output it has and how many lines, not what the clock said."""
    kinds = {kind for output in cell.outputs for kind in output.get("data", {output.output_type: ""})}
    return kinds, len(shown(cell).splitlines())


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a notebook lies: beside assets/."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    shutil.copytree(NOTEBOOKS.parent / "assets", tmp_path / "assets")
    (tmp_path / "notebooks").mkdir()
    return tmp_path / "notebooks"


def execute(cells, notebook, folder):
    """The cells in one kernel, each in its turn, and no error that a widget swallowed."""
    whole = nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata)
    NotebookClient(whole, **PATIENT, resources={"metadata": {"path": folder}}).execute()  # what nbmake calls
    assert [cell.execution_count for cell in whole.cells] == list(range(1, len(whole.cells) + 1))
    assert swallowed_errors(whole) == []
    return whole.cells


def run(notebook, folder, before=()):
    """The cells as they are, in one run. before: what runs before them, and is not returned."""
    hidden = [nbformat.v4.new_code_cell(source) for source in before]
    return execute(hidden + code_cells(notebook), notebook, folder)[len(hidden) :]


def run_twice(notebook, folder, before=()):
    """The cells as they are, then graded, with the solutions filled in: both in one kernel, so that every cell also
    runs again. Returns the cells of the first run. before: what runs before them."""
    as_it_is, solved = code_cells(notebook), code_cells(with_solutions(notebook))
    grade = "import os\nos.environ['MINILLAMA_STRICT'] = '1'"
    hidden, graded = (
        [nbformat.v4.new_code_cell(source) for source in sources]
        for sources in (before, (grade, *(cell.source for cell in solved)))
    )
    cells = execute(hidden + as_it_is + graded, notebook, folder)[len(hidden) :]
    first, second = cells[: len(as_it_is)], cells[len(as_it_is) + 1 :]
    for once, again in zip(first, second, strict=True):
        if "timed" in once.metadata.get("tags", ()):
            assert outline(once) == outline(again), once.source
        elif "check." not in once.source:  # a judge's report of a stub is another than of a solution
            assert shown(once) == shown(again), once.source
    return first


def ends_in_a_comparison(source):
    """Whether the last line asks if something is so: a == b, torch.equal(a, b), all(…)."""
    last = ast.parse(source).body[-1]
    value = last.value if isinstance(last, ast.Expr) else None
    asks = re.search(r"(?:^|\.)(?:equal|allclose|isclose|all|any|bool)\(", ast.unparse(value)) if value else None
    return isinstance(value, ast.Compare | ast.BoolOp) or (isinstance(value, ast.Call) and asks is not None)


def unfulfilled(cells, notebook):
    """Of the cells that were run those that compare and do not show True, though no text above them says False."""
    prose, said = "", {}
    for cell in notebook.cells:
        prose = cell.source if cell.cell_type == "markdown" else prose
        said[cell.id] = prose
    asked = [cell for cell in cells if ends_in_a_comparison(cell.source) and "False" not in said[cell.id]]
    return [cell.source for cell in asked if not shown(cell).rstrip().endswith("True")]


def test_a_comparison_that_is_not_true_is_found():
    def comparing(*sources, prose="These two are equal."):
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(prose), *cells])
        NotebookClient(notebook, kernel_name="python3").execute()
        return unfulfilled(code_cells(notebook), notebook)

    right, wrong = ("print(1)\n1 == 1", "all([True])", "1 in [1]"), ("print(1)\n1 == 2", "all([False])", "1 < 0")
    assert comparing(*right, *wrong, "2 - 1", "print(1 == 2)") == list(wrong)
    assert comparing(*wrong, prose="It ends in `False`.") == []


def about_a_real_model(cells):
    return [cell for cell in cells if REAL in cell.metadata.get("tags", ())]


def judge(cells, notebook, language="en"):
    """Without a real model its cells say how to get it, and every text is true of what is shown."""
    instead = translated(course.INSTEAD, language).partition("}")[2]
    for cell in about_a_real_model(cells):
        assert smollm2.HOW in shown(cell), cell.source
    assert not [cell.source for cell in cells if translated(recorded.CHANGED, language) in shown(cell)], "make record"
    assert not [cell.source for cell in cells if instead in shown(cell)]
    assert unfulfilled(cells, notebook) == []


def hidden_model(notebook):
    """What hides a real model that lies in the cache, before the cells."""
    return [HIDE] if about_a_real_model(notebook.cells) else []


@pytest.mark.parametrize("as_it_is", [name for name in NAMES if name != TWICE])
def test_runs(as_it_is, folder):
    """Without a real model, even where one lies in the cache."""
    notebook = nbformat.read(NOTEBOOKS / as_it_is, as_version=4)
    cells = run(notebook, folder, hidden_model(notebook))
    judge(cells, notebook)
    keep(NOTEBOOKS / as_it_is, cells)


@pytest.mark.parametrize(
    "graded", [name if name == TWICE else pytest.param(name, marks=pytest.mark.full) for name in NAMES]
)
def test_runs_again_and_passes_when_graded(graded, folder):
    notebook = nbformat.read(NOTEBOOKS / graded, as_version=4)
    cells = run_twice(notebook, folder, hidden_model(notebook))
    judge(cells, notebook)
    keep(NOTEBOOKS / graded, cells)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.full] * (path.stem not in QUICK)) for path in OTHER],
    ids=[f"{path.parent.name}/{path.stem}" for path in OTHER],
)
def test_runs_in_another_language(path, folder):
    """In its own folder, one deeper, as JupyterLab starts it; what it shows is in that language."""
    language = path.parent.name
    (folder / language).mkdir()
    notebook = nbformat.read(path, as_version=4)
    cells = run(notebook, folder / language, hidden_model(notebook))
    judge(cells, notebook, language)
    assert unattempted(cells, language) == stubs(cells) != []
    keep(path, cells)


def stubs(cells):
    return [cell.source for cell in cells if "exercise" in cell.metadata.get("tags", ())]


def unattempted(cells, language):
    """The stubs whose report says, in that language, that they are still to do."""
    before = minillama.language()
    minillama.language(language)
    found = [(source, re.search(r"def (my_\w+)", source)[1]) for source in stubs(cells)]
    heads = {source: Report(name, "not attempted").headline() for source, name in found}
    minillama.language(before)
    return [cell.source for cell in cells if cell.source in heads and heads[cell.source] in shown(cell)]


@pytest.mark.full
@pytest.mark.parametrize("with_real", WITH_REAL)
def test_runs_with_the_real_model(with_real, folder):
    if smollm2.find() is None:
        message = f"SmolLM2 is not there; get it with: {smollm2.HOW}"
        pytest.fail(message) if os.environ.get("MINILLAMA_REQUIRE_REAL") else pytest.skip(message)
    notebook = nbformat.read(NOTEBOOKS / with_real, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(COMPARE, id="compare-with-record"))
    first = run_twice(notebook, folder)
    assert about_a_real_model(first)
    for cell in first:
        assert smollm2.HOW not in shown(cell), cell.source
    assert shown(first[-1]).strip() == "[]", "try: make record, and read what it changed"


def test_nbmake(folder, monkeypatch):
    """As an instructor calls it."""
    shutil.copy(NOTEBOOKS / "00_start_here.ipynb", folder)
    monkeypatch.delenv("JUPYTER_PATH", raising=False)  # with the kernel that an instructor has
    command = [sys.executable, "-m", "pytest", "-q", "--nbmake", "notebooks"]
    run = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True)
    assert run.returncode == 0 and "1 passed" in run.stdout, run.stdout + run.stderr


def test_of_a_timed_cell_only_the_numbers_may_differ():
    def cell(text, **data):
        outputs = [nbformat.v4.new_output("stream", text=text)]
        return nbformat.v4.new_code_cell(outputs=outputs + [nbformat.v4.new_output("display_data", data)] * bool(data))

    assert outline(cell("3 ms\n4 ms\n")) == outline(cell("5 ms\n10 ms\n"))
    assert outline(cell("3 ms\n4 ms\n")) != outline(cell("3 ms\n")) != outline(cell("", **{"image/png": ""}))


def test_a_stub_fails_a_graded_run(monkeypatch):
    monkeypatch.setenv("MINILLAMA_STRICT", "1")
    notebook = nbformat.read(NOTEBOOKS / "07_top_p.ipynb", as_version=4)
    stub = next(cell for cell in notebook.cells if "exercise" in cell.metadata.get("tags", ()))
    notebook.cells = [nbformat.v4.new_code_cell("from minillama import check"), stub]
    try:
        NotebookClient(notebook, kernel_name="python3", **PATIENT).execute()
    except CellExecutionError:
        (error,) = (output for output in notebook.cells[-1].outputs if output.output_type == "error")
        line = "NotPassed: top_p: my_top_p: not attempted yet. Finish the function and run the cell again."
        assert error.traceback == [line], "one line, which names the exercise"
    else:
        raise AssertionError("an unattempted exercise passed a graded run")
