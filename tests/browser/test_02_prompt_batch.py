"""Notebook 02 in JupyterLab: the canvas, its prompts and its slider, all by keyboard."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import check_prediction, clear, screenshot, settle, show, stays

pytestmark = pytest.mark.browser


def write(page, widget, text):
    """Replace the prompts by typing."""
    field = widget.locator(".s-prompts textarea")
    clear(field)
    field.press_sequentially(text)
    settle(page)


def numbers(widget):
    caption = widget.locator(".ml-count").inner_text()
    bsz, total_len = re.search(r"bsz = (\d+).*\) = (\d+)\.", caption).groups()
    return int(bsz), int(total_len)


def shows(widget, bsz, total_len):
    """Wait until the caption says so."""
    expect(widget.locator(".ml-count")).to_have_text(re.compile(rf"bsz = {bsz}\b.*\) = {total_len}\."))


def test_02_prompt_batch(open_and_run):
    page = open_and_run("02_prompt_batch.ipynb")
    screenshot(page, "02_prompt_batch")
    widget = page.locator(".w-canvas")
    show(widget.locator(".ml-count"))
    screenshot(page, "02_prompt_batch-widget", widget)
    bsz, total_len = numbers(widget)
    assert bsz == 3

    spoken = stays(widget)
    length = widget.get_by_label("max_gen_len")
    length.press("ArrowUp")
    shows(widget, 3, total_len + 1)
    expect(spoken).to_contain_text(f"= {total_len + 1}.")
    length.fill("9999")
    length.press("Enter")  # max_seq_len caps it
    shows(widget, 3, 512)
    expect(widget.get_by_text("more columns are not shown")).to_be_visible()
    length.fill("0")
    length.press("Enter")
    settle(page)
    assert numbers(widget)[1] < total_len
    length.press("ArrowUp")
    settle(page)

    write(page, widget, "One cat\nOne dog")
    assert numbers(widget)[0] == 2
    expect(widget.locator("td.ml-prompt", has_text="✓").first).to_be_visible()
    screenshot(page, "02_prompt_batch-two", widget)

    write(page, widget, "<b>\n" + "a\n" * 8)  # nine prompts, one too many
    expect(widget.locator(".ml-failed")).to_contain_text("max_batch_size is 8")
    screenshot(page, "02_prompt_batch-message", widget)
    write(page, widget, " ")
    expect(widget.locator(".ml-failed")).to_contain_text("There is no prompt")
    expect(spoken).to_contain_text("There is no prompt")
    write(page, widget, "<b>")
    assert numbers(widget)[0] == 1
    expect(widget.locator(".ml-failed")).to_have_count(0)


def test_02_predictions_exercises_and_picture(open_and_run):
    page = open_and_run("02_prompt_batch.ipynb")
    check_prediction(page, 6, "1")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(3)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(3)  # the folded solutions
    expect(page.locator(".ml-canvas-view").first).to_be_attached()  # the picture without a kernel
    picture = page.locator('img[alt^="Eight boxes"]').first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('img[alt^=\"Eight boxes\"]').naturalWidth > 0")
