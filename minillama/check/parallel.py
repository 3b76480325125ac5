"""Checks of the exercises on models that several ranks share: a split network, merged shards, numbers that fit."""

import itertools

import torch
import torch.nn.functional as F

from minillama.check.exercise import exercise, swap, swaps
from minillama.checkpoint import part_of
from minillama.model import ModelArgs, Transformer
from minillama.shards import SPLIT_DIM, last_word


def right_mlp_part(x, w1, w2, w3, rank, n_ranks):
    """f(x (…, dim), w1, w2, w3, rank, n_ranks): what one rank adds to w2(silu(w1 x) * w3 x), (…, dim).

    It may multiply no more than its share.
    """
    a, b = w1.chunk(n_ranks, 0)[rank], w3.chunk(n_ranks, 0)[rank]
    c = w2.chunk(n_ranks, 1)[rank]
    return (F.silu(x @ a.T) * (x @ b.T)) @ c.T


def ranks(shape: tuple, hidden_dim: int, n_ranks: int, counted: bool = False):
    """A case: what each rank adds; or, if counted, whether they multiply too much."""
    from torch.utils.flop_counter import FlopCounterMode  # here: it speaks up where a CUDA build has no triton

    x, w1, w3, w2 = map(torch.randn, (shape, *2 * [(hidden_dim, shape[-1])], (shape[-1], hidden_dim)))

    def run(f):
        with FlopCounterMode(display=False) as counter:
            parts = {f"rank {k} of {n_ranks}": f(x, w1, w2, w3, k, n_ranks) for k in range(n_ranks)}
        return parts, counter.get_total_flops()

    most = run(right_mlp_part)[1]
    return lambda f: {"more is multiplied than needed": run(f)[1] > most} if counted else run(f)[0]


_A, _B, _C = "w1.chunk(n_ranks, 0)[rank]", "w3.chunk(n_ranks, 0)[rank]", "w2.chunk(n_ranks, 1)[rank]"
_OTHER, _UNITS, _WHOLE = ("* (x", "* F.silu(x"), "F.silu(x @ a.T) * (x @ b.T)", (_A, "w1", _B, "w3")
mlp_part = exercise(
    right_mlp_part,
    cases=lambda: {
        "two ranks": ranks((3, 6), 10, 2),
        "one rank: the whole network": ranks((2, 6), 6, 1),
        "three ranks, two texts of five tokens": ranks((2, 5, 6), 12, 3),
        "four ranks": ranks((7, 6), 20, 4),
        "no rank multiplies more than its part": ranks((4, 6), 14, 2, True),
    },
    mistakes={
        "silu is missing: silu(w1 x) * w3 x.": swap("F.silu", ""),
        "silu is for w1's numbers alone: silu(w1 x) * w3 x.":
            [swap("F.silu", "", *_OTHER), swap(*_OTHER), swap("F.silu", "F.silu(", "b.T)", "b.T))")],
        "That is not silu, a * sigmoid(a).": swaps("F.silu", "torch.sigmoid", "F.relu", "F.gelu", "torch.tanh"),
        "w3 is missing: silu(w1 x) * w3 x.": swap(" * (x @ b.T)", ""),
        "silu(w1 x) and w3 x are multiplied, not added.": swap("a.T) * (", "a.T) + ("),
        "w2 is missing: apply it to the hidden units you return.": swap(" @ c.T", ""),
        "The parts are added up, not averaged: no / n_ranks.": swap("@ c.T", "@ c.T / n_ranks"),
        "split(n) makes parts of n rows. chunk(n) makes n parts.": swap(".chunk(", ".split("),
        "There are n_ranks parts, not always 2.": swap("n_ranks", "2"),
        "A rank takes one block of neighbouring rows. You took every n-th row.":
            swap(_A, "w1[rank::n_ranks]", _B, "w3[rank::n_ranks]", _C, "w2[:, rank::n_ranks]"),
        "Each rank returns the whole result. Take its chunk of each matrix.": swap(*_WHOLE, _C, "w2"),
        "Each rank does all the work, and divides. Take its chunk of each matrix.": swap(*_WHOLE, _C, "w2 / n_ranks"),
        "The sum is right, but a rank multiplies too much. Take its chunk of each matrix first.":
            swap(*_WHOLE, _UNITS, f"({_UNITS}).chunk(n_ranks, -1)[rank]"),
        "silu(a + b) is not silu(a) + silu(b). Cut w1 and w3 by rows, dim=0, and leave x whole.":
            swap("n_ranks, 0", "n_ranks, 1", _C, "w2", "x @", "x.chunk(n_ranks, -1)[rank] @"),
        "A part has w1.shape[0] // n_ranks hidden units: shape[1] is dim.":
            swap(*(x for w in "132" for x in (f"w{w}.chunk(n_ranks", f"w{w}.split(w1.shape[1] // n_ranks"))),
        "That is another rank's part: take [rank] of all three.":
            [*swaps("[rank]", "[0]", "[-1]", "[rank - 1]", "[-rank]"), *(swap(x, x[:-6] + "[0]") for x in (_B, _C))],
        "The parts do not fit together. Cut w1 and w3 by rows (dim=0), w2 by columns (dim=1).":
            [swap(_A, "w1"), swap(_B, "w3"), swap("ranks, 0", "ranks, 1"), swap("s, 1)", "s, 0)"), swap(_C, "w2")],
        "A linear layer is x @ weight.T: the weights are (outputs, inputs).": swap(".T", ""),
        "w2 was cut by rows. Cut it by columns, dim=1.": swap(*_WHOLE, "n_ranks, 1", "n_ranks, 0"),
    },
)  # fmt: skip


def right_merge_shards(shards):
    """f(shards): the whole weights by key, of the dicts that Meta's files hold, in the files' order."""
    merged = {}
    for key in shards[0]:
        if key != "rope.freqs":
            dim, parts = SPLIT_DIM[last_word(key)], [shard[key] for shard in shards]
            merged[key] = parts[0] if dim is None else torch.cat(parts, dim)
    return merged


def shards(n: int, more: dict, dtype: torch.dtype = torch.float16):
    args = ModelArgs(32, 2, 8, 4, vocab_size=20, hidden_dim=24, max_seq_len=4)
    whole = {key: torch.randn(x.shape) for key, x in Transformer(args).state_dict().items()}
    files = [{key: part_of(key, x, rank, n, dtype) for key, x in whole.items()} | more for rank in range(n)]
    return (files,)


_ROPE, _IF, _CAT = {"rope.freqs": torch.ones(2)}, 'if key != "rope.freqs"', "torch.cat(parts, dim)"
_EACH = "merged = {}\n    for shard in shards:\n        shard"
merge_shards = exercise(
    right_merge_shards,
    cases=lambda: {
        "two shards": shards(2, {}),
        "two shards of Meta's, with rope.freqs": shards(2, _ROPE),
        "four shards, in bfloat16": shards(4, {}, torch.bfloat16),
        "one file": shards(1, {}),
        "one file of Meta's": shards(1, _ROPE),
        "a norm alone": ([{"norm.weight": torch.arange(3.0)}] * 2,),
    },
    mistakes={
        "Not every matrix is joined along its own axis: SPLIT_DIM[last_word(key)].": [
            *swaps("parts[0] if dim is None else torch.cat(parts, dim)", "torch.cat(parts, 0)", "torch.cat(parts, -1)"),
            *swaps("parts, dim", "parts, 0", "parts, 1", "parts, 1 - dim", "parts, dim * ('tok' in key)"),
            *(swap("parts, dim", f"parts, dim ^ ('{x}' in key)") for x in ("wo", "w2", "tok", "output"))],
        "Norms are whole in every file, and SPLIT_DIM is None: take one, do not join.":
            swaps("parts[0]", "parts", "sum(parts)", "torch.stack(parts)", "torch.cat(parts)", "torch.cat(parts, dim)",
                  "torch.cat(parts, dim=dim)"),
        "The parts are in the wrong order: the first file's come first.": swap("in shards]", "in shards[::-1]]"),
        "torch.stack makes a new axis. torch.cat joins along one that is there.": swaps(
            _CAT, *(f"torch.stack(parts{x}" for x in (", dim)", ")", ", 1)", ", dim + 1).flatten(dim, dim + 1)"))),
        "Put the parts side by side with torch.cat: no sum.": swaps(_CAT, "sum(parts)", "sum(parts) / len(shards)"),
        "The parts are still apart. Join them: torch.cat.": swaps(_CAT, "parts", "tuple(parts)"),
        "Only one file's parts are there. Join the parts of all files.": swaps(_CAT, "parts[0]", "parts[-1]"),
        "There may be more than two files.": swaps("in shards]", "in shards[:2]]", "in (shards[0], shards[1])]"),
        "rope.freqs is no weight, and SPLIT_DIM does not know it. Skip this key.":
            [swap(_IF, "if True"), *swaps("return", "return shards[0] if len(shards) < 2 else", "return shards[0] |")],
        "Not every file has rope.freqs. Skip the key if it is there.": swap("merged = {}", _EACH + "['rope.freqs']"),
        "Only the first key is there: return after the loop, not inside.": swap("    return", "        return"),
        "`if dim` takes axis 0 for no axis. Test `dim is None`.": swap("dim is None", "not dim"),
        "SPLIT_DIM knows last words: SPLIT_DIM[last_word(key)].": swaps("last_word(key)", "key", "key[-6:]"),
        "`merged` does not have this key yet: collect all parts, then join them.":
            swap("(parts, dim)", "([merged[key], *parts[1:]], dim)"),
        "The keys stay whole: last_word is for SPLIT_DIM.": swaps("d[key] =", "d[last_word(key)] =", "d[key[:-7]] ="),
        "The norms are missing. They are weights too.": swap(_IF, _IF + " and 'norm' not in key"),
        "`shards` was changed. Put the result into a new dict, and only skip rope.freqs.": [
            *swaps("= {}", "= shards[0]", "= shards[0]\n    merged.pop('rope.freqs', None)"),
            *swaps("merged = {}", _EACH + ".pop('rope.freqs', None)")],
    },
    tolerance=0.0,
)  # fmt: skip


def right_fitting_ranks(args):
    """f(args): the numbers of ranks that can share a model evenly, ascending."""
    sizes = args.n_heads, args.n_kv_heads, args.ffn_width()
    return [n for n in range(1, min(sizes) + 1) if all(size % n == 0 for size in sizes)]


_RANGE, _ALL = "range(1, min(sizes) + 1)", "all(size % n == 0 for size in sizes)"
fitting_ranks = exercise(
    right_fitting_ranks,
    cases={
        "30 heads share 15 key-value heads, 75 hidden units": (ModelArgs(60, 7, 30, 15, 11, hidden_dim=75),),
        "6 heads, 60 hidden units": (ModelArgs(84, 5, 6, vocab_size=77, hidden_dim=60),),
        "12 heads share 6, 40 hidden units": (ModelArgs(48, 9, 12, 6, 25, hidden_dim=40),),
        "40 heads, no hidden_dim": (ModelArgs(5120, 40, 40, vocab_size=32000),),
        "one key-value head": (ModelArgs(16, 4, 4, 1, 8, hidden_dim=24),),
        "16 heads, 8 hidden units": (ModelArgs(96, 6, 16, vocab_size=12, hidden_dim=8),),
        "48 heads, 96 hidden units": (ModelArgs(480, 7, 48, vocab_size=50, hidden_dim=96),),
    },
    mistakes={
        "args.ffn_width() counts too: each rank takes the same number of hidden units.": swap(", args.ffn_width()", ""),
        "n_kv_heads counts too: each rank has key-value heads of its own.": swap(" args.n_kv_heads,", ""),
        "ffn_width is a method. Call it, with brackets: args.ffn_width().": swap("width()", "width"),
        "hidden_dim is None here. args.ffn_width() always knows the width.": swap("ffn_width()", "hidden_dim"),
        "n_heads, n_kv_heads and ffn_width() count: all three, and no other size.": [
            swap(" args.n_kv_heads, args.ffn_width()", ""), swap("args.n_heads, args.n_kv_heads,", "*(),"),
            swap("args.n_heads, args.n_kv_heads", "args.dim"),
            *swaps("= args.", *(f"= args.{x}, args." for x in ("n_layers", "vocab_size", "head_dim")))],
        "1 always fits: begin with 1.": swap("range(1", "range(2"),
        "Nothing can be divided by 0: begin with 1.": swap("range(1", "range(0"),
        "The largest is missing: range already excludes its end.": swap("(sizes) + 1", "(sizes)"),
        "Try all numbers, not only powers of two.": swaps(_RANGE, "(1, 2, 4, 8)", "(1, 2, 4, 8, 16)"),
        "Try all numbers up to the smallest size.": swaps("min(sizes)", "8", "16", "32", "int(min(sizes) ** 0.5)"),
        "The smallest comes first.": swap(_RANGE, "range(min(sizes), 0, -1)"),
        "All numbers that fit are expected, not only the largest.":
            [lambda args: right_fitting_ranks(args)[-1], lambda args: right_fitting_ranks(args)[-1:]],
        "The search stopped at the first number that does not fit. Go on after it.":
            lambda args: list(itertools.takewhile(right_fitting_ranks(args).__contains__, range(1, 99))),
        "One size that is divisible is not enough: all, not any.":
            [swap("all(", "any("), swap("all(", "any(", "min(", "max(")],
        "n fits if size % n is 0, for each size.":
            swaps("size % n == 0 ", "n % size == 0 ", "size % n ", "size % n == 1 ", "sum(sizes) % n == 0 "),
    },
)  # fmt: skip
