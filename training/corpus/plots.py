"""The plots of the stories, and the format of the files data/stories*.txt."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(eq=False)
class Plot:
    """One block of a file of plots: the steps of a story, each in several wordings."""

    name: str
    about: list[str] = field(default_factory=list)  # what a request can ask for to get this plot
    heroes: list[str] = field(default_factory=list)  # nouns such as "fox"; empty: any
    barred: list[str] = field(default_factory=list)  # nouns of heroes that the plot does not suit
    slots: dict[str, list[str]] = field(default_factory=dict)
    cases: list[dict[str, str]] = field(default_factory=list)  # slots that belong together
    steps: list[list[str]] = field(default_factory=list)

    def suits(self, noun: str) -> bool:
        return noun not in self.barred and (not self.heroes or noun in self.heroes)

    def mentions(self, slot: str) -> int:
        """How often every story of this plot names the slot, at least."""
        name = re.compile(rf"\{{(?:[Aa] )?[{slot[0]}{slot[0].upper()}]{slot[1:]}\}}")
        return sum(min(len(name.findall(wording)) for wording in wordings) for wordings in self.steps)


def read_plots(text: str) -> list[Plot]:
    """The plots of a file like data/stories.txt. Raises ValueError with the number of a line that fits no rule."""
    plots: list[Plot] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("=== "):
            plots.append(Plot(line[4:]))
        elif not plots:
            raise ValueError(f"line {number}: {line!r} comes before the first '=== name'")
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
    """The parts of "a | b | c". A bar inside a choice [one|two] does not count."""
    depth, parts = 0, [""]
    for character in line:
        depth += (character == "[") - (character == "]")
        if character == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def assign(line: str, number: int) -> tuple[str, str]:
    name, sign, value = line.partition("=")
    if not sign:
        raise ValueError(f"line {number}: expected 'name = a | b', 'about: …' or 'case: …', got {line!r}")
    return name.strip(), value.strip()
