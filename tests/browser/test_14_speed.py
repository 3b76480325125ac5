"""Notebook 14 in JupyterLab: it runs, its charts are drawn, what is computed and not measured says so."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import screenshot, show

pytestmark = pytest.mark.browser


def test_14_charts_and_words(open_and_run):
    page = open_and_run("14_speed.ipynb")
    charts = page.locator('.jp-OutputArea-output[data-mime-type="image/png"] img')
    expect(charts).to_have_count(5)
    for k in range(5):
        charts.nth(k).scroll_into_view_if_needed()
        expect(charts.nth(k)).to_have_js_property("complete", True)
    screenshot(page, "14_speed-batch", charts.nth(4))
    output = page.locator(".jp-OutputArea-output pre")
    expect(output.filter(has_text="computed from data sheets, not measured")).to_have_count(1)
    without_or_with = re.compile(r"nothing was measured|measured by a copy|tokens a second, measured: ")
    expect(output.filter(has_text=without_or_with)).to_have_count(2)  # the cells for a GPU


def test_14_predictions_and_exercises(open_and_run):
    page = open_and_run("14_speed.ipynb")
    question = page.locator(".w-predict").first
    show(question)
    question.locator("input[type=radio]").nth(0).press("Space")
    expect(question.locator("input[type=radio]").nth(0)).to_be_checked()
    expect(page.locator(".w-predict")).to_have_count(8)
    expect(page.locator(".ml-reveal")).to_have_count(8)
    expect(page.locator(".ml-reveal").nth(1)).to_contain_text("The answer: tok_embeddings.")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(2)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(2)  # the folded solutions
    expect(page.locator("a", has_text="minillama/int8.py").first).to_be_attached()
