"""Notebook 03 in JupyterLab: predictions by keyboard, judges, picture and links."""

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import screenshot

pytestmark = pytest.mark.browser


def test_03_checkpoint_files(open_and_run):
    page = open_and_run("03_checkpoint_files.ipynb")
    picture = page.locator('img[alt^="Three files"]').first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('img[alt^=\"Three files\"]').naturalWidth > 0")
    screenshot(page, "03_checkpoint_files")

    question = page.locator(".w-predict").first
    question.scroll_into_view_if_needed()
    for k in range(3):
        question.locator("input[type=radio]").nth(k).press("Space")
        expect(question.locator("input[type=radio]").nth(k)).to_be_checked()
    expect(page.locator(".w-predict")).to_have_count(5)
    expect(page.locator(".ml-reveal")).to_have_count(5)
    expect(page.locator(".ml-reveal").first).to_contain_text("The answer: closed, and the exception goes on.")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(3)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(3)  # the folded solutions
    expect(page.locator("a", has_text="minillama/checkpoint.py").first).to_be_attached()
