"""On an NVIDIA GPU: the same numbers and the same text as on the CPU, and what is different on purpose."""

import pytest
import torch

from minillama import Llama
from minillama.guard import POLL_EVERY
from minillama.sampling import nucleus, sample_top_p

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU"),
]
HOT = {"temperature": 1.5, "top_p": 0.95}
PROMPTS = [[1, 300, 301], [1, 302], [1, 303, 304, 305, 306]]


@pytest.fixture(scope="module")
def on_gpu(checkpoint):
    return Llama.build(checkpoint.folder, dtype=torch.float32)


def test_a_gpu_is_taken_and_bfloat16_with_it(checkpoint):
    llama = Llama.build(checkpoint.folder)
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    assert llama.device.type == "cuda"
    assert {tensor.dtype for tensor in llama.model.state_dict().values()} == {dtype}
    cache = llama.model.layers[0].attention.cache
    assert cache.k.dtype == dtype and cache.k.device.type == "cuda"
    assert llama.model.freqs_cis.device.type == "cuda" and llama.model.freqs_cis.dtype == torch.complex64
    tokens, logprobs = llama.generate(PROMPTS, 20, logprobs=True, seed=1)
    assert all(score <= 0 for row in logprobs for score in row) and len(tokens) == 3


def test_logits_are_those_of_the_cpu(on_gpu, llama):
    tokens = torch.randint(3, 400, (3, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        due = llama.model(tokens, 0)
        torch.testing.assert_close(on_gpu.model(tokens.cuda(), 0).cpu(), due, rtol=0, atol=1e-3)
        on_gpu.model(tokens[:, :13].cuda(), 0)
        torch.testing.assert_close(on_gpu.model(tokens[:, 13:].cuda(), 13).cpu(), due[:, 13:], rtol=0, atol=1e-3)
        start_pos = torch.tensor(20, device="cuda")
        later = on_gpu.model(tokens[:, 20:21].cuda(), start_pos).cpu()
        torch.testing.assert_close(later, due[:, 20:21], rtol=0, atol=1e-3)


def test_greedy_text_is_that_of_the_cpu(on_gpu, llama):
    ours, scores = on_gpu.generate(PROMPTS, 40, temperature=0, logprobs=True, echo=True)
    due, due_scores = llama.generate(PROMPTS, 40, temperature=0, logprobs=True, echo=True)
    assert ours == due
    for row, due_row in zip(scores, due_scores, strict=True):
        assert row[0] is None and row[1:] == pytest.approx(due_row[1:], abs=1e-3)


def test_penalised_text_is_that_of_the_cpu(on_gpu, llama):
    how = {"repetition_penalty": 1.3, "presence_penalty": 0.4, "frequency_penalty": 0.3, "no_repeat_ngram_size": 3}
    how |= {"temperature": 0, "logit_bias": {300: 1.0, 5: float("-inf")}}
    assert on_gpu.generate(PROMPTS, 40, **how) == llama.generate(PROMPTS, 40, **how)


@torch.no_grad()
def test_positions_a_row_are_those_of_the_cpu(on_gpu, llama):
    tokens, rows = torch.randint(3, 400, (2, 12), generator=torch.Generator().manual_seed(0)), torch.tensor([2, 0])
    start_pos, read = torch.tensor([9, 5]), []
    for model, device in ((llama.model, "cpu"), (on_gpu.model, "cuda")):
        given, named = tokens.to(device), rows.to(device)
        model(given, 0, rows=named)
        read.append(model(given[:, :3], start_pos.to(device), rows=named).cpu())
    torch.testing.assert_close(read[1], read[0], rtol=0, atol=1e-3)


def test_scores_are_those_of_the_cpu(on_gpu, llama):
    _, scores = on_gpu.generate(PROMPTS, 0, logprobs=True, echo=True)
    _, due = llama.generate(PROMPTS, 0, logprobs=True, echo=True)
    for row, due_row in zip(scores, due, strict=True):
        assert row[1:] == pytest.approx(due_row[1:], abs=1e-3)


def test_a_row_is_what_it_is_alone(on_gpu):
    """In float32, and with generators that live on the GPU."""
    together, _ = on_gpu.generate(PROMPTS, 30, seed=[7, 8, 9], **HOT)
    for row, prompt, seed in zip(together, PROMPTS, (7, 8, 9), strict=True):
        assert on_gpu.generate([prompt], 30, seed=seed, **HOT)[0] == [row]


def test_generators_are_on_the_device(on_gpu):
    for step in on_gpu.generate_steps(PROMPTS, 4, seed=1, **HOT):
        for tensor in (step.tokens, step.logits, step.probs, step.candidate, step.next_token, step.eos_reached):
            assert tensor.device.type == "cuda"
    probs = torch.full((2, 50), 0.02, device="cuda")
    generators = [torch.Generator("cuda").manual_seed(k) for k in range(2)]
    assert sample_top_p(probs, 0.9, generators).device.type == "cuda"


def test_equal_probabilities_stay_in_the_order_of_their_ids():
    probs = torch.full((2, 5000), 1 / 5000, device="cuda")
    assert torch.equal(nucleus(probs, 1.0).probs_idx, torch.arange(5000, device="cuda").expand(2, -1))


def test_seeds_repeat(checkpoint):
    first, second = (Llama.build(checkpoint.folder, seed=4).generate(PROMPTS, 20, **HOT) for _ in range(2))
    assert first == second


def test_no_global_state_is_touched(checkpoint):
    before = torch.cuda.get_rng_state(), torch.get_rng_state()
    Llama.build(checkpoint.folder).generate(PROMPTS, 5, **HOT)
    assert torch.equal(torch.cuda.get_rng_state(), before[0]) and torch.equal(torch.get_rng_state(), before[1])
    assert torch.get_default_device() == torch.device("cpu") and torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("length", [1, 2, POLL_EVERY - 1, POLL_EVERY, POLL_EVERY + 1])
def test_eos_is_polled_and_the_surplus_is_cut(reciter, letters, length):
    """Every POLL_EVERY steps; what was generated meanwhile is not seen."""
    tokenizer = letters(60)
    ids = list(range(5, 5 + length))
    llama = reciter(tokenizer, ids)
    llama.model.cuda()
    steps = list(llama.generate_steps([[1]], 60, temperature=0))
    reached = length + 1  # eos is a step of its own
    assert len(steps) == -(-reached // POLL_EVERY) * POLL_EVERY
    assert steps[-1].eos_reached.all()
    tokens, logprobs = llama.generate([[1], [1, 3]], 60, temperature=0, logprobs=True)
    assert tokens == [ids, ids] and list(map(len, logprobs)) == [length, length]


def test_streams_and_stop_strings_do_not_wait_for_the_poll(reciter, letters):
    llama = reciter(letters(60), [5, 6, 7, 8])  # C D E F
    llama.model.cuda()
    calls = []
    llama.model.register_forward_pre_hook(lambda *_: calls.append(1))
    assert "".join(llama.stream("A", temperature=0)) == "CDEF" and len(calls) == 5
    calls.clear()
    assert llama.generate([[1]], 60, temperature=0, stop="E")[0] == [[5, 6]] and len(calls) == 3


def test_a_stream_is_the_completion(on_gpu):
    (completion,) = on_gpu.text_completion(["Once"], max_gen_len=30, seed=3, **HOT)
    assert "".join(on_gpu.stream("Once", max_gen_len=30, seed=3, **HOT)) == completion["generation"]


def test_the_compiled_step_gives_the_same_text(checkpoint, on_gpu):
    pytest.importorskip("triton")
    compiled = Llama.build(checkpoint.folder, dtype=torch.float32, compile=True)
    for arguments in ({"temperature": 0}, {"seed": 3, **HOT}):
        tokens, logprobs = compiled.generate(PROMPTS, 24, logprobs=True, **arguments)
        due, due_logprobs = on_gpu.generate(PROMPTS, 24, logprobs=True, **arguments)
        assert tokens == due
        for row, due_row in zip(logprobs, due_logprobs, strict=True):
            assert row == pytest.approx(due_row, abs=1e-3)


@pytest.mark.parametrize("compile", [False, True])
def test_no_step_waits_for_the_gpu(checkpoint, compile):
    """Between two polls of eos the CPU only queues work."""
    llama = Llama.build(checkpoint.folder, compile=compile)
    for sampler in ({"temperature": 0}, HOT):
        llama.generate(PROMPTS, 20, seed=1, **sampler)  # compile, capture
        steps = llama.generate_steps(PROMPTS, POLL_EVERY + 8, seed=1, **sampler)
        for _ in range(4):  # the longer prompts are read; then the first poll is far
            next(steps)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(8):
                next(steps)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_weights_in_8_bits(checkpoint, on_gpu):
    int8 = Llama.build(checkpoint.folder, dtype=torch.float32, int8=True)
    on_cpu = Llama.build(checkpoint.folder, device="cpu", int8=True)
    _, scores = int8.generate(PROMPTS, 0, logprobs=True, echo=True)
    _, due = on_cpu.generate(PROMPTS, 0, logprobs=True, echo=True)
    for row, due_row in zip(scores, due, strict=True):
        assert row[1:] == pytest.approx(due_row[1:], abs=5e-2)  # a CPU rounds to bfloat16
