"""Draw the way from token ids to logits: the residual stream, the parts of a block above it, every shape.

python assets/draw_forward.py writes assets/forward-map.svg.
"""

from __future__ import annotations

from pathlib import Path

from minillama.svg import BLUE, CREAM, GREY, arrow, box, page, pill, text

RAIL, NORM, PART = 214, 138, 72  # where the residual stream runs, and the middles of what stands above it
DESC = (
    "From left to right: token ids, tok_embeddings, the residual stream. In each block attention_norm and attention, "
    "then ffn_norm and feed_forward, read from the stream and are added to it. Then norm, output, logits."
)


def plus(x: float) -> str:
    circle = f'<circle cx="{x}" cy="{RAIL}" r="11" fill="{CREAM}" stroke="{BLUE}" stroke-width="2"/>'
    return circle + text(x, RAIL - 1, "+", 16)


def branch(x: float, norm: str, part: str) -> list[str]:
    """Up from the stream at x, through the norm and the part, and down into a plus."""
    return [
        arrow(f"M{x} {RAIL} V{NORM + 17}"),
        box(x, NORM, 126, norm),
        arrow(f"M{x} {NORM - 16} V{PART + 17}"),
        box(x, PART, 126, part, fill=CREAM),
        arrow(f"M{x + 63} {PART} H{x + 80} V{RAIL - 12}"),
        plus(x + 80),
    ]


def draw() -> str:
    parts = [
        f'<rect x="150" y="28" width="338" height="232" rx="10" fill="none" stroke="{GREY}" stroke-dasharray="6 4"/>',
        pill(319, 28, 180, "one block of n_layers"),
        arrow(f"M128 {RAIL} H291", BLUE, 4),
        arrow(f"M314 {RAIL} H451", BLUE, 4),
        arrow(f"M474 {RAIL} H509", BLUE, 4),
        *branch(222, "attention_norm", "attention"),
        *branch(382, "ffn_norm", "feed_forward"),
        box(65, 138, 118, "token ids", small="(bsz, seqlen)"),
        arrow(f"M65 162 V{RAIL - 17}"),
        box(65, RAIL, 126, "tok_embeddings"),
        pill(319, 242, 268, "residual stream (bsz, seqlen, dim)"),
        box(540, RAIL, 58, "norm"),
        arrow(f"M569 {RAIL} h24"),
        box(632, RAIL, 74, "output"),
        arrow(f"M632 {RAIL + 16} v24"),
        box(602, 279, 188, "logits", small="(bsz, seqlen, vocab_size)"),
    ]
    return page(700, 310, "From token ids to logits", DESC, parts)


if __name__ == "__main__":
    (Path(__file__).parent / "forward-map.svg").write_text(draw(), encoding="utf-8")
