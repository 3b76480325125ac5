"""The language in which the package speaks to a learner: widgets, hints, reports, the doctor. Errors stay English.

The code holds the English sentences, minillama/locale/<language>.json the others: {English: translation}, written by
`make translate`.
"""

from __future__ import annotations

import functools
import json
import os
import re
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path

from minillama.arguments import shown

LOCALE = Path(__file__).with_name("locale")
LANGUAGES = ("en", *sorted(path.stem for path in LOCALE.glob("*.json")))
CHINESE = "\u2e80"  # from here on
_chosen = ""


def language(name: str | None = None) -> str:
    """Choose the language of what is shown from now on; return the one that is in use.

    name: "en", "zh", or None to change nothing. At first it is what the environment variable MINILLAMA_LANGUAGE says,
    else English. A widget that is there keeps the language that it was made in. Raises ValueError for a language that
    the package does not have.

    >>> language("zh")
    'zh'
    >>> language("en")
    'en'
    """
    global _chosen
    if name is not None:
        if not isinstance(name, str) or name not in LANGUAGES:
            raise ValueError(f"name must be one of {list(LANGUAGES)}, got {shown(name)}")
        _chosen = name
    return _chosen or _of_the_environment()


@functools.cache
def _of_the_environment() -> str:
    name = os.environ.get("MINILLAMA_LANGUAGE") or "en"
    if name not in LANGUAGES:
        warnings.warn(f"MINILLAMA_LANGUAGE must be one of {list(LANGUAGES)}, got {name!r}; en is used", stacklevel=3)
        return "en"
    return name


@functools.cache
def _sentences(name: str) -> dict[str, str]:
    return json.loads((LOCALE / f"{name}.json").read_text(encoding="utf-8"))


def translated(template: str, name: str) -> str:
    """A sentence in the language of that name; in English if it has no translation."""
    return template if name == "en" else _sentences(name).get(template, template)


def say(template: str, **gaps: object) -> str:
    """A sentence that a learner reads, in the language that is in use, its gaps filled.

    >>> say("Expected {want}, got {got}.", want=3, got=4)
    'Expected 3, got 4.'
    """
    template = translated(template, language())
    for gap, value in gaps.items():
        template = _closed(template, gap, str(value))
    return template.format(**gaps) if gaps else template


def _closed(template: str, gap: str, value: str) -> str:
    """The template without the spaces around a gap that stand between Chinese and Chinese once it is filled."""
    if value[:1] > CHINESE:
        template = re.sub(rf"(?<=[{CHINESE}-\uffff]) (?={{{gap}[}}:])", "", template)
    if value[-1:] > CHINESE:
        template = re.sub(rf"({{{gap}(?::[^}}]*)?}}) (?=[{CHINESE}-\uffff])", r"\1", template)
    return template


def columns(text: str) -> int:
    """How wide a text is where every letter has the same width: a Chinese character takes two columns.

    >>> columns("词元 id")
    7
    """
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def padded(text: str, width: int) -> str:
    """The text with spaces behind it, `width` columns wide; a wider one as it is."""
    return text + " " * (width - columns(text))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equally many texts as lines of a table, each column as wide as its widest text.

    >>> aligned([("词元", "id"), ("a", "7")])
    ['词元   id', 'a      7']
    """
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return ["   ".join(map(padded, row, widths)).rstrip() for row in rows]
