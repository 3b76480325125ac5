"""ChatView: write a dialog and see the ids that the model reads, coloured by what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as W

from minillama import allowed, arguments
from minillama.chat import Dialog, format_tags, segment_dialog
from minillama.generation import Llama
from minillama.markup import escape, wrap
from minillama.tokenizer import Tokenizer
from minillama.widgets.labels import labels
from minillama.widgets.parts import (
    LONGEST,
    Picture,
    View,
    box,
    boxes,
    chip,
    count,
    halved,
    hook,
    refusal,
    shortened,
    sized,
    small,
)

MAX_SHOWN = 600  # tokens that are drawn
HUES = {"bos": 3, "eos": 3, "tag": 3, "system": 1, "user": 0, "assistant": 2}


@dataclass(frozen=True)
class ChatSegment:
    """Neighbouring tokens with the same meaning: a label of `minillama.chat.Segment`, the ids and their pieces."""

    label: str
    ids: list[int]
    pieces: list[str]


def chunks_of(tokenizer: Tokenizer, dialog: Dialog) -> list[list[ChatSegment]]:
    """The segments of a dialog, one list per bos (and for what is before the first). Raises as `segment_dialog`."""
    chunks: list[list[ChatSegment]] = []
    for label, ids in segment_dialog(tokenizer, dialog):
        if label == "bos" or not chunks:
            chunks.append([])
        chunks[-1].append(ChatSegment(label, ids, tokenizer.pieces(ids)))
    return chunks


def chat_html(
    chunks: Sequence[Sequence[ChatSegment]],
    max_seq_len: int,
    text: dict[str, str],
    notes: Sequence[str] = (),
    style: bool = True,
) -> str:
    """A line for each text between bos and eos: boxes with a label, and in them the tokens with their ids."""
    total, words, full = caption(chunks, max_seq_len, text)
    above = count(words) + boxes(notes) + (box(full, "failed", live=False) if full else "")
    left, lines = MAX_SHOWN, []
    for chunk in chunks:
        if left <= 0:
            break
        drawn = []
        for segment in chunk:
            drawn += [_segment(segment, left, text)] if left > 0 else []
            left -= len(segment.ids)
        label = escape(text["chat_line"].format(k=len(lines) + 1))
        lines.append(f'<div class="ml-chips" role="list" aria-label="{label}">{"".join(drawn)}</div>')
    if total > MAX_SHOWN:
        lines.append(small(text["chat_more"].format(n=total - MAX_SHOWN)))
    return wrap(above + "".join(lines), "ml-chat", style)


def caption(chunks: Sequence[Sequence[ChatSegment]], max_seq_len: int, text: dict[str, str]) -> tuple[int, str, str]:
    """How many tokens a dialog has, that in words, and a message if they leave no room for an answer, else ""."""
    total = sum(len(segment.ids) for chunk in chunks for segment in chunk)
    room = max(0, max_seq_len - total)
    words = text["chat_count"].format(n=total, texts=len(chunks), most=max_seq_len, room=room)
    return total, words, "" if room else text["chat_full"].format(n=total, most=max_seq_len)


def _segment(segment: ChatSegment, most: int, text: dict[str, str]) -> str:
    css = f"ml-hue{HUES[segment.label]} {'ml-control' if segment.label in ('bos', 'eos') else 'ml-text'}"
    tokens = list(zip(segment.pieces, segment.ids, strict=True))[:most]
    chips = "".join(chip(piece, i, css) for piece, i in tokens)
    name = escape(text[f"chat_is_{segment.label}"])
    return (
        f'<span class="ml-segment ml-is-{segment.label}" role="listitem"><span class="ml-note">{name}</span>'
        f'<span class="ml-chips">{chips}</span></span>'
    )


@allowed.only(llama=allowed.an(Llama), dialog=allowed.dialog)
def show_chat(llama: Llama, dialog: Dialog) -> Picture:
    """A still picture of the ids of a dialog, each labelled by what it is for, as `ChatView` draws them.

    dialog: messages {"role": ..., "content": ...}, the last one the user's. A dialog that `chat_completion` would
    refuse for its tags is drawn all the same. Raises TypeError or ValueError for one that is malformed.
    """
    chunks = chunks_of(llama.tokenizer, dialog)
    words = ("  ".join(f"{each.label}: {' '.join(each.pieces)}" for each in chunk) for chunk in chunks)
    return Picture(chat_html(chunks, llama.model.params.max_seq_len, labels()), "\n".join(words))


def dialog_of(system: str, messages: str) -> list[dict[str, str]]:
    """A dialog from a system text and one message per line, the user's first; blank texts are left out.

    >>> dialog_of("", "Hi")
    [{'role': 'user', 'content': 'Hi'}]
    """
    lines = [line for line in messages.splitlines() if line.strip()]
    first = [{"role": "system", "content": system}] if system.strip() else []
    return first + [{"role": ("user", "assistant")[k % 2], "content": line} for k, line in enumerate(lines)]


class ChatView(View):
    """A field for the system text and one for the messages, one per line; below them the segments, as you type.

    dialog: the first contents of the fields, messages {"role": ..., "content": ...} of one line each, the last one the
    user's. The model is not run. A dialog that `chat_completion` would refuse for its tags is drawn all the same, with
    a warning. Raises TypeError or ValueError for a dialog that is malformed or has a message of several lines.
    """

    @allowed.only(llama=allowed.an(Llama), dialog=allowed.dialog)
    def __init__(self, llama: Llama, dialog: Dialog):
        arguments.dialog(dialog)
        system = dialog[0]["content"] if dialog[0]["role"] == "system" else ""
        contents = [message["content"] for message in dialog if message["role"] != "system"]
        for k, content in enumerate(contents):
            if len(content.splitlines()) > 1:
                raise ValueError(
                    f"message {k} of dialog has a line break, but ChatView has one message per line; join it"
                )
        self.text, self.llama = labels(), llama
        self.system = W.Textarea(system, description=self.text["chat_system"], rows=1, **sized("720px"))
        names = {"description": self.text["chat_messages"], "tooltip": self.text["chat_tip"]}
        self.messages = W.Textarea("\n".join(contents), rows=min(len(contents) + 1, 12), **names, **sized("720px"))
        self.view = W.HTML()
        hook({"s-system": self.system, "s-messages": self.messages}, self._draw)
        super().__init__([self.system, self.messages, self.view], "w-chat")
        self._draw()

    @property
    def dialog(self) -> list[dict[str, str]]:
        """The dialog as it is written, right or not, as far as it is used."""
        return dialog_of(self.system.value[:LONGEST], self.messages.value[:LONGEST])

    def _draw(self, _change=None) -> None:
        self.show(*self._page(self.dialog))

    def _page(self, dialog: list[dict[str, str]]) -> tuple[str, str]:
        """The page, and what a screen reader is told of it."""
        said = [message for message in dialog if message["role"] != "system"]
        if not said:
            return self._refuse(self.text["chat_none"])
        if len(said) % 2 == 0:
            return self._refuse(self.text["chat_even"].format(n=len(said)))
        if halved(*(message["content"] for message in dialog)):
            return self._refuse(self.text["surrogate"])
        try:
            chunks = chunks_of(self.llama.tokenizer, dialog)
        except ValueError as error:  # the format of another model
            return self._refuse(self.text["chat_cannot"].format(reason=error))
        _, notes = shortened(max(self.system.value, self.messages.value, key=len), self.text)
        known = format_tags(self.llama.tokenizer)
        if tags := [tag for tag in known if any(tag in message["content"] for message in dialog)]:
            notes.append(self.text["chat_tags"].format(tags=" ".join(tags)))
        most = self.llama.model.params.max_seq_len
        _, words, full = caption(chunks, most, self.text)
        page = chat_html(chunks, most, self.text, notes, style=False)
        return page, " ".join(filter(None, [words, *notes, full]))

    def _refuse(self, message: str) -> tuple[str, str]:
        return refusal(message, "ml-chat"), message
