"""The rules of the house: which room may know which, how large a file may be, what an import may cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINES = 350

# From the ground up; a file or folder may import from its own line and those above it, never from one below.
LAYERS = {
    "minillama": [
        ["ahead", "allowed", "arguments", "cache", "calls", "markup", "files", "penalties", "rope", "svg",
         "tensors", "words"],
        ["model", "tokenizer", "sampling", "logprobs"],
        ["chat", "loop", "parallel", "pth", "shards", "stored", "native", "compiled", "int8"],
        ["results", "guard", "checkpoint"],
        ["formats"],
        ["built"],
        ["generation"],
        ["__init__"],
        ["links", "check", "course", "flowchart", "figures", "plots", "speed_plots", "doctor", "options", "ranks",
         "smollm2", "widgets"],
        ["recorded", "grade"],
        ["__main__"],
    ],
    "training": [["corpus"], ["evaluation"], ["*"]],
    "book": [["words", "execute"], ["pages", "extra"], ["build", "sphinx"], ["__main__"]],
}  # fmt: skip
STRANGERS = {"model", "tokenizer", "sampling", "logprobs"}  # on one line, and yet none knows another


def imports(path: Path) -> set[str]:
    """The modules that a file imports, also inside functions: "minillama.model", "torch.nn" …"""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = ".".join((*package[: len(package) - node.level + 1], *filter(None, [node.module])))
            module = start if node.level else node.module
            found |= {
                f"{module}.{alias.name}" if is_module(f"{module}.{alias.name}") else module for alias in node.names
            }
    return found


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def files(top: str) -> list[Path]:
    return sorted(path for path in (ROOT / top).rglob("*.py") if not {"runs", "_build"} & set(path.parts))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def layer(top: str, room: str) -> int:
    for number, rooms in enumerate(LAYERS[top]):
        if room in rooms or "*" in rooms:
            return number
    raise AssertionError(f"{top}/{room} has no place in LAYERS yet: give it one")


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def arrows(top: str) -> list[tuple[str, str]]:
    """(file, what it imports) within a top folder, both as module names."""
    return [(module_of(path), each) for path in files(top) for each in imports(path)
            if each == top or each.startswith(f"{top}.")]  # fmt: skip


@pytest.mark.parametrize("top", LAYERS)
def test_no_arrow_points_upwards(top):
    for file, target in arrows(top):
        if room(file) != room(target) and target != top:
            assert layer(top, room(target)) <= layer(top, room(file)), f"{file} imports {target}, which stands on it"
        assert not (room(file) in STRANGERS and room(target) in STRANGERS - {room(file)}), f"{file} imports {target}"


@pytest.mark.parametrize("top", LAYERS)
def test_no_circle(top):
    graph: dict[str, set[str]] = {}
    for file, target in arrows(top):
        target = f"{target}.__init__" if (ROOT.joinpath(*target.split("."))).is_dir() else target
        graph.setdefault(file, set()).add(target)
    done: set[str] = set()

    def visit(file: str, way: tuple[str, ...]) -> None:
        assert file not in way, f"a circle: {' -> '.join((*way[way.index(file) :], file))}"
        if file not in done:
            for target in graph.get(file, ()):
                visit(target, (*way, file))
            done.add(file)

    for file in graph:
        visit(file, ())


def test_each_folder_knows_only_what_is_below_it():
    """Benchmarks take a peer and a browser from the tests; the tests know the benchmarks only to test them."""
    above = {
        "minillama": {"training", "tests", "benchmarks", "translation", "book"},
        "training": {"tests", "benchmarks", "book"},
        "translation": {"training", "tests", "benchmarks", "book"},
        "book": {"training", "tests", "benchmarks"},
        "tests": {"benchmarks"},
    }
    for top, rooms in above.items():
        for path in files(top):
            found = {each for each in imports(path) if each.split(".")[0] in rooms}
            assert not found or path.name == "test_benchmarks.py", f"{module_of(path)} imports {found}"
    shared = {each for path in files("benchmarks") for each in imports(path) if each.startswith("tests")}
    assert shared <= {"tests.peers", "tests.browser.jupyterlab"}


def test_the_course_never_imports_a_foreign_format():
    allowed = ("built", "doctor", "smollm2", "__main__", "check", "course", "widgets")
    for file, target in arrows("minillama"):
        if room(target) == "formats" and room(file) != "formats":
            assert room(file) in allowed, (file, target)


@pytest.mark.parametrize("top", ["minillama", "training", "book"])
def test_files_are_short(top):
    for path in files(top):
        n = len(path.read_text(encoding="utf-8").splitlines())
        assert n <= LINES, f"{module_of(path)} has {n} lines; it wants a second room"
    assert len((ROOT / "minillama" / "generation.py").read_text(encoding="utf-8").splitlines()) <= 300


def test_an_import_needs_neither_jupyter_nor_matplotlib():
    """Nor what only other formats, training or compiling need: checked in a fresh process."""
    heavy = ["matplotlib", "IPython", "ipywidgets", "anywidget", "jupyter_core", "gguf", "tokenizers", "transformers",
             "safetensors"]  # fmt: skip
    code = f"import sys, minillama; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.strip() == "[]"
