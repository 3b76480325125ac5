"""Notebook 11 in JupyterLab: predictions by keyboard, judges, the table of an echo, and links."""

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import check_prediction, screenshot

pytestmark = pytest.mark.browser


def test_11_completion_and_echo(open_and_run):
    page = open_and_run("11_completion_and_echo.ipynb")
    table = page.locator(".ml-echo").first
    table.scroll_into_view_if_needed()
    prompt, generated = table.locator("tr.ml-echo-prompt"), table.locator("tr.ml-echo-generated")
    expect(prompt.first).to_contain_text("None")  # bos: nothing predicts it
    expect(prompt.last).to_contain_text("▸ prompt")
    expect(generated.last).to_contain_text("● generated")
    for row in generated.all():  # echo changes no number
        numbers = row.locator("td").all_inner_texts()
        assert numbers[3] == numbers[4]
    screenshot(page, "11_completion_and_echo")

    check_prediction(page, 7, "n + 5", place=1)
    expect(page.locator(".ml-report .ml-missing")).to_have_count(5)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(5)  # the folded solutions
    expect(page.locator("a", has_text="minillama/generation.py").first).to_be_attached()
