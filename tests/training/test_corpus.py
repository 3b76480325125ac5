"""The drawn texts: the same from the same seed, well formed, and never on both sides of the split."""

import re
from itertools import islice
from random import Random

import pytest

from training.chats import PEOPLE, draw_chat, user_name
from training.corpus import SHARES, documents, draw, is_held_out, mixture
from training.grammar import fill, read_plots
from training.stories import ANIMALS, PLOTS, draw_story, topics

DRAWS = 500


@pytest.mark.parametrize("part", SHARES)
def test_the_same_seed_draws_the_same_documents(part):
    first, again, other = (list(islice(documents(part, seed), 50)) for seed in (7, 7, 8))
    assert first == again != other


@pytest.mark.parametrize("part", SHARES)
def test_no_held_out_document_is_trained_on(part):
    trained = set(islice(documents(part, 1), DRAWS))
    held_out = set(islice(documents(part, 1, held_out=True), 30))
    assert not trained & held_out
    assert all(map(is_held_out, held_out)) and not any(map(is_held_out, trained))


def test_the_mixture_keeps_to_the_shares():
    total = dict.fromkeys(SHARES, 0)
    for document, text in islice(mixture(1, lambda document: "".join(document.texts)), DRAWS):
        total[document.part] += len(text)
    assert total["stories"] / sum(total.values()) == pytest.approx(SHARES["stories"], abs=0.01)


def test_an_unknown_part_is_named():
    with pytest.raises(ValueError, match="part must be one of .*'poems'"):
        draw("poems", Random(0))


@pytest.mark.parametrize("part, long", [("stories", False), ("chat", False), ("chat", True)])
def test_texts_are_clean(part, long):
    rng = Random(3)
    for _ in range(DRAWS):
        for text in draw(part, rng, long).texts:
            body = text.replace("[INST]", "|").replace("[/INST]", "|").replace("= ?", "")
            assert not re.search(r"[{}\[\]]|\.\.|,,| [.,!?]|\w  \w|\b[Aa] [aeio]\w|\b[Aa]n [^aeiou]", body), text


def test_stories_have_60_to_150_words_and_an_end():
    rng = Random(4)
    stories = [draw_story(rng).text for _ in range(DRAWS)]
    assert all(50 <= len(story.split()) <= 150 for story in stories)
    assert all(story[-1] in '.!"' for story in stories)
    assert len(set(stories)) > 0.99 * DRAWS
    assert sum(story.startswith("Once upon a time") for story in stories) > 0.4 * DRAWS


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_each_plot_has_its_four_steps_in_several_wordings(plot):
    assert len(plot.steps) == 4 and all(len(wordings) >= 3 for wordings in plot.steps)


def test_a_story_is_about_what_was_asked_for():
    rng = Random(5)
    for noun in ["girl", "boy", *ANIMALS]:
        story = draw_story(rng, noun=noun, hero="Zazu")
        assert noun in story.text and "Zazu" in story.text
    for topic in topics():
        assert topic in next(plot for plot in PLOTS if plot.name == draw_story(rng, topic=topic).plot).about
    with pytest.raises(ValueError, match="topics"):
        draw_story(rng, topic="taxes")


@pytest.mark.parametrize("long, most", [(False, 3), (True, 9)])
def test_chats_are_dialogs_of_the_length_asked_for(long, most):
    rng = Random(6)
    for _ in range(DRAWS):
        dialog = draw_chat(rng, long)
        turns = dialog[1:] if dialog[0]["role"] == "system" else dialog
        assert [message["role"] for message in turns] == ["user", "assistant"] * (len(turns) // 2)
        assert (5 if long else 1) <= len(turns) // 2 <= most


def test_held_out_names_and_words_are_never_told_in_a_chat():
    rng = Random(7)
    words = set(PEOPLE["words"])
    assert not words & set(PEOPLE["held_out_words"])
    assert not {user_name(rng) for _ in range(20_000)} & set(PEOPLE["held_out"])


def test_system_texts_change_the_answer():
    rng, seen = Random(8), set()
    for _ in range(DRAWS):
        dialog = draw_chat(rng)
        system, answer = dialog[0]["content"], dialog[-1]["content"]
        if dialog[0]["role"] == "system" and "apital" in system:
            seen.add("capitals")
            assert answer == answer.upper()
        elif dialog[0]["role"] == "system" and ("one word" in system or "single word" in system):
            seen.add("one word")
            assert len(answer.split()) == 1
    assert seen == {"capitals", "one word"}


def test_fill_draws_choices_and_fills_slots():
    slots = {"fruit": "apple", "he": "she", "Name": "Eva"}
    assert fill("{A fruit}, {a fruit}: {he} {He} {Name} [x|x]", slots, Random(0)) == "An apple, an apple: she She Eva x"
    assert {fill("[a|b|]", {}, Random(seed)) for seed in range(20)} == {"a", "b", ""}
    with pytest.raises(ValueError, match="no such slot; known: .*fruit"):
        fill("{vegetable}", slots, Random(0))


def test_a_line_that_fits_no_rule_is_named():
    with pytest.raises(ValueError, match="line 2: 'colour red'"):
        read_plots("=== a plot\ncolour red\n")
    with pytest.raises(ValueError, match="line 1: .* before the first"):
        read_plots("{He} was sad.\n")
