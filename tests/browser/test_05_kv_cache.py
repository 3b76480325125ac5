"""Notebook 05 in JupyterLab: CacheView moved by keyboard, from the kernel and with prompts that are typed."""

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import ERRORS, check_prediction, in_kernel, press, screenshot, settle, show

pytestmark = pytest.mark.browser


def test_05_kv_cache(open_and_run):
    page = open_and_run("05_kv_cache.ipynb")
    widget = page.locator(".w-cache")
    show(widget.locator(".s-call"))
    screenshot(page, "05_kv_cache-widget", widget)
    call, count = widget.locator(".s-call [tabindex='0']"), widget.locator(".ml-count")
    expect(count).to_contain_text("Call 1 of 6: forward(tokens[:, 0:10], 0)")
    height = widget.bounding_box()["height"]

    call.press("End")
    expect(count).to_contain_text("Writes slot 14, reads slots 0 to 14.")
    expect(widget.locator(".s-call .fx-slotrow:focus")).to_have_count(1)
    call.press("ArrowUp")
    settle(page)
    assert in_kernel(page, "explorer.call, len(explorer.calls)") == "(5, 6)"

    press(page, widget.locator(".s-piece"), "Home")  # one token of the prompt at a time
    expect(widget.locator(".fx-mask .fx-now")).to_have_count(1)
    press(page, widget.locator(".s-piece"), "ArrowRight", 2)
    in_kernel(page, "explorer.call = 2")
    expect(count).to_contain_text("Writes slots 3 to 5, reads slots 0 to 5")
    assert in_kernel(page, "explorer.calls[explorer.call - 1]") == "(3, 6)"
    assert widget.bounding_box()["height"] == height
    screenshot(page, "05_kv_cache-piece", widget)

    widget.locator(".s-cached input").press("Space")
    settle(page)
    assert in_kernel(page, "explorer.cached, explorer.calls[1]") == "(False, (0, 11))"
    expect(count).to_contain_text("Writes slots 0 to 10")

    prompt = widget.locator(".s-prompt input")
    prompt.fill("The <b>cat</b>")
    prompt.press("Enter")
    expect(widget.locator(".fx-slothead", has_text="▁The").first).to_be_visible()
    expect(count).to_contain_text("Call 1 of")
    assert widget.locator("b").count() == 0
    prompt.fill("")
    prompt.press("Enter")
    expect(widget.get_by_role("alert")).to_contain_text("The prompt is empty")
    expect(page.locator(ERRORS)).to_have_count(0)
    screenshot(page, "05_kv_cache")


def test_05_predictions_exercises_and_figures(open_and_run):
    page = open_and_run("05_kv_cache.ipynb")
    check_prediction(page, 5, "11")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(3)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(3)  # the folded solutions
    expect(page.locator("a", has_text="minillama/model.py").first).to_be_attached()
