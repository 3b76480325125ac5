"""The Llama 2 network: token ids in, logits out.

Read from top to bottom: the sizes, the norm, the rotary embedding, attention (its cache is in `cache.py`), the
feed-forward network, one block, the whole. This file knows nothing of text, of files, or of sampling. Names are those
of Meta's `llama/model.py`, and the parameters' names are the keys of Meta's checkpoints.

The architecture: Touvron et al., "Llama 2" (arXiv:2307.09288). RMSNorm: arXiv:1910.07467. Rotary embedding:
arXiv:2104.09864. Grouped-query attention: arXiv:2305.13245. SwiGLU: arXiv:2002.05202.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minillama import arguments, tensors
from minillama.cache import KVCache
from minillama.rope import RopeScaling, scaling_of


@dataclass
class ModelArgs:
    """Sizes of a Llama; `params.json` holds the same names.

    `hidden_dim` gives the width of the feed-forward network outright; if it is None the width follows from
    `dim`, `ffn_dim_multiplier` and `multiple_of` as in Meta's code. `max_batch_size` and `max_seq_len` bound
    the key-value cache. Raises ValueError where the sizes cannot work together.

    >>> ModelArgs(dim=4096).ffn_width(), ModelArgs(dim=8192, ffn_dim_multiplier=1.3, multiple_of=4096).ffn_width()
    (11008, 28672)
    """

    dim: int = 4096
    n_layers: int = 32
    n_heads: int = 32
    n_kv_heads: int | None = None  # None: as many as n_heads
    vocab_size: int = -1  # -1: the tokenizer's
    multiple_of: int = 256
    ffn_dim_multiplier: float | None = None
    norm_eps: float = 1e-5
    max_batch_size: int = 32
    max_seq_len: int = 2048
    hidden_dim: int | None = None
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling | None = None  # for contexts longer than the one that was trained first; or a dict of it

    def __post_init__(self):
        self.n_kv_heads = self.n_heads if self.n_kv_heads is None else self.n_kv_heads
        sizes = "dim n_layers n_heads n_kv_heads hidden_dim multiple_of max_batch_size max_seq_len".split()
        for name in sizes:
            self._judge(arguments.whole, name, 1, arguments.LARGEST_SIZE)
        self._judge(arguments.whole, "vocab_size", -1, arguments.LARGEST_SIZE)
        for name in ("norm_eps", "rope_theta", "ffn_dim_multiplier"):
            self._judge(arguments.above_zero, name)
        self.rope_scaling = scaling_of(self.rope_scaling)
        if self.dim % self.n_heads or (self.dim // self.n_heads) % 2:
            raise ValueError(
                f"ModelArgs.dim must be n_heads times an even head size, got dim={self.dim}, n_heads={self.n_heads}"
            )
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"ModelArgs.n_heads must be a multiple of n_kv_heads, got {self.n_heads} and {self.n_kv_heads}"
            )

    def _judge(self, judge: Callable[..., object], name: str, *limits: int) -> None:
        """Raise a ValueError, also where the type is wrong: sizes come from files more often than from callers."""
        value = getattr(self, name)
        if value is None and name in ("hidden_dim", "ffn_dim_multiplier"):
            return
        try:
            setattr(self, name, judge(f"ModelArgs.{name}", value, *limits))
        except TypeError as error:
            raise ValueError(str(error)) from None

    @property
    def head_dim(self) -> int:
        """The numbers in one head's query, key or value."""
        return self.dim // self.n_heads

    def ffn_width(self) -> int:
        """Width of the feed-forward network: two thirds of 4 * dim, times the multiplier, rounded up."""
        if self.hidden_dim is not None:
            return self.hidden_dim
        width = int(2 * (4 * self.dim) / 3)
        if self.ffn_dim_multiplier is not None:
            width = int(self.ffn_dim_multiplier * width)
        return self.multiple_of * ((width + self.multiple_of - 1) // self.multiple_of)


class RMSNorm(nn.Module):
    """Scale x to a root mean square of 1, computed in float32 (float64 stays), then cast back, then times `weight`.

    The order matters in float16 and bfloat16: the cast comes before the weight. With a weight of its own `F.rms_norm`
    would multiply first.
    """

    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:  # (bsz, seqlen, dim) -> the same
        return F.rms_norm(x, self.weight.shape, eps=self.eps) * self.weight


def precompute_freqs_cis(
    head_dim: int, end: int, theta: float = 10000.0, device=None, scaling: RopeScaling | None = None
) -> Tensor:
    """The rotations of every position: (end, head_dim / 2) complex64, all of length 1.

    Pair i of position m is turned by the angle m * theta ** (-2 i / head_dim), or less with a `scaling`.

    >>> precompute_freqs_cis(head_dim=4, end=2)[0]
    tensor([1.+0.j, 1.+0.j])
    """
    freqs = 1 / theta ** (torch.arange(0, head_dim, 2, device=device).float() / head_dim)  # (head_dim / 2,)
    if scaling is not None:
        freqs = scaling.slowed(freqs)  # (head_dim / 2,)
    angles = torch.outer(torch.arange(end, device=device).float(), freqs)  # (end, head_dim / 2)
    return torch.polar(torch.ones_like(angles), angles)


def apply_rotary_emb(xq: Tensor, xk: Tensor, freqs_cis: Tensor) -> tuple[Tensor, Tensor]:
    """Turn each adjacent pair (2i, 2i + 1) of queries and keys by its position's angle, in float32.

    xq (bsz, seqlen, n_heads, head_dim), xk (bsz, seqlen, n_kv_heads, head_dim); freqs_cis (seqlen, head_dim / 2), or
    (bsz, seqlen, head_dim / 2) where every row has positions of its own.
    """
    freqs_cis = freqs_cis.unsqueeze(-2 if freqs_cis.is_complex() else -3)  # (seqlen, 1, head_dim / 2): for every head
    return _rotate(xq, freqs_cis), _rotate(xk, freqs_cis)


def _rotate(x: Tensor, freqs_cis: Tensor) -> Tensor:
    if not freqs_cis.is_complex():  # native.py: the compiler knows no complex numbers, so the product is written out
        (a, b), (cos, sin) = x.float().unflatten(-1, (-1, 2)).unbind(-1), freqs_cis.unbind(-1)
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2).type_as(x)
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))  # (bsz, seqlen, heads, head_dim / 2)
    return torch.view_as_real(pairs * freqs_cis).flatten(-2).type_as(x)  # (bsz, seqlen, heads, head_dim)


class Attention(nn.Module):
    """Grouped-query attention: every key and value head serves n_heads / n_kv_heads query heads."""

    def __init__(self, args: ModelArgs):
        super().__init__()
        self.head_dim, self.n_kv_heads = args.head_dim, args.n_kv_heads
        self.wq = nn.Linear(args.dim, args.n_heads * args.head_dim, bias=False)
        self.wk = nn.Linear(args.dim, args.n_kv_heads * args.head_dim, bias=False)
        self.wv = nn.Linear(args.dim, args.n_kv_heads * args.head_dim, bias=False)
        self.wo = nn.Linear(args.n_heads * args.head_dim, args.dim, bias=False)
        self.cache: KVCache | None = None

    def forward(self, x: Tensor, start_pos: int | Tensor, freqs_cis: Tensor, rows: Tensor | None = None) -> Tensor:
        """What each position gathers from itself and from those before it: (bsz, seqlen, dim), as x is.

        x: normed hidden states, the first at position start_pos. freqs_cis: the rotations of these positions,
        (seqlen, head_dim / 2). With a cache the keys and values of x are stored at start_pos, and read together with
        those stored before, in the cache's rows 0, 1 … or `rows` (bsz,); without one x is the whole sequence. n below
        is the number of keys that are read.
        """
        bsz, seqlen, _ = x.shape
        xq = self.wq(x).view(bsz, seqlen, -1, self.head_dim)  # (bsz, seqlen, n_heads, head_dim)
        xk = self.wk(x).view(bsz, seqlen, -1, self.head_dim)  # (bsz, seqlen, n_kv_heads, head_dim)
        xv = self.wv(x).view(bsz, seqlen, -1, self.head_dim)  # (bsz, seqlen, n_kv_heads, head_dim)
        xq, xk = apply_rotary_emb(xq, xk, freqs_cis)
        keys, values, mask = (xk, xv, None) if self.cache is None else self.cache.update(start_pos, xk, xv, rows)
        output = F.scaled_dot_product_attention(
            xq.transpose(1, 2),  # (bsz, n_heads, seqlen, head_dim)
            keys.transpose(1, 2),  # (bsz, n_kv_heads, n, head_dim)
            values.transpose(1, 2),  # (bsz, n_kv_heads, n, head_dim)
            attn_mask=mask,
            is_causal=mask is None and seqlen > 1,
            enable_gqa=xq.shape[2] != keys.shape[2],
        )  # (bsz, n_heads, seqlen, head_dim)
        return self.wo(output.transpose(1, 2).flatten(-2))  # (bsz, seqlen, dim)


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x)."""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.w1 = nn.Linear(dim, hidden_dim, bias=False)
        self.w2 = nn.Linear(hidden_dim, dim, bias=False)
        self.w3 = nn.Linear(dim, hidden_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # (bsz, seqlen, dim) -> the same
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class TransformerBlock(nn.Module):
    """Attention, then feed-forward; each reads a normed copy of the residual stream and adds to it."""

    def __init__(self, args: ModelArgs):
        super().__init__()
        self.attention = Attention(args)
        self.feed_forward = FeedForward(args.dim, args.ffn_width())
        self.attention_norm = RMSNorm(args.dim, args.norm_eps)
        self.ffn_norm = RMSNorm(args.dim, args.norm_eps)

    def forward(self, x: Tensor, start_pos: int | Tensor, freqs_cis: Tensor, rows: Tensor | None = None) -> Tensor:
        h = x + self.attention(self.attention_norm(x), start_pos, freqs_cis, rows)  # (bsz, seqlen, dim)
        return h + self.feed_forward(self.ffn_norm(h))  # (bsz, seqlen, dim)


class Transformer(nn.Module):
    """Llama 2: embedding, blocks, norm, output layer.

    A fresh Transformer has no cache: `forward(tokens, 0)` reads whole sequences, with gradients, as training does.
    `setup_cache` adds one, and then a sequence may be read piece by piece. `params` is a copy of the ModelArgs it was
    given, so that two models never share one. `context` is the length in tokens that the weights were made for.
    """

    def __init__(self, params: ModelArgs):
        super().__init__()
        arguments.kind("params", params, ModelArgs)
        if params.vocab_size < 1:
            raise ValueError(
                f"ModelArgs.vocab_size must be at least 1, got {params.vocab_size}; take tokenizer.n_words"
            )
        self.params = dataclasses.replace(params)
        self.context = params.max_seq_len  # setup_cache may take another length
        self.tok_embeddings = nn.Embedding(params.vocab_size, params.dim)
        self.layers = nn.ModuleList(TransformerBlock(params) for _ in range(params.n_layers))
        self.norm = RMSNorm(params.dim, params.norm_eps)
        self.output = nn.Linear(params.dim, params.vocab_size, bias=False)
        self.freqs_cis = self._rotations(self.params.max_seq_len)

    def _rotations(self, end: int) -> Tensor:  # (end, head_dim / 2)
        args, device = self.params, self.norm.weight.device
        if device.type == "meta":  # a shape alone; to compute there imports torch's compiler, which takes a second
            return torch.empty(end, args.head_dim // 2, dtype=torch.complex64, device=device)
        return precompute_freqs_cis(args.head_dim, end, args.rope_theta, device, args.rope_scaling)

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        self.freqs_cis = self._rotations(self.params.max_seq_len)  # follows the weights, but stays complex64
        return self

    def setup_cache(self, max_batch_size: int, max_seq_len: int) -> None:
        """Give every layer an empty cache on the weights' device, in their dtype.

        It takes 2 * n_layers * max_batch_size * max_seq_len * n_kv_heads * head_dim numbers. `params` is then a new
        ModelArgs with these two sizes; `context` stays. Raises ValueError, and changes nothing, for a size below 1 or
        one that the device has no memory for.
        """
        params = dataclasses.replace(self.params, max_batch_size=max_batch_size, max_seq_len=max_seq_len)
        like, caches = self.norm.weight, []
        try:
            freqs_cis = self._rotations(params.max_seq_len)  # (max_seq_len, head_dim / 2)
            for layer in self.layers:
                sizes = params.max_batch_size, params.max_seq_len, layer.attention.n_kv_heads, params.head_dim
                caches.append(KVCache(*sizes, device=like.device, dtype=like.dtype))
        except (RuntimeError, TypeError, OverflowError) as error:  # from 2**63 on a size is no number of torch's
            caches.clear()  # whoever keeps the error, as a notebook does, keeps none of the memory
            asked, reason = f"{max_batch_size} rows of {max_seq_len} tokens", str(error).splitlines()[0]
            message = f"max_batch_size, max_seq_len: {like.device} has no memory for a cache of {asked}; take fewer"
            raise ValueError(f"{message} ({reason})") from error.with_traceback(None)
        self.params, self.freqs_cis = params, freqs_cis
        for layer, cache in zip(self.layers, caches, strict=True):
            layer.attention.cache = cache

    def forward(
        self, tokens: Tensor, start_pos: int | Tensor, last_only: bool = False, rows: Tensor | None = None
    ) -> Tensor:
        """Logits for the token after each of `tokens`.

        tokens (bsz, seqlen) int64, the first at position start_pos; earlier positions come from the cache.
        start_pos is an int; a 0-d tensor for fixed shapes (see KVCache.update); or a tensor (bsz,), a position for each
        row. 0 without a cache. rows (bsz,) int64, all different: which rows of the cache these are; None: the first.
        Returns (bsz, seqlen, vocab_size) float32; with last_only (bsz, 1, vocab_size), the last position's.
        Raises TypeError or ValueError for arguments that are none, or do not fit the vocabulary or the cache.
        """
        bsz, seqlen = tensors.token_ids("tokens", tokens, self.norm.weight.device)
        start_pos, begin = tensors.position("start_pos", start_pos, bsz, tokens.device)
        self._check_room(bsz, seqlen, start_pos, begin, rows)
        last_only = arguments.flag("last_only", last_only)
        if isinstance(start_pos, Tensor):
            positions = start_pos[..., None] + torch.arange(seqlen, device=tokens.device)  # (seqlen,) or (bsz, seqlen)
            freqs_cis = self.freqs_cis[positions]  # (seqlen, head_dim / 2), or (bsz, seqlen, head_dim / 2)
        else:
            freqs_cis = self.freqs_cis[start_pos : start_pos + seqlen]  # (seqlen, head_dim / 2)
        h = self._embed(tokens)  # (bsz, seqlen, dim)
        for layer in self.layers:
            h = layer(h, start_pos, freqs_cis, rows)  # (bsz, seqlen, dim)
        h = self.norm(h[:, -1:] if last_only else h)  # (bsz, seqlen or 1, dim)
        if h.shape[1] == 1 or self.layers[0].attention.cache is None:
            return self.output(h).float()  # (bsz, seqlen or 1, vocab_size)
        # The last position by itself, as with last_only: a larger product would round it in another way.
        return torch.cat([self.output(h[:, :-1]), self.output(h[:, -1:])], dim=1).float()  # (bsz, seqlen, vocab_size)

    def _check_room(self, bsz: int, seqlen: int, start_pos, begin: int | None, rows: Tensor | None) -> None:
        cache, most, limit = self.layers[0].attention.cache, self.params.max_batch_size, self.params.max_seq_len
        if cache is None and (isinstance(start_pos, Tensor) or start_pos != 0):
            raise ValueError(f"start_pos must be 0 without a cache, got {start_pos}; call setup_cache first")
        if cache is None and rows is not None:
            raise ValueError("rows must be None without a cache; call setup_cache first")
        if cache is not None and bsz > most:
            raise ValueError(f"tokens has {bsz} rows, the cache has {most}; call setup_cache for more")
        if rows is not None:
            tensors.distinct("rows", rows, bsz, most, self.norm.weight.device)
        if begin is not None and (end := begin + seqlen) > limit:
            raise ValueError(f"positions {begin} to {end - 1} are outside 0 to {limit - 1} (max_seq_len={limit})")

    def _embed(self, tokens: Tensor) -> Tensor:  # (bsz, seqlen) -> (bsz, seqlen, dim)
        if torch.compiler.is_compiling():
            return self.tok_embeddings(tokens)
        try:
            return self.tok_embeddings(tokens)
        except IndexError:  # on a CPU; a GPU ends the process
            raise ValueError(f"tokens has an id outside the vocabulary, 0 to {self.params.vocab_size - 1}") from None
