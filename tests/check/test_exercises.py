"""Every exercise that is a table: what is right passes, each mistake gets its own hint, the rest gets one that fits."""

import ast
import json
from pathlib import Path

import pytest
import torch

from minillama import check
from minillama.check import judge as judging
from tests.check.table import EXERCISES, RIGHT

FOLDER = Path(judging.__file__).parent
FORMER_HINTS = {  # {exercise: {hint of the first judges: the new one, or "dropped: reason"}}
    name: hints
    for file in Path(__file__).parent.glob("former_hints/*.json")
    for name, hints in json.loads(file.read_text(encoding="utf-8")).items()
}
ANSWERS = [(name, k) for name in EXERCISES for k in range(1 + len(RIGHT.get(name, [])))]
MISTAKES = [  # one wrong function of each hint; its variants in `make test-full`
    pytest.param(name, k, marks=[pytest.mark.full] * (k > 0 and exercise.wrong[k][0] == exercise.wrong[k - 1][0]))
    for name, exercise in EXERCISES.items()
    for k in range(len(exercise.wrong))
]


def judged(name, function, status="failed"):
    report = getattr(check, name)(function)
    assert report.status == status, str(report)
    return report


def test_no_right_answer_is_lost():
    assert set(RIGHT) <= set(EXERCISES)


@pytest.mark.parametrize(("name", "k"), ANSWERS)
def test_right_answers_pass(name, k):
    report = judged(name, [EXERCISES[name].right, *RIGHT.get(name, [])][k], "passed")
    assert report.hint == "" and [case.name for case in report.cases] == list(EXERCISES[name].cases)


@pytest.mark.parametrize("name", EXERCISES)
def test_there_are_several_right_answers_and_mistakes(name):
    assert len(RIGHT.get(name, [])) >= 2 and len(EXERCISES[name].mistakes) >= 8
    assert getattr(check, name).__name__ == name and getattr(check, name).__doc__.startswith("Judge f(")


@pytest.mark.parametrize(("name", "k"), MISTAKES)
def test_a_mistake_gets_its_own_hint(name, k):
    hint, wrong = EXERCISES[name].wrong[k]
    report = judged(name, wrong)
    assert report.hint.splitlines()[0] == hint
    assert [case.passed for case in report.cases] == [True] * (len(report.cases) - 1) + [False]


@pytest.mark.parametrize("name", EXERCISES)
def test_what_is_right_raises_only_what_it_means_to(name):
    """A case in which the right function fails by accident would ask every learner to fail there."""
    for outcome in EXERCISES[name].expected:
        assert outcome.error is None or type(outcome.error) in (ValueError, TypeError) and not outcome.outside


# ---- what no table can list


def of(name, change):
    """The right function, its result changed."""
    return lambda *args, **kwargs: change(EXERCISES[name].right(*args, **kwargs))


def first_result(name):
    return EXERCISES[name].expected[0].returned[0]


@pytest.mark.parametrize("name", EXERCISES)
def test_nothing_is_returned(name):
    hint = judged(name, lambda *args, **kwargs: None).hint
    assert "Did you forget `return`?" in hint or hint.splitlines()[0] in EXERCISES[name].mistakes


@pytest.mark.parametrize("name", EXERCISES)
def test_it_raises(name):
    def broken(*args, **kwargs):
        return {}["a key"]

    hint = judged(name, broken).hint
    assert "KeyError: 'a key'\nin the line: return {}[" in hint or hint.splitlines()[0] in EXERCISES[name].mistakes


@pytest.mark.parametrize("name", EXERCISES)
def test_it_never_ends(name, monkeypatch):
    monkeypatch.setattr(judging, "TIME_LIMIT", 0.1)

    def endless(*args, **kwargs):
        while True:
            pass

    assert "did not return within 0.1 seconds" in judged(name, endless).hint


@pytest.mark.parametrize("name", EXERCISES)
def test_it_is_a_generator(name):
    def generator(*args, **kwargs):
        yield EXERCISES[name].right(*args, **kwargs)

    hint = judged(name, generator).hint
    assert "`yield` makes this a generator; return" in hint or hint.splitlines()[0] in EXERCISES[name].mistakes


@pytest.mark.parametrize("name", EXERCISES)
def test_another_sort_of_tensor(name):
    result = first_result(name)
    if not isinstance(result, torch.Tensor):
        pytest.skip("the result is no tensor")
    other = torch.float64 if result.dtype == torch.float32 else torch.float16
    for change, words in [
        (lambda x: x.tolist() if isinstance(x, torch.Tensor) else x, "torch.tensor(…)"),
        (lambda x: x.to(other) if isinstance(x, torch.Tensor) else x, "float"),
        (lambda x: x.to("meta") if isinstance(x, torch.Tensor) else x, "meta"),
    ]:
        hint = judged(name, of(name, change)).hint
        assert words in hint or hint.splitlines()[0] in EXERCISES[name].mistakes, hint


@pytest.mark.parametrize("name", EXERCISES)
def test_it_changes_what_it_is_given(name):
    touched = []

    def spoiling(*args, **kwargs):
        result = EXERCISES[name].right(*args, **kwargs)
        for each in args:
            if isinstance(each, torch.Tensor):
                each.copy_(~each if each.dtype == torch.bool else each + 1)
            elif isinstance(each, list):
                each.append(each[-1] if each else 0)
            elif isinstance(each, dict):
                each["new"] = 1
            else:
                continue
            touched.append(type(each))
        return result

    report = getattr(check, name)(spoiling)
    if not touched:
        pytest.skip("nothing that is handed over can be changed")
    assert report.status == "failed"
    assert "changed the" in report.hint or report.hint.splitlines()[0] in EXERCISES[name].mistakes


@pytest.mark.parametrize("name", EXERCISES)
def test_it_keeps_something_from_call_to_call(name):
    made, calls = [], float("inf")

    def tiring(*args, **kwargs):
        made.append(1)
        return EXERCISES[name].right(*args, **kwargs) if len(made) <= calls else None

    for case in EXERCISES[name].cases.values():
        EXERCISES[name].run(tiring, case)
    calls = len(made)
    made.clear()
    assert "Something is kept from one call to the next" in judged(name, tiring).hint


@pytest.mark.parametrize("name", EXERCISES)
def test_a_stub_is_not_attempted(name):
    def stub(*args, **kwargs):
        raise NotImplementedError

    assert str(judged(name, stub, "not attempted")).startswith("○")
    judged(name, lambda *args, **kwargs: ..., "not attempted")


# ---- the hints


def test_every_former_hint_has_a_new_one():
    """What a learner was told by the first judges is still said, or was dropped for a reason."""
    generic = {text for file in FOLDER.glob("*.py") for text in said(file.read_text(encoding="utf-8"))}
    for name, hints in FORMER_HINTS.items():
        for old, new in hints.items():
            assert new.startswith("dropped: ") or new in generic or new in EXERCISES[name].mistakes, (old, new)


def said(text):
    """Every text that is written in place as an argument of say or Wrong, or as a template of say."""
    for node in ast.walk(ast.parse(text)):
        named = isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "template"
        if named or isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("say", "Wrong"):
            yield from (n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str))
