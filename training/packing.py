"""Documents of different lengths, packed into rows of one length.

No document is cut, and a row holds as many as fit. Each is read as if it were alone: with `within_documents` no
position looks beyond its own document. Otherwise, in Llama 2's format, two chats in a row would look like one chat of
many turns, and the second would teach the model to forget the user's name and to ignore the system text.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch import Tensor, nn

from minillama.model import Transformer

PAD = -1  # no token. The loss skips it and every entry below 0; ~t stands for a token t that is only read
BOS = 1
BEGIN = ~BOS  # the bos at the beginning of a document, which nothing before it could predict


def pack(documents: Iterable[list[int]], n_rows: int, seqlen: int, n_open: int = 256) -> np.ndarray:
    """(n_rows, seqlen + 1) int16: row[:-1] is what the model reads, row[1:] what it should say next.

    The bos of each document becomes BEGIN. A document goes into the fullest open row that has room for it; if none
    has, the fullest of n_open rows is closed and a new one opened. Empty documents and those longer than a row are left
    out. Raises ValueError if there are too few documents.

    >>> pack([[1, 5, 6, 2], [1, 7, 2], [1, 8, 2]], n_rows=2, seqlen=6, n_open=1)
    array([[-2,  5,  6,  2, -2,  7,  2],
           [-2,  8,  2, -1, -1, -1, -1]], dtype=int16)
    """
    size, n_opened = seqlen + 1, 0
    opened: list[list[list[int]]] = [[] for _ in range(size + 1)]  # rows by their free places
    closed: list[list[int]] = []

    def fullest(least: int) -> list[int] | None:
        return next((rows.pop() for rows in opened[least:] if rows), None)

    for ids in documents:
        if len(closed) >= n_rows:
            break
        if not 0 < len(ids) <= size:
            continue
        row = fullest(len(ids))
        if row is None:
            if n_opened == n_open:
                closed.append(fullest(0))
                n_opened -= 1
            row, n_opened = [], n_opened + 1
        row += [BEGIN, *ids[1:]]
        opened[size - len(row)].append(row)
    while len(closed) < n_rows and (row := fullest(0)) is not None:
        closed.append(row)
    if len(closed) < n_rows:
        raise ValueError(f"expected documents for {n_rows} rows of {size} tokens, got enough for {len(closed)}")
    return np.array([row + [PAD] * (size - len(row)) for row in closed], dtype=np.int16).reshape(n_rows, size)


def within_documents(rows: Tensor) -> Tensor:
    """A mask (bsz, 1, seqlen, seqlen) for rows (bsz, seqlen): True where a position may look, at its document so far.

    >>> import torch
    >>> within_documents(torch.tensor([[-2, 5, -2, 7]])).int()[0, 0]
    tensor([[1, 0, 0, 0],
            [1, 1, 0, 0],
            [0, 0, 1, 0],
            [0, 0, 1, 1]], dtype=torch.int32)
    """
    document = (rows == BEGIN).cumsum(dim=1)  # (bsz, seqlen)
    return (document[:, :, None] == document[:, None, :]).tril()[:, None]


class Look(nn.Module):
    """Takes the place of a Transformer's key-value cache. It stores nothing, and says where each position may look."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", None, persistent=False)  # (bsz, 1, seqlen, seqlen); None: at all so far

    def update(self, start_pos: int, k: Tensor, v: Tensor, rows: None = None) -> tuple[Tensor, Tensor, Tensor | None]:
        return k, v, self.mask


def look_of(model: Transformer) -> Look:
    """The Look that all layers of the model share, made and put in place at the first call."""
    if not isinstance(model.layers[0].attention.cache, Look):
        look = Look()
        for layer in model.layers:
            layer.attention.cache = look
    return model.layers[0].attention.cache


def drill_rows(n_rows: int, seqlen: int, first: int, n_ids: int, seed: int) -> np.ndarray:
    """(n_rows, seqlen + 1) int16: in each row a random sequence of the n_ids ids from `first` on, repeated.

    Only a look back, at what followed the same token before, can predict it. A network that has learnt this can look up
    names and objects in the text; from stories alone a small one learns it much later (in-context copying by induction
    heads: Olsson et al., arXiv:2209.11895). What cannot be predicted is only read, not asked for.

    >>> drill_rows(1, 8, first=10, n_ids=3, seed=1)
    array([[-12, -12, -13, -13, -12,  11,  12,  12,  11]], dtype=int16)
    """
    rng = np.random.default_rng(seed)
    rows = np.empty((n_rows, seqlen + 1), dtype=np.int16)
    for row in rows:
        length = rng.integers(min(4, seqlen), max(5, seqlen // 2))
        row[:] = np.resize(rng.integers(first, first + n_ids, length), seqlen + 1)
        row[: length + 1] = ~row[: length + 1]
    return rows
