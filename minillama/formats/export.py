"""Checkpoints out: what `Llama.save` writes.

In Hugging Face's layout the rows of wq and wk change places (see `rotate_halves`), a tied output is left out, and the
tokenizer is written as tokenizer.json, for a sentencepiece model as tokenizer.model too: transformers and vLLM read the
one, llama.cpp's converter the other.
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from minillama import checkpoint
from minillama.arguments import path, shown, whole
from minillama.files import written_beside
from minillama.formats.hugging_face import CONFIG, INDEX, KEYS, WEIGHTS, rotate_halves
from minillama.formats.tokenizer_files import end_ids, files_of
from minillama.int8 import is_int8
from minillama.model import Transformer
from minillama.parallel import is_shared
from minillama.tokenizer import BaseTokenizer

FORMATS = ("meta", "hf")
WEIGHTS_NAME = re.compile(  # and an older checkpoint's template, which would go before the one that is written
    r"model\.safetensors(\.index\.json)?|model-[0-9]{5}-of-[0-9]{5}\.safetensors|chat_template\.jinja"
)


def save(
    ckpt_dir, model: Transformer, tokenizer: BaseTokenizer, format: str = "meta", shards: int = 1, dtype=None
) -> None:
    """Write a checkpoint; arguments and errors as for `Llama.save`."""
    path("ckpt_dir", ckpt_dir)
    folder, shards = Path(ckpt_dir), whole("shards", shards, 1, 99_999)
    _check(folder, model, format, shards, dtype)
    if format == "hf":
        _save_hugging_face(folder, model, tokenizer, shards, dtype)
    else:
        checkpoint.save(folder, model, None, dtype, shards, files_of(tokenizer, plain=True))


def _check(folder: Path, model: Transformer, format: str, shards: int, dtype: torch.dtype | None) -> None:
    """Raise a ValueError or TypeError for what cannot be written."""
    if not isinstance(format, str) or format not in FORMATS:
        raise ValueError(f"format must be one of {FORMATS}, got {shown(format)}")
    if is_shared(model.output.weight):
        raise ValueError("several ranks share this model, none has all of it; save it from one process")
    if is_int8(model):
        raise ValueError("this model keeps its weights in 8 bits, which no format here has; build it without int8")
    args = model.params
    sizes = {"n_heads": args.n_heads, "n_kv_heads": args.n_kv_heads, "dim": args.dim,
             "feed-forward width": args.ffn_width(), "vocab_size": args.vocab_size}  # fmt: skip
    if format == "meta" and (uneven := {name: size for name, size in sizes.items() if size % shards}):
        raise ValueError(f"shards is {shards}, which does not divide {uneven}; every shard holds an equal part")
    if format == "hf" and shards > args.n_layers:
        raise ValueError(f"shards is {shards}, but the model has {args.n_layers} layers; take at most as many")
    kind = model.norm.weight.dtype if dtype is None else dtype
    if not isinstance(kind, torch.dtype) or kind not in (torch.float32, torch.float16, torch.bfloat16):
        raise ValueError(f"dtype must be torch.float32, torch.float16 or torch.bfloat16, got {shown(kind)}")
    foreign = {"meta": CONFIG, "hf": checkpoint.PARAMS}[format]
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"ckpt_dir: {str(folder)!r} is a file; expected a folder")
    if (folder / foreign).exists():
        raise ValueError(f"ckpt_dir: {str(folder)!r} holds {foreign}, another format's; take a new folder")


def _save_hugging_face(
    folder: Path, model: Transformer, tokenizer: BaseTokenizer, shards: int, dtype: torch.dtype | None
) -> None:
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise ValueError("format is 'hf'; to write it install safetensors: pip install safetensors") from None
    dtype = dtype or model.norm.weight.dtype
    state = model.state_dict()
    tied = model.output.weight.data_ptr() == model.tok_embeddings.weight.data_ptr()
    table = KEYS.names(model.params.n_layers)
    if tied:
        del table["output.weight"]
    with written_beside(folder, "ckpt_dir", WEIGHTS_NAME) as write:
        where, total = {}, 0
        for k, keys in enumerate(_parts(table, shards)):
            file = WEIGHTS if shards == 1 else f"model-{k + 1:05}-of-{shards:05}.safetensors"
            part = {table[key]: _weight(key, state[key], model.params.head_dim, dtype) for key in keys}
            write(file, partial(save_file, part, metadata={"format": "pt"}))
            where |= dict.fromkeys(part, file)
            total += sum(weight.nbytes for weight in part.values())
        contents = files_of(tokenizer, plain=False)
        contents[CONFIG] = _json(_config(model, tokenizer, tied, dtype))
        if shards > 1:
            contents[INDEX] = _json({"metadata": {"total_size": total}, "weight_map": where})
        for name, content in contents.items():
            write(name, content)


def _parts(keys, shards: int) -> list[list[str]]:
    """The keys in `shards` runs of about equally many."""
    keys = list(keys)
    cuts = [len(keys) * k // shards for k in range(shards + 1)]
    return [keys[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]


def _weight(key: str, weight: Tensor, head_dim: int, dtype: torch.dtype) -> Tensor:
    weight = weight.detach().to("cpu", dtype).contiguous()
    return rotate_halves(weight, head_dim) if key.endswith(("wq.weight", "wk.weight")) else weight


def _config(model: Transformer, tokenizer: BaseTokenizer, tied: bool, dtype: torch.dtype) -> dict:
    args = model.params
    scaling = args.rope_scaling.fields() if args.rope_scaling else None
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": args.vocab_size,
        "hidden_size": args.dim,
        "intermediate_size": args.ffn_width(),
        "num_hidden_layers": args.n_layers,
        "num_attention_heads": args.n_heads,
        "num_key_value_heads": args.n_kv_heads,
        "head_dim": args.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": args.norm_eps,
        "max_position_embeddings": model.context,
        "rope_theta": args.rope_theta,  # transformers 4, llama.cpp …
        "rope_scaling": scaling,
        "rope_parameters": (scaling or {"rope_type": "default"}) | {"rope_theta": args.rope_theta},  # … transformers 5
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        "torch_dtype": str(dtype).removeprefix("torch."),
        **end_ids(tokenizer),
    }


def _json(fields: dict) -> str:
    return json.dumps(fields, indent=2) + "\n"
