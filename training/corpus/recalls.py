"""Stories with the stretches of their text that what stands before decides.

These are a name told again, "he" or "she" after a name, an object told again, and the beginning of each step, which
has to be of the same plot. In whole stories they are one token in five, and most of the loss comes from the others:
which wording is drawn, which colour. Rows that ask for nothing else teach a model to keep its people and things.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from training.corpus.document import Document, is_held_out
from training.corpus.draws import Draws
from training.corpus.held_out import never_trained
from training.corpus.stories import draw_story
from training.corpus.tables import LANGUAGES


class Recall(NamedTuple):
    text: str
    certain: tuple[tuple[int, int], ...]  # stretches [start, end), in characters


def recalls(seed: int) -> Iterator[Recall]:
    """Such stories without end, in both languages, none of them held out."""
    rng = Random(f"recalls {seed}")
    while True:
        for language in LANGUAGES:
            draws = Draws(rng)
            draw_story(draws, language)
            document = Document(f"stories_{language}", (draws.text,))
            if not is_held_out(document) and not never_trained(document):
                yield Recall(draws.text, tuple(draws.certain))
