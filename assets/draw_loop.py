"""Draw the picture that opens every notebook: the generate loop, with the step that the notebook is about marked.

python assets/draw_loop.py writes assets/loop-<step>.svg for each step.
"""

from __future__ import annotations

from pathlib import Path

STEPS = {
    "encode": "text → ids",
    "canvas": "canvas",
    "forward": "forward",
    "temperature": "temperature",
    "top-p": "top_p",
    "next-token": "next_token",
    "write": "write column",
    "decode": "ids → text",
}
WIDTH, HEIGHT, GAP, LEFT, TOP = 92, 34, 12, 14, 44
INK, PAPER, MARK, PALE = "#1a1a1a", "#ffffff", "#E69F00", "#eef4f8"


def draw(here: str) -> str:
    right = LEFT + len(STEPS) * (WIDTH + GAP) - GAP
    middle = TOP + HEIGHT / 2
    xs = {step: LEFT + k * (WIDTH + GAP) for k, step in enumerate(STEPS)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right + LEFT} 96" width="{right + LEFT}" height="96" '
        f'role="img" font-family="sans-serif" font-size="12">',
        f"<title>The generate loop; this notebook is about {STEPS[here]}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{INK}"/></marker></defs>',
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
    ]
    for step, x in xs.items():
        fill, stroke, weight = (MARK, INK, "bold") if step == here else (PALE, "#7a8a94", "normal")
        parts.append(
            f'<rect x="{x}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{fill}" stroke="{stroke}" '
            f'stroke-width="{2 if step == here else 1}"/><text x="{x + WIDTH / 2}" y="{middle + 4}" '
            f'text-anchor="middle" fill="{INK}" font-weight="{weight}">{STEPS[step]}</text>'
        )
        if step == here:
            parts.append(
                f'<text x="{x + WIDTH / 2}" y="{TOP + HEIGHT + 14}" text-anchor="middle" fill="{INK}">▲</text>'
            )
        if step != "decode":
            parts.append(f'<path d="M{x + WIDTH} {middle} h{GAP}" stroke="{INK}" marker-end="url(#tip)"/>')
    start, end = xs["write"] + WIDTH / 2, xs["forward"] + WIDTH / 2
    parts.append(
        f'<path d="M{start} {TOP} V24 H{end} V{TOP}" fill="none" stroke="{INK}" marker-end="url(#tip)"/>'
        f'<text x="{(start + end) / 2}" y="18" text-anchor="middle" fill="{INK}">until every row has reached eos</text>'
    )
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    for step in STEPS:
        (Path(__file__).parent / f"loop-{step}.svg").write_text(draw(step), encoding="utf-8")


if __name__ == "__main__":
    main()
