"""Notebook 05 in JupyterLab: every control of CacheView moved by keyboard."""

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import ERRORS, check_prediction, press, screenshot, show

pytestmark = pytest.mark.browser


def test_05_kv_cache(open_and_run):
    page = open_and_run("05_kv_cache.ipynb")
    widget = page.locator(".w-cache")
    show(widget.locator("table"))
    screenshot(page, "05_kv_cache-widget", widget)
    table, count = widget.locator("table"), widget.locator(".ml-count")
    expect(count).to_contain_text("Call 1 of")

    prefill = table.inner_text()
    press(page, widget.locator(".s-call"), "End")
    expect(count).to_contain_text("Writes slot ")
    expect(widget.locator("tr.ml-query")).to_have_count(1)
    decode = table.inner_text()
    press(page, widget.locator(".s-call"), "ArrowLeft")
    assert table.inner_text() not in (prefill, decode)
    press(page, widget.locator(".s-call"), "Home")
    assert table.inner_text() == prefill

    press(page, widget.locator(".s-piece"), "Home")  # one token of the prompt at a time
    expect(widget.locator("tr.ml-query")).to_have_count(1)
    press(page, widget.locator(".s-piece"), "ArrowRight", 2)
    press(page, widget.locator(".s-call"), "ArrowRight")
    expect(count).to_contain_text("Writes slots 3 to 5, reads slots 0 to 5")
    expect(widget.locator("tr.ml-query")).to_have_count(3)
    screenshot(page, "05_kv_cache-piece", widget)
    press(page, widget.locator(".s-piece"), "End")

    widget.locator(".s-cached input").press("Space")
    expect(count).to_contain_text("Writes slots 0 to")
    widget.locator(".s-cached input").press("Space")

    prompt = widget.locator(".s-prompt input")
    prompt.fill("The <b>cat</b>")
    prompt.press("Enter")
    expect(widget.locator("tr.ml-tokens")).to_contain_text("cat")
    assert widget.locator("table b", has_text="cat").count() == 0
    prompt.fill("")
    prompt.press("Enter")
    expect(count).to_contain_text("The prompt is empty")
    expect(page.locator(ERRORS)).to_have_count(0)
    screenshot(page, "05_kv_cache")


def test_05_predictions_exercises_and_figures(open_and_run):
    page = open_and_run("05_kv_cache.ipynb")
    check_prediction(page, 5, "11")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(3)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(3)  # the folded solutions
    expect(page.locator("a", has_text="minillama/model.py").first).to_be_attached()
