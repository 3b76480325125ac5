"""Templates, and the slots in them.

    [one|two]        either of them, drawn anew each time; a choice may hold other choices
    {slot} {Slot}    the value of the slot; the same with a capital letter
    {a slot}         the value of the slot, with "a" or "an" before it

A slot gets its value when it is first written, and keeps it: a red ball stays a red ball, and nothing is drawn that
the text does not show.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import product
from math import prod
from typing import NamedTuple

from training.corpus.draws import Draws, Options

MARKS = re.compile(r"([\[\]|]|\{[^{}]*\})")
SLOT = re.compile(r"\{(?:([Aa]) )?(\w+)\}")


class Slot(NamedTuple):
    name: str
    article: str  # "a", "A" or none
    capital: bool

    def form(self, value: str) -> str:
        """The value as the text has it."""
        if self.article and value:
            return f"{self.article}{'n' if takes_an(value) else ''} {value}"
        return capitalised(value) if self.capital else value


class Form(NamedTuple):
    """The slots around a value, the innermost first. Called with a value, it returns how that begins in the text."""

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
    """The text that every filling of the template begins with."""
    nodes = parse(template) if isinstance(template, str) else template
    return nodes[0] if nodes and isinstance(nodes[0], str) else ""


def literal_of_last(item: tuple) -> str:
    return literal(item[-1])


def expand(template: str) -> list[tuple[str, float]]:
    """All texts that the choices of a template can give, with their probabilities; slots stay as they are.

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
        return [("".join(text for text, _ in way), prod(p for _, p in way)) for way in ways]

    nodes = parse(template)
    return Options(texts(nodes)).probabilities() if "[" in template else [(template, 1.0)]  # most have none


def without_choices(template: str, row: Mapping[str, str]) -> str:
    """The template without its choices, its slots filled from a row."""
    nodes = (node for node in parse(template) if not isinstance(node, Options))
    return "".join(node.form(row[node.name]) if isinstance(node, Slot) else node for node in nodes)


def written(slot: Slot) -> str:
    return f"{{{slot.article}{' ' if slot.article else ''}{slot.form(slot.name) if slot.capital else slot.name}}}"


def takes_an(word: str) -> bool:
    return word[0].lower() in "aeiou" and not word.lower().startswith(("uni", "use", "uku", "one"))


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


# ---- slots


class Table:
    """Rows of slots that belong together, with weights.

    >>> pets = Table([({"pet": "cat", "cry": "mew"}, 2), ({"pet": "dog", "cry": "woof"}, 1)])
    >>> pets.column("cry").items, pets.given("cry", "woof").column("pet").items
    (('mew', 'woof'), ('dog',))
    """

    def __init__(self, rows: Iterable[tuple[Mapping[str, str], float]]):
        self.rows = [(dict(row), weight) for row, weight in rows]
        if not self.rows:
            raise ValueError("rows: a table needs at least one row, got none")
        self.columns = list(self.rows[0][0])
        uneven = [row for row, _ in self.rows if list(row) != self.columns]
        if uneven:
            raise ValueError(f"rows: expected the columns {self.columns} in every row, got {uneven[0]}")
        self._columns: dict[str, Options[str]] = {}
        self._given: dict[tuple[str, str], Table] = {}
        self._without: dict[tuple[str, str], Table] = {}

    @classmethod
    def of_list(cls, name: str, values: Sequence[str]) -> Table:
        """One column; the first values come most often, as in `Options.zipf`."""
        ranked = ((value, 1 / rank) for rank, value in enumerate(values, 1))
        return cls(({name: text}, weight * share) for value, weight in ranked for text, share in expand(value))

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, str]]) -> Table:
        """Rows of equal weight; their values may hold choices, which become rows of their own."""
        ways = ((row, product(*map(expand, row.values()))) for row in rows)
        return cls(
            (dict(zip(row, (text for text, _ in way), strict=True)), prod(p for _, p in way))
            for row, all_ways in ways
            for way in all_ways
        )

    def column(self, name: str) -> Options[str]:
        if name not in self._columns:
            self._columns[name] = Options((row[name], weight) for row, weight in self.rows)
        return self._columns[name]

    def given(self, name: str, value: str) -> Table:
        """The rows with this value."""
        if (name, value) not in self._given:
            groups: dict[str, list] = {}
            for row, weight in self.rows:
                groups.setdefault(row[name], []).append((row, weight))
            self._given |= {(name, each): Table(rows) for each, rows in groups.items()}
        return self._given[name, value]

    def without(self, name: str, value: str) -> Table:
        """The rows with any other value."""
        if (name, value) not in self._without:
            self._without[name, value] = Table(pair for pair in self.rows if pair[0][name] != value)
        return self._without[name, value]


class Slots:
    """The slots of one text: the tables to draw from, and the values drawn so far."""

    def __init__(self, *tables: Table, **held: str):
        self.held = held
        self.shown: set[str] = set()  # slots that the text has named
        self.tables: dict[str, Table] = {}
        self.add(*tables)

    def add(self, *tables: Table) -> None:
        """Add the slots of these tables. A slot that exists keeps its table, so give the most special table first."""
        for table in tables:
            for column in table.columns:
                self.tables.setdefault(column, table)

    def hold(self, name: str, value: str) -> None:
        """Give a slot its value, and choose among what belongs to it accordingly."""
        self.held[name] = value
        table = self.tables.get(name)
        if table and len(table.columns) > 1:
            for column in table.columns:
                if self.tables[column] is table:
                    self.tables[column] = table.given(name, value)

    def get(self, draws: Draws, name: str, shown: Callable[[str], str]) -> str:
        """The value of the slot, drawn now if it has none yet; `shown` as in `Draws.choose`."""
        if name not in self.held:
            if name not in self.tables:
                known = sorted([*self.held, *self.tables])
                raise ValueError(f"a template has {{{name}}}, but there is no such slot; the slots are {known}")
            self.hold(name, draws.choose(self.tables[name].column(name), shown))
        return self.held[name]

    def write(self, draws: Draws, form: Form) -> None:
        """Write the value of the form's innermost slot, and fill the slots inside that value."""
        name, start = form.slots[0].name, draws.size
        certain = self.is_certain(name)
        for node in parse(self.get(draws, name, form)):
            if isinstance(node, str):
                draws.write(form.write(node))
            else:
                self.write(draws, Form((node, *form.slots)))
            form = Form(())
        self.shown.add(name)
        if certain:
            draws.certain.append((start, draws.size))

    def is_certain(self, name: str) -> bool:
        """Whether what the text has named decides the slot's value: itself, or another slot of its table.

        >>> from random import Random
        >>> slots = Slots(Table([({"pet": "cat", "cry": "mew"}, 1), ({"pet": "dog", "cry": "woof"}, 1)]))
        >>> draws = Draws(Random(1))
        >>> _ = fill(draws, "{pet} {cry}", slots)
        >>> draws.text, draws.certain
        ('cat mew', [(4, 7)])
        """
        if name in self.shown or name not in self.tables:
            return name in self.shown
        table = self.tables[name]
        return len(table.column(name)) == 1 and not self.shown.isdisjoint(table.columns)


def fill(draws: Draws, template: str | Nodes | Options, slots: Slots) -> str | Nodes:
    """Write a template, one of several if these are Options, with its choices drawn and its slots filled.

    Returns the template written.
    """
    if isinstance(template, Options):
        template = draws.choose(template, literal)
    for node in parse(template) if isinstance(template, str) else template:
        if isinstance(node, str):
            draws.write(node)
        elif isinstance(node, Slot):
            slots.write(draws, Form((node,)))
        else:
            fill(draws, node, slots)
    return template
