"""Source links and static figures."""

import pytest
import torch

from minillama import Llama, figures, plots, sample_top_p, steps
from minillama.links import REPOSITORY, meta_link, source_link


@pytest.mark.parametrize("obj", [sample_top_p, Llama, Llama.generate, Llama.generate_steps, steps])
def test_source_links_lead_to_the_definition(obj):
    link = source_link(obj)
    path, line = link.text.split(": ")[1].split(", line ")
    lines = (REPOSITORY / path).read_text().splitlines()[int(line) - 1 :]
    definition = next(each for each in lines if not each.strip().startswith("@"))
    assert definition.strip().startswith((f"def {obj.__name__}", f"class {obj.__name__}"))
    assert (REPOSITORY / "notebooks" / link.address).exists()
    assert link.address in link._repr_html_()


@pytest.mark.parametrize("obj, name", [
    (Llama.build, "Llama.build"), (Llama.generate, "Llama.generate"), (Llama, "Llama"), (sample_top_p, "sample_top_p"),
])  # fmt: skip
def test_a_source_link_has_the_name_that_a_caller_writes(obj, name):
    assert source_link(obj).text.startswith(f"{name}: minillama/")


def test_meta_link():
    assert meta_link("generation.py", "sample_top_p").address.endswith("/llama/generation.py")


@pytest.fixture
def no_cjk_font(monkeypatch):
    monkeypatch.setattr(figures, "find_cjk_font", lambda: None)


PROBS = torch.tensor([0.30, 0.10, 0.03, 0.50, 0.07])


def test_plot_nucleus_shows_the_nucleus():
    figure = plots.plot_nucleus(["a", "an", "that", "the", "this"], PROBS, 0.85)
    ax = figure.axes[0]
    heights = [bar.get_height() for bar in ax.patches[:5]]
    assert heights == pytest.approx([0.5, 0.3, 0.1, 0.07, 0.03])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["the", "a", "an", "this", "that"]
    assert [bar.get_hatch() for bar in ax.patches[:5]] == [None] * 3 + ["///"] * 2, "colour is not the only sign"


def test_plot_without_a_chinese_font_escapes(no_cjk_font):
    figure = plots.plot_nucleus(["天", "气", "晴", "▁a", "b"], PROBS, 0.85)
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert names == ["▁a", "\\u5929", "\\u6c14", "b", "\\u6674"]


def test_find_cjk_font_is_usable():
    name = figures.find_cjk_font()
    if name is None:
        pytest.skip("no Chinese font on this machine")
    assert name in {font.name for font in figures.font_manager.fontManager.ttflist}
