"""The views, as pure functions: right numbers, escaped text, no colour without a sign."""

import html
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillama import language, widgets
from minillama.markup import escape, wrap
from minillama.sampling import apply_temperature, nucleus
from minillama.widgets.labels import EN, labels
from minillama.widgets.stages import stages, stages_html
from minillama.widgets.top_p import top_p_html

LOGITS = torch.tensor([0.30, 0.10, 0.03, 0.50, 0.07]).log()
WORDS = ["a", "an", "that", "the", "this"]


def cells(page):
    rows = re.findall(r"<tr class=\"ml-(?:kept|cut).*?</tr>", page)
    return [
        [html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows
    ]


def test_the_notes_example_stage_by_stage():
    table = stages(LOGITS, temperature=1.0, top_p=0.85)
    assert [WORDS[row.token] for row in table.rows] == ["the", "a", "an", "this", "that"]
    assert [row.kept for row in table.rows] == [True, True, True, False, False]
    assert table.n_kept == 3 and table.vocab_size == 5
    assert table.mass_kept == pytest.approx(0.9)
    assert [row.prob for row in table.rows] == pytest.approx([0.5, 0.3, 0.1, 0.07, 0.03])
    assert [row.mass_before for row in table.rows] == pytest.approx([0, 0.5, 0.8, 0.9, 0.97], abs=1e-6)
    assert [row.renormalised for row in table.rows] == pytest.approx([5 / 9, 3 / 9, 1 / 9, 0, 0])


@given(
    logits=st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=40),
    temperature=st.sampled_from([0.0, 0.05, 1.0, 2.0]),
    top_p=st.floats(0, 1),
)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_the_table_is_the_samplers_own(logits, temperature, top_p):
    logits = torch.tensor(logits)
    table = stages(logits, temperature, top_p, n_rows=12)
    top = nucleus(apply_temperature(logits, temperature), top_p)
    assert table.n_kept == int(top.kept.sum()) >= 1
    order = logits.sort(descending=True, stable=True).indices.tolist()
    assert [row.token for row in table.rows] == order[:12], "equal probabilities: by their logits"
    for k, row in enumerate(table.rows):
        assert row.prob == pytest.approx(float(top.probs_sort[k]))
        assert row.renormalised == pytest.approx(float(top.renormalised[k]))
        assert row.scaled is None if temperature == 0 else row.scaled == pytest.approx(row.logit / temperature)


def test_the_page_shows_every_stage_and_marks_the_cut():
    page = top_p_html(stages(LOGITS, 2.0, 0.5), WORDS, EN)
    rows = cells(page)
    assert [row[0] for row in rows] == ["the", "a", "an", "this", "that"]
    assert [row[5] for row in rows] == ["✓ kept"] * 2 + ["✗ cut"] * 3
    assert rows[0][1] == f"{LOGITS[3]:.2f}" and rows[0][2] == f"{LOGITS[3] / 2:.2f}"
    assert page.count("ml-border") == page.count("ml-border {") + 1 + page.count(
        ".ml .ml-border "
    )  # one line is the cut
    assert "2 of 5 tokens kept" in page
    assert all(
        EN[f"col_{head}"] in page for head in ("token", "logit", "scaled", "prob", "before", "kept", "renormalised")
    )


def test_what_is_not_shown_is_counted():
    page = stages_html(stages(torch.zeros(30), 1.0, 0.95, n_rows=10), str, EN)
    assert len(cells(page)) == 10
    assert "20 more tokens (19 of them kept)" in page


def test_tokens_are_escaped():
    names = ["<script>alert(1)</script>", '" onmouseover="x', "&lt;", "\x00\n", "\u202eabc"]
    page = top_p_html(stages(LOGITS, 1.0, 1.0), names, EN)
    assert "<script>" not in page and 'onmouseover="x' not in page.replace("&quot;", "'")
    assert "&lt;script&gt;" in page and "&amp;lt;" in page and "␀␊" in page and "\u202e" not in page


@given(st.text(st.characters(codec=None)))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_escape_leaves_no_markup_and_no_surrogate(text):
    escaped = escape(text)
    assert not set(escaped) & set("<>\"'")
    escaped.encode()
    assert wrap(escaped).isprintable() or "\n" not in escaped


def test_what_has_no_shape_is_shown_as_a_number():
    assert escape("\x9b\xad\u061c\u2060\ufff9") == r"\u009b\u00ad\u061c\u2060\ufff9"
    assert escape("\U000e0041 字é🦙") == r"\U000e0041 字é🦙"


def test_labels_are_those_of_the_language_in_use():
    assert labels() == EN
    language("zh")
    in_use = labels()
    language("en")
    assert in_use.keys() == EN.keys() and in_use["temperature"] == "温度"


def test_a_view_is_shown_with_its_still(llama, monkeypatch):
    """Two outputs; the widget hides the still, which says what a notebook without its kernel has."""
    outputs = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: outputs.append(data))
    view = widgets.TokenView(llama.tokenizer, "</div><b>")
    view._ipython_display_()
    live, still = outputs
    assert "application/vnd.jupyter.widget-view+json" in live and live["text/html"] == "" and len(live) == 2
    assert still.keys() == {"text/html", "text/plain"} and still["text/plain"] == repr(view) == "TokenView()"
    assert f'<div data-ml-still="{view.key}" data-ml-view>' in still["text/html"] and "<b>" not in still["text/html"]
    assert "Run the notebook" in still["text/html"] and view.view.value in still["text/html"]
    assert f'[data-ml-still="{view.key}"]' in view.children[-1].value
