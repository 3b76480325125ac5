"""The check of stories: it finds no fault in drawn ones, and those in stories broken on purpose."""

import re
from random import Random

import pytest

from training.corpus.draws import Draws
from training.corpus.stories import draw_story, requests
from training.evaluation.consistency import check_story

GIRL = (
    "Once upon a time, there was a little girl named Lily. She had a red ball and took it everywhere. One day, the red "
    'ball was gone. Her friend Tom came by. "I will help you," he said. They found the red ball, and Lily was happy.'
)
CAT = (
    "从前，有一只小猫，名叫咪咪。她有一个红皮球，走到哪儿都带着。有一天，红皮球不见了。咪咪很难过，后来在床下找到了它。"
)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_drawn_stories_are_found_consistent(language):
    rng, rows = Random(2), requests(language).rows
    for _ in range(250):
        row, draws = rng.choice(rows)[0], Draws(rng)
        draw_story(draws, language, row["noun"], row["wish"])
        assert check_story(draws.text, language) == [], draws.text


def test_the_examples_are_consistent():
    assert check_story(GIRL, "en") == [] == check_story(CAT, "zh")


@pytest.mark.parametrize("language, old, new, fault", [
    ("en", "She had", "He had", "'He' at .* does not fit the hero, a girl"),
    ("en", "and Lily was", "and Emma was", "too many people: Lily, Tom, Emma"),
    ("en", "and Lily was", "but Zorp was", "too many people: Lily, Tom, Zorp"),
    ("en", "named Lily", "named Anna", "too many people: Anna, Tom, Lily"),
    ("en", "little girl", "little thing", "the opening does not say what the hero is"),
    ("zh", "她有", "他有", "does not fit the hero, a girl"),
    ("zh", "一只小猫", "一个东西", "the opening does not say what the hero is"),
    ("zh", "咪咪很难过", "小宇和明明很难过", "too many people: 咪咪, 小宇, 明明"),
])  # fmt: skip
def test_broken_stories_are_caught(language, old, new, fault):
    text = GIRL if language == "en" else CAT
    assert old in text
    faults = check_story(text.replace(old, new), language)
    assert any(re.search(fault, found) for found in faults), faults


def test_a_story_about_nobody_is_caught():
    assert check_story("It rained all day.", "en") == ["nobody is introduced"]
