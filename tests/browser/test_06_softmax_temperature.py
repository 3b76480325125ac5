"""Notebook 06 in JupyterLab: TemperatureExplorer moved by keyboard."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import press, screenshot, show

pytestmark = pytest.mark.browser


def nats(widget):
    return float(re.search(r"entropy ([0-9.]+) nats", widget.locator(".ml-count").inner_text()).group(1))


def test_06_temperature(open_and_run):
    page = open_and_run("06_softmax_temperature.ipynb")
    widget = page.locator(".w-temperature")
    show(widget.locator("table").last)
    screenshot(page, "06_softmax_temperature")
    screenshot(page, "06_softmax_temperature-widget", widget)
    expect(widget.locator("tbody tr.ml-candidate").first).to_be_visible()
    expect(widget.locator("svg.ml-curve circle")).to_be_visible()
    expect(widget.get_by_role("columnheader", name="truth", exact=True)).to_be_visible()

    before, table = nats(widget), widget.locator("table").inner_text()
    dot = widget.locator("svg.ml-curve circle").get_attribute("cx")
    slider = widget.locator(".s-temperature")
    press(page, slider, "Home")  # temperature 0
    assert nats(widget) == 0 and "Temperature 0" in widget.locator(".ml-count").inner_text()
    press(page, slider, "End")  # temperature 3
    expect(slider.locator(".widget-readout")).to_have_text("3.00")
    assert nats(widget) > before
    assert widget.locator("svg.ml-curve circle").get_attribute("cx") != dot
    press(page, slider, "ArrowLeft", 40)
    expect(slider.locator(".widget-readout")).to_have_text("1.00")
    assert widget.locator("table").inner_text() == table

    own = widget.locator(".s-own input")
    own.fill("One day, the")
    own.press("Enter")
    expect(widget.get_by_role("columnheader", name="truth", exact=True)).to_have_count(0)
    own.fill("龘" * 300)  # three tokens each: more than the context
    own.press("Enter")
    expect(widget.locator(".ml-failed")).to_contain_text("cannot be run")
    screenshot(page, "06_softmax_temperature-too-long", widget)
    widget.locator(".s-prompt select").select_option(index=1)
    expect(widget.get_by_role("columnheader", name="truth", exact=True)).to_be_visible()
    expect(own).to_have_value("")
    assert widget.locator("table").inner_text() != table


def test_06_predictions_and_exercises(open_and_run):
    page = open_and_run("06_softmax_temperature.ipynb")
    expect(page.locator(".w-predict")).to_have_count(4)
    question = page.locator(".w-predict").first
    question.scroll_into_view_if_needed()
    question.locator("input[type=radio]").nth(1).press("Space")
    expect(question.locator("input[type=radio]").nth(1)).to_be_checked()
    expect(page.locator(".ml-reveal").first).to_contain_text("The answer: (2, 4).")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(3)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(3)  # the folded solutions
