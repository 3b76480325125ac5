"""Predict: commit to an answer, then let a cell compute it."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as W

from minillama import arguments
from minillama.markup import escape, wrap
from minillama.widgets.labels import labels


class Reveal:
    """What a reveal shows, as HTML and as text."""

    def __init__(self, right: bool | None, sentences: Sequence[str]):
        self.right, self.sentences = right, list(sentences)  # right is None if no choice was made

    def __repr__(self) -> str:
        return " ".join(self.sentences)

    def _repr_html_(self) -> str:
        css = {True: "ml-passed", False: "ml-failed", None: "ml-missing"}[self.right]
        return wrap(f"<div class='ml-box {css}'>{' '.join(map(escape, self.sentences))}</div>", "ml-reveal")


class Predict(W.VBox):
    """A question with a few answers. `reveal` in a later cell tells the computed one.

    >>> question = Predict("How many tokens stay?", ["2", "3", "4"])
    >>> question.reveal(3)
    You made no choice. Computed: 3.
    """

    def __init__(self, question: str, options: Sequence[str], language: str = "en"):
        arguments.texts("options", options)
        self.text = labels(language)
        self.options = list(options)
        self.choice = W.RadioButtons(options=self.options, value=None, layout=W.Layout(width="max-content"))
        self.choice.add_class("s-predict")
        hint = f"<span class='ml-note'>{escape(self.text['predict'])}</span>"
        super().__init__([W.HTML(wrap(f"<b>{escape(question)}</b><br>{hint}")), self.choice])
        self.add_class("w-predict")

    def reveal(self, answer, because: str = "") -> Reveal:
        """Compare the choice with the computed answer, which must be one of the options.

        Without a choice it says so and reveals all the same.
        """
        answer = str(answer)
        if answer not in self.options:
            raise ValueError(f"answer must be one of the options {self.options}, got {answer!r}")
        computed = [self.text["computed"].format(answer=answer), *([because] if because else [])]
        if self.choice.value is None:
            return Reveal(None, [self.text["no_choice"], *computed])
        right = self.choice.value == answer
        verdict = self.text["right"] if right else self.text["wrong"]
        return Reveal(right, [self.text["chose"].format(choice=self.choice.value), *computed, verdict])
