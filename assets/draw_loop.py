"""Draw the picture that opens every notebook: the generate loop, with the step that the notebook is about marked.

python assets/draw_loop.py writes assets/loop-<step>.svg for each step.
"""

from __future__ import annotations

from pathlib import Path

from minillama.svg import ORANGE, PALE, arrow, box, page, pill

STEPS = {  # what its box says, and the box's width
    "encode": ("text → ids", 88),
    "canvas": ("canvas", 68),
    "forward": ("forward", 74),
    "temperature": ("temperature", 106),
    "top-p": ("top_p", 60),
    "next-token": ("next_token", 100),
    "write": ("write column", 110),
    "decode": ("ids → text", 88),
}
GAP, LEFT, MIDDLE, ABOVE = 16, 8, 64, 16  # the middle of the boxes, and of the way back


def draw(here: str) -> str:
    xs, x = {}, LEFT
    for step, (_, width) in STEPS.items():
        xs[step], x = x + width / 2, x + width + GAP
    parts = []
    for step, (words, width) in STEPS.items():
        marked = step == here
        parts.append(box(xs[step], MIDDLE, width, words, fill=ORANGE if marked else PALE, marked=marked))
        if step != "decode":
            parts.append(arrow(f"M{xs[step] + width / 2:g} {MIDDLE} h{GAP - 1}"))
    parts.append(arrow(f"M{xs['write']:g} {MIDDLE - 16} V{ABOVE} H{xs['forward']:g} V{MIDDLE - 17}"))
    parts.append(pill((xs["write"] + xs["forward"]) / 2, ABOVE, 310, "until every row has eos, or the canvas is full"))
    title = f"The generate loop; this notebook is about {STEPS[here][0]}"
    ways = ", ".join(words for words, _ in STEPS.values())
    desc = f"From left to right: {ways}; from write column an arrow leads back to forward. {STEPS[here][0]} is marked."
    return page(x - GAP + LEFT, 90, title, desc, parts)


if __name__ == "__main__":
    for step in STEPS:
        (Path(__file__).parent / f"loop-{step}.svg").write_text(draw(step), encoding="utf-8")
