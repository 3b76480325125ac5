"""The state of a training run on disk: written whole or not at all, and refused if it is broken or of another run."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import torch

FORMAT = "minillama training run, version 2"


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call write(another path), then move the result to `path`. The old file stays until the new one is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    try:
        write(beside)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def save_state(path: Path, identity: dict, model, optimizer, **progress) -> None:
    """Save weights, optimizer and progress in one file.

    identity: the settings of the run; only a run with the same ones may go on from the file.
    progress: numbers, strings, and lists or dicts of them.
    """
    state = {"format": FORMAT, "identity": identity, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    buffer = io.BytesIO()  # torch.save into a file would not say that the disk is full
    torch.save({**state, "progress": progress}, buffer)
    write_atomically(path, lambda beside: beside.write_bytes(buffer.getbuffer()))


def load_state(path: Path, identity: dict, model, optimizer) -> dict:
    """Put the saved state into model and optimizer. Returns the progress, {} if nothing was saved yet.

    Raises ValueError if the file is broken or belongs to another run.
    """
    state = check_state(path, identity)
    if state is None:
        return {}
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["progress"]


def check_state(path: Path, identity: dict) -> dict | None:
    """What was saved, None if nothing was. Raises ValueError if it is broken, or its identity has other values."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{str(path)!r} is broken ({error}); delete it to start this run again") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{str(path)!r} is not a checkpoint of a training run; delete it, or give another --run")
    saved = state["identity"]
    differing = sorted(key for key in identity if identity[key] != saved.get(key))
    if differing:
        shown = ", ".join(f"{key} is {saved.get(key)!r}, not {identity[key]!r}" for key in differing)
        raise ValueError(f"{str(path)!r} belongs to another run ({shown}); give the same settings or another --run")
    return state
