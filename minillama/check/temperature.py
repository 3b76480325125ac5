"""Checks of the exercises on softmax and temperature."""

import torch

from minillama.check.exercise import exercise, swap, swaps


def right_softmax(logits, temperature):
    """f(logits (bsz, vocab_size), temperature): probabilities of the same shape, for any logits; 0 is argmax."""
    if temperature == 0:
        return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, True), 1.0)
    exps = torch.exp((logits - logits.amax(-1, True)) / temperature)
    return exps / exps.sum(-1, True)


_MIXED = torch.tensor([[2.0, -1.0, 0.5, 0.0], [-3.0, 1.0, 0.0, 4.0], [0.7, 0.2, -0.3, 0.9]])
_LARGE, _BAD = torch.tensor([[998.0, 1000.0, 999.0], [-1000.0, -1002.0, -999.0]]), ("== 0", "== -1")
_HOT, _MAX = "torch.zeros_like(logits).scatter(-1, logits.argmax(-1, True), 1.0)", " - logits.amax(-1, True)"
_LATE = f"(logits{_MAX}) / temperature", "(x := logits / temperature) - x.amax(-1, True)"
softmax = exercise(right_softmax, cases={
    "three rows that are not sorted, temperature 2": (_MIXED, 2.0),
    "as many rows as tokens, temperature 0.5": (_MIXED[:, 1:], 0.5),
    "logits of 1000 and of -1000": (_LARGE, 1.0),
    "temperature 1e-35, almost 0": (torch.tensor([[1000.0, 5000.0, 3000.0]]), 1e-35),
    "temperature 0: the argmax has it all": (_MIXED, 0.0),
    "temperature 0, two best logits: one has it all": lambda f: f(_MIXED[:2, [3, 0, 1, 3, 0, 2]], 0.0).sort().values,
    "float64": (_MIXED[:1].double(), 0.7),
    "float64, temperature 0": (_MIXED.double(), 0),
}, mistakes={
    "exp overflows: inf / inf is nan. Subtract each row's largest first.":
        [swap(_MAX, ""), swap(_MAX, "", *_BAD), swap("amax", "mean")],
    "You divided first: inf - inf is nan. Subtract the largest first.": [swap(*_LATE), swap(*_LATE, *_BAD)],
    "Each row has its own largest: amax(-1, keepdim=True).":
        swaps("amax(-1, True)", "amax(0)", "max()", "min()", "amax(-1)", "max(-1, True)"),
    "At temperature 0 you divided by 0. Give the argmax probability 1.": swap(*_BAD),
    "At temperature 0 return probabilities: 1 for the argmax, 0 for the others.":
        [*swaps(_HOT, "logits.argmax(-1, True)", "logits.argmax(-1)", "logits"), lambda x, t: right_softmax(x, t or 1)],
    "At temperature 0, if two logits tie for the largest, the argmax alone gets 1.":
        [lambda x, t: right_softmax(x, t or 1e-30), swap(_HOT, "(logits == logits.amax(-1, True)).to(logits)")],
    "At temperature 0 each row has its own argmax: scatter(-1, best, 1.0), best (bsz, 1).":
        swaps(_HOT, "torch.zeros_like(logits).index_fill(-1, logits.argmax(-1), 1.0)", f"{_HOT}[:1].expand_as(logits)"),
    "At temperature 0 keep the dtype of logits.": swaps(_HOT, f"{_HOT}.float()", f"{_HOT}.long()", f"{_HOT} > 0"),
    "You multiplied by the temperature. Divide by it.": swap("/ temperature)", "* temperature)"),
    "The temperature has no effect. Divide by it.": [swap(" / temperature", ""), swap(" / temperature", "", *_BAD)],
    "Divide the logits by the temperature, before exp.": swap(" / temperature", "", "exps /", "exps / temperature /"),
    "Sum over each row: dim=-1, keepdim=True.": swaps("sum(-1, True)", "sum(0)", "sum(-1)", "sum()"),
    "You worked down the columns. The vocabulary is the last axis: dim=-1.":
        [swap("amax(-1, ", "amax(0, ", "sum(-1, ", "sum(0, "), swap(_MAX, "", "sum(-1, ", "sum(0, "), swap(
         "(-1, logits.argmax(-1, ", "(0, logits.argmax(0, ", "amax(-1, ", "amax(0, ", "sum(-1, ", "sum(0, ")],
    "Divide by the sum of each row: it adds up to 1.": swaps("exps.sum(-1, True)", "1", "exps.amax(-1, True)"),
}, without=("softmax", "log_softmax"))  # fmt: skip


def right_same_probs(a, b):
    """f(a, b), logits (bsz, vocab_size) each: does softmax make the same of both rows? (bsz,) bool."""
    shift = a - b
    return torch.isclose(shift, shift[:, :1]).all(dim=-1)


_A = torch.tensor([[6.0, 8, 10, 12], [1, 2, 3, 4], [0, 1, 0, 2], [5, 1, 2, 0], [0, 1, 2, 3], [9, 3, 4, 1]])
_B = torch.tensor([[3.0, 5, 7, 9], [2, 4, 6, 8], [0, 1, 0, 2], [5, 2, 1, 0], [3, 2, 1, 0], [7, 5, 2, 3]])
_FAR = torch.tensor([[0.1, 10.2, 100.7, -1000.3], [0.3, 20.1, 77.7, -900.6], [0, 200, 1, 2], [0, 500, 1, 2]])
_CLOSE = "torch.isclose(shift, shift[:, :1])"
same_probs = exercise(right_same_probs, cases={
    "rows shifted, doubled, alike, two logits swapped, turned round, up and down": (_A, _B),
    "every row shifted by another number": (_A, _A + torch.tensor([[1.0], [-2.0], [64.0], [0.0], [8.0], [0.5]])),
    "one logit moved by 0.004 in the first four rows": (_A, _A + 2 + torch.eye(6, 4) / 250),
    "as many rows as tokens": (_A[[0, 4, 2, 3]], _B[[0, 4, 2, 3]]),
    "shifts that float32 rounds": (_FAR, _FAR + 9.1),
    "differences that softmax cannot show": (_FAR[[2, 0, 1, 3]], _FAR[[3, 0, 1, 2]]),
}, mistakes={
    "Softmax rounds away what differs on paper. Look at a - b instead.":
        [lambda a, b, x=x: torch.isclose(a.softmax(-1), b.softmax(-1), x, x).all(-1) for x in (0, 1e-6, 1e-5, 1e-4)],
    "float32 rounds a - b: compare the differences by torch.isclose, with each other, not by == and not with 0.":
        swaps(_CLOSE, "(shift == shift[:, :1])", "(a.diff() == b.diff())", "torch.isclose(shift - shift[:, :1], 0*a)"),
    "The tolerance is too large: logits 0.004 apart differ.": swaps("1])", *(f"1], atol={x})" for x in (0.01, 0.1, 1))),
    "Rows that differ by a constant are the same too. Look at a - b.": swaps(_CLOSE, "(a == b)", "torch.isclose(a, b)"),
    "The same order, or the same best token, is not enough: the differences between logits count.":
        [lambda a, b: (a.argsort(-1) == b.argsort(-1)).all(-1), lambda a, b: a.argmax(-1) == b.argmax(-1)],
    "Doubled logits give other probabilities: subtract, do not divide.": swap("a - b", "a / b"),
    "Use a - b itself, not abs() or a sum.": swaps("a - b", "(a - b).abs()", "a + b"),
    "Each row has its own shift, (a - b)[:, :1].": swaps("shift[:, :1]", "shift.mean()", "shift[:1]", "shift[:, 0]"),
    "One token that agrees is not enough: all, not any.": swaps(".all", ".any", "[:, 1:].any"),
    "All tokens of a row count: all(dim=-1).": swaps(".all(dim=-1)", "[:, 1]", "[:, -1]", "[:, :3].all(-1)"),
    "Give one answer per row: all(dim=-1).":
        swaps(".all(dim=-1)", ".all(0)", ".all()", ".all().item()", ".all(-1, True)", ""),
    "True and False are swapped.": swap(_CLOSE, f"~{_CLOSE}"),
})  # fmt: skip


def right_entropy(probs):
    """f(probs (bsz, vocab_size)): the entropy of each row in nats, (bsz,); p = 0 adds nothing."""
    return -torch.xlogy(probs, probs).sum(dim=-1)


_PLOGP, _SQUARE = "torch.xlogy(probs, probs)", torch.tensor([[0.5, 0.3, 0.2], [0.6, 0.25, 0.15], [0.1, 0.1, 0.8]])
entropy = exercise(right_entropy, cases={
    "two rows of three tokens": (torch.tensor([[0.5, 0.3, 0.2], [0.7, 0.05, 0.25]]),),
    "as many rows as tokens": (_SQUARE,),
    "tokens of probability 0": (torch.tensor([[0.5, 0.0, 0.4, 0.1], [0.0, 1.0, 0.0, 0.0], [0.25, 0.0, 0.0, 0.75]]),),
    "an improbable token": (torch.tensor([[0.999, 0.001]]),),
    "2,000 tokens, all alike": (torch.full((2, 2000), 1 / 2000),),
}, mistakes={
    "0 * log(0) is nan. A token of probability 0 adds nothing: torch.xlogy.":
        [swap(_PLOGP, "(probs * probs.log())"), lambda p: -(p * p.log()).sum(-1).nan_to_num()],
    "What you add to p inside the log, or its lower limit, is too large: 1e-12 is enough.":
        [swap(_PLOGP, f"(probs * (probs{x}).log())") for x in (" + 1e-5", " + 1e-3", " + 1", ".clamp(min=0.01)")],
    "torch.xlogy takes the log itself: torch.xlogy(probs, probs).": swap(", probs)", ", probs.log())"),
    "The sign is wrong. log p is never positive, entropy never negative.": swap("-torch", "torch"),
    "Nats need torch.log, not log2 or log10.": swaps("dim=-1)", "dim=-1) / 0.6931472", "dim=-1) / 2.3025851"),
    "You averaged over the tokens. The weights are the probabilities already: sum.": swap("sum", "mean"),
    "You forgot the weights: p * log p, not log p.":
        swaps(_PLOGP, "probs.log()", "probs.clamp(min=1e-12).log()", "probs.log().nan_to_num(neginf=0)"),
    "You worked down the columns. The vocabulary is the last axis: dim=-1.": swap("dim=-1", "dim=0"),
    "Give one number per row: sum(dim=-1).": swaps(".sum(dim=-1)", "", ".sum()", ".sum(-1).mean()", ".sum(-1, True)"),
    "That is exp of the entropy, the perplexity. Return the entropy.": lambda probs: right_entropy(probs).exp(),
    "These already sum to 1: do not use softmax.": swaps("(probs, probs)", "(probs.softmax(-1), probs.softmax(-1))"),
    "That is p * p, not p * log p.": [swap(f"-{_PLOGP}", "probs.square()"), swap(f"-{_PLOGP}.", "1 - probs.square().")],
    "That is -log p of the best token. Every token counts.": lambda probs: -probs.amax(-1).log(),
    "Do not divide by log(vocab_size). Return nats.": swap("-torch", "-1 / torch.tensor(probs.shape[1]).log() * torch"),
    "Only 0 adds nothing. Small probabilities count too.": swap(_PLOGP, f"{_PLOGP}.where(probs > 0.01, 0)"),
})  # fmt: skip
