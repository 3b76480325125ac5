"""Documents of different lengths, laid into rows of one length.

No document is cut, and a row holds as many as it takes. Each is read as if it stood alone: `within_documents` lets no
position look beyond its own document. In Llama 2's format two chats in a row could not be told from one chat of many
turns, so the second would teach the model to forget the user's name and to ignore the system text.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch import Tensor, nn

from minillama.model import Transformer

PAD = -1  # no token: the loss passes over it, as over every entry below 0; ~t is a token t that is only read
BOS = 1
BEGIN = ~BOS  # the bos that a document begins with: nothing before it could tell that it follows


def pack(documents: Iterable[list[int]], n_rows: int, seqlen: int, n_open: int = 256) -> np.ndarray:
    """(n_rows, seqlen + 1) int16: row[:-1] is what the model reads, row[1:] what it should say next.

    Each document begins with bos, in the row with BEGIN. It goes into the fullest open row that can take it; when none
    can, the fullest row is closed and a new one opened. Empty documents and those longer than a row are passed over.
    Raises ValueError if there are too few.

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
        raise ValueError(f"documents filled {len(closed)} rows of {size} tokens, {n_rows} are due; give more")
    return np.array([row + [PAD] * (size - len(row)) for row in closed], dtype=np.int16).reshape(n_rows, size)


def within_documents(rows: Tensor) -> Tensor:
    """A mask (bsz, 1, seqlen, seqlen) for rows (bsz, seqlen): True where a position may look, its document so far.

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
    """Stands where a Transformer has its key-value cache, keeps nothing, and says where each position may look."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", None, persistent=False)  # (bsz, 1, seqlen, seqlen); None: all that came before

    def update(self, start_pos: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        return k, v, self.mask


def look_of(model: Transformer) -> Look:
    """The one that all layers share; from here on `model` has it."""
    if not isinstance(model.layers[0].attention.cache, Look):
        look = Look()
        for layer in model.layers:
            layer.attention.cache = look
    return model.layers[0].attention.cache


def drill_rows(n_rows: int, seqlen: int, first: int, n_ids: int, seed: int) -> np.ndarray:
    """(n_rows, seqlen + 1) int16: in each row a random sequence of the n_ids ids from `first` on, again and again.

    Nothing but a look back at what followed the same token before can predict it. A network that has learnt this
    looks names and objects up in the text; from stories alone a small one learns it much later (in-context copying by
    induction heads: Olsson et al., arXiv:2209.11895). What nothing can predict is only read, not asked for.

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
