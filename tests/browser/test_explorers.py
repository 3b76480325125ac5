"""The explorers in a page without a kernel, opened as a file: their numbers, their keys, pointer, touch and room."""

import base64
import math

import pytest
import torch
from playwright.sync_api import expect

from minillama.logprobs import entropy
from minillama.sampling import apply_temperature, nucleus
from minillama.widgets import TemperatureExplorer, TopPExplorer, front
from minillama.widgets.labels import EN

pytestmark = pytest.mark.browser

PROMPTS = ["Through the small round window we could see", "从前，有一只小", "</script><b>bold</b>\u202e"]
WIDTHS = (829, 700, 390)
NUMBERS = """cases => cases.map(({logits, temperature, p}) => {
  const numbers = floats(logits), order = ranked(numbers);
  const probs = softmax(numbers, order, temperature), {nKept, mass} = nucleus(probs, p);
  const byId = new Float32Array(2 * numbers.length);
  probs.forEach((prob, k) => {
    byId[order[k]] = prob;
    byId[numbers.length + order[k]] = k < nKept ? prob / mass : 0;
  });
  return btoa(String.fromCharCode(...new Uint8Array(byId.buffer)));
})"""


@pytest.fixture
def blank(browser):
    """A page of its own, without JupyterLab, that counts the errors of its scripts."""
    pages, errors = [], []

    def open_page(width=829, **options):
        context = browser.new_context(viewport={"width": width + 16, "height": 900}, **options)
        pages.append(context)
        new = context.new_page()
        new.on("pageerror", lambda error: errors.append(str(error)))
        return new

    yield open_page
    for context in pages:
        context.close()
    assert not errors


@pytest.fixture
def opened(blank, tmp_path):
    """Open an explorer's page as a file."""

    def go(explorer, **options):
        path = tmp_path / "page.html"
        path.write_text(f'<!doctype html><meta charset="utf-8"><body>{explorer.page()}<p id="below">', encoding="utf-8")
        new = blank(**options)
        new.goto(path.as_uri())
        expect(new.locator(".fx")).to_have_count(1)
        expect(new.locator("[data-ml-still] > .ml")).to_have_count(0)
        return new

    return go


@pytest.fixture(scope="module")
def course():
    from minillama import Llama

    return Llama.build(device="cpu")


# ---- the numbers -----------------------------------------------------------------------------------------------------


def test_the_numbers_are_the_samplers_own(blank):
    generator = torch.Generator().manual_seed(0)

    def drawn(low, high):
        return low + (high - low) * float(torch.rand((), generator=generator))

    cases, sent = [], []
    for _ in range(1000):
        logits = torch.randn(int(drawn(2, 600)), generator=generator) * drawn(0.1, 8) + drawn(-30, 30)
        cases.append((logits, drawn(0.05, 3), drawn(0, 1)))
    cases += [(logits, temperature, p) for logits, *_ in cases[:5] for temperature in (0.0, 1.0) for p in (0.0, 1.0)]
    for logits, temperature, p in cases:
        numbers = base64.b64encode(front.packed([logits])).decode()
        sent.append({"logits": numbers, "temperature": temperature, "p": p})
    page = blank()
    page.set_content("<body>")
    page.add_script_tag(content=front.source("top_p"))
    excluded = 0
    for (logits, temperature, p), answer in zip(cases, page.evaluate(NUMBERS, sent), strict=True):
        probs, renormalised = torch.frombuffer(bytearray(base64.b64decode(answer)), dtype=torch.float32).view(2, -1)
        due = apply_temperature(logits, temperature)
        torch.testing.assert_close(probs, due, rtol=1e-4, atol=1e-7)
        top = nucleus(due, p)
        if 0 < p < 1 and bool(((top.mass_before - p).abs() <= 1e-6).any()):
            excluded += 1  # rounding decides
            continue
        assert set(renormalised.nonzero().flatten().tolist()) == set(
            top.probs_idx[top.kept & (top.probs_sort > 0)].tolist()
        )
        there = torch.zeros_like(due).scatter(-1, top.probs_idx, top.renormalised)
        torch.testing.assert_close(renormalised, there, rtol=1e-4, atol=1e-6)
    assert excluded <= 10


def test_temperature_0_is_the_first_of_the_largest(blank):
    page = blank()
    page.set_content("<body>")
    page.add_script_tag(content=front.source("top_p"))
    assert page.evaluate("[...ranked(new Float32Array([1, 3, -Infinity, 3, -Infinity]))]") == [1, 3, 0, 2, 4]
    assert page.evaluate("[...softmax(new Float32Array([1, 3]), [1, 0], 0)]") == [1, 0]
    assert page.evaluate("entropy([0.5, 0.5, 0])") == pytest.approx(math.log(2))
    assert page.evaluate("fill('{a:,} {b:.2f} {c} {d}', {a: 4096, b: 1, c: '{a}', d: 0})") == "4,096 1.00 {a} 0"


# ---- top_p -----------------------------------------------------------------------------------------------------------


def kept(page):
    return int(page.locator(".ml-count").inner_text().split()[0])


def test_top_p_by_keyboard(opened, course):
    explorer = TopPExplorer(course, PROMPTS, n_rows=8)
    page = opened(explorer)
    line, first = page.locator(".s-top-p"), page.locator(".fx-rows .fx-row").first
    expect(line).to_have_attribute("aria-valuetext", "0.90")
    probs = apply_temperature(explorer.logits[PROMPTS[0]], 1.0)
    assert kept(page) == int(nucleus(probs, 0.9).kept.sum())
    for key, p in (("ArrowLeft", 0.89), ("PageDown", 0.79), ("ArrowUp", 0.8), ("End", 1.0), ("Home", 0.0)):
        line.press(key)
        expect(line).to_have_attribute("aria-valuenow", f"{p:g}")
        assert kept(page) == int(nucleus(probs, p).kept.sum())
        expect(line).to_be_focused()
    heat = page.locator(".s-temperature input")
    before = page.locator(".fx-name").all_inner_texts()
    heat.press("Home")
    expect(heat).to_have_attribute("aria-valuetext", "0.00")
    assert page.locator(".fx-name").all_inner_texts() == before, "the next best stay where they are"
    expect(page.get_by_text("Temperature 0: the largest logit")).to_be_visible()
    heat.press("End")
    expect(heat).to_have_attribute("aria-valuetext", "3.00")
    line.press("End")
    assert kept(page) == 4096
    first.focus()
    first.press("ArrowDown")
    expect(page.locator(".fx-rows .fx-row").nth(1)).to_be_focused()
    second = page.locator(".fx-name").nth(1).inner_text()
    expect(page.locator(".fx-detail")).to_contain_text(f"{second}: exp(")


def test_draws_add_up(opened, course):
    page = opened(TopPExplorer(course, PROMPTS, top_p=0.5, n_rows=8, seed=1))
    line = page.locator(".s-top-p")

    def total():
        return page.locator(".fx-head [role=columnheader]").last.inner_text()

    line.press(" ")
    assert total() == "observed in 1"
    for n in (1, 100, 1000):
        page.locator(f".s-draw-{n}").press("Enter")
    assert total() == "observed in 1102"
    shares = [float(text) for text in page.locator(".fx-observed").all_inner_texts()]
    expected = [float(text) for text in page.locator(".fx-renormalised").all_inner_texts()]
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    assert shares == pytest.approx(expected, abs=0.05)
    line.press("0")
    assert total() == "observed in 0"
    line.press(" ")
    line.press("ArrowLeft")
    assert total() == "observed in 0", "the old draws came from another distribution"


@pytest.mark.parametrize("touch", [False, True])
def test_the_line_is_dragged(opened, course, touch):
    page = opened(TopPExplorer(course, PROMPTS, n_rows=8), width=390 if touch else 829, has_touch=touch)
    axis, line = page.locator(".fx-axis").bounding_box(), page.locator(".s-top-p")
    box = line.bounding_box()
    middle, y = box["x"] + box["width"] / 2, box["y"] + 8
    target = axis["x"] + axis["width"] / 2
    if touch:
        finger = page.context.new_cdp_session(page)
        for kind, x in (("touchStart", middle), ("touchMove", (middle + target) / 2), ("touchMove", target)):
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    else:
        page.mouse.move(middle, y)
        page.mouse.down()
        page.mouse.move(target, y, steps=4)
        page.mouse.up()
        page.mouse.move(target + 40, y)  # let go
    expect(line).to_have_attribute("aria-valuetext", "0.50")


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_is_in_sight_and_nothing_below_moves(opened, course, width):
    page = opened(TopPExplorer(course, PROMPTS, n_rows=12), width=width)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for each in page.locator(".fx-head [role=columnheader], .fx-rows .fx-row:first-child > *").all():
        box = each.bounding_box()
        assert box["width"] > 0 and box["x"] >= 0 and box["x"] + box["width"] <= width + 16
    clipped = page.evaluate("""() => [...document.querySelectorAll('.fx-cell:not(.fx-plot, .fx-name)')]
      .filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.textContent)""")
    assert clipped == []
    below = page.locator("#below").bounding_box()
    page.locator(".s-draw-1000").click()
    for control in (".s-top-p", ".s-temperature input"):
        for key in ("Home", "End", "PageDown", "PageDown", "PageDown"):
            page.locator(control).press(key)
            for row in (0, 6):
                page.locator(".fx-rows .fx-row").nth(row).hover()
                assert page.locator("#below").bounding_box() == below, (control, key, row)


# ---- temperature -----------------------------------------------------------------------------------------------------


@pytest.fixture
def heated(course):
    return TemperatureExplorer(course, PROMPTS, {PROMPTS[0]: {269: 0.5, 4000: 0.25}}, n_rows=8)


def number_in(page, selector):
    return [float(text) for text in page.locator(selector).all_inner_texts() if text]


def test_temperature_by_keyboard(opened, heated):
    page = opened(heated)
    dot = page.locator(".s-temperature")
    expect(page.locator(".s-own input")).to_be_disabled()
    logits = heated.logits[PROMPTS[0]]
    order = logits.sort(descending=True, stable=True).indices.tolist()
    ids = [*order[:8], *(i for i in (269, 4000) if i not in order[:8])]
    for key, temperature in (("ArrowLeft", 0.95), ("PageUp", 1.45), ("End", 3.0), ("PageDown", 2.5), ("Home", 0.0)):
        dot.press(key)
        expect(dot).to_have_attribute("aria-valuenow", f"{temperature:g}")
        probs = apply_temperature(logits, temperature)
        *shown, rest = number_in(page, ".fx-cell.fx-now")
        assert shown == pytest.approx(probs[ids].tolist(), abs=6e-5)
        assert rest == pytest.approx(1 - float(probs[ids].sum()), abs=6e-5)
        assert f"entropy {float(entropy(probs)):.3f} nats" in page.locator(".ml-count").inner_text()
    assert number_in(page, ".fx-cell.fx-truth") == [0.5, 0.25]
    page.locator(".s-prompt select").select_option(index=1)
    expect(page.get_by_role("columnheader", name="truth", exact=True)).to_have_count(0)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_dot_is_dragged_and_stays_on_the_curve(opened, heated, width):
    page = opened(heated, width=width)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dot, area, below = page.locator(".s-temperature"), page.locator(".fx-area"), page.locator("#below")
    box, foot = area.bounding_box(), below.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 40)
    page.mouse.down()
    for part in (0.5, 0.01, 2 / 3):
        page.mouse.move(box["x"] + part * box["width"], box["y"] + 90)
        assert below.bounding_box() == foot
    page.mouse.up()
    expect(dot).to_have_attribute("aria-valuenow", "2")
    points = [tuple(map(float, p.split(","))) for p in page.locator("polyline").get_attribute("points").split()]
    top = page.evaluate("parseFloat(document.querySelector('.s-temperature').style.top)")
    assert top == pytest.approx(points[40][1], abs=0.01)  # of 60 steps to 3


@pytest.mark.parametrize(
    ("explorer", "sliders", "table"),
    [(TopPExplorer, ["top_p", "temperature"], "stages_table"), (TemperatureExplorer, ["temperature"], "temp_table")],
)
def test_everything_has_a_name(opened, course, explorer, sliders, table):
    page = opened(explorer(course, PROMPTS, n_rows=3))
    for role, names in {"slider": sliders, "combobox": ["prompt"], "table": [EN[table]]}.items():
        assert page.get_by_role(role).count() == len(names)
        for name in names:
            expect(page.get_by_role(role, name=name, exact=True)).to_have_count(1)
    head, first = (page.get_by_role("row").nth(k) for k in (0, 1))
    cells = first.get_by_role("cell").count() + first.get_by_role("rowheader").count()
    assert cells == head.get_by_role("columnheader").count() >= 5
    stops = page.evaluate("() => document.querySelectorAll('.fx :is([tabindex=\"0\"], select, input, button)').length")
    assert stops <= 9, "one tab stop for all rows"


def test_hostile_text_stays_text(opened, course):
    page = opened(TopPExplorer(course, [PROMPTS[2]]))
    assert page.locator(".fx b").count() == 0
    expect(page.locator(".s-prompt option")).to_have_text(r"</script><b>bold</b>\u202e")


def test_the_page_holds_at_most_300_kib(course):
    for explorer in (TopPExplorer, TemperatureExplorer):
        assert len(explorer(course, [f"Once {n}" for n in range(8)], n_rows=20).page().encode()) <= 300 * 1024
