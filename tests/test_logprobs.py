"""Log-probabilities against log_softmax of a full forward; and what is computed from them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillama.logprobs import entropy, least_certain, perplexity, sequence_logprob, token_logprobs
from tests.examples import examples

VOCAB, CONTEXT = 24, 20
PROMPTS = st.lists(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=9), min_size=1, max_size=4)
LOGPROBS = st.lists(st.floats(-50, 0), max_size=20)


@pytest.fixture(scope="module")
def small(random_llama):
    return random_llama(4, vocab_size=VOCAB, max_seq_len=CONTEXT)


@pytest.fixture(scope="module")
def due(small, without_cache):
    """due(ids): log p of each id but the first, from one uncached forward and log_softmax."""
    plain = without_cache(small.model)

    @torch.no_grad()
    def read(ids):
        tokens = torch.tensor([ids])
        table = torch.log_softmax(plain(tokens, 0)[0, :-1], dim=-1)
        return table.gather(-1, tokens[0, 1:, None]).flatten().tolist()

    return read


# ---- what generate reports -----------------------------------------------------------------------------------------


@examples(60)
@given(
    PROMPTS,
    st.integers(0, 8),
    st.sampled_from([0, 0.3, 1.5]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.booleans(),
    st.integers(0, 99),
)
def test_generate_reports_log_softmax(small, due, prompts, max_gen_len, temperature, top_p, echo, seed):
    tokens, logprobs = small.generate(prompts, max_gen_len, temperature, top_p, logprobs=True, echo=echo, seed=seed)
    for prompt, row, scores in zip(prompts, tokens, logprobs, strict=True):
        assert len(row) == len(scores)
        assert row[: len(prompt)] == prompt if echo else True
        ids = row if echo else prompt + row
        known = [None, *due(ids)]
        known = known if echo else known[len(prompt) :]
        assert scores == pytest.approx(known, abs=1e-4)


def test_temperature_and_filters_do_not_enter(small):
    prompts = [[1, 5, 6], [1, 7]]
    plain = small.generate(prompts, 6, temperature=0, logprobs=True)
    assert small.generate(prompts, 6, temperature=5.0, top_p=0.0, logprobs=True, seed=1) == plain
    assert small.generate(prompts, 6, temperature=1e-30, top_p=1.0, logprobs=True, seed=1) == plain
    assert small.generate(prompts, 6, temperature=2.0, top_p=1.0, top_k=1, logprobs=True, seed=1) == plain
    assert small.generate(prompts, 6, temperature=2.0, top_p=1.0, min_p=1.0, logprobs=True, seed=1) == plain


def test_logprobs_do_not_change_the_text(small):
    prompts = [[1, 5, 6], [1, 7], [9]]
    for temperature in (0, 1.0):
        with_them, _ = small.generate(prompts, 9, temperature, logprobs=True, seed=3)
        without, none = small.generate(prompts, 9, temperature, logprobs=False, seed=3)
        assert with_them == without and none is None


@pytest.mark.parametrize("lengths", [[1], [2], [5, 5], [1, 4, 7], [CONTEXT], [CONTEXT, 1, 8]])
def test_scoring_generates_nothing(small, due, lengths):
    generator = torch.Generator().manual_seed(1)
    prompts = [torch.randint(0, VOCAB, (n,), generator=generator).tolist() for n in lengths]
    tokens, logprobs = small.generate(prompts, max_gen_len=0, logprobs=True, echo=True)
    assert tokens == prompts
    for prompt, scores in zip(prompts, logprobs, strict=True):
        assert scores == pytest.approx([None, *due(prompt)], abs=1e-4)
    assert small.generate(prompts, 0, logprobs=True) == ([[] for _ in prompts], [[] for _ in prompts])
    assert small.generate(prompts, 0, echo=True) == (prompts, None)


def test_scoring_runs_one_forward(small):
    shapes = []
    handle = small.model.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    small.generate([[1, 5, 6, 7], [1, 8]], 0, logprobs=True, echo=True)
    handle.remove()
    assert shapes == [(2, 4)]


def test_a_scored_text_has_the_logprobs_it_was_generated_with(small):
    tokens, generated = small.generate([[1, 5], [1, 7, 8, 9]], 7, 1.0, logprobs=True, echo=True, seed=2)
    _, scored = small.generate(tokens, 0, logprobs=True, echo=True)
    for one, other in zip(generated, scored, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


# ---- the functions -------------------------------------------------------------------------------------------------


@given(st.integers(1, 4), st.integers(0, 6), st.integers(1, 9), st.integers(0, 999))
def test_token_logprobs_against_log_softmax(bsz, seqlen, vocab_size, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(bsz, seqlen, vocab_size, generator=generator)
    tokens = torch.randint(-1, vocab_size, (bsz, seqlen), generator=generator)
    table = torch.log_softmax(logits, dim=-1).gather(-1, tokens.clamp(min=0)[..., None])[..., 0]
    torch.testing.assert_close(token_logprobs(logits, tokens), table.where(tokens != -1, 0.0))


def test_ignore_index():
    tokens = torch.tensor([[2, 3]])
    assert token_logprobs(torch.zeros(1, 2, 4), tokens, ignore_index=3).tolist() == [[pytest.approx(-math.log(4)), 0]]


@given(LOGPROBS)
def test_none_does_not_count(logprobs):
    assert sequence_logprob(logprobs) == pytest.approx(sum(logprobs))
    assert sequence_logprob([None, *logprobs]) == sequence_logprob(logprobs)
    if logprobs:
        assert perplexity([None, *logprobs]) == perplexity(logprobs)


@given(st.integers(1, 1000), st.integers(1, 30))
def test_perplexity_counts_equal_choices(choices, length):
    assert perplexity([math.log(1 / choices)] * length) == pytest.approx(choices)


def test_perplexity_of_nothing():
    for nothing in ([], [None]):
        with pytest.raises(ValueError, match="logprobs has no number in it; a perplexity needs at least one"):
            perplexity(nothing)


@given(LOGPROBS, st.integers(0, 25))
def test_least_certain_come_lowest_first(logprobs, n):
    logprobs = [None, *logprobs]
    places = least_certain(logprobs, n)
    assert len(places) == len(set(places)) == min(n, len(logprobs) - 1) and 0 not in places
    shown = [logprobs[i] for i in places]
    assert shown == sorted(logprobs[1:])[: len(places)]


def test_entropy_of_what_is_known():
    probs = torch.tensor([[0.25] * 4, [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    assert torch.allclose(entropy(probs), torch.tensor([4.0, 2.0, 1.0]).log())
    assert entropy(probs[0].double()).dtype == torch.float64


@given(st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=30))
def test_entropy_is_minus_the_mean_logprob(logits):
    table = torch.tensor(logits).log_softmax(-1)
    assert float(entropy(table.exp())) == pytest.approx(-float((table.exp() * table).sum()), abs=1e-4)
