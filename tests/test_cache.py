"""A position for each row, rows that are named, and rows that are copied: each against the row alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillama.guard import CacheTaken, Guard
from minillama.model import KVCache
from tests.examples import examples

TOLERANCE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def model(random_llama):
    return random_llama(max_batch_size=6, max_seq_len=24, n_heads=4, n_kv_heads=2, dim=32, vocab_size=24).model


def some_tokens(bsz, seqlen, seed=0):
    return torch.randint(3, 24, (bsz, seqlen), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def alone(model, tokens):
    """The logits of one row of tokens (seqlen,), read at once in row 0 of the cache: (seqlen, vocab_size)."""
    return model(tokens[None], 0)[0]


@examples(30)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=6), seqlen=st.integers(1, 8), seed=st.integers(0, 99))
def test_positions_a_row_equal_each_row_alone(model, lengths, seqlen, seed):
    """Prompts of several lengths are read one by one into rows of the cache; then all go on together."""
    bsz = len(lengths)
    tokens = some_tokens(bsz, 20, seed)
    due = [alone(model, tokens[k, : n + seqlen]) for k, n in enumerate(lengths)]
    rows = torch.randperm(6, generator=torch.Generator().manual_seed(seed))[:bsz]
    with torch.no_grad():
        for k, n in enumerate(lengths):
            read = model(tokens[k : k + 1, :n], 0, rows=rows[k : k + 1])
            torch.testing.assert_close(read[0], due[k][:n], **TOLERANCE)
        new = torch.stack([tokens[k, n : n + seqlen] for k, n in enumerate(lengths)])
        together = model(new, torch.tensor(lengths), rows=rows)
        for k, n in enumerate(lengths):
            torch.testing.assert_close(together[k], due[k][n:], **TOLERANCE)


@torch.no_grad()
def test_without_rows_the_first_ones_are_meant(model):
    tokens = some_tokens(3, 9)
    due = model(tokens, 0)
    model(tokens[:, :4], 0)
    model(tokens[:1, 4:6], torch.tensor([4]))
    last = model(torch.stack([tokens[0, 6:8], tokens[1, 4:6]]), torch.tensor([6, 4]))
    torch.testing.assert_close(last[0], due[0, 6:8], **TOLERANCE)
    torch.testing.assert_close(last[1], due[1, 4:6], **TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("start_pos", [4, torch.tensor(4), torch.tensor([4, 4])])
def test_rows_go_with_every_kind_of_position(model, start_pos):
    tokens, rows = some_tokens(2, 9), torch.tensor([5, 1])
    due = model(tokens, 0)
    model(tokens[:, :4], 0, rows=rows)
    read = model(tokens[:, 4:], start_pos, rows=rows)
    torch.testing.assert_close(read, due[:, 4:], **TOLERANCE)


@torch.no_grad()
def test_rows_that_are_not_named_stay(model):
    model(some_tokens(6, 9), 0)
    before = [layer.attention.cache.k.clone() for layer in model.layers]
    model(some_tokens(2, 3, seed=1), torch.tensor([2, 7]), rows=torch.tensor([4, 0]))
    for layer, old in zip(model.layers, before, strict=True):
        changed = (layer.attention.cache.k != old).flatten(2).any(-1).nonzero().tolist()
        assert changed == [[0, 7], [0, 8], [0, 9], [4, 2], [4, 3], [4, 4]]


@torch.no_grad()
def test_last_only_with_positions_a_row(model):
    tokens = some_tokens(2, 9)
    model(tokens[:, :5], 0)
    both = [model(tokens[:, 5:], torch.tensor([5, 3]), last_only=last_only) for last_only in (True, False)]
    assert both[0].shape == (2, 1, 24)
    torch.testing.assert_close(both[0], both[1][:, -1:], **TOLERANCE)


@torch.no_grad()
def test_a_prompt_read_once_goes_on_several_times(model):
    prompt, new = some_tokens(1, 7), some_tokens(4, 3, seed=1)
    due = [alone(model, torch.cat([prompt[0], row]))[7:] for row in new]
    model(some_tokens(6, 10, seed=2), 0)  # what was there before
    model(prompt, 0, rows=torch.tensor([2]))
    for layer in model.layers:
        layer.attention.cache.repeat(4, row=2)
    read = model(new, 7)
    for k in range(4):
        torch.testing.assert_close(read[k], due[k], **TOLERANCE)


def test_repeat_leaves_the_other_rows():
    cache = KVCache(max_batch_size=4, max_seq_len=3, n_kv_heads=1, head_dim=1)
    cache.update(0, torch.arange(12.0).reshape(4, 3, 1, 1), -torch.arange(12.0).reshape(4, 3, 1, 1))
    cache.repeat(2)
    assert cache.k[:, 0].flatten().tolist() == [0, 0, 6, 9] and cache.v[:, 2].flatten().tolist() == [-2, -2, -8, -11]
    cache.repeat(4, row=3)
    assert cache.k[:, 0].flatten().tolist() == [9, 9, 9, 9]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((5,), "n is 5, but the cache has 4 rows; call setup_cache for more"),
        ((0,), "n must be a whole number of at least 1, got 0"),
        (("2",), "n must be a whole number of at least 1, got str '2'"),
        ((2, 4), "row must be a whole number from 0 to 3, got 4"),
        ((2, -1), "row must be a whole number from 0 to 3, got -1"),
    ],
)
def test_copies_that_cannot_be(arguments, words):
    cache = KVCache(max_batch_size=4, max_seq_len=3, n_kv_heads=1, head_dim=1)
    with pytest.raises((TypeError, ValueError), match=f"^{words}"):
        cache.repeat(*arguments)


@torch.no_grad()
def test_a_copy_counts_as_a_write(model):
    forward = Guard(model).forward(last_only=True)
    forward(some_tokens(1, 4), 0)
    model.layers[1].attention.cache.repeat(2)
    with pytest.raises(CacheTaken):
        forward(some_tokens(1, 1), 4)
