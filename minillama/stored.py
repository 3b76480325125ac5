"""A weight that is still in its file.

Its shape is known; its numbers are read when it is sliced, and only those that the slice holds. The readers of
checkpoints hand these out in place of tensors: nothing is in memory before it is asked for, and a rank may ask for its
part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class StoredWeight:
    """Of one or two dimensions; weight[...], weight[a:b] and weight[a:b, c:d] give a Tensor.

    kind names the numbers in the file ("float16", "Q4_1"), nbytes is their size there.
    """

    def __init__(self, shape: Sequence[int], kind: str, nbytes: int, read: Callable[..., Tensor]):
        """read takes a slice with start and stop for each dimension."""
        self.shape, self.kind, self.nbytes, self._read = torch.Size(shape), kind, nbytes, read

    def __getitem__(self, index) -> Tensor:
        index = index if isinstance(index, tuple) else (index,)
        index = [slice(None) if part is ... else part for part in index]
        index += [slice(None)] * (len(self.shape) - len(index))
        if len(index) != len(self.shape) or not all(isinstance(part, slice) for part in index):
            raise TypeError(f"a weight of shape {tuple(self.shape)} takes a slice for each dimension, got {index}")
        bounds = [part.indices(size) for part, size in zip(index, self.shape, strict=True)]
        if any(step != 1 for _, _, step in bounds):
            raise ValueError(f"a stored weight is sliced without steps, got {index}")
        return self._read(*(slice(start, max(start, stop)) for start, stop, _ in bounds))


def adjacent_pairs(weight: StoredWeight, head_dim: int) -> StoredWeight:
    """wq or wk as Hugging Face stores it, its rows in Meta's order.

    In each head Hugging Face turns the rows i and i + head_dim / 2 together, Meta the rows 2i and 2i + 1.
    """

    def read(rows: slice, columns: slice) -> Tensor:
        first, last = rows.start // head_dim * head_dim, -(-rows.stop // head_dim) * head_dim  # whole heads
        part = weight[first:last, columns]  # (n heads * head_dim, n columns)
        part = part.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)
        return part[rows.start - first : rows.stop - first]

    return StoredWeight(weight.shape, weight.kind, weight.nbytes, read)


def rotate_halves(weight: Tensor, head_dim: int) -> Tensor:
    """The other way: wq or wk with Meta's rows (n_heads * head_dim, dim), in Hugging Face's order."""
    return weight.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2).flatten(0, 2).contiguous()
