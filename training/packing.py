"""Documents of different lengths, laid into rows of one length.

No document is cut, and no row holds two chats. In Llama 2's format two chats in a row cannot be told from one chat
of many turns, so the second would teach the model to forget the user's name and to ignore the system text. Questions
that need no past, such as the one for a poem, are no chats in this sense, but come first in their row: so they have no
past, no system text among it, that their answers would seem to ignore.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

import numpy as np

PAD = -1  # no token: the loss passes over it, as over every entry below 0; ~t is a token t that is only read


class Kind(Enum):
    OPENER = auto()  # as many in a row as it takes, before all others
    CHAT = auto()  # one in a row
    TEXT = auto()


def pack(documents: Iterable[tuple[list[int], Kind]], n_rows: int, seq_len: int, n_open: int = 256) -> np.ndarray:
    """(n_rows, seq_len + 1) int16: row[:-1] is what the model reads, row[1:] what it should say next.

    Each document goes into the fullest open row that can take it; when none can, the fullest row is closed and a new
    one opened. Empty documents and those longer than a row are passed over. Raises ValueError if there are too few.

    >>> documents = [([1, 5, 6, 2], Kind.CHAT), ([1, 7, 2], Kind.OPENER), ([1, 8, 2], Kind.CHAT)]
    >>> pack(documents, n_rows=2, seq_len=6, n_open=1)
    array([[ 1,  7,  2,  1,  5,  6,  2],
           [ 1,  8,  2, -1, -1, -1, -1]], dtype=int16)
    """
    size, n_opened = seq_len + 1, 0
    opened: dict[tuple[int, bool], list[list[tuple[list[int], Kind]]]]  # by free places, and whether they hold a chat
    opened = {(free, has_chat): [] for free in range(size + 1) for has_chat in (False, True)}
    closed: list[list[tuple[list[int], Kind]]] = []

    def fullest(least: int, chats: tuple[bool, ...] = (True, False)) -> list[tuple[list[int], Kind]] | None:
        places = ((free, has_chat) for free in range(least, size + 1) for has_chat in chats)
        return next((opened[place].pop() for place in places if opened[place]), None)

    for ids, kind in documents:
        if len(closed) >= n_rows:
            break
        if not 0 < len(ids) <= size:
            continue
        row = fullest(len(ids), (False,) if kind is Kind.CHAT else (True, False))
        if row is None:
            if n_opened == n_open:
                closed.append(fullest(0))
                n_opened -= 1
            row, n_opened = [], n_opened + 1
        row.append((ids, kind))
        opened[size - sum(len(ids) for ids, _ in row), any(kind is Kind.CHAT for _, kind in row)].append(row)
    while len(closed) < n_rows and (row := fullest(0)) is not None:
        closed.append(row)
    if len(closed) < n_rows:
        raise ValueError(f"documents filled {len(closed)} rows of {size} tokens, {n_rows} are due; give more")
    rows = np.full((n_rows, size), PAD, dtype=np.int16)
    for row, laid in zip(rows, closed, strict=True):
        ids = [i for ids, _ in sorted(laid, key=lambda one: one[1] is not Kind.OPENER) for i in ids]
        row[: len(ids)] = ids
    return rows


def drill_rows(n_rows: int, seq_len: int, first: int, n_ids: int, seed: int) -> np.ndarray:
    """(n_rows, seq_len + 1) int16: in each row a random sequence of the n_ids ids from `first` on, again and again.

    Nothing but a look back at what followed the same token before can predict it. A network that has learnt this
    looks names and objects up in the text; from stories alone a small one learns it much later (in-context copying by
    induction heads: Olsson et al., arXiv:2209.11895). What nothing can predict is only read, not asked for.

    >>> drill_rows(1, 8, first=10, n_ids=3, seed=1)
    array([[-12, -12, -13, -13, -12,  11,  12,  12,  11]], dtype=int16)
    """
    rng = np.random.default_rng(seed)
    rows = np.empty((n_rows, seq_len + 1), dtype=np.int16)
    for row in rows:
        length = rng.integers(min(4, seq_len), max(5, seq_len // 2))
        row[:] = np.resize(rng.integers(first, first + n_ids, length), seq_len + 1)
        row[: length + 1] = ~row[: length + 1]
    return rows
