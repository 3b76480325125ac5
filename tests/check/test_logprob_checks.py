"""The judges of the exercises on log-probabilities: right answers pass, the usual wrong ones are understood."""

import math

import pytest
import torch
import torch.nn.functional as F

from minillama import check
from minillama.logprobs import perplexity, token_logprobs


def by_gather(logits, targets, pad_id):
    table = torch.log_softmax(logits, dim=-1)
    safe = targets.where(targets != pad_id, 0)
    return table.gather(-1, safe[..., None])[..., 0].where(targets != pad_id, 0.0)


def by_cross_entropy(logits, targets, pad_id):
    return -F.cross_entropy(logits.transpose(1, 2), targets, reduction="none", ignore_index=pad_id)


def shifted(logits, tokens, pad_id):
    return by_gather(logits[:, :-1], tokens[:, 1:], pad_id)


def echoed(logits, tokens, pad_id):
    scores = shifted(logits, tokens, pad_id).tolist()
    lengths = (tokens != pad_id).sum(dim=-1).tolist()
    return [[None, *row[: n - 1]] for row, n in zip(scores, lengths, strict=True)]


def mean_and_exp(logprobs):
    known = [x for x in logprobs if x is not None]
    if not known:
        raise ValueError("no logprobs")
    return math.exp(-sum(known) / len(known))


RIGHT = [
    (check.token_logprobs, by_gather),
    (check.token_logprobs, by_cross_entropy),
    (check.token_logprobs, token_logprobs),
    (check.prompt_logprobs, shifted),
    (check.prompt_logprobs, lambda logits, tokens, pad_id: token_logprobs(logits[:, :-1], tokens[:, 1:], pad_id)),
    (check.echo_logprobs, echoed),
    (check.echo_logprobs, lambda *args: tuple(map(tuple, echoed(*args)))),
    (check.perplexity, mean_and_exp),
    (check.perplexity, perplexity),
    (check.perplexity, lambda logprobs: torch.tensor(perplexity(logprobs), dtype=torch.float64)),
]


@pytest.mark.parametrize(("judge", "function"), RIGHT)
def test_right_answers_pass(judge, function):
    report = judge(function)
    assert report.status == "passed", str(report)
    assert report.hint == ""


def safe(targets):
    return targets.clamp(min=0).where(targets != 99, 0)


def pick(table, targets, pad_id):
    return table.gather(-1, safe(targets)[..., None])[..., 0].where(targets != pad_id, 0.0)


TOKEN_MISTAKES = {
    "sign": (lambda x, t, pad: -by_gather(x, t, pad), "never above 0"),
    "padding": (lambda x, t, pad: x.log_softmax(-1).gather(-1, safe(t)[..., None])[..., 0], "padding"),
    "probabilities": (lambda x, t, pad: pick(x.softmax(-1), t, pad), "These are probabilities"),
    "raw": (lambda x, t, pad: pick(x, t, pad), "raw logits"),
    "positions": (lambda x, t, pad: pick(x.log_softmax(1), t, pad), "over the positions"),
    "rows": (lambda x, t, pad: pick(x.log_softmax(0), t, pad), "rows of the batch"),
    "bits": (lambda x, t, pad: by_gather(x, t, pad) / math.log(2), "base 2"),
    "log10": (lambda x, t, pad: by_gather(x, t, pad) / math.log(10), "base 10"),
    "best": (lambda x, t, pad: x.log_softmax(-1).amax(-1), "most probable token"),
    "mean": (lambda x, t, pad: -F.cross_entropy(x.transpose(1, 2), t, ignore_index=pad), 'reduction="none"'),
    "kept axis": (lambda x, t, pad: by_gather(x, t, pad)[..., None], "One axis too many"),
    "log of softmax": (lambda x, t, pad: pick(x.softmax(-1).log(), t, pad), "exp rounded to 0"),
    "no transpose": (lambda x, t, pad: -F.cross_entropy(x, t, reduction="none", ignore_index=pad), "It raised"),
    "no ignore_index": (lambda x, t, pad: -F.cross_entropy(x.transpose(1, 2), t, reduction="none"), "IndexError"),
    "pad is 0 and up": (
        lambda x, t, pad: x.log_softmax(-1).gather(-1, t.clamp(min=0)[..., None])[..., 0].where(t != pad, 0),
        "real column",
    ),
    "pad is -1": (
        lambda x, t, pad: (
            x.log_softmax(-1).gather(-1, t.clamp(0, x.shape[-1] - 1)[..., None])[..., 0].where(t != -1, 0)
        ),
        "The padding has a score",
    ),
    "in place": (lambda x, t, pad: by_gather(x.sub_(1), t, pad), "changed the tensor"),
}
PROMPT_MISTAKES = {
    "the fault": (by_gather, "at its own position"),
    "cut before": (lambda *a: by_gather(*a)[:, 1:], "at its own position"),
    "cut behind": (lambda *a: by_gather(*a)[:, :-1], "at its own position"),
    "wrong way": (lambda x, t, pad: by_gather(x[:, 1:], t[:, :-1], pad), "wrong way"),
    "sign": (lambda *a: -shifted(*a), "sign"),
    "zero in front": (lambda *a: F.pad(shifted(*a), (1, 0)), "nothing predicts the first token"),
    "zero behind": (lambda *a: F.pad(shifted(*a), (0, 1)), "one too many"),
    "padding": (lambda x, t, pad: by_gather(x[:, :-1], t[:, 1:].clamp(min=0), pad), "padding has a score"),
    "shifted twice": (lambda x, t, pad: by_gather(x[:, :-2], t[:, 2:], pad), "shape"),
    "rolled twice": (lambda x, t, pad: by_gather(x[:, :-1].roll(1, 1), t[:, 1:], pad), "due"),
}
ECHO_MISTAKES = {
    "the fault": (lambda *a: [[0.0, *row[1:]] for row in echoed(*a)], "probability 1. Nothing predicts it"),
    "zeros and padding": (lambda *a: F.pad(shifted(*a), (1, 0)).tolist(), "Nothing predicts it"),
    "padding": (lambda *a: [[None, *row] for row in shifted(*a).tolist()], "The padding is still there"),
    "dropped": (lambda *a: [row[1:] for row in echoed(*a)], "first token is missing"),
    "not there": (lambda *a: shifted(*a).tolist(), "first token is missing"),
    "None last": (lambda *a: [[*row[1:], None] for row in echoed(*a)], "You put it last"),
    "zeros dropped": (lambda *a: [[None, *(x for x in row if x)] for row in shifted(*a).tolist()], "may be real"),
    "zeros to None": (lambda *a: [[x or None for x in row] for row in echoed(*a)], "may be real"),
    "unshifted": (
        lambda x, t, pad: [
            [None, *row[1:n]] for row, n in zip(by_gather(x, t, pad).tolist(), (t != pad).sum(-1).tolist(), strict=True)
        ],
        "own position",
    ),
    "None behind": (
        lambda x, t, pad: [
            [None, *(s if i != pad else None for s, i in zip(row, ids[1:], strict=True))]
            for row, ids in zip(shifted(x, t, pad).tolist(), t.tolist(), strict=True)
        ],
        "each with None",
    ),
    "cut one late": (
        lambda x, t, pad: [
            [None, *row[:n]] for row, n in zip(shifted(x, t, pad).tolist(), (t != pad).sum(-1).tolist(), strict=True)
        ],
        "one number too many",
    ),
    "tensor": (lambda *a: shifted(*a), "A list with a list for each row"),
    "flat": (lambda *a: [None, -1.0], "A list with a list for each row"),
    "words": (lambda *a: [["none" if x is None else x for x in row] for row in echoed(*a)], "due"),
}
PERPLEXITY_MISTAKES = {
    "None as 0": (lambda x: math.exp(-sum(y or 0 for y in x) / len(x)), "counted as a token"),
    "0.0 dropped": (lambda x: mean_and_exp([y for y in x if y]), "Test `is not None`"),
    "the first unseen": (lambda x: mean_and_exp(x[1:]), "left out without a look"),
    "one too few": (lambda x: math.exp(-sum(y for y in x if y is not None) / (len(x) - 1)), "one token too few"),
    "no minus": (lambda x: 1 / mean_and_exp(x), "minus is missing"),
    "no exp": (lambda x: math.log(mean_and_exp(x)), "exp of it"),
    "sum": (lambda x: math.exp(-sum(y for y in x if y is not None)), "mean is due, not the sum"),
    "base 2": (lambda x: 2 ** math.log(mean_and_exp(x)), "not of 2"),
    "mean of p": (
        lambda x: (lambda known: len(known) / sum(map(math.exp, known)))([y for y in x if y is not None]),
        "averaged the probabilities",
    ),
    "product": (
        lambda x: (lambda p: math.prod(p) ** (-1 / len(p)))([math.exp(y) for y in x if y is not None]),
        "Did you multiply probabilities",
    ),
    "product in torch": (
        lambda x: (lambda p: p.prod() ** (-1 / len(p)))(torch.tensor([y for y in x if y is not None]).exp()),
        "product of so many",
    ),
    "None is no number": (lambda x: math.exp(-sum(x) / len(x)), "TypeError"),
    "nothing is 1": (lambda x: mean_and_exp(x) if any(y is not None for y in x) else 1.0, "there is no perplexity"),
    "nothing is divided": (
        lambda x: (lambda known: math.exp(-sum(known) / len(known)))([y for y in x if y is not None]),
        "before you divide",
    ),
    "a list": (lambda x: [mean_and_exp(x)], "A number is due"),
    "in place": (lambda x: mean_and_exp(x) * len([x.pop()]), "changed the list"),
}
BY_JUDGE = (
    (check.token_logprobs, TOKEN_MISTAKES),
    (check.prompt_logprobs, PROMPT_MISTAKES),
    (check.echo_logprobs, ECHO_MISTAKES),
    (check.perplexity, PERPLEXITY_MISTAKES),
)
ALL = [
    pytest.param(judge, *mistake, id=f"{judge.__name__}: {name}")
    for judge, mistakes in BY_JUDGE
    for name, mistake in mistakes.items()
]


@pytest.mark.parametrize(("judge", "wrong", "hint"), ALL)
def test_mistakes_are_understood(judge, wrong, hint):
    report = judge(wrong)
    assert report.status == "failed"
    assert hint in report.hint, str(report)


@pytest.mark.parametrize("judge", [judge for judge, _ in BY_JUDGE])
def test_a_stub_is_not_attempted(judge):
    def stub(*_):
        raise NotImplementedError

    assert judge(stub).status == "not attempted"
    assert judge(lambda *_: ...).status == "not attempted"
    assert judge(lambda *_: None).status == "failed"
