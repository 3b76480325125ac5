"""The check of plots: drawn stories pass, and those whose steps are moved, lost, doubled or foreign do not."""

from random import Random
from time import process_time

import pytest

from training.corpus import stories
from training.corpus.draws import Draws
from training.corpus.tables import LANGUAGES
from training.evaluation.plot_order import check_plot, check_things, recognise

N = 120
GAP = {"en": " ", "zh": ""}
LOST_TOY = [
    "Once there was a kind girl called Lily.",
    "She had a red ball that she loved very much.",
    "But one day, Lily could not find the red ball. She felt very sad.",
    'Lily looked under the bed and on the stairs, but there was no red ball. "Let us look together," '
    "said her friend Tom.",
    "Then Lily saw something behind the curtain. It was the red ball! The two friends smiled and played with it "
    "all day.",
]


def parts(language, seed):
    """A drawn story: its opening, its steps and its closing, which may be ""."""
    draws, cuts = Draws(Random(seed)), []
    with pytest.MonkeyPatch.context() as patch:
        fill = stories.fill
        patch.setattr(stories, "fill", lambda *args: cuts.append(len(draws.text)) or fill(*args))
        stories.draw_story(draws, language)
    return [draws.text[a:b].strip() for a, b in zip(cuts, [*cuts[1:], len(draws.text)], strict=True)]


@pytest.fixture(scope="module", params=LANGUAGES)
def drawn(request):
    return request.param, [parts(request.param, seed) for seed in range(N)]


def whole(story, language):
    return GAP[language].join(filter(None, story))


def swapped(story, others, rng):
    one, other = rng.sample(range(1, 5), 2)
    story[one], story[other] = story[other], story[one]


def foreign(story, others, rng):
    story.insert(rng.randrange(1, 6), rng.choice(others)[rng.randrange(1, 5)])


def replaced(story, others, rng):
    story[rng.randrange(1, 5)] = rng.choice(others)[rng.randrange(1, 5)]


def lost(story, others, rng):
    del story[rng.randrange(1, 5)]


def doubled(story, others, rng):
    step = rng.randrange(1, 5)
    story.insert(rng.randrange(step, 6), story[step])


def test_drawn_stories_keep_their_plot_and_their_things(drawn):
    language, told = drawn
    texts = [whole(story, language) for story in told]
    assert sum(check_plot(text, language) == [] for text in texts) >= 0.99 * N
    assert sum(check_things(text, language) == [] for text in texts) >= 0.99 * N


@pytest.mark.parametrize("spoil", [swapped, foreign, replaced, lost, doubled])
def test_spoilt_stories_are_refused(drawn, spoil):
    language, told = drawn
    rng, refused = Random(4), 0
    for k, story in enumerate(told):
        broken = list(story)
        spoil(broken, told[:k] + told[k + 1 :], rng)
        refused += bool(check_plot(whole(broken, language), language))
    assert refused >= 0.95 * N


def test_a_story_is_checked_within_milliseconds(drawn):
    language, told = drawn
    texts = [whole(story, language) for story in told]
    check_plot(texts[0], language)  # reads the plots
    recognise.cache_clear()
    start = process_time()
    for text in texts:
        check_plot(text, language)
    assert (process_time() - start) / N < 0.015  # a slow machine has time to spare


def test_each_sentence_is_recognised():
    text = " ".join(LOST_TOY)
    assert [(one.plot, one.step) for one in recognise(text, "en")] == [
        ("(opening)", 0), *(("lost_toy", step) for step in range(4))
    ]  # fmt: skip
    assert check_plot(text, "en") == [] == check_things(text, "en")


@pytest.mark.parametrize("order, fault", [
    ([0, 1, 3, 2, 4], "step 2 of 'lost_toy' after step 3"),
    ([0, 1, 2, 4], "step 3 of 'lost_toy' is missing"),
    ([0, 1, 2, 3, 3, 4], "step 3 of 'lost_toy' is told twice"),
    ([1, 0, 2, 3, 4], "in the middle of the story: 'Once there was"),
])  # fmt: skip
def test_what_is_wrong_is_said(order, fault):
    assert any(fault in found for found in check_plot(" ".join(LOST_TOY[k] for k in order), "en"))


def test_a_sentence_of_no_plot_is_named():
    text = " ".join(
        [*LOST_TOY[:3], "Seven green teapots marched across Norway, whistling loudly in zigzag.", *LOST_TOY[3:]]
    )
    assert any("belongs to no plot: 'Seven" in found for found in check_plot(text, "en"))
    assert check_plot("Hello.", "en") and check_plot("", "en") == ["no plot is recognised"]


def test_a_thing_that_changes_is_named():
    text = " ".join(LOST_TOY)
    assert check_things(text.replace("It was the red ball", "It was the doll"), "en") == [
        "the object changes: red ball, red ball, red ball, doll"
    ]
    assert check_plot(text.replace("It was the red ball", "It was the doll"), "en") == []
    assert check_things("Hello.", "en") == []
