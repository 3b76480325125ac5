"""Measured speed is kept as JSON; this writes benchmarks/RESULTS.md and the README's rows of speed from it.

A benchmark called with --write puts its rows into benchmarks/results/NAME.json and then does this by itself.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks import targets
from benchmarks.targets import Row

HERE = Path(__file__).parent
FOLDER, RESULTS, README = HERE / "results", HERE / "RESULTS.md", HERE.parent / "README.md"
START, END = "<!-- speed: written by make results -->", "<!-- /speed -->"
PROGRAMS = ("transformers", "llama.cpp f32", "llama.cpp Q8_0", "CTranslate2 f32", "CTranslate2 int8")
IN_README = [(batch, sampler) for batch in (1, 32) for sampler in ("greedy", "sampled")]  # of the course model, eager

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


def ratio(row: Row, program: str) -> str:
    return "–" if row.get(program) is None else f"{row['minillama'] / row[program]:.2f}"


def beside(program: str) -> Callable[[Row], str]:
    """Another program's tokens a second, and in brackets how many times as fast minillama is."""
    return lambda row: "–" if row.get(program) is None else f"{row[program]:,.0f} ({ratio(row, program)})"


def same_text(row: Row) -> str:
    """For each program whether all greedy ids are equal, else how many are before the texts part."""
    whole, found = row["batch"] * row["new_tokens"], []
    for program in PROGRAMS:
        if (same := row.get(f"same {program}")) is not None:
            found.append(f"{program}: {'yes' if same == whole else f'{same} of {whole}'}")
    return "; ".join(found) or "–"


def of_linears(row: Row) -> str:
    return f"{row['linears'] / row['minillama']:.2f}"


SPEED: Columns = {
    "batch": plain("batch"),
    "sampler": plain("sampler"),
    "minillama tok/s": fixed("minillama"),
    "transformers tok/s": fixed("transformers"),
    "ratio": lambda row: ratio(row, "transformers"),
    "llama.cpp f32 tok/s": fixed("llama.cpp f32"),
}

TABLES = {
    "compare": Table(
        "Tokens a second, compared with other programs",
        """\
All programs run the same weights, in turn, repeat by repeat, with the same number of threads. What counts is decoding:
the time from the first new token to the last, without loading and without reading the prompts, with sampling. For
llama.cpp that is llama-server's own figure, for CTranslate2 the time of a whole run less that of a run of one token.
No token ends a text early; every cache is in float32.

- *way*: how minillama runs: as it is (eager), with `compile=True`, with `int8=True`, or with both. Compiling comes
  before the clock starts.
- *transformers*, *llama.cpp*, *CTranslate2*: tokens a second, and in brackets how many times as fast minillama is.
  Q8_0 and int8 keep weights in 8 bits, and round what the weights are multiplied by to 8 bits as well; the others
  compute in float32.
- *linears*: the same step reduced to its linear layers, as PyTorch runs them; *token / linears* is how many times as
  long minillama's whole step takes.
- *peak MiB*: the most memory of a process of its own that loads the model and samples once.
- *target*: what this row should reach, and whether it does.
- *equal greedy text*: whether the program writes the same ids as minillama in this way; where not, how many of all ids
  come before the texts part.

Compiling for a CPU stores the weights once more, in another layout: a compiled step needs more memory and can be faster
than its linears. PyTorch's CPU product for int8 is fast only for rows in bfloat16, so int8 rounds them to that.""",
        ("model", "threads", "batch", "sampler", "way"),
        {
            **{name: plain(name) for name in ("model", "threads", "batch", "sampler", "way")},
            "minillama tok/s": fixed("minillama"),
            **{program: beside(program) for program in PROGRAMS},
            "linears tok/s": fixed("linears"),
            "token / linears": of_linears,
            "target": targets.of_row,
            "equal greedy text": same_text,
            "peak MiB": fixed("peak"),
            "transformers' peak MiB": fixed("peak transformers"),
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
    "steering": Table(
        "Penalties",
        """\
What a step of the generate loop takes without a model, over 5,120 tokens, and how much more it takes with a setting.
Beside it is what transformers' processor of the same kind takes for the same logits.""",
        ("batch", "setting"),
        {
            "batch": plain("batch"),
            "setting": plain("setting"),
            "µs a step": fixed("step"),
            "more than none": fixed("more"),
            "transformers' processor, µs": fixed("transformers"),
        },
    ),
    "widgets": Table(
        "Widgets",
        """\
From the time stamp of a key press to the first animation frame after the view has changed, in a browser that draws
without a GPU. *drawn in*: the kernel makes the view and sends it, or the browser draws it by itself. *handler*: the
page's own work for the press, its 95th percentile. *before*: the median of the version in which the kernel drew every
widget (commit 1537ef1), stated as it was measured then, in JupyterLab and the same browser; a range is that of several
sliders. An explorer has to be seen at 17 ms in the median and 34 at the 95th percentile, with handlers of 5 ms; what
the kernel draws, at 100 ms.""",
        ("notebook", "slider", "drawn"),
        {
            "notebook": plain("notebook"),
            "control": plain("slider"),
            "drawn in": plain("drawn"),
            "before, median ms": lambda row: row.get("before", "–"),
            "median ms": fixed("median"),
            "95th percentile ms": fixed("p95"),
            "handler ms": fixed("handler", 1),
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
    """Without the columns in which no row has anything."""
    rows = list(rows)
    shown = {name: show for name, show in columns.items() if any(show(row) not in ("", "–") for row in rows)}
    return "\n".join([head(shown), *(line(shown, row) for row in rows)])


def document(folder: Path) -> str:
    """RESULTS.md: one section a benchmark, in it one table a run."""
    parts = [
        "# Measured speed",
        "`make results` writes this page from the JSON files in `benchmarks/results`; do not edit it. Compare only "
        "rows of one table: between two runs the machine or its load may differ.",
        "## Targets",
        "Greedy; speeds divided by the speed of the same weights in the other program, measured in turn.",
        targets.table(row for run in read("compare", folder) for row in run["rows"]),
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
    """The README's rows of speed, between its two markers: of several numbers of threads, those of the largest."""
    kept: dict[tuple, tuple[dict, Row]] = {}
    for run in read("compare", folder):
        for row in run["rows"]:
            key = row["batch"], row["sampler"]
            if (row["model"], row["way"]) == ("course", "eager") and key in IN_README:
                kept[key] = max(kept.get(key, (run, row)), (run, row), key=lambda pair: pair[1]["threads"])
    if not kept:
        return f"{START}\nNot measured yet: run `make bench`.\n{END}"
    found = [kept[key] for key in IN_README if key in kept]
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
