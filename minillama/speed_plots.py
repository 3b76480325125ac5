"""Static figures of notebooks 13 to 15 and 18: a rank's memory, the time of a token, what each row of a batch does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from minillama import allowed
from minillama.arguments import shown
from minillama.figures import Drawing, commas, joined, legend, listing, literal, new_figure, short, written
from minillama.markup import escape, wrap
from minillama.svg import BLUE, DARK, FONTS, GREY, INK, LINES, PALE, PURPLE, VERMILLION
from minillama.widgets.parts import Picture
from minillama.words import say

_STYLES = ({"marker": "o"}, {"ls": "--"}, {"marker": "s", "ls": "-."}, {"marker": "^", "ls": ":"})
_PATHS = ("", "M0 8L8 0", "M0 4H8", "M0 0L8 8M0 8L8 0")  # hatching
_HATCHING = (
    '<pattern id="ml-part-{k}" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" '
    'fill="{color}"/><path d="{path}" stroke="{dark}"/></pattern>'
)


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
) -> Drawing:
    """A line for each name over x. The first is solid with dots, the second dashed: what was measured, and computed.

    curves {name: a number for each of x}; marks {name: x}: vertical lines. log: which axes are logarithmic, "", "x",
    "y" or "xy".
    """
    if log not in ("", "x", "y", "xy"):
        raise ValueError(f"log must be '', 'x', 'y' or 'xy', got {shown(log)}")
    allowed.as_many(x=len(x), **{f"curves[{name!r}]": len(values) for name, values in curves.items()})
    with new_figure(figsize=(7.5, 3.2)) as (figure, ax):
        for k, values in enumerate(curves.values()):
            ax.plot(x, values, lw=2, color=LINES[k % 4], **_STYLES[k % 4])
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
    ends = [_from_to(literal(name), values) for name, values in curves.items()]
    ends += [
        say("a vertical line at {place}: {name}", place=short(place), name=literal(name))
        for name, place in (marks or {}).items()
    ]
    figure.alt = say(
        "Lines of {y} against {x}, from {first} to {last}. {lines}.",
        y=literal(ylabel), x=literal(xlabel), first=short(x[0]), last=short(x[-1]), lines=listing(ends),
    )  # fmt: skip
    return figure


def _from_to(name: str, values: Sequence[float]) -> str:
    return say("{name} from {first} to {last}", name=name, first=short(values[0]), last=short(values[-1]))


@allowed.only(batches=allowed.numbers, seconds=allowed.numbers)
def plot_batch(batches: Sequence[int], seconds: Sequence[float]) -> Drawing:
    """Throughput (tokens per second of all rows) and latency (milliseconds per step) against the number of rows.

    batches: numbers of rows; seconds: how long one step took with each of them.
    """
    allowed.as_many(batches=len(batches), seconds=len(seconds))
    throughput, latency = [bsz / took for bsz, took in zip(batches, seconds, strict=True)], [1000 * s for s in seconds]
    lines = (
        (throughput, written("throughput: tokens per second, all rows"), BLUE, "o"),
        (latency, written("latency: milliseconds per step"), VERMILLION, "s"),
    )
    with new_figure(1, 2, figsize=(7.5, 3)) as (figure, panels):
        for ax, (values, title, color, marker) in zip(panels, lines, strict=True):
            ax.plot(batches, values, color=color, marker=marker, lw=2)
            ax.set(xlabel=written("rows in the batch"), ylim=(0, None))
            ax.set_title(title, fontsize=9)
    ends = listing(_from_to(title, values) for values, title, *_ in lines)
    template = "Two lines, from {first} to {last} rows: {lines}."
    figure.alt = say(template, first=batches[0], last=batches[-1], lines=ends)
    return figure


@allowed.only(
    models=allowed.table(allowed.table(allowed.pair(allowed.positive), allowed.place)),
    gpus=allowed.listed(allowed.positive, 0),
)
def plot_rank_memory(models: Mapping[str, Mapping[int, tuple[float, float]]], gpus: Sequence[float]) -> Drawing:
    """The memory that one rank needs, in GiB: one panel per model, one bar per number of ranks.

    models {name: {n_ranks: (bytes of weights, bytes of cache)}}; gpus: the bytes of some GPUs, drawn as lines.
    """
    gib, listed = 2**30, []
    with new_figure(1, len(models), figsize=(7.5, 3.2), sharey=True, squeeze=False) as (figure, axes):
        for ax, (name, ranks) in zip(axes[0], models.items(), strict=True):
            places = range(len(ranks))
            weights, cache = ([pair[i] / gib for pair in ranks.values()] for i in (0, 1))
            ax.bar(places, weights, color=BLUE, edgecolor=INK, lw=0.6, label=written("weights"))
            ax.bar(
                places, cache, bottom=weights, color=PURPLE, hatch="///", edgecolor=INK, lw=0.6, label=written("cache")
            )
            for k, gpu in enumerate(gpus):
                ax.axhline(gpu / gib, color=VERMILLION, ls=("--", ":", "-.")[k % 3], label=f"{gpu / gib:g} GiB")
            ax.set_xticks(places, [str(n) for n in ranks])
            ax.set_xlabel(written("ranks"))
            ax.set_title(literal(name), fontsize=10)
            bars = [say("{size} on {n}", size=short((w + c) / gib), n=n) for n, (w, c) in ranks.items()]
            listed.append(f"{literal(name)} {commas(bars)}")
        axes[0, 0].set_ylabel(written("GiB on each rank"))
        axes[0, 0].legend()
    figure.alt = say("Bars of the GiB, weights and cache, that each rank needs, by ranks: {all}.", all=listing(listed))
    if gpus:
        sizes = joined("{one} and {other}", [f"{gpu / gib:g}" for gpu in gpus])
        figure.alt = say("{bars} Lines of GPUs with {sizes} GiB.", bars=figure.alt, sizes=sizes)
    return figure


@allowed.only(accounts=allowed.table(allowed.table(allowed.positive)))
def bars(accounts: Mapping[str, Mapping[str, float]]) -> Picture:
    """A bar for each account, all of one length: its parts side by side, 100% together.

    accounts {name of the bar: {part: milliseconds}}, the same parts in each, drawn from left to right. Raises
    ValueError if the parts differ.

    >>> bars({"one token": {"linears": 1.5, "Python": 0.5}})
    one token, 2.00 ms: linears 75%, Python 25%
    """
    first = list(next(iter(accounts.values())))
    for name, account in accounts.items():
        if list(account) != first:
            raise ValueError(f"accounts[{shown(name)}] must have the parts {first}, in this order; got {list(account)}")
    words, drawn, height = [], [_key(k, name) for k, name in enumerate(first)], 34
    for name, account in accounts.items():
        whole = sum(account.values())
        shares = [100 * each / whole if whole else 0.0 for each in account.values()]
        parts = [f"{part} {share:.0f}%" for part, share in zip(first, shares, strict=True)]
        words.append(say("{name}, {whole:.2f} ms: {parts}", name=name, whole=whole, parts=commas(parts)))
        head = written("{name}: {whole:.2f} ms", name=literal(name), whole=whole)
        drawn.append(f'<text x="0" y="{height + 14}">{escape(head)}</text>')
        left = 0.0
        for k, share in enumerate(shares):
            drawn.append(_part(k, 7 * left, 7 * share, height + 20, f"{share:.0f}%"))
            left += share
        height += 62
    return _picture(words, drawn, height)


@allowed.only(rows=allowed.table(allowed.names))
def timeline(rows: Mapping[str, Sequence[str]]) -> Picture:
    """What the rows of a batch did in each call of forward: a bar a row, all on one scale.

    rows {name of the row: the name of what it did, one for each call}; "" is nothing, and stays a gap. Calls side by
    side that did the same are one part of the bar, with their number.

    >>> timeline({"row 0": ["prompt", "generated", "generated"], "row 1": ["prompt", "generated", ""]})
    row 0: prompt 1, generated 2
    row 1: prompt 1, generated 1, nothing 1
    """
    parts = list(dict.fromkeys(part for row in rows.values() for part in row if part))
    scale = 580 / max(1, *(len(row) for row in rows.values()))
    words, drawn, height = [], [_key(k, part) for k, part in enumerate(parts)], 34
    for name, row in rows.items():
        runs = [(part, len(list(calls))) for part, calls in groupby(row)]
        did = commas(f"{part or say('nothing')} {n}" for part, n in runs)
        words.append(say("{label}: {says}", label=name, says=did))
        drawn.append(f'<text x="0" y="{height + 19}">{escape(literal(name, 18))}</text>')
        x = 120.0
        for part, n in runs:
            drawn.append(_part(parts.index(part), x, scale * n, height, str(n)) if part else "")
            x += scale * n
        height += 36
    return _picture(words, drawn, height)


def _picture(words: list[str], drawn: list[str], height: int) -> Picture:
    patterns = "".join(_HATCHING.format(k=k, color=LINES[k], path=path, dark=DARK) for k, path in enumerate(_PATHS))
    page = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 {height}" style="width: 100%; max-width: 700px" '
        f'role="img" font-family="{FONTS}" font-size="13" fill="currentColor"><title>{escape("; ".join(words))}'
        f"</title><defs>{patterns}</defs>{''.join(drawn)}</svg>"
    )
    return Picture(wrap(page, "ml-accounts"), "\n".join(words))


def _part(k: int, x: float, width: float, y: int, text: str) -> str:
    part = f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="28" {_filled(k)}/>'
    if width < 42:
        return part
    middle = x + width / 2
    paper = f'<rect x="{middle - 18:.1f}" y="{y + 5}" width="36" height="18" rx="3" fill="{PALE}"/>'
    number = f'<text x="{middle:.1f}" y="{y + 19}" text-anchor="middle" fill="{DARK}">{text}</text>'
    return part + paper + number


def _key(k: int, name: str) -> str:
    square = f'<rect x="{175 * (k % 4)}" y="6" width="22" height="16" {_filled(k)}/>'
    return f'{square}<text x="{175 * (k % 4) + 28}" y="19">{escape(literal(name, 20))}</text>'


def _filled(k: int) -> str:
    return f'fill="url(#ml-part-{k % 4})" stroke="currentColor"'
