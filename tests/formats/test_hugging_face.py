"""Hugging Face's layout: folders that transformers wrote, read here; and what is wrong with a folder is named."""

import json
import shutil
import struct
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from minillama import Llama
from minillama.checkpoint import load
from minillama.formats import recognise
from minillama.formats.hugging_face import adjacent_pairs, rotate_halves
from minillama.stored import StoredWeight

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
SIZES = {"vocab_size": 400, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 96,
         "initializer_range": 0.3}  # fmt: skip


def make(folder, tokenizer_path, seed=0, shard_size="5GB", **sizes):
    """A random model, saved by transformers, with a tokenizer.model; returns transformers' model."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**SIZES, **sizes})).eval()
        for weight in network.parameters():
            if weight.dim() == 1:
                torch.nn.init.uniform_(weight.data, 0.5, 1.5)
    network.save_pretrained(folder, max_shard_size=shard_size)
    shutil.copy(tokenizer_path, Path(folder) / "tokenizer.model")
    return network


@pytest.fixture(scope="module")
def original(tmp_path_factory, tokenizer_path):
    """A folder that no test may change, of two safetensors files."""
    folder = tmp_path_factory.mktemp("hf") / "model"
    make(folder, tokenizer_path, shard_size="100KB")
    return folder


@pytest.fixture
def folder(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "copy"))


def edit(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def check_refusal(folder, *words):
    """Llama.build raises exactly ValueError, which has these words, and writes nothing."""

    def files():
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}

    before = files()
    with pytest.raises(ValueError) as caught:
        Llama.build(folder, device="cpu")
    assert type(caught.value) is ValueError
    for word in (*words, str(folder)):
        assert word in str(caught.value), f"{word!r} is missing in {str(caught.value)!r}"
    assert files() == before


# ---- reading -------------------------------------------------------------------------------------------------------


def check_parity(folder, network):
    """Equal logits and equal greedy text, for a folder and transformers' model of it."""
    llama = Llama.build(folder, device="cpu")
    tokens = torch.randint(3, 400, (3, 19), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(llama.model(tokens, 0), network(tokens).logits, rtol=0, atol=1e-4)
    ours, _ = llama.generate(tokens[:, :6].tolist(), 12, temperature=0)
    theirs = network.generate(tokens[:, :6], attention_mask=torch.ones(3, 6), do_sample=False, max_new_tokens=12,
                              pad_token_id=2)  # fmt: skip
    assert ours == [[i for i in row[6:] if i != 2] for row in theirs.tolist()]
    return llama


@pytest.mark.parametrize(
    ("seed", "shard_size", "sizes"),
    [
        (0, "5GB", {}),
        (1, "40KB", {}),
        (2, "5GB", {"num_key_value_heads": 4, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}),
        (3, "5GB", {"num_key_value_heads": 1, "tie_word_embeddings": True, "rms_norm_eps": 1e-3}),
        (4, "40KB", {"tie_word_embeddings": True, "hidden_size": 48, "num_attention_heads": 6}),
    ],
)
def test_parity_with_transformers(tmp_path, tokenizer_path, seed, shard_size, sizes):
    network = make(tmp_path, tokenizer_path, seed, shard_size, **sizes)
    assert (tmp_path / INDEX).exists() == (shard_size == "40KB")
    llama = check_parity(tmp_path, network)
    tied = llama.model.output.weight.data_ptr() == llama.model.tok_embeddings.weight.data_ptr()
    assert tied == sizes.get("tie_word_embeddings", False)


def test_rope_theta_where_transformers_4_put_it(folder):
    edit(folder / CONFIG, rope_theta=777.0)
    config = json.loads((folder / CONFIG).read_text())
    assert recognise(folder).args.rope_theta == config.pop("rope_parameters")["rope_theta"] == 10000.0
    (folder / CONFIG).write_text(json.dumps(config))
    assert recognise(folder).args.rope_theta == 777.0
    del config["rope_theta"]
    (folder / CONFIG).write_text(json.dumps(config | {"rope_scaling": None}))
    assert recognise(folder).args.rope_theta == 10000.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_dtypes(folder, dtype):
    for file in folder.glob("*.safetensors"):
        save_file({key: weight.to(dtype) for key, weight in load_file(file).items()}, file)
    weights = recognise(folder).weights()
    assert {weight.kind for weight in weights.values()} == {str(dtype).removeprefix("torch.")}
    assert weights["norm.weight"][...].dtype == dtype
    assert load(recognise(folder), 400, torch.device("cpu"), torch.float32).norm.weight.dtype == torch.float32


def test_tables_of_rotations_in_old_files_are_ignored(folder):
    file = folder / "model-00001-of-00002.safetensors"
    save_file(load_file(file) | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}, file)
    assert len(recognise(folder).weights()) == 21


def test_a_tied_output_that_the_file_has_as_well(folder):
    """It is taken for the embedding where it holds the same numbers; transformers 5 does so, too."""
    edit(folder / CONFIG, tie_word_embeddings=True)
    weights = recognise(folder).weights()
    assert weights["output.weight"] is not weights["tok_embeddings.weight"] and len(weights) == 21
    for file in folder.glob("*.safetensors"):
        if "lm_head.weight" in (found := load_file(file)):
            save_file(found | {"lm_head.weight": weights["tok_embeddings.weight"][...]}, file)
    weights = recognise(folder).weights()
    assert weights["output.weight"] is weights["tok_embeddings.weight"] and len(weights) == 21


def test_nothing_is_read_before_it_is_asked_for(original):
    weights = recognise(original).weights()
    assert all(isinstance(weight, StoredWeight) for weight in weights.values())
    part = weights["layers.0.attention.wq.weight"][8:16, 4:6]
    assert part.shape == (8, 2) and part.untyped_storage().nbytes() < 8 * 32 * 4 + 1


@given(st.data())
def test_a_part_of_a_weight_is_that_part(original, data):
    weights = recognise(original).weights()
    key = data.draw(st.sampled_from(["layers.0.attention.wq.weight", "layers.1.attention.wk.weight", "norm.weight",
                                     "layers.1.feed_forward.w2.weight"]))  # fmt: skip
    whole = weights[key][...]
    index = tuple(slice(*sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))) for n in whole.shape)
    assert torch.equal(weights[key][index], whole[index]) and torch.equal(weights[key][index[0]], whole[index[0]])


def test_a_stored_weight_takes_slices_alone(original):
    weight = recognise(original).weights()["output.weight"]
    for index in (3, (slice(None), 3), (slice(None),) * 3, "a", slice(None, None, 2)):
        with pytest.raises(TypeError, match="takes ... or slices of step 1"):
            weight[index]


@given(st.sampled_from([2, 4, 8]), st.integers(1, 4))
def test_the_orders_of_the_rows_undo_each_other(head_dim, n_heads):
    rows = torch.arange(n_heads * head_dim)[:, None]  # (n_heads * head_dim, 1)
    halves = rotate_halves(rows, head_dim)
    assert halves[: head_dim // 2, 0].tolist() == list(range(0, head_dim, 2))  # in words: even rows, then odd rows
    stored = StoredWeight(rows.shape, "int64", 0, lambda *index: halves[index])
    assert torch.equal(adjacent_pairs(stored, head_dim)[...], rows)


# ---- what is wrong with a folder -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "mistral"), ("model_type", None), ("attention_bias", True), ("mlp_bias", True),
        ("hidden_act", "gelu"), ("quantization_config", {"bits": 4}), ("head_dim", 16),
        ("rope_scaling", {"type": "dynamic", "factor": 2.0}), ("rope_scaling", {"rope_type": "yarn", "factor": 2.0}),
        ("rope_parameters", {"rope_type": "longrope", "rope_theta": 10000.0, "factor": 8.0}),
        ("partial_rotary_factor", 0.5), ("rope_scaling", [2.0]),
        ("rope_parameters", "default"), ("rope_parameters", {"full_attention": {"rope_type": "yarn"}}),
    ],
)  # fmt: skip
def test_what_this_model_does_not_compute(folder, field, value):
    edit(folder / CONFIG, **{field: value})
    check_refusal(folder, CONFIG, field, "does not compute")


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("hidden_size", "32", "dim"), ("hidden_size", None, "hidden_size"), ("hidden_size", 33, "dim"),
        ("num_attention_heads", 0, "n_heads"), ("rms_norm_eps", -1, "norm_eps"), ("num_hidden_layers", 2.0, "n_layers"),
        ("num_hidden_layers", 10**9, "layers"), ("intermediate_size", 10**30, "hidden_dim must be a whole number"),
        ("intermediate_size", 10**15, "the shape (1000000000000000, 32)"),
        ("vocab_size", 10**12, "vocab_size=1000000000000"),
        ("hidden_size", 10**12, "no memory"),
    ],
)  # fmt: skip
def test_sizes_that_no_model_can_have_or_that_the_weights_have_not(folder, field, value, word):
    edit(folder / CONFIG, **{field: value} | ({"head_dim": None} if field == "hidden_size" else {}))
    check_refusal(folder, word)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("name", [CONFIG, INDEX])
def test_json_that_is_none(folder, name, content):
    (folder / name).write_bytes(content)
    check_refusal(folder, name)


@pytest.mark.parametrize("depth", [33, 500, 950, 100_000])
@pytest.mark.parametrize("name", [CONFIG, INDEX, "tokenizer_config.json", "generation_config.json"])
def test_deeply_nested_json(folder, name, depth):
    (folder / name).write_text('{"rope_scaling": ' + "[" * depth + "]" * depth + "}")
    check_refusal(folder, name, "nested more than 32 levels deep")


def test_a_json_file_of_a_gigabyte_is_not_read(folder):
    with open(folder / CONFIG, "r+b") as file:
        file.truncate(2**30)
    check_refusal(folder, CONFIG, "1073741824 bytes")


@pytest.mark.parametrize(
    "target",
    ["../other.safetensors", "/etc/passwd", "a/b.safetensors", "..\\x.safetensors", "", 5, "config.json", "..", None],
)
def test_an_index_that_names_an_outside_file(folder, target):
    index = json.loads((folder / INDEX).read_text())
    save_file({"model.norm.weight": torch.ones(32)}, folder.parent / "other.safetensors")
    index["weight_map"]["model.norm.weight"] = target
    (folder / INDEX).write_text(json.dumps(index))
    check_refusal(folder, INDEX, repr(target), "expected a safetensors file beside it")


@pytest.mark.parametrize("content", [{}, {"weight_map": {}}, {"weight_map": [1]}])
def test_an_index_without_a_map(folder, content):
    (folder / INDEX).write_text(json.dumps(content))
    check_refusal(folder, INDEX, "weight_map")


def test_missing_files(folder):
    shard = folder / "model-00002-of-00002.safetensors"
    shard.rename(folder / "elsewhere")
    check_refusal(folder, "lacks model-00002-of-00002.safetensors")
    (folder / INDEX).unlink()
    check_refusal(folder, "no model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"")
    check_refusal(folder, "pytorch_model.bin", "save them as safetensors")
    (folder / CONFIG).unlink()
    check_refusal(folder, "no params.json and no config.json")


def test_shards_of_different_models(folder, tmp_path, tokenizer_path):
    make(tmp_path / "other", tokenizer_path, 5, "100KB", hidden_size=40)
    shutil.copy(max((tmp_path / "other").glob("model-*")), max(folder.glob("model-*")))
    with pytest.raises(ValueError, match="of another model|does not fit its config.json|in two files"):
        Llama.build(folder, device="cpu")


def break_file(folder, change):
    """One safetensors file without an index, altered: its bytes, its header."""
    for path in (folder / INDEX, *folder.glob("model-*")):
        path.unlink()
    weights = {"model.norm.weight": torch.ones(32)}
    save_file(weights, folder / WEIGHTS)
    data = (folder / WEIGHTS).read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    (folder / WEIGHTS).write_bytes(change(data, json.loads(data[8 : 8 + n]), data[8 + n :]))


def packed(header, rest, n=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header) if n is None else n) + header + rest


NORM = {"dtype": "F32", "shape": [32], "data_offsets": [0, 128]}
BROKEN = {
    "empty": lambda data, header, rest: b"",
    "five bytes": lambda data, header, rest: data[:5],
    "header cut off": lambda data, header, rest: data[:20],
    "data cut off": lambda data, header, rest: data[:-1],
    "more than it says": lambda data, header, rest: data + b"\0" * 8,
    "noise": lambda data, header, rest: bytes(range(256)) * 4,
    "oversized header": lambda data, header, rest: packed(header, rest, 2**62),
    "header over the file": lambda data, header, rest: packed(header, rest, len(data)),
    "a header of zeros": lambda data, header, rest: packed(b"\0" * 64, rest),
    "no JSON": lambda data, header, rest: packed(b"{'a': 1}", rest),
    "huge tensor": lambda data, header, rest: packed({"a": NORM | {"shape": [2**40]}}, rest),
    "shape overflows": lambda data, header, rest: packed({"a": NORM | {"shape": [2**63, 2**63]}}, rest),
    "outside offsets": lambda data, header, rest: packed({"a": NORM | {"data_offsets": [0, 2**50]}}, rest),
    "unknown dtype": lambda data, header, rest: packed({"a": NORM | {"dtype": "F31"}}, rest),
    "whole numbers": lambda data, header, rest: packed({"a": NORM | {"dtype": "I32"}}, rest),
    "a pickle": lambda data, header, rest: b"\x80\x04cposix\nsystem\n(S'touch /tmp/ran'\ntR." * 20,
    "a tensor too few": lambda data, header, rest: data,
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_safetensors(folder, what):
    break_file(folder, BROKEN[what])
    check_refusal(folder, "ckpt_dir")
    if what != "a tensor too few":
        check_refusal(folder, WEIGHTS)


def test_tensors_that_are_missing_or_too_many(folder):
    (folder / INDEX).unlink()
    weights = {key: w for file in folder.glob("model-*") for key, w in load_file(file).items()}
    for change, *words in (
        ({"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}, "q_proj.bias", "which a Llama 2 does not have"),
        (
            {"model.layers.1.mlp.up_proj.weight": torch.ones(7, 32)},
            "feed_forward.w3",
            "(48, 32), got (7, 32)",
        ),
        (
            {"model.layers.1.self_attn.q_proj.weight": torch.ones(32)},
            "attention.wq.weight",
            "the shape (32, 32)",
        ),
        (
            {"model.layers.1.self_attn.q_proj.weight": torch.ones(30, 32)},
            "attention.wq.weight",
            "the shape (32, 32)",
        ),
        ({"model.norm.weight": None}, "lacks model.norm.weight"),
        ({"lm_head.weight": None}, "lacks lm_head.weight"),
        ({"model.embed_tokens.weight": torch.ones(500, 32)}, "400", "500"),
    ):
        save_file({key: w for key, w in (weights | change).items() if w is not None}, folder / WEIGHTS)
        check_refusal(folder, *words)


def test_no_or_a_foreign_tokenizer(folder):
    (folder / "tokenizer.model").write_bytes(b"nonsense")
    check_refusal(folder, "tokenizer.model", "not a sentencepiece model")
    (folder / "tokenizer.model").unlink()
    check_refusal(folder, "no tokenizer", "tokenizer.model or tokenizer.json")


@pytest.mark.parametrize("module", ["safetensors", "huggingface_hub"])
def test_a_library_that_is_not_installed(monkeypatch, original, module):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ValueError, match=f"pip install {module}"):
        Llama.build(original if module == "safetensors" else "owner/name", device="cpu")
