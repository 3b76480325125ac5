"""Predict without a browser: what it tells, when it counts, and what stays of it. Its page is seen in tests/browser."""

import json
import re

import pytest
import torch

from minillama.widgets import Predict, front

HOSTILE = "</script><script>alert(1)</script>"


def chosen(choice, *given):
    question = Predict("How many tokens?", ["2", "3"], *given)
    question.choice = choice
    return question


@pytest.mark.parametrize(("choice", "right", "words"), [
    (None, None, "The answer is “3”. Because."), ("3", True, "Right: “3”. Because."),
    ("2", False, "Not this time: you chose “2”. The answer is “3”. Because."),
])  # fmt: skip
def test_what_it_tells(choice, right, words):
    question = chosen(choice, 3, "Because.")
    shown = question.reveal()
    assert (shown.right, repr(shown), question.revealed) == (right, words, choice is not None)


def test_a_choice_is_locked_once_it_was_revealed():
    question = chosen("2", 3)
    question.choice = "3"
    question.choice = "2"
    question.reveal()
    question.choice = "2"
    with pytest.raises(ValueError, match="choice is locked at '2': .* Run the cell again"):
        question.choice = "3"
    assert question.choice == "2"


def test_what_the_page_sends():
    """Both at once, as the page does; the choice is not judged by the lock that comes with it."""
    question = chosen(None, 3)
    question.set_state({"choice": "3", "revealed": True})
    assert question.right and question.revealed
    question.set_state({"choice": "3", "revealed": True})


def test_the_answer_comes_from_a_function_that_runs_at_once():
    calls = []

    def answer():
        calls.append(1)
        return torch.tensor(3), f"It ran {len(calls)} time."

    question = chosen("3", answer)
    assert calls == [1] and repr(question.reveal()) == repr(question.reveal()) == "Right: “3”. It ran 1 time."

    def broken():
        raise KeyError("seen by the cell")

    with pytest.raises(KeyError, match="seen by the cell"):
        chosen(None, broken)
    assert chosen(None, lambda: ("2", "")).reveal().words == "The answer is “2”."


@pytest.mark.parametrize(("given", "error", "message"), [
    ((7,), ValueError, r"answer must be one of the options \['2', '3'\], got '7'"),
    ((lambda: 3,), TypeError, r"answer must return \(answer, because\), because a str, got 3"),
    ((lambda: (2, 3),), TypeError, r"answer must return \(answer, because\), because a str, got \(2, 3\)"),
    ((lambda: (7, ""),), ValueError, "answer must be one of the options"),
])  # fmt: skip
def test_a_wrong_answer_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        chosen(None, *given)


def test_wrong_options_and_choices_are_refused():
    with pytest.raises(ValueError, match="options must differ, got"):
        Predict("?", ["a", "a"], "a")
    for choice in ("4", 2, ["2"]):
        with pytest.raises(ValueError, match=r"choice must be one of \['2', '3'\], got"):
            chosen(choice, 3)


def test_nothing_in_it_becomes_markup():
    question = Predict(HOSTILE, ["2", HOSTILE], HOSTILE, HOSTILE)
    question.choice = "2"
    page = question.page()
    for text in (page, question.reveal()._repr_html_(), question.still()):
        assert "alert(1)</script>" not in text
    assert page.count("</script") == 1 and page.endswith("</script>")
    values = json.loads(re.search(r'^start\("\w+", (.*), render\);$', page, re.M)[1])
    assert values["data"]["options"] == ["2", HOSTILE] and values["choice"] == "2" and not values["revealed"]


def test_what_stays_where_no_script_runs():
    still = chosen("2", 3, "Because.").still()
    assert "<details><summary>" in still and "The answer is “3”. Because.</details>" in still


def test_every_label_that_the_module_uses_is_sent():
    sent, code = chosen(None, 3).data["text"], (front.FRONT / "predict.js").read_text(encoding="utf-8")
    assert set(re.findall(r"\btext\.(\w+)", code)) <= sent.keys()
    assert {f"predict_is_{kind}" for kind in ("right", "wrong", "none")} <= sent.keys()
