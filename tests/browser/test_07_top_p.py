"""Notebook 07 in JupyterLab: TopPExplorer moved by keyboard; what is left of it when the kernel is another."""

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import check_prediction, in_kernel, press, screenshot, settle, show

pytestmark = pytest.mark.browser


def kept(widget):
    return int(widget.locator(".ml-count").inner_text().split()[0])


def test_07_top_p(open_and_run):
    page = open_and_run("07_top_p.ipynb")
    widget = page.locator(".w-top-p")
    show(widget.locator(".fx-table"))
    screenshot(page, "07_top_p")
    screenshot(page, "07_top_p-widget", widget)
    expect(page.locator("[data-ml-still]:visible")).to_have_count(0)

    before, table = kept(widget), widget.locator(".fx-table").inner_text()
    line = widget.locator(".s-top-p")
    press(page, line, "Home")  # top_p = 0
    assert kept(widget) == 1
    press(page, line, "End")  # top_p = 1
    assert kept(widget) == 4096
    press(page, line, "ArrowLeft", 10)
    expect(line).to_have_attribute("aria-valuetext", "0.90")
    assert widget.locator(".fx-table").inner_text() == table

    press(page, widget.locator(".s-temperature"), "Home")  # temperature 0
    assert kept(widget) == 1
    press(page, widget.locator(".s-temperature"), "End")  # temperature 3
    assert kept(widget) > before
    for n in (1, 100, 1000):
        widget.locator(f".s-draw-{n}").press("Enter")
    screenshot(page, "07_top_p-draws", widget)
    settle(page)
    assert (
        in_kernel(page, "explorer.temperature, explorer.top_p, sum(explorer.observed.values())") == "(3.0, 0.9, 1101)"
    )

    in_kernel(page, "explorer.top_p, explorer.prompt = 0.25, explorer.data['prompts'][1]")
    expect(line).to_have_attribute("aria-valuetext", "0.25")
    expect(widget.locator(".s-prompt select")).to_have_value("1")
    expect(widget.get_by_role("columnheader", name="observed in 0", exact=True)).to_be_visible()
    in_kernel(page, "explorer.sample(7)")
    expect(widget.get_by_role("columnheader", name="observed in 7", exact=True)).to_be_visible()


def test_07_the_keys_of_jupyterlab_are_off_inside(open_and_run):
    page = open_and_run("07_top_p.ipynb")
    row = page.locator(".w-top-p .fx-rows .fx-row").first
    row.focus()
    for key in ("0", "0", "d", "d", "ArrowDown", "Escape"):
        page.keyboard.press(key)
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    expect(page.locator(".w-top-p .fx-rows .fx-row").nth(1)).to_be_focused()


def test_07_predictions_exercises_and_links(open_and_run):
    page = open_and_run("07_top_p.ipynb")
    check_prediction(page, 2, "3")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(3)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(3)  # the folded solutions
    picture = page.locator('img[alt^="Eight boxes"]').first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('img[alt^=\"Eight boxes\"]').naturalWidth > 0")
    expect(page.locator("a", has_text="minillama/sampling.py").first).to_be_attached()
