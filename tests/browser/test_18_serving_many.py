"""Notebook 18 in JupyterLab: it runs, its bars are drawn on one scale, and what it counts is told in words, too."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import check_exercises, screenshot, show

pytestmark = pytest.mark.browser
NAME = "18_serving_many.ipynb"


def test_18_bars(open_and_run):
    page = open_and_run(NAME)
    bars = page.locator(".ml-accounts svg")
    expect(bars).to_have_count(2)
    show(page.locator(".ml-accounts").first)
    expect(bars.first.locator("title")).to_have_text(re.compile(r"^row 0: generated \d+, past its end \d+; row 1: "))
    screenshot(page, "18_serving_many-waiting", bars.first)
    show(page.locator(".ml-accounts").nth(1))
    expect(bars.nth(1).locator("text", has_text=re.compile(r"^(waiting|refilled), row \d$"))).to_have_count(8)
    screenshot(page, "18_serving_many-refilled", bars.nth(1))
    ends = [right_end(bars.nth(1), y) for y in (34, 34 + 4 * 36)]  # of the first row of each way
    assert ends[1] < ends[0] == pytest.approx(700, abs=0.2)


def right_end(bars, y):
    last = bars.locator(f'rect[height="28"][y="{y}"]').last
    return sum(float(last.get_attribute(name)) for name in ("x", "width"))


def test_18_predictions_and_exercises(open_and_run):
    page = open_and_run(NAME)
    check_exercises(page, 6, 3, "minillama/cache.py", "nan everywhere")
