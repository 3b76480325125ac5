"""GenerateStepper: the recorded run is the loop's, the still and the page get it, bad input is answered."""

import html
import json
import re

import pytest
import torch

from minillama import Llama
from minillama.widgets import GenerateStepper, show_step
from minillama.widgets.labels import EN
from minillama.widgets.stages import batch_stages, stages
from minillama.widgets.stepper import LONGEST_RUN, MOST_SENT, SETTINGS
from minillama.widgets.steps import SIGNS, record, stepper_html, where_lines

PROMPTS = ["Once upon a time", "The cat", "从前有一只小猫"]
IDS = [[1, 5, 9], [1, 7], [1, 4, 8, 6]]


def rows(page):
    """The canvas: for each row the signs and ids of its places."""
    found = re.findall(r'<tr class="ml-step-row.*?</tr>', page, re.S)
    return [re.findall(r"<small>(\S) (-?\d+)</small>", row) for row in found]


def forward_line(page):
    cells = re.findall(r"<td.*?</td>", re.search(r'<tr class="ml-step-forward".*?</tr>', page)[0])
    return "".join(re.sub(r"<[^>]+>", "", cell) or "-" for cell in cells)


@pytest.fixture(scope="module")
def small(random_llama):
    return random_llama(3)


@pytest.fixture(scope="module")
def names():
    return [f"t{i}" for i in range(24)]


def scripted(random_llama, successor, bsz=4):
    """A Llama over ten letters in which `successor[i]` always follows i; max_seq_len 24."""
    llama = random_llama(0, max_batch_size=bsz, vocab_size=len(successor))

    def forward(tokens, start_pos, last_only=False):
        logits = 9.0 * torch.nn.functional.one_hot(torch.tensor(successor)[tokens], len(successor)).float()
        return logits[:, -1:] if last_only else logits

    llama.model.forward = forward
    return llama


COUNTDOWN = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]  # after n comes n - 1; 2 is eos


# ---- the record ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.5, "top_p": 0.8, "seed": 4}, {"logprobs": True}])
def test_the_record_is_the_loop(small, settings):
    run = record(small, IDS, 6, **settings)
    sampler = {"temperature": 0.0, "top_p": 0.9, "seed": 1} | settings
    steps = list(small.generate_steps(IDS, 6, **sampler))
    assert len(run.steps) == len(steps) and run.total_len == steps[0].tokens.shape[1]
    for number, (kept, step) in enumerate(zip(run.steps, steps, strict=True), start=1):
        assert (kept.prev_pos, kept.cur_pos) == (step.prev_pos, step.cur_pos)
        for name in ("candidate", "next_token", "from_prompt", "eos_reached"):
            assert getattr(kept, name) == getattr(step, name).tolist()
        assert (kept.logprobs is None) == (step.logprobs is None)
        written = [[run.token(number, k, column) for column in range(kept.cur_pos + 1)] for k in range(3)]
        assert written == steps[-1].tokens[:, : kept.cur_pos + 1].tolist()


def test_only_the_top_candidates_are_kept_and_those_that_matter(small):
    for step in record(small, IDS, 6, temperature=2.0, top_p=1.0, seed=3, n_rows=2).steps:
        for k, table in enumerate(step.tables):
            tokens = [row.token for row in table.rows]
            assert len(tokens) <= 4 and {step.candidate[k], step.next_token[k]} <= set(tokens)
            assert [row.place for row in table.rows] == sorted({row.place for row in table.rows})


def test_batched_stages_are_the_stages_of_each_row():
    logits = torch.randn(3, 30, generator=torch.Generator().manual_seed(0))
    for temperature in (0.0, 0.7):
        assert batch_stages(logits, temperature, 0.8, 5) == [stages(row, temperature, 0.8, 5) for row in logits]
    (greedy, *_) = batch_stages(logits, 0.0, 0.8, 5)
    assert [row.token for row in greedy.rows] == logits[0].topk(5).indices.tolist()


def test_stops_and_first_tokens(random_llama):
    llama = scripted(random_llama, COUNTDOWN)
    run = record(llama, [[1, 9], [1, 5, 4], [1, 9, 9, 9]], 8)
    assert [run.first_new(k) for k in range(3)] == [1, 2, 3]
    assert run.stops == [(7, "eos"), (3, "eos"), (9, "eos")]
    kinds = "".join(SIGNS[run.kind(9, 1, column)] for column in range(run.total_len))
    assert kinds == "PPP+■××××××·"


def test_stops_without_eos(random_llama):
    llama = scripted(random_llama, [5] * 10)
    run = record(llama, [[1], [1, 5, 5, 5]], 3)
    assert run.stops == [(3, "length"), (6, "length")]
    assert "".join(SIGNS[run.kind(6, 0, column)] for column in range(7)) == "P+++×××"
    run = record(llama, [[1] * 20, [1] * 23], 8)  # 24 places
    assert run.stops[1] == (4, "room") and run.stops[0] == (4, "room")


def test_every_row_ends_at_once(random_llama, names):
    run = record(scripted(random_llama, COUNTDOWN), [[1, 3], [1, 3]], 8)
    assert len(run.steps) == 1 and run.stops[1] == (1, "eos") == run.stops[0]
    page = stepper_html(run, 1, 0, names, EN)
    assert EN["step_all_ended"] in page and EN["step_stop_eos"] in page


# ---- the view --------------------------------------------------------------------------------------------------------


def test_before_the_first_step_there_are_only_prompts(small, names):
    page = stepper_html(record(small, IDS, 3), 0, 0, names, EN)
    assert rows(page)[1] == [("P", "1"), ("P", "7"), *[("·", "-1")] * 5]
    assert forward_line(page) == "-------" and "torch.where" not in page


def test_each_step_adds_a_column(small, names):
    run = record(small, IDS, 3)
    before = rows(stepper_html(run, 0, 0, names, EN))
    for number in range(1, len(run.steps) + 1):
        now = rows(stepper_html(run, number, 0, names, EN))
        changed = {
            column for old, new in zip(before, now, strict=True) for column in range(7) if old[column] != new[column]
        }
        assert changed <= {run.steps[number - 1].cur_pos}
        before = now
    assert forward_line(stepper_html(run, 1, 0, names, EN)) == "RRW----"
    assert forward_line(stepper_html(run, 3, 0, names, EN)) == "---RW--"


def test_the_lines_are_filled_in(random_llama, names):
    run = record(scripted(random_llama, COUNTDOWN), [[1, 9], [1, 5, 7]], 8)
    inside = where_lines(run, 1, 1, names, EN)
    assert inside[1] == "    row 1:  where(True, 7 t7, 4 t4)  →  7 t7"
    after = where_lines(run, 1, 0, names, EN)
    assert after[1] == "    row 0:  where(False, -1, 8 t8)  →  8 t8"
    assert after[3] == "    row 0:  -1  →  8 t8" and after[5] == "    row 0:  False | (True & False)  →  False"
    page = stepper_html(run, 1, 1, names, EN)
    assert EN["step_dropped"] in page and EN["step_argmax"] in page and "the prompt&#x27;s own (rank" in page
    last = where_lines(run, 7, 0, names, EN)
    assert last[5] == "    row 0:  False | (True & True)  →  True"


def test_draws_and_logprobs_are_shown(small, names):
    run = record(small, IDS, 4, temperature=2.0, top_p=1.0, seed=2, logprobs=True, n_rows=2)
    page = html.unescape(stepper_html(run, 1, 1, names, EN))
    assert "◀ drawn (rank" in page and "logprobs, row 1:" in page
    assert f"column 1:  {run.steps[0].logprobs[1][0]:9.4f}  7 t7" in page
    long = record(small, [[1] * 20], 1, logprobs=True)
    assert "… 12 more before these" in where_lines(long, 1, 0, names, EN)[7]


def test_a_wide_canvas_shows_the_columns_around_the_step(small, names):
    run = record(small, [[1], [1] * 20], 3)
    for number in (0, 1, 10, len(run.steps)):
        page = stepper_html(run, number, 0, names, EN, n_columns=8)
        assert f"{run.total_len - 8} more columns" in page and all(len(row) == 8 for row in rows(page))
        assert number == 0 or 'ml-step-now"' in page


def test_pieces_are_escaped(small):
    evil = ['<img src=x onerror="alert(1)">\x00\u202e'] * 24
    page = stepper_html(record(small, IDS, 2), 2, 0, evil, EN)
    assert "<img" not in page and 'onerror="' not in page and "\u202e" not in page and "\x00" not in page


def test_the_picture_is_the_widgets_view(llama):
    prompt_tokens = [llama.tokenizer.encode(text, bos=True, eos=False) for text in PROMPTS]
    picture = show_step(llama, prompt_tokens, 2, row=1, max_gen_len=5)
    view = GenerateStepper(llama, PROMPTS, max_gen_len=5, n_rows=8)
    view.step, view.row = 2, 1
    assert picture._repr_html_() == view.still() and "<style>" in view.still()
    assert repr(picture).startswith("Step 2 of") and "torch.where" in repr(picture)
    with pytest.raises(ValueError, match="number must be a whole number from 0"):
        show_step(llama, prompt_tokens, 99)
    with pytest.raises(ValueError, match="row must be a whole number from 0 to 2, got 3"):
        show_step(llama, prompt_tokens, 1, row=3)
    with pytest.raises(ValueError, match="max_gen_len must be a whole number of at least 1, got 0"):
        show_step(llama, prompt_tokens, 0, max_gen_len=0)


# ---- the widget ------------------------------------------------------------------------------------------------------


@pytest.fixture
def view(llama):
    return GenerateStepper(llama, PROMPTS, max_gen_len=5)


def test_step_and_row_change_the_still_alone(view, llama, monkeypatch):
    monkeypatch.setattr(Llama, "generate_steps", lambda *_, **__: pytest.fail("the model was run"))
    n, ran, seen = len(view.recorded.steps), view.ran, []
    assert view.step == view.row == 0
    for value in (0, n, 1):
        view.step = value
        assert f"Step {value} of {n}." in view.still()
        seen.append(view.still())
    view.row = 2
    assert "▶ row 2" in view.still() and len({*seen, view.still()}) == 4 and view.ran is ran


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [("step", 99, "step must be a whole number from 0 to"), ("step", -1, "step must"), ("row", 3, "from 0 to 2, got 3"),
     ("max_gen_len", 65, "from 1 to 64, got 65"), ("temperature", 3, "from 0 to 2, got 3"), ("top_p", 2, "top_p must"),
     ("seed", -1, "seed must"), ("logprobs", 2, "logprobs must"), ("prompts", "a", "list of str"),
     ("prompts", [5], r"prompts\[0\]")],
)  # fmt: skip
def test_a_wrong_value_is_refused_and_nothing_changes(view, name, value, error):
    before = getattr(view, name)
    with pytest.raises((TypeError, ValueError), match=error):
        setattr(view, name, value)
    assert getattr(view, name) == before


def test_only_a_run_runs_the_model(view, llama, monkeypatch):
    runs = []
    original = Llama.generate_steps

    def counted(self, *args, **settings):
        runs.append(settings)
        return original(self, *args, **settings)

    monkeypatch.setattr(Llama, "generate_steps", counted)
    view.step, view.row = 3, 1
    view.temperature, view.top_p, view.seed, view.logprobs = 2.0, 1.0, 7, True
    view.max_gen_len, view.prompts = 9, ["The cat", "Once"]
    assert not runs and view.ran["settings"]["seed"] == 1
    view.run()
    assert len(runs) == 1 and runs[0]["seed"] == 7 and view.ran["settings"]["seed"] == 7
    assert view.step == view.row == 0 and len(view.recorded.prompt_tokens) == 2
    expected = list(original(llama, view.recorded.prompt_tokens, 9, 2.0, 1.0, seed=7))[-1].tokens
    assert [[view.recorded.token(99, k, c) for c in range(expected.shape[1])] for k in range(2)] == expected.tolist()


def test_the_page_asks_for_a_run(view):
    view.step = 3
    view.set_state({"prompts": ["The cat"], "max_gen_len": 2, "asked": 1})
    assert view.ran["asked"] == 1 and view.ran["settings"]["prompts"] == ["The cat"] and view.step == 0
    assert len(view.recorded.prompt_tokens) == 1


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_what_the_page_gets_is_the_record(llama, temperature):
    view = GenerateStepper(llama, ["a", "The cat"], 4, temperature, top_p=0.8, logprobs=True, n_rows=6)
    ran, run, n = view.ran, view.recorded, view.ran["n_shown"]
    assert json.loads(json.dumps(ran))["prompt_tokens"] == run.prompt_tokens
    assert n == 6 and ran["n_steps"] == len(run.steps) and ran["first"] == run.steps[0].cur_pos
    numbers = torch.frombuffer(bytearray(view.floats), dtype=torch.float32).view(len(run.steps), 2, 5 + 2 * n)
    for number, step in enumerate(run.steps):
        assert ran["candidate"][number] == step.candidate and ran["next_token"][number] == step.next_token
        for k, table in enumerate(step.tables):
            n_kept, mass, best, own, place = numbers[number, k, :5].tolist()
            ids, logits = numbers[number, k, 5 : 5 + n].int().tolist(), numbers[number, k, 5 + n :].tolist()
            assert (n_kept, place) == (table.n_kept, next(r.place for r in table.rows if r.token == step.next_token[k]))
            assert mass == pytest.approx(table.mass_kept) and best == pytest.approx(table.rows[0].prob)
            assert own == pytest.approx(next(r.logit for r in table.rows if r.token == step.next_token[k]))
            assert ids == [r.token for r in table.rows[:n]] and logits == pytest.approx(
                [r.logit for r in table.rows[:n]]
            )
            assert {*ids, step.candidate[k], step.next_token[k]} <= ran["names"].keys()
    for k, scores in enumerate(ran["logprobs"]):
        assert scores == pytest.approx([x for step in run.steps for x in step.logprobs[k]], abs=6e-4)
        assert (ran["ended"][k] or 99) == next((i for i, step in enumerate(run.steps, 1) if step.eos_reached[k]), 99)


def test_a_long_run_sends_fewer_candidates(checkpoint):
    wide = Llama.build(checkpoint.folder, max_batch_size=8, device="cpu")
    view = GenerateStepper(wide, ["cat " * n for n in (1, 2, 3, 5, 8, 12, 16, 1)], max_gen_len=64)
    n = view.ran["n_shown"] * len(view.recorded.steps) * 8
    assert view.ran["n_shown"] < 40 and n <= MOST_SENT
    assert len(view.page().encode()) <= 300 * 1024


BAD = {
    "nothing": ("", "There is no prompt"),
    "blank lines": (" \n\t\n", "There is no prompt"),
    "fifty prompts": ("\n".join(["The cat"] * 50), "There are 50 prompts, but max_batch_size is 4"),
    "longer than the context": ("The cat " * 100, "Shorten it"),
    "a lone surrogate": ("The\ncat \ud800", "The prompt in row 1 contains half a character"),
    "fills the context": ("1" * 94, "Shorten it"),  # bos, ▁, and a token a digit: 96 places
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_answered_in_place_and_the_widget_lives_on(view, name):
    text, message = BAD[name]
    view.prompts = text.split("\n")
    view.run()
    assert message in view.ran["problem"] and message in view.still()
    assert "ml-failed" in view.still() and "<table" not in view.still()
    with pytest.raises(ValueError, match="step must be"):
        view.step = 1
    view.prompts = ["The cat"]
    view.run()
    assert (
        view.ran["problem"] == "" and "ml-box" not in view.still().split("</style>")[1] and len(rows(view.still())) == 1
    )


def test_one_place_left_and_very_different_lengths(view):
    view.prompts = ["1" * 93, "Once"]  # 95 of 96 places
    view.run()
    view.step = view.recorded.first_new(0)
    assert view.recorded.stops[0][1] in ("room", "eos") and EN["step_full"] in view.still()
    assert "more columns are not shown" in view.still()


def test_a_very_long_text_is_cut_with_a_note(view):
    view.prompts = ["The cat", " " * 50_000]
    view.run()
    assert "characters are used" in view.ran["notes"][0] and "characters are used" in view.still()
    assert len(rows(view.still())) == 1


@pytest.mark.parametrize("text", ["\x00\x07\x0b\u2028", "\u202eabc\u202c مرحبا", "🦙" * 5, "<script>alert(1)</script>"])
def test_odd_characters_are_shown_safely(view, text):
    view.prompts = text.split("\n")
    view.run()
    view.step = 1
    page = view.still().split("</style>")[1]
    assert "<script>" not in page and not set(page) & set("\x00\x07\u202e\u2028")
    assert not set("".join(view.ran["names"].values())) & set("\x00\x07\u202e\u2028")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"prompts": "Once"}, TypeError, "prompts must be a list of str"),
        ({"max_gen_len": 0}, ValueError, f"max_gen_len must be a whole number from 1 to {LONGEST_RUN}"),
        ({"temperature": -1}, ValueError, "temperature"),
        ({"top_p": 2}, ValueError, "top_p"),
        ({"seed": -1}, ValueError, "seed"),
        ({"n_rows": 0}, ValueError, "n_rows"),
    ],
)
def test_bad_arguments(llama, settings, error, message):
    with pytest.raises(error, match=message):
        GenerateStepper(llama, **{"prompts": PROMPTS} | settings)


@pytest.mark.parametrize("name", [*SETTINGS, "step", "row"])
def test_none_is_no_setting(view, name):
    before = getattr(view, name)
    with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
        setattr(view, name, None)
    assert getattr(view, name) == before
