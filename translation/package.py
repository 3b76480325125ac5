"""What the package shows: its sentences, read from the source, and the file that it reads at run time."""

from __future__ import annotations

import json

import polib

from translation.catalogue import Message
from translation.cells import ROOT


def messages() -> list[Message]:
    return []


def write(entries: polib.POFile, language: str) -> None:
    said = {entry.msgid: entry.msgstr for entry in entries if entry.msgstr and not entry.fuzzy}
    path = ROOT / "minillama" / "locale" / f"{language}.json"
    path.write_text(json.dumps(said, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
