"""The loop: a resumed run ends in the same weights, and a checkpoint of another run is refused."""

from dataclasses import replace

import pytest
import torch

from minillama import checkpoint
from tests.training.conftest import TINY
from training import train as loop
from training.train import steps_within, train


def train_until(config, out, stop_at=None):
    """Train, and press Ctrl-C when the step `stop_at` begins. Returns the run, if it ended, and the steps made."""
    made = []

    def update(*args):
        if args[4] == stop_at:
            raise KeyboardInterrupt
        made.append(args[4])
        return loop_update(*args)

    loop_update = loop.update
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "update", update)
        try:
            return train(config, out), made
        except KeyboardInterrupt:
            return None, made


def assert_equal_weights(one, other):
    for (name, weight), same in zip(one.model.state_dict().items(), other.model.state_dict().values(), strict=True):
        assert torch.equal(weight, same), name


def test_a_resumed_run_ends_in_the_same_weights(run, tmp_path):
    assert train_until(TINY, tmp_path, stop_at=2) == (None, [0, 1])
    assert train_until(TINY, tmp_path, stop_at=5) == (None, [0, 1, 2, 3, 4])  # nothing was saved yet
    resumed, made = train_until(TINY, tmp_path)
    assert made == [3, 4, 5]
    assert_equal_weights(run, resumed)
    for whole, again in zip(run.history, resumed.history, strict=True):
        assert {**whole, "seconds": 0} == {**again, "seconds": 0}
    assert [entry["step"] for entry in resumed.history] == [3, 6]
    assert resumed.history[-1].keys() == {"step", "seconds", "tokens", *TINY.shares}


def test_a_run_with_drills_resumes_too(tmp_path):
    config = replace(TINY, drill_steps=3, steps=2, checkpoint_every=2)
    train_until(config, tmp_path, stop_at=2)
    resumed, made = train_until(config, tmp_path)
    assert made == [2, 3, 4]
    assert_equal_weights(train(config, tmp_path / "whole"), resumed)


def test_answers_are_counted_on_the_way_and_change_no_weight(run, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "PROGRESS", ("known",))
    watched = train(replace(TINY, progress_every=3), tmp_path)
    assert_equal_weights(run, watched)
    assert [entry.get("right", {}).keys() for entry in watched.history] == [
        {"known largest error", "known mean total variation"},
        {}.keys(),
    ]
    assert not (tmp_path / "so_far").exists()


def test_a_second_stage_begins_with_the_weights_and_the_tokenizer_of_the_first(run, tmp_path):
    first = tmp_path / "first"
    checkpoint.save(first, run.model, run.tokenizer_path, torch.float16)
    still = replace(TINY, learning_rate=0.0, seed=7)
    second = train(still, tmp_path / "second", first)
    for (name, weight), same in zip(run.model.state_dict().items(), second.model.state_dict().values(), strict=True):
        assert torch.equal(weight.half().float(), same), name
    assert second.tokenizer_path.read_bytes() == run.tokenizer_path.read_bytes()
    with pytest.raises(ValueError, match="belongs to another run .*start is"):
        train(still, tmp_path / "second")


def test_a_stage_may_end_before_its_rate_is_zero(run, tmp_path):
    (entry,) = train(replace(TINY, until=3), tmp_path).history
    assert {**entry, "seconds": 0} == {**run.history[0], "seconds": 0}


def test_a_run_so_short_that_it_reads_lookups_alone(tmp_path):
    short = replace(TINY, steps=3, lookups=((3, TINY.batch_rows),), shares={"stories_en": 0.5, "chat_en": 0.5})
    assert train(short, tmp_path).history[-1]["step"] == 3


def test_a_finished_run_is_not_trained_further(run):
    again = train(TINY, run.tokenizer_path.parent)
    assert again.history == run.history
    assert torch.equal(again.model.output.weight, run.model.output.weight)


@pytest.mark.parametrize("change", [{"seed": 2}, {"steps": 7}, {"learning_rate": 1e-3}])
def test_a_checkpoint_of_another_run_is_refused(run, change):
    with pytest.raises(ValueError, match=f"belongs to another run .*{next(iter(change))} is .*another --run"):
        train(replace(TINY, **change), run.tokenizer_path.parent)


def test_minutes_are_measured_once(tmp_path):
    (tmp_path / "steps.json").write_text("123")
    assert steps_within(1.0, tmp_path, TINY) == 123
    with pytest.raises(ValueError, match="minutes must be more than 0, got -1"):
        steps_within(-1, tmp_path, TINY)
