"""The drawings of assets/ in another language, assets/<language>/*.svg: the same, but for their writing."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

from minillama.markup import escape
from translation.cells import ROOT
from translation.style import fonts

ASSETS = ROOT / "assets"
WRITING = re.compile(r"(<(title|desc|text)\b[^>]*>)([^<]*)(</\2>)")


def pictures() -> list[Path]:
    return sorted(ASSETS.glob("*.svg"))


def writing(picture: str) -> Iterator[str]:
    """What is written in a picture and said of it, where it has words."""
    for found in WRITING.finditer(picture):
        if re.search("[A-Za-z]{2,}", found[3]):
            yield html.unescape(found[3])


def in_language(picture: str, said: dict[str, str], language: str) -> str:
    """The picture with its writing translated. said: {English: translation}."""

    def other(found: re.Match) -> str:
        words = html.unescape(found[3])
        return found[1] + escape(said.get(words, words)) + found[4]

    picture = WRITING.sub(other, picture).replace(", sans-serif", f", {fonts(language)}, sans-serif", 1)
    return picture.replace("<svg ", f'<svg lang="{language}" ', 1)


def write(said: dict[str, str], language: str) -> None:
    folder = ASSETS / language
    folder.mkdir(exist_ok=True)
    for path in pictures():
        drawn = in_language(path.read_text(encoding="utf-8"), said, language)
        (folder / path.name).write_text(drawn, encoding="utf-8")
