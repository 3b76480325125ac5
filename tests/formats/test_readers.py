"""Which reader is taken for what is at a path, and which tokenizer a folder in Meta's layout has."""

import shutil
from pathlib import Path

import pytest

from minillama import Llama
from minillama.checkpoint import MetaFolder
from minillama.formats import recognise
from minillama.formats.bpe import BPETokenizer
from minillama.formats.tokenizer_files import from_sentencepiece


@pytest.fixture
def folder(checkpoint, tmp_path, tokenizer):
    """Meta's layout with a tokenizer.json beside it, as Llama.save writes it for byte-level tokenizers."""
    folder = Path(shutil.copytree(checkpoint.folder, tmp_path / "copy"))
    from_sentencepiece(tokenizer).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}')
    return folder


def test_a_meta_folder_with_a_tokenizer_json(folder, checkpoint, tokenizer):
    (folder / "tokenizer.model").unlink()
    for reader, path in ((recognise(folder), None), (recognise(checkpoint.folder), folder / "tokenizer.json")):
        assert isinstance(reader, MetaFolder) and isinstance(made := reader.tokenizer(path), BPETokenizer)
        assert made.encode("Once", bos=True, eos=True) == tokenizer.encode("Once", bos=True, eos=True)
    with pytest.raises(ValueError, match="no tokenizer at .*tokenizer.model"):
        MetaFolder(folder).tokenizer()


def test_a_meta_folder_with_a_tokenizer_model(folder, checkpoint, tokenizer_path):
    for made in (recognise(checkpoint.folder).tokenizer(), recognise(folder).tokenizer(tokenizer_path)):
        assert not isinstance(made, BPETokenizer) and made.n_words == 400


def test_both_layouts_in_one_folder_are_metas(folder):
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"")
    assert isinstance(recognise(folder), MetaFolder)


def test_every_weight_says_what_is_stored(checkpoint):
    weights = recognise(checkpoint.folder).weights()
    assert {weight.kind for weight in weights.values()} == {"float32"}
    assert all(weight.nbytes == 4 * weight.shape.numel() for weight in weights.values())


def test_a_hub_id_without_a_connection(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="no folder or file 'nobody/nothing'.*hub.*not found"):
        Llama.build("nobody/nothing", device="cpu")


def test_a_hub_id_that_is_there(monkeypatch, checkpoint):
    asked = {}

    def snapshot_download(name, allow_patterns):
        asked.update(name=name, patterns=allow_patterns)
        return str(checkpoint.folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert Llama.build("owner/name", device="cpu").model.params.dim == 32
    assert asked["name"] == "owner/name" and not any("bin" in p or ".py" in p or p == "*" for p in asked["patterns"])
