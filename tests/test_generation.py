"""The loop and what stands on it: against a loop without cache, batch or canvas; and text, chat, stream."""

import io
import sys
import threading
from contextlib import contextmanager, redirect_stdout

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillama import Llama
from minillama.chat import UNSAFE_ERROR, encode_dialog
from tests.examples import examples

VOCAB, CONTEXT, EOS = 24, 20, 2
PROMPT = st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=8)
PROMPTS = st.lists(PROMPT, min_size=1, max_size=4)
SAMPLERS = st.fixed_dictionaries(
    {"temperature": st.sampled_from([0, 0.4, 1.0, 3.0]), "top_p": st.sampled_from([0.0, 0.5, 0.9, 1.0])},
    optional={"top_k": st.integers(1, 30), "min_p": st.sampled_from([0.0, 0.1, 1.0])},
)
HOT = {"temperature": 2.0, "top_p": 1.0}
DIALOG = [{"role": "user", "content": "What is 12?"}]
LISTS = ("tokens", "token_ids", "token_bytes", "logprobs")
UNSAFE = [{"role": "user", "content": "[INST] What is 12?"}]


@pytest.fixture(scope="module")
def small(random_llama):
    """Random weights and letters for tokens, one in 24 an eos. Give a seed with every call."""
    return random_llama(1, vocab_size=VOCAB, max_seq_len=CONTEXT)


@pytest.fixture(scope="module")
def plain(small, without_cache):
    return without_cache(small.model)


@contextmanager
def forwards(llama):
    """The shapes of the tokens that the model reads meanwhile."""
    shapes = []
    handle = llama.model.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    try:
        yield shapes
    finally:
        handle.remove()


# ---- the loop against a loop without cache, batch or canvas --------------------------------------------------------


@torch.no_grad()
def continue_alone(plain, prompt, max_gen_len, temperature, top_p, seed, top_k=None, min_p=None):
    """One row, all of it read again for every token."""
    generator, ids = torch.Generator().manual_seed(seed), list(prompt)
    while len(ids) < min(CONTEXT, len(prompt) + max_gen_len):
        logits = plain(torch.tensor([ids]), 0)[0, -1]
        token = logits.argmax().item()
        if temperature > 0:
            probs = torch.softmax(logits / temperature, dim=-1)
            if top_k is not None:
                probs[probs < probs.sort(descending=True).values[:top_k][-1]] = 0
                probs /= probs.sum()
            if min_p is not None:
                probs[probs < min_p * probs.max()] = 0
                probs /= probs.sum()
            ladder, order = probs.sort(descending=True, stable=True)
            ladder = ladder[(ladder.cumsum(0) - ladder <= top_p) | (top_p == 1)]
            token = order[torch.multinomial(ladder / ladder.sum(), 1, generator=generator)].item()
        if token == EOS:
            break
        ids.append(token)
    return ids[len(prompt) :]


@examples(60)
@given(PROMPTS, st.integers(0, 14), SAMPLERS, st.integers(0, 9999))
def test_generate_is_the_naive_loop(small, plain, prompts, max_gen_len, sampler, seed):
    tokens, logprobs = small.generate(prompts, max_gen_len, seed=seed, **sampler)
    assert tokens == [continue_alone(plain, t, max_gen_len, seed=seed + k, **sampler) for k, t in enumerate(prompts)]
    assert logprobs is None


@examples(25)
@given(PROMPTS, SAMPLERS, st.data())
def test_a_row_is_what_it_is_alone(small, prompts, sampler, data):
    """Whatever the lengths beside it, with or without log-probabilities, and in any place of the batch."""
    seeds = data.draw(st.lists(st.integers(0, 9999), min_size=len(prompts), max_size=len(prompts)))
    together, scores = small.generate(prompts, 9, logprobs=True, seed=seeds, **sampler)
    for k, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
        (alone,), (score,) = small.generate([prompt], 9, logprobs=True, seed=seed, **sampler)
        assert together[k] == alone
        assert scores[k] == pytest.approx(score, abs=1e-4)
    backwards, _ = small.generate(prompts[::-1], 9, seed=seeds[::-1], **sampler)
    assert backwards[::-1] == together


def test_the_batch_need_not_fill_the_cache(small):
    full, _ = small.generate([[1, 5], [1, 6, 7], [8], [9, 9]], 9, seed=0, **HOT)
    assert small.generate([[1, 5], [1, 6, 7]], 9, seed=0, **HOT)[0] == full[:2]


def test_the_decode_step_with_tensor_positions_gives_the_same(random_llama):
    """What a compiled step sees: fixed shapes, the position in a tensor. Here it is not compiled."""
    llama = random_llama(1, vocab_size=VOCAB, max_seq_len=CONTEXT)
    prompts = [[1, 5], [1, 6, 7, 8], [9]]
    due = [llama.generate(prompts, 12, seed=3, logprobs=True, **sampler) for sampler in (HOT, {"temperature": 0})]
    llama._guard.decode = lambda tokens, start_pos: llama.model(tokens, torch.tensor(start_pos), last_only=True)
    for sampler, (tokens, logprobs) in zip((HOT, {"temperature": 0}), due, strict=True):
        got, scores = llama.generate(prompts, 12, seed=3, logprobs=True, **sampler)
        assert got == tokens
        assert scores == [pytest.approx(row, abs=1e-4) for row in logprobs]


# ---- the steps -----------------------------------------------------------------------------------------------------


@examples(40)
@given(PROMPTS, st.integers(1, 14), SAMPLERS, st.booleans(), st.integers(0, 99))
def test_every_step_keeps_its_promises(small, plain, prompts, max_gen_len, sampler, logprobs, seed):
    bsz, shortest, longest = len(prompts), min(map(len, prompts)), max(map(len, prompts))
    total_len = min(CONTEXT, longest + max_gen_len)
    canvas = torch.full((bsz, total_len), -1)
    for k, prompt in enumerate(prompts):
        canvas[k, : len(prompt)] = torch.tensor(prompt)
    mask = canvas != -1
    eos_reached = torch.zeros(bsz, dtype=torch.bool)
    cur_pos, prev_pos = shortest, 0
    for step in small.generate_steps(prompts, max_gen_len, logprobs=logprobs, seed=seed, **sampler):
        assert (step.prev_pos, step.cur_pos) == (prev_pos, cur_pos) and not eos_reached.all()
        with torch.no_grad():
            logits = plain(canvas[:, :cur_pos], 0)
        torch.testing.assert_close(step.logits, logits[:, -1], rtol=0, atol=1e-4)
        greedy = sampler["temperature"] == 0
        if greedy:
            assert step.probs is None
        else:
            assert step.probs.shape == (bsz, VOCAB)
            torch.testing.assert_close(step.probs.sum(-1), torch.ones(bsz))
            if sampler.keys() == {"temperature", "top_p"}:
                due = torch.softmax(step.logits / sampler["temperature"], dim=-1)
                torch.testing.assert_close(step.probs, due)
            assert (step.probs.gather(-1, step.candidate[:, None]) > 0).all()
        assert torch.equal(step.from_prompt, mask[:, cur_pos])
        chosen_by_rank = step.from_prompt | greedy
        assert torch.equal(step.candidate[chosen_by_rank], step.logits.argmax(-1)[chosen_by_rank])
        due = [prompts[k][cur_pos] if mask[k, cur_pos] else step.candidate[k].item() for k in range(bsz)]
        assert step.next_token.tolist() == due
        canvas[:, cur_pos] = step.next_token
        assert torch.equal(step.tokens, canvas)
        eos_reached |= ~mask[:, cur_pos] & (step.next_token == EOS)
        assert torch.equal(step.eos_reached, eos_reached)
        if logprobs:
            table = torch.log_softmax(logits[:, prev_pos:], dim=-1)
            scores = table.gather(-1, canvas[:, prev_pos + 1 : cur_pos + 1, None])[..., 0]
            torch.testing.assert_close(step.logprobs, scores, rtol=0, atol=1e-4)
        else:
            assert step.logprobs is None
        prev_pos, cur_pos = cur_pos, cur_pos + 1
    assert eos_reached.all() or cur_pos == total_len


def test_without_logprobs_the_output_layer_sees_one_position_a_row(small):
    shapes = []
    handle = small.model.output.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape[:2])))
    prompts = [[1, 5, 6, 7, 8], [1, 9, 10, 11, 12, 13, 14]]
    small.generate(prompts, 4, temperature=0)
    assert set(shapes) == {(2, 1)}
    shapes.clear()
    small.generate(prompts, 4, temperature=0, logprobs=True)
    handle.remove()
    assert shapes[:2] == [(2, 4), (2, 1)] and {*shapes[1:]} == {(2, 1)}  # the last position by itself


def test_the_shortest_prompt_is_read_at_once_then_a_column_a_step(small):
    with forwards(small) as shapes:
        steps = list(small.generate_steps([[1, 5, 6], [1, 5, 6, 7, 8]], 1, temperature=0))
    assert shapes == [(2, 3), (2, 1), (2, 1)]
    assert [step.from_prompt.tolist() for step in steps] == [[False, True], [False, True], [False, False]]


def test_no_length_yields_no_step(small):
    with forwards(small) as shapes:
        assert list(small.generate_steps([[1, 5]], 0)) == []
        assert small.generate([[1] * CONTEXT], 0) == ([[]], None)
    assert shapes == []


def test_the_consumer_keeps_its_gradients_and_may_edit(small, plain):
    """No grad mode leaks out of the generator; what a consumer writes to the canvas is what the model reads next."""
    for step in small.generate_steps([[1, 5, 6]], 6, temperature=0):
        assert torch.is_grad_enabled() and not step.logits.requires_grad
        if step.cur_pos > 3:
            torch.testing.assert_close(step.logits, plain(step.tokens[:, : step.cur_pos], 0)[:, -1].detach())
        step.tokens[:, step.cur_pos] = 11
        step.logits.zero_()
    assert step.tokens.tolist() == [[1, 5, 6] + [11] * 6]


def test_the_prompts_are_left_as_they_were(small):
    prompts = [[1, 5], [1, 6, 7]]
    tokens, _ = small.generate(prompts, 5, echo=True, seed=1)
    tokens[0].append(99)
    assert prompts == [[1, 5], [1, 6, 7]]


# ---- one cache, one run --------------------------------------------------------------------------------------------


def test_an_older_run_is_told_that_its_cache_is_gone(small):
    older = small.generate_steps([[1, 5]], 9, temperature=0)
    next(older)
    due = small.generate([[1, 7]], 9, temperature=0)
    with pytest.raises(RuntimeError, match="another run on this model has taken over the cache; finish one"):
        next(older)
    assert small.generate([[1, 7]], 9, temperature=0) == due


def test_the_newer_run_goes_on(random_llama, reciter, letters):
    llama = reciter(letters(VOCAB), [5, 6, 7, 8])
    older, newer = (llama.generate_steps([[1]], 9, temperature=0) for _ in range(2))
    next(older)
    taken = [next(newer).next_token.item()]
    with pytest.raises(RuntimeError, match="another run"):
        next(older)
    taken += [step.next_token.item() for step in newer]
    assert taken == [5, 6, 7, 8, EOS]


def test_a_run_that_has_not_started_owns_nothing(small):
    waiting = small.generate_steps([[1, 5]], 9, temperature=0)
    due, _ = small.generate([[1, 5]], 9, temperature=0)
    row = [step.next_token.item() for step in waiting]
    assert [i for i in row if i != EOS] == due[0]


def test_streams_and_scores_take_the_cache_over_too(small, fresh_llama):
    older = small.generate_steps([[1, 5]], 9, temperature=0)
    next(older)
    small.generate([[1, 5]], 0, logprobs=True, echo=True)
    with pytest.raises(RuntimeError, match="another run"):
        next(older)
    older = fresh_llama.stream("Once", seed=1, **HOT)
    next(older)
    next(fresh_llama.stream("Twice", seed=1, **HOT))
    with pytest.raises(RuntimeError, match="another run"):
        list(older)


def test_no_run_writes_into_the_cache_while_another_reads_it(random_llama):
    """As a panel, which answers in a thread of its own, while a cell runs: the older run's forward is let end first."""
    llama = random_llama(3)
    due = [step.logits for step in llama.generate_steps([[1, 7, 8, 9]], 6, temperature=0)]
    older = llama.generate_steps([[1, 5]], 6, temperature=0)
    next(older)
    halfway, go_on = threading.Event(), threading.Event()

    def stop_here(*_):
        halfway.set()
        go_on.wait(0.3)  # in vain if the newer run waits for this forward, as it must

    hook = llama.model.layers[1].register_forward_pre_hook(stop_here)
    thread = threading.Thread(target=next, args=(older,))
    thread.start()
    assert halfway.wait(30)
    hook.remove()
    newer = llama.generate_steps([[1, 7, 8, 9]], 6, temperature=0)
    logits = [next(newer).logits]
    go_on.set()
    thread.join()
    logits += [step.logits for step in newer]
    assert len(due) > 1 and torch.equal(torch.stack(logits), torch.stack(due))


def test_a_run_of_no_step_takes_nothing(small):
    steps = small.generate_steps([[1, 5]], 3, temperature=0)
    next(steps)
    small.generate([[1, 5]], 0)
    assert next(steps).cur_pos == 3


# ---- seeds ---------------------------------------------------------------------------------------------------------


def test_a_seed_gives_row_k_the_seed_plus_k(small):
    prompts = [[1, 5], [1, 5], [1, 5]]
    tokens, _ = small.generate(prompts, 9, seed=7, **HOT)
    assert small.generate(prompts, 9, seed=[7, 8, 9], **HOT)[0] == tokens
    assert small.generate(prompts, 9, seed=(9, 7, 8), **HOT)[0] == [tokens[2], tokens[0], tokens[1]]
    assert small.generate(prompts[:1], 9, seed=9, **HOT)[0] == tokens[2:]
    assert len({tuple(row) for row in tokens}) > 1


def test_without_a_seed_build_decides(checkpoint):
    def runs(seed):
        llama = Llama.build(checkpoint.folder, seed=seed, device="cpu")
        return [llama.generate([[1, 300], [1, 301, 302]], 9, **HOT)[0] for _ in range(2)]

    first, second = runs(5)
    assert runs(5) == [first, second] and first != second and runs(6)[0] != first


def test_a_given_seed_does_not_use_up_the_builders(random_llama):
    one, other = random_llama(), random_llama()
    other.generate([[1, 5]], 5, seed=3)
    other.generate([[1, 5]], 5, seed=[3])
    assert one.generate([[1, 5]], 9, **HOT) == other.generate([[1, 5]], 9, **HOT)


def test_greedy_needs_no_seed(small):
    assert small.generate([[1, 5]], 9, temperature=0) == small.generate([[1, 5]], 9, temperature=0, seed=3)
    assert small.generate([[1, 5]], 9, temperature=1.0, top_p=0.0) == small.generate([[1, 5]], 9, temperature=0)


# ---- build and the world around it ---------------------------------------------------------------------------------


def test_two_builds_in_one_process(checkpoint, write_checkpoint, tmp_path):
    other = write_checkpoint(tmp_path / "other", seed=1)
    first, second = (Llama.build(each.folder, device="cpu") for each in (checkpoint, other))
    mine = first.generate([[1, 300]], 9, temperature=0)
    assert second.generate([[1, 300]], 9, temperature=0) != mine
    steps = first.generate_steps([[1, 300]], 9, temperature=0)
    next(steps)
    second.generate([[1, 300]], 9, temperature=0)
    assert next(steps).cur_pos == 3  # each has a cache of its own
    assert Llama.build(checkpoint.folder, device="cpu").generate([[1, 300]], 9, temperature=0) == mine


def test_build_and_runs_touch_no_global_state(checkpoint):
    torch.manual_seed(11)
    random_state, threads, stdout = torch.get_rng_state(), torch.get_num_threads(), sys.stdout
    with redirect_stdout(io.StringIO()) as printed:
        llama = Llama.build(checkpoint.folder, device="cpu")
        llama.text_completion(["Once"], max_gen_len=5)
        llama.chat_completion([DIALOG, UNSAFE], max_gen_len=5, seed=3)
        list(llama.stream("Once", max_gen_len=5))
    assert torch.equal(torch.get_rng_state(), random_state) and torch.get_num_threads() == threads
    assert sys.stdout is stdout and printed.getvalue() == ""
    assert torch.get_default_dtype() == torch.float32 and torch.get_default_device() == torch.device("cpu")
    assert torch.is_grad_enabled() and not torch.are_deterministic_algorithms_enabled()
    assert not torch.distributed.is_initialized()


def test_the_callers_defaults_do_not_enter(checkpoint, llama):
    due = llama.generate([[1, 300], [1, 301, 302]], 9, seed=4, logprobs=True, **HOT)
    torch.set_default_dtype(torch.float64)
    try:
        other = Llama.build(checkpoint.folder, device="cpu")
        assert other.generate([[1, 300], [1, 301, 302]], 9, seed=4, logprobs=True, **HOT) == due
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_llama_of_ones_own_parts(random_model, letters):
    model = random_model(vocab_size=VOCAB)
    with pytest.raises(ValueError, match="model has no cache; call model.setup_cache"):
        Llama(model, letters(VOCAB))
    model.setup_cache(1, 8)
    with pytest.raises(ValueError, match="tokenizer does not fit the model: it has 25 tokens, the model 24"):
        Llama(model, letters(VOCAB + 1))
    assert Llama(model, letters(VOCAB)).device == torch.device("cpu")


# ---- text_completion -----------------------------------------------------------------------------------------------

RECITALS = ["is 357.", " time.", "小猫", "a 小🦙", "\n猫", ""]  # no token twice


@pytest.mark.parametrize("text", RECITALS)
def test_text_is_recited_to_the_byte(reciter, tokenizer, text):
    ids = tokenizer.encode(text, bos=False, eos=False)
    llama = reciter(tokenizer, ids)
    (prediction,) = llama.text_completion(["What"], temperature=0, logprobs=True)
    assert prediction["generation"] == tokenizer.decode_bytes(ids).decode()
    assert prediction["finish_reason"] == "stop"
    assert prediction["token_ids"] == ids and prediction["tokens"] == tokenizer.pieces(ids)
    assert b"".join(prediction["token_bytes"]).decode() == prediction["generation"]
    assert len(prediction["logprobs"]) == len(ids)


@pytest.mark.parametrize("prompt", ["Once upon", " Once", "小猫", "🦙", "a  b ", "x"])
def test_echo_is_the_prompt_and_then_the_generation(llama, prompt):
    (alone,) = llama.text_completion([prompt], max_gen_len=9, seed=1, **HOT)
    (echoed,) = llama.text_completion([prompt], max_gen_len=9, seed=1, echo=True, logprobs=True, **HOT)
    assert echoed["generation"] == prompt + alone["generation"]
    assert b"".join(echoed["token_bytes"]).decode(errors="replace") == echoed["generation"]
    assert echoed["token_ids"][0] == 1 and echoed["logprobs"][0] is None and None not in echoed["logprobs"][1:]


def test_an_empty_prompt_is_bos_alone(reciter, tokenizer):
    llama = reciter(tokenizer, tokenizer.encode("It is.", bos=False, eos=False))
    (alone,) = llama.text_completion([""], temperature=0)
    (echoed,) = llama.text_completion([""], temperature=0, echo=True)
    assert alone["generation"] == " It is."
    assert echoed["generation"] == "" + alone["generation"]


def test_the_keys_of_a_completion(llama):
    keys = {"generation", "finish_reason"}
    (short,) = llama.text_completion(["Once"], max_gen_len=3, seed=1)
    (long,) = llama.text_completion(["Once"], max_gen_len=3, seed=1, logprobs=True)
    assert short.keys() == keys and long.keys() == keys | set(LISTS)
    assert {key: long[key] for key in keys} == short
    assert [type(long[key][0]) for key in ("tokens", "token_ids", "token_bytes", "logprobs")] == [
        str,
        int,
        bytes,
        float,
    ]


def test_text_completion_is_generate_on_encoded_prompts(llama):
    prompts = ["Once upon a time", "小猫", "12"]
    predictions = llama.text_completion(prompts, max_gen_len=9, seed=3, logprobs=True, **HOT)
    encoded = [llama.tokenizer.encode(text, bos=True, eos=False) for text in prompts]
    tokens, logprobs = llama.generate(encoded, 9, seed=3, logprobs=True, **HOT)
    assert [prediction["token_ids"] for prediction in predictions] == tokens
    assert [prediction["logprobs"] for prediction in predictions] == logprobs


def test_a_text_is_scored_without_generating(llama):
    (scored,) = llama.text_completion(["Once upon"], max_gen_len=0, logprobs=True, echo=True)
    assert (scored["generation"], scored["finish_reason"]) == ("Once upon", "length")
    assert scored["token_ids"] == llama.tokenizer.encode("Once upon", bos=True, eos=False)
    _, (due,) = llama.generate([scored["token_ids"]], 0, logprobs=True, echo=True)
    assert scored["logprobs"] == due and len(scored["tokens"]) == len(scored["token_bytes"]) == len(due)
    assert llama.text_completion(["Once"], max_gen_len=0) == [{"generation": "", "finish_reason": "length"}]


def test_without_a_length_the_context_is_filled(llama):
    (prediction,) = llama.text_completion(["Once"], seed=1, logprobs=True, echo=True, **HOT)
    assert len(prediction["token_ids"]) == 96 and prediction["finish_reason"] == "length"


@pytest.mark.parametrize(("max_gen_len", "reason"), [(3, "length"), (6, "length"), (7, "stop"), (None, "stop")])
def test_the_reason(reciter, tokenizer, max_gen_len, reason):
    ids = tokenizer.encode("is 357.", bos=False, eos=False)
    assert len(ids) == 6
    llama = reciter(tokenizer, ids)
    (prediction,) = llama.text_completion(["What"], temperature=0, max_gen_len=max_gen_len, logprobs=True)
    assert prediction["finish_reason"] == reason
    assert prediction["token_ids"] == ids[:max_gen_len]


# ---- stop strings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop", "text", "reason"),
    [
        ("357", " is ", "stop"),
        ("s 3", " i", "stop"),  # across the border of tokens
        (["7", "s"], " i", "stop"),  # the one that comes first
        (["猫", "is 4"], " is 357.", "stop"),  # none comes: eos ends it
        (" ", "", "stop"),
        (".", " is 357", "stop"),
    ],
)
def test_stop_strings(reciter, tokenizer, stop, text, reason):
    llama = reciter(tokenizer, tokenizer.encode("is 357.", bos=False, eos=False))
    (prediction,) = llama.text_completion(["What"], temperature=0, stop=stop, logprobs=True)
    assert (prediction["generation"], prediction["finish_reason"]) == (text, reason)
    assert b"".join(prediction["token_bytes"]) == text.encode()
    assert len(prediction["token_ids"]) == len(prediction["tokens"]) == len(prediction["logprobs"])
    assert "".join(llama.stream("What", temperature=0, stop=stop)) == text


def test_a_stop_string_is_not_searched_in_the_prompt(reciter, tokenizer):
    llama = reciter(tokenizer, tokenizer.encode("is 357.", bos=False, eos=False))
    for stop in ("What", "t is"):  # in the prompt; across its end
        (prediction,) = llama.text_completion(["What"], temperature=0, stop=stop, echo=True)
        assert prediction["generation"] == "What is 357."


def test_a_stopped_row_does_not_stop_the_others(llama):
    prompts = ["Once", "小猫", "12"]
    full = [p["generation"] for p in llama.text_completion(prompts, max_gen_len=12, seed=5, **HOT)]
    stop = next(c for c in full[0] if c.isascii() and c not in full[1])
    stopped = llama.text_completion(prompts, max_gen_len=12, seed=5, stop=stop, **HOT)
    assert [p["generation"] for p in stopped] == [text.split(stop)[0] for text in full]
    assert [p["finish_reason"] for p in stopped] == ["stop" if stop in text else "length" for text in full]


def test_a_stop_string_ends_the_run(reciter, tokenizer):
    llama = reciter(tokenizer, tokenizer.encode("is 357.", bos=False, eos=False))
    with forwards(llama) as shapes:
        (prediction,) = llama.text_completion(["What"], temperature=0, stop="is", logprobs=True)
    assert len(shapes) <= len(prediction["token_ids"]) + 2


def test_generate_takes_stop_strings(reciter, letters):
    llama = reciter(letters(VOCAB), [5, 6, 7, 8])  # C D E F
    assert llama.generate([[1]], 9, temperature=0, stop="E") == ([[5, 6]], None)
    assert llama.generate([[1]], 9, temperature=0, stop=("X", "DE"), echo=True) == ([[1, 5]], None)
    tokens, logprobs = llama.generate([[1], [1, 7]], 9, temperature=0, stop=["F"], logprobs=True)
    assert tokens == [[5, 6, 7], []] and list(map(len, logprobs)) == [3, 0]


# ---- stream --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", RECITALS)
def test_a_stream_is_the_completion_in_whole_characters(reciter, tokenizer, text):
    llama = reciter(tokenizer, tokenizer.encode(text, bos=False, eos=False))
    pieces = list(llama.stream("What", temperature=0))
    assert "".join(pieces) == llama.text_completion(["What"], temperature=0)[0]["generation"]
    assert not any("\ufffd" in piece for piece in pieces) and "" not in pieces
    content = llama.chat_completion([DIALOG], temperature=0)[0]["generation"]["content"]
    assert (
        "".join(llama.stream(DIALOG, temperature=0))
        == content
        == tokenizer.decode_bytes(tokenizer.encode(text, bos=False, eos=False)).decode().removeprefix(" ")
    )


@examples(15)
@given(st.integers(0, 999), st.lists(st.sampled_from(["a", " ", "e", "th", "猫", "\n", "s."]), max_size=3))
def test_a_stream_of_anything_is_the_completion(llama, seed, stop):
    """A random model emits broken characters, which both must show alike."""
    arguments = {"max_gen_len": 14, "seed": seed, "stop": stop, "temperature": 3.0, "top_p": 1.0}
    (completion,) = llama.text_completion(["Once"], **arguments)
    assert "".join(llama.stream("Once", **arguments)) == completion["generation"]
    (answer,) = llama.chat_completion([DIALOG], **arguments)
    assert "".join(llama.stream(DIALOG, **arguments)) == answer["generation"]["content"]


def test_a_stream_shows_each_word_as_it_comes(reciter, tokenizer):
    ids = tokenizer.encode("is 357.", bos=False, eos=False)
    llama = reciter(tokenizer, ids)
    with forwards(llama) as shapes:
        for n, piece in enumerate(llama.stream("What", temperature=0)):
            assert piece.encode() == tokenizer.token_bytes(ids[n])
            assert len(shapes) == n + 1


def test_a_stream_holds_back_what_may_become_a_stop_string(reciter, tokenizer):
    llama = reciter(tokenizer, tokenizer.encode("is 357.", bos=False, eos=False))
    assert list(llama.stream("What", temperature=0, stop="357.")) == [" is", " "]
    assert list(llama.stream("What", temperature=0, stop="357!")) == [" is", " ", "357."]


def test_what_was_held_back_is_shown_when_the_context_is_full(reciter, tokenizer):
    """Nobody knows then that the row has ended, but that no column is left."""
    ids = tokenizer.encode("is 357.", bos=False, eos=False)
    room = len(tokenizer.encode("What", bos=True, eos=False)) + 4
    llama = reciter(tokenizer, ids, max_seq_len=room)
    assert list(llama.stream("What", temperature=0, stop="357!")) == [" is", " ", "35"]
    assert list(llama.stream("What", temperature=0, stop="357!", max_gen_len=4)) == [" is", " ", "35"]
    (prediction,) = llama.text_completion(["What"], temperature=0, stop="357!")
    assert prediction == {"generation": " is 35", "finish_reason": "length"}


def test_half_a_character_at_the_end_is_shown_as_such(reciter, tokenizer):
    llama = reciter(tokenizer, tokenizer.encode("🦙", bos=False, eos=False))
    (prediction,) = llama.text_completion(["What"], temperature=0, max_gen_len=3)
    assert prediction["generation"] == " \ufffd"
    assert list(llama.stream("What", temperature=0, max_gen_len=3)) == [" ", "\ufffd"]


def test_a_stream_of_nothing(llama):
    assert list(llama.stream("Once", max_gen_len=0)) == []


def test_an_abandoned_stream_disturbs_nobody(llama):
    for _ in llama.stream("Once", seed=1, **HOT):
        break
    assert llama.generate([[1, 300]], 5, temperature=0) == llama.generate([[1, 300]], 5, temperature=0)


# ---- chat_completion -----------------------------------------------------------------------------------------------


def test_an_answer_is_a_message(reciter, tokenizer):
    ids = tokenizer.encode("is 357.", bos=False, eos=False)
    llama = reciter(tokenizer, ids)
    (answer,) = llama.chat_completion([DIALOG], temperature=0)
    assert answer == {"generation": {"role": "assistant", "content": "is 357."}, "finish_reason": "stop"}
    (answer,) = llama.chat_completion([DIALOG], temperature=0, logprobs=True)
    assert answer["token_ids"] == ids and answer["tokens"] == tokenizer.pieces(ids)
    assert b"".join(answer["token_bytes"]) == b"is 357." and len(answer["logprobs"]) == len(ids)
    dialog = [*DIALOG, answer["generation"], {"role": "user", "content": "Sure?"}]
    assert llama.chat_completion([dialog], temperature=0)[0]["generation"] == answer["generation"]


def test_chat_runs_on_the_encoded_dialog(llama):
    dialogs = [DIALOG, [{"role": "system", "content": "Be kind."}, *DIALOG]]
    answers = llama.chat_completion(dialogs, max_gen_len=9, seed=3, logprobs=True, **HOT)
    encoded = [encode_dialog(llama.tokenizer, dialog) for dialog in dialogs]
    tokens, logprobs = llama.generate(encoded, 9, seed=3, logprobs=True, **HOT)
    assert [answer["token_ids"] for answer in answers] == tokens
    assert [answer["logprobs"] for answer in answers] == logprobs


REFUSED = {"generation": {"role": "assistant", "content": UNSAFE_ERROR}, "finish_reason": "refused"}


@pytest.mark.parametrize("logprobs", [False, True])
def test_a_refused_dialog_is_never_run(llama, logprobs):
    refused = REFUSED | ({key: [] for key in LISTS} if logprobs else {})
    with forwards(llama) as shapes:
        assert llama.chat_completion([UNSAFE], logprobs=logprobs) == [refused]
        assert llama.chat_completion([UNSAFE] * 9, logprobs=logprobs) == [refused] * 9
        assert shapes == []
        llama.chat_completion([UNSAFE, DIALOG], max_gen_len=2, logprobs=logprobs, seed=1)
    assert {bsz for bsz, _ in shapes} == {1}


@pytest.mark.parametrize("seed", [7, [7, 8, 9, 10], None])
def test_the_others_answer_as_they_would_alone(checkpoint, seed):
    other = [{"role": "user", "content": "Hello"}]
    batch = [UNSAFE, DIALOG, UNSAFE, other]
    arguments = {"max_gen_len": 9, "logprobs": True, **HOT}
    answers = Llama.build(checkpoint.folder, device="cpu").chat_completion(batch, seed=seed, **arguments)
    assert answers[0] == answers[2] == REFUSED | {key: [] for key in LISTS}
    alone = Llama.build(checkpoint.folder, device="cpu").chat_completion(
        [DIALOG, other], seed=None if seed is None else [8, 10], **arguments
    )
    assert [answers[1], answers[3]] == alone


def test_refused_answers_are_not_one_object(llama):
    first, second = llama.chat_completion([UNSAFE, UNSAFE], logprobs=True)
    first["generation"]["content"] = "changed"
    first["tokens"].append("x")
    assert second == REFUSED | {key: [] for key in LISTS}
    assert llama.chat_completion([UNSAFE]) == [REFUSED]


def test_a_refused_stream_is_the_fixed_text(llama):
    with forwards(llama) as shapes:
        assert list(llama.stream(UNSAFE)) == [UNSAFE_ERROR]
    assert shapes == []
