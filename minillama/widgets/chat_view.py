"""ChatView: write a dialog, and see the ids that the model reads, coloured by what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as W

from minillama import arguments
from minillama.chat import Dialog, format_tags, segment_dialog
from minillama.generation import Llama
from minillama.markup import STYLE, escape, wrap
from minillama.tokenizer import Tokenizer
from minillama.widgets.labels import labels

LONGEST = 4000  # characters of the messages, and as many of the system text; what is beyond is cut, with a note
MAX_SHOWN = 600  # tokens that are drawn
HUES = {"bos": 3, "eos": 3, "tag": 3, "system": 1, "user": 0, "assistant": 2}


@dataclass(frozen=True)
class ChatSegment:
    """Neighbouring tokens with one meaning: a label of `minillama.chat.Segment`, the ids and their pieces."""

    label: str
    ids: list[int]
    pieces: list[str]


def chunks_of(tokenizer: Tokenizer, dialog: Dialog) -> list[list[ChatSegment]]:
    """The segments of a dialog, one list for each bos. Raises as `segment_dialog` does."""
    chunks: list[list[ChatSegment]] = []
    for label, ids in segment_dialog(tokenizer, dialog):
        if label == "bos":
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
    total = sum(len(segment.ids) for chunk in chunks for segment in chunk)
    room = max(0, max_seq_len - total)
    count = text["chat_count"].format(n=total, chunks=len(chunks), most=max_seq_len, room=room)
    boxes = [box(note, "ml-missing") for note in notes]
    if not room:
        boxes.append(box(text["chat_full"].format(n=total, most=max_seq_len), "ml-failed"))
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
        lines.append(f'<div class="ml-note">{escape(text["chat_more"].format(n=total - MAX_SHOWN))}</div>')
    head = f'<div class="ml-count" aria-live="polite">{escape(count)}</div>'
    return wrap(head + "".join(boxes) + "".join(lines), "ml-chat", style)


def _segment(segment: ChatSegment, most: int, text: dict[str, str]) -> str:
    css = "ml-control" if segment.label in ("bos", "eos") else "ml-text"
    chips = "".join(
        f'<span class="ml-chip {css} ml-hue{HUES[segment.label]}"><span class="ml-piece">{escape(piece)}</span>'
        f'<span class="ml-id">{i}</span></span>'
        for i, piece in list(zip(segment.ids, segment.pieces, strict=True))[:most]
    )
    name = escape(text[f"chat_is_{segment.label}"])
    return (
        f'<span class="ml-segment ml-is-{segment.label}" role="listitem"><span class="ml-note">{name}</span>'
        f'<span class="ml-chips">{chips}</span></span>'
    )


def box(message: str, css: str) -> str:
    """A message in place; ml-failed is announced."""
    role = ' role="alert"' if css == "ml-failed" else ""
    return f'<div class="ml-box {css}"{role}>{escape(message)}</div>'


class ChatPicture:
    """The segments of a dialog as a still picture: no kernel needed to look at it."""

    def __init__(self, chunks: Sequence[Sequence[ChatSegment]], max_seq_len: int, text: dict[str, str]):
        self.chunks, self.max_seq_len, self.text = chunks, max_seq_len, text

    def __repr__(self) -> str:
        return "\n".join(
            "  ".join(f"{segment.label}: {' '.join(segment.pieces)}" for segment in chunk) for chunk in self.chunks
        )

    def _repr_html_(self) -> str:
        return chat_html(self.chunks, self.max_seq_len, self.text)


def show_chat(llama: Llama, dialog: Dialog, language: str = "en") -> ChatPicture:
    """The picture that `ChatView` draws for this dialog."""
    return ChatPicture(chunks_of(llama.tokenizer, dialog), llama.model.params.max_seq_len, labels(language))


def dialog_of(system: str, messages: str) -> list[dict[str, str]]:
    """A dialog from a system text and one message a line, the user's first; blank lines and a blank system are none.

    >>> dialog_of("", "Hi")
    [{'role': 'user', 'content': 'Hi'}]
    """
    lines = [line for line in messages.splitlines() if line.strip()]
    first = [{"role": "system", "content": system}] if system.strip() else []
    return first + [{"role": ("user", "assistant")[k % 2], "content": line} for k, line in enumerate(lines)]


class ChatView(W.VBox):
    """A field for the system text, one for the messages, one a line; below, the segments while you type.

    Nothing is run. A dialog that `chat_completion` would refuse for its tags is drawn all the same, with a warning.
    """

    def __init__(self, llama: Llama, dialog: Dialog, language: str = "en"):
        arguments.dialog(dialog)
        system = dialog[0]["content"] if dialog[0]["role"] == "system" else ""
        contents = [message["content"] for message in dialog if message["role"] != "system"]
        for k, content in enumerate(contents):
            if len(content.splitlines()) > 1:
                raise ValueError(f"message {k} of dialog has a line break, but ChatView has a message a line; join it")
        self.text, self.llama = labels(language), llama
        wide = {"style": {"description_width": "initial"}, "layout": W.Layout(width="min(720px, 98%)")}
        self.system = W.Textarea(system, description=self.text["chat_system"], rows=1, **wide)
        self.messages = W.Textarea(
            "\n".join(contents), description=self.text["chat_messages"], rows=4, tooltip=self.text["chat_tip"], **wide
        )
        self.view = W.HTML()
        for widget, hook in ((self.system, "s-system"), (self.messages, "s-messages")):
            widget.add_class(hook)
            widget.observe(self._changed, "value")
        super().__init__([self.system, self.messages, self.view, W.HTML(STYLE)])
        self.add_class("w-chat")
        self._draw()

    @property
    def dialog(self) -> list[dict[str, str]]:
        """The dialog as it is written, right or not."""
        return dialog_of(self.system.value[:LONGEST], self.messages.value[:LONGEST])

    def _changed(self, _change) -> None:
        self._draw()

    def _draw(self) -> None:
        self.view.value = self._page(self.dialog)

    def _page(self, dialog: list[dict[str, str]]) -> str:
        said = [message for message in dialog if message["role"] != "system"]
        if not said:
            return self._refuse(self.text["chat_none"])
        if len(said) % 2 == 0:
            return self._refuse(self.text["chat_even"].format(n=len(said)))
        try:
            chunks = chunks_of(self.llama.tokenizer, dialog)
        except ValueError as error:  # no text: a lone surrogate
            return self._refuse(self.text["chat_cannot"].format(reason=error))
        notes = []
        if max(len(self.system.value), len(self.messages.value)) > LONGEST:
            notes.append(self.text["chat_cut"].format(n=LONGEST))
        known = format_tags(self.llama.tokenizer)
        if tags := [tag for tag in known if any(tag in message["content"] for message in dialog)]:
            notes.append(self.text["chat_tags"].format(tags=" ".join(tags)))
        return chat_html(chunks, self.llama.model.params.max_seq_len, self.text, notes, style=False)

    def _refuse(self, message: str) -> str:
        return wrap(box(message, "ml-failed"), "ml-chat", style=False)
