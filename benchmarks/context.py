"""What a token costs as the context grows: one decode step at 64 to 4096 tokens, in the order of a shuffled pack.

python -m benchmarks.context [--svg FILE] [--repeats 30]

The 110M shape with random weights. Beside each measured time stands the time that the bytes explain: the weights, read
at the pace of the shortest context, plus the cache, read at the pace of a plain copy on this machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import statistics
import time

import torch

from benchmarks.compare import SHAPE_110M, machine
from minillama import Transformer

CONTEXTS = (64, 128, 256, 512, 1024, 2048, 4096)


@torch.inference_mode()
def milliseconds(model: Transformer, contexts: tuple[int, ...], repeats: int) -> dict[int, float]:
    """Median time of reading one token behind each number of earlier ones."""
    device = model.norm.weight.device
    token, times = torch.ones(1, 1, dtype=torch.long, device=device), {n: [] for n in contexts}
    for _ in range(repeats):
        for n in random.sample(contexts, len(contexts)):  # a drift of the machine meets all alike
            for repeat in range(2):  # the first call warms up
                start = time.perf_counter()
                model(token, n, last_only=True)
                if device.type == "cuda":
                    torch.cuda.synchronize()
                if repeat:
                    times[n].append(1000 * (time.perf_counter() - start))
    return {n: statistics.median(took) for n, took in times.items()}


def copy_bandwidth(device: str, mebibytes: int = 512, repeats: int = 5) -> float:
    """Bytes a second of a copy far larger than the caches; a copy reads as much as it writes, both count."""
    source = torch.ones(mebibytes * 2**18, device=device)
    target, times = torch.empty_like(source), []
    for _ in range(repeats):
        start = time.perf_counter()
        target.copy_(source)
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 2 * source.nbytes / min(times)


def cache_bytes(model: Transformer, context: int) -> int:
    """Bytes of keys and values of so many positions, of one row."""
    cache = model.layers[0].attention.cache
    return 2 * len(model.layers) * context * cache.k[0, 0].nbytes


def plot(measured: dict[int, float], explained: dict[int, float], where: str, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    axes.plot(list(measured), list(measured.values()), "o-", color="#0072B2", label="measured")
    axes.plot(
        list(explained), list(explained.values()), "--", color="#D55E00", label="explained by the bytes of the cache"
    )
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(measured), [str(n) for n in measured])
    axes.set(xlabel="tokens of context", ylabel="ms for the next token", title=where)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--svg", metavar="FILE", help="draw a figure")
    args = parser.parse_args()
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(SHAPE_110M, max_seq_len=max(CONTEXTS) + 1)).to(args.device)
    if args.device == "cuda":
        model.to(torch.bfloat16)
    model.requires_grad_(False).setup_cache(1, max(CONTEXTS) + 1)
    bandwidth, measured = copy_bandwidth(args.device), milliseconds(model, CONTEXTS, args.repeats)
    shortest = CONTEXTS[0]
    more = {n: cache_bytes(model, n) - cache_bytes(model, shortest) for n in CONTEXTS}
    explained = {n: measured[shortest] + 1000 * more[n] / bandwidth for n in CONTEXTS}
    where = machine(args.device).split(";")[0]
    print(f"{machine(args.device)}; a copy moves {bandwidth / 1e9:.1f} GB/s")
    print("\n| context | ms a token | explained by the bytes | cache MiB |\n|---|---|---|---|")
    for n in CONTEXTS:
        print(f"| {n} | {measured[n]:.1f} | {explained[n]:.1f} | {cache_bytes(model, n) / 2**20:.1f} |")
    if args.svg:
        plot(measured, explained, where, args.svg)


if __name__ == "__main__":
    main()
