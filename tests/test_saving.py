"""Writing Meta's layout: there and back unchanged, over the files in use, and nothing lost where a disk is full."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from minillama import Llama
from minillama.checkpoint import MetaFolder, load, read_params, save
from tests.disk import files_end_at
from tests.test_checkpoint import FILES, files, greedy


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy of the checkpoint, to be written over."""
    return Path(shutil.copytree(checkpoint.folder, tmp_path / "copy"))


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float16, torch.bfloat16])
def test_there_and_back(checkpoint, tokenizer_path, tmp_path, dtype):
    folder = tmp_path / "deep" / "saved"
    save(folder, checkpoint.model, tokenizer_path, dtype)
    assert sorted(os.listdir(folder)) == FILES and os.listdir(folder.parent) == ["saved"]
    assert (folder / "tokenizer.model").read_bytes() == tokenizer_path.read_bytes()
    dtype = dtype or torch.float32
    model = load(MetaFolder(folder), 400, torch.device("cpu"), dtype)
    for key, tensor in checkpoint.model.state_dict().items():
        assert torch.equal(model.state_dict()[key], tensor.to(dtype)), key
    fields = ("dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "norm_eps", "max_seq_len", "rope_theta")
    for field in (*fields, "hidden_dim", "multiple_of", "ffn_dim_multiplier"):
        assert getattr(model.params, field) == getattr(checkpoint.model.params, field), field


@pytest.mark.parametrize(
    "sizes",
    [
        {"rope_theta": 500_000.0, "norm_eps": 1e-3},
        {"hidden_dim": None, "multiple_of": 8, "ffn_dim_multiplier": 1.3},
        {"n_kv_heads": None},
    ],
)
def test_every_size_survives(random_model, tokenizer_path, tmp_path, sizes):
    model = random_model(5, vocab_size=400, **sizes)
    save(tmp_path / "saved", model, tokenizer_path)
    tokens = torch.tensor([[1, 300, 301, 302]])
    again = load(MetaFolder(tmp_path / "saved"), 400, torch.device("cpu"), torch.float32)
    assert again.params == model.params
    assert torch.equal(again(tokens, 0), model(tokens, 0))


def test_what_is_written_is_metas_layout(checkpoint, tokenizer_path, tmp_path):
    checkpoint.model.train(False)
    save(tmp_path / "saved", checkpoint.model, tokenizer_path, torch.float16)
    state = torch.load(tmp_path / "saved" / FILES[0], weights_only=True)
    assert state.keys() == checkpoint.model.state_dict().keys()
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    params = json.loads((tmp_path / "saved" / "params.json").read_text())
    assert {"dim", "n_layers", "n_heads", "norm_eps", "vocab_size"} <= params.keys() and "max_batch_size" not in params
    assert (tmp_path / "saved" / FILES[0]).stat().st_size < 2 * sum(t.numel() for t in state.values()) + 20_000


def test_a_part_of_a_larger_tensor_is_written_alone(random_model, tokenizer_path, tmp_path):
    model = random_model(0, vocab_size=400)
    big = torch.randn(5000, 32)
    model.output.weight.data = big[:400]
    save(tmp_path / "saved", model, tokenizer_path)
    assert (tmp_path / "saved" / FILES[0]).stat().st_size < 300_000


def test_a_checkpoint_may_be_written_over_the_one_in_use(folder, write_checkpoint, tokenizer_path, llama, random_model):
    """The weights in use are mapped from the file that is replaced."""
    mine = Llama.build(folder, device="cpu")
    save(folder, random_model(9, vocab_size=400), tokenizer_path)
    assert greedy(mine) == greedy(llama) != greedy(Llama.build(folder, device="cpu"))


def test_a_llama_may_be_written_over_its_own_checkpoint(folder, llama):
    mine = Llama.build(folder, device="cpu")
    save(folder, mine.model, folder / "tokenizer.model")
    assert greedy(mine) == greedy(llama) == greedy(Llama.build(folder, device="cpu"))


def test_a_short_cache_is_not_written_as_the_context(checkpoint, tokenizer_path, tmp_path):
    llama = Llama.build(checkpoint.folder, max_seq_len=16, device="cpu")
    save(tmp_path / "copy", llama.model, tokenizer_path)
    assert read_params(tmp_path / "copy").max_seq_len == read_params(checkpoint.folder).max_seq_len == 96


@pytest.mark.parametrize("size", [100, 20_000], ids=["params.json", "the-weights"])
def test_a_failed_save_leaves_the_old_checkpoint(folder, checkpoint, tokenizer_path, size):
    before = files(folder)
    with pytest.raises(OSError, match="could not be written: File too large"), files_end_at(size):
        save(folder, checkpoint.model, tokenizer_path, torch.float16)
    assert files(folder) == before and os.listdir(folder.parent) == [folder.name]


def test_a_save_without_its_tokenizer_leaves_the_old_checkpoint(folder, checkpoint, tmp_path):
    before = files(folder)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        save(folder, checkpoint.model, tmp_path / "nowhere", torch.float16)
    assert files(folder) == before and os.listdir(folder.parent) == [folder.name]
