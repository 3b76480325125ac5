"""The book from its parts: notebooks are executed, written as sources, made into pages by Sphinx, and packed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from book import extra, pages
from book.execute import NOTEBOOKS, ROOT, execute_all, executed, forget_all_but
from book.words import read
from minillama.markup import STYLE
from minillama.words import LANGUAGES

BUILD = ROOT / "book" / "_build"
SPHINX = ROOT / "book" / "sphinx"


def notebooks(language: str, only: Sequence[str] = ()) -> list[Path]:
    folder = NOTEBOOKS if language == "en" else NOTEBOOKS / language
    return [path for path in sorted(folder.glob("*.ipynb")) if not only or path.name.startswith(tuple(only))]


def write_sources(language: str, paths: Sequence[Path], folder: Path) -> None:
    """What Sphinx reads: the notebooks, the pages about the course, and pictures."""
    folder.mkdir(parents=True)
    for path in paths:
        pages.write(executed(path), path, language, folder)
    shutil.copytree(
        ROOT / "assets", folder / "assets", ignore=shutil.ignore_patterns("course-model", "recorded", "*.py", "*.json")
    )
    extra.write(folder, language)
    sheet = STYLE.removeprefix("<style>").removesuffix("</style>")  # of all outputs; book/pages.py takes it out of them
    folder.joinpath("minillama.css").write_text(sheet, encoding="utf-8")


def write_words() -> None:
    """The glossary's Chinese words, for jieba: each is a word of its own in the search."""
    terms = read(ROOT / "locale" / "glossary.toml")["term"]
    found = [term["zh"] for term in terms]
    BUILD.mkdir(exist_ok=True)
    BUILD.joinpath("zh.txt").write_text("".join(f"{each}\n" for each in found if each.isalpha()), encoding="utf-8")


def start(language: str, folder: Path) -> subprocess.Popen:
    """Sphinx, which makes the pages of a language; what it warns of is an error."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-c", SPHINX]
    command += ["-d", *(folder / part / language for part in ("doctrees", "source", "html"))]
    return subprocess.Popen(command, env=os.environ | {"BOOK_LANGUAGE": language, "PYTHONPATH": str(ROOT)})


def pack(folder: Path) -> Path:
    """The book as one file; a copy beside its pages, where they are on the web."""
    path, html = folder / "minillama-book.zip", folder / "html"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(html.rglob("*")):
            archive.write(file, Path("minillama-book") / file.relative_to(html))
    shutil.copy(path, html)
    return path


def make(languages: Sequence[str], only: Sequence[str] = (), folder: Path = BUILD) -> Path:
    """The book, as folder/html/index.html."""
    began = time.monotonic()
    execute_all([path for language in languages for path in notebooks(language, only)])
    print(f"{time.monotonic() - began:.0f} s: all notebooks are executed; Sphinx makes pages of them", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("source", "doctrees", "html"):
        shutil.rmtree(folder / part, ignore_errors=True)
    write_words()
    for language in languages:
        write_sources(language, notebooks(language, only), folder / "source" / language)
    runs = [start(language, folder) for language in languages]
    if any([run.wait() for run in runs]):
        sys.exit("the book was not built: see what Sphinx says above")
    if set(languages) == set(LANGUAGES) and not only:
        forget_all_but(path for language in languages for path in notebooks(language))
    shutil.rmtree(folder / "html" / "jupyter_execute")  # MyST-NB's copies of the notebooks
    shutil.copy(SPHINX / "start.html", folder / "html" / "index.html")
    print(f"{time.monotonic() - began:.0f} s: {folder / 'html' / 'index.html'}", flush=True)
    return folder / "html" / "index.html"
