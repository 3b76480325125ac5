"""Checks of the exercises on steering and search: penalties, banned n-grams, the best of many, a beam, a mask."""

import torch
from torch import Tensor

from minillama.check.exercise import exercise, swap, swaps
from minillama.check.judge import Wrong
from minillama.words import say

LOGITS = torch.tensor([[2.0, -1.0, 0.5, -3.0, 1.5], [-0.5, 4.0, -2.0, 1.0, 0.25]])
IDS = torch.tensor([[3, 0, 3], [1, 4, 2]])


def right_repetition(logits, tokens, penalty):
    """f(logits (bsz, vocab_size), tokens (bsz, n), penalty): logits (bsz, vocab_size), those of tokens pushed down."""
    there = torch.zeros_like(logits).scatter(-1, tokens, 1.0) > 0
    lower = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(there, lower, logits)


_LOWER, _THERE = "torch.where(logits > 0, logits / penalty, logits * penalty)", "scatter(-1, tokens, 1.0) > 0"
_COUNT = "torch.zeros_like(logits).scatter_add(-1, tokens, torch.ones_like(tokens).to(logits))"
repetition = exercise(
    right_repetition,
    cases={
        "two rows, penalty 2": (LOGITS, IDS, 2.0),
        "a token that came three times": (LOGITS[:1], torch.tensor([[4, 1, 1, 1]]), 1.5),
        "a logit of 0, and one of -inf": (torch.tensor([[0.0, -torch.inf, 3.0, -2.0]]), torch.tensor([[0, 1]]), 2.0),
        "five rows of five tokens": (torch.cat([LOGITS, -LOGITS, LOGITS[:1]]), torch.arange(5).expand(5, 5).tril(), 3),
        "nothing was written yet": (LOGITS, IDS[:, :0], 2.0),
        "penalty 1 changes nothing": (LOGITS, IDS, 1.0),
        "penalty 0.5 pulls up": (LOGITS, IDS, 0.5),
    },
    mistakes={
        "A negative logit that is divided comes closer to 0: it goes up. Multiply it.":
            swaps(_LOWER, "logits / penalty"),
        "A positive logit that is multiplied goes up. Divide it.": swaps(_LOWER, "logits * penalty"),
        "Inverted: divide what is positive, multiply what is negative.": swap("logits > 0", "logits < 0"),
        "That is the presence penalty. Here the logit is divided or multiplied, not lowered by a fixed number.":
            swaps(_LOWER, "logits - penalty", "torch.where(logits > 0, logits - penalty, logits + penalty)"),
        "A token that came twice is not punished twice.": [
            swap(_THERE, "scatter(-1, tokens, 1.0) > 0; penalty = penalty ** " + _COUNT),
            swap(_THERE, f"{_THERE}; penalty = (penalty * {_COUNT}).where(there, 1.0)")],
        "Only tokens that are there are changed; you changed all.": swap("torch.where(there, lower, logits)", "lower"),
        "Inverted: change the tokens that are there, and leave the others.":
            swap("torch.where(there, lower, logits)", "torch.where(there, logits, lower)"),
        "Each row has its own tokens. Do not mix the rows.":
            [swap(_THERE, "index_fill(-1, tokens.flatten(), 1.0) > 0"),
             swap("(-1, tokens,", "(-1, tokens[:1].expand_as(tokens),")],
        "Every token of the row counts, not only the last or the first.":
            swaps("(-1, tokens,", "(-1, tokens[:, -1:],", "(-1, tokens[:, :1],"),
        "Expected logits, not probabilities: no softmax.":
            swaps("torch.where(there, lower, logits)", "$.softmax(-1)", "$.log_softmax(-1)"),
        "A penalty is no ban: -inf is for banned tokens.": swaps(_LOWER, "torch.full_like(logits, -torch.inf)"),
        "Use the absolute value nowhere: keep the sign of the logit.": swaps(_LOWER, "logits.abs() / penalty"),
        "Return all logits of the row, not only those that changed.":
            swaps("torch.where(there, lower, logits)", "lower[there]", "lower.gather(-1, tokens)",
                  "torch.where(there, lower, 0.0)"),
    },
)  # fmt: skip


def right_banned(ids, n):
    """f(ids, n): the ids that would end an n-gram which is in ids already, a sorted list."""
    beginning = ids[len(ids) - n + 1 :]
    banned = set()
    for k in range(len(ids) - n + 1):
        if ids[k : k + n - 1] == beginning:
            banned.add(ids[k + n - 1])
    return sorted(banned)


def _ids(result):
    """A set, a tuple or a tensor is as good as a list; neither order nor repeats count."""
    result = result.tolist() if hasattr(result, "tolist") else result
    if isinstance(result, dict):
        raise Wrong(say("Expected a list of ids, but your function returned {kind}.", kind=say("a dict")))
    ids = isinstance(result, list | tuple | set) and all(type(i) is int for i in result)
    return sorted({*result}) if ids else result


_RANGE, _SAME, _NEXT = "range(len(ids) - n + 1)", "ids[k : k + n - 1] == beginning", "ids[k + n - 1]"
_FIRST = "ids[len(ids) - n + 1 :]"
banned = exercise(
    right_banned,
    look=_ids,
    cases={
        "one pair came before": ([5, 8, 3, 5], 2),
        "two pairs came before": ([5, 8, 3, 5, 2, 7, 5], 2),
        "a group of three": ([4, 6, 9, 1, 4, 6], 3),
        "the same tokens in another order": ([6, 4, 9, 1, 4, 6], 3),
        "only the last token of the beginning came before": ([4, 6, 9, 1, 5, 6], 3),
        "the last token repeats itself": ([7, 7, 7], 3),
        "nothing comes again": ([1, 2, 3, 4], 2),
        "n = 1 bans all that is there": ([3, 8, 3, 1], 1),
        "a group longer than the text": ([3, 8], 5),
        "no text": ([], 2),
        "the group of n - 1 comes again, and again": ([1, 2, 3, 1, 2, 4, 1, 2, 3, 9, 1, 2], 3),
    },
    mistakes={
        "The beginning of an n-gram has n - 1 tokens: the last n - 1 of ids.": [
            swap(_FIRST, "ids[len(ids) - n :]"),
            lambda ids, n: right_banned(ids, n + 1)],
        "For n = 1 the slice ids[-0:] is all of ids. Count from the front: ids[len(ids) - n + 1 :].":
            swaps(_FIRST, "ids[-(n - 1) :]"),
        "Every earlier place counts, not only the first one.":
            swap("banned.add(ids[k + n - 1])", "return [ids[k + n - 1]]"),
        "Every earlier place counts, not only the latest one.":
            swap("banned.add(ids[k + n - 1])", "banned = {ids[k + n - 1]}"),
        "The last n-gram is missing: there are len(ids) - n + 1 of them.": swaps(_RANGE, "range(len(ids) - n)"),
        "The order of the tokens counts: compare lists, not sets.":
            swaps(_SAME, *(f"{f}(ids[k : k + n - 1]) == {f}(beginning)" for f in ("set", "sorted"))),
        "That bans every token that is there. Only what would end an n-gram is banned.":
            swaps("sorted(banned)", "sorted(set(ids))"),
        "Look at all n - 1 last tokens, not only at the last one.":
            swap(_SAME, "n == 1 or ids[k + n - 2] == ids[-1]"),
        "That is the n-gram. Only its last token is banned.":
            [swap("banned.add(ids[k + n - 1])", "banned.update(ids[k : k + n])"),
             swap("banned.add(ids[k + n - 1])", "banned.add(tuple(ids[k : k + n]))")],
        "That is the first token of the n-gram. Its last one is banned: ids[k + n - 1].": swaps(_NEXT, "ids[k]"),
        "A text shorter than n has no n-gram: return an empty list.":
            swaps("beginning = ids", "$[len(ids) - n] and ids", "ids[n - 2]; $"),
        "Expected a list, and an empty one where nothing is banned.":
            swaps("sorted(banned)", "sorted(banned) or None", "len(banned)"),
        "The groups are n long, not n - 1.": lambda ids, n: right_banned(ids, max(1, n - 1)),
    },
)  # fmt: skip


def right_best_of(rows, alpha):
    """f(rows, alpha): the place of the row of logprobs with the largest sum / length ** alpha, an int."""
    scores = [sum(row) / len(row) ** alpha for row in rows]
    return scores.index(max(scores))


def _place(result):
    return result.item() if isinstance(result, Tensor) and result.numel() == 1 else result


_SCORE = "sum(row) / len(row) ** alpha"
_ROWS = [[-0.5, -1.0, -0.75], [-0.25, -0.5], [-0.125, -0.5, -0.25, -0.375], [-2.0]]
_LONG = [[-1.5], [-0.2, -0.9, -0.1, -0.3, -0.2, -0.1], [-0.5, -0.75, -0.5], [-0.35] * 5]
best_of = exercise(
    right_best_of,
    look=_place,
    cases={
        "alpha 0: the sum": (_ROWS, 0.0),
        "alpha 1: the mean per token": (_ROWS, 1.0),
        "alpha 0, the shortest is the last but two": (_LONG, 0.0),
        "alpha 1, lengths 1, 6, 3 and 5": (_LONG, 1.0),
        "alpha 0.5 is between": ([[-0.4] * 2, [-0.42] * 3, [-0.2] * 16], 0.5),
        "alpha 0.5, the longest": ([[-1.0], [-0.4] * 6, [-0.55] * 3], 0.5),
        "alpha 2 likes long texts": ([[-0.1], [-0.5] * 8, [-0.2] * 3], 2.0),
        "the longest has the largest sum too": ([[-1.2], [-0.25] * 4, [-0.75, -1.0]], 1.0),
        "one text": ([[-3.0, -1.0]], 0.7),
        "a token that was certain counts in the length": ([[-0.5, -0.5], [-0.4, -0.8, 0.0], [-0.55]], 1.0),
        "two are equal: the first": ([[-2.0, -2.0], [-1.0, -0.5], [-0.5, -1.0]], 1.0),
    },
    mistakes={
        "Logarithms are below 0: the most probable text has the largest, closest to 0.": [
            swap("max(", "min("), *swaps("sum(row) /", "-sum(row) /", "abs(sum(row)) /")],
        "That is the order of the sums. Divide each by its own length ** alpha.": [
            *swaps(_SCORE, "sum(row)"), *swaps("len(row)", "len(rows[0])", "max(map(len, rows))", "len(rows)")],
        "That is the mean, whatever alpha is. Divide by len(row) ** alpha.": swaps(_SCORE, "sum(row) / len(row)"),
        "Divide by the length, do not multiply.": swaps(_SCORE, "sum(row) * len(row) ** alpha"),
        "alpha is an exponent: len(row) ** alpha.":
            swaps("len(row) ** alpha", "(len(row) * alpha or 1)", "(1 + alpha * len(row))", "(len(row) + alpha)"),
        "Return the place of the best text, not its score.": swap("scores.index(max(scores))", "max(scores)"),
        "Return the place of the best text, not the text itself.":
            swap("scores.index(max(scores))", "rows[scores.index(max(scores))]"),
        "A text is as probable as its tokens together, not as its best or worst one.":
            swaps("sum(row) / ", "max(row) / ", "min(row) / "),
        "0.0 is the logprob of a certain token. It counts in the length.":
            swaps("len(row) ** alpha", "sum(1 for x in row if x) ** alpha"),
        "Where two are equal the first counts.":
            swap("scores.index(max(scores))", "len(scores) - 1 - scores[::-1].index(max(scores))"),
        "Return one place, not the whole ranking.":
            swap("scores.index(max(scores))", "sorted(range(len(rows)), key=lambda k: -scores[k])"),
        "alpha belongs to the length alone.":
            swaps(_SCORE, "sum(row) ** alpha / len(row)", "(sum(row) / len(row)) ** alpha"),
    },
)  # fmt: skip


def right_beam_step(sums, logprobs, k):
    """f(sums (n,), logprobs (n, vocab_size), k): sums, parents, tokens of the k best, (k,) each, the best first."""
    totals = sums[:, None] + logprobs
    best, places = totals.flatten().topk(k)
    return best, places // logprobs.shape[1], places % logprobs.shape[1]


def _three(result):
    result = list(result) if isinstance(result, tuple | list) else result
    if isinstance(result, list) and len(result) != 3 or isinstance(result, Tensor):
        raise Wrong(say("Expected three results: return sums, parents, tokens."))
    return result


def made_up(n: int, vocab_size: int, seed: int) -> Tensor:
    """Logprobs (n, vocab_size) of random logits."""
    return torch.randn(n, vocab_size, generator=torch.Generator().manual_seed(seed)).mul(2).log_softmax(-1)


_TOTAL, _TOP, _N = "sums[:, None] + logprobs", "totals.flatten().topk(k)", "logprobs.shape[1]"
_OUT = "best, places // logprobs.shape[1], places % logprobs.shape[1]"
beam_step = exercise(
    right_beam_step,
    look=_three,
    cases={
        "two beams of five tokens": (torch.tensor([-1.0, -1.25]), made_up(2, 5, 1), 2),
        "the first step: one beam, three places": (torch.tensor([0.0]), made_up(1, 6, 2), 3),
        "all the best come from one beam": (torch.tensor([-9.0, -0.5, -9.0]), made_up(3, 7, 3), 3),
        "none comes from the best beam": (
            torch.tensor([-0.5, -0.8]), torch.tensor([[0.26, 0.25, 0.25, 0.24], [0.47, 0.05, 0.06, 0.42]]).log(), 2),
        "a place is taken: three beams, two go on": (torch.tensor([-2.0, -1.0, -1.5]), made_up(3, 4, 5), 2),
        "as many beams as tokens": (torch.tensor([-1.0, -3.0, -0.5, -2.0]), made_up(4, 4, 6), 4),
        "one beam is greedy": (torch.tensor([-4.0]), made_up(1, 5, 7), 1),
    },
    mistakes={
        "Add what each beam has so far: sums[:, None] + logprobs.": swaps(_TOTAL, "logprobs"),
        "Beam b is row b: sums needs a second axis, sums[:, None].": swaps(_TOTAL, "sums + logprobs"),
        "Every beam has its own sum; do not add all of them.": swaps(_TOTAL, "sums.sum() + logprobs"),
        "The k best of all beams together: flatten first, then topk.":
            swaps(_TOP, "totals.topk(k)", "totals.topk(k, dim=0)"),
        "A beam may go on in several ways, or not at all. Take the k best of all, not the best of each.":
            [swap(_TOP, "totals.max(-1)", _OUT, "best[:k], torch.arange(len(sums))[:k], places[:k]"),
             swap(_TOP, "totals.max(-1)", _OUT, "(lambda o: (best[o], o, places[o]))(best.argsort().flip(0)[:k])")],
        "// gives the beam, % the token: the order is sums, parents, tokens.":
            swaps(_OUT, "best, places % logprobs.shape[1], places // logprobs.shape[1]"),
        "The rows have vocab_size columns: divide by that, not by the number of beams.":
            swaps(_OUT, "best, places // len(sums), places % len(sums)"),
        "These are places in the flat list. Split them into beam and token.":
            swaps(_OUT, "best, places, places", "best, places // logprobs.shape[1], places",
                  "best, places, places % logprobs.shape[1]"),
        "Logarithms: the largest sums are the most probable.": swap("topk(k)", "topk(k, largest=False)"),
        "Logarithms are added. Their product means nothing.": swaps(_TOTAL, "sums[:, None] * logprobs"),
        "Return the new sums, not the old ones, and not only the new token's share.":
            swaps(_OUT, f"sums[places // {_N}], places // {_N}, places % {_N}",
                  f"logprobs.flatten()[places], places // {_N}, places % {_N}"),
        "Leave the logs as they are: take no exp.": swaps(_OUT, f"best.exp(), places // {_N}, places % {_N}"),
        "The best comes first.": swap(_TOP, "(lambda a, b: (a.flip(0), b.flip(0)))(*totals.flatten().topk(k))"),
        "There are k places, which need not be the number of beams.":
            swaps("topk(k)", "topk(len(sums))", "topk(min(k, len(sums)))"),
        "A sum, not a mean: do not divide.": swaps(_TOTAL, "(sums[:, None] + logprobs) / 2"),
        "/ makes floats. A place is a whole number: // and %.":
            swaps(_OUT, f"best, places / {_N}, places % {_N}"),
    },
)  # fmt: skip


def right_only(logits, allowed):
    """f(logits (bsz, vocab_size), allowed): the logits of the allowed ids as they are, -inf elsewhere."""
    mask = torch.full_like(logits, -torch.inf)
    mask[:, allowed] = 0.0
    return logits + mask


only = exercise(
    right_only,
    cases={
        "two of five ids": (LOGITS, [1, 3]),
        "one id": (LOGITS, [4]),
        "one row": (LOGITS[1:], [2, 0]),
        "in another order": (LOGITS, [4, 0, 2]),
        "all ids": (LOGITS, [0, 1, 2, 3, 4]),
        "more rows than ids": (LOGITS.repeat(3, 1), [1, 2]),
        "an allowed id whose logit is -inf": (torch.tensor([[-torch.inf, 1.0, 2.0, 3.0, 0.0]]), [0, 4]),
    },
    mistakes={
        "Inverted: the allowed ids stay, the others get -inf.":
            lambda logits, allowed: logits.index_fill(1, torch.tensor(allowed), -torch.inf),
        "0 is a logit like any other, often a high one. The others get -inf.": [
            swap("-torch.inf", "0.0", "= 0.0", "= 1.0", "logits + mask", "logits.where(mask > 0, 0.0)"),
            lambda logits, allowed: logits * torch.zeros_like(logits).index_fill(1, torch.tensor(allowed), 1.0)],
        "A large number is not enough: only -inf gives probability 0.":
            [swap("-torch.inf", "-1e9"), swap("-torch.inf", "-1e4"), swap("-torch.inf", "-100.0"),
             swap("-torch.inf", "torch.finfo(logits.dtype).min")],
        "The ids are columns: mask[:, allowed], not rows.": [
            swap("[:, allowed]", "[allowed]"),
            lambda logits, allowed: logits + torch.full_like(logits, -torch.inf).index_fill(
                0, torch.tensor(allowed).clamp(max=len(logits) - 1), 0.0)],
        "That is the mask alone. Add it to the logits.": swap("logits + mask", "mask"),
        "Expected logits, not probabilities: the softmax comes later.":
            swaps("logits + mask", "(logits + mask).softmax(-1)", "(logits + mask).log_softmax(-1)"),
        "Keep all columns: an id is a column number.": swaps("logits + mask", "logits[:, allowed]"),
        "Every allowed id counts, not only the first.": swaps("[:, allowed]", "[:, allowed[:1]]", "[:, allowed[-1]]"),
        "Every row is masked, not only the first.":
            swaps("mask[:, allowed]", "mask[1:] = 0.0; mask[0, allowed]", "mask[0, allowed]"),
        "-inf + inf and 0 * inf are nan. Put -inf where an id is not allowed, and change nothing else.":
            lambda logits, allowed: logits * (torch.full_like(logits, torch.inf).index_fill(
                1, torch.tensor(allowed), 0.0)),
        "The logits of the allowed ids stay as they are.":
            swaps("logits + mask", "(logits + mask).clamp(max=0.0)", "logits.clamp(min=0.0) + mask",
                  "logits - logits.amax(-1, keepdim=True) + mask"),
        "The allowed ids are a list, not a range: not all between the first and the last.":
            swaps("[:, allowed]", "[:, min(allowed) : max(allowed) + 1]", "[:, : max(allowed) + 1]"),
    },
)  # fmt: skip
