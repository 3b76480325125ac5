"""What the widgets share: escaped, announced, and the same in each of them."""

import re

import ipywidgets as W
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillama.markup import visible, wrap
from minillama.widgets import (
    CacheView,
    CanvasView,
    ChatPanel,
    ChatView,
    GenerateStepper,
    LogprobHeatmap,
    Predict,
    TemperatureExplorer,
    TokenView,
)
from minillama.widgets.canvas import caption, lay_out
from minillama.widgets.chat_panel import panel_html
from minillama.widgets.labels import EN
from minillama.widgets.parts import (
    LONGEST,
    SIGNS,
    Live,
    Picture,
    box,
    boxes,
    chip,
    count,
    hook,
    number,
    refusal,
    share,
    shortened,
    sized,
    small,
    table,
)  # fmt: skip

HALF = "half \ud800 a character"


def bad_text(name, llama):
    """What a widget shows when half a character is typed into it."""
    if name == "CacheView":
        view = CacheView(llama, "Once", max_gen_len=1)
        view.prompt = HALF
        return view.still()
    elif name == "CanvasView":
        view = CanvasView(llama, ["Once"])
        view.prompts.value = HALF
    elif name == "ChatPanel":
        view = ChatPanel(llama)
        assert not view.ask(HALF)
        return view.status.value
    elif name == "ChatView":
        view = ChatView(llama, [{"role": "user", "content": "Hi"}])
        view.messages.value = HALF
    elif name == "GenerateStepper":
        view = GenerateStepper(llama, ["Once"], max_gen_len=1)
        view.prompts = [HALF]
        view.run()
        return view.still()
    elif name == "LogprobHeatmap":
        view = LogprobHeatmap(llama, ["Once"], max_gen_len=1)
        view.prompts = [HALF, "Once"]
        return view.still()
    elif name == "TemperatureExplorer":
        view = TemperatureExplorer(llama, ["Once"])
        view.own = HALF
        return view.still()
    else:
        view = TokenView(llama.tokenizer)
        view.input.value = HALF
    return view.view.value


NAMES = ["CacheView", "CanvasView", "ChatPanel", "ChatView", "GenerateStepper", "LogprobHeatmap",
         "TemperatureExplorer", "TokenView"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_widget_refuses_in_the_same_form(name, llama):
    (failed,) = re.findall(r'<div class="ml-box ml-failed".*?</div>', bad_text(name, llama))
    assert f'<span class="ml-sign">{SIGNS["failed"]}</span>' in failed
    assert "surrogate" in failed


def test_a_message_has_a_role_and_a_second_sign():
    for kind, sign in SIGNS.items():
        role = "alert" if kind == "failed" else "status"
        assert f'role="{role}"' in box("a", kind) and f">{sign}<" in box("a", kind)
    assert box("<b>") == '<div class="ml-box" role="status">&lt;b&gt;</div>'
    assert boxes(["a", "b"]).count("ml-missing") == 2 and boxes([]) == ""
    assert "role=" not in boxes(["a"]) + refusal("no", "ml-x"), "a view is put in anew: View.show tells what is new"
    page = refusal("no", "ml-canvas-view", ["note"])
    assert page.index("note</div>") < page.index("</span>no</div>")
    assert 'class="ml ml-canvas-view"' in page and "<style>" not in page


def test_what_may_be_too_wide_can_be_scrolled_by_keys():
    assert wrap(table(["a"], []), "ml-x", style=False).startswith('<div class="ml ml-x" tabindex="0"')
    assert "tabindex" not in wrap(box("a"), style=False)
    assert panel_html([], EN).count('tabindex="0"') == 1


@pytest.mark.parametrize("answer", [None, "1", "2"])
def test_a_reveal_has_the_same_form(answer):
    question = Predict("Which?", ["1", "2"], 1)
    question.choice = answer
    page = question.reveal()._repr_html_()
    assert SIGNS[{None: "missing", "1": "passed", "2": "failed"}[answer]] in page and 'class="ml ml-reveal"' in page


@given(st.text(st.characters(codec=None)))
def test_every_part_is_escaped(text):
    pages = [
        box(text),
        boxes([text]),
        refusal(text, "ml-x", [text]),
        small(text),
        count(text),
        chip(text, 1, "x"),
    ]
    pages.append(table([text], [], label=text, more=text))
    for page in pages:
        page.encode()
        tags = re.sub(r'<(/?(div|span|table|thead|tbody|tr|th|td)( [a-z-]+="[^"<>]*")*)>', "", page)
        assert not set(tags) & set("<>\"'"), page


def test_a_table():
    page = table(["a", "b"], ["<tr><td>1</td></tr>"], "name", "<b>4</b>", "… 3 more")
    assert 'aria-label="name"' in page and '<caption class="ml-count"><b>4</b></caption>' in page
    assert re.findall(r'<th scope="col">(.*?)</th>', page) == ["a", "b"]
    assert page.index("<td>1") < page.index('<td colspan="2" class="ml-name">… 3 more')
    assert '<th scope="col">a</th><th scope="col" class="ml-left">b</th>' in table(["a", "b"], [], left=[1])
    assert table([], []) == "<table><thead><tr></tr></thead><tbody></tbody></table>"


def test_numbers_and_shares():
    assert number(None, 2) == "–" and number(None, 2, "None") == "None" and number(1 / 3, 2) == "0.33"
    assert share(0.5).startswith("0.5000<") and "width:45.0px" in share(0.5)
    assert share(None).startswith("–<") and "ml-bar" not in share(None)
    assert 'aria-hidden="true"' in share(1.0), "the number says it already"


def test_a_field_is_cut_with_a_note():
    assert shortened("a" * LONGEST, EN) == ("a" * LONGEST, [])
    assert shortened("a" * (LONGEST + 1), EN) == ("a" * LONGEST, [EN["cut"].format(n=LONGEST)])


def test_controls_are_hooked_and_narrow_enough():
    seen, slider, button = [], W.IntSlider(0, **sized("340px")), W.Button()
    assert (slider.layout.width, slider.layout.max_width) == ("340px", "98%")
    hook({"s-one": slider}, lambda change: seen.append(change.new))
    hook({"s-two": button})
    slider.value = 3
    assert seen == [3] and "s-one" in slider._dom_classes and "s-two" in button._dom_classes


def test_pictures_have_words_and_a_page():
    picture = Picture("<b>", "words")
    assert repr(picture) == "words" and picture._repr_html_() == "<b>"


def test_what_a_view_shows_is_also_said(llama):
    """In words that stay what they are while the page is the same, so that only news is read out."""
    view = TokenView(llama.tokenizer, "a")
    assert isinstance(view.children[-2], Live) and view.live.words == "Tokens: 1. Characters: 1. Bytes in UTF-8: 1."
    view.input.value = HALF
    assert view.live.words == EN["surrogate"]
    view = CanvasView(llama, ["a"], max_gen_len=2)
    assert view.live.words == caption(lay_out(view.prompt_tokens, 2, llama.model.params.max_seq_len), EN)
    view.prompts.value = "\u202e\n" * 9
    assert "max_batch_size" in view.live.words and view.live.words in view.view.value
    view = ChatView(llama, [{"role": "user", "content": "Hi"}])
    assert view.live.words.endswith("left for the answer.") and view.live.words in view.view.value
    view.messages.value = "Hi [INST]"
    assert view.live.words.endswith(EN["chat_tags"].format(tags="[INST]"))
    view.messages.value = "a " * 600
    assert "leave no room" in view.live.words


def test_an_answer_is_said_once_it_is_whole(llama):
    panel = ChatPanel(llama, temperature=0, max_gen_len=4)
    assert panel.live.words == EN["panel_ready"]
    panel.ask("Hi")
    assert panel.wait(60)
    assert panel.live.words == f"{visible(panel.turns[0].answer)} {EN['panel_ready']}".strip()
    panel.ask(" ")
    assert panel.live.words == EN["panel_nothing"]
