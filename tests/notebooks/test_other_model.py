"""Every notebook runs with another model than the course's own, and says where that one had to stand in for it."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from minillama import Llama
from tests.kernels import PATIENT
from tests.notebooks.conftest import NAMES, NOTEBOOKS
from tests.notebooks.test_run import code_cells, shown, swallowed_errors

STANDS_IN = "the course's own model stands in"
KNOWN = "has no known_probabilities.json, so the comparison with it is left out"
SHORT = "has room for 96 tokens, and this notebook needs 256"
SHORTER = "has room for 96 tokens, and this notebook needs 400"
ALWAYS = {"06": [KNOWN], "10": [KNOWN], "11": [KNOWN], "12": [SHORT, KNOWN], "17": [KNOWN], "18": [SHORTER]}


def tiny(folder, write_checkpoint, _):
    """As Meta's are, down to vocab_size -1, and small; its weights mean nothing."""
    write_checkpoint(folder)


def no_bytes(folder, write_checkpoint, train_tokenizer):
    """A vocabulary of sixty pieces, none of them Chinese: the rest is <unk>."""
    lines = ["the cat sat on the mat, once upon a time, there was a little girl"]
    few = train_tokenizer(folder.parent, lines, 60, byte_fallback=False, hard_vocab_limit=False)
    write_checkpoint(folder, tokenizer=few)


def odd_sizes(folder, write_checkpoint, _):
    """Unused rows, three heads that share one, few layers and units, the tokenizer beside the folder."""
    sizes = {"dim": 36, "n_layers": 1, "n_heads": 3, "n_kv_heads": 1, "hidden_dim": 47}
    write_checkpoint(folder, **sizes)
    weights = torch.load(folder / "consolidated.00.pth", weights_only=True)
    for key in ("tok_embeddings.weight", "output.weight"):
        weights[key] = torch.cat([weights[key], torch.zeros(48, 36)])
    torch.save(weights, folder / "consolidated.00.pth")
    shutil.move(folder / "tokenizer.model", folder.parent)


def two_files(folder, write_checkpoint, _):
    """Weights in two files, in bfloat16, and a longer context than the default of params.json."""
    write_checkpoint(folder)
    params = json.loads((folder / "params.json").read_text())
    (folder / "params.json").write_text(json.dumps({k: v for k, v in params.items() if k != "max_seq_len"}))
    Llama.build(folder, device="cpu").save(folder, shards=2, dtype=torch.bfloat16)


def another_chat(folder, write_checkpoint, _):
    """A tokenizer.json, with a chat template that lays out no dialog."""
    write_checkpoint(folder)
    Llama.build(folder, device="cpu").save(folder.parent / "hf", format="hf")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder.parent / "hf" / name, folder)
    (folder / "tokenizer.model").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = "{{ raise_exception('No.') }}"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def hugging_face(folder, write_checkpoint, _):
    """Not in Meta's layout at all."""
    write_checkpoint(folder.parent / "meta")
    Llama.build(folder.parent / "meta", device="cpu").save(folder, format="hf")


def run(name, folder, tmp_path, monkeypatch) -> str:
    """What all cells of a notebook show, run with the model in a folder."""
    monkeypatch.setenv("MINILLAMA_COURSE_MODEL", str(folder))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    NotebookClient(notebook, **PATIENT, resources={"metadata": {"path": tmp_path}}).execute()
    assert swallowed_errors(notebook) == []
    return "\n".join(map(shown, code_cells(notebook)))


def stood_in(text: str) -> list[str]:
    """Why the course's own model stood in, each time."""
    lines = [line for line in text.splitlines() if STANDS_IN in line]
    return [line.removeprefix("This model ").removesuffix(f": {STANDS_IN}.") for line in lines]


@pytest.fixture
def made(tmp_path, write_checkpoint, train_tokenizer):
    """made(kind): a model of this kind, in a folder whose name has a space and no Latin letters."""

    def make(kind) -> Path:
        folder = tmp_path / "my models" / "另一个"
        folder.parent.mkdir()
        kind(folder, write_checkpoint, train_tokenizer)
        return folder

    return make


@pytest.mark.parametrize("number", ["03", "06", "10"])
def test_notebooks_that_lean_on_the_model(number, made, tmp_path, monkeypatch):
    name = next(each for each in NAMES if each.startswith(number))
    text = run(name, made(tiny), tmp_path, monkeypatch)
    assert stood_in(text) == ALWAYS.get(number, [])


@pytest.mark.full
def test_every_notebook(name, made, tmp_path, monkeypatch):
    text = run(name, made(tiny), tmp_path, monkeypatch)
    assert stood_in(text) == ALWAYS.get(name[:2], [])


@pytest.mark.full
@pytest.mark.parametrize(
    ("kind", "number", "reasons"),
    [
        (no_bytes, "01", ["has a vocabulary that cannot spell every text"]),
        (no_bytes, "04", []),
        (no_bytes, "10", [KNOWN]),
        (no_bytes, "11", ["has a vocabulary that cannot spell every text", KNOWN]),
        (no_bytes, "16", []),
        (odd_sizes, "01", []),
        (odd_sizes, "02", []),
        (odd_sizes, "03", ["has no tokenizer.model in its folder"]),
        (odd_sizes, "04", []),
        (odd_sizes, "05", []),
        (odd_sizes, "13", ["has heads or hidden units that 2 ranks cannot share"]),
        (odd_sizes, "14", []),
        (odd_sizes, "15", []),
        (odd_sizes, "16", []),
        (two_files, "03", ["has its weights in 2 files, which are the subject of notebook 13"]),
        (two_files, "05", []),
        (two_files, "12", [KNOWN]),
        (two_files, "13", []),
        (two_files, "18", []),
        (another_chat, "00", []),
        (another_chat, "01", ["has no tokenizer.model"]),
        (another_chat, "02", []),
        (another_chat, "09", []),
        (another_chat, "11", [KNOWN]),
        (another_chat, "16", []),
        (hugging_face, "00", []),
        (hugging_face, "01", []),
        (hugging_face, "03", ["has no params.json"]),
        (hugging_face, "06", [KNOWN]),
        (hugging_face, "13", []),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_odd_models(kind, number, reasons, made, tmp_path, monkeypatch):
    name = next(each for each in NAMES if each.startswith(number))
    assert stood_in(run(name, made(kind), tmp_path, monkeypatch)) == reasons
