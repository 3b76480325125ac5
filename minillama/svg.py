"""Pictures as SVG: colours that can be seen on a white page and on a dark one, and the parts that are drawn with them.

A picture has no ground of its own. What lies on the page's ground, lines and arrows, has a contrast of 3 or more with
white and with JupyterLab's dark #111. Writing needs 4.5, which no one colour has on both, so all of it stands on a
filled box or pill.
"""

from __future__ import annotations

from minillama.markup import escape

BLUE, VERMILLION, GREEN, PURPLE = LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito's
GREY, INK = "#8c8c8c", "#767676"
SKY, ORANGE, PALE, CREAM, MINT, HAZE = FILLS = ("#56B4E9", "#E69F00", "#dfe6ec", "#f7e3b5", "#bfe8d8", "#e8eef3")
DARK = "#1a1a1a"  # writing on one of FILLS
FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"  # the last is the widest


def page(width: float, height: float, title: str, desc: str, parts: list[str], size: int = 13) -> str:
    """A whole picture for an <img>; size: of its writing."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" font-family="{FONTS}" font-size="{size}">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(desc)}</desc>",
            tips(),
            *parts,
            "</svg>\n",
        ]
    )


def tips() -> str:
    """The heads of arrows, one for each colour of a line."""
    heads = "".join(
        f'<marker id="ml-tip-{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{colour}"/></marker>'
        for name, colour in (("ink", INK), ("blue", BLUE))
    )
    return f"<defs>{heads}</defs>"


def arrow(path: str, colour: str = INK, width: float = 1.6, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="5 3"' if dashed else ""
    tip = "blue" if colour == BLUE else "ink"
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes} '
        f'marker-end="url(#ml-tip-{tip})"/>'
    )


def text(x: float, y: float, words: str, size: int = 13, bold: bool = False) -> str:
    """A line of writing around (x, y)."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y + 0.36 * size:g}" text-anchor="middle" fill="{DARK}" '
        f'font-size="{size}"{weight}>{escape(words)}</text>'
    )


def box(
    x: float,
    y: float,
    width: float,
    *lines: str,
    fill: str = PALE,
    small: str = "",
    marked: bool = False,
    round: int = 6,
) -> str:
    """A box around (x, y) with some lines of writing, the last in small print; marked: bold, with a heavy edge."""
    step, size = 17, 13
    height = step * (len(lines) + bool(small)) + 14
    first = y - step * (len(lines) + bool(small) - 1) / 2
    written = [text(x, first + step * k, line, size, bold=marked) for k, line in enumerate(lines)]
    if small:
        written.append(text(x, first + step * len(lines), small, 12))
    edge = f'stroke="{INK}" stroke-width="{2.5 if marked else 1}"'
    rect = f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" height="{height:g}"'
    return f'{rect} rx="{round}" fill="{fill}" {edge}/>{"".join(written)}'


def pill(x: float, y: float, width: float, words: str, bold: bool = False, size: int = 12) -> str:
    """A label around (x, y): writing needs a ground."""
    rect = f'<rect x="{x - width / 2:g}" y="{y - 10:g}" width="{width:g}" height="20" rx="10" fill="{HAZE}"/>'
    return rect + text(x, y, words, size, bold)
