"""Tokens a second: minillama compared with other programs on the same weights, all in turn, repeat by repeat.

Prompts have 16 tokens, and no end token ends a run early. Each number is the median of the repeats, after a run that
warms up; benchmarks/peers.py says what each program's seconds are. A way is how minillama runs: as it is, with
compile=True, with int8=True, or with both; the others always run as they are. transformers is always there, others
where --peer says where they are. "linears" is the same step reduced to its linear layers. The greedy ids are compared
too. Peak memory is that of a process of its own: resident memory, or on a GPU what torch allocated. The model smollm2
needs its file (`make real-model`); 3.6M and 110M have random weights.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import torch

from benchmarks import peers
from benchmarks.peers import PEERS, SAMPLERS, Files, Runner
from benchmarks.record import Record, parser
from minillama import COURSE_MODEL, Llama, ModelArgs, Tokenizer, Transformer, smollm2
from minillama.checkpoint import TOKENIZER
from minillama.formats.tokenizer_files import with_rows
from minillama.int8 import to_int8
from minillama.tokenizer import BaseTokenizer

PROMPT = 16
WAYS = ("eager", "compile", "int8", "compile+int8")
SHAPE_3_6M = ModelArgs(dim=192, n_layers=4, n_heads=6, hidden_dim=512, vocab_size=5120, max_seq_len=512)
SHAPE_110M = ModelArgs(dim=768, n_layers=12, n_heads=12, vocab_size=32000, max_seq_len=1024)
RANDOM = {"3.6M": SHAPE_3_6M, "110M": SHAPE_110M}
MODELS = ("course", "smollm2", *RANDOM)


def build(name: str, batch: int, device: str) -> Llama:
    """The course model, SmolLM2, or random weights of a shape."""
    if name in RANDOM:
        torch.manual_seed(0)
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        model = Transformer(RANDOM[name]).to(device, dtype).requires_grad_(False)
        model.setup_cache(batch, model.params.max_seq_len)
        return Llama(model, tokenizer_for(model.params.vocab_size))
    path = COURSE_MODEL if name == "course" else smollm2.find()
    if path is None:
        sys.exit(f"smollm2: its file is not here; {smollm2.HOW}")
    llama = Llama.build(path, max_seq_len=None if name == "course" else 1024, max_batch_size=batch, device=device)
    llama.tokenizer.stop_ids = ()
    return llama


def tokenizer_for(n_words: int) -> BaseTokenizer:
    """The course model's tokenizer for a random model, whose texts mean nothing and never end."""
    tokenizer = Tokenizer(COURSE_MODEL / TOKENIZER)
    while tokenizer.n_words < n_words:  # with_rows refuses more than twice as many
        tokenizer = with_rows(tokenizer, min(n_words, 2 * tokenizer.n_words))
    tokenizer.stop_ids = ()
    return tokenizer


def in_ways(ways: Iterable[str], name: str, batch: int, device: str) -> dict[str, Llama]:
    """The model in each of these ways; those with int8 share one model, the others another."""
    models: dict[bool, Llama] = {}
    found = {}
    for way in ways:
        int8 = "int8" in way
        if int8 not in models:
            models[int8] = build(name, batch, device)
            if int8:
                to_int8(models[int8].model)
        llama = models[int8]
        found[way] = Llama(llama.model, llama.tokenizer, compile=True) if "compile" in way else llama
    return found


def peak_memory(library: str, name: str, way: str, batch: int, new_tokens: int, device: str) -> float | None:
    """The MiB that a fresh process needs at most to load the model and sample once; None where nothing tells."""
    settings = (library, name, way, str(batch), str(new_tokens))
    command = [sys.executable, "-m", "benchmarks.compare", "--device", device, "--peak", *settings]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return float(printed[-1]) if printed else None


def print_peak(library: str, name: str, way: str, batch: str, new_tokens: str, device: str) -> None:
    llama = in_ways([way], name, int(batch), device)[way]
    runner = peers.minillama(llama) if library == "minillama" else peers.transformers(llama)
    runner(some_prompts(llama, int(batch)), int(new_tokens), "sampled")
    status = Path("/proc/self/status")
    if device == "cuda":
        print(torch.cuda.max_memory_allocated() / 2**20)
    elif status.exists():  # VmHWM, because ru_maxrss also counts what the parent process had
        print(next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if "VmHWM" in line))


def some_prompts(llama: Llama, batch: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(3, llama.tokenizer.n_words, (batch, PROMPT), generator=generator).tolist()


def in_common(a: list[list[int]], b: list[list[int]]) -> int:
    """How many ids two batches of rows have in common before each row parts.

    >>> in_common([[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 0, 6]])
    4
    """
    return sum(
        next((k for k, (x, y) in enumerate(zip(row, other, strict=True)) if x != y), len(row))
        for row, other in zip(a, b, strict=True)
    )


def measure(runners: dict[str, Runner], prompts: list[list[int]], sampler: str, args: argparse.Namespace):
    """Tokens a second of each runner, and the ids that it made while it warmed up."""
    ids = {name: run(prompts, args.new_tokens, sampler).ids for name, run in runners.items()}
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(args.repeats):
        for name, run in runners.items():
            times[name].append(run(prompts, args.new_tokens, sampler).seconds)
    decoded = len(prompts) * (args.new_tokens - 1)
    return {name: decoded / statistics.median(took) for name, took in times.items()}, ids


def compare(rows: list[tuple], files: Files, args: argparse.Namespace, record: Record) -> None:
    """Measure one model with one number of prompts: the rows of each sampler together, one for each way."""
    name, threads, batch = rows[0][:3]
    llamas = in_ways(dict.fromkeys(way for *_, way in rows), name, batch, args.device)
    plain = next((llama for way, llama in llamas.items() if "int8" not in way), None) or build(name, batch, args.device)
    prompts = some_prompts(plain, batch)
    peaks = {}
    if not args.no_peak:
        peaks = {w: peak_memory("minillama", name, w, batch, args.new_tokens, args.device) for w in llamas}
        peaks["theirs"] = peak_memory("transformers", name, "eager", batch, args.new_tokens, args.device)
    # One set of linears for the ways in 32 bits, one for those in 8.
    reduced = {"int8" in way: peers.linears(llama) for way, llama in llamas.items()}
    with files.runners(name, plain, batch, PROMPT + args.new_tokens, threads) as others:
        others = {"transformers": peers.transformers(plain)} | others
        for sampler in dict.fromkeys(row[3] for row in rows):
            ways = [way for *_, other, way in rows if other == sampler]
            runners = {way: peers.minillama(llamas[way]) for way in ways} | others
            runners |= {int8: run for int8, run in reduced.items() if any(("int8" in way) == int8 for way in ways)}
            speed, ids = measure(runners, prompts, sampler, args)
            for way in ways:
                row = {"model": name, "threads": threads, "batch": batch, "sampler": sampler, "way": way}
                row |= {"new_tokens": args.new_tokens, "minillama": speed[way], "linears": speed["int8" in way]}
                row |= {other: speed[other] for other in others}
                if sampler == "greedy":
                    row |= {f"same {other}": in_common(ids[way], ids[other]) for other in others}
                record.add(row | {"peak": peaks.get(way), "peak transformers": peaks.get("theirs")})


def either(choices: Sequence[str]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"


def peer(text: str) -> tuple[str, Path]:
    """--peer NAME=PATH, where the path must hold what the peer needs."""
    name, _, path = text.partition("=")
    if name == "llama.cpp":
        try:
            peers.llama_cpp_source(Path(path))
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    elif name != "ctranslate2":
        raise argparse.ArgumentTypeError(f"{text!r} names no peer; give {PEER_FORMS}")
    elif not (Path(path) / "ctranslate2").is_dir():
        raise argparse.ArgumentTypeError(f"there is no package ctranslate2 in {path!r}; benchmarks/README.md says how")
    return name, Path(path).resolve()


PEER_FORMS = "llama.cpp=FOLDER (of its binaries) or ctranslate2=FOLDER (that holds the package)"


def add_peer_option(to: argparse.ArgumentParser) -> None:
    to.add_argument("--peer", action="append", type=peer, metavar="NAME=FOLDER", default=[], help=PEER_FORMS)


def main(argv: Sequence[str] | None = None) -> int:
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
    add("--threads", nargs="+", type=int, metavar="N", help="threads of every program, each in a process of its own")
    add("--repeats", type=int, default=5, metavar="N", help="timed runs of each row (default: %(default)s)")
    add("--new-tokens", type=int, default=200, metavar="N", help="tokens to generate (default: %(default)s)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda (default: %(default)s)")
    add("--no-peak", action="store_true", help="leave memory out; it takes a process for each way, model and batch")
    add_peer_option(options)
    add("--made", type=Path, help=argparse.SUPPRESS)  # the folder with what the peers read, for several processes
    add("--peak", nargs=5, help=argparse.SUPPRESS)
    argv = list(sys.argv[1:] if argv is None else argv)
    args = options.parse_args(argv)
    if args.new_tokens < 2:
        options.error(f"--new-tokens is {args.new_tokens}; the first token is not timed, so take 2 or more")
    if args.peak:
        print_peak(*args.peak, args.device)
        return 0
    if args.made is None:
        with tempfile.TemporaryDirectory() as folder:
            return main([*argv, "--made", folder])
    if args.threads and [os.environ.get("OMP_NUM_THREADS")] != [str(n) for n in args.threads]:
        return max(in_process_of_its_own(argv, n) for n in args.threads)

    notes = [f"{args.new_tokens} new tokens after prompts of {PROMPT}", f"medians of {args.repeats}"]
    given = dict(args.peer)
    notes += peers.versions(given)
    record = Record("compare", named(argv), notes, args.device)
    files = Files(args.made, given)
    threads = [torch.get_num_threads()]
    for rows in record.groups(product(args.models, threads, args.batches, SAMPLERS, args.ways), same=3):
        compare(rows, files, args, record)
    return 0


def in_process_of_its_own(argv: list[str], threads: int) -> int:
    """Run the same command for one number of threads, which every library reads as it is loaded."""
    at = argv.index("--threads") + 1
    end = next((k for k in range(at, len(argv)) if argv[k].startswith("-")), len(argv))
    command = [sys.executable, "-m", "benchmarks.compare", *argv[:at], str(threads), *argv[end:]]
    env = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return subprocess.run(command, env=env).returncode


def named(argv: Sequence[str]) -> list[str]:
    """The arguments as they are kept: without the folders of this machine."""
    kept = [re.sub(rf"^((--peer=)?({'|'.join(PEERS)})=).*", r"\1FOLDER", argument) for argument in argv]
    at = kept.index("--made")
    return kept[:at] + kept[at + 2 :]


if __name__ == "__main__":
    sys.exit(main())
