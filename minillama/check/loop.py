"""Checks of the exercises on the parts of the generate loop: its columns, its end, and the cut behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minillama.check.judge import Wrong, call, expect_equal, judge
from minillama.check.report import Report

EOS = 2


def all_ended(function: Callable[[Tensor], bool]) -> Report:
    """Judge f(eos_reached (bsz,) bool): whether the loop may stop, True or False."""

    def case(*ended: bool) -> Callable[[Callable], None]:
        def run(f: Callable) -> None:
            got = call(f, torch.tensor(ended))
            if isinstance(got, Tensor) and got.numel() != 1:
                raise Wrong(f"One answer for all rows is due, yours has the shape {tuple(got.shape)}.")
            if isinstance(got, Tensor):
                got = got.item()
            if not isinstance(got, bool):
                advice = " A method is called with brackets: all()." if callable(got) else ""
                raise Wrong(f"True or False is due, your function returned {type(got).__name__}.{advice}")
            if got == all(ended):
                return
            why = "One row that has ended is not enough." if got else "Every row has ended: stop."
            raise Wrong(f"{list(ended)}: due {all(ended)}, yours {got}. {why}")

        return run

    return judge(
        function,
        [
            ("nobody has ended", case(False, False, False)),
            ("one of three has ended", case(False, True, False)),
            ("the first has ended", case(True, False)),
            ("the last has ended", case(False, True)),
            ("all have ended", case(True, True, True)),
            ("a single row", case(True)),
        ],
    )


def columns(function: Callable[[list[list[int]], int, int], Sequence[int]]) -> Report:
    """Judge f(prompt_tokens, max_gen_len, max_seq_len): every cur_pos of the loop; ValueError for a prompt too long."""

    def case(lengths: list[int], max_gen_len: int, max_seq_len: int) -> Callable[[Callable], None]:
        longest, shortest = max(lengths), min(lengths)
        total_len = min(max_seq_len, max_gen_len + longest)
        due = list(range(shortest, total_len))
        ends = f"{max_gen_len} more than the longest prompt has, or max_seq_len, whichever is smaller"
        mistakes = [
            ("It begins at the end of the longest prompt. The shorter rows would have padding there: begin at the "
             "shortest, min(…).", list(range(longest, total_len))),
            ("It begins at 0. The first round reads the columns before cur_pos; there are none.",
             list(range(total_len))),
            ("It begins at 1: right, but slow. Every prompt has min_prompt_len tokens; the first round reads them all.",
             list(range(1, total_len))),
            (f"total_len counts from the longest prompt, not from the shortest: {ends}.",
             list(range(shortest, min(max_seq_len, max_gen_len + shortest)))),
            (f"max_seq_len was forgotten: the cache has {max_seq_len} places. total_len is {ends}.",
             list(range(shortest, max_gen_len + longest))),
            ("max_gen_len was forgotten: the loop would always go on to max_seq_len.",
             list(range(shortest, max_seq_len))),
            ("One column too many. The last one is total_len - 1; range leaves its end out by itself.",
             list(range(shortest, total_len + 1))),
            ("The last column is missing. range leaves its end out by itself: range(…, total_len).",
             list(range(shortest, total_len - 1))),
        ]  # fmt: skip

        def run(f: Callable) -> None:
            try:
                got = call(f, [[1] * n for n in lengths], max_gen_len, max_seq_len)
            except ValueError as error:
                raise Wrong(
                    f"A prompt of {longest} tokens leaves room for a new one in {max_seq_len} places: it is allowed. "
                    f"Yours raised ValueError: {error}"
                ) from error
            if not isinstance(got, Sequence) or isinstance(got, str):
                raise Wrong(f"A range is due, your function returned {type(got).__name__}.")
            expect_equal(list(got), due, mistakes)

        return run

    def too_long(lengths: list[int], max_gen_len: int, max_seq_len: int) -> Callable[[Callable], None]:
        def run(f: Callable) -> None:
            try:
                got = call(f, [[1] * n for n in lengths], max_gen_len, max_seq_len)
            except ValueError as error:
                if not str(error):
                    raise Wrong("The ValueError says nothing. Tell which prompt is too long, and for what.") from error
                return
            except AssertionError as error:
                raise Wrong("An assert is no message for a caller. Write: raise ValueError(…).") from error
            if isinstance(got, Sequence) and not len(got):
                raise Wrong(
                    "Your function returned no column and no error: the caller gets an empty answer and no reason. "
                    "Raise ValueError."
                )
            raise Wrong(
                f"Prompts of {lengths} tokens, {max_seq_len} places: one row has no room for a new token. "
                "Look at every prompt, and raise ValueError."
            )

        return run

    return judge(
        function,
        [
            ("three prompts of unequal length", case([2, 3, 5], 8, 20)),
            ("one prompt", case([4], 3, 20)),
            ("the cache ends before max_gen_len", case([3, 6], 20, 16)),
            ("one place is left", case([15], 8, 16)),
            ("a prompt that fills the cache: ValueError", too_long([16], 8, 16)),
            ("only the last of three fills it: ValueError", too_long([3, 4, 16], 8, 16)),
            ("a prompt longer than the cache: ValueError", too_long([3, 17], 8, 16)),
        ],
    )


def eos_reached(function: Callable[[Tensor, Tensor, Tensor, int], Tensor]) -> Report:
    """Judge f(eos_reached, from_prompt, next_token, eos_id), each (bsz,): the new eos_reached (bsz,) bool."""

    def case(before: list[bool], from_prompt: list[bool], next_token: list[int], eos_id: int = EOS) -> Callable:
        old, prompt, token = torch.tensor(before), torch.tensor(from_prompt), torch.tensor(next_token)
        due = old | (~prompt & (token == eos_id))
        mistakes = [
            ("An eos inside a prompt does not end the row: its answer has not begun. Add ~from_prompt.",
             old | (token == eos_id)),
            ("A row that ended in an earlier round must stay ended: eos_reached | …", ~prompt & (token == eos_id)),
            ("A row ends only if it ended before *or* writes eos now: | between the two, not &.",
             old & ~prompt & (token == eos_id)),
            ("Brackets are missing: & and | bind tighter than ==. Write (next_token == eos_id).",
             (old | ~prompt & token) == eos_id),
            ("from_prompt is True inside the prompt. A new token stands where it is False: ~from_prompt.",
             old | (prompt & (token == eos_id))),
            ("The sign of the end was taken to be 2. Compare with eos_id, whatever it is.",
             old | (~prompt & (token == EOS))),
            ("A new eos went unnoticed. Compare next_token with the number eos_id.", old),
            ("Every row that is past its prompt was ended. Compare its token with eos_id.", old | ~prompt),
        ]  # fmt: skip

        def run(f: Callable) -> None:
            got = call(f, old, prompt, token, eos_id)
            if isinstance(got, bool) or (isinstance(got, Tensor) and got.dim() == 0):
                raise Wrong("One answer for each row is due: (bsz,). Whether all have ended is asked later.")
            if not isinstance(got, Tensor):
                advice = "torch.tensor(…) makes one of a list." if isinstance(got, list) else "Is there a `return`?"
                raise Wrong(f"A tensor is due, your function returned {type(got).__name__}. {advice}")
            if got.shape != due.shape:
                raise Wrong(f"The shape should be {tuple(due.shape)}, yours is {tuple(got.shape)}.")
            if got.dtype != torch.bool:
                raise Wrong(f"True or False for each row is due, yours is {got.dtype}.")
            if torch.equal(got, due):
                return
            for hint, wrong in mistakes:
                if torch.equal(got, wrong):
                    raise Wrong(hint)
            raise Wrong(f"due   {due.tolist()}\nyours {got.tolist()}")

        return run

    return judge(
        function,
        [
            (
                "five rows at once",
                case([False, False, True, False, True], [False, True, False, False, False], [2, 2, 7, 6, 2]),
            ),
            ("a row writes eos", case([False, False], [False, False], [5, 2])),
            ("an eos inside a prompt", case([False, False, False], [True, False, True], [2, 6, 4])),
            ("a row that has ended goes on being filled", case([True, False, False], [False, False, True], [7, 2, 5])),
            ("another eos_id", case([False, False, True], [False, False, False], [7, 2, 5], 7)),
            ("one row", case([False], [False], [2])),
        ],
    )


def cut(function: Callable[[list[int], int, int, int, bool], list[int]]) -> Report:
    """Judge f(row, prompt_len, max_gen_len, eos_id, echo): the part of a finished canvas row that is the answer."""

    def case(row: list[int], prompt_len: int, max_gen_len: int, eos_id: int = EOS) -> Callable[[bool], Callable]:
        def of(echo: bool) -> Callable[[Callable], None]:
            start = 0 if echo else prompt_len
            due = row[start:prompt_len] + until(row[prompt_len:][:max_gen_len], eos_id)
            whole = row[start : prompt_len + max_gen_len]
            mistakes = [
                ("The eos inside the prompt cut the row, and the answer is lost. Look for eos behind the prompt only.",
                 until(whole, eos_id)),
                ("eos is the sign of the end, not a part of the answer: leave it out.",
                 row[start:prompt_len] + row[prompt_len:][: len(until(row[prompt_len:][:max_gen_len], eos_id)) + 1]),
                ("A row has at most max_gen_len new tokens; what follows was written for longer rows.",
                 row[start:prompt_len] + until(row[prompt_len:], eos_id)),
                ("max_gen_len counts the new tokens. The limit is column prompt_len + max_gen_len.",
                 row[start:prompt_len] + until(row[prompt_len:max_gen_len], eos_id)),
                ("eos was taken out, but what stands behind it is still there. Cut at it.",
                 row[start:prompt_len] + [i for i in row[prompt_len:][:max_gen_len] if i != eos_id]),
                ("Nothing was cut at eos: it is followed by what nobody asked for.", whole),
                ("The prompt belongs to the answer only with echo.",
                 row[:prompt_len] + until(row[prompt_len:][:max_gen_len], eos_id)),
                ("With echo the prompt comes first.", until(row[prompt_len:][:max_gen_len], eos_id)),
                ("It was cut at the last eos. The first one behind the prompt counts.",
                 row[start:prompt_len] + _until_last(row[prompt_len:][:max_gen_len], eos_id)),
            ]  # fmt: skip

            def run(f: Callable) -> None:
                try:
                    got = call(f, row, prompt_len, max_gen_len, eos_id, echo)
                except ValueError as error:
                    if "is not in list" not in str(error):
                        raise
                    raise Wrong(
                        "There is no eos in this row, and list.index raises ValueError then. Ask first: if eos_id in …"
                    ) from error
                if not isinstance(got, list):
                    raise Wrong(f"A list is due, your function returned {type(got).__name__}. Is there a `return`?")
                expect_equal(got, due, mistakes)

            return run

        return of

    ended = case([1, 5, 4, 3, 2, 1, 0, -1], 3, 5)
    unended = case([1, 9, 8, 7, 6, 5], 2, 4)
    surplus = case([1, 9, 8, 7, 6, 5, 4], 2, 3)
    marked = case([1, 5, 2, 6, 9, 8, 2, 1], 4, 4)
    return judge(
        function,
        [
            ("a row with eos, and what was written behind it", ended(False)),
            ("a row without eos", unended(False)),
            ("a row that was filled on beyond max_gen_len", surplus(False)),
            ("eos at once", case([1, 3, 2, 1, 0], 2, 3)(False)),
            ("two eos behind the prompt", case([1, 4, 3, 2, 9, 2, 8], 2, 5)(False)),
            ("echo", ended(True)),
            ("echo, and an eos inside the prompt", marked(True)),
            ("the same prompt without echo", marked(False)),
            ("echo of a row without eos", surplus(True)),
            ("another eos_id", case([1, 9, 2, 7, 6], 2, 3, 7)(False)),
        ],
    )


def until(ids: list[int], eos_id: int) -> list[int]:
    return ids[: ids.index(eos_id)] if eos_id in ids else ids


def _until_last(ids: list[int], eos_id: int) -> list[int]:
    return ids[: len(ids) - 1 - ids[::-1].index(eos_id)] if eos_id in ids else ids
