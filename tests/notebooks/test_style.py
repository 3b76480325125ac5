"""The form that every notebook of the course has; see CONTRIBUTING.md."""

import ast
import builtins
import json
import re
import statistics
import sys

import nbformat
import pytest

from tests.notebooks.conftest import NAMES, NOTEBOOKS
from tests.notebooks.contents import FILE, contents, last_cell
from tests.notebooks.minutes import STATED, minutes, words

TAGS = {"predict", "exercise", "solution", "assembled", "hide-input", "needs-cuda", "needs-real-model", "timed"}
LONGEST = {"assembled": 30, "solution": 20}


def tags(cell):
    return set(cell.metadata.get("tags", ()))


def code(notebook, *without):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and not tags(cell) & set(without)]


def prose(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def lines(cell):
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def test_code_cells_are_short(notebook):
    for cell in code(notebook):
        limit = max([LONGEST.get(tag, 12) for tag in tags(cell)], default=12)
        assert lines(cell) <= limit, cell.source
    assert statistics.median(lines(cell) for cell in code(notebook, "solution")) < 6
    assert len([cell for cell in code(notebook) if "assembled" in tags(cell)]) <= 1


def test_prose_cells_are_short(notebook):
    for text in prose(notebook):
        assert 15 <= words(text) <= 70, f"{words(text)} words: {text}"


@pytest.mark.parametrize(
    ("limit", "tags"),
    [(12, []), (12, ["hide-input"]), (12, ["exercise"]), (12, ["predict"]), (30, ["assembled"]), (20, ["solution"])],
)
def test_a_line_more_is_found(limit, tags):
    def with_lines(n):
        cells = [nbformat.v4.new_code_cell(source) for source in ("1\n\n" * n, "1", "1")]
        cells[0].metadata.tags = tags
        return nbformat.v4.new_notebook(cells=cells)

    test_code_cells_are_short(with_lines(limit))
    with pytest.raises(AssertionError):
        test_code_cells_are_short(with_lines(limit + 1))


@pytest.mark.parametrize(("allowed", "not_any_more"), [(70, 71), (15, 14)])
def test_a_word_more_or_less_is_found(allowed, not_any_more):
    def with_words(n):
        picture = "![a picture whose words do not count](../assets/x.svg)"
        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"{picture} {'word ' * n}")])

    test_prose_cells_are_short(with_words(allowed))
    with pytest.raises(AssertionError):
        test_prose_cells_are_short(with_words(not_any_more))


def test_a_code_cell_shows_something(notebook):
    for cell in code(notebook):
        last = ast.parse(cell.source).body[-1]
        shows = any(isinstance(node, ast.Expr) for node in ast.walk(last))
        assert isinstance(last, ast.Expr | ast.For | ast.With | ast.Try) and shows, cell.source


def test_ids_tags_and_outputs(notebook):
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9-]+", each) and not each.isdigit() for each in ids), "ids are names"
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        assert tags(cell) <= TAGS
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


def predictions(notebook):
    """Of each prediction the text that asks, or None, and of its cell the name, the question and the options."""
    above = None
    for cell in notebook.cells:
        if "predict" in tags(cell) and cell.cell_type == "code":
            (call,) = [node.value for node in ast.parse(cell.source).body if isinstance(node, ast.Assign)]
            question, options, answer = call.args
            near = (
                next(c for c in notebook.cells if "TOO_CLOSE =" in c.source).source
                if "TOO_CLOSE" in cell.source
                else ""
            )
            too_close = re.findall(r'^TOO_CLOSE = "(.*)"', near, re.M)
            options = [each.value if isinstance(each, ast.Constant) else too_close[0] for each in options.elts]
            yield above, cell, ast.unparse(call.func), question.value, options, answer.id
        above = cell


def unasked(notebook):
    """The predictions whose question and options do not stand, word for word, in a text of their own right above."""
    for above, cell, call, question, options, answer in predictions(notebook):
        listed = "\n".join(f"{k}. {option}" for k, option in enumerate(options, 1))
        asked = above is not None and above.cell_type == "markdown" and "predict" in tags(above)
        folded = cell.metadata.get("jupyter", {}).get("source_hidden") and f"def {answer}()" in cell.source
        same = asked and above.source.replace("`", "") == f"**Predict.** {question}\n\n{listed}"
        if not (same and folded and call == "widgets.Predict" and 2 <= len(options) <= 5):
            yield question


def test_predictions_are_asked_in_a_text_and_answered_by_a_folded_function(notebook):
    assert len(list(predictions(notebook))) >= 2
    assert list(unasked(notebook)) == []
    for cell in code(notebook):
        assert ".reveal(" not in cell.source, "the button reveals"


def test_a_prediction_that_is_not_asked_is_found():
    def asking(text, source, folded=True):
        ask = nbformat.v4.new_markdown_cell(text, metadata={"tags": ["predict"]})
        cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["predict"], "jupyter": {"source_hidden": folded}})
        return list(unasked(nbformat.v4.new_notebook(cells=[ask, cell])))

    text = "**Predict.** What is `x`?\n\n1. 3\n2. `4`"
    source = 'def _answer():\n    return 3, ""\n\n\np = widgets.Predict("What is x?", ["3", "4"], _answer)\np'
    assert asking(text, source) == []
    assert asking(text, source, folded=False) == asking(text.replace("4", "5"), source) == ["What is x?"]
    assert asking(text.replace("What", "Which"), source) == asking(text, source.replace('"3", ', "")) == ["What is x?"]


def names_in(source):
    """What a code cell imports, defines or assigns."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def modules_missing(notebook):
    """Modules that the text of an exercise mentions, as in `torch.argmax`, and that no cell above it has imported."""
    known, text, modules = set(dir(builtins)), "", {*sys.stdlib_module_names, "torch", "numpy"}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text += cell.source
            continue
        if "exercise" in tags(cell):
            mentioned = {root for code in re.findall(r"`([^`]+)`", text) for root in re.findall(r"\b(\w+)\.\w", code)}
            yield from sorted(mentioned & modules - known)
        known.update(names_in(cell.source))
        text = ""


def test_an_exercise_mentions_only_modules_that_are_imported(notebook):
    assert list(modules_missing(notebook)) == []


def test_a_module_that_was_not_imported_is_found():
    exercise = nbformat.v4.new_code_cell("def my_best(x):\n    ...", metadata={"tags": ["exercise"]})
    text = nbformat.v4.new_markdown_cell("`torch.argmax(x)` helps, or `x.argmax()`; `math.pi` does not.")
    before = nbformat.v4.new_code_cell("import math")
    assert list(modules_missing(nbformat.v4.new_notebook(cells=[before, text, exercise]))) == ["torch"]
    assert list(modules_missing(nbformat.v4.new_notebook(cells=[text, before, exercise]))) == []


def test_exercises_are_stubs_with_a_folded_solution_below(notebook, name):
    cells = code(notebook)
    exercises = [k for k, cell in enumerate(cells) if "exercise" in tags(cell)]
    assert len(exercises) >= 2
    for k in exercises:
        function = re.search(r"def my_(\w+)", cells[k].source).group(1)
        assert re.search(r"raise NotImplementedError\n", cells[k].source)
        assert re.search(rf"^check\.\w+\(my_{function}\)$", cells[k].source, re.M)
        solution = cells[k + 1]
        assert "solution" in tags(solution) and solution.metadata.jupyter.source_hidden
        assert re.search(rf"^check\.\w+\(solution_{function}\)$", solution.source, re.M)


def test_skeleton(notebook, name):
    text = prose(notebook)
    assert text[0].startswith(f"# {name[:2]} · ") and "minutes" in text[0] and "You will be able to" in text[0]
    assert len(re.findall(r"^- ", text[0], re.M)) <= 3
    summary = [cell for cell in text if cell.startswith("## In three lines")]
    assert len(summary) == 1 and len(re.findall(r"^- ", summary[0], re.M)) == 3


def test_the_last_cell_shows_progress(notebook, name):
    assert notebook.cells[-1].source == last_cell(name), "python -m tests.notebooks.contents puts it there"


def test_the_package_knows_every_exercise_and_prediction():
    written, found = json.loads(FILE.read_text(encoding="utf-8")), contents()
    assert written == found and list(written) == list(found), "python -m tests.notebooks.contents writes it"
    exercises = [name for parts in found.values() for name in parts["exercises"]]
    assert len(set(exercises)) == len(exercises) and all(len(parts["exercises"]) >= 2 for parts in found.values())


def test_stated_minutes_follow_the_rule(notebook):
    (stated,) = STATED.findall(prose(notebook)[0]) or ["none"]
    expected = f"expected {minutes(notebook)} minutes; python -m tests.notebooks.minutes writes them"
    assert stated == str(minutes(notebook)), f"states {stated}, {expected}"


def test_the_rule_of_minutes():
    def cells(tag, n):
        return [nbformat.v4.new_code_cell("1", metadata={"tags": tag}) for _ in range(n)]

    def rule(*cells):
        return minutes(nbformat.v4.new_notebook(cells=cells))

    text = nbformat.v4.new_markdown_cell("![a picture](x.svg) [word](y.md) " + "word " * 1499)
    assert rule(text) == 10
    assert rule(text, *cells(["predict"], 10)) == 15
    assert rule(text, *cells(["exercise"], 5), *cells(["solution"], 5)) == 40


def test_pictures_have_alt_text_and_links_lead_somewhere(notebook):
    for text in prose(notebook):
        assert "<img" not in text, "markdown pictures only: they need alt text"
        for sign, label, target in re.findall(r"(!?)\[([^]]*)\]\(([^)#]*)(?:#[^)]*)?\)", text):
            if sign:
                assert len(label) > 20, f"no alt text for {target}"
                assert len(label.split()) <= 30, f"too long to listen to: {label}"
                assert not target.startswith("http"), "pictures lie in assets/"
            if not target.startswith("http"):
                assert (NOTEBOOKS / target).exists(), f"{target} is not there"


def test_no_typed_line_numbers(notebook):
    for text in prose(notebook):
        assert not re.search(r"\.py[:#]L?\d|line \d", text)


def test_a_prediction_that_a_clock_answers_may_be_too_close_to_tell(notebook):
    """Noise must not flip it: near a border between two answers the answer is that nobody can tell."""
    for cell in code(notebook):
        if {"predict", "timed"} <= tags(cell):
            assert re.search(r"\boutcome\(|\breturn TOO_CLOSE\b", cell.source), cell.source
            assert re.search(r"widgets\.Predict\(.*TOO_CLOSE", cell.source, re.S), cell.source


ROOT = NOTEBOOKS.parent
NAMED = re.compile(r"\b\d\d_[a-z][a-z_]*(?:\.ipynb)?\b")  # 07_top_p.ipynb, or without its ending
NUMBERED = re.compile(r"\b[Nn]otebooks? ((?:\d+)(?:(?:,| and| to|–) ?\d+)*)")  # notebook 07; notebooks 14 and 15


def gone(text):
    """The notebooks that a text names, by file or by number, and that do not exist."""
    files = [found for found in NAMED.findall(text) if f"{found.removesuffix('.ipynb')}.ipynb" not in NAMES]
    numbers = [n for found in NUMBERED.findall(text) for n in re.findall(r"\d+", found)]
    return files + [f"notebook {n}" for n in numbers if int(n) >= len(NAMES)]


def test_a_notebook_that_is_gone_is_found():
    assert gone("see [14](07_top_p.ipynb), `09_generate_loop`, notebook 3 and notebooks 14 and 15") == []
    assert gone("[14](14_speed.ipynb), 15_real_models") == ["14_speed.ipynb", "15_real_models"]
    assert gone("Notebook 99, notebooks 3 and 98") == ["notebook 99", "notebook 98"]


FILES = ("README.md", "README.zh.md", "CONTRIBUTING.md", "Makefile", "environment.yml", "pyproject.toml")
MADE_UP = ("test_style.py", "test_tool.py")  # names of notebooks that were never there
TEXTS = [ROOT / name for name in FILES] + [
    path
    for folder in ("assets", "benchmarks", "docs", "minillama", "notebooks", "tests", "training")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".md", ".ipynb", ".svg") and "runs" not in path.parts and path.name not in MADE_UP
]


def test_no_text_names_a_notebook_that_is_gone():
    found = {str(path.relative_to(ROOT)): gone(path.read_text(encoding="utf-8")) for path in TEXTS}
    assert {path: names for path, names in found.items() if names} == {}
    assert len(TEXTS) > 200


def test_notebooks_15_and_18_have_the_clock_of_14():
    """They show it folded: who reads them has built it in 14."""
    functions = []
    for number in ("14", "15", "18"):
        (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        nodes = [node for cell in cells for node in ast.parse(cell.source).body if isinstance(node, ast.FunctionDef)]
        functions.append({node.name.replace("solution_in_turns", "in_turns"): ast.unparse(node) for node in nodes})
    for name in ("in_turns", "outcome"):
        assert functions[0][name].replace("solution_", "") == functions[1][name] == functions[2][name]


@pytest.mark.skipif(len(NAMES) < 2, reason="one notebook")
def test_numbers_are_unique():
    numbers = [name[:2] for name in NAMES]
    assert len(set(numbers)) == len(numbers) and all(number.isdigit() for number in numbers)
