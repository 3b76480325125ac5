"""Every figure can be seen on a white page and on a dark one, and says in words what is to be seen."""

import html
import re
from xml.etree import ElementTree

import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.text import Text

import minillama
from minillama import figures, plots, speed_plots, svg

GROUNDS = ("#ffffff", "#111111")  # of JupyterLab's outputs, light and dark
NAMES = ["<b>", "▁a", "天", "the"]
PROBS = torch.tensor([0.5, 0.3, 0.15, 0.05])
WEIGHTS = torch.tensor([[1.0, 0, 0, 0], [0.9, 0.1, 0, 0], [0.2, 0.7, 0.1, 0], [0.1, 0.1, 0.2, 0.6]])
TURNS = torch.outer(torch.arange(3), torch.tensor([1, 0.1]))
MASK, COLUMN, CANDIDATE = torch.tensor([True, False]), torch.tensor([6, -1]), torch.tensor([3, 4])
SHOWN = {  # the figure, and what its words say
    "nucleus": (
        lambda: plots.plot_nucleus(NAMES, PROBS, 0.8),
        "top_p = 0.8 2 tokens are kept, with 0.8 of the mass: <b> 0.5; ▁a 0.3. Cut: 天 0.15; the 0.05.",
    ),
    "rotation": (
        lambda: plots.plot_rotation(torch.polar(torch.ones(3, 2), TURNS), [0, 1]),
        "2 pairs, with a hand for each of 3 positions. From one position to the next the hand turns: pair 0 by 1 rad; "
        "pair 1 by 0.1 rad.",
    ),
    "attention": (
        lambda: plots.plot_attention(NAMES, WEIGHTS, "layer 1"),
        "4 tokens by 4: layer 1. Each looks at itself and at those before it, most of all: <b> at <b>, 1; "
        "▁a at <b>, 0.9; 天 at ▁a, 0.7; the at the, 0.6.",
    ),
    "temperatures": (
        lambda: plots.plot_temperatures(NAMES, PROBS.log(), (1.0, 2.0), {1: 0.4, 0: 0.6}),
        "of ▁a, <b>: at 1: 0.3, 0.5; at 2: 0.29, 0.38; truth: 0.4, 0.6.",
    ),
    "entropy": (lambda: plots.plot_entropy({"<b>": PROBS.log()}, 2.0), "towards 1.39, where"),
    "cache": (
        lambda: plots.plot_cache([(0, 3), (3, 4)], NAMES),
        "2 calls of forward by 4 slots of the cache. Columns 0:3 writes 3 and reads 0; 3:4 writes 1 and reads 3.",
    ),
    "token_cost": (
        lambda: plots.plot_token_cost([1, 9], {"<b>": [1e6, 2e9]}, {"<b>": [0.5, 1]}),
        "of 1 tokens to one of 9. In million multiplications, counted: <b> 1 to 2,000. In milliseconds, measured here: "
        "<b> 0.5 to 1.",
    ),
    "where": (
        lambda: plots.plot_where(MASK, COLUMN, CANDIDATE, ["<b>", "pad"]),
        "<b>: True, so 6 of the canvas is taken, not 3; pad: False, so the candidate 4 is taken, not -1.",
    ),
    "calibration": (
        lambda: plots.plot_calibration({"<b>": [(0.5, 0.4), (0.5, 0.2)], "zh": [(0.1, 0.1), (0.1, 0.25)]}),
        "Within a factor of 2 of it lie: <b>: 1 of 2; zh: 1 of 2.",
    ),
    "rank_memory": (
        lambda: speed_plots.plot_rank_memory({"<b>": {1: (2**31, 2**30), 2: (2**30, 2**29)}}, [24 * 2**30]),
        "by ranks: <b> 3 on 1, 1.5 on 2. Lines of GPUs with 24 GiB.",
    ),
    "curves": (
        lambda: speed_plots.plot_curves([1, 2000], dict.fromkeys(NAMES, [1, 2]), "x", "ms", "x", {"mark": 3}),
        "Lines of ms against x, from 1 to 2,000. <b> from 1 to 2; ▁a from 1 to 2; 天 from 1 to 2; the from 1 to 2; "
        "a vertical line at 3: mark.",
    ),
    "batch": (
        lambda: speed_plots.plot_batch([1, 8], [0.002, 0.004]),
        "from 1 to 8 rows: throughput: tokens per second, all rows from 500 to 2,000; latency: milliseconds per step "
        "from 2 to 4.",
    ),
}  # fmt: skip


def contrast(one: str, other: str) -> float:
    """Of two colours #rrggbb: from 1 to 21, as WCAG 2 defines it."""

    def luminance(colour):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return sum(share * x for share, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True)) + 0.05

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return lighter / darker


def test_contrast():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def hands():
    return ["#" + "".join(f"{round(255 * part):02x}" for part in plots.HANDS(k / 20)[:3]) for k in range(21)]


@pytest.mark.parametrize("ground", GROUNDS)
def test_what_is_drawn_can_be_seen_on_both_grounds(ground):
    found = {colour: contrast(colour, ground) for colour in (*svg.LINES, svg.GREY, svg.INK, *hands())}
    assert min(found.values()) >= 3, found


def test_writing_can_be_read_on_every_filling():
    assert min(contrast(svg.DARK, fill) for fill in svg.FILLS) >= 4.5


@pytest.mark.parametrize("name", SHOWN)
def test_a_figure_on_a_page(name):
    draw, words = SHOWN[name]
    figure = draw()
    page = figure._repr_html_()
    assert words in figure.alt and repr(figure) == figure.alt, figure.alt
    picture = re.search("<svg.*</svg>", page, re.S).group()
    root = ElementTree.fromstring(picture)
    assert (root.get("role"), root.get("aria-label")) == ("img", figure.alt)
    assert html.unescape(re.search('<img alt="([^"]*)"', page).group(1)) == figure.alt, "where no SVG is allowed"
    hand_colours = {"#" + "".join(f"{round(255 * x):02x}" for x in plots.HANDS(k / 2)[:3]) for k in range(3)}
    known = {colour.lower() for colour in (*svg.LINES, svg.GREY, *svg.FILLS, svg.DARK)} | hand_colours
    assert {*re.findall("#[0-9a-fA-F]{6}", picture)} <= known, "a colour that nobody has measured"
    assert "currentColor" in picture and "<style" not in picture and "<b>" not in page
    written = {to_hex(text.get_color()) for text in figure.findobj(Text) if text.get_text()}
    assert written <= {svg.INK, svg.DARK}, "black is what SVG writes in if it is told nothing"


@pytest.fixture
def chinese():
    minillama.language("zh")
    yield
    minillama.language("en")


@pytest.mark.skipif(figures.find_cjk_font() is None, reason="no font has Chinese letters")
@pytest.mark.parametrize("name", SHOWN)
def test_a_figure_speaks_the_language_that_is_in_use(name, chinese):
    figure = SHOWN[name][0]()
    said = [figure.alt, *(text.get_text() for text in figure.findobj(Text))]
    assert not [each for each in said if re.search("[a-z]{3,} [a-z]{2,}", each)]
    assert len(re.findall("[\u3400-\u9fff]", figure.alt)) > 10


def test_a_figure_is_english_where_no_font_has_chinese(chinese, monkeypatch):
    monkeypatch.setattr(figures, "_font_names", lambda: ["DejaVu Sans"])
    assert figures.written("pair {pair}: {step:.3g} rad per position", pair=1, step=0.5).startswith("pair 1: 0.5 rad")


def test_ids_of_two_figures_do_not_meet():
    pages = [plots.plot_entropy({name: PROBS.log()})._repr_html_() for name in "ab"]
    first, second = ({*re.findall(' id="([^"]+)"', page)} for page in pages)
    shared = {each for each in first & second if "Sans-" not in each}  # letters are the same everywhere
    assert first and not shared, shared


def test_a_long_list_is_cut():
    alt = plots.plot_attention(["x"] * 30, torch.eye(30)).alt
    assert alt.endswith("; and 22 more.") and len(alt) < 400
    assert figures.listing(["a"]) == "a" and figures.listing([]) == ""
