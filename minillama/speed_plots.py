"""Static figures of notebook 14: where the time goes and how it grows. They draw what the cells have measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from minillama import allowed
from minillama.arguments import shown
from minillama.markup import BLUE, GREEN, GREY, ORANGE, VERMILLION
from minillama.plots import legend, literal, new_figure

_STYLES = (
    {"color": BLUE, "marker": "o"},
    {"color": VERMILLION, "ls": "--"},
    {"color": GREEN, "marker": "s", "ls": "-."},
    {"color": ORANGE, "marker": "^", "ls": ":"},
)


@allowed.only(milliseconds=allowed.table(allowed.positive))
def plot_shares(milliseconds: Mapping[str, float]) -> Figure:
    """A bar for each kind of work, with its milliseconds and its share of the total.

    milliseconds {name: milliseconds per token}, drawn from top to bottom.
    """
    whole = sum(milliseconds.values())
    texts = [f"{value:.2f} ms, {value / whole:.0%}" if whole else "0 ms" for value in milliseconds.values()]
    with new_figure(figsize=(7.5, 0.8 + 0.4 * len(milliseconds))) as (figure, ax):
        bars = ax.barh(range(len(milliseconds)), list(milliseconds.values()), color=BLUE, edgecolor="black")
        ax.bar_label(bars, texts, padding=4, fontsize=9)
        ax.set_yticks(range(len(milliseconds)), [literal(name) for name in milliseconds])
        ax.invert_yaxis()  # the first on top
        ax.margins(x=0.25)
        ax.set(xlabel="milliseconds per token")
    return figure


@allowed.only(
    x=allowed.numbers,
    curves=allowed.table(allowed.numbers, least=0),
    xlabel=allowed.label,
    ylabel=allowed.label,
    marks=allowed.table(allowed.positive, least=0),
)
def plot_curves(
    x: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    xlabel: str,
    ylabel: str,
    log: str = "",
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """A line for each name over x. The first is solid with dots, the second dashed: what was measured, and computed.

    curves {name: a number for each of x}; marks {name: x}: vertical lines. log: which axes are logarithmic, "", "x",
    "y" or "xy".
    """
    if log not in ("", "x", "y", "xy"):
        raise ValueError(f"log must be '', 'x', 'y' or 'xy', got {shown(log)}")
    allowed.as_many(x=len(x), **{f"curves[{name!r}]": len(values) for name, values in curves.items()})
    with new_figure(figsize=(7.5, 3.2)) as (figure, ax):
        for k, values in enumerate(curves.values()):
            ax.plot(x, values, lw=2, **_STYLES[k % len(_STYLES)])
        for place in (marks or {}).values():
            ax.axvline(place, color=GREY, ls=(0, (1, 2)), lw=2)
        ax.set(xlabel=literal(xlabel), ylabel=literal(ylabel))
        if "x" in log:
            ax.set_xscale("log", base=2)
            ax.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        if "y" in log:
            ax.set_yscale("log")
        else:
            ax.set_ylim(0, None)
        legend(ax, [*curves, *(marks or {})])
    return figure


@allowed.only(batches=allowed.numbers, seconds=allowed.numbers)
def plot_batch(batches: Sequence[int], seconds: Sequence[float]) -> Figure:
    """Throughput (tokens per second of all rows) and latency (milliseconds per step) against the number of rows.

    batches: numbers of rows; seconds: how long one step took with each of them.
    """
    allowed.as_many(batches=len(batches), seconds=len(seconds))
    throughput, latency = [bsz / took for bsz, took in zip(batches, seconds, strict=True)], [1000 * s for s in seconds]
    lines = (
        (throughput, "throughput: tokens per second, all rows", BLUE, "o"),
        (latency, "latency: milliseconds per step", VERMILLION, "s"),
    )
    with new_figure(1, 2, figsize=(7.5, 3)) as (figure, panels):
        for ax, (values, title, color, marker) in zip(panels, lines, strict=True):
            ax.plot(batches, values, color=color, marker=marker, lw=2)
            ax.set(xlabel="rows in the batch", ylim=(0, None))
            ax.set_title(title, fontsize=9)
    return figure
