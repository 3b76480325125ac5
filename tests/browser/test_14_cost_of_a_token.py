"""Notebook 14 in JupyterLab: it runs, its charts are drawn, and its bars are 100% long."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import check_exercises, screenshot, show

pytestmark = pytest.mark.browser
NAME = "14_cost_of_a_token.ipynb"


def test_14_charts_and_bars(open_and_run):
    page = open_and_run(NAME)
    charts = page.locator(".ml-figure > svg")
    expect(charts).to_have_count(2)
    for k in range(2):
        charts.nth(k).scroll_into_view_if_needed()
        expect(charts.nth(k)).to_be_visible()
    bars = page.locator(".ml-accounts svg")
    expect(bars).to_have_count(3)
    show(page.locator(".ml-accounts").first)
    for k, n in enumerate((1, 2, 2)):
        expect(bars.nth(k).locator('rect[height="28"]')).to_have_count(4 * n)
    expect(bars.first.locator("title")).to_have_text(re.compile(r"^one token, [\d.]+ ms: linears \d+%, .*Python \d+%$"))
    last = bars.first.locator('rect[height="28"]').nth(3)
    assert sum(float(last.get_attribute(name)) for name in ("x", "width")) == pytest.approx(700, abs=0.2)
    screenshot(page, "14_cost_of_a_token-bar", bars.first)


def test_14_predictions_and_exercises(open_and_run):
    page = open_and_run(NAME)
    check_exercises(page, 6, 3, "minillama/speed_plots.py", "tok_embeddings")
