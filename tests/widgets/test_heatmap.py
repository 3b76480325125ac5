"""LogprobHeatmap: the scores against log_softmax, the view on plain data, what the page gets, bad input."""

import html
import json
import math
import re

import pytest
import torch

from minillama.logprobs import perplexity
from minillama.widgets import LogprobHeatmap, show_logprobs
from minillama.widgets.heatmap import (
    CIVIDIS,
    HOTTEST,
    LOWEST,
    MAX_ROWS,
    MAX_TOKENS,
    heatmap_html,
    percent,
    run_data,
    shade,
)
from minillama.widgets.labels import EN
from minillama.widgets.parts import LONGEST
from minillama.widgets.scores import ScoredText, ScoredToken, score

PROMPTS = ["Once upon a time", "The weather"]


def token(prob, piece="▁cat", from_prompt=False, rank=2):
    return ScoredToken(piece, from_prompt, math.log(prob), rank, [("▁dog", 0.4), ("▁cat", 0.1)])


FIRST = ScoredToken("<s>", True, None, None, None)
RUN = ScoredText("a cat", 0.5, [FIRST, token(0.9, "▁a", True), token(0.05), token(0.2, "▁sat"), token(0.001, ".")], 10)


def view(runs=(RUN,), threshold=0.1, echo=True):
    return heatmap_html(runs, threshold, echo, EN)


def chips(page):
    """(label, has a dashed line) of every token."""
    found = re.findall(r'<span class="([^"]*)"[^>]*role="listitem" aria-label="([^"]*)"', page)
    assert page.count("tabindex") <= 1  # of the whole picture: hundreds would hold up whoever goes by Tab
    return [(html.unescape(label), "ml-heat-below" in css) for css, label in found]


def rows(page, css):
    found = re.findall(rf'<tr class="{css}">(.*?)</tr>', page)
    return [[html.unescape(re.sub("<[^>]+>", "", cell)) for cell in re.findall(r"<t[hd].*?</t[hd]>", r)] for r in found]


# ---- scoring -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_gen_len", [0, 1, 12])
def test_scores_are_those_of_log_softmax(llama, max_gen_len):
    run = score(llama, PROMPTS[0], max_gen_len, temperature=1.0, seed=3)
    ids = llama.tokenizer.encode(PROMPTS[0], bos=True, eos=False)
    (row,), (logprobs,) = llama.generate([ids], max_gen_len, 1.0, logprobs=True, echo=True, seed=3)
    assert [t.piece for t in run.tokens] == llama.tokenizer.pieces(row)
    assert [t.from_prompt for t in run.tokens] == [i < len(ids) for i in range(len(row))]
    assert [t.logprob for t in run.tokens] == logprobs
    with torch.no_grad():
        table = llama.model(torch.tensor([row]), 0)[0].log_softmax(-1)
    for i, scored in enumerate(run.tokens[1:]):
        order = table[i].argsort(descending=True).tolist()
        assert order[scored.rank - 1] == row[i + 1]
        assert [piece for piece, _ in scored.top] == llama.tokenizer.pieces(order[:5])
        assert [prob for _, prob in scored.top] == pytest.approx(table[i, order[:5]].exp().tolist(), abs=1e-5)
        assert scored.logprob == pytest.approx(float(table[i, row[i + 1]]), abs=1e-4)


def test_an_empty_prompt_has_one_token_without_a_score(llama):
    (only,) = score(llama, "").tokens
    assert only.logprob is only.rank is only.top is None and only.from_prompt


def test_the_prompt_has_the_same_scores_at_every_temperature(llama):
    cold, hot = (score(llama, PROMPTS[0], 4, temperature) for temperature in (0.0, 2.0))
    n = sum(t.from_prompt for t in cold.tokens)
    assert [t.rank for t in cold.tokens[:n]] == [t.rank for t in hot.tokens[:n]]
    assert [t.logprob for t in cold.tokens[1:n]] == pytest.approx([t.logprob for t in hot.tokens[1:n]])


def test_scoring_takes_the_cache_over(fresh_llama):
    steps = fresh_llama.generate_steps([[1, 5]], 4)
    next(steps)
    score(fresh_llama, "Once")
    with pytest.raises(RuntimeError, match="another run"):
        next(steps)


# ---- the view ----------------------------------------------------------------------------------------------------


def test_shade_runs_from_dark_to_light_and_can_be_read():
    assert shade(0.0)[0] == CIVIDIS[-1] and shade(LOWEST)[0] == shade(-99.0)[0] == CIVIDIS[0]
    assert shade(-math.inf)[0] == CIVIDIS[0]

    def luminance(color):
        parts = [c / 255 for c in bytes.fromhex(color[1:])]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    before = -1.0
    for k in range(101):
        fill, ink = shade(LOWEST * (1 - k / 100))
        light, dark = sorted([luminance(fill), luminance(ink)], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, "text that everybody can read"
        assert luminance(fill) >= before
        before = luminance(fill)


def test_the_colours_are_those_of_cividis():
    colors = pytest.importorskip("matplotlib.colors")
    cividis = pytest.importorskip("matplotlib").colormaps["cividis"]
    assert [colors.to_hex(cividis(k / 8)) for k in range(9)] == list(CIVIDIS)


@pytest.mark.parametrize(
    ("prob", "expected"),
    [(1.0, "100%"), (0.999, "100%"), (0.5, "50%"), (0.0341, "3.4%"), (1e-4, "0.01%"), (0, "<0.01%")],
)
def test_percent(prob, expected):
    assert percent(prob) == expected


def test_every_token_tells_probability_and_rank():
    labels = chips(view())
    assert [below for _, below in labels] == [False, False, True, False, True]
    assert labels[0][0] == "0: <s> is the first token. Nothing predicts it."
    assert labels[2][0] == "2: ▁cat has 5%, logprob -2.996, rank 2 of 10. Most probable here: ▁dog with 40%."


def test_uncertain_tokens_have_a_second_sign_and_are_listed_lowest_first():
    page = view()
    assert re.findall(r'ml-heat-number">([^<]+)<', page) == ["5%", "0.1%"]
    assert [row[:2] for row in rows(page, "ml-low")] == [["4", "."], ["2", "▁cat"]]
    assert rows(page, "ml-low")[0] == ["4", ".", "0.1%", "-6.91", "2", "▁dog 40%"]


@pytest.mark.parametrize(("threshold", "n", "share"), [
    (0.0, 0, "0%"), (0.001, 0, "0.1%"), (0.0011, 1, "0.11%"), (0.2, 2, "20%"), (0.21, 3, "21%"), (1.0, 4, "100%"),
])  # fmt: skip
def test_threshold(threshold, n, share):
    page = html.unescape(view(threshold=threshold))
    assert len(rows(page, "ml-low")) == n == sum(below for _, below in chips(page))
    assert f"A: {n} uncertain, below {share}" in page and f"dashed: below {share}" in page
    said = f"Uncertain: a probability below {share}, that is, a log-probability below {math.log(threshold or 1):.2f}."
    assert (said if threshold else "Uncertain: none. No probability is below 0%.") in page, "log 0 is no number"
    assert rows(page, "ml-run")[0][-1] == str(n)


def test_the_prompt_is_marked_and_echo_off_leaves_it_out():
    page = view()
    assert "ml-heat-prompt" in page and "▸ prompt" in page and "● generated" in page
    scores = [t.logprob for t in RUN.tokens]
    expected = ["A", "0.50", "5", f"{sum(scores[1:]):.2f}", f"{perplexity(scores):.2f}", "2"]
    assert rows(page, "ml-run")[0] == expected
    page = view(echo=False)
    assert len(chips(page)) == 3 and "ml-heat-prompt" not in page.split("</style>")[1] and "▸ prompt" not in page
    expected = ["A", "0.50", "3", f"{sum(scores[2:]):.2f}", f"{perplexity(scores[2:]):.2f}", "2"]
    assert rows(page, "ml-run")[0] == expected


def test_nothing_scored_has_no_perplexity():
    run = ScoredText("", 0.0, [FIRST], 10)
    assert rows(view([run]), "ml-run")[0] == ["A", "0.00", "1", "–", "–", "0"]
    assert EN["heat_nothing"] in view([run], echo=False)


def test_two_runs_and_a_message():
    page = view([RUN, "no <b>room</b>"])
    assert [row[0] for row in rows(page, "ml-run")] == ["A"]
    assert "no &lt;b&gt;room" in page and len(chips(page)) == 5
    assert "<table" not in view(["one", "two"])


def test_long_texts_are_cut_and_counted():
    run = ScoredText("", 0.0, [token(0.001)] * (MAX_TOKENS + 7), 10)
    page = view([run])
    assert len(chips(page)) == MAX_TOKENS and "… 7 more tokens" in page
    assert len(rows(page, "ml-low")) == MAX_ROWS and f"… {MAX_TOKENS + 7 - MAX_ROWS} more<" in page
    assert rows(page, "ml-run")[0][2] == str(MAX_TOKENS + 7)


def test_tokens_are_escaped():
    bad = ["<script>alert(1)</script>", '" onmouseover="x', "&lt;", "\x00\n", "\u202eabc"]
    run = ScoredText("", 0.0, [ScoredToken(piece, False, -9.0, 3, [(piece, 0.5)]) for piece in bad], 10)
    page = view([run]).split("</style>")[1]
    assert "<script>" not in page and 'onmouseover="x' not in page.replace("&quot;", "'")
    assert "&lt;script&gt;" in page and "␀␊" in page and "\u202e" not in page


def test_the_picture(llama):
    picture = show_logprobs(llama, PROMPTS)
    assert len(str(picture).splitlines()) == 2 and "<s>(–)" in str(picture)
    assert len(rows(picture._repr_html_(), "ml-run")) == 2
    hot = show_logprobs(llama, [PROMPTS[0]] * 2, temperatures=[0, 1.5], max_gen_len=5, echo=False)
    assert [row[1] for row in rows(hot._repr_html_(), "ml-run")] == ["0.00", "1.50"]
    with pytest.raises(ValueError, match="temperatures has 3 for 2 prompts; give one for each"):
        show_logprobs(llama, PROMPTS, temperatures=[0, 1, 2])
    with pytest.raises(ValueError, match="threshold must be a number from 0 to 1, got 2"):
        show_logprobs(llama, PROMPTS, threshold=2)


# ---- the widget ------------------------------------------------------------------------------------------------------


@pytest.fixture
def heatmap(llama):
    return LogprobHeatmap(llama, PROMPTS, max_gen_len=6)


def test_the_threshold_and_echo_do_not_run_the_model(heatmap, llama, monkeypatch):
    monkeypatch.setattr(llama.model, "forward", lambda *_: pytest.fail("the model was run"))
    first, scored = heatmap.still(), heatmap.scored
    heatmap.threshold = 0
    assert rows(heatmap.still(), "ml-low") == []
    heatmap.threshold = 1.0
    assert all(row[-1] == str(int(row[2]) - 1) for row in rows(heatmap.still(), "ml-run")), "all but <s>"
    heatmap.threshold, heatmap.echo = 0.1, False
    assert all(int(row[2]) <= 6 for row in rows(heatmap.still(), "ml-run"))
    heatmap.echo = True
    assert heatmap.still() == first and heatmap.scored is scored


def test_one_prompt_at_two_temperatures(llama):
    widget = LogprobHeatmap(llama, PROMPTS[:1], temperatures=(0.0, 1.5))
    assert widget.prompts == PROMPTS[:1] * 2
    assert [row[1] for row in rows(widget.still(), "ml-run")] == ["0.00", "1.50"]
    widget.temperatures = [0.0, 0.0]
    one, other = rows(widget.still(), "ml-run")
    assert one[1:] == other[1:], "greedy twice is the same text"


@pytest.mark.parametrize("k", [0, 1])
def test_a_prompt_and_a_temperature_change_their_own_run(heatmap, k):
    before = list(heatmap.runs)
    heatmap.prompts = [PROMPTS[0], "The cat"] if k else ["The cat", PROMPTS[1]]
    assert heatmap.runs[k].prompt == "The cat" and heatmap.runs[1 - k] is before[1 - k]
    heatmap.temperatures = [0.0, HOTTEST] if k else [HOTTEST, 1.0]
    assert heatmap.runs[k].temperature == HOTTEST and heatmap.runs[1 - k] is before[1 - k]


def test_the_page_asks_for_a_run(heatmap):
    before = list(heatmap.runs)
    heatmap.set_state({"prompts": [PROMPTS[0], "The cat"], "temperatures": [0.0, 0.5], "max_gen_len": 6})
    assert heatmap.runs[0] is before[0] and heatmap.runs[1].prompt == "The cat"
    assert heatmap.scored[1]["prompt"] == "The cat" and heatmap.scored[1]["temperature"] == 0.5


def test_what_the_page_gets_are_the_scores(heatmap):
    assert json.loads(json.dumps(heatmap.scored)) == heatmap.scored
    for run, sent in zip(heatmap.runs, heatmap.scored, strict=True):
        assert sent["pieces"] == [t.piece for t in run.tokens] and sent["ranks"] == [t.rank for t in run.tokens]
        assert sent["n_prompt"] == sum(t.from_prompt for t in run.tokens) and sent["problem"] == ""
        assert sent["logprobs"][0] is sent["tops"][0] is None
        assert sent["logprobs"][1:] == pytest.approx([t.logprob for t in run.tokens[1:]], abs=1e-6)
        for top, token in zip(sent["tops"][1:], run.tokens[1:], strict=True):
            assert [piece for piece, _ in top] == [piece for piece, _ in token.top]
            assert [prob for _, prob in top] == pytest.approx([prob for _, prob in token.top], rel=0.01)


def test_a_long_text_is_sent_in_part():
    sent = run_data(ScoredText("", 0.0, [FIRST] + [token(0.5, "\u202e")] * (MAX_TOKENS + 7), 10), "", 0.0, 0)
    assert len(sent["pieces"]) == len(sent["tops"]) == MAX_TOKENS and len(sent["logprobs"]) == MAX_TOKENS + 8
    assert sent["pieces"][1] == r"\u202e"
    assert len(json.dumps([sent, sent])) <= 200 * 1024


def test_length_from_end_to_end(heatmap):
    for value in (0, heatmap.longest, 6):
        heatmap.max_gen_len = value
        for run, prompt in zip(heatmap.runs, PROMPTS, strict=True):
            assert sum(not t.from_prompt for t in run.tokens) <= value
            assert run.prompt == prompt
    heatmap.max_gen_len, heatmap.echo = 0, False
    assert heatmap.still().count(EN["heat_nothing"]) == 2


@pytest.mark.parametrize("text", ["", " ", "\x00\x1b[31m", "שלום", "\u202eabc", "<script>alert(1)</script>", "字🦙"])
def test_odd_text_is_scored(heatmap, text):
    heatmap.prompts = [text, PROMPTS[1]]
    assert len(rows(heatmap.still(), "ml-run")) == 2 and "<script>" not in heatmap.still()
    assert not set("".join(heatmap.scored[0]["pieces"])) & set("\x00\x1b\u202e")


@pytest.mark.parametrize(
    ("text", "message"),
    [("a\ud800", EN["surrogate"]), ("Once " * 60, "(max_seq_len is 96). "), ("a" * (LONGEST + 1), "Shorten it")],
)
def test_bad_text_is_answered_in_place_and_the_widget_stays_alive(heatmap, text, message):
    first = heatmap.still()
    heatmap.prompts = [PROMPTS[0], text]
    assert message in heatmap.scored[1]["problem"] and heatmap.scored[0]["problem"] == ""
    assert message in heatmap.still() and len(rows(heatmap.still(), "ml-run")) == 1
    heatmap.prompts = PROMPTS
    assert heatmap.still() == first


def test_a_model_that_ends_at_once(reciter, tokenizer):
    widget = LogprobHeatmap(reciter(tokenizer, []), ["What"], echo=False)
    assert widget.still().count(EN["heat_nothing"]) == 2


def test_bad_arguments(llama, heatmap):
    with pytest.raises(TypeError, match="prompts must be a list of str, got the bare str"):
        LogprobHeatmap(llama, "Once")
    with pytest.raises(ValueError, match="prompts must be one or two, and temperatures two, got 3 and 2"):
        LogprobHeatmap(llama, ["a", "b", "c"])
    with pytest.raises(ValueError, match="got 1 and 1"):
        LogprobHeatmap(llama, ["a"], temperatures=[0.5])
    with pytest.raises(ValueError, match=r"temperatures\[1\] must be a number from 0 to 2, got 9"):
        LogprobHeatmap(llama, ["a"], temperatures=[0, 9])
    with pytest.raises(ValueError, match="threshold must be a number from 0 to 1, got 2"):
        LogprobHeatmap(llama, ["a"], threshold=2)
    with pytest.raises(ValueError, match="max_gen_len"):
        LogprobHeatmap(llama, ["a"], max_gen_len=1000)
    for name, value in {"prompts": ["a"], "temperatures": [0.0], "threshold": 2, "echo": 5, "max_gen_len": 61}.items():
        before = getattr(heatmap, name)
        for wrong in (value, None):
            with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
                setattr(heatmap, name, wrong)
            assert getattr(heatmap, name) == before
