"""Notebook 08 in JupyterLab: predictions by keyboard, judges, figure and links."""

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import check_prediction, screenshot

pytestmark = pytest.mark.browser


def test_08_next_token(open_and_run):
    page = open_and_run("08_next_token.ipynb")
    picture = page.locator('img[alt^="Eight boxes"]').first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('img[alt^=\"Eight boxes\"]').naturalWidth > 0")
    screenshot(page, "08_next_token")

    check_prediction(page, 7, "(3, 1)")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(3)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(3)  # the folded solutions
    expect(page.locator(".jp-OutputArea-output img").first).to_be_attached()  # the four cases
    expect(page.locator("a", has_text="minillama/sampling.py").first).to_be_attached()
