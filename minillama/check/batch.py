"""Checks of the exercises on the prompt batch: the canvas, its mask, and what a row costs."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral

import torch
from torch import Tensor

from minillama.check.former import Wrong, call, expect_equal, expect_tensor, judge
from minillama.check.report import Report
from minillama.model import ModelArgs

UNEQUAL = [[1, 5, 9], [1, 7], [1, 4, 8, 6]]
SINGLE = [[1], [1, 3, 2, 5]]  # one id alone fits every row; and 2 is eos


def canvas(function: Callable[[list[list[int]], int, int, int], Tensor]) -> Report:
    """Judge f(prompt_tokens, max_gen_len, max_seq_len, pad_id): the canvas (bsz, total_len), int64."""

    def case(prompts: list[list[int]], max_gen_len: int, max_seq_len: int, pad_id: int = -1) -> Callable:
        def run(f: Callable) -> None:
            got = _call(f, prompts, max_gen_len, max_seq_len, pad_id)
            _expect_canvas(got, prompts, max_gen_len, max_seq_len, pad_id)

        return run

    return judge(
        function,
        [
            ("three prompts of unequal length", case(UNEQUAL, 5, 16)),
            ("one prompt", case(UNEQUAL[:1], 2, 16)),
            ("a prompt of a single token", case(SINGLE, 3, 16)),
            ("the cache ends before max_gen_len", case(UNEQUAL, 20, 10)),
            ("max_gen_len = 0", case(UNEQUAL, 0, 16)),
            ("pad_id = -100", case([[1, 0], [1, 0, 2]], 2, 16, -100)),
        ],
    )


def input_text_mask(function: Callable[[list[list[int]], int], Tensor]) -> Report:
    """Judge f(prompt_tokens, total_len): True where the canvas holds a prompt's token, (bsz, total_len) bool."""

    def case(prompts: list[list[int]], total_len: int) -> Callable:
        def run(f: Callable) -> None:
            _expect_mask(_call(f, prompts, total_len), prompts, total_len)

        return run

    return judge(
        function,
        [
            ("three prompts of unequal length", case(UNEQUAL, 6)),
            ("as many prompts as columns", case(UNEQUAL, 4)),
            ("a prompt with the ids 0 and 2 in it", case([[1, 0, 2, 1, 2, 0], [1, 2]], 8)),
            ("a prompt of a single token", case(SINGLE, 5)),
        ],
    )


def row_bytes(function: Callable[[ModelArgs, int], int]) -> Report:
    """Judge f(args, bytes_per_number): the bytes of one row of the key-value cache, all layers."""

    def case(args: ModelArgs, size: int) -> Callable:
        due = _cache_numbers(args) * size
        queries = args.n_heads // args.n_kv_heads
        mistakes = [
            ("Keys and values are stored: twice as much.", due // 2),
            ("Every layer has a cache of its own: times n_layers.", due // args.n_layers),
            ("That is one position. A row has max_seq_len of them.", due // args.max_seq_len),
            ("These are numbers, not bytes: times bytes_per_number.", due // size),
            ("That is one head. There are n_kv_heads of them.", due // args.n_kv_heads),
            ("The cache holds the key and value heads: n_kv_heads, not n_heads.", due * queries),
            ("That is the whole cache. One row is due: leave max_batch_size out.", due * args.max_batch_size),
            ("One head has head_dim numbers, not dim.", due * args.n_heads),
        ]  # the sizes of the cases make all of these different

        def run(f: Callable) -> None:
            got = _call(f, args, size)
            if got is None:
                raise Wrong("A whole number is due, your function returned None. Is there a `return`?")
            if isinstance(got, bool) or not isinstance(got, Integral | float):
                raise Wrong(f"A whole number is due, your function returned {type(got).__name__}.")
            if got == due and not isinstance(got, Integral):
                raise Wrong("Right, but a float. Bytes are whole numbers: divide with //.")
            expect_equal(got, due, mistakes)

        return run

    tiny = ModelArgs(dim=120, n_layers=5, n_heads=12, n_kv_heads=3, max_seq_len=70, max_batch_size=9)
    small = ModelArgs(dim=84, n_layers=3, n_heads=6, n_kv_heads=2, max_seq_len=50)
    return judge(
        function,
        [
            ("3 of 12 heads for keys and values, float32", case(tiny, 4)),
            ("2 of 6 heads, float16", case(small, 2)),
            ("the sizes of Llama 2 7B, float16", case(ModelArgs(), 2)),
        ],
    )


def _call(function: Callable, *args):
    """`call`, with a hint for the two errors that PyTorch has for rows of unequal length."""
    try:
        return call(function, *args)
    except RuntimeError as error:
        if "expanded size" not in str(error):
            raise
        raise Wrong(
            "tokens[k] is a whole row of total_len places; a shorter prompt does not fit. Write the first ones alone: "
            "tokens[k, : len(t)] = …"
        ) from error
    except ValueError as error:
        if "expected sequence of length" not in str(error):
            raise
        raise Wrong(
            "torch.tensor makes no tensor of rows of unequal length. Fill a canvas first, then write row by row."
        ) from error


def _expect_canvas(got, prompts: list[list[int]], max_gen_len: int, max_seq_len: int, pad_id: int) -> None:
    due = _filled(prompts, max_gen_len, max_seq_len, pad_id)
    if isinstance(got, Tensor) and got.shape != due.shape and got.dim() == 2:
        _judge_size(got, prompts, max_gen_len, max_seq_len, due)
    if isinstance(got, Tensor) and got.is_floating_point():
        raise Wrong("Ids are whole numbers, and the embedding takes no others: dtype=torch.long.")
    expect_tensor(got, due)
    if torch.equal(got, due):
        return
    rows = [(got[k], due[k], len(t)) for k, t in enumerate(prompts)]
    k, (mine, right, n) = next((k, row) for k, row in enumerate(rows) if not torch.equal(row[0], row[1]))
    hint = "The prompt and what is behind it are not as due."
    if bool((mine == pad_id).all()):
        hint = "The prompt is not in its row. Write it: tokens[k, : len(t)] = torch.tensor(t)."
    elif bool((mine == mine[0]).all()) and n == 1:
        hint = "One number fits every row: tokens[k] = … wrote it everywhere. Write tokens[k, : len(t)]."
    elif torch.equal(mine[-n:], right[:n]) and n < len(mine):
        hint = "The prompt stands at the end of its row. Every row begins at column 0."
    elif torch.equal(mine[:n], right[:n]):
        hint = f"Behind the prompt every place holds pad_id, here {pad_id}."
    raise Wrong(f"row {k}: {hint}\ndue   {right.tolist()}\nyours {mine.tolist()}")


def _judge_size(got: Tensor, prompts, max_gen_len: int, max_seq_len: int, due: Tensor) -> None:
    """Raise Wrong for a size that has a known reason; the generic hint comes later."""
    bsz, width = got.shape
    lengths = [len(t) for t in prompts]
    if (width, bsz) == due.shape:
        raise Wrong(f"Rows and columns are swapped: (bsz, total_len) is {tuple(due.shape)}.")
    if bsz != len(prompts):
        raise Wrong(f"bsz is the number of prompts, len(prompt_tokens) = {len(prompts)}. Yours has {bsz} rows.")
    reasons = {
        min(max_seq_len, max_gen_len): "total_len counts the prompt too: longest prompt + max_gen_len.",
        max(lengths): "There is no room for new tokens: total_len is longest prompt + max_gen_len.",
        max_gen_len + min(lengths): "The longest prompt decides total_len, not the shortest.",
        max_gen_len + lengths[0]: "The longest prompt decides total_len, not the first.",
        max_gen_len
        + max(lengths): "total_len is never more than max_seq_len: the cache ends there. Take the min of both.",
        max_seq_len: "max_seq_len is the most that total_len may be. Take what is needed: min(max_seq_len, …).",
    }
    if width in reasons:
        raise Wrong(f"{reasons[width]} Due are {due.shape[1]} columns, yours are {width}.")


def _expect_mask(got, prompts: list[list[int]], total_len: int) -> None:
    tokens = _filled(prompts, total_len, total_len, -1)
    due = tokens != -1
    if isinstance(got, Tensor) and got.shape != due.shape and got.shape == due.T.shape:
        raise Wrong(f"Rows and columns are swapped: (bsz, total_len) is {tuple(due.shape)}.")
    if isinstance(got, Tensor) and got.shape == due.shape and got.dtype != torch.bool:
        raise Wrong(f"A mask is True or False: dtype torch.bool. Yours is {got.dtype}. A comparison makes one.")
    expect_tensor(got, due)
    if torch.equal(got, due):
        return
    columns = torch.arange(total_len)
    lengths = torch.tensor([len(t) for t in prompts])[:, None]  # (bsz, 1)
    mistakes = [
        ("Upside down: True is where a prompt's token stands.", ~due),
        ("One column too many: columns count from 0, the last token of a prompt is in column len - 1.",
         columns <= lengths),
        ("One column too few: columns count from 0, so column len - 1 is still the prompt's.", columns < lengths - 1),
        ("All rows are the same. Each prompt has its own length.", (columns < lengths[0]).expand_as(due)),
        ("All rows are the same. Each prompt has its own length.", (columns < lengths.max()).expand_as(due)),
        ("There are holes: a prompt may hold id 2, eos. It is no sign of an empty place.", due & (tokens != 2)),
        ("There are holes: a prompt may hold id 0. It is no sign of an empty place.", due & (tokens != 0)),
    ]  # fmt: skip
    for hint, wrong in mistakes:
        if torch.equal(got, wrong):
            raise Wrong(hint)
    k = next(k for k in range(len(prompts)) if not torch.equal(got[k], due[k]))
    raise Wrong(f"row {k}, {prompts[k]}:\ndue   {due[k].int().tolist()}\nyours {got[k].int().tolist()}")


def _filled(prompts: list[list[int]], max_gen_len: int, max_seq_len: int, pad_id: int) -> Tensor:
    total_len = min(max_seq_len, max_gen_len + max(map(len, prompts)))
    tokens = torch.full((len(prompts), total_len), pad_id, dtype=torch.long)
    for k, t in enumerate(prompts):
        tokens[k, : len(t)] = torch.tensor(t, dtype=torch.long)
    return tokens


def _cache_numbers(args: ModelArgs) -> int:
    return 2 * args.n_layers * args.max_seq_len * args.n_kv_heads * args.head_dim
