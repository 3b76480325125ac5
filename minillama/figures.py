"""What all matplotlib figures share: their colours, their fonts, their page, and the words that say what they show.

A figure has no ground of its own, and its colours are those of `svg`. Writing and axes are drawn in INK, and on a page
in the colour of the page's text.
"""

from __future__ import annotations

import base64
import functools
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure

from minillama.markup import escape, wrap
from minillama.svg import INK
from minillama.words import say

_COLOURS = dict.fromkeys(
    ("axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "text.color", "legend.labelcolor", "patch.edgecolor",
     "xtick.color", "ytick.color"), INK,
) | {"axes.facecolor": "none", "figure.facecolor": "none", "legend.frameon": False, "legend.fontsize": 8}  # fmt: skip

CJK_FONTS = (
    "Noto Sans CJK SC", "Source Han Sans SC", "Noto Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
    "Droid Sans Fallback", "PingFang SC", "Hiragino Sans GB", "Heiti SC", "Microsoft YaHei", "SimHei",
)  # fmt: skip
LONGEST_PIECE, LONGEST_NAME = 24, 60  # characters that are drawn of a token, and of any other name
_CJK_FILES = re.compile(r"cjk|wqy|sourcehan|notosanssc|pingfang|yahei|msyh|simhei|heiti|droidsansfallback", re.I)

# Of matplotlib's SVG: what a page has no use for, and a style sheet that would hold for the whole page.
_LEFT_OUT = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", re.S)
_GROUPS = re.compile(r'<g id="[\w.]+">')  # ids that nothing refers to, and that every figure has


class Drawing(Figure):
    """A Figure that a notebook shows in the colours of its page: as SVG, and as an image where a page allows no SVG.

    alt: what is to be seen, in words; it is what a screen reader reads, and a terminal shows.
    """

    alt = ""

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        page, image = io.StringIO(), io.BytesIO()
        with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": self.alt}):  # ids that no other figure has
            self.savefig(page, format="svg")
            self.savefig(image, format="png", dpi=100)
        alt, width = escape(self.alt), f"{100 * self.get_figwidth():.0f}"
        svg = _GROUPS.sub("<g>", _LEFT_OUT.sub("", page.getvalue())).replace(INK, "currentColor")
        head = f'<svg role="img" aria-label="{alt}" stroke-linejoin="round" style="width: {width}px"'
        png = base64.b64encode(image.getvalue()).decode()
        img = f'<img alt="{alt}" width="{width}" src="data:image/png;base64,{png}">'
        return wrap(svg.strip().replace("<svg", head, 1) + img, "ml-figure")


@contextmanager
def new_figure(*grid: int, figsize: tuple[float, float], **options) -> Iterator:
    """A Drawing and its axes, as `plt.subplots` makes them, in which no text is taken for mathematics: "$" is a "$".

    pyplot does not know it, so that a notebook shows it only once, as the value of the cell.
    """
    with matplotlib.rc_context({**_COLOURS, "font.family": _font_names(), "text.parse_math": False}):
        figure = Drawing(figsize=figsize, layout="constrained")
        yield figure, figure.subplots(*grid, **options)


def legend(ax, names: Sequence[str], longest: int = LONGEST_NAME, **options) -> None:
    """Name the first lines of ax. Their labels would do, but matplotlib leaves out those that begin with "_"."""
    ax.legend(ax.lines[: len(names)], [literal(name, longest) for name in names], **options)


def listing(parts: Iterable[str], most: int = 6) -> str:
    """The first parts of a list, and how many more there are.

    >>> listing(["a", "b", "c"]), listing("abc", most=1)
    ('a; b; c', 'a; and 2 more')
    """
    parts = list(parts)
    more = [say("and {n} more", n=len(parts) - most)] if len(parts) > most else []
    return joined("{one}; {other}", parts[:most] + more)


def commas(parts: Iterable[str]) -> str:
    """
    >>> commas(["a", "b", "c"])
    'a, b, c'
    """
    return joined("{one}, {other}", parts)


def joined(template: str, parts: Iterable[str]) -> str:
    parts = list(parts)
    return functools.reduce(lambda one, other: say(template, one=one, other=other), parts) if parts else ""


def short(number: float) -> str:
    """A number as it is read out.

    >>> short(1234.5), short(0.12345)
    ('1,234', '0.123')
    """
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


@functools.cache
def find_cjk_font() -> str | None:
    """The name of an installed font with Chinese characters, ready for matplotlib; None if there is none."""
    known = {font.name for font in font_manager.fontManager.ttflist}
    if not known.intersection(CJK_FONTS):  # matplotlib's list may be older than the font
        for path in filter(_CJK_FILES.search, font_manager.findSystemFonts()):
            font_manager.fontManager.addfont(path)
        known = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in CJK_FONTS if name in known), None)


def literal(text: str, longest: int = LONGEST_NAME) -> str:
    """text as a figure shows it: at most `longest` characters, and an ellipsis if there are more.

    A character that cannot be printed, or that no font has, is replaced by its escape sequence.

    >>> literal("$x$ \\n"), literal("a" * 99, longest=3)
    ('$x$ \\\\n', 'aaa…')
    """
    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in _font_names()]
    shown = ""
    for c in text:
        known = c.isprintable() and any(font.get_char_index(ord(c)) for font in fonts)
        c = c if known else c.encode("unicode_escape").decode()
        if len(shown) + len(c) > longest:
            return f"{shown}…"
        shown += c
    return shown


def written(template: str, **gaps: object) -> str:
    """What `say` says, as a figure writes it: in English where no font has the letters of the language."""
    words = say(template, **gaps)
    return words if literal(words, len(words)) == words else template.format(**gaps)


def _font_names() -> list[str]:
    font = find_cjk_font()
    return ["DejaVu Sans", font] if font else ["DejaVu Sans"]
