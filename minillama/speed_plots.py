"""Static figures of notebook 14: where time goes, and what it grows with. They draw what the cells have measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from minillama.markup import BLUE, GREEN, GREY, ORANGE, VERMILLION

_STYLES = (
    {"color": BLUE, "marker": "o"},
    {"color": VERMILLION, "ls": "--"},
    {"color": GREEN, "marker": "s", "ls": "-."},
    {"color": ORANGE, "marker": "^", "ls": ":"},
)


def plot_shares(milliseconds: Mapping[str, float]) -> Figure:
    """A bar for each kind of work, with its milliseconds and its part of the sum."""
    figure, ax = plt.subplots(figsize=(7.5, 0.8 + 0.4 * len(milliseconds)), layout="constrained", facecolor="white")
    whole = sum(milliseconds.values())
    bars = ax.barh(range(len(milliseconds)), list(milliseconds.values()), color=BLUE, edgecolor="black")
    texts = [f"{value:.2f} ms, {value / whole:.0%}" if whole else "0 ms" for value in milliseconds.values()]
    ax.bar_label(bars, texts, padding=4, fontsize=9)
    ax.set_yticks(range(len(milliseconds)), list(milliseconds))
    ax.invert_yaxis()  # the first on top
    ax.margins(x=0.25)
    ax.set(xlabel="milliseconds a token")
    plt.close(figure)  # shown once, as the cell's value
    return figure


def plot_curves(
    x: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    xlabel: str,
    ylabel: str,
    log: str = "",
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """A line for each name over x; marks are vertical lines at some x. log: the axes on a log scale, "x", "y" or "xy".

    The first line is solid with dots, the second dashed: what was measured, and what was computed.
    """
    figure, ax = plt.subplots(figsize=(7.5, 3.2), layout="constrained", facecolor="white")
    for (name, values), style in zip(curves.items(), _STYLES, strict=False):
        ax.plot(x, values, label=name, lw=2, **style)
    for name, place in (marks or {}).items():
        ax.axvline(place, color=GREY, ls=(0, (1, 2)), lw=2, label=name)
    for axis, name in ((ax.xaxis, "x"), (ax.yaxis, "y")):
        if name in log:
            getattr(ax, f"set_{name}scale")("log", base=2 if name == "x" else 10)
            if name == "x":
                axis.set_major_formatter(lambda value, _: f"{value:,g}")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if "y" not in log:
        ax.set_ylim(0, None)
    ax.legend(frameon=False, fontsize=8)
    plt.close(figure)
    return figure


def plot_batch(batches: Sequence[int], seconds: Sequence[float]) -> Figure:
    """Two panels over the number of rows: tokens a second of all rows together, and how long each waits for one."""
    figure, panels = plt.subplots(1, 2, figsize=(7.5, 3), layout="constrained", facecolor="white")
    throughput = [bsz / took for bsz, took in zip(batches, seconds, strict=True)]
    lines = (
        (throughput, "throughput: tokens a second, all rows", BLUE, "o"),
        (
            [1000 * took for took in seconds],
            "latency: milliseconds a step",
            VERMILLION,
            "s",
        ),
    )
    for ax, (values, title, color, marker) in zip(panels, lines, strict=True):
        ax.plot(batches, values, color=color, marker=marker, lw=2)
        ax.set(xlabel="rows in the batch", ylim=(0, None))
        ax.set_title(title, fontsize=9)
    plt.close(figure)
    return figure
