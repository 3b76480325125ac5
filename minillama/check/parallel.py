"""Checks of the exercises on models that several ranks share: a split network, merged shards, numbers that fit."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from minillama.check.former import Wrong, call, expect_close, judge
from minillama.check.report import Report
from minillama.checkpoint import part_of
from minillama.model import ModelArgs, Transformer
from minillama.shards import SPLIT_DIM, last_word

EVEN = {"dim": 16, "n_layers": 1, "n_heads": 4, "n_kv_heads": 4, "vocab_size": 12, "hidden_dim": 24}
ROPE = "rope.freqs"

# ---- the feed-forward network ----------------------------------------------------------------------------------------


def mlp_part(function: Callable[[Tensor, Tensor, Tensor, Tensor, int, int], Tensor]) -> Report:
    """Judge f(x (…, dim), w1, w2, w3, rank, n_ranks): what one rank adds to w2(silu(w1 x) * w3 x), (…, dim).

    It may multiply no more than its share.
    """
    from torch.utils.flop_counter import FlopCounterMode  # here: it speaks up where a CUDA build has no triton

    with FlopCounterMode(display=False):  # its first use imports a lot: not on the learner's time
        torch.ones(1, 1) @ torch.ones(1, 1)

    def case(seed: int, shape: tuple[int, ...], hidden_dim: int, n_ranks: int) -> Callable[[Callable], None]:
        x, dim = _random(seed, shape), shape[-1]
        w1, w3 = _random(seed + 1, (2, hidden_dim, dim))
        w2 = _random(seed + 2, (dim, hidden_dim))

        def run(f: Callable) -> None:
            for rank in range(n_ranks):
                counter = FlopCounterMode(display=False)
                with counter:
                    got = _part(f, x, w1, w2, w3, rank, n_ranks)
                due = _mlp_part(x, w1, w2, w3, rank, n_ranks)
                expect_close(got, due, _part_mistakes(x, w1, w2, w3, rank, n_ranks))
                share = 2 * x.numel() * hidden_dim * 3 // n_ranks
                if counter.get_total_flops() > share:
                    raise Wrong(
                        "The numbers are right, but this rank multiplies with more than its part: it would have to "
                        "hold more. Take the chunk of every matrix first, then multiply."
                    )

        return run

    return judge(
        function,
        [
            ("one rank: the whole network", case(1, (2, 4), 4, 1)),
            ("two ranks", case(4, (2, 4), 6, 2)),
            ("three ranks, two texts of five tokens", case(10, (2, 5, 4), 6, 3)),
        ],
    )


def _part(function: Callable, x: Tensor, w1: Tensor, w2: Tensor, w3: Tensor, rank: int, n_ranks: int):
    try:
        return call(function, x, w1, w2, w3, rank, n_ranks)
    except ValueError as error:
        if "process group" in str(error):
            raise Wrong(
                "This is one process: no all_reduce here. Return the rank's summand; the judge adds up."
            ) from None
        raise
    except RuntimeError as error:
        message = str(error).partition("\n")[0]  # a stub's NotImplementedError is one too, and says nothing
        if "shapes cannot be multiplied" in message or "must match" in message or "size of tensor" in message:
            raise Wrong(
                f"{message}\nRows of w1 and w3 (dim=0) make this rank's hidden units. The columns of w2 (dim=1) read "
                "them. Each is used as x @ part.T."
            ) from None
        raise


def _mlp_part(x: Tensor, w1: Tensor, w2: Tensor, w3: Tensor, rank: int, n_ranks: int) -> Tensor:
    rows1, rows3, columns = w1.chunk(n_ranks, 0)[rank], w3.chunk(n_ranks, 0)[rank], w2.chunk(n_ranks, 1)[rank]
    return (F.silu(x @ rows1.T) * (x @ rows3.T)) @ columns.T


def _units(x: Tensor, w1: Tensor, w2: Tensor, w3: Tensor, units: slice) -> Tensor:
    return (F.silu(x @ w1[units].T) * (x @ w3[units].T)) @ w2[:, units].T


def _part_mistakes(x, w1, w2, w3, rank, n_ranks) -> list[tuple[str, Callable[[], Tensor]]]:
    rows1, rows3, columns = w1.chunk(n_ranks, 0)[rank], w3.chunk(n_ranks, 0)[rank], w2.chunk(n_ranks, 1)[rank]

    def whole() -> Tensor:
        return _mlp_part(x, w1, w2, w3, 0, 1)

    def columns_first() -> Tensor:  # every matrix by columns: summands go through silu
        x_part = x.chunk(n_ranks, -1)[rank]
        return (F.silu(x_part @ w1.chunk(n_ranks, 1)[rank].T) * (x_part @ w3.chunk(n_ranks, 1)[rank].T)) @ w2.T

    mistakes: list[tuple[str, Callable[[], Tensor]]] = [
        ("silu is missing: silu(w1 x) * w3 x.", lambda: ((x @ rows1.T) * (x @ rows3.T)) @ columns.T),
        ("silu belongs to w1's numbers, not to w3's.", lambda: ((x @ rows1.T) * F.silu(x @ rows3.T)) @ columns.T),
        ("silu came after the product. It belongs to w1's numbers alone: silu(w1 x) * w3 x.",
         lambda: F.silu((x @ rows1.T) * (x @ rows3.T)) @ columns.T),
        ("w3 is missing: silu(w1 x) * w3 x.", lambda: F.silu(x @ rows1.T) @ columns.T),
        ("w2 is missing: these are the hidden units. w2 reads them.", lambda: F.silu(x @ rows1.T) * (x @ rows3.T)),
        ("sigmoid alone is not silu: silu(a) is a * sigmoid(a).",
         lambda: (torch.sigmoid(x @ rows1.T) * (x @ rows3.T)) @ columns.T),
        ("That is relu. silu is due: F.silu.", lambda: (F.relu(x @ rows1.T) * (x @ rows3.T)) @ columns.T),
        ("That is gelu. silu is due: F.silu.", lambda: (F.gelu(x @ rows1.T) * (x @ rows3.T)) @ columns.T),
        ("w1 and w3 were added. They are multiplied: silu(w1 x) * w3 x.",
         lambda: (F.silu(x @ rows1.T) + x @ rows3.T) @ columns.T),
    ]  # fmt: skip
    if w1.shape[0] == w1.shape[1]:
        mistakes.append(
            ("nn.Linear computes x @ weight.T: the weights are (outputs, inputs).",
             lambda: (F.silu(x @ w1) * (x @ w3)) @ w2)
        )  # fmt: skip
    mistakes.append(
        ("split(n) makes parts of n rows; chunk(n) makes n parts.",
         lambda: _units(x, w1, w2, w3, slice(n_ranks * rank, n_ranks * (rank + 1))))
    )  # fmt: skip
    if n_ranks != 2 and rank < 2:
        mistakes.append(
            (f"These are parts for 2 ranks; here are {n_ranks}: chunk(n_ranks, …).",
             lambda: _mlp_part(x, w1, w2, w3, rank, 2))
        )  # fmt: skip
    if n_ranks > 1:
        mistakes += [
            ("These parts add up too, but rank 0 is due the first rows, rank 1 the next: chunk. Yours are one "
             f"row in {n_ranks}.", lambda: _units(x, w1, w2, w3, slice(rank, None, n_ranks))),
            ("The summands are added up, not averaged: do not divide by n_ranks.",
             lambda: _mlp_part(x, w1, w2, w3, rank, n_ranks) / n_ranks),
            (f"Every rank returns the whole network's result: added up, {n_ranks} times too much. Take this rank's "
             "chunk of every matrix.", whole),
            ("That adds up, but each rank holds all matrices and does all the work. Take this rank's chunk of every "
             "matrix.", lambda: whole() / n_ranks),
        ]  # fmt: skip
        if x.shape[-1] % n_ranks == 0:
            mistakes.append(
                ("Cut by columns, w1 gives summands of the hidden units, and silu of a summand is not a summand of "
                 "silu. Cut w1 and w3 by rows: dim=0.", columns_first)
            )  # fmt: skip
    mistakes += [
        (f"That is the part of rank {other}; rank {rank} was asked for. chunk(n_ranks, …)[rank].",
         lambda other=other: _mlp_part(x, w1, w2, w3, other, n_ranks))
        for other in range(n_ranks)
        if other != rank
    ]  # fmt: skip
    return mistakes


# ---- shards ----------------------------------------------------------------------------------------------------------


def merge_shards(function: Callable[[list[dict[str, Tensor]]], dict[str, Tensor]]) -> Report:
    """Judge f(shards): the whole weights by key, of the dicts that Meta's files hold, in the files' order."""
    _weights()  # the first use of the meta device imports a lot: not on the learner's time

    def case(n: int, rope: bool = False) -> Callable[[Callable], None]:
        def run(f: Callable) -> None:
            due = _weights()
            shards = [{key: part_of(key, weight, rank, n, None) for key, weight in due.items()} for rank in range(n)]
            for shard in shards if rope else ():
                shard[ROPE] = torch.ones(2)
            parts = [dict(shard) for shard in shards]  # what is in them before the learner's function
            got = _merge(f, shards)
            if not isinstance(got, dict):
                advice = " Is there a `return`?" if got is None else ""
                raise Wrong(f"A dict is due, your function returned {type(got).__name__}.{advice}")
            if ROPE in got:
                raise Wrong("rope.freqs is no weight: the model computes it itself. Leave this key out.")
            for key in sorted(due.keys() ^ got.keys()):
                raise Wrong(f"{key} is missing." if key in due else f"{key!r} is no key of the files.")
            for key, weight in due.items():
                _expect_merged(key, got[key], weight, [part[key] for part in parts])

        return run

    return judge(
        function,
        [
            ("two shards", case(2)),
            ("two shards of Meta's, with rope.freqs", case(2, rope=True)),
            ("four shards", case(4)),
            ("one file", case(1)),
        ],
    )


def _merge(function: Callable, shards: list[dict[str, Tensor]]):
    try:
        return call(function, shards)
    except KeyError as error:
        name = str(error.args[0]) if error.args else ""
        if name == "freqs" or (name == ROPE and ROPE in shards[0]):
            raise Wrong("Meta's files carry rope.freqs, which is no weight. Leave this key out.") from None
        if name == ROPE:
            raise Wrong("Not every file has rope.freqs. Leave it out only if it is there.") from None
        if name == "weight" or name.endswith(".weight"):
            raise Wrong(
                f"SPLIT_DIM has no {name!r}. It knows the word before '.weight': SPLIT_DIM[last_word(key)]."
            ) from None
        raise
    except TypeError as error:
        if "NoneType" in str(error) and "cat" in str(error):
            raise Wrong(
                "SPLIT_DIM is None for the norms: every file holds them whole. Take one, do not join."
            ) from None
        raise


def _expect_merged(key: str, got, due: Tensor, parts: list[Tensor]) -> None:
    n, dim = len(parts), SPLIT_DIM[last_word(key)]
    if not isinstance(got, Tensor):
        kind = type(got).__name__
        advice = " Norms are whole in every file: take one." if dim is None else " Join the parts: torch.cat."
        raise Wrong(f"{key} is a {kind}, a tensor is due." + advice * (kind == "list"))
    if got.dtype != due.dtype:
        raise Wrong(f"{key} is {got.dtype}; the files have {due.dtype}.")
    if torch.equal(got, due):
        return
    if dim is None:
        what = "joined" if got.numel() == n * due.numel() else "added" if torch.equal(got, n * due) else "changed"
        raise Wrong(f"{key} was {what}. Norms are whole in every file: take one of them as it is.")
    whole, part = tuple(due.shape), tuple(parts[0].shape)
    for hint, wrong in (
        (f"{key} was joined along axis {1 - dim}. It is cut along axis {dim}: SPLIT_DIM.",
         lambda: torch.cat(parts, 1 - dim)),
        (f"The parts of {key} are in the wrong order: rank 0's comes first.", lambda: torch.cat(parts[::-1], dim)),
        (f"torch.stack laid the parts of {key} along a new axis. torch.cat joins them along one they have.",
         lambda: torch.stack(parts, dim)),
        (f"torch.stack laid the parts of {key} along a new axis. torch.cat joins them along one they have.",
         lambda: torch.stack(parts)),
        (f"{key} is the part of the last file alone: each file's dict has overwritten the one before.",
         lambda: parts[-1]),
        (f"{key} is the part of the first file alone." + (_ZERO if dim == 0 else ""), lambda: parts[0]),
        (f"{key} has the parts added up. They lie side by side: torch.cat.", lambda: sum(parts)),
        (f"{key} holds the parts of two files; there are {n}.", lambda: torch.cat(parts[:2], dim)),
    ):  # fmt: skip
        if torch.equal(got, wrong()):
            raise Wrong(hint)
    if got.shape != due.shape:
        raise Wrong(f"{key} should be {whole}, made of {n} parts {part}; yours is {tuple(got.shape)}.")
    raise Wrong(f"{key} has the right shape and wrong numbers.")


_ZERO = " 0 is an axis like any other, yet `if dim` takes it for no: test `dim is None`."


def _weights() -> dict[str, Tensor]:
    """A whole model's, float16, every number another."""
    with torch.device("meta"):
        due = Transformer(ModelArgs(**EVEN)).state_dict()
    return {key: _random(k, tuple(weight.shape)).half() for k, (key, weight) in enumerate(due.items())}


# ---- numbers of ranks ------------------------------------------------------------------------------------------------


def fitting_ranks(function: Callable[[ModelArgs], list[int]]) -> Report:
    """Judge f(args): the numbers of ranks that can share a model evenly, ascending."""

    def case(**sizes) -> Callable[[Callable], None]:
        args = ModelArgs(**sizes)
        heads, kv, hidden = args.n_heads, args.n_kv_heads, args.ffn_width()
        due = _divisors(heads, kv, hidden)
        mistakes = [
            ("hidden_dim counts too: each rank gets equally many hidden units, args.ffn_width() / N.",
             _divisors(heads, kv)),
            ("The key-value heads count too: each rank has its own, n_kv_heads / N of them.", _divisors(heads, hidden)),
            ("Only the heads were asked. n_kv_heads and args.ffn_width() must be divisible too.", _divisors(heads)),
            ("Only the hidden units were asked. Both numbers of heads must be divisible too.", _divisors(hidden)),
            ("A rank gets whole heads. Ask n_heads and n_kv_heads, not dim.", _divisors(args.dim, hidden)),
            ("One process fits always: begin with 1.", due[1:]),
            ("The largest number itself is missing: range(1, n) ends before n.", due[:-1]),
            ("Not only powers of two: any number that divides all three sizes.", [n for n in due if n & (n - 1) == 0]),
            ("Smallest first.", due[::-1]),
        ]  # fmt: skip

        def run(f: Callable) -> None:
            try:
                got = call(f, args)
            except ZeroDivisionError:
                raise Wrong("Division by 0: no model lies on 0 ranks. Begin with 1.") from None
            except TypeError as error:
                if args.hidden_dim is None and "NoneType" in str(error):
                    raise Wrong("hidden_dim is None here. args.ffn_width() always knows the width.") from None
                if "method" in str(error):
                    raise Wrong("ffn_width is a method: call it, args.ffn_width().") from None
                raise
            if not isinstance(got, list):
                advice = " Is there a `return`?" if got is None else " list(…) makes one of it."
                advice = " All numbers that fit are due, not one." if isinstance(got, int) else advice
                raise Wrong(f"A list is due, your function returned {type(got).__name__}.{advice}")
            for n in got:
                if not isinstance(n, int) or isinstance(n, bool):
                    raise Wrong(f"Whole numbers are due, your list holds a {type(n).__name__}: {n!r}.")
            if got == due:
                return
            for hint, wrong in mistakes:
                if wrong != due and got == wrong:
                    raise Wrong(hint)
            why = _one_of(got, due, {"n_heads": heads, "n_kv_heads": kv, "hidden units": hidden})
            raise Wrong(f"{why}n_heads {heads}, n_kv_heads {kv}, hidden units {hidden}\ndue   {due}\nyours {got}")

        return run

    return judge(
        function,
        [
            ("6 heads, as many key-value heads, 60 hidden units", case(dim=24, n_heads=6, hidden_dim=60)),
            ("12 heads share 6 key-value heads", case(dim=48, n_heads=12, n_kv_heads=6, hidden_dim=40)),
            ("40 heads, no hidden_dim in params.json", case(dim=5120, n_layers=40, n_heads=40)),
            ("one key-value head", case(dim=16, n_heads=4, n_kv_heads=1, hidden_dim=24)),
            ("32 heads, 11008 hidden units", case(dim=4096, n_heads=32, hidden_dim=11008)),
        ],
    )


def _one_of(got: list[int], due: list[int], sizes: dict[str, int]) -> str:
    """A sentence on the first number that is too much or missing; none where it is the order or a repetition."""
    for n in got:
        for name, size in sizes.items():
            if n < 1 or size % n:
                return f"{n} must not be there: {name} {size} cannot be shared evenly by so many.\n"
    missing = [n for n in due if n not in got]
    return f"{missing[0]} is missing: it divides all three sizes.\n" if missing else ""


def _divisors(*sizes: int) -> list[int]:
    most = math.gcd(*sizes)
    return [n for n in range(1, most + 1) if most % n == 0]


def _random(seed: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
