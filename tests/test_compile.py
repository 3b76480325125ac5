"""`compile=True` on a CPU: one compiled step, whatever the position, and the same text. (On a GPU: test_cuda.py.)"""

import shutil

import pytest
import torch
from torch._dynamo.utils import counters

from minillama import Llama

SIZES = {"n_layers": 1, "max_seq_len": 32, "hidden_dim": 32, "vocab_size": 32}  # few shapes, for each is compiled
HOT = {"temperature": 1.5, "top_p": 0.95, "seed": 3}
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


@needs_compiler
def test_the_compiled_step_gives_the_same_text(random_llama):
    llama = random_llama(1, **SIZES)
    compiled = Llama(llama.model, llama.tokenizer, compile=True)
    torch._dynamo.reset()
    counters.clear()
    for prompts, length in (([[1, 5], [1, 6, 7, 8]], 12), ([[9, 9, 9], [1]], 7)):  # other positions, another canvas
        for sampler in ({"temperature": 0}, HOT):
            due, due_scores = llama.generate(prompts, length, logprobs=True, **sampler)
            tokens, scores = compiled.generate(prompts, length, logprobs=True, **sampler)
            assert tokens == due
            assert scores == [pytest.approx(row, abs=1e-4) for row in due_scores]
    assert counters["stats"]["unique_graphs"] == 1  # nothing is compiled twice

    other = random_llama(2, **SIZES)  # weights are constants in the step: each model needs its own
    compiled = Llama(other.model, other.tokenizer, compile=True)
    tokens = [one.generate([[1, 5], [1, 6, 7]], 12, temperature=0)[0] for one in (compiled, other, llama)]
    assert tokens[0] == tokens[1] != tokens[2]


def test_without_a_compiler_it_is_refused(checkpoint, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="compile=True needs a C\\+\\+ compiler"):
        Llama.build(checkpoint.folder, device="cpu", compile=True)
