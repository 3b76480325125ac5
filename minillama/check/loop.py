"""Checks of the exercises on the parts of the generate loop: its columns, its end, and the cut after it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from minillama.check.exercise import exercise, swap
from minillama.check.judge import Wrong
from minillama.check.report import say

EOS = 2
F, T = False, True


def flags(*rows: bool) -> tuple[Tensor]:
    return (torch.tensor(rows),)


def right_all_ended(eos_reached):
    """f(eos_reached (bsz,) bool): whether the loop may stop, True or False."""
    return bool(eos_reached.all())


def _one_answer(result):
    return result.item() if isinstance(result, Tensor) and result.numel() == 1 else result


all_ended = exercise(
    right_all_ended,
    cases={
        "no row has ended": flags(F, F, F),
        "one of three has ended": flags(F, T, F),
        "two of three have ended": flags(T, T, F),
        "all but the first have ended": flags(F, T, T),
        "the first and the last of four have ended": flags(T, F, F, T),
        "all have ended": flags(T, T, T),
        "a single row that has ended": flags(T),
        "a single row that goes on": flags(F),
    },
    mistakes={
        "One row that has ended is not enough: all, not any.": swap("all", "any"),
        "You looked at the first row only: all rows must have ended.": [lambda e: bool(e[0]), lambda e: e[0]],
        "You looked at the last row only: all rows must have ended.": lambda e: bool(e[-1]),
        "You looked at the first two rows only. There may be more.": lambda e: bool(e[:2].all()),
        "You looked at the first and the last row. All rows count, also those between.": lambda e: bool(e[0] & e[-1]),
        "More than half is not enough: every row must have ended.": lambda e: bool(e.float().mean() > 0.5),
        "Half of the rows is not enough: every row must have ended.": lambda e: bool(e.float().mean() >= 0.5),
        "All but one is not enough: every row must have ended.": lambda e: int(e.sum()) >= len(e) - 1,
        "Upside down: expected True if the loop may stop.": swap("bool(eos_reached.all())", "not eos_reached.all()"),
        "That asks whether no row has ended: any says whether there is a True.": lambda e: not e.any(),
        "It is True for rows that all agree. They must have ended: all True.": lambda e: bool((e == e[0]).all()),
        "It stops always. Ask every row: eos_reached.all().": lambda e: True,
        "When every row has ended: True.": [lambda e: False, lambda e: e is True, lambda e: e == [True] * len(e)],
        "One answer for all rows is expected, not one a row: eos_reached.all().": lambda e: e,
        "That is how many rows have ended. Have all of them?": [lambda e: int(e.sum()), lambda e: e.sum()],
        "A method is called with brackets: all().": lambda e: e.all,
        "all() is True already: bool, not a number. Return it as it is.": lambda e: int(e.all()),
    },
    look=_one_answer,
)  # fmt: skip


def prompts(*lengths: int) -> list[list[int]]:
    """Prompts of these lengths; the ids tell nothing about them: the shortest has the largest."""
    return [[1, *range(90 - n, 90 - n - n + 1, -1)] for n in lengths]


def right_columns(prompt_tokens, max_gen_len, max_seq_len):
    """f(prompt_tokens, max_gen_len, max_seq_len): the range of all cur_pos; ValueError if a prompt is too long."""
    lengths = [len(t) for t in prompt_tokens]
    if max(lengths) >= max_seq_len:
        raise ValueError(f"a prompt has {max(lengths)} tokens; max_seq_len = {max_seq_len} leaves no room after it")
    return range(min(lengths), min(max_seq_len, max_gen_len + max(lengths)))


def _sequence(result):
    if isinstance(result, Sequence) and not isinstance(result, str):
        return range(0) if len(result) == 0 else list(result)
    return result.tolist() if isinstance(result, Tensor) and result.dim() == 1 else result


_START, _TOTAL, _END = "range(min(lengths)", "min(max_seq_len, max_gen_len + max(lengths))", "max(lengths)))"

columns = exercise(
    right_columns,
    cases={
        "three prompts of unequal length": (prompts(3, 2, 5), 8, 20),
        "one prompt": (prompts(4), 3, 20),
        "the cache ends before max_gen_len": (prompts(3, 6), 20, 16),
        "one place is left": (prompts(15), 8, 16),
        "the longest prompt leaves one place": (prompts(15, 6), 8, 16),
        "a prompt that fills the cache: ValueError": (prompts(16), 8, 16),
        "only the last of three fills it: ValueError": (prompts(3, 4, 16), 8, 16),
        "the first is longer than the cache: ValueError": (prompts(17, 3), 8, 16),
    },
    mistakes={
        "It begins at the end of the longest prompt. The shorter rows would have padding there: begin at the shortest.":
            swap(_START, "range(max(lengths)"),
        "It begins at the end of the first prompt. Begin at the shortest.": swap(_START, "range(lengths[0]"),
        "It begins at 0. The first round reads the columns before cur_pos: none.": swap(_START, "range(0"),
        "It begins at 1: right, but slow. The first round can read all that every prompt has.": swap(_START, "range(1"),
        "It begins one column too early: no prompt ends there.": swap(_START, "range(min(lengths) - 1"),
        "It begins one column too late: columns count from 0.": swap(_START, "range(min(lengths) + 1"),
        "total_len counts from the longest prompt, not from the shortest.":
            swap("max_gen_len + max", "max_gen_len + min"),
        "total_len counts from the longest prompt, not from the first.":
            swap("max_gen_len + max(lengths)", "max_gen_len + lengths[0]"),
        "total_len counts the longest prompt too: + max_gen_len.": swap("max_gen_len + max(lengths)", "max_gen_len"),
        "max_seq_len was forgotten: the cache ends there. total_len is the min of both.":
            swap(_TOTAL, "max_gen_len + max(lengths)"),
        "max_gen_len was forgotten: the loop would always go on to max_seq_len.": swap(_TOTAL, "max_seq_len"),
        "total_len is the smaller of the two: min, not max.": swap("min(max_seq_len,", "max(max_seq_len,"),
        "One column too many: range leaves its end out by itself.": swap(_END, "max(lengths)) + 1)"),
        "The last column is missing: range(…, total_len), without - 1.": swap(_END, "max(lengths)) - 1)"),
        "max(prompt_tokens) compares ids, not lengths: take max(len(t) for t in prompt_tokens), or key=len.": [
            lambda p, g, s: _of_ids(p, g, s, max(p), min(p)),
            lambda p, g, s: _of_ids(p, g, s, max(p), min(p, key=len)),
        ],
        "The caller gets an empty answer and no reason if a prompt fills the cache. Raise ValueError.":
            swap(">= max_seq_len", "> max_seq_len"),
        "No prompt is too long here. If one leaves no room, raise ValueError.": swap(">= max_seq_len", "> 10**9"),
        "A prompt that leaves one place is allowed.": swap(">= max_seq_len", ">= max_seq_len - 1"),
        "One prompt that is too long is enough for ValueError. You looked at the shortest.":
            swap("if max(lengths)", "if min(lengths)"),
        "One prompt that is too long is enough for ValueError. You looked at the first.":
            swap("if max(lengths)", "if lengths[0]"),
        "A prompt may be so long that max_gen_len tokens do not fit: then there are fewer. No ValueError.":
            swap("max(lengths) >= max_seq_len", "max(lengths) + max_gen_len > max_seq_len"),
        "A range is expected, not its end.": lambda p, g, s: right_columns(p, g, s).stop,
        "The ValueError has no message. Say which prompt is too long, and for what.":
            lambda p, g, s: right_columns(p, g, s) if max(map(len, p)) < s else _empty_error(),
        "An assert is no message for a caller. Write: raise ValueError(…).":
            lambda p, g, s: right_columns(p, g, s) if max(map(len, p)) < s else _assertion(),
    },
    look=_sequence,
)  # fmt: skip


def _of_ids(prompt_tokens, max_gen_len, max_seq_len, longest, shortest):
    if len(longest) >= max_seq_len:
        raise ValueError("a prompt is too long")
    return range(len(shortest), min(max_seq_len, max_gen_len + len(longest)))


def _empty_error():
    raise ValueError


def _assertion():
    raise AssertionError("too long")


def rows(before: str, from_prompt: str, next_token: Sequence[int], eos_id: int = EOS) -> tuple:
    """The arguments of a round: T for True, one letter a row."""
    old, inside = (torch.tensor([letter == "T" for letter in word]) for word in (before, from_prompt))
    return old, inside, torch.tensor(next_token), eos_id


def right_eos_reached(eos_reached, from_prompt, next_token, eos_id):
    """f(eos_reached, from_prompt, next_token, eos_id), each (bsz,): the new eos_reached (bsz,) bool."""
    return eos_reached | (~from_prompt & (next_token == eos_id))


def _per_row(result):
    if isinstance(result, bool) or (isinstance(result, Tensor) and result.dim() == 0):
        raise Wrong(say("One answer a row is expected, (bsz,). Whether all rows have ended is asked later."))
    return result


eos_reached = exercise(
    right_eos_reached,
    cases={
        "six rows at once": rows("FFTFTF", "FTFFFF", [2, 2, 7, 6, 2, 1]),
        "a row writes eos": rows("FF", "FF", [5, 2]),
        "an eos inside a prompt": rows("FFFF", "TFTT", [2, 6, 4, 2]),
        "a row that has ended keeps being filled": rows("TFF", "FFT", [7, 2, 5]),
        "a row that has ended, and no eos": rows("FTF", "TFF", [5, 3, 3]),
        "another eos_id": rows("FFTF", "FFFT", [7, 2, 5, 7], 7),
        "eos_id is 0, and the ids are above and below": rows("FFFF", "FFFF", [0, 1, 5, 0], 0),
        "one row": rows("F", "F", [2]),
    },
    mistakes={
        "An eos inside a prompt does not end the row: add ~from_prompt &.": swap("~from_prompt & ", ""),
        "A row that ended in an earlier round must stay ended: eos_reached | …": swap("eos_reached | ", ""),
        "A row ends only if it ended before *or* writes eos now: | between the two, not &.": swap(" | ", " & "),
        "~from_prompt and the comparison must both be true: &, not |.": swap("~from_prompt &", "~from_prompt |"),
        "A row that has ended may write eos again: |, not ^ or !=.": swap(" | ", " ^ "),
        "Brackets are missing: & and | bind tighter than ==. Write (next_token == eos_id).":
            swap("(~from_prompt & (next_token == eos_id))", "~from_prompt & next_token == eos_id"),
        "from_prompt is True inside the prompt. Take ~from_prompt.": swap("~from_prompt", "from_prompt"),
        "The sign of the end was taken to be 2. Compare with eos_id.": swap("== eos_id", "== 2"),
        "A row ends where its token is eos_id: ==, not !=.": swap("== eos_id", "!= eos_id"),
        "Only eos_id itself ends a row, not every id up to it: ==, not <=.": swap("== eos_id", "<= eos_id"),
        "Only eos_id itself ends a row, not every id from it on: ==, not >=.": swap("== eos_id", ">= eos_id"),
        "A new eos went unnoticed. Compare next_token with the number eos_id.": lambda e, f, n, i: e,
        "Every row past its prompt was ended. Compare with eos_id.": swap(" & (next_token == eos_id)", ""),
        "Upside down: expected True for a row that has ended.": lambda e, f, n, i: ~right_eos_reached(e, f, n, i),
        "One row that writes eos ended all rows.": lambda e, f, n, i: e | (~f & (n == i)).any(),
        "Python's `or`, `and` and `not` take no tensor of several rows: write |, & and ~.":
            [lambda e, f, n, i: e or (not f and n == i), lambda e, f, n, i: e | (not f and n == i)],
    },
    look=_per_row,
)  # fmt: skip


def right_cut(row, prompt_len, max_gen_len, eos_id, echo):
    """f(row, prompt_len, max_gen_len, eos_id, echo): the part of a finished canvas row that is the answer, a list."""
    answer = row[prompt_len : prompt_len + max_gen_len]
    if eos_id in answer:
        answer = answer[: answer.index(eos_id)]
    return row[:prompt_len] + answer if echo else answer


cut = exercise(
    right_cut,
    cases={
        "a row with eos, and what was written after it": ([1, 5, 4, 3, 2, 1, 0, -1], 3, 5, EOS, False),
        "a row without eos": ([1, 9, 8, 7, 6, 5], 2, 4, EOS, False),
        "a row that was filled on beyond max_gen_len": ([1, 9, 8, 7, 6, 5, 4], 2, 3, EOS, False),
        "eos at once": ([1, 3, 2, 1, 0], 2, 3, EOS, False),
        "eos is the last token": ([1, 3, 5, 2], 2, 3, EOS, False),
        "two eos after the prompt": ([1, 4, 3, 2, 9, 2, 8], 2, 5, EOS, False),
        "an eos after max_gen_len": ([1, 4, 3, 6, 9, 8, 2, 5], 2, 3, EOS, False),
        "the prompt's tokens come again": ([1, 4, 3, 1, 4, 2, 8], 2, 5, EOS, False),
        "echo": ([1, 5, 4, 3, 2, 1, 0, -1], 3, 5, EOS, True),
        "echo, and an eos inside the prompt": ([1, 5, 2, 6, 9, 8, 2, 1], 4, 4, EOS, True),
        "the same prompt without echo": ([1, 5, 2, 6, 9, 8, 2, 1], 4, 4, EOS, False),
        "echo of a row without eos": ([1, 9, 8, 7, 6, 5, 4], 2, 3, EOS, True),
        "another eos_id": ([1, 9, 2, 7, 6], 2, 3, 7, False),
    },
    mistakes={
        "The eos inside the prompt cut the row, and the answer is lost. Look for eos after the prompt only.": [
            lambda r, p, n, eos, echo: until(r[0 if echo else p : p + n], eos),
            lambda r, p, n, eos, echo: until(r[: p + n], eos)[0 if echo else p :],
        ],
        "eos is not a part of the answer: leave it out.": swap(".index(eos_id)]", ".index(eos_id) + 1]"),
        "Cut one token later: the slice leaves its end out by itself.": swap(".index(eos_id)]", ".index(eos_id) - 1]"),
        "A row has at most max_gen_len new tokens; what follows was written for longer rows.":
            swap("row[prompt_len : prompt_len + max_gen_len]", "row[prompt_len:]"),
        "max_gen_len counts the new tokens. The limit is column prompt_len + max_gen_len.":
            swap("prompt_len : prompt_len + max_gen_len", "prompt_len:max_gen_len"),
        "One token too many: a slice leaves its end out by itself.": swap("+ max_gen_len]", "+ max_gen_len + 1]"),
        "One token too few: prompt_len + max_gen_len, without - 1.": swap("+ max_gen_len]", "+ max_gen_len - 1]"),
        "The answer begins at column prompt_len, without + 1.": swap("row[prompt_len : ", "row[prompt_len + 1 : "),
        "The answer begins at column prompt_len, without - 1.": swap("row[prompt_len : ", "row[prompt_len - 1 : "),
        "eos was taken out, but what comes after it is still there. Cut at it.":
            swap("answer[: answer.index(eos_id)]", "[token for token in answer if token != eos_id]"),
        "One eos was taken out, but what comes after it is still there. Cut at it.":
            lambda r, p, n, eos, echo: r[:p] * echo + _removed(r[p : p + n], eos),
        "Nothing was cut at eos: it is followed by what nobody asked for.": swap("if eos_id in answer", "if False"),
        "The prompt belongs to the answer only with echo.": swap(" if echo else answer", ""),
        "With echo the prompt comes first.": swap("row[:prompt_len] + answer if echo else answer", "answer"),
        "echo is upside down: the prompt comes with echo, and only then.": swap(" if echo", " if not echo"),
        "The prompt comes before the answer.": swap("row[:prompt_len] + answer", "answer + row[:prompt_len]"),
        "It was cut at the last eos. The first one after the prompt counts.":
            lambda r, p, n, eos, echo: r[:p] * echo + _until_last(r[p : p + n], eos),
        "The sign of the end was taken to be 2. Compare with eos_id.": swap("eos_id in", "2 in", "(eos_id)", "(2)"),
        "row.index counts from the start of the row. Take answer.index.": swap("answer.index(", "row.index("),
        "Without an eos list.index raises ValueError. Ask first: if eos_id in …":
            swap("if eos_id in answer", "if True"),
        "What follows eos was returned. The answer is what comes before it.":
            swap("answer[: answer.index(eos_id)]", "answer[answer.index(eos_id) + 1 :]"),
        "An eos after max_gen_len decided whether to cut: look in the answer, not in the whole row.":
            lambda r, p, n, eos, echo: r[:p] * echo + (until(r[p:], eos) if eos in r[p:] else r[p : p + n]),
        "max_gen_len limits the new tokens only; with echo the prompt comes on top.":
            lambda r, p, n, eos, echo: (r[:p] + until(r[p : p + n], eos))[:n] if echo else until(r[p : p + n], eos),
        "append puts the whole answer into the prompt as one item. Two lists are joined with +.":
            swap("row[:prompt_len] + answer", "[*row[:prompt_len], answer]"),
    },
)  # fmt: skip


def until(ids: list[int], eos_id: int) -> list[int]:
    return ids[: ids.index(eos_id)] if eos_id in ids else ids


def _until_last(ids: list[int], eos_id: int) -> list[int]:
    return ids[: len(ids) - 1 - ids[::-1].index(eos_id)] if eos_id in ids else ids


def _removed(ids: list[int], eos_id: int) -> list[int]:
    k = ids.index(eos_id) if eos_id in ids else len(ids)
    return ids[:k] + ids[k + 1 :]
