"""Templates and the slots in them."""

import math
from random import Random

import pytest

from training.corpus.draws import Draws
from training.corpus.grammar import Slots, Table, expand, fill


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
    [("{vegetable}", "no such slot; the slots are .*fruit"), ("{a big fruit}", "a slot is"), ("[a|b", "without its"),
     ("a|b", "outside a choice")],
)  # fmt: skip
def test_a_faulty_template_is_named(template, error):
    with pytest.raises(ValueError, match=error):
        drawn(template, Slots(fruit="apple"))


def test_expand_gives_all_texts_with_their_probabilities():
    assert dict(expand("[warm|cold|cold] {day}")) == pytest.approx({"warm {day}": 1 / 3, "cold {day}": 2 / 3})
