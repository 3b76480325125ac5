"""Questions that are never trained on, each with a judge of the answers: what the evaluation asks the model."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random

from training.corpus.chats import CROSS, dialog_of, draw_system, memory_chat
from training.corpus.draws import Draws
from training.corpus.grammar import Slots, fill
from training.corpus.questions import Item
from training.corpus.stories import without_article
from training.corpus.tables import LANGUAGES
from training.corpus.turns import USER, Chat

Judge = Callable[[str], bool]
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
        return in_language(rule, item, slots) if rule in CROSS else keeps_rule(chat)

    return drawn(draw, "system", n, seed, "systems", "names")


def held_out_requests(n: int, seed: int) -> list[Question]:
    """A story about a hero and an object that training never asks for together."""

    def draw(chat: Chat) -> Judge:
        story = chat.story()
        has_noun, has_thing = holds(story.noun, chat.language), holds(without_article(story.wish), chat.language)
        return lambda text: has_noun(text) and has_thing(text)

    return drawn(draw, "requests", n, seed, "requests")


def held_out_facts_and_sums(n: int, seed: int) -> list[Question]:
    """Facts and sums that are trained on, in wordings that are not."""

    def draw(chat: Chat) -> Judge:
        item, slots, _ = chat.turn("fact", "sum")
        return answers_item(item, slots, chat.language)

    return drawn(draw, "facts", n, seed, "questions")


def drawn(draw: Callable[[Chat], Judge], part: str, n: int, seed: int, *secret: str) -> list[Question]:
    """n different questions, half of them in each language."""
    found: dict[str, Question] = {}
    rng = Random(f"{part} {seed}")
    for language in islice(cycle(LANGUAGES), 20 * n + 2):
        if len(found) == n:
            break
        if sum(question.language == language for question in found.values()) * 2 > n:
            continue
        draws = Draws(rng)
        judge = draw(Chat(draws, language, frozenset(secret)))
        dialog = dialog_of(draws.text)[:-1]
        found.setdefault(repr(dialog), Question(dialog, judge, language))
    if len(found) < n:
        raise ValueError(f"n={n}: only {len(found)} different questions of {part!r} are held out; ask for fewer")
    return list(found.values())


def holds(value: str, language: str) -> Judge:
    """Whether an answer contains the value, in English as a whole word."""
    edge = r"(?<!\w){}(?!\w)" if value.isascii() and language == "en" else "{}"
    if value.isdecimal():
        edge = r"(?<!\d){}(?!\d)"
    pattern = re.compile(edge.format(re.escape(value)), re.IGNORECASE)
    return lambda text: bool(pattern.search(text))


def filled(template: str, slots: Slots) -> str:
    draws = Draws(Random(0))
    fill(draws, template, slots)
    return draws.text


def answers_item(item: Item, slots: Slots, language: str) -> Judge:
    """Whether an answer is right: it is one of the item's answers, or contains its short one."""
    answers = [filled(answer, slots) for answer in item.answer.items]
    has_word = holds(filled(item.short, slots), language) if item.short else lambda text: False
    return lambda text: text.strip() in answers or has_word(text)


def in_language(rule: str, item: Item, slots: Slots) -> Judge:
    """Whether an answer is right, and in the language that the rule demands."""
    is_right = answers_item(item, slots, {"chinese": "zh", "english": "en"}[rule])

    def judge(text: str) -> bool:
        chinese, latin = (len(re.findall(letters, text)) for letters in ("[一-鿿]", "[A-Za-z]"))
        return is_right(text) and (chinese > latin if rule == "chinese" else chinese * 4 < latin)

    return judge


def keeps_rule(chat: Chat) -> Judge:
    """Whether an answer obeys the system text, whatever else it says."""
    rule, true_answer = chat.rule.rule, dialog_of(chat.draws.text)[-1]["content"]
    before, *_, after = (filled(around, chat.system_slots) for around in chat.rule.around)

    def judge(text: str) -> bool:
        text = text.strip()
        if text == true_answer:  # which may have no letters to write in capitals, and no end mark
            return True
        if rule == "capitals":
            return text == text.upper() != text.lower()
        if rule == "one_word":
            return text.casefold() == true_answer.casefold()
        if rule == "exclaim":
            return "。" not in text and text.endswith(("！", "？"))
        if rule == "twice":
            return len(text) > 1 and text[: len(text) // 2] == text[len(text) // 2 :]
        return text.startswith(before) and text.endswith(after) and len(text) > len(before + after)

    return judge
