"""The checker of stories: silent on what is drawn, loud on what is broken on purpose."""

import re
from random import Random

import pytest

from training.consistency import check_story
from training.draws import Draws
from training.stories import draw_story
from training.turns import requests

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
        story = draw_story(draws, language, row["noun"], row["wish"])
        assert check_story(draws.text, language, story.noun, story.wish, story.hero) == [], draws.text
        assert check_story(draws.text, language) == [], draws.text


def test_the_examples_are_consistent():
    assert check_story(GIRL, "en", "girl", "a red ball", "Lily") == []
    assert check_story(CAT, "zh", "小猫", "红皮球", "咪咪") == []


@pytest.mark.parametrize("language, old, new, fault", [
    ("en", "She had", "He had", "'He' at .* does not fit the hero, a girl"),
    ("en", "and Lily was", "and Emma was", "too many people: Lily, Tom, Emma"),
    ("en", "and Lily was", "but Zorp was", "too many people: Lily, Tom, Zorp"),
    ("en", "red ball", "drum", "red ball is missing"),
    ("en", "had a red ball", "had a drum", "nothing"),
    ("en", "little girl", "little fox", "the opening has no girl"),
    ("en", "named Lily", "named Anna", "the hero is not called|too many people"),
    ("zh", "她有", "他有", "does not fit the hero, a girl"),
    ("zh", "红皮球", "风筝", "红皮球 is missing"),
    ("zh", "一只小猫", "一只小狗", "the opening has no 小猫"),
    ("zh", "咪咪很难过", "小宇和明明很难过", "too many people"),
])  # fmt: skip
def test_broken_stories_are_caught(language, old, new, fault):
    text, noun, wish = (GIRL, "girl", "a red ball") if language == "en" else (CAT, "小猫", "红皮球")
    assert old in text
    faults = check_story(text.replace(old, new), language, noun, wish)
    assert any(re.search(fault, found) for found in faults) or (fault == "nothing" and not faults), faults


def test_an_object_that_does_not_come_back_is_caught():
    once = GIRL.replace("the red ball", "it")
    assert check_story(once, "en", "girl", "a red ball") == ["red ball is not mentioned again"]


def test_a_story_about_nobody_is_caught():
    assert check_story("It rained all day.", "en") == ["nobody is introduced"]
