"""What each rank of notebook 13 does. torchrun starts this program twice, and the two share one model:

    torchrun --nproc_per_node 2 -m minillama.ranks FOLDER

FOLDER is a checkpoint. Each rank writes what it saw beside it, rank 0 into rank0.pt, rank 1 into rank1.pt. Prompt and
reports are in the language that the environment variable MINILLAMA_LANGUAGE names.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from minillama import Llama, parallel, sample_top_p
from minillama.shards import SPLIT_DIM, last_word
from minillama.words import say

TALK = {"group": None, "exchanges": 0}  # group: who exchanges numbers; None: all ranks


def main(folder: Path) -> None:
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))  # the ranks meet
    rank, n_ranks = dist.get_rank(), dist.get_world_size()
    seen = {name: os.environ[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}

    llama = Llama.build(folder, device="cpu", model_parallel_size=1)  # a whole model on each rank …
    share(llama.model, rank, n_ranks)  # … and now a part of it
    seen["logits"] = logits_of(llama)
    seen["exchanges"] = TALK["exchanges"]  # in one forward
    seen["seconds"] = seconds_of(llama)
    seen["text"] = write(llama, seed=1)
    seen["other seed"] = write(llama, seed=1 + rank)
    seen["alone"] = call_alone(llama, rank, seconds=3)

    seen["engine"] = by_engine(folder, rank)
    torch.save(seen, folder.parent / f"rank{rank}.pt")
    dist.destroy_process_group()


# ---- the part of a rank ----------------------------------------------------------------------------------------------


def share(model, rank: int, n_ranks: int) -> None:
    """Leave this rank its part of each matrix in the layers. Embedding and output stay whole."""
    for layer in model.layers:
        for name, linear in layer.named_modules():
            if isinstance(linear, torch.nn.Linear):
                dim = SPLIT_DIM[last_word(name)]  # 0: some rows; 1: some columns
                part = linear.weight.chunk(n_ranks, dim)[rank].clone()  # a copy, so that the whole can go
                linear.weight = torch.nn.Parameter(part, requires_grad=False)
                if dim == 1:
                    linear.register_forward_hook(add_up)  # PyTorch calls it after the layer
        layer.attention.n_kv_heads //= n_ranks
    model.setup_cache(model.params.max_batch_size, model.params.max_seq_len)  # for this rank's heads


def add_up(module, inputs, output: Tensor) -> Tensor:
    """What this rank has is a summand: add up those of all ranks, in place."""
    TALK["exchanges"] += 1
    dist.all_reduce(output, group=TALK["group"])
    return output


# ---- what a rank does with it ----------------------------------------------------------------------------------------


@torch.no_grad()
def write(llama: Llama, seed: int, n_tokens: int = 32) -> str:
    """The prompt and n_tokens more. This process draws each token itself."""
    tokens = prompt_of(llama)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_tokens):
        logits = llama.model(tokens, 0, last_only=True)[:, -1]  # (1, vocab_size)
        next_token = sample_top_p(torch.softmax(logits / 0.8, dim=-1), 0.9, generator)  # (1, 1)
        tokens = torch.cat([tokens, next_token], dim=1)  # (1, seqlen + 1)
    return llama.tokenizer.decode(tokens[0].tolist())


def call_alone(llama: Llama, rank: int, seconds: float) -> str:
    """Rank 0 runs the model, the others do not. What rank 0 is told when its time is over."""
    TALK["group"] = dist.new_group(timeout=timedelta(seconds=seconds))
    told, begin = say("I made no call."), time.perf_counter()
    if rank == 0:
        try:
            told = write(llama, seed=1)
        except RuntimeError as error:
            n = round(time.perf_counter() - begin)
            told = say("After {n} s: {error}", n=n, error=f"{type(error).__name__}: {error}")
    TALK["group"] = None
    dist.barrier()  # the others wait here for rank 0
    return told


@torch.no_grad()
def logits_of(llama: Llama) -> Tensor:  # (1, seqlen, vocab_size)
    """The logits of the prompt."""
    return llama.model(prompt_of(llama), 0)


def prompt() -> str:
    """The beginning of a story, in the language that is in use."""
    return say("Once upon a time, there was a little")


def prompt_of(llama: Llama) -> Tensor:  # (1, seqlen)
    """The ids of the prompt."""
    return torch.tensor([llama.tokenizer.encode(prompt(), bos=True, eos=False)])


def seconds_of(llama: Llama) -> float:
    """How long one forward takes: the best of ten."""
    marks = [time.perf_counter()]
    for _ in range(10):
        logits_of(llama)
        marks.append(time.perf_counter())
    return min(after - before for before, after in zip(marks, marks[1:], strict=False))


# ---- the same by PyTorch's engine ------------------------------------------------------------------------------------


@torch.no_grad()
def by_engine(folder: Path, rank: int) -> dict:
    """What torch.distributed.tensor makes of it: Llama.build uses it where torchrun has started several processes."""
    from torch.distributed.tensor.debug import CommDebugMode

    llama = Llama.build(folder, device="cpu")
    with CommDebugMode() as talk:
        llama.model(torch.tensor([[llama.tokenizer.bos_id]]), 0)  # one forward, of one token
    weights = {last_word(key): weight for key, weight in llama.model.named_parameters()}
    try:
        told = llama.text_completion([prompt()], max_gen_len=16, seed=1 + rank)[0]["generation"]
    except ValueError as error:
        told = str(error)
    return {
        "cuts": {word: w.placements[0].dim if parallel.is_shared(w) else None for word, w in weights.items()},
        "exchanges": {str(kind).split(".")[-1]: n for kind, n in talk.get_comm_counts().items()},
        "logits": logits_of(llama),
        "text": prompt() + llama.text_completion([prompt()], max_gen_len=16)[0]["generation"],  # without a seed
        "other seed": told,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
