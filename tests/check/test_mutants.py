"""The cases of every exercise notice every small change to the right answer, or it is listed as equivalent."""

import pytest

from tests.check import table


@pytest.mark.parametrize("name", table.EXERCISES)
def test_every_mutant_is_killed_or_equivalent(name):
    count, alive = table.tried(name)
    listed = table.EQUIVALENT.get(name, {})
    assert count
    assert sorted(set(alive) - set(listed)) == [], "add a case that separates it, or the reason why none can"
    assert sorted(set(listed) - set(alive)) == [], "listed as equivalent, but killed, or gone"
    assert all(listed.values()), "each with its reason"


def test_the_table_is_up_to_date():
    assert table.FILE.read_text(encoding="utf-8") == table.table(), "run: python -m tests.check.table"
