"""Tokens a second: minillama compared with transformers, on the same weights, in turn, in one process.

Prompts have 16 tokens, and no end token ends a run early. Each number is the median of the repeats, after a run that
warms up. A way is how minillama runs: as it is, with compile=True or with int8=True; transformers always runs as it is.
"linears" is the same step reduced to its linear layers. Peak memory is that of a process of its own for each library:
resident memory, or on a GPU what torch allocated. The model smollm2 needs its file (`make real-model`).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, product
from pathlib import Path

import torch
from torch import nn

from benchmarks.record import Record, parser
from minillama import COURSE_MODEL, Llama, ModelArgs, Tokenizer, Transformer, smollm2
from minillama.checkpoint import TOKENIZER
from minillama.int8 import Int8Linear, to_int8

PROMPT = 16
SAMPLERS = {"greedy": {"temperature": 0.0, "top_p": 1.0}, "sampled": {"temperature": 0.8, "top_p": 0.9}}
WAYS, MODELS = ("eager", "compile", "int8"), ("course", "110M", "smollm2")
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
    llama.tokenizer.stop_ids = ()
    return llama


def stretched(n_words: int) -> Tokenizer:
    """The course model's tokenizer with added pieces for a random model's vocabulary, whose texts mean nothing."""
    tokenizer = Tokenizer(COURSE_MODEL / TOKENIZER)
    tokenizer._bytes += [b"?"] * (n_words - tokenizer.n_words)
    tokenizer.n_words, tokenizer.stop_ids = n_words, ()
    return tokenizer


def in_this_way(llama: Llama, way: str) -> Llama:
    """The model as it is, compiled, or with weights in 8 bits; the last changes `llama` itself."""
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


def peak_memory(library: str, name: str, way: str, batch: int, new_tokens: int, device: str) -> float | None:
    """The MiB that a fresh process needs at most to load the model and sample once; None where nothing tells."""
    settings = (library, name, way, str(batch), str(new_tokens))
    command = [sys.executable, "-m", "benchmarks.compare", "--device", device, "--peak", *settings]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return float(printed[-1]) if printed else None


def print_peak(library: str, name: str, way: str, batch: str, new_tokens: str, device: str) -> None:
    llama = build(name, int(batch), device)
    if library == "minillama":
        llama, make = in_this_way(llama, way), ours
    else:
        make = theirs
    make(llama, some_prompts(llama, int(batch)), int(new_tokens), "sampled")()
    status = Path("/proc/self/status")
    if device == "cuda":
        print(torch.cuda.max_memory_allocated() / 2**20)
    elif status.exists():  # VmHWM, because ru_maxrss also counts what the parent process had
        print(next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if "VmHWM" in line))


def some_prompts(llama: Llama, batch: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(3, llama.tokenizer.n_words, (batch, PROMPT), generator=generator).tolist()


def compare(name: str, way: str, batch: int, samplers: Iterable[str], args: argparse.Namespace, record: Record) -> None:
    """Measure one model in one way, a row for each sampler."""
    llama = build(name, batch, args.device)
    prompts = some_prompts(llama, batch)
    peers = {sampler: theirs(llama, prompts, args.new_tokens, sampler) for sampler in SAMPLERS}
    llama = in_this_way(llama, way)
    peaks = [
        None if args.no_peak else peak_memory(library, name, way, batch, args.new_tokens, args.device)
        for library in ("minillama", "transformers")
    ]
    for sampler in samplers:
        runs = {
            "ours": ours(llama, prompts, args.new_tokens, sampler),
            "theirs": peers[sampler],
            "linears": linears(llama, batch, args.new_tokens),
        }
        times: dict[str, list[float]] = {key: [] for key in runs}
        for repeat in range(args.repeats + 1):
            for key, run in runs.items():
                took = seconds(run, args.device)
                if repeat:  # the first is a warm-up
                    times[key].append(took)
        speed = {key: batch * args.new_tokens / statistics.median(took) for key, took in times.items()}
        row = {"model": name, "way": way, "batch": batch, "sampler": sampler}
        record.add(row | speed | {"peak": peaks[0], "peak_theirs": peaks[1]})


def either(choices: Sequence[str]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"


def main(argv: Sequence[str] | None = None) -> None:
    options = parser("compare", __doc__)
    add = options.add_argument
    add(
        "--models",
        nargs="+",
        default=["course"],
        choices=MODELS,
        metavar="M",
        help=f"{either(MODELS)} (default: course)",
    )
    add("--ways", nargs="+", default=["eager"], choices=WAYS, metavar="W", help=f"{either(WAYS)} (default: eager)")
    add("--batches", nargs="+", type=int, default=[1, 8, 32], metavar="N", help="prompts in a batch (default: 1 8 32)")
    add("--repeats", type=int, default=5, metavar="N", help="timed runs of each row (default: %(default)s)")
    add("--new-tokens", type=int, default=200, metavar="N", help="tokens to generate (default: %(default)s)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda (default: %(default)s)")
    add("--no-peak", action="store_true", help="leave memory out; it takes two more processes for each model and batch")
    add("--peak", nargs=5, help=argparse.SUPPRESS)
    args = options.parse_args(argv)
    if args.peak:
        return print_peak(*args.peak, args.device)

    notes = [f"{args.new_tokens} new tokens after prompts of {PROMPT}", f"medians of {args.repeats}"]
    record = Record("compare", argv, notes, args.device)
    rows = record.todo(product(args.models, args.ways, args.batches, SAMPLERS))
    for (name, way, batch), group in groupby(rows, key=lambda row: row[:3]):
        compare(name, way, batch, (sampler for *_, sampler in group), args, record)


if __name__ == "__main__":
    main()
