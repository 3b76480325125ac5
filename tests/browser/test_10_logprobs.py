"""Notebook 10 in JupyterLab: LogprobHeatmap's new runs; what needs no kernel is in test_explorers.py."""

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import check_prediction, in_kernel, screenshot, settle, show

pytestmark = pytest.mark.browser


def compared(widget):
    """The cells of the comparison, a row for each run."""
    return [row.locator("> *").all_inner_texts() for row in widget.locator(".ml-run:visible").all()]


def test_10_heatmap(open_and_run):
    page = open_and_run("10_logprobs.ipynb")
    widget = page.locator(".w-heatmap")
    show(widget.locator(".ml-run").first)
    screenshot(page, "10_logprobs")
    screenshot(page, "10_logprobs-widget", widget)
    expect(widget.locator(".fx-panel")).to_have_count(2)
    expect(page.locator(".fx-panel")).to_have_count(2)  # the still is hidden, not started
    cold, hot = compared(widget)
    assert cold[1] == "0.00" and hot[1] == "1.50"

    line = widget.locator(".fx-threshold").first
    line.press("ArrowDown")
    settle(page)
    assert in_kernel(page, "explorer.threshold") == "0.15"
    in_kernel(page, "explorer.threshold = 0.5")
    expect(line).to_have_attribute("aria-valuetext", "probability 50%, −log p 0.69")
    expect(line).to_be_focused()
    assert "must be a number from 0 to 1" in in_kernel(page, "explorer.threshold = 9")

    widget.locator("summary").press("Enter")
    heats = [widget.locator(f".s-temperature-{name} input") for name in "ab"]
    heats[1].fill("0")  # both greedy
    heats[1].press("Enter")
    expect(widget.locator(".ml-run").nth(1)).to_contain_text("0.00")
    expect(heats[1]).to_be_focused()
    one, other = compared(widget)
    assert one[1:] == other[1:]
    heats[0].fill("99")  # more than is allowed
    heats[0].press("Enter")
    expect(widget.locator(".ml-run").first).to_contain_text("2.00")
    assert in_kernel(page, "explorer.temperatures") == "[2.0, 0.0]"

    for name in "ab":
        own = widget.locator(f".s-prompt-{name} input")
        own.fill("从前，有一只小" if name == "a" else "<b>The</b> weather")
        own.press("Enter")
    expect(widget.locator(".fx-reader").nth(1)).to_contain_text("<")
    assert widget.locator(".fx-reader b").count() == 0
    length = widget.locator(".s-length input")
    for n, there in ((0, 0), (5, 2)):  # 0: the prompts are scored as they are
        length.fill(str(n))
        length.press("Enter")
        expect(widget.locator('[role=list][aria-label*="generated"]:visible')).to_have_count(there)

    own.fill("龘" * 300)  # three tokens each: more than the context
    own.press("Enter")
    expect(widget.locator(".fx-failed")).to_contain_text("cannot be run")
    assert len(compared(widget)) == 1
    screenshot(page, "10_logprobs-too-long", widget)
    own.fill("Once")
    own.press("Enter")
    expect(widget.locator(".fx-failed")).to_have_count(0)


def test_10_predictions_and_exercises(open_and_run):
    page = open_and_run("10_logprobs.ipynb")
    check_prediction(page, 4, "(2, 4, 3)")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(4)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(4)  # the folded solutions
