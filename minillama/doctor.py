"""What `python -m minillama doctor` tells about this machine, for a learner and for a bug report."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from pathlib import Path

import torch

from minillama import ahead
from minillama.checkpoint import COURSE_MODEL, PARAMS
from minillama.generation import Llama
from minillama.shards import check_sums
from minillama.words import padded, say

NEEDED = ("python", "torch", "sentencepiece", "model")
SHOWN = {"device": "device", "threads": "threads", "memory": "memory", "model": "model", "compiled": "compiled",
         "font": "font"}  # fmt: skip  # the rest are names
PACKAGES = ("minillama", "torch", "sentencepiece", "jupyterlab", "ipywidgets", "matplotlib")


def examine(ckpt_dir: str | Path = COURSE_MODEL, tokenizer_path: str | Path | None = None) -> bool:
    """Print what was found, a line for each thing; return whether minillama can run here."""
    found = diagnose(ckpt_dir, tokenizer_path)
    for name, fine, text in found:
        print(f"{'✓' if fine else '✗'} {padded(say(SHOWN.get(name, name)), 14)}{text}")
    return all(fine for name, fine, _ in found if name in NEEDED)


def diagnose(ckpt_dir: str | Path, tokenizer_path: str | Path | None = None) -> list[tuple[str, bool, str]]:
    """(what, whether it is fine, what was found and, if it is not fine, what to do) for each thing looked at."""
    found = [("python", sys.version_info >= (3, 10), _python())]
    for name in PACKAGES:
        try:
            found.append((name, True, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append((name, False, say("not installed; pip install -e '.[notebooks]'")))
    found.append(("device", True, _device()))
    threads = say("torch uses {n} of {all} processors", n=torch.get_num_threads(), all=os.cpu_count())
    found.append(("threads", True, threads))
    found.append(_memory())
    found.append(_model(ckpt_dir, tokenizer_path))
    found.append(_compiled())
    found.append(_font())
    return found


def _python() -> str:
    return say("{version} on {system}", version=platform.python_version(), system=platform.system())


def _device() -> str:
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        bf16 = "bfloat16" if torch.cuda.is_bf16_supported() else say("no bfloat16")
        return f"cuda: {properties.name}, {properties.total_memory / 2**30:.0f} GiB, {bf16}"
    if torch.backends.mps.is_available():
        return say("cpu (mps is there: device='mps', untested); enough for the whole course")
    return say("cpu; enough for the whole course")


def _memory() -> tuple[str, bool, str]:
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (AttributeError, ValueError, OSError):
        return "memory", True, say("free memory is not known on this system")
    template = "{free:.1f} GiB free" if free > 1 else "{free:.1f} GiB free; close some programs"
    return "memory", free > 1, say(template, free=free)


def _model(ckpt_dir: str | Path, tokenizer_path: str | Path | None) -> tuple[str, bool, str]:
    """Built as `complete` builds it, but for a short cache: so whatever fails there fails here."""
    try:
        params = Llama.build(ckpt_dir, tokenizer_path, 1, 1, model_parallel_size=1, device="cpu").model.params
        if (Path(ckpt_dir) / PARAMS).is_file():
            check_sums(Path(ckpt_dir))  # of large files, too
    except (ValueError, TypeError, OSError) as error:
        return "model", False, str(error)
    text = say("{folder} ({n} layers, dim {dim})", folder=Path(ckpt_dir), n=params.n_layers, dim=params.dim)
    for file, expected in _known_hashes(Path(ckpt_dir)).items():
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            template = (
                "{file} is not the file that its MODEL_CARD.md names: it is damaged or was changed; fetch it again"
            )
            return "model", False, say(template, file=file)
        text = say("{text}; {file} is unchanged", text=text, file=file.name)
    return "model", True, text


def _compiled() -> tuple[str, bool, str]:
    """The steps that compile=True has kept, and whether it can keep any."""
    if reason := ahead.hindrance():
        template = "steps of compile=True are not kept: {reason}; name another folder in the variable {name}"
        return "compiled", False, say(template, reason=reason, name="MINILLAMA_CACHE")
    packages = ahead.packages()
    if not packages:
        return "compiled", True, say("compile=True has kept nothing yet in {folder}", folder=ahead.folder())
    size = sum(size for _, size in packages) / 2**20
    template = "{n} kept, {size:.0f} MiB in {folder} (doctor --clear-compiled)"
    return "compiled", True, say(template, n=len(packages), size=size, folder=ahead.folder())


def _known_hashes(ckpt_dir: Path) -> dict[Path, str]:
    """The sha256 of each file that the folder's MODEL_CARD.md names, such as the course model's weights."""
    card = ckpt_dir / "MODEL_CARD.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    found = re.findall(r"sha256 of `([\w.-]+)` \| `([0-9a-f]{64})`", text)
    return {ckpt_dir / name: digest for name, digest in found}


def _font() -> tuple[str, bool, str]:
    if importlib.util.find_spec("matplotlib") is None:
        return "font", False, say("matplotlib is not installed, so no Chinese font was looked for")
    from minillama.figures import find_cjk_font  # here, because matplotlib is optional

    if name := find_cjk_font():
        return "font", True, say("{name}: Chinese labels in figures", name=name)
    template = "no Chinese font; figures escape Chinese labels. Debian: apt install {package}"
    return "font", False, say(template, package="fonts-wqy-microhei")
