"""The judge of the stop condition: what is right passes, what learners write by mistake gets its own hint."""

import re

import pytest

from minillama import check


def stub(eos_reached):
    raise NotImplementedError


@pytest.mark.parametrize("solution", [
    lambda eos_reached: bool(eos_reached.all()),
    lambda eos_reached: eos_reached.all(),
    lambda eos_reached: all(eos_reached.tolist()),
])  # fmt: skip
def test_solutions_pass(solution):
    assert check.all_ended(solution).status == "passed"


def test_a_stub_is_not_attempted():
    assert check.all_ended(stub).status == "not attempted"
    assert check.all_ended(lambda eos_reached: ...).status == "not attempted"


@pytest.mark.parametrize("wrong, hint", [
    (lambda eos_reached: bool(eos_reached.any()), "One row that has ended is not enough"),
    (lambda eos_reached: bool(eos_reached[0]), "One row that has ended"),
    (lambda eos_reached: bool(eos_reached[-1]), "One row that has ended"),
    (lambda eos_reached: eos_reached, "One answer for all rows is due, yours has the shape"),
    (lambda eos_reached: int(eos_reached.sum()), "True or False is due, your function returned int"),
    (lambda eos_reached: None, "True or False is due, your function returned NoneType"),
    (lambda eos_reached: not bool(eos_reached.all()), "due False, yours True"),
    (lambda eos_reached: bool(eos_reached.logical_not_().any()), "changed the tensor"),
])  # fmt: skip
def test_mistakes_are_named(wrong, hint):
    report = check.all_ended(wrong)
    assert report.status == "failed"
    assert re.search(hint, str(report)), report
