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
import sys

from minillama.words import LANGUAGES

NEEDS = ("sphinx", "myst_nb", "furo", "jieba", "nbclient")


def missing() -> str:
    """What this Python lacks to build the book, in a sentence; "" if nothing."""
    if sys.version_info < (3, 11):
        return (
            f"The book needs Python 3.11 or newer, this is {sys.version.split()[0]}. Try: make PYTHON=python3.11 book"
        )
    lacking = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    return f"The book needs {', '.join(lacking)}. To get them and build it: make book" if lacking else ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m book", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--language", choices=LANGUAGES, help="one language instead of all")
    parser.add_argument("--only", nargs="+", metavar="07", default=(), help="numbers of notebooks")
    parser.add_argument("--zip", action="store_true", help="pack the book as one file")
    given = parser.parse_args()
    if lacks := missing():
        sys.exit(lacks)
    from book import build

    build.make([given.language] if given.language else LANGUAGES, given.only)
    if given.zip:
        print(build.pack(build.BUILD))
