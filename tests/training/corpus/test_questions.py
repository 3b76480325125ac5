"""Questions: no wording belongs to two of them, sums are right, and what cannot be known is said to be unknown."""

import re
from collections import Counter, defaultdict
from itertools import product
from random import Random

import pytest

from training.corpus.chats import memories
from training.corpus.draws import Draws, Options
from training.corpus.grammar import Slot, Slots, fill, parse, written
from training.corpus.questions import KINDS, SAID_FIRST, casual, items, questions, rows_to_ask, share_of_rows
from training.corpus.tables import LANGUAGES

LONGEST = {"en": 75, "zh": 45}  # characters of a wording
ALL = (*KINDS, *SAID_FIRST)


def ways(nodes) -> list[str]:
    """All texts of a template, slots as they are; a text that can be had in two ways is there twice."""
    parts = []
    for node in nodes:
        if isinstance(node, Options):
            parts.append([text for inner in node.items for text in ways(inner)])
        else:
            parts.append([written(node) if isinstance(node, Slot) else node])
    return ["".join(way) for way in product(*parts)]


def own(language: str, *kinds: str) -> list:
    return [item for item in items(language) if item.kind in (kinds or ALL)]


def asked(item, ask: str, rng: Random) -> tuple[str, str]:
    """One question and its answer."""
    slots, draws, answer = Slots(*item.tables), Draws(rng), Draws(rng)
    if item.rows:
        slots.add(rows_to_ask(item.rows, ask, False))
    fill(draws, ask, slots)
    fill(answer, item.answer, slots)
    return draws.text, answer.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_question_has_two_items(language):
    for kinds in [(), tuple(SAID_FIRST), ALL, ("en>zh", "zh>zh"), ("zh>en", "en>en")]:
        asks = Counter(ask for _, ask in questions(language, kinds, False, "", frozenset()).items if "{" not in ask)
        assert not asks or max(asks.values()) == 1, asks.most_common(1)
    for item in items(language):
        assert len(item.ask) == len(set(item.ask)) and len(item.answer) > 0


def test_no_text_of_a_question_belongs_to_two_of_them():
    rng, found = Random(3), defaultdict(set)
    for k, item in enumerate(own("en")):
        if item.kind in ("echo", "added"):  # an echo may repeat anything
            continue
        for ask in item.ask:
            if not item.rows or share_of_rows(item.rows, ask, False):
                for _ in range(1 + 60 * ask.count("{") + 4 * ask.count("[")):
                    found[asked(item, ask, rng)[0]].add(k)
    for k, memory in enumerate(memories("en").items):
        for ask in memory.ask:
            for _ in range(5):
                draws = Draws(rng)
                fill(draws, ask, Slots(*memory.tables))
                found[draws.text].add(f"memory {k}")
    assert not {text: owners for text, owners in found.items() if len(owners) > 1}


def test_a_saying_can_be_written_in_one_way_only():
    texts = Counter(text for item in own("en", "talk", *SAID_FIRST) for ask in item.ask for text in ways(parse(ask)))
    assert len(texts) > 3000 and not [text for text, count in texts.items() if count > 1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_wordings_are_short_and_their_slots_exist(language):
    rng = Random(4)
    for item in own(language):
        for ask in item.ask:
            if item.kind != "echo" and (not item.rows or share_of_rows(item.rows, ask, False)):
                text, answer = asked(item, ask, rng)
                limit = LONGEST[language] + (30 if item.kind == "added" else 0)
                assert 0 < len(text) <= limit and answer and "{" not in text + answer, text


def test_only_what_cannot_be_known_is_answered_with_i_dont_know():
    for item in own("en"):
        said = [answer.startswith("I don't know. ") for answer in item.answer.items]
        assert all(said) if item.short == "Unknown" else not any(said), item
    wordings = [ask for item in own("en") if item.short == "Unknown" for ask in item.ask]
    assert len(wordings) >= 200


def test_a_short_answer_is_one_word():
    for item in own("en", "fact", "sum", "count", "talk"):
        rows = [row for row, _ in item.rows.rows] if item.rows else [{}]
        for row in rows if item.short else []:
            tables = () if item.rows else item.tables
            draws = Draws(Random(1))
            fill(draws, item.short, Slots(*tables, **row))
            assert len(draws.text.split()) == 1, draws.text


def test_a_fifth_to_two_fifths_of_small_talk_is_unknown():
    talk = own("en", "talk")
    share = sum(item.weight for item in talk if item.short == "Unknown") / sum(item.weight for item in talk)
    assert 0.2 < share < 0.4


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sum_to_20_is_asked_in_most_wordings(language):
    plus = {(a, b) for a in range(21) for b in range(21 - a)}
    minus = {(a, b) for a in range(21) for b in range(a + 1)}
    counts = Counter()
    for item in own(language, "sum"):
        if not item.rows.rows[0][0]["n"].isdecimal():  # Chinese sums in words
            continue
        for ask in item.ask:
            for row, _ in rows_to_ask(item.rows, ask, False).rows:
                a, b, n = (int(row[name]) for name in "abn")
                assert n in (a + b, a - b)
                counts[a, b, n] += 1
    assert counts.keys() == {(a, b, a + b) for a, b in plus} | {(a, b, a - b) for a, b in minus}
    assert min(counts.values()) >= 4


def test_english_sums_are_asked_in_digits_and_in_words():
    rng, number = Random(5), {word: n for n, word in enumerate(NUMBERS)}
    for item in own("en", "sum"):
        assert len(item.ask) >= 14
        for ask in item.ask:
            for _ in range(20):
                text, answer = asked(item, ask, rng)
                a, sign, b, n = re.fullmatch(r"(\d+) ([+-]) (\d+) = (\d+)\.", answer).groups()
                found = [number.get(word.lower(), word) for word in re.findall(r"\w+", text)]
                assert {str(n) for n in found if str(n).isdecimal()} == {a, b}, text
                assert int(n) == (int(a) + int(b) if sign == "+" else int(a) - int(b))


NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()


def test_counting_is_exact():
    rng, ends = Random(6), set()
    for item in own("en", "count"):
        for ask in item.ask if "{numbers}" in item.answer.items[0] else ():
            for _ in range(40):
                text, answer = asked(item, ask, rng)
                said = [int(n) for n in answer.rstrip(".").split(", ")]
                words = re.findall(r"\w+", text.lower())
                told = [int(w) if w.isdecimal() else NUMBERS.index(w) for w in words if w.isdecimal() or w in NUMBERS]
                down = "down" in words or "backwards" in words
                start, end = told if len(told) == 2 else (told[0], 1) if down else (1, told[0])
                assert said == list(range(start, end - 1, -1) if down else range(start, end + 1)), (text, answer)
                ends.add(max(said))
    assert ends >= set(range(2, 21))


def test_casual_wordings_have_no_capital_and_no_end_mark():
    assert casual("How are you[?|| today?]") == "how are you[?|| today?]"
    assert casual("Is it {Name}, {a pet}?") == "is it {Name}, {a pet}"
    assert any(ask == "who are you" for item in own("en", "talk") for ask in item.ask) or any(
        ask[0].islower() for item in own("en", "talk") for ask in item.ask
    )
