"""Checkpoints in Hugging Face's layout: a folder with config.json, safetensors files and a tokenizer.

One `model.safetensors`, or several with `model.safetensors.index.json`, which says where each tensor is. The names
differ from Meta's, and so does the order of the rows of wq and wk (see `adjacent_pairs`). Only `model_type`
"llama" is read, and whatever this model does not compute (biases, quantised weights, rotary embeddings that are scaled
in other ways than rope.py's) is refused by its name. What config.json leaves out is what transformers takes for it.
Format of the files: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor

from minillama.checkpoint import Reader
from minillama.files import listed, one_line, read_json
from minillama.formats.names import KeyTable
from minillama.formats.tokenizer_files import read_tokenizer
from minillama.model import ModelArgs
from minillama.rope import RopeScaling
from minillama.shards import without_wrappers
from minillama.stored import StoredWeight
from minillama.tokenizer import BaseTokenizer

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
NUMBERED = re.compile(r"model-([0-9]{5})-of-([0-9]{5})\.safetensors")
HEAD, EMBEDDINGS = "lm_head.weight", "model.embed_tokens.weight"
LARGEST_HEADER = 16 * 2**20  # bytes; that of the largest Llama 2 has 80 000
DTYPES = {"F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2), "F64": ("float64", 8)}
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
DEFAULTS = {"norm_eps": 1e-6, "max_seq_len": 2048, "n_kv_heads": None}  # as transformers; the rest must be there
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
        stored, n_layers, flag = self._stored(), self.args.n_layers, self.config.get("tie_word_embeddings")
        if flag and {HEAD, EMBEDDINGS} <= stored.keys() and _equal(stored[HEAD], stored[EMBEDDINGS]):
            del stored[HEAD]
        tied = HEAD not in stored and (flag is None or bool(flag))  # without a word the weights allow nothing else
        try:
            table = KEYS.match(stored.keys(), n_layers, f"{CONFIG} says {n_layers}", tied)
        except ValueError as error:
            raise self._error(str(error)) from None
        for key, theirs in table.items():
            if key.endswith(("wq.weight", "wk.weight")) and len(stored[theirs].shape) == 2:
                stored[theirs] = adjacent_pairs(stored[theirs], self.args.head_dim)
        return {key: stored[theirs] for key, theirs in table.items()}

    def _error(self, what: str) -> ValueError:
        return ValueError(f"ckpt_dir: {str(self.path)!r} {one_line(what, 600)}")

    def _stored(self) -> dict[str, StoredWeight]:
        """All tensors, named as transformers names them, without the tables of rotations that old files carry.

        Files may lack the "model." of the whole model, or have words that wrappers of training put between.
        """
        stored: dict[str, StoredWeight] = {}
        for file, names in self._files().items():
            found = read_safetensors(self.path / file)
            if names - found.keys():
                raise self._error(f"has {file} without {listed(names - found.keys())}, which {INDEX} places there; "
                                  f"is it of another model?")  # fmt: skip
            for key, weight in found.items():
                key = without_wrappers(key)
                key = f"model.{key}" if key.startswith(("embed_tokens.", "layers.", "norm.")) else key
                if key in stored:
                    raise self._error(f"has {key} twice, the second in {file}; copy it again")
                stored[key] = weight
        return {key: weight for key, weight in stored.items() if not key.endswith("rotary_emb.inv_freq")}

    def _files(self) -> dict[str, set[str]]:
        """The safetensors files, each with the tensors that the index, if it is needed, places there."""
        if (self.path / WEIGHTS).is_file():
            return {WEIGHTS: set()}
        if not (self.path / INDEX).is_file():
            names = sorted(path.name for path in self.path.iterdir())
            numbered = [(name, int(match[1]), int(match[2])) for name in names if (match := NUMBERED.fullmatch(name))]
            if numbered and [number for _, number, _ in numbered] == list(range(1, numbered[0][2] + 1)):
                return {name: set() for name, _, _ in numbered}  # their names say that they are all there are
            some = f" and not all of {numbered[0][2]} numbered files" if numbered else ""
            raise self._error(f"has no {WEIGHTS}, no {INDEX}{some}{what_to_do(names, str(self.path))}")
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


def _equal(one: StoredWeight, other: StoredWeight, at_once: int = 1024) -> bool:
    """Whether two matrices hold the same numbers; read by `at_once` rows."""
    starts = range(0, one.shape[0], at_once)
    return one.shape == other.shape and all(
        torch.equal(one[start : start + at_once], other[start : start + at_once]) for start in starts
    )


def what_to_do(names: Collection[str], place: str) -> str:
    """Advice on the weights among these files' names, in forms that are not read from `place`, a folder or hub id."""
    ggufs = [name for name in names if name.endswith(".gguf")]
    pickled = [name for name in names if name.endswith((".bin", ".pt", ".pth")) and "model" in name]
    if ggufs:
        return f"; it has {listed(ggufs)}: give the path of that file as ckpt_dir"
    if pickled:
        save = f"transformers.AutoModelForCausalLM.from_pretrained({place!r}).save_pretrained('another folder')"
        return f"; it has {listed(pickled)}: pickled weights are not read, save them as safetensors: {save}"
    return ""


def model_args(config: Mapping, path: Path) -> ModelArgs:
    """ModelArgs from the fields of config.json. Raises ValueError naming whatever this model does not compute."""

    def refuse(what: str):
        raise ValueError(f"ckpt_dir: {str(path)!r} has {one_line(what)}, which this model does not compute")

    if config.get("model_type") != "llama":
        refuse(f"model_type {config.get('model_type')!r} (only 'llama' is read)")
    if config.get("quantization_config"):
        refuse("a quantization_config")
    if config.get("hidden_act") not in (None, "silu", "swish"):  # two names of one function
        refuse(f"hidden_act {config['hidden_act']!r}")
    for name in ("attention_bias", "mlp_bias"):
        if config.get(name):
            refuse(name)
    name = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"  # transformers 4 and 5, in its order
    rope = config.get(name) or {}
    if not isinstance(rope, dict) or any(isinstance(each, dict) for each in rope.values()):
        refuse(f"{name} {rope!r}")
    if (part := rope.get("partial_rotary_factor", config.get("partial_rotary_factor"))) not in (None, 1):
        refuse(f"partial_rotary_factor {part!r}")
    given = {ours: config[theirs] for ours, theirs in SIZES.items() if config.get(theirs) is not None}
    if missing := [theirs for ours, theirs in SIZES.items() if ours not in given and ours not in DEFAULTS]:
        raise ValueError(f"ckpt_dir: {str(path)!r} lacks {listed(missing)}; it is no complete {CONFIG}")
    sizes = DEFAULTS | given
    thetas = (rope.get("rope_theta"), config.get("rope_theta"), 10000.0)
    sizes["rope_theta"] = next(theta for theta in thetas if theta is not None)
    kind = rope.get("rope_type", rope.get("type")) or "default"
    if kind not in ("default", "linear", "llama3"):
        refuse(f"{name} {rope!r} (only 'default', 'linear' and 'llama3' are read)")
    try:
        if kind != "default":
            sizes["rope_scaling"] = _scaling(kind, rope, config, sizes["max_seq_len"])
        args = ModelArgs(**sizes)
    except ValueError as error:
        raise ValueError(f"ckpt_dir: {str(path)!r}: {error}") from error
    if config.get("head_dim") not in (None, args.head_dim):
        refuse(f"head_dim {config['head_dim']!r} beside a hidden_size of {args.dim} and {args.n_heads} heads")
    return args


def _scaling(kind: str, rope: Mapping, config: Mapping, context: int) -> RopeScaling:
    """The fields in `rope`; like transformers, the original context is looked for in three places."""
    if kind == "linear":
        return RopeScaling(kind, 1.0 if rope.get("factor") is None else rope["factor"])
    original = "original_max_position_embeddings"
    if missing := [name for name in ("factor", "low_freq_factor", "high_freq_factor") if rope.get(name) is None]:
        raise ValueError(f"rope_type is 'llama3' without {listed(missing)}")
    length = next(each for each in (config.get(original), rope.get(original), context) if each is not None)
    return RopeScaling(kind, rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"], length)


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
        raise ValueError(f"ckpt_dir: {str(path)!r} is broken or cut off; copy it again ({one_line(error)})") from error
    weights = {}
    for key, part in slices.items():
        shape, dtype = part.get_shape(), part.get_dtype()
        if dtype not in DTYPES:
            raise ValueError(
                f"ckpt_dir: {str(path)!r} holds {one_line(key)!r} as {dtype}; {', '.join(DTYPES)} are read"
            )
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
