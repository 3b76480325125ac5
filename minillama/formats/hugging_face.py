"""Checkpoints in Hugging Face's layout: a folder with config.json, safetensors files and a tokenizer.

One `model.safetensors`, or several with `model.safetensors.index.json`, which says where each tensor is. The names
differ from Meta's, and so does the order of the rows of wq and wk (see `adjacent_pairs`). Only `model_type`
"llama" is read, and whatever this model does not compute (biases, scaled rotary embeddings, quantised weights) is
refused by its name. Format of the files: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from minillama.checkpoint import Reader
from minillama.files import listed, read_json
from minillama.formats.names import KeyTable
from minillama.formats.tokenizer_files import read_tokenizer
from minillama.model import ModelArgs
from minillama.stored import StoredWeight
from minillama.tokenizer import BaseTokenizer

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
LARGEST_HEADER = 16 * 2**20  # bytes; that of the largest Llama 2 has 80 000
DTYPES = {"F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2)}
SIZES = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "vocab_size": "vocab_size",
    "hidden_dim": "intermediate_size",
    "norm_eps": "rms_norm_eps",
    "max_seq_len": "max_position_embeddings",
}
KEYS = KeyTable(
    layers="model.layers",
    outer={"tok_embeddings": "model.embed_tokens", "norm": "model.norm", "output": "lm_head"},
    inner={
        "attention_norm": "input_layernorm",
        "attention.wq": "self_attn.q_proj",
        "attention.wk": "self_attn.k_proj",
        "attention.wv": "self_attn.v_proj",
        "attention.wo": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
        "feed_forward.w1": "mlp.gate_proj",
        "feed_forward.w2": "mlp.down_proj",
        "feed_forward.w3": "mlp.up_proj",
    },
)


class HuggingFaceFolder(Reader):
    """A folder in Hugging Face's layout. Raises ValueError for anything wrong with it."""

    sizes_in = CONFIG

    def __init__(self, folder: str | Path):
        self.path = self.weights_path = Path(folder)
        self.config = read_json(self.path / CONFIG)
        self.args = model_args(self.config, self.path / CONFIG)

    def tokenizer(self, path: str | Path | None = None) -> BaseTokenizer:
        """tokenizer.model where it has as many tokens as the weights, else tokenizer.json; or the one at `path`."""
        return read_tokenizer(self.path, self.args.vocab_size, self.config, path)

    def weights(self) -> dict[str, StoredWeight]:
        """A weight for each of Meta's keys. A tied output is the very object that tok_embeddings is."""
        stored, n_layers, tied = self._stored(), self.args.n_layers, bool(self.config.get("tie_word_embeddings"))
        if tied:
            stored.pop("lm_head.weight", None)
        try:
            table = KEYS.match(stored.keys(), n_layers, f"{CONFIG} says {n_layers}", tied)
        except ValueError as error:
            raise self._error(str(error)) from None
        for key, theirs in table.items():
            if key.endswith(("wq.weight", "wk.weight")) and len(stored[theirs].shape) == 2:
                stored[theirs] = adjacent_pairs(stored[theirs], self.args.head_dim)
        return {key: stored[theirs] for key, theirs in table.items()}

    def _error(self, what: str) -> ValueError:
        return ValueError(f"ckpt_dir: {str(self.path)!r} {what}")

    def _stored(self) -> dict[str, StoredWeight]:
        """All tensors by their names in the files, without the tables of rotations that old files carry."""
        stored: dict[str, StoredWeight] = {}
        for file, names in self._files().items():
            found = read_safetensors(self.path / file)
            if names - found.keys():
                raise self._error(f"has {file} without {listed(names - found.keys())}, which {INDEX} places there; "
                                  f"is it of another model?")  # fmt: skip
            if twice := stored.keys() & found.keys():
                raise self._error(f"has {listed(twice)} in two files; copy it again")
            stored |= found
        return {key: weight for key, weight in stored.items() if not key.endswith("rotary_emb.inv_freq")}

    def _files(self) -> dict[str, set[str]]:
        """The safetensors files, each with the tensors that the index, if there is one, places there."""
        if not (self.path / INDEX).is_file():
            if not (self.path / WEIGHTS).is_file():
                pickled = any(self.path.glob("pytorch_model*.bin"))
                hint = "; pickled weights (pytorch_model.bin) are not read, save them as safetensors" if pickled else ""
                raise self._error(f"has no {WEIGHTS} and no {INDEX}{hint}")
            return {WEIGHTS: set()}
        places = read_json(self.path / INDEX).get("weight_map")
        if not isinstance(places, dict) or not places:
            raise self._error(f"has no weight_map in its {INDEX}; copy it again")
        files: dict[str, set[str]] = {}
        for key, file in places.items():
            inside = isinstance(file, str) and Path(file).name == file and "\\" not in file
            if not inside or not file.endswith(".safetensors"):
                raise self._error(f"has an {INDEX} that names {file!r}; expected a safetensors file beside it")
            files.setdefault(file, set()).add(key)
        if missing := [file for file in files if not (self.path / file).is_file()]:
            raise self._error(f"lacks {listed(missing)}, which {INDEX} names")
        return files


def model_args(config: Mapping, path: Path) -> ModelArgs:
    """ModelArgs from the fields of config.json. Raises ValueError naming whatever this model does not compute."""

    def refuse(what: str):
        raise ValueError(f"ckpt_dir: {str(path)!r} has {what}, which this model does not compute")

    if config.get("model_type") != "llama":
        refuse(f"model_type {config.get('model_type')!r} (only 'llama' is read)")
    if "quantization_config" in config:
        refuse("a quantization_config")
    if config.get("hidden_act", "silu") != "silu":
        refuse(f"hidden_act {config['hidden_act']!r}")
    for name in ("attention_bias", "mlp_bias"):
        if config.get(name):
            refuse(name)
    rope = config.get("rope_parameters") or {}  # transformers 5; 4 had rope_theta and rope_scaling
    for name, scaling in (("rope_parameters", rope), ("rope_scaling", config.get("rope_scaling") or {})):
        plain = isinstance(scaling, dict) and not any(isinstance(each, dict) for each in scaling.values())
        if not plain or scaling.get("rope_type", scaling.get("type", "default")) != "default":
            refuse(f"{name} {scaling!r}")
    sizes = {ours: config[theirs] for ours, theirs in SIZES.items() if config.get(theirs) is not None}
    if missing := [theirs for ours, theirs in SIZES.items() if ours not in sizes and ours != "n_kv_heads"]:
        raise ValueError(f"ckpt_dir: {str(path)!r} lacks {listed(missing)}; it is no complete {CONFIG}")
    theta = config.get("rope_theta", 10000.0)
    try:
        args = ModelArgs(**sizes, rope_theta=rope.get("rope_theta", theta))
    except ValueError as error:
        raise ValueError(f"ckpt_dir: {str(path)!r}: {error}") from error
    if config.get("head_dim") not in (None, args.head_dim):
        refuse(f"head_dim {config['head_dim']!r} beside a hidden_size of {args.dim} and {args.n_heads} heads")
    if rope.get("partial_rotary_factor", 1) != 1:
        refuse(f"partial_rotary_factor {rope['partial_rotary_factor']!r}")
    return args


def read_safetensors(path: Path) -> dict[str, StoredWeight]:
    """The tensors of one file by name, unread. Raises ValueError if the file is broken or no safetensors file."""
    try:
        import safetensors
    except ImportError:
        raise ValueError(f"ckpt_dir: to read {str(path)!r} install safetensors: pip install safetensors") from None
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if size < 8 or not 2 <= header <= min(size - 8, LARGEST_HEADER):
        raise ValueError(
            f"ckpt_dir: {str(path)!r} has {size} bytes and claims a header of {header} (at most {LARGEST_HEADER} are "
            f"read); it is cut off or no safetensors file"
        )
    try:
        file = safetensors.safe_open(path, framework="pt")
        slices = {key: file.get_slice(key) for key in file.keys()}
    except Exception as error:
        raise ValueError(f"ckpt_dir: {str(path)!r} is broken or cut off; copy it again ({error})") from error
    weights = {}
    for key, part in slices.items():
        shape, dtype = part.get_shape(), part.get_dtype()
        if dtype not in DTYPES:
            raise ValueError(f"ckpt_dir: {str(path)!r} holds {key!r} as {dtype}; {', '.join(DTYPES)} are read")
        name, itemsize = DTYPES[dtype]
        weights[key] = StoredWeight(shape, name, itemsize * math.prod(shape), lambda *index, part=part: part[index])
    return weights


def adjacent_pairs(weight: StoredWeight, head_dim: int) -> StoredWeight:
    """wq or wk as Hugging Face stores it, its rows in Meta's order.

    In each head Hugging Face turns the rows i and i + head_dim / 2 together, Meta the rows 2i and 2i + 1.
    """

    def read(rows: slice, columns: slice) -> Tensor:
        first, last = rows.start // head_dim * head_dim, -(-rows.stop // head_dim) * head_dim  # whole heads
        part = weight[first:last, columns]  # (n heads * head_dim, n columns)
        part = part.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)
        return part[rows.start - first : rows.stop - first]

    return StoredWeight(weight.shape, weight.kind, weight.nbytes, read)


def rotate_halves(weight: Tensor, head_dim: int) -> Tensor:
    """The other way: wq or wk with Meta's rows (n_heads * head_dim, dim), in Hugging Face's order."""
    return weight.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2).flatten(0, 2).contiguous()
