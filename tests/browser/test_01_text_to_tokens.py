"""Notebook 01 in JupyterLab: text typed, both boxes ticked by keyboard."""

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import check_prediction, clear, screenshot, stays

pytestmark = pytest.mark.browser


def write(page, widget, text):
    clear(widget.locator(".s-text textarea"))
    expect(widget.locator(".ml-count")).to_contain_text("no text yet")
    if text:
        page.keyboard.insert_text(text)


def test_01_text_to_tokens(open_and_run):
    page = open_and_run("01_text_to_tokens.ipynb")
    screenshot(page, "01_text_to_tokens")
    widget = page.locator(".w-tokens")
    widget.scroll_into_view_if_needed()
    screenshot(page, "01_text_to_tokens-widget", widget)
    names = widget.locator("tbody th")
    expect(names.first).to_have_text("<s>")  # bos is ticked
    before = names.count()
    spoken = stays(widget)

    widget.locator(".s-eos input").press("Space")
    expect(names).to_have_count(before + 1)
    expect(names.last).to_have_text("</s>")
    widget.locator(".s-bos input").press("Space")
    expect(names).to_have_count(before)
    widget.locator(".s-eos input").press("Space")
    expect(names).to_have_count(before - 1)

    write(page, widget, "")
    expect(widget.locator(".ml-chip")).to_have_count(0)
    widget.locator(".s-text textarea").press_sequentially("12 cats")
    expect(names.nth(1)).to_have_text("1")
    expect(names.nth(2)).to_have_text("2")
    write(page, widget, "龘🦙")
    expect(widget.locator(".ml-character")).to_have_count(2)
    write(page, widget, "<script>alert(1)</script>")
    expect(widget.locator("tbody")).to_contain_text("<")
    write(page, widget, "a" * 1000)
    expect(widget.locator(".ml-count")).to_contain_text("left out")
    expect(spoken).to_have_text(widget.locator(".ml-count").inner_text())
    write(page, widget, "字")
    expect(names.last).to_have_text("字")
    assert page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]').count() == 0


def test_01_predictions_exercises_and_picture(open_and_run):
    page = open_and_run("01_text_to_tokens.ipynb")
    check_prediction(page, 5, "5")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(2)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(2)  # the folded solutions
    expect(page.locator(".ml-token-view .ml-chips")).to_have_count(3)  # the still picture, the widget, its still
