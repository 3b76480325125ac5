"""Judges of answers: whether an answer says what is true, keeps to a rule, or admits that it does not know."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from training.corpus.chats import dialog_of
from training.corpus.draws import Draws, Options
from training.corpus.grammar import Nodes, Slot, Slots, fill, parse, written
from training.corpus.questions import Item
from training.corpus.tables import remember, table
from training.corpus.turns import Chat

Judge = Callable[[str], bool]
EXACT = ("count", "echo")  # kinds of items without rows whose slots all follow from the question
MANY = 900  # values of a slot that are not listed in a regular expression
NUMERALS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
HARMLESS = {"a", "an", "the", "is", "are", "it", "they", "that", "this", *"是的它就"}  # words that any answer may add
HONEST = {
    "en": r"not know|n't know|cannot know|can't know|no idea|not sure|cannot (?:see|tell|say|do|look)|"
    r"can't (?:see|tell|say|do|look)|too (?:hard|big|difficult) for me|(?:not|never|n't) (?:yet )?learn",
    "zh": "不知道|不清楚|不了解|不认识|不懂|不会算|[这我]个?不会[。，！]|看不[到见]|做不到|答不|没有?[学听]过|还没学|"
    "说不准|没有人告诉",
}


def honest(text: str) -> bool:
    """Whether the text admits in either language that it does not know or cannot do what is asked."""
    return bool(re.search("|".join(HONEST.values()), text.replace("’", "'"), re.IGNORECASE))


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


def words_in(text: str) -> set[str]:
    """Its English words, numbers and Chinese characters, in lower case."""
    return set(re.findall(r"[一-鿿]|[^\W一-鿿]+", text.casefold()))


# ---- what is true


def answers_item(item: Item, slots: Slots, language: str, asked: str = "", change: Callable[[str], str] = str) -> Judge:
    """Whether an answer is right.

    It is one of the item's answers; or the short answer; or it has the short answer and else only words that the
    question or an answer has too. If all rows have the same short answer, such as "No", that one must stand alone. Of a
    sum, the numbers count alone.

    asked: the question. change: what the system text does to the letters of an answer.
    """
    if item.kind == "sum" and {*slots.held, *slots.tables} >= {"a", "b", "n"}:
        return is_sum(slots)
    is_talk = item.rows is None and item.kind not in EXACT
    free = free_slots(item, slots, asked) if is_talk else {}
    patterns = [re.compile(pattern_of(parse(answer), slots, free, change)) for answer in item.answer.items]
    short = filled(item.short, slots) if item.short else ""
    has_short = holds(short, language) if short and "{" in item.short else lambda text: False
    known = HARMLESS.union(words_in(f"{asked} {short}"), *(words_in(pattern.pattern) for pattern in patterns))
    admits = is_talk and any(honest(answer) for answer in item.answer.items)

    def judge(text: str) -> bool:
        text = text.strip()
        if any(pattern.fullmatch(text) for pattern in patterns) or (admits and honest(text)):
            return True
        if not short:
            return False
        return text.strip(".。!！").casefold() == short.casefold() or (has_short(text) and words_in(text) <= known)

    return judge


def free_slots(item: Item, slots: Slots, asked: str) -> dict[str, tuple[str, ...]]:
    """The slots of small talk that the question does not say, with all their values: any of them may be answered."""
    values = all_values(item)
    said = asked.casefold()
    held = {name: filled(f"{{{name}}}", slots) for name in values if name in slots.held}
    return {name: values[name] for name in values if name not in held or held[name].casefold() not in said}


def all_values(item: Item) -> dict[str, tuple[str, ...]]:
    return {column: table.column(column).items for table in item.tables for column in table.columns}


def pattern_of(nodes: Nodes, slots: Slots, free: dict[str, tuple[str, ...]], change: Callable[[str], str] = str) -> str:
    """A regular expression for all fillings of a template."""
    parts = []
    for node in nodes:
        if isinstance(node, Options):
            parts.append("(?:" + "|".join(pattern_of(inner, slots, free, change) for inner in node.items) + ")")
        elif isinstance(node, Slot) and len(free.get(node.name, ())) > MANY:  # numbers
            parts.append(r"\d+")
        elif isinstance(node, Slot) and node.name in free:
            parts.append("(?:" + "|".join(re.escape(change(node.form(value))) for value in free[node.name]) + ")")
        elif isinstance(node, Slot):
            parts.append(re.escape(change(filled(written(node), slots))))
        else:
            parts.append(re.escape(change(node)))
    return "".join(parts)


def is_sum(slots: Slots) -> Judge:
    """Whether an answer has the right number: alone, or after the two numbers of the question."""
    a, b, n = (value_of(filled(f"{{{name}}}", slots)) for name in "abn")
    is_plus = a + b == n
    allowed = [[n], [a, b, n], *([[b, a, n]] if is_plus else [])]
    return lambda text: numbers_in(text) in allowed


@remember
def numerals() -> dict[str, int]:
    chinese = table("talk", "zh")["slots"]["numerals"]
    return {**{word: k for k, word in enumerate(NUMERALS)}, **{word: k for k, word in enumerate(chinese)}, "两": 2}


def value_of(numeral: str) -> int:
    return int(numeral) if numeral.isdecimal() else numerals()[numeral.casefold()]


def numbers_in(text: str) -> list[int]:
    """The numbers in a text, in order, as figures or as words.

    >>> numbers_in("5 + 3 = 8, that is eight, 八")
    [5, 3, 8, 8, 8]
    """
    words = "|".join(sorted(NUMERALS, key=len, reverse=True))
    chinese = "[零一二三四五六七八九十百千万两]+"
    found = re.findall(rf"(?<![\d.])-?\d+(?:\.\d+)?|\b(?:{words})\b|{chinese}", text, re.IGNORECASE)
    known = numerals()
    return [int(one) if re.fullmatch(r"-?\d+", one) else known.get(one.casefold(), -1) for one in found]


# ---- rules of system texts


def in_language(rule: str, item: Item, slots: Slots, asked: str = "") -> Judge:
    """Whether an answer is right, and in the language that the rule demands."""
    is_right = answers_item(item, slots, {"chinese": "zh", "english": "en"}[rule], asked)

    def judge(text: str) -> bool:
        chinese, latin = (len(re.findall(letters, text)) for letters in ("[一-鿿]", "[A-Za-z]"))
        return is_right(text) and (chinese * 2 > latin if rule == "chinese" else chinese * 4 < latin)

    return judge


def keeps_rule(chat: Chat, item: Item, slots: Slots) -> Judge:
    """Whether an answer to the chat's last question obeys the system text, and is right without the rule's form."""
    dialog = dialog_of(chat.draws.text)
    rule, asked, true_answer = chat.rule.rule, dialog[-2]["content"], dialog[-1]["content"]
    before, *_, after = (filled(around, chat.system_slots) for around in chat.rule.around)
    is_right = answers_item(item, slots, chat.language, asked, chat.rule.change)

    def judge(text: str) -> bool:
        text = text.strip()
        if text == true_answer:  # which may have no letters to write in capitals, and no end mark
            return True
        if rule == "capitals":
            return text == text.upper() != text.lower() and is_right(text)
        if rule == "one_word":
            return text.casefold() == true_answer.casefold()
        if rule == "exclaim":
            return "。" not in text and text.endswith(("！", "？")) and is_right(text)
        if rule == "twice":
            half = text[: len(text) // 2]
            return len(text) > 1 and text == half * 2 and is_right(half)
        if not (text.startswith(before) and text.endswith(after) and len(text) > len(before + after)):
            return False
        return is_right(text[len(before) : len(text) - len(after)])

    return judge
