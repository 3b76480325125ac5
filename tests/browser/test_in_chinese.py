"""Three Chinese notebooks in JupyterLab: 07's line at top_p, 09's stepper, 12's chat; what is shown is Chinese."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab import in_kernel, press, screenshot, settle, show

pytestmark = pytest.mark.browser
ANSWERED = 60_000  # milliseconds that an answer may take on a busy machine
CHINESE = re.compile("[\u4e00-\u9fff]")
ENGLISH = re.compile(r"[a-z]{2,}(?: [a-z]{2,}){3,}", re.I)  # four words in a row


def english_left(widget):
    """English sentences in what a widget shows, but for its prompts, and in the names of its controls."""
    prompts = widget.locator("option").all_inner_texts()
    names = widget.locator("[aria-label]").evaluate_all("nodes => nodes.map(node => node.ariaLabel)")
    shown = [line for line in widget.inner_text().splitlines() if line.strip() not in prompts]
    return [text for text in [*shown, *names] if ENGLISH.search(text)]


def test_zh_07_top_p(open_and_run):
    page = open_and_run("zh/07_top_p.ipynb")
    widget = page.locator(".w-top-p")
    show(widget.locator(".fx-table"))
    screenshot(page, "zh_07_top_p-widget", widget)
    assert english_left(widget) == []
    expect(widget.get_by_role("columnheader", name="概率", exact=True)).to_be_visible()
    line = widget.locator(".s-top-p")
    press(page, line, "Home")  # top_p = 0
    expect(widget.locator(".ml-count")).to_contain_text(CHINESE)
    assert in_kernel(page, "explorer.top_p") == "0.0"
    press(page, line, "End")
    assert in_kernel(page, "explorer.top_p") == "1.0"

    question = page.locator(".fx-predict").first
    question.scroll_into_view_if_needed()
    question.locator("input").first.press("1")
    question.locator("input").first.press("Enter")
    expect(question.locator(".fx-said")).to_contain_text(CHINESE)
    assert english_left(question) == []
    screenshot(page, "zh_07_top_p-predict", question)


def test_zh_09_generate_loop(open_and_run):
    page = open_and_run("zh/09_generate_loop.ipynb")
    widget = page.locator(".w-stepper")
    show(widget.locator(".ml-count"))
    assert english_left(widget) == []
    widget.locator(".s-step [tabindex='0']").press("ArrowRight")
    settle(page)
    assert in_kernel(page, "stepper.step") == "1"
    expect(widget.locator(".ml-count")).to_contain_text("1")
    screenshot(page, "zh_09_generate_loop-widget", widget)


def test_zh_12_chat(open_and_run):
    page = open_and_run("zh/12_chat.ipynb")
    panel = page.locator(".w-chat-panel")
    panel.scroll_into_view_if_needed()
    assert english_left(panel) == []
    message = panel.locator(".s-message input")
    message.press_sequentially("你好")
    message.press("Enter")
    expect(panel.locator(".ml-said-assistant .ml-words")).to_contain_text(CHINESE, timeout=ANSWERED)
    screenshot(page, "zh_12_chat-panel", panel)
