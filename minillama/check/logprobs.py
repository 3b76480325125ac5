"""Checks of the exercises on log-probabilities."""

import math

import torch
import torch.nn.functional as F

from minillama.check.exercise import exercise, swap, swaps


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
    "These are probabilities. Expected their logs.": swaps(_END, "$.exp()", "$.exp() * (targets != pad_id)"),
    "Expected the natural log, not base 2 or 10.": swaps(_END, "$ / math.log(2)", "$ / math.log(10)"),
    "Expected one number per token, not a sum or a mean.":
        swaps(_END, "$.sum()", "$.mean()", "$.sum(-1)", "$.mean(-1)", "$[targets != pad_id].mean()"),
    "Indexing with a mask drops the pads. They stay in place, with 0.": swaps(_END, "$[targets != pad_id]"),
    "Only one row was scored. Score them all.": swaps(_END, "$[:1]", "$[0]", "$[-1:]", "$[-1]"),
    "Expected 0 at the pads, and no other number.": swaps(_END, *(f"$.where(targets != pad_id, {x})" for x in _ODD)),
    "Expected two axes: remove the third, [..., 0].": swaps(_END, "$.flatten()", "$.squeeze()", "$[..., None]"),
}  # fmt: skip
token_logprobs = exercise(right_token_logprobs, without=("cross_entropy",), cases={
    "two rows of six tokens": rows(1, 6, 6), "shorter rows, padded": rows(2, 4, 2, 3),
    "pad_id = 7 = vocab_size, and a row of padding alone": rows(4, 4, 0, 2, vocab_size=7, pad_id=7),
    "one row of one token": rows(5, 1),
    "almost impossible, and a pad": (
        torch.tensor([[[0.0, -300, 20], [500, 0, 490], [1, 2, 3]]]), torch.tensor([[1, 1, -100]]), -100),
}, mistakes={
    "The padding has a score. Put 0 where targets is pad_id.": swaps(_MASK, "") + [
        swap(_SAFE, x, _MASK, "") for x in ("remainder(table.shape[-1])", "clamp(0, table.shape[-1] - 1)")],
    "The mask is inverted. Expected 0 at the pads and the scores elsewhere.": swap("!= pad_id", "== pad_id"),
    "Id 0 is a token, not padding. Compare with pad_id.": swaps(_END, "$ * (targets != 0)", "$ * (targets > 0)"),
    "pad_id may be any number, and is not a column. Put a real one where targets == pad_id, then read.": [
        *swaps(_SAFE, "clone()", "clamp(0)", "abs()"), swap("pad_id", "-1"), swap(_READ, f"table[{_AT}, targets]")],
    "Normalise the logits: log_softmax.": swaps(_LOG, "logits", "logits - logits.amax(-1, True)", "logits.log()"),
    "The vocabulary is the last axis: dim=-1.": swaps("dim=-1", "dim=0", "dim=1") + swaps("(-1", "(1", "(0"),
    "exp gives 0 or inf here, and + 1e-9 does not fix that. Use log_softmax.":
        swaps(_LOG, f"logits - {_SUM}.log()", f"(logits.exp() / {_SUM}).log()", "logits.softmax(-1).log()",
              *(f"(logits.softmax(-1) + 1e-{k}).log()" for k in range(4, 39))),
    "That is the best token's score, not the target's.": [swap(x, "table.amax(-1)") for x in (_READ, _READ + _MASK)],
    "Gather the score of each target.": [swap(_READ + _MASK, "table[..., column[..., 0]]"), swap(_END, "return table")],
    "The targets already fit the logits. Do not shift here.": lambda x, t, p: right_prompt_logprobs(x, t, p),
    **_SCORES,
})  # fmt: skip


def right_prompt_logprobs(logits, tokens, pad_id):
    """f(logits (bsz, seqlen, vocab_size), tokens (bsz, seqlen), pad_id): log p of tokens[:, 1:], 0 at pads."""
    before, targets = logits[:, :-1], tokens[:, 1:]
    scores = right_token_logprobs(before, targets, pad_id)
    return scores


_PAIR, _CALL = "logits[:, :-1], tokens[:, 1:]", "right_token_logprobs(before, targets, pad_id)"
_LOSS = "-F.cross_entropy(before.mT, targets, None, None, pad_id, reduction='none')"
prompt_logprobs = exercise(right_prompt_logprobs, cases={
    "two rows of six tokens": rows(8, 6, 6), "a model that knows the text by heart: all 0": SURE,
    "padded with 99": rows(7, 6, 3, 4, vocab_size=7, pad_id=99), "one token: no score at all": rows(10, 1),
}, mistakes={
    "The logits at a token's own position have already read it. Pair logits[:, :-1] with tokens[:, 1:].":
        swaps(_PAIR, "logits, tokens", "logits[:, :-1], tokens[:, :-1]", "logits[:, 1:], tokens[:, 1:]"),
    "Shifted the wrong way: pair logits[:, :-1] with tokens[:, 1:].": swap(_PAIR, "logits[:, 1:], tokens[:, :-1]"),
    "Shift by one, along the positions (axis 1): logits[:, :-1], tokens[:, 1:].": [
        *swaps(_PAIR, "logits[:, :-1], tokens", "logits[:, :-2], tokens[:, 2:]", "logits[:-1], tokens[1:]"),
        swap(_PAIR, "logits[:, :-1], tokens", _CALL, _LOSS)],
    "Nothing predicts the first token: leave it out.": swap(_END, "return F.pad(scores, (1, 0))"),
    "Nothing follows the last token: leave its logits out.":
        [swap(_END, "return F.pad(scores, (0, 1))"), swap(_PAIR, "logits, tokens.roll(-1, 1)")],
    "Expected 0 where tokens[:, 1:] is padding, and only there.": [
        *swaps("(before, targets", "$.clamp(0, 4)", "$ * (targets != pad_id)"),
        swap(", targets, pad_id)", ", targets * (targets != pad_id), pad_id).where(tokens[:, :-1] != pad_id, 0.0)")],
    "pad_id may be any number. You used -1, or the default.":
        [swap("pad_id", "-1"), *(swap(_CALL, _LOSS.replace("pad_id", x)) for x in ("-1", "-100"))],
    "cross_entropy takes the classes on axis 1: logits.transpose(1, 2).": [
        swap(_CALL, _LOSS.replace("mT", x)) for x in ("clone()", "reshape(len(logits), logits.shape[-1], -1)")],
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
    "Nothing predicts the first token: expected None.": swaps(_ROW, "[0.0, *row]") + swaps("None", "0.0", *_ODD),
    "The padding is still there. Cut each row.": swaps(_ROW, "[None, *row]", "[*$, *[None] * (len(row) - n + 1)]"),
    "A row of n tokens has None and n - 1 numbers, no more, no fewer.": swaps("[: n - 1]", "[:n]", "$[:-1]"),
    "The first token is missing. It has an entry too: None.": swaps(_ROW, "row[: n - 1]", "row"),
    "None belongs to the first token. You put it last.": swaps(_ROW, "[*row[: n - 1], None]", "[*row, None]"),
    "A score of 0.0 may be real: cut by length.": swaps(_ROW, "[None, *filter(None, row)]", "[x or None for x in $]"),
    "Each row has its own length: count along dim=-1.":
        [*swaps("n - 1", "lengths[0] - 1", "min(lengths) - 1"), swap("dim=-1", "dim=0", ", strict=True", "")],
    "A row may have no padding: row[:-0] is empty, and index finds nothing. Cut by the length.": [
        swap("n - 1", "n - 1 - len(row)"), lambda x, tokens, pad_id: [x.index(pad_id) for x in tokens.tolist()]],
    "None comes before the first number, not in its place.": swaps(_ROW, "[None, *row[1:]]", "[None, *row[1:n]]"),
    "Compare with pad_id: it may be any number, and id 0 is a token.": swaps("!= pad_id", "!= -1", ">= 0", "> 0"),
    "Shift: logits[:, :-1] score tokens[:, 1:]. A token's own logits have read it.":
        swaps(_GIVEN, *(f"right_token_logprobs(logits, tokens, pad_id)[:, {x}]" for x in ("1:", ":-1"))),
    "Return a list for each row, all in one list.":
        swaps("strict=True)]", "$[:1]", "$[0]") + [swap("return [", "return sum([", "True)]", "True)], [])")],
    "Make each row by [None, *row] or [None] + row. insert returns None.": [swap("*row[", "row["), swap(_ROW, "None")],
    "Use the logprobs as they are: do not change their sign or take exp.": swaps(_GIVEN, "(-$)", "$.exp()"),
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
    "two echoes in a row: None in the middle": ([None, -0.5, -2.5, None, -0.75],),
    "certain of everything": ([None, 0.0, 0.0],), "2000 tokens": ([None, *[-3.0, -1.5] * 1000],),
    "None alone: ValueError": ([None],), "an empty list: ValueError": ([],),
}, mistakes={
    "Divide by the number of entries that are not None.": [
        *swaps("len(known))", "len(logprobs))", "(len(known) - 1))"), swap(_KNOWN, "[x or 0.0 for x in logprobs]"),
        *(swap("len(known)", "(len(logprobs) - 1)", _RAISE, x) for x in (_RAISE, "0"))],
    "0.0 is a logprob: the model was certain, and that counts. Test `is not None`.":
        [*swaps(_TEST, ""), *swaps("not known", "not sum(known)"), swap(_TEST, "", "not known", "not logprobs")],
    "The first entry need not be None, nor the only None. Test each entry.": [
        *swaps("in logprobs", "$[1:]"), swap(_KNOWN, "logprobs[1:]"), lambda x: x.remove(None) or right_perplexity(x)],
    "Leave every None out.": [swap(" if x is not None", ""), swap(_KNOWN, "logprobs[logprobs[:1] == [None] :]")],
    "The minus is missing: a perplexity is never below 1.": swap("(-sum", "(sum"),
    "Perplexity is exp of minus the mean. You left exp out.": swaps("math.exp(", "(", "0 - ("),
    "Divide the sum by the number of tokens before you take exp.":
        swaps(_EXP, *(f"math.exp({x})" for x in ("-sum(known)", "min(-sum(known), 700)", "-sum(known)) / len(known"))),
    "The logs are natural: raise e to the power, not 2 or 10.": swaps("math.exp(", "2 ** (", "10 ** ("),
    "You averaged probabilities. Average their logs, then take exp.":
        swaps(_EXP, "sum(math.exp(-x) for x in known) / len(known)", "len(known) / sum(math.exp(x) for x in known)"),
    "For a long text the product is 0, and exp of the sum overflows. Take exp of the mean.": swaps(
        _EXP, "math.exp(-sum(known)) ** (1 / len(known))", "math.prod(map(math.exp, known)) ** (-1 / len(known))",
        "1 / math.prod(map(math.exp, known)) ** (1 / len(known))",
        "torch.tensor(known).exp().prod() ** (-1 / len(known))"),
    "Raise ValueError if no number is left: for [], and for [None] as well.":
        [*swaps(_RAISE, *(f"return {x}" for x in _ODD), "return 0.0", "pass"), swap("not known", "not logprobs")],
})  # fmt: skip
