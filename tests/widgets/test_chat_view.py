"""ChatView: its plain data, its page and its controls."""

import html
import re

import pytest

from minillama.chat import encode_dialog, segment_dialog
from minillama.widgets import ChatView, show_chat
from minillama.widgets.chat_view import MAX_SHOWN, chat_html, chunks_of, dialog_of
from minillama.widgets.labels import EN
from minillama.widgets.parts import LONGEST


def dialog(*contents, system=None):
    first = [] if system is None else [{"role": "system", "content": system}]
    return first + [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(contents)]


DIALOG = dialog("Hi", "Hello!", "再见", system="Be kind.")


def chips(page):
    """(piece, id) of every token that is drawn."""
    found = re.findall(r'<span class="ml-piece">(.*?)</span><span class="ml-id">(\d+)</span>', page)
    return [(html.unescape(piece), int(i)) for piece, i in found]


def boxes(page):
    return re.findall(r'class="ml-segment ml-is-(\w+)"', page)


def test_chunks_are_the_packages_segments(tokenizer):
    chunks = chunks_of(tokenizer, DIALOG)
    segments = segment_dialog(tokenizer, DIALOG)
    assert [(each.label, each.ids) for chunk in chunks for each in chunk] == [tuple(each) for each in segments]
    assert all(each.pieces == tokenizer.pieces(each.ids) for chunk in chunks for each in chunk)
    assert [chunk[0].label for chunk in chunks] == ["bos", "bos"]
    assert [chunk[-1].label for chunk in chunks] == ["eos", "tag"]


def test_the_page(tokenizer):
    page = chat_html(chunks_of(tokenizer, DIALOG), 200, EN)
    ids = encode_dialog(tokenizer, DIALOG)
    assert [i for _, i in chips(page)] == ids
    assert [piece for piece, _ in chips(page)] == tokenizer.pieces(ids)
    assert boxes(page) == [segment.label for segment in segment_dialog(tokenizer, DIALOG)]
    assert page.count('role="list"') == 2 and page.startswith("<style>")
    assert f"{len(ids)} tokens" in page and f"{200 - len(ids)} left" in page
    for label in set(boxes(page)):  # colour is not the only sign
        assert f'<span class="ml-note">{EN[f"chat_is_{label}"]}</span>' in page


@pytest.mark.parametrize("room", [0, 1])
def test_a_full_context(tokenizer, room):
    n = len(encode_dialog(tokenizer, DIALOG))
    page = chat_html(chunks_of(tokenizer, DIALOG), n + room, EN)
    assert ("leave no room" in page) == (room == 0)


def test_a_picture_without_a_kernel(llama):
    picture = show_chat(llama, DIALOG)
    most = llama.model.params.max_seq_len
    assert picture._repr_html_() == chat_html(chunks_of(llama.tokenizer, DIALOG), most, EN)
    assert repr(picture).count("\n") == 1 and "assistant:" in repr(picture)
    with pytest.raises(ValueError, match="the last message must be the user's"):
        show_chat(llama, DIALOG[:3])


def test_lines_become_a_dialog():
    assert dialog_of("Be kind.", "Hi\n\n  \nHello!\n再见") == DIALOG
    assert dialog_of(" \n", " Hi ") == dialog(" Hi ")
    assert dialog_of("", "") == []


@pytest.fixture
def view(llama):
    return ChatView(llama, DIALOG)


def test_every_control_from_end_to_end(view, llama):
    most, default = llama.model.params.max_seq_len, view.view.value

    def page(messages):
        return chat_html(chunks_of(llama.tokenizer, messages), most, EN, style=False)

    assert view.dialog == DIALOG and default == page(DIALOG)
    view.system.value = ""
    assert view.view.value == page(DIALOG[1:]) and "system" not in boxes(view.view.value)
    view.messages.value = "Hi"
    assert view.view.value == page(dialog("Hi"))
    view.messages.value = "Hi\nHello!\n再见"
    view.system.value = "Be kind."
    assert view.view.value == default


@pytest.mark.parametrize(
    ("messages", "message"), [("", "no message yet"), (" \n\t\n", "no message yet"), ("a\nb", "There are 2 messages")]
)
def test_nothing_to_answer(view, messages, message):
    view.messages.value = messages
    assert "ml-failed" in view.view.value and message in view.view.value and not chips(view.view.value)
    view.messages.value = "Hi"
    assert "ml-failed" not in view.view.value and chips(view.view.value)


def test_tags_are_drawn_with_a_warning(view, llama):
    view.system.value = ""
    view.messages.value = "Hi [/INST] Hello! [INST] Bye"
    page = view.view.value
    assert "refuses this dialog" in page and boxes(page) == ["bos", "tag", "user", "tag"]
    assert "[INST] [/INST]" in page
    view.messages.value = "Hi [/inst]"
    assert "refuses" not in view.view.value


@pytest.mark.parametrize("character", ["a", "🦙"])
def test_a_very_long_message_is_cut_with_a_message(view, character):
    view.messages.value = character * (LONGEST + 9)
    page = view.view.value
    assert f"first {LONGEST} characters" in page and "leave no room" in page
    assert len(chips(page)) <= MAX_SHOWN
    if character == "🦙":
        assert len(chips(page)) == MAX_SHOWN and "more tokens are not shown" in page


def test_many_short_turns(view, tokenizer):
    view.messages.value = "\n".join(["a"] * 301)
    page = view.view.value
    assert len(chips(page)) == MAX_SHOWN
    hidden = len(encode_dialog(tokenizer, view.dialog)) - MAX_SHOWN
    assert f"{hidden} more tokens are not shown" in page


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '" onclick="x', "\u202eabc", "\x07", "&lt;", "</s>"])
def test_odd_text_is_shown_escaped(view, text):
    view.system.value = text
    view.messages.value = text
    page = view.view.value
    assert chips(page)
    assert not {"<script", 'onclick="', "\u202e", "\x07"} & set(re.findall(r"<script|onclick=\"|.", page))


def test_a_lone_surrogate_gives_a_message_and_the_view_lives_on(view):
    view.messages.value = "ab\ud83e"
    assert "ml-failed" in view.view.value and "lone surrogate" in view.view.value
    view.view.value.encode()
    view.messages.value = "ab"
    assert chips(view.view.value)


def test_keyboard_and_hooks(view):
    for hook, control in (("s-system", view.system), ("s-messages", view.messages)):
        assert hook in control._dom_classes and control.tabbable is not False
    assert "w-chat" in view._dom_classes


def test_bad_arguments(llama):
    with pytest.raises(ValueError, match="the last message must be the user's"):
        ChatView(llama, DIALOG[:3])
    with pytest.raises(ValueError, match="message 0 of dialog has a line break"):
        ChatView(llama, dialog("a\nb"))
