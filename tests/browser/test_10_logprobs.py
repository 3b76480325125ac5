"""Notebook 10 in JupyterLab: LogprobHeatmap moved by keyboard."""

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import check_prediction, press, screenshot, show

pytestmark = pytest.mark.browser

TIP_IS_SHOWN = "element => getComputedStyle(element, '::after').content !== 'none'"


def compared(widget):
    """The cells of the comparison, a row for each run."""
    return [row.split("\t") for row in widget.locator("tr.ml-run").all_inner_texts()]


def test_10_heatmap(open_and_run):
    page = open_and_run("10_logprobs.ipynb")
    widget = page.locator(".w-heatmap")
    show(widget.locator("tr.ml-run").first)
    screenshot(page, "10_logprobs")
    screenshot(page, "10_logprobs-widget", widget)
    tokens = widget.locator(".ml-heat-token[tabindex]")
    low = widget.locator("tr.ml-low")
    expect(widget.locator(".ml-heat-panel")).to_have_count(2)
    expect(widget.locator(".ml-heat-prompt")).to_have_count(2)
    cold, hot = compared(widget)
    assert cold[1] == "0.00" and hot[1] == "1.50"

    threshold = widget.locator(".s-threshold")
    press(page, threshold, "Home")  # no probability is below 0
    expect(low).to_have_count(0)
    expect(widget.locator(".ml-heat-number")).to_have_count(0)
    press(page, threshold, "End")  # all that is scored, save what is certain
    expect(threshold.locator(".widget-readout")).to_have_text("1.00")
    assert low.count() > 0 and widget.locator(".ml-heat-number").count() > 10
    press(page, threshold, "ArrowLeft", 50)
    expect(threshold.locator(".widget-readout")).to_have_text("0.50")
    screenshot(page, "10_logprobs-threshold", widget)

    second, third, fifth = (tokens.nth(k) for k in (1, 2, 4))
    assert "rank" in second.get_attribute("aria-label") and "Most probable here" in second.get_attribute("aria-label")
    assert not second.evaluate(TIP_IS_SHOWN)
    second.focus()
    assert second.evaluate(TIP_IS_SHOWN)
    page.keyboard.press("Tab")  # on to the next token
    assert third.evaluate(TIP_IS_SHOWN) and not second.evaluate(TIP_IS_SHOWN)
    fifth.hover()
    assert fifth.evaluate(TIP_IS_SHOWN)
    screenshot(page, "10_logprobs-focus", widget)
    assert "Nothing predicts it" in tokens.first.get_attribute("aria-label")

    echo = widget.locator(".s-echo input")
    echo.press("Space")
    expect(widget.locator(".ml-heat-prompt")).to_have_count(0)
    assert int(compared(widget)[0][2]) < int(cold[2])
    echo.press("Space")
    expect(widget.locator(".ml-heat-prompt")).to_have_count(2)

    press(page, widget.locator(".s-temperature-b"), "Home")  # both greedy
    expect(widget.locator("tr.ml-run").nth(1)).to_contain_text("0.00")
    one, other = compared(widget)
    assert one[1:] == other[1:]
    press(page, widget.locator(".s-temperature-a"), "End")
    expect(widget.locator("tr.ml-run").first).to_contain_text("2.00")

    for name in "ab":
        own = widget.locator(f".s-prompt-{name} input")
        own.fill("从前，有一只小" if name == "a" else "<b>The</b> weather")
        own.press("Enter")
    expect(widget.locator(".ml-heat-prompt").nth(1)).to_contain_text("<")
    press(page, widget.locator(".s-length"), "Home")  # score the prompts as they are
    expect(widget.locator(".ml-heat-written")).to_have_count(0)
    press(page, widget.locator(".s-length"), "ArrowRight", 5)
    expect(widget.locator(".ml-heat-written").first).to_be_visible()

    own.fill("龘" * 300)  # three tokens each: more than the context
    own.press("Enter")
    expect(widget.locator(".ml-failed")).to_contain_text("cannot be run")
    screenshot(page, "10_logprobs-too-long", widget)
    own.fill("Once")
    own.press("Enter")
    expect(widget.locator(".ml-failed")).to_have_count(0)


def test_10_predictions_and_exercises(open_and_run):
    page = open_and_run("10_logprobs.ipynb")
    check_prediction(page, 4, "(2, 3)")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(4)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(4)  # the folded solutions
