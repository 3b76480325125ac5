"""The catalogues, locale/<language>/*.po: a message a cell, keyed by the English text, its context the cell's id."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import polib

from translation.cells import ENGLISH, ROOT, has_words, names, read

LOCALE = ROOT / "locale"
PACKAGE = "minillama"  # the catalogue of what the package shows
MINUTES = re.compile(r"(?<=\*)\d+(?= )")  # in a title cell; a rule writes them anew


def languages() -> list[str]:
    """A language is a folder."""
    return sorted(path.name for path in LOCALE.iterdir() if path.is_dir())


@dataclass(frozen=True)
class Message:
    """What is to be translated: the text, where it is (a cell's id; "" in the package), and its kind."""

    english: str
    place: str = ""
    kind: str = ""


def messages_of(name: str) -> list[Message]:
    return [Message(cell.source, cell.id, cell.cell_type) for cell in read(name).cells if has_words(cell)]


def path_of(name: str, language: str) -> Path:
    return LOCALE / language / f"{name}.po"


def load(name: str, language: str) -> polib.POFile:
    path = path_of(name, language)
    if path.exists():
        return polib.pofile(str(path), wrapwidth=0)
    return polib.POFile(wrapwidth=0)


def save(catalogue: polib.POFile, name: str, language: str) -> None:
    catalogue.metadata = {"Language": language, "MIME-Version": "1.0", "Content-Type": "text/plain; charset=utf-8",
                          "Content-Transfer-Encoding": "8bit"}  # fmt: skip
    path_of(name, language).parent.mkdir(parents=True, exist_ok=True)
    catalogue.save(str(path_of(name, language)), newline="\n")


def updated(catalogue: polib.POFile, messages: list[Message]) -> polib.POFile:
    """The catalogue with exactly these messages.

    What has not changed keeps its translation; what has is fuzzy, with its former text; what is gone is dropped. In a
    title only the minutes may change: they are written into the translation.
    """
    by_place, by_text = {}, {}
    for entry in catalogue:
        if not entry.obsolete:
            by_place[entry.msgctxt or entry.msgid] = entry
            by_text.setdefault(entry.msgid, entry)
    fresh = polib.POFile(wrapwidth=0)
    for message in messages:
        entry = polib.POEntry(msgid=message.english, msgctxt=message.place or None, comment=message.kind)
        entry.occurrences = [(message.place, "")] if message.place else []
        old = by_place.get(message.place or message.english) or by_text.get(message.english)
        if old is not None:
            entry.msgstr, entry.tcomment = old.msgstr, old.tcomment
            if old.msgid == message.english:
                entry.flags, entry.previous_msgid = old.flags, old.previous_msgid
            elif MINUTES.sub("", old.msgid, count=1) == MINUTES.sub("", message.english, count=1) and not old.fuzzy:
                entry.msgstr = MINUTES.sub(MINUTES.search(message.english)[0], old.msgstr, count=1)
            elif old.msgstr:
                entry.flags = ["fuzzy"]
                entry.previous_msgid = old.previous_msgid if old.fuzzy else old.msgid
        fresh.append(entry)
    return fresh


def update(name: str, language: str, messages: list[Message] | None = None) -> polib.POFile:
    """The catalogue of a notebook brought up to date, not yet saved. Code cells that were translated beyond what has
    to be keep their messages."""
    catalogue = load(name, language)
    if messages is None:
        kept = {(entry.msgctxt, entry.msgid) for entry in catalogue if entry.msgstr}
        messages = [
            Message(cell.source, cell.id, cell.cell_type)
            for cell in read(name).cells
            if has_words(cell) or (cell.id, cell.source) in kept
        ]
    return updated(catalogue, messages)


def state(catalogue: polib.POFile) -> dict[str, list[polib.POEntry]]:
    """What is still to do: {"missing": …, "fuzzy": …, "obsolete": …}."""
    return {
        "missing": [entry for entry in catalogue if not entry.msgstr and not entry.obsolete],
        "fuzzy": [entry for entry in catalogue if entry.fuzzy],
        "obsolete": catalogue.obsolete_entries(),
    }


def begun(language: str) -> list[str]:
    """The notebooks that have a catalogue."""
    return [name for name in names() if path_of(name, language).exists()]


def is_whole(catalogue: polib.POFile) -> bool:
    return not any(state(catalogue).values())


def texts(catalogue: polib.POFile) -> dict[str, str]:
    """{cell id: translation} of those that are done."""
    return {entry.msgctxt: entry.msgstr for entry in catalogue if entry.msgstr and not entry.fuzzy}


def notebook_path(name: str, language: str) -> Path:
    return ENGLISH / language / f"{name}.ipynb"
