"""Questions that are never trained on, each with a judge of the answers: what the evaluation asks the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random

from training.corpus.chats import CROSS, chance, dialog_of, draw_system, memory_chat
from training.corpus.document import Document
from training.corpus.draws import Draws, Options
from training.corpus.grammar import Slots, fill, parse
from training.corpus.held_out_sayings import says_held_out
from training.corpus.judges import (
    Judge,
    all_values,
    answers_item,
    filled,
    holds,
    honest,
    in_language,
    is_sum,
    keeps_rule,
    pattern_of,
    value_of,
)
from training.corpus.questions import Item, is_secret_row, items, talks
from training.corpus.stories import without_article
from training.corpus.tables import LANGUAGES, is_secret, remember, table
from training.corpus.turns import ASSISTANT, USER, Chat

TRIES = 200  # draws for each question
UNKNOWN = 6  # of so many questions that have no known answer, one is never trained on
ALWAYS_ASKED = ("What's the weather today?", "今天天气如何？")  # the first that a learner may type
RULES = ("capitals", "one_word", "ending", "beginning", "pirate", "cat", "robot", "exclaim", "twice", "chinese",
         "english", "named", "user_named")  # fmt: skip


@dataclass(frozen=True)
class Question:
    dialog: list[dict[str, str]]  # the last message is the user's
    accepts: Judge
    language: str


def held_out_memory_dialogs(n: int, seed: int) -> list[Question]:
    """A name or value that training never tells is told, and asked back after up to two other turns."""

    def draw(chat: Chat) -> Judge:
        return holds(memory_chat(chat), chat.language)

    return drawn(draw, "memory", n, seed, "names")


def held_out_system_dialogs(n: int, seed: int) -> list[Question]:
    """A system text with a question that training never puts together, or with a name that training never tells."""

    def draw(chat: Chat) -> Judge:
        draw_system(chat, *RULES)
        rule = chat.rule.rule
        if rule in ("named", "user_named"):
            chat.says(USER, chat.rule.ask, chat.system_slots)
            chat.answers(chat.rule.reply, chat.system_slots)
            return holds(chat.system_slots.held["name"], chat.language)
        item, slots, _ = chat.turn(*CROSS.get(rule, ()))
        return in_language(rule, item, slots, question_of(chat)) if rule in CROSS else keeps_rule(chat, item, slots)

    return drawn(draw, "system", n, seed, "systems", "names")


def held_out_requests(n: int, seed: int) -> list[Question]:
    """A story about a hero and an object that training never asks for together."""

    def draw(chat: Chat) -> Judge:
        story = chat.story()
        has_noun, has_thing = holds(story.noun, chat.language), holds(without_article(story.wish), chat.language)
        return lambda text: has_noun(text) and has_thing(text)

    return drawn(draw, "requests", n, seed, "requests")


def held_out_facts(n: int, seed: int) -> list[Question]:
    """Facts that are trained on, in wordings that are not; half of them are asked after a greeting."""

    def draw(chat: Chat) -> Judge:
        if chance(chat, 0.5):
            Chat(chat.draws, chat.language).turn("hello")
        item, slots, _ = chat.turn("fact")
        return answers_item(item, slots, chat.language, question_of(chat))

    return drawn(draw, "facts", n, seed, "questions")


def sums(n: int, seed: int) -> list[Question]:
    """n of the sums and differences to 20, or all if n is not less: 462 in each language.

    Each is asked in one of its wordings, in one that is never trained on if there is any.
    """
    rng, found = Random(f"sums {seed}"), []
    for language in LANGUAGES:
        for ways in sums_of(language).values():
            hidden = [(row, ask) for row, ask in ways if is_secret_row(row, ask)]
            row, ask = rng.choice(hidden or ways)
            slots = Slots(**row)
            dialog = [{"role": "user", "content": filled(ask, slots)}]
            found.append(Question(dialog, is_sum(slots), language))
    rng.shuffle(found)
    return found[:n]


@remember
def sums_of(language: str) -> dict[tuple[bool, int, int], list[tuple[dict[str, str], str]]]:
    """(whether it is a sum, first number, second number): all (row, wording) that ask for it."""
    found: dict[tuple[bool, int, int], list] = {}
    for item in items(language):
        if item.kind == "sum":
            is_plus = any(mark in item.answer.items[0] for mark in ("+", "加", "plus"))
            for row, _ in item.rows.rows:
                key = (is_plus, value_of(row["a"]), value_of(row["b"]))
                found.setdefault(key, []).extend((row, ask) for ask in item.ask)
    return found


def held_out_unknown(n: int, seed: int) -> list[Question]:
    """What the model cannot know, in questions that training never asks (see `asks_held_out`); it should admit it."""

    def draw(chat: Chat) -> Judge | None:
        item, ask = chat.draws.choose(unknown(chat.language))
        chat.draws.write(USER)
        fill(chat.draws, ask, Slots(*item.tables))
        question = question_of(chat)
        chat.draws.write(ASSISTANT)
        return honest if is_kept_out(question, chat.language) else None

    return drawn(draw, "unknown", n, seed)


@remember
def unknown(language: str) -> Options[tuple[Item, str]]:
    """The questions of the kind "unknown" in data/talk.toml. Those with large numbers are many, and come seldom."""
    blocks = zip(table("talk", language)["talk"], talks(language), strict=True)
    found = [(item, ask) for block, item in blocks if block["kind"] == "unknown" for ask in item.ask]
    return Options(((item, ask), 0.5 if "{big" in ask else 1) for item, ask in found)


@remember
def unknown_wordings(language: str) -> re.Pattern:
    """Matches all of these questions."""
    patterns = {pattern_of(parse(ask), Slots(), all_values(item)) for item, ask in unknown(language).items}
    return re.compile("|".join(sorted(patterns)))


def is_kept_out(question: str, language: str) -> bool:
    """Whether a question that has no known answer is never asked in training."""
    if question in ALWAYS_ASKED or not is_secret("unknown", question, one_in=UNKNOWN):
        return False
    return bool(unknown_wordings(language).fullmatch(question))


def asks_held_out(texts: Sequence[str]) -> bool:
    """Whether a chat, as the texts of a document, asks a question of `held_out_unknown`: then none may train on it."""
    asked = [text.split("[INST] ")[1].split(" [/INST]")[0].split("<</SYS>>\n\n")[-1] for text in texts]
    return any(is_kept_out(question, language) for question in asked for language in LANGUAGES)


def never_trained(document: Document) -> bool:
    """Whether somebody says or asks in it what the evaluation keeps for itself."""
    return says_held_out(document) or (document.part.startswith("chat") and asks_held_out(document.texts))


def question_of(chat: Chat) -> str:
    """The last question of a drawn chat."""
    return [message["content"] for message in dialog_of(chat.draws.text) if message["role"] == "user"][-1]


def drawn(draw: Callable[[Chat], Judge | None], part: str, n: int, seed: int, *secret: str) -> list[Question]:
    """n different questions, half of them in each language. draw returns None for what it does not want to ask."""
    found: dict[str, Question] = {}
    rng = Random(f"{part} {seed}")
    for language in islice(cycle(LANGUAGES), TRIES * n + 2):
        if len(found) == n:
            break
        if sum(question.language == language for question in found.values()) * 2 > n:
            continue
        draws = Draws(rng)
        judge = draw(Chat(draws, language, frozenset(secret)))
        if judge is None:
            continue
        dialog = dialog_of(draws.text)[:-1]
        found.setdefault(repr(dialog), Question(dialog, judge, language))
    if len(found) < n:
        raise ValueError(f"n={n}: only {len(found)} different questions of {part!r} are held out; ask for fewer")
    return list(found.values())
