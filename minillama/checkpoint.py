"""Checkpoints in Meta's layout: a folder with params.json, consolidated.00.pth (01, 02 …) and tokenizer.model.

Reading runs no code from the file (`weights_only=True`) and is strict: a missing, surplus or misshapen tensor is an
error. Each other format is a file beside this one (`checkpoint_hf.py`, `checkpoint_gguf.py`); `recognise` tells them
apart, and from there on `load` treats them alike.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from minillama import parallel, tokenizer_bpe
from minillama.checkpoint_gguf import GGUFFile, begins_as_gguf
from minillama.checkpoint_hf import CONFIG, HuggingFaceFolder
from minillama.files import read_json, written_beside
from minillama.model import ModelArgs, Transformer
from minillama.shards import SHARD_NAME, SPLIT_DIM, MergedWeight, last_word, read_shards
from minillama.stored import StoredWeight
from minillama.tokenizer import Tokenizer

PARAMS, SHARD, TOKENIZER = "params.json", "consolidated.00.pth", "tokenizer.model"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
LONGEST = 2**20  # tokens of a context: a table of rotations is made for each
Weight = Tensor | MergedWeight | StoredWeight


def course_model() -> Path:
    """The folder of the course model: $MINILLAMA_COURSE_MODEL, else the repository's assets, else the wheel's copy."""
    package = Path(__file__).parent
    if named := os.environ.get("MINILLAMA_COURSE_MODEL"):
        return Path(named)
    in_repository = package.parent / "assets" / "course-model"
    return in_repository if in_repository.is_dir() else package / "course-model"


COURSE_MODEL = course_model()


class MetaFolder:
    """A folder in Meta's layout. The readers of the other formats have the same members, and promise the same.

    Nothing but the sizes is read at first. Each raises ValueError for anything wrong with what it reads.
    """

    sizes_in = PARAMS

    def __init__(self, folder: Path):
        self.path, self.weights_path, self.args = folder, folder / SHARD, read_params(folder)

    def tokenizer(self, path: str | Path | None = None):
        """The one that belongs to the weights, or the one at `path`."""
        if path is None and (self.path / tokenizer_bpe.JSON).is_file():
            return tokenizer_bpe.read_tokenizer(self.path, self.args.vocab_size, {})
        path = path or self.path / TOKENIZER
        is_json = str(path).endswith(".json")
        return tokenizer_bpe.read_tokenizer_file(path, self.args.vocab_size) if is_json else Tokenizer(path)

    def weights(self) -> dict[str, Weight]:
        """A weight for each key, read when it is sliced."""
        return read_weights(self.path)


def recognise(ckpt_dir: str | Path) -> MetaFolder | HuggingFaceFolder | GGUFFile:
    """The reader for what is at ckpt_dir: a folder of Meta's or Hugging Face's, a GGUF file, or a hub id "owner/name".

    Raises ValueError if it is none of these.
    """
    path = Path(ckpt_dir)
    if not path.exists() and HUB_ID.fullmatch(str(ckpt_dir)):
        path = download(str(ckpt_dir))
    if path.is_file() and (path.suffix == ".gguf" or begins_as_gguf(path)):
        return GGUFFile(path)
    if (path / CONFIG).is_file() and not (path / PARAMS).is_file():
        return HuggingFaceFolder(path)
    return MetaFolder(path)


def load(
    ckpt_dir: str | Path | MetaFolder | HuggingFaceFolder | GGUFFile,
    vocab_size: int,
    device: torch.device,
    dtype: torch.dtype,
    n_ranks: int = 1,
) -> Transformer:
    """The Transformer in ckpt_dir (or in what `recognise` made of it), on `device` in `dtype`, without a cache.

    vocab_size is the tokenizer's; it must fit the weights. n_ranks processes share the model, each with its part of
    the weights (parallel.py). Raises ValueError for anything wrong with the checkpoint.
    """
    source = recognise(ckpt_dir) if isinstance(ckpt_dir, str | os.PathLike) else ckpt_dir
    args, where = dataclasses.replace(source.args), f"{source.sizes_in} in {str(source.path)!r}"
    parallel.check_sizes(args, n_ranks)
    if args.vocab_size not in (-1, vocab_size):
        raise ValueError(
            f"tokenizer_path: the tokenizer has {vocab_size} pieces, but {where} says "
            f"vocab_size={args.vocab_size}; give the tokenizer that belongs to these weights"
        )
    if args.max_seq_len > LONGEST:
        raise ValueError(f"ckpt_dir: {where} claims a context of {args.max_seq_len}; at most {LONGEST} can be true")
    args.vocab_size = vocab_size
    weights = source.weights()
    rows = weights["tok_embeddings.weight"].shape[0] if "tok_embeddings.weight" in weights else vocab_size
    if rows != vocab_size:
        raise ValueError(
            f"tokenizer_path: the tokenizer has {vocab_size} pieces, but the weights in {str(source.path)!r} have "
            f"{rows} embeddings; give the tokenizer that belongs to these weights"
        )
    if args.n_layers > len(weights):  # before so many are laid out
        found = f"n_layers={args.n_layers}, but {len(weights)} tensors"
        raise ValueError(f"ckpt_dir: {str(source.weights_path)!r} does not fit its {source.sizes_in}: {found}")
    try:
        with torch.device("meta"):  # shapes only: the weights are held once, not twice
            model = Transformer(args)
    except RuntimeError as error:
        raise ValueError(f"ckpt_dir: {where} claims sizes that no memory holds ({error})") from error
    check_keys(model.state_dict(), weights, source.weights_path, source.sizes_in)
    if n_ranks > 1:
        parallel.split(model, n_ranks, device)
    state: dict[str, Tensor] = {}
    for key, due in model.state_dict().items():  # one weight at a time
        tied = key == "output.weight" and weights[key] is weights["tok_embeddings.weight"]
        if tied and n_ranks == 1:  # held once; ranks split the two along different axes
            state[key] = state["tok_embeddings.weight"]
        else:
            state[key] = parallel.take(weights[key], due, device, dtype)
    model.load_state_dict(state, strict=True, assign=True)
    model.requires_grad_(False)
    return model.to(device)


def download(hub_id: str) -> Path:
    """The folder of "owner/name" from the Hugging Face hub, or from the copy that was fetched before."""
    try:
        import huggingface_hub
    except ImportError:
        raise ValueError(
            f"ckpt_dir: no folder or file {hub_id!r}; to take it for the id of a model on the Hugging Face hub install "
            f"huggingface_hub: pip install huggingface_hub"
        ) from None
    wanted = ["*.json", "*.safetensors", "tokenizer.model", tokenizer_bpe.TEMPLATE]  # nothing that could hold code
    try:
        return Path(huggingface_hub.snapshot_download(hub_id, allow_patterns=wanted))
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"ckpt_dir: no folder or file {hub_id!r}, and as the id of a model on the Hugging Face hub it was not "
            f"found ({reason})"
        ) from error


def read_params(ckpt_dir: str | Path) -> ModelArgs:
    """ModelArgs from params.json. Raises ValueError if it is missing, broken, or has a field this model lacks."""
    path = Path(ckpt_dir) / PARAMS
    if not path.parent.is_dir():
        raise ValueError(
            f"ckpt_dir: no folder {str(path.parent)!r}; due is a folder with {PARAMS}, {SHARD} and {TOKENIZER} (Meta), "
            f"a folder with {CONFIG} and safetensors files (Hugging Face), or a .gguf file"
        )
    if not path.is_file():
        raise ValueError(f"ckpt_dir: {str(path.parent)!r} has no {PARAMS} and no {CONFIG}; it is no checkpoint")
    fields = read_json(path)
    if fields.get("use_scaled_rope") in (None, False):
        fields.pop("use_scaled_rope", None)  # Llama 3 carries it; True stretches the rotary embedding (3.1): refused
    known = {field.name for field in dataclasses.fields(ModelArgs)}
    if unknown := sorted(fields.keys() - known):
        raise ValueError(
            f"ckpt_dir: {str(path)!r} has {unknown}, which this model does not have; known are {sorted(known)}"
        )
    try:
        return ModelArgs(**fields)
    except (TypeError, ValueError) as error:
        raise ValueError(f"ckpt_dir: {str(path)!r}: {error}") from error


def read_weights(ckpt_dir: str | Path) -> dict[str, Weight]:
    """Meta's weights by key, on the CPU, whole, mapped from the files rather than read. Errors as `load` has."""
    return read_shards(Path(ckpt_dir))


def check_keys(due: dict[str, Tensor], got: dict[str, Weight], path: Path, sizes_in: str = PARAMS) -> None:
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
            raise ValueError(f"ckpt_dir: {str(path)!r} does not fit its {sizes_in}: {label} {', '.join(shown)}{more}")


def save(
    ckpt_dir: str | Path,
    model: Transformer,
    tokenizer_path: str | Path | None,
    dtype: torch.dtype | None = None,
    shards: int = 1,
    extra: dict[str, str | bytes] | None = None,
) -> None:
    """Write model and tokenizer to ckpt_dir in Meta's layout; dtype None keeps the weights' own.

    Everything is written beside the folder first and moved in file by file, so that no file is ever half there.
    extra: the contents of further files by name; with tokenizer_path None the tokenizer is among them. Raises OSError
    naming the file and the reason if the disk takes no more.
    """
    fields = dataclasses.asdict(model.params) | {"max_seq_len": model.context}
    params = {k: v for k, v in fields.items() if v is not None and k != "max_batch_size"}
    with written_beside(Path(ckpt_dir), SHARD_NAME) as write:
        write(PARAMS, json.dumps(params, indent=2) + "\n")
        for rank in range(shards):
            state = {key: part_of(key, t, rank, shards, dtype) for key, t in model.state_dict().items()}
            write(f"consolidated.{rank:02}.pth", partial(save_state, state))
        if tokenizer_path is not None:
            write(TOKENIZER, Path(tokenizer_path).read_bytes())
        for name, content in (extra or {}).items():
            write(name, content)


def part_of(key: str, weight: Tensor, rank: int, shards: int, dtype: torch.dtype | None) -> Tensor:
    """What shard `rank` of `shards` holds of a weight, on the CPU, in a memory of its own."""
    dim = SPLIT_DIM[last_word(key)]
    part = weight if dim is None or shards == 1 else weight.chunk(shards, dim)[rank]
    part = part.detach().to("cpu", dtype or weight.dtype).contiguous()
    return part if part.nbytes == part.untyped_storage().nbytes() else part.clone()  # no part drags the whole along


def save_state(state: dict[str, Tensor], path: Path) -> None:
    """torch.save, which is silent about why it failed unless the file was opened by somebody else."""
    with path.open("wb") as file:
        torch.save(state, file)
