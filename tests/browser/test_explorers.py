"""The explorers in a page without a kernel, opened as a file: their numbers, their keys, pointer, touch and room."""

import base64
import math

import pytest
import torch
from playwright.sync_api import expect

from minillama.logprobs import entropy
from minillama.markup import STYLE
from minillama.sampling import apply_temperature, nucleus
from minillama.widgets import (
    AttentionExplorer,
    BeamView,
    CacheView,
    GenerateStepper,
    LogprobHeatmap,
    Predict,
    TemperatureExplorer,
    TopPExplorer,
    front,
)
from minillama.widgets.cache import cache_calls
from minillama.widgets.heatmap import percent, shade
from minillama.widgets.labels import EN
from minillama.widgets.parts import number as written
from minillama.widgets.steps import SIGNS, caption, where_lines
from tests.shown import calls

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


# ---- the stills ------------------------------------------------------------------------------------------------------

# The cells whose text is not aligned as the heading above it, and the short code that is broken in two lines.
UNEVEN = """() => [...document.querySelectorAll('.ml thead')].flatMap(head => {
  const heads = [...head.rows[0].cells], align = cell => getComputedStyle(cell).textAlign;
  const rows = [...head.parentElement.tBodies[0].rows].map(row => [...row.cells]);
  const uneven = rows.filter(row => row.length === heads.length).flatMap(row => row.filter(
    (cell, k) => align(cell) !== align(heads[k])));
  return uneven.map(cell => cell.textContent);
})"""
BROKEN = """() => [...document.querySelectorAll('.ml code')].filter(code => code.getClientRects().length > 1)
  .map(code => code.textContent)"""


@pytest.mark.parametrize("width", WIDTHS)
def test_headings_stand_as_their_columns_and_short_code_is_whole(blank, checkpoint, width):
    stills = []
    for function, given in calls(checkpoint).values():
        shown = function(**given)
        stills.append(shown.still() if hasattr(shown, "still") else getattr(shown, "_repr_html_", str)())
    page = blank(width=width)
    page.set_content(f"<body>{STYLE}{''.join(stills)}")
    assert page.locator(".ml thead").count() >= 10 and page.locator(".ml caption code").count() >= 2
    assert page.evaluate(UNEVEN) == [] and page.evaluate(BROKEN) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


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
    assert page.evaluate("[fixed(-0.0004, 3), fixed(-0.0006, 3), fixed(0, 1)]") == ["0.000", "-0.001", "0.0"]
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
    move = dragged(page, middle, y, touch)
    for x in ((middle + target) / 2, target):
        move(x, y)
    move()
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
    page = opened(heated, width=width, has_touch=width == 390)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dot, area, below = page.locator(".s-temperature"), page.locator(".fx-area"), page.locator("#below")
    box, foot = area.bounding_box(), below.bounding_box()
    move = dragged(page, box["x"] + box["width"] / 3, box["y"] + 40, touch=width == 390)
    for part in (0.5, 0.01, 2 / 3):
        move(box["x"] + part * box["width"], box["y"] + 90)
        assert below.bounding_box() == foot
    move()
    expect(dot).to_have_attribute("aria-valuenow", "2")
    points = [tuple(map(float, p.split(","))) for p in page.locator("polyline").get_attribute("points").split()]
    top = page.evaluate("parseFloat(document.querySelector('.s-temperature').style.top)")
    assert top == pytest.approx(points[40][1], abs=0.01)  # of 60 steps to 3


def dragged(page, x, y, touch):
    """Press the mouse or a finger down. Returns move(x, y); move() lets go."""
    if not touch:
        page.mouse.move(x, y)
        page.mouse.down()
        return lambda *to: page.mouse.move(*to) if to else page.mouse.up()
    finger = page.context.new_cdp_session(page)

    def send(kind, *to):
        points = [dict(zip("xy", to, strict=True))] if to else []
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", x, y)
    return lambda *to: send("touchMove" if to else "touchEnd", *to)


def below(page):
    """Where what follows the explorer begins, from the top of the page."""
    return page.evaluate("document.querySelector('#below').getBoundingClientRect().top + scrollY")


def fits(page):
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def in_sight(page, selector, width):
    """Whether all of these are as wide as the page lets them be, and their text is not cut."""
    boxes = [each.bounding_box() for each in page.locator(selector).all()]
    clipped = page.evaluate(
        "s => [...document.querySelectorAll(s)].some(e => e.scrollWidth > e.clientWidth + 1)", selector
    )
    return boxes and not clipped and all(box["x"] >= 0 and box["x"] + box["width"] <= width + 16 for box in boxes)


# ---- attention -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def attention():
    pieces = ["<s>", *(f"▁{word}" for word in "Lily saw a bird . <b>Ben</b> saw a green frog . Lily".split())]
    scores = 3 * torch.randn(6, 4, 13, 13, generator=torch.Generator().manual_seed(0))
    masked = scores.masked_fill(torch.ones(13, 13).triu(1).bool(), -torch.inf)
    return AttentionExplorer(pieces, masked.softmax(-1), layer=1, head=2)


def weights_shown(page):
    return page.locator(".fx-seen [role=cell]").all_inner_texts()


def weights_due(explorer, layer, head, token):
    row = explorer.weights[layer, head, token].tolist()
    return [f"{weight:.2f}" if k <= token else EN["att_hidden"] for k, weight in enumerate(row)]


@pytest.mark.parametrize("touch", [False, True])
def test_heads_and_tokens(opened, attention, touch):
    width = 390 if touch else 829
    page = opened(attention, width=width, has_touch=touch)
    foot, heads, tokens = below(page), page.locator(".fx-thumb"), page.locator(".fx-seen")
    assert fits(page) and in_sight(page, ".fx-seen > [role], .fx-thumb", width)
    assert page.locator(".fx b").count() == 0 and weights_shown(page) == weights_due(attention, 1, 2, 12)
    if touch:
        heads.nth(4 * 5 + 1).tap()
        tokens.nth(3).tap()
        assert weights_shown(page) == weights_due(attention, 5, 1, 3) and below(page) == foot
        return
    pictures = page.locator(".fx-thumb canvas, .fx-map canvas")
    pixels = pictures.evaluate_all("all => all.map(each => each.toDataURL())")
    assert [k for k, each in enumerate(pixels[:-1]) if each == pixels[-1]] == [6], "the chosen head, and large"
    heads.nth(6).focus()
    places = [("ArrowDown", 2, 2), ("ArrowRight", 2, 3), ("ArrowRight", 2, 3), ("Home", 2, 0), ("ArrowUp", 1, 0)]
    for key, layer, head in places:
        page.keyboard.press(key)
        expect(heads.nth(4 * layer + head)).to_be_focused()
        expect(page.locator("[aria-selected=true]")).to_have_attribute("aria-label", f"layer {layer}, head {head}")
        assert weights_shown(page) == weights_due(attention, layer, head, 12) and below(page) == foot
    tokens.nth(12).focus()
    for key, token in (("ArrowUp", 11), ("Home", 0), ("ArrowDown", 1), ("End", 12), ("ArrowUp", 11)):
        page.keyboard.press(key)
        expect(tokens.nth(token)).to_be_focused()
        assert weights_shown(page) == weights_due(attention, 1, 0, token) and below(page) == foot
    tokens.nth(4).hover()
    assert weights_shown(page) == weights_due(attention, 1, 0, 4)
    frame = page.locator(".fx-looks").evaluate("each => [each.style.top, each.style.height].map(parseFloat)")
    assert frame == pytest.approx([400 / 13, 100 / 13], abs=0.01)
    heads.nth(23).click()  # the pointer has left the tokens: the one that was chosen looks again
    assert weights_shown(page) == weights_due(attention, 5, 3, 11) and below(page) == foot
    widths = [float(arc.get_attribute("stroke-width")) for arc in page.locator(".fx-arcs path").all()]
    due = [0 if weight < 0.005 else max(1, 10 * weight) for weight in attention.weights[5, 3, 11].tolist()]
    assert widths == pytest.approx(due)
    caption, largest = page.locator(".ml-count").inner_text(), int(attention.weights[5, 3, 11].argmax())
    assert caption.startswith(f"Layer 5, head 3: ▁. looks at {attention.pieces[largest]} ")


def test_the_picture_of_a_head_has_a_pixel_a_weight(opened, attention):
    page = opened(attention)
    alpha = page.evaluate("""() => {
      const canvas = document.querySelectorAll('.fx-thumb canvas')[6], {data} = canvas.getContext('2d')
        .getImageData(0, 0, canvas.width, canvas.height);
      return [...data];
    }""")
    pixels = torch.tensor(alpha).view(13, 13, 4)
    assert torch.equal(pixels[..., 3] == 255, torch.ones(13, 13).tril().bool())
    weights = attention.weights[1, 2]
    brightest = divmod(int(weights.argmax()), 13)
    assert pixels[brightest][:3].tolist() == [254, 232, 56] and pixels[12, int(weights[12].argmin()), 0] < 30


# ---- the cache -------------------------------------------------------------------------------------------------------


def test_the_calls_are_those_of_python(blank):
    page = blank()
    page.set_content("<body>")
    page.add_script_tag(content=front.source("cache"))
    plans = [(n, total, piece, cached) for n in range(1, 7) for total in range(n + 1, n + 4)
             for piece in range(1, n + 1) for cached in (True, False)]  # fmt: skip
    found = page.evaluate("plans => plans.map((plan) => cacheCalls(...plan))", plans)
    assert [[(start, end) for start, end in calls] for calls in found] == [cache_calls(*plan) for plan in plans]


def signs(page, row):
    """The signs of a row of the staircase."""
    return "".join(page.locator(".s-call .fx-slotrow").nth(row + 1).locator(".fx-slot").all_inner_texts())


def mask_rows(page):
    """The lit rows of the mask."""
    return ["".join(row.locator(".fx-slot").all_inner_texts()) for row in page.locator(".fx-mask .fx-now").all()]


def plan(explorer, piece):
    return cache_calls(explorer.read["n_prompt"], len(explorer.read["pieces"]), piece)


@pytest.fixture(scope="module")
def cached(course):
    return CacheView(course, "Once upon a <b>time", max_gen_len=4)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_staircase(opened, cached, width):
    page = opened(cached, width=width, has_touch=width == 390)
    n, n_slots = cached.read["n_prompt"], len(cached.read["pieces"])
    foot, rows, lit = below(page), page.locator(".s-call .fx-slotrow[tabindex]"), page.locator(".s-call .fx-now")
    call, count = page.locator(".s-call [tabindex='0']"), page.locator(".ml-count")
    assert fits(page) and in_sight(page, ".fx-slotrow", width) and page.locator(".fx b").count() == 0
    assert signs(page, 0) == "W" * n + "–" * (n_slots - n) and len(mask_rows(page)) == n
    call.press("End")
    expect(count).to_contain_text(f"Call 4 of 4: forward(tokens[:, {n + 2}:{n + 3}], {n + 2})")
    assert signs(page, 3) == "R" * (n + 2) + "W–" and mask_rows(page) == ["✓" * (n + 3)] and below(page) == foot
    for key, k in (("ArrowUp", 2), ("ArrowRight", 3), ("ArrowDown", 3), ("Home", 0), ("ArrowLeft", 0)):
        call.press(key)
        expect(rows.nth(k)).to_be_focused()
        expect(count).to_contain_text(f"Call {k + 1} of 4")
        assert below(page) == foot
    piece = page.locator(".s-piece input")
    piece.press("Home")
    for _ in range(2):
        piece.press("ArrowRight")
    expect(page.locator(".s-piece output")).to_have_text("3")
    (rows.nth(1).tap if width == 390 else rows.nth(1).click)()
    expect(count).to_contain_text("Writes slots 3 to 5, reads slots 0 to 5")
    free = page.locator(".s-call .fx-none").last.bounding_box()  # a row that this plan leaves free
    page.mouse.click(free["x"] + 90, free["y"] + 5)
    expect(page.locator(".s-call .fx-none[aria-hidden=true]")).to_have_count(rows.count() - len(plan(cached, 3)))
    assert mask_rows(page) == ["✓✓✓✓✗✗", "✓✓✓✓✓✗", "✓✓✓✓✓✓"] and signs(page, 1)[:6] == "RRRWWW"
    assert below(page) == foot
    rows.nth(2).hover()
    expect(count).to_contain_text("Call 3 of")
    page.locator(".fx-mask").hover()
    expect(count).to_contain_text("Call 2 of")
    page.locator(".s-cached input").press("Space")
    expect(piece).to_be_disabled()
    expect(count).to_contain_text(f"Writes slots 0 to {n}, reads slots 0 to {n}")
    expect(lit).to_have_count(1)
    assert below(page) == foot
    expect(page.locator(".s-prompt input")).to_be_disabled()  # without a kernel


# ---- beam search -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def beam(course):
    return BeamView(course, ["On the last page of the picture book there is a", "</script><b>bold</b>"], max_gen_len=9)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_steps_of_a_beam(opened, beam, width):
    page = opened(beam, width=width, has_touch=width == 390)
    foot, rounds, count = below(page), page.locator(".fx-round"), page.locator(".ml-count")
    chosen, tables = page.locator("[aria-selected=true]"), page.locator(".fx-table")
    n, last = len(beam.levels), beam.levels[-1]
    assert fits(page) and in_sight(page, ".fx-beam .fx-row:not(.fx-none) > :not(.fx-name, .fx-plot)", width)
    chosen.press("Home")
    expect(count).to_have_text(f"Step 0 of {n}. Going on: 1. Ended: 0.")
    assert below(page) == foot and not tables.first.locator(".fx-rows, .fx-row:visible").nth(1).is_visible()
    for k in (1, 2):
        chosen.press("ArrowRight")
        expect(rounds.nth(k)).to_be_focused()
        expect(count).to_contain_text(f"Step {k} of {n}")
        assert below(page) == foot
    level = sorted(beam.levels[1], key=lambda branch: -branch.total)
    sums = [float(text) for text in tables.first.locator(".fx-sum:visible").all_inner_texts()]
    assert sums == pytest.approx([branch.total for branch in level], abs=6e-4)
    assert tables.first.locator(".fx-cut:not(.fx-none)").count() == sum(branch.state == "cut" for branch in level)
    grown = {branch.parent for branch in beam.levels[1] if branch.state != "cut"}
    later = sum(branch.state == "kept" and place not in grown for place, branch in enumerate(beam.levels[0]))
    assert page.locator(".fx-branch.fx-later").count() == later == 1
    (rounds.nth(1).tap if width == 390 else rounds.nth(1).click)()
    expect(page.locator(".fx-branch.fx-later")).to_have_count(0)
    chosen.press("End")
    box, view = rounds.nth(n).bounding_box(), page.locator(".fx-pan").bounding_box()
    assert view["x"] <= box["x"] + 1 and box["x"] + box["width"] <= view["x"] + view["width"] + 1
    expect(rounds.nth(n).locator(".fx-ended")).to_have_count(sum(branch.state == "ended" for branch in last))
    texts = tables.last.locator(".fx-name:visible").all_inner_texts()
    assert "small mouse." in texts[0] and below(page) == foot
    expect(page.locator(".s-beams input")).to_be_disabled()  # without a kernel


@pytest.mark.parametrize("explorer", ["top_p", "temperature", "attention", "cache", "beam"])
def test_everything_has_a_name(opened, course, attention, cached, beam, explorer):
    wanted = {
        "top_p": {"slider": ["top_p", "temperature"], "combobox": ["prompt"], "table": [EN["stages_table"]]},
        "temperature": {"slider": ["temperature"], "combobox": ["prompt"], "table": [EN["temp_table"]]},
        "attention": {"grid": [EN["att_heads"]], "table": [EN["att_tokens"]]},
        "cache": {"slider": [EN["cache_piece"]], "checkbox": [EN["cache_on"]], "textbox": ["prompt"],
                  "table": [EN["cache_stairs"]]},
        "beam": {"slider": ["beams"], "combobox": ["prompt"], "listbox": [EN["beam_steps"]],
                 "table": [EN["beam_branches"], EN["beam_texts"]]},
    }  # fmt: skip
    makers = {"top_p": TopPExplorer, "temperature": TemperatureExplorer}
    made = {"attention": attention, "cache": cached, "beam": beam}
    page = opened(made.get(explorer) or makers[explorer](course, PROMPTS, n_rows=3))
    for role, names in wanted[explorer].items():
        assert page.get_by_role(role).count() == len(names)
        for name in names:
            expect(page.get_by_role(role, name=name, exact=True)).to_have_count(1)
    head, first = (page.get_by_role("row").nth(k) for k in (0, 1))
    cells = sum(first.get_by_role(role).count() for role in ("cell", "gridcell", "rowheader"))
    assert cells == head.get_by_role("columnheader").count() >= 5
    stops = page.evaluate("() => document.querySelectorAll('.fx :is([tabindex=\"0\"], select, input, button)').length")
    assert stops <= 9, "one tab stop for all rows"


def test_a_prediction_by_touch(opened):
    page = opened(Predict("Which?", ["one", "two"], "two", "It is the second."), width=390, has_touch=True)
    page.get_by_text("one", exact=True).tap()
    expect(page.get_by_role("radio").first).to_be_checked()
    page.locator(".s-reveal").tap()
    expect(page.locator(".fx-said")).to_contain_text("It is the second.")
    assert fits(page)


def test_hostile_text_stays_text(opened, course):
    page = opened(TopPExplorer(course, [PROMPTS[2]]))
    assert page.locator(".fx b").count() == 0
    expect(page.locator(".s-prompt option")).to_have_text(r"</script><b>bold</b>\u202e")


def test_the_page_holds_at_most_300_kib(course):
    prompts = [f"Once {n}" for n in range(8)]
    full = [explorer(course, prompts, n_rows=20) for explorer in (TopPExplorer, TemperatureExplorer)]
    full += [explorer(course, PROMPTS[:2], max_gen_len=60) for explorer in (GenerateStepper, LogprobHeatmap)]
    full += [AttentionExplorer(["▁word"] * 20, torch.full((8, 15, 20, 20), 0.05)), BeamView(course, prompts, 6, 8)]
    full += [CacheView(course, "word " * 99, 16)]
    full += [explorer(course, PROMPTS[:2], max_gen_len=60) for explorer in (GenerateStepper, LogprobHeatmap)]
    for explorer in full:
        assert len(explorer.page().encode()) <= 300 * 1024


# ---- the stepper -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stepper(course):
    return GenerateStepper(course, [*PROMPTS, "The"], max_gen_len=12, temperature=1.0, seed=3, logprobs=True)


@pytest.fixture
def steps(stepper):
    stepper.step = stepper.row = 0
    return stepper


def text_of(page, selector):
    return [" ".join(text.split()) for text in page.locator(selector).all_inner_texts()]


def in_the_middle(page):
    """Whether the written column, W and candidate included, is in the middle third of the cells that are seen."""
    view, column = (page.locator(name).bounding_box() for name in (".fx-scroll", ".fx-band-write"))
    third = view["width"] / 3
    head = page.locator(".fx-gridhead", has=page.locator(".fx-chip")).bounding_box()
    left, right = column["x"] - view["x"], column["x"] + column["width"] - view["x"]
    return third - 1 <= left and right <= 2 * third + 1 and abs(head["x"] - column["x"]) < 1


def test_the_timeline_shows_the_run(opened, steps):
    """By keyboard, from end to end: every cell, every line and every candidate is that of the record."""
    page, run = opened(steps), steps.recorded
    lines, table = page.locator(".fx-code"), page.locator(".fx-rows .fx-row")
    stop = page.locator(".s-step [tabindex='0']")
    expect(stop).to_have_count(1)
    stop.focus()
    keys = {"ArrowRight": 1, "End": len(run.steps), "ArrowLeft": len(run.steps) - 1, "Home": 0}
    for key, number in keys.items():
        page.keyboard.press(key)
        expect(stop).to_be_focused()
        assert caption(run, number, EN) in page.locator(".ml-count").inner_text()
        for k, row in enumerate(page.locator(".fx-track .fx-gridrow").all()[1:]):
            cells = row.locator(".fx-gridcell").all_inner_texts()
            due = [f"{SIGNS[run.kind(number, k, c)]} {run.token(number, k, c)}" for c in range(run.total_len)]
            assert [text.split("\n")[1] for text in cells] == due, (number, k)
        assert page.locator(".fx-verdict").inner_text().startswith(EN["step_coming"]) == (number == 0)
        assert not number or in_the_middle(page)
        number = max(1, number)  # before the first step: what that will do
        for row in (1, 0):
            page.keyboard.press("ArrowDown" if row else "ArrowUp")
            due = where_lines(run, number, row, steps.pieces, EN)
            where, ended = (" ".join(line.split()) for line in (due[1], due[5]))
            shown = [" ".join(text.split()) for text in lines.locator(".fx-value").all_inner_texts()]
            assert [f"row {row}: {each}" for each in shown[2:]] == [where, ended]
            assert f"{run.steps[number - 1].candidate[row]} " in shown[1]
            found = run.steps[number - 1].tables[row]
            for k in (0, 1, 39):
                cells = [text.strip() for text in table.nth(k).locator(".fx-cell:not(.fx-plot)").all_inner_texts()]
                due = found.rows[k]
                numbers = [f"{due.logit:.2f}", f"{due.scaled:.2f}", f"{due.prob:.4f}", f"{due.mass_before:.4f}"]
                assert cells[1:5] == numbers and cells[5] == EN["is_kept" if due.kept else "is_cut"]
            rest = 1 - sum(row.prob for row in found.rows[:40])
            assert text_of(page, ".fx-rest .fx-prob") == [f"{max(0, rest):.4f}"]
            assert text_of(page, ".fx-rest .fx-name") == ["4,056 others"]
    page.keyboard.press("Space")
    expect(page.locator(".ml-count")).to_contain_text("Step 1 of")
    page.keyboard.press("Space")
    expect(page.locator(".s-play")).to_have_text(EN["step_play"])


@pytest.mark.parametrize("width", WIDTHS)
def test_a_click_sets_row_and_step_and_nothing_below_moves(opened, steps, width):
    page, run = opened(steps, width=width, has_touch=width == 390), steps.recorded
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    below, count, view = page.locator("#below"), page.locator(".ml-count"), page.locator(".fx-scroll")
    foot = below.bounding_box()
    for number in range(1, len(run.steps) + 1):
        page.locator(".s-forth").click()
        assert below.bounding_box() == foot and in_the_middle(page), number
        for row in (3, 1):  # a short one, which ends early, and one inside its prompt
            cell = page.locator(".fx-gridrow").nth(row + 1).locator(".fx-gridcell").nth(run.steps[number - 1].cur_pos)
            cell.tap() if width == 390 else cell.click()
            expect(page.locator(".fx-gridname").nth(row)).to_contain_text("▶")
            assert f"Step {number} of" in count.inner_text() and below.bounding_box() == foot, (number, row)
    scrolled = view.evaluate("each => each.scrollLeft")
    page.locator(".fx-code").first.hover()
    expect(page.locator(".fx-band-read")).to_have_class("fx-band fx-band-read fx-framed")
    page.locator(".s-stops").click()
    last, _ = run.stops[1]
    assert f"Step {last} of" in count.inner_text() and in_the_middle(page)
    page.locator(".s-first-new").click()
    assert f"Step {run.first_new(1)} of" in count.inner_text() and below.bounding_box() == foot
    assert view.evaluate("each => each.scrollLeft") != scrolled
    if width == 390:
        return
    page.locator(".fx-gridcell").first.click()  # bos: no step writes it
    assert "Step 0 of" in count.inner_text() and below.bounding_box() == foot
    assert view.evaluate("each => each.scrollLeft") > 0, "it did not jump back"


def test_the_candidate_falls_in_or_is_pushed_away_unless_motion_is_reduced(opened, steps):
    for motion, n in (("no-preference", 3), ("reduce", 0)):
        page = opened(steps, reduced_motion=motion)
        page.locator(".s-forth").click()
        moving = "document.getAnimations().filter(each => each.effect.target.closest('.s-step')).length"
        assert page.evaluate(moving) == n
        page.close()


# ---- the heat map ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def heat(course):
    return LogprobHeatmap(course, PROMPTS[:1], temperatures=(0.0, 1.5), max_gen_len=24)


def low_rows(page, run):
    rows = page.locator(".fx-panel").nth(run).locator(".ml-low").all_inner_texts()
    return [text.split() for text in rows if text.strip()]


def test_the_threshold_by_keyboard_and_the_numbers(opened, heat):
    page = opened(heat)
    line = page.locator(".fx-threshold").first
    for key, threshold in (("ArrowDown", 0.15), ("PageDown", 0.5), ("Home", 1), ("ArrowUp", 0.95), ("End", 0)):
        line.press(key)
        expect(line).to_be_focused()
        chance = percent(threshold) if threshold else "0%"
        nats = f"{-math.log(threshold) + 0:.2f}" if threshold else ""
        spoken = f"probability {chance}, −log p {nats}" if threshold else "0%"  # log 0 is no number
        expect(line).to_have_attribute("aria-valuetext", spoken)
        said = f"Uncertain: a probability below {chance}, that is, −log p above {nats}."
        assert page.locator(".fx-caption").inner_text() == (said if threshold else EN["heat_zero"])
        for k, run in enumerate(heat.runs):
            below = [(place, token) for place, token in enumerate(run.tokens) if token.is_below(threshold)]
            panel = page.locator(".fx-panel").nth(k)
            assert panel.locator(".fx-token.fx-low").count() == panel.locator(".fx-spike.fx-low").count() == len(below)
            cells = page.locator(".ml-run").nth(k).locator("> *").all_inner_texts()
            assert cells[2] == str(len(run.tokens)) and cells[5] == str(len(below))
            lowest = sorted(below, key=lambda pair: pair[1].logprob)[:6]
            assert [[row[0], row[-2]] for row in low_rows(page, k)] == [[str(place), written(token.logprob, 2)]
                                                                        for place, token in lowest]  # fmt: skip
    grounds = (
        page.locator(".fx-panel")
        .first.locator(".fx-token")
        .evaluate_all("all => all.map(each => [each.style.background, each.style.color])")
    )
    for (ground, ink), token in zip(grounds[1:], heat.runs[0].tokens[1:], strict=True):
        fill, words = shade(token.logprob)
        assert ground == f"rgb({', '.join(str(c) for c in bytes.fromhex(fill[1:]))})"
        assert (ink == "rgb(255, 255, 255)") == (words == "#ffffff")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_line_is_dragged_and_nothing_moves(opened, heat, width):
    page = opened(heat, width=width, has_touch=width == 390)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    panels = [each.bounding_box() for each in page.locator(".fx-panel").all()]
    assert (panels[0]["y"] == panels[1]["y"]) == (width > 390), "side by side where there is room"
    tokens = page.locator(".fx-token").all()
    boxes = [each.bounding_box() for each in tokens]
    assert all(0 <= box["x"] and box["x"] + box["width"] <= width + 16 for box in boxes)
    line, below = page.locator(".fx-threshold").first, page.locator("#below").bounding_box()
    strip, box = page.locator(".fx-strip").first.bounding_box(), line.bounding_box()
    x, y = box["x"] + 40, box["y"] + box["height"] / 2
    y -= 30 * (width == 390)  # a finger may drag from anywhere on the strip
    ends = [strip["y"] + strip["height"] - strip["height"] * nats / 7 for nats in (0.5, 5)]
    move = dragged(page, x, y, touch=width == 390)
    assert width != 390 or line.bounding_box() == box, "a finger has to move"
    for end in ends:
        move(x, end)
        assert page.locator("#below").bounding_box() == below
        assert [each.bounding_box() for each in tokens[::7]] == boxes[::7]
    move()
    assert float(line.get_attribute("aria-valuenow")) == pytest.approx(5, abs=0.1)
    expect(page.locator(".fx-threshold").last).to_have_attribute("aria-valuenow", line.get_attribute("aria-valuenow"))


def test_a_tap_opens_what_is_known_of_a_token_and_one_more_closes_it(opened, heat):
    page = opened(heat, width=390, has_touch=True)
    panel, pop = page.locator(".fx-panel").last, page.locator(".fx-pop")
    tokens, line = panel.locator(".fx-token"), page.locator(".fx-threshold").last
    threshold, text = line.get_attribute("aria-valuenow"), panel.locator(".fx-reader").bounding_box()
    for n, seen in ((4, True), (4, False), (4, True), (6, True)):
        tokens.nth(n).tap()
        expect(pop).to_be_visible(visible=seen)
    expect(pop.locator("b")).to_contain_text(f"6: {heat.runs[1].tokens[6].piece}")
    assert pop.bounding_box()["y"] >= text["y"] + text["height"] - 1, "no word of the text is hidden"
    panel.locator(".fx-spike").nth(3).tap()
    expect(pop.locator("b")).to_contain_text(f"3: {heat.runs[1].tokens[3].piece}")
    panel.locator(".fx-spike").nth(3).tap()
    expect(pop).to_be_hidden()
    assert line.get_attribute("aria-valuenow") == threshold, "a tap is no drag"


def test_text_spike_and_table_light_together_in_both_runs(opened, heat):
    page = opened(heat)
    first, second = (page.locator(".fx-panel").nth(k) for k in (0, 1))
    expect(page.locator(".fx-token[tabindex='0']")).to_have_count(1)
    page.locator(".fx-token[tabindex='0']").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    pop = page.locator(".fx-pop")
    expect(first.locator(".fx-token").nth(4)).to_be_focused()
    for panel in (first, second):
        assert panel.locator(".fx-token").nth(4).evaluate("each => each.classList.contains('fx-lit')")
        assert panel.locator(".fx-spike").nth(4).evaluate("each => each.classList.contains('fx-lit')")
    best = [" ".join(text.split()) for text in pop.locator(".fx-best").all_inner_texts()]
    assert best == [f"{piece} {percent(float(f'{prob:.3g}'))}" for piece, prob in heat.runs[0].tokens[4].top]
    page.keyboard.press("ArrowDown")
    expect(second.locator(".fx-token").nth(4)).to_be_focused()
    page.keyboard.press("End")
    expect(second.locator(".fx-token").last).to_be_focused()
    expect(pop).to_be_visible()
    page.keyboard.press("Escape")
    expect(pop).to_be_hidden()
    row = second.locator(".ml-low").first
    row.hover()
    place = int(row.inner_text().split()[0])
    assert second.locator(".fx-token").nth(place).evaluate("each => each.classList.contains('fx-lit')")
    second.locator(".fx-spike").nth(3).hover()
    assert second.locator(".fx-token").nth(3).evaluate("each => each.classList.contains('fx-lit')")
    page.locator(".s-echo input").press("Space")
    n = sum(not token.from_prompt for token in heat.runs[0].tokens)
    expect(first.locator(".fx-token:visible")).to_have_count(n)
    assert first.locator(".fx-spike:not([hidden])").count() == n
    assert page.locator(".ml-run > :nth-child(3)").first.inner_text() == str(n)
    page.locator(".fx-panel .fx-token:visible").first.click()
    expect(page.locator(".fx-panel .fx-token:visible").first).to_have_attribute("tabindex", "0")
    expect(page.locator(".s-settings input").first).to_be_disabled()
