"""A weight that is still in its file.

Its shape is known; its numbers are read when it is sliced, and only those that the slice holds. All readers of
checkpoints hand these out in place of tensors: nothing is in memory before it is asked for, and a rank may ask for its
part alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class StoredWeight:
    """Of one or two dimensions; weight[...], weight[a:b] and weight[a:b, c:d] give a Tensor.

    kind names the numbers in the file ("float16", "Q4_1"), nbytes is their size there.
    """

    is_view = True  # what a slice gives may be the file's own memory

    def __init__(self, shape: Sequence[int], kind: str, nbytes: int, read: Callable[..., Tensor], is_view: bool = True):
        """read takes a slice with start and stop for each dimension; is_view False: it always makes a new tensor."""
        self.is_view = is_view
        self.shape, self.kind, self.nbytes, self._read = torch.Size(shape), kind, nbytes, read

    def __getitem__(self, index) -> Tensor:
        index = () if index is ... else index if isinstance(index, tuple) else (index,)
        if len(index) > len(self.shape) or not all(isinstance(i, slice) and i.step in (None, 1) for i in index):
            raise TypeError(f"a weight of shape {tuple(self.shape)} takes ... or slices of step 1, got {index}")
        index = [*index, *[slice(None)] * (len(self.shape) - len(index))]
        bounds = [part.indices(size) for part, size in zip(index, self.shape, strict=True)]
        return self._read(*(slice(start, max(start, stop)) for start, stop, _ in bounds))


class MergedWeight(StoredWeight):
    """The parts of one weight, seen as one: a slice reads only the parts that it needs.

    >>> weight = MergedWeight([torch.zeros(2, 3), torch.ones(2, 3)], dim=0)
    >>> weight.shape, weight[1:3, :2]
    (torch.Size([4, 3]), tensor([[0., 0.],
            [1., 1.]]))
    """

    def __init__(self, parts: Sequence[Tensor], dim: int = 0):
        """parts: tensors that lie side by side along dim; one alone may have any shape."""
        self.parts, self.dim = parts, dim
        shape = list(parts[0].shape)
        if len(parts) > 1:
            shape[dim] = sum(part.shape[dim] for part in parts)
        self.shape, self.kind = torch.Size(shape), str(parts[0].dtype).removeprefix("torch.")
        self.nbytes = sum(part.nbytes for part in parts)

    def _read(self, *index: slice) -> Tensor:  # a method: a weight that held itself would keep its file mapped
        """A view where one part is enough, else a new tensor."""
        if len(self.parts) == 1:
            return self.parts[0][index]
        views, begin = [], 0  # begin: where the part lies in the whole
        for part in self.parts:
            mine = list(index)
            mine[self.dim] = slice(max(index[self.dim].start - begin, 0), max(index[self.dim].stop - begin, 0))
            views.append(part[tuple(mine)])  # no number is read yet
            begin += part.shape[self.dim]
        views = [view for view in views if view.shape[self.dim]] or views[:1]
        return views[0] if len(views) == 1 else torch.cat(views, self.dim)
