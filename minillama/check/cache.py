"""Checks of the exercises on the key-value cache."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from minillama.check.former import Wrong, call, expect_close, expect_tensor, judge
from minillama.check.report import Report
from minillama.model import ModelArgs, Transformer

GROUPED = ModelArgs(dim=48, n_layers=5, n_heads=6, n_kv_heads=3, max_batch_size=13, max_seq_len=17)
LARGE = ModelArgs(dim=4096, n_layers=32, n_heads=32)  # every query head with keys and values of its own
_SIDEWAYS = "Your mask lies on its side. Queries are rows, slots are columns; the past is to the left: tril, not triu."


def cache_bytes(function: Callable[[ModelArgs, int, int, int], int]) -> Report:
    """Judge f(args, bsz, seqlen, bytes_per_number): the bytes of all keys and values, an int."""

    def case(args: ModelArgs, bsz: int, seqlen: int, size: int) -> Callable[[Callable], None]:
        due = 2 * args.n_layers * bsz * seqlen * args.n_kv_heads * args.head_dim * size
        mistakes = {
            due // 2: "That is the half: keys and values are stored, each in a tensor of its own.",
            due // args.n_layers: "That is one layer. Each of args.n_layers layers has its own cache.",
            due // args.n_kv_heads * args.n_heads: "Those are the query heads. Only keys and values are stored: "
            "args.n_kv_heads heads (n_heads * head_dim is dim, which is too much).",
            due // args.n_kv_heads: "That is one head. There are args.n_kv_heads of them.",
            due // args.head_dim: "One number a head is too few: each head has args.head_dim.",
            due // size: "That is how many numbers there are. Times bytes_per_number.",
            due // bsz: "That is one row. There are bsz of them.",
            due // seqlen: "That is one position. There are seqlen of them.",
            due // bsz // seqlen * args.max_batch_size * args.max_seq_len: "You took args.max_batch_size and "
            "args.max_seq_len. Count the rows and positions asked for: bsz and seqlen.",
            due * 8: "Those are bits. bytes_per_number is in bytes already: no 8.",
        }

        def run(f: Callable) -> None:
            got = call(f, args, bsz, seqlen, size)
            if got is None:
                raise Wrong("A whole number is due, your function returned None. Is there a `return`?")
            if isinstance(got, float):
                raise Wrong("A whole number (int) is due, got float. Multiply ints only, without `/`.")
            if not isinstance(got, int) or isinstance(got, bool):
                raise Wrong(f"A whole number (int) is due, got {type(got).__name__}.")
            if got != due:
                raise Wrong(mistakes.get(got, f"due   {due:,} bytes\nyours {got:,} bytes"))

        return run

    return judge(
        function,
        [
            ("grouped-query attention, 7 rows of 11 tokens, 4 bytes a number", case(GROUPED, 7, 11, 4)),
            ("the same in 2 bytes a number", case(GROUPED, 7, 11, 2)),
            ("without grouped-query attention", case(LARGE, 1, 100, 2)),
            ("the whole cache that args allows", case(GROUPED, 13, 17, 4)),
        ],
    )


def cache_mask(function: Callable[[int, int], Tensor]) -> Report:
    """Judge f(start_pos, seqlen): bool (seqlen, start_pos + seqlen), True where a query may look."""

    def case(start_pos: int, seqlen: int) -> Callable[[Callable], None]:
        end = start_pos + seqlen
        due = _mask(seqlen, end, start_pos)
        mistakes = [
            (_SIDEWAYS, lambda: due.T),
            ("Your mask is upside down: True means that the query may look.", lambda: ~due),
            ("Here everybody sees everything. A new token must not look at a later one.", lambda: torch.ones_like(due)),
            ("The first query stands at position start_pos, not 0: it sees all old slots too. Move the diagonal: "
             "tril(start_pos).", lambda: _mask(seqlen, end, 0)),
            ("No query sees its own token. Query i stands at position start_pos + i: look at slots up to that one.",
             lambda: _mask(seqlen, end, start_pos - 1)),
            ("Every query sees one token of the future. Query i stands at position start_pos + i.",
             lambda: _mask(seqlen, end, start_pos + 1)),
            ("The new tokens see the old ones, but not one another. The triangle among the new ones is missing.",
             lambda: torch.arange(end).expand(seqlen, -1) < start_pos),
            ("The old slots are closed. They lie in the past of every query: open.",
             lambda: due & (torch.arange(end) >= start_pos)),
        ]  # fmt: skip

        def run(f: Callable) -> None:
            got = call(f, start_pos, seqlen)
            if isinstance(got, Tensor) and got.dim() == 2 and got.shape != due.shape:
                _explain_shape(tuple(got.shape), start_pos, seqlen)
            if isinstance(got, Tensor) and got.dtype != torch.bool:
                raise Wrong(f"A bool tensor is due, yours is {got.dtype}: True may look, False may not.")
            expect_close(got, due, mistakes)

        return run

    return judge(
        function,
        [
            ("start_pos = 0: the causal triangle", case(0, 4)),
            ("three old tokens, two new ones", case(3, 2)),
            ("two old tokens, five new ones", case(2, 5)),
            ("one new token sees all", case(6, 1)),
            ("a text of one token", case(0, 1)),
        ],
    )


def cached_logits(function: Callable[[Transformer, Tensor, int], Tensor]) -> Report:
    """Judge f(model, tokens (bsz, total_len), n_prompt): logits of each round, (bsz, total_len - n_prompt, vocab_size).

    The model is a small random one with an empty cache; what it is asked for is watched.
    """

    def case(bsz: int, total_len: int, n_prompt: int) -> Callable[[Callable], None]:
        def run(f: Callable) -> None:
            tokens = (torch.arange(total_len) + torch.tensor([[1], [15]])[:bsz]) % 30  # no id twice in a row
            due = _small_model()(tokens, 0)[:, n_prompt - 1 : -1]  # (bsz, total_len - n_prompt, vocab_size)
            watched = _Watched(_small_model(), tokens)
            got = call(f, watched, tokens, n_prompt)
            watched.judge(n_prompt)
            if isinstance(got, list | tuple):
                raise Wrong("A tensor is due, yours is a list. torch.stack(…, dim=1) puts the rounds behind the rows.")
            if isinstance(got, Tensor) and got.dim() == 4:
                raise Wrong(
                    "Your result has 4 axes. logits[:, -1] drops the axis of the positions; logits[:, -1:] keeps it."
                )
            if isinstance(got, Tensor) and n_prompt > 1 and got.shape == (bsz, total_len - 1, due.shape[2]):
                raise Wrong(
                    "You kept the logits of every position of the prompt. Keep the last of each call: logits[:, -1]."
                )
            if isinstance(got, Tensor) and bsz != total_len - n_prompt and got.shape == due.transpose(0, 1).shape:
                raise Wrong("Rows and rounds have changed places. Stack along axis 1: torch.stack(…, dim=1).")
            expect_close(expect_tensor(got, due).detach(), due)

        return torch.no_grad()(run)

    return judge(
        function,
        [
            ("a prompt of 4 tokens, 3 rounds", case(1, 7, 4)),
            ("a prompt of 1 token, 5 rounds", case(1, 6, 1)),
            ("two rows", case(2, 9, 5)),
            ("one round: the prompt only", case(1, 5, 4)),
        ],
    )


class _Watched:
    """A model that writes down which columns of the canvas it was given, and as which positions."""

    def __init__(self, model: Transformer, canvas: Tensor):
        self._model, self._canvas = model, canvas
        self.calls: list[tuple[int, int, int]] = []  # first column, number of columns, start_pos

    def __call__(self, tokens: Tensor, start_pos: int, last_only: bool = False) -> Tensor:
        if not isinstance(tokens, Tensor) or tokens.dim() != 2:
            raise Wrong("The model reads (bsz, seqlen). Cut columns with a slice: tokens[:, a:b], also a single one.")
        width = tokens.shape[1]
        if width == 0:
            raise Wrong(f"A call with no token at all, start_pos = {start_pos}. Is prev_pos behind cur_pos?")
        places = range(self._canvas.shape[1] - width + 1)
        column = next((a for a in places if torch.equal(self._canvas[:, a : a + width], tokens)), None)
        if column is None:
            raise Wrong("The model was given tokens that do not stand side by side in `tokens`.")
        if column != start_pos:
            raise Wrong(
                f"The token of column {column} was handed over as position {start_pos}. start_pos is the position "
                f"of the first token handed over: {column} here."
            )
        self.calls.append((column, width, start_pos))
        return self._model(tokens, start_pos, last_only)

    forward = __call__

    def __getattr__(self, name: str):
        return getattr(self._model, name)

    def judge(self, n_prompt: int) -> None:
        """Raise Wrong unless the prompt was read in one call, then each token but the last in a call of its own."""
        total = self._canvas.shape[1]
        if not self.calls:
            raise Wrong("The model was never called.")
        seen = 0
        for column, width, _ in self.calls:
            if column < seen:
                raise Wrong(
                    f"Column {column} was read a second time. The cache holds it already: is `prev_pos = cur_pos` "
                    "the last line of each round?"
                )
            if column > seen:
                raise Wrong(f"Column {seen} was left out: its slot stays empty, and it is read all the same.")
            seen = column + width
        if self.calls[0][1] < n_prompt:
            raise Wrong("The prompt came in pieces. Read it in one call: tokens[:, 0:n_prompt].")
        if self.calls[0][1] > n_prompt:
            raise Wrong("The first call read more than the prompt. The later tokens are not known then.")
        if seen == total:
            raise Wrong("The last token was read too. It is the last round's answer; nothing comes after it.")
        if seen < total - 1:
            raise Wrong(f"The last columns were not read: it ended at column {seen - 1}, {total - 2} is due.")


def _mask(seqlen: int, end: int, diagonal: int) -> Tensor:
    return torch.ones(seqlen, end, dtype=torch.bool).tril(diagonal)


def _explain_shape(got: tuple[int, ...], start_pos: int, seqlen: int) -> None:
    end = start_pos + seqlen
    if got == (seqlen, seqlen):
        raise Wrong(
            f"{got} has no columns for the {start_pos} old slots. A column for each slot read: {(seqlen, end)}."
        )
    if got == (end, end):
        raise Wrong(f"{got} has rows for the old tokens. Only the new ones ask: {(seqlen, end)}.")
    if got == (end, seqlen):
        raise Wrong(_SIDEWAYS)


def _small_model() -> Transformer:
    with torch.random.fork_rng(devices=[]):  # the learner's own random numbers are left alone
        torch.manual_seed(0)
        sizes = {"dim": 16, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "hidden_dim": 24}
        model = Transformer(ModelArgs(**sizes, vocab_size=30, max_seq_len=16)).requires_grad_(False)
    model.setup_cache(2, 16)
    return model
