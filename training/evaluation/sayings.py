"""Everyday sayings: what people type first, each with a judge of the answers.

Every entry of sayings.json has

    text        what the user types; every entry has one of its own
    lang        "en" or "zh", the language of the answer as well
    intent      what the user wants
    contains    words, of which an answer must have at least one; capital letters or not
    excludes    words, of which it must have none
    at_least    optional: how many different words of `contains` it must have instead of one
    regex       optional: what else must be found in it
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from training.corpus.held_out import Judge, Question
from training.corpus.held_out_sayings import SAYINGS, load, never_trained
from training.corpus.tables import LANGUAGES

__all__ = ["entries", "judge_of", "never_trained", "sayings"]

FIELDS = {"text": str, "lang": str, "intent": str, "contains": list, "excludes": list, "at_least": int, "regex": str}
OPTIONAL = {"at_least", "regex"}
TAG = re.compile(r"\[/?INST|INST\]|</?s>|<</?SYS|SYS>>", re.IGNORECASE)


def sayings(path: Path = SAYINGS) -> list[Question]:
    """Every saying as a dialog of one message, with the judge of its answer and its language.

    Raises ValueError as `entries` does.
    """
    return [
        Question([{"role": "user", "content": entry["text"]}], judge_of(entry), entry["lang"])
        for entry in entries(path)
    ]


def entries(path: Path = SAYINGS) -> list[dict]:
    """The entries of the file. Raises ValueError with the number of the first one that is not as it should be."""
    found, texts = load(path), set()
    for number, entry in enumerate(found, 1):
        fault = fault_of(entry) or ("has the text of another one" if entry["text"] in texts else "")
        if fault:
            raise ValueError(f"{path.name}, saying {number}, {entry['text']!r}: {fault}")
        texts.add(entry["text"])
    return found


def fault_of(entry: dict) -> str:
    """What is wrong with an entry, "" if nothing."""
    unknown, missing = sorted(entry.keys() - FIELDS.keys()), sorted(FIELDS.keys() - OPTIONAL - entry.keys())
    if unknown or missing:
        return f"the fields {unknown} are unknown" if unknown else f"the fields {missing} are missing"
    for name, value in entry.items():
        if not isinstance(value, FIELDS[name]) or isinstance(value, bool):
            return f"expected {name} to be a {FIELDS[name].__name__}, got {value!r}"
    if entry["lang"] not in LANGUAGES:
        return f"lang must be one of {LANGUAGES}, got {entry['lang']!r}"
    if not all(isinstance(word, str) and word for name in ("contains", "excludes") for word in entry[name]):
        return "contains and excludes must hold words that are not empty"
    if not 1 <= entry.get("at_least", 1) <= len(entry["contains"]):
        return f"contains has {len(entry['contains'])} words, at_least asks for {entry.get('at_least', 1)}"
    try:
        re.compile(entry.get("regex", ""))
    except re.error as error:
        return f"regex: {error}"
    return ""


def judge_of(entry: dict) -> Judge:
    """The judge of the answers to one entry.

    >>> judge = judge_of(entries()[0])  # of "Hello!"
    >>> judge("Hello! How are you?"), judge("You are welcome!"), judge("你好！")
    (True, False, False)
    """
    good, bad = any_of(entry["contains"]), any_of(entry["excludes"])
    regex, at_least = re.compile(entry.get("regex", ""), re.IGNORECASE), entry.get("at_least", 1)
    may_be_chinese = entry["intent"] == "poem"

    def judge(text: str) -> bool:
        text = text.strip().replace("’", "'")
        if TAG.search(text) or not in_language(text, entry["lang"], may_be_chinese) or bad.search(text):
            return False
        words = {word.casefold() for word in good.findall(text)}
        return len(words) >= at_least and bool(regex.search(text))

    return judge


def any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Finds each of the words, the longer one where two begin. English ones are found as whole words; from three
    letters on, they may have an s at their end.

    >>> any_of(["cat", "hen"]).findall("Cats and chickens")
    ['Cat']
    """
    ordered = sorted(words, key=len, reverse=True)
    edge = "[A-Za-z0-9]"
    english = [re.escape(word) + ("(?=s?" if len(word) > 2 else "(?=") for word in ordered if word.isascii()]
    whole = [rf"(?<!{edge}){word}(?!{edge}))" for word in english if word[0].isalnum()]
    other = [re.escape(word) for word in ordered if not (word.isascii() and word[0].isalnum())]
    return re.compile("|".join([*whole, *other]) or "(?!)", re.IGNORECASE)


def in_language(text: str, language: str, may_be_chinese: bool) -> bool:
    """Whether an answer is in the language. may_be_chinese: a Chinese poem may follow English words."""
    chinese, latin = (len(re.findall(letters, text)) for letters in ("[一-鿿。、]", "[A-Za-z]"))
    if language == "zh":
        return latin <= chinese  # an answer in figures has neither
    return may_be_chinese or chinese == 0
