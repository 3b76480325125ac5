"""TemperatureExplorer: the view against the sampler's own numbers, and every control moved to its ends."""

import html
import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillama.logprobs import entropy
from minillama.sampling import apply_temperature
from minillama.widgets import TemperatureExplorer
from minillama.widgets.front import HIGHEST
from minillama.widgets.labels import EN
from minillama.widgets.parts import LONGEST
from minillama.widgets.temperature import POINTS, entropy_curve, heated, temperature_html

LOGITS = torch.tensor([0.30, 0.10, 0.03, 0.50, 0.07]).log()
WORDS = ["a", "an", "that", "the", "this"]
TRUTH = {3: 0.5, 0: 0.3, 1: 0.1, 4: 0.07, 2: 0.03}
PROMPTS = ["Once upon a time", "The cat"]


def cells(page):
    rows = re.findall(r"<tr class=\"ml-candidate.*?</tr>", page)
    return [
        [html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows
    ]


def shown(temperature, truth=None, logits=LOGITS, names=WORDS, **more):
    state = heated(logits, temperature, truth, **more)
    return temperature_html(state, entropy_curve(logits), names.__getitem__, EN)


# ---- the view --------------------------------------------------------------------------------------------------------


def test_the_notes_example():
    state = heated(LOGITS, 0.5, TRUTH)
    assert [WORDS[row.token] for row in state.rows] == ["the", "a", "an", "this", "that"]
    squares = [p**2 for p in (0.5, 0.3, 0.1, 0.07, 0.03)]
    assert [row.prob for row in state.rows] == pytest.approx([p / sum(squares) for p in squares], abs=1e-6)
    assert [row.at_one for row in state.rows] == pytest.approx([0.5, 0.3, 0.1, 0.07, 0.03])
    assert [row.truth for row in state.rows] == [0.5, 0.3, 0.1, 0.07, 0.03]
    assert [row.scaled for row in state.rows] == pytest.approx([2 * row.logit for row in state.rows])
    assert state.rest == state.rest_at_one == 0


@given(
    logits=st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=40),
    temperature=st.sampled_from([0.0, 0.05, 1.0, HIGHEST]),
    n_rows=st.integers(1, 12),
)
def test_the_numbers_are_the_samplers_own(logits, temperature, n_rows):
    logits = torch.tensor(logits)
    state = heated(logits, temperature, {len(logits) - 1: 0.5}, n_rows)
    probs = apply_temperature(logits, temperature)
    assert len(logits) - 1 in [row.token for row in state.rows], "a token whose truth is known has a row"
    assert [row.prob for row in state.rows] == pytest.approx([float(probs[row.token]) for row in state.rows])
    assert sum(row.prob for row in state.rows) + state.rest == pytest.approx(1, abs=1e-4)
    assert sum(row.at_one for row in state.rows) + state.rest_at_one == pytest.approx(1, abs=1e-4)
    assert state.entropy == pytest.approx(float(entropy(probs)))
    assert all((row.scaled is None) == (temperature == 0) for row in state.rows)
    shown_logits = [row.logit for row in state.rows]
    assert shown_logits == sorted(shown_logits, reverse=True)


def test_the_curve_climbs_from_0_to_all_alike():
    curve = entropy_curve(LOGITS)
    assert len(curve) == len(POINTS) and POINTS[0] == 0 and POINTS[-1] == HIGHEST
    assert curve[0] == 0 and curve[-1] < math.log(5)
    assert all(before <= after + 1e-6 for before, after in zip(curve, curve[1:], strict=False))


@pytest.mark.parametrize("temperature", [0.0, 1.0, HIGHEST])
def test_no_two_columns_have_one_heading(temperature):
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', shown(temperature, TRUTH))
    assert len(heads) == len(set(heads)) == 6


def test_the_page():
    page = shown(0.5, TRUTH)
    rows = cells(page)
    assert [row[0] for row in rows] == ["the", "a", "an", "this", "that"]
    assert rows[0][1] == f"{LOGITS[3]:.2f}" and rows[0][2] == f"{2 * LOGITS[3]:.2f}"
    assert [row[5] for row in rows] == ["0.5000", "0.3000", "0.1000", "0.0700", "0.0300"]
    assert "at temperature 0.50" in page and "Temperature 0.50: entropy" in page
    assert 'role="img" aria-label="Entropy against temperature, from 0 to 3. At 0.50 it is' in page
    assert page.count("<circle") == 1 and page.count("<polyline") == 1


@pytest.mark.parametrize("temperature", [0.0, 1.0, HIGHEST])
def test_the_dot_stands_on_the_curve(temperature):
    page = shown(temperature)
    points = re.search(r'points="([^"]*)"', page).group(1).split()
    dot = re.search(r'cx="([^"]*)" cy="([^"]*)"', page).groups()
    assert ",".join(dot) == points[POINTS.index(temperature)]


def test_temperature_0_is_named_and_divides_nothing():
    page = shown(0.0)
    assert EN["greedy"] in page
    assert [row[2] for row in cells(page)] == ["–"] * 5
    assert [row[4] for row in cells(page)] == ["1.0000"] + ["0.0000"] * 4


def test_without_a_known_truth_there_is_no_column():
    assert EN["col_truth"] not in shown(1.0)
    some = cells(shown(1.0, {3: 0.5}))
    assert [row[5] for row in some] == ["0.5000"] + ["–"] * 4


def test_what_has_no_row_is_added_up():
    logits = torch.zeros(30)
    page = shown(1.0, logits=logits, names=[str(i) for i in range(30)], n_rows=12)
    assert len(cells(page)) == 12 and "18 other tokens, combined" in page and "0.6000" in page


def test_a_vocabulary_of_one():
    assert "entropy 0.000 nats" in shown(1.0, logits=torch.zeros(1), names=["only"])


def test_tokens_and_notes_are_escaped():
    names = ["<script>alert(1)</script>", '" onmouseover="x', "&lt;", "\x00\n", "\u202eabc"]
    state = heated(LOGITS, 1.0)
    page = temperature_html(state, entropy_curve(LOGITS), names.__getitem__, EN, notes=["<b>note"])
    assert "<script>" not in page and 'onmouseover="x' not in page.replace("&quot;", "'")
    assert "&lt;script&gt;" in page and "␀␊" in page and "\u202e" not in page and "&lt;b&gt;note" in page


# ---- the widget ------------------------------------------------------------------------------------------------------


@pytest.fixture
def explorer(llama):
    return TemperatureExplorer(llama, PROMPTS, {PROMPTS[1]: {5: 0.75}})


def shown_entropy(explorer):
    return float(re.search(r"entropy ([0-9.]+) nats", explorer.still()).group(1))


def test_from_end_to_end(explorer):
    logits, default = explorer.logits[PROMPTS[0]], explorer.temperature
    assert default == 1.0
    for value in (0, HIGHEST, default):
        explorer.temperature = value
        assert shown_entropy(explorer) == pytest.approx(float(entropy(apply_temperature(logits, value))), abs=1e-3)


def test_moving_does_not_run_the_model(explorer, llama, monkeypatch):
    monkeypatch.setattr(llama.model, "forward", lambda *_: pytest.fail("the model was run"))
    explorer.temperature, explorer.prompt = 0.3, PROMPTS[1]
    assert explorer.page()


def test_the_prompt_can_be_chosen_and_its_truth_is_shown(explorer):
    assert EN["col_truth"] not in explorer.still()
    explorer.prompt = PROMPTS[1]
    assert EN["col_truth"] in explorer.still() and "0.7500" in explorer.still()
    assert explorer.data["truths"] == [{}, {5: 0.75}] and 5 in explorer.data["names"]


def test_a_prompt_can_be_typed(explorer):
    first = explorer.still()
    explorer.own = "The weather"
    assert explorer.still() != first and "The weather" in explorer.logits
    sent = torch.frombuffer(bytearray(explorer.typed_floats), dtype=torch.float32)
    assert torch.equal(sent, explorer.logits["The weather"])
    assert explorer.typed["own"] == "The weather" and not explorer.typed["problem"]
    assert len(explorer.typed["names"]) == explorer.n_rows
    explorer.own = ""
    assert explorer.still() == first, "empty: the chosen prompt again"
    explorer.own = "The weather"
    explorer.prompt = PROMPTS[1]
    assert explorer.own == "" and EN["col_truth"] in explorer.still()


def test_what_the_browser_sends_arrives(explorer):
    """The page chooses a prompt, and before the kernel has read that, a text is typed: one message, and both count."""
    explorer.set_state({"prompt": PROMPTS[1], "own": "The weather"})
    assert explorer.prompt == PROMPTS[1] and explorer.own == explorer.typed["own"] == "The weather"


@pytest.mark.parametrize("text", [" ", "\x00\x1b[31m", "שלום", "\u202eabc", "<script>alert(1)</script>", "字🦙"])
def test_odd_text_is_run(explorer, text):
    explorer.own = text
    assert "nats" in explorer.still() and "<script>" not in explorer.still()
    assert explorer.typed["names"] and not explorer.typed["problem"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\ud800", EN["surrogate"]),
        ("Once " * 60, "(max_seq_len is 96). Shorten it."),
        ("Once " * LONGEST, f"first {LONGEST}"),
    ],
)
def test_bad_text_is_answered_in_place_and_the_widget_stays_alive(explorer, text, message):
    first = explorer.still()
    explorer.own = text
    assert message in explorer.still() and "nats" not in explorer.still()
    assert message in " ".join([*explorer.typed["notes"], explorer.typed["problem"]])
    explorer.temperature = 2.0
    explorer.own = ""
    explorer.temperature = 1.0
    assert explorer.still() == first


def test_a_long_text_that_fits_is_cut_with_a_message(explorer, monkeypatch):
    monkeypatch.setattr("minillama.widgets.parts.LONGEST", 8)
    explorer.own = "The weather today"
    assert "Only the first 8 characters" in explorer.still() and "nats" in explorer.still()
    assert explorer.typed["notes"] and explorer.typed["names"]


def test_traits_are_judged(explorer):
    for name, value, words in [
        ("temperature", 3.5, "temperature must be a number from 0 to 3, got 3.5"),
        ("prompt", "none of them", "prompt must be one of"),
        ("own", 5, "own must be"),
    ]:
        before = getattr(explorer, name)
        with pytest.raises((TypeError, ValueError), match=words):
            setattr(explorer, name, value)
        assert getattr(explorer, name) == before


def test_bad_arguments(llama):
    with pytest.raises(TypeError, match="prompts must be a list of str, got the bare str"):
        TemperatureExplorer(llama, "Once")
    with pytest.raises(ValueError, match="prompts is empty"):
        TemperatureExplorer(llama, [])
    with pytest.raises(ValueError, match="temperature must be a number from 0 to 3, got 9"):
        TemperatureExplorer(llama, PROMPTS, temperature=9)
    with pytest.raises(ValueError, match="n_rows must be a whole number of at least 1, got 0"):
        TemperatureExplorer(llama, PROMPTS, n_rows=0)
