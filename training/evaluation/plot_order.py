"""Whether a story keeps its plot: which step of which plot each of its sentences is, and whether the steps fit.

Every sentence of every wording in data/stories.txt is a place where a sentence of a story may belong. Which place fits
best is decided for all sentences of the story together: what differs in words costs, and so does a jump from one place
to another that does not follow it.
"""

from __future__ import annotations

import re
from functools import lru_cache
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
PRESENT, TWICE = 0.45, 1.3  # of the words of a step, how much must be there, and how much is too much


class Place(NamedTuple):
    """A sentence of a wording."""

    plot: str
    step: int
    wording: int
    sentence: int
    fixed: frozenset[str]  # its words, slots left out
    room: int  # how many other words its slots may hold
    slots: frozenset[str]


class Stretch(NamedTuple):
    """Neighbouring sentences of a story that are of one wording."""

    plot: str
    step: int
    text: str
    share: float  # of the wording
    places: tuple[Place, ...]
    sentences: tuple[str, ...]


def check_plot(text: str, language: str) -> list[str]:
    """What is wrong with the order of the story's steps, a line for each fault; [] if nothing is."""
    stretches = recognise(text, language)
    told = [one for one in stretches if one.plot not in (OPENING, CLOSING, NOWHERE)]
    faults = [f"belongs to no plot: {one.text!r}" for one in stretches if one.plot == NOWHERE]
    if not told:
        return [*faults, "no plot is recognised"]
    plot = main_plot(told)
    faults += [f"step {one.step + 1} of {one.plot!r} in {plot!r}: {one.text!r}" for one in told if one.plot != plot]
    own = [one for one in told if one.plot == plot]
    for before, after in zip(own, own[1:], strict=False):
        if after.step < before.step:
            faults.append(f"step {after.step + 1} of {plot!r} after step {before.step + 1}: {after.text!r}")
    for step in range(len(words_of(language).plots[plot].steps)):
        share = sum(one.share for one in own if one.step == step)
        if share < PRESENT:
            faults.append(f"step {step + 1} of {plot!r} is missing")
        if share > TWICE:
            faults.append(f"step {step + 1} of {plot!r} is told twice")
    outside = [
        k
        for k, one in enumerate(stretches)
        if one.plot == OPENING and k or one.plot == CLOSING and k < len(stretches) - 1
    ]
    return faults + [f"in the middle of the story: {stretches[k].text!r}" for k in outside]


def check_things(text: str, language: str) -> list[str]:
    """Each slot of the story's plot, such as its object, that changes its value from one sentence to another.

    A line for each, [] if none does or no plot is recognised. text, language: the story, "en" or "zh".
    """
    told = [one for one in recognise(text, language) if one.plot not in (OPENING, CLOSING, NOWHERE)]
    if not told:
        return []
    plot = main_plot(told)
    values = {slot: each for slot, each in values_of(plot, language).items() if "{" not in "".join(each)}
    found: dict[str, list[set[str]]] = {}
    for one in told:
        if one.plot == plot:
            for place, sentence in zip(one.places, one.sentences, strict=True):
                for slot in place.slots & values.keys():
                    found.setdefault(slot, []).append(things_in(sentence, values[slot], language))
    changed = [slot for slot, said in found.items() if len(said) > 1 and not set.intersection(*said)]
    return [
        f"the {slot} changes: {', '.join(' or '.join(sorted(one)) or '?' for one in found[slot])}" for slot in changed
    ]


def main_plot(told: list[Stretch]) -> str:
    """The plot that most of the story is of."""
    length: dict[str, int] = {}
    for one in told:
        length[one.plot] = length.get(one.plot, 0) + sum(len(place.fixed) for place in one.places)
    return max(length, key=length.__getitem__)


def things_in(sentence: str, values: tuple[str, ...], language: str) -> set[str]:
    """The values that the sentence names; of "ball" and "red ball" only the longer one."""
    text = sentence.casefold()
    edge = r"(?<!\w){}(?!\w)" if language == "en" else "{}"
    found = {
        one for one in values if one.casefold() in text and re.search(edge.format(re.escape(one.casefold())), text)
    }
    return {one for one in found if not any(one != other and one in other for other in found)}


# ---- which sentence is which


@lru_cache(maxsize=1024)
def recognise(text: str, language: str) -> list[Stretch]:
    """The story in stretches, each with the plot and the step that it is of.

    text, language: the story, "en" or "zh". A sentence that is of no plot has the plot NOWHERE.

    >>> [(one.plot, one.step) for one in recognise("Once there was a shy fox called Pip. The end.", "en")]
    [('(opening)', 0), ('(closing)', 0)]
    """
    atlas = atlas_of(language)
    sentences = sentences_of(text)
    chosen = atlas.path([words(sentence, language) for sentence in sentences])
    found: list[list[int]] = []
    for k, place in enumerate(chosen):
        last = atlas.places[chosen[k - 1]] if k and chosen[k - 1] >= 0 else None
        here = atlas.places[place] if place >= 0 else None
        goes_on = last and here and last[:3] == here[:3] and last.sentence < here.sentence
        if goes_on or (k and last is here is None):
            found[-1].append(k)
        else:
            found.append([k])
    return [stretch(atlas, chosen, sentences, ks) for ks in found]


def stretch(atlas: Atlas, chosen: list[int], sentences: list[str], ks: list[int]) -> Stretch:
    said = tuple(sentences[k] for k in ks)
    text = " ".join(said) if said[0].isascii() else "".join(said)
    if chosen[ks[0]] < 0:
        return Stretch(NOWHERE, 0, text, 0.0, (), said)
    places = tuple(atlas.places[chosen[k]] for k in ks)
    share = sum(weight(place) for place in places) / atlas.weights[places[0][:3]]
    return Stretch(places[0].plot, places[0].step, text, share, places, said)


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
