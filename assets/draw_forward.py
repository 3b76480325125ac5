"""Draw the way from token ids to logits: the residual stream, the parts of a block beside it, every shape.

python assets/draw_forward.py writes assets/forward-map.svg.
"""

from __future__ import annotations

from pathlib import Path

INK, PAPER, PALE, STREAM = "#1a1a1a", "#ffffff", "#eef4f8", "#0072B2"
WIDTH, HEIGHT, RAIL = 1000, 236, 176  # RAIL: where the residual stream runs


def box(x: float, y: float, width: float, name: str, fill: str = PALE) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="34" rx="6" fill="{fill}" stroke="#7a8a94"/>'
        f'<text x="{x + width / 2}" y="{y + 21}" text-anchor="middle" fill="{INK}">{name}</text>'
    )


def note(x: float, y: float, text: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="middle" fill="{INK}" font-size="11">{text}</text>'


def arrow(path: str, colour: str = INK, width: float = 1.4) -> str:
    tip = "blue" if colour == STREAM else "tip"
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}" marker-end="url(#{tip})"/>'


def plus(x: float) -> str:
    return (
        f'<circle cx="{x}" cy="{RAIL}" r="11" fill="{PAPER}" stroke="{STREAM}" stroke-width="2"/>'
        f'<text x="{x}" y="{RAIL + 5}" text-anchor="middle" fill="{INK}" font-size="16">+</text>'
    )


def branch(x: float, norm: str, part: str) -> list[str]:
    """Up from the stream at x, through the norm and the part, and down into a plus."""
    end = x + 254
    return [
        arrow(f"M{x} {RAIL} V95 H{x + 14}"),
        box(x + 16, 78, 106, norm),
        arrow(f"M{x + 122} 95 h14"),
        box(x + 138, 78, 96, part, "#f7e3b5"),
        arrow(f"M{x + 234} 95 H{end} V{RAIL - 13}"),
    ]


def draw() -> str:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" font-family="sans-serif" font-size="12">',
        "<title>From token ids to logits: the residual stream and what reads from it and adds to it</title>",
        "<defs>",
        *(
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="{size}" markerHeight="{size}" '
            f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{colour}"/></marker>'
            for name, colour, size in (("tip", INK, 8), ("blue", STREAM, 13))
        ),
        "</defs>",
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
        '<rect x="176" y="30" width="572" height="180" rx="10" fill="none" stroke="#7a8a94" stroke-dasharray="6 4"/>',
        note(462, 50, "one block of n_layers"),
        box(14, RAIL - 17, 112, "tok_embeddings"),
        arrow(f"M126 {RAIL} H442", STREAM, 4),
        arrow(f"M460 {RAIL} H716", STREAM, 4),
        arrow(f"M730 {RAIL} H777", STREAM, 4),
        *branch(200, "attention_norm", "attention"),
        *branch(474, "ffn_norm", "feed_forward"),
        plus(454),
        plus(728),
        box(778, RAIL - 17, 62, "norm"),
        arrow(f"M840 {RAIL} h20"),
        box(862, RAIL - 17, 76, "output"),
        arrow(f"M938 {RAIL} h32"),
        arrow(f"M70 116 V{RAIL - 19}"),
        note(70, 94, "token ids"),
        note(70, 108, "(bsz, seqlen)"),
        note(320, RAIL + 22, "residual stream (bsz, seqlen, dim)"),
        note(594, RAIL + 22, "(bsz, seqlen, dim)"),
        note(888, RAIL + 36, "logits"),
        note(888, RAIL + 50, "(bsz, seqlen, vocab_size)"),
    ]
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    (Path(__file__).parent / "forward-map.svg").write_text(draw(), encoding="utf-8")
