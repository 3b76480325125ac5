"""What a real model returned on another machine, for a notebook that is read where the model's file is not.

    real = Record("16", smollm2.find())

    @real
    def answers(questions): ...

With the file a function marked so runs. Without it, it returns what it returned when `make record` ran the notebook,
below a box that says so. `python -m minillama.recorded` is that run: it writes assets/recorded/16.json.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import math
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

import minillama
from minillama import arguments, smollm2
from minillama.files import written_beside
from minillama.markup import STYLE, escape, wrap
from minillama.widgets.parts import Picture, box
from minillama.words import LANGUAGES, language, say

REPOSITORY = Path(__file__).parent.parent
FOLDER = REPOSITORY / "assets" / "recorded"
DIGITS = 6  # of a number with a point; the digits after them differ between machines
NEAR = {"rel_tol": 0.02, "abs_tol": 0.02}  # how far such a number may be from the recorded one
CHANGED = "This cell was changed, but what you see is still what the original returned."


class Record:
    """A decorator for the functions of a notebook that need the real model's file.

    notebook: its number, such as "16". path: the model's file; None where it is not. Such a function takes and returns
    plain values: None, bool, int, float, str, lists, dicts, or a picture of `minillama.widgets`. With the file it runs;
    what it returns comes back as a record would hold it, tuples as lists and floats with six digits. Without it, the
    recorded value comes back, a picture with its words in the language in use, and a box says so; also that the cell
    was changed, if its code or its arguments are other ones. Raises ValueError, when such a function is called, where
    there is no record of it.
    """

    def __init__(self, notebook: str, path: Path | None):
        arguments.text("notebook", notebook)
        self.file, self.path, self.ran, self._functions = FOLDER / f"{notebook}.json", path, {}, {}

    def __call__(self, function: Callable) -> Callable:
        name, code = function.__name__, code_of(function)

        @functools.wraps(function)
        def call(*given):
            given = plain(given, f"an argument of {name}")
            if self.path is not None:
                value = plain(function(*map(revived, given)), f"what {name} returns")
                self.ran[name], self._functions[name] = {"given": given, "code": code, "value": value}, function
                return revived(value)
            recorded = self.read()
            if name not in recorded["values"]:
                raise ValueError(f"{str(self.file)!r} has no record of {name}; get the model's file: {smollm2.HOW}")
            entry = recorded["values"][name]
            changed = entry["given"] != given or code not in (None, entry["code"])
            _display(mark(recorded, changed))
            return revived(entry.get("in", {}).get(language(), entry["value"]))

        return call

    def read(self) -> dict:
        """The record. Raises ValueError, which names the file, where it is missing or broken."""
        try:
            recorded = json.loads(self.file.read_text(encoding="utf-8"))
            recorded["model"]["file"].split, recorded["versions"]["torch"], recorded["values"].keys()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            advice = f"fetch it with git, or the model's file with: {smollm2.HOW}"
            raise ValueError(f"{str(self.file)!r} is no record ({type(error).__name__}: {error}); {advice}") from error
        return recorded

    def write(self) -> None:
        """Write what ran in this process. Raises ValueError if nothing did, OSError if the disk takes no more."""
        if not self.ran:
            raise ValueError(f"nothing ran, so there is nothing to record; get the model's file: {smollm2.HOW}")
        self._draw_in_each_language()
        entries = (f"  {_json(name)}: {_json(entry)}" for name, entry in self.ran.items())
        model = {"file": self.path.name, "sha256": hashlib.sha256(self.path.read_bytes()).hexdigest()}
        versions = {"minillama": minillama.__version__, "torch": torch.__version__}
        head = f'{{\n "model": {_json(model)},\n "versions": {_json(versions)},\n "values": {{\n'
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(self.file.parent, self.file.stem) as write:
            write(self.file.name, head + ",\n".join(entries) + "\n }\n}\n")

    def differences(self, drawn: tuple[str, ...] = ()) -> list[str]:
        """Where what ran in this process is not what was recorded; [] if it is the same.

        Numbers with a point may be a little off. drawn: functions whose values are drawn, so that another processor may
        draw other ones; their values only have to be of the same kind and number.
        """
        self._draw_in_each_language()
        recorded, found = self.read()["values"], []
        for name in recorded.keys() ^ self.ran.keys():
            found.append(f"{name}: {'it did not run' if name in recorded else 'it is not recorded'}")
        for name in recorded.keys() & self.ran.keys():
            for part in ("given", "code", "value", "in"):
                due, got = recorded[name].get(part), self.ran[name].get(part)
                found += _differ(due, got, f"{name}: {part}", name in drawn and part == "value")
        return sorted(found)

    def _draw_in_each_language(self) -> None:
        """A picture has words in it. Draw those of this process in the other languages too: {"in": {language: …}}."""
        before = language()
        try:
            for name, entry in self.ran.items():
                if is_picture(entry["value"]) and "in" not in entry:
                    entry["in"] = {}
                    for other in (each for each in LANGUAGES if each != before):
                        language(other)
                        entry["in"][other] = plain(self._functions[name](*map(revived, entry["given"])))
        finally:
            language(before)


def mark(recorded: dict, changed: bool) -> Picture:
    """The box above a recorded value."""
    name, torch_version = recorded["model"]["file"].split(".")[0], recorded["versions"]["torch"]
    template = "Recorded: what {name} returned on another machine (torch {version}). To run it: {how}."
    words = say(template, name=name, version=torch_version, how=smollm2.HOW)
    words = say("{said} {cure}", said=words, cure=say(CHANGED)) if changed else words
    how = escape(smollm2.HOW)
    page = box(words, "missing").replace(how, f'<span class="ml-whole">{how}</span>')
    return Picture(wrap(page, "ml-recorded"), words)


def code_of(function: Callable) -> str | None:
    """The text of a function without comments and layout; None where Python does not know it."""
    try:
        return ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(function))))
    except (OSError, TypeError, SyntaxError):
        return None


def plain(value, name: str = "value"):
    """A value as a record holds it. Raises TypeError for one that JSON does not have, except a Picture.

    >>> plain({"ids": (1, 2), "nats": 0.123456789})
    {'ids': [1, 2], 'nats': 0.123457}
    """
    if isinstance(value, Picture):
        return {"page": value.page.replace(STYLE, ""), "words": value.words}
    if isinstance(value, list | tuple):
        return [plain(each, name) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(each, name) for key, each in value.items()}
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.{DIGITS}g}")
    if value is None or isinstance(value, bool | int | str):
        return value
    kinds = "None, bool, int, finite float, str, lists, dicts with str keys, and pictures"
    raise TypeError(f"{name} must be made of {kinds}, got {arguments.typed(value)}")


def is_picture(value) -> bool:
    return isinstance(value, dict) and value.keys() == {"page", "words"}


def revived(value):
    """The value that a record holds: a picture can be seen again."""
    return Picture(STYLE + value["page"], value["words"]) if is_picture(value) else value


def _differ(due, got, place: str, drawn: bool) -> Iterator[str]:
    if isinstance(due, float) and isinstance(got, float | int):
        if not drawn and not math.isclose(due, got, **NEAR):
            yield f"{place}: {got} instead of {due}"
    elif type(due) is not type(got):
        yield f"{place}: {got!r} instead of {due!r}"
    elif is_picture(due) and is_picture(got):
        if not drawn and _without_points(due) != _without_points(got):
            yield f"{place}: {got['words']!r} instead of {due['words']!r}"
    elif isinstance(due, dict | list) and len(due) == len(got):
        keys = due if isinstance(due, dict) else range(len(due))
        for key in keys:
            if isinstance(due, dict) and key not in got:
                yield f"{place}: {key!r} is missing"
            else:
                yield from _differ(due[key], got[key], f"{place}[{key!r}]", drawn)
    elif due != got and (not drawn or isinstance(due, dict | list)):
        yield f"{place}: {got!r} instead of {due!r}"


def _without_points(picture: dict) -> tuple[str, str]:
    """A picture's words without numbers that have a point, and its page without numbers and colours."""
    return re.sub(r"-?\d+\.\d+", "", picture["words"]), re.sub(r"#[0-9a-f]{6}|[-\d.<]+%?", "", picture["page"])


def _json(value) -> str:
    return json.dumps(value, ensure_ascii=False)


def _display(picture: Picture) -> None:
    from IPython.display import display

    display(picture)


def main() -> None:
    """Run notebook 16 with the real model, and write the record."""
    import nbformat
    from nbclient import NotebookClient

    smollm2.fetch()
    notebook = nbformat.read(next((REPOSITORY / "notebooks").glob("16_*.ipynb")), as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("real.write()\nprint(real.file)"))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": REPOSITORY / "notebooks"}}).execute()
    print(notebook.cells[-1].outputs[0]["text"], end="")


if __name__ == "__main__":
    main()
