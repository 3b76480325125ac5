"""Checkpoints in Meta's layout: a folder with params.json, consolidated.00.pth (01, 02 …) and tokenizer.model.

Reading runs no code from the file (`weights_only=True`) and is strict: a missing, surplus or misshapen tensor is an
error. Other formats will each be a file beside this one; `load` is where a folder is recognised.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from minillama import parallel
from minillama.model import ModelArgs, Transformer
from minillama.shards import MergedWeight, read_shards

PARAMS, SHARD, TOKENIZER = "params.json", "consolidated.00.pth", "tokenizer.model"


def course_model() -> Path:
    """The folder of the course model: $MINILLAMA_COURSE_MODEL, else the repository's assets, else the wheel's copy."""
    package = Path(__file__).parent
    if named := os.environ.get("MINILLAMA_COURSE_MODEL"):
        return Path(named)
    in_repository = package.parent / "assets" / "course-model"
    return in_repository if in_repository.is_dir() else package / "course-model"


COURSE_MODEL = course_model()


def load(
    ckpt_dir: str | Path, vocab_size: int, device: torch.device, dtype: torch.dtype, n_ranks: int = 1
) -> Transformer:
    """The Transformer in ckpt_dir, its weights on `device` in `dtype`, without a cache.

    vocab_size is the tokenizer's; it must fit the weights. n_ranks processes share the model, each with its part of
    the weights (parallel.py). Raises ValueError for anything wrong with the folder.
    """
    folder = Path(ckpt_dir)
    args = read_params(folder)
    parallel.check_sizes(args, n_ranks)
    if args.vocab_size not in (-1, vocab_size):
        raise ValueError(
            f"tokenizer_path: the tokenizer has {vocab_size} pieces, but {PARAMS} in {str(folder)!r} says "
            f"vocab_size={args.vocab_size}; give the tokenizer.model that belongs to these weights"
        )
    args.vocab_size = vocab_size
    weights = read_weights(folder)
    rows = weights["tok_embeddings.weight"].shape[0] if "tok_embeddings.weight" in weights else vocab_size
    if rows != vocab_size:
        raise ValueError(
            f"tokenizer_path: the tokenizer has {vocab_size} pieces, but the weights in {str(folder)!r} have {rows} "
            f"embeddings; give the tokenizer.model that belongs to these weights"
        )
    if args.n_layers > len(weights):  # before so many are laid out
        found = f"n_layers={args.n_layers}, but {len(weights)} tensors"
        raise ValueError(f"ckpt_dir: {str(folder / SHARD)!r} does not fit its {PARAMS}: {found}")
    with torch.device("meta"):  # shapes only: the weights are held once, not twice
        model = Transformer(args)
    check_keys(model.state_dict(), weights, folder / SHARD)
    if n_ranks > 1:
        parallel.split(model, n_ranks, device)
    state = {key: parallel.take(weights[key], due, device, dtype) for key, due in model.state_dict().items()}
    model.load_state_dict(state, strict=True, assign=True)
    model.requires_grad_(False)
    return model.to(device)


def read_params(ckpt_dir: str | Path) -> ModelArgs:
    """ModelArgs from params.json. Raises ValueError if it is missing, broken, or has a field this model lacks."""
    path = Path(ckpt_dir) / PARAMS
    if not path.parent.is_dir():
        raise ValueError(
            f"ckpt_dir: no folder {str(path.parent)!r}; a folder with {PARAMS}, {SHARD} and {TOKENIZER} is due"
        )
    if not path.is_file():
        raise ValueError(f"ckpt_dir: {str(path.parent)!r} has no {PARAMS}; it is not a checkpoint in Meta's layout")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"ckpt_dir: {str(path)!r} is not JSON ({error})") from error
    if isinstance(fields, dict) and fields.get("use_scaled_rope") in (None, False):
        fields.pop("use_scaled_rope", None)  # Llama 3 carries it; True stretches the rotary embedding (3.1): refused
    known = {field.name for field in dataclasses.fields(ModelArgs)}
    if not isinstance(fields, dict) or not fields.keys() <= known:
        unknown = sorted(fields.keys() - known) if isinstance(fields, dict) else fields
        raise ValueError(
            f"ckpt_dir: {str(path)!r} has {unknown}, which this model does not have; known are {sorted(known)}"
        )
    try:
        return ModelArgs(**fields)
    except (TypeError, ValueError) as error:
        raise ValueError(f"ckpt_dir: {str(path)!r}: {error}") from error


def read_weights(ckpt_dir: str | Path) -> dict[str, Tensor | MergedWeight]:
    """Meta's weights by key, on the CPU, whole, mapped from the files rather than read. Errors as `load` has."""
    return read_shards(Path(ckpt_dir))


def check_keys(due: dict[str, Tensor], got: dict[str, Tensor | MergedWeight], path: Path) -> None:
    """Raise a ValueError that names the tensors which are missing, surplus or misshapen."""
    wrong = [f"{key}: shape {tuple(got[key].shape)}, due {tuple(due[key].shape)}" for key in due.keys() & got.keys()
             if due[key].shape != got[key].shape]  # fmt: skip
    for label, keys in (
        ("missing", due.keys() - got.keys()),
        ("unexpected", got.keys() - due.keys()),
        ("wrong", wrong),
    ):
        if keys:
            shown = sorted(keys)[:4]
            more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
            raise ValueError(f"ckpt_dir: {str(path)!r} does not fit its {PARAMS}: {label} {', '.join(shown)}{more}")


def save(
    ckpt_dir: str | Path, model: Transformer, tokenizer_path: str | Path, dtype: torch.dtype | None = None
) -> None:
    """Write model and tokenizer to ckpt_dir in Meta's layout; dtype None keeps the weights' own.

    Everything is written beside the folder first and moved in file by file, so that no file is ever half there.
    """
    folder = Path(ckpt_dir)
    folder.mkdir(parents=True, exist_ok=True)
    fields = dataclasses.asdict(model.params) | {"max_seq_len": model.context}
    params = {k: v for k, v in fields.items() if v is not None and k != "max_batch_size"}
    state = {key: t.detach().to("cpu", dtype or t.dtype).clone() for key, t in model.state_dict().items()}
    with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
        (Path(beside) / PARAMS).write_text(json.dumps(params, indent=2) + "\n", encoding="utf-8")
        torch.save(state, Path(beside) / SHARD)
        with contextlib.suppress(shutil.SameFileError):
            shutil.copyfile(tokenizer_path, Path(beside) / TOKENIZER)
        for name in (TOKENIZER, PARAMS, SHARD):
            os.replace(Path(beside) / name, folder / name)
