"""Packed rows: no document is cut or lost, and none is seen from another."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.initial import new_model
from training.packing import BEGIN, PAD, drill_rows, look_of, pack, within_documents


@given(st.lists(st.integers(2, 12), min_size=60, max_size=60), st.integers(1, 8))
def test_rows_hold_whole_documents(sizes, n_open):
    documents = [[1, k, *[100] * (n - 2)] for k, n in enumerate(sizes, 200)]
    rows = pack(documents, n_rows=5, seqlen=12, n_open=n_open)
    assert rows.shape == (5, 13) and rows.dtype == np.int16
    seen = []
    for row in rows:
        row = row.tolist()
        tokens = [token for token in row if token != PAD]
        assert row == tokens + [PAD] * (13 - len(tokens))
        while tokens:
            seen.append(tokens[1] - 200)
            whole = [BEGIN, *documents[seen[-1]][1:]]
            assert tokens[: len(whole)] == whole
            tokens = tokens[len(whole) :]
    assert len(seen) == len(set(seen))


def test_short_documents_fill_the_rows_of_long_ones():
    documents = [[1] * n for n in [8, 6, 4, 2] * 20]
    assert (pack(documents, n_rows=15, seqlen=9, n_open=4) != PAD).mean() > 0.98


def test_documents_without_tokens_or_longer_than_a_row_are_left_out():
    assert pack([[7] * 9, [], [1, 2]], n_rows=1, seqlen=3).tolist() == [[BEGIN, 2, PAD, PAD]]


def test_too_few_documents_are_refused():
    with pytest.raises(ValueError, match="2 rows of 4 tokens, got enough for 1"):
        pack([[1, 2]], n_rows=2, seqlen=3)


@torch.no_grad()
def test_in_a_row_of_several_a_document_is_read_as_if_it_stood_alone():
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 2, "n_kv_heads": 1, "hidden_dim": 64, "max_seq_len": 32}
    model, documents = new_model(sizes, 300), [[1, 5, 6, 1, 7], [1, 5, 8], [1, 9, 9, 5, 5, 5, 2]]
    row = torch.tensor(pack(documents, n_rows=1, seqlen=19, n_open=1)).long()  # with pad at its end
    look_of(model).mask = within_documents(row)
    logits = model(torch.where(row < 0, ~row, row), 0)[0]
    look_of(model).mask = None
    alone = [model(torch.tensor([ids]), 0)[0] for ids in documents]
    assert torch.allclose(logits[:15], torch.cat(alone), atol=1e-5)
    assert not torch.allclose(model(torch.tensor([sum(documents, [])]), 0)[0], torch.cat(alone), atol=1e-2)


def test_a_drill_repeats_a_random_sequence():
    rows = drill_rows(50, seqlen=48, first=259, n_ids=64, seed=3)
    read = np.where(rows < 0, ~rows, rows)
    assert rows.shape == (50, 49) and read.min() >= 259 and read.max() < 259 + 64
    for row, tokens in zip(rows, read, strict=True):
        period = np.flatnonzero(row >= 0)[0] - 1  # what cannot be predicted is not asked for
        assert 4 <= period < 25 and (row[period + 1 :] >= 0).all()
        assert (tokens[period:] == tokens[:-period]).all()
    assert len({tuple(row) for row in rows}) == 50
    assert (drill_rows(50, 48, 259, 64, seed=3) == rows).all()
