"""Short stories, drawn from the plots in data/stories.txt and the words in data/words.toml."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from training.grammar import Plot, fill, pick, read_plots
from training.tables import read, table

WORDS = table("words")
PLOTS = read_plots(read("stories.txt"))
ANIMALS = list(WORDS["animals"])
PRONOUNS = {"girl": ("she", "her", "her", "herself"), "boy": ("he", "him", "his", "himself")}


class Story(NamedTuple):
    text: str
    plot: str
    topic: str  # "a lost toy": what one would ask for
    noun: str  # "girl", "boy", "fox": what the hero is
    hero: str
    friend: str


def draw_story(rng: Random, noun: str | None = None, hero: str | None = None, topic: str | None = None) -> Story:
    """A story; `noun`, `hero` (the hero's name) and `topic` (one of `topics()`) narrow the draw.

    Raises ValueError if no plot suits.
    """
    plots = [plot for plot in PLOTS if (topic is None or topic in plot.about) and suits(plot, noun)]
    if not plots:
        raise ValueError(f"no plot has topic={topic!r} for noun={noun!r}; topics() lists them")
    plot = rng.choice(plots)
    if noun is None:
        nouns = plot.heroes or ["girl", "boy", rng.choice(ANIMALS)]
        noun = rng.choice([one for one in nouns if suits(plot, one)])
    slots = draw_people(rng, noun, hero)
    for name, values in {**lists(), **plot.slots}.items():
        slots.setdefault(name, rng.choice(values))
    if plot.cases:
        cases = [case for case in plot.cases if noun not in case.get("not", "").split() and noun not in case.values()]
        slots.update(rng.choice(cases))
    steps = [rng.choice(WORDS["openings"]), *(rng.choice(wordings) for wordings in plot.steps)]
    if rng.random() < 0.15:
        steps.append(rng.choice(WORDS["closings"]))
    text = " ".join(fill(step, slots, rng) for step in steps)
    about = fill(topic or rng.choice(plot.about), slots, rng)
    return Story(text, plot.name, about, noun, slots["hero"], slots["friend"])


def suits(plot: Plot, noun: str | None) -> bool:
    return noun is None or (noun not in plot.barred and (not plot.heroes or noun in plot.heroes))


def topics() -> list[str]:
    return [topic for plot in PLOTS for topic in plot.about]


def lists() -> dict[str, list[str]]:
    return {name: WORDS[name] for name in ("place", "toy", "food", "colour", "day", "morning", "petname")}


def draw_people(rng: Random, noun: str, hero: str | None) -> dict[str, str]:
    """The slots that name the hero, the friend and the parent, with their pronouns."""
    child = noun in PRONOUNS
    sex = noun if child else rng.choice(["girl", "boy"])
    if hero in WORDS["girls"] + WORDS["animal_girls"]:
        sex = "girl"
    elif hero in WORDS["boys"] + WORDS["animal_boys"]:
        sex = "boy"
    friend_sex = rng.choice(["girl", "boy"])
    names = {"girl": "girls", "boy": "boys"} if child else {"girl": "animal_girls", "boy": "animal_boys"}
    hero = hero or rng.choice(WORDS[names[sex]])
    parent = rng.choice(["mother", "mother", "father", "father", "grandmother", "grandfather"])
    he, him, his, himself = PRONOUNS[sex]
    f_he, f_him, f_his, _ = PRONOUNS[friend_sex]
    parent_name, p_he, p_him, p_his = WORDS["parents"][parent]
    return {
        "noun": noun, "hero": hero, "he": he, "him": him, "his": his, "himself": himself,
        "kind": f"{rng.choice(WORDS['child_kinds' if child else 'animal_kinds'])} {noun}",
        "friend": pick(rng, WORDS[names[friend_sex]], but=[hero]),
        "friend_noun": friend_sex if child else pick(rng, ANIMALS, but=[noun]),
        "f_he": f_he, "f_him": f_him, "f_his": f_his,
        "parent": parent, "parent_name": parent_name, "p_he": p_he, "p_him": p_him, "p_his": p_his,
        "home": rng.choice(WORDS["child_home"]) if child else WORDS["animals"][noun],
    }  # fmt: skip
