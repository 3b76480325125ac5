"""Templates, the slots in them, and the file format of the plots.

    [one|two]        either of them, drawn anew each time; choices may stand in choices
    {slot} {Slot}    what the slot holds; capitalised
    {a slot}         what the slot holds, with "a" or "an" before it

What a slot holds is drawn when it is first written and stays the same from then on, so a red ball stays a red ball,
and nothing is drawn that nobody sees.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import NamedTuple

from training.draws import Draws, Options, nothing

MARKS = re.compile(r"([\[\]|]|\{[^{}]*\})")
SLOT = re.compile(r"\{(?:([Aa]) )?(\w+)\}")


class Slot(NamedTuple):
    name: str
    article: str  # "a", "A" or none
    capital: bool

    def form(self, value: str) -> str:
        """The value as it stands in the text."""
        if self.article and value:
            return f"{self.article}{'n' if takes_an(value) else ''} {value}"
        return capitalised(value) if self.capital else value


class Form(NamedTuple):
    """The slots around a value, the innermost first. Called, it says how a value begins in the text."""

    slots: tuple[Slot, ...]

    def __call__(self, value: str) -> str:
        return self.write(literal(value))

    def write(self, text: str) -> str:
        for slot in self.slots:
            text = slot.form(text)
        return text


Nodes = tuple  # of str, Slot and Options of Nodes


@cache
def parse(template: str) -> Nodes:
    """The template as text, slots and choices. ValueError if it is not well formed."""
    open_choices: list[list[list]] = []
    here: list = []
    for part in filter(None, MARKS.split(template)):
        if part == "[":
            open_choices.append([here])
            here = []
        elif part in "|]" and open_choices:
            open_choices[-1].append(here)
            here = []
            if part == "]":
                before, *alternatives = open_choices.pop()
                here = [*before, Options.uniform(map(tuple, alternatives))]
        elif part[0] == "{":
            match = SLOT.fullmatch(part)
            if not match:
                raise ValueError(f"template {template!r} has {part}; a slot is {{name}}, {{Name}} or {{a name}}")
            name = match[2]
            here.append(Slot(name[0].lower() + name[1:], match[1] or "", name[0].isupper()))
        elif part in "|]":
            raise ValueError(f"template {template!r} has {part!r} outside a choice [one|two]")
        else:
            here.append(part)
    if open_choices:
        raise ValueError(f"template {template!r} has a '[' without its ']'")
    return tuple(here)


def literal(template: str | Nodes) -> str:
    """The text that a template surely begins with."""
    nodes = parse(template) if isinstance(template, str) else template
    return nodes[0] if nodes and isinstance(nodes[0], str) else ""


def literal_of_last(item: tuple) -> str:
    return literal(item[-1])


def expand(template: str) -> list[tuple[str, float]]:
    """All texts that a template with choices can give, slots left as they are, with their probabilities.

    >>> expand("[warm|cold] {day}")
    [('warm {day}', 0.5), ('cold {day}', 0.5)]
    """

    def texts(nodes: Nodes) -> list[tuple[str, float]]:
        parts = []
        for node in nodes:
            if isinstance(node, Options):
                parts.append([(text, p * q) for inner, p in node.probabilities() for text, q in texts(inner)])
            else:
                parts.append([(node if isinstance(node, str) else written(node), 1.0)])
        ways = product(*parts)
        return [("".join(text for text, _ in way), product_of(p for _, p in way)) for way in ways]

    nodes = parse(template)
    return Options(texts(nodes)).probabilities() if "[" in template else [(template, 1.0)]  # most are of this sort


def without_choices(template: str, row: Mapping[str, str]) -> str:
    """The template with its slots filled from a row and its choices left out."""
    nodes = (node for node in parse(template) if not isinstance(node, Options))
    return "".join(node.form(row[node.name]) if isinstance(node, Slot) else node for node in nodes)


def written(slot: Slot) -> str:
    return f"{{{slot.article}{' ' if slot.article else ''}{slot.form(slot.name) if slot.capital else slot.name}}}"


def product_of(factors: Iterable[float]) -> float:
    result = 1.0
    for factor in factors:
        result *= factor
    return result


def takes_an(word: str) -> bool:
    return word[0].lower() in "aeiou" and not word.lower().startswith(("uni", "use", "uku", "one"))


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


# ---- slots


class Table:
    """Rows of slots that belong together, with weights. What is never asked for is never drawn.

    >>> pets = Table([({"pet": "cat", "cry": "mew"}, 2), ({"pet": "dog", "cry": "woof"}, 1)])
    >>> pets.column("cry").items, pets.given("cry", "woof").column("pet").items
    (('mew', 'woof'), ('dog',))
    """

    def __init__(self, rows: Iterable[tuple[Mapping[str, str], float]]):
        self.rows = [(dict(row), weight) for row, weight in rows]
        if not self.rows:
            raise ValueError("a table needs at least one row")
        self.columns = list(self.rows[0][0])
        uneven = [row for row, _ in self.rows if list(row) != self.columns]
        if uneven:
            raise ValueError(f"all rows of a table have the same columns, {self.columns}, but one is {uneven[0]}")
        self._columns: dict[str, Options[str]] = {}
        self._given: dict[tuple[str, str], Table] = {}
        self._without: dict[tuple[str, str], Table] = {}

    @classmethod
    def of_list(cls, name: str, values: Sequence[str]) -> Table:
        """One column; the values are taken to stand in the order of how often they are wanted."""
        ranked = ((value, 1 / rank) for rank, value in enumerate(values, 1))
        return cls(({name: text}, weight * share) for value, weight in ranked for text, share in expand(value))

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, str]]) -> Table:
        """Rows of equal weight, which may hold choices."""
        ways = ((row, product(*map(expand, row.values()))) for row in rows)
        return cls(
            (dict(zip(row, (text for text, _ in way), strict=True)), product_of(p for _, p in way))
            for row, all_ways in ways
            for way in all_ways
        )

    def column(self, name: str) -> Options[str]:
        if name not in self._columns:
            self._columns[name] = Options((row[name], weight) for row, weight in self.rows)
        return self._columns[name]

    def given(self, name: str, value: str) -> Table:
        """The rows that have this value."""
        if (name, value) not in self._given:
            groups: dict[str, list] = {}
            for row, weight in self.rows:
                groups.setdefault(row[name], []).append((row, weight))
            self._given |= {(name, each): Table(rows) for each, rows in groups.items()}
        return self._given[name, value]

    def without(self, name: str, value: str) -> Table:
        """The rows that have another value."""
        if (name, value) not in self._without:
            self._without[name, value] = Table(pair for pair in self.rows if pair[0][name] != value)
        return self._without[name, value]


class Slots:
    """The slots of one text: tables to draw from, and what has been drawn."""

    def __init__(self, *tables: Table, **held: str):
        self.held = held
        self.tables: dict[str, Table] = {}
        self.add(*tables)

    def add(self, *tables: Table) -> Slots:
        """Slots that are there already stay as they are, so more special tables come first."""
        for table in tables:
            for column in table.columns:
                self.tables.setdefault(column, table)
        return self

    def hold(self, name: str, value: str) -> None:
        """Fix a slot, and what belongs to it."""
        self.held[name] = value
        table = self.tables.get(name)
        if table and len(table.columns) > 1:
            for column in table.columns:
                if self.tables[column] is table:
                    self.tables[column] = table.given(name, value)

    def get(self, draws: Draws, name: str, shown: Callable[[str], str] = nothing) -> str:
        """What the slot holds, drawn now if it has not been before; shown(value) is what is written of it next."""
        if name not in self.held:
            if name not in self.tables:
                known = sorted([*self.held, *self.tables])
                raise ValueError(f"a template has {{{name}}}, but there is no such slot; known: {known}")
            self.hold(name, draws.choose(self.tables[name].column(name), shown))
        return self.held[name]

    def write(self, draws: Draws, form: Form) -> None:
        """Write what the innermost slot of the form holds, with the slots in it."""
        for node in parse(self.get(draws, form.slots[0].name, form)):
            if isinstance(node, str):
                draws.write(form.write(node))
            else:
                self.write(draws, Form((node, *form.slots)))
            form = Form(())


def fill(draws: Draws, template: str | Nodes, slots: Slots) -> None:
    """Write the template, with its choices drawn and its slots filled."""
    for node in parse(template) if isinstance(template, str) else template:
        if isinstance(node, str):
            draws.write(node)
        elif isinstance(node, Slot):
            slots.write(draws, Form((node,)))
        else:
            fill(draws, draws.choose(node, literal), slots)


# ---- plots


@dataclass(eq=False)
class Plot:
    """One block of a file of plots: the steps of a story, each in several wordings."""

    name: str
    about: list[str] = field(default_factory=list)
    heroes: list[str] = field(default_factory=list)  # empty: any
    barred: list[str] = field(default_factory=list)  # whom this does not suit
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
    """The parts of "a | b | c"; a bar in a choice [one|two] parts nothing."""
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
        raise ValueError(f"line {number}: {line!r} is no 'name = a | b', no 'about:' and no 'case:'")
    return name.strip(), value.strip()
