"""make book: the course as pages that a double click opens, in every language, without a network or a kernel.

    python -m book                    all of it, into book/_build/html
    python -m book --language zh      in one language
    python -m book --only 07 12       some notebooks; the pages about the course are always there
    python -m book --zip              and the whole as book/_build/minillama-book.zip

Notebooks are executed once: book/execute.py keeps what they show.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from book.execute import NOTEBOOKS, ROOT, execute_all, executed
from minillama.words import LANGUAGES

BUILD = ROOT / "book" / "_build"
SPHINX = ROOT / "book" / "sphinx"
NEEDS = ("sphinx", "myst_nb", "furo", "jieba")


def missing() -> str:
    """What this Python lacks to build the book, in a sentence; "" if nothing."""
    if sys.version_info < (3, 11):
        return f"the book needs Python 3.11 or newer; this is {sys.version.split()[0]}"
    lacking = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    return f"the book needs {', '.join(lacking)}; get them with: make book" if lacking else ""


def notebooks(language: str, only: Sequence[str] = ()) -> list[Path]:
    folder = NOTEBOOKS if language == "en" else NOTEBOOKS / language
    return [path for path in sorted(folder.glob("*.ipynb")) if not only or path.name.startswith(tuple(only))]


def write_sources(language: str, paths: Sequence[Path], folder: Path) -> None:
    """What Sphinx reads: the notebooks, the pages about the course, and pictures."""
    from book import pages

    folder.mkdir(parents=True)
    for path in paths:
        pages.write(executed(path), path, language, folder)
    shutil.copytree(ROOT / "assets", folder / "assets", ignore=shutil.ignore_patterns("*model*", "*.json"))
    if importlib.util.find_spec("book.extra"):
        from book import extra

        extra.write(folder, language)
    else:
        (folder / "index.md").write_text("# minillama\n\n```{toctree}\n:glob:\n\n[0-9]*\n```\n", encoding="utf-8")


def write_words() -> None:
    """The glossary's Chinese words, for jieba: each is a word of its own in the search."""
    from translation.style import glossary

    found = [term["zh"] for term in glossary()]
    BUILD.joinpath("zh.txt").write_text("".join(f"{each}\n" for each in found if each.isalpha()), encoding="utf-8")


def build(language: str, folder: Path) -> subprocess.Popen:
    """Start Sphinx. Nothing of an earlier book is left."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-c", SPHINX,
               "-d", folder / "doctrees" / language, folder / "source" / language, folder / "html" / language]  # fmt: skip
    return subprocess.Popen(command, env=os.environ | {"BOOK_LANGUAGE": language, "PYTHONPATH": str(ROOT)})


def pack(folder: Path) -> Path:
    """The book as one file."""
    path = folder / "minillama-book.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((folder / "html").rglob("*")):
            archive.write(file, Path("minillama-book") / file.relative_to(folder / "html"))
    return path


def make(languages: Sequence[str], only: Sequence[str] = (), folder: Path = BUILD) -> Path:
    """The book, as folder/html/index.html."""
    began = time.monotonic()
    execute_all([path for language in languages for path in notebooks(language, only)])
    print(f"{time.monotonic() - began:.0f} s: all notebooks are executed", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("source", "doctrees", "html"):
        shutil.rmtree(folder / part, ignore_errors=True)
    write_words()
    for language in languages:
        write_sources(language, notebooks(language, only), folder / "source" / language)
    runs = [build(language, folder) for language in languages]
    if any([run.wait() for run in runs]):
        sys.exit("the book was not built: see what Sphinx says above")
    shutil.rmtree(folder / "html" / "jupyter_execute")  # MyST-NB's copies of the notebooks
    shutil.copy(SPHINX / "start.html", folder / "html" / "index.html")
    print(f"{time.monotonic() - began:.0f} s: {folder / 'html' / 'index.html'}", flush=True)
    return folder / "html" / "index.html"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m book", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--language", choices=LANGUAGES, help="one language instead of all")
    parser.add_argument("--only", nargs="+", metavar="07", default=(), help="numbers of notebooks")
    parser.add_argument("--zip", action="store_true", help="pack the book as one file")
    given = parser.parse_args()
    if lacks := missing():
        sys.exit(lacks)
    make([given.language] if given.language else LANGUAGES, given.only)
    if given.zip:
        print(pack(BUILD))
