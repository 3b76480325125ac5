"""The functions that a learner calls by hand refuse what would give a wrong number in silence."""

import math

import numpy as np
import pytest
import torch

from minillama.logprobs import entropy, least_certain, perplexity, sequence_logprob, token_logprobs
from minillama.sampling import apply_temperature, filter_min_p, filter_top_k, nucleus, sample_top_p

HUGE = 10**5000
LOGITS, PROBS = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.2, 0.3, 0.5])
OF_PROBS = {
    "filter_top_k": lambda x: filter_top_k(x, 2),
    "filter_min_p": lambda x: filter_min_p(x, 0.5),
    "nucleus": lambda x: nucleus(x, 0.5),
    "entropy": entropy,
}


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize("temperature", [0, 0.5, 1])
def test_logits_that_are_not_finite(value, temperature):
    for logits in ([1.0, value, 3.0], [[1.0, 2.0], [value, 3.0]]):
        with pytest.raises(ValueError, match="^logits must have a finite largest number in every row"):
            apply_temperature(torch.tensor(logits), temperature)
    banned = apply_temperature(torch.tensor([1.0, -math.inf]), 1.0)
    assert banned.tolist() == [1.0, 0.0], "minus infinity is how a token is banned"


@pytest.mark.parametrize("value", [2, -1, 1.5, math.nan, math.inf, HUGE, "a", None, True, [1], 1j], ids=range(11))
def test_numbers_outside_what_is_allowed(value):
    calls = {"min_p": lambda: filter_min_p(PROBS, value), "p": lambda: nucleus(PROBS, value)}
    calls["p "] = lambda: sample_top_p(PROBS[None], value)
    if value not in (1.5, 2):
        calls |= {"temperature": lambda: apply_temperature(LOGITS, value)}
    if value not in (2, HUGE):
        calls |= {"k": lambda: filter_top_k(PROBS, value), "n": lambda: least_certain([None, -1.0, -2.0], value)}
    for name, call in calls.items():
        with pytest.raises((TypeError, ValueError), match=f"^{name.strip()} must be a "):
            call()


def test_numbers_of_other_libraries_are_numbers():
    assert filter_min_p(PROBS, np.float32(0.5)).tolist() == filter_min_p(PROBS, 0.5).tolist()
    assert filter_top_k(PROBS, torch.tensor(2)).tolist() == filter_top_k(PROBS, 2).tolist()
    assert nucleus(PROBS, torch.tensor(0.5)).kept.tolist() == nucleus(PROBS, 0.5).kept.tolist()
    assert least_certain((None, np.float64(-1.0), -2), np.int64(1)) == [2]


@pytest.mark.parametrize("name", OF_PROBS)
def test_what_is_no_distribution(name):
    for wrong in ([0.5, 0.5], None, np.ones(2), torch.tensor([1, 0]), torch.tensor([True])):
        with pytest.raises(TypeError, match="^probs must be a tensor"):
            OF_PROBS[name](wrong)
    for wrong in (torch.tensor(1.0), torch.ones(0), torch.ones(2, 0)):
        with pytest.raises(ValueError, match="^probs must have at least one axis and at least one column"):
            OF_PROBS[name](wrong)


def test_draws_need_rows_and_generators():
    with pytest.raises(ValueError, match="^probs must have 2 axes"):
        sample_top_p(PROBS, 0.5)
    for wrong in ("a", 5, True):
        with pytest.raises(TypeError, match="^generator must be None, a torch.Generator or a list"):
            sample_top_p(PROBS[None], 0.5, wrong)


@pytest.mark.parametrize("call", [sequence_logprob, perplexity, least_certain])
def test_log_probabilities_that_are_none(call):
    for wrong in (math.nan, math.inf, "a", True, 1j, 10**400):
        with pytest.raises((TypeError, ValueError), match=r"^logprobs\[1\] must be a "):
            call([None, wrong, -1.0])
    for wrong in ("abc", 5, None, iter([-1.0])):
        with pytest.raises(TypeError, match="^logprobs must be a list of numbers and None"):
            call(wrong)
    assert sequence_logprob([None, -math.inf]) == -math.inf and perplexity([-math.inf]) == math.inf


def test_tokens_that_do_not_fit_their_logits():
    logits = torch.zeros(1, 2, 4)
    for wrong in (torch.zeros(1, 3).long(), torch.zeros(2).long(), torch.zeros(1, 2)):
        with pytest.raises(ValueError, match=r"^tokens must have the shape \(1, 2\) and torch.int64"):
            token_logprobs(logits, wrong)
    with pytest.raises(ValueError, match="^logits must have 3 axes"):
        token_logprobs(logits[0], torch.zeros(2).long())
