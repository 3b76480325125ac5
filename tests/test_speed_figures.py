"""The figures of the notebook on speed."""

import pytest

from minillama import speed_plots


def test_shares_name_every_kind_with_its_part():
    ax = speed_plots.plot_shares({"matrices": 3.0, "the rest": 1.0}).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [3.0, 1.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["matrices", "the rest"]
    assert [text.get_text() for text in ax.texts] == ["3.00 ms, 75%", "1.00 ms, 25%"]
    assert ax.yaxis_inverted(), "the first is on top"


def test_shares_of_nothing():
    assert speed_plots.plot_shares({"matrices": 0.0}).axes[0].texts[0].get_text() == "0 ms"


def test_curves_are_told_apart_without_colour():
    curves = {"measured": [1.0, 2.0, 4.0], "computed": [1.0, 1.5, 2.0]}
    ax = speed_plots.plot_curves([1, 2, 4], curves, "MiB", "ms", log="x", marks={"the model": 3.0}).axes[0]
    assert list(ax.lines[0].get_ydata()) == curves["measured"]
    assert len({(repr(line._dash_pattern), line.get_marker()) for line in ax.lines}) == 3
    assert ax.get_xscale() == "log" and ax.get_yscale() == "linear" and ax.get_ylim()[0] == 0
    assert list(ax.lines[2].get_xdata()) == [3.0, 3.0]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    styles = [line.get_linestyle() for line in ax.get_legend().get_lines()]
    assert names == ["measured", "computed", "the model"] and styles == [line.get_linestyle() for line in ax.lines]


@pytest.mark.parametrize(("log", "scales"), [("", ("linear", "linear")), ("xy", ("log", "log"))])
def test_curves_have_the_axes_asked_for(log, scales):
    ax = speed_plots.plot_curves([1, 10], {"measured": [1, 100]}, "x", "y", log=log).axes[0]
    assert (ax.get_xscale(), ax.get_yscale()) == scales


def test_batch_shows_both_sides():
    throughput, latency = speed_plots.plot_batch([1, 4], [0.002, 0.004]).axes
    assert list(throughput.lines[0].get_ydata()) == pytest.approx([500, 1000])
    assert list(latency.lines[0].get_ydata()) == pytest.approx([2, 4])
    assert throughput.lines[0].get_marker() != latency.lines[0].get_marker()
