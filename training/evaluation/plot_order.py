"""Whether a story keeps its plot: which step of which plot each of its sentences is, and whether the steps fit."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from training.corpus.stories import words_of
from training.evaluation.places import (
    CLOSING,
    NOWHERE,
    OPENING,
    Atlas,
    Place,
    atlas_of,
    sentences_of,
    values_of,
    weight,
    words,
)

PRESENT, TWICE = 0.45, 1.3  # of the words of a step, how much must be there, and how much is too much


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
