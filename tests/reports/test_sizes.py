"""Sizes that no memory holds or no number reaches, in files and in calls: refused by name, and nothing has changed."""

import json
import shutil
import struct
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from minillama import Llama
from minillama.model import KVCache
from tests.formats.test_gguf import write as write_gguf
from tests.formats.test_hugging_face import make

HUGE = [2**63 - 1, 2**63, 2**64 - 1, 10**30, 10**400]


def check_refusal(path, *words):
    with pytest.raises(ValueError) as caught:
        Llama.build(path, device="cpu")
    assert type(caught.value) is ValueError
    for word in (*words, str(path)):
        assert word in str(caught.value), f"{word!r} is missing in {str(caught.value)[:300]!r}"


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("field", ["n_layers", "vocab_size", "hidden_dim", "multiple_of", "dim", "n_heads"])
def test_params(checkpoint, tmp_path, field, value):
    folder = Path(shutil.copytree(checkpoint.folder, tmp_path / "copy"))
    params = checkpoint.params | {field: value} | ({"n_heads": 1, "n_kv_heads": 1} if field == "dim" else {})
    if field == "multiple_of":
        del params["hidden_dim"]
    (folder / "params.json").write_text(json.dumps(params))
    check_refusal(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [("ffn_dim_multiplier", 1e308), ("ffn_dim_multiplier", 10**400), ("rope_theta", 10**400), ("norm_eps", 10**400)],
)
def test_numbers_of_params_without_an_end(checkpoint, tmp_path, field, value):
    folder = Path(shutil.copytree(checkpoint.folder, tmp_path / "copy"))
    params = {key: size for key, size in checkpoint.params.items() if key != "hidden_dim"}
    (folder / "params.json").write_text(json.dumps(params | {field: value}))
    check_refusal(folder, "params.json")


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory, tokenizer_path):
    folder = tmp_path_factory.mktemp("hf") / "model"
    make(folder, tokenizer_path)
    return folder


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize(
    "field", ["num_hidden_layers", "vocab_size", "intermediate_size", "hidden_size", "num_attention_heads"]
)
def test_config(hugging_face, tmp_path, field, value):
    folder = Path(shutil.copytree(hugging_face, tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text()) | {field: value, "head_dim": None}
    config |= {"num_attention_heads": 1, "num_key_value_heads": 1} if field == "hidden_size" else {}
    (folder / "config.json").write_text(json.dumps(config))
    check_refusal(folder)


@pytest.mark.parametrize("value", HUGE[:3])
@pytest.mark.parametrize("key", ["block_count", "embedding_length", "feed_forward_length", "attention.head_count"])
def test_metadata(tmp_path, random_model, tokenizer, monkeypatch, key, value):
    model = random_model(3, vocab_size=400, n_heads=1, n_kv_heads=1, dim=32)
    path = write_gguf(tmp_path / "a.gguf", model, tokenizer)
    data = path.read_bytes()
    name = f"llama.{key}".encode()
    end = data.index(name) + len(name)  # then the type, 4 is uint32, and the value
    path.write_bytes(data[:end] + struct.pack("<IQ", 10, value) + data[end + 8 :])
    check_refusal(path)


# ---- the cache -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(1, 10**14), (10**14, 1), (10**20, 1), (1, 10**30)])
def test_a_cache_that_no_memory_holds_changes_nothing(random_llama, sizes):
    llama = random_llama()
    due, before = llama.generate([[1, 5]], 8, temperature=0), llama.model.params
    rotations, caches = llama.model.freqs_cis, [layer.attention.cache for layer in llama.model.layers]
    with pytest.raises(ValueError, match="max_seq_len: cpu has no memory for a cache of .* take fewer|below 2"):
        llama.model.setup_cache(*sizes)
    assert llama.model.params == before and llama.model.freqs_cis is rotations
    assert all(layer.attention.cache is cache for layer, cache in zip(llama.model.layers, caches, strict=True))
    assert llama.generate([[1, 5]], 8, temperature=0) == due


def test_a_cache_that_fails_in_a_later_layer_changes_nothing(random_llama, monkeypatch):
    llama, made = random_llama(), []
    due = llama.generate([[1, 5]], 8, temperature=0)

    def cache(*sizes, **like):
        if len(made) == 1:
            raise torch.OutOfMemoryError("out of memory\nmany lines")
        first = KVCache(*sizes, **like)
        made.append(weakref.ref(first))
        return first

    monkeypatch.setattr("minillama.model.KVCache", cache)
    with pytest.raises(ValueError, match=r"of 2 rows of 16 tokens; take fewer \(out of memory\)$") as kept:
        llama.model.setup_cache(2, 16)
    assert made[0]() is None, f"{kept} holds the memory of the first layer's cache"
    assert llama.model.params.max_seq_len == 24
    assert llama.generate([[1, 5]], 8, temperature=0) == due


@pytest.mark.parametrize("sizes", [(np.int64(2), np.int8(16)), (torch.tensor(2), np.uint16(16))])
def test_a_cache_takes_numpys_and_torchs_numbers(random_model, sizes):
    model = random_model()
    model.setup_cache(*sizes)
    assert type(model.params.max_seq_len) is int and model.layers[0].attention.cache.k.shape[:2] == (2, 16)


# ---- positions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [np.int64, np.int8, np.uint64])
def test_a_position_may_be_numpys(random_llama, whole):
    model = random_llama().model
    tokens = torch.tensor([[1, 5, 6, 7, 8]])
    with torch.no_grad():
        due = model(tokens, 0)
        torch.testing.assert_close(model(tokens[:, 3:], whole(3)), due[:, 3:], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("start_pos", "error", "words"),
    [
        (-5, ValueError, "start_pos must be a whole number of at least 0, got -5"),
        (np.int64(-5), ValueError, "start_pos must be a whole number of at least 0, got -5"),
        (np.int64(24), ValueError, "positions 24 to 24 are outside 0 to 23"),
        (np.uint64(2**64 - 1), ValueError, "start_pos must be a whole number of at least 0 and below 2"),
        (1.0, TypeError, "start_pos must be a whole number"),
        ("1", TypeError, "start_pos must be a whole number"),
        (None, TypeError, "start_pos must be a whole number"),
        (True, TypeError, "start_pos must be a whole number"),
    ],
)
def test_a_position_that_is_none(random_llama, start_pos, error, words):
    with pytest.raises(error, match=words):
        random_llama().model(torch.tensor([[1]]), start_pos)


# ---- number formats --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64, torch.int64, torch.bool])
def test_number_formats_that_nothing_is_computed_in(checkpoint, dtype):
    with pytest.raises(ValueError, match=f"dtype must be torch.float32, bfloat16, float16 or float64, got {dtype}"):
        Llama.build(checkpoint.folder, device="cpu", dtype=dtype)


def test_float64_in_safetensors(hugging_face, tmp_path):
    folder = Path(shutil.copytree(hugging_face, tmp_path / "copy"))
    due = Llama.build(folder, device="cpu").generate([[1, 300]], 8, temperature=0)
    file = folder / "model.safetensors"
    save_file({key: weight.double() for key, weight in load_file(file).items()}, file)
    assert Llama.build(folder, device="cpu").generate([[1, 300]], 8, temperature=0) == due


# ---- texts ---------------------------------------------------------------------------------------------------------


def test_a_text_that_no_context_has_room_for_is_refused_at_once(llama):
    """A gigabyte took half a minute and 3 GB, then ended in std::bad_alloc."""
    long = "a" * (2**26 + 1)
    dialog = [{"role": "user", "content": long}]
    for name, call in {
        "prompts[0]": lambda: llama.text_completion([long]),
        "dialogs[0][0]['content']": lambda: llama.chat_completion([dialog]),
        "prompt_or_dialog": lambda: llama.stream(long),
        "prompt_or_dialog[0]['content']": lambda: llama.stream(dialog),
        "prompts_or_tokens[0]": lambda: llama.logits([long]),
        "stop": lambda: llama.text_completion(["a"], stop=[long]),
        "s": lambda: llama.tokenizer.encode(long, True, False),
    }.items():
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == f"{name} has 67,108,865 characters; at most 67,108,864 are read: shorten it"
