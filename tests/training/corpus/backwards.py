"""A program that draws texts, run backwards: every way in which it could have drawn a given text."""

from collections.abc import Callable
from functools import cache
from random import Random

from training.corpus.draws import Draws, Options


class DeadEnd(Exception):
    """The choices made so far do not lead to the text."""


class Replay(Draws):
    """Makes the choices of a script, then the first ones that may still lead to the text."""

    def __init__(self, target: str, script: list[int]):
        super().__init__(Random(0))
        self.target, self.script, self.at = target, script, 0
        self.made: list[int] = []
        self.untried: list[list[int]] = []  # scripts

    def pick(self, options, shown):
        if len(self.made) < len(self.script):
            index = self.script[len(self.made)]
        else:
            texts = map(self.change, shown_texts(options, shown)) if shown else [""] * len(options)
            index, *others = [i for i, text in enumerate(texts) if self.target.startswith(text, self.at)] or [None]
            if index is None:
                raise DeadEnd
            self.untried += [[*self.made, i] for i in others]
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


@cache
def shown_texts(options: Options, shown: Callable) -> list[str]:
    return [shown(item) for item in options.items]


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
