"""Draw the feed-forward network of one block on two ranks: which part of every matrix each holds, and one exchange.

python assets/draw_ranks.py writes assets/two-ranks.svg.
"""

from __future__ import annotations

from pathlib import Path

INK, PAPER, PALE, HELD, ELSEWHERE = "#1a1a1a", "#ffffff", "#eef4f8", "#56B4E9", "#ffffff"
WIDTH, HEIGHT = 1000, 300
LANES = (86, 214)  # the middle of rank 0's way and of rank 1's


def text(x: float, y: float, words: str, size: int = 12, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" text-anchor="middle" fill="{INK}" font-size="{size}"{weight}>{words}</text>'


def box(x: float, y: float, width: float, lines: tuple[str, ...]) -> str:
    top = y - 10 - 8 * (len(lines) - 1)
    words = "".join(text(x + width / 2, top + 14 + 16 * k, line) for k, line in enumerate(lines))
    return (
        f'<rect x="{x}" y="{top - 6}" width="{width}" height="{16 * len(lines) + 16}" rx="6" fill="{PALE}" '
        f'stroke="#7a8a94"/>{words}'
    )


def matrix(x: float, y: float, width: float, height: float, name: str, rank: int, rows: bool) -> str:
    """A matrix around (x, y) in two halves: the one that the rank holds is filled and says so."""
    left, top = x - width / 2, y - height / 2
    w, h = (width, height / 2) if rows else (width / 2, height)
    halves = []
    for half in range(2):
        at_x, at_y = (left, top + half * h) if rows else (left + half * w, top)
        mine = half == rank
        halves.append(
            f'<rect x="{at_x}" y="{at_y}" width="{w}" height="{h}" fill="{HELD if mine else ELSEWHERE}" '
            f'stroke="#7a8a94"{"" if mine else " stroke-dasharray=" + chr(34) + "3 3" + chr(34)}/>'
        )
        if mine:
            halves.append(text(at_x + w / 2, at_y + h / 2 + 4, name, bold=True))
    return "".join(halves)


def arrow(path: str) -> str:
    return f'<path d="{path}" fill="none" stroke="{INK}" stroke-width="1.4" marker-end="url(#tip)"/>'


def lane(rank: int) -> list[str]:
    y, half = LANES[rank], ("upper", "lower")[rank]
    side = ("left", "right")[rank]
    return [
        text(172, y - 44, f"rank {rank}", 13, bold=True),
        arrow(f"M104 150 H126 V{y} H218"),
        matrix(252, y, 60, 72, "w1", rank, rows=True),
        matrix(320, y, 60, 72, "w3", rank, rows=True),
        text(286, y + 52, f"the {half} half of the rows", 11),
        arrow(f"M354 {y} H398"),
        box(400, y, 150, ("half of the hidden", "units; silu and ×")),
        arrow(f"M550 {y} H592"),
        matrix(632, y, 76, 60, "w2", rank, rows=False),
        text(632, y + 52, f"the {side} half of the columns", 11),
        arrow(f"M672 {y} H714"),
        box(716, y, 92, ("a summand of", "every output")),
        arrow(f"M808 {y} H842 V{150 + (18 if rank else -18)}"),
    ]


def draw() -> str:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" font-family="sans-serif" font-size="12">',
        "<title>The feed-forward network of a block on two ranks</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{INK}"/></marker></defs>',
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
        box(16, 150, 88, ("x, whole", "on both")),
        *lane(0),
        *lane(1),
        f'<circle cx="842" cy="150" r="16" fill="{PAPER}" stroke="#D55E00" stroke-width="3"/>',
        text(842, 156, "+", 18, bold=True),
        text(776, 146, "all_reduce", 12, bold=True),
        text(776, 162, "the one exchange", 11),
        arrow("M860 150 H886"),
        box(888, 150, 98, ("the result, whole", "on both")),
    ]
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    (Path(__file__).parent / "two-ranks.svg").write_text(draw(), encoding="utf-8")
