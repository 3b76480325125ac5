"""The readable data of the corpus, in data/."""

from __future__ import annotations

from pathlib import Path

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

DATA = Path(__file__).parent / "data"


def read(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8")


def table(name: str) -> dict:
    return tomllib.loads(read(name + ".toml"))
