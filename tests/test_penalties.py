"""What changes logits before the temperature: alone against transformers or the formula, and in every call."""

import itertools
import math

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from minillama import Sampling, logprobs, penalties, steps
from tests import peers
from tests.examples import examples

VOCAB = 12
ROWS = st.lists(st.lists(st.integers(0, VOCAB - 1), min_size=6, max_size=6), min_size=1, max_size=3)
SEEDS = st.integers(0, 999)
MILD = {"repetition_penalty": 1.3, "presence_penalty": 0.4, "frequency_penalty": 0.3}
ALL = MILD | {"logit_bias": {5: 1.0, 7: -math.inf, 9: -2.0}, "no_repeat_ngram_size": 3}


def random_logits(bsz, seed, vocab_size=VOCAB):
    return 3 * torch.randn(bsz, vocab_size, generator=torch.Generator().manual_seed(seed))


# ---- each alone ------------------------------------------------------------------------------------------------------


@examples(60)
@given(ROWS, SEEDS, st.floats(0.05, 5))
def test_repetition_as_in_transformers(rows, seed, penalty):
    tokens, logits = torch.tensor(rows), random_logits(len(rows), seed)
    due = transformers.RepetitionPenaltyLogitsProcessor(penalty)(tokens, logits.clone())
    torch.testing.assert_close(penalties.penalise_repetition(logits, tokens, penalty), due)


@examples(60)
@given(ROWS, SEEDS, st.integers(1, 8))
def test_ngrams_as_in_transformers(rows, seed, n):
    tokens, logits = torch.tensor(rows) % 3, random_logits(len(rows), seed)  # few ids: many repetitions
    due = transformers.NoRepeatNGramLogitsProcessor(n)(tokens, logits.clone())
    assert torch.equal(penalties.ban_repeated_ngrams(logits, tokens, n), due)


@examples(60)
@given(ROWS, SEEDS, st.dictionaries(st.integers(0, VOCAB - 1), st.floats(-100, 100, width=32) | st.just(-math.inf)))
def test_bias_as_in_transformers(rows, seed, bias):
    logits = random_logits(len(rows), seed)
    if list(bias.values()).count(-math.inf) == VOCAB:
        with pytest.raises(ValueError, match="^bias is minus infinity for all 12 tokens, so none is left; ban fewer"):
            penalties.add_bias(logits, bias)
        return
    added = penalties.add_bias(logits, bias)
    if bias:
        theirs = transformers.SequenceBiasLogitsProcessor({(i,): float(each) for i, each in bias.items()})
        torch.testing.assert_close(added, theirs(torch.tensor(rows), logits.clone()))
    else:
        assert torch.equal(added, logits)


@examples(60)
@given(ROWS, SEEDS, st.floats(-2, 2), st.sampled_from(["presence", "frequency"]))
def test_presence_and_frequency_by_their_formula(rows, seed, penalty, which):
    """logit[j] - c[j] * alpha_frequency - (c[j] > 0) * alpha_presence, where c[j] is how often j is there."""
    logits = random_logits(len(rows), seed)
    due = logits.clone()
    for (k, row), j in itertools.product(enumerate(rows), range(VOCAB)):
        due[k, j] -= penalty * (row.count(j) if which == "frequency" else row.count(j) > 0)
    changed = getattr(penalties, f"penalise_{which}")(logits, torch.tensor(rows), penalty)
    torch.testing.assert_close(changed, due)


@pytest.mark.parametrize("amount", [0.5, 2])
@pytest.mark.parametrize("change", ["penalise_repetition", "penalise_presence", "penalise_frequency", "ngrams"])
def test_a_pad_does_not_count(change, amount):
    logits, tokens = random_logits(2, 0), torch.tensor([[4, 4, 5, 4], [6, 7, 6, 7]])
    padded = torch.nn.functional.pad(tokens, (3, 0), value=-1)
    how = penalties.ban_repeated_ngrams if change == "ngrams" else getattr(penalties, change)
    amount = 2 if change == "ngrams" else amount
    assert torch.equal(how(logits, tokens, amount), how(logits, padded, amount))
    assert not torch.equal(how(logits, tokens, amount), logits)
    assert torch.equal(how(logits, torch.full_like(tokens, -1), amount), logits)


def test_nothing_is_written_into_what_was_given():
    logits, tokens = random_logits(1, 0), torch.tensor([[4, 4, 5, 4]])
    before = logits.clone()
    Sampling(**ALL).steer(logits, tokens, tokens < 0)
    assert torch.equal(logits, before)


def test_the_order_of_all():
    logits, tokens, generated = random_logits(1, 1), torch.tensor([[4, 5, 4, 5]]), torch.tensor([[-1, -1, 4, 5]])
    how = Sampling(1.0, 1.0, **ALL)
    due = penalties.penalise_repetition(logits, tokens, 1.3)
    due = penalties.penalise_presence(due, generated, 0.4)
    due = penalties.penalise_frequency(due, generated, 0.3)
    due = penalties.ban_repeated_ngrams(penalties.add_bias(due, ALL["logit_bias"]), tokens, 3)
    assert torch.equal(how.steer(logits, tokens, generated < 0), due)
    other = penalties.penalise_repetition(penalties.add_bias(logits, ALL["logit_bias"]), tokens, 1.3)
    assert not torch.allclose(penalties.add_bias(penalties.penalise_repetition(logits, tokens, 1.3), ALL["logit_bias"]),
                              other), "here the order does not matter: the test would find nothing"  # fmt: skip


def test_settings_that_steer():
    assert not Sampling().steers and not Sampling(top_k=3, min_p=0.1, logit_bias={}).steers
    for name, value in ALL.items():
        assert Sampling(**{name: value}).steers, name


# ---- in the loop -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llama(random_llama):
    return random_llama(max_batch_size=4, max_seq_len=64, n_heads=4, n_kv_heads=2, dim=32, vocab_size=VOCAB + 3)


PROMPTS = [[1, 5, 6, 5], [1, 9], [1, 4, 4, 8, 9, 10, 4], [1, 3, 3]]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"repetition_penalty": 1.7}, {"repetition_penalty": 1.7}),
        ({"no_repeat_ngram_size": 2}, {"no_repeat_ngram_size": 2}),
        ({"logit_bias": {6: 1.5, 8: -3.0, 2: -math.inf}}, {"sequence_bias": {(6,): 1.5, (8,): -3.0, (2,): -math.inf}}),
        (
            {"repetition_penalty": 1.3, "no_repeat_ngram_size": 3},  # transformers adds its bias before these
            {"repetition_penalty": 1.3, "no_repeat_ngram_size": 3},
        ),
    ],
)
def test_greedy_text_as_in_transformers(llama, ours, theirs):
    network, changed = peers.to_transformers(llama.model), 0
    for prompt in PROMPTS:
        (row,), _ = llama.generate([prompt], 30, temperature=0, **ours)
        (plain,), _ = llama.generate([prompt], 30, temperature=0)
        given = torch.tensor([prompt])
        mask = torch.ones_like(given)
        (due,) = network.generate(given, attention_mask=mask, max_new_tokens=30, do_sample=False, **theirs).tolist()
        due = due[len(prompt) :]
        assert row == (due[: due.index(2)] if 2 in due else due)
        changed += row != plain
    assert changed, "no setting changed anything: the test would find nothing"


@pytest.mark.parametrize("how", [MILD, ALL, {"frequency_penalty": 2.0}, {"no_repeat_ngram_size": 2}])
@pytest.mark.parametrize("temperature", [0, 1.0])
def test_rows_do_not_depend_on_their_neighbours(llama, how, temperature):
    together, _ = llama.generate(PROMPTS, 40, temperature, 1.0, seed=5, **how)
    for k, prompt in enumerate(PROMPTS):
        (alone,), _ = llama.generate([prompt], 40, temperature, 1.0, seed=[5 + k], **how)
        assert together[k] == alone


@torch.no_grad()
def test_a_run_by_hand(llama):
    """Each step's probabilities from the raw logits of the text so far: which tokens count is spelled out."""
    for step in llama.generate_steps(PROMPTS[:2], 12, 1.0, 1.0, seed=3, **ALL):
        for k, prompt in enumerate(PROMPTS[:2]):
            if step.cur_pos < len(prompt) or step.eos_reached[k]:
                continue
            row = step.tokens[k : k + 1, : step.cur_pos]
            new = row[:, len(prompt) :] if step.cur_pos > len(prompt) else torch.tensor([[-1]])
            logits = penalties.penalise_repetition(step.logits[k : k + 1], row, 1.3)
            logits = penalties.penalise_frequency(penalties.penalise_presence(logits, new, 0.4), new, 0.3)
            logits = penalties.ban_repeated_ngrams(penalties.add_bias(logits, ALL["logit_bias"]), row, 3)
            torch.testing.assert_close(step.probs[k], logits.softmax(-1)[0])


def test_what_a_finished_row_is_filled_with_does_not_count():
    """The forward says the same at each step, so the probabilities of a row that has ended stay what they are."""
    flat = lambda tokens, start_pos: torch.tensor([0.0, 0, 3, 0, 0, 0]).expand(*tokens.shape, 6)  # noqa: E731
    how = Sampling(0.5, 1.0, frequency_penalty=0.7, no_repeat_ngram_size=5)
    seen = []
    for step in steps(flat, [[1], [1, 3, 3, 3, 3, 3, 3, 3]], 5, how, max_seq_len=64, stop_ids=[2], seeds=[0, 1]):
        seen.append((bool(step.eos_reached[0]), step.probs[0]))
    ended = [probs for done, probs in seen if done][1:]  # the one at which it ended drew that token
    assert len(ended) > 4 and all(torch.equal(probs, ended[0]) for probs in ended)


def test_log_probabilities_stay_those_of_the_raw_logits(llama):
    (row,), (scores,) = llama.generate([PROMPTS[0]], 20, 1.0, 1.0, logprobs=True, echo=True, seed=1, **ALL)
    logits = llama.logits([row])[:, :-1]
    due = logprobs.token_logprobs(logits, torch.tensor([row[1:]]))[0]
    torch.testing.assert_close(torch.tensor(scores[1:]), due, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_what_changes_nothing(llama, name):
    neutral = {"repetition_penalty": 1.0, "logit_bias": {4: 0.0}, "no_repeat_ngram_size": 60}.get(name, 0.0)
    for temperature in (0, 1.0):
        plain = llama.generate(PROMPTS, 30, temperature, seed=2)
        assert llama.generate(PROMPTS, 30, temperature, seed=2, **{name: neutral}) == plain


def test_a_banned_token_never_comes_and_a_wanted_one_does(llama):
    rows, _ = llama.generate(PROMPTS, 40, 2.0, 1.0, seed=0, logit_bias={4: -math.inf, 2: -math.inf})
    assert all(4 not in row and len(row) == 40 for row in rows)
    rows, _ = llama.generate(PROMPTS, 5, 0, logit_bias={4: 1000.0})
    assert rows == [[4] * 5] * 4


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [1, 2, 3])
def test_no_ngram_comes_twice(llama, n, seed):
    rows, _ = llama.generate(PROMPTS, 12 if n == 1 else 50, 1.0, 1.0, seed=seed, no_repeat_ngram_size=n,
                             logit_bias={2: -math.inf} if n > 1 else None)  # fmt: skip
    for prompt, row in zip(PROMPTS, rows, strict=True):
        text = prompt + row
        ngrams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
        new = ngrams[max(0, len(prompt) - n + 1) :]
        old = ngrams[: len(ngrams) - len(new)]
        assert len({*new}) == len(new) and not {*new} & {*old}


def test_every_call_takes_them(llama, tokenizer, random_llama):
    spoken = random_llama(2, tokenizer=tokenizer, max_seq_len=64)
    ids = [1, *tokenizer.encode("the cat", False, False)]
    how = {"temperature": 0, "max_gen_len": 12} | MILD | {"logit_bias": {300: 2.0}, "no_repeat_ngram_size": 2}
    (row,), _ = spoken.generate([ids], **how)
    assert row != spoken.generate([ids], 12, 0)[0][0]
    (text,) = spoken.text_completion(["the cat"], logprobs=True, **how)
    assert text["token_ids"] == row
    assert "".join(spoken.stream("the cat", **how)) == text["generation"]
    assert [int(step.next_token) for step in spoken.generate_steps([ids], **how)][: len(row)] == row
    dialog = [{"role": "user", "content": "the cat"}]
    (answer,) = spoken.chat_completion([dialog], logprobs=True, **how)
    assert answer["token_ids"] != spoken.chat_completion([dialog], 0, max_gen_len=12, logprobs=True)[0]["token_ids"]
    assert "".join(spoken.stream(dialog, **how)) == answer["generation"]["content"]


# ---- wrong settings --------------------------------------------------------------------------------------------------

WRONG = [
    ({"repetition_penalty": 0}, ValueError, "repetition_penalty must be a number from 0.01 to 100, got 0"),
    ({"repetition_penalty": -1.0}, ValueError, "repetition_penalty must be a number from 0.01 to 100, got -1.0"),
    ({"repetition_penalty": "1"}, TypeError, "repetition_penalty must be a number from 0.01 to 100, got str '1'"),
    ({"repetition_penalty": math.nan}, ValueError, "repetition_penalty must be"),
    ({"presence_penalty": 2.5}, ValueError, "presence_penalty must be a number from -2 to 2, got 2.5"),
    ({"frequency_penalty": -3}, ValueError, "frequency_penalty must be a number from -2 to 2, got -3"),
    ({"frequency_penalty": True}, TypeError, "frequency_penalty must be a number from -2 to 2, got bool True"),
    ({"no_repeat_ngram_size": 0}, ValueError, "no_repeat_ngram_size must be a whole number of at least 1, got 0"),
    ({"no_repeat_ngram_size": 2.0}, TypeError, "no_repeat_ngram_size must be a whole number"),
    ({"logit_bias": [5]}, TypeError, "logit_bias must be a dict {token id: number}, got list [5]"),
    ({"logit_bias": {"5": 1}}, TypeError, "a token id in logit_bias must be a whole number"),
    ({"logit_bias": {15: 1}}, ValueError, "a token id in logit_bias must be a whole number from 0 to 14, got 15"),
    ({"logit_bias": {-1: 1}}, ValueError, "a token id in logit_bias must be a whole number"),
    ({"logit_bias": {5: "1"}}, TypeError, "logit_bias[5] must be a number from -1e+06 to 1e+06, got str '1'"),
    ({"logit_bias": {5: math.inf}}, ValueError, "logit_bias[5] must be a number from -1e+06 to 1e+06, got inf"),
    ({"logit_bias": {5: math.nan}}, ValueError, "logit_bias[5] must be a number from -1e+06 to 1e+06, got nan"),
    ({"logit_bias": dict.fromkeys(range(15), -math.inf)}, ValueError, "logit_bias is minus infinity for all 15 tokens"),
    ({"top_logprobs": 2}, ValueError, "top_logprobs is 2, but logprobs is False; pass logprobs=True"),
    ({"top_logprobs": -1, "logprobs": True}, ValueError, "top_logprobs must be a whole number from 0 to 15, got -1"),
    ({"top_logprobs": 16, "logprobs": True}, ValueError, "top_logprobs must be a whole number from 0 to 15, got 16"),
    ({"top_logprobs": 1.5, "logprobs": True}, TypeError, "top_logprobs must be a whole number from 0 to 15"),
]


@pytest.mark.parametrize(("how", "error", "words"), WRONG)
def test_wrong_settings_are_named_before_anything_runs(llama, how, error, words):
    running = llama.generate_steps([[1, 5]], 3, seed=0)
    next(running)
    with pytest.raises(error) as caught:
        llama.generate([[1, 5]], 3, **how)
    assert str(caught.value).startswith(words)
    assert next(running).cur_pos == 3, "a run under way was disturbed"


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_when_every_token_is_banned_on_the_way(llama, temperature):
    """No token may come twice, so after 15 none is left."""
    how = {"no_repeat_ngram_size": 1, "logit_bias": {2: -math.inf}}
    with pytest.raises(ValueError, match="^logit_bias and no_repeat_ngram_size ban every token of the vocabulary"):
        llama.generate([[1, 5]], 30, temperature, **how)
    assert len(llama.generate([[1, 5]], 12, temperature, **how)[0][0]) == 12


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: penalties.penalise_presence(torch.zeros(2, 3), torch.tensor([[1]]), 1), "tokens has 1 rows, but"),
        (
            lambda: penalties.penalise_presence(torch.zeros(1, 3), torch.tensor([[3]]), 1),
            "tokens has the id 3, outside",
        ),
        (lambda: penalties.penalise_presence(torch.zeros(3), torch.tensor([[1]]), 1), "logits must have 2 axes"),
        (lambda: penalties.penalise_presence(torch.zeros(1, 3), torch.tensor([1]), 1), "tokens must be .bsz, seqlen."),
        (lambda: penalties.ban_repeated_ngrams(torch.zeros(1, 3), torch.tensor([[1.0]]), 1), "tokens must be .bsz"),
        (
            lambda: penalties.add_bias(torch.zeros(1, 3), {3: 1}),
            "a token id in bias must be a whole number from 0 to 2",
        ),
        (lambda: penalties.add_bias(torch.zeros(1, 3), {0: 1, torch.tensor(0): 2}), "bias has the token id 0 twice"),
    ],
)
def test_tensors_that_do_not_fit(call, words):
    with pytest.raises((ValueError, TypeError), match=f"^{words}"):
        call()


# ---- top_logprobs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("max_gen_len", [0, 9])
def test_top_logprobs_are_the_most_probable_by_the_raw_logits(llama, echo, max_gen_len):
    how = {"logprobs": True, "top_logprobs": 4, "echo": echo, "seed": 3} | MILD
    result = llama.generate(PROMPTS, max_gen_len, 1.0, 1.0, **how)
    tokens, scores = result
    for prompt, row, values, best in zip(PROMPTS, tokens, scores, result.top_logprobs, strict=True):
        text = row if echo else prompt + row
        due = llama.logits([text])[0].log_softmax(-1) if text else None
        assert len(best) == len(row) == len(values)
        for i, (each, value) in enumerate(zip(best, values, strict=True)):
            place = i if echo else len(prompt) + i
            if place == 0:
                assert each is None and value is None
                continue
            numbers, ids = due[place - 1].topk(4)
            assert [one["token_id"] for one in each] == ids.tolist()
            torch.testing.assert_close(torch.tensor([one["logprob"] for one in each]), numbers, rtol=0, atol=1e-4)
            chosen = {one["token_id"]: one["logprob"] for one in each}.get(text[place])
            assert chosen is None or chosen == pytest.approx(value, abs=1e-5)


def test_without_top_logprobs_there_are_none(llama):
    assert llama.generate([[1, 5]], 3, logprobs=True).top_logprobs is None
    (tokens, scores) = llama.generate([[1, 5]], 3)
    assert scores is None and isinstance(tokens, list)


def test_top_logprobs_of_completions(random_llama, tokenizer):
    llama = random_llama(2, tokenizer=tokenizer, max_seq_len=64)
    how = {"temperature": 0, "max_gen_len": 6, "logprobs": True, "top_logprobs": 2}
    (text,) = llama.text_completion(["the cat"], echo=True, **how)
    assert text["top_logprobs"][0] is None and len(text["top_logprobs"]) == len(text["token_ids"])
    new = len(tokenizer.encode("the cat", True, False))
    assert [each[0]["token_id"] for each in text["top_logprobs"][new:]] == text["token_ids"][new:]  # it was greedy
    assert all(len(each) == 2 and each[0]["logprob"] >= each[1]["logprob"] for each in text["top_logprobs"][1:])
    safe, unsafe = [{"role": "user", "content": "the cat"}], [{"role": "user", "content": "[INST]"}]
    answer, refused = llama.chat_completion([safe, unsafe], **how)
    assert len(answer["top_logprobs"]) == len(answer["token_ids"]) and refused["top_logprobs"] == []
    assert "top_logprobs" not in llama.text_completion(["the cat"], max_gen_len=2, logprobs=True)[0]


# ---- start -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 1, 3])
@pytest.mark.parametrize("how", [Sampling(0), Sampling(1.0, 1.0, **ALL)])
def test_columns_before_start_are_in_the_cache(llama, start, how):
    prompts, limits = [[1, 5, 6, 5], [1, 5, 6, 7]], {"max_seq_len": 64, "stop_ids": [2], "seeds": [1, 2]}
    due = [step.next_token.tolist() for step in steps(llama.model, prompts, 9, how, **limits)]
    if start:
        with torch.no_grad():
            llama.model(torch.tensor([[1, 5, 6][:start]]), 0)
        for layer in llama.model.layers:
            layer.attention.cache.repeat(2)
    taken = list(steps(llama.model, prompts, 9, how, start=start, logprobs=True, **limits))
    assert [step.next_token.tolist() for step in taken] == due
    assert (taken[0].prev_pos, taken[0].cur_pos) == (start, 4) and taken[0].logprobs.shape == (2, 4 - start)
