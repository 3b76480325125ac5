"""Everyday sayings of the evaluation: which of them are never trained on, and whether a document says one of those."""

from __future__ import annotations

import json
import re
from pathlib import Path

from training.corpus.document import Document
from training.corpus.tables import is_secret, read, remember

SAYINGS = Path(__file__).parents[1] / "evaluation" / "sayings.json"
USER = re.compile(r"\[INST\] (?:<<SYS>>.*?<</SYS>>\n\n)?(.*?) \[/INST\]", re.DOTALL)


@remember
def load(path: Path = SAYINGS) -> list[dict]:
    """The entries of the file as they are. Raises ValueError with the file's name if it is no list of objects that
    have a text."""
    try:
        entries = json.loads(read(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name}: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path.name}: expected a list of sayings")
    for number, entry in enumerate(entries, 1):
        text = entry.get("text") if isinstance(entry, dict) else None
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f'{path.name}, saying {number}: expected an object with a "text", got {entry!r}')
    return entries


@remember
def never_trained() -> frozenset[str]:
    """The wordings that no chat to train on says: about half of all, chosen by their hash."""
    return frozenset(entry["text"] for entry in load() if is_secret("saying", entry["text"], one_in=2))


@remember
def folded_secrets() -> frozenset[str]:
    return frozenset(map(folded, never_trained()))


def folded(text: str) -> str:
    return text.strip().casefold()


def users(document: Document) -> list[str]:
    """What the user says in the document, one text for each turn; [] if it is no chat.

    >>> users(Document("chat_en", ("[INST] Hi! [/INST] Hello! ", "[INST] Bye. [/INST] Goodbye! ")))
    ['Hi!', 'Bye.']
    """
    return [said for text in document.texts for said in USER.findall(text)]


def says_held_out(document: Document) -> bool:
    """Whether any message of the user is a saying that is never trained on, in capital letters or not."""
    return any(folded(said) in folded_secrets() for said in users(document))
