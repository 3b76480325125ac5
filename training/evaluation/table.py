"""Measure a model against what the course asks of it.

    python -m training.evaluate [FOLDER] [--quick] [--json]

Misses are marked ✗ and change nothing about the exit status: the table is a report, not a gate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch

from minillama.generation import Llama
from training.corpus import held_out
from training.corpus.document import Document
from training.corpus.parts import DRAWN, documents
from training.evaluation import measures
from training.evaluation.consistency import check_story
from training.evaluation.measures import Bench, Row

QUICK = {"n": 40, "n_stories": 100, "n_corpus": 5_000}
ASKED = {  # key: name, and where the questions come from
    "memory": ("memory over turns, held-out names and values", held_out.held_out_memory_dialogs),
    "system": ("system prompts obeyed, held-out pairs with the question", held_out.held_out_system_dialogs),
    "requests": ("story on request has the asked subject and object", held_out.held_out_requests),
    "facts": ("sums to 20 and facts, held-out wordings", held_out.held_out_facts_and_sums),
}


class Evaluation(NamedTuple):
    rows: list[Row]
    seed: int
    quick: bool
    device: str

    @property
    def missed(self) -> list[Row]:
        return [row for row in self.rows if not row.met]


def evaluate(
    folder: Path, seed: int = 1, quick: bool = False, device: str | None = None, batch: int = 64
) -> Evaluation:
    """Every row of the table for the checkpoint in `folder`. ValueError if it is none, or the corpus lacks a part."""
    llama = Llama.build(folder, max_batch_size=batch, device=device, dtype=torch.float32)
    bench = Bench(llama, seed, batch=batch, **(QUICK if quick else {}))
    rows = [measures.known_probabilities(bench)]
    for key, (name, draw) in ASKED.items():
        rows.append(measures.questions(bench, key, name, draw(bench.n, seed)))
    rows.append(measures.poems(bench))
    rows += measures.stories(bench, stories(seed, held_out=True), check_story)
    rows.append(measures.variety(bench, stories(seed + 1, held_out=True), stories(seed, held_out=False)))
    rows.append(measures.excess_loss(bench, {part: documents(part, seed, held_out=True) for part in DRAWN}))
    return Evaluation(rows, seed, quick, llama.device.type)


def stories(seed: int, held_out: bool) -> Iterator[Document]:
    """Stories of both languages, in turn."""
    parts = [documents(part, seed, held_out) for part in DRAWN if part.startswith("stories")]
    return chain.from_iterable(zip(*parts, strict=True))


def report(evaluation: Evaluation) -> str:
    """The table in Markdown, the misses below it by name."""
    lines = ["| | What | Measured | Required | n | How |", "|---|---|---|---|---|---|"]
    for row in evaluation.rows:
        measured = " / ".join(figure.shown() for figure in row.figures)
        limits = [figure.required() for figure in row.figures]
        required = limits[0] if len(set(limits)) == 1 else " / ".join(limits)
        lines.append(f"| {'✓' if row.met else '✗'} | {row.name} | {measured} | {required} | {row.n} | {row.settings} |")
    missed = "; ".join(row.name for row in evaluation.missed)
    lines += ["", f"Missed: {missed}." if missed else "Nothing is missed."]
    if evaluation.quick:
        lines.append("This is a quick sample; its shares may be off by several percent.")
    return "\n".join(lines)


def as_json(evaluation: Evaluation) -> str:
    rows = [
        {
            "key": row.key,
            "name": row.name,
            "n": row.n,
            "settings": row.settings,
            "met": row.met,
            "figures": [{**figure._asdict(), "met": figure.met} for figure in row.figures],
            "wrong": [sample._asdict() for sample in row.samples if not sample.right],
        }
        for row in evaluation.rows
    ]
    missed = [row.key for row in evaluation.missed]
    found = {"seed": evaluation.seed, "quick": evaluation.quick, "device": evaluation.device, "missed": missed}
    return json.dumps({**found, "rows": rows}, ensure_ascii=False, indent=2)


def shown_samples(evaluation: Evaluation, n: int = 4) -> str:
    """The first wrong answers of each row, for a reader who wants to know why a figure is what it is."""
    lines = []
    for row in evaluation.rows:
        wrong = [sample for sample in row.samples if not sample.right][:n]
        if wrong:
            lines += ["", f"{row.name}, wrong:"]
            lines += [f"  {sample.asked}\n    -> {sample.answer}".replace("\n\n", "\n") for sample in wrong]
    return "\n".join(lines)
