"""Small, sound checkpoints in every format that is read, as the contents of their files: what the campaign breaks."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from io import BytesIO
from pathlib import Path

import gguf
import torch

from minillama import ModelArgs, Tokenizer, Transformer
from minillama.formats import export, sentencepiece_model
from minillama.formats.bpe import BPETokenizer, byte_alphabet
from minillama.formats.gguf_tokenizer import byte_level_bpe
from minillama.tokenizer import BaseTokenizer
from tests import gguf_files

GGUF = "model.gguf"
SIZES = {"dim": 8, "n_layers": 2, "n_heads": 2, "n_kv_heads": 2, "hidden_dim": 12, "max_seq_len": 64}
WORDS = ["▁", *"etaonihsrdlu", "▁t", "he", "▁the", "in", "▁a", "▁cat", "c", "a▁", "[", "]", "INST", "猫", "▁▁", "1"]
PAIRS = ["t h", "th e", "Ġ a", "i n", "Ġ c", "a t", "Ġ the", "Ġc at"]  # of the byte-level one, in order
SPECIAL = ["<|end|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = "{% for m in messages %}{{ m.role + ': ' + m.content + '<|end|>' }}{% endfor %}{{ 'assistant:' }}"
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)


def model(n_words: int, **sizes) -> Transformer:
    """A random model, always the same; its weights are large enough for texts to depend on all of them."""
    generator = torch.Generator().manual_seed(0)
    made = Transformer(ModelArgs(**SIZES | sizes, vocab_size=n_words)).requires_grad_(False)
    for weight in made.parameters():
        if weight.dim() == 1:
            torch.nn.init.uniform_(weight, 0.5, 1.5, generator=generator)
        else:
            torch.nn.init.normal_(weight, 0, 1.5 * weight.shape[1] ** -0.5, generator=generator)
    return made


def pieces() -> tuple[list[str], list[float], list[int]]:
    """Tokens, scores and types of a sentencepiece model: control pieces, bytes, words."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *WORDS]
    types = [2, 3, 3, *[6] * 256, *[1] * len(WORDS)]
    return tokens, [float(-i) for i in range(len(tokens))], types


def sentencepiece() -> Tokenizer:
    return Tokenizer(sentencepiece_model.written(*pieces(), bos_id=1, eos_id=2))


def byte_level() -> tuple[BPETokenizer, list[str], list[int]]:
    """A byte-level tokenizer, its tokens and their types."""
    tokens = [*SPECIAL, *byte_alphabet(), *(pair.replace(" ", "") for pair in PAIRS)]
    types = [3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL))
    made = byte_level_bpe(tokens, PAIRS, types, "gpt-2")
    return BPETokenizer(made, len(tokens), 1, 2, begins=False), tokens, types


def gguf_file(path: Path, network: Transformer, kind: gguf.GGMLQuantizationType, tokenizer: dict) -> None:
    """A GGUF file; tokenizer: the metadata behind "tokenizer."."""
    writer = gguf.GGUFWriter(path, "llama")
    gguf_files.add_sizes(writer, network.params)
    add = {str: writer.add_string, bool: writer.add_bool, int: writer.add_uint32, list: writer.add_array}
    for key, value in tokenizer.items():
        add[type(value)](f"tokenizer.{key}", value)
    gguf_files.add_weights(writer, network, kind)
    gguf_files.write(writer)


def _saved(network: Transformer, tokenizer: BaseTokenizer, *how) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        export.save(folder, network, tokenizer, *how)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _gguf(*content) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        gguf_file(Path(folder) / GGUF, *content)
        return {GGUF: (Path(folder) / GGUF).read_bytes()}


def _json(fields: dict) -> bytes:
    return json.dumps(fields, indent=2).encode()


@cache
def originals() -> dict[str, dict[str, bytes]]:
    """The files of each sound checkpoint, by name."""
    plain = sentencepiece()
    bpe, tokens, types = byte_level()
    small, other = model(plain.n_words), model(bpe.n_words, n_kv_heads=1)
    made = {"meta": _saved(small, plain, "meta"), "meta-shards": _saved(small, plain, "meta", 2)}
    old = BytesIO()
    torch.save(small.state_dict(), old, _use_new_zipfile_serialization=False)
    made["meta-old"] = made["meta"] | {"consolidated.00.pth": old.getvalue()}
    made["hf"] = _saved(small, plain, "hf", 1, torch.float16)
    made["hf-bpe"] = _saved(other, bpe, "hf", 2)
    settings = {"bos_token": SPECIAL[1], "eos_token": {"content": SPECIAL[2]}, "add_bos_token": False}
    settings["added_tokens_decoder"] = {str(i): {"content": name, "special": True} for i, name in enumerate(SPECIAL)}
    made["hf-bpe"] |= {
        "tokenizer_config.json": _json(settings),
        "special_tokens_map.json": _json({"bos_token": SPECIAL[1], "eos_token": SPECIAL[2]}),
        "added_tokens.json": _json({name: i for i, name in enumerate(SPECIAL)}),
        "chat_template.jinja": TEMPLATE.encode(),
    }
    strings, scores, kinds = pieces()
    ggml = {"ggml.model": "llama", "ggml.tokens": strings, "ggml.scores": scores, "ggml.token_type": kinds,
            "ggml.bos_token_id": 1, "ggml.eos_token_id": 2, "ggml.add_space_prefix": True}  # fmt: skip
    made["gguf"] = _gguf(small, gguf.GGMLQuantizationType.F16, ggml)
    ggml = {"ggml.model": "gpt2", "ggml.pre": "smollm", "ggml.tokens": tokens, "ggml.merges": PAIRS,
            "ggml.token_type": types, "ggml.bos_token_id": 1, "ggml.eos_token_id": 2}  # fmt: skip
    ggml["chat_template"] = CHATML
    wide = model(bpe.n_words, dim=32, hidden_dim=32, n_layers=1)
    made["gguf-bpe"] = _gguf(wide, gguf.GGMLQuantizationType.Q8_0, ggml)
    return made


def place(folder: Path, files: dict[str, bytes]) -> Path:
    """Write the files to a folder; what to give to `Llama.build`."""
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder / GGUF if GGUF in files else folder
