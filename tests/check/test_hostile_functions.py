"""Every judge against functions that no learner should write: a hint each, and no traceback."""

import signal
import time

import pytest
import torch

from minillama import ModelArgs, check
from minillama.check import judge as judging

CHECKS = [name for name in check.__all__ if hasattr(getattr(check, name), "exercise")]
SOME = ("greedy", "top_p", "columns", "read_params", "encode_dialog", "generate")  # the others in `make test-full`
SLOW = [pytest.param(name, marks=[pytest.mark.full] * (name not in SOME)) for name in CHECKS]


class Broken(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class NoException(BaseException):
    pass


def raising(error):
    def function(*args):
        raise error

    return function


def spoils(*args):
    """Changes whatever it is given."""
    for arg in args:
        if isinstance(arg, torch.Tensor):
            arg.zero_() if arg.any() else arg.fill_(1)
        elif isinstance(arg, list):
            arg.clear()
        elif isinstance(arg, ModelArgs):
            arg.n_layers = 77


def endless(*args):
    while True:
        pass


def deep(*args):
    return deep(*args)


RESULTS = [None, 1, 10**5000, 1.5, float("nan"), 1j, "\ud800<b>", b"\xff", [None] * 3, [[1], [2, 3]], {"a": 1}, object,
           torch.tensor(1.0), torch.tensor([]), torch.zeros(2, 3, 4, 5), torch.zeros(2, 4, dtype=torch.complex64),
           torch.zeros(2, 4, device="meta"), torch.eye(4).to_sparse()]  # fmt: skip


def judged(name, function):
    report = getattr(check, name)(function)
    assert report.status == "failed" and report.hint, name
    assert max(map(len, report.hint.splitlines())) <= judging.LONGEST_LINE + 2
    str(report).encode()
    assert "<b>" not in report._repr_html_().replace("<b><span", "")
    return report.hint


@pytest.mark.parametrize("name", SLOW)
def test_odd_results(name):
    for result in RESULTS:
        judged(name, lambda *args, result=result: result)


@pytest.mark.parametrize("name", SLOW)
def test_what_is_raised(name):
    for error in (KeyError("<b>"), ValueError("line\n" * 500), SystemExit(3), GeneratorExit(), NoException(), Broken()):
        assert type(error).__name__ in judged(name, raising(error)) or name in ("read_params", "load_model")
    assert "RecursionError" in judged(name, deep)
    assert "TypeError" in judged(name, lambda: None)


@pytest.mark.parametrize("name", CHECKS)
def test_changed_input(name):
    hint = judged(name, spoils)
    unspoilt = (
        "token_bytes",
        "special_tags",
        "read_params",
        "load_model",
        "cache_mask",
        "tokens_per_second",
        "tokens_to_pay",
        "in_turns",
        "step_bytes",
        "account",
        "merge_shards",
    )  # of str, int, dict …
    assert "changed the" in hint or "you were given" in hint or name in unspoilt


@pytest.mark.parametrize("name", SLOW)
def test_endless_loops(name, monkeypatch):
    monkeypatch.setattr(judging, "TIME_LIMIT", 0.1)
    assert "did not return" in judged(name, endless)


def test_a_bare_except_does_not_outlive_the_time_limit(monkeypatch):
    monkeypatch.setattr(judging, "TIME_LIMIT", 0.1)
    swallowed = []

    def stubborn(probs):
        while not swallowed:
            try:
                time.sleep(60)
            except:  # noqa: E722
                swallowed.append("an alarm")
        endless()

    assert "did not return" in judged("greedy", stubborn)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0), "no alarm comes late"


def test_ctrl_c_is_the_learners():
    with pytest.raises(KeyboardInterrupt):
        check.greedy(raising(KeyboardInterrupt()))


def test_an_error_of_pytorch_is_no_stub():
    hint = check.softmax(lambda logits, temperature: logits.long().softmax(-1)).hint
    assert "NotImplementedError" in hint and "Long" in hint
    assert check.softmax(raising(NotImplementedError("later"))).status == "not attempted"


def test_the_line_that_raised_is_shown():
    def wrong(probs):
        best = probs.argmax(-1)
        return best[99]

    assert judged("greedy", wrong).endswith("in the line: return best[99]")


def test_a_hint_names_what_came():
    assert "returned None. Did you forget `return`?" in judged("greedy", lambda probs: None)
    assert "returned a list. Convert it with torch.tensor(…)." in judged("greedy", lambda probs: [1])
    assert ".values` or `.indices" in judged("top_p", lambda probs, p: probs.max(dim=-1))
    assert "`tolist()`" in judged("all_ended", lambda eos_reached: eos_reached.tolist)
    assert "`yield` makes this a generator; return a list." in judged("cut", lambda *args: (yield))
    assert "Expected a cpu tensor, but yours is meta" in judged("top_p", lambda probs, p: probs.to("meta"))
    assert "0/0, inf/inf, inf - inf, 0 * inf, or the log" in judged("min_p", lambda probs, p: probs * torch.nan)


def test_use_lives_with_what_is_no_function(capsys):
    assert check.use(3, endless) is endless
    assert "int has not passed" in capsys.readouterr().out
