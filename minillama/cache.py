"""The key-value cache: what attention has computed of earlier positions, kept so that nobody computes it again."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from minillama import arguments

write_number = itertools.count().__next__  # of each write to a cache in this process


class KVCache(nn.Module):
    """The rotated keys and the values of every position seen so far, for one layer.

    Both are (max_batch_size, max_seq_len, n_kv_heads, head_dim). Slots are written before they are read, so
    nothing has to be cleared between two runs. `written` is the number of the last write.
    """

    def __init__(self, max_batch_size: int, max_seq_len: int, n_kv_heads: int, head_dim: int, **like):
        super().__init__()
        self.written = write_number()
        shape = (max_batch_size, max_seq_len, n_kv_heads, head_dim)
        self.register_buffer("k", torch.zeros(shape, **like), persistent=False)
        self.register_buffer("v", torch.zeros(shape, **like), persistent=False)

    def update(
        self, start_pos: int | Tensor, k: Tensor, v: Tensor, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Store k and v, both (bsz, seqlen, n_kv_heads, head_dim), from start_pos on; return what to attend to.

        Returns keys and values (bsz, n, n_kv_heads, head_dim) and a mask, True where a query may look.
        With an int, n = start_pos + seqlen, and the mask (seqlen, n) is None where plain causal attention says the
        same. With a 0-d tensor, n = max_seq_len always: fixed shapes, which a compiled step and a CUDA graph need.
        With a tensor (bsz,), a position for each row, or with `rows` (bsz,), the rows of the cache that are written
        and read, n reaches to the end of the longest, and the mask is (bsz, 1, seqlen, n).
        """
        bsz, seqlen = k.shape[:2]
        if not torch.compiler.is_compiling():  # guard.py does it for a compiled step
            self.written = write_number()
        if rows is not None:
            start_pos = torch.as_tensor(start_pos, device=k.device).expand(bsz)  # (bsz,)
        if isinstance(start_pos, Tensor):
            positions = start_pos[..., None] + torch.arange(seqlen, device=k.device)  # (seqlen,) or (bsz, seqlen)
            if start_pos.dim() == 1:
                return self._update_rows(positions, k, v, rows)
            self.k[:bsz].index_copy_(1, positions, k)
            self.v[:bsz].index_copy_(1, positions, v)
            mask = torch.arange(self.k.shape[1], device=k.device) <= positions[:, None]  # (seqlen, max_seq_len)
            return self.k[:bsz], self.v[:bsz], mask
        end = start_pos + seqlen
        self.k[:bsz, start_pos:end] = k
        self.v[:bsz, start_pos:end] = v
        mask = None
        if start_pos > 0 and seqlen > 1:  # old positions are open to every query, new ones causally
            mask = torch.ones(seqlen, end, dtype=torch.bool, device=k.device).tril(start_pos)  # (seqlen, end)
        return self.k[:bsz, :end], self.v[:bsz, :end], mask

    def _update_rows(self, positions: Tensor, k: Tensor, v: Tensor, rows: Tensor | None):
        each = torch.arange(len(k), device=k.device) if rows is None else rows  # (bsz,)
        self.k[each[:, None], positions] = k
        self.v[each[:, None], positions] = v
        end = int(positions.max()) + 1  # a GPU is waited for here
        mask = torch.arange(end, device=k.device) <= positions[..., None]  # (bsz, seqlen, end)
        where = slice(len(k)) if rows is None else rows  # a slice is no copy
        return self.k[where, :end], self.v[where, :end], mask[:, None]

    def repeat(self, n: int, row: int = 0) -> None:
        """Copy what one row holds into the rows 0 to n - 1, so that a prompt that was read once can go on n times.

        Raises TypeError or ValueError where the cache has not so many rows.
        """
        most, n = len(self.k), arguments.whole("n", n, 1)
        if n > most:
            raise ValueError(f"n is {n}, but the cache has {most} rows; call setup_cache for more")
        row = arguments.whole("row", row, 0, most - 1)
        self.written = write_number()
        for tensor in (self.k, self.v):
            tensor[:n] = tensor[row].clone()  # (max_seq_len, n_kv_heads, head_dim)
