"""Every text that a figure is given is drawn literally: not as mathematics, not as empty boxes, and never left out."""

import warnings

import pytest
import torch
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from minillama import figures, plots, speed_plots

HOSTILE = {
    "empty mathematics": "$$",
    "broken mathematics": r"$\x$",
    "escaped mathematics": r"\$y\$",
    "a backslash": "\\",
    "scripts": "_^{",
    "a name that a legend skips": "_nolegend_",
    "markup": "<b>",
    "a lone combining mark": "\u0301",
    "control characters": "\x07\n",
    "half a character": "\ud83e",
    "an emoji": "🦙",
    "a Chinese character": "猫",
    "no character": "",
    "1,000 characters": "1$" * 500,
}
COSTS = [1e6, 2e6, 3e6]
ONE_ROW = [torch.tensor([value]) for value in (True, 1, 2)]


def probs(n):
    return torch.arange(n, 0, -1).float().softmax(0)


FIGURES = {  # how many names one figure takes, and the figure
    "nucleus": (14, lambda names: plots.plot_nucleus(names, probs(len(names)), 0.85, n_bars=14)),
    "rotation": (14, lambda names: plots.plot_rotation(torch.ones(2, 2, dtype=torch.complex64), [0, 1])),
    "attention": (14, lambda names: plots.plot_attention(names, torch.eye(len(names)))),
    "attention, title": (1, lambda names: plots.plot_attention(["a"] * 9, torch.eye(9), title=names[0])),
    "temperatures": (7, lambda names: plots.plot_temperatures(names, probs(len(names)), (0.5, 1.0), n_tokens=7)),
    "entropy": (14, lambda names: plots.plot_entropy({name: probs(3) for name in names})),
    "cache": (14, lambda names: plots.plot_cache([(0, 2), (2, 3)], names)),
    "token_cost": (2, lambda names: plots.plot_token_cost([1, 2, 3], *[dict.fromkeys(names, COSTS)] * 2)),
    "where": (14, lambda names: plots.plot_where(*(x.expand(len(names)) for x in ONE_ROW), names)),
    "calibration": (14, lambda names: plots.plot_calibration({name: [(0.5, 0.4)] for name in names})),
    "rank_memory": (2, lambda names: speed_plots.plot_rank_memory({name: {1: (2e9, 1e9)} for name in names}, [24e9])),
    "curves": (4, lambda names: speed_plots.plot_curves([1, 2, 3], dict.fromkeys(names, COSTS), "x", "y", "xy")),
    "curves, axes": (1, lambda names: speed_plots.plot_curves([1, 2, 3], {"a": COSTS}, names[0], names[0])),
    "curves, marks": (14, lambda names: speed_plots.plot_curves([1, 2], {}, "x", "y", marks=dict.fromkeys(names, 1))),
    "batch": (14, lambda names: speed_plots.plot_batch([1, 2], [0.1, 0.2])),
}
WITHOUT_NAMES = {"rotation", "batch"}


def drawn(figure):
    """Every text of a figure that somebody sees: {text: whether it is mathematics}."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a glyph that no font has, of axes without room
        FigureCanvasAgg(figure).draw()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    mathematics = {text.get_text() for text in texts if text.get_parse_math()}
    return {text.get_text(): text.get_text() in mathematics for text in texts}


def test_every_figure_is_here():
    names = {name for module in (plots, speed_plots) for name in vars(module) if name.startswith("plot_")}
    assert names == {f"plot_{name.split(',')[0]}" for name in FIGURES}


@pytest.mark.full
@pytest.mark.parametrize("figure", FIGURES)
def test_hostile_names_are_drawn_as_they_are(figure):
    most, draw = FIGURES[figure]
    names = list(HOSTILE.values())
    for first in range(0, len(names), most):
        texts = drawn(draw(names[first : first + most]))
        assert not any(text.startswith("_child") for text in texts), "a name that matplotlib made up"
        for place, name in enumerate(names[first : first + most] if figure not in WITHOUT_NAMES else []):
            shown = [figures.literal(name, longest) for longest in (24, 40, 60)]
            shown += [f"{place} {each}" for each in shown]  # as on the ticks of plot_cache
            found = [texts[each] for each in shown if each in texts]
            assert not name or (found and not any(found)), f"{name!r} is mathematics, or not in {list(texts)}"


def test_literal():
    assert figures.literal("$x$ _^{<b>\\") == "$x$ _^{<b>\\"
    assert figures.literal("\x07\n\u200b\ud83e🦙") == r"\x07\n\u200b\ud83e\U0001f999"
    assert figures.literal("\u0301") == "\u0301" and figures.literal("") == ""
    assert figures.literal("1" * 60) == "1" * 60 and figures.literal("1" * 61) == "1" * 60 + "…"
    assert figures.literal("a\n\n", longest=3) == r"a\n…"


def test_literal_without_a_chinese_font(monkeypatch):
    monkeypatch.setattr(figures, "find_cjk_font", lambda: None)
    assert figures.literal("▁猫é") == r"▁\u732bé"
    assert "\\u732b" in drawn(plots.plot_attention(["猫", "▁a"] * 5, torch.eye(10)))


def test_a_logarithmic_axis_keeps_its_powers():
    figure = plots.plot_calibration({"$": [(0.5, 0.4)]})
    figure._repr_html_()  # makes the ticks
    texts = drawn(figure)
    assert any("10^" in text and is_mathematics for text, is_mathematics in texts.items())


def test_pyplot_does_not_know_a_figure_and_its_settings_end_with_it():
    before, open_before = dict(pyplot.rcParams), pyplot.get_fignums()  # other tests' figures
    plots.plot_entropy({"$": probs(3)})
    with pytest.raises(ValueError, match="pieces must be as long as probs"):
        plots.plot_nucleus([], probs(3), 0.9)
    with pytest.raises(ZeroDivisionError), figures.new_figure(figsize=(1, 1)):
        raise ZeroDivisionError
    assert pyplot.get_fignums() == open_before and dict(pyplot.rcParams) == before
