"""Everyday prose: no chat, about one thing, of its length, and never with a held-out beginning."""

import re
from collections import Counter

import pytest

from tests.training.corpus.drawn import trained
from training.corpus import known, prose
from training.corpus.grammar import Slot, expand, parse
from training.corpus.prose import Beginning, as_typed, begins_held_out, held_out_beginnings, prose_of, rows_of
from training.corpus.tables import LANGUAGES, table

KINDS = {
    "animal", "announcement", "counting", "day", "diary", "dialogue", "fact", "food", "hobby", "instructions",
    "introduction", "letter", "likes", "middle", "opposite", "people", "place", "question", "room", "season",
    "shopping", "weather", "weather report", "wish",
}  # fmt: skip


def texts(language: str, n: int = 5_000) -> list[str]:
    return [document.texts[0] for document in trained(f"prose_{language}")[:n]]


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_kinds_are_there_with_many_beginnings(language):
    begins: dict[str, set[str]] = {}
    for text in table("prose", language)["text"]:
        begins.setdefault(text["kind"], set()).update(text["begin"])
    assert begins.keys() >= KINDS and sum(map(len, begins.values())) >= 300
    assert all(len(found) >= 3 for found in begins.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_is_no_chat(language):
    tag = re.compile(r"INST|SYS|<|\b(?:User|Assistant)\b|用户|助手")
    assert not [text for text in texts(language) if tag.search(text)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_is_short_and_ends_as_a_sentence(language):
    signed = re.compile(r"[.!?。！？](?: (?:Your friend|Love,|With love from))? ?(?:你的朋友)?\w+$")
    for text in texts(language):
        assert re.search(r"[.!?。！？][\"”]?$", text) or signed.search(text), text
        length = len(re.findall(r"[\w'-]+", text)) if language == "en" else len(text)
        assert 3 <= length <= (65 if language == "en" else 90), text


@pytest.mark.parametrize("part", ["prose", "stories"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_to_train_on_begins_with_a_held_out_beginning(part, language):
    held_out = tuple(held_out_beginnings())
    assert len(held_out) >= 24
    assert not [d.texts[0] for d in trained(f"{part}_{language}") if d.texts[0].startswith(held_out)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_beginning_leads_to_a_held_out_one_whatever_its_slots_are(language):
    for beginning in prose_of(language).beginnings.items:
        for rest in beginning.rests.items:
            assert not any(begins_held_out(text) for text, _ in expand(beginning.text + rest))


def test_a_held_out_beginning_is_left_out_even_if_its_end_comes_from_what_follows(monkeypatch):
    monkeypatch.setattr(prose, "held_out_beginnings", lambda: frozenset({"The sun is"}))
    prose.trained_rests.cache_clear()
    assert prose.trained_rests("The sun", (" is a star.", " rises.")).items == (" rises.",)
    assert prose.trained_rests("The sun is", (" a star.",)) is None
    prose.trained_rests.cache_clear()


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_begins_like_a_known_prompt(language):
    openings = [prompt.prompt[: 12 if language == "en" else 5] for prompt in known.load() if prompt.prompt]
    assert not [text for text in texts(language) for opening in openings if opening in text]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_does_not_begin_as_a_story_does(language):
    assert not [text for text in texts(language) if text.startswith(("Once upon a time", "Once there", "从前，有"))]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_slot_of_a_template_exists_and_every_row_is_whole(language):
    data = table("prose", language)
    slots = {*data["lists"], *(column for rows in data["rows"].values() for column in rows["columns"])}
    used = {
        node.name
        for text in data["text"]
        for template in [*text["begin"], *text["go"]]
        for node in parse(template)
        if isinstance(node, Slot)
    }
    assert used <= slots
    with pytest.raises(ValueError):
        rows_of({"columns": ["pet", "cry"], "rows": [["cat"]]})


@pytest.mark.parametrize("weather, others", [("sunny", "raining|snow"), ("rainy", "sun was|sun is|snow|ice on")])
def test_a_rainy_day_stays_rainy(weather, others):
    said = [text for text in texts("en") if re.search(rf"\b(?:is|was|very) {weather}\b", text)]
    assert len(said) > 20 and not [text for text in said if re.search(others, text) and "report" not in text]


def test_some_english_texts_are_typed_without_a_capital_and_i_keeps_its_own():
    assert dict(as_typed("My cat", "en")) == {"My cat": 0.9, "my cat": pytest.approx(0.1)}
    for begin in ("I have", "I'm", '"Hello,"', "and then"):
        assert as_typed(begin, "en") == [(begin, 1.0)]
    assert 0.03 < sum(text[0].islower() for text in texts("en")) / 5_000 < 0.2
    assert as_typed("我", "zh") == [("我", 1.0)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_differ(language):
    counts = Counter(texts(language))
    assert len(counts) > 1_500 and counts.most_common(1)[0][1] < 100


def test_a_beginning_knows_its_kind():
    assert all(isinstance(one, Beginning) and one.kind for one in prose_of("en").beginnings.items)
