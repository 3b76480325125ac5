"""Static figures: what a reader sees who has no kernel to move a slider."""

from __future__ import annotations

import re
from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.figure import Figure
from torch import Tensor

from minillama.markup import BLUE, GREY, VERMILLION
from minillama.sampling import nucleus

CJK_FONTS = (
    "Noto Sans CJK SC", "Source Han Sans SC", "Noto Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
    "Droid Sans Fallback", "PingFang SC", "Hiragino Sans GB", "Heiti SC", "Microsoft YaHei", "SimHei",
)  # fmt: skip
_CJK_FILES = re.compile(r"cjk|wqy|sourcehan|notosanssc|pingfang|yahei|msyh|simhei|heiti|droidsansfallback", re.I)


def find_cjk_font() -> str | None:
    """The name of an installed font that has Chinese characters, ready for matplotlib; None if there is none."""
    known = {font.name for font in font_manager.fontManager.ttflist}
    if not known.intersection(CJK_FONTS):  # matplotlib's list may be older than the font
        for path in filter(_CJK_FILES.search, font_manager.findSystemFonts()):
            font_manager.fontManager.addfont(path)
        known = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in CJK_FONTS if name in known), None)


def plot_nucleus(pieces: Sequence[str], probs: Tensor, p: float, n_bars: int = 12) -> Figure:
    """Bars of the most probable tokens of probs (vocab_size,), kept or cut at p, and the mass before each."""
    top = nucleus(probs, p)
    n_bars = min(n_bars, len(probs))
    names = [pieces[i] for i in top.probs_idx[:n_bars].tolist()]
    kept = top.kept[:n_bars].tolist()
    font = find_cjk_font()
    names = names if font else [name.encode("ascii", "backslashreplace").decode() for name in names]
    with plt.rc_context({"font.family": ["DejaVu Sans", *([font] if font else [])]}):
        figure, ax = plt.subplots(figsize=(7.5, 3), layout="constrained", facecolor="white")
        places = range(n_bars)
        bars = ax.bar(places, top.probs_sort[:n_bars].tolist(), color=[BLUE if keep else "white" for keep in kept])
        for bar, keep in zip(bars, kept, strict=True):
            bar.set(edgecolor=BLUE if keep else GREY, hatch=None if keep else "///")
        ax.plot(places, top.mass_before[:n_bars].tolist(), "o-", color="black", ms=4, lw=1, label="mass before it")
        ax.axhline(p, color=VERMILLION, ls="--", label=f"top_p = {p:g}")
        ax.bar([0], [0], color=BLUE, label="probability, kept")
        ax.bar([0], [0], color="white", edgecolor=GREY, hatch="///", label="probability, cut")
        ax.set_xticks(places, names, rotation=30, ha="right")
        ax.set(ylim=(0, 1.05), ylabel="probability")
        ax.legend(frameon=False, fontsize=8, loc="center right")
        plt.close(figure)  # shown once, as the cell's value
    return figure
