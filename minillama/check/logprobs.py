"""Checks of the exercises on log-probabilities."""

import math

import torch
import torch.nn.functional as F

from minillama.check.exercise import Swap, exercise, swap


def each(old: str, *news: str) -> list[Swap]:
    """A swap for each new piece; @ in it is the old one."""
    return [swap(old, new.replace("@", old)) for new in news]


def rows(seed: int, *lengths: int, vocab_size: int = 5, pad_id: int = -1) -> tuple:
    """Random logits (bsz, longest, vocab_size), tokens (bsz, longest) with pad_id after shorter rows, and pad_id."""
    generator, shape = torch.Generator().manual_seed(seed), (len(lengths), max(lengths))
    logits = 2 * torch.randn(*shape, vocab_size, generator=generator)
    tokens = torch.randint(0, vocab_size, shape, generator=generator)
    return logits, tokens.masked_fill(torch.arange(shape[1]) >= torch.tensor(lengths)[:, None], pad_id), pad_id


_IDS = torch.tensor([[3, 1, 4, 0, 2], [1, 0, 3, 1, -1]])
SURE = 200.0 * F.one_hot(_IDS.roll(-1, -1) % 5, 5), _IDS, -1  # each next token is certain: its logprob is 0.0


def right_token_logprobs(logits, targets, pad_id):
    """f(logits (bsz, seqlen, vocab_size), targets (bsz, seqlen), pad_id): log p of the targets, 0 at pads."""
    table = torch.log_softmax(logits, dim=-1)
    column = targets.masked_fill(targets == pad_id, 0)[..., None]
    scores = table.gather(-1, column)[..., 0].where(targets != pad_id, 0.0)
    return scores


_LOG, _SAFE, _END = "torch.log_softmax(logits, dim=-1)", "masked_fill(targets == pad_id, 0)", "return scores"
_READ, _MASK, _SUM = "table.gather(-1, column)[..., 0]", ".where(targets != pad_id, 0.0)", "logits.exp().sum(-1, True)"
_AT, _ODD = "[[k] for k in range(len(targets))], range(targets.shape[1])", ("-math.inf", "math.nan", "1.0", "-1e9")
_SCORES = {  # mistakes in two exercises
    "The sign is wrong: a log-probability is never above 0.": swap(_END, "return -scores"),
    "These are probabilities. Expected their logs.": each(_END, "@.exp()", "@.exp() * (targets != pad_id)"),
    "The natural log is expected, not base 2 or 10.": each(_END, "@ / math.log(2)", "@ / math.log(10)"),
    "Expected a number for each token, no sum or mean.": each(_END, "@.sum()", "@.mean()", "@.sum(-1)", "@.mean(-1)"),
    "The pads stay in place, with 0: a mask as an index drops them.": each(_END, "@[targets != pad_id]"),
    "Only one row was scored. Score them all.": each(_END, "@[:1]", "@[0]", "@[-1:]", "@[-1]"),
    "A pad gets 0, and no other number.": each(_END, *(f"@.where(targets != pad_id, {x})" for x in _ODD)),
    "Keep two axes: only gather's own goes, [..., 0].": each(_END, "@.flatten()", "@.squeeze()", "@[..., None]"),
}  # fmt: skip
token_logprobs = exercise(right_token_logprobs, without=("cross_entropy",), cases={
    "two rows of six tokens": rows(1, 6, 6), "shorter rows, padded": rows(2, 4, 2, 3),
    "pad_id = 7 = vocab_size, and a row of padding alone": rows(4, 4, 0, 2, vocab_size=7, pad_id=7),
    "one row of one token": rows(5, 1),
    "almost impossible, and a pad": (
        torch.tensor([[[0.0, -300, 20], [500, 0, 490], [1, 2, 3]]]), torch.tensor([[1, 1, -100]]), -100),
}, mistakes={
    "The padding has a score. Put 0 where targets is pad_id.": each(_MASK, "") + [
        swap(_SAFE, x, _MASK, "") for x in ("remainder(table.shape[-1])", "clamp(0, table.shape[-1] - 1)")],
    "The mask is upside down: 0 at the pads, the score elsewhere.": swap("!= pad_id", "== pad_id"),
    "Id 0 is a token, not padding. Compare with pad_id.": each(_END, "@ * (targets != 0)", "@ * (targets > 0)"),
    "pad_id is no column. Put a real one in its place, then read.": each(_SAFE, "clone()"),
    "pad_id may be any number, as 7 here. Compare with it, and read a real column there.": each("pad_id", "-1") + each(
        _SAFE, "clamp(0)", "abs()") + each(_READ, f"table[{_AT}, targets]"),
    "Normalise the logits: log_softmax.": each(_LOG, "logits", "logits - logits.amax(-1, True)", "logits.log()"),
    "Normalise over the vocabulary, the last axis: dim=-1.": each("dim=-1", "dim=0", "dim=1"),
    "exp rounds to 0 or inf, and + 1e-9 does not heal that. Use log_softmax.":
        each(_LOG, f"logits - {_SUM}.log()", f"(logits.exp() / {_SUM}).log()", "logits.softmax(-1).log()",
             *(f"(logits.softmax(-1) + 1e-{k}).log()" for k in range(4, 39))),
    "That is the best token's score, not the target's.": [swap(x, "table.amax(-1)") for x in (_READ, _READ + _MASK)],
    "The vocabulary is dim=-1 for gather, and axis 1 for cross_entropy.": each("(-1", "(1", "(0"),
    "Each position has one target: gather it.": each(_READ, "table[..., column[..., 0]]") + each(_END, "return table"),
    "targets fit the logits already. Shift nothing here.": lambda x, t, p: right_prompt_logprobs(x, t, p),
    **_SCORES,
})  # fmt: skip


def right_prompt_logprobs(logits, tokens, pad_id):
    """f(logits (bsz, seqlen, vocab_size), tokens (bsz, seqlen), pad_id): log p of tokens[:, 1:], 0 at pads."""
    before, targets = logits[:, :-1], tokens[:, 1:]
    scores = right_token_logprobs(before, targets, pad_id)
    return scores


_PAIR, _CALL = "logits[:, :-1], tokens[:, 1:]", "right_token_logprobs(before, targets, pad_id)"
_LOSS = "-F.cross_entropy(before, targets, None, None, pad_id, reduction='none')"
prompt_logprobs = exercise(right_prompt_logprobs, cases={
    "two rows of six tokens": rows(8, 6, 6), "a model that knows the text by heart: all 0": SURE,
    "padded with 99": rows(7, 6, 3, 4, vocab_size=7, pad_id=99), "one token: no score at all": rows(10, 1),
}, mistakes={
    "The logits at a token's own position have read it. Pair logits[:, :-1] with tokens[:, 1:].":
        each(_PAIR, "logits, tokens", "logits[:, :-1], tokens[:, :-1]", "logits[:, 1:], tokens[:, 1:]"),
    "Shifted the wrong way: pair logits[:, :-1] with tokens[:, 1:].": swap(_PAIR, "logits[:, 1:], tokens[:, :-1]"),
    "Shift by one, along the positions (axis 1): logits[:, :-1], tokens[:, 1:].":
        each(_PAIR, "logits[:, :-1], tokens", "logits[:, :-2], tokens[:, 2:]", "logits[:-1], tokens[1:]"),
    "Nothing predicts the first token: no number for it.": each(_END, "return F.pad(scores, (1, 0))"),
    "Nothing follows the last token: no number there.":
        each(_END, "return F.pad(scores, (0, 1))") + each(_PAIR, "logits, tokens.roll(-1, 1)"),
    "The padding has a score of its own. Expected 0 there.": each("(before, targets", "@ % 99", "@.clamp(0, 4)"),
    "pad_id may be any number. You took -1, or the default.": swap("pad_id", "-1"),
    "cross_entropy takes the classes on axis 1: logits.transpose(1, 2).":
        each(_CALL, _LOSS, _LOSS.replace("before", "before.reshape(len(logits), logits.shape[-1], -1)")),
    **_SCORES,
})  # fmt: skip


def right_echo_logprobs(logits, tokens, pad_id):
    """f(logits (bsz, seqlen, vocab_size), tokens (bsz, seqlen), pad_id): lists of None and log p, without padding."""
    scores = right_prompt_logprobs(logits, tokens, pad_id).tolist()
    lengths = (tokens != pad_id).sum(dim=-1).tolist()
    return [[None, *row[: n - 1]] for row, n in zip(scores, lengths, strict=True)]


def lists(x):
    """Lists for tuples, tensors and arrays, however deep."""
    x = x.tolist() if hasattr(x, "tolist") else x
    return [lists(part) for part in x] if isinstance(x, list | tuple) else x


_ROW, _GIVEN = "[None, *row[: n - 1]]", "right_prompt_logprobs(logits, tokens, pad_id)"
echo_logprobs = exercise(right_echo_logprobs, look=lists, cases={
    "one row": rows(11, 4), "three rows of unequal length": rows(12, 3, 6, 4),
    "a model that is certain: real zeros": SURE,
    "pad_id = 99, and a row of one token": rows(14, 4, 2, 5, 1, vocab_size=7, pad_id=99),
}, mistakes={
    "Nothing predicts the first token: expected None.": each(_ROW, "[0.0, *row]") + each("None", "0.0", *_ODD),
    "The padding is still there. Cut each row.": each(_ROW, "[None, *row]", "[*@, *[None] * (len(row) - n + 1)]"),
    "One number too many in a padded row: n entries are None and n - 1 numbers.": swap("n - 1", "n"),
    "A row's last number is missing: n entries are None and n - 1 numbers.": each("[: n - 1]", "@[:-1]"),
    "The first token is missing. It has an entry too: None.": each(_ROW, "row[: n - 1]", "row"),
    "None belongs to the first token. You put it last.": each(_ROW, "[*row[: n - 1], None]", "[*row, None]"),
    "A score of 0.0 may be real: cut by length.": each(_ROW, "[None, *filter(None, row)]", "[x or None for x in @]"),
    "Each row has its own length: count along dim=-1.":
        [*each("n - 1", "lengths[0] - 1", "min(lengths) - 1"), swap("dim=-1", "dim=0", ", strict=True", "")],
    "row[:-0] is empty: a row without padding lost all. Cut by the length.": each("n - 1", "@ - len(row)"),
    "Compare with pad_id: it is any number, and id 0 is a token.": each("!= pad_id", "!= -1", ">= 0", "> 0", "!= 0"),
    "Shift: logits[:, :-1] score tokens[:, 1:]. A token's own logits have read it.":
        each(_GIVEN, *(f"right_token_logprobs(logits, tokens, pad_id)[:, {x}]" for x in ("1:", ":-1"))),
    "Return a list for each row, all in one list.":
        each("strict=True)]", "@[:1]", "@[0]") + [swap("return [", "return sum([", "True)]", "True)], [])")],
    "Unpack the row: [None, *row], or [None] + row.": swap("*row[", "row["),
    "The logprobs are not those that you were given.": each(_GIVEN, "(-@)", "@.exp()", "@.round(decimals=2)"),
})  # fmt: skip


def right_perplexity(logprobs):
    """f(logprobs): exp of minus the mean, None not counted; ValueError if there is no number at all."""
    known = [x for x in logprobs if x is not None]
    if not known:
        raise ValueError("no log-probability, hence no perplexity")
    return math.exp(-sum(known) / len(known))


_EXP, _RAISE = "math.exp(-sum(known) / len(known))", 'raise ValueError("no log-probability, hence no perplexity")'
_KNOWN, _TEST = "[x for x in logprobs if x is not None]", "is not None"
perplexity = exercise(right_perplexity, cases={
    "no echo: the first entry is a number": ([-2.0, -0.5, -1.25, -0.75],),
    "an echo, and a token of which the model was certain": ([None, -1.0, 0.0, -3.0, -0.25],),
    "two echoes in a row: None in the middle": ([None, -0.5, -2.5, None, -1.5],),
    "certain of everything": ([None, 0.0, 0.0],), "2000 tokens": ([None, *[-3.0, -1.5] * 1000],),
    "None alone: ValueError": ([None],), "an empty list: ValueError": ([],),
}, mistakes={
    "Divide by the number of entries that are not None.":
        each("len(known))", "len(logprobs))") + each(_KNOWN, "[x or 0.0 for x in logprobs]"),
    "0.0 is a logprob: the model was certain, and that counts. Test `is not None`.":
        [*each(_TEST, ""), *each("not known", "not sum(known)"), swap(_TEST, "", "not known", "not logprobs")],
    "The first entry was left out unseen: it may count.": each("in logprobs", "@[1:]") + each(_KNOWN, "logprobs[1:]"),
    "You divided by one too few. Count what is not None.":
        each("len(known)", "(@ - 1)") + [swap("len(known)", "(len(logprobs) - 1)", _RAISE, x) for x in (_RAISE, "0")],
    "Leave every None out.": each(" if x is not None", "") + each(_KNOWN, "logprobs[logprobs[:1] == [None] :]"),
    "The minus is missing: a perplexity is never below 1.": swap("(-sum", "(sum"),
    "Perplexity is exp of minus the mean. You left exp out.": each("math.exp(", "(", "0 - ("),
    "Divide the sum by the number of tokens before you take exp.":
        each(_EXP, *(f"math.exp({x})" for x in ("-sum(known)", "min(-sum(known), 700)", "-sum(known)) / len(known"))),
    "The logs are natural: take the power of e, not of 2 or 10.": each("math.exp(", "2 ** (", "10 ** ("),
    "You averaged probabilities. Average their logs, then take exp.":
        each(_EXP, "sum(math.exp(-x) for x in known) / len(known)", "len(known) / sum(math.exp(x) for x in known)"),
    "The product of a long text is 0, and exp of its sum too large. Take exp of the mean.":
        [swap(_EXP, f"{x} / len(known))", _RAISE, y) for y in (_RAISE, "pass") for x in ("math.exp(-sum(known)) ** (1",
         "math.prod(map(math.exp, known)) ** (-1", "torch.tensor(known).exp().prod() ** (-1")],
    "No number at all: raise ValueError first.": each(_RAISE, *(f"return {x}" for x in _ODD), "return 0.0", "pass"),
    "[None] holds no number either. Look at what is left.": each("not known", "not logprobs"),
    "Do not round: expected the exact number.": each(_EXP, "round(@)", "round(@, 1)", "round(@, 2)"),
})  # fmt: skip
