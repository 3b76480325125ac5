"""Notebook 15 in JupyterLab: it runs, its chart is drawn; what is computed or recorded, and not measured, says so."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import check_exercises, screenshot

pytestmark = pytest.mark.browser
NAME = "15_faster.ipynb"


def test_15_chart_and_words(open_and_run):
    page = open_and_run(NAME)
    chart = page.locator(".ml-figure > svg")
    expect(chart).to_have_count(1)
    chart.scroll_into_view_if_needed()
    expect(chart).to_be_visible()
    screenshot(page, "15_faster-batch", chart)
    output = page.locator(".jp-OutputArea-output pre")
    expect(output.filter(has_text="computed from data sheets, not measured")).to_have_count(1)
    expect(output.filter(has_text=re.compile(r"^RECORDED "))).to_have_count(3)
    without_or_with = re.compile(r"nothing was measured|measured by a copy|tokens a second, measured: ")
    expect(output.filter(has_text=without_or_with)).to_have_count(2)  # the cells for a GPU


def test_15_predictions_and_exercises(open_and_run):
    page = open_and_run(NAME)
    check_exercises(page, 5, 3, "minillama/int8.py", "0.00", place=1)
