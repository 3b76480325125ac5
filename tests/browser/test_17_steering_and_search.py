"""Notebook 17 in JupyterLab: every control of BeamView moved by keyboard, and what the exercises report."""

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import ERRORS, check_exercises, in_kernel, press, screenshot, settle, show

pytestmark = pytest.mark.browser
NAME = "17_steering_and_search.ipynb"


def test_17_the_tree_of_a_beam(open_and_run):
    page = open_and_run(NAME)
    widget = page.locator(".w-beam")
    show(widget.locator(".s-step"))
    step, count, texts = (
        widget.locator(".s-step [tabindex='0']"),
        widget.locator(".ml-count"),
        widget.locator(".fx-texts"),
    )
    expect(count).to_contain_text("Step 1 of")
    height = widget.bounding_box()["height"]

    step.press("ArrowRight")
    expect(count).to_contain_text("Step 2 of")
    expect(widget.locator(".fx-branch.fx-later")).to_have_text("✗ ▁red")
    expect(widget.locator(".fx-cut:not(.fx-none)", has_text="✗")).to_have_count(6)
    screenshot(page, "17_steering_and_search-tree", widget)
    step.press("End")
    expect(widget.locator(".fx-round:focus .fx-ended")).to_have_count(3)
    expect(texts).to_contain_text("small mouse")
    settle(page)
    assert in_kernel(page, "view.step == len(view.levels)") == "True"
    in_kernel(page, "view.step = 0")
    expect(count).to_contain_text("Step 0 of")
    assert widget.bounding_box()["height"] == height

    press(page, widget.locator(".s-beams"), "Home")  # one beam: greedy
    expect(widget.locator(".fx-round").last.locator(".fx-branch")).to_have_count(1)
    step.press("End")
    expect(texts).to_contain_text("big")
    press(page, widget.locator(".s-beams"), "ArrowRight", 2)
    expect(widget.locator(".fx-round").last.locator(".fx-branch")).to_have_count(3)  # two searches later
    assert in_kernel(page, "view.beams") == "3"
    step.press("End")
    expect(texts.locator(".fx-row:not(.fx-head, .fx-none)")).to_have_count(3)

    widget.locator(".s-prompt select").select_option(index=1)
    expect(texts).to_contain_text("山上")
    screenshot(page, "17_steering_and_search-chinese", widget)
    expect(page.locator(ERRORS)).to_have_count(0)


def test_17_predictions_and_exercises(open_and_run):
    page = open_and_run(NAME)
    check_exercises(page, 8, 5, "minillama/penalties.py", "the same words, again and again")
    screenshot(page, "17_steering_and_search")
