"""What the speed should be, figure by figure, and whether it is: judged from the rows of `benchmarks.compare` alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

Row = dict[str, "str | int | float | None"]
ONE_THREAD = "one thread"  # the same row, measured with one thread


class Target(NamedTuple):
    """A greedy row's speed, divided by another figure of that row (or by that of one thread)."""

    model: str
    way: str
    batch: int
    over: str
    wanted: float
    threads: int = 1

    @property
    def figure(self) -> str:
        name = f"{self.model}, {self.way}, batch {self.batch}, {self.threads} thread{'s' * (self.threads > 1)}"
        return f"{name}: time of a token / its linears" if self.over == "linears" else f"{name} / {self.over}"

    @property
    def limit(self) -> str:
        return f"at {'most' if self.over == 'linears' else 'least'} {self.wanted:g}"

    def is_of(self, row: Row) -> bool:
        here = self.model, self.way, self.batch, self.threads, "greedy"
        return tuple(row.get(field) for field in ("model", "way", "batch", "threads", "sampler")) == here

    def measured(self, row: Row, one_thread: Row | None = None) -> float | None:
        """The figure; None where something that it needs was not measured."""
        if self.over == "linears":
            return row["linears"] / row["minillama"]
        below = one_thread and one_thread["minillama"] if self.over == ONE_THREAD else row.get(self.over)
        return row["minillama"] / below if below else None

    def verdict(self, value: float) -> str:
        met = value <= self.wanted if self.over == "linears" else value >= self.wanted
        return "met" if met else "missed"


TARGETS = (
    Target("3.6M", "compile", 1, "transformers", 6),
    Target("3.6M", "compile", 1, "llama.cpp f32", 0.6),
    Target("course", "compile", 1, "linears", 1.25),
    Target("110M", "compile", 1, "llama.cpp f32", 1),
    Target("smollm2", "compile", 1, "llama.cpp f32", 1),
    Target("110M", "compile+int8", 1, "llama.cpp Q8_0", 0.8),
    Target("3.6M", "compile", 32, "transformers", 2),
    Target("course", "compile", 32, "transformers", 2),
    Target("3.6M", "eager", 1, "transformers", 1.8),
    Target("course", "eager", 1, "transformers", 1.8),
    Target("course", "compile", 1, ONE_THREAD, 1, threads=2),
)


def of_row(row: Row) -> str:
    """The targets that a row can be judged by alone, and how it stands."""
    found = [(target, target.measured(row)) for target in TARGETS if target.is_of(row) and target.over in row]
    return "; ".join(f"{t.over} {t.limit}: {t.verdict(value)}" for t, value in found if value is not None)


def table(rows: Iterable[Row]) -> str:
    """All targets with what was measured."""
    rows = list(rows)
    lines = ["| figure | wanted | measured | |", "|---|---|---|---|"]
    for target in TARGETS:
        row = next(filter(target.is_of, rows), None)
        one_thread = next(filter(target._replace(threads=1).is_of, rows), None)
        value = target.measured(row, one_thread) if row else None
        judged = ("–", "not measured") if value is None else (f"{value:.2f}", target.verdict(value))
        lines.append(f"| {' | '.join([target.figure, target.limit, *judged])} |")
    return "\n".join(lines)
