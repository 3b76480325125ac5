"""Stories: about what was asked for, of their length, none twice."""

import re
from collections import Counter
from random import Random

import pytest

from tests.training.corpus.drawn import trained
from training.corpus.chats import dialog_of
from training.corpus.draws import Draws
from training.corpus.stories import draw_story, requests, wishes, without_article
from training.corpus.tables import LANGUAGES
from training.corpus.turns import Chat


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_story_is_about_what_was_asked_for(language):
    rng = Random(5)
    rows = requests(language).rows
    for row, _ in rng.sample(rows, 100):
        draws = Draws(rng)
        draw_story(draws, language, row["noun"], row["wish"], hero="Zazu" if language == "en" else "木木")
        thing = without_article(row["wish"])
        assert row["noun"] in draws.text and draws.text.count(thing) > 1 and re.search("Zazu|木木", draws.text)
    for topic in wishes(language, sort="topic").items:
        assert draw_story(Draws(rng), language, wish=topic).wish == topic
    with pytest.raises(ValueError, match="wishes"):
        draw_story(Draws(rng), language, wish="taxes")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_beginning_ends_with_the_step_that_names_the_wish(language):
    shorter = 0
    for k, (row, _) in enumerate(Random(5).sample(requests(language).rows, 60)):
        beginning, whole = Draws(Random(k)), Draws(Random(k))
        draw_story(beginning, language, row["noun"], row["wish"], whole=False)
        draw_story(whole, language, row["noun"], row["wish"])
        assert whole.text.startswith(beginning.text) and without_article(row["wish"]) in beginning.text
        shorter += len(beginning.text) < 0.8 * len(whole.text)
    assert shorter > 40


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_asks_for_a_beginning_gets_no_whole_story(language):
    rng, lengths = Random(6), {True: [], False: []}
    for k in range(80):
        draws = Draws(rng)
        story = Chat(draws, language).story("beginning" if k % 2 else "wish")
        asked, answer = dialog_of(draws.text)
        assert without_article(story.wish) in answer["content"]
        assert re.search("begin|Start|开头|开个头", asked["content"], re.IGNORECASE) or not k % 2
        lengths[bool(k % 2)].append(len(answer["content"]))
    assert sum(lengths[True]) < 0.7 * sum(lengths[False])


@pytest.mark.parametrize("language, unit, shortest, longest, different", [
    ("en", r"[\w'-]+", 60, 180, 2_000),
    ("zh", ".", 80, 250, 1_000),
])  # fmt: skip
def test_stories_have_their_length_and_many_words_and_none_comes_twice(language, unit, shortest, longest, different):
    stories = [document.texts[0] for document in trained(f"stories_{language}")[:2000]]
    lengths = [len(re.findall(unit, story)) for story in stories]
    assert shortest <= min(lengths) and max(lengths) <= longest
    used = Counter(re.findall("[一-鿿]" if language == "zh" else "[a-z]+", " ".join(stories).lower()))
    assert len(used) >= different
    assert len(set(stories)) == len(stories)
