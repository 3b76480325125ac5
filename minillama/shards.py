"""Meta's checkpoints in several files: how each weight is split over them, and how to read it as if it were whole.

consolidated.00.pth, consolidated.01.pth … hold the same keys: of every matrix each file has one part, the parts in the
files' order; norms are whole in each. Llama 2 comes in 1, 2 or 8 files (7B, 13B, 70B), one for each GPU it ran on.
"""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path

import torch
from torch import Tensor

from minillama import pth
from minillama.files import one_line
from minillama.stored import MergedWeight

SPLIT_DIM = {  # the axis along which the parts of a weight lie side by side; None: every file holds it whole
    "tok_embeddings": 1,  # a part of every embedding; Llama 3 has 0, the whole embeddings of a part of the tokens
    "wq": 0,  # axis 0 is the output's: whole heads, whole hidden units, whole tokens …
    "wk": 0,
    "wv": 0,
    "wo": 1,  # … and axis 1 the input's: what those heads and hidden units add
    "w1": 0,
    "w3": 0,
    "w2": 1,
    "output": 0,
    "attention_norm": None,
    "ffn_norm": None,
    "norm": None,
}  # SPLIT_DIM[last_word(key)]
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
LONGEST_NAME = 200  # characters
SUMMED = 2**30  # bytes; up to here checksums cost a fifth of a second at most
WQ = "layers.0.attention.wq.weight"
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}  # what torch calls them
SHARD_NAME = re.compile(r"consolidated\.([0-9]+)\.pth")


def last_word(key: str) -> str:
    """'layers.0.attention.wo.weight' -> 'wo'"""
    return key.removesuffix(".weight").rpartition(".")[2]


def without_wrappers(key: str) -> str:
    """The key as the model has it: training in parallel or compiled saves it with further words.

    >>> without_wrappers("module._orig_mod.layers.0.attention.wo.weight")
    'layers.0.attention.wo.weight'
    """
    return ".".join(word for word in key.split(".") if word not in WRAPPERS)


def read_shards(folder: Path) -> dict[str, MergedWeight]:
    """The weights in folder/consolidated.NN.pth by key, mapped from the files: nothing is read before it is sliced.

    Raises ValueError, which names the file, where
    one is missing, broken, holds more than tensors, or does not belong to the others.
    """
    paths = _numbered(folder)
    shards = [_read(path) for path in paths]
    _check_count(paths, shards[0])
    for path, shard in zip(paths[1:], shards[1:], strict=True):
        _check_pair(paths[0], shards[0], path, shard)
    return {key: _merge(key, shards, paths[0]) for key in shards[0]}


def check_sums(folder: Path) -> None:
    """Compare all that the shards in a folder hold with their checksums, which reads all of it.

    Raises ValueError naming the file. `read_shards` does so for files of at most SUMMED bytes.
    """
    for path in _numbered(folder):
        try:
            pth.check_sums(path)
        except ValueError as error:
            raise ValueError(f"ckpt_dir: {str(path)!r} {one_line(error)}") from None


def _numbered(folder: Path) -> list[Path]:
    """The shards in the order of their numbers, which must be 0, 1, 2 …"""
    numbers = {path: SHARD_NAME.fullmatch(path.name) for path in folder.glob("consolidated.*.pth")}
    paths = sorted((path for path, number in numbers.items() if number), key=lambda path: int(numbers[path][1]))
    if not paths:
        raise ValueError(f"ckpt_dir: {str(folder)!r} has no consolidated.*.pth; expected consolidated.00.pth")
    for k, path in enumerate(paths):
        if int(numbers[path][1]) != k:
            raise ValueError(
                f"ckpt_dir: {str(folder)!r} has {path.name}; expected consolidated.{k:02}.pth: "
                f"the numbers of the shards must be 00, 01, 02 … without a gap: copy all of them again"
            )
    return paths


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors in one file, mapped from it unless torch wrote it before 2020. No code from the file is run."""
    if not path.is_file():
        raise ValueError(f"ckpt_dir: {str(path)!r} is no file")
    try:
        is_zip = pth.check(path)
        if path.stat().st_size <= SUMMED:
            pth.check_sums(path)
    except ValueError as error:
        raise ValueError(f"ckpt_dir: {str(path)!r} {one_line(error)}") from None
    try:
        with warnings.catch_warnings():  # about a pickle's protocol; what follows reads the file right or refuses it
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            state = torch.load(path, map_location="cpu", mmap=is_zip, weights_only=True)
    except pickle.UnpicklingError:  # torch's own advice is to trust the file
        raise ValueError(f"ckpt_dir: {str(path)!r} holds more than tensors and was refused unread") from None
    except Exception as error:
        raise ValueError(f"ckpt_dir: {str(path)!r} is broken or cut off; copy it again ({one_line(error)})") from error
    if not isinstance(state, dict) or not all(_is_name(k) and isinstance(t, Tensor) for k, t in state.items()):
        raise ValueError(f"ckpt_dir: {str(path)!r} is not a table of tensors; expected one tensor for each parameter")
    if twice := len(state) - len(state := {without_wrappers(key): tensor for key, tensor in state.items()}):
        raise ValueError(f"ckpt_dir: {str(path)!r} holds {twice} tensors twice, under a wrapper's name and without")
    state.pop("rope.freqs", None)  # Meta's files carry it; freqs_cis is computed
    for key, tensor in state.items():
        if tensor.dtype not in FLOATS or tensor.layout != torch.strided:
            allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in FLOATS)
            raise ValueError(
                f"ckpt_dir: {str(path)!r}: {key} is a {tensor.layout} of {tensor.dtype}; expected a dense tensor of "
                f"{allowed}"
            )
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError(f"ckpt_dir: {str(path)!r}: {key} claims {tuple(tensor.shape)}, more than the file holds")
    return state


def _is_name(key: object) -> bool:
    return isinstance(key, str) and key.isprintable() and len(key) < LONGEST_NAME


def _check_count(paths: list[Path], first: dict[str, Tensor]) -> None:
    """wq is square in a whole model, so that its part tells how many there must be."""
    part = first.get(WQ)
    if part is None or part.dim() != 2 or 0 in part.shape or part.shape[1] % part.shape[0]:
        return  # then check_keys finds what is wrong
    expected = part.shape[1] // part.shape[0]
    if expected != len(paths):
        holds = "the whole model" if expected == 1 else f"one of {expected} parts of a model"
        last = f"consolidated.{expected - 1:02}.pth"
        files = "consolidated.00.pth alone" if expected == 1 else f"consolidated.00.pth to {last}"
        raise ValueError(
            f"ckpt_dir: {str(paths[0])!r} holds {holds}, but {str(paths[0].parent)!r} has {len(paths)} of them; "
            f"expected {files}"
        )


def _check_pair(first_path: Path, first: dict[str, Tensor], path: Path, shard: dict[str, Tensor]) -> None:
    """Raise a ValueError unless both files can be parts of one model."""

    def refuse(why: str):
        raise ValueError(f"ckpt_dir: {str(path)!r} and {first_path.name} are not two shards of one model: {why}")

    for key in sorted(shard.keys() ^ first.keys()):
        refuse(f"only {(path if key in shard else first_path).name} has {key}")
    for key, tensor in first.items():
        if shard[key].shape != tensor.shape:
            refuse(f"{key} is {tuple(shard[key].shape)} and {tuple(tensor.shape)}, expected equal parts")
        if shard[key].dtype != tensor.dtype:
            refuse(f"{key} is {shard[key].dtype} and {tensor.dtype}")
        if SPLIT_DIM.get(last_word(key), 0) is None and not torch.equal(shard[key], tensor):
            refuse(f"their {key} differ, which every shard of a model holds alike")
        if key == WQ and tensor[:1].any() and torch.equal(shard[key][:1], tensor[:1]):
            refuse("both hold the same part; copy one of them again")


def _merge(key: str, shards: list[dict[str, Tensor]], path: Path) -> MergedWeight:
    first = shards[0][key]
    if len(shards) == 1:
        return MergedWeight([first])
    if last_word(key) not in SPLIT_DIM:
        raise ValueError(f"ckpt_dir: {str(path)!r} has {key}, which is no weight of this model")
    dim = SPLIT_DIM[last_word(key)]
    if dim is None:
        return MergedWeight([first])
    if first.dim() != 2:
        raise ValueError(f"ckpt_dir: {str(path)!r}: {key} has the shape {tuple(first.shape)}; expected a matrix")
    norm = shards[0].get("norm.weight")
    if key == "tok_embeddings.weight" and norm is not None and first.shape[1:] == norm.shape:
        dim = 0  # as wide as a norm: the whole embeddings of a part of the tokens
    return MergedWeight([shard[key] for shard in shards], dim)
