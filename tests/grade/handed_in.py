"""Made-up notebooks that students hand in, and how they must be graded.

The notebook that was given out has three exercises, greedy, all_ended and entropy. A submission says what stands in
their cells, and in a cell before and after them; what it does not mention is right.
"""

from __future__ import annotations

from typing import NamedTuple

RIGHT = {
    "greedy": "def my_greedy(probs):\n    return probs.argmax(dim=-1)",
    "all_ended": "def my_all_ended(eos_reached):\n    return bool(eos_reached.all())",
    "entropy": "def my_entropy(probs):\n    return -torch.xlogy(probs, probs).sum(dim=-1)",
}
STUB = {name: text.split("\n")[0] + "\n    raise NotImplementedError" for name, text in RIGHT.items()}
WRONG = {
    "greedy": "def my_greedy(probs):\n    return probs.argmin(dim=-1)",
    "all_ended": "def my_all_ended(eos_reached):\n    return bool(eos_reached.any())",
    "entropy": "def my_entropy(probs):\n    return torch.xlogy(probs, probs).sum(dim=-1)",
}
P, F, N, M = "passed", "failed", "not attempted", "missing"


class HandedIn(NamedTuple):
    due: tuple[str, str, str]  # the status of each exercise
    hint: str = ""  # what the first hint says
    quick: bool = False  # also in `make test`
    before: str = ""
    after: str = ""
    greedy: str = RIGHT["greedy"] + "\n\n\ncheck.greedy(my_greedy)"
    all_ended: str = RIGHT["all_ended"] + "\n\n\ncheck.all_ended(my_all_ended)"
    entropy: str = RIGHT["entropy"] + "\n\n\ncheck.entropy(my_entropy)"

    def cells(self) -> list[str]:
        """As in the course, below each exercise its solution."""
        cells = ["import torch\nfrom minillama import check", self.before]
        for name in RIGHT:
            cells += [getattr(self, name), RIGHT[name].replace("my_", "solution_")]
        return [*cells, self.after]


def in_function(*lines: str) -> str:
    """my_greedy, which does this before it returns what is wrong."""
    return "\n    ".join(["def my_greedy(probs):", *lines, "return probs.argmin(dim=-1)"])


PATCHED = """
from minillama.check import compare, exercise, judge, report
passed = lambda *args, **kwargs: report.Report("my_greedy", "passed", [])
exercise.Exercise.judge = exercise.Exercise.verdict = passed
exercise.Exercise.trouble = exercise.Exercise.alike = lambda *args: None
exercise.Exercise.outcomes = lambda self, function: iter(self.expected)
run = judge.run
judge.run = exercise.run = lambda function, *args, **kwargs: run(check.greedy.exercise.right, *args, **kwargs)
compare.compared = compare.difference = exercise.compared = judge.compared = lambda *args, **kwargs: None
judge.finish = passed
"""
REBOUND = """
class check:
    greedy = all_ended = entropy = staticmethod(lambda function: print(f"✓ {function.__name__}: passed"))
"""
FAKE = """
import pathlib, sys, types
pathlib.Path("minillama").mkdir()
pathlib.Path("minillama/__init__.py").write_text("")
for name in [name for name in sys.modules if name.startswith("minillama")]:
    del sys.modules[name]
fake = types.ModuleType("minillama.check")
fake.greedy = lambda function: print("✓")
sys.modules["minillama.check"] = fake
"""
SLY = """
class Sly(torch.Tensor):
    def __eq__(self, other): return torch.ones(len(self), dtype=torch.bool)
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None): return torch.tensor(True)

class SlyInt(int):
    __eq__ = lambda self, other: True
    __hash__ = int.__hash__
"""
PIPE = """
line = b'{"end": true}\\n' * 9
for fd in range(3, 64):
    try:
        os.write(fd, line)
    except OSError:
        pass
"""
NONSENSE = """
import itertools, os
lines = b'7\\n', b'{"cell": 99}\\n', b'{"exercise": "top_p"}\\n', b'{"outcome": 3}\\n'
for line, fd in itertools.product(lines, range(3, 64)):
    try:
        os.write(fd, line)
    except OSError:
        pass
"""
HONEST = {
    "all_done": HandedIn((P, P, P), quick=True),
    "nothing_done": HandedIn((N, N, N), **STUB),
    "half_done": HandedIn((P, F, N), "all", quick=True, all_ended=WRONG["all_ended"], entropy=STUB["entropy"]),
    "wrong_sign": HandedIn((P, P, F), "The sign is wrong", entropy=WRONG["entropy"]),
    "another_style": HandedIn(
        (P, P, P),
        before="from functools import partial",
        greedy="my_greedy = lambda probs: probs.max(-1).indices",
        all_ended="my_all_ended = partial(lambda f, x: f(x.tolist()), all)",
        entropy="class Entropy:\n    def __call__(self, x): return -torch.xlogy(x, x).sum(-1)\nmy_entropy = Entropy()",
    ),
    "with_a_helper": HandedIn(
        (P, P, P),
        before="def best(row):\n    return max(range(len(row)), key=lambda i: row[i])",
        greedy="def my_greedy(probs):\n    return torch.tensor([best(row.tolist()) for row in probs])",
    ),
    "without_checks": HandedIn((P, F, P), **RIGHT | {"all_ended": WRONG["all_ended"]}),
    "changed_later": HandedIn((F, P, P), after=WRONG["greedy"]),
    "changes_settings": HandedIn(
        (P, P, P), before="torch.set_default_dtype(torch.bfloat16)\ntorch.set_default_device('meta')"
    ),
    "has_magics": HandedIn(
        (P, P, P), before="%%time\nimport asyncio\nawait asyncio.sleep(0)", after="%timeit -n 1 -r 1 1\n!echo hello"
    ),
    "half_an_exercise": HandedIn(
        (F, P, P),
        "Right so far, but this case raises NotImplementedError",
        greedy="def my_greedy(x):\n    if len(x) == 2:\n        return x.argmax(-1)\n    raise NotImplementedError",
    ),
}
BROKEN = {
    "two_cells_fail": HandedIn((P, P, P), before="undefined + 1", after="1 / 0"),
    "is_not_python": HandedIn((P, M, P), all_ended="def my_all_ended(eos_reached:\n    return"),
    "is_deleted": HandedIn((P, M, M), quick=True, all_ended="", entropy="", after="del solution_entropy"),
    "is_renamed": HandedIn((M, P, P), greedy=RIGHT["greedy"].replace("my_greedy", "greedy_of_mine")),
    "no_function": HandedIn(
        (F, F, P), "Expected a function, got int", greedy="my_greedy = 3", all_ended="my_all_ended = None"
    ),
    "raises": HandedIn((F, P, P), "It raised KeyError", greedy=in_function("{}[0]")),
    "asks": HandedIn((P, P, P), before="name = input('Your name? ')"),
    "leaves": HandedIn(
        (P, F, P),
        "It raised SystemExit",
        before="import sys\nsys.exit()",
        all_ended="def my_all_ended(x):\n    raise SystemExit",
    ),
    "interrupts": HandedIn((F, P, P), "ended the process", greedy=in_function("raise KeyboardInterrupt")),
    "ends_the_process": HandedIn(
        (F, P, P),
        "It ended the process: exit status 0.",
        quick=True,
        before="import os\nos._exit(0)",
        greedy=in_function("import os", "os._exit(0)") + "\n\n\ncheck.greedy(my_greedy)",
    ),
    "kills_itself": HandedIn(
        (P, P, F),
        "It ended the process: signal 9.",
        before="import os",
        entropy="def my_entropy(x):\n    os.kill(os.getpid(), 9)",
    ),
}
TOO_MUCH = {
    "endless_cell": HandedIn((P, P, P), before="while True:\n    pass"),
    "stubborn_cell": HandedIn(
        (P, P, P), before="while True:\n    try:\n        input()\n    except BaseException: pass"
    ),
    "endless_function": HandedIn(
        (P, P, F), "did not return within 5 seconds", entropy="def my_entropy(x):\n    while True: pass"
    ),
    "endless_print": HandedIn(
        (F, P, P),
        quick=True,
        before="while True:\n    print('x' * 10000)",
        greedy=in_function("for k in range(10**4): print(k)"),
    ),
    "much_memory": HandedIn(
        (F, P, P), before="hoard = [torch.ones(2**28) for _ in range(99)]", greedy=in_function("torch.ones(2**36)")
    ),
    "much_returned": HandedIn(
        (F, P, P), "too large or too deep", greedy="def my_greedy(probs):\n    return ['x' * 2**20] * 99"
    ),
    "forks": HandedIn((P, P, P), before="import os\nfor _ in range(3): os.fork()"),
    "leaves_things_running": HandedIn(
        (P, P, P),
        before="import subprocess, threading, time\nsubprocess.Popen(['sleep', '987654'])\n"
        "threading.Thread(target=time.sleep, args=(987654,)).start()",
    ),
}
CHEATING = {
    "prints_a_pass": HandedIn((N, N, N), **{name: f"{text}\n\n\nprint('✓ passed')" for name, text in STUB.items()}),
    "rebinds_check": HandedIn((F, F, F), before=REBOUND, **WRONG),
    "patches_the_package": HandedIn((F, F, F), quick=True, before=PATCHED, **WRONG),
    "patches_when_called": HandedIn(
        (F, F, P),
        before="import sys",
        greedy=in_function(
            "for name in ('compare', 'judge', 'exercise'):",
            "    sys.modules[f'minillama.check.{name}'].compared = lambda *args, **kwargs: None",
        ),
        all_ended=WRONG["all_ended"],
    ),
    "patches_torch": HandedIn(
        (F, F, F),
        before="torch.isclose = torch.equal = torch.Tensor.all = lambda *args, **kwargs: torch.tensor(True)",
        **WRONG | {"all_ended": "def my_all_ended(x):\n    return True"},
    ),
    "is_equal_to_all": HandedIn(
        (F, F, F),
        before=SLY,
        greedy="def my_greedy(probs):\n    return probs.argmin(-1).as_subclass(Sly)",
        all_ended="def my_all_ended(x):\n    return SlyInt(7)",
        entropy="def my_entropy(x):\n    return torch.zeros(len(x)).as_subclass(Sly)",
    ),
    "has_a_false_package": HandedIn((F, P, P), before=FAKE, greedy=WRONG["greedy"]),
    "takes_the_solution": HandedIn(
        (F, F, P),
        "my_greedy is solution_greedy",
        greedy="",
        all_ended="def my_all_ended(x):\n    return solution_all_ended(x)",
        after="my_greedy = solution_greedy",
    ),
    "takes_the_judges": HandedIn(
        (F, P, P), "my_greedy is right_greedy", greedy="my_greedy = check.greedy.exercise.right"
    ),
    "writes_nonsense": HandedIn((P, P, P), before=NONSENSE),
    "says_it_is_over": HandedIn(
        (F, F, F), "It was not tried on every case", before="import os", greedy=in_function(*PIPE.strip().split("\n"))
    ),
}
SUBMISSIONS = HONEST | BROKEN | TOO_MUCH | CHEATING
