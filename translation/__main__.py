"""make translate, make translate-status, and what a translator needs. See CONTRIBUTING.md.

    python -m translation                        bring catalogues up to date, build what is whole
    python -m translation status                 what is missing, fuzzy or wrong, by notebook
    python -m translation todo 07 > todo.json    {cell id: English source} of what is still to do
    python -m translation fill 07 todo.json      {cell id: translation} into the catalogue; says what is wrong, by cell

A notebook is named by its number; minillama is what the package shows. --language: a folder of locale/.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import nbformat
import polib

from translation import catalogue, package, pictures
from translation.catalogue import PACKAGE, begun, is_whole, load, notebook_path, path_of, save, state, texts
from translation.cells import built, names, read
from translation.style import allowed, faults, formatted


def update(name: str, language: str) -> polib.POFile:
    return catalogue.update(name, language, package.messages() if name == PACKAGE else None)


def page(name: str, language: str) -> str:
    """The built notebook, as its file has it."""
    whole = {each for each in begun(language) if is_whole(load(each, language))}
    return nbformat.writes(built(name, texts(load(name, language)), language, whole)) + "\n"


def wrong(name: str, entries: polib.POFile, language: str) -> dict[str, list[str]]:
    """{cell id, or English text of the package: faults} of what is translated, without what is allowed."""
    fine = allowed(language).get(name, {})
    found = {}
    for entry in entries:
        key = entry.msgctxt or entry.msgid
        kind = "package" if name == PACKAGE else entry.comment
        if entry.msgstr and not entry.fuzzy:
            found[key] = [each for each in faults(kind, entry.msgid, entry.msgstr, language)
                          if each not in fine.get(key, ())]  # fmt: skip
    return {key: each for key, each in found.items() if each}


def translate(language: str) -> None:
    if path_of(PACKAGE, language).exists():
        entries = update(PACKAGE, language)
        save(entries, PACKAGE, language)
        package.write(entries, language)
        pictures.write({entry.msgid: entry.msgstr for entry in entries if entry.msgstr and not entry.fuzzy}, language)
    for name in begun(language):
        save(update(name, language), name, language)
    for name in begun(language):
        if is_whole(load(name, language)):
            path = notebook_path(name, language)
            path.parent.mkdir(exist_ok=True)
            path.write_text(page(name, language), encoding="utf-8")
        else:
            print(f"{language}/{name} is not built: {line(name, language)}")


def line(name: str, language: str) -> str:
    if not path_of(name, language).exists():
        return "not begun"
    entries = update(name, language)
    counts = ", ".join(f"{len(each)} {what}" for what, each in state(entries).items())
    return f"{counts}, {len(wrong(name, entries, language))} wrong, of {len(entries)}"


def status(language: str) -> None:
    for name in (*names(), PACKAGE):
        print(f"{language}/{name}: {line(name, language)}")


def todo(name: str, language: str) -> None:
    found = {}
    for entry in update(name, language):
        key = entry.msgctxt or entry.msgid
        if entry.fuzzy:
            found[key] = {"now": entry.msgid, "was": entry.previous_msgid, language: entry.msgstr}
        elif not entry.msgstr:
            found[key] = entry.msgid
    json.dump(found, sys.stdout, ensure_ascii=False, indent=1)


def fill(name: str, language: str, given: dict[str, str]) -> bool:
    """Write what has no fault; print the faults of the rest. Return whether there were none."""
    entries = update(name, language)
    here = {entry.msgctxt or entry.msgid: entry for entry in entries}
    cells = {} if name == PACKAGE else {cell.id: cell for cell in read(name).cells}
    fine = allowed(language).get(name, {})
    good = True
    for key, text in given.items():
        if key not in here and key in cells:  # code that need not be translated, and may be
            here[key] = polib.POEntry(msgid=cells[key].source, msgctxt=key, comment=cells[key].cell_type)
            entries.append(here[key])
        found = ["there is no such message"] if key not in here else ["no text"] if not isinstance(text, str) else []
        if not found:
            entry = here[key]
            kind = "package" if name == PACKAGE else entry.comment
            text = formatted(text) if kind == "code" else text
            found = [each for each in faults(kind, entry.msgid, text, language) if each not in fine.get(key, ())]
        if found:
            good = False
            print(f"{key}\n" + "\n".join(f"    {fault}" for fault in found))
        else:
            entry.msgstr, entry.flags, entry.previous_msgid = text, [], None
    save(entries, name, language)
    save(update(name, language), name, language)  # in the order of the cells
    print(f"{language}/{name}: {line(name, language)}")
    return good


def full_name(short: str) -> str:
    found = [name for name in (*names(), PACKAGE) if name.startswith(short)]
    if len(found) != 1:
        sys.exit(f"{short!r} is no notebook: give a number such as 07, or minillama")
    return found[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m translation", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("what", nargs="?", default="build", choices=["build", "status", "todo", "fill"])
    parser.add_argument("name", nargs="?", help="a notebook's number, or minillama")
    parser.add_argument("file", nargs="?", type=Path, help="for fill: a JSON file, {cell id: translation}")
    parser.add_argument("--language", choices=catalogue.languages(), default=None)
    given = parser.parse_args()
    chosen = [given.language] if given.language else catalogue.languages()
    if given.what in ("build", "status"):
        for each in chosen:
            translate(each) if given.what == "build" else status(each)
    elif not given.name or given.what == "fill" and not given.file:
        parser.error(f"{given.what} needs a notebook" + ", and a file" * (given.what == "fill"))
    elif given.what == "todo":
        todo(full_name(given.name), chosen[0])
    else:
        pairs = json.loads(given.file.read_text(encoding="utf-8"))
        sys.exit(not fill(full_name(given.name), chosen[0], pairs))
