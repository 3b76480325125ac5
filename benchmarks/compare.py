"""Tokens a second: minillama against transformers, the same weights, interleaved in one process.

python -m benchmarks.compare [--models course 110M smollm2] [--ways eager compile int8] [--batches 1 8 32]
                             [--repeats 5] [--new-tokens 200]

Prompts have 16 tokens; no eos ends a run early. Each cell is the median of the repeats. The way is minillama's: as it
is, with `compile=True`, or with `int8=True`; transformers always runs as it is. "linears" is the same step reduced to
its linear layers, as PyTorch runs them. Peak memory is that of a process of its own for each library
(resident set; on a GPU what torch allocated). smollm2 needs its file (`make real-model`).
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product

import torch
from torch import nn

from minillama import COURSE_MODEL, Llama, ModelArgs, Tokenizer, Transformer, smollm2
from minillama.checkpoint import TOKENIZER
from minillama.int8 import Int8Linear, to_int8

PROMPT = 16
SAMPLERS = {"greedy": {"temperature": 0.0, "top_p": 1.0}, "sampled": {"temperature": 0.8, "top_p": 0.9}}
WAYS = ("eager", "compile", "int8")
SHAPE_110M = ModelArgs(dim=768, n_layers=12, n_heads=12, vocab_size=32000, max_seq_len=1024)


def build(name: str, batch: int, device: str) -> Llama:
    """The course model, SmolLM2, or random weights of the 110M shape; generation never meets an eos."""
    if name == "course":
        llama = Llama.build(max_batch_size=batch, device=device)
    elif name == "smollm2":
        path = smollm2.find()
        if path is None:
            sys.exit(f"smollm2: its file is not here; {smollm2.HOW}")
        llama = Llama.build(path, max_seq_len=1024, max_batch_size=batch, device=device)
    else:
        torch.manual_seed(0)
        tokenizer = stretched(SHAPE_110M.vocab_size)
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        model = Transformer(SHAPE_110M).to(device, dtype).requires_grad_(False)
        model.setup_cache(batch, SHAPE_110M.max_seq_len)
        llama = Llama(model, tokenizer)
    llama.tokenizer.eos_id = -2
    return llama


def stretched(n_words: int) -> Tokenizer:
    """The course model's tokenizer with as many pieces as a random model has: what that says is no text anyway."""
    tokenizer = Tokenizer(COURSE_MODEL / TOKENIZER)
    tokenizer._bytes += [b"?"] * (n_words - tokenizer.n_words)
    tokenizer.n_words, tokenizer.eos_id = n_words, -2
    return tokenizer


def in_this_way(llama: Llama, way: str) -> Llama:
    """The same model as it is, compiled, or, for good, with weights in 8 bits."""
    if way == "int8":
        to_int8(llama.model)
    return Llama(llama.model, llama.tokenizer, compile=True) if way == "compile" else llama


def ours(llama: Llama, prompts: list[list[int]], new_tokens: int, sampler: str) -> Callable[[], object]:
    return lambda: llama.generate(prompts, new_tokens, **SAMPLERS[sampler], seed=0)


def theirs(llama: Llama, prompts: list[list[int]], new_tokens: int, sampler: str) -> Callable[[], object]:
    from tests.peers import to_transformers  # here, so that a process that measures minillama stays without it

    network = to_transformers(llama.model).to(llama.device)
    ids = torch.tensor(prompts, device=llama.device)
    if sampler == "greedy":
        how = {"do_sample": False}
    else:
        how = {"do_sample": True, "temperature": 0.8, "top_p": 0.9, "top_k": 0}
    settings = {"max_new_tokens": new_tokens, "eos_token_id": None, "pad_token_id": 0}
    network.generation_config.eos_token_id = None
    return lambda: network.generate(ids, attention_mask=torch.ones_like(ids), **settings, **how)


@torch.no_grad()
def linears(llama: Llama, batch: int, new_tokens: int) -> Callable[[], None]:
    """The same step reduced: every linear layer of the model once a token, and nothing else."""
    layers = [module for module in llama.model.modules() if isinstance(module, nn.Linear | Int8Linear)]
    like = llama.model.norm.weight
    inputs = [torch.zeros(batch, 1, layer.in_features, dtype=like.dtype, device=like.device) for layer in layers]

    @torch.no_grad()
    def run() -> None:
        for _ in range(new_tokens):
            for layer, x in zip(layers, inputs, strict=True):
                layer(x)

    return run


def seconds(run: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_memory(library: str, name: str, way: str, batch: int, new_tokens: int, sampler: str) -> float:
    """MiB at most, of a fresh process that loads the model and generates once."""
    settings = (library, name, way, str(batch), str(new_tokens), sampler)
    command = [sys.executable, "-m", "benchmarks.compare", "--peak", *settings]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak(library: str, name: str, way: str, batch: str, new_tokens: str, sampler: str, device: str) -> None:
    llama = build(name, int(batch), device)
    if library == "minillama":
        llama, make = in_this_way(llama, way), ours
    else:
        make = theirs
    make(llama, some_prompts(llama, int(batch)), int(new_tokens), sampler)()
    print(torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else peak_resident())


def peak_resident() -> float:
    """MiB that this process has held at most: Linux's VmHWM, which, unlike ru_maxrss, knows nothing of the parent."""
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmHWM"))


def some_prompts(llama: Llama, batch: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(3, llama.tokenizer.n_words, (batch, PROMPT), generator=generator).tolist()


def machine(device: str) -> str:
    import transformers

    if device == "cuda":
        chip = torch.cuda.get_device_name()
    else:
        with open("/proc/cpuinfo") as f:
            names = [line.split(":")[1].strip() for line in f if line.startswith("model name")]
        chip = f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} threads"
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, python {platform.python_version()}"
    return f"{chip}; {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["course", "110M"], choices=["course", "110M", "smollm2"])
    parser.add_argument("--ways", nargs="+", default=["eager"], choices=WAYS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--new-tokens", type=int, default=200)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--peak", nargs=6, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        return print_peak(*args.peak, args.device)

    print(machine(args.device))
    columns = ["model", "way", "batch", "sampler", "minillama tok/s", "transformers tok/s", "ratio", "linears tok/s",
               "of linears", "peak MiB", "transformers' peak MiB"]  # fmt: skip
    print(f"\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    for name, way, batch in product(args.models, args.ways, args.batches):
        compare(name, way, batch, args)


def compare(name: str, way: str, batch: int, args: argparse.Namespace) -> None:
    """Print the rows of one model in one way."""
    llama = build(name, batch, args.device)
    prompts = some_prompts(llama, batch)
    peers = {sampler: theirs(llama, prompts, args.new_tokens, sampler) for sampler in SAMPLERS}
    llama = in_this_way(llama, way)
    for sampler, peer in peers.items():
        runs = {
            "ours": ours(llama, prompts, args.new_tokens, sampler),
            "theirs": peer,
            "linears": linears(llama, batch, args.new_tokens),
        }
        times: dict[str, list[float]] = {key: [] for key in runs}
        for repeat in range(args.repeats + 1):
            for key, run in runs.items():
                took = seconds(run, args.device)
                if repeat:  # the first is a warm-up
                    times[key].append(took)
        speed = {key: batch * args.new_tokens / statistics.median(took) for key, took in times.items()}
        peaks = [
            peak_memory(library, name, way, batch, args.new_tokens, sampler)
            for library in ("minillama", "transformers")
        ]
        print(
            f"| {name} | {way} | {batch} | {sampler} | {speed['ours']:,.0f} | {speed['theirs']:,.0f} "
            f"| {speed['ours'] / speed['theirs']:.2f} | {speed['linears']:,.0f} "
            f"| {speed['ours'] / speed['linears']:.0%} | {peaks[0]:,.0f} | {peaks[1]:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
