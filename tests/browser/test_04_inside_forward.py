"""Notebook 04 in JupyterLab: predictions by keyboard, judges, figures and links."""

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import check_prediction, screenshot

pytestmark = pytest.mark.browser


def test_04_inside_forward(open_and_run):
    page = open_and_run("04_inside_forward.ipynb")
    check_prediction(page, 5, "(0, 0)")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(3)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(3)  # the folded solutions
    expect(page.locator("a", has_text="minillama/model.py").first).to_be_attached()
    figures = page.locator(".jp-OutputArea-output img")  # the rotations, the attention heat maps
    assert figures.count() >= 2
    figures.last.scroll_into_view_if_needed()
    screenshot(page, "04_inside_forward")
