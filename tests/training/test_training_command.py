"""python -m training: what it says when something is wrong, and the finished model's way into the assets."""

import json

import pytest
import torch

import training.__main__
from minillama.checkpoint import COURSE_MODEL
from training.__main__ import main, stage_before
from training.config import STAGES
from training.corpus import known, poems
from training.evaluation.measures import Figure, Row
from training.evaluation.table import Evaluation


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main(["--steps", "0", "--run", str(tmp_path)]) == 2
    assert "steps must be at least 1, got 0" in capsys.readouterr().err


@pytest.fixture
def no_poems(tmp_path, monkeypatch):
    monkeypatch.setattr(poems, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(poems.shutil, "which", lambda name: None)


def test_without_the_poems_nothing_is_begun(no_poems, tmp_path, capsys):
    for length in ([], ["--minutes", "1"]):
        assert main([*length, "--run", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 2
        assert "chinese-poetry 2.0.1 are not in" in (said := capsys.readouterr().err) and "npm pack" in said
    assert not (tmp_path / "run").exists() and not (tmp_path / "out").exists()


@pytest.fixture
def finishing(run, monkeypatch):
    """`main` with everything done but the evaluation."""
    monkeypatch.setattr(poems, "fetch_package", lambda cache: None)
    monkeypatch.setattr(training.__main__, "train", lambda config, out, start: run)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)


def test_the_assets_are_replaced_after_the_evaluation(finishing, tmp_path, monkeypatch, capsys):
    row = Row("memory", "memory", 20, "greedy", [Figure("en", 0.5, 0.95, at_least=True)])
    monkeypatch.setattr(training.__main__, "evaluate", lambda *_: Evaluation([row], 1, True, "cpu"))
    out, before = tmp_path / "out", (COURSE_MODEL / known.KNOWN.name).read_bytes()
    out.mkdir()
    (out / known.KNOWN.name).write_bytes(before)
    assert main(["--run", str(tmp_path / "run"), "--out", str(out), "--quick"]) == 0
    said = capsys.readouterr().out
    assert "| ✗ | memory" in said and f"The model is in {out}." in said
    assert (out / known.KNOWN.name).read_bytes() == before
    assert json.loads((out / "params.json").read_text())["vocab_size"] == 1000
    assert "| ✗ | memory" in (out / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_the_first_stage_is_trained_only_if_asked_for(run, finishing, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(training.__main__, "train", lambda config, out, start: made.append((config, start)) or run)
    monkeypatch.setattr(training.__main__, "finish", lambda config, run, before, *_: made.append(before))
    folders = ["--run", str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--stages", str(tmp_path / "stages")]
    assert main([*folders]) == 2 and not made
    assert main([*folders, "--stage", "1"]) == 0
    *trained, before = made
    assert [config for config, _ in trained] == list(STAGES)
    assert [start for _, start in trained] == [None, *(tmp_path / "stages" / f"{k}" for k in range(1, len(STAGES)))]
    assert before == [{**{name: run.history[-1][name] for name in ("step", "seconds", "tokens")},
                       "device": run.device, "least_known": run.least_known}] * (len(STAGES) - 1)  # fmt: skip
    made.clear()
    assert main(folders) == 0 and made == [trained[-1], before]


def test_the_last_stage_begins_with_weights_that_are_in_the_repository():
    assert {"consolidated.00.pth", "tokenizer.model", "stage.json"} <= {
        path.name for path in stage_before(len(STAGES), training.__main__.HERE / "stages").iterdir()
    }


@pytest.mark.parametrize("error, status", [(KeyboardInterrupt(), 130), (OSError("No space left on device"), 2)])
def test_an_interrupted_evaluation_leaves_the_assets_alone(finishing, tmp_path, monkeypatch, capsys, error, status):
    def interrupted(*_):
        raise error

    monkeypatch.setattr(training.__main__, "evaluate", interrupted)
    assert main(["--run", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == status
    assert "the same command goes on" in capsys.readouterr().err and not (tmp_path / "out").exists()
