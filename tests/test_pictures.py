"""The drawings in assets/: drawn by their scripts, seen on white and on dark, and no writing leaves its box."""

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib import font_manager

from minillama.words import LANGUAGES
from tests.test_figures import GROUNDS, contrast

ASSETS = Path(__file__).parents[1] / "assets"
PICTURES = sorted(ASSETS.glob("*.svg"))
TRANSLATED = sorted(path for language in LANGUAGES for path in (ASSETS / language).glob("*.svg"))
SPACE = "{http://www.w3.org/2000/svg}"


def drawn():
    """{name: what its script draws}"""
    scripts = {path.stem: runpy.run_path(str(path)) for path in ASSETS.glob("draw_*.py")}
    loop = scripts["draw_loop"]
    return {f"loop-{step}": loop["draw"](step) for step in loop["STEPS"]} | {
        "flowchart": scripts["draw_flowchart"]["picture"](),
        "forward-map": scripts["draw_forward"]["draw"](),
        "two-ranks": scripts["draw_ranks"]["draw"](),
        "checkpoint-files": scripts["draw_checkpoints"]["files"](),
        "real-models": scripts["draw_checkpoints"]["layouts"](),
    }


def test_each_is_what_its_script_draws():
    expected = drawn()
    assert {path.stem for path in PICTURES} == {*expected}
    changed = [path.stem for path in PICTURES if path.read_text(encoding="utf-8") != expected[path.stem]]
    assert changed == [], "run assets/draw_*.py"


def width(words: str, size: float, bold: bool) -> float:
    """In DejaVu Sans, the widest font that a page may take; Chinese is as wide as it is high."""
    words, wide = re.subn("[\u2e80-\uffff]", "", words)
    font = font_manager.get_font(
        font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal"))
    )
    font.set_size(size, 72)
    font.set_text(words)
    return font.get_width_height()[0] / 64 + wide * size


def faults(picture: str) -> list[str]:
    """What cannot be read or seen: writing over an edge or without a ground, lines that one ground swallows."""
    root = ElementTree.fromstring(picture)
    _, _, room_x, room_y = map(float, root.get("viewBox").split())
    grounds, found = [(0, 0, room_x, room_y, "none")], []
    for part in root.iter():
        number = {name: float(value) for name, value in part.attrib.items() if re.fullmatch(r"-?[\d.]+", value)}
        if part.tag == f"{SPACE}rect":
            grounds.append(tuple(number[name] for name in ("x", "y", "width", "height")) + (part.get("fill"),))
        if part.tag == f"{SPACE}circle":
            x, y, r = (number[name] for name in ("cx", "cy", "r"))
            grounds.append((x - r, y - r, 2 * r, 2 * r, part.get("fill")))
        if part.tag == f"{SPACE}text":
            assert part.get("text-anchor") == "middle"
            w = width(part.text, number["font-size"], part.get("font-weight") == "bold")
            x, y, size = number["x"], number["y"], number["font-size"]
            over = [
                g
                for g in grounds
                if g[4] != "none" and g[0] <= x <= g[0] + g[2] and g[1] <= y - size / 3 <= g[1] + g[3]
            ]
            if not over:
                found.append(f"{part.text!r} has no ground")
                continue
            left, top, across, down, fill = over[-1]
            if w + 6 > across or abs(x - left - across / 2) > 1 or y > top + down - 3 or y - 0.75 * size < top + 1:
                found.append(f"{part.text!r} needs {w:.0f} of {across:.0f}")
            if contrast(part.get("fill"), fill) < 4.5:
                found.append(f"{part.text!r} on {fill}")
        line = part.get("stroke") if part.tag != f"{SPACE}marker" else None
        if line and min(contrast(line, ground) for ground in GROUNDS) < 3:
            found.append(f"a line in {line}")
    found += [f"{g} is outside" for g in grounds if not (0 <= g[0] and g[0] + g[2] <= room_x and g[1] + g[3] <= room_y)]
    return found + [f"{a} covers {b}" for k, b in enumerate(grounds) for a in grounds[k + 1 :] if overlap(a, b)]


def overlap(one, other) -> bool:
    """Whether two filled shapes cross, neither of them inside the other."""
    if "none" in (one[4], other[4]):
        return False
    (a, b, c, d), (e, f, g, h) = ((x, y, x + w, y + tall) for x, y, w, tall, _ in (one, other))
    return a < g and e < c and b < h and f < d


@pytest.mark.parametrize("path", PICTURES + TRANSLATED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_everything_can_be_read_on_both_grounds(path):
    picture = path.read_text(encoding="utf-8")
    assert faults(picture) == []
    root = ElementTree.fromstring(picture)
    title, desc = (width(root.find(f"{SPACE}{tag}").text, 10, bold=False) for tag in ("title", "desc"))
    assert root.get("role") == "img" and title > 50 and desc > 400 and float(root.get("width")) <= 860


def test_a_fault_is_found():
    from minillama import svg

    def of(*parts):
        return faults(svg.page(300, 100, "", "", list(parts)))

    assert of(svg.box(100, 50, 120, "whole", small="small")) == []
    assert of(svg.box(100, 50, 60, "the result, whole")) == ["'the result, whole' needs 107 of 60"]
    assert of(svg.box(100, 50, 60, "每个输出的")) == ["'每个输出的' needs 65 of 60"]
    assert of(svg.text(100, 50, "alone")) == ["'alone' has no ground"]
    assert of(svg.arrow("M0 0 H9", "#ffff00")) == ["a line in #ffff00"]
    assert of(svg.box(280, 50, 120, "x"))[0].endswith("is outside")
    assert "covers" in of(svg.box(100, 50, 120, "x"), svg.pill(150, 60, 100, "y"))[-1]
    assert of(svg.box(100, 50, 90, "x", fill="#333333")) == ["'x' on #333333"]
