"""The figure of the notebook on many ranks, and the drawing of a network on two of them."""

import re

import pytest

from minillama import speed_plots
from minillama.links import REPOSITORY

GIB = 2**30
MEMORY = {"7B": {1: (12 * GIB, 16 * GIB), 2: (6 * GIB, 8 * GIB)}, "13B": {1: (24 * GIB, 25 * GIB)}}


def test_each_rank_is_a_bar_of_weights_with_its_cache_on_top():
    figure = speed_plots.plot_rank_memory(MEMORY, gpus=[24 * GIB, 80 * GIB])
    assert [ax.get_title() for ax in figure.axes] == ["7B", "13B"]
    ax = figure.axes[0]
    weights, cache = ax.patches[:2], ax.patches[2:]
    assert [bar.get_height() for bar in weights] == pytest.approx([12, 6])
    assert [bar.get_y() for bar in cache] == pytest.approx([12, 6]), "on top of the weights"
    assert [bar.get_height() for bar in cache] == pytest.approx([16, 8])
    assert {bar.get_hatch() for bar in cache} == {"///"} and {bar.get_hatch() for bar in weights} == {None}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2"]
    assert ax.get_xlabel() == "ranks" and "GiB" in ax.get_ylabel()


def test_each_gpu_is_a_line_of_its_own():
    for ax in speed_plots.plot_rank_memory(MEMORY, gpus=[24 * GIB, 80 * GIB]).axes:
        assert [line.get_ydata()[0] for line in ax.lines] == [24, 80]
        assert len({line.get_linestyle() for line in ax.lines}) == 2, "colour is not the only sign"
        assert ax.get_ylim()[1] > 80


def test_the_drawing_has_every_matrix_twice_and_one_exchange():
    drawn = (REPOSITORY / "assets" / "two-ranks.svg").read_text(encoding="utf-8")
    assert len(re.findall(">all_reduce<", drawn)) == 1
    assert [len(re.findall(f">{name}<", drawn)) for name in ("w1", "w3", "w2")] == [2, 2, 2]
