"""A verdict is the same, whether a function runs in this process or its outcomes come from elsewhere."""

import json
import re
from dataclasses import fields

import numpy as np
import pytest
import torch

from minillama.check.compare import About, compared, kind_of, plain
from minillama.check.judge import Outcome, Wrong
from minillama.check.limits import TimeIsUp, pinned
from minillama.check.wire import FromAfar, packed, unpacked
from tests.check.table import EXERCISES, RIGHT


def far(name):
    table = EXERCISES[name]
    return FromAfar(**{field.name: getattr(table, field.name) for field in fields(table)})


def kind(value):
    """A name for a case: the values themselves may have no repr, or a long one."""
    return type(value).__name__


def same(name, judge, function):
    with pinned():
        here = EXERCISES[name].judge(function)
        outcomes = [unpacked(packed(each)) for each in EXERCISES[name].outcomes(function)]
        there = judge.verdict(here.name, outcomes)
    each_time_another = r"tmp\w+|[\d.]+e-\d+"  # folders, and what a clock said
    assert re.sub(each_time_another, "", str(there)) == re.sub(each_time_another, "", str(here))
    return there.status


@pytest.mark.parametrize("name", EXERCISES)
def test_a_verdict_is_the_same(name):
    judge, exercise = far(name), EXERCISES[name]
    assert same(name, judge, exercise.right) == "passed"
    assert same(name, judge, lambda *args: ...) == "not attempted"
    for wrong in (lambda *args: None, exercise.wrong[-1][1]):
        assert same(name, judge, wrong) == "failed"


@pytest.mark.full
@pytest.mark.parametrize("name", EXERCISES)
def test_more_verdicts_are_the_same(name):
    judge = far(name)
    for function in RIGHT.get(name, []):
        assert same(name, judge, function) == "passed"
    for result in (3, torch.ones(2, 2), [], "text", print):
        assert same(name, judge, lambda *args, result=result: result) == "failed"
    for _, wrong in EXERCISES[name].wrong[::4]:
        assert same(name, judge, wrong) == "failed"


@pytest.mark.parametrize("value", ids=kind, argvalues=[
    None, True, 3, -(10**5000), 2.5, float("inf"), "text\ud800", b"\x00\xff", [1, [2.0, None]], (1, "a"), {1, 2},
    frozenset("ab"), {1: {"a": (2,)}, (1, 2): 3}, range(2, 9, 3), torch.arange(6).view(2, 3), torch.tensor(2.5),
    torch.zeros(0, 3), torch.tensor([1.5, torch.inf]).bfloat16(), torch.tensor([True, False]), torch.ones(2).half(),
    torch.tensor([1 + 2j]).conj(), torch.ones(2, 3).T, torch.ones(2, requires_grad=True), torch.float16,
    torch.zeros(2, device="meta"), torch.device("cpu"), About([0.5], 0.1),
])  # fmt: skip
def test_what_is_compared_comes_over_as_it_was(value):
    there = unpacked(packed(Outcome(value=plain(value))))
    assert there.error is None and type(there.value) is type(plain(value))
    assert compared(plain(value), there.value, 0.0) is None or "meta" in str(value)
    if isinstance(value, torch.Tensor):
        assert there.value.dtype == value.dtype and there.value.shape == value.shape


class Odd:
    pass


@pytest.mark.parametrize(
    "value", ids=kind, argvalues=[Odd(), Odd, print, np.arange(3), torch.max(torch.ones(2, 2), 1), (x for x in "ab")]
)
def test_of_anything_else_the_name_comes_over(value):
    there = unpacked(packed(Outcome(value=value))).value
    name = value.__name__ if callable(value) else type(value).__name__
    assert (there.__name__ if callable(there) else type(there).__name__) == name
    assert hasattr(there, "tolist") == hasattr(value, "tolist") and kind_of(there) == kind_of(value)


class Silent(Exception):
    def __str__(self):
        raise RuntimeError


def decoding():
    json.loads("{")


@pytest.mark.parametrize(("error", "bases"), ids=kind, argvalues=[
    (ValueError("no"), (ValueError,)), (KeyError("key"), (KeyError, LookupError)), (TimeIsUp(), (TimeIsUp,)),
    (Wrong("hint"), (Wrong,)), (FileNotFoundError(2, "gone", "file"), (OSError,)), (SystemExit(3), (SystemExit,)),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), (ValueError,)), (Silent(), (Exception,)),
    (json.JSONDecodeError("bad", "{", 1), (ValueError,)), (torch.OutOfMemoryError("full"), (RuntimeError,)),
])  # fmt: skip
def test_an_exception_keeps_its_name_its_words_and_its_kind(error, bases):
    there = unpacked(packed(Outcome(error=error, where="line"))).error
    assert type(there).__name__ == type(error).__name__ and isinstance(there, bases)
    assert str(there) == ("" if isinstance(error, Silent) else str(error))
    assert type(unpacked(packed(Outcome(error=error))).error) is type(there)


@pytest.mark.parametrize("line", ids=kind, argvalues=[
    "", "null", "[]", "{}", "7", "{" * 9000, '{"where": "", "outside": false, "forbidden": "", "is_own": true}',
    *(json.dumps({"where": "", "outside": False, "forbidden": "", "is_own": False, "error": error, "value": value})
      for error, value in [
        (3, None), ({"names": []}, None), (None, [1]), (None, {"code": "x"}), (None, {"dtype": "load"}), (None, {}),
        (None, {"tensor": ["float32", [10**12], "cpu", "AAAA"]}), (None, {"tensor": ["save", [1], "cpu", "AAAA"]}),
        (None, {"range": [0, 10**12, 1]}), (None, {"set": [{"list": []}]}), (None, {"int": "0x"}),
        (None, {"tensor": ["float32", [-1], "meta", ""]}),
    ]),
])  # fmt: skip
def test_what_is_no_outcome_is_refused(line):
    with pytest.raises(ValueError):
        unpacked(line)


def test_what_is_too_large_fails():
    deep = []
    for _ in range(5000):
        deep = [deep]
    for value in (deep, "x" * 2**25, [torch.zeros(2**20)] * 99):
        assert "too large or too deep" in str(unpacked(packed(Outcome(value=value))).error)
