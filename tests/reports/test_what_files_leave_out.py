"""Checkpoints that leave out, or name otherwise, what can be known without it: read as transformers reads them."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from minillama import Llama
from minillama.formats import recognise
from tests.formats.test_hugging_face import check_parity, make

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory, tokenizer_path):
    """A folder that no test may change, with transformers' model of it."""
    folder = tmp_path_factory.mktemp("hf") / "model"
    return folder, make(folder, tokenizer_path, rms_norm_eps=1e-6, max_position_embeddings=2048)


@pytest.fixture
def folder(made, tmp_path):
    return Path(shutil.copytree(made[0], tmp_path / "copy"))


def config_without(folder, *names, **fields):
    config = json.loads((folder / CONFIG).read_text()) | fields
    (folder / CONFIG).write_text(json.dumps({key: value for key, value in config.items() if key not in names}))


def rename(folder, change):
    """The weights under other names; change(name) may give None."""
    weights = {change(name): weight for name, weight in load_file(folder / WEIGHTS).items()}
    save_file({name: weight for name, weight in weights.items() if name}, folder / WEIGHTS)


# ---- config.json ---------------------------------------------------------------------------------------------------

OPTIONAL = ["rms_norm_eps", "max_position_embeddings", "rope_parameters", "hidden_act", "head_dim", "attention_bias",
            "mlp_bias", "tie_word_embeddings", "architectures", "dtype"]  # fmt: skip


def test_fields_that_are_missing_have_the_librarys_defaults(folder, made):
    config_without(folder, *OPTIONAL)
    assert transformers.AutoConfig.from_pretrained(folder).rms_norm_eps == recognise(folder).args.norm_eps == 1e-6
    assert transformers.AutoConfig.from_pretrained(folder).max_position_embeddings == 2048
    assert check_parity(folder, made[1]).model.context == 2048


def test_fields_that_are_null_are_missing(folder, made):
    nothing = dict.fromkeys([*OPTIONAL, "rope_theta", "rope_scaling", "quantization_config", "partial_rotary_factor"])
    config_without(folder, **nothing)
    assert check_parity(folder, made[1]).model.params.norm_eps == 1e-6


def test_as_many_key_heads_as_heads(tmp_path, tokenizer_path):
    network = make(tmp_path, tokenizer_path, num_key_value_heads=4)
    config_without(tmp_path, "num_key_value_heads")
    check_parity(tmp_path, network)


def test_silu_has_two_names(folder, made):
    config_without(folder, hidden_act="swish")
    check_parity(folder, made[1])


@pytest.mark.parametrize("name", ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"])
def test_sizes_are_never_guessed(folder, name):
    config_without(folder, name)
    with pytest.raises(ValueError, match=f"lacks {name}"):
        recognise(folder)


# ---- a context that no memory holds --------------------------------------------------------------------------------


@pytest.mark.parametrize("context", [2**20 + 1, 10**13, 10**18])
def test_a_context_larger_than_any_memory(folder, made, context, tmp_path):
    """Rotations are made for the cache alone; what is written again still says the context."""
    config_without(folder, max_position_embeddings=context)
    for length, due in ((64, 64), (None, 2048)):
        llama = Llama.build(folder, max_seq_len=length, max_batch_size=3, device="cpu")
        assert llama.model.context == context and llama.model.freqs_cis.shape == (due, 4)
    check_parity(folder, made[1])
    llama.save(tmp_path / "again")
    assert Llama.build(tmp_path / "again", max_seq_len=9, device="cpu").model.context == context


def test_a_context_larger_than_any_memory_in_params(checkpoint, tmp_path):
    folder = Path(shutil.copytree(checkpoint.folder, tmp_path / "copy"))
    (folder / "params.json").write_text(json.dumps(checkpoint.params | {"max_seq_len": 10**13}))
    assert Llama.build(folder, device="cpu").model.freqs_cis.shape[0] == 2048


def test_what_is_asked_for_has_an_end(folder):
    with pytest.raises(ValueError, match="max_seq_len must be at most 1048576, got 1048577.*config.json.*2048 tokens"):
        Llama.build(folder, max_seq_len=2**20 + 1, device="cpu")


# ---- an output that is not in the file -------------------------------------------------------------------------------


def without_head(name):
    return None if name == "lm_head.weight" else name


@pytest.mark.parametrize("flag", [True, None, "left out"])
def test_an_output_that_is_missing_is_the_embedding(tmp_path, tokenizer_path, flag):
    """Where the flag is missing, transformers draws a random output; the weights allow but one that is right."""
    network = make(tmp_path, tokenizer_path, tie_word_embeddings=True)
    config_without(tmp_path, *["tie_word_embeddings"] * (flag == "left out"), tie_word_embeddings=flag)
    llama = check_parity(tmp_path, network)
    assert llama.model.output.weight.data_ptr() == llama.model.tok_embeddings.weight.data_ptr()


def test_an_output_that_is_missing_though_the_flag_says_it_is_its_own(folder):
    rename(folder, without_head)
    with pytest.raises(ValueError, match="lacks lm_head.weight"):
        Llama.build(folder, device="cpu")


def test_an_output_of_its_own_though_the_flag_says_tied(folder, made):
    """transformers 5 does not tie what differs."""
    config_without(folder, tie_word_embeddings=True)
    check_parity(folder, made[1])


# ---- names of weights ------------------------------------------------------------------------------------------------

NAMES = {
    "module.": lambda name: f"module.{name}",
    "_orig_mod.": lambda name: f"_orig_mod.{name}",
    "both": lambda name: f"_orig_mod.module.{name}",
    "without model.": lambda name: name.removeprefix("model."),
    "module. without model.": lambda name: "module." + name.removeprefix("model."),
    "inside model.": lambda name: name.replace("model.", "model._orig_mod."),
    "in each layer": lambda name: re.sub(r"(layers\.\d+)", r"\1._orig_mod", name),
    "FSDP": lambda name: re.sub(r"(layers\.\d+)", r"_fsdp_wrapped_module.\1._checkpoint_wrapped_module", name),
}


@pytest.mark.parametrize("what", NAMES)
def test_words_that_wrappers_add_to_the_names(folder, made, what):
    rename(folder, NAMES[what])
    check_parity(folder, made[1])


def test_a_name_that_is_there_twice(folder):
    weights = load_file(folder / WEIGHTS)
    save_file(weights | {"module.model.norm.weight": torch.ones(32)}, folder / WEIGHTS)
    with pytest.raises(ValueError, match=f"has model.norm.weight twice, the second in {WEIGHTS}"):
        Llama.build(folder, device="cpu")


@pytest.mark.parametrize("what", ["module.", "_orig_mod.", "both", "in each layer", "FSDP"])
def test_wrappers_in_metas_layout(checkpoint, tmp_path, llama, what):
    folder = Path(shutil.copytree(checkpoint.folder, tmp_path / "copy"))
    state = {NAMES[what](key): tensor for key, tensor in checkpoint.model.state_dict().items()}
    torch.save(state, folder / "consolidated.00.pth")
    ours = Llama.build(folder, device="cpu")
    assert ours.generate([[1, 300]], 8, temperature=0) == llama.generate([[1, 300]], 8, temperature=0)
    torch.save(state | {"norm.weight": torch.ones(32), "module.norm.weight": torch.ones(32)}, folder / "new")
    shutil.move(folder / "new", folder / "consolidated.00.pth")
    with pytest.raises(ValueError, match="consolidated.00.pth.* twice"):
        Llama.build(folder, device="cpu")


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2])
def test_numbered_files_without_an_index(tmp_path, tokenizer_path, n):
    network = make(tmp_path, tokenizer_path, shard_size="100KB" if n == 2 else "5GB")
    if n == 1:
        (tmp_path / WEIGHTS).rename(tmp_path / "model-00001-of-00001.safetensors")
    else:
        (tmp_path / INDEX).unlink()
    check_parity(tmp_path, network)


def test_numbered_files_of_which_one_is_missing(tmp_path, tokenizer_path):
    make(tmp_path, tokenizer_path, shard_size="100KB")
    (tmp_path / INDEX).unlink()
    for name in ("model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"):
        (tmp_path / name).rename(tmp_path / "elsewhere")
        with pytest.raises(ValueError, match=f"no {WEIGHTS}, no {INDEX} and not all of 2 numbered files"):
            Llama.build(tmp_path, device="cpu")
        (tmp_path / "elsewhere").rename(tmp_path / name)


def test_one_file_beside_the_index_of_an_older_checkpoint(folder, made):
    """transformers looks for model.safetensors first."""
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}))
    check_parity(folder, made[1])


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.pt"])
def test_a_folder_with_pickled_weights_says_what_to_do(folder, name):
    (folder / WEIGHTS).rename(folder / name)
    with pytest.raises(ValueError, match=f"{name}: pickled weights are not read.*from_pretrained.*save_pretrained"):
        Llama.build(folder, device="cpu")


@pytest.mark.parametrize("config", [True, False])
def test_a_folder_with_a_gguf_file_says_what_to_do(folder, config):
    (folder / WEIGHTS).rename(folder / "llama-Q8_0.gguf")
    if not config:
        (folder / CONFIG).unlink()
    with pytest.raises(ValueError, match="it has llama-Q8_0.gguf: give the path of that file"):
        Llama.build(folder, device="cpu")


# ---- the hub ---------------------------------------------------------------------------------------------------------


class Hub:
    """A model on the hub, whose files lie in a folder: those that match the patterns are fetched into another."""

    def __init__(self, folder, fetched):
        self.folder, self.fetched = folder, fetched

    def snapshot_download(self, name, allow_patterns):
        for path in self.folder.iterdir():
            if any(path.match(pattern) for pattern in allow_patterns):
                self.fetched.mkdir(exist_ok=True)
                shutil.copy(path, self.fetched)
        return str(self.fetched)

    def list_repo_files(self, name):
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def hub(monkeypatch, folder, tmp_path):
    made = Hub(folder, tmp_path / "fetched")
    for name in ("snapshot_download", "list_repo_files"):
        monkeypatch.setattr(f"huggingface_hub.{name}", getattr(made, name))
    return made


def test_a_model_on_the_hub(hub, made):
    ours = Llama.build("owner/name", device="cpu").model.state_dict()
    assert torch.equal(ours["norm.weight"], made[1].model.norm.weight)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pytorch_model.bin", "pytorch_model.bin: pickled weights are not read.*from_pretrained..owner/name..*save_pr"),
        (
            "a.Q8_0.gguf",
            "has a.Q8_0.gguf: fetch one, huggingface_hub.hf_hub_download..owner.name., .a.Q8_0.gguf",
        ),
        ("flax_model.msgpack", "has no safetensors$"),
    ],
)
@pytest.mark.parametrize("config", [True, False])
def test_a_model_on_the_hub_in_other_forms(hub, folder, name, words, config):
    (folder / WEIGHTS).rename(folder / name)
    if not config:
        for path in folder.glob("*.json"):
            path.unlink()
    with pytest.raises(ValueError, match=f"ckpt_dir: the model 'owner/name' on the Hugging Face hub.*{words}"):
        Llama.build("owner/name", device="cpu")


def test_metas_own_files_on_the_hub(monkeypatch, checkpoint, tmp_path, llama):
    hub = Hub(checkpoint.folder, tmp_path / "fetched")
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.snapshot_download)
    ours = Llama.build("owner/name", device="cpu")
    assert ours.generate([[1, 300]], 8, temperature=0) == llama.generate([[1, 300]], 8, temperature=0)
