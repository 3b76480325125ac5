"""Rows: no document is cut or lost between two others, no row holds two chats, and questions come first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.packing import PAD, Kind, drill_rows, pack


@given(st.lists(st.tuples(st.integers(2, 12), st.sampled_from(Kind)), min_size=60, max_size=60), st.integers(1, 8))
def test_rows_hold_whole_documents_and_at_most_one_chat(sizes, n_open):
    documents = [([10 * k + 1] + [10 * k + 2] * (n - 1), kind) for k, (n, kind) in enumerate(sizes)]
    rows = pack(documents, n_rows=5, seq_len=12, n_open=n_open)
    assert rows.shape == (5, 13) and rows.dtype == np.int16
    seen = []
    for row in rows:
        row, kinds = row.tolist(), []
        tokens = [token for token in row if token != PAD]
        assert row == tokens + [PAD] * (13 - len(tokens))
        while tokens:
            seen.append(tokens[0] // 10)
            ids, kind = documents[seen[-1]]
            assert tokens[: len(ids)] == ids
            tokens = tokens[len(ids) :]
            kinds.append(kind)
        assert kinds.count(Kind.CHAT) <= 1
        assert kinds == sorted(kinds, key=lambda kind: kind is not Kind.OPENER)
    assert len(seen) == len(set(seen))


def test_short_documents_fill_the_rows_of_long_ones():
    documents = [([1] * n, kind) for n, kind in [(9, Kind.TEXT), (6, Kind.CHAT), (4, Kind.OPENER), (1, Kind.TEXT)] * 20]
    assert (pack(documents, n_rows=15, seq_len=9, n_open=4) != PAD).mean() > 0.99


def test_documents_without_tokens_or_longer_than_a_row_are_passed_over():
    documents = [([7] * 9, Kind.TEXT), ([], Kind.CHAT), ([1, 2], Kind.TEXT)]
    assert pack(documents, n_rows=1, seq_len=3).tolist() == [[1, 2, PAD, PAD]]


def test_too_few_documents_are_refused():
    with pytest.raises(ValueError, match="filled 1 rows of 4 tokens, 2 are due"):
        pack([([1, 2], Kind.TEXT)], n_rows=2, seq_len=3)


def test_a_drill_repeats_a_random_sequence():
    rows = drill_rows(50, seq_len=48, first=259, n_ids=64, seed=3)
    read = np.where(rows < 0, ~rows, rows)
    assert rows.shape == (50, 49) and read.min() >= 259 and read.max() < 259 + 64
    for row, tokens in zip(rows, read, strict=True):
        period = np.flatnonzero(row >= 0)[0] - 1  # what cannot be predicted is not asked for
        assert 4 <= period < 25 and (row[period + 1 :] >= 0).all()
        assert (tokens[period:] == tokens[:-period]).all()
    assert len({tuple(row) for row in rows}) == 50
    assert (drill_rows(50, 48, 259, 64, seed=3) == rows).all()
