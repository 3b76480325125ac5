"""The corpus: an endless, reproducible stream of documents, of which a share is never trained on.

Whether a document is held out depends on its text alone, so the two sides can have no document in common, whatever
the seeds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence, Sized
from random import Random
from typing import NamedTuple, TypeVar

from minillama.chat import fold_turns
from minillama.tokenizer import Tokenizer
from training.chats import draw_chat
from training.stories import draw_story

SHARES = {"stories": 0.6, "chat": 0.4}  # of the tokens
HELD_OUT = 50  # one document in so many

T = TypeVar("T", bound=Sized)


class Document(NamedTuple):
    part: str  # "stories" or "chat"
    texts: tuple[str, ...]  # each is encoded between bos and eos


def draw(part: str, rng: Random, long: bool = False) -> Document:
    """One document; `long` asks for a chat of many turns."""
    if part == "stories":
        return Document(part, (draw_story(rng).text,))
    if part == "chat":
        return Document(part, tuple(chat_texts(draw_chat(rng, long))))
    raise ValueError(f"part must be one of {sorted(SHARES)}, got {part!r}")


def chat_texts(dialog: Sequence[dict[str, str]]) -> list[str]:
    """Llama 2's format, one text for each pair of turns: "[INST] user [/INST] answer "."""
    return ["".join(text for _, text in turns) for turns in fold_turns(dialog)]


def is_held_out(document: Document) -> bool:
    digest = hashlib.sha256("\0".join(document.texts).encode()).digest()
    return int.from_bytes(digest[:4], "big") % HELD_OUT == 0


def documents(part: str, seed: int, held_out: bool = False, long: bool = False) -> Iterator[Document]:
    """Documents of one part without end; either none of them is held out or all are."""
    rng = Random(f"{part} {seed} {held_out} {long}")
    while True:
        document = draw(part, rng, long)
        if is_held_out(document) == held_out:
            yield document


def mixture(seed: int, encoder: Callable[[Document], T], long: bool = False) -> Iterator[tuple[Document, T]]:
    """Documents to train on, each with what encoder makes of it, without end; the lengths of these keep to SHARES."""
    streams = {part: documents(part, seed, long=long) for part in SHARES}
    total = dict.fromkeys(SHARES, 0)
    while True:
        part = min(SHARES, key=lambda part: total[part] / SHARES[part])
        document = next(streams[part])
        encoded = encoder(document)
        total[part] += len(encoded)
        yield document, encoded


def encode(document: Document, tokenizer: Tokenizer) -> list[int]:
    return [i for text in document.texts for i in tokenizer.encode(text, bos=True, eos=True)]
