"""show_echo: its plain data and its page."""

import html
import re

import pytest

from minillama.widgets import show_echo
from minillama.widgets.echo import MAX_ROWS, echo_html, echo_of
from minillama.widgets.labels import EN


def prediction(pieces, data, logprobs, first=0):
    ids = list(range(first, first + len(pieces)))
    text = b"".join(data).decode(errors="replace")
    return {"generation": text, "finish_reason": "length", "tokens": pieces, "token_ids": ids, "token_bytes": data,
            "logprobs": logprobs}  # fmt: skip


def pair(n_prompt=2, pieces=("<s>", "▁Hi", "▁<b>", "<0xF0>")):
    data = [b"", b"Hi", b" <b>", b"\xf0"]
    logprobs = [None, -2.0, -0.5, -0.25]
    whole = prediction(list(pieces), data, logprobs)
    return whole, prediction(list(pieces[n_prompt:]), data[n_prompt:], logprobs[n_prompt:], n_prompt)


def cells(page):
    rows = re.findall(r"<tr class=\"ml-echo-\w+\">.*?</tr>", page)
    return [
        [html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows
    ]


def test_the_page():
    page = echo_html(echo_of(*pair()), EN)
    assert cells(page) == [
        ["0", "▸ prompt", "<s>", "b''", "None", "–", "–"],
        ["1", "▸ prompt", "▁Hi", "b'Hi'", "-2.0000", "–", "0.1353"],
        ["2", "● generated", "▁<b>", "b' <b>'", "-0.5000", "-0.5000", "0.6065"],
        ["3", "● generated", "<0xF0>", "b'\\xf0'", "-0.2500", "-0.2500", "0.7788"],
    ]
    assert page.count('class="ml-bar"') == 3
    assert "<b>" not in page and "echo=True" in page and "echo=False" in page


def test_hostile_pieces_are_escaped():
    page = echo_html(echo_of(*pair(pieces=("<s>", "<script>", '"><img src=x>', "\x00"))), EN)
    assert "<script>" not in page and "<img" not in page and "␀" in page


def test_no_prompt_no_tokens_many_tokens():
    whole, _ = pair()
    rows = echo_of(whole, pair(4)[1]).rows
    assert [row.from_prompt for row in rows] == [True] * 4 and {row.plain for row in rows} == {None}
    empty = prediction([], [], [])
    assert cells(echo_html(echo_of(empty, empty), EN)) == []
    n = MAX_ROWS + 5
    many = prediction(["a"] * n, [b"a"] * n, [-1.0] * n)
    page = echo_html(echo_of(many, many), EN)
    assert len(cells(page)) == MAX_ROWS and EN["more_tokens"].format(n=5) in page


def test_a_picture_without_a_kernel():
    picture = show_echo(*pair())
    assert picture._repr_html_() == echo_html(echo_of(*pair()), EN)
    assert repr(picture) == "<s>(None) ▁Hi(-2.00) ▁<b>(-0.50) <0xF0>(-0.25)"


def test_bad_input():
    whole, rest = pair()
    bare = {"generation": "Hi", "finish_reason": "length"}
    with pytest.raises(ValueError, match="with_echo has no log-probabilities; call text_completion with logprobs"):
        show_echo(bare, rest)
    with pytest.raises(ValueError, match="without has no log-probabilities"):
        show_echo(whole, bare)
    for other in (prediction(["x"], [b"x"], [-1.0], first=9), prediction(["x"] * 9, [b"x"] * 9, [-1.0] * 9)):
        with pytest.raises(ValueError, match="without is not the end of with_echo"):
            show_echo(whole, other)
