"""The loop: a resumed run ends in the same weights, and a checkpoint that is not this run's is refused."""

from dataclasses import replace

import pytest
import torch

from training.__main__ import main
from training.packing import PAD
from training.state import load_state
from training.train import (
    Config,
    learning_rate,
    loss_of,
    new_model,
    new_optimizer,
    prepare_drills,
    read_batch,
    steps_within,
    train,
)

TINY = Config(
    steps=6,
    drill_steps=0,
    warmup=2,
    compile=False,
    vocab_size=600,
    tokenizer_documents=600,
    model={"dim": 16, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "hidden_dim": 24, "max_seq_len": 512},
    batch_rows=2,
    long_batch_rows=1,
    long_every=3,
    held_out_documents=2,
    checkpoint_every=3,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(TINY, tmp_path_factory.mktemp("whole"))


def test_a_resumed_run_ends_in_the_same_weights(run, tmp_path):
    for stop_at in (2, 5, None):
        resumed = train(TINY, tmp_path, stop_at)
    for (name, whole), again in zip(run.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(whole, again), name
    assert [entry["step"] for entry in resumed.history] == [2, 3, 5, 6]
    assert (
        run.history[-1].items() - {"seconds": 0}.items() >= {"step": 6, "tokens": resumed.history[-1]["tokens"]}.items()
    )


def test_a_finished_run_is_not_trained_further(run):
    again = train(TINY, run.tokenizer_path.parent)
    assert again.history == run.history
    assert torch.equal(again.model.output.weight, run.model.output.weight)


@pytest.mark.parametrize("change", [{"seed": 2}, {"steps": 7}, {"learning_rate": 1e-3}])
def test_a_checkpoint_of_another_run_is_refused(run, change):
    with pytest.raises(ValueError, match=f"belongs to another run .*{next(iter(change))} is .*another --run"):
        train(replace(TINY, **change), run.tokenizer_path.parent)


@pytest.mark.parametrize("content, message", [(b"not a checkpoint", "is broken"), (None, "is no checkpoint")])
def test_a_broken_or_foreign_file_is_refused(tmp_path, content, message):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content) if content else torch.save({"weights": torch.ones(2)}, path)
    model = new_model(TINY, 600)
    with pytest.raises(ValueError, match=message):
        load_state(path, {}, model, new_optimizer(TINY, model))


def test_every_row_is_read_once():
    rows = {"short": torch.arange(8)[:, None].numpy(), "long": torch.arange(100, 102)[:, None].numpy()}
    read = [read_batch(TINY, rows, step).flatten().tolist() for step in range(6)]
    assert read == [[0, 1], [2, 3], [100], [4, 5], [6, 7], [101]]


def test_drills_come_first():
    config = replace(TINY, drill_steps=2, drill_batch_rows=3, drill_seq_len=16)
    rows = {"drill": prepare_drills(config), "short": torch.arange(8)[:, None].numpy()}
    assert rows["drill"].shape == (6, 17)
    read = [read_batch(config, rows, step) for step in range(3)]
    assert torch.equal(torch.cat(read[:2]), torch.from_numpy(rows["drill"]).long())
    assert read[2].flatten().tolist() == [0, 1]


def test_a_run_with_drills_resumes_too(tmp_path):
    config = replace(TINY, drill_steps=3, steps=2)
    train(config, tmp_path, stop_at=2)
    run = train(config, tmp_path)
    whole = train(config, tmp_path / "whole")
    assert torch.equal(run.model.output.weight, whole.model.output.weight)


def test_pad_does_not_count_in_the_loss():
    model = new_model(TINY, 600)
    row = torch.randint(3, 600, (1, 9))
    padded = torch.cat([row, torch.full((1, 5), PAD)], dim=1)
    assert loss_of(model, padded).item() == pytest.approx(loss_of(model, row).item(), abs=1e-5)


def test_the_learning_rate_warms_up_and_falls():
    config = replace(TINY, steps=900, drill_steps=100, warmup=100)
    rates = [learning_rate(config, step) for step in range(1000)]
    assert max(rates) == rates[100] == config.learning_rate
    assert rates[:100] == sorted(rates[:100]) and rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(0.05 * config.learning_rate, rel=0.01)


def test_minutes_are_measured_once(tmp_path):
    (tmp_path / "steps.json").write_text("123")
    assert steps_within(1.0, tmp_path, seed=1) == 123
    with pytest.raises(ValueError, match="minutes must be more than 0, got -1"):
        steps_within(-1, tmp_path, seed=1)


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main(["--steps", "0", "--run", str(tmp_path)]) == 2
    assert "steps must be at least 1, got 0" in capsys.readouterr().err
