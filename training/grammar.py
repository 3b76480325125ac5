"""Templates and how they are filled.

    [one|two]        either of them, drawn anew each time
    {slot} {Slot}    what the slot holds; capitalised
    {a slot}         what the slot holds, with "a" or "an" before it

A slot may hold a template itself. What a slot holds is fixed once for a story, so that a red ball stays a red ball.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

CHOICE = re.compile(r"\[([^\[\]]*)\]")
SLOT = re.compile(r"\{((?:[Aa] )?)(\w+)\}")


def fill(template: str, slots: Mapping[str, str], rng: Random) -> str:
    """The template with its choices drawn and its slots filled; ValueError if a slot is not known.

    >>> fill("{A fruit} is [good|good].", {"fruit": "apple"}, Random(0))
    'An apple is good.'
    """

    def slot(match: re.Match) -> str:
        article, name = match.groups()
        value = slots.get(name, slots.get(name[0].lower() + name[1:]))
        if value is None:
            raise ValueError(f"template {template!r} has {match[0]}, but there is no such slot; known: {sorted(slots)}")
        value = fill(value, slots, rng)
        if article:
            return f"{article.strip()}{'n' if value[0].lower() in 'aeiou' else ''} {value}"
        return value if name in slots else value[0].upper() + value[1:]

    while CHOICE.search(template):
        template = CHOICE.sub(lambda match: rng.choice(match[1].split("|")), template)
    return SLOT.sub(slot, template)


@dataclass
class Plot:
    """One block of stories.txt: the steps of a story, each in several wordings."""

    name: str
    about: list[str] = field(default_factory=list)
    heroes: list[str] = field(default_factory=list)  # empty: any
    barred: list[str] = field(default_factory=list)  # animals that this does not suit
    slots: dict[str, list[str]] = field(default_factory=dict)
    cases: list[dict[str, str]] = field(default_factory=list)  # slots that belong together
    steps: list[list[str]] = field(default_factory=list)


def read_plots(text: str) -> list[Plot]:
    """The plots of a file like data/stories.txt. ValueError names a line that fits no rule."""
    plots: list[Plot] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("=== "):
            plots.append(Plot(line[4:]))
        elif not plots:
            raise ValueError(f"line {number}: {line!r} stands before the first '=== name'")
        elif line.startswith("--- "):
            plots[-1].steps.append([])
        elif plots[-1].steps:
            plots[-1].steps[-1].append(line)
        elif line.startswith("about:"):
            plots[-1].about = split(line[6:])
        elif line.startswith("case:"):
            plots[-1].cases.append(dict(assign(part, number) for part in split(line[5:])))
        else:
            name, value = assign(line, number)
            if name == "heroes":
                plots[-1].heroes = value.split()
            elif name == "not":
                plots[-1].barred = value.split()
            else:
                plots[-1].slots[name] = split(value)
    return plots


def split(line: str) -> list[str]:
    return [part.strip() for part in line.split("|")]


def assign(line: str, number: int) -> tuple[str, str]:
    name, sign, value = line.partition("=")
    if not sign:
        raise ValueError(f"line {number}: {line!r} is no 'name = a | b', no 'about:' and no 'case:'")
    return name.strip(), value.strip()


def pick(rng: Random, items: Sequence, but: Sequence = ()):
    """One of items that is none of `but`."""
    return rng.choice([item for item in items if item not in but])
