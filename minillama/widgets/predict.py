"""Predict: commit to an answer, then see the right one."""

from __future__ import annotations

from collections.abc import Sequence

import traitlets as T

from minillama import allowed, arguments
from minillama.check.progress import predicted
from minillama.markup import escape, visible, wrap
from minillama.widgets.front import SENT, Explorer
from minillama.widgets.labels import labels, only
from minillama.widgets.parts import Picture, box

WORDS = ("predict_*", "right_*", "wrong_*")


class Reveal(Picture):
    """The right answer beside the one that was chosen; right is None if none was."""

    def __init__(self, right: bool | None, words: str):
        self.right = right
        kind = {True: "passed", False: "failed", None: "missing"}[right]
        super().__init__(wrap(box(words, kind), "ml-reveal"), words)


class Predict(Explorer):
    """A question with a few answers to choose from, and a button that tells the right one once a choice is made.

    options: the answers, a list of str that differ. answer: the right one, as str(answer) stands in the options, or a
    function without arguments that returns (answer, because); it is called here, so that an error in it is seen at
    once. because: a sentence or two on it. `choice`, an option or None, can be read, and set until the answer is shown;
    `revealed` tells whether it was shown after a choice, which `check.progress` then remembers.

    Raises TypeError or ValueError if options is empty or no list of str, an option stands in it twice or the answer is
    none of them.

    >>> question = Predict("How many tokens stay?", ["2", "3", "4"], 3, "The fourth has more than 0.9 before it.")
    >>> question.choice = "2"
    >>> question.reveal()
    Not this time: you chose “2”. The answer is “3”. The fourth has more than 0.9 before it.
    """

    name, _locked = "predict", None  # the choice, once the answer was shown
    choice = T.Any().tag(**SENT)
    revealed = T.Bool().tag(**SENT)
    score = T.Any().tag(**SENT)  # (right, answered) of the notebook's predictions, once this one is revealed

    @allowed.only(question=allowed.text, options=allowed.texts, because=allowed.text)
    def __init__(self, question: str, options: Sequence[str], answer, because: str = ""):
        arguments.texts("options", options)
        self.text, self.options = labels(), list(options)
        if len(set(options)) < len(options):
            raise ValueError(f"options must differ, got {arguments.shown(self.options)}")
        if callable(answer):
            answer, because = answered(answer())
        place = self.options.index(one_option(answer, self.options))
        data = {"question": question, "options": self.options, "shown": [visible(each) for each in options],
                "answer": place, "because": because, "text": only(self.text, WORDS)}  # fmt: skip
        super().__init__(data, choice=None, revealed=False, score=None)
        self.observe(self._note, "revealed")

    def __repr__(self) -> str:
        return f"Predict({arguments.shown(self.data['question'])}, {len(self.options)} options)"

    @T.validate("choice")
    def _judge(self, proposal):
        value = proposal["value"]
        if value is not None and value not in self.options:
            raise ValueError(f"choice must be one of {self.options}, got {arguments.shown(value)}")
        if self._locked is not None and value != self._locked:
            raise ValueError(
                f"choice is locked at {self._locked!r}: the answer was shown. Run the cell again to choose"
            )
        return value

    def _note(self, change) -> None:
        if self.revealed and self.choice is not None:
            self._locked = self.choice
            self.score = predicted(self, self.right)

    @property
    def right(self) -> bool | None:
        """Whether the choice is right; None without one."""
        return None if self.choice is None else self.options.index(self.choice) == self.data["answer"]

    def reveal(self) -> Reveal:
        """Show what the button shows; without a choice it tells the answer all the same."""
        self.revealed = self.choice is not None
        return Reveal(self.right, self.said(self.right))

    def said(self, right: bool | None) -> str:
        """The answer beside the choice, in sentences."""
        kind = {None: "none", True: "right", False: "wrong"}[right]
        verdict, answer = self.text[f"predict_is_{kind}"], self.options[self.data["answer"]]
        return f"{verdict.format(choice=self.choice, answer=answer)} {self.data['because']}".rstrip()

    def still(self) -> str:
        """The answer, folded: the question and its options stand in the text above it."""
        summary = f"<summary>{escape(self.text['predict_unfold'])}</summary>"
        return wrap(f"<details>{summary}{escape(self.said(None))}</details>", "ml-predict")


def answered(given) -> tuple[object, str]:
    """What an answer's function returned, judged."""
    if not isinstance(given, tuple) or len(given) != 2 or not isinstance(given[1], str):
        raise TypeError(f"answer must return (answer, because), because a str, got {arguments.shown(given)}")
    return given


def one_option(answer, options: Sequence[str]) -> str:
    """The option that an answer is."""
    answer = answer if isinstance(answer, str) else arguments.shown(arguments.plain(answer))
    if answer not in options:
        raise ValueError(f"answer must be one of the options {options}, got {arguments.shown(answer)}")
    return answer
