"""What the package shows: its sentences, read from the source, and the file that it reads at run time.

A sentence is what `say` is called with (in a figure `written` or `joined`): a string, or a name or an expression whose
strings are in the same file. The hints and the names of the cases are taken from the tables of minillama.check, the
labels from minillama.widgets.labels, the writing of the drawings from assets/*.svg.
"""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Iterator
from pathlib import Path

import polib

from translation.catalogue import Message
from translation.cells import ENGLISH, ROOT
from translation.pictures import pictures, writing

PACKAGE = ROOT / "minillama"
SAID = ("say", "written", "joined")  # the last two: in a figure


def sentences(path: Path) -> Iterator[str]:
    """What a file says."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assigned: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    assigned.setdefault(target.id, []).append(node.value)
    seen: set[str] = set()

    def texts(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and any(letter.isalpha() for letter in node.value):
                yield node.value
        elif isinstance(node, ast.Name):
            if node.id not in seen:
                seen.add(node.id)
                for value in assigned.get(node.id, ()):
                    yield from texts(value)
        elif isinstance(node, ast.IfExp):
            yield from (*texts(node.body), *texts(node.orelse))
        elif isinstance(node, ast.Dict):
            for value in node.values:
                yield from texts(value)
        elif isinstance(node, ast.List | ast.Tuple):
            for value in node.elts:
                yield from texts(value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):  # {…}.get(key, "…")
            yield from texts(node.func.value)
            yield from (text for argument in node.args[1:] for text in texts(argument))
        elif isinstance(node, ast.Subscript):
            yield from texts(node.value)

    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SAID and node.args:
            yield from texts(node.args[0])


def tables() -> Iterator[str]:
    """The names of the cases and the hints of every exercise."""
    from minillama import check

    for name in check.__all__:
        if exercise := getattr(getattr(check, name), "exercise", None):
            yield from exercise.cases
            yield from exercise.mistakes


def labels() -> Iterator[str]:
    """The words of the widgets and of the flowchart, whose links have the names of the notebooks."""
    from minillama.flowchart import BOXES, title_of
    from minillama.widgets.labels import EN

    yield from EN.values()
    for box in BOXES:
        yield from (box.label, box.says)
    yield from (title_of(path) for path in sorted(ENGLISH.glob("*.ipynb")))


@functools.cache
def messages() -> list[Message]:
    """Every sentence once, in the order of the files."""
    said = [text for path in sorted(PACKAGE.rglob("*.py")) for text in sentences(path)]
    drawn = [text for path in pictures() for text in writing(path.read_text(encoding="utf-8"))]
    return [Message(text) for text in dict.fromkeys([*labels(), *said, *tables(), *drawn])]


def write(entries: polib.POFile, language: str) -> None:
    done = {entry.msgid: entry.msgstr for entry in entries if entry.msgstr and not entry.fuzzy}
    path = PACKAGE / "locale" / f"{language}.json"
    path.write_text(json.dumps(done, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
