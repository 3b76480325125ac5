"""The widgets in this process: every control moved to its ends, with observe, so that an error reaches the test."""

import re

import pytest
import torch

from minillama.sampling import apply_temperature, nucleus
from minillama.widgets import Predict, TopPExplorer
from minillama.widgets.top_p import next_token_logits

PROMPTS = ["Once upon a time", "The cat"]


@pytest.fixture
def explorer(llama):
    return TopPExplorer(llama, PROMPTS)


def shown_count(explorer):
    return int(re.search(r"(\d+) of \d+ tokens kept", explorer.view.value).group(1))


def test_sliders_from_end_to_end(explorer):
    for slider in (explorer.top_p, explorer.temperature):
        default = slider.value
        for value in (slider.min, slider.max, default):
            slider.value = value
            probs = apply_temperature(explorer.logits[explorer.prompt.value], explorer.temperature.value)
            assert shown_count(explorer) == int(nucleus(probs, explorer.top_p.value).kept.sum())


def test_sliders_do_not_run_the_model(explorer, llama, monkeypatch):
    monkeypatch.setattr(llama.model, "forward", lambda *_: pytest.fail("the model was run"))
    explorer.top_p.value, explorer.temperature.value, explorer.prompt.value = 0.3, 1.5, PROMPTS[1]
    explorer.draws[0].click()


def test_the_prompt_can_be_changed(explorer):
    before = explorer.view.value
    explorer.prompt.value = PROMPTS[1]
    assert explorer.view.value != before


@pytest.mark.parametrize("k", range(3))
def test_draws(explorer, k):
    explorer.draws[k].click()
    assert sum(explorer.observed.values()) == (1, 100, 1000)[k]
    assert f"observed in {(1, 100, 1000)[k]}" in explorer.view.value
    explorer.top_p.value = 0.1
    assert explorer.observed is None and "observed" not in explorer.view.value


def test_draws_stay_in_the_nucleus_and_repeat_with_the_seed(llama):
    first, second = (TopPExplorer(llama, PROMPTS, top_p=0.5, seed=3) for _ in range(2))
    assert first.sample(1000) == second.sample(1000)
    top = nucleus(apply_temperature(first.logits[PROMPTS[0]], 1.0), 0.5)
    assert set(first.observed) <= set(top.probs_idx[top.kept].tolist())


def test_the_logits_are_the_models(llama):
    ids = llama.tokenizer.encode(PROMPTS[0], bos=True, eos=False)
    expected = llama.model(torch.tensor([ids]), 0)[0, -1]
    assert torch.allclose(next_token_logits(llama, PROMPTS[0]), expected, atol=1e-5)


def test_keyboard_and_hooks(explorer):
    hooks = {"s-top-p": explorer.top_p, "s-temperature": explorer.temperature, "s-prompt": explorer.prompt}
    for hook, control in hooks.items():
        assert hook in control._dom_classes
        assert control.tabbable is not False
    assert "w-top-p" in explorer._dom_classes


def test_bad_arguments(llama):
    with pytest.raises(TypeError, match="prompts must be a list of str, got the bare str"):
        TopPExplorer(llama, "Once")
    with pytest.raises(ValueError, match="prompts is empty"):
        TopPExplorer(llama, [])
    with pytest.raises(ValueError, match="language"):
        TopPExplorer(llama, PROMPTS, language="xx")
    with pytest.raises(ValueError, match="temperature must be a number from 0 to 2, got 9"):
        TopPExplorer(llama, PROMPTS, temperature=9)
    with pytest.raises(ValueError, match="top_p must be a number from 0 to 1, got 1.5"):
        TopPExplorer(llama, PROMPTS, top_p=1.5)
    with pytest.raises(ValueError, match="n_rows"):
        TopPExplorer(llama, PROMPTS, n_rows=0)
    with pytest.raises(ValueError, match="seed"):
        TopPExplorer(llama, PROMPTS, seed=-1)


def test_predict():
    question = Predict("How many <b>tokens</b>?", ["2", "3"])
    assert "<b>tokens" not in question.children[0].value
    unsure = question.reveal(3)
    assert unsure.right is None and "no choice" in repr(unsure) and "The answer: 3." in repr(unsure)
    question.choice.value = "2"
    wrong = question.reveal(3)
    assert wrong.right is False and "You chose 2." in repr(wrong)
    question.choice.value = "3"
    assert question.reveal(3, "Because <i>.").right is True
    assert "&lt;i&gt;" in question.reveal(3, "Because <i>.")._repr_html_()
    with pytest.raises(ValueError, match="answer must be one of the options"):
        question.reveal(7)
