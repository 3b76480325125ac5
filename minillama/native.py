"""The one-token step of a model as native code for this processor: its graph, and what AOTInductor makes of it.

AOTInductor (https://docs.pytorch.org/docs/stable/torch.compiler_aot_inductor.html) writes C++ in which the operations
between two matrix products are one loop, and a matrix product for exactly the shapes of these weights.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from minillama.files import one_line
from minillama.model import Transformer
from minillama.words import say

SMALL = 2**25  # multiplications a step; below, several threads wait for one another longer than they gain
BLOCK = 64  # positions of the cache: a step reads the blocks that hold something
LIBRARY, WEIGHTS = "step.so", "weights.pt"  # what `write` leaves
OPTIONS = {
    "freezing": True,  # the weights are constants: the compiler may change their layout
    "max_autotune_gemm": True,  # generate a matrix product for exactly these sizes where that beats the library's
    "max_autotune_gemm_backends": "CPP,ATEN",
    "cpp.weight_prepack": False,  # the library's own layouts cannot be kept
    "autotune_num_choices_displayed": 0,
    "max_autotune_report_choices_stats": False,
    "aot_inductor.package": True,
    "aot_inductor.package_constants_in_so": False,  # only weights in a new layout are kept; the model has the others
    "aot_inductor.package_constants_on_disk_format": "pickle_weights",
}
NO_COMPILER = "compile=True needs a C++ compiler on a CPU; install g++, or leave compile out"


def compiler() -> str | None:
    """Where the C++ compiler is."""
    return shutil.which(os.environ.get("CXX") or ("cl" if os.name == "nt" else "g++"))


def threads(model: Transformer, rows: int) -> int:
    """How many threads the step for so many rows runs in: what is compiled is made for that number."""
    multiplications = rows * sum(weight.numel() for weight in model.state_dict().values() if weight.dim() == 2)
    return 1 if multiplications < SMALL else torch.get_num_threads()


def write(model: Transformer, rows: int, folder: Path) -> None:
    """Compile the step for so many rows into a folder: LIBRARY, and WEIGHTS, those that it wants in another layout.

    Raises ValueError where there is no compiler, or it fails.
    """
    if compiler() is None:
        raise ValueError(NO_COMPILER)
    one = "compiling the step for 1 row, once for this model and machine: about a minute"
    many = "compiling the step for {rows} rows, once for this model and machine: about a minute"
    print(say(one if rows == 1 else many, rows=rows), end=" … ", file=sys.stderr, flush=True)
    begin = time.monotonic()
    try:
        with torch.inference_mode(False), torch.no_grad(), _quietly():
            _compile(model, rows, folder)
    except Exception as error:  # whatever the compiler raises
        print(say("it failed"), file=sys.stderr, flush=True)
        if isinstance(error, OSError):
            raise
        said = one_line(str(error).strip())
        raise ValueError(f"compile=True: the step could not be compiled ({said}); leave compile out") from error
    print(f"{time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)


def _compile(model: Transformer, rows: int, folder: Path) -> None:
    from torch._inductor import aot_compile  # here, because importing the compiler takes two seconds
    from torch._inductor.utils import fresh_cache

    graph = _Graph(model)
    args, n, T = model.params, torch.export.Dim("n", min=4), torch.export.Dim("T", min=8)  # positions read; all
    freqs = torch.zeros(2 * BLOCK, args.head_dim // 2, 2)
    like = {"dtype": model.norm.weight.dtype}
    cache = [torch.zeros(rows, 2 * BLOCK, args.n_kv_heads, args.head_dim, **like) for _ in range(2 * args.n_layers)]
    examples = torch.zeros(rows, 1, dtype=torch.long), torch.tensor(3), torch.arange(BLOCK), freqs, *cache
    dynamic = {"tokens": None, "position": None, "positions": {0: n}, "freqs": {0: T}, "cache": ({1: T},) * len(cache)}
    with _OneQuery():
        exported = torch.export.export(graph, examples, dynamic_shapes=dynamic)
    with fresh_cache():  # nothing is left behind, and nothing of others is loaded
        options = OPTIONS | {"cpp.threads": threads(model, rows)}
        files = aot_compile(exported.module(), examples, options=options)
        shutil.copyfile(next(file for file in files if str(file).endswith(".so")), folder / LIBRARY)
        laid_out = next(file for file in files if isinstance(file, dict))  # name: (tensor, its properties)
        kept = {name: tensor for name, (tensor, _) in laid_out.items() if not name.startswith("model.")}
        if any(tensor.is_mkldnn for tensor in kept.values()):  # saved and read again they would be other numbers
            raise RuntimeError("the compiler has put weights into a layout that cannot be kept")
        torch.save(kept, folder / WEIGHTS)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The compiler warns of much that nobody here can change."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# ---- what is compiled ------------------------------------------------------------------------------------------------


class _Filled(nn.Module):
    """A layer's cache as the graph has it: two tensors that are lent for one step, and the positions that are read."""

    def update(self, start_pos: Tensor, k: Tensor, v: Tensor, rows: None) -> tuple[Tensor, Tensor, Tensor]:
        self.k[:, start_pos.reshape(1)] = k  # (rows, 1, n_kv_heads, head_dim)
        self.v[:, start_pos.reshape(1)] = v
        n = self.positions.shape[0]
        return self.k[:, :n], self.v[:, :n], (self.positions <= start_pos)[None]  # the mask: (1, n)


class _Graph(nn.Module):
    """The forward of a model whose cache and rotations are arguments: a package would keep copies of its own."""

    def __init__(self, model: Transformer):
        super().__init__()
        shared = {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}
        self.model = copy.deepcopy(model, shared)  # the same weights; only what is around them is copied
        for layer in self.model.layers:
            layer.attention.cache = _Filled()

    def forward(self, tokens: Tensor, position: Tensor, positions: Tensor, freqs: Tensor, *cache: Tensor) -> Tensor:
        """tokens (rows, 1), position (), positions (n,) from 0, freqs (max_seq_len, head_dim / 2, 2) the cosine and
        sine of each rotation, cache: k and v of each layer, (rows, max_seq_len, n_kv_heads, head_dim)."""
        torch._check(positions.shape[0] <= cache[0].shape[1])  # len() would make it a constant
        before, self.model.freqs_cis = self.model.freqs_cis, freqs
        for layer, k, v in zip(self.model.layers, cache[::2], cache[1::2], strict=True):
            lent = layer.attention.cache
            lent.k, lent.v, lent.positions = k, v, positions
        logits = self.model(tokens, position, last_only=True)
        for layer in self.model.layers:
            lent = layer.attention.cache
            del lent.k, lent.v, lent.positions
        self.model.freqs_cis = before
        return logits


class _OneQuery(TorchFunctionMode):
    """Inside, attention is written out as two sums over products: for one query the compiler makes better code of them.

    q (bsz, n_heads, 1, head_dim), k and v (bsz, n_kv_heads, n, head_dim), attn_mask (1, n) bool.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        return self.attend(*args, **kwargs) if func is F.scaled_dot_product_attention else func(*args, **kwargs)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor, is_causal: bool, enable_gqa: bool) -> Tensor:
        groups = q.shape[1] // k.shape[1]
        q = q.float().squeeze(2).unflatten(1, (-1, groups, 1))  # (bsz, n_kv_heads, groups, 1, head_dim)
        scores = (q * k[:, :, None].float()).sum(-1) * q.shape[-1] ** -0.5  # (bsz, n_kv_heads, groups, n)
        weights = scores.masked_fill(~attn_mask, float("-inf")).softmax(-1)  # (bsz, n_kv_heads, groups, n)
        output = (weights[..., None] * v[:, :, None].float()).sum(3)  # (bsz, n_kv_heads, groups, head_dim)
        return output.flatten(1, 2)[:, :, None].type_as(v)  # (bsz, n_heads, 1, head_dim)
