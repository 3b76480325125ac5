"""BeamView: the search, the tree as a pure function, and the widget with every value at its ends."""

import html
import itertools
import math
import re

import pytest
import torch

from minillama.markup import visible
from minillama.widgets import BeamView
from minillama.widgets.beam import LONGEST_SEARCH, MOST_BEAMS, Branch, beam_html, beam_levels
from minillama.widgets.labels import EN

PROMPTS = ["On the last page of the picture book there is a", "假期的第一天，他在日记里只写了四个字："]


def made_up():
    """Two beams, three steps. After step 2 nothing is left of x; y ends in step 2, z goes on."""
    return [
        [Branch(-1, "x", -0.5, -0.5, 1, "x", "kept"), Branch(-1, "y", -1.0, -1.0, 1, "y", "kept")],
        [
            Branch(0, "a", -2.0, -2.5, 2, "xa", "cut"),
            Branch(0, "b", -2.5, -3.0, 2, "xb", "cut"),
            Branch(1, "</s>", -0.25, -1.25, 2, "y", "ended"),
            Branch(1, "z", -0.5, -1.5, 2, "yz", "kept"),
        ],
        [Branch(3, "c", -0.125, -1.625, 3, "yzc", "kept"), Branch(3, "d", -4.0, -5.5, 3, "yzd", "cut")],
    ]


def rows(page, table=0):
    """The cells of every row of a table, without markup."""
    body = re.findall(r"<tbody>.*?</tbody>", page)[table]
    cells = (re.findall(r"<t[hd].*?</t[hd]>", row) for row in re.findall(r"<tr.*?</tr>", body))
    return [[html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in row] for row in cells]


def states(page):
    return [(row[0], row[-1]) for row in rows(page)]


def test_before_the_first_step_there_is_the_prompt_alone():
    page = beam_html(made_up(), 0, EN)
    assert states(page) == [("the prompt", "")] and page.count("<table") == 1
    assert "Step 0 of 3. Going on: 1. Ended: 0." in page


def test_a_branch_that_loses_its_last_child_is_cut_later():
    first, second, third = (states(beam_html(made_up(), k, EN)) for k in (1, 2, 3))
    assert first == [("the prompt", ""), ("├─ x", "● kept"), ("└─ y", "● kept")]
    assert second == [
        ("the prompt", ""),
        ("├─ x", "✗ cut later"),
        ("│  ├─ a", "✗ cut"),
        ("│  └─ b", "✗ cut"),
        ("└─ y", "● kept"),
        ("   ├─ </s>", "■ ended"),
        ("   └─ z", "● kept"),
    ]
    assert third[:2] == second[:2], "what was cut in an earlier step is no longer shown"
    assert third[2:] == [
        ("└─ y", "● kept"),
        ("   ├─ </s>", "■ ended"),
        ("   └─ z", "● kept"),
        ("      ├─ c", "● kept"),
        ("      └─ d", "✗ cut"),
    ]


def test_the_sums_and_the_texts():
    page = beam_html(made_up(), 3, EN)
    assert rows(page)[4][1:4] == ["-0.500", "-1.500", f"{math.exp(-1.5):.4f}"]
    assert rows(page, 1) == [
        ["y", "2", "-1.250 ★", "-0.625", "■ ended"],
        ["yzc", "3", "-1.625", "-0.542 ★", "● kept"],
    ]
    assert "Going on: 1. Ended: 1." in page


def test_colour_is_never_the_only_sign():
    page = beam_html(made_up(), 2, EN)
    for row in re.findall(r'<tr class="ml-cut">.*?</tr>', page):
        assert "✗" in row
    assert page.count('<tr class="ml-cut">') == 3 and page.count('<tr class="ml-marked">') == 1


def test_pieces_and_texts_are_escaped():
    evil = "<img src=x onerror=alert(1)>"
    page = beam_html([[Branch(-1, evil, -1.0, -1.0, 1, evil, "kept")]], 1, EN)
    assert "<img" not in page and page.count("&lt;img") == 2


def all_texts(llama, prompt_tokens, length, few):
    """The sums of all texts of `length` of the ids `few`, by one forward each."""
    for ids in itertools.product(few, repeat=length):
        logprobs = torch.log_softmax(llama.logits([[*prompt_tokens, *ids]])[0], -1)
        yield sum(logprobs[len(prompt_tokens) + k - 1, i].item() for k, i in enumerate(ids))


def test_a_beam_that_is_wide_enough_finds_the_best_of_all(random_llama, monkeypatch):
    llama = random_llama()
    few, forward = [5, 9, 17], llama.logits
    mask = torch.full((llama.tokenizer.n_words,), -math.inf).index_fill(0, torch.tensor(few), 0.0)
    monkeypatch.setattr(llama, "logits", lambda rows: forward(rows) + mask)
    best = max(all_texts(llama, [1, 20], 3, few))
    wide = beam_levels(llama, [1, 20], 9, 3)[-1]
    assert max(branch.total for branch in wide) == pytest.approx(best, abs=1e-4)


def test_one_beam_is_greedy(llama):
    prompt_tokens = llama.tokenizer.encode(PROMPTS[0], bos=True, eos=False)
    levels = beam_levels(llama, prompt_tokens, 1, 3)
    greedy = llama.text_completion(PROMPTS[:1], temperature=0, max_gen_len=3, logprobs=True)[0]
    assert levels[-1][0].text == greedy["generation"]
    assert levels[-1][0].total == pytest.approx(sum(greedy["logprobs"]), abs=1e-3)


def test_every_step_keeps_as_many_as_there_are_places(llama):
    for prompt in PROMPTS:
        levels = beam_levels(llama, llama.tokenizer.encode(prompt, bos=True, eos=False), 3, 8)
        ended = 0
        for level in levels:
            kept = [branch for branch in level if branch.state != "cut"]
            cut = [branch.total for branch in level if branch.state == "cut"]
            assert len(kept) == 3 - ended and min(branch.total for branch in kept) >= max(cut, default=-math.inf)
            ended += sum(branch.state == "ended" for branch in level)
        assert ended == 3 or len(levels) == 8


@pytest.fixture
def view(llama):
    return BeamView(llama, PROMPTS, max_gen_len=3)


def test_every_value_from_end_to_end(view):
    for name, ends in (("step", (0, 3)), ("beams", (1, MOST_BEAMS))):
        seen = []
        for value in ends:
            setattr(view, name, value)
            seen.append(view.still())
        assert seen[0] != seen[1]
    before = view.still()
    view.prompt = PROMPTS[1]
    assert view.still() != before


def test_the_page_gets_every_branch(view):
    view.set_state({"beams": 2})  # as the page sends it
    assert view.tree["prompt"] == PROMPTS[0] and view.tree["beams"] == 2
    shown = [[each._replace(piece=visible(each.piece), text=visible(each.text)) for each in level]
             for level in view.levels]  # fmt: skip
    assert [[Branch(**branch) for branch in level] for level in view.tree["levels"]] == shown
    assert {len(level) for level in view.levels[1:]} == {4}


def test_the_step_does_not_run_the_model(view, llama, monkeypatch):
    monkeypatch.setattr(llama, "logits", lambda *_: pytest.fail("the model was run"))
    view.step = 3
    assert view.page()
    with pytest.raises(pytest.fail.Exception):
        view.beams = 1


def test_values_are_judged(view):
    for name, value, words in [
        ("step", 4, "step must be a whole number from 0 to 3, got 4"),
        ("beams", 0, f"beams must be a whole number from 1 to {MOST_BEAMS}, got 0"),
        ("prompt", "none of them", "prompt must be one of"),
    ]:
        before = getattr(view, name)
        with pytest.raises((TypeError, ValueError), match=words):
            setattr(view, name, value)
        assert getattr(view, name) == before


def test_a_context_that_is_full_ends_the_search(checkpoint):
    from minillama import Llama

    llama = Llama.build(checkpoint.folder, max_seq_len=5, max_batch_size=1, device="cpu")
    n = len(llama.tokenizer.encode("a", bos=True, eos=False))
    view = BeamView(llama, ["a"], n_beams=2, max_gen_len=9)
    assert len(view.levels) == 5 - n
    view.step = 5 - n
    view.beams = 1
    assert view.step == len(view.levels), "a step beyond the last becomes the last"


def test_bad_arguments(llama):
    with pytest.raises(TypeError, match="prompts must be a list of str"):
        BeamView(llama, "a")
    with pytest.raises(ValueError, match=f"n_beams must be a whole number from 1 to {MOST_BEAMS}"):
        BeamView(llama, PROMPTS, n_beams=0)
    with pytest.raises(ValueError, match=f"max_gen_len must be a whole number from 1 to {LONGEST_SEARCH}"):
        BeamView(llama, PROMPTS, max_gen_len=LONGEST_SEARCH + 1)
