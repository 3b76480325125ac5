"""Notebook 08 in JupyterLab: predictions by keyboard, judges, figure and links."""

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import screenshot

pytestmark = pytest.mark.browser


def test_08_next_token(open_and_run):
    page = open_and_run("08_next_token.ipynb")
    picture = page.locator('img[alt^="The generate loop"]').first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('img[alt^=\"The generate loop\"]').naturalWidth > 0")
    screenshot(page, "08_next_token")

    questions = page.locator(".w-predict")
    expect(questions).to_have_count(7)
    for n in range(7):
        choices = questions.nth(n).locator("input[type=radio]")
        choices.first.scroll_into_view_if_needed()
        for k in range(choices.count()):
            choices.nth(k).press("Space")
            expect(choices.nth(k)).to_be_checked()
    expect(page.locator(".ml-reveal")).to_have_count(7)
    expect(page.locator(".ml-reveal").first).to_contain_text("The answer: (3, 1).")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(3)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(3)  # the folded solutions
    expect(page.locator(".jp-OutputArea-output img").first).to_be_attached()  # the four cases
    expect(page.locator("a", has_text="minillama/sampling.py").first).to_be_attached()
