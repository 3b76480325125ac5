"""The pages that are no notebooks: start, glossary, for instructors, licences. Their words are in book/<language>/."""

from __future__ import annotations

import re
from html import escape
from importlib import metadata
from pathlib import Path
from string import Template

import nbformat

import minillama
from book.words import read
from minillama import flowchart
from minillama.course import SHORT_ROUTE

ROOT = Path(__file__).parents[1]
SHIPPED = ("furo", "Sphinx", "snowballstemmer", "Pygments", "myst-nb")  # of these a part is in the book
BUILDS = ("jieba",)  # these only make it
LINK = re.compile(r"\[([^]]*)\]\(([^)]*)\)")


def write(folder: Path, language: str) -> None:
    """Write the pages of a language beside its notebooks, which are in the folder already: others get no links."""
    here = {path.stem for path in folder.glob("[0-9][0-9]_*.*")}
    pages = {
        "index": start(language, here),
        "glossary": filled(language, "glossary", terms=glossary(language, here)),
        "instructors": instructors(language, here),
        "licences": licences(language),
    }
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def filled(language: str, name: str, **gaps: str) -> str:
    """The page book/<language>/<name>.md, its $gaps filled."""
    return Template((ROOT / "book" / language / f"{name}.md").read_text(encoding="utf-8")).substitute(gaps)


def link(text: str, target: str, here: set[str]) -> str:
    """A link to a notebook's page; without that page the text alone."""
    return f"[{text}]({target})" if target.partition(".html")[0] in here else text


# ---- the start page


def notebooks(language: str) -> dict[str, tuple[str, str]]:
    """{name: (title, "45 minutes")}, as the first cell states them."""
    found = {}
    for path in sorted((ROOT / "notebooks" / ("" if language == "en" else language)).glob("*.ipynb")):
        title = nbformat.read(path, as_version=4).cells[0].source
        found[path.stem] = re.match("# (.*)", title)[1], re.search(r"\*(\d+ \w+)", title)[1]
    return found


def start(language: str, here: set[str]) -> str:
    every = notebooks(language)
    routes = {"full": list(every), "short": [name for name in every if int(name[:2]) in SHORT_ROUTE]}
    gaps = {"flowchart": chart(language, here), "notebooks": "\n".join(sorted(here))}
    for route, names in routes.items():
        lines = [f"- {link(every[name][0], f'{name}.html', here)} · {every[name][1]}" for name in names]
        gaps[f"{route}_route"] = "\n".join(lines)
        gaps[f"{route}_hours"] = f"{sum(int(every[name][1].split()[0]) for name in names) / 60:.0f}"
    return filled(language, "index", **gaps)


def chart(language: str, here: set[str]) -> str:
    """The way of a call, as a picture whose boxes lead to the pages."""
    before = minillama.language()
    minillama.language(language)
    try:
        drawn = flowchart.linked({box.label: "" for box in flowchart.BOXES})
    finally:
        minillama.language(before)

    def to_page(found: re.Match) -> str:
        return f'<a href="{found[1]}.html"' if found[1] in here else "<a"

    return re.sub(r'<a href="(\w+)\.ipynb"', to_page, drawn).replace("\n", " ")


# ---- the glossary


def glossary(language: str, here: set[str]) -> str:
    """Every term, with its word in the other languages, what it means, and where it is introduced."""
    terms = read(ROOT / "locale" / "glossary.toml")["term"]
    titles = {name[:2]: (name, title) for name, (title, _) in notebooks(language).items()}
    entries: dict[str, list[str]] = {}
    for term in terms:
        name, title = titles[term["notebook"]]
        others = ", ".join(term[each] for each in term["means"] if each != language)
        place = link(title, f"{name}.html#{term['cell']}", here)
        entries.setdefault(term[language], []).append(f"**{others}** {term['means'][language]} \\\n  {place}")
    words = sorted(entries, key=lambda word: word.lower().encode("gb18030"))  # by the letter; Chinese by its sound
    return "\n\n".join(f"{word}\n  " + "\n\n  ".join(entries[word]) for word in words)


# ---- docs/instructors.md


def instructors(language: str, here: set[str]) -> str:
    """The page of docs/, its links to notebooks led to their pages; what is not in the book loses its link."""
    suffix = "" if language == "en" else f".{language}"
    text = (ROOT / "docs" / f"instructors{suffix}.md").read_text(encoding="utf-8")
    text = re.sub(r"^.*\]\(instructors\S*\.md\).*\n\n", "", text, count=1, flags=re.M)  # the book has its own switch

    def moved(found: re.Match) -> str:
        label, target = found.groups()
        if target.startswith("http"):
            return found[0]
        return link(label, f"{Path(target).stem}.html", here) if target.endswith(".ipynb") else label

    return LINK.sub(moved, text)


# ---- licences


def licences(language: str) -> str:
    gaps = {}
    for name in (*SHIPPED, *BUILDS):
        key = name.lower().replace("-", "_")
        gaps[f"{key}_version"], gaps[f"{key}_licence"] = metadata.version(name), licence(name)
    texts = {name: licence_text(name) for name in SHIPPED} | {"minillama": (ROOT / "LICENSE").read_text("utf-8")}
    gaps["texts"] = "\n\n".join(folded(name, words) for name, words in texts.items())
    return filled(language, "licences", **gaps)


def licence(name: str) -> str:
    """The name of a package's licence, as the package states it: "MIT"."""
    about = metadata.metadata(name)
    kinds = [each.rsplit(" :: ", 1)[1] for each in about.get_all("Classifier", []) if each.startswith("License ::")]
    return about["License-Expression"] or about["License"] or kinds[0].removesuffix(" License")


def licence_text(name: str) -> str:
    """The text of a package's licence, which has to go with every copy of its files; "" where it brings none."""
    files = [path for path in metadata.files(name) or () if re.search("LICEN[CS]E|COPYING", path.name, re.I)]
    return "\n\n".join(path.locate().read_text(encoding="utf-8") for path in files)


def folded(summary: str, text: str) -> str:
    lines = [line if line.strip() else "&#8203;" for line in escape(text.strip(), quote=False).splitlines()]
    text = "\n".join(lines)  # without empty lines, which would end the HTML
    return f"<details><summary>{escape(summary)}</summary>\n<pre>{text}</pre>\n</details>"
