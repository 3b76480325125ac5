"""Notebook 17 in JupyterLab: every control of BeamView moved by keyboard, and what the exercises report."""

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import ERRORS, check_exercises, press, screenshot, settle, show

pytestmark = pytest.mark.browser
NAME = "17_steering_and_search.ipynb"


def test_17_the_tree_of_a_beam(open_and_run):
    page = open_and_run(NAME)
    widget = page.locator(".w-beam")
    show(widget.locator("table").first)
    tree, count = widget.locator("table").first, widget.locator(".ml-count")
    expect(count).to_contain_text("Step 1 of")
    first = tree.inner_text()

    press(page, widget.locator(".s-step"), "ArrowRight")
    expect(count).to_contain_text("Step 2 of")
    expect(tree.locator("tr", has_text="✗ cut later")).to_have_count(1)
    expect(tree.locator("tr.ml-cut", has_text="✗")).not_to_have_count(0)
    screenshot(page, "17_steering_and_search-tree", widget)
    press(page, widget.locator(".s-step"), "End")
    expect(tree.locator("tr", has_text="■ ended")).to_have_count(3)
    expect(widget.locator("table").nth(1)).to_contain_text("small mouse")
    press(page, widget.locator(".s-step"), "Home")
    expect(tree.locator("tbody tr")).to_have_count(1)
    press(page, widget.locator(".s-step"), "ArrowRight")
    assert tree.inner_text() == first

    press(page, widget.locator(".s-beams"), "Home")  # one beam: greedy
    press(page, widget.locator(".s-step"), "End")
    expect(widget.locator("table").nth(1)).to_contain_text("big")
    expect(widget.locator("table").nth(1).locator("tbody tr")).to_have_count(1)
    press(page, widget.locator(".s-beams"), "ArrowRight", 2)
    expect(widget.locator("table").nth(1).locator("tbody tr")).to_have_count(3)

    widget.locator(".s-prompt select").select_option(index=1)
    settle(page)
    expect(widget.locator("table").nth(1)).to_contain_text("山上")
    screenshot(page, "17_steering_and_search-chinese", widget)
    expect(page.locator(ERRORS)).to_have_count(0)


def test_17_predictions_and_exercises(open_and_run):
    page = open_and_run(NAME)
    check_exercises(page, 8, 5, "minillama/penalties.py", "the same words, again and again")
    screenshot(page, "17_steering_and_search")
