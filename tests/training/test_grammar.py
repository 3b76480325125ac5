"""Templates, slots, and draws that know their own probability."""

import math
from collections import Counter
from random import Random

import pytest

from training.draws import Draws, Options, derivations
from training.grammar import Slots, Table, expand, fill, read_plots, split


def drawn(template: str, slots: Slots, seed: int = 0) -> str:
    draws = Draws(Random(seed))
    fill(draws, template, slots)
    return draws.text


def test_slots_are_filled_and_choices_drawn():
    slots = Slots(fruit="apple", he="she", name="Eva")
    assert drawn("{A fruit}, {a fruit}: {he} {He} {Name}", slots) == "An apple, an apple: she She Eva"
    assert {drawn("[a|b|]", Slots(), seed) for seed in range(20)} == {"a", "b", ""}
    assert {drawn("[a[1|2]|b]", Slots(), seed) for seed in range(20)} == {"a1", "a2", "b"}
    assert drawn("{a x}, {a y}, {a z}", Slots(x="unicorn", y="old hat", z="hen")) == "a unicorn, an old hat, a hen"


def test_a_slot_stays_the_same_and_takes_its_row_with_it():
    for seed in range(30):
        table = Table([({"pet": "cat", "cry": "mew"}, 1), ({"pet": "dog", "cry": "woof"}, 1)])
        assert drawn("{pet} {cry} {pet}", Slots(table), seed) in ("cat mew cat", "dog woof dog")


def test_a_slot_may_hold_slots():
    assert (
        drawn("{Did}.", Slots(did="{helper} sang for {a friend}", helper="owl", friend="elk")) == "Owl sang for an elk."
    )


def test_what_is_not_shown_is_not_drawn():
    draws = Draws(Random(0))
    fill(draws, "Hi {name}", Slots(Table.of_list("name", ["Eva", "Tom"]), Table.of_list("colour", ["red", "blue"])))
    assert draws.logprob == pytest.approx(math.log(2 / 3 if "Eva" in draws.text else 1 / 3))


@pytest.mark.parametrize(
    "template, error",
    [("{vegetable}", "no such slot; known: .*fruit"), ("{a big fruit}", "a slot is"), ("[a|b", "without its"),
     ("a|b", "outside a choice")],
)  # fmt: skip
def test_a_faulty_template_is_named(template, error):
    with pytest.raises(ValueError, match=error):
        drawn(template, Slots(fruit="apple"))


def test_expand_gives_all_texts_with_their_probabilities():
    assert dict(expand("[warm|cold|cold] {day}")) == pytest.approx({"warm {day}": 1 / 3, "cold {day}": 2 / 3})


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
    def program(draws: Draws) -> None:
        draws.write("x" * draws.choose(Options({1: 1, 2: 3}), silent=True))

    (logprob,) = derivations(program, "xx")
    assert logprob == 0


def test_a_line_that_fits_no_rule_is_named():
    with pytest.raises(ValueError, match="line 2: 'colour red'"):
        read_plots("=== a plot\ncolour red\n")
    with pytest.raises(ValueError, match="line 1: .* before the first"):
        read_plots("{He} was sad.\n")


def test_a_bar_in_a_choice_parts_nothing():
    assert split("a [b|c] | d") == ["a [b|c]", "d"]
