"""The cache of a model serves one run at a time, whoever asks: no run reads what another has written."""

import copy
import os
import signal
import threading
import time

import pytest
import torch

from minillama import Llama
from minillama.guard import CacheTaken, giving_way

PROMPT, OTHER = [1, 5, 6], [1, 9, 8, 7]


@pytest.fixture
def llama(random_llama):
    return random_llama(2)


def begun(llama, n=2):
    run = llama.generate_steps([PROMPT], 9, temperature=0)
    for _ in range(n):
        next(run)
    return run


INTRUDERS = {
    "another Llama on the model": lambda m: Llama(m.model, m.tokenizer).generate([OTHER], 3, temperature=0),
    "its logits": lambda m: Llama(m.model, m.tokenizer).logits([OTHER]),
    "scores of a prompt": lambda m: m.generate([OTHER], 0, logprobs=True, echo=True),
    "the model by hand": lambda m: m.model(torch.tensor([OTHER]), 0),
    "the model by hand, further on": lambda m: m.model(torch.tensor([OTHER]), 2),
    "one layer by hand": lambda m: m.model.layers[1](torch.ones(1, 3, 32), 0, m.model.freqs_cis[:3]),
    "a new cache": lambda m: m.model.setup_cache(4, 24),
    "a larger cache": lambda m: m.model.setup_cache(5, 30),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", INTRUDERS)
def test_nobody_writes_between_two_steps_unseen(llama, name, compiled):
    if compiled:  # as what is compiled would be: nothing that counts in Python runs in it
        llama._guard.decode = uncounted(llama.model)
    run = begun(llama)
    with torch.no_grad():
        INTRUDERS[name](llama)
    with pytest.raises(CacheTaken, match="another run on this model"):
        next(run)
    fresh = Llama(llama.model, llama.tokenizer)
    due = fresh.generate([PROMPT], 9, temperature=0)
    assert llama.generate([PROMPT], 9, temperature=0) == due


def uncounted(model):
    def decode(*args, **kwargs):
        caches = [layer.attention.cache for layer in model.layers]
        before = [cache.written for cache in caches]
        logits = model(*args, **kwargs)
        for cache, number in zip(caches, before, strict=True):
            cache.written = number
        return logits

    return decode


def test_two_compiled_steps_on_one_model(llama):
    other = Llama(llama.model, llama.tokenizer)
    for each in (llama, other):
        each._guard.decode = uncounted(each.model)
    run, intruder = begun(llama), other.generate_steps([OTHER], 9, temperature=0)
    next(intruder), next(intruder)
    with pytest.raises(CacheTaken):
        next(run)
    assert len(list(intruder)) == 7


def test_a_copy_of_a_model_has_a_cache_of_its_own(llama):
    run, twin = begun(llama), Llama(copy.deepcopy(llama.model), llama.tokenizer)
    twin.generate([OTHER], 5, temperature=0)
    assert len(list(run)) == 7


def test_a_run_takes_the_cache_over_when_it_begins_not_when_it_is_made(llama):
    due = llama.generate([OTHER], 5, temperature=0)[0]
    late, run = llama.generate_steps([OTHER], 5, temperature=0), begun(llama)
    assert [int(step.next_token) for step in late] == due[0]
    with pytest.raises(CacheTaken):
        next(run)


@pytest.mark.parametrize("step", [0, 1])
def test_a_run_that_gives_way_never_takes_the_cache_over(llama, step):
    with giving_way():
        early = llama.generate_steps([[1, 5]], 4, temperature=0)
    later = llama.generate_steps([[1, 6]], 4, temperature=0)
    for _ in range(step):
        next(early)
    next(later)
    with pytest.raises(CacheTaken):
        next(early)
    assert len([*later]) == 3, "the other run goes on"
    with giving_way():
        alone = llama.generate_steps([[1, 5]], 4, temperature=0)
    assert len([*alone]) == 4


def test_a_failed_setup_cache_leaves_the_old_one(llama):
    before = llama.generate([PROMPT], 9, temperature=0)
    for sizes in ((4, 0), (0, 24), (2**40, 2**20)):
        with pytest.raises(ValueError, match="max_batch_size|max_seq_len"):
            llama.model.setup_cache(*sizes)
        assert (llama.model.params.max_batch_size, llama.model.params.max_seq_len) == (4, 24)
        assert llama.model.freqs_cis.shape[0] == 24 and llama.generate([PROMPT], 9, temperature=0) == before


@pytest.mark.parametrize("start_pos", [-5, 22])
def test_places_outside_the_cache_whatever_the_kind_of_number(llama, start_pos):
    import numpy as np

    for kind in (int, np.int64, np.int16):
        with pytest.raises(ValueError, match="are outside 0 to 23|start_pos must be a whole number of at least 0"):
            llama.model(torch.tensor([PROMPT]), kind(start_pos))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_a_thread_generates(llama):
    """The thread is not there in the child, so nothing it holds can be waited for."""
    inside, go_on = threading.Event(), threading.Event()

    def slow(*_):
        inside.set()
        go_on.wait(10)

    handle = llama.model.register_forward_pre_hook(slow)
    worker = threading.Thread(target=llama.generate, args=([PROMPT], 1))
    worker.start()
    inside.wait(10)
    if not (child := os.fork()):
        handle.remove()
        llama.generate([OTHER], 2, temperature=0)
        os._exit(7)
    go_on.set()
    worker.join()
    end, ended = time.monotonic() + 5, (0, 0)
    while ended[0] == 0 and time.monotonic() < end:
        ended = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if ended[0] == 0:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended[0] and os.waitstatus_to_exitcode(ended[1]) == 7, "the child hangs"
