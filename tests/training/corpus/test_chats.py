"""Chats: their turns, what system texts do to the answers, and the values that are never told."""

import re
from collections import Counter
from random import Random

import pytest

from tests.training.corpus.drawn import trained
from training.corpus.chats import dialog_of, draw_chat, memories
from training.corpus.draws import Draws
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
