"""The judges of the exercises on sampling: the right answer passes, the answers that learners give are understood."""

import time

import pytest
import torch

from minillama import check
from minillama.check import judge as judging
from minillama.sampling import filter_min_p, nucleus
from minillama.sampling import sample_top_p as package_sample_top_p


def right_top_p(probs, p):
    top = nucleus(probs, p)
    return torch.zeros_like(probs).scatter(-1, top.probs_idx, top.renormalised)


def filtered(probs, p, descending=True, keep=lambda total, own, p: total - own <= p, normal=True, back=True):
    values, ids = probs.sort(dim=-1, descending=descending)
    values = values.where(keep(values.cumsum(-1), values, p), 0.0)
    values = values / values.sum(-1, keepdim=True) if normal else values
    return torch.zeros_like(probs).scatter(-1, ids, values) if back else values


def changes_its_input(probs, p):
    result = right_top_p(probs, p)
    probs.div_(2)
    return result


def loops(probs, p):
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            pass


TOP_P_MISTAKES = {
    "sorted upwards": (lambda probs, p: filtered(probs, p, descending=False), "descending=True"),
    "strictly before": (lambda probs, p: filtered(probs, p, keep=lambda total, own, p: total - own < p), "drop where"),
    "drops the one that crosses": (
        lambda probs, p: filtered(probs, p, keep=lambda total, own, p: total <= p),
        "crosses",
    ),
    "not renormalised": (lambda probs, p: filtered(probs, p, normal=False), "add up to 1"),
    "not put back": (lambda probs, p: filtered(probs, p, back=False), "sorted order"),
    "wrong axis": (lambda probs, p: right_top_p(probs.T, p).T, "dim=-1"),
    "one sum for all rows": (
        lambda probs, p: (lambda kept: kept / kept.sum())(filtered(probs, p, normal=False)),
        "keepdim",
    ),
    "upside down": (lambda probs, p: normal(filtered(probs, p, keep=lambda a, b, p: a - b > p, normal=False)), "tail"),
    "gather for scatter": (
        lambda probs, p: nucleus(probs, p).renormalised.gather(-1, nucleus(probs, p).probs_idx),
        "scatter writes",
    ),
    "mask over unsorted": (lambda probs, p: normal(probs.where(nucleus(probs, p).kept, 0)), "Mask the sorted values"),
    "not sorted": (lambda probs, p: normal(probs.where(probs.cumsum(-1) - probs <= p, 0)), "Sort first"),
    "no return": (lambda probs, p: None, "return"),
    "a list": (lambda probs, p: right_top_p(probs, p).tolist(), "list"),
    "one row only": (lambda probs, p: right_top_p(probs, p)[0], "shape"),
    "wrong dtype": (lambda probs, p: right_top_p(probs, p).half(), "float16"),
    "nan": (lambda probs, p: right_top_p(probs, p) / 0 * 0, "nan"),
    "changes its input": (changes_its_input, "changed the tensor"),
    "raises": (lambda probs, p: probs[99], "IndexError"),
    "leaves": (lambda probs, p: exit(), "SystemExit"),
    "keeps all but the best": (lambda probs, p: filtered(probs, p, keep=lambda total, own, p: total > own), "due"),
}


def test_right_answers_pass():
    for report in (check.top_p(right_top_p), check.sample_top_p(package_sample_top_p), check.min_p(filter_min_p)):
        assert report.status == "passed", str(report)
        assert report.hint == ""


@pytest.mark.parametrize("name", TOP_P_MISTAKES)
def test_top_p_understands(name):
    wrong, hint = TOP_P_MISTAKES[name]
    report = check.top_p(wrong)
    assert report.status == "failed"
    assert hint in report.hint, str(report)
    assert not report.cases[-1].passed and all(case.passed for case in report.cases[:-1])


def test_every_mistake_has_a_hint_of_its_own():
    hints = [check.top_p(wrong).hint for wrong, _ in TOP_P_MISTAKES.values()]
    assert len(set(hints)) == len(hints)


def places(probs, p, generator):
    return torch.multinomial(nucleus(probs, p).renormalised, 1, generator=generator)


def own_generator(probs, p, generator):
    return package_sample_top_p(probs, p)


def greedy(probs, p, generator):
    return probs.argmax(-1, keepdim=True)


def whole_distribution(probs, p, generator):
    return torch.multinomial(probs if p else right_top_p(probs, p), 1, generator=generator)


def uniform(probs, p, generator):
    return torch.multinomial((right_top_p(probs, p) > 0).float(), 1, generator=generator)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (places, "gather"),
        (own_generator, "generator="),
        (greedy, "argmax"),
        (lambda probs, p, generator: torch.multinomial(probs, 1, generator=generator), "Filter first"),
        (whole_distribution, "too often or too seldom"),
        (uniform, "too often or too seldom"),
        (lambda probs, p, generator: package_sample_top_p(probs, p, generator).reshape(-1), "(2, 1)"),
        (lambda probs, p, generator: package_sample_top_p(probs, p, generator).float(), "int64"),
    ],
)
def test_sample_top_p_understands(wrong, hint):
    report = check.sample_top_p(wrong)
    assert report.status == "failed"
    assert hint in report.hint, str(report)


def normal(kept):
    return kept / kept.sum(-1, keepdim=True)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda probs, m: normal(probs.where(probs >= m, 0)), "times the row's largest"),
        (lambda probs, m: normal(probs.where(probs > m * probs.amax(-1, True), 0)), "exactly at the limit"),
        (lambda probs, m: normal(probs.where(probs >= m * probs.max(), 0)), "one maximum"),
        (lambda probs, m: probs.where(probs >= m * probs.amax(-1, True), 0), "add up to 1"),
        (lambda probs, m: normal(probs.where(probs < m * probs.amax(-1, True), 0)), "kept the improbable"),
        (
            lambda probs, m: (lambda kept: kept / kept.sum())(probs.where(probs >= m * probs.amax(-1, True), 0)),
            "by one sum",
        ),
    ],
)
def test_min_p_understands(wrong, hint):
    report = check.min_p(wrong)
    assert report.status == "failed"
    assert hint in report.hint, str(report)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda probs: probs.argmax(0), "dim=-1"),
        (lambda probs: probs.argmax(-1, keepdim=True), "shape"),
        (lambda probs: probs.amax(-1), "no ids but numbers"),
        (lambda probs: probs.argmax(-1).int(), "int64"),
        (lambda probs: probs.argmin(-1), "due"),
        (lambda probs: probs.argmax(), "for all rows"),
    ],
)
def test_greedy_understands(wrong, hint):
    assert check.greedy(lambda probs: probs.argmax(dim=-1)).status == "passed"
    report = check.greedy(wrong)
    assert report.status == "failed" and hint in report.hint, str(report)


def stub(probs, p):
    raise NotImplementedError


def test_a_filter_that_drops_nothing_is_told_to_sort_downwards():
    assert "descending=True" in check.top_p(lambda probs, p: probs).hint


def dots(probs, p): ...


def returns_dots(probs, p):
    return ...


@pytest.mark.parametrize("function", [stub, returns_dots])
def test_a_stub_is_not_attempted(function):
    report = check.top_p(function)
    assert report.status == "not attempted"
    assert str(report).startswith("○")


def test_an_empty_body_is_told_to_return():
    assert "return" in check.top_p(dots).hint


def test_an_endless_loop_ends(monkeypatch):
    monkeypatch.setattr(judging, "TIME_LIMIT", 0.2)
    start = time.monotonic()
    report = check.top_p(loops)
    assert time.monotonic() - start < 2
    assert "did not return" in report.hint


def test_what_is_no_function_is_named():
    assert "got int" in check.top_p(3).hint


def test_strict_mode_raises(monkeypatch):
    monkeypatch.setenv("MINILLAMA_STRICT", "1")
    assert check.top_p(right_top_p).status == "passed"
    for function in (stub, TOP_P_MISTAKES["sorted upwards"][0]):
        with pytest.raises(AssertionError):
            check.top_p(function)


def test_use_takes_the_learners_function_once_it_passed(capsys):
    def mine(probs, p):
        return right_top_p(probs, p)

    assert check.use(mine, right_top_p) is right_top_p
    assert "mine has not passed" in capsys.readouterr().out
    check.top_p(mine)
    assert check.use(mine, right_top_p) is mine
    assert "mine: your function passed" in capsys.readouterr().out


def test_a_report_is_readable_and_escaped():
    def evil(probs, p):
        raise ValueError("<script>alert(1)</script>")

    report = check.top_p(evil)
    assert "✗" in str(report) and "<script>" in str(report)
    html = report._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html


def test_check_shape(capsys):
    check.check_shape(torch.zeros(2, 3), (2, 3))
    assert capsys.readouterr().out == "✓ shape (2, 3)\n"
    with pytest.raises(ValueError, match=r"shape \(2, 3\), due \(2, 4\): axis 1 is 3 instead of 4"):
        check.check_shape(torch.zeros(2, 3), (2, 4))
    with pytest.raises(ValueError, match="2 axes.*1 are due"):
        check.check_shape(torch.zeros(2, 3), (2,))
