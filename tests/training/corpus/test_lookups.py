"""Short chats to look back in: half of them about words that nobody says, which only a copy can answer."""

from itertools import islice
from random import Random

import pytest

from training.corpus.chats import dialog_of
from training.corpus.draws import Draws
from training.corpus.invented import chinese_characters, invented
from training.corpus.lookups import SHAPES, lookup_chat, lookups
from training.corpus.names import names, words_said
from training.corpus.tables import LANGUAGES
from training.corpus.turns import Chat


@pytest.mark.parametrize("language", LANGUAGES)
def test_invented_words_are_many_new_and_none_is_a_held_out_name(language):
    words = set(invented(language).column("word").items)
    assert len(words) > 20_000
    assert not words & words_said(language)
    hidden = {row["name"].lower() for row, _ in names(language, secret=True).rows}
    assert len(hidden) > 500 and not words & hidden


def test_invented_words_are_spelt_with_what_the_data_has():
    assert all(
        word.isascii() and word.isalpha() and word == word.lower() for word in invented("en").column("word").items
    )
    assert set("".join(invented("zh").column("word").items)) == set(chinese_characters())


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("shape", SHAPES.items)
def test_what_a_chat_about_made_up_words_answers_stands_further_up(language, shape, monkeypatch):
    """The last answer holds a made-up word that the user or the system text has said."""
    monkeypatch.setattr("training.corpus.lookups.SHAPES", SHAPES.where(lambda one: one == shape))
    rng, words, found = Random(5), set(invented(language).column("word").items), 0
    for _ in range(30):
        draws = Draws(rng)
        if not lookup_chat(Chat(draws, language, made_up=True)):
            continue
        *before, answer = [message["content"].lower() for message in dialog_of(draws.text)]
        copied = {word for word in words_in(answer, words) if any(word in text for text in before)}
        found += bool(copied)
    assert found > 20


def words_in(text: str, words: set[str]) -> set[str]:
    runs = {text[i : i + n] for n in range(1, 10) for i in range(len(text) - n + 1)}
    return runs & words


def test_some_of_the_chats_are_about_made_up_words_and_some_about_real_ones():
    words = {language: set(invented(language).column("word").items) for language in LANGUAGES}
    drawn = [document for document in islice(lookups(2), 300) if document.part == "chat_en"]
    made_up = sum(
        any(word.strip(".,!?").lower() in words["en"] for text in d.texts for word in text.split()) for d in drawn
    )
    assert 0.4 < made_up / len(drawn) < 0.8
