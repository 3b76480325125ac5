"""What the readers of checkpoints share: small JSON files, and lists in messages."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path


def read_json(path: Path, most: int = 16 * 2**20) -> dict:
    """The table in a JSON file of at most `most` bytes. Raises ValueError naming the file."""
    if not path.is_file():
        raise ValueError(f"ckpt_dir: no file {str(path)!r}")
    if (size := path.stat().st_size) > most:
        raise ValueError(f"ckpt_dir: {str(path)!r} has {size} bytes, at most {most} are read")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"ckpt_dir: {str(path)!r} is not JSON ({error})") from error
    if not isinstance(fields, dict):
        raise ValueError(f"ckpt_dir: {str(path)!r} is not a table of fields, it begins {str(fields)[:40]!r}")
    return fields


def listed(names: Collection[str], most: int = 4) -> str:
    """A few of the names, and how many more there are.

    >>> listed({"b", "a", "c"}, most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(sorted(names)[:most]) + more
