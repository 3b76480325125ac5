"""Checkpoints in Meta's layout: a folder with params.json, consolidated.00.pth (01, 02 …) and tokenizer.model.

Reading runs no code from the file (`weights_only=True`) and is strict: a missing, surplus or misshapen tensor is an
error. What other programs write is read in `formats/`; `load` takes any `Reader`, and knows none of them.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from minillama import parallel
from minillama.arguments import shown
from minillama.files import listed, read_json, written_beside
from minillama.int8 import Int8Linear, quantize, to_int8
from minillama.model import ModelArgs, Transformer
from minillama.rope import LLAMA_3_1
from minillama.shards import SHARD_NAME, SPLIT_DIM, last_word, read_shards
from minillama.stored import StoredWeight
from minillama.tokenizer import BaseTokenizer, Tokenizer

PARAMS, SHARD, TOKENIZER = "params.json", "consolidated.00.pth", "tokenizer.model"
MOST_TOKENS = 2**20  # of a vocabulary
LONGEST = 2**20  # tokens of a cache: a table of rotations is made for each
COPIED = 2**30  # bytes of weights; up to here nothing that happens to the files later reaches a model
# Meta's params.json does not say how long the context is, but for whom it was written: by (use_scaled_rope, rope_theta)
CONTEXTS = {(True, 500000.0): 131072, (False, 500000.0): 8192, (False, 1000000.0): 16384}  # Llama 3.1, 3, Code Llama
CONTEXT = 4096  # Llama 2


def course_model() -> Path:
    """The folder of the course model: $MINILLAMA_COURSE_MODEL, else that of the course's own."""
    named = os.environ.get("MINILLAMA_COURSE_MODEL")
    return Path(named) if named else own_model()


def own_model() -> Path:
    """The folder of the model that comes with the course: in the repository's assets, else the wheel's copy."""
    package = Path(__file__).parent
    in_repository = package.parent / "assets" / "course-model"
    return in_repository if in_repository.is_dir() else package / "course-model"


COURSE_MODEL = course_model()


class Reader(Protocol):
    """What `load` asks of a checkpoint, in whatever layout it is. `formats.recognise` finds the reader for a path.

    Only the sizes are read at first. Each member raises ValueError, which names the file, for anything wrong with what
    it reads.
    """

    path: Path  # the folder or file
    weights_path: Path  # the folder or file that has the weights, for messages
    sizes_in: str  # what the sizes are written in: "params.json"
    args: ModelArgs  # vocab_size -1 if only the tokenizer knows it; max_seq_len is the checkpoint's context

    def tokenizer(self, path: str | Path | None = None) -> BaseTokenizer:
        """The one that belongs to the weights, or the one at `path`.

        It has the checkpoint's chat_format and stop_ids, which `Llama.save` writes again.
        """
        ...

    def weights(self) -> Mapping[str, StoredWeight]:
        """A weight for each of Meta's keys, read when it is sliced; its `kind` is the type that is stored.

        A tied output is the very object that tok_embeddings is.
        """
        ...


class MetaFolder(Reader):
    """A folder in Meta's layout."""

    sizes_in = PARAMS

    def __init__(self, folder: str | Path):
        self.path, self.args = Path(folder), read_params(folder)
        self.weights_path = self.path / SHARD

    def tokenizer(self, path: str | Path | None = None) -> BaseTokenizer:
        """As in Meta's download, the tokenizer may lie beside the folder instead of in it."""
        above = self.path.resolve().parent / TOKENIZER
        found = above if above.is_file() and not (self.path / TOKENIZER).is_file() else self.path / TOKENIZER
        return Tokenizer(path or found)

    def weights(self) -> Mapping[str, StoredWeight]:
        return read_weights(self.path)


def load(
    reader: Reader,
    vocab_size: int,
    device: torch.device,
    dtype: torch.dtype | None,
    n_ranks: int = 1,
    max_seq_len: int | None = None,
    int8: bool = False,
) -> Transformer:
    """The Transformer that `reader` has found, on `device` in `dtype` (None: `default_dtype`), without a cache.

    vocab_size is the tokenizer's: it may have a few tokens more or fewer than the weights have rows. n_ranks processes
    share the model, each with its part of the weights (parallel.py). max_seq_len: how many positions will be read, for
    rotations are made for so many; None for the checkpoint's context. int8: each matrix of a linear layer is rounded to
    8 bits before the next one is read. Raises ValueError for anything wrong with the checkpoint.

    >>> load(MetaFolder(COURSE_MODEL), 2048, torch.device("cpu"), torch.float32)  # doctest: +SKIP
    """
    where, dtype = f"{reader.sizes_in} in {str(reader.path)!r}", dtype or default_dtype(device)
    parallel.check_sizes(reader.args, n_ranks)
    if reader.args.vocab_size != -1:
        check_fit(vocab_size, reader.args.vocab_size, where)
    args = dataclasses.replace(reader.args, max_seq_len=max_seq_len or reader.args.max_seq_len)
    if args.max_seq_len > LONGEST:
        context = f"{where} says that the context has {reader.args.max_seq_len} tokens"
        raise ValueError(f"max_seq_len must be at most {LONGEST}, got {args.max_seq_len} ({context})")
    weights = reader.weights()
    if args.vocab_size == -1:
        rows = weights["tok_embeddings.weight"].shape[0] if "tok_embeddings.weight" in weights else vocab_size
        check_fit(vocab_size, rows, f"the weights in {str(reader.path)!r}")
        args = dataclasses.replace(args, vocab_size=rows)
    if args.n_layers > len(weights):  # before that many are created
        found = f"n_layers={args.n_layers}, but {len(weights)} tensors"
        raise ValueError(f"ckpt_dir: {str(reader.weights_path)!r} does not fit its {reader.sizes_in}: {found}")
    try:
        with torch.device("meta"), Unfilled():  # shapes only: the weights are held once, not twice
            model = Transformer(args)
    except (RuntimeError, TypeError, OverflowError) as error:  # from 2**63 on a size is no number of torch's
        reason = str(error).splitlines()[0]
        raise ValueError(f"ckpt_dir: {where} claims sizes that no memory holds ({reason})") from error
    model.context = reader.args.max_seq_len
    check_keys(model.state_dict(), weights, reader.weights_path, reader.sizes_in)
    if n_ranks > 1:
        parallel.split(model, n_ranks, device)
    is_small = sum(weight.nbytes for weight in weights.values()) <= COPIED
    state: dict[str, Tensor] = {}
    parameters = model.state_dict()
    model = to_int8(model) if int8 else model  # shapes only, too
    for key, parameter in parameters.items():  # one weight at a time
        tied = key == "output.weight" and weights[key] is weights["tok_embeddings.weight"]
        name = key.removesuffix(".weight")
        if isinstance(model.get_submodule(name), Int8Linear):
            state[key], state[f"{name}.scale"] = quantize(weights[key][...].to(device), torch.bfloat16)
        elif tied and n_ranks == 1:  # held once; ranks split the two along different axes
            state[key] = state["tok_embeddings.weight"]
        else:
            copy = is_small and weights[key].is_view
            state[key] = parallel.take(weights[key], parameter, device, dtype, copy=copy)
    model.load_state_dict(state, strict=True, assign=True)
    model.requires_grad_(False)
    return model.to(device)


class Unfilled(TorchFunctionMode):
    """Inside, new weights get no random numbers: on the meta device that would import torch's compiler, a second."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        fills = getattr(function, "__module__", "") == "torch.nn.init"
        return None if fills else function(*args, **kwargs or {})


def default_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU that has it, float16 on another GPU, float32 elsewhere."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def check_fit(n_tokens: int, n_rows: int, where: str, path: Path | None = None) -> None:
    """Raise a ValueError if a tokenizer of n_tokens (in the file `path`) cannot belong to weights of n_rows.

    Rows are padded to a round number, or a token was added: but if one has twice what the other has, or more than
    MOST_TOKENS, they are of different models.
    """
    if 0 < n_rows <= min(2 * n_tokens, MOST_TOKENS) and n_tokens <= 2 * n_rows:
        return
    name = "the tokenizer" if path is None else repr(str(path))
    raise ValueError(
        f"tokenizer_path: {name} has {n_tokens} tokens, but vocab_size={n_rows} according to {where}; give the "
        f"tokenizer that belongs to these weights"
    )


def read_params(ckpt_dir: str | Path) -> ModelArgs:
    """ModelArgs from params.json. Raises ValueError if it is missing, broken, or has a field this model lacks."""
    path = Path(ckpt_dir) / PARAMS
    fields = read_json(path)
    is_scaled = fields.pop("use_scaled_rope", None) or False
    if not isinstance(is_scaled, bool) or (is_scaled and "rope_scaling" in fields):
        beside = " beside a rope_scaling" if "rope_scaling" in fields else ""
        raise ValueError(
            f"ckpt_dir: {str(path)!r}: use_scaled_rope is {shown(is_scaled)}{beside}; expected true or false"
        )
    if is_scaled:  # Llama 3.1; later files of Meta's may name two of the numbers
        names = {"rope_scaling_factor": "factor", "rope_high_freq_factor": "high_freq_factor"}
        given = {ours: fields.pop(theirs) for theirs, ours in names.items() if theirs in fields}
        given = {name: value for name, value in given.items() if value is not None}
        fields["rope_scaling"] = LLAMA_3_1.fields() | given
    if "max_seq_len" not in fields:
        theta = fields.get("rope_theta")
        fields["max_seq_len"] = CONTEXTS.get((is_scaled, theta), CONTEXT) if isinstance(theta, float | int) else CONTEXT
    known = {field.name for field in dataclasses.fields(ModelArgs)}
    if unknown := sorted(fields.keys() - known):
        raise ValueError(
            f"ckpt_dir: {str(path)!r} has {shown(unknown)}, which this model does not have; known are {sorted(known)}"
        )
    try:
        args = ModelArgs(**fields)
        args.ffn_width()  # may be larger than any number
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"ckpt_dir: {str(path)!r}: {error}") from error
    return args


def read_weights(ckpt_dir: str | Path) -> dict[str, StoredWeight]:
    """Meta's weights by key, on the CPU, whole, mapped from the files rather than read. Errors as `load` has.

    Do not change the files in place while these are in use, and do not cut them short (the process would end with
    SIGBUS), but write new ones and move them over the old, as `save` does. A model of at most COPIED bytes copies them;
    a larger one, in the files' own dtype on a CPU, goes on using the mapped files.
    """
    return read_shards(Path(ckpt_dir))


def check_keys(
    expected: Mapping[str, Tensor], got: Mapping[str, StoredWeight], path: Path, sizes_in: str = PARAMS
) -> None:
    """Raise a ValueError that names the tensors which are missing, surplus or misshapen."""
    wrong = [f"{key}: expected the shape {tuple(expected[key].shape)}, got {tuple(got[key].shape)}"
             for key in expected.keys() & got.keys() if expected[key].shape != got[key].shape]  # fmt: skip
    for label, keys in (
        ("missing", expected.keys() - got.keys()),
        ("unexpected", got.keys() - expected.keys()),
        ("wrong", wrong),
    ):
        if keys:
            raise ValueError(f"ckpt_dir: {str(path)!r} does not fit its {sizes_in}: {label} {listed(keys)}")


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
    fields = dataclasses.asdict(model.params) | {"max_seq_len": model.context, "rope_scaling": None}
    if model.params.rope_scaling == LLAMA_3_1:
        fields["use_scaled_rope"] = True  # as Meta's code reads it
    elif model.params.rope_scaling is not None:
        fields["rope_scaling"] = model.params.rope_scaling.fields()
    params = {k: v for k, v in fields.items() if v is not None and k != "max_batch_size"}
    with written_beside(Path(ckpt_dir), "ckpt_dir", SHARD_NAME) as write:
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
