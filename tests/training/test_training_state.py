"""Checkpoints: refused if broken or foreign, and written whole or not at all."""

import errno

import pytest
import torch

from tests.training.conftest import TINY
from training.initial import new_model
from training.state import load_state, write_atomically
from training.step import new_optimizer


@pytest.mark.parametrize("content, message", [(b"nonsense", "is broken"), (None, "is not a checkpoint")])
def test_a_broken_or_foreign_file_is_refused(tmp_path, content, message):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content) if content else torch.save({"weights": torch.ones(2)}, path)
    model = new_model(TINY.model, 1000)
    with pytest.raises(ValueError, match=message):
        load_state(path, {}, model, new_optimizer(TINY, model))


def test_a_full_disk_leaves_the_last_good_file(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_text("good")

    def write(beside):
        beside.write_text("ha")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, write)
    assert [one.name for one in tmp_path.iterdir()] == ["checkpoint.pt"] and path.read_text() == "good"
