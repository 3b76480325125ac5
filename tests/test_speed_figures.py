"""The figures of the notebooks on the cost of a token and on speed."""

import re

import pytest

from minillama import speed_plots

NEAR, FAR = {"linears": 3.0, "attention": 0.1, "Python": 0.9}, {"linears": 2.0, "attention": 6.0, "Python": 0.0}


def rects(page):
    """(x, width, fill) of every part of every bar."""
    pattern = r'<rect x="([0-9.]+)" y="\d+" width="([0-9.]+)" height="28" fill="url\(#([a-z0-9-]+)\)"'
    return [(float(x), float(width), fill) for x, width, fill in re.findall(pattern, page)]


def test_an_account_is_a_bar_whose_parts_are_100_percent():
    picture = speed_plots.bars({"64 tokens": NEAR, "4096 tokens": FAR})
    for parts, account in zip((rects(picture.page)[:3], rects(picture.page)[3:]), (NEAR, FAR), strict=True):
        widths = [7 * 100 * each / sum(account.values()) for each in account.values()]
        assert [width for _, width, _ in parts] == pytest.approx(widths, abs=0.1)
        assert [x for x, _, _ in parts] == pytest.approx([0, widths[0], widths[0] + widths[1]], abs=0.1)
        assert len({fill for _, _, fill in parts}) == 3
    page = picture.page
    assert len(set(re.findall(r'<path d="([^"]*)" stroke', page))) == 4, "colour is not the only sign"
    assert re.findall(r">(\d+)%<", page) == ["75", "22", "25", "75"], "a part too narrow for it has no number"
    assert re.findall(r">([^<>]+ ms)<", page) == ["64 tokens: 4.00 ms", "4096 tokens: 8.00 ms"]


def test_whoever_sees_no_bar_reads_its_parts():
    words = "64 tokens, 4.00 ms: linears 75%, attention 2%, Python 22%"
    picture = speed_plots.bars({"64 tokens": NEAR})
    assert repr(picture) == words
    assert 'role="img"' in picture.page and f"<title>{words}</title>" in picture.page


def test_an_account_of_nothing():
    assert repr(speed_plots.bars({"a": {"b": 0.0}})) == "a, 0.00 ms: b 0%"


def test_names_in_a_bar_are_escaped():
    picture = speed_plots.bars({"<script>": {"<b>": 1.0}})
    assert "<script>" not in picture.page and "<b>" not in picture.page and "&lt;script&gt;" in picture.page


def test_accounts_have_the_same_parts():
    with pytest.raises(ValueError, match=r"accounts\['two'\] must have the parts \['a'\], in this order; got \['b'\]"):
        speed_plots.bars({"one": {"a": 1.0}, "two": {"b": 1.0}})


def test_a_row_in_time_is_a_bar_of_its_calls():
    rows = {"row 0": ["prompt"] + 6 * ["generated"] + ["filled on"], "row 1": 2 * ["prompt"] + [""] + 3 * ["generated"]}
    picture = speed_plots.timeline(rows)
    one = 580 / 8  # the longest row has eight calls
    drawn = rects(picture.page)
    assert [x for x, _, _ in drawn] == pytest.approx([120 + one * n for n in (0, 1, 7, 0, 3)], abs=0.1)
    assert [width for _, width, _ in drawn] == pytest.approx([one * n for n in (1, 6, 1, 2, 3)], abs=0.1)
    fills = [fill for _, _, fill in drawn]
    assert fills == [fills[0], fills[1], fills[2], fills[0], fills[1]] and len({*fills}) == 3
    assert re.findall(r">(\d+)<", picture.page) == ["1", "6", "1", "2", "3"]
    assert [re.findall(rf'y="(\d+)"[^>]*>{name}<', picture.page) for name in ("row 0", "row 1")] == [["53"], ["89"]]
    words = ["row 0: prompt 1, generated 6, filled on 1", "row 1: prompt 2, nothing 1, generated 3"]
    assert repr(picture) == "\n".join(words) and f"<title>{'; '.join(words)}</title>" in picture.page


def test_a_row_without_calls_has_no_bar():
    assert (
        rects(speed_plots.timeline({"a": []}).page) == [] and repr(speed_plots.timeline({"a": [""]})) == "a: nothing 1"
    )
    assert "<i>" not in speed_plots.timeline({"<i>": ["<i>"]}).page


def test_curves_are_told_apart_without_colour():
    curves = {"measured": [1.0, 2.0, 4.0], "computed": [1.0, 1.5, 2.0]}
    ax = speed_plots.plot_curves([1, 2, 4], curves, "MiB", "ms", log="x", marks={"the model": 3.0}).axes[0]
    assert list(ax.lines[0].get_ydata()) == curves["measured"]
    assert len({(repr(line._dash_pattern), line.get_marker()) for line in ax.lines}) == 3
    assert ax.get_xscale() == "log" and ax.get_yscale() == "linear" and ax.get_ylim()[0] == 0
    assert list(ax.lines[2].get_xdata()) == [3.0, 3.0]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    styles = [line.get_linestyle() for line in ax.get_legend().get_lines()]
    assert names == ["measured", "computed", "the model"] and styles == [line.get_linestyle() for line in ax.lines]


@pytest.mark.parametrize(("log", "scales"), [("", ("linear", "linear")), ("xy", ("log", "log"))])
def test_curves_have_the_axes_asked_for(log, scales):
    ax = speed_plots.plot_curves([1, 10], {"measured": [1, 100]}, "x", "y", log=log).axes[0]
    assert (ax.get_xscale(), ax.get_yscale()) == scales


def test_batch_shows_both_sides():
    throughput, latency = speed_plots.plot_batch([1, 4], [0.002, 0.004]).axes
    assert list(throughput.lines[0].get_ydata()) == pytest.approx([500, 1000])
    assert list(latency.lines[0].get_ydata()) == pytest.approx([2, 4])
    assert throughput.lines[0].get_marker() != latency.lines[0].get_marker()
