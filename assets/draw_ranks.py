"""Draw the feed-forward network of one block on two ranks: which part of every matrix each holds, and one exchange.

python assets/draw_ranks.py writes assets/two-ranks.svg.
"""

from __future__ import annotations

from pathlib import Path

from minillama.svg import CREAM, GREY, SKY, VERMILLION, arrow, box, page, pill, text

LANES, MIDDLE = (88, 232), 160  # the middle of rank 0's way, of rank 1's, and between them
DESC = (
    "Rank 0 holds the upper half of the rows of w1 and w3 and the left half of the columns of w2, rank 1 the others. "
    "Each goes from the whole x to a summand of every output; one all_reduce adds the summands up."
)


def matrix(x: float, y: float, width: float, height: float, name: str, rank: int, rows: bool) -> str:
    """A matrix around (x, y) in two halves: the one that the rank holds is filled and says so."""
    left, top = x - width / 2, y - height / 2
    w, h = (width, height / 2) if rows else (width / 2, height)
    halves = []
    for half in range(2):
        at_x, at_y = (left, top + half * h) if rows else (left + half * w, top)
        look = f'fill="{SKY}"' if half == rank else 'fill="none" stroke-dasharray="3 3"'
        halves.append(f'<rect x="{at_x:g}" y="{at_y:g}" width="{w:g}" height="{h:g}" stroke="{GREY}" {look}/>')
        if half == rank:
            halves.append(text(at_x + w / 2, at_y + h / 2, name, bold=True))
    return "".join(halves)


def lane(rank: int) -> list[str]:
    y, rows, columns = LANES[rank], ("upper", "lower")[rank], ("left", "right")[rank]
    return [
        pill(206, y - 52, 70, f"rank {rank}", bold=True),
        arrow(f"M98 {MIDDLE} H116 V{y} H141"),
        matrix(172, y, 60, 72, "w1", rank, rows=True),
        matrix(240, y, 60, 72, "w3", rank, rows=True),
        pill(206, y + 54, 170, f"{rows} half of the rows"),
        arrow(f"M272 {y} H299"),
        box(357, y, 114, "half of the", "hidden units", small="silu and ×"),
        arrow(f"M414 {y} H439"),
        matrix(480, y, 80, 60, "w2", rank, rows=False),
        pill(480, y + 54, 178, f"{columns} half of the columns"),
        arrow(f"M522 {y} H579"),
        box(634, y, 108, "a summand of", "every output"),
        arrow(f"M688 {y} H716 V{MIDDLE + (18 if rank else -18)}"),
    ]


def draw() -> str:
    parts = [
        box(54, MIDDLE, 88, "x, whole", "on both"),
        *lane(0),
        *lane(1),
        f'<circle cx="716" cy="{MIDDLE}" r="16" fill="{CREAM}" stroke="{VERMILLION}" stroke-width="3"/>',
        text(716, MIDDLE - 1, "+", 18, bold=True),
        box(634, MIDDLE, 120, "all_reduce", small="the one exchange"),
        arrow(f"M733 {MIDDLE} H757"),
        box(804, MIDDLE, 92, "the result,", "whole,", "on both"),
    ]
    return page(856, 304, "The feed-forward network of a block on two ranks", DESC, parts)


if __name__ == "__main__":
    (Path(__file__).parent / "two-ranks.svg").write_text(draw(), encoding="utf-8")
