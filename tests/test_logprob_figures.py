"""The static figure of notebook 10."""

import pytest

from minillama import plots

POINTS = {"English": [(0.5, 0.4), (0.03, 0.002)], "中文 $": [(0.1, 0.1)]}


def test_calibration_points_and_the_diagonal():
    ax = plots.plot_calibration(POINTS).axes[0]
    english, chinese, diagonal, half, double = ax.lines
    assert list(zip(english.get_xdata(), english.get_ydata(), strict=True)) == POINTS["English"]
    assert list(zip(chinese.get_xdata(), chinese.get_ydata(), strict=True)) == POINTS["中文 $"]
    assert english.get_marker() != chinese.get_marker(), "colour is not the only sign"
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())
    assert list(half.get_ydata()) == pytest.approx([x / 2 for x in half.get_xdata()])
    assert list(double.get_ydata()) == pytest.approx([2 * x for x in double.get_xdata()])
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_ylim()[0] < 0.002, "every point is inside"


def test_a_probability_of_zero_does_no_harm():
    ax = plots.plot_calibration({"one": [(0.5, 0.0)]}).axes[0]
    assert 0 < ax.get_ylim()[0] <= 0.01
