"""Checks of the exercises on serving many: left padding, places that are filled again, prefixes that are read once."""

from __future__ import annotations

import functools

import torch

from minillama.check.exercise import exercise, swap, swaps
from minillama.check.judge import Wrong
from minillama.model import ModelArgs, Transformer
from minillama.words import say


def right_left_pad(prompt_tokens, pad_id):
    """f(prompt_tokens, pad_id): input_ids, attention_mask, position_ids, each (bsz, longest prompt) int64."""
    longest = max(len(t) for t in prompt_tokens)
    input_ids = torch.tensor([[pad_id] * (longest - len(t)) + t for t in prompt_tokens])
    mask = torch.tensor([[0] * (longest - len(t)) + [1] * len(t) for t in prompt_tokens])
    position_ids = (mask.cumsum(dim=-1) - 1).clamp(min=0)
    return input_ids, mask, position_ids


def _three(result):
    """The three as a tuple; a mask of True and False is as good as one of 1 and 0."""
    if not isinstance(result, tuple | list):
        return result
    return tuple(x.long() if getattr(x, "dtype", None) == torch.bool else x for x in result)


_LEFT, _MASK = "[pad_id] * (longest - len(t)) + t", "[0] * (longest - len(t)) + [1] * len(t)"
_ID_RIGHT, _MASK_RIGHT = "t + [pad_id] * (longest - len(t))", "[1] * len(t) + [0] * (longest - len(t))"
_COUNTED, _BACK = "(mask.cumsum(dim=-1) - 1).clamp(min=0)", "return input_ids, mask, position_ids"

left_pad = exercise(
    right_left_pad,
    cases={
        "three prompts of unequal length": ([[1, 5, 9], [1, 7], [1, 4, 8, 6]], 3),
        "the first is the longest, one has a single token": ([[1, 8, 4, 6, 9], [7], [1, 5, 3]], 0),
        "pad_id is eos, and a chat has an eos inside": ([[1, 6, 2, 1, 5], [2, 1, 4], [1, 2]], 2),
        "equally long prompts need no pad": ([[1, 9, 4], [1, 3, 8]], 2),
        "one prompt": ([[1, 6, 7]], 0),
    },
    mistakes={
        "That is padding on the right. Pads come first: [pad_id] * n + t, and [0] * n + [1] * len(t).":
            [swap(_LEFT, _ID_RIGHT, _MASK, _MASK_RIGHT), swap(_LEFT, _ID_RIGHT), swap(_MASK, _MASK_RIGHT)],
        "Positions count the tokens, not the columns: cumsum over the mask, minus 1.":
            swaps(_COUNTED, "torch.arange(longest).expand(len(mask), -1)", "torch.arange(longest) * mask"),
        "A prompt's first token is at position 0: subtract 1 from the sum.": swap(" - 1", ""),
        "A pad has no position -1. Use clamp(min=0).": swap(".clamp(min=0)", ""),
        "Inverted: 1 is a token, 0 is a pad.":
            [swap(_COUNTED, f"{_COUNTED}; mask = 1 - mask"),
             swap(_MASK, "[1] * (longest - len(t)) + [0] * len(t)")],
        "A prompt may contain the id pad_id, too. Make the mask from the lengths, not from the ids.":
            [swap(f"torch.tensor([{_MASK} for t in prompt_tokens])", "(input_ids != pad_id).long()")],
        "The pad is pad_id, whatever that is.": swaps("[pad_id]", "[0]", "[2]", "[-1]"),
        "All ones: the pads are not masked.": [swap("[0]", "[1]"), swap(_COUNTED, f"{_COUNTED}; mask = mask * 0 + 1")],
        "The width is the longest prompt: max(len(t) for t in prompt_tokens).":
            swaps("max(len(t) for t in prompt_tokens)", "len(max(prompt_tokens))", "$ + 1", "$ + 2"),
        "A prompt lost tokens. Nothing is cut: the width is the longest prompt.":
            [swap("max(", "min(", "+ t ", "+ t[:longest] ", "* len(t) for", "* min(len(t), longest) for"),
             swap("max(", "min(", "+ t ", "+ t[-longest:] ", "* len(t) for", "* min(len(t), longest) for")],
        "Row k is prompt k. Keep their order.":
            [lambda p, i: right_left_pad(sorted(p, key=len), i), lambda p, i: right_left_pad(p[::-1], i)],
        "Return all three, in this order: input_ids, attention_mask, position_ids.":
            [swap(_BACK, "return input_ids, mask"), swap(_BACK, "return input_ids, position_ids, mask"),
             swap(_BACK, "return mask, input_ids, position_ids"), swap(_BACK, "return input_ids")],
        "Ids, mask and positions are whole numbers.":
            [swap(_BACK, "return input_ids, mask.float(), position_ids"),
             swap(_BACK, "return input_ids, mask, position_ids.float()")],
        "Return tensors, not lists: torch.tensor(…).":
            swap(_BACK, "return input_ids.tolist(), mask.tolist(), position_ids.tolist()"),
        "cumsum runs along each row: dim=-1.": swap("dim=-1", "dim=0"),
        "The first row's tensors came back alone. Return a row for each prompt.":
            swap(_BACK, "return input_ids[0], mask[0], position_ids[0]"),
    },
    look=_three,
)  # fmt: skip


@functools.cache
def network(bsz: int) -> Transformer:
    """A tiny one with a cache of bsz rows."""
    sizes = {"dim": 4, "n_layers": 1, "n_heads": 1, "hidden_dim": 4, "vocab_size": 64}
    model = Transformer(ModelArgs(**sizes)).requires_grad_(False)
    model.setup_cache(bsz, 32)
    return model


class Served:
    """A model that counts down by the second token of a row: after 1, 3, 20 come 17, 14, …; below 0 comes eos.

    It is called as a Transformer is, which judges the arguments, and says where a position does not fit its row.
    """

    def __init__(self, bsz: int, eos_id: int):
        self.network, self.eos_id = network(bsz), eos_id
        self.rows: dict[int, list[int]] = {}  # what each row of the cache holds
        self.prompts, self.calls = [], 0

    def __call__(self, tokens, start_pos, last_only=False, rows=None):
        logits = 0 * self.network(tokens, start_pos, last_only, rows=rows)  # (bsz, seqlen or 1, vocab_size)
        self.calls += 1
        places = range(len(tokens)) if rows is None else rows.tolist()
        starts = torch.as_tensor(start_pos).expand(len(tokens)).tolist()
        for k, (row, start, ids) in enumerate(zip(places, starts, tokens.tolist(), strict=True)):
            held = self.rows.get(row, [])
            if start == 0:
                self.prompts.append(ids)
            elif start != len(held):
                template = "Row {row} holds {n} tokens, so its next one is at position {n}; start_pos says {start}."
                raise Wrong(say(template, row=row, n=len(held), start=start))
            held = self.rows[row] = held[:start] + ids
            following = held[-1] - held[min(1, len(held) - 1)]
            logits[k, -1, following if following >= 0 else self.eos_id] = 1
        return logits

    forward = __call__


def serving(prompt_tokens, max_gen_len, bsz, eos_id=2):
    """The answers of such a model, the prompts in the order in which it read them, and how many calls that took."""

    @functools.cache
    def fewest():
        model = Served(bsz, eos_id)
        right_serve(model, prompt_tokens, max_gen_len, eos_id, bsz)
        return model.calls

    def run(f):
        model = Served(bsz, eos_id)
        answers = f(model, prompt_tokens, max_gen_len, eos_id, bsz)
        return {"answers": answers, "prompts read": model.prompts, "calls": max(model.calls, fewest())}

    return run


def right_serve(model, prompt_tokens, max_gen_len, eos_id, bsz):
    """f(model, prompt_tokens, max_gen_len, eos_id, bsz): the greedy answers, one list per prompt, in bsz places."""
    answers = [[] for _ in prompt_tokens]
    queue, serves = list(range(len(prompt_tokens))), {}
    while queue or serves:
        free = [row for row in range(bsz) if row not in serves]
        if free and queue:
            row, k = free[0], queue.pop(0)
            serves[row] = k
            rows, tokens, start_pos = [row], [prompt_tokens[k]], [0]
        else:
            rows = list(serves)
            tokens = [[answers[k][-1]] for k in serves.values()]
            start_pos = [len(prompt_tokens[k]) + len(answers[k]) - 1 for k in serves.values()]
        logits = model(torch.tensor(tokens), torch.tensor(start_pos), True, rows=torch.tensor(rows))
        for row, token in zip(rows, logits[:, -1].argmax(dim=-1).tolist(), strict=True):
            k = serves[row]
            if token != eos_id:
                answers[k].append(token)
            if token == eos_id or len(answers[k]) == max_gen_len:
                del serves[row]
    return answers


_IF, _OWN, _POS = "if free and queue:", "rows=torch.tensor(rows)", "len(prompt_tokens[k]) + len(answers[k]) - 1"
_AT, _ALL, _END = f"[{_POS} for k in serves.values()]", "range(len(prompt_tokens))", "== max_gen_len"
_FIRST, _NEW, _ZIP = "[prompt_tokens[k]], [0]", "answers[k][-1]", "zip(rows, "

serve = exercise(
    right_serve,
    cases={
        "five prompts, two places": serving([[1, 3, 20], [1, 4, 12], [1, 5, 9, 31], [1, 1, 6], [1, 9, 40]], 9, 2),
        "six prompts, three places; max_gen_len ends four": serving(
            [[1, 2, 30], [1, 7, 15], [1, 1, 44, 50], [1, 4, 60], [1, 3, 7, 8, 9], [1, 6, 33]], 4, 3
        ),
        "one place": serving([[1, 5, 14], [1, 2, 9, 8], [1, 4, 11]], 8, 1),
        "more places than prompts": serving([[1, 6, 40], [1, 8, 27, 26]], 9, 4),
        "some answers end at once": serving([[1, 9, 7], [1, 2, 14], [1, 8, 6, 5], [1, 4, 3], [1, 7, 30]], 6, 2),
        "one new token each": serving([[1, 3, 20], [1, 8, 9], [1, 5, 31]], 1, 2),
        "eos_id is 5": serving([[1, 4, 22], [1, 2, 9, 14], [1, 1, 9]], 9, 2, 5),
        "one prompt": serving([[1, 3, 11]], 5, 2),
    },
    mistakes={
        "A place stayed empty while a prompt was waiting. When a row has ended, read the next prompt into it at once.":
            [swap(_IF, "if free and queue and all(len(answers[k]) == 1 for k in serves.values()):"),
             swap(_IF, "if free and queue and len(free) != 1 + bsz - len(serves) - len(free):"),
             lambda m, p, n, eos, b: [a for k in range(0, len(p), b) for a in right_serve(m, p[k : k + b], n, eos, b)]],
        "Use all bsz places: rows 0 to bsz - 1.":
            [*swaps("range(bsz)", "range(1)", "range(bsz - 1 or 1)"),
             lambda m, p, n, eos, b: [right_serve(m, [t], n, eos, b)[0] for t in p]],
        "There are only bsz places: rows 0 to bsz - 1.": swaps("range(bsz)", "range(bsz + 1)", "range(1, bsz + 1)"),
        "Each row has its own position: its prompt and its answer so far, less 1.":
            [swap(_AT, f"[max({_POS} for k in serves.values())] * len(rows)"),
             swap(_AT, f"[min({_POS} for k in serves.values())] * len(rows)"),
             swap(_AT, f"[{_POS} for k in list(serves.values())[:1]] * len(rows)")],
        "The newest token is the last of prompt and answer: position len(prompt) + len(answer) - 1.":
            swaps(_POS, "len(prompt_tokens[k]) + len(answers[k])", "len(prompt_tokens[k]) + len(answers[k]) - 2",
                  "len(prompt_tokens[k])", "len(answers[k]) - 1", "len(answers[k])"),
        "Say which rows of the cache are meant: rows=torch.tensor([…]).":
            swaps(_OWN, "rows=None", "rows=torch.arange(len(rows))"),
        "eos is the sign of the end, not a part of the answer.": swap("token != eos_id", "True"),
        "eos ends an answer: its place is free then.": swap("token == eos_id or ", ""),
        "An answer has at most max_gen_len tokens: then its place is free, too.":
            [swap(f" or len(answers[k]) {_END}", ""), swap(_END, "> max_gen_len"), swap(_END, "== max_gen_len + 1")],
        "An answer may have max_gen_len tokens.": swap(_END, "== max(1, max_gen_len - 1)"),
        "eos is not always 2. Compare with eos_id.": [swap("!= eos_id", "!= 2", "== eos_id", "== 2")],
        "Answer k belongs to prompt k, whichever ends first.":
            [swap("queue, serves =", "ended = []; queue, serves =", "del serves[row]",
                  "del serves[row]; ended.append(k)", "return answers", "return [answers[k] for k in ended]"),
             lambda m, p, *x: sorted(right_serve(m, p, *x), key=len), lambda *args: right_serve(*args)[::-1]],
        "First come, first served: queue.pop(0) takes the prompt that has waited longest.": swap(".pop(0)", ".pop()"),
        "Prompts are missing: go on until the queue is empty and no row is busy.":
            [swap(_ALL, "range(min(bsz, len(prompt_tokens)))"), swap("while queue or", "while queue and serves or not"),
             swap("while queue or", "while")],
        "Rows were still busy when you stopped. Go on until the queue is empty and no row is busy.":
            swap("queue or serves:", "queue:"),
        "The last position predicts the new token: logits[:, -1].":
            swap("True, rows", "False, rows", "-1].arg", "0].arg"),
        "The call that reads a prompt gives the first token of its answer already.":
            swap(_FIRST, "[prompt_tokens[k][:-1]], [0]", _NEW, "(prompt_tokens[k] + answers[k])[-1]",
                 _ZIP, "() if start_pos == [0] else zip(rows, "),
        "Do not read a prompt twice, or a part of it again: it is in the cache.":
            swap("    else:", "    elif True:", "logits = model(", "start_pos != [0] or model(torch.tensor(tokens), 0, "
                 f"{_OWN})\n        logits = model("),
        "Return the answers without their prompts.":
            lambda m, p, *x: [t + a for t, a in zip(p, right_serve(m, p, *x), strict=True)],
        "Return one list of ids for each prompt.":
            [lambda *args: dict(enumerate(right_serve(*args))), lambda *args: torch.tensor(right_serve(*args)[0])],
    },
)  # fmt: skip


def right_reused(cached, prompt):
    """f(cached, prompt): how many tokens of the prompt need not be read again, an int."""
    n = 0
    while n < min(len(cached), len(prompt) - 1) and cached[n] == prompt[n]:
        n += 1
    return n


_MOST, _SAME = "min(len(cached), len(prompt) - 1)", "cached[n] == prompt[n]"

reused = exercise(
    right_reused,
    cases={
        "the next turn of a chat": ([1, 5, 9, 4, 7], [1, 5, 9, 4, 7, 2, 1, 6, 3]),
        "the prompt differs early, and agrees later": ([1, 8, 5, 9, 4, 7], [1, 6, 5, 9, 4, 7, 3]),
        "the prompt differs in the middle": ([1, 5, 9, 4, 7, 2], [1, 5, 9, 6, 7, 2, 8, 3]),
        "the same prompt again": ([1, 5, 9, 4], [1, 5, 9, 4]),
        "a beginning of what is cached": ([1, 5, 9, 4, 7, 2], [1, 5, 9]),
        "nothing in common": ([3, 5, 9], [1, 5, 9, 4]),
        "nothing is cached": ([], [1, 5, 9]),
        "the same tokens in another order": ([1, 9, 5, 4], [1, 5, 9, 4, 8]),
        "a prompt of one token": ([1, 5], [1]),
        "it differs in the last token that is cached": ([1, 5, 9, 4], [1, 5, 9, 7, 4, 6]),
    },
    mistakes={
        "One token must be read, or there are no logits: at most len(prompt) - 1.":
            [swap("len(prompt) - 1)", "len(prompt))"), lambda c, p: right_reused(c, [*p, -1])],
        "Stop at the first difference. What comes after it has seen another text.":
            [lambda c, p: sum(a == b for a, b in zip(c, p[:-1], strict=False)),
             lambda c, p: sum(a == b for a, b in zip(c, p, strict=False))],
        "Equal tokens are not enough: they must be equal in the same places, from the front on.":
            [lambda c, p: len({*c} & {*p}), lambda c, p: len({*c} & {*p[:-1]}), lambda c, p: sum(i in c for i in p),
             lambda c, p: sum(i in c for i in p[:-1])],
        "What is cached need not be the beginning of the prompt. Compare the tokens.":
            [swap(f"and {_SAME}", ""), lambda c, p: len(c), lambda c, p: min(len(c), len(p))],
        "The beginning that both share can be used, also where the rest differs.":
            [lambda c, p: len(c) if p[: len(c)] == c and len(p) > len(c) else 0,
             lambda c, p: len(c) if p[: len(c)] == c else 0],
        "That is one too few: the token before the first difference counts, too.":
            swap("return n", "return max(0, n - 1)"),
        "That is one too many: count the tokens before the first difference.": swap("return n", "return n + 1"),
        "Count from the front: a prefix, not the end of the prompt.":
            lambda c, p: right_reused(c[::-1], p[::-1]),
        "That is what must be read. Expected what need not be: len(prompt) minus it.":
            swap("return n", "return len(prompt) - n"),
        "Return how many tokens, not the tokens.":
            [swap("return n", "return prompt[:n]"), swap("return n", "return cached[:n]")],
        "Return how many tokens, not True or False.": [swap("return n", "return n > 0"), lambda c, p: p[: len(c)] == c],
        "The first token is compared, too: begin with n = 0.": swap("n = 0", "n = 1"),
        "Where nothing is cached, or all is equal, expected a number: not None, not -1.":
            [lambda c, p: next((k for k, (a, b) in enumerate(zip(c, p[:-1], strict=False)) if a != b), None),
             lambda c, p: next((k for k, (a, b) in enumerate(zip(c, p, strict=False)) if a != b), None),
             lambda c, p: next((k for k, (a, b) in enumerate(zip(c, p, strict=False)) if a != b), -1)],
    },
)  # fmt: skip
