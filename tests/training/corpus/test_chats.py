"""Chats: their turns, what system texts do to the answers, and the values that are never told."""

import re
from collections import Counter
from random import Random

import pytest

from tests.training.corpus.drawn import trained
from training.corpus.chats import dialog_of, draw_chat, memories
from training.corpus.draws import Draws
from training.corpus.questions import SAID_FIRST, items
from training.corpus.tables import LANGUAGES


def test_chats_are_dialogs_of_one_to_four_turns():
    rng, turns = Random(6), Counter()
    for k in range(600):
        draws = Draws(rng)
        draw_chat(draws, LANGUAGES[k % 2])
        dialog = dialog_of(draws.text)
        said = dialog[1:] if dialog[0]["role"] == "system" else dialog
        assert [message["role"] for message in said] == ["user", "assistant"] * (len(said) // 2)
        assert all(message["content"] == message["content"].strip() != "" for message in dialog)
        turns[len(said) // 2] += 1
    assert set(turns) == {1, 2, 3, 4}
    draws = Draws(rng)
    draw_chat(draws, "en", long=True)
    assert 5 <= len(dialog_of(draws.text)) // 2 <= 9


@pytest.mark.parametrize("rule, holds", [
    ("capital", lambda answer: answer == answer.upper()),
    ("one word", lambda answer: len(answer.split()) == 1),
    ("in Chinese", lambda answer: re.search("[一-鿿]", answer)),
    ("in English", lambda answer: not re.search("[一-鿿]{4}", answer)),
])  # fmt: skip
def test_system_texts_change_the_answer(rule, holds):
    chats = [
        text
        for document in trained("chat_en")
        for text in document.texts
        if "<</SYS>>" in text and rule in text.split("<</SYS>>")[0]
    ]
    assert len(chats) > 20
    for text in chats:
        answer = text.split("[/INST]")[1].strip()
        assert holds(answer), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_values_that_are_asked_for_in_the_evaluation_are_never_told(language):
    told = {memory.values: set(memory.tables[0].column("x").items) for memory in memories(language).items}
    new = {memory.values: set(memory.tables[0].column("x").items) for memory in memories(language, secret=True).items}
    assert len(new) >= 5 and {"names", "pets", "ages", "cities"} <= new.keys() <= told.keys()
    assert not any(told[values] & new[values] for values in new)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_chat_may_begin_with_any_saying(language):
    kinds = {ask: item.kind for item in items(language) for ask in item.ask if item.kind in ("talk", *SAID_FIRST)}
    rng, first = Random(7), Counter()
    while first.total() < 1500:
        draws = Draws(rng)
        turns: list[str] = []
        draws.choose = recorded(draws, turns, kinds)
        draw_chat(draws, language)
        dialog = dialog_of(draws.text)
        first[turns[0] if turns and dialog[0]["role"] == "user" else "other"] += 1
    offered = {kind for kind in ("talk", *SAID_FIRST) if kind in kinds.values()}
    assert all(first[kind] > 10 for kind in offered), first
    assert 0.1 < first["talk"] / first.total() < 0.25


def recorded(draws: Draws, turns: list[str], kinds: dict[str, str]):
    """`draws.choose`, which notes the kind of each saying that it chooses, "other" for any other question."""

    def choose(options, shown=None, silent=False):
        chosen = Draws.choose(draws, options, shown, silent)
        if isinstance(chosen, tuple) and len(chosen) == 2 and hasattr(chosen[0], "kind"):
            turns.append(kinds.get(chosen[1], "other"))
        return chosen

    return choose


def test_what_people_type_first_has_an_answer_that_fits():
    answers = {
        re.sub(r"\[.*", "", ask).rstrip(" .!?"): item.answer.items
        for item in items("en")
        for ask in item.ask
        if item.kind in ("talk", *SAID_FIRST)
    }
    for asked, words in FITTING.items():
        assert all(words in answer for answer in answers[asked]), asked


FITTING = {
    "Hello": "Hello",
    "Good morning": "Hello",
    "Thank you": "You are welcome",
    "Goodbye": "Goodbye",
    "Good night": "Good night",
    "Who are you": "language model of this course",
    "Introduce yourself": "language model of this course",
    "Tell me about yourself": "language model of this course",
    "What is your name": "no name",
    "What can you do": "short stories",
    "Who made you": "authors of this course",
    "How are you": "fine",
    "Yes": "Good!",
    "No": "All right",
    "Maybe": "I am here",
    "What's the weather": "I don't know. I cannot see the weather.",
    "What time is it": "I don't know",
    "Write a poem": "Chinese poems",
}


def test_ends_of_sentences_are_dropped_where_another_telling_follows():
    told = [document.texts[0] for document in trained("chat_en") if " and my favourite " in document.texts[0]]
    assert len(told) > 10
    assert not [text for text in told if re.search(r"[.!\]|] and my favourite (colour|food) ", text)]
