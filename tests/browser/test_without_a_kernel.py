"""What is left of the explorers in a notebook that was saved: with another kernel, without trust, as a page."""

import re

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

from tests.browser import jupyterlab

pytestmark = pytest.mark.browser

CELLS = [
    "from minillama import Llama, widgets\nllama = Llama.build()",
    "widgets.TopPExplorer(llama, ['The cat', 'A dog'])",
    "widgets.TemperatureExplorer(llama, ['The cat', 'A dog'])",
    "import torch\nwidgets.AttentionExplorer(['<s>', '▁The', '▁cat'], torch.ones(2, 2, 3, 3).tril() / 3, token=1)",
    "cache = widgets.CacheView(llama, 'The cat', max_gen_len=3)\ncache.call = 3\ncache",
    "widgets.BeamView(llama, ['The cat', 'A dog'], n_beams=2, max_gen_len=2)",
    "widgets.GenerateStepper(llama, ['The cat', 'A dog'], max_gen_len=3)",
    "widgets.LogprobHeatmap(llama, ['The cat', 'A dog'], max_gen_len=3)",
    "widgets.Predict('Which?', ['one', 'two'], 'two', 'It is the second.')",
    "widgets.TokenView(llama.tokenizer, 'The cat')",
    "from minillama import plots\nplots.plot_cache([(0, 2), (2, 3)], ['a', 'b', 'c'])",
]
PYTHON = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
VIEW = "application/vnd.jupyter.widget-view+json"
SAVE = "() => window.jupyterapp.commands.execute('docmanager:save').then(() => null)"
EXPLORERS = {  # and a part of each that a key moves, Home if it is not in KEYS
    "fx-top-p": ".s-top-p",
    "fx-temperature": ".s-temperature",
    "fx-attention": ".s-token [tabindex='0']",
    "fx-cache": ".s-call [tabindex='0']",
    "fx-beam": ".s-step [tabindex='0']",
    "fx-stepper": ".s-step [tabindex='0']",
    "fx-heatmap": ".fx-threshold >> nth=0",
    "fx-predict": "input >> nth=0",
}
KEYS = {"fx-stepper": ["End"], "fx-predict": ["1", "Enter"]}
STILLS = ["renormalised", "temperature 1", "looks most at", "forward(tokens[:, 4:5], 4)", "the prompt", "row 1",
          "perplexity"]  # fmt: skip


@pytest.fixture(scope="module")
def saved(page, lab):
    """A notebook with every explorer, run in JupyterLab and saved; its kernel is gone."""
    path = lab[0] / "notebooks" / "explorers.ipynb"
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": PYTHON}), path)
    jupyterlab.open_and_run(page, path.name)
    for name in EXPLORERS:
        expect(page.locator(f".{name}")).to_have_count(1)
    expect(page.locator("[data-ml-still]:visible")).to_have_count(0)
    page.evaluate(SAVE)
    jupyterlab.close_all(page)
    return path


@pytest.fixture
def reopen(page):
    def go(path):
        jupyterlab.open_notebook(page, path.name)

    yield go
    jupyterlab.close_all(page)


def scroll_to(page, k):
    """Bring the cell of an explorer into view: it is drawn only there."""
    page.locator(".jp-CodeCell").nth(k + 1).scroll_into_view_if_needed()


def moves(page, name):
    """Whether a key changes what an explorer shows."""
    explorer = page.locator(f".{name}")
    for _ in range(60):  # it starts as soon as its still is seen, and JupyterLab has no cell that is far away
        if explorer.count():
            break
        page.locator(".jp-WindowedPanel-outer").evaluate("node => node.scrollBy(0, 150)")
        page.wait_for_timeout(100)
    explorer.scroll_into_view_if_needed()
    before = explorer.inner_text()
    for key in KEYS.get(name, ["Home"]):
        explorer.locator(EXPLORERS[name]).press(key)
    return explorer.inner_text() != before


def test_with_another_kernel_it_still_moves(saved, page, reopen):
    reopen(saved)
    for name in EXPLORERS:
        assert moves(page, name)
    gone = page.locator(".jp-OutputArea-output", has_text=re.compile("Loading widget|Error displaying widget"))
    expect(gone).to_have_count(len(EXPLORERS) + 1)  # and TokenView
    expect(page.locator(".jp-OutputArea-output:visible")).to_have_count(len(EXPLORERS) + 2)  # and the figure
    expect(page.locator("[data-ml-view]")).to_contain_text("Run the notebook to change it.")
    expect(page.get_by_role("img", name="Grid of 2 calls of forward")).to_have_count(1)
    expect(page.locator(".ml-figure img")).to_be_hidden()


def test_where_scripts_may_not_run_the_still_is_seen(saved, page, reopen):
    """A notebook that somebody else has run: JupyterLab does not trust it, and takes scripts and styles away."""
    notebook = nbformat.read(saved, 4)
    notebook.cells.append(nbformat.v4.new_markdown_cell("changed"))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    for output in outputs:
        if "text/html" in output.data:
            output.data["text/html"] += "<i>changed</i>"  # so the signature does not fit
    path = saved.with_name("foreign.ipynb")
    nbformat.write(notebook, path)
    reopen(path)
    stills = page.locator("[data-ml-still], .jp-RenderedHTMLCommon:has(table)")
    expect(stills.first).to_be_visible()
    expect(page.locator(".fx")).to_have_count(0)
    for k, words in enumerate(STILLS):
        scroll_to(page, k)
        expect(page.locator(".jp-OutputArea table", has_text=words).first).to_be_visible()
    folded = page.locator("details", has_text="The answer is “two”. It is the second.")
    expect(folded.get_by_text("Choose an answer")).to_be_visible()
    assert not folded.evaluate("node => node.open")
    expect(page.locator(".ml-figure svg")).to_have_count(0)
    figure = page.get_by_role("img", name="Grid of 2 calls of forward")
    figure.scroll_into_view_if_needed()
    assert figure.evaluate("image => image.complete && image.naturalWidth") == 750


@pytest.mark.parametrize("with_state", [False, True])
def test_as_a_page_opened_as_a_file_it_moves(saved, browser, tmp_path, with_state):
    """Converted without running it again. A notebook may hold the state of its widgets: then the page wants scripts
    from elsewhere to show them, and without a network the still's own script is what works."""
    notebook = nbformat.read(saved, 4)
    models = [output.data[VIEW]["model_id"] for cell in notebook.cells for output in cell.get("outputs", ())
              if VIEW in output.get("data", ())]  # fmt: skip
    assert len(models) == len(EXPLORERS) + 1
    if with_state:
        model = {"model_name": "AnyModel", "model_module": "anywidget", "model_module_version": "~0.11.*", "state": {}}
        state = {"version_major": 2, "version_minor": 0, "state": dict.fromkeys(models, model)}
        notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": state}
    path = tmp_path / "page.html"
    path.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    assert (VIEW in path.read_text(encoding="utf-8")) == with_state
    page = browser.new_page()
    page.route("http*://**", lambda route: route.abort())  # offline
    page.goto(path.as_uri())
    for k, name in enumerate(EXPLORERS):
        page.locator("[data-ml-still]").nth(k).scroll_into_view_if_needed()
        expect(page.locator(f".{name}")).to_have_count(1)
        assert moves(page, name)
        expect(page.locator(f".{name}")).to_have_count(1)
    page.close()
