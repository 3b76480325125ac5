"""Static figures, for readers who have no kernel to move a slider. Each function returns a `figures.Drawing`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from minillama import allowed, arguments
from minillama.figures import LONGEST_PIECE, Drawing, commas, legend, listing, literal, new_figure, short, written
from minillama.logprobs import entropy
from minillama.sampling import apply_temperature, nucleus
from minillama.svg import BLUE, DARK, GREEN, GREY, INK, LINES, ORANGE, PALE, PURPLE, SKY, VERMILLION
from minillama.words import say

HANDS = LinearSegmentedColormap.from_list("hands", [BLUE, VERMILLION])  # seen on white and on dark all the way


@allowed.only(pieces=allowed.names, probs=allowed.floats(1), p=allowed.probability, n_bars=allowed.count)
def plot_nucleus(pieces: Sequence[str], probs: Tensor, p: float, n_bars: int = 12) -> Drawing:
    """Bars of the n_bars most probable tokens, kept or cut at p, and the probability mass before each.

    pieces: the name of every token id; probs (vocab_size,) float, adding up to 1; p: from 0 to 1, as top_p.
    """
    allowed.as_many(pieces=len(pieces), probs=len(probs))
    top = nucleus(probs, p)
    n_bars = min(n_bars, len(probs))
    ticks = [literal(pieces[i], LONGEST_PIECE) for i in top.probs_idx[:n_bars].tolist()]
    kept = top.kept[:n_bars].tolist()
    with new_figure(figsize=(7.5, 3)) as (figure, ax):
        places = range(n_bars)
        bars = ax.bar(places, top.probs_sort[:n_bars].tolist(), color=[BLUE if keep else "none" for keep in kept])
        for bar, keep in zip(bars, kept, strict=True):
            bar.set(edgecolor=BLUE if keep else GREY, hatch=None if keep else "///")
        ax.plot(places, top.mass_before[:n_bars].tolist(), "o-", color=INK, ms=4, lw=1, label=written("mass before it"))
        ax.axhline(p, color=VERMILLION, ls="--", label=f"top_p = {p:g}")
        ax.bar([0], [0], color=BLUE, label=written("probability, kept"))
        ax.bar([0], [0], color="none", edgecolor=GREY, hatch="///", label=written("probability, cut"))
        ax.set_xticks(places, ticks, rotation=30, ha="right")
        ax.set(ylim=(0, 1.05), ylabel=written("probability"))
        ax.legend(loc="center right")
    shares = [f"{tick} {share:.3g}" for tick, share in zip(ticks, top.probs_sort.tolist(), strict=False)]
    n_kept = int(top.kept.sum())
    figure.alt = say(
        "Bars of the {n_bars} most probable tokens, falling. At top_p = {p:g} {n_kept} tokens are kept, with "
        "{mass:.3g} of the mass: {kept}. Cut: {cut}.",
        n_bars=n_bars, p=p, n_kept=n_kept, mass=float(top.probs_sort[:n_kept].sum()), kept=listing(shares[:n_kept]),
        cut=listing(shares[n_kept:], 3) or say("none of those drawn"),
    )  # fmt: skip
    return figure


@allowed.only(freqs_cis=allowed.tensor(2, torch.complex64, torch.complex128), pairs=allowed.listed(allowed.place))
def plot_rotation(freqs_cis: Tensor, pairs: Sequence[int]) -> Drawing:
    """How the rotary embedding turns the point (1, 0): one panel per pair, one hand per position with its number.

    freqs_cis (n_positions, head_dim / 2) complex, as `Transformer.freqs_cis`; pairs: which of the head_dim / 2 are
    drawn.
    """
    for k, pair_ in enumerate(pairs):
        arguments.whole(f"pairs[{k}]", pair_, 0, freqs_cis.shape[1] - 1)
    with new_figure(1, len(pairs), figsize=(2.6 * len(pairs), 2.9), squeeze=False) as (figure, axes):
        for ax, pair in zip(axes[0], pairs, strict=True):
            ax.add_patch(Circle((0, 0), 1, fill=False, color=GREY, lw=0.8))
            for position, tip in enumerate(freqs_cis[:, pair].tolist()):
                ax.plot([0, tip.real], [0, tip.imag], color=HANDS(position / max(1, len(freqs_cis) - 1)), lw=2)
                ax.text(1.16 * tip.real, 1.16 * tip.imag, str(position), ha="center", va="center", fontsize=8)
            step = freqs_cis[1, pair].angle().item() if len(freqs_cis) > 1 else 0.0
            ax.set(xlim=(-1.35, 1.35), ylim=(-1.35, 1.35))
            ax.set_title(written("pair {pair}: {step:.3g} rad per position", pair=pair, step=step), fontsize=9)
            ax.set_aspect("equal")
            ax.axis("off")
    steps = freqs_cis[1:2, list(pairs)].angle().flatten().tolist() or [0.0] * len(pairs)
    template = "pair {pair} by {step:.3g} rad"
    turns = [say(template, pair=pair, step=step) for pair, step in zip(pairs, steps, strict=True)]
    figure.alt = say(
        "A clock for each of {n_pairs} pairs, with a hand for each of {n_positions} positions. From one position to "
        "the next the hand turns: {turns}.", n_pairs=len(pairs), n_positions=len(freqs_cis), turns=listing(turns),
    )  # fmt: skip
    return figure


@allowed.only(pieces=allowed.names, weights=allowed.floats(2), title=allowed.label)
def plot_attention(pieces: Sequence[str], weights: Tensor, title: str = "") -> Drawing:
    """A heat map of one head's attention weights: rows look, columns are looked at.

    pieces: the tokens' names, seqlen of them; weights (seqlen, seqlen) float. The future (above the diagonal) stays
    empty.
    """
    allowed.as_many(pieces=len(pieces), weights=len(weights), **{"each of weights": weights.shape[1]})
    ticks = [literal(piece, LONGEST_PIECE) for piece in pieces]
    side = 1.6 + 0.24 * len(ticks)
    with new_figure(figsize=(side + 0.8, side)) as (figure, ax):
        future = weights.new_ones(weights.shape).triu(1).bool()
        past = weights.masked_fill(future, float("nan"))  # nan stays empty
        image = ax.imshow(past.tolist(), cmap="cividis", vmin=0)
        steps = [k - 0.5 for k in range(len(ticks) + 1)]
        ax.stairs(steps[:-1], steps, color=INK, baseline=None)  # where the future begins
        places = range(len(ticks))
        ax.set_xticks(places, ticks, rotation=90, fontsize=8)
        ax.set_yticks(places, ticks, fontsize=8)
        ax.set(xlabel=written("token looked at (key)"), ylabel=written("token that looks (query)"))
        ax.set_title(literal(title))
        figure.colorbar(image, ax=ax, shrink=0.7, label=written("attention weight"))
    seen = past.nan_to_num(0.0)
    looks = [
        say("{token} at {other}, {weight:.2g}", token=ticks[k], other=ticks[i], weight=float(seen[k, i]))
        for k, i in enumerate(seen.argmax(-1).tolist())
    ]
    what = say("Heat map of attention weights, {n} tokens by {n}", n=len(ticks))
    figure.alt = say(
        "{what}. Each looks at itself and at those before it, most of all: {looks}.",
        what=say("{label}: {says}", label=what, says=literal(title)) if title else what, looks=listing(looks, 8),
    )  # fmt: skip
    return figure


@allowed.only(
    pieces=allowed.names,
    logits=allowed.floats(1),
    temperatures=allowed.numbers,
    truth=allowed.table(allowed.probability, allowed.place, 0),
    n_tokens=allowed.count,
)
def plot_temperatures(
    pieces: Sequence[str],
    logits: Tensor,
    temperatures: Sequence[float],
    truth: Mapping[int, float] | None = None,
    n_tokens: int = 6,
) -> Drawing:
    """Bars of some tokens' probabilities at each temperature, with a diamond where the true probability is known.

    pieces: the name of every token id; logits (vocab_size,) float; temperatures: each 0 or more. truth {token id:
    probability}: these tokens are shown, in this order; without it, the n_tokens with the largest logits.
    """
    allowed.as_many(pieces=len(pieces), logits=len(logits))
    truth = {arguments.whole("a key of truth", i, 0, len(pieces) - 1): p for i, p in (truth or {}).items()}
    ids = list(truth) or logits.topk(min(n_tokens, len(logits))).indices.tolist()
    ticks = [literal(pieces[i], LONGEST_PIECE) for i in ids]
    width, listed = 0.8 / len(temperatures), []
    with new_figure(figsize=(7.5, 3)) as (figure, ax):
        for k, temperature in enumerate(temperatures):
            heights = apply_temperature(logits, temperature)[ids].tolist()
            places = [place + (k - (len(temperatures) - 1) / 2) * width for place in range(len(ids))]
            color, hatch = (GREEN, BLUE, PURPLE)[k % 3], ("", "///", "xxx")[k % 3]
            label = written("at {t:g}", t=temperature)
            ax.bar(places, heights, width, color=color, hatch=hatch, edgecolor=INK, label=label)
            shares = commas(f"{height:.2g}" for height in heights[:6])
            listed.append(say("at {t:g}: {shares}", t=temperature, shares=shares))
        if truth:
            ax.plot(range(len(ids)), list(truth.values()), "D", color=INK, ms=6, label=written("truth"))
            shares = commas(f"{p:.2g}" for p in list(truth.values())[:6])
            listed.append(say("truth: {shares}", shares=shares))
        ax.set_xticks(range(len(ids)), ticks)
        ax.set(ylim=(0, 1.05), ylabel=written("probability"))
        ax.legend()
    figure.alt = say("Bars of the probabilities of {tokens}: {bars}.", tokens=commas(ticks[:6]), bars=listing(listed))
    return figure


@allowed.only(curves=allowed.table(allowed.floats(1)), highest=allowed.positive)
def plot_entropy(curves: Mapping[str, Tensor], highest: float = 3.0) -> Drawing:
    """Entropy in nats against temperature, from 0 to highest: one line for each of curves.

    curves {name: logits (vocab_size,) float}, all of the same length.
    """
    allowed.as_many(**{f"curves[{name!r}]": len(logits) for name, logits in curves.items()})
    temperatures = torch.linspace(0, highest, 61).tolist()
    styles = ["-", "--", "-.", ":"]
    with new_figure(figsize=(7.5, 3.2)) as (figure, ax):
        for k, logits in enumerate(curves.values()):
            nats = [float(entropy(apply_temperature(logits, t))) for t in temperatures]
            ax.plot(temperatures, nats, ls=styles[k % 4], color=LINES[k % 4], lw=2)
        limit = math.log(len(next(iter(curves.values()))))
        ax.axhline(limit, color=GREY, ls=(0, (1, 3)))
        ax.axvline(1, color=GREY, lw=0.8)
        ax.set(xlabel=written("temperature"), ylabel=written("entropy (nats)"), xlim=(0, highest), ylim=(0, None))
        legend(ax, [*curves, written("all tokens equally likely")])
    ends = [[float(entropy(apply_temperature(logits, t))) for t in (1.0, highest)] for logits in curves.values()]
    named = [f"{literal(name)} {one:.2f}, {last:.2f}" for name, (one, last) in zip(curves, ends, strict=True)]
    figure.alt = say(
        "Entropy in nats against temperature, rising from 0 towards {limit:.2f}, where all tokens are equally likely. "
        "At temperature 1 and at {highest:g}: {ends}.", limit=limit, highest=highest, ends=listing(named),
    )  # fmt: skip
    return figure


@allowed.only(calls=allowed.listed(allowed.pair(allowed.place)), pieces=allowed.names)
def plot_cache(calls: Sequence[tuple[int, int]], pieces: Sequence[str]) -> Drawing:
    """One row per call of forward and one column per slot of the cache: written, read or empty.

    calls: (start_pos, end) of each, as `widgets.cache.cache_calls` returns them; pieces: the token of each slot.
    """
    with new_figure(figsize=(7.5, 1.2 + 0.34 * len(calls))) as (figure, ax):
        for row, (start, end) in enumerate(calls):
            for slot in range(len(pieces)):
                sign, color = ("W", ORANGE) if start <= slot < end else ("R", SKY) if slot < start else ("–", "none")
                ax.add_patch(Rectangle((slot - 0.5, row - 0.5), 1, 1, facecolor=color, edgecolor=GREY, lw=0.5))
                ink = INK if color == "none" else DARK
                ax.text(slot, row, sign, ha="center", va="center", fontsize=9, color=ink)
        ticks = [f"{slot} {literal(piece, LONGEST_PIECE)}" for slot, piece in enumerate(pieces)]
        ax.set_xticks(range(len(pieces)), ticks, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
        ax.set_yticks(range(len(calls)), [f"{start}:{end}, {start}" for start, end in calls], fontsize=9)
        ax.set(xlim=(-0.5, len(pieces) - 0.5), ylim=(len(calls) - 0.5, -0.5), ylabel=written("columns read, start_pos"))
        ax.set_title(written("slots of the cache: W written, R written earlier and read, – empty"), fontsize=9)
        ax.tick_params(length=0)
    template = "{start}:{end} writes {n} and reads {start}"
    done = [say(template, start=start, end=end, n=end - start) for start, end in calls]
    figure.alt = say(
        "Grid of {n_calls} calls of forward by {n_slots} slots of the cache. Columns {calls}.",
        n_calls=len(calls), n_slots=len(pieces), calls=listing(done),
    )  # fmt: skip
    return figure


@allowed.only(contexts=allowed.numbers, counted=allowed.table(allowed.numbers), measured=allowed.table(allowed.numbers))
def plot_token_cost(
    contexts: Sequence[int], counted: Mapping[str, Sequence[float]], measured: Mapping[str, Sequence[float]]
) -> Drawing:
    """What one more token costs, against the length of the text: multiplications counted, milliseconds measured.

    contexts: the lengths; counted and measured: {name: a number for each of contexts}, a line for each name.
    """
    allowed.as_many(contexts=len(contexts), **{f"counted[{k!r}]": len(v) for k, v in counted.items()})
    allowed.as_many(contexts=len(contexts), **{f"measured[{k!r}]": len(v) for k, v in measured.items()})
    styles = ({"color": BLUE, "marker": "o"}, {"color": VERMILLION, "marker": "s", "ls": "--"})
    titles = (written("million multiplications, counted"), written("milliseconds, measured here"))
    listed = []
    with new_figure(1, 2, figsize=(7.5, 3)) as (figure, panels):
        for ax, lines, title, unit in zip(panels, (counted, measured), titles, (1e6, 1), strict=True):
            for k, values in enumerate(lines.values()):
                ax.plot(contexts, [value / unit for value in values], **styles[k % 2])
            ax.set(xlabel=written("length of the text with the new token"), ylim=(0, None))
            ax.set_title(written("one more token: {title}", title=title), fontsize=9)
            legend(ax, list(lines), longest=40)
            ends = [(literal(name, 40), short(v[0] / unit), short(v[-1] / unit)) for name, v in lines.items()]
            listed.append(listing(say("{name} {first} to {last}", name=n, first=a, last=b) for n, a, b in ends))
    figure.alt = say(
        "Two charts of what one more token costs, from a text of {first} tokens to one of {last}. In {left}: "
        "{counted}. In {right}: {measured}.", first=contexts[0], last=contexts[-1],
        left=titles[0], counted=listed[0], right=titles[1], measured=listed[1],
    )  # fmt: skip
    return figure


@allowed.only(
    from_prompt=allowed.tensor(1, torch.bool),
    column=allowed.tensor(1, torch.int64),
    candidate=allowed.tensor(1, torch.int64),
    titles=allowed.names,
)
def plot_where(from_prompt: Tensor, column: Tensor, candidate: Tensor, titles: Sequence[str] = ()) -> Drawing:
    """The line torch.where(from_prompt, column, candidate), row by row: which of the two is taken.

    from_prompt (bsz,) bool; column and candidate (bsz,) int64 token ids; titles: one for each row, else "row 0" ….
    """
    allowed.as_many(from_prompt=len(from_prompt), column=len(column), candidate=len(candidate))
    allowed.as_many(titles=len(titles) or len(column), column=len(column))
    titles = [literal(title) for title in titles or [written("row {k}", k=k) for k in range(len(column))]]
    heads = ("input_text_mask\n[:, cur_pos]", "tokens\n[:, cur_pos]", "candidate", "next_token")
    places = (0, 1.25, 2.5, 4.25)
    next_token = torch.where(from_prompt, column, candidate)  # (bsz,)
    with new_figure(figsize=(7.5, 0.9 + 0.5 * len(column))) as (figure, ax):
        for x, head in zip(places, heads, strict=True):
            ax.text(x, -0.75, head, ha="center", va="center", fontsize=9)
        for row, (mask, *ids) in enumerate(zip(*(x.tolist() for x in (from_prompt, column, candidate)), strict=True)):
            taken, color = (1, SKY) if mask else (2, ORANGE)
            for k, value in enumerate([mask, *ids, next_token[row].item()]):
                chosen = k in (taken, 3)
                box = Rectangle((places[k] - 0.5, row - 0.36), 1, 0.72, facecolor=color if chosen else PALE)
                box.set(edgecolor=INK if chosen else GREY, lw=1.6 if chosen else 0.6)
                box.set_hatch(None if chosen or k == 0 else "///")
                ax.add_patch(box)
                paper = {"facecolor": PALE, "edgecolor": "none", "pad": 1.5} if k in (1, 2) and not chosen else None
                ax.text(places[k], row, str(value), ha="center", va="center", bbox=paper,
                        color=DARK, fontweight="bold" if chosen else "normal", family="monospace")  # fmt: skip
            arrow = {"arrowstyle": "-|>", "color": INK, "shrinkA": 0, "shrinkB": 0}
            ends = (places[3] - 0.5, row), (places[taken] + 0.5, row)
            ax.annotate("", *ends, arrowprops=arrow, zorder=0)  # below the box that it crosses
        ax.set_yticks(range(len(column)), titles, fontsize=9)
        ax.set_xticks([])
        ax.set(xlim=(-0.6, 4.85), ylim=(len(column) - 0.5, -1.15))
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    rows = zip(titles, from_prompt.tolist(), column.tolist(), candidate.tolist(), strict=True)
    taken = "{row}: {mask}, so {old} of the canvas is taken, not {new}"
    not_taken = "{row}: {mask}, so the candidate {new} is taken, not {old}"
    listed = [
        say(taken if mask else not_taken, row=title, mask=mask, old=old, new=new) for title, mask, old, new in rows
    ]
    figure.alt = say("The line torch.where, row by row. {rows}.", rows=listing(listed))
    return figure


@allowed.only(points=allowed.table(allowed.listed(allowed.pair(allowed.probability)), least=0))
def plot_calibration(points: Mapping[str, Sequence[tuple[float, float]]]) -> Drawing:
    """The model's probabilities against the true ones, on logarithmic axes.

    points {name: (true probability, the model's) pairs}: each name has a sign of its own. A point on the diagonal is
    right; one outside the dotted lines is wrong by more than a factor of 2.
    """
    styles = ({"marker": "o", "color": BLUE}, {"marker": "^", "color": VERMILLION}, {"marker": "s", "color": GREEN})
    with new_figure(figsize=(5.2, 4.6)) as (figure, ax):
        for k, pairs in enumerate(points.values()):
            truth, model = ([pair[i] for pair in pairs] for i in (0, 1))
            ax.plot(truth, model, ls="", mec=INK, mew=0.5, **styles[k % 3])
        everything = [p for pairs in points.values() for pair in pairs for p in pair if p > 0]
        low = 0.6 * min([*everything, 0.01])
        ax.plot([low, 1], [low, 1], color=INK, lw=1)
        ax.plot([low, 1], [low / 2, 0.5], color=GREY, ls=":")
        ax.plot([low, 0.5], [2 * low, 1], color=GREY, ls=":")
        ax.set(xscale="log", yscale="log", xlim=(low, 1.2), ylim=(low, 1.2))
        ax.set(xlabel=written("true probability"), ylabel=written("probability by the model"))
        legend(ax, [*points, written("model = truth"), written("wrong by a factor of 2")], loc="upper left")
    near = {name: sum(p / 2 <= q <= 2 * p for p, q in pairs) for name, pairs in points.items()}
    listed = [say("{name}: {n} of {m}", name=literal(name), n=n, m=len(points[name])) for name, n in near.items()]
    figure.alt = say(
        "Points on logarithmic axes from {low:.1g} to 1: the true probability to the right, the model's upwards, and "
        "the diagonal where they are equal. Within a factor of 2 of it lie: {near}.", low=low, near=listing(listed),
    )  # fmt: skip
    return figure
