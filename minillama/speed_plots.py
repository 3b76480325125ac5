"""Static figures of notebooks 14, 15 and 18: the time of a token, how it grows, and what each row of a batch does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from minillama import allowed
from minillama.arguments import shown
from minillama.figures import Drawing, legend, listing, literal, new_figure, short
from minillama.markup import escape, wrap
from minillama.svg import BLUE, DARK, FONTS, GREY, LINES, PALE, VERMILLION
from minillama.widgets.parts import Picture

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
    ends = [f"{literal(name)} from {short(values[0])} to {short(values[-1])}" for name, values in curves.items()]
    ends += [f"a vertical line at {short(place)}: {literal(name)}" for name, place in (marks or {}).items()]
    where = f"{literal(ylabel)} against {literal(xlabel)}, from {short(x[0])} to {short(x[-1])}"
    figure.alt = f"Lines of {where}. {listing(ends)}."
    return figure


@allowed.only(batches=allowed.numbers, seconds=allowed.numbers)
def plot_batch(batches: Sequence[int], seconds: Sequence[float]) -> Drawing:
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
    ends = [f"{title} from {short(values[0])} to {short(values[-1])}" for values, title, *_ in lines]
    figure.alt = f"Two lines, from {batches[0]} to {batches[-1]} rows: {listing(ends)}."
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
        words.append(f"{name}, {whole:.2f} ms: {', '.join(parts)}")
        drawn.append(f'<text x="0" y="{height + 14}">{escape(literal(name))}: {whole:.2f} ms</text>')
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
        words.append(f"{name}: " + ", ".join(f"{part or 'nothing'} {n}" for part, n in runs))
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
