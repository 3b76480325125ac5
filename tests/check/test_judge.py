"""How a function is judged: what names a mistake, what is compared, and the ground on which everything runs."""

import random
import signal
import sys
import threading
import time

import numpy as np
import pytest
import torch

from minillama import ModelArgs, check
from minillama.check import judge as judging
from minillama.check import limits as limits_of
from minillama.check.compare import About, advice, copied, difference, plain
from minillama.check.exercise import Watched, exercise, swap
from minillama.check.judge import Wrong
from minillama.check.report import Case


def right_double(x):
    """f(x): twice x."""
    return 2 * x


def double(mistakes=None, cases=None, **more):
    cases = cases or {f"x = {x}": (x,) for x in (1.5, 3.0, -2.0, 7.0)}
    return exercise(right_double, cases, mistakes or {}, **more)


class Digit:
    def __repr__(self):
        return "1"


# ---- which hint


def test_a_mistake_is_named_only_if_it_explains_every_case():
    judge = double({"Square.": swap("2 * x", "x ** 2"), "Zero.": lambda x: 0.0})
    assert judge(lambda x: x**2).hint == "Square.\nExpected 3, got 2.25."
    assert judge(lambda x: x**2 if x < 5 else 1.0).hint == "Perhaps: Square.\nExpected 3, got 2.25."
    assert judge(lambda x: x**2 if x == 1.5 else 1.0).hint == "Expected 3, got 2.25."
    assert judge(lambda x: 2 * x if x == 1.5 else 0.0).hint == "Perhaps: Zero.\nExpected 6, got 0."


def test_a_mistake_that_is_right_in_the_first_failing_case_explains_nothing():
    judge = double({"Nearly.": lambda x: 2 * x * 1.00008 if x != 7 else 0.0})
    assert judge(lambda x: 2 * x * 1.00015).hint.startswith("Expected 3.0, got 3.00045")


def test_the_pairs_of_a_swap_do_not_see_each_other():
    judge = double({"Triple.": swap("2", "x", "x", "3")}, {"x = 5": (5.0,)})
    assert judge(lambda x: 3 * x).hint.startswith("Triple.")
    with pytest.raises(ValueError, match="'2 ' does not occur in it, or another piece took it"):
        double({"": swap("2", "3", "2 ", "4 ")})(lambda x: x)


def test_a_mistake_may_be_a_wrong_sort_or_an_exception():
    judge = double({"No text.": lambda x: str(x), "It fails.": lambda x: x[0], "No return.": lambda x: None})
    assert judge(lambda x: repr(x)).hint.startswith("No text.\nExpected 3, got '1.5'.")
    assert judge(lambda x: x[1]).hint.startswith("It fails.\nIt raised TypeError")
    assert judge(lambda x: None).hint.startswith("No return.")


def test_an_exception_is_known_by_its_first_word_a_valueerror_by_its_type():
    def raising(error):
        def function(x):
            raise error

        return function

    judge = double({"A tensor.": raising(RuntimeError("Boolean value")), "Raise.": raising(ValueError("no"))})
    assert judge(raising(RuntimeError("Boolean of 3"))).hint.startswith("A tensor.")
    assert judge(raising(RuntimeError("Negation"))).hint.startswith("It raised RuntimeError: Negation")
    assert judge(raising(ValueError("x is 3"))).hint.startswith("Raise.")
    assert judge(raising(ValueError())).hint.startswith("It raised ValueError")


def test_the_cases_before_the_first_failure_are_shown_as_right():
    report = double()(lambda x: 2 * x if x < 5 else 0.0)
    assert [(case.name, case.passed) for case in report.cases] == [
        ("x = 1.5", True), ("x = 3.0", True), ("x = -2.0", True), ("x = 7.0", False)]  # fmt: skip
    assert report.headline() == "<lambda>: failed, 3 cases right"


def test_expected_and_got_never_look_alike():
    assert double()(lambda x: 2 * x + 0.001).hint == "Expected 3, got 3.001."
    assert double()(lambda x: float(2 * x) + 4e-4).hint == "Expected 3.0, got 3.0004."
    long = "a" * 300
    assert difference(long + "b", long + "c").line() == f"Expected … '{'a' * 20}b', got … '{'a' * 20}c'."
    many, other = torch.zeros(30, 7), torch.zeros(30, 7)
    other[20, 5] = 0.5
    assert difference(many, other).line() == "Expected 0 at [20, 5], got 0.5."
    assert difference([1, 2], [1, 3]).line() == "Expected [1, 2], got [1, 3]."
    assert difference({"ids": [4, [5.0]]}, {"ids": [4, [6.0]]}).line() == "Expected [5.0] at ['ids'][1], got [6.0]."
    assert difference(list(range(100)), [*range(99), 7]).line() == "Expected 99 at [99], got 7."
    assert difference("a  b", "a b").line() == "Expected 'a  b', got 'a b'."
    assert difference(1, True).line() == "Expected 1, got True."
    assert difference([0] * 99, [0] * 98).line() == "Expected 99 items, got 98."
    assert difference([1, 2], [1]).line() == "Expected [1, 2], got [1]."
    assert difference(["a" * 60], ["a" * 60] * 2).line() == "Expected 1 item, got 2."
    assert difference([-2 / 3, (1e9, None)], [1 / 3, (0.0, None)]).line() == (
        "Expected [-0.666667, (1000000000.0, None)], got [0.333333, (0.0, None)]."
    )
    assert difference([0.5, 1], [0.5000001, 1], tolerance=0).line() == "Expected [0.5, 1], got [0.5000001, 1]."
    assert difference(1, Digit()).line() == "Expected a whole number (int) 1, got Digit 1."


def test_an_unfinished_function_is_told_how_far_it_came():
    def half_done(x):
        if x < 0:
            raise NotImplementedError
        return 2 * x

    report = double()(half_done)
    assert report.status == "failed"
    assert report.hint == "Right so far, but this case raises NotImplementedError."


def right_positive(x):
    """f(x): x; ValueError where it is not above 0."""
    if x <= 0:
        raise ValueError(f"x is {x}")
    return x


@pytest.mark.parametrize(("error", "words"), [
    (ValueError, "The ValueError has no message."),
    (AssertionError("x"), "`assert` is for your own mistakes"),
    (Exception("x"), "Exception is too general"),
    (TypeError("x"), "Expected ValueError here.\nIt raised TypeError: x"),
    (None, "Expected ValueError, but your function returned 0."),
])  # fmt: skip
def test_an_expected_exception(error, words):
    judge = exercise(right_positive, {"one": (1,), "zero": (0,)}, {})

    def function(x):
        if x <= 0 and error:
            raise error
        return x

    assert words in judge(function).hint
    assert judge(lambda x: right_positive(x)).status == "passed"


def test_a_case_may_be_a_function_that_watches_the_calls():
    def right_twice(model, x):
        """f(model, x): the model, applied twice."""
        return model(model(x))

    def case(f):
        watched = Watched(lambda number, start=0: number + 1)
        return f(watched, 5), watched.calls

    judge = exercise(right_twice, {"5": case}, {"Once.": lambda model, x: model(x) + 1})
    assert judge(lambda model, x: model(number=model(x, start=0))).status == "passed"
    assert judge(lambda model, x: model(x) + 1).hint.startswith("Once.")
    assert "Expected 0 at [1][1]['start'], got 6." in judge(lambda model, x: model(model(x), start=6)).hint
    assert "Did you forget `return`?" in judge(lambda model, x: None).hint


def test_a_look_says_what_is_compared():
    def look(result):
        if result == 3:
            raise Wrong("Not 3.")
        return sorted(result)

    def right_both():
        """f(): 1 and 2."""
        return [1, 2]

    judge = exercise(right_both, {"both": ()}, {}, look=look)
    assert judge(lambda: {2, 1}).status == "passed"
    assert judge(lambda: 3).hint == "Not 3."
    assert "Did you forget `return`?" in judge(lambda: None).hint


def test_a_hint_fits_what_was_returned():
    def right_pair(x):
        """f(x): x and its log."""
        return [x, x.log()]

    judge = exercise(right_pair, {"once": (torch.ones(1),)}, {})
    assert judge(lambda x: None).hint == "Expected a list, but your function returned None. Did you forget `return`?"
    assert judge(lambda x: [x, None]).hint == "Expected a tensor at [1], got None."
    hint = judge(lambda x: [x, (-x).log()]).hint
    assert "0 * inf, or the log of a negative number.\nExpected 0 at [1][0], got nan." in hint


def right_softmax(x):
    """f(x): softmax."""
    return x.exp() / x.exp().sum()


@pytest.mark.parametrize("cheat", [
    lambda x: x.softmax(-1), lambda x: torch.softmax(x, -1), lambda x: torch.nn.functional.softmax(x, -1),
    lambda x: torch.nn.Softmax(-1)(x), lambda x: torch.special.softmax(x, -1), lambda x: x.log_softmax(-1).exp(),
])  # fmt: skip
def test_functions_that_are_to_be_written_by_hand(cheat):
    cases = {"three": (torch.tensor([1.0, 2.0, 4.0]),)}
    judge = exercise(right_softmax, cases, {"Sums.": lambda x: x.exp()}, without=("softmax", "log_softmax"))
    assert judge(cheat).hint.startswith("Do not call ")
    assert judge(lambda x: (x - x.max()).exp() / (x - x.max()).exp().sum()).status == "passed"
    assert judge(lambda x: x.softmax(-1) * x.exp().sum()).hint.startswith("Sums.")


# ---- what is compared


@pytest.mark.parametrize(("expected", "got"), [
    (True, np.bool_(True)), (3, np.int64(3)), (2.5, np.float32(2.5)), (3, torch.tensor(3)), (2.5, np.array(2.5)),
    ([1, 2.5], [np.int32(1), torch.tensor(2.5)]), (True, torch.tensor(True)), ("a", np.str_("a")), (2.0, 2),
    ((1, [2, {"a": 3}]), (np.int8(1), [2, {"a": np.int8(3)}])), (float("nan"), float("nan")), (range(3), [0, 1, 2]),
    (About([0.5], 0.1), About([0.55], 0.1)), (ModelArgs(dim=64), ModelArgs(dim=64)),
])  # fmt: skip
def test_the_same(expected, got):
    assert difference(plain(expected), plain(got)) is None


@pytest.mark.parametrize(("expected", "got", "kind"), [
    (True, 1, "type"), (1, True, "type"), (1, 1.0, "float"), (1, "1", "type"), ([1], (1,), "type"), (None, 0, "type"),
    ("a", b"a", "type"), ([1, 2], [1], "length"), ({"a": 1}, {"b": 1}, "keys"), (1.0, float("nan"), "nan"),
    (torch.zeros(2), torch.zeros(2, 1), "shape"), (torch.zeros(2), torch.zeros(2).double(), "dtype"),
    (torch.zeros(2), torch.zeros(2, device="meta"), "device"), (torch.zeros(2), [0.0, 0.0], "type"),
    (torch.tensor([0, 1]), torch.tensor([0, 2]), "value"), (torch.zeros(2), torch.tensor([0, torch.nan]), "nan"),
    (1.0, 10**400, "value"), (About([0.5], 0.1), About([0.7], 0.1), "value"), (ModelArgs(dim=64), ModelArgs(), "value"),
])  # fmt: skip
def test_not_the_same(expected, got, kind):
    assert difference(plain(expected), plain(got)).kind == kind


def test_the_place_of_a_difference_is_named():
    norm, half, other = {"norm": torch.zeros(2)}, torch.zeros(2).half(), torch.zeros(2, 1)
    for expected, got, words in [
        (norm, {"w": 1}, "The key ['norm'] is missing."),
        ([norm], [{"w": 1} | norm], "There should be no key [0]['w']."),
        (norm, {"norm": half}, "Expected dtype torch.float32 at ['norm'], got torch.float16."),
        ([1, norm], [1, {"norm": other}], "Expected shape (2,) at [1]['norm'], got (2, 1)."),
        (ModelArgs(), {"dim": 64}, "Expected ModelArgs, got {'dim': 64}."),
        ([ModelArgs()], [Case("", True)], "Expected ModelArgs at [0], got Case."),
        (ModelArgs(), ModelArgs(dim=64), "Expected 4096 at ['dim'], got 64."),
    ]:
        assert difference(plain(expected), plain(got)).line() == words
    assert advice(difference(norm, {"norm": half})) == "Expected dtype torch.float32 at ['norm'], got torch.float16."
    assert advice(difference([other], [half.view(2, 1)])) != advice(difference(other, half.view(2, 1)))


def test_an_error_is_shown_with_the_line_after_a_colon():
    def loads(x):
        torch.nn.Linear(2, 2).load_state_dict({"weight": torch.zeros(2, 2)})

    assert 'for Linear: Missing key(s) in state_dict: "bias".\nin the line: torch.nn' in double()(loads).hint
    assert double()(lambda x: [][0]).hint.startswith("It raised IndexError: list index out of range\nin the line")


class Sly(list):
    def __eq__(self, other):
        return True

    __hash__ = None


class SlyTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return torch.tensor(True)


class SlyInt(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


def test_a_class_of_ones_own_cannot_pretend():
    assert difference([1], plain(Sly([2]))).kind == "value" and difference([1], plain(Sly([1]))) is None
    assert difference(1, plain(SlyInt(2))).kind == "value" and type(plain(SlyInt(1))) is int
    assert difference(torch.zeros(2), plain(torch.ones(2).as_subclass(SlyTensor))).kind == "value"
    assert difference(torch.zeros(2), plain(torch.zeros(2).as_subclass(SlyTensor))) is None
    assert difference(torch.zeros(2), plain(torch.nn.Parameter(torch.zeros(2)))) is None


@pytest.mark.parametrize(("given", "spoil", "what"), [
    (torch.zeros(2), lambda x: x.add_(1), "the tensor it was given. Do not use"),
    ([torch.zeros(2)], lambda x: x[0].add_(1), "the tensor at [0] of its argument. Do not use"),
    ([[1], [2]], lambda x: x[1].append(3), "the list at [1] of its argument, as `+=`"),
    ([{"a": 1}, {"a": 2}], lambda x: x[1].update(a=3), "the dict at [1] of its argument. Do not change"),
    ([{"a": 1}, {"a": 2}], lambda x: x.pop(0), "the list it was given, as `+=`"),
    ({"a": {"b": torch.zeros(2)}}, lambda x: x["a"]["b"].add_(1), "the tensor at ['a']['b'] of its argument. Do not"),
    ({"a": [1]}, lambda x: x.pop("a"), "the dict it was given. Do not change"),
    (({"a": 1}, 2), lambda x: x[0].update(a=2), "the dict at [0] of its argument. Do not change"),
    (ModelArgs(), lambda x: setattr(x, "dim", 7), "the ModelArgs it was given. Do not change"),
])  # fmt: skip
def test_what_is_handed_over_must_not_change(given, spoil, what):
    def right_three(x):
        """f(x): 3."""
        return 3

    judge = exercise(right_three, {"once": (given,), "again": (given,)}, {})
    before = plain(given)
    assert judge(lambda x: [spoil(x), 3][1]).hint.startswith(f"Your function changed {what}")
    assert difference(before, plain(given)) is None, "the case itself is a copy"
    assert judge(lambda x: 3).status == "passed"


def test_a_generator_is_copied_with_its_state():
    generator = torch.Generator().manual_seed(3)
    torch.rand(5, generator=generator)
    assert torch.equal(torch.rand(3, generator=copied(generator)), torch.rand(3, generator=copied(generator)))


def test_a_default_argument_that_is_a_list_is_found():
    def collects(x, seen=[]):  # noqa: B006
        seen.append(x)
        return 2 * seen[0]

    assert "kept from one call to the next" not in double()(lambda x: 2 * x).hint
    assert double(cases={"1": (1.0,)})(collects).status == "passed"
    assert double(cases={"1": (1.0,)})(lambda x, seen=[]: [seen.append(x), 2 * x * len(seen)][1]).cases[-1].hint
    assert "default argument" in double()(lambda x, seen=[]: [seen.append(x), 2 * x * len(seen)][1]).hint


# ---- settled ground


def test_settings_of_the_learner_do_not_reach_the_judge_and_come_back():
    probs_right = check.top_p.exercise.right
    torch.set_default_device("meta")
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.no_grad():
            assert check.top_p(probs_right).status == "passed"
            assert "changed" not in check.top_p(lambda probs, p: probs).hint
            assert not torch.is_grad_enabled()
        assert torch.zeros(1).device.type == "meta" and torch.get_default_dtype() == torch.bfloat16
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        assert check.greedy(lambda probs: probs.argmax(-1) + torch.zeros(len(probs)).long()).status == "passed"
        assert torch.zeros(1).device.type == "meta"
    assert torch.zeros(1).device.type == "cpu"


def test_what_a_function_sets_is_set_back():
    state, drawn = torch.get_rng_state(), random.getstate()

    def meddling(x):
        torch.set_default_device("meta")
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.set_printoptions(precision=1)
        torch.use_deterministic_algorithms(True)
        torch.manual_seed(5), random.seed(5)
        return 2 * x

    assert double()(meddling).status == "passed"
    assert torch.zeros(1).device.type == "cpu" and torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled() and not torch.are_deterministic_algorithms_enabled()
    assert str(torch.tensor(0.1234)) == "tensor(0.1234)"
    assert torch.equal(torch.get_rng_state(), state) and random.getstate() == drawn


def test_chance_is_the_same_for_every_check():
    first = double()(lambda x: torch.rand(()).item() + random.random() + np.random.rand()).hint
    torch.rand(3), random.random(), np.random.rand()
    assert double()(lambda x: torch.rand(()).item() + random.random() + np.random.rand()).hint == first


# ---- the time limit


def endless(x):
    while True:
        pass


def stubborn(x):
    for _ in range(2):
        try:
            while True:
                pass
        except:  # noqa: E722
            pass
    return 2 * x


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(judging, "TIME_LIMIT", 0.1)
    monkeypatch.setattr(limits_of, "AGAIN", 0.05)


def limits(function):
    began = time.monotonic()
    assert "did not return within 0.1 seconds" in double()(function).hint
    assert time.monotonic() - began < 2


def in_a_thread(function):
    said = []

    def work():
        try:
            limits(function)
            said.append("ended")
        except BaseException as error:
            said.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(timeout=10)
    assert said == ["ended"]


@pytest.mark.parametrize("function", [endless, lambda x: time.sleep(0.4)])
def test_the_time_limit(short, function, monkeypatch):
    limits(function)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0), "no alarm comes late"
    in_a_thread(function)
    monkeypatch.delattr(signal, "SIGALRM")
    monkeypatch.delattr(signal, "setitimer")
    limits(function)
    time.sleep(0.3)  # nothing comes late


def test_a_bare_except_is_interrupted_again(short, monkeypatch):
    assert double()(stubborn).status == "failed"
    monkeypatch.delattr(signal, "SIGALRM")
    assert double()(stubborn).status == "failed"


@pytest.mark.parametrize("alarm", [True, False])
def test_an_import_is_not_interrupted(short, monkeypatch, tmp_path, alarm):
    if not alarm:
        monkeypatch.delattr(signal, "SIGALRM")
    name = f"slow_to_import_{alarm}"
    (tmp_path / f"{name}.py").write_text("import time\nfor _ in range(30): time.sleep(0.01)\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)

    def importing(x):
        __import__(name)
        while True:
            pass

    limits(importing)
    assert sys.modules.pop(name).whole


@pytest.mark.parametrize("alarm", [True, False])
def test_ctrl_c_is_the_learners(short, monkeypatch, alarm):
    if not alarm:
        monkeypatch.delattr(signal, "SIGALRM")

    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        double()(interrupted)


# ---- output, strictness, use


def test_of_what_is_printed_ten_lines_are_shown(capsys):
    double()(lambda x: [print("line", k) for k in range(300)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:10] == [f"line {k}" for k in range(10)] and len(lines) == 11
    assert lines[10] == f"… and {5 * 2590 - 70:,} more characters that your function printed"
    double()(lambda x: print("few"))
    assert capsys.readouterr().out.splitlines()[:2] == ["few", "few"]
    double()(lambda x: print("x" * 10**6))
    assert len(capsys.readouterr().out) < 2 * limits_of.PRINTED


def test_strict_mode_raises(monkeypatch):
    monkeypatch.setenv("MINILLAMA_STRICT", "1")
    assert double()(lambda x: 2 * x).status == "passed"
    for function, said in [
        (lambda x: ..., "double: <lambda>: not attempted yet. Finish the function and run the cell again."),
        (lambda x: x, "double: <lambda>: failed, 0 cases right · x = 1.5: Half. Expected 3, got 1.5."),
    ]:
        with pytest.raises(AssertionError) as raised:
            double({"Half.": lambda x: x})(function)
        assert str(raised.value) == said


def test_use_asks_for_the_latest_check_of_this_exercise(capsys):
    def solution(x):
        return 2 * x

    def mine(x):
        return factor * x

    def right_triple(x):
        """f(x): three times x."""
        return 3 * x

    triple = exercise(right_triple, {"2": (2.0,)}, {})
    factor = 2
    assert check.use(mine, solution) is solution
    assert capsys.readouterr().out == "Using solution: mine has not passed its check.\n"
    double()(mine), double()(solution)
    assert check.use(mine, solution) is mine
    assert capsys.readouterr().out == "Using mine: your function passed its check.\n"
    factor = 3
    double()(mine)
    assert check.use(mine, solution) is solution, "it failed the last time"
    triple(mine)
    assert check.use(mine, solution) is solution, "it passed another exercise"
    assert check.use(mine, right_triple) is mine, "of a solution that was never judged nothing is known"
    assert check.use(3, solution) is solution


def test_a_report_is_readable_and_escaped():
    def evil(x):
        raise ValueError("<script>alert(1)</script>")

    report = double()(evil)
    assert "✗" in str(report) and "<script>" in str(report)
    assert "<script>" not in report._repr_html_() and "&lt;script&gt;" in report._repr_html_()
    assert double()(3).hint == "Expected a function, got int."


def test_check_shape(capsys):
    check.check_shape(torch.zeros(2, 3), (2, 3))
    assert capsys.readouterr().out == "✓ shape (2, 3)\n"
    with pytest.raises(ValueError, match=r"expected shape \(2, 4\), but x has shape \(2, 3\): axis 1 is 3, not 4"):
        check.check_shape(torch.zeros(2, 3), (2, 4))
    with pytest.raises(ValueError, match="expected 1 axes.* x has 2"):
        check.check_shape(torch.zeros(2, 3), (2,))
    check.check_shape(torch.zeros(2, 3, device="meta"), [np.int64(2), 3])  # a shape is all it needs


@pytest.mark.parametrize("x", [None, [1, 2], "a", 5])
def test_check_shape_of_what_has_none(x):
    with pytest.raises(TypeError, match="^x must be a tensor, got "):
        check.check_shape(x, (2, 3))


def test_check_shape_of_rows_of_unequal_length():
    with pytest.raises(ValueError, match="^x must be a tensor whose rows are equally long, got a nested one"):
        check.check_shape(torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]), (2, 3))


@pytest.mark.parametrize("shape", [None, 3, "ab", (2, "3"), (2, 3.0), (2, None), {2, 3}])
def test_check_shape_against_what_is_none(shape):
    with pytest.raises(TypeError, match=r"^shape(\[1\])? must be a "):
        check.check_shape(torch.zeros(2, 3), shape)
