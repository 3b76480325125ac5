"""CanvasView and its picture: the loop's own canvas, every control moved to its ends, bad input answered in place."""

import html
import re

import pytest
import torch

from minillama.widgets import CanvasView, show_canvas
from minillama.widgets.canvas import canvas_html, lay_out
from minillama.widgets.labels import EN
from minillama.widgets.parts import LONGEST

TOY = [[1, 5, 9], [1, 7], [1, 4, 8, 6]]
PROMPTS = ["Once upon a time", "The cat", "从前有一只小猫"]


def grid(page, body):
    """The cells of a table body, row by row, without their headings."""
    rows = re.findall(r"<tr>.*?</tr>", re.findall(r"<tbody>.*?</tbody>", page, re.S)[body], re.S)
    cells = [re.findall(r"<td.*?</td>", row) for row in rows]
    return [[html.unescape(re.sub(r"<[^>]+>", " ", cell)).split() for cell in row] for row in cells if row]


@pytest.mark.parametrize("max_gen_len", [1, 5])
def test_it_is_the_loops_canvas(random_llama, max_gen_len):
    llama = random_llama()
    canvas = lay_out(TOY, max_gen_len, llama.model.params.max_seq_len)
    calls = []
    for number, step in enumerate(llama.generate_steps(TOY, max_gen_len, temperature=0, seed=0), start=1):
        assert step.tokens.shape == (3, canvas.total_len)
        assert step.from_prompt.tolist() == [row[step.cur_pos] for row in canvas.mask]
        calls += [number] * (step.cur_pos - step.prev_pos)
        if number == 1:
            later = step.tokens[:, step.cur_pos + 1 :].tolist()
            assert later == [row[step.cur_pos + 1 :] for row in canvas.tokens]
    assert [canvas.read_by(column) for column in range(len(calls))] == calls


def test_the_numbers_of_a_canvas():
    canvas = lay_out(TOY, 3, 16)
    assert canvas.tokens[1] == [1, 7, -1, -1, -1, -1, -1]
    assert canvas.mask[2] == [True] * 4 + [False] * 3
    assert [canvas.read_by(column) for column in range(7)] == [1, 1, 2, 3, 4, 5, None]
    assert lay_out(TOY, 20, 10).total_len == 10
    scored = lay_out(TOY, 0, 16)
    assert scored.total_len == 4 and {scored.read_by(column) for column in range(4)} == {None}


def test_the_page_shows_canvas_mask_and_calls():
    page = canvas_html(lay_out(TOY, 3, 16), lambda i: f"t{i}", EN)
    assert grid(page, 0)[1] == [["t1", "1"], ["t7", "7"], ["-1"], ["-1"], ["-1"], ["-1"], ["-1"]]
    assert grid(page, 1)[0] == [["✓"]] * 3 + [["·"]] * 4
    assert grid(page, 2) == [[["1"], ["1"], ["2"], ["3"], ["4"], ["5"], ["–"]]]
    assert "min(16, 4 + 3) = 7" in page and "bsz = 3" in page and "not shown" not in page


def test_columns_that_are_not_shown_are_counted():
    page = canvas_html(lay_out(TOY, 30, 512), str, EN, n_columns=10)
    assert "24 more columns" in page and "total_len" in page
    assert all(len(row) == 11 and row[-1] == ["…"] for body in range(3) for row in grid(page, body))


def test_pieces_are_escaped():
    names = {1: "<script>alert(1)</script>", 5: '" onmouseover="x', 9: "\x00\n\u202e"}
    page = canvas_html(lay_out([[1, 5, 9]], 1, 16), names.get, EN)
    assert "<script>" not in page and 'onmouseover="' not in page and "\u202e" not in page
    assert "&lt;script&gt;" in page and "␀␊" in page


@pytest.fixture
def view(llama):
    return CanvasView(llama, PROMPTS)


def total_len(view):
    return int(re.search(r"\) = (\d+)\.", view.view.value).group(1))


def test_the_slider_from_end_to_end(view, llama):
    longest = max(len(llama.tokenizer.encode(text, bos=True, eos=False)) for text in PROMPTS)
    most = llama.model.params.max_seq_len
    assert view.max_gen_len.max == most
    for value in (0, most, 8, 1):
        view.max_gen_len.value = value
        assert total_len(view) == min(most, longest + value)


def test_the_prompts_can_be_edited(view, llama):
    view.prompts.value = "Once\n\n  \nThe cat\r"
    assert "bsz = 2" in view.view.value
    assert view.prompt_tokens[0] == llama.tokenizer.encode("Once", bos=True, eos=False)
    view.prompts.value = "<b>&amp;"
    assert "<b>" not in view.view.value.replace("<br>", "") and "bsz = 1" in view.view.value


def test_neither_control_runs_the_model(view, llama, monkeypatch):
    monkeypatch.setattr(llama.model, "forward", lambda *_: pytest.fail("the model was run"))
    view.max_gen_len.value, view.prompts.value = 3, "The"


BAD = {
    "nothing": ("", "There is no prompt"),
    "blank lines": (" \n\t\n", "There is no prompt"),
    "fifty prompts": ("\n".join(["The cat"] * 50), "There are 50 prompts, but max_batch_size is 4"),
    "longer than the context": ("The cat " * 100, "Shorten it"),
    "a lone surrogate": ("The\ncat \ud800", "The prompt in row 1 contains half a character"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_answered_in_place_and_the_widget_lives_on(view, name):
    text, message = BAD[name]
    view.prompts.value = text
    assert message in view.view.value and "ml-failed" in view.view.value and "<table" not in view.view.value
    view.max_gen_len.value = 0
    assert "ml-failed" in view.view.value
    view.prompts.value = "The cat"
    assert "bsz = 1" in view.view.value and "ml-failed" not in view.view.value


def test_a_very_long_text_is_cut_with_a_note(view):
    view.prompts.value = "The cat\n" + " " * 10 * LONGEST + "\nOnce"
    assert f"first {LONGEST} characters" in view.view.value and "bsz = 1" in view.view.value
    view.prompts.value = "The cat"
    assert "characters" not in view.view.value


@pytest.mark.parametrize(
    "text", ["\x00\x07\x0b\x0c\u2028", "\u202eabc\u202c مرحبا", "🦙" * 5, "<script>alert(1)</script>"]
)
def test_odd_characters_are_shown_safely(view, text):
    view.prompts.value = text
    assert "bsz = 1" in view.view.value and "<script>" not in view.view.value
    assert not set(view.view.value) & set("\x00\x07\u202e\u2028")


def test_a_prompt_that_fills_the_context_needs_max_gen_len_0(view, llama):
    most = llama.model.params.max_seq_len
    view.prompts.value = "1" * (most - 2)  # bos, ▁, and a token a digit
    assert len(view.prompt_tokens[0]) == most
    assert "Shorten it" in view.view.value
    view.max_gen_len.value = 0
    assert total_len(view) == most


def test_the_picture_is_the_widgets_view(llama):
    picture = show_canvas(llama, TOY, 3)
    assert "bsz = 3" in picture._repr_html_() and "<style>" in picture._repr_html_()
    assert "[1, 7, -1, -1, -1, -1, -1]" in repr(picture)


def test_keyboard_hooks_and_bad_arguments(view, llama):
    for hook, control in {"s-prompts": view.prompts, "s-max-gen-len": view.max_gen_len}.items():
        assert hook in control._dom_classes and control.tabbable is not False
    assert "w-canvas" in view._dom_classes
    with pytest.raises(TypeError, match="prompts must be a list of str"):
        CanvasView(llama, "Once")
    with pytest.raises(ValueError, match="max_gen_len"):
        CanvasView(llama, PROMPTS, max_gen_len=-1)


@pytest.mark.parametrize(
    ("prompt_tokens", "max_gen_len", "error", "message"),
    [
        ([1, 2], 3, TypeError, r"list of lists of token ids, but prompt_tokens\[0\] is 1"),
        ([], 3, ValueError, "prompt_tokens is empty"),
        ([[1] * 96], 1, ValueError, r"prompt_tokens\[0\] has 96 tokens, but max_seq_len is 96"),
        ([[1]], -1, ValueError, "max_gen_len"),
    ],
)
def test_the_picture_refuses_what_a_run_would(llama, prompt_tokens, max_gen_len, error, message):
    with pytest.raises(error, match=message):
        show_canvas(llama, prompt_tokens, max_gen_len)


def test_lay_out_agrees_with_torch():
    tokens = torch.tensor(lay_out(TOY, 2, 16).tokens)
    assert tokens.shape == (3, 6) and bool(((tokens != -1) == torch.tensor(lay_out(TOY, 2, 16).mask)).all())
