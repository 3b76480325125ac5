"""The words of the book itself: book/words.toml. Sphinx reads this file too, and no more of the course."""

from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib


def read(path: Path) -> dict:
    return tomllib.loads(path.read_text(encoding="utf-8"))


WORDS: dict[str, dict] = read(Path(__file__).with_suffix(".toml"))  # {language: {what: in that language}}
