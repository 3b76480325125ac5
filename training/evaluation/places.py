"""The places where a sentence of a story may belong: the sentences of all wordings in data/stories.txt.

Which place fits each sentence best is decided for all sentences of a story together: what differs in words costs, and
so does a jump from one place to another that does not follow it.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import NamedTuple

import torch

from training.corpus.draws import Options
from training.corpus.grammar import Nodes, Slot, Table, parse
from training.corpus.stories import words_of
from training.corpus.tables import remember

OPENING, CLOSING, NOWHERE = "(opening)", "(closing)", "(nowhere)"
END = re.compile(r"(?<=[.!?。！？…])")
TOKEN = {"en": re.compile(r"[^\W_]+(?:'[^\W_]+)?"), "zh": re.compile(r"[^\W_]")}
HE, HIS = ("he", "f_he", "p_he"), ("him", "his", "f_him", "f_his", "p_him", "p_his")
PRONOUNS = {  # all count as the same word
    **dict.fromkeys(("he", "she"), "he"),
    **dict.fromkeys(("him", "his", "her", "hers"), "his"),
    **dict.fromkeys("他她它", "他"),
}
PRONOUN_SLOTS = {
    "en": {**dict.fromkeys(HE, "he"), **dict.fromkeys(HIS, "his")},
    "zh": dict.fromkeys((*HE, *HIS), "他"),
}
SLOT = re.compile(r"\{(?:[Aa] )?(\w+)\}")
ANY = {"en": 4, "zh": 5}  # tokens of a slot whose values are not listed
NEXT_STEP, JUMP, INSIDE, SKIPPED = 0.2, 1.0, 0.5, 1.0  # costs, in words that differ
IN_SLOT, STRANGE = 0.1, 0.8  # cost of each word in a slot, and of one that no value of the slot has
LOST = 0.6  # cost of each word in a sentence that belongs nowhere


class Place(NamedTuple):
    """A sentence of a wording."""

    plot: str
    step: int
    wording: int
    sentence: int
    fixed: frozenset[str]  # its words, slots left out
    room: int  # how many other words its slots may hold
    slots: frozenset[str]


def sentences_of(text: str) -> list[str]:
    """Its sentences. A quotation mark alone is none."""
    return [part.strip() for part in END.split(text) if re.search(r"\w", part)]


def words(sentence: str, language: str) -> frozenset[str]:
    found = (word.casefold() for word in TOKEN[language].findall(sentence))
    return frozenset(PRONOUNS.get(word, word) for word in found)


def weight(place: Place) -> int:
    return len(place.fixed) + min(place.room, 2)


@remember
def atlas_of(language: str) -> Atlas:
    return Atlas(language)


class Atlas:
    """All places of one language."""

    def __init__(self, language: str):
        known = words_of(language)
        blocks = [(OPENING, [list(known.words["openings"])]), (CLOSING, [known.words["closings"]])]
        blocks += [(name, plot.steps) for name, plot in known.plots.items()]
        self.places = [
            place
            for plot, steps in blocks
            for step, wordings in enumerate(steps)
            for k, wording in enumerate(wordings)
            for place in places_of(plot, step, k, wording, language)
        ]
        self.weights: dict[tuple, int] = {}
        for place in self.places:
            self.weights[place[:3]] = self.weights.get(place[:3], 0) + weight(place)
        said = {place: words_in_slots(place, language) for place in set(self.places)}
        vocabulary = sorted({word for place in self.places for word in place.fixed | said[place]})
        self.index = {word: k for k, word in enumerate(vocabulary)}
        shape = len(vocabulary), len(self.places)
        self.holds, self.fills = (torch.zeros(shape, dtype=torch.bool) for _ in range(2))  # words of places, of slots
        for k, place in enumerate(self.places):
            self.holds[[self.index[word] for word in place.fixed], k] = True
            self.fills[[self.index[word] for word in said[place] - place.fixed], k] = True
        self.fixed = torch.tensor([float(len(place.fixed)) for place in self.places])
        self.room = torch.tensor([float(place.room) for place in self.places])
        self.first = torch.tensor([place.sentence == 0 for place in self.places])
        self.second = torch.tensor([place.sentence == 1 for place in self.places])
        self.opens = torch.tensor([place.plot == OPENING for place in self.places])
        groups = [(plot, step) for (plot, step), _ in groupby(self.places, key=lambda place: place[:2])]
        number = {group: k for k, group in enumerate(groups)}
        self.group = torch.tensor([number[place[:2]] for place in self.places])
        opening, nothing = number[OPENING, 0], len(groups)
        before = [nothing if p in (OPENING, CLOSING) else opening if s == 0 else number[p, s - 1] for p, s in groups]
        self.before = torch.tensor(before)[self.group]  # of each place, the group that comes before its own

    def costs(self, said: frozenset[str]) -> torch.Tensor:
        """How badly a sentence of these words fits each place."""
        rows = [self.index[word] for word in said if word in self.index]
        hits = self.holds[rows].sum(0, dtype=torch.float32)
        inside = torch.minimum(self.fills[rows].sum(0, dtype=torch.float32), self.room)
        others = len(said) - hits - inside
        strange = torch.minimum(others, self.room - inside)
        return self.fixed - hits + IN_SLOT * inside + STRANGE * strange + (others - strange)

    def path(self, sentences: list[frozenset[str]]) -> list[int]:
        """The place of each sentence, -1 for one that belongs nowhere: the cheapest path from place to place."""
        n, inf = len(self.places), float("inf")
        n_groups = int(self.group.max()) + 1
        arrive = torch.where(self.first, 0.0, INSIDE)
        late = arrive + 2 * JUMP * self.opens
        best = torch.full((n + 1,), inf)  # of the paths that end in each place, the last one stands for nowhere
        steps: list[torch.Tensor] = []
        for k, said in enumerate(sentences):
            cost = torch.cat([self.costs(said), torch.tensor([LOST * len(said) + JUMP])])
            came = torch.full((n + 1,), -1)
            if k == 0:
                total = torch.cat([arrive, torch.zeros(1)])
            else:
                least, where = best.min(0)
                jump = torch.cat([least + JUMP + late, least.reshape(1)])
                if where == n:
                    jump = torch.cat([least + NEXT_STEP + late, least.reshape(1)])
                total, came = jump, torch.full((n + 1,), int(where))
                minima = torch.full((n_groups + 1,), inf).scatter_reduce(0, self.group, best[:n], "amin")
                following = minima[self.before] + NEXT_STEP + arrive
                better = following < total[:n]
                total[:n] = torch.where(better, following, total[:n])
                came[:n] = torch.where(better, -2, came[:n])  # -2: look for it on the way back
                for skip, price in ((1, 0.0), (2, SKIPPED)):
                    shifted = torch.full((n,), inf)
                    shifted[skip:] = best[: n - skip] + price
                    blocked = self.first | self.second if skip == 2 else self.first
                    better = (shifted < total[:n]) & ~blocked
                    total[:n] = torch.where(better, shifted, total[:n])
                    came[:n] = torch.where(better, torch.arange(n) - skip, came[:n])
            steps.append((came, best))
            best = total + cost
        return self.way_back(best, steps)

    def way_back(self, best: torch.Tensor, steps: list[tuple[torch.Tensor, torch.Tensor]]) -> list[int]:
        if not steps:
            return []
        n, here = len(self.places), int(best.argmin())
        found = []
        for came, earlier in reversed(steps):
            found.append(here if here < n else -1)
            at = int(came[here])
            if at == -2:
                inside = self.group == self.before[here]
                at = int(torch.where(inside, earlier[:n], float("inf")).argmin())
            here = at
        return found[::-1]


def places_of(plot: str, step: int, k: int, wording: str, language: str) -> list[Place]:
    """The sentences of a wording."""
    marked, slots = outline(parse(wording)), []
    for node in marked:
        if not isinstance(node, str):
            slots.append(node)
    text = "".join(node if isinstance(node, str) else "\x00" for node in marked)
    found, rest = [], iter(slots)
    for part in END.split(text):
        inside = [next(rest) for _ in range(part.count("\x00"))]
        if not re.search(r"\w|\x00", part):
            continue
        fixed, room, named = words(part.replace("\x00", " "), language), 0, set()
        for node in inside:
            if isinstance(node, Slot):
                room += room_of(plot, node.name, language)
                named.add(node.name)
            else:
                room += max(len(words(spoken(inner), language)) + 4 * has_slot(inner) for inner in node.items)
        pronouns = {PRONOUN_SLOTS[language][name] for name in named if name in PRONOUN_SLOTS[language]}
        found.append(Place(plot, step, k, len(found), fixed | pronouns, room, frozenset(named)))
    return found


def outline(nodes: Nodes) -> list:
    """The nodes of a template; a choice between marks of punctuation becomes the first of them."""
    return [
        spoken(node.items[0])
        if isinstance(node, Options) and not re.search(r"\w", "".join(map(spoken, node.items)))
        else node
        for node in nodes
    ]


def spoken(nodes: Nodes) -> str:
    return " ".join(
        node if isinstance(node, str) else spoken(node.items[0]) if isinstance(node, Options) else "" for node in nodes
    )


def has_slot(nodes: Nodes) -> bool:
    return any(isinstance(node, Slot) for node in nodes)


def words_in_slots(place: Place, language: str) -> frozenset[str]:
    """The words that the values of the place's slots have."""
    if not place.slots:
        return frozenset()
    listed = values_of(place.plot, language) if place.plot not in (OPENING, CLOSING) else {}
    known = {**general_values(language), **listed}
    found = {value for slot in place.slots for value in known.get(slot, ())}
    found |= {value for one in list(found) for slot in SLOT.findall(one) for value in known.get(slot.casefold(), ())}
    return words(SLOT.sub(" ", " ".join(sorted(found))) + " a an", language)


@remember
def general_values(language: str) -> dict[str, tuple[str, ...]]:
    """The values of the slots that every story has, by slot."""
    known = words_of(language)
    tables = [known.parents, *(known.homes(noun) for noun in known.nouns.items)]
    names = {row["hero"] for noun in (None, "") for row, _ in known.names(noun).rows}
    nouns = tuple(known.nouns.items)
    found: dict[str, set[str]] = {"noun": {*nouns}, "friend_noun": {*nouns}, "hero": names, "friend": names}
    found["measure"] = {known.measure(noun) for noun in nouns}
    for table in [*tables, *known.lists]:
        for column in table.columns:
            found.setdefault(column, set()).update(table.column(column).items)
    return {slot: tuple(sorted(values)) for slot, values in found.items()}


@remember
def room_of(plot: str, slot: str, language: str) -> int:
    """How many words the longest value of the slot has, at most."""
    if slot in PRONOUN_SLOTS[language]:
        return 1 if language == "zh" and slot in ("his", "f_his", "p_his") else 0
    values = values_of(plot, language).get(slot) if plot not in (OPENING, CLOSING) else None
    if not values:
        return ANY[language]
    return max(len(words(re.sub(r"\{\w+\}", "a b c", value), language)) for value in values) + 1  # an article


@remember
def values_of(plot: str, language: str) -> dict[str, tuple[str, ...]]:
    """The values of the plot's own slots and of the lists, by slot."""
    known = words_of(language)
    tables: list[Table] = [*known.plot_tables(plot, None), *known.lists]
    found: dict[str, tuple[str, ...]] = {}
    for table in tables:
        for column in table.columns:
            found.setdefault(column, table.column(column).items)
    return found
