"""The table of an evaluation, and the same as JSON."""

import json

from training.evaluation.table import ASKED, as_json, report, wrong_answers


def test_the_table_marks_what_is_missed(evaluation):
    lines = report(evaluation).split("\n")
    assert lines[2] == "| ✓ | memory | en 100.0% | ≥ 95% | 20 | greedy |"
    assert lines[3] == "| ✗ | asked poem | form 50.0% / character 90.0% | ≥ 90% / ≥ 80% | 10 | sampled |"
    assert lines[-1] == "Missed: asked poem."
    assert "我是谁？" in wrong_answers(evaluation) and "Mia" not in wrong_answers(evaluation)


def test_json_says_the_same(evaluation):
    found = json.loads(as_json(evaluation))
    assert found["missed"] == ["poems"] and [row["met"] for row in found["rows"]] == [True, False]
    assert found["rows"][0]["wrong"][0]["answer"] == "不知道。"


def test_every_row_has_its_source():
    assert set(ASKED) == {"memory", "system", "requests", "facts"}
    assert all(callable(draw) for _, draw in ASKED.values())
