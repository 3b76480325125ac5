"""Notebook 07 in JupyterLab: every control of TopPExplorer moved by keyboard."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import press, screenshot, show

pytestmark = pytest.mark.browser


def count(widget):
    return int(re.search(r"(\d+) of \d+ tokens kept", widget.locator(".ml-count").inner_text()).group(1))


def test_07_top_p(open_and_run):
    page = open_and_run("07_top_p.ipynb")
    widget = page.locator(".w-top-p")
    show(widget.locator("table"))
    screenshot(page, "07_top_p")
    screenshot(page, "07_top_p-widget", widget)
    expect(widget.locator("tbody tr.ml-kept").first).to_be_visible()

    before, table = count(widget), widget.locator("table").inner_text()
    press(page, widget.locator(".s-top-p"), "Home")  # top_p = 0
    assert count(widget) == 1
    press(page, widget.locator(".s-top-p"), "End")  # top_p = 1
    assert count(widget) > before
    expect(widget.locator(".s-top-p .widget-readout")).to_have_text("1.00")
    press(page, widget.locator(".s-top-p"), "ArrowLeft", 10)
    expect(widget.locator(".s-top-p .widget-readout")).to_have_text("0.90")
    assert widget.locator("table").inner_text() == table

    press(page, widget.locator(".s-temperature"), "Home")  # temperature 0
    assert count(widget) == 1 and "Temperature 0" in widget.locator(".ml-count").inner_text()
    press(page, widget.locator(".s-temperature"), "End")  # temperature 2
    assert count(widget) > before

    for n in (1, 100, 1000):
        widget.locator(f".s-draw-{n}").press("Enter")
        expect(widget.get_by_role("columnheader", name=f"observed in {n}", exact=True)).to_be_visible()
    screenshot(page, "07_top_p-draws", widget)
    widget.locator(".s-prompt select").select_option(index=1)
    expect(widget.get_by_role("columnheader", name="observed in 1000")).to_have_count(0)


def test_07_predictions_exercises_and_links(open_and_run):
    page = open_and_run("07_top_p.ipynb")
    question = page.locator(".w-predict").first
    question.scroll_into_view_if_needed()
    question.locator("input[type=radio]").nth(1).press("Space")
    expect(question.locator("input[type=radio]").nth(1)).to_be_checked()
    expect(page.locator(".ml-reveal").first).to_contain_text("The answer: 3.")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(3)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(3)  # the folded solutions
    picture = page.locator('img[alt^="The generate loop"]').first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('img[alt^=\"The generate loop\"]').naturalWidth > 0")
    expect(page.locator("a", has_text="minillama/sampling.py").first).to_be_attached()
