"""Notebook 09 in JupyterLab: every control of GenerateStepper by keyboard, play included; the learner's flowchart."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import ERRORS, check_prediction, clear, press, screenshot, settle, show

pytestmark = pytest.mark.browser


def step_of(widget):
    """The step shown, and how many there are."""
    found = re.search(r"Step (\d+) of (\d+)\.", widget.locator(".ml-count").first.inner_text())
    return int(found[1]), int(found[2])


def signs(widget, row):
    """The signs of a row of the canvas, from left to right."""
    places = widget.locator("tr.ml-step-row").nth(row).locator("small").all_inner_texts()
    return "".join(place[0] for place in places)


def push(page, widget, name):
    """Press a button by keyboard."""
    settle(page)  # what was typed before
    widget.locator(f"button.s-{name}").press("Enter")
    settle(page)


def write(page, widget, text):
    """Replace the prompts by typing, and run."""
    field = widget.locator(".s-prompts textarea")
    clear(field)
    field.press_sequentially(text)
    expect(widget).to_contain_text("The settings have changed")
    push(page, widget, "run")
    expect(widget).not_to_contain_text("The settings have changed")


def test_09_stepping_jumps_and_play(open_and_run):
    page = open_and_run("09_generate_loop.ipynb")
    widget = page.locator(".w-stepper")
    show(widget.locator(".ml-count").first)
    start, n = step_of(widget)
    assert start == 0 and n > 1 and widget.locator(".ml-where").count() == 0

    press(page, widget.locator(".s-step"), "ArrowRight")
    assert step_of(widget) == (1, n)
    expect(widget.locator(".ml-where")).to_contain_text("torch.where")
    screenshot(page, "09_generate_loop-widget", widget)
    push(page, widget, "forth")
    assert step_of(widget) == (2, n)
    push(page, widget, "back")
    assert step_of(widget) == (1, n)
    press(page, widget.locator(".s-step"), "End")
    assert step_of(widget) == (n, n)
    expect(widget.locator(".ml-count").first).to_contain_text("the loop ends here")
    screenshot(page, "09_generate_loop-end", widget)

    for row in (0, 1):
        widget.locator(".s-row select").select_option(index=row)
        expect(widget.locator("button.s-first-new")).to_have_text(f"first generated token of row {row}")
        push(page, widget, "first-new")
        assert signs(widget, row).count("+") + signs(widget, row).count("■") == 1
        push(page, widget, "stops")
        expect(widget.locator(".ml-step-chosen th")).to_contain_text(f"row {row}")
        assert "×" not in signs(widget, row)

    press(page, widget.locator(".s-step"), "Home")
    assert step_of(widget) == (0, n)
    play = widget.locator(".s-play button").first
    play.press("Enter")
    expect(widget.locator(".ml-count").first).to_contain_text("Step 2 of", timeout=10_000)
    play.press("Enter")  # pause
    page.wait_for_timeout(1000)
    paused = step_of(widget)
    page.wait_for_timeout(1800)
    assert step_of(widget) == paused and paused[0] >= 2
    handle = widget.locator(".s-step .noUi-handle")
    assert float(handle.get_attribute("aria-valuenow")) == paused[0]  # the slider follows


def test_09_settings_run_again(open_and_run):
    page = open_and_run("09_generate_loop.ipynb")
    widget = page.locator(".w-stepper")
    total = step_of(widget)[1]
    press(page, widget.locator(".s-max-gen-len"), "ArrowLeft")
    expect(widget).to_contain_text("The settings have changed")
    push(page, widget, "run")
    assert step_of(widget)[0] == 0 and step_of(widget)[1] <= total

    press(page, widget.locator(".s-temperature"), "End")  # 2
    press(page, widget.locator(".s-top-p"), "End")  # 1
    seed = widget.locator(".s-seed input")
    seed.fill("7")
    seed.press("Enter")
    widget.locator(".s-logprobs input").press("Space")
    push(page, widget, "run")
    widget.locator(".s-row select").select_option(index=0)
    push(page, widget, "first-new")
    expect(widget.locator(".ml-step-detail")).to_contain_text("drawn (rank")
    expect(widget.locator(".ml-where")).to_contain_text("logprobs, row 0")
    screenshot(page, "09_generate_loop-drawn", widget)


def test_09_bad_input_is_answered_in_place(open_and_run):
    page = open_and_run("09_generate_loop.ipynb")
    widget = page.locator(".w-stepper")
    write(page, widget, "a\n" * 9)
    expect(widget.locator(".ml-failed")).to_contain_text("max_batch_size is 8")
    expect(widget.locator("button.s-forth")).to_be_disabled()
    write(page, widget, " ")
    expect(widget.locator(".ml-failed")).to_contain_text("There is no prompt")
    write(page, widget, "<b>bold</b>")
    expect(widget.locator(".ml-failed")).to_have_count(0)
    expect(widget.locator("tr.ml-step-row")).to_have_count(1)
    assert widget.locator("table b", has_text="bold").count() == 0
    assert not page.locator(ERRORS).all_inner_texts()


def test_09_predictions_exercises_and_pictures(open_and_run):
    page = open_and_run("09_generate_loop.ipynb")
    check_prediction(page, 4, "1")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(4)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(4)  # the folded solutions
    expect(page.locator(".ml-stepper").first).to_be_attached()  # the picture without a kernel
    flowchart = page.locator(".ml-flowchart")
    flowchart.scroll_into_view_if_needed()
    expect(flowchart.locator("svg")).to_contain_text("solution_cut")
    screenshot(page, "09_generate_loop-flowchart", flowchart)
    picture = page.locator('img[alt^="The generate loop"]').first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('img[alt^=\"The generate loop\"]').naturalWidth > 0")
