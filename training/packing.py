"""Documents of different lengths, laid into rows of one length.

No document is cut, and no row holds two chats. In Llama 2's format two chats in a row cannot be told from one chat
of many turns, so the second would teach the model to forget the user's name and to ignore the system text.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

PAD = -1  # no token: the loss passes over it


def pack(documents: Iterable[tuple[list[int], bool]], n_rows: int, seq_len: int, n_open: int = 256) -> np.ndarray:
    """(n_rows, seq_len + 1) int16: row[:-1] is what the model reads, row[1:] what it should say next.

    `documents` are pairs (ids, whether it is a chat). Each goes into the fullest open row that can take it; when
    none can, the fullest row is closed and a new one opened. Documents longer than a row are passed over. Raises
    ValueError if there are too few.

    >>> pack([([1, 5, 6, 2], True), ([1, 7, 2], False), ([1, 8, 2], True)], n_rows=2, seq_len=6, n_open=1)
    array([[ 1,  5,  6,  2,  1,  7,  2],
           [ 1,  8,  2, -1, -1, -1, -1]], dtype=int16)
    """
    closed: list[list[int]] = []
    opened: list[tuple[list[int], list[bool]]] = []  # ids, and for each document whether it is a chat
    for ids, is_chat in documents:
        if len(closed) >= n_rows:
            break
        if len(ids) > seq_len + 1:
            continue
        fitting = [row for row in opened if len(row[0]) + len(ids) <= seq_len + 1 and not (is_chat and any(row[1]))]
        if not fitting:
            if len(opened) == n_open:
                fullest = max(opened, key=lambda row: len(row[0]))
                opened.remove(fullest)
                closed.append(fullest[0])
            fitting = [([], [])]
            opened += fitting
        row = max(fitting, key=lambda row: len(row[0]))
        row[0].extend(ids)
        row[1].append(is_chat)
    closed += [ids for ids, _ in opened][: n_rows - len(closed)]
    if len(closed) < n_rows:
        raise ValueError(f"documents filled {len(closed)} rows of {seq_len + 1} tokens, {n_rows} are due; give more")
    rows = np.full((n_rows, seq_len + 1), PAD, dtype=np.int16)
    for row, ids in zip(rows, closed, strict=True):
        row[: len(ids)] = ids
    return rows


def drill_rows(n_rows: int, seq_len: int, first: int, n_ids: int, seed: int) -> np.ndarray:
    """(n_rows, seq_len + 1) int16: in each row a random sequence of the n_ids ids from `first` on, again and again.

    Nothing but a look back at what followed the same token before can predict it. A network that has learnt this
    looks names and objects up in the text; from stories alone a small one learns it much later (in-context copying by
    induction heads: Olsson et al., arXiv:2209.11895).

    >>> drill_rows(1, 8, first=10, n_ids=3, seed=1)
    array([[11, 11, 12, 12, 11, 11, 12, 12, 11]], dtype=int16)
    """
    rng = np.random.default_rng(seed)
    rows = np.empty((n_rows, seq_len + 1), dtype=np.int16)
    for row in rows:
        length = rng.integers(min(4, seq_len), max(5, seq_len // 2))
        row[:] = np.resize(rng.integers(first, first + n_ids, length), seq_len + 1)
    return rows
