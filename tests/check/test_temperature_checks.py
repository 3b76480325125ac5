"""The judges of the exercises on softmax and temperature: right answers pass, the usual wrong ones are understood."""

import pytest
import torch

from minillama import check
from minillama.logprobs import entropy as package_entropy
from minillama.sampling import apply_temperature


def by_hand(logits, temperature):
    best = logits.amax(dim=-1, keepdim=True)
    if temperature == 0:
        return torch.zeros_like(logits).scatter(-1, logits.argmax(dim=-1, keepdim=True), 1.0)
    exps = torch.exp((logits - best) / temperature)
    return exps / exps.sum(dim=-1, keepdim=True)


def same(a, b):
    difference = a - b
    return torch.isclose(difference, difference[:, :1], atol=1e-4).all(dim=-1)


def entropy_by_hand(probs):
    return -torch.xlogy(probs, probs).sum(dim=-1)


RIGHT = [
    (check.softmax, by_hand),
    (check.softmax, apply_temperature),
    (check.same_probs, same),
    (check.same_probs, lambda a, b: ((a - b).amax(-1) - (a - b).amin(-1)) < 1e-4),
    (check.entropy, entropy_by_hand),
    (check.entropy, package_entropy),
    (check.entropy, lambda probs: -(probs * (probs + 1e-12).log()).sum(-1)),
]


@pytest.mark.parametrize(("judge", "function"), RIGHT)
def test_right_answers_pass(judge, function):
    report = judge(function)
    assert report.status == "passed", str(report)
    assert report.hint == ""


def at_zero(function):
    """Treats temperature 0 as it should be: the mistake is elsewhere."""
    return lambda logits, temperature: function(logits, temperature) if temperature else by_hand(logits, 0)


def exps(logits, temperature):
    return ((logits - logits.amax(-1, keepdim=True)) / temperature).exp()


def no_shift(logits, temperature):
    e = torch.exp(logits / temperature)
    return e / e.sum(-1, keepdim=True)


def one_shift(logits, temperature):
    e = torch.exp((logits - logits.max()) / temperature)
    return e / e.sum(-1, keepdim=True)


SOFTMAX_MISTAKES = {
    "not shifted": (no_shift, "overflowed"),
    "one shift for all rows": (one_shift, "subtracted from all rows"),
    "divided first": (at_zero(lambda logits, t: torch.softmax(logits / t, dim=-1)), "Subtract the largest first"),
    "divided by zero": (lambda logits, t: exps(logits, t) / exps(logits, t).sum(-1, True), "divided by 0"),
    "multiplied": (at_zero(lambda logits, t: torch.softmax(logits * t, dim=-1)), "multiplied"),
    "no temperature": (at_zero(lambda logits, t: torch.softmax(logits, dim=-1)), "no effect"),
    "temperature too late": (at_zero(lambda logits, t: torch.softmax(logits, dim=-1) / t), "before exp"),
    "wrong axis": (at_zero(lambda logits, t: torch.softmax(logits / t, dim=0)), "Each column"),
    "one sum": (at_zero(lambda logits, t: exps(logits, t) / exps(logits, t).sum()), "one sum"),
    "no sum": (at_zero(exps), "do not add up"),
    "log": (at_zero(lambda logits, t: torch.log_softmax(logits / t, dim=-1)), "due"),
    "one row": (lambda logits, t: by_hand(logits, t)[0], "shape"),
    "float32 only": (lambda logits, t: by_hand(logits, t).float(), "float64"),
    "in place": (lambda logits, t: by_hand(logits.sub_(logits.amax(-1, keepdim=True)), t), "changed the tensor"),
}

SAME_MISTAKES = {
    "equal": (lambda a, b: (a == b).all(-1), "differ by a constant"),
    "order": (lambda a, b: (a.argsort(-1) == b.argsort(-1)).all(-1), "order"),
    "argmax": (lambda a, b: a.argmax(-1) == b.argmax(-1), "best token"),
    "no tolerance": (lambda a, b: (a - b == (a - b)[:, :1]).all(-1), "torch.isclose"),
    "softmax": (lambda a, b: torch.isclose(a.softmax(-1), b.softmax(-1)).all(-1), "Do without softmax"),
    "quotient": (lambda a, b: torch.isclose(a / b, (a / b)[:, -1:]).all(-1), "quotients"),
    "all rows in one": (lambda a, b: same(a, b).all(), "shape"),
    "numbers": (lambda a, b: same(a, b).long(), "torch.bool"),
    "always": (lambda a, b: torch.ones(len(a), dtype=torch.bool), "due"),
}

ENTROPY_MISTAKES = {
    "nan": (lambda p: -(p * p.log()).sum(-1), "adds nothing"),
    "sign": (lambda p: -package_entropy(p), "sign"),
    "bits": (lambda p: -torch.xlogy(p, p).sum(-1) / torch.tensor(2.0).log(), "base 2"),
    "log10": (lambda p: -torch.xlogy(p, p).sum(-1) / torch.tensor(10.0).log(), "base 10"),
    "mean": (lambda p: -torch.xlogy(p, p).mean(-1), "averaged"),
    "no weights": (lambda p: -p.log().sum(-1), "weights"),
    "wrong axis": (lambda p: package_entropy(p.T) if p.shape[0] == p.shape[1] else package_entropy(p), "dim=-1"),
    "exp": (lambda p: package_entropy(p).exp(), "exp of the entropy"),
    "one number": (lambda p: package_entropy(p).sum()[None], "shape"),
    "kept axis": (lambda p: package_entropy(p)[:, None], "shape"),
}

ALL = [
    pytest.param(judge, *mistake, id=f"{judge.__name__}: {name}")
    for judge, mistakes in (
        (check.softmax, SOFTMAX_MISTAKES),
        (check.same_probs, SAME_MISTAKES),
        (check.entropy, ENTROPY_MISTAKES),
    )
    for name, mistake in mistakes.items()
]


@pytest.mark.parametrize(("judge", "wrong", "hint"), ALL)
def test_mistakes_are_understood(judge, wrong, hint):
    report = judge(wrong)
    assert report.status == "failed"
    assert hint in report.hint, str(report)


def test_every_mistake_has_a_hint_of_its_own():
    hints = [judge(wrong).hint for judge, wrong, _ in (param.values for param in ALL)]
    assert len(set(hints)) == len(hints)


@pytest.mark.parametrize("judge", [check.softmax, check.same_probs, check.entropy])
def test_a_stub_is_not_attempted(judge):
    def stub(*_):
        raise NotImplementedError

    assert judge(stub).status == "not attempted"
    assert "return" in judge(lambda *_: None).hint
