"""Notebook 00 in JupyterLab: the slider, the flowchart and its links."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import check_prediction, press, screenshot

pytestmark = pytest.mark.browser


def test_00_start_here(open_and_run):
    page = open_and_run("00_start_here.ipynb")
    flowchart = page.locator(".ml-flowchart")
    flowchart.scroll_into_view_if_needed()
    screenshot(page, "00_start_here-flowchart", flowchart)
    widget = page.locator(".w-top-p")
    press(page, widget.locator(".s-top-p"), "Home")
    expect(widget.locator(".ml-count")).to_contain_text("1 of ")
    screenshot(page, "00_start_here")
    check_prediction(page, 2, "yes")
    expect(page.locator("[data-ml-still]:visible")).to_have_count(0)
    expect(page.locator(".ml-report .ml-passed")).to_have_count(2)  # the folded solutions
    expect(page.locator(".ml-progress")).to_contain_text("Next: greedy in 00_start_here.")  # they do not count


def test_00_a_box_of_the_flowchart_opens_its_notebook_and_its_code(open_and_run):
    page = open_and_run("00_start_here.ipynb")
    flowchart = page.locator(".ml-flowchart")
    flowchart.get_by_role("link", name="07 top_p").click()
    page.get_by_role("tab", name="07_top_p.ipynb").wait_for()
    page.get_by_role("tab", name="00_start_here.ipynb").click()
    flowchart.locator("summary").click()
    flowchart.get_by_role("link", name=re.compile("^Llama.text_completion: ")).click()
    page.get_by_role("tab", name="generation.py").wait_for()
