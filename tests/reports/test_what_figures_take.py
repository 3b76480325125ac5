"""Widgets, show_* functions, figures and links: whatever is passed for any of their arguments is drawn, or is a
TypeError or ValueError that names the argument in a line that can be read."""

import inspect
import math

import numpy as np
import pytest
import torch

from minillama import plots, speed_plots, widgets
from tests.shown import calls

WRONG = [
    None, 5, -1, 10**5000, 1.5, math.nan, math.inf, "x", "", b"ab", True, [], [5], ["a", 5], {}, {"a": 1},
    torch.tensor([1.0]), torch.tensor(2), object(), np.int64(2), (), "\ud800", [None], torch.ones(2, 2), 1j, "$$",
]  # fmt: skip
OTHER_NAMES = {"prompt_tokens": "prompt_tokens", "prompts": "prompt", "dialog": "message"}


@pytest.fixture(scope="module")
def right(checkpoint):
    return calls(checkpoint)


NAMES = [
    *(name for name in widgets.__all__),
    *(f"plot_{name}" for name in "nucleus rotation attention temperatures entropy cache token_cost where".split()),
    *(f"plot_{name}" for name in "calibration rank_memory curves batch".split()),
    *("bars", "timeline", "TopPExplorer.sample", "source_link", "meta_link", "Flowchart"),
]


@pytest.mark.parametrize("name", NAMES)
def test_each_argument_is_judged(right, name, monkeypatch):
    function, given = right[name]
    function(**given)
    if name.startswith("plot_"):  # what is drawn costs a tenth of a second: here it is enough that something is
        monkeypatch.setattr("minillama.plots.new_figure", drawn)
        monkeypatch.setattr("minillama.speed_plots.new_figure", drawn)
    for argument in given:
        for k, value in enumerate(WRONG):
            try:
                function(**{**given, argument: value})
            except Drawn:
                pass
            except (TypeError, ValueError) as error:
                found = str(error)
                assert type(error) in (TypeError, ValueError)
                assert argument in found[:120] or OTHER_NAMES.get(argument, "?") in found, (argument, k, found)
                assert len(found) < 600, (argument, k)


class Drawn(Exception):
    pass


def drawn(*_, **__):
    raise Drawn


def test_nothing_is_left_out(right):
    assert {*right} == {*NAMES}
    for module in (plots, speed_plots):
        assert {name for name in dir(module) if name.startswith("plot_")} <= {*NAMES}


def test_signatures_still_show_every_argument():
    assert [*inspect.signature(widgets.TopPExplorer).parameters][:2] == ["llama", "prompts"]
    assert inspect.signature(plots.plot_nucleus).parameters["n_bars"].default == 12
    assert inspect.getsourcefile(inspect.unwrap(plots.plot_nucleus)) == plots.__file__
