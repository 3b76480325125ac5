"""The data files, and which of their combinations are never trained on."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

DATA = Path(__file__).parent / "data"
remember = lru_cache(maxsize=None)
LANGUAGES = ("en", "zh")


def path_of(name: str, language: str) -> Path:
    """data/talk.toml for ("talk.toml", "en"), data/zh_talk.toml for ("talk.toml", "zh")."""
    return DATA / (name if language == "en" else f"{language}_{name}")


@remember
def table(name: str, language: str = "en") -> dict:
    """The content of a TOML file, such as "talk". Raises ValueError with the file's name if it is not TOML."""
    path = path_of(f"{name}.toml", language)
    try:
        return tomllib.loads(read(path))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path.name}: {error}") from error


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def check_language(language: str) -> str:
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {LANGUAGES}, got {language!r}")
    return language


def is_secret(*parts: object, one_in: int = 12) -> bool:
    """Whether this combination is kept out of training, so that it can be asked for afterwards.

    It depends on the combination alone, and is the same on every machine.
    """
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") % one_in == 0
