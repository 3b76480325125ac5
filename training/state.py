"""The state of a training run on disk: written whole or not at all, and refused where it is broken or foreign."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import torch

FORMAT = "minillama training run, version 2"


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call write(path beside), then move the result into place; what was there stays until all is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    try:
        write(beside)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def save_state(path: Path, identity: dict, model, optimizer, **progress) -> None:
    """`identity` says which run this is; only the same run may go on from it. `progress` is plain numbers and lists."""
    state = {"format": FORMAT, "identity": identity, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    buffer = io.BytesIO()  # torch would not say that the disk is full
    torch.save({**state, "progress": progress}, buffer)
    write_atomically(path, lambda beside: beside.write_bytes(buffer.getbuffer()))


def load_state(path: Path, identity: dict, model, optimizer) -> dict:
    """Put the saved state into model and optimizer, return the progress; {} where nothing was saved yet.

    Raises ValueError if the file is broken or belongs to another run.
    """
    state = check_state(path, identity)
    if state is None:
        return {}
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["progress"]


def check_state(path: Path, identity: dict) -> dict | None:
    """What was saved, None if nothing was. ValueError if it is broken, or differs in anything of `identity`."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{str(path)!r} is broken ({error}); delete it to start this run again") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{str(path)!r} is no checkpoint of a training run; delete it, or give another --run")
    saved = state["identity"]
    differing = sorted(key for key in identity if identity[key] != saved.get(key))
    if differing:
        shown = ", ".join(f"{key} is {saved.get(key)!r}, not {identity[key]!r}" for key in differing)
        raise ValueError(f"{str(path)!r} belongs to another run ({shown}); give the same settings, or another --run")
    return state
