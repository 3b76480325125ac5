"""Reading Meta's layout: the weights are the weights; what is wrong with a folder is named, and runs no code."""

import contextlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from minillama import COURSE_MODEL, Llama, Tokenizer
from minillama.checkpoint import MetaFolder, course_model, load, read_params, read_weights, save

REPOSITORY = Path(__file__).resolve().parent.parent
FILES = ["consolidated.00.pth", "params.json", "tokenizer.model"]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def greedy(llama):
    return llama.generate([[1, 300], [1, 301, 302]], 8, temperature=0, logprobs=True)


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy of the checkpoint, to be broken."""
    return Path(shutil.copytree(checkpoint.folder, tmp_path / "copy"))


# ---- reading -------------------------------------------------------------------------------------------------------


def test_a_checkpoint_of_metas_is_read(checkpoint):
    """Its rope.freqs are ignored, its vocab_size of -1 is the tokenizer's, its weights are the weights."""
    assert "rope.freqs" in torch.load(checkpoint.folder / FILES[0], weights_only=True)
    model = load(MetaFolder(checkpoint.folder), 400, torch.device("cpu"), torch.float32)
    assert model.params.vocab_size == 400 and model.params.hidden_dim == 48 and model.params.n_kv_heads == 2
    state = model.state_dict()
    assert state.keys() == checkpoint.model.state_dict().keys()
    assert all(torch.equal(state[key], tensor) for key, tensor in checkpoint.model.state_dict().items())
    assert not any(weight.requires_grad for weight in model.parameters())


def test_a_built_llama_computes_what_the_model_does(checkpoint, llama):
    tokens = torch.tensor([[1, 300, 301, 302]])
    with torch.no_grad():
        torch.testing.assert_close(llama.model(tokens, 0), checkpoint.model(tokens, 0), rtol=0, atol=1e-5)


def test_sizes_of_the_cache(checkpoint, folder):
    def shape(path, **sizes):
        return tuple(Llama.build(path, device="cpu", **sizes).model.layers[0].attention.cache.k.shape[:2])

    assert shape(checkpoint.folder) == (8, 96)
    assert shape(checkpoint.folder, max_seq_len=10, max_batch_size=2) == (2, 10)
    assert shape(checkpoint.folder, max_seq_len=200) == (8, 200)
    params = json.loads((folder / "params.json").read_text())
    (folder / "params.json").write_text(json.dumps(params | {"max_seq_len": 4096}))
    assert shape(folder, max_batch_size=1) == (1, 2048)
    del params["max_seq_len"]
    (folder / "params.json").write_text(json.dumps(params))
    assert shape(folder, max_batch_size=1) == (1, 2048)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_dtype(checkpoint, dtype):
    llama = Llama.build(checkpoint.folder, device="cpu", dtype=dtype)
    assert {tensor.dtype for tensor in llama.model.state_dict().values()} == {dtype}
    assert llama.model.layers[0].attention.cache.k.dtype == dtype
    assert llama.model.freqs_cis.dtype == torch.complex64
    (tokens, _), (_, logprobs) = greedy(llama), llama.generate([[1, 300]], 0, logprobs=True, echo=True)
    assert len(tokens) == 2 and logprobs[0][1] < 0


def test_on_a_cpu_float32_is_the_default(checkpoint, folder, tokenizer_path):
    save(folder, checkpoint.model, tokenizer_path, torch.float16)
    assert Llama.build(folder, device="cpu").model.norm.weight.dtype == torch.float32


def test_another_tokenizer_path(folder, tokenizer_path, llama):
    (folder / "tokenizer.model").unlink()
    assert greedy(Llama.build(folder, tokenizer_path, device="cpu")) == greedy(llama)
    assert greedy(Llama.build(str(folder), str(tokenizer_path), device="cpu")) == greedy(llama)


# ---- what is wrong with a folder -----------------------------------------------------------------------------------


def check_refusal(folder, *words, tokenizer_path=None):
    """Llama.build raises exactly ValueError, which has these words, and writes nothing."""
    before = files(folder) if folder.is_dir() else None
    with pytest.raises(ValueError) as caught:
        Llama.build(folder, tokenizer_path, device="cpu")
    assert type(caught.value) is ValueError
    for word in words:
        assert word in str(caught.value), f"{word!r} is missing in {str(caught.value)!r}"
    assert before is None or files(folder) == before


def test_a_missing_folder(tmp_path):
    check_refusal(tmp_path / "nowhere", "ckpt_dir", "nowhere", "params.json", "consolidated.00.pth", "tokenizer.model")


def test_a_file_for_a_folder(folder):
    check_refusal(folder / "params.json", "ckpt_dir", "no folder")


def test_an_empty_folder(tmp_path):
    check_refusal(tmp_path, "ckpt_dir", str(tmp_path), "no params.json")


@pytest.mark.parametrize("content", [b"", b"{", b"{'dim': 32}", b"\xff\xfe", b"dim=32"])
def test_params_that_are_not_json(folder, content):
    (folder / "params.json").write_bytes(content)
    check_refusal(folder, "ckpt_dir", "params.json", "not JSON")


@pytest.mark.parametrize("content", ["[1, 2]", "5", '"text"', "null"])
def test_params_that_are_no_table(folder, content):
    (folder / "params.json").write_text(content)
    check_refusal(folder, "ckpt_dir", "params.json")


@pytest.mark.parametrize("depth", [33, 500, 950, 100_000])
def test_deeply_nested_params(folder, checkpoint, depth):
    text = json.dumps(checkpoint.params | {"dim": "here"})
    (folder / "params.json").write_text(text.replace('"here"', "[" * depth + "]" * depth))
    check_refusal(folder, "ckpt_dir", "params.json", "nested more than 32 levels deep")


def test_params_with_a_field_that_this_model_lacks(folder, checkpoint):
    (folder / "params.json").write_text(json.dumps(checkpoint.params | {"sliding_window": 4096}))
    check_refusal(folder, "ckpt_dir", "params.json", "sliding_window", "known are", "rope_theta")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("dim", value) for value in (0, -32, 32.0, "32", None, 31, True)),
        *(("n_heads", value) for value in (0, 3, 32, "4")),
        *(("n_kv_heads", value) for value in (0, 3, 8, "2")),
        *(("n_layers", value) for value in (0, 1.5, None)),
        *(("max_seq_len", value) for value in (0, "96")),
        *(("multiple_of", value) for value in (0, "256")),
        *(("hidden_dim", value) for value in (0, -5, 48.5, "48", True)),
        *(("rope_theta", value) for value in (0, -1.0, "x", None)),
        *(("norm_eps", value) for value in (-1, "x", None)),
        *(("vocab_size", value) for value in (0, -2, "400", None)),
        *(("ffn_dim_multiplier", value) for value in (-3.0, "x")),
    ],
)
def test_params_that_no_model_can_have(folder, checkpoint, field, value):
    params = checkpoint.params | {field: value}
    if field == "ffn_dim_multiplier":
        del params["hidden_dim"]
    (folder / "params.json").write_text(json.dumps(params))
    check_refusal(folder, "params.json", field, repr(value))


def test_no_weights(folder):
    (folder / FILES[0]).unlink()
    check_refusal(folder, "ckpt_dir", str(folder), "no consolidated.*.pth", "consolidated.00.pth")


@pytest.mark.parametrize("left", [0, 1, 100, 0.5, -1, -100])
def test_weights_that_are_cut_off(folder, left):
    data = (folder / FILES[0]).read_bytes()
    (folder / FILES[0]).write_bytes(data[: int(left * len(data)) if left == 0.5 else left])
    check_refusal(folder, "ckpt_dir", FILES[0])


def test_weights_that_are_noise(folder):
    (folder / FILES[0]).write_bytes(os.urandom(1000))
    check_refusal(folder, "ckpt_dir", FILES[0])


@pytest.mark.parametrize("content", [[torch.ones(2)], torch.ones(2), {"model": {"norm.weight": torch.ones(2)}}, 5, {}])
def test_weights_that_are_no_table_of_tensors(folder, content):
    torch.save(content, folder / FILES[0])
    check_refusal(folder, "ckpt_dir", FILES[0])


@pytest.fixture
def edit(folder):
    """edit(change): let change(state) alter the weights in the folder."""

    def change_weights(change):
        state = torch.load(folder / FILES[0], weights_only=True)
        change(state)
        torch.save(state, folder / "new")
        os.replace(folder / "new", folder / FILES[0])  # a file in use is mapped, and must not be written to
        return folder

    return change_weights


def test_a_missing_weight(edit):
    check_refusal(edit(lambda state: state.pop("layers.1.ffn_norm.weight")), "missing layers.1.ffn_norm.weight")


def test_an_unexpected_weight(edit):
    folder = edit(lambda state: state.update({"layers.2.ffn_norm.weight": torch.ones(32)}))
    check_refusal(folder, "unexpected layers.2.ffn_norm.weight", "params.json")


def test_a_weight_of_the_wrong_shape(edit):
    folder = edit(lambda state: state.update({"layers.0.attention.wk.weight": torch.ones(32, 32)}))
    check_refusal(folder, "layers.0.attention.wk.weight", "expected the shape (16, 32), got (32, 32)")


def test_many_wrong_weights_are_not_all_listed(edit):
    folder = edit(lambda state: [state.pop(key) for key in list(state) if "layers" in key])
    check_refusal(folder, "missing", "and 14 more")


def test_more_than_one_shard(folder):
    shutil.copy(folder / FILES[0], folder / "consolidated.01.pth")
    check_refusal(folder, "ckpt_dir", "the whole model", "has 2 of them", FILES[0])


class Intruder:
    """Writes a file when it is unpickled carelessly."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.write_text, (self.target, "ran"))


@pytest.mark.parametrize("where", ["in place of a tensor", "beside the tensors", "a bare pickle"])
def test_no_code_in_a_checkpoint_is_run(folder, tmp_path, where):
    target = tmp_path / "intruder"
    state = torch.load(folder / FILES[0], weights_only=True)
    state["norm.weight" if where == "in place of a tensor" else "extra"] = Intruder(target)
    if where == "a bare pickle":
        (folder / FILES[0]).write_bytes(pickle.dumps({"extra": Intruder(target)}))
    else:
        torch.save(state, folder / FILES[0])
    check_refusal(folder, "ckpt_dir", FILES[0])
    assert not target.exists()
    with pytest.raises(ValueError) as caught:
        Llama.build(folder, device="cpu")
    assert "weights_only" not in str(caught.value)  # torch's own message says how to run the code after all
    with contextlib.suppress(RuntimeError):  # so that the test is known to test something
        torch.load(folder / FILES[0], weights_only=False)
    assert target.read_text() == "ran"


def test_no_tokenizer(folder):
    (folder / "tokenizer.model").unlink()
    check_refusal(folder, "no tokenizer at", str(folder / "tokenizer.model"), "sentencepiece")
    check_refusal(folder, "no tokenizer at", "nowhere", tokenizer_path=folder / "nowhere")


@pytest.mark.parametrize("content", [b"", b"no tokenizer", b"\x00" * 500])
def test_a_broken_tokenizer(folder, content):
    (folder / "tokenizer.model").write_bytes(content)
    check_refusal(folder, str(folder / "tokenizer.model"), "not a sentencepiece model")


def test_a_tokenizer_of_another_model(folder, checkpoint):
    """Whether params.json says how many tokens there are or, as Meta's, leaves it to the tokenizer."""
    other = COURSE_MODEL / "tokenizer.model"
    tokens = f"{Tokenizer(other).n_words} tokens"
    check_refusal(folder, "tokenizer_path", tokens, "vocab_size=400", tokenizer_path=other)
    (folder / "params.json").write_text(json.dumps(checkpoint.params | {"vocab_size": 400}))
    check_refusal(folder, "tokenizer_path", "vocab_size=400", tokenizer_path=other)


def test_a_refused_folder_leaves_a_built_llama_alone(folder, edit):
    mine = Llama.build(folder, device="cpu")
    due = greedy(mine)
    check_refusal(edit(lambda state: state.pop("norm.weight")), "missing norm.weight")
    assert greedy(mine) == due


def test_the_parts_refuse_as_build_does(tmp_path):
    with pytest.raises(ValueError, match="ckpt_dir"):
        read_params(tmp_path)
    with pytest.raises(ValueError, match="ckpt_dir"):
        read_weights(tmp_path)


# ---- the course model ----------------------------------------------------------------------------------------------


def in_another_process(code, **variables):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | variables
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_course_model_may_be_named_by_a_variable(checkpoint, llama):
    """An import needs neither jupyter nor matplotlib; building needs neither torch's compiler nor a temporary file.

    The compiler took 0.9 s of the first build, and made a folder: where none can be made, every build failed.
    """
    code = """
import json, sys, tempfile
tempfile.gettempdir = tempfile.mkdtemp = tempfile.mkstemp = None
from minillama import COURSE_MODEL, Llama
print(COURSE_MODEL)
print(json.dumps(Llama.build(device="cpu").generate([[1, 300]], 8, temperature=0)))
heavy = ("IPython", "ipywidgets", "matplotlib", "torch._dynamo", "torch._inductor", "sympy")
print([name for name in heavy if name in sys.modules])
"""
    path, result, imported = in_another_process(code, MINILLAMA_COURSE_MODEL=str(checkpoint.folder))
    assert path == str(checkpoint.folder) and imported == "[]"
    assert tuple(json.loads(result)) == llama.generate([[1, 300]], 8, temperature=0)


def test_else_it_is_the_repositorys_or_the_wheels(monkeypatch):
    in_repository, in_wheel = REPOSITORY / "assets" / "course-model", REPOSITORY / "minillama" / "course-model"
    due = in_repository if in_repository.is_dir() else in_wheel
    monkeypatch.setenv("MINILLAMA_COURSE_MODEL", "")
    assert course_model() == due
    monkeypatch.delenv("MINILLAMA_COURSE_MODEL")
    assert course_model() == due
    monkeypatch.setenv("MINILLAMA_COURSE_MODEL", "/somewhere/else")
    assert course_model() == Path("/somewhere/else")
    monkeypatch.delenv("MINILLAMA_COURSE_MODEL")
    monkeypatch.setattr(Path, "is_dir", lambda path: False)
    assert course_model() == in_wheel
