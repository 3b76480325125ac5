"""A dialog as token ids, in Llama 2's chat format.

Every pair of turns is a text of its own, between bos and eos; the last user turn is left open:

    <s>[INST] <<SYS>>\\n{system}\\n<</SYS>>\\n\\n{user} [/INST] {assistant} </s><s>[INST] {user} [/INST]

`<s>` and `</s>` stand for the ids bos_id and eos_id; all else is text. The format is that of `chat_completion` in
Meta's `llama/generation.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal, NamedTuple, Protocol, TypedDict

from minillama import arguments
from minillama.tokenizer import BaseTokenizer, as_written

B_INST, E_INST = "[INST]", "[/INST]"
B_SYS, E_SYS = "<<SYS>>\n", "\n<</SYS>>\n\n"
SPECIAL_TAGS = (B_INST, E_INST, B_SYS.strip(), E_SYS.strip())
UNSAFE_ERROR = "Error: special tags are not allowed as part of the prompt."

Role = Literal["system", "user", "assistant"]


class Message(TypedDict):
    role: Role
    content: str


Dialog = Sequence[Message]


class Segment(NamedTuple):
    """Neighbouring tokens that have one meaning in the format."""

    label: str  # "bos", "eos", "tag", "system", "user", "assistant"
    ids: list[int]


class ChatFormat(Protocol):
    """A chat format other than Llama 2's. A tokenizer carries it as `chat_format`; None stands for Llama 2's."""

    tags: tuple[str, ...]  # texts of the format, which no message may hold
    end_ids: tuple[int, ...]  # ids that end an answer, as eos_id does

    def segments(self, tokenizer: BaseTokenizer, dialog: Dialog) -> list[Segment]:
        """What `segment_dialog` returns for a tokenizer of this format."""
        ...


def encode_dialog(tokenizer: BaseTokenizer, dialog: Dialog) -> list[int]:
    """The ids of a dialog, ready to be answered.

    A leading system message is folded into the first user turn. Contents are stripped, a system text only where it
    meets the end of its turn. Raises TypeError or ValueError if the roles are out of order or the last message is
    not the user's. Text that holds one of SPECIAL_TAGS is encoded like any other: see `has_special_tags`.
    """
    return [i for segment in segment_dialog(tokenizer, dialog) for i in segment.ids]


def segment_dialog(tokenizer: BaseTokenizer, dialog: Dialog) -> list[Segment]:
    """The ids of `encode_dialog`, cut where their meaning changes.

    A token that spans a border (as "▁Hi" spans the tag's space and the user's word) belongs to its first letter.
    A tokenizer with a `chat_format` brings its own layout.
    """
    arguments.dialog(dialog)
    if tokenizer.chat_format is not None:
        return tokenizer.chat_format.segments(tokenizer, dialog)
    return llama_2_segments(tokenizer, dialog)


def llama_2_segments(tokenizer: BaseTokenizer, dialog: Dialog) -> list[Segment]:
    """What `segment_dialog` returns in Llama 2's format; without bos where the tokenizer has none."""
    segments = []
    for turns in fold_turns(dialog):
        segments += [Segment("bos", [tokenizer.bos_id])] if tokenizer.bos_id >= 0 else []
        segments += label_tokens(tokenizer, turns)
        if turns[-1][0] == "assistant":
            segments.append(Segment("eos", [tokenizer.eos_id]))
    return segments


def fold_turns(dialog: Dialog) -> list[list[tuple[str, str]]]:
    """One list of (label, text) for each text between bos and eos; joined, the texts are what is encoded.

    >>> fold_turns([{"role": "user", "content": " Hi! "}])
    [[('tag', '[INST] '), ('user', 'Hi!'), ('tag', ' [/INST]')]]
    """
    system = dialog[0]["content"] if dialog[0]["role"] == "system" else None
    turns = dialog[1:] if system is not None else dialog
    folded = []
    for prompt, answer in zip(turns[::2], [*turns[1::2], None], strict=False):
        if system is not None:  # stripped together with the user's text, hence only at the far end
            user = (E_SYS + prompt["content"]).rstrip()
            body = [("tag", B_SYS), ("system", system), ("tag", user[: len(E_SYS)]), ("user", user[len(E_SYS) :])]
            system = None
        else:
            body = [("user", prompt["content"].strip())]
        chunk = [("tag", f"{B_INST} "), *body, ("tag", f" {E_INST}")]
        if answer is not None:
            chunk.append(("assistant", f" {answer['content'].strip()} "))
        folded.append(chunk)
    return folded


def has_special_tags(dialog: Dialog, tokenizer: BaseTokenizer | None = None) -> bool:
    """Whether a message holds text that the format itself uses, and could so pass for somebody else's turn.

    The format is the tokenizer's, by default Llama 2's. Exact spelling only, as in Meta's code: "[ INST ]" passes.
    Raises TypeError or ValueError for what is no list of messages; their order does not matter.
    """
    arguments.messages(dialog)
    return any(tag in message["content"] for tag in format_tags(tokenizer) for message in dialog)


def format_tags(tokenizer: BaseTokenizer | None = None) -> tuple[str, ...]:
    """The tags of the tokenizer's chat format, by default Llama 2's."""
    return SPECIAL_TAGS if tokenizer is None or tokenizer.chat_format is None else tokenizer.chat_format.tags


def label_tokens(tokenizer: BaseTokenizer, turns: list[tuple[str, str]]) -> list[Segment]:
    """The ids of the joined texts of turns, cut where their label changes."""
    ids = tokenizer.encode("".join(text for _, text in turns), bos=False, eos=False)
    labels = zip(_labels(tokenizer, ids, turns), ids, strict=True)
    return [Segment(label, [i for _, i in run]) for label, run in groupby(labels, key=lambda pair: pair[0])]


def _labels(tokenizer: BaseTokenizer, ids: list[int], turns: list[tuple[str, str]]) -> list[str]:
    owner = [label for label, text in turns for _ in text.encode()]  # one label a byte
    text = "".join(text for _, text in turns).encode()
    labels, end = [], 0
    for part in as_written(text, [tokenizer.token_bytes(i) for i in ids], tokenizer.space_in_front):
        start, end = end, end + len(part)
        spaces = len(part) - len(part.lstrip())
        first = start + spaces if start + spaces < end else start
        labels.append(owner[min(first, len(owner) - 1)])
    return labels
