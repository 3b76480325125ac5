"""One model in several processes, started by torchrun: tensor parallelism.

    torchrun --nproc_per_node 2 -m minillama complete "Once upon a time"

Each process, a rank, runs the same program and holds a part of every matrix: some of the attention heads with their
cache, some of the hidden units, some of the vocabulary. In every block the ranks add up what their heads contribute,
then what their hidden units contribute; the rest each computes alone. So all of them get the same logits, and rank 0
draws.

Nothing here happens in a process that torchrun did not start. The splits are those of Megatron-LM (arXiv:1909.08053)
and so of Meta's files (shards.py); torch.distributed's tensor parallelism does the work.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from minillama import arguments
from minillama.model import ModelArgs, Transformer

TIMEOUT = timedelta(seconds=60)  # a rank that waits longer for another's numbers raises RuntimeError
PATIENCE = timedelta(days=7)  # the same for what may take long: a slow disk, a user who thinks
T = TypeVar("T")
_talk: dist.ProcessGroup | None = None  # for Python objects, with PATIENCE; None: this process is alone
_calls: dist.ProcessGroup | None = None  # for comparing calls, apart from the numbers of a run that is under way


def join(model_parallel_size: int | None = None) -> int:
    """Meet the other ranks; return how many share a model: 1 unless torchrun started several processes.

    model_parallel_size: None for all of them, 1 to keep this process to itself; otherwise it must be their number.
    Raises ValueError if it is not.
    """
    global _talk, _calls
    if model_parallel_size is not None:
        model_parallel_size = arguments.whole("model_parallel_size", model_parallel_size, 1)
    n_ranks = 1 if model_parallel_size == 1 else started()
    if model_parallel_size not in (None, 1, n_ranks):
        here = "in one process" if n_ranks == 1 else f"where torchrun has started {n_ranks} processes"
        raise ValueError(
            f"model_parallel_size must be None or {'1' if n_ranks == 1 else f'1 or {n_ranks}'} {here}, got "
            f"{arguments.shown(model_parallel_size)}; for N ranks start the program with torchrun --nproc_per_node N"
        )
    if n_ranks == 1 or model_parallel_size == 1:
        return 1
    if not dist.is_initialized():
        on_gpu = torch.cuda.is_available() and dist.is_nccl_available()
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=TIMEOUT)
        atexit.register(lambda: dist.is_initialized() and dist.destroy_process_group())
    if _talk is None:
        _talk = dist.new_group(backend="gloo", timeout=PATIENCE)
        _calls = dist.new_group(backend="gloo", timeout=TIMEOUT)
    return n_ranks


def started() -> int:
    """How many processes torchrun has started, by the variables that it sets; 1 where it has not.

    Raises ValueError that says what to do where only some of them are set, as job schedulers do.
    """
    size = os.environ.get("WORLD_SIZE") or "1"
    advice = "start with torchrun --nproc_per_node N, unset WORLD_SIZE, or pass model_parallel_size=1"
    if not size.isdecimal() or size == "0":
        raise ValueError(f"model_parallel_size: WORLD_SIZE is {size!r} in the environment, not a number; {advice}")
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if size != "1" and missing:
        raise ValueError(
            f"model_parallel_size: WORLD_SIZE is {size} in the environment, but {missing[0]} is not set, so torchrun "
            f"did not start this process; {advice}"
        )
    return int(size)


def place(device: str | torch.device | None, n_ranks: int) -> torch.device:
    """The device of this rank. None: cuda if there is one, else cpu; with several ranks, each takes its own GPU."""
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if n_ranks == 1 or device.type == "cpu":
        return device
    if device.type != "cuda" or device.index is not None:
        raise ValueError(f"device must be 'cpu' or 'cuda' where {n_ranks} ranks share a model, got {str(device)!r}")
    here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if here > gpus:
        raise ValueError(f"device: {here} ranks on this machine, but {gpus} GPUs; start fewer or take device='cpu'")
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]))


def check_sizes(args: ModelArgs, n_ranks: int) -> None:
    """Raise a ValueError unless every rank gets the same number of whole heads and of hidden units."""
    sizes = {"n_heads": args.n_heads, "n_kv_heads": args.n_kv_heads, "hidden_dim": args.ffn_width()}
    most = math.gcd(*sizes.values())
    for name, size in sizes.items():
        if size % n_ranks:
            fits = ", ".join(str(n) for n in range(1, most + 1) if most % n == 0)
            raise ValueError(
                f"model_parallel_size: {n_ranks} ranks cannot share this model evenly, its {name} is {size}; "
                f"take one of {fits} ranks (torchrun --nproc_per_node)"
            )


def split(model: Transformer, n_ranks: int, device: torch.device) -> None:
    """Turn every matrix of a model that holds no numbers yet (device "meta") into a DTensor, split over the ranks.

    Between the layers there are plain tensors, whole and equal on all ranks.
    """
    from torch.distributed.device_mesh import init_device_mesh  # not at the top: a second of import that few need
    from torch.distributed.tensor import Replicate
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    outputs = ColwiseParallel()  # each rank has some rows of the weight, so some outputs; nothing is exchanged
    inputs = RowwiseParallel()  # some columns, so some inputs; the results are added up: all_reduce
    gathered = ColwiseParallel(output_layouts=Replicate())  # as `outputs`, then put together: all_gather
    plan = {
        "tok_embeddings": gathered,  # (vocab_size, dim / n_ranks)
        "layers.*.attention.wq": outputs,  # (n_heads / n_ranks * head_dim, dim)
        "layers.*.attention.wk": outputs,  # (n_kv_heads / n_ranks * head_dim, dim)
        "layers.*.attention.wv": outputs,  # (n_kv_heads / n_ranks * head_dim, dim)
        "layers.*.attention.wo": inputs,  # (dim, n_heads / n_ranks * head_dim)
        "layers.*.feed_forward.w1": outputs,  # (hidden_dim / n_ranks, dim)
        "layers.*.feed_forward.w3": outputs,  # (hidden_dim / n_ranks, dim)
        "layers.*.feed_forward.w2": inputs,  # (dim, hidden_dim / n_ranks)
        "output": gathered,  # (vocab_size / n_ranks, dim)
    }
    if device.type == "cuda":
        torch.cuda.set_device(device)  # where NCCL looks
    parallelize_module(model, init_device_mesh(device.type, (n_ranks,)), plan)
    for layer in model.layers:
        layer.attention.n_kv_heads //= n_ranks  # the cache holds this rank's heads


def take(weight, like: Tensor, device: torch.device, dtype: torch.dtype, copy: bool = False) -> Tensor:
    """The part of `weight` that the model parameter `like` should hold; weight is anything that is sliced as a Tensor.

    Where `like` is a DTensor only this rank's rows or columns are read. copy: also where a view of `weight` would do.
    """
    if not is_shared(like):
        return weight[...].to(device, dtype, copy=copy)
    from torch.distributed.tensor import DTensor

    dim, mesh = like.placements[0].dim, like.device_mesh
    size = -(-like.shape[dim] // mesh.size())  # rounded up: the last rank may have less
    rows = slice(size * mesh.get_local_rank(), min(size * (mesh.get_local_rank() + 1), like.shape[dim]))
    part = weight[rows] if dim == 0 else weight[:, rows]
    part = part.to(device, dtype, copy=copy).contiguous()
    return DTensor.from_local(part, mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride())


def is_shared(weight: Tensor) -> bool:
    """Whether a weight is split over several ranks."""
    return hasattr(weight, "device_mesh")


def ranks_of(weight: Tensor) -> int:
    """How many ranks hold a part of a weight."""
    return weight.device_mesh.size() if is_shared(weight) else 1


# ---- words between the ranks -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def together(n_ranks: int, same: Mapping[str, object] | None = None, patient: bool = False) -> Iterator[None]:
    """What one rank raises inside, all ranks raise, so that none waits for it in vain.

    same {name of an argument: its value}: these must be alike on all ranks, or all raise a ValueError. A rank that
    waits longer than TIMEOUT for another raises RuntimeError; patient: PATIENCE.
    """
    error = None
    try:
        yield
    except Exception as caught:
        error = caught
    if n_ranks > 1:
        call = {name: repr(value) for name, value in (same or {}).items() if name != "self"}
        said: list = [None] * n_ranks
        with answered():
            mine = (error and f"{type(error).__name__}: {error}", call)
            dist.all_gather_object(said, mine, group=_talk if patient else _calls)
        for rank, (message, _) in enumerate(said):
            if message is not None and error is None:
                error = ValueError(f"rank {rank} of {n_ranks} failed with {message}")
        error = error or _difference([call for _, call in said])
    if error is not None:
        raise error


def _difference(calls: list[dict[str, str]]) -> ValueError | None:
    """What to raise if the ranks make other calls or pass other arguments."""
    if any(call.keys() != calls[0].keys() for call in calls):
        return ValueError("the ranks call different functions; make the same calls on every rank, in the same order")
    for name, value in calls[0].items():
        if any(call[name] != value for call in calls):
            return ValueError(f"{name} differs between the ranks; make the same call on every rank")
    return None


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """What torch says of a rank that does not answer, with what to do."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).split("\n")[0]
        raise RuntimeError(
            f"the ranks lost each other: {reason}; make the same calls on every rank and read every stream to its end"
        ) from error


def of_rank_0(tensor: Tensor) -> Tensor:
    """The tensor with rank 0's numbers in it, on every rank."""
    with answered():
        dist.broadcast(tensor, src=0)
    return tensor


def from_rank_0(make: Callable[[], T]) -> T:
    """What make() returns on rank 0, where alone it is called."""
    if _talk is None:
        return make()
    box = [make() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(box, src=0, group=_talk)
    return box[0]


@contextlib.contextmanager
def one_voice(model_parallel_size: int | None = None) -> Iterator[None]:
    """Inside, only rank 0 of those that torchrun started prints; an exception that leaves the block shows on any."""
    if join(model_parallel_size) == 1 or dist.get_rank() == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield
