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

`double(my_double)` runs a learner's function on all cases. If anything is not right, it looks for the mistake that
gives the same outcome in every case. What is expected is what `right` returns; a case where `right` raises expects
that exception.

Where one call is not enough, a case is a function: it is given the learner's function (which works on copies, and is
watched) and returns what is compared. `right` and every mistake take the same way:

    "the model is called once": lambda f: (lambda model: (f(model, 3), model.calls))(Watched(right_model)),
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minillama.check import judge
from minillama.check.compare import Difference, advice, compared, plain, show
from minillama.check.judge import Changed, Outcome, Wrong, message, raised, readable, run
from minillama.check.limits import TimeIsUp, pinned, shortened_output
from minillama.check.report import Case, Report, say

WHOLE = ("type", "shape", "dtype", "device", "float")  # a result of the wrong sort


class Swap(tuple):
    """Pieces of the right function's source, and what stands there in a wrong one."""


def swap(*pieces: str) -> Swap:
    """The right function with each old piece replaced by the new one: swap(old, new, old, new, …)."""
    return Swap(zip(pieces[::2], pieces[1::2], strict=True))


def source(function: Callable) -> tuple[str, str]:
    """The text of a function: its head, and its body without the docstring."""
    text = textwrap.dedent(inspect.getsource(function))
    node = ast.parse(text).body[0]
    lines = text.splitlines()
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return "\n".join(lines[node.lineno - 1 : node.body[0].lineno - 1]), "\n".join(lines[body[0].lineno - 1 :])


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


@dataclass(frozen=True)
class Exercise:
    """What a table holds, and how it judges."""

    right: Callable
    given: Mapping[str, Any] | Callable[[], Mapping[str, Any]]
    mistakes: Mapping[str, Any]
    look: Callable[[Any], Any] | None = None
    without: Sequence[str] = ()
    tolerance: float = 1e-4
    name: str = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "name", self.right.__name__.removeprefix("right_"))

    @functools.cached_property
    def cases(self) -> dict[str, Any]:
        return dict(self.given() if callable(self.given) else self.given)

    @functools.cached_property
    def wrong(self) -> list[tuple[str, Callable]]:
        """Every (hint, wrong function); without the swaps where Python has no source to read."""
        pairs = []
        for hint, each in self.mistakes.items():
            for function in each if isinstance(each, list | tuple) and not isinstance(each, Swap) else [each]:
                try:
                    pairs.append((hint, self._swapped(function) if isinstance(function, Swap) else function))
                except OSError:
                    continue
        return pairs

    def _swapped(self, pieces: Swap) -> Callable:
        head, body = source(self.right)
        for old, new in pieces:
            if old not in body:
                raise ValueError(f"{self.name}: {old!r} does not occur in the right function")
            body = body.replace(old, new)
        return build(f"{head}\n{body}", self.right)

    def run(self, function: Callable, case: Any, seconds: float | None = None) -> Outcome:
        return run(function, case, self.look, self.without, seconds)

    @functools.cached_property
    def expected(self) -> list[Outcome]:
        return [run(self.right, case, self.look, seconds=60) for case in self.cases.values()]

    def trouble(self, k: int, got: Outcome) -> Difference | BaseException | None:
        """What is wrong with the outcome of case k: a difference, an exception, or nothing."""
        error, due = got.error, self.expected[k].error
        if due is None:
            return error or compared(self.expected[k].value, got.value, self.tolerance)
        if error is None:
            return Difference("raise", "", due, got.value)
        return None if isinstance(error, type(due)) and message(error) else error

    def alike(self, one: Outcome, other: Outcome) -> bool:
        """Whether two wrong functions did the same. How they word an error makes no difference."""
        if isinstance(one.error, TimeIsUp) or isinstance(other.error, TimeIsUp):
            return False
        if type(one.error) is not type(other.error):
            return False
        if isinstance(one.error, Wrong) and message(one.error) != message(other.error):
            return False
        if isinstance(one.error, Changed):
            return self._same(one.returned, other.returned)
        if one.error is not None:
            return bool(message(one.error)) == bool(message(other.error))
        return self._same(one.value, other.value)

    def _same(self, one: Any, other: Any) -> bool:
        return not compared(one, other, self.tolerance) or not compared(other, one, self.tolerance)

    # ---- the verdict

    def judge(self, function: Callable) -> Report:
        """Never raises, whatever the function does."""
        try:
            name = str(getattr(function, "__name__", None) or repr(function))
        except Exception:
            name = type(function).__name__
        if not callable(function):
            hint = say("Expected a function, got {kind}.", kind=type(function).__name__)
            return Report(name, "failed", [Case(say("is a function"), False, hint)])
        outcomes: list[Outcome] = []
        for case in self.cases.values():
            outcomes.append(self.run(function, case))
            if isinstance(outcomes[-1].error, TimeIsUp) or outcomes[-1].stub:
                break
        troubles = [self.trouble(k, got) for k, got in enumerate(outcomes)]
        names = list(self.cases)
        first = next((k for k, trouble in enumerate(troubles) if trouble is not None), None)
        done = [Case(each, True) for each in names[:first]]
        if first is None:
            if forbidden := next((each.forbidden for each in outcomes if each.forbidden), ""):
                hint = say("Write it by hand: {name} does what this exercise asks you to build.", name=forbidden)
                return Report(name, "failed", [Case(names[0], False, hint)])
            if self._keeps_state(function):
                hint = say("The same case gave another result the second time. {why}", why=STATE)
                return Report(name, "failed", [*done, Case(say("the first case once more"), False, hint)])
            return Report(name, "passed", done)
        if first == 0 and outcomes[0].stub:
            return Report(name, "not attempted")
        hint = self._hint(function, outcomes, troubles, first)
        return Report(name, "failed", [*done, Case(names[first], False, readable(hint))])

    def _keeps_state(self, function: Callable) -> bool:
        return self.trouble(0, self.run(function, next(iter(self.cases.values())))) is not None

    def _hint(self, function: Callable, outcomes: list[Outcome], troubles: list, first: int) -> str:
        got = outcomes[first]
        if got.stub:
            if first == 1:
                return say("1 case is right; the next one raises NotImplementedError.")
            return say("{count} cases are right; the next one raises NotImplementedError.", count=first)
        failing = {k for k, trouble in enumerate(troubles) if trouble is not None}
        perhaps, cases = "", list(self.cases.values())
        for hint, wrong in self.wrong:
            if not self.alike(self.run(wrong, cases[first]), got):
                continue
            agree = {k for k, each in enumerate(outcomes) if k == first or self.alike(self.run(wrong, cases[k]), each)}
            if len(agree) == len(outcomes):
                return "\n".join([hint, *self._beside(first, got)])
            if not perhaps and 2 * len(agree & failing) > len(failing):
                perhaps = say("Perhaps: {hint}", hint=hint)
        if first and self._keeps_state(function):
            return say("The first case gave another result the second time. {why}", why=STATE)
        generic = self._generic(first, got)
        return f"{perhaps}\n{generic}" if perhaps else generic

    def _beside(self, k: int, got: Outcome) -> Iterator[str]:
        """Expected and got, beside the hint of a named mistake."""
        found = self.trouble(k, got)
        if isinstance(found, Difference) and found.kind == "raise":
            yield say("Expected {error}, got {got}.", error=type(found.expected).__name__, got=show(found.got))
        elif isinstance(found, Difference):
            yield found.line()
        elif not isinstance(found, Wrong | Changed):
            yield raised(got)

    def _generic(self, k: int, got: Outcome) -> str:
        """The hint where no mistake of the table explains what was seen."""
        found, due = self.trouble(k, got), self.expected[k]
        if isinstance(found, Difference) and found.kind != "raise":
            return self._of_a_call(k, got) or advice(found)
        if isinstance(found, Difference):
            expected = type(found.expected).__name__
            template = "Expected {error}, but your function returned {got}. Raise {error} and say what is wrong."
            return say(template, error=expected, got=show(found.got))
        if isinstance(found, TimeIsUp):
            template = (
                "It did not return within {seconds} seconds. Is there a loop that never ends, or a very slow one?"
            )
            return say(template, seconds=f"{judge.TIME_LIMIT:g}")
        if isinstance(found, Wrong | Changed):
            return message(found)
        if due.error is not None:
            expected = type(due.error).__name__
            if isinstance(found, type(due.error)):
                return say("The {error} has no message. Say what is wrong, and what is allowed.", error=expected)
            if isinstance(found, AssertionError):
                return say("`assert` is for your own mistakes, not for a caller's. Raise {error}.", error=expected)
            if type(found) is Exception:
                return say("Exception is too wide to be caught by name. Raise {error}.", error=expected)
            return say("Expected {error} here.\n{raised}", error=expected, raised=raised(got))
        return (self._of_a_call(k, got) if got.outside else "") or raised(got)

    def _of_a_call(self, k: int, got: Outcome) -> str:
        """In a case with calls of its own: the first result that is of another sort than the right one."""
        if isinstance(list(self.cases.values())[k], tuple) and not got.outside:
            return ""
        pairs = zip(self.expected[k].returned, got.returned, strict=False)
        found = (compared(one, other, self.tolerance) for one, other in pairs)
        return next((advice(each) for each in found if each and each.kind in WHOLE and not each.at), "")


STATE = (
    "Something is kept from one call to the next: a global variable, a default argument that is a list, or a generator "
    "that has been used up."
)


def exercise(
    right: Callable,
    cases: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
    mistakes: Mapping[str, Any],
    *,
    look: Callable[[Any], Any] | None = None,
    without: Sequence[str] = (),
    tolerance: float = 1e-4,
) -> Callable[[Callable], Report]:
    """The judge of an exercise, a function with the name of `right` (less "right_") and its docstring after "Judge".

    right: the right function; it is called as learners' are. cases: {name: arguments of a call, or a function}, or a
    function that makes them. mistakes: {hint: wrong function, swap, or list of these}. look: what is compared of a
    result, if not all; it may raise Wrong. without: torch functions that are not to be used. tolerance: relative and
    absolute, of floats.
    """
    table = Exercise(right, cases, mistakes, look, without, tolerance)

    def check(function: Callable) -> Report:
        with pinned(), shortened_output():
            report = table.judge(function)
        return judge.finish(report, function, table.name)

    check.__name__ = check.__qualname__ = table.name
    check.__module__, check.__doc__ = right.__module__, f"Judge {right.__doc__}"
    check.exercise = table
    return check
