"""The table of an evaluation, and the same as JSON."""

import json

import pytest

from training.evaluation import table
from training.evaluation.measures import Row
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
    assert set(ASKED) == {"memory", "system", "requests", "sums", "facts", "unknown", "sayings"}
    assert all(callable(draw) for _, draw in ASKED.values())


def test_only_the_rows_that_are_asked_for_are_measured(monkeypatch, bench, tmp_path):
    def measure(*keys):
        return lambda bench: [Row(key, key, bench.n, "greedy", []) for key in keys]

    monkeypatch.setattr(table, "MEASURES", {keys: measure(*keys) for keys in table.MEASURES})
    monkeypatch.setattr(table.Llama, "build", lambda *_, **__: bench.llama)
    assert [row.key for row in table.evaluate(tmp_path).rows] == list(table.KEYS)
    assert [row.key for row in table.evaluate(tmp_path, only=["refused"]).rows] == ["refused"]
    assert [row.key for row in table.evaluate(tmp_path, only=["kept", "memory"]).rows] == ["memory", "kept"]
    with pytest.raises(ValueError, match="no row has the key 'memmory'; the keys are known, memory"):
        table.evaluate(tmp_path, only=["memory", "memmory"])
