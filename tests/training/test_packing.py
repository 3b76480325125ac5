"""Rows: no document is cut or lost between two others, and no row holds two chats."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.packing import PAD, drill_rows, pack


@given(st.lists(st.tuples(st.integers(2, 12), st.booleans()), min_size=60, max_size=60), st.integers(1, 8))
def test_rows_hold_whole_documents_and_at_most_one_chat(sizes, n_open):
    documents = [([10 * k + 1] + [10 * k + 2] * (n - 1), is_chat) for k, (n, is_chat) in enumerate(sizes)]
    rows = pack(documents, n_rows=5, seq_len=12, n_open=n_open)
    assert rows.shape == (5, 13) and rows.dtype == np.int16
    for row in rows:
        row, chats = row.tolist(), 0
        tokens = [token for token in row if token != PAD]
        assert row == tokens + [PAD] * (13 - len(tokens))
        while tokens:
            ids, is_chat = documents[tokens[0] // 10]
            assert tokens[: len(ids)] == ids
            tokens, chats = tokens[len(ids) :], chats + is_chat
        assert chats <= 1


def test_documents_longer_than_a_row_are_passed_over():
    assert pack([([7] * 9, False), ([1, 2], False)], n_rows=1, seq_len=3).tolist() == [[1, 2, PAD, PAD]]


def test_too_few_documents_are_refused():
    with pytest.raises(ValueError, match="filled 1 rows of 4 tokens, 2 are due"):
        pack([([1, 2], False)], n_rows=2, seq_len=3)


def test_a_drill_repeats_a_random_sequence():
    rows = drill_rows(50, seq_len=48, first=259, n_ids=64, seed=3)
    assert rows.shape == (50, 49) and rows.min() >= 259 and rows.max() < 259 + 64
    for row in rows:
        assert any((row[period:] == row[:-period]).all() for period in range(4, 25))
    assert len({tuple(row) for row in rows}) == 50
    assert (drill_rows(50, 48, 259, 64, seed=3) == rows).all()
