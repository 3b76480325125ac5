"""Words that nobody says, for chats in which only a look back can help.

A network that is told only of cats and dogs learns to tell cats from dogs, and answers "a dog" when it hears of a yak.
If what it is told is a new word every time, it has to copy what stands there, letter by letter.
"""

from __future__ import annotations

import re
from random import Random

from training.corpus.grammar import Table, capitalised
from training.corpus.names import names, words_said
from training.corpus.tables import DATA, read, remember

MANY = 30_000  # words drawn; a few of them twice
LENGTHS = (1, 2, 2, 2, 3, 3)  # of Chinese ones, in characters


@remember
def invented(language: str) -> Table:
    """Columns "word" and "name" (the same with a capital letter).

    English: the beginning of one word and the end of another. Chinese: one to three characters.
    """
    rng = Random(f"invented {language}")
    make = blend if language == "en" else string
    sources = english_words() if language == "en" else chinese_characters()
    taken = words_said(language) | {row["name"].lower() for row, _ in names(language, secret=True).rows}
    words = sorted({make(sources, rng) for _ in range(MANY)} - taken)
    return Table(({"word": word, "name": capitalised(word)}, 1) for word in words)


def blend(words: list[str], rng: Random) -> str:
    """
    >>> blend(["penguin"], Random(1))
    'pegui'
    """
    one, other = rng.choice(words), rng.choice(words)
    return one[: rng.randint(1, 4)] + other[rng.randint(1, len(other) - 1) :][:5]


def string(characters: list[str], rng: Random) -> str:
    return "".join(rng.choices(characters, k=rng.choice(LENGTHS)))


def english_words() -> list[str]:
    return sorted(word for word in words_said("en") if re.fullmatch("[a-z]{4,}", word))


def chinese_characters() -> list[str]:
    """Every Chinese character of the data files."""
    return sorted({one for path in DATA.glob("zh_*") for one in re.findall("[一-鿿]", read(path))})
