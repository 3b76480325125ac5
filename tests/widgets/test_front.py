"""The explorers' JavaScript as text, and the page without a kernel; what it does is seen in tests/browser."""

import json
import re

import pytest
import torch

from minillama.widgets import (
    AttentionExplorer,
    BeamView,
    CacheView,
    GenerateStepper,
    LogprobHeatmap,
    Predict,
    TemperatureExplorer,
    TopPExplorer,
    front,
)
from minillama.widgets.labels import EN

FILES = sorted(front.FRONT.iterdir())
HOSTILE = "</script><script>alert(1)</script><!--"
PROMPTS = ["Once upon a time", HOSTILE]
EXPLORERS = {  # and what makes one with hostile text in its data
    TopPExplorer: lambda llama: TopPExplorer(llama, PROMPTS),
    TemperatureExplorer: lambda llama: TemperatureExplorer(llama, PROMPTS),
    AttentionExplorer: lambda _: AttentionExplorer(PROMPTS, torch.tensor([[1.0, 0.0], [0.5, 0.5]]).expand(2, 3, 2, 2)),
    CacheView: lambda llama: CacheView(llama, HOSTILE),
    BeamView: lambda llama: BeamView(llama, PROMPTS, n_beams=2, max_gen_len=2),
    GenerateStepper: lambda llama: GenerateStepper(llama, PROMPTS),
    LogprobHeatmap: lambda llama: LogprobHeatmap(llama, PROMPTS),
    Predict: lambda _: Predict(HOSTILE, ["yes", HOSTILE], HOSTILE, HOSTILE),
}


@pytest.fixture(params=EXPLORERS, ids=lambda cls: cls.__name__)
def explorer(request, llama):
    return EXPLORERS[request.param](llama)


def test_every_file_belongs_to_an_explorer():
    explorers = {path for each in EXPLORERS for path in front.files(each.name, each.uses)}
    assert {*FILES} == explorers | {front.FRONT / "live.js"}  # of Live, in parts.py


def test_no_style_sheet_reaches_another_explorer():
    """All sheets of a page count for all of it, so a name that one explorer's own sheet styles is no other's."""

    def text(path):
        return re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)

    def names(selectors):
        return {*re.findall(r"\bfx-[a-z-]+", selectors)}

    common = names(text(front.FRONT / "style.css") + text(front.FRONT / "grid.css"))
    for one in EXPLORERS:
        own = {*front.files(one.name, one.uses)}
        sheet = "".join(text(path) for path in own if path.name == f"{one.name}.css")
        selectors = re.findall(r"[^{},]+(?=[,{])", re.sub(r"(?<=\{)[^{}]*(?=\})|@[^{]*", "", sheet))
        styled = {name for each in selectors if f".fx-{one.name}" not in each for name in names(each)} - common
        for path in {*FILES} - own:
            assert not styled & names(text(path)), (one.name, path.name, styled & names(text(path)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_are_short_and_plain(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 250 and max(map(len, lines)) <= 120
    code = "\n".join(re.sub(r"//.*", "", line) for line in lines)
    for never in ("import", "export", "require", "fetch", "eval", "XMLHttpRequest", "localStorage"):
        assert not re.search(rf"\b{never}\b", code), f"{path.name}: it must live alone, in any page"
    for never in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "</script"):
        assert never not in code, f"{path.name}: data must never become markup"


def test_the_module_has_one_export_and_no_import(explorer):
    text = front.module(front.source(explorer.name, explorer.uses))
    assert text == explorer._esm
    assert re.findall(r"^ *(?:import|export)\b.*", text, re.M) == ["export default { render };"]


def test_every_label_that_the_module_uses_is_sent(explorer):
    code = "".join((front.FRONT / f"{name}.js").read_text(encoding="utf-8") for name in (*explorer.uses, explorer.name))
    used = set(re.findall(r"\btext\.(\w+)", code))
    assert used and used <= explorer.data["text"].keys()
    assert explorer.data["text"].items() <= EN.items()


def test_the_page_holds_its_data_and_nothing_ends_its_script(explorer):
    page = explorer.page()
    assert (
        page.count("</script") == 1 and page.endswith("</script>") and "<!--" not in page and "alert(1)</" not in page
    )
    values = json.loads(re.search(r'^start\("\w+", (.*), render\);$', page, re.M)[1])
    assert values.keys() == {*explorer.trait_names(front=True)} and values.keys() >= {"data", "floats"}
    named = (values["data"].get(name, ()) for name in ("prompts", "pieces", "options"))
    assert HOSTILE in [values.get("prompt"), *values.get("prompts", ()), *(text for texts in named for text in texts)]
    assert explorer.still() in page and f'data-ml-still="{explorer.data["id"]}"' in page


def test_two_outputs_the_widget_and_what_stays(explorer):
    bundle = explorer._repr_mimebundle_()
    assert bundle.keys() == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}
    assert bundle["text/plain"] == repr(explorer) and len(repr(explorer)) < 100 and "\n" not in repr(explorer)
