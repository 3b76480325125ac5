"""All that is tried, by name: where its cases come from, and how one is tried."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from hypothesis.strategies import SearchStrategy

from tests.fuzz import calls, commands, files
from tests.fuzz.originals import originals

COMMANDS = ("complete", "chat", "info", "convert", "doctor")


class Target(NamedTuple):
    cases: SearchStrategy[dict]  # of dicts that JSON can hold
    trial: Callable[[dict], str]  # the outcome in a word or two; raises Finding


@cache
def targets() -> dict[str, Target]:
    made = {f"files of {name}": Target(files.cases(name), files.trial) for name in originals()}
    made |= {f"the command {name}": Target(commands.cases(name), commands.trial) for name in COMMANDS}
    return made | {name: Target(calls.cases(name), calls.trial) for name in calls.calls()}


def trial_of(case: dict) -> str:
    """Try a case of any kind."""
    kind = files if "original" in case else commands if "argv" in case else calls
    return kind.trial(case)
