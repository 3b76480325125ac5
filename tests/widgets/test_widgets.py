"""The widgets in this process: every control moved to its ends, with observe, so that an error reaches the test."""

import re

import pytest
import torch

from minillama.sampling import apply_temperature, nucleus
from minillama.widgets import TopPExplorer
from minillama.widgets.top_p import next_token_logits

PROMPTS = ["Once upon a time", "The cat"]


@pytest.fixture
def explorer(llama):
    return TopPExplorer(llama, PROMPTS)


def shown_count(explorer):
    return int(re.search(r"(\d+) of \d+ tokens kept", explorer.still()).group(1))


def test_from_end_to_end(explorer):
    for name, values in {"top_p": (0, 1, 0.9), "temperature": (0, 3, 1.0)}.items():
        for value in values:
            setattr(explorer, name, value)
            probs = apply_temperature(explorer.logits[explorer.prompt], explorer.temperature)
            assert shown_count(explorer) == int(nucleus(probs, explorer.top_p).kept.sum())


def test_moving_does_not_run_the_model(explorer, llama, monkeypatch):
    monkeypatch.setattr(llama.model, "forward", lambda *_: pytest.fail("the model was run"))
    explorer.top_p, explorer.temperature, explorer.prompt = 0.3, 1.5, PROMPTS[1]
    explorer.sample(1)
    assert explorer.page()


def test_the_prompt_can_be_changed(explorer):
    before = explorer.still()
    explorer.prompt = PROMPTS[1]
    assert explorer.still() != before


def test_at_temperature_0_the_next_best_follow_the_first(explorer):
    rows = re.findall(r'<th scope="row">(.*?)</th>', explorer.still())
    explorer.temperature = 0
    assert re.findall(r'<th scope="row">(.*?)</th>', explorer.still()) == rows


def test_draws_add_up_until_something_is_moved(explorer):
    for n, total in ((1, 1), (100, 101), (1000, 1101)):
        drawn = explorer.sample(n)
        assert drawn == explorer.observed and sum(drawn.values()) == total
    explorer.top_p = 0.1
    assert explorer.observed == {}


def test_draws_stay_in_the_nucleus_and_repeat_with_the_seed(llama):
    first, second = (TopPExplorer(llama, PROMPTS, top_p=0.5, seed=3) for _ in range(2))
    assert first.sample(1000) == second.sample(1000)
    top = nucleus(apply_temperature(first.logits[PROMPTS[0]], 1.0), 0.5)
    assert set(first.observed) <= set(top.probs_idx[top.kept].tolist())


def test_the_logits_are_the_models_and_the_browsers(llama, explorer):
    ids = llama.tokenizer.encode(PROMPTS[0], bos=True, eos=False)
    expected = llama.model(torch.tensor([ids]), 0)[0, -1]
    assert torch.allclose(next_token_logits(llama, PROMPTS[0]), expected, atol=1e-5)
    sent = torch.frombuffer(bytearray(explorer.floats), dtype=torch.float32).view(len(PROMPTS), -1)
    assert all(torch.equal(row, logits) for row, logits in zip(sent, explorer.logits.values(), strict=True))


def test_what_the_browser_sends_arrives(explorer):
    """A message of the page, as it comes through the kernel: the ids of a JSON object are text."""
    explorer.set_state({"top_p": 0.5, "observed": {"7": 2, "9": 1}})
    assert explorer.top_p == 0.5 and explorer.observed == {7: 2, 9: 1}
    explorer.set_state({"temperature": 2, "observed": {}})
    assert explorer.temperature == 2.0 and explorer.observed == {}
    explorer.sample(1)
    explorer.top_p = 0.4
    assert explorer.observed == {}, "set from Python: Python forgets the draws"


def test_traits_are_judged(explorer):
    for name, value, words in [
        ("top_p", 1.5, "top_p must be a number from 0 to 1, got 1.5"),
        ("temperature", "x", "temperature must be a number from 0 to 3, got str 'x'"),
        ("top_p", None, "top_p must be a number from 0 to 1, got NoneType None"),
        ("prompt", "none of them", "prompt must be one of"),
        ("observed", [1], "observed must be a dict"),
        ("observed", {-1: 2}, "observed: a token id must be a whole number from 0 to"),
        ("observed", {1: 0}, r"observed\[1\] must be a whole number of at least 1, got 0"),
    ]:
        before = getattr(explorer, name)
        with pytest.raises((TypeError, ValueError), match=words):
            setattr(explorer, name, value)
        assert getattr(explorer, name) == before


def test_bad_arguments(llama):
    with pytest.raises(TypeError, match="prompts must be a list of str, got the bare str"):
        TopPExplorer(llama, "Once")
    with pytest.raises(ValueError, match="prompts is empty"):
        TopPExplorer(llama, [])
    with pytest.raises(ValueError, match="temperature must be a number from 0 to 3, got 9"):
        TopPExplorer(llama, PROMPTS, temperature=9)
    with pytest.raises(ValueError, match="top_p must be a number from 0 to 1, got 1.5"):
        TopPExplorer(llama, PROMPTS, top_p=1.5)
    with pytest.raises(ValueError, match="n_rows"):
        TopPExplorer(llama, PROMPTS, n_rows=0)
    with pytest.raises(ValueError, match="seed"):
        TopPExplorer(llama, PROMPTS, seed=-1)
