"""Random choices that know their own probability, and the same choices run backwards.

A program draws a text: it calls `choose` for what is random and `write` for what is seen. `Draws` makes the choices
and adds up their log-probabilities. `derivations` runs the same program against a finished text and finds every way
in which it could have been drawn: if there is only one, the sum of that way is the log-probability of the text.
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
    """Alternatives and their probabilities. Equal alternatives are one, with the summed weight.

    >>> dict(Options([("red", 3), ("blue", 4), ("red", 1)]).probabilities())
    {'red': 0.5, 'blue': 0.5}
    """

    def __init__(self, weights: Mapping[T, float] | Iterable[tuple[T, float]]):
        merged: dict[T, float] = {}
        for item, weight in weights.items() if isinstance(weights, Mapping) else weights:
            if weight > 0:
                merged[item] = merged.get(item, 0) + weight
        if not merged:
            raise ValueError("nothing to choose from")
        total = sum(merged.values())
        self.items = tuple(merged)
        self.logprobs = tuple(math.log(weight / total) for weight in merged.values())
        self.cumulative = list(accumulate(weight / total for weight in merged.values()))
        self._texts: dict[Callable[[T], str], list[str]] = {}

    @classmethod
    def uniform(cls, items: Iterable[T]) -> Options[T]:
        return cls((item, 1) for item in items)

    @classmethod
    def zipf(cls, items: Iterable[T]) -> Options[T]:
        """The first comes twice as often as the second, three times as often as the third, as words do."""
        return cls((item, 1 / rank) for rank, item in enumerate(items, 1))

    def __len__(self) -> int:
        return len(self.items)

    def probabilities(self) -> list[tuple[T, float]]:
        return [(item, math.exp(logprob)) for item, logprob in zip(self.items, self.logprobs, strict=True)]

    def texts(self, shown: Callable[[T], str]) -> list[str]:
        """shown(item) of all items, made once; so `shown` should be a function that lasts, not a lambda."""
        if shown not in self._texts:
            self._texts[shown] = [shown(item) for item in self.items]
        return self._texts[shown]

    def where(self, keep: Callable[[T], bool]) -> Options[T]:
        return Options((item, probability) for item, probability in self.probabilities() if keep(item))


def nothing(item: object) -> str:
    return ""


class Draws:
    def __init__(self, rng: Random):
        self.rng = rng
        self.logprob = 0.0  # natural logarithm, of all choices so far but the silent ones
        self.silent = 0.0  # the same of those: choices that no token of the text shows
        self.change: Callable[[str], str] = str  # what is done to all that is written, such as str.upper
        self._written: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._written)

    def choose(self, options: Options[T], shown: Callable[[T], str] = nothing, silent: bool = False) -> T:
        """One of the options.

        `shown(item)` is text that is surely written next if this item is chosen: a hint that lets `derivations` pass
        over what cannot be. `silent` choices do not count in logprob.
        """
        if len(options) == 1:
            return options.items[0]
        return self._take(options, self._pick(options, shown), silent)

    def write(self, text: str) -> None:
        self._written.append(self.change(text))

    def _pick(self, options: Options[T], shown: Callable[[T], str]) -> int:
        return min(bisect(options.cumulative, self.rng.random()), len(options) - 1)

    def _take(self, options: Options[T], index: int, silent: bool) -> T:
        if silent:
            self.silent += options.logprobs[index]
        else:
            self.logprob += options.logprobs[index]
        return options.items[index]


class DeadEnd(Exception):
    """The choices made so far do not lead to the text."""


class Replay(Draws):
    """Makes the choices of a script, then the first ones that may still lead to the text."""

    def __init__(self, target: str, script: list[int]):
        super().__init__(Random(0))
        self.target, self.script, self.at = target, script, 0
        self.made: list[int] = []
        self.untried: list[list[int]] = []  # scripts

    def _pick(self, options: Options[T], shown: Callable[[T], str]) -> int:
        if len(self.made) < len(self.script):
            index = self.script[len(self.made)]
        else:
            texts = options.texts(shown) if self.change is str else map(self.change, options.texts(shown))
            suiting = [i for i, text in enumerate(texts) if self.target.startswith(text, self.at)]
            if not suiting:
                raise DeadEnd
            index = suiting[0]
            self.untried += [[*self.made, i] for i in suiting[1:]]
        self.made.append(index)
        return index

    @property
    def text(self) -> str:
        return self.target[: self.at]

    def write(self, text: str) -> None:
        text = self.change(text)
        if not self.target.startswith(text, self.at):
            raise DeadEnd
        self.at += len(text)


def derivations(program: Callable[[Draws], object], target: str) -> list[float]:
    """The log-probability of each way in which `program` can write exactly `target`."""
    found: list[float] = []
    scripts: list[list[int]] = [[]]
    while scripts:
        replay = Replay(target, scripts.pop())
        try:
            program(replay)
        except DeadEnd:
            pass
        else:
            if replay.at == len(target):
                found.append(replay.logprob)
        scripts += replay.untried
    return found
