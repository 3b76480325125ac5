"""Draws that know their own probability, and the search for the choices that led to a text."""

import math
from collections import Counter
from random import Random

import pytest

from tests.training.corpus.backwards import derivations
from training.corpus.draws import Draws, Options
from training.corpus.grammar import Slots, Table, fill
from training.corpus.parts import DRAWN, program


def test_equal_options_are_one():
    options = Options([("a", 1), ("b", 2), ("a", 1)])
    assert options.items == ("a", "b") and options.logprobs == pytest.approx([math.log(0.5)] * 2)
    assert dict(Options.zipf("abc").probabilities()) == pytest.approx({"a": 6 / 11, "b": 3 / 11, "c": 2 / 11})
    with pytest.raises(ValueError, match="nothing to choose from"):
        options.where(lambda item: item == "c")


def pets(draws: Draws) -> None:
    slots = Slots(Table([({"pet": "cat", "cry": "mew"}, 2), ({"pet": "kitten", "cry": "mew"}, 1)]))
    fill(draws, "[A {pet}|The {pet}|It] says {cry}[.|!|]", slots)


def test_derivations_find_the_way_of_every_text_and_its_probability():
    rng, counts = Random(1), Counter()
    for _ in range(20_000):
        draws = Draws(rng)
        pets(draws)
        counts[draws.text] += 1
    for text, count in counts.items():
        (logprob,) = derivations(pets, text)
        assert count / 20_000 == pytest.approx(math.exp(logprob), abs=0.015)
    assert derivations(pets, "It says woof.") == []


def test_derivations_find_every_way():
    assert len(derivations(lambda draws: fill(draws, "[a|ab][bc|c]", Slots()), "abc")) == 2


def test_silent_choices_do_not_count():
    draws = Draws(Random(0))
    assert draws.choose(Options({1: 1, 2: 3}), silent=True) in (1, 2) and draws.logprob == 0
    assert draws.choose(Options({1: 1, 2: 1})) in (1, 2) and draws.logprob == pytest.approx(math.log(0.5))


@pytest.mark.parametrize("part", DRAWN)
def test_every_text_can_be_drawn_in_one_way_and_knows_its_probability(part):
    rng = Random(11)
    for _ in range(120 if part.startswith("stories") else 60):
        draws = Draws(rng)
        program(part)(draws)
        assert derivations(program(part), draws.text) == pytest.approx([draws.logprob]), draws.text
