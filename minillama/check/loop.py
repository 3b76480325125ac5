"""Checks of the exercises on the parts of the generate loop: its columns, its end, and the cut after it."""

from __future__ import annotations

import torch
from torch import Tensor

from minillama.check.compare import kind_of
from minillama.check.exercise import exercise, swap, swaps
from minillama.check.judge import Wrong
from minillama.words import say

EOS = 2


def flags(word: str) -> Tensor:
    """One row a letter, T for True."""
    return torch.tensor([letter == "T" for letter in word])


def right_all_ended(eos_reached):
    """f(eos_reached (bsz,) bool): whether the loop may stop, True or False."""
    return bool(eos_reached.all())


all_ended = exercise(
    right_all_ended,
    cases={
        "no row has ended": (flags("FFF"),),
        "one of three has ended": (flags("FTF"),),
        "all but the last have ended": (flags("TTF"),),
        "all but the first have ended": (flags("FTT"),),
        "the first and the last of four have ended": (flags("TFFT"),),
        "all have ended": (flags("TTT"),),
        "a single row that has ended": (flags("T"),),
        "five rows that have ended": (flags("TTTTT"),),
    },
    mistakes={
        "One row that has ended is not enough: all, not any.": swap("all", "any"),
        "Not every row was looked at.": swaps(".all()", "[0]", "[-1]", "[:2].all()", "[1:].all()"),
        "Many rows are not enough: every row must have ended.":
            swaps("all()", "float().mean() > .5", "float().mean() >= .5", "sum() > 1", "sum() > len(eos_reached) - 2"),
        "Inverted: expected True if the loop may stop.": swap("bool", "not "),
        "That asks whether no row has ended: eos_reached.all().": lambda e: not e.any(),
        "It is True for rows that all agree. They must have ended: all True.": lambda e: bool((e == e[0]).all()),
        "It always says True. Check all rows: eos_reached.all().": lambda e: True,
        "When every row has ended: True.": [lambda e: False, lambda e: e is True, lambda e: e == [True] * len(e)],
        "Return one answer for all rows, not one per row: eos_reached.all().": [lambda e: e, lambda e: ~e],
        "That counts rows. Return True if all ended, else False.": [lambda e: int(e.sum()), lambda e: int((~e).sum())],
        "There are not always 3 rows, but len(eos_reached).": swap(".all()", ".sum() == 3"),
        "Brackets are missing: write all().": lambda e: e.all,
        "Expected True or False, not a number: bool(…).": lambda e: int(e.all()),
    },
    look=lambda result: result.item() if isinstance(result, Tensor) and result.numel() == 1 else result,
)  # fmt: skip


def prompts(*lengths: int) -> list[list[int]]:
    """Prompts of these lengths; the ids tell nothing about them: the shortest has the largest."""
    return [[1, *range(90 - n, 90 - n - n + 1, -1)] for n in lengths]


def right_columns(prompt_tokens, max_gen_len, max_seq_len):
    """f(prompt_tokens, max_gen_len, max_seq_len): the range of all cur_pos; ValueError if a prompt is too long."""
    lengths = [len(t) for t in prompt_tokens]
    longest = max(lengths)
    start = min(lengths)
    if longest >= max_seq_len:
        raise ValueError(f"a prompt of {longest} tokens leaves no room for a new one: max_seq_len = {max_seq_len}")
    return range(start, min(max_seq_len, max_gen_len + longest))


def _sequence(result):
    result = result.tolist() if hasattr(result, "tolist") else result
    if isinstance(result, list | tuple | range):
        return list(result) or range(0)
    if result is None or callable(result) or hasattr(result, "__next__"):
        return result  # these have a hint of their own
    raise Wrong(say("Expected a range, but your function returned {kind}.", kind=kind_of(result)))


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
        "Begin at the shortest prompt: min.": swaps("= min(lengths)", "= longest", "= lengths[0]", "= lengths[-1]"),
        "Every prompt has its first tokens already: begin at min(lengths).": swaps("= min(lengths)", "= 0", "= 1"),
        "Begin exactly at min(lengths).": swaps("= min(lengths)", "= min(lengths) - 1", "= min(lengths) + 1"),
        "total_len is max_gen_len after the longest prompt.": swaps("+ longest", "+ start", "+ lengths[0]", "+ 0"),
        "max_seq_len was forgotten: the cache ends there.": swap("min(max_seq_len, max_gen_len", "(max_gen_len"),
        "max_gen_len was forgotten: the loop would go on to max_seq_len.": swap("max_gen_len + longest", "10**6"),
        "total_len is min(max_seq_len, max_gen_len + longest).":
            [swap("min(max_seq_len,", "max(max_seq_len,"), swap("_gen_len + longest)", "_gen_len) + longest")],
        "One column too many: range already excludes its end.": swap("+ longest)", "+ longest) + 1"),
        "The last column is missing: do not subtract 1.": swap("+ longest)", "+ longest) - 1"),
        "max(prompt_tokens) compares ids, not lengths: add key=len.": [
            swap("max(lengths)", "len(max(prompt_tokens))"),
            swap("max(lengths)", "len(max(prompt_tokens))", "min(lengths)", "len(min(prompt_tokens))"),
        ],
        "A prompt of max_seq_len tokens leaves no room: >=, not >.": swap(">= max_seq_len", "> max_seq_len"),
        "If a prompt leaves no room, raise ValueError.": swap(">= max_seq_len", "> 10**9"),
        "A prompt that leaves one place is allowed.": swap(">= max_seq_len", ">= max_seq_len - 1"),
        "Raise ValueError even if only one prompt is too long.": swaps("if longest", "if start", "if lengths[0]"),
        "If max_gen_len tokens do not fit, return fewer columns.":
            swaps("longest >=", "longest + max_gen_len >", "longest + max_gen_len >="),
        "Return a range, not its ends: range(start, total_len).": swaps("range(start", "(start"),
        "Return a range, not only its end.": swap("range(start, ", "("),
    },
    look=_sequence,
)  # fmt: skip


def right_eos_reached(eos_reached, from_prompt, next_token, eos_id):
    """f(eos_reached, from_prompt, next_token, eos_id), each (bsz,): the new eos_reached (bsz,) bool."""
    return eos_reached | (~from_prompt & (next_token == eos_id))


def _per_row(result):
    if isinstance(result, bool) or (isinstance(result, Tensor) and result.dim() == 0):
        raise Wrong(say("Return one answer per row, (bsz,). Whether all rows have ended comes later."))
    return result


def rows(before: str, from_prompt: str, next_token: list[int], eos_id: int = EOS) -> tuple:
    return flags(before), flags(from_prompt), torch.tensor(next_token), eos_id


eos_reached = exercise(
    right_eos_reached,
    cases={
        "seven rows at once": rows("FFTFTFT", "FTFFFFT", [2, 2, 7, 6, 2, 1, 5]),
        "a row writes eos": rows("FF", "FF", [5, 2]),
        "an eos inside a prompt": rows("FFFF", "TFTT", [2, 6, 4, 2]),
        "a row that has ended keeps being filled": rows("TFF", "FFT", [7, 2, 5]),
        "a row that has ended, and no eos": rows("FTF", "TFF", [5, 3, 3]),
        "another eos_id": rows("FFTF", "FFFT", [7, 2, 5, 7], 7),
        "eos_id is 0, with ids above and below it": rows("FFFF", "FFFF", [0, 1, 5, -1], 0),
    },
    mistakes={
        "An eos inside a prompt does not end the row: add ~from_prompt &.": swap("~from_prompt & ", ""),
        "Look at eos_reached and from_prompt too, not only at next_token.": lambda e, f, n, i: n == i,
        "A row that ended earlier must stay ended: eos_reached | …":
            [swap("eos_reached | ", ""), swap("eos_reached | (~from_prompt & (", "~from_prompt & (eos_reached | (")],
        "A row ends if it ended before *or* writes eos now: |, not &.": swap(" | ", " & "),
        "~from_prompt and the comparison must both be true: &, not |.": swap("~from_prompt &", "~from_prompt |"),
        "A row that has ended may write eos again: |, not ^ or !=.": swap(" | ", " ^ "),
        "Brackets are missing: & and | bind tighter than ==. Write (next_token == eos_id).": [
            swap("(~from_prompt & (next_token == eos_id))", "~from_prompt & next_token == eos_id"),
            swap("(next_token == eos_id)", "next_token == eos_id"),
            swap("(~from_prompt & (next_token == eos_id))", "(next_token == eos_id & ~from_prompt)"),
        ],
        "from_prompt is True inside the prompt. Take ~from_prompt.": swap("~from_prompt", "from_prompt"),
        "eos_id is not always 2. Compare with eos_id.": swap("== eos_id", "== 2"),
        "Only eos_id itself ends a row: == eos_id.": swaps("== eos_id", "!= eos_id", "<= eos_id", ">= eos_id"),
        "A new eos went unnoticed. Compare next_token with the number eos_id.": lambda e, f, n, i: e,
        "Every row past its prompt was ended. Compare with eos_id.": swap(" & (next_token == eos_id)", ""),
        "Inverted: expected True for a row that has ended.": lambda *args: ~right_eos_reached(*args),
        "One row that writes eos ended all rows.": lambda e, f, n, i: e | (~f & (n == i)).any(),
        "Python's if, or, and, not take one True or False, not a tensor: |, &, ~.":
            [lambda e, f, n, i: e or (not f and n == i), lambda e, f, n, i: e | (not f and n == i)],
    },
    look=_per_row,
)  # fmt: skip


def right_cut(row, prompt_len, max_gen_len, eos_id, echo):
    """f(row, prompt_len, max_gen_len, eos_id, echo): the part of a finished canvas row that is the answer, a list."""
    end = prompt_len + max_gen_len
    answer = row[prompt_len:end]
    if eos_id in answer:
        answer = answer[: answer.index(eos_id)]
    return row[:prompt_len] + answer if echo else answer


def until(ids: list[int], eos_id: int) -> list[int]:
    return ids[: ids.index(eos_id)] if eos_id in ids else ids


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
        "echo": ([1, 5, 4, 3, 2, 1, 0, -1], 3, 5, EOS, True),
        "echo, and an eos inside the prompt": ([1, 2, 5, 6, 9, 8, 2, 1], 4, 4, EOS, True),
        "the same prompt without echo": ([1, 2, 5, 6, 9, 8, 2, 1], 4, 4, EOS, False),
        "echo of a row without eos": ([1, 9, 8, 7, 6, 5, 4], 2, 3, EOS, True),
        "another eos_id": ([1, 9, 2, 7, 6], 2, 3, 7, False),
    },
    mistakes={
        "Look for eos after the prompt only: the one inside it cut the row.": [
            lambda r, p, n, eos, echo: until(r[: p + n], eos)[0 if echo else p :],
            lambda r, p, n, eos, echo: until(r[0 if echo else p : p + n], eos),
        ],
        "eos is not a part of the answer: leave it out.": swap("index(eos_id)]", "index(eos_id) + 1]"),
        "Cut one token later: a slice already excludes its end.": swap("index(eos_id)]", "index(eos_id) - 1]"),
        "A row has at most max_gen_len new tokens, with or without eos.": [
            swap("row[prompt_len:end]", "row[prompt_len:]"),
            lambda r, p, n, eos, echo: r[:p] * echo + (until(r[p:], eos) if eos in r[p:] else r[p : p + n]),
        ],
        "max_gen_len counts the new tokens: they end at prompt_len + max_gen_len.": [
            swap("end = prompt_len +", "end ="),
            lambda r, p, n, eos, echo: (r[:p] + until(r[p : p + n], eos))[:n] if echo else until(r[p : p + n], eos),
        ],
        "The answer ends before column prompt_len + max_gen_len.": swaps(":end]", ": end + 1]", ": end - 1]"),
        "The answer begins at prompt_len.": swaps("[prompt_len:end", "[prompt_len + 1 : end", "[prompt_len - 1 : end"),
        "eos was taken out, but what comes after it is still there.":
            swaps("[: answer.index(eos_id)]", "; answer.remove(eos_id)", "[:0] + [x for x in answer if x != eos_id]"),
        "Nothing was cut at eos: what follows it is no answer.": swap("if eos_id in answer", "if False"),
        "The prompt belongs to the answer only with echo.": swap(" if echo else answer", ""),
        "With echo the prompt comes first.": swaps("row[:prompt_len] + answer", "answer", "answer + row[:prompt_len]"),
        "echo is inverted: the prompt comes with echo, and only then.": swap("if echo", "if not echo"),
        "The first eos counts, not the last.": swap("answer.index(eos_id)]", "-1 - answer[::-1].index(eos_id)]"),
        "eos_id is not always 2. Compare with eos_id.": swap("eos_id in", "2 in", "(eos_id)", "(2)"),
        "row.index counts from the start of the row, and finds the prompt's eos.":
            swaps("answer.index(eos_id)", "row.index(eos_id)", "row.index(eos_id) - prompt_len"),
        "Check first: without eos list.index raises ValueError.": swap("if eos_id in answer", "if True"),
        "Join lists with +, not with append.": swap("[:prompt_len] + answer", "[:prompt_len] + [answer]"),
    },
)  # fmt: skip
