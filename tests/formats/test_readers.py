"""Which reader is taken for what; and the arrows: the course's own code never depends on a foreign format."""

import ast
import shutil
from pathlib import Path

import pytest

import minillama
from minillama.checkpoint import MetaFolder
from minillama.formats import recognise
from minillama.formats.bpe import BPETokenizer
from minillama.formats.tokenizer_files import from_sentencepiece

PACKAGE = Path(minillama.__file__).parent
MAY_IMPORT_FORMATS = {"generation.py", "doctor.py", "__main__.py", "check/real_models.py"}


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


def test_every_weight_says_what_is_stored(checkpoint):
    weights = recognise(checkpoint.folder).weights()
    assert {weight.kind for weight in weights.values()} == {"float32"}
    assert all(weight.nbytes == 4 * weight.shape.numel() for weight in weights.values())


def imported(path):
    """The modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_only_build_and_save_come_to_the_formats():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith("formats/") and any(each.startswith("minillama.formats") for each in imported(path)):
            found.add(name)
    assert found <= MAY_IMPORT_FORMATS and "generation.py" in found
