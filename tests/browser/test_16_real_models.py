"""Notebook 16 in JupyterLab: with SmolLM2 where it is; without it what was recorded, and how to get the file."""

import json
import re

import pytest
from playwright.sync_api import expect

from minillama import smollm2
from tests.browser.jupyterlab import ERRORS, REPOSITORY, check_prediction, clear, screenshot, settle, show

pytestmark = pytest.mark.browser
NAME = "16_real_models.ipynb"
ANSWERED = 120_000  # milliseconds that an answer may take on a busy machine
THERE = smollm2.find() is not None
OWN, FOREIGN = ("<|im_end|>", "[INST]") if THERE else ("[INST]", "<|im_end|>")  # tags of the format that is running


def test_16_what_is_seen(open_and_run):
    page = open_and_run(NAME)
    picture = page.locator('img[alt^="Three layouts"]').first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('img[alt^=\"Three layouts\"]').naturalWidth > 0")
    screenshot(page, "16_real_models")
    cells = json.loads((REPOSITORY / "notebooks" / NAME).read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if "needs-real-model" in cell["metadata"].get("tags", ())]
    hints = page.locator(".jp-OutputArea-output", has_text=smollm2.HOW)
    expect(hints).to_have_count(0 if THERE else len(sources) + 1)  # the set-up cell says it too
    n = sum("speaker" not in source for source in sources)  # the last two show the course model
    expect(page.locator(".ml-recorded")).to_have_count(0 if THERE else n)
    if not THERE:
        expect(page.locator(".ml-recorded").first).to_contain_text("Recorded: what SmolLM2-135M-Instruct returned")
    expect(page.locator(".ml-heatmap")).to_have_count(2)  # the course model's, and SmolLM2's, recorded or not
    expect(page.locator(".ml-is-system").first).to_contain_text("helpful")  # of the default system message
    check_prediction(page, 4, "all but wq and wk")
    expect(page.locator(".ml-report .ml-missing")).to_have_count(3)  # the stubs
    expect(page.locator(".ml-report .ml-passed")).to_have_count(3)  # the folded solutions
    expect(page.locator("a", has_text="minillama/formats/gguf.py").first).to_be_attached()


def test_16_tokens(open_and_run):
    page = open_and_run(NAME)
    widget = page.locator(".w-tokens")
    show(widget.locator("table"))
    field = widget.locator(".s-text textarea")
    clear(field)
    expect(widget.locator(".ml-count")).to_contain_text("no text yet")
    page.keyboard.insert_text("a 🦙")
    expect(widget.locator(".ml-character").last).to_contain_text("= 🦙")
    screenshot(page, "16_real_models-tokens", widget)


def test_16_panel(open_and_run):
    page = open_and_run(NAME)
    panel = page.locator(".w-chat-panel")
    panel.scroll_into_view_if_needed()
    message, status = panel.locator(".s-message input"), panel.locator(".s-status")
    expect(status).to_contain_text("Ready")
    message.press_sequentially(f"What is {OWN}?")
    message.press("Enter")
    expect(status).to_contain_text("Refused")
    expect(status).to_contain_text(OWN)
    clear(message)
    page.keyboard.insert_text(f"What is {FOREIGN}?")
    settle(page)
    message.press("Enter")
    expect(panel.locator(".ml-said-user")).to_contain_text(FOREIGN, timeout=ANSWERED)
    expect(status).to_contain_text(re.compile("Ready"), timeout=ANSWERED)
    screenshot(page, "16_real_models-panel", panel)
    expect(page.locator(ERRORS)).to_have_count(0)
