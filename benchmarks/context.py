"""What a token costs as the context grows: one step after 64 to 4096 earlier tokens, in shuffled order.

The 110M shape with random weights, one row. Beside each measured time is the one that the bytes explain: that of the
shortest context, plus the rest of the cache at the speed of a plain copy on this machine. With --write the figure
context.svg is drawn beside context.json.
"""

from __future__ import annotations

import dataclasses
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import trange

from benchmarks.compare import SHAPE_110M
from benchmarks.record import Record, parser
from minillama import Transformer

CONTEXTS = (64, 128, 256, 512, 1024, 2048, 4096)


@torch.inference_mode()
def milliseconds(model: Transformer, contexts: tuple[int, ...], repeats: int) -> dict[int, float]:
    """The median time of one step after each number of earlier tokens."""
    device = model.norm.weight.device
    token, times = torch.ones(1, 1, dtype=torch.long, device=device), {n: [] for n in contexts}
    for _ in trange(repeats, desc="context", dynamic_ncols=True):
        for n in random.sample(contexts, len(contexts)):  # a machine that slows down slows all alike
            for repeat in range(2):  # the first call warms up
                start = time.perf_counter()
                model(token, n, last_only=True)
                if device.type == "cuda":
                    torch.cuda.synchronize()
                if repeat:
                    times[n].append(1000 * (time.perf_counter() - start))
    return {n: statistics.median(took) for n, took in times.items()}


def copy_bandwidth(device: str, mebibytes: int = 512, repeats: int = 5) -> float:
    """Bytes a second of a copy far larger than the processor's caches. What is read and what is written both count."""
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
    """The bytes of the keys and values of one row with `context` tokens."""
    cache = model.layers[0].attention.cache
    return 2 * len(model.layers) * context * cache.k[0, 0].nbytes


def plot(measured: dict[int, float], explained: dict[int, float], title: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    axes.plot(list(measured), list(measured.values()), "o-", color="#0072B2", label="measured")
    cache = "explained by the bytes of the cache"
    axes.plot(list(explained), list(explained.values()), "--", color="#D55E00", label=cache)
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(measured), [str(n) for n in measured])
    axes.set(xlabel="tokens of context", ylabel="ms for the next token", title=title)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main(argv: Sequence[str] | None = None) -> None:
    options = parser("context", __doc__)
    options.add_argument(
        "--repeats", type=int, default=12, metavar="N", help="timed steps of each context (default: %(default)s)"
    )
    options.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda (default: %(default)s)"
    )
    args = options.parse_args(argv)
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(SHAPE_110M, max_seq_len=max(CONTEXTS) + 1)).to(args.device)
    if args.device == "cuda":
        model.to(torch.bfloat16)
    model.requires_grad_(False).setup_cache(1, max(CONTEXTS) + 1)
    bandwidth, shortest = copy_bandwidth(args.device), CONTEXTS[0]
    notes = [f"a plain copy moves {bandwidth / 1e9:.1f} GB/s", f"medians of {args.repeats}"]
    record = Record("context", argv, notes, args.device)
    if record.kept() >= {(n,) for n in CONTEXTS}:
        return
    measured = milliseconds(model, CONTEXTS, args.repeats)
    more = {n: cache_bytes(model, n) - cache_bytes(model, shortest) for n in CONTEXTS}
    explained = {n: measured[shortest] + 1000 * more[n] / bandwidth for n in CONTEXTS}
    for n in CONTEXTS:
        record.add({"context": n, "ms": measured[n], "explained": explained[n], "cache_bytes": cache_bytes(model, n)})
    if record.folder:
        plot(measured, explained, str(record.run["machine"]["processor"]), record.folder / "context.svg")


if __name__ == "__main__":
    main()
