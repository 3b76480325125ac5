"""Stories of which only what their own text decides is asked for."""

from itertools import islice
from random import Random

import pytest

from training.corpus.document import Document, is_held_out
from training.corpus.draws import Draws
from training.corpus.grammar import Slots, Table, fill
from training.corpus.recalls import recalls
from training.corpus.stories import draw_story, words_of
from training.corpus.tables import LANGUAGES


def certain(template, *tables, **held):
    draws = Draws(Random(1))
    fill(draws, template, Slots(*tables, **held))
    return [draws.text[start:end] for start, end in draws.certain]


@pytest.mark.parametrize(
    "template, expected",
    [
        ("{hero} and {hero}", ["Ann"]),
        ("{hero} and {he}", ["she"]),
        ("{he} is {hero}", []),  # nobody could know "she" before the name
        ("{Toy}, {a toy}", ["a red ball"]),
        ("{noun} and {noun}", ["fox"]),  # given, but the text does not say so before it is told
        ("[{hero}|{hero}]", []),
    ],
)
def test_what_has_been_told_decides_what_is_told_again(template, expected):
    people = Table([({"hero": "Ann", "he": "she"}, 1), ({"hero": "Bea", "he": "she"}, 1)])
    assert certain(template, people, Table.of_list("toy", ["red ball"]), noun="fox") == expected


def test_a_story_marks_its_names_pronouns_and_the_beginning_of_each_step():
    draws = Draws(Random(3))
    story = draw_story(draws, "en", noun="girl", hero="Anna")
    marked = [draws.text[start:end] for start, end in draws.certain]
    told = draws.text.count("Anna")
    assert marked.count("Anna") == told - 1
    assert {"She", "she", "her", "Her"} & {*marked} and not {"He", "he", "his"} & {*marked}
    steps = [text for text in marked if len(text) == 16]
    assert len(steps) >= 4 and story.hero == "Anna"


@pytest.mark.parametrize("language", LANGUAGES)
def test_nobody_has_the_name_of_a_friend_and_of_a_hero(language):
    words = words_of(language)
    for noun in ("girl", "fox") if language == "en" else ("女孩", "小兔"):
        friends = {row["friend"] for row, _ in words.friends(noun).rows}
        heroes = {row["hero"] for row, _ in words.heroes(noun, None).rows}
        assert friends and heroes and not friends & heroes


def test_recalls_are_in_both_languages_and_hold_nothing_kept_back():
    drawn = list(islice(recalls(1), 400))
    assert all(0 < end - start for story in drawn for start, end in story.certain)
    languages = ["en" if story.text.isascii() else "zh" for story in drawn]
    assert 150 < languages.count("en") < 250
    assert not any(
        is_held_out(Document(f"stories_{language}", (story.text,)))
        for story, language in zip(drawn, languages, strict=True)
    )
