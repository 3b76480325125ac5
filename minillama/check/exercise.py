"""An exercise is a table: what is right, the cases, and the mistakes that learners make, each with its hint.

    def right_double(x):
        '''f(x (n,)): twice x, (n,).'''
        return 2 * x

    double = exercise(
        right_double,
        cases={"two numbers": (torch.tensor([1.0, 3.0]),), "none": (torch.zeros(0),)},
        mistakes={
            "That is the square: 2 * x, not x ** 2.": swap("2 * x", "x ** 2"),
            "Only the first was doubled.": lambda x: torch.cat([2 * x[:1], x[1:]]),
        },
    )

`double(my_double)` runs a learner's function on all cases, and if one is not right looks for the mistake that gives
the same outcome in every case. What is expected is what `right` returns; where `right` raises, that exception.

Where one call is not enough, a case is a function: it is given the learner's function (which works on copies, and is
watched) and returns what is compared. `right` and every mistake take the same way:

    "the model is called once": lambda f: (lambda model: (f(model, 3), model.calls))(Watched(right_model)),
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minillama.check import judge
from minillama.check.compare import WHOLE, Difference, advice, compared, name_of, plain
from minillama.check.judge import Changed, Outcome, Wrong, message, raised, readable, run
from minillama.check.limits import TimeIsUp, pinned, shortened_output
from minillama.check.report import Case, Report
from minillama.words import say


class Swap(tuple):
    """Pairs of a piece of the right function's body and what a wrong one has in its place."""


def swap(*pieces: str) -> Swap:
    """The right function with each old piece replaced by the new one: swap(old, new, old, new, …)."""
    return Swap(zip(pieces[::2], pieces[1::2], strict=True))


def swaps(old: str, *news: str) -> list[Swap]:
    """The wrong functions that have one of several new pieces in an old one's place; $ in it is the old one."""
    return [swap(old, new.replace("$", old)) for new in news]


def source(function: Callable) -> tuple[str, str]:
    """The text of a function: its head, and its body without the docstring."""
    head, _, body = textwrap.dedent(inspect.getsource(function)).split('"""', 2)
    return head.rstrip(), body.strip("\n")


def build(text: str, like: Callable) -> Callable:
    """The function that a text defines, where `like` was defined."""
    made: dict[str, Any] = {}
    exec(compile(text, f"<{like.__name__} with a mistake>", "exec"), like.__globals__, made)
    return made[like.__name__]


class Watched:
    """A function to hand over to the learner's; `calls` holds the arguments of each call by their names, as copies."""

    def __init__(self, function: Callable):
        self.function, self.calls, self.signature = function, [], inspect.signature(function)

    def __call__(self, *args, **kwargs):
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        self.calls.append(plain(dict(bound.arguments)))
        return self.function(*args, **kwargs)


@dataclass
class Exercise:
    """What a table holds, and how it judges."""

    right: Callable
    given: Mapping[str, Any] | Callable[[], Mapping[str, Any]]
    mistakes: Mapping[str, Any]
    look: Callable[[Any], Any] | None = None
    without: Sequence[str] = ()
    tolerance: float = 1e-4

    @functools.cached_property
    def cases(self) -> dict[str, Any]:
        with pinned():  # so that those that are drawn are the same in every process
            return dict(self.given() if callable(self.given) else self.given)

    @functools.cached_property
    def wrong(self) -> list[tuple[str, Callable]]:
        """Every (hint, wrong function); without the swaps where Python has no source to read."""
        pairs = []
        for hint, each in self.mistakes.items():
            for one in each if type(each) is list else [each]:
                with contextlib.suppress(OSError):
                    pairs.append((hint, self._swapped(one) if isinstance(one, Swap) else one))
        return pairs

    def _swapped(self, pieces: Swap) -> Callable:
        head, body = source(self.right)
        for k, (old, _) in enumerate(pieces):  # a mark first: no pair changes what another has put in
            if old not in body:
                raise ValueError(f"{self.right.__name__}: {old!r} does not occur in it, or another piece took it")
            body = body.replace(old, chr(0xE000 + k))
        body = body.translate({0xE000 + k: new for k, (_, new) in enumerate(pieces)})
        return build(f"{head}\n{body}", self.right)

    @functools.cached_property
    def rounds(self) -> list[Any]:
        """The cases, and the first once more: is anything kept from call to call?"""
        return [*self.cases.values(), next(iter(self.cases.values()))]

    @functools.cached_property
    def expected(self) -> list[Outcome]:
        return [run(self.right, case, self.look, seconds=60) for case in self.rounds]

    def run(self, function: Callable, case: Any, seconds: float = 0) -> Outcome:
        return run(function, case, self.look, self.without, seconds)

    def trouble(self, k: int, got: Outcome) -> Difference | BaseException | None:
        """What is wrong with the outcome of case k: a difference, an exception, or nothing."""
        expected, error = self.expected[k], got.error
        if expected.error is None:
            return error or compared(expected.value, got.value, self.tolerance)
        if error is None:
            return Difference("raise", "", type(expected.error), got.value)
        return None if isinstance(error, type(expected.error)) and message(error) else error

    def alike(self, one: Outcome, other: Outcome) -> bool:
        """Whether two wrong functions did the same. Only a ValueError of their own may say what it likes."""
        if type(one.error) is not type(other.error) or isinstance(one.error, TimeIsUp):
            return False
        if isinstance(one.error, Wrong):
            return message(one.error) == message(other.error)
        if one.error and not isinstance(one.error, Changed):
            words = [message(each.error).split()[:1] for each in (one, other)]
            free = isinstance(one.error, ValueError) and one.is_own and other.is_own
            return bool(words[0]) == bool(words[1]) if free else words[0] == words[1]
        first, second = (each.returned if each.error else each.value for each in (one, other))
        return not (compared(first, second, self.tolerance) and compared(second, first, self.tolerance))

    def outcomes(self, function: Callable) -> Iterator[Outcome]:
        """What the function makes of each case, and of the first once more; a stub or an endless loop is the last."""
        for case in self.rounds:
            outcome = self.run(function, case)
            yield outcome
            if isinstance(outcome.error, TimeIsUp) or outcome.stub:
                return

    def judge(self, function: Callable) -> Report:
        """The verdict on a function. Never raises, whatever it does."""
        if not callable(function):
            return no_function(name_of(function), type(function).__name__)
        return self.verdict(name_of(function), list(self.outcomes(function)))

    def verdict(self, name: str, outcomes: list[Outcome]) -> Report:
        """The verdict on what a function of that name made of the cases."""
        names = [*map(say, self.cases), say("the first case again")]
        if outcomes[0].stub:
            return Report(name, "not attempted")
        failing = [k for k, got in enumerate(outcomes) if self.trouble(k, got) is not None]
        forbidden = next((got.forbidden for got in outcomes if got.forbidden), "")
        if not failing and not forbidden:
            return Report(name, "passed", [Case(each, True) for each in names[:-1]])
        first, hint = 0, say("Do not call {name}: writing it yourself is the exercise.", name=forbidden)
        if failing:
            first, hint = failing[0], self._hint(outcomes, failing)
        done = [Case(each, True) for each in names[:first]]
        return Report(name, "failed", [*done, Case(names[first], False, readable(hint))])

    def _hint(self, outcomes: list[Outcome], failing: list[int]) -> str:
        first, perhaps = failing[0], ""
        if outcomes[first].stub:
            return say("Right so far, but this case raises NotImplementedError.")
        generic, beside = self._generic(first, outcomes[first])
        for hint, wrong in self.wrong:
            got = self.run(wrong, self.rounds[first])
            if not self.trouble(first, got) or not self.alike(got, outcomes[first]):
                continue
            agree = {k for k, got in enumerate(outcomes) if self.alike(self.run(wrong, self.rounds[k]), got)}
            if len(agree) == len(outcomes):
                return f"{say(hint)}\n{beside}"
            if not perhaps and 2 * len(agree.intersection(failing)) > len(failing) + 1:
                perhaps = say("Perhaps: {hint}", hint=say(hint)) + "\n"
        if first > 0 and failing[-1] == len(self.cases):
            return say(
                "The first case gave a different result the second time. Something is kept from one call to the next: "
                "a global variable, a default argument that is a list, or a generator that has been used up."
            )
        return perhaps + generic

    def _generic(self, k: int, got: Outcome) -> tuple[str, str]:
        """The hint where no mistake of the table explains what was seen, and what is said beside the one that does."""
        found, expected = self.trouble(k, got), type(self.expected[k].error)
        if isinstance(found, Difference):
            return self._of_a_call(k, got) or advice(found), found.line()
        if isinstance(found, Wrong | Changed):
            return message(found), ""
        if isinstance(found, TimeIsUp):
            template = "It did not return within {seconds} seconds. Is there a loop that never ends or is very slow?"
        elif expected is type(None):
            return got.outside and self._of_a_call(k, got) or raised(got), raised(got)
        elif isinstance(found, expected):
            template = "The {error} has no message. Say what is wrong, and what is allowed."
        elif isinstance(found, AssertionError):
            template = "`assert` is for your own mistakes, not for a caller's. Raise {error}."
        elif type(found).__name__ == "Exception":
            template = "Exception is too general. Raise {error}."
        else:
            template = "Expected {error} here.\n{raised}"
        gaps = {"error": expected.__name__, "raised": raised(got), "seconds": f"{judge.TIME_LIMIT:g}"}
        return say(template, **gaps), raised(got)

    def _of_a_call(self, k: int, got: Outcome) -> str:
        """In a case with calls of its own: the first result that is of another sort than the right one."""
        if isinstance(self.rounds[k], tuple) and not got.outside:
            return ""
        pairs = zip(self.expected[k].returned, got.returned, strict=False)
        found = (compared(one, other, self.tolerance) for one, other in pairs)
        sorts = ("type", "float", *WHOLE)
        return next((advice(each) for each in found if each and each.kind in sorts and not each.at), "")


def no_function(name: str, kind: str) -> Report:
    """The verdict on something that cannot be called."""
    return Report(
        name, "failed", [Case(say("is a function"), False, say("Expected a function, got {kind}.", kind=kind))]
    )


def exercise(right: Callable, cases: Any, mistakes: Mapping[str, Any], **options: Any) -> Callable[[Callable], Report]:
    """The judge of an exercise, a function with the name of `right` (less "right_") and its docstring after "Judge".

    right: the right function; it is called as learners' are. cases: {name: arguments of a call, or a function}, or a
    function that makes them. mistakes: {hint: wrong function, swap, or list of these}. Options: look: what is compared
    of a result, if not all; it may raise Wrong. without: torch functions that are not to be used. tolerance: relative
    and absolute, of floats; 1e-4.
    """
    table = Exercise(right, cases, mistakes, **options)

    def check(function: Callable) -> Report:
        with pinned(), shortened_output():
            report = table.judge(function)
        return judge.finish(report, function, check.__name__)

    check.__name__ = check.__qualname__ = right.__name__.removeprefix("right_")
    check.__module__, check.__doc__, check.exercise = right.__module__, f"Judge {right.__doc__}", table
    return check
