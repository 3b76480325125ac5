"""Measured speed is kept as JSON; this writes benchmarks/RESULTS.md and the README's rows of speed from it.

A benchmark called with --write puts its rows into benchmarks/results/NAME.json and then does this by itself.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
FOLDER, RESULTS, README = HERE / "results", HERE / "RESULTS.md", HERE.parent / "README.md"
START, END = "<!-- speed: written by make results -->", "<!-- /speed -->"
IN_README = [("course", "eager", batch, sampler) for batch in (1, 32) for sampler in ("greedy", "sampled")]

# What the course model should reach: times the speed of transformers, by batch; and the share of the linears' speed.
RATIO_TARGETS = {1: 2.0, 32: 1.3}
LINEARS_TARGET = 0.6

Row = dict[str, "str | int | float | None"]
Columns = dict[str, Callable[[Row], str]]


class Table(NamedTuple):
    """How the rows of one benchmark are shown. `key` names the fields that tell its rows apart."""

    title: str
    text: str
    key: tuple[str, ...]
    columns: Columns
    figure: str = ""  # a line below the tables


def fixed(name: str, digits: int = 0, scale: float = 1.0) -> Callable[[Row], str]:
    """Shows a number with so many digits after the point, or a dash where nothing was measured."""
    return lambda row: "–" if row.get(name) is None else f"{scale * row[name]:,.{digits}f}"


def plain(name: str) -> Callable[[Row], str]:
    return lambda row: str(row[name])


def against(target: float | None, value: float, form: str) -> str:
    return "" if target is None else f"{target:{form}}, {'met' if value >= target else 'missed'}"


def ratio(row: Row) -> float:
    return row["ours"] / row["theirs"]


def of_linears(row: Row) -> float:
    return row["ours"] / row["linears"]


def ratio_target(row: Row) -> str:
    target = RATIO_TARGETS.get(row["batch"]) if row["model"] == "course" else None
    return against(target, ratio(row), ".1f")


def linears_target(row: Row) -> str:
    return against(LINEARS_TARGET if row["model"] == "course" else None, of_linears(row), ".0%")


SPEED: Columns = {
    "batch": plain("batch"),
    "sampler": plain("sampler"),
    "minillama tok/s": fixed("ours"),
    "transformers tok/s": fixed("theirs"),
    "ratio": lambda row: f"{ratio(row):.2f}",
    "target": ratio_target,
}

TABLES = {
    "compare": Table(
        "Tokens a second, compared with transformers",
        """\
minillama and transformers' `generate` run on the same weights, in turn, in one process. No end token ends a run early.

- *way*: how minillama runs: as it is (eager), with `compile=True` or with `int8=True`. transformers always runs as it
  is.
- *linears*: the same step reduced to its linear layers, as PyTorch runs them. The rest of a step is what lies between
  "of linears" and 100%.
- *peak MiB*: the most memory of a process of its own that loads the model and samples once.
- *target*: what the course model should reach, and whether it does.

Compiling for a CPU stores the weights once more, in another layout: a compiled step needs more memory and can be faster
than its linears. PyTorch's CPU product for int8 is fast only for rows in bfloat16, so int8 rounds them to that.""",
        ("model", "way", "batch", "sampler"),
        {
            "model": plain("model"),
            "way": plain("way"),
            **SPEED,
            "linears tok/s": fixed("linears"),
            "of linears": lambda row: f"{of_linears(row):.0%}",
            "linears' target": linears_target,
            "peak MiB": fixed("peak"),
            "transformers' peak MiB": fixed("peak_theirs"),
        },
    ),
    "int8": Table(
        "Weights in 8 bits",
        "The perplexity of stories that no training has read, and the bytes of weights that one token reads.",
        ("model", "weights"),
        {
            "model": plain("model"),
            "weights": plain("weights"),
            "perplexity": fixed("perplexity", 3),
            "MiB read a token": fixed("bytes", 1, 2**-20),
        },
    ),
    "context": Table(
        "One token, as the context grows",
        """\
The time of one step at batch 1, for a model of 110 million random weights. "Explained by bytes" is the time of the
shortest context plus the time to read the rest of the cache at the speed of a plain copy. What is measured beyond that
is attention's own work.""",
        ("context",),
        {
            "tokens of context": fixed("context"),
            "ms a token": fixed("ms", 1),
            "explained by bytes, ms": fixed("explained", 1),
            "cache MiB": fixed("cache_bytes", 1, 2**-20),
        },
        "![Milliseconds for the next token against tokens of context: as measured, and as the bytes of the cache "
        "explain it.](results/context.svg)",
    ),
    "widgets": Table(
        "Sliders",
        "From a key press on a slider to the next frame with the new view, in a browser that draws without a GPU.",
        ("notebook", "slider"),
        {
            "notebook": plain("notebook"),
            "slider": plain("slider"),
            "median ms": fixed("median"),
            "worst ms": fixed("worst"),
        },
    ),
    "gpu": Table(
        "A 7B shape on a GPU",
        """\
Random weights in bfloat16, one row. Decoding is compared with a plain copy on the same GPU (bytes of weights and cache
that a step reads, times steps a second), reading a prompt with one large matrix product (operations a second).""",
        ("work", "way", "sampler"),
        {
            "work": plain("work"),
            "way": plain("way"),
            "sampler": plain("sampler"),
            "tok/s": fixed("speed", 1),
            "of the GPU's speed": lambda row: f"{row['share']:.0%}",
        },
    ),
}


def read(name: str, folder: Path) -> list[dict]:
    """The runs of a benchmark, each with command, date, machine, notes and rows; none if it was never kept."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []


def key_of(name: str, row: Row) -> tuple:
    return tuple(row[field] for field in TABLES[name].key)


def caption(run: dict) -> str:
    here = run["machine"]
    chip = [here["processor"]]
    if n := here.get("threads"):
        chip += [f"{n} thread{'s' * (n > 1)}", here["instructions"]]
    versions = [f"{name} {here[name]}" for name in ("torch", "transformers", "python") if name in here]
    return "; ".join([", ".join(chip), ", ".join(versions), here["system"], run["date"], *run["notes"]]) + "."


def head(columns: Columns) -> str:
    return f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|"


def line(columns: Columns, row: Row) -> str:
    return f"| {' | '.join(show(row) for show in columns.values())} |"


def table(columns: Columns, rows: Iterable[Row]) -> str:
    return "\n".join([head(columns), *(line(columns, row) for row in rows)])


def document(folder: Path) -> str:
    """RESULTS.md: one section a benchmark, in it one table a run."""
    parts = [
        "# Measured speed",
        "`make results` writes this page from the JSON files in `benchmarks/results`; do not edit it. Compare only "
        "rows of one table: between two runs the machine or its load may differ.",
    ]
    for name, spec in TABLES.items():
        runs = read(name, folder)
        parts += [f"## {spec.title}", spec.text]
        for run in runs:
            parts += [f"`{run['command']}`<br>\n{caption(run)}", table(spec.columns, run["rows"])]
        parts += (
            ([spec.figure] if spec.figure else []) if runs else [f"Not measured yet: `python -m benchmarks.{name}`."]
        )
    return "\n\n".join(parts) + "\n"


def readme_block(folder: Path) -> str:
    """The README's rows of speed, between its two markers."""
    runs = read("compare", folder)
    kept = {key_of("compare", row): (run, row) for run in runs for row in run["rows"]}
    found = [kept[key] for key in IN_README if key in kept]
    if not found:
        return f"{START}\nNot measured yet: run `make bench`.\n{END}"
    where = " ".join(dict.fromkeys(caption(run) for run, _ in found))
    lines = [START, f"Tokens a second of the course model. {where}", "", table(SPEED, [row for _, row in found]), END]
    return "\n".join(lines)


def with_block(readme: str, block: str) -> str:
    """The README with another block. Raises ValueError if the markers are missing."""
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"README.md needs the two lines {START!r} and {END!r}, with the rows of speed between them")
    return before + block + after


def publish() -> None:
    RESULTS.write_text(document(FOLDER), encoding="utf-8")
    README.write_text(with_block(README.read_text(encoding="utf-8"), readme_block(FOLDER)), encoding="utf-8")


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m benchmarks.results", description=__doc__.splitlines()[0]).parse_args()
    publish()
