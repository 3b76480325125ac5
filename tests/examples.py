"""How many examples a property is tried on: in `make test-full` ten times as many."""

import os

from hypothesis import settings

FULL = os.environ.get("MINILLAMA_FULL") == "1"


def examples(n: int) -> settings:
    """@examples(n), in the place of hypothesis's @settings(max_examples=n)."""
    return settings(max_examples=10 * n if FULL else n)
