"""How many operations of torch a step takes: each costs microseconds, whatever the size. Counted, not timed."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from minillama import ModelArgs, Sampling, Transformer, steps

VOCAB = 5120
LOGITS = torch.randn(VOCAB, generator=torch.Generator().manual_seed(0))
GREEDY, SAMPLED = Sampling(temperature=0), Sampling(temperature=1.0, top_p=0.9)


class Counted(TorchDispatchMode):
    """The operations of torch that run inside, by name."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls[func.overloadpacket._qualified_op_name.removeprefix("aten::")] += 1
        return func(*args, **(kwargs or {}))


def one_step(bsz, sampling, spread, **more):
    """The operations of the loop's third step, where all rows draw; the forward takes none."""
    logits = (spread * LOGITS).expand(bsz, 1, VOCAB).contiguous()
    run = steps(lambda *_: logits, [[1]] * bsz, 8, sampling, max_seq_len=64, stop_ids=[2], **more)
    next(run), next(run)
    with Counted() as counted:
        next(run)
    return counted.calls


# What was needed when this was written, and one or two more. A new number here is a decision, not a repair.
@pytest.mark.parametrize("bsz", [1, 8])
def test_a_greedy_step(bsz):
    calls = one_step(bsz, GREEDY, 1.0)
    assert calls["argmax"] == 1 and calls.total() <= 13, calls


@pytest.mark.parametrize("spread", [0.01, 6.0], ids=["flat", "peaked"])
def test_a_sampled_step(spread):
    one, eight = one_step(1, SAMPLED, spread), one_step(8, SAMPLED, spread)
    assert one["argmax"] == 1, "the winner of the draw; the most probable token is asked for in prompts only"
    assert one["sort"] == eight["sort"] == 1 and eight["exponential_"] == 8 and one["multinomial"] == 0
    assert one.total() <= 38, one
    assert eight.total() - one.total() <= 7 * 3, "a row more takes its random numbers and two views of their place"


def test_a_sampled_step_sorts_only_what_a_nucleus_can_hold():
    sizes = []

    class Sizes(Counted):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func.overloadpacket is torch.ops.aten.sort:
                sizes.append(args[0].shape[-1])
            return super().__torch_dispatch__(func, types, args, kwargs)

    for spread in (6.0, 0.01):
        logits = (spread * LOGITS).expand(1, 1, VOCAB)
        with Sizes():
            list(steps(lambda *_, logits=logits: logits, [[1]], 1, SAMPLED, max_seq_len=64, stop_ids=[]))
    peaked, flat = sizes
    assert peaked < 300 and flat == VOCAB


def test_one_token_through_a_layer():
    sizes = {"dim": 48, "n_layers": 1, "n_heads": 4, "n_kv_heads": 2, "hidden_dim": 64}
    model = Transformer(ModelArgs(**sizes, vocab_size=50, max_seq_len=16)).requires_grad_(False)
    model.setup_cache(1, 16)
    x = torch.ones(1, 1, 48)
    with torch.inference_mode(), Counted() as counted:
        model.layers[0](x, 3, model.freqs_cis[3:4])
    calls = counted.calls
    assert calls["linear"] == 7 and calls["scaled_dot_product_attention"] == 1 and calls["rms_norm"] == 2, calls
    assert not calls.keys() & {"ones", "tril", "repeat_interleave", "clone", "cat"}, (
        "no mask, and no copy but the cache's"
    )
    assert calls.total() <= 48, calls
