"""What can be asked and answered in one turn: small talk, facts, sums, counting, echoes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from training.corpus.draws import Options
from training.corpus.grammar import SLOT, Table, without_choices
from training.corpus.names import names
from training.corpus.stories import words_of
from training.corpus.tables import is_secret, remember, table

KINDS = {"fact": 29, "talk": 24, "sum": 34, "count": 6, "echo": 3, "added": 4}  # percent of the questions of any kind
SAID_FIRST = {"hello": 5, "first": 4, "thanks": 3, "bye": 3}  # small talk for certain places; on the same scale
NO_PLURAL = {"mouse", "wolf", "sheep", "goose", "deer", "fish", "calf"}  # animals that `plural` would get wrong


class Item(NamedTuple):
    """One question in several wordings, with its answers. The same tables fill the slots of all of them."""

    kind: str
    ask: tuple[str, ...]
    answer: Options[str]
    short: str | None  # the answer in one word
    tables: tuple[Table, ...]
    weight: float
    rows: Table | None = None  # one more table; some of its rows are never asked for in some wordings


@remember
def questions(language: str, kinds: tuple, short: bool, system: str, secret: frozenset) -> Options[tuple[Item, str]]:
    """Items of these kinds, of all KINDS if there are none, each with one of its wordings.

    short: only items with an answer in one word.
    system: the system text of the chat, or ""; some pairs of system text and wording are secret.
    secret: draw what is never asked in training, "questions" or "systems" (with this system text), instead of the rest.
    """
    weights = []
    for item in items(language):
        if item.kind not in (kinds or KINDS) or (short and not item.short):
            continue
        for ask, share in shares_of_wordings(item.kind, item.ask):
            if system and is_secret(system, ask) != ("systems" in secret):
                share = 0.0
            elif item.rows:
                share *= share_of_rows(item.rows, ask, "questions" in secret)
            elif "questions" in secret:
                share = 0.0
            weights.append(((item, ask), item.weight * share))
    return Options(weights)


@remember
def shares_of_wordings(kind: str, asks: tuple[str, ...]) -> list[tuple[str, float]]:
    """Wordings with their shares. Of small talk the first are the most frequent, in all else they are equal."""
    is_talk = kind == "talk" or kind in SAID_FIRST
    weights = [rank**-0.5 if is_talk else 1.0 for rank in range(1, len(asks) + 1)]
    return [(ask, weight / sum(weights)) for ask, weight in zip(asks, weights, strict=True)]


def is_secret_row(row: dict[str, str], ask: str) -> bool:
    """Whether the question that this wording makes of the row is never asked in training, anywhere."""
    return is_secret("question", without_choices(ask, row))


@remember
def share_of_rows(rows: Table, ask: str, secret: bool) -> float:
    """The part of the rows' weight that is secret in this wording, or that is not."""
    total = sum(weight for _, weight in rows.rows)
    return sum(weight for row, weight in rows.rows if is_secret_row(row, ask) == secret) / total


@remember
def rows_to_ask(rows: Table, ask: str, secret: bool) -> Table:
    """The rows that are secret in this wording, or those that are not."""
    return Table((row, weight) for row, weight in rows.rows if is_secret_row(row, ask) == secret)


@remember
def items(language: str) -> list[Item]:
    """All questions outside stories, memory and system texts. The weights of a kind add up to its share."""
    found = [*facts(language), *facts_of_both(language), *talks(language), *numbers(language), echo(language)]
    shares = KINDS | SAID_FIRST
    total = {kind: sum(item.weight for item in found if item.kind == kind) for kind in shares}
    return [item._replace(weight=item.weight * shares.get(item.kind, 1) / total.get(item.kind, 1)) for item in found]


def facts(language: str) -> Iterable[Item]:
    for fact in table("facts", language)["fact"]:
        rows, answer = rows_of(fact), Options.uniform(fact["answer"])
        yield Item("fact", tuple(fact["ask"]), answer, fact.get("short"), (), len(rows.rows) ** 0.5, rows)


def facts_of_both(language: str) -> Iterable[Item]:
    """Facts known in both languages.

    Their kinds are such as "en>zh", asked in English and answered in Chinese, as some system texts demand. Kind "added"
    asks in this language and says in the question that the answer should be in the other one.
    """
    other, added = "zh" if language == "en" else "en", table("asks")["added"][language]
    keys = {"zh": ("ask", "answer", "short"), "en": ("ask_english", "english", "short_english")}
    for fact in [*table("facts", "zh")["fact"], *table("system", "zh")["english"]]:
        if "english" not in fact:
            continue
        rows = rows_of(fact)
        weight = len(rows.rows) ** 0.5 if rows else 0.5
        for to, (_, answer, short) in keys.items():
            if to == "zh" and any("_en}" in text for text in fact[answer]):
                continue  # an answer with an English word would not be all in Chinese
            wording = (Options.uniform(fact[answer]), fact.get(short), (), weight, rows)
            for asked in (asked for asked in keys if keys[asked][0] in fact):
                yield Item(f"{asked}>{to}", tuple(fact[keys[asked][0]]), *wording)
            if to == other and rows and keys[language][0] in fact:
                asks = tuple(ask + wish for ask in fact[keys[language][0]] for wish in added)
                yield Item("added", asks, *wording)


def rows_of(fact: dict) -> Table | None:
    if "rows" not in fact:
        return None
    rows = [dict(zip(fact["columns"], row, strict=True)) for row in fact["rows"]]
    if fact.get("both"):  # a row is read backwards too
        rows += [dict(zip(fact["columns"], row[::-1], strict=True)) for row in fact["rows"]]
    return Table.of_rows(rows)


def talks(language: str) -> Iterable[Item]:
    """Small talk. The kinds of SAID_FIRST are asked only where they belong, the others anywhere."""
    talk, words, people = table("talk", language), words_of(language), table("people", language)
    animals = Table(
        ({"animal": animal, "animals_plural": plural(animal)}, p)
        for animal, p in words.animals.probabilities()
        if animal not in NO_PLURAL
    )
    big = [str(n) for n in range(21, 1000)]
    tables = [Table(({name: n}, 1) for n in big) for name in ("big", "big2")]
    tables += [Table.of_list("food", words.words["food"] if language == "en" else people["foods"]), animals]
    for name, values in talk["slots"].items():
        if name != "animal":
            tables.append(Table.of_rows({name: value} for value in values))
    tables = tuple(tables)
    for block in talk["talk"]:
        kind = block["kind"] if block["kind"] in SAID_FIRST else "talk"
        weight = block.get("weight", 1) * len(block["ask"]) ** 0.5
        asks = with_casual(block["ask"]) if language == "en" else tuple(block["ask"])
        yield Item(kind, asks, Options.uniform(block["answer"]), block.get("short"), tables, weight)


def with_casual(asks: Iterable[str]) -> tuple[str, ...]:
    """English wordings, and after them some of them as people type in a hurry.

    >>> casual("How are you[?|| today?]"), casual("Is {Name} in?")
    ('how are you[?|| today?]', 'is {Name} in')
    """
    asks = tuple(asks)
    return (*asks, *(casual(ask) for ask in asks if is_secret("casual", ask, one_in=3) and casual(ask) != ask))


def casual(ask: str) -> str:
    """The wording in lower case and without its end mark; slots stay as they are."""
    parts = re.split(r"(\{[^{}]*\})", ask.rstrip(".?!"))
    return "".join(part if SLOT.fullmatch(part) else part.lower() for part in parts)


def plural(animal: str) -> str:
    return animal + ("es" if re.search(r"(x|s|sh|ch)$", animal) else "s")


def numbers(language: str) -> Iterable[Item]:
    """Sums and counting to 20. Every column is there twice, "a" in digits and "a_word" in words."""
    asks, comma = table("asks")[language], ", " if language == "en" else "、"
    numerals = table("talk", language)["slots"]["numerals"]

    def row(**numbers: int) -> dict[str, str]:
        words = {f"{name}_word": numerals[n] for name, n in numbers.items()}
        return {name: str(n) for name, n in numbers.items()} | words

    def line(numbers: range) -> dict[str, str]:
        return {"numbers": comma.join(map(str, numbers))}

    def in_words(rows: list) -> list:
        return [({name: numerals[int(row[name])] for name in "abn"}, weight) for row, weight in rows]

    counts = [(start, end) for start in range(2, 11) for end in range(start + 2, min(start + 10, 20) + 1)]
    rows = {
        "plus": [(row(a=a, b=n - a, n=n), 1) for n in range(21) for a in range(n + 1)],
        "minus": [(row(a=a, b=b, n=a - b), 1) for a in range(21) for b in range(a + 1)],
        "count_to": [(row(end=end) | line(range(1, end + 1)), 1) for end in range(2, 21)],
        "count_from": [(row(start=start, end=end) | line(range(start, end + 1)), 1) for start, end in counts],
        "count_down": [(row(start=start) | line(range(start, 0, -1)), 1) for start in range(3, 11)],
        "after": [(row(n=n, next=n + 1), 1) for n in range(1, 20)],
        "before": [(row(n=n, next=n + 1), 1) for n in range(1, 20)],
    }
    if language == "zh":
        rows |= {f"{name}_words": in_words(rows[name]) for name in ("plus", "minus")}
        rows["count_to_words"] = [({**row, "end": row["end_word"]}, weight) for row, weight in rows["count_to"]]
    for name, pairs in rows.items():
        if name not in asks:
            continue
        fields = (tuple(asks[name]["ask"]), Options.uniform(asks[name]["answer"]), asks[name].get("short"))
        if name.startswith(("plus", "minus")):
            yield Item("sum", *fields, (), 1, Table(pairs))
        else:
            yield Item("count", *fields, (Table(pairs),), 4 if name.startswith("count_to") else 1)


def echo(language: str) -> Item:
    """A word or sentence to repeat."""
    asks, words = table("asks")[language]["echo"], words_of(language)
    word = Options.zipf(table("people", language)["words"]).probabilities()
    word += names(language, False).column("name").probabilities()
    word += Options.zipf(words.words["toy"]).probabilities() + words.animals.probabilities()
    tables = (
        Table.of_list("sentence", asks["sentence"]),
        Table(({"word": text}, p) for text, p in Options(word).probabilities()),
        Table(({"animal": animal}, p) for animal, p in words.animals.probabilities()),
    )
    return Item("echo", tuple(asks["ask"]), Options.uniform(asks["answer"]), None, tables, 1)
