"""Quizzes: one question at a time, of every kind, and none that the evaluation keeps for itself."""

from collections import Counter
from itertools import islice
from random import Random

import pytest

from training.corpus.chats import dialog_of
from training.corpus.document import is_held_out
from training.corpus.draws import Draws
from training.corpus.held_out import never_trained
from training.corpus.judges import honest
from training.corpus.quizzes import QUIZZES, quiz_chat, quizzes
from training.corpus.tables import LANGUAGES
from training.corpus.turns import Chat


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", QUIZZES.items)
def test_a_quiz_is_of_the_kind_that_was_drawn(language, kind, monkeypatch):
    monkeypatch.setattr("training.corpus.quizzes.QUIZZES", QUIZZES.where(lambda one: one == kind))
    for seed in range(20):
        draws = Draws(Random(seed))
        quiz_chat(Chat(draws, language))
        roles = [message["role"] for message in dialog_of(draws.text)]
        under_rule = kind in ("system", "form")
        assert (roles[0] == "system") == under_rule
        assert kind == "system" or roles[under_rule:] == ["user", "assistant"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_that_it_cannot_know_gets_an_honest_answer(language, monkeypatch):
    monkeypatch.setattr("training.corpus.quizzes.QUIZZES", QUIZZES.where(lambda one: one == "unknown"))
    for seed in range(30):
        draws = Draws(Random(seed))
        quiz_chat(Chat(draws, language))
        assert honest(dialog_of(draws.text)[-1]["content"])


def test_quizzes_are_in_both_languages_and_hold_nothing_kept_back():
    drawn = list(islice(quizzes(1), 1500))
    parts = Counter(document.part for document in drawn)
    assert set(parts) == {"chat_en", "chat_zh"} and min(parts.values()) > 600
    assert not any(is_held_out(document) or never_trained(document) for document in drawn)
