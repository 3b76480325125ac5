"""TokenView: its plain data, its page and its controls."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillama.widgets import TokenView, show_tokens
from minillama.widgets.labels import EN
from minillama.widgets.parts import LONGEST_DRAWN
from minillama.widgets.tokens import MAX_ROWS, tokens_html, tokens_of
from tests.examples import examples

TEXT = "Once 猫 🦙 12"


def cells(page):
    rows = re.findall(r"<tr class=\"ml-(?:text|byte|control)\">.*?</tr>", page)
    return [
        [html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows
    ]


def chips(page):
    return [html.unescape(piece) for piece in re.findall(r'<span class="ml-piece">(.*?)</span>', page)]


def test_the_rows_are_the_tokenizers(tokenizer):
    tokens = tokens_of(tokenizer, TEXT, bos=True, eos=True)
    ids = tokenizer.encode(TEXT, bos=True, eos=True)
    assert [row.id for row in tokens.rows] == ids
    assert [row.piece for row in tokens.rows] == tokenizer.pieces(ids)
    assert b"".join(row.data for row in tokens.rows) == tokenizer.decode_bytes(ids)
    assert [row.kind for row in tokens.rows][:1] + [row.kind for row in tokens.rows][-1:] == ["control"] * 2
    assert [row.alone for row in tokens.rows] == [tokenizer.decode([i]) for i in ids]
    assert tokens.n_cut == 0


def test_the_bytes_of_a_character_stand_together(tokenizer):
    rows = tokens_of(tokenizer, "🦙🦙").rows[1:]
    assert [row.kind for row in rows] == ["byte"] * 8
    assert [row.completed for row in rows] == ["", "", "", "🦙"] * 2
    assert {row.alone for row in rows} == {"\ufffd"}
    first, second = rows[0].group, rows[4].group
    assert first != second and [row.group for row in rows] == [first] * 4 + [second] * 4


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=30))
@examples(40)
def test_what_is_completed_is_the_text(tokenizer, text):
    tokens = tokens_of(tokenizer, text, bos=True)
    assert "".join(row.completed for row in tokens.rows) == (f" {text}" if text else "")
    page = tokens_html(tokens, EN, style=False)
    assert len(chips(page)) == len(tokens.rows)


def test_the_page(tokenizer):
    page = tokens_html(tokens_of(tokenizer, TEXT, bos=True), EN)
    rows = cells(page)
    ids = tokenizer.encode(TEXT, bos=True, eos=False)
    assert chips(page) == [row[0] for row in rows] == tokenizer.pieces(ids)
    assert [int(row[1]) for row in rows] == ids
    assert rows[0][2:] == ["control", "–", '""', "–"]
    byte = next(row for row in rows if row[0] == "<0x9F>")
    assert byte[2:] == ["byte", "9F", '"\ufffd"', EN["tok_waits"]]
    assert next(row for row in rows if row[0] == "<0x99>")[5] == '"🦙"'
    assert f"Tokens: {len(ids)}. Characters: {len(TEXT)}. Bytes in UTF-8: {len(TEXT.encode())}." in page
    assert "= 🦙" in page and page.count('class="ml-character"') == 1


def test_a_picture_without_a_kernel(tokenizer):
    picture = show_tokens(tokenizer, TEXT)
    assert picture._repr_html_() == tokens_html(tokens_of(tokenizer, TEXT), EN)
    assert repr(picture).endswith(")") and "▁" in repr(picture)
    with pytest.raises(TypeError, match="must be a str"):
        show_tokens(tokenizer, 5)


@pytest.fixture
def view(tokenizer):
    return TokenView(tokenizer, TEXT)


def test_every_control_from_end_to_end(view, tokenizer):
    default = view.view.value
    assert default == tokens_html(tokens_of(tokenizer, TEXT), EN, style=False)
    for bos in (False, True):
        for eos in (False, True):
            view.bos.value, view.eos.value = bos, eos
            assert chips(view.view.value) == tokenizer.pieces(tokenizer.encode(TEXT, bos=bos, eos=eos))
    view.input.value, view.bos.value, view.eos.value = "12", False, False
    assert chips(view.view.value)[-2:] == ["1", "2"]
    view.input.value = TEXT
    assert view.view.value == default


def test_no_text(view):
    view.input.value = ""
    assert EN["tok_empty"] in view.view.value and chips(view.view.value) == []
    view.bos.value = True
    assert EN["tok_empty"] in view.view.value and chips(view.view.value) == ["<s>"]


@pytest.mark.parametrize("character", ["a", "🦙", "\n"])
def test_a_very_long_text_is_cut_with_a_message(view, tokenizer, character):
    view.input.value = character * (LONGEST_DRAWN + 7)
    page = view.view.value
    assert f"the first {LONGEST_DRAWN} characters are shown, 7 are left out" in page
    n_tokens = len(tokenizer.encode(character * LONGEST_DRAWN, bos=False, eos=False))
    assert len(chips(page)) == n_tokens
    assert len(cells(page)) == min(MAX_ROWS, n_tokens)
    if n_tokens > MAX_ROWS:
        assert f"{n_tokens - MAX_ROWS} more tokens" in page


@pytest.mark.parametrize(
    "text",
    ["\x00\x07\n\t\x7f", "שלום مرحبا", "\u202eabc\u202c", "<script>alert(1)</script>", '" onclick="x', "&lt;", "</s>"],
)
def test_odd_text_is_shown_escaped(view, tokenizer, text):
    view.input.value = text
    page = view.view.value
    assert len(chips(page)) == len(tokenizer.encode(text, bos=False, eos=False))
    assert not {"<script", 'onclick="', "\u202e", "\x00", "\x07", "\x7f"} & set(
        re.findall(r"<script|onclick=\"|.", page)
    )
    view.input.value = "ok"
    assert chips(view.view.value)[-1].endswith("k")


def test_a_lone_surrogate_gives_a_message_and_the_view_lives_on(view):
    view.input.value = "ab\ud83e"
    assert "ml-failed" in view.view.value and EN["surrogate"] in view.view.value
    view.view.value.encode()
    view.input.value = "ab"
    assert "ml-failed" not in view.view.value and chips(view.view.value)


def test_keyboard_and_hooks(view):
    for hook, control in (("s-text", view.input), ("s-bos", view.bos), ("s-eos", view.eos)):
        assert hook in control._dom_classes and control.tabbable is not False
    assert "w-tokens" in view._dom_classes
