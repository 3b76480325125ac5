"""What all benchmarks share: their options, the machine, and the rows as they are measured, printed and kept."""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from importlib import metadata
from itertools import groupby
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.results import FOLDER, TABLES, Row, caption, head, key_of, line, publish, read


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """The parser of benchmarks.NAME, with --write and --resume."""
    program = f"python -m benchmarks.{name}"
    lines = argparse.RawDescriptionHelpFormatter
    result = argparse.ArgumentParser(program, description=description, formatter_class=lines, allow_abbrev=False)
    add_options(result)
    return result


def add_options(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--write", nargs="?", const=FOLDER, type=Path, metavar="FOLDER", default=argparse.SUPPRESS,
        help="keep the rows in FOLDER/NAME.json; without FOLDER in benchmarks/results, from which RESULTS.md and the "
        "README's rows are written. A row that was kept before is replaced, all others stay",
    )  # fmt: skip
    to.add_argument(
        "--resume", action="store_true", default=argparse.SUPPRESS,
        help="with --write: skip the rows that the same command has already kept today, on this machine",
    )  # fmt: skip


class Record:
    """The rows of one run of a benchmark.

    `argv` are the arguments of the command (None: those of this process). `notes` are short phrases that hold for
    every row of the run, such as "medians of 5".
    """

    def __init__(self, name: str, argv: Sequence[str] | None, notes: Sequence[str] = (), device: str = "cpu"):
        options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        add_options(options)
        how, rest = options.parse_known_args(argv)
        self.name, self.columns = name, TABLES[name].columns
        self.folder: Path | None = getattr(how, "write", None)
        self.resume: bool = getattr(how, "resume", False)
        self.run = {
            "command": " ".join([f"python -m benchmarks.{name}", *rest]),
            "date": date.today().isoformat(),
            "machine": machine(device),
        }
        self.notes = list(notes)
        print(caption(self.run | {"notes": self.notes}), end="\n\n")
        print(head(self.columns), flush=True)

    def kept(self) -> set[tuple]:
        """The keys of the rows that --resume need not measure again."""
        if self.folder is None or not self.resume:
            return set()
        runs = [run for run in read(self.name, self.folder) if self._is_this(run)]
        return {key_of(self.name, row) for run in runs for row in run["rows"]}

    def todo(self, keys: Iterable[tuple]) -> Iterator[tuple]:
        """The keys of the rows to measure, one after the other, with a progress bar."""
        keys = list(keys)
        return (key for (key,) in self.groups(keys, same=len(keys[0])))

    def groups(self, keys: Iterable[tuple], same: int) -> Iterator[list[tuple]]:
        """As `todo`, but those together that follow one another and are the same in their first fields."""
        keys, kept = list(keys), self.kept()
        left = [key for key in keys if key not in kept]
        with tqdm(
            total=len(keys), initial=len(keys) - len(left), desc=self.name, unit="row", dynamic_ncols=True
        ) as bar:
            for first, group in groupby(left, key=lambda key: key[:same]):
                group = list(group)
                bar.set_postfix_str(" ".join(map(str, first)))
                yield group
                bar.update(len(group))

    def add(self, row: Row) -> None:
        """Print the row. With --write, keep it in place of an older one with the same key, to six digits."""
        row = {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in row.items()}
        tqdm.write(line(self.columns, row), file=sys.stdout)
        if self.folder is None:
            return
        runs, key = read(self.name, self.folder), key_of(self.name, row)
        for run in runs:
            run["rows"] = [each for each in run["rows"] if key_of(self.name, each) != key]
        mine = next((run for run in runs if self._is_this(run)), None)
        if mine is None:
            runs.append(mine := dict(self.run))
        mine |= {"notes": self.notes, "rows": [*mine.get("rows", []), row]}
        self._keep([run for run in runs if run["rows"]])

    def _is_this(self, run: dict) -> bool:
        return self.run.items() <= run.items()

    def _keep(self, runs: list[dict]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.name}.json"
        beside = path.with_suffix(".new")  # a run that is interrupted here leaves the old file whole
        beside.write_text(json.dumps({"runs": runs}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        beside.replace(path)
        if self.folder.resolve() == FOLDER.resolve():
            publish()


def machine(device: str) -> dict[str, str | int]:
    """What the times depend on: the processor and the versions."""
    if device == "cuda":
        found: dict[str, str | int] = {"processor": torch.cuda.get_device_name()}
    else:
        info = Path("/proc/cpuinfo")
        names = re.findall(r"^model name\s*: (.*)$", info.read_text(), re.M) if info.exists() else []
        found = {
            "processor": names[0] if names else platform.processor(),
            "threads": torch.get_num_threads(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
        }
    found |= {"system": f"{platform.system()} {platform.machine()}", "python": platform.python_version()}
    for package in ("torch", "transformers"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
