"""python -m training.evaluate."""

import json

from training import evaluate


def test_misses_exit_with_0_and_a_wrong_folder_with_2(evaluation, monkeypatch, capsys, tmp_path):
    assert evaluate.main([str(tmp_path / "none")]) == 2
    assert "ckpt_dir" in capsys.readouterr().err
    monkeypatch.setattr(evaluate, "evaluate", lambda *_: evaluation)
    assert evaluate.main([str(tmp_path)]) == 0 and "✗" in capsys.readouterr().out
    assert evaluate.main([str(tmp_path), "--json"]) == 0 and json.loads(capsys.readouterr().out)["missed"]


def test_only_names_rows(evaluation, monkeypatch, capsys, tmp_path):
    asked = []
    monkeypatch.setattr(evaluate, "evaluate", lambda *options: asked.append(options[-1]) or evaluation)
    assert evaluate.main([str(tmp_path), "--only", "memory, system"]) == evaluate.main([str(tmp_path)]) == 0
    assert asked == [["memory", "system"], []]
