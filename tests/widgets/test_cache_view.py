"""CacheView: the calls, the table as a pure function, and the widget with every value at its ends."""

import html
import re

import pytest

from minillama import plots
from minillama.widgets import CacheView
from minillama.widgets.cache import MAX_PROMPT, cache_calls, cache_html
from minillama.widgets.labels import EN

PROMPT = "Once upon a time"
PIECES = list("abcdefg")


def rows(page, css):
    """The cells of every row of that class, without markup."""
    found = re.findall(rf'<tr class="{css}">.*?</tr>', page)
    return [[html.unescape(re.sub(r"<[^>]+>", "", c)) for c in re.findall(r"<td.*?</td>", row)] for row in found]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((4, 7), [(0, 4), (4, 5), (5, 6)]),
        ((4, 7, 3), [(0, 3), (3, 4), (4, 5), (5, 6)]),
        ((4, 7, 2), [(0, 2), (2, 4), (4, 5), (5, 6)]),
        ((3, 5, 1), [(0, 1), (1, 2), (2, 3), (3, 4)]),
        ((1, 2), [(0, 1)]),
        ((4, 7, 2, False), [(0, 4), (0, 5), (0, 6)]),
    ],
)
def test_the_calls(arguments, expected):
    assert cache_calls(*arguments) == expected


def test_the_calls_are_those_of_the_loop(llama):
    prompt_tokens = llama.tokenizer.encode(PROMPT, bos=True, eos=False)
    steps = list(llama.generate_steps([prompt_tokens], max_gen_len=5, temperature=0))
    expected = [(step.prev_pos, step.cur_pos) for step in steps]
    assert cache_calls(len(prompt_tokens), steps[-1].cur_pos + 1) == expected


def test_prefill_decode_and_a_piece_between():
    calls = cache_calls(4, 7, piece=3)
    prefill = cache_html(calls, 0, PIECES, 4, EN)
    assert rows(prefill, "ml-slots") == [["W"] * 3 + ["–"] * 4]
    assert rows(prefill, "ml-query") == [list("✓✗✗") + [""] * 4, list("✓✓✗") + [""] * 4, list("✓✓✓") + [""] * 4]
    assert "Writes slots 0 to 2, reads slots 0 to 2." in prefill and EN["cache_more_prompt"] in prefill
    assert rows(prefill, "ml-tokens") == [list("abcd") + [""] * 3]  # the rest is not written yet

    piece = cache_html(calls, 1, PIECES, 4, EN)
    assert rows(piece, "ml-slots") == [["R"] * 3 + ["W"] + ["–"] * 3]
    assert "forward(tokens[:, 3:4], 3)" in piece and "column 4: e" in piece

    decode = cache_html(calls, 3, PIECES, 4, EN)
    assert rows(decode, "ml-slots") == [["R"] * 5 + ["W", "–"]]
    assert rows(decode, "ml-query") == [["✓"] * 6 + [""]]
    assert "Writes slot 5, reads slots 0 to 5." in decode and "in all calls: 6)" in decode


def test_the_mask_of_a_piece_after_old_tokens():
    page = cache_html(cache_calls(5, 7, piece=3), 1, PIECES, 5, EN)
    assert rows(page, "ml-query") == [list("✓✓✓✓✗") + [""] * 2, list("✓✓✓✓✓") + [""] * 2]


def test_without_a_cache_all_is_computed_again():
    calls = cache_calls(4, 7, cached=False)
    page = cache_html(calls, 2, PIECES, 4, EN)
    assert rows(page, "ml-slots") == [["W"] * 6 + ["–"]] and "in all calls: 15)" in page


def test_pieces_are_escaped():
    page = cache_html([(0, 1)], 0, ["<script>", '" onclick="x'], 1, EN, note="<b>note")
    assert "<script>" not in page and 'onclick="x' not in page and "<b>note" not in page


@pytest.fixture
def view(llama):
    return CacheView(llama, PROMPT, max_gen_len=5)


def test_every_value_from_end_to_end(view):
    for name, highest in (("call", len(view.calls)), ("piece", view.read["n_prompt"])):
        default, seen = getattr(view, name), []
        for value in (1, highest, default):
            setattr(view, name, value)
            seen.append(view.still())
        assert seen[0] != seen[1]
    with_cache = view.still()
    view.call = 2
    shown = view.still()
    view.cached = False
    assert view.still() not in (with_cache, shown)
    view.cached = True
    assert view.still() == shown


def test_the_text_is_the_greedy_one(view, llama):
    prompt_tokens = llama.tokenizer.encode(PROMPT, bos=True, eos=False)
    tokens = llama.generate([prompt_tokens], max_gen_len=5, temperature=0)[0][0]
    pieces = llama.tokenizer.pieces(prompt_tokens + tokens)
    assert view.read["pieces"][: len(pieces)] == pieces and view.read["n_prompt"] == len(prompt_tokens)


def test_only_a_new_prompt_runs_the_model(view, llama, monkeypatch):
    monkeypatch.setattr(llama, "generate_steps", lambda *_, **__: pytest.fail("the model was run"))
    view.call, view.piece, view.cached = 3, 2, False
    assert view.page()
    with pytest.raises(pytest.fail.Exception):
        view.prompt = "The cat"


def test_a_shorter_plan_keeps_the_call_inside(view):
    view.piece = 1
    view.call = len(view.calls)
    view.piece = view.read["n_prompt"]
    assert view.call == len(view.calls)


def test_what_the_browser_sends_arrives(view):
    view.set_state({"piece": 1, "call": 6})
    assert (view.piece, view.call) == (1, 6) and view.calls[5] == (5, 6)
    view.set_state({"cached": False, "call": 2})
    assert view.call == 2 and {start for start, _ in view.calls} == {0}
    view.set_state({"prompt": "The cat"})
    assert view.read["prompt"] == "The cat" and (view.call, view.piece) == (1, view.read["n_prompt"])


def test_values_are_judged(view):
    for name, value, words in [
        ("call", 0, f"call must be a whole number from 1 to {len(view.calls)}, got 0"),
        ("call", len(view.calls) + 1, "call must be a whole number from 1 to"),
        ("piece", view.read["n_prompt"] + 1, f"piece must be a whole number from 1 to {view.read['n_prompt']}"),
        ("cached", 1, "cached must be True or False, got int 1"),
        ("prompt", None, "prompt must be a str, got NoneType None"),
    ]:
        before = getattr(view, name)
        with pytest.raises((TypeError, ValueError), match=words):
            setattr(view, name, value)
        assert getattr(view, name) == before


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "The prompt is empty"),
        ("a cat " * 50, "The prompt was cut: only its first 16 tokens"),
        ("x" * 100_000, "The prompt was cut"),
        ("\x00\x1b\n", None),
        ("שלום \u202e مرحبا", None),
        ("<img src=x onerror=alert(1)>", None),
        ("从前有一只小猫", None),
    ],
)
def test_odd_prompts(view, prompt, message):
    view.prompt = prompt
    page = view.still()
    assert "forward(tokens[:, 0:" in page and "<img" not in page and "\u202e" not in page
    assert message is None or message in page
    assert view.read["n_prompt"] <= MAX_PROMPT and view.piece == view.read["n_prompt"]


def test_a_lone_surrogate_gives_a_message_and_the_widget_lives(view):
    view.prompt = "half \ud800 a character"
    assert "cannot be read" in view.still() and "ml-slots" not in view.still() and view.calls == []
    view.cached = False  # still a message, no old table
    assert "cannot be read" in view.still()
    view.cached, view.prompt = True, PROMPT
    assert "ml-slots" in view.still()


def test_bad_arguments(llama):
    with pytest.raises(TypeError, match="prompt must be a str"):
        CacheView(llama, ["a"])
    with pytest.raises(ValueError, match="max_gen_len must be a whole number from 1 to 16"):
        CacheView(llama, PROMPT, max_gen_len=0)


def test_the_figures():
    figure = plots.plot_cache(cache_calls(4, 7), PIECES)
    signs = [text.get_text() for text in figure.axes[0].texts]
    assert "".join(signs) == "WWWW–––" + "RRRRW––" + "RRRRRW–"
    costs = {"with the cache": [1e6, 1e6], "without": [1e6, 9e6]}
    figure = plots.plot_token_cost([1, 9], costs, costs)
    counted, measured = figure.axes
    assert list(counted.lines[1].get_ydata()) == [1, 9] and list(measured.lines[1].get_ydata()) == [1e6, 9e6]
