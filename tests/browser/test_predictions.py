"""A prediction in a page without a kernel, opened as a file: choose, then see; the text above it asks once."""

import html

import pytest
from playwright.sync_api import expect

from minillama.widgets import Predict

pytestmark = pytest.mark.browser

OPTIONS = [
    "(2, 3)",
    "<b>(2, 4)</b>",
    "the whole row, with every token that it has had from its first to its last",
    "no",
]


def cell(question):
    """As a page of the book has it: the question and its options, then the output."""
    items = "".join(f"<li>{html.escape(option)}</li>" for option in question.options)
    return f'<p><b>Predict.</b> What?</p><ol>{items}</ol><div class="cell">{question.page()}</div>'


@pytest.fixture
def page(browser, tmp_path):
    """Two predictions under a text that asks, one alone."""
    questions = [Predict("What <i>shape</i>?", OPTIONS, OPTIONS[k], "A single index removes its axis.") for k in (1, 3)]
    pages = [*map(cell, questions), Predict("Alone?", ["yes", "no"], "no").page()]
    path = tmp_path / "page.html"
    path.write_text(f'<!doctype html><meta charset="utf-8"><body>{"".join(pages)}', encoding="utf-8")
    new, errors = browser.new_page(viewport={"width": 390, "height": 900}), []
    new.on("pageerror", lambda error: errors.append(str(error)))
    new.goto(path.as_uri())
    expect(new.locator(".fx-predict")).to_have_count(3)
    yield new
    new.close()
    assert not errors


def test_choose_then_see(page):
    first, second, alone = page.locator(".fx-predict").all()
    said, reveal = first.locator(".fx-said"), first.get_by_role("button", name="Reveal")
    group = page.get_by_role("group", name="What <i>shape</i>?")
    expect(group).to_have_count(2)
    expect(reveal).to_be_disabled()
    expect(page.locator("ol:visible")).to_have_count(0)  # the radios have the options
    expect(alone.locator("legend")).to_have_css("position", "static")
    expect(first.locator("legend")).to_have_css("position", "absolute")  # for a screen reader: the text above asks
    assert first.evaluate("node => node.scrollWidth <= node.clientWidth")

    radios = first.get_by_role("radio")
    radios.first.press("Enter")
    expect(said).to_be_empty()  # nothing was chosen
    radios.first.press("3")
    expect(radios.nth(2)).to_be_checked()
    expect(radios.nth(2)).to_be_focused()
    radios.nth(2).press("9")
    expect(radios.nth(2)).to_be_checked()
    radios.nth(2).press("ArrowUp")
    expect(radios.nth(1)).to_be_checked()
    radios.nth(1).press("1")
    expect(reveal).to_be_enabled()
    radios.first.press("Enter")
    words = "Not this time: you chose “(2, 3)”. The answer is “<b>(2, 4)</b>”. A single index removes its axis."
    expect(said).to_have_text(words)
    expect(said).to_be_focused()
    expect(first.locator(".fx-right")).to_have_text("2<b>(2, 4)</b>✓ the answer")
    expect(first.locator(".fx-wrong")).to_have_text("1(2, 3)✗ your choice: wrong")
    expect(first.get_by_text("0 of 1 predictions right")).to_be_visible()
    for radio in radios.all():
        expect(radio).to_be_disabled()
    expect(reveal).to_be_hidden()

    second.get_by_text("no", exact=True).click()
    second.get_by_role("button", name="Reveal").click()
    expect(second.locator(".fx-said")).to_have_text("Right: “no”. A single index removes its axis.")
    expect(second.locator(".fx-right")).to_have_text("4no✓ your choice: right")
    expect(second.get_by_text("1 of 2 predictions right in this notebook so far.")).to_be_visible()
