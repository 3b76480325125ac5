"""Notebook 09 in JupyterLab: GenerateStepper and the kernel (its other controls: test_explorers.py); the flowchart."""

import pytest
from playwright.sync_api import expect

from minillama.widgets.labels import EN
from tests.browser.jupyterlab import ERRORS, check_prediction, clear, in_kernel, screenshot, settle, show

pytestmark = pytest.mark.browser


def write(widget, text):
    """Replace the prompts by typing, and run; the settings are open."""
    field = widget.locator(".s-prompts textarea")
    clear(field)
    field.press_sequentially(text)
    expect(widget.locator("[role=status]")).to_have_text(EN["step_changed"])
    widget.locator(".s-run").press("Enter")


def test_09_the_stepper_and_the_kernel(open_and_run):
    page = open_and_run("09_generate_loop.ipynb")
    widget = page.locator(".w-stepper")
    count, status, settings = (widget.locator(name) for name in (".ml-count", "[role=status]", ".s-settings"))
    show(count)
    expect(page.locator(".fx-stepper")).to_have_count(1)  # the still is hidden, not started
    screenshot(page, "09_generate_loop-widget", widget)
    total = int(in_kernel(page, "len(stepper.recorded.steps)"))
    expect(count).to_contain_text(f"Step 0 of {total}.")
    widget.locator(".s-step [tabindex='0']").press("ArrowRight")
    settle(page)
    assert in_kernel(page, "stepper.step, stepper.row") == "(1, 0)"
    in_kernel(page, "stepper.step, stepper.row = 2, 1")
    expect(count).to_contain_text("Step 2 of")
    expect(widget.locator(".fx-gridname.fx-chosen")).to_contain_text("row 1")
    assert "must be a whole number from 0 to" in in_kernel(page, "stepper.step = 999")

    expect(settings).not_to_have_attribute("open", "")
    settings.locator("summary").press("Enter")
    run = widget.locator(".s-run")
    run.press("Enter")
    expect(status).to_have_text(EN["step_unchanged"])
    for name, value in {"temperature": "2", "top-p": "1", "seed": "7", "max-gen-len": "999"}.items():
        widget.locator(f".s-{name} input").fill(value)
    widget.locator(".s-logprobs input").press("Space")
    expect(status).to_have_text(EN["step_changed"])
    run.press("Enter")
    expect(status).to_have_text(EN["step_ran"])
    expect(settings).not_to_have_attribute("open", "")
    expect(settings.locator("summary")).to_be_focused()
    expect(count).to_contain_text("Step 0 of")
    assert in_kernel(page, "stepper.max_gen_len, stepper.seed, stepper.logprobs") == "(64, 7, True)"  # 64 is the most
    widget.locator(".s-first-new").press("Enter")
    expect(widget.locator(".ml-where")).to_contain_text("sample_top_p(softmax(logits[:, -1] / 2), 1)")
    expect(widget.locator(".fx-with-scores")).to_have_count(1)
    screenshot(page, "09_generate_loop-drawn", widget)

    settings.locator("summary").press("Enter")
    write(widget, "a\n" * 9)
    expect(widget.locator(".fx-failed")).to_contain_text("max_batch_size is 8")
    expect(widget.locator(".s-step")).to_be_hidden()
    write(widget, " ")
    expect(widget.locator(".fx-failed")).to_contain_text("There is no prompt")
    write(widget, "<b>bold</b>")
    expect(widget.locator(".fx-failed")).to_be_hidden()
    expect(widget.locator(".fx-gridname")).to_have_count(1)
    assert widget.locator(".s-step b").count() == 0
    assert not page.locator(ERRORS).all_inner_texts()


def test_09_predictions_exercises_and_pictures(open_and_run):
    page = open_and_run("09_generate_loop.ipynb")
    check_prediction(page, 4, "1")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(4)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(4)  # the folded solutions
    still = page.locator(".ml-stepper").first  # the picture without a kernel
    still.scroll_into_view_if_needed()
    assert still.evaluate("still => still.scrollWidth - still.clientWidth") <= 0  # nothing is cut off at its right
    screenshot(page, "09_generate_loop-still", still)
    flowchart = page.locator(".ml-flowchart")
    flowchart.scroll_into_view_if_needed()
    expect(flowchart.locator("svg")).to_contain_text("solution_cut")
    screenshot(page, "09_generate_loop-flowchart", flowchart)
    picture = page.locator('img[alt^="Eight boxes"]').first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('img[alt^=\"Eight boxes\"]').naturalWidth > 0")
