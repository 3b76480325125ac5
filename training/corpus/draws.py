"""Random choices that know their own probability.

A program that draws a text calls `choose` for what is random and `write` for what is seen. `Draws` makes the choices
and adds up their log-probabilities. If a text can be drawn in one way only, that sum is its log-probability.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class Options(Generic[T]):
    """Alternatives and their probabilities. Equal alternatives count as one, with the sum of their weights.

    >>> dict(Options([("red", 3), ("blue", 4), ("red", 1)]).probabilities())
    {'red': 0.5, 'blue': 0.5}
    """

    def __init__(self, weights: Mapping[T, float] | Iterable[tuple[T, float]]):
        merged: dict[T, float] = {}
        for item, weight in weights.items() if isinstance(weights, Mapping) else weights:
            if weight > 0:
                merged[item] = merged.get(item, 0) + weight
        if not merged:
            raise ValueError("nothing to choose from: give at least one item with a weight above 0")
        total = sum(merged.values())
        self.items = tuple(merged)
        self.logprobs = tuple(math.log(weight / total) for weight in merged.values())
        self.cumulative = list(accumulate(weight / total for weight in merged.values()))

    @classmethod
    def uniform(cls, items: Iterable[T]) -> Options[T]:
        return cls((item, 1) for item in items)

    @classmethod
    def zipf(cls, items: Iterable[T]) -> Options[T]:
        """The first is twice as likely as the second and three times as likely as the third, as words are."""
        return cls((item, 1 / rank) for rank, item in enumerate(items, 1))

    def __len__(self) -> int:
        return len(self.items)

    def probabilities(self) -> list[tuple[T, float]]:
        return [(item, math.exp(logprob)) for item, logprob in zip(self.items, self.logprobs, strict=True)]

    def where(self, keep: Callable[[T], bool]) -> Options[T]:
        return Options((item, probability) for item, probability in self.probabilities() if keep(item))


class Draws:
    """The text so far, and the choices that led to it."""

    def __init__(self, rng: Random):
        self.rng = rng
        self.logprob = 0.0  # natural logarithm, of all choices so far except the silent ones
        self.change: Callable[[str], str] = str  # applied to all that is written, such as str.upper
        self.size = 0  # characters of the text
        self.certain: list[tuple[int, int]] = []  # stretches [start, end) of the text that what stands before decides
        self._written: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._written)

    def choose(self, options: Options[T], shown: Callable[[T], str] | None = None, silent: bool = False) -> T:
        """One of the options. A `silent` choice, which no token of the text shows, does not count in logprob.

        `shown(item)` is text that is certain to be written next if this item is chosen. Drawing does not use it; who
        searches for the choices that led to a finished text needs it if there are many options.
        """
        if len(options) == 1:
            return options.items[0]
        index = self.pick(options, shown)
        if not silent:
            self.logprob += options.logprobs[index]
        return options.items[index]

    def pick(self, options: Options[T], shown: Callable[[T], str] | None) -> int:
        return min(bisect(options.cumulative, self.rng.random()), len(options) - 1)

    def write(self, text: str) -> None:
        changed = self.change(text)
        self._written.append(changed)
        self.size += len(changed)
