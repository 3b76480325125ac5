"""Checks of the exercises on the cost of a token: a clock, the bytes that a step reads, an account of its time."""

import statistics  # noqa: F401  (wrong functions call it)
import time

from torch import bfloat16, float32, int8, ones

from minillama.check.exercise import exercise, swap, swaps


def right_in_turns(runs, rounds, clock):
    """f(runs {name: function}, rounds, clock): {name: its shortest time}, each called once before it is timed."""
    shortest = {name: float("inf") for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            begin = clock()
            run()
            took = clock() - begin
            shortest[name] = min(shortest[name], took)
    return shortest


def _timed(rounds, start=100.0, **seconds):
    """A case: a clock that only the runs move on, each by its seconds, call for call; what is found, and the order."""

    def case(f):
        now, order, left = [start], [], {name: list(each) for name, each in seconds.items()}

        def run(name):
            order.append(name)
            now[0] += left[name].pop(0) if left[name] else 1000.0

        return f({name: lambda name=name: run(name) for name in seconds}, rounds, lambda: now[0]), order

    return case


_TURNS, _LINE = "for _ in range(rounds):\n        for name, run in runs.items():", "\n            "
_FOUND, _MIN = "shortest[name] = min(shortest[name], took)", "min(shortest[name], took)"
_LISTS, _APPEND = '{name: float("inf") for name in runs}', "shortest.setdefault(name, []).append(took)"


def _of_all(of):
    """The times are kept in lists, and `of` makes one number of each."""
    last = f"return {{name: {of} for name, times in shortest.items()}}"
    return swap(_LISTS, "{}", _FOUND, _APPEND, "return shortest", last)


in_turns = exercise(right_in_turns, cases={
    "two runs, three rounds": _timed(3, fast=(2, 5, 1, 4, 3, 7), slow=(6, 20, 8, 30, 5, 25)),
    "one run, one round": _timed(1, alone=(1, 3)),
    "the shortest is the last": _timed(3, only=(1, 9, 2, 8, 1, 6), other=(2, 16, 1, 17, 3, 11)),
    "a disturbance in the last round": _timed(2, a=(1, 4, 2, 60), b=(1, 7, 3, 80), c=(2, 5, 1, 70)),
    "a clock that starts at 0": _timed(4, 0.0, x=(8, 3, 1, 5, 2, 4, 7, 9), y=(5, 8, 3, 6, 1, 4, 2, 9)),
}, mistakes={
    "Take turns: the loop over the rounds goes around the loop over the runs.":
        swap(_TURNS, "for name, run in runs.items():\n        for _ in range(rounds):"),
    "Each run comes once without the clock, right before it is timed.": [
        swap(f"run(){_LINE}begin", "begin"),
        swap(f"for _ in range(rounds):\n        for name, run in runs.items():{_LINE}run()",
             f"for run in runs.values():\n        run()\n    {_TURNS}")],
    "Read the clock after the first call of run(), so that only the second is timed.":
        swap(f"run(){_LINE}begin = clock(){_LINE}run()", f"begin = clock(){_LINE}run(){_LINE}run()"),
    "You timed the first call. It is there to warm up; time the second.": swap(
        f"run(){_LINE}begin = clock(){_LINE}run(){_LINE}took = clock() - begin",
        f"begin = clock(){_LINE}run(){_LINE}took = clock() - begin{_LINE}run()"),
    "That is the mean. One disturbance moves it: keep the shortest.": _of_all("sum(times) / len(times)"),
    "That is the median. Keep the shortest.": _of_all("statistics.median(times)"),
    "That is the longest. Keep the shortest.": swap('float("inf")', "0.0", "= min", "= max"),
    "Keep the shortest of all rounds, not the last.": swap(_MIN, "took"),
    "Keep the shortest of all rounds, not the first.": swap(_FOUND, "shortest.setdefault(name, took)", _LISTS, "{}"),
    "These times are added up. Keep the shortest.": _of_all("sum(times)"),
    "All times are 0: start with float('inf'), as nothing is shorter than 0, and read the clock that you are given.":
        [swap('float("inf")', "0.0"), lambda runs, rounds, clock: right_in_turns(runs, rounds, time.perf_counter)],
    "Return {name: seconds}.": [_of_all("times"), *swaps("return shortest", "return list(shortest.values())",
        "return list(shortest.items())", "return min(shortest.values())", "return min(shortest, key=shortest.get)")],
    "A time is the clock afterwards minus the clock before.":
        swaps("clock() - begin", "clock()", "begin", "begin - clock()", "clock() + begin"),
    "There should be exactly `rounds` rounds.": swaps("range(rounds)", "range(1, rounds)", "range(rounds + 1)",
        "range(1)", "range(7)", "range(rounds * 2)"),
    "The clock counts in seconds. Return them as they are.": swaps("clock() - begin", "1000 * ($)", "1e6 * ($)"),
})  # fmt: skip


def right_step_bytes(weights, bsz):
    """f(weights {name: tensor}, bsz): the bytes of weights that one step reads, a token in each of bsz rows."""
    read = 0
    for name, weight in weights.items():
        if name == "tok_embeddings.weight":
            read += bsz * weight[0].nbytes
        else:
            read += weight.nbytes
    return read


def _weights(vocab_size, dim, hidden, dtype=float32, **more):
    """What state_dict() returns, of a model with one layer that has no attention."""
    shapes = {
        "tok_embeddings.weight": (vocab_size, dim),
        "layers.0.feed_forward.w1.weight": (hidden, dim),
        "layers.0.feed_forward.w2.weight": (dim, hidden),
        "layers.0.ffn_norm.weight": (dim,),
        "norm.weight": (dim,),
        "output.weight": (vocab_size, dim),
    }
    return {name: ones(shape, dtype=dtype) for name, shape in shapes.items()} | more


_SCALES = {"layers.0.feed_forward.w1.weight": ones(9, 4, dtype=int8), "layers.0.feed_forward.w1.scale": ones(9)}
_ROW = "bsz * weight[0].nbytes"
step_bytes = exercise(right_step_bytes, cases={
    "a small model, one row": (_weights(30, 4, 9), 1),
    "the same, three rows": (_weights(30, 4, 9), 3),
    "in bfloat16, two rows": (_weights(50, 6, 5, bfloat16), 2),
    "one matrix in int8, with its scales": (_weights(30, 4, 9, **_SCALES), 4),
    "only a table, five rows": ({"tok_embeddings.weight": ones(11, 3)}, 5),
    "without a table": ({"output.weight": ones(7, 3), "value.weight": ones(3, 5), "norm.weight": ones(3)}, 2),
    "a table of a single row": ({"tok_embeddings.weight": ones(1, 3), "norm.weight": ones(3)}, 1),
}, mistakes={
    "Of the table tok_embeddings.weight a step reads one row for each token, not all of it.":
        [swap(_ROW, "weight.nbytes"), swap(_ROW, "bsz * weight.nbytes"), swap(".weight\"", "\"")],
    "The rows of the table that are looked up are read too.": swap(_ROW, "0"),
    "Each of the bsz rows looks up a row of the table of its own.": swap(_ROW, "weight[0].nbytes"),
    "The rows of a batch share the other weights: these are read once.":
        [swap("read += weight.nbytes", "read += bsz * weight.nbytes"),
         swap("return read", "return bsz * read", _ROW, "weight[0].nbytes")],
    "Count bytes, not numbers: .nbytes.":
        swap(_ROW, "bsz * weight[0].numel()", "+= weight.nbytes", "+= weight.numel()"),
    "Not every number has 4 bytes. Ask the tensor: .nbytes.":
        [swap(_ROW, f"{n} * bsz * weight[0].numel()", "+= weight.nbytes", f"+= {n} * weight.numel()") for n in (4, 2)],
    "A row of the table is weight[0], and has dim numbers. That is a column.": swap("weight[0]", "weight[:, 0]"),
    "Norms and scales are read too.": swaps("else:", "elif weight.dim() == 2:", 'elif "norm" not in name:',
        'elif "scale" not in name:'),
    "The output layer is read too.": swap("else:", 'elif name != "output.weight":'),
    "The weights outside the layers are read too.": swap("else:", 'elif name.startswith("layers"):'),
    "The weights inside the layers are read too.": swap("else:", 'elif not name.startswith("layers"):'),
    "Bytes are asked for, not MB or bits.":
        swaps("return read", "return read / 1e6", "return read / 2**20", "return read * 8", "return read // 2**10"),
    "Add up all tensors. This is only the last.": swap(_ROW, "0", "read += weight.nbytes", "read = weight.nbytes"),
    "That is how many tensors there are, not how many bytes.": swap("return read", "return len(weights)"),
}, tolerance=0.0)  # fmt: skip


def right_account(token, parts):
    """f(token, parts {name: seconds}): {name: share of the whole}, and "Python" for the rest; they add up to 1."""
    known = sum(parts.values())
    whole = max(token, known)
    seconds = {**parts, "Python": whole - known}
    return {name: each / whole for name, each in seconds.items()}


_WHOLE, _SHARE = "max(token, known)", "each / whole"
account = exercise(right_account, cases={
    "three parts, in seconds": (0.002, {"linears": 0.0008, "attention": 0.0001, "small operations": 0.0006}),
    "one part, and no rest": (0.25, {"linears": 0.25}),
    "two parts, in milliseconds": (8.0, {"linears": 5.0, "attention": 1.5}),
    "no part is known": (3.0, {}),
    "a part that took no time": (4.0, {"linears": 3.0, "attention": 0.0}),
    "the parts took longer than the token": (1.0, {"linears": 1.0, "attention": 0.25}),
}, mistakes={
    "The shares should add up to 1, so divide by the whole, which is the longer of token and parts.":
        [swap(_SHARE, "each / token"), swap(_WHOLE, "token", "whole - known", "max(0.0, token - known)")],
    "The parts took longer than the token: no rest is left, and the rest is never below 0.": swap(_WHOLE, "token"),
    'The rest is missing: "Python" gets what the parts leave.': swap(', "Python": whole - known', ""),
    "You divided by the sum of the parts. Divide by the whole.":
        [swap(_SHARE, "each / known"), swap(_SHARE, "each / known", ', "Python": whole - known', ""),
         swap(_SHARE, "each / (known or 1)")],
    'The rest is "Python", with a capital P.': swaps('"Python"', '"python"', '"rest"', '"other"', '"the rest"'),
    "Python gets the rest, not the whole token.": swap("whole - known", "whole"),
    "Python gets the whole minus the parts, not the parts.": swap("whole - known", "known"),
    "The minus is the wrong way round.": swap("whole - known", "known - whole"),
    "These are the times. Divide each by the whole.": swap(_SHARE, "each"),
    "Return shares from 0 to 1, not percent.": swaps(_SHARE, "100 * $", "round(100 * $)", "f'{$:.0%}'"),
    "Divide the part by the whole, not the whole by the part.": swap(_SHARE, "whole / each if each else 0.0"),
    "Return the shares as they are: do not round.": swaps(_SHARE, *(f"round($, {n})" for n in (1, 2, 3))),
    "Return a dict {name: share}.": swaps("{name: each / whole for name, each in seconds.items()}",
        "[each / whole for each in seconds.values()]", "(whole - known) / whole", "1.0"),
    "Shares of the largest part do not add up to 1. Divide by the whole.":
        swap(_SHARE, "each / max(seconds.values())"),
})  # fmt: skip
