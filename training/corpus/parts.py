"""The parts of the corpus, each an endless, reproducible stream of documents, and their mixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sized
from itertools import filterfalse
from random import Random
from typing import TypeVar

from training.corpus import known, quatrains
from training.corpus.chats import dialog_of, draw_chat
from training.corpus.document import Document, chat_texts, is_held_out
from training.corpus.draws import Draws
from training.corpus.held_out import never_trained
from training.corpus.prose import draw_prose
from training.corpus.stories import draw_story

SHARES = {  # of the tokens
    "stories_en": 0.13,
    "stories_zh": 0.09,
    "chat_en": 0.28,
    "chat_zh": 0.215,
    "prose_en": 0.05,
    "prose_zh": 0.05,
    "quatrains": 0.08,
    "known": 0.105,
}
DRAWN = ("stories_en", "stories_zh", "chat_en", "chat_zh", "prose_en", "prose_zh")

T = TypeVar("T", bound=Sized)


def draw(part: str, rng: Random, long: bool = False) -> Document:
    """One document of a drawn part; `long` asks for a chat of many turns."""
    draws = Draws(rng)
    program(part, long)(draws)
    return Document(part, texts_of(part, draws.text), draws.logprob)


def program(part: str, long: bool = False) -> Callable[[Draws], object]:
    """The function that writes a document of a part. ValueError if the part is not a drawn one."""
    if part not in DRAWN:
        raise ValueError(f"part must be one of {DRAWN}, got {part!r}")
    kind, language = part.split("_")
    if kind == "stories":
        return lambda draws: draw_story(draws, language)
    if kind == "prose":
        return lambda draws: draw_prose(draws, language)
    return lambda draws: draw_chat(draws, language, long)


def texts_of(part: str, text: str) -> tuple[str, ...]:
    return (text,) if part.startswith(("stories", "prose")) else tuple(chat_texts(dialog_of(text)))


def documents(part: str, seed: int, held_out: bool = False, long: bool = False) -> Iterator[Document]:
    """Documents of one part without end: those to train on, or the held-out ones.

    What says a held-out saying of the evaluation is passed over, so that its question is never trained on.
    """
    if part == "quatrains":
        yield from filterfalse(never_trained, quatrains.documents(seed, held_out))
    if part == "known":  # its few texts are all trained on; held out means other draws of them
        yield from known.documents(seed + 1_000_000 if held_out else seed)
    rng = Random(f"{part} {seed} {held_out} {long}")
    while True:
        document = draw(part, rng, long)
        if is_held_out(document) == held_out and not never_trained(document):
            yield document


def mixture(
    seed: int, encoder: Callable[[Document], T], long: bool = False, shares: Mapping[str, float] = SHARES
) -> Iterator[tuple[Document, T]]:
    """Documents to train on without end, each with encoder(document). The lengths of these keep to the shares."""
    streams = {part: documents(part, seed, long=long) for part in shares}
    total = dict.fromkeys(shares, 0)
    while True:
        part = min(shares, key=lambda part: total[part] / shares[part])
        document = next(streams[part])
        encoded = encoder(document)
        total[part] += len(encoded)
        yield document, encoded
