"""What the book makes of a notebook: once executed, then a page whose links, ids and outputs need no kernel."""

import re
import subprocess
import sys

import nbformat
import pytest

from book import __main__ as command
from book import execute, pages
from book.execute import NOTEBOOKS, ROOT
from book.words import WORDS
from minillama import check
from minillama.markup import STYLE
from minillama.words import LANGUAGES
from tests.kernels import PATIENT

FOLDER = {"en": "notebooks", "zh": "notebooks/zh"}


def output(**data):
    kinds = {"html": "text/html", "plain": "text/plain", "view": pages.WIDGET}
    return nbformat.v4.new_output("display_data", {kinds[key]: value for key, value in data.items()})


# ---- links


@pytest.mark.parametrize("address, language, there", [
    ("07_top_p.ipynb", "en", "07_top_p.html"),
    ("07_top_p.ipynb#sort", "zh", "07_top_p.html#sort"),
    ("zh/07_top_p.ipynb#sort", "en", "../zh/07_top_p.html#sort"),
    ("../07_top_p.ipynb", "zh", "../en/07_top_p.html"),
    ("../minillama/widgets/front.py", "en", "source/minillama/widgets/front.html"),
    ("../../minillama/model.py", "zh", "source/minillama/model.html"),
    ("../../README.md#the-course", "zh", "index.html"),
    ("../docs/instructors.md", "en", "instructors.html"),
    ("../pyproject.toml", "en", None),
    ("../training/corpus.py", "en", None),
    ("https://arxiv.org/abs/1904.09751", "en", "https://arxiv.org/abs/1904.09751"),
    ("#summary", "en", "#summary"),
])  # fmt: skip
def test_where_a_link_leads(address, language, there):
    assert pages.target(address, FOLDER[language], language) == there


def test_links_of_a_text():
    text = "[`f[0]`, b](07_top_p.ipynb#sort), [the map](../README.md#x), [c](../Makefile).\n\n```\n[d](e.ipynb)\n```"
    made = "[`f[0]`, b](07_top_p.html#sort), [the map](index.html), c.\n\n```\n[d](e.ipynb)\n```"
    assert pages.linked(text, "notebooks", "en") == made
    assert pages.linked("![A [1] b.](../../assets/zh/x.svg)", "notebooks/zh", "zh") == "![A [1] b.](assets/zh/x.svg)"


def test_links_of_an_output():
    page = (
        '<p><a class="x" href="../minillama/model.py">Transformer: minillama/model.py, line 12</a> <a href="../x">y</a>'
    )
    made = '<p><a class="x" href="source/minillama/model.html#L-12">Transformer: minillama/model.py, line 12</a> y'
    assert pages.linked_html(page, "notebooks", "en") == made
    chinese = '<a href="../../minillama/model.py">Norm：minillama/model.py，第 12 行</a>'
    assert 'href="source/minillama/model.html#L-12"' in pages.linked_html(chinese, "notebooks/zh", "zh")
    assert pages.linked_html("<a href='07_top_p.ipynb'>7</a>", "notebooks", "en") == '<a href="07_top_p.html">7</a>'
    svg = '<svg><a href="zh/07_top_p.ipynb" tabindex="0"><text>7</text></a></svg>'
    assert pages.linked_html(svg, "notebooks", "en") == svg.replace("zh/07_top_p.ipynb", "../zh/07_top_p.html")


# ---- outputs


def test_of_a_widget_the_output_stays_that_needs_no_kernel():
    assert pages.shown(output(view={"model_id": "1"}, html=""), "notebooks", "en") is None
    stays = pages.shown(output(html=f"{STYLE}<b>1</b>{STYLE}", plain="one"), "notebooks", "en")
    assert stays.data == {"text/html": "<b>1</b>"}
    assert pages.shown(output(plain="one"), "notebooks", "en").data == {"text/plain": "one"}


def test_of_a_figure_the_svg_stays():
    image = '<img alt="a" width="3" src="data:image/png;base64,AA/+=">'
    figure = pages.shown(output(html=f'<div class="ml ml-figure"><svg></svg>{image}</div>'), "notebooks", "en")
    assert figure.data == {"text/html": '<div class="ml ml-figure"><svg></svg></div>'}
    assert pages.shown(output(html=image), "notebooks", "en").data == {"text/html": image}


# ---- cells


def test_marks_of_a_text():
    assert pages.marked("## A\n\nb", "c") == "## A\n\n% section: c\n\nb"
    assert pages.marked("## A", "c") == "## A\n\n% section: c\n\n"
    assert pages.marked("b\n\n## A", "c") == "% cell: c\n\nb\n\n## A"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_folded(language):
    say = WORDS[language]
    hidden = {"jupyter": {"source_hidden": True}}
    for name, metadata, tag, title in (
        ("setup", hidden | {"tags": ["hide-input"]}, ["hide-input"], say["setup"]),
        ("links-code", hidden | {"tags": ["hide-input"]}, ["hide-input"], say["code"]),
        ("predict-x", hidden | {"tags": ["predict"]}, ["predict", "hide-input"], say["predict"]),
        ("solution-x", hidden | {"tags": ["solution"]}, ["solution", "hide-cell"], say["solution"]),
        ("code", {"tags": ["assembled"]}, ["assembled"], None),
    ):
        cell = nbformat.v4.new_code_cell("1", metadata=metadata, id=name)
        made = pages.folded(cell, language)
        assert (made["cell"], made["tags"]) == (name, tag)
        assert made.get("mystnb", {}).get("code_prompt_show") == title


def test_every_language_has_the_same_words():
    english = WORDS["en"]
    assert set(WORDS) == set(LANGUAGES)
    for language in LANGUAGES:
        assert WORDS[language].keys() == english.keys()
        assert {"{path}", "{function}"} == set(re.findall(r"\{\w+\}", WORDS[language]["home"]))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_whole_notebook(language):
    """Every cell, in its order, with its id; below a stub the cases of its judge."""
    path = f"{FOLDER[language]}/07_top_p.ipynb"
    notebook = nbformat.read(ROOT / path, as_version=4)
    notebook.metadata["widgets"] = {"x": 1}
    made = pages.page(notebook, path, language)
    assert "widgets" not in made.metadata
    assert [cell.id for cell in made.cells] == [cell.id for cell in notebook.cells]
    for cell in made.cells:
        if cell.cell_type == "markdown":
            assert len(re.findall(rf"^% (?:cell|section): {cell.id}$", cell.source, re.M)) == 1
        else:
            assert cell.metadata["cell"] == cell.id
    (stub,) = (cell for cell in made.cells if cell.id == "exercise-top-p")
    below = stub.outputs[-1].data["text/html"]
    assert below.count("<li>") == len(check.top_p.exercise.cases) and path in below and "my_top_p" in below


# ---- execution


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A repository of one notebook, which draws a number."""
    for folder in ("notebooks/zh", "minillama/locale", "assets"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "minillama" / "model.py").write_text("a = 1")
    (tmp_path / "minillama" / "locale" / "zh.json").write_text("{}")
    for name, value in {"ROOT": tmp_path, "NOTEBOOKS": tmp_path / "notebooks", "KEPT": tmp_path / "kept"}.items():
        monkeypatch.setattr(execute, name, value)
    execute.surroundings.cache_clear()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import random\nrandom.random()", id="draw")])
    for path in (tmp_path / "notebooks" / "00.ipynb", tmp_path / "notebooks" / "zh" / "00.ipynb"):
        nbformat.write(notebook, path)
    yield tmp_path / "notebooks" / "00.ipynb"
    execute.surroundings.cache_clear()


def places(path):
    execute.surroundings.cache_clear()
    return execute.place(path), execute.place(path.parent / "zh" / path.name)


def test_what_an_executed_notebook_depends_on(course):
    first = places(course)
    assert first[0] != first[1] and places(course) == first
    (execute.ROOT / "minillama" / "__pycache__").mkdir()
    (execute.ROOT / "minillama" / "__pycache__" / "model.pyc").write_text("x")
    assert places(course) == first
    (execute.ROOT / "minillama" / "locale" / "zh.json").write_text("{ }")
    assert [a == b for a, b in zip(places(course), first, strict=True)] == [True, False], "English does not read it"
    for change in (execute.ROOT / "assets" / "new.svg", execute.ROOT / "minillama" / "model.py", course):
        before = places(course)[0]
        change.write_text("a = 2")
        assert places(course)[0] != before


def test_a_notebook_is_executed_once(course, kernels, monkeypatch):
    monkeypatch.setattr(execute, "PATIENT", PATIENT)
    said = []
    for _ in range(2):
        execute.execute_all([course], said.append)
    assert said == ["executed 1 of 1: notebooks/00.ipynb"]
    first = execute.executed(course).cells[0].outputs[0].data["text/plain"]
    assert execute.executed(course).cells[0].outputs[0].data["text/plain"] == first
    course.write_text(course.read_text().replace("random.random()", "random.nothing"))
    with pytest.raises(RuntimeError, match=r"(?s)notebooks/00.ipynb has a cell that fails.*random\.nothing"):
        execute.execute_all([course])
    assert execute.kept(course) is None, "what failed is not kept"


def test_what_a_test_has_executed_is_kept(course):
    cell = nbformat.v4.new_code_cell(id="draw", outputs=[output(plain="7")], execution_count=1)
    execute.keep(course, [cell])
    assert execute.executed(course).cells[0].outputs == [output(plain="7")]
    assert [path.suffix for path in execute.KEPT.iterdir()] == [".ipynb"]
    other = course.parent / "zh" / course.name
    execute.keep(other, [cell])
    execute.forget_all_but([course])
    assert execute.kept(course) is not None and execute.kept(other) is None


# ---- the command


def test_without_its_extra_the_command_says_what_is_missing(monkeypatch):
    here = "import runpy, sys\nsys.modules['furo'] = None\nsys.argv = ['book']\n"
    lacking = [sys.executable, "-c", f"{here}runpy.run_module('book', run_name='__main__')"]
    run = subprocess.run(lacking, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr == "The book needs furo. To get them and build it: make book\n"
    monkeypatch.setattr(sys, "version_info", (3, 10, 12))
    assert command.missing().startswith("The book needs Python 3.11 or newer")


def test_all_notebooks_of_a_language_are_in_the_book():
    build = pytest.importorskip("book.build")
    for language, folder in FOLDER.items():
        assert build.notebooks(language) == sorted((NOTEBOOKS.parent / folder).glob("*.ipynb"))
        assert [path.name[:2] for path in build.notebooks(language, ["07", "12"])] == ["07", "12"]
