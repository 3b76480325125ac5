"""Rotations slowed for a longer context: in every layout that says so, as transformers computes them, and out again."""

import json
import shutil

import pytest
import torch
import transformers

from minillama import Llama
from minillama.__main__ import main
from minillama.checkpoint import save
from minillama.formats import recognise
from minillama.model import precompute_freqs_cis
from minillama.rope import LLAMA_3_1, RopeScaling
from tests import peers
from tests.formats.test_gguf import write as write_gguf
from tests.formats.test_hugging_face import make

LLAMA_3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 32}  # fmt: skip
SCALINGS = {
    "linear": {"rope_type": "linear", "factor": 4.0},
    "linear by half": {"rope_type": "linear", "factor": 0.5},
    "llama3": LLAMA_3,
    "llama3, few between": LLAMA_3 | {"factor": 32.0, "low_freq_factor": 1.5, "high_freq_factor": 1.75},
    "llama3, all between": LLAMA_3 | {"low_freq_factor": 0.001, "high_freq_factor": 1000.0},
}
SIZES = {"hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": 512}


def check_parity(llama, network, length=400):
    """Equal logits for a text far longer than the context before it was stretched, whole and with the cache."""
    tokens = torch.randint(3, 400, (1, length), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        due = network(tokens).logits
        torch.testing.assert_close(llama.model(tokens, 0), due, rtol=0, atol=1e-4)
        torch.testing.assert_close(llama.model(tokens[:, -9:], length - 9), due[:, -9:], rtol=0, atol=1e-4)


def is_scaled(llama):
    plain = precompute_freqs_cis(llama.model.params.head_dim, 9, llama.model.params.rope_theta)
    return not torch.allclose(llama.model.freqs_cis[:9], plain)


def edit(folder, *removed, **fields):
    config = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k not in removed}))


@pytest.mark.parametrize("seed", range(10))
def test_parity_of_random_scalings(random_model, seed):
    """Speeds alike to the last bit: in transformers' order of multiplications."""
    draw = torch.Generator().manual_seed(seed)

    def between(low, high):
        return low + (high - low) * torch.rand((), generator=draw).item()

    low = between(0.1, 3)
    scaling = {
        "rope_type": "llama3",
        "factor": between(1, 40),
        "low_freq_factor": low,
        "high_freq_factor": low + between(0.1, 9),
        "original_max_position_embeddings": int(between(8, 9000)),
    }
    scaling = scaling if seed % 3 else {"rope_type": "linear", "factor": between(0.3, 20)}
    theta, head_dim = 10 ** between(2, 6), 2 * int(between(1, 65))
    config = transformers.LlamaConfig(hidden_size=head_dim, num_attention_heads=1, max_position_embeddings=2**20,
                                      rope_parameters=scaling | {"rope_theta": theta})  # fmt: skip
    speeds = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(config).inv_freq
    ours = RopeScaling(**scaling).slowed(1 / theta ** (torch.arange(0, head_dim, 2).float() / head_dim))
    torch.testing.assert_close(ours, speeds, rtol=2e-7, atol=0)


@pytest.mark.parametrize("name", SCALINGS)
def test_a_hugging_face_folder(tmp_path, tokenizer_path, name):
    network = make(tmp_path, tokenizer_path, rope_parameters=SCALINGS[name] | {"rope_theta": 500.0}, **SIZES)
    llama = Llama.build(tmp_path, max_seq_len=450, device="cpu")
    assert is_scaled(llama) and llama.model.params.rope_scaling == RopeScaling(**SCALINGS[name])
    check_parity(llama, network)


@pytest.mark.parametrize("kind", ["type", "rope_type"])
@pytest.mark.parametrize("name", ["linear", "llama3"])
def test_as_transformers_4_wrote_it(tmp_path, tokenizer_path, name, kind):
    make(tmp_path, tokenizer_path, **SIZES)
    scaling = {kind: name} | {key: value for key, value in SCALINGS[name].items() if key != "rope_type"}
    edit(tmp_path, "rope_parameters", rope_theta=777.0, rope_scaling=scaling)
    llama = Llama.build(tmp_path, max_seq_len=450, device="cpu")
    assert llama.model.params.rope_theta == 777.0 and is_scaled(llama)
    check_parity(llama, transformers.LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32))


def test_where_the_original_context_may_be(tmp_path, tokenizer_path):
    """Beside the scaling, in it, or nowhere: then it is the context, as transformers has it."""
    make(tmp_path, tokenizer_path, **SIZES)
    short = {key: value for key, value in LLAMA_3.items() if key != "original_max_position_embeddings"}
    for fields, due in (
        ({"rope_scaling": LLAMA_3, "original_max_position_embeddings": 64}, 64),
        ({"rope_scaling": LLAMA_3, "original_max_position_embeddings": None}, 32),
        ({"rope_scaling": short}, 512),
    ):
        edit(tmp_path, **fields)
        assert recognise(tmp_path).args.rope_scaling.original_max_position_embeddings == due


@pytest.mark.parametrize(
    "scaling",
    [None, {}, {"type": "default"}, {"rope_type": "default", "rope_theta": 500.0}, {"rope_type": None}],
)
def test_no_scaling_in_other_words(tmp_path, tokenizer_path, scaling):
    network = make(tmp_path, tokenizer_path)
    edit(tmp_path, rope_scaling=scaling)
    llama = Llama.build(tmp_path, device="cpu")
    assert llama.model.params.rope_scaling is None
    if not (scaling or {}).get("rope_theta"):
        check_parity(llama, network, 90)


def test_a_linear_factor_that_is_missing_is_1(tmp_path, tokenizer_path):
    network = make(tmp_path, tokenizer_path)
    for scaling in ({"type": "linear"}, {"type": "linear", "factor": None}, {"type": "linear", "factor": 1}):
        edit(tmp_path, rope_scaling=scaling)
        check_parity(Llama.build(tmp_path, device="cpu"), network, 90)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"factor": None}, "without factor"), ({"factor": "8"}, "factor must be a finite number"),
        ({"factor": 0}, "factor must be above 0"), ({"factor": float("nan")}, "factor must be"),
        ({"low_freq_factor": None}, "without low_freq_factor"), ({"high_freq_factor": 1.0}, "must be above low_freq"),
        ({"original_max_position_embeddings": 32.5}, "original_max_position_embeddings must be a whole number"),
        ({"original_max_position_embeddings": 0}, "original_max_position_embeddings must be a whole number"),
    ],
)  # fmt: skip
def test_scalings_that_cannot_be(tmp_path, tokenizer_path, change, words):
    make(tmp_path, tokenizer_path)
    edit(tmp_path, rope_scaling=LLAMA_3 | change)
    with pytest.raises(ValueError, match=f"config.json.*{words}"):
        Llama.build(tmp_path, device="cpu")


@pytest.mark.parametrize("name", SCALINGS)
@pytest.mark.parametrize("format", ["meta", "hf"])
def test_it_is_written_again(tmp_path, random_llama, tokenizer, name, format):
    sizes = {"dim": 64, "rope_theta": 500.0, "rope_scaling": SCALINGS[name], "max_seq_len": 512}
    llama = random_llama(2, tokenizer, **sizes)
    llama.save(tmp_path / "model", format)
    again = Llama.build(tmp_path / "model", max_seq_len=450, device="cpu")
    assert again.model.params.rope_scaling == llama.model.params.rope_scaling and again.model.context == 512
    check_parity(again, peers.to_transformers(llama.model))
    if format == "hf":
        check_parity(again, transformers.LlamaForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32))
        config = json.loads((tmp_path / "model" / "config.json").read_text())
        assert config["rope_scaling"] == SCALINGS[name]  # where transformers 4 and llama.cpp look


# ---- Meta's params.json --------------------------------------------------------------------------------------------


@pytest.fixture
def meta(checkpoint, tmp_path):
    """meta(**fields): a folder whose params.json has these fields too."""
    folder = shutil.copytree(checkpoint.folder, tmp_path / "meta")

    def made(**fields):
        params = {key: value for key, value in (checkpoint.params | fields).items() if value != "left out"}
        (folder / "params.json").write_text(json.dumps(params))
        return folder

    return made


def test_use_scaled_rope_is_llama_3_1(meta, tmp_path, tokenizer_path, capsys):
    """It means Meta's four constants, and is written so, for other programs to read."""
    folder = meta(use_scaled_rope=True, rope_theta=500000.0)
    llama = Llama.build(folder, max_seq_len=450, device="cpu")
    assert llama.model.params.rope_scaling == LLAMA_3_1 == RopeScaling("llama3", 8, 1, 4, 8192) and is_scaled(llama)
    check_parity(llama, peers.to_transformers(llama.model))
    save(tmp_path / "out", llama.model, tokenizer_path)
    fields = json.loads((tmp_path / "out" / "params.json").read_text())
    assert fields["use_scaled_rope"] is True and "rope_scaling" not in fields
    assert recognise(tmp_path / "out").args.rope_scaling == LLAMA_3_1
    llama.save(tmp_path / "hf", "hf")
    assert recognise(tmp_path / "hf").args.rope_scaling == LLAMA_3_1
    assert main(["info", "--model", str(folder)]) == 0
    assert "rope_theta  500000, slowed as llama3 by 8" in capsys.readouterr().out


def test_the_numbers_that_later_params_name(meta):
    assert recognise(meta(use_scaled_rope=True, rope_scaling_factor=32, rope_high_freq_factor=None)).args.rope_scaling \
        == RopeScaling("llama3", 32, 1, 4, 8192)  # fmt: skip
    for off in (False, None):
        assert recognise(meta(use_scaled_rope=off)).args.rope_scaling is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"use_scaled_rope": "yes"}, "use_scaled_rope is 'yes'"),
        ({"use_scaled_rope": True, "rope_scaling": LLAMA_3}, "use_scaled_rope is True beside a rope_scaling"),
        ({"use_scaled_rope": True, "rope_scaling_factor": -1}, "factor must be"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "rope_scaling: rope_type is 'yarn'"),
        ({"rope_scaling": {"factor": 2.0}}, "rope_scaling"),
        ({"rope_scaling": LLAMA_3 | {"beta": 1}}, "rope_scaling: .*beta"),
        ({"rope_scaling": 4}, "rope_scaling must be"),
        ({"rope_scaling_factor": 4}, "rope_scaling_factor"),
    ],
)
def test_params_that_cannot_be(meta, fields, words):
    with pytest.raises(ValueError, match=f"params.json.*{words}"):
        recognise(meta(**fields))


@pytest.mark.parametrize(
    ("fields", "context"),
    [
        ({}, 4096),  # Llama 2
        ({"rope_theta": 1000000.0}, 16384),  # Code Llama
        ({"rope_theta": 500000.0}, 8192),  # Llama 3
        ({"rope_theta": 500000.0, "use_scaled_rope": True}, 131072),  # Llama 3.1
        ({"rope_theta": 123.0}, 4096),
    ],
)
def test_the_context_that_metas_params_leave_out(meta, fields, context):
    folder = meta(max_seq_len="left out", **fields)
    assert recognise(folder).args.max_seq_len == context
    assert Llama.build(folder, device="cpu").model.context == context


# ---- GGUF ------------------------------------------------------------------------------------------------------------


def gguf_args(**more):
    return {"dim": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "hidden_dim": 96, "vocab_size": 400,
            "max_seq_len": 512, "rope_theta": 500.0} | more  # fmt: skip


@pytest.mark.parametrize(
    ("metadata", "factor"),
    [
        ({"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}, 4.0),
        ({"llama.rope.scaling.factor": 4.0}, 4.0),  # llama.cpp takes linear where no type is named
        ({"llama.rope.scale_linear": 2.0}, 2.0),  # of 2023
        ({"llama.rope.scaling.type": "linear"}, None),
        ({"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 0.0}, None),
        ({"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 4.0}, None),
        ({"llama.rope.scaling.type": "none"}, None),
    ],
)
def test_linear_scaling_in_a_gguf_file(tmp_path, random_model, tokenizer, metadata, factor):
    scaling = None if factor is None else RopeScaling("linear", factor)
    model = random_model(3, **gguf_args(rope_scaling=scaling))
    llama = Llama.build(write_gguf(tmp_path / "a.gguf", model, tokenizer, **metadata), max_seq_len=450, device="cpu")
    assert llama.model.params.rope_scaling == scaling
    check_parity(llama, peers.to_transformers(model))


@pytest.mark.parametrize(
    ("scaling", "theta"),
    [
        (LLAMA_3_1, 500000.0),
        (RopeScaling("llama3", 32.0, 1.0, 4.0, 8192), 500000.0),  # Llama 3.2
        (RopeScaling("llama3", 8.0, 1.0, 4.0, 512), 500.0),  # the original context is that of the file
        (RopeScaling("llama3", 8.0, 1.0, 4.0, 300), 500.0),  # in no file: told by the pairs between slow and fast
        (RopeScaling("llama3", 3.7, 1.0, 4.0, 2000), 10000.0),
        (None, 500.0),  # a table of ones
    ],
)
def test_llama_3s_scaling_in_a_gguf_file(tmp_path, random_model, tokenizer, scaling, theta):
    """A table of factors, by which the speeds are divided."""
    model = random_model(3, **gguf_args(rope_scaling=scaling, rope_theta=theta))
    speeds = 1 / theta ** (torch.arange(0, 16, 2).float() / 16)
    factors = torch.ones(8) if scaling is None else speeds / scaling.slowed(speeds)
    path = write_gguf(tmp_path / "a.gguf", model, tokenizer, extra={"rope_freqs.weight": factors.numpy()})
    llama = Llama.build(path, max_seq_len=450, device="cpu")
    assert llama.model.params.rope_scaling == scaling
    check_parity(llama, peers.to_transformers(model))


@pytest.mark.parametrize(
    ("factors", "metadata", "words"),
    [
        (torch.linspace(1, 9, 8), {}, "rope_freqs.weight.*no factors of Llama 3"),
        (torch.zeros(8), {}, "rope_freqs.weight.*no factors of Llama 3"),
        (torch.full((8,), float("nan")), {}, "rope_freqs.weight.*no factors of Llama 3"),
        (torch.ones(5), {}, r"rope_freqs.weight.*expected the shape \(8,\)"),
        (torch.ones(8, dtype=torch.float16), {}, r"rope_freqs.weight.*float16"),
        (None, {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0}, "rope.scaling.type 'yarn'"),
        (None, {"llama.rope.scaling.type": "longrope"}, "rope.scaling.type 'longrope'"),
        (None, {"llama.rope.scaling.attn_factor": 1.2}, "rope.scaling.attn_factor"),
        (None, {"llama.rope.scaling.factor": float("nan")}, "factor must be"),
        (None, {"llama.rope.scaling.factor": "4"}, "factor must be"),
    ],
)
def test_scalings_of_gguf_files_that_are_not_computed(tmp_path, random_model, tokenizer, factors, metadata, words):
    extra = {} if factors is None else {"rope_freqs.weight": factors.numpy()}
    path = write_gguf(tmp_path / "a.gguf", random_model(3, **gguf_args()), tokenizer, extra=extra, **metadata)
    with pytest.raises(ValueError, match=f"a.gguf.*{words}"):
        Llama.build(path, device="cpu")


def test_both_ways_of_saying_it_are_refused(tmp_path, random_model, tokenizer):
    speeds = 1 / 500.0 ** (torch.arange(0, 16, 2).float() / 16)
    factors = speeds / RopeScaling("llama3", 8.0, 1.0, 4.0, 512).slowed(speeds)
    path = write_gguf(tmp_path / "a.gguf", random_model(3, **gguf_args()), tokenizer,
                      extra={"rope_freqs.weight": factors.numpy()}, **{"llama.rope.scaling.factor": 2.0})  # fmt: skip
    with pytest.raises(ValueError, match="rope_freqs.weight beside a linear factor of 2"):
        Llama.build(path, device="cpu")
