"""Predict: commit to an answer, then let a cell compute the right one."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as W

from minillama import allowed, arguments
from minillama.check.progress import predicted
from minillama.markup import escape, wrap
from minillama.widgets.labels import labels
from minillama.widgets.parts import Picture, box


class Reveal(Picture):
    """The computed answer beside the one that was chosen; right is None if none was."""

    def __init__(self, right: bool | None, sentences: Sequence[str]):
        self.right, words = right, " ".join(sentences)
        kind = {True: "passed", False: "failed", None: "missing"}[right]
        super().__init__(wrap(box(words, kind), "ml-reveal"), words)


class Predict(W.VBox):
    """A question with a few answers to choose from; `reveal` in a later cell tells the right one.

    options: the answers, a list of str. Raises TypeError or ValueError if it is empty or not a list of str, and
    ValueError for a language without labels.

    >>> question = Predict("How many tokens stay?", ["2", "3", "4"])
    >>> question.reveal(3)
    You made no choice. The answer: 3.
    """

    @allowed.only(question=allowed.text, options=allowed.texts)
    def __init__(self, question: str, options: Sequence[str], language: str = "en"):
        arguments.texts("options", options)
        self.text = labels(language)
        self.options = list(options)
        self.choice = W.RadioButtons(options=self.options, value=None, layout=W.Layout(width="max-content"))
        self.choice.add_class("s-predict")
        hint = f"<span class='ml-note'>{escape(self.text['predict'])}</span>"
        super().__init__([W.HTML(wrap(f"<b>{escape(question)}</b><br>{hint}")), self.choice])
        self.add_class("w-predict")

    @allowed.only(because=allowed.text)
    def reveal(self, answer, because: str = "") -> Reveal:
        """Compare the choice with the computed answer, which `check.progress` remembers; because: a sentence on it.

        Without a choice it says so and reveals all the same. Raises ValueError if str(answer) is none of the options.
        """
        answer = answer if isinstance(answer, str) else arguments.shown(arguments.plain(answer))
        if answer not in self.options:
            raise ValueError(f"answer must be one of the options {self.options}, got {arguments.shown(answer)}")
        computed = [self.text["computed"].format(answer=answer), *([because] if because else [])]
        if self.choice.value is None:
            return Reveal(None, [self.text["no_choice"], *computed])
        right = self.choice.value == answer
        predicted(self, right)
        verdict = self.text["right"] if right else self.text["wrong"]
        return Reveal(right, [self.text["chose"].format(choice=self.choice.value), *computed, verdict])
