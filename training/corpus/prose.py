"""Short everyday texts that are no chat, drawn from data/*prose.toml: a diary, a letter, the weather, a fact.

A text is a beginning, as somebody would type it, and one of the ways in which that goes on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from training.corpus.draws import Draws, Options
from training.corpus.grammar import Slots, Table, fill, literal
from training.corpus.tables import check_language, is_secret, read, remember, table

BEGINNINGS = Path(__file__).parents[1] / "evaluation" / "beginnings.json"
LOWER = 0.1  # share of the English beginnings that are typed without their capital
KEEPS_CAPITAL = ("I ", "I'")


class Beginning(NamedTuple):
    text: str
    kind: str
    rests: Options[str]


def draw_prose(draws: Draws, language: str) -> str:
    """Write a text and return its kind, such as "diary". ValueError if the language is neither "en" nor "zh".

    >>> from random import Random
    >>> draws = Draws(Random(1))
    >>> kind = draw_prose(draws, "en")
    >>> len(draws.text) > 10
    True
    """
    prose = prose_of(language)
    beginning = draws.choose(prose.beginnings, beginning_of)
    slots = Slots(*prose.tables)
    fill(draws, beginning.text, slots)
    fill(draws, beginning.rests, slots)
    return beginning.kind


def beginning_of(beginning: Beginning) -> str:
    return literal(beginning.text)


@remember
def held_out_beginnings() -> frozenset[str]:
    """The beginnings that the evaluation asks for and that no text to train on has: half of all not marked trained."""
    entries = json.loads(read(BEGINNINGS))["beginnings"]
    texts = (entry["text"] for entry in entries if not entry.get("trained"))
    return frozenset(text for text in texts if is_secret("beginning", text, one_in=2))


def begins_held_out(text: str) -> bool:
    """Whether the text begins with a held-out beginning."""
    return text.startswith(tuple(held_out_beginnings()))


@remember
def prose_of(language: str) -> Prose:
    return Prose(check_language(language))


class Prose:
    """The beginnings of one language, and the tables of their slots. A text of the file has a weight, or else 1."""

    def __init__(self, language: str):
        data = table("prose", language)
        lists = [Table.of_list(name, values) for name, values in data["lists"].items()]
        self.tables = [*lists, *map(rows_of, data["rows"].values())]
        weighted: list[tuple[Beginning, float]] = []
        for text in data["text"]:
            typed = [
                (Beginning(begin, text["kind"], rests), weight)
                for written in text["begin"]
                for begin, weight in as_typed(written, language)
                if (rests := trained_rests(begin, tuple(text["go"])))
            ]
            total = sum(weight for _, weight in typed)
            weighted += [(beginning, text.get("weight", 1) * weight / total) for beginning, weight in typed]
        self.beginnings = Options(weighted)


@remember
def trained_rests(begin: str, rests: tuple[str, ...]) -> Options[str] | None:
    """The ways of going on whose text does not begin with a held-out beginning; None if there is none."""
    kept = [rest for rest in rests if not begins_held_out(begin + rest)]
    return Options.uniform(kept) if kept else None


def as_typed(begin: str, language: str) -> list[tuple[str, float]]:
    """A beginning with its weight, and in English the same without its capital.

    >>> as_typed("My cat", "en")
    [('My cat', 0.9), ('my cat', 0.1)]
    """
    if language == "zh" or not begin[0].isupper() or begin.startswith(KEEPS_CAPITAL):
        return [(begin, 1.0)]
    return [(begin, 1 - LOWER), (begin[0].lower() + begin[1:], LOWER)]


def rows_of(data: dict) -> Table:
    """Rows of equal weight. ValueError if one is shorter or longer than the columns.

    >>> rows_of({"columns": ["pet", "cry"], "rows": [["cat", "mew"]]}).columns
    ['pet', 'cry']
    """
    return Table.of_rows(dict(zip(data["columns"], row, strict=True)) for row in data["rows"])
