"""Notebook 06 in JupyterLab: TemperatureExplorer moved by keyboard, a prompt typed into it."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import check_prediction, in_kernel, press, screenshot, settle, show

pytestmark = pytest.mark.browser


def nats(widget):
    return float(re.search(r"entropy ([0-9.]+) nats", widget.locator(".ml-count").inner_text()).group(1))


def test_06_temperature(open_and_run):
    page = open_and_run("06_softmax_temperature.ipynb")
    widget = page.locator(".w-temperature")
    show(widget.locator(".fx-table"))
    screenshot(page, "06_softmax_temperature")
    screenshot(page, "06_softmax_temperature-widget", widget)
    expect(page.locator("[data-ml-still]:visible")).to_have_count(0)
    truth = widget.get_by_role("columnheader", name="truth", exact=True)
    expect(truth).to_be_visible()

    before, table = nats(widget), widget.locator(".fx-table").inner_text()
    dot = widget.locator(".s-temperature")
    place = dot.bounding_box()
    press(page, dot, "Home")  # temperature 0
    assert nats(widget) == 0 and "Temperature 0" in widget.inner_text()
    press(page, dot, "End")  # temperature 3
    expect(dot).to_have_attribute("aria-valuenow", "3")
    assert nats(widget) > before
    assert dot.bounding_box()["x"] > place["x"] and dot.bounding_box()["y"] < place["y"]
    press(page, dot, "ArrowLeft", 40)
    expect(dot).to_have_attribute("aria-valuenow", "1")
    assert widget.locator(".fx-table").inner_text() == table
    settle(page)
    assert in_kernel(page, "explorer.temperature") == "1.0"

    own = widget.locator(".s-own input")
    own.fill("One day, the")
    own.press("Enter")
    expect(truth).to_have_count(0)
    assert widget.locator(".fx-table").inner_text() != table
    own.fill("龘" * 300)  # three tokens each: more than the context
    own.press("Enter")
    expect(widget.locator(".fx-failed")).to_contain_text("cannot be run")
    screenshot(page, "06_softmax_temperature-too-long", widget)
    widget.locator(".s-prompt select").select_option(index=1)
    expect(truth).to_be_visible()
    expect(own).to_have_value("")
    expect(widget.locator(".fx-failed")).to_have_count(0)
    assert widget.locator(".fx-table").inner_text() != table
    in_kernel(page, "explorer.temperature, explorer.own = 2, '从前'")
    expect(dot).to_have_attribute("aria-valuenow", "2")
    expect(own).to_have_value("从前")
    expect(widget.get_by_text("their square root")).to_be_visible()
    expect(truth).to_have_count(0)


def test_06_predictions_and_exercises(open_and_run):
    page = open_and_run("06_softmax_temperature.ipynb")
    check_prediction(page, 4, "(2, 4)")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(3)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(3)  # the folded solutions
