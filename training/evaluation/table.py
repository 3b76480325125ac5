"""The evaluation of a model as a table: what the course asks of it, and what it does."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch

from minillama.generation import Llama
from training.corpus import held_out
from training.corpus.document import Document
from training.corpus.parts import DRAWN, documents
from training.evaluation import measures, told
from training.evaluation.beginnings import plain_beginnings
from training.evaluation.consistency import check_story
from training.evaluation.measures import Bench, Row
from training.evaluation.plot_order import check_plot, check_things
from training.evaluation.sayings import sayings

QUICK = {"n": 40, "n_sums": 80, "n_stories": 100, "n_corpus": 5_000}
SHOWN = 4  # wrong answers of each row
ASKED = {  # key: name of the row, and the function that draws n questions with a seed
    "memory": ("memory over turns, held-out names and values", held_out.held_out_memory_dialogs),
    "system": (
        "system prompts obeyed, and the answer true; held-out pairs",
        held_out.held_out_system_dialogs,
    ),
    "requests": ("story on request has the asked subject and object", held_out.held_out_requests),
    "sums": ("sums and differences to 20, all of them", held_out.sums),
    "facts": ("facts, held-out wordings", held_out.held_out_facts),
    "unknown": ("what it cannot know, held-out questions: says so", held_out.held_out_unknown),
    "sayings": ("everyday sayings, half of them never trained on", lambda n, seed: sayings()[:n]),
}
LIMITS = {"sums": 1.0}  # of the other rows of questions, 95 % must be right
KNOWABLE = ("memory", "sums", "facts")  # rows of questions whose answer should be known


class Evaluation(NamedTuple):
    """The rows of the table, and how they were measured."""

    rows: list[Row]
    seed: int
    quick: bool
    device: str

    @property
    def missed(self) -> list[Row]:
        return [row for row in self.rows if not row.met]


def evaluate(
    folder: Path,
    seed: int = 1,
    quick: bool = False,
    device: str | None = None,
    batch: int = 64,
    only: Collection[str] = (),
) -> Evaluation:
    """Measure the rows of the table for the checkpoint in `folder`.

    seed: of the questions and of the texts.
    quick: ask for less, so that it takes a minute.
    device: "cpu" or "cuda"; None takes cuda if there is one.
    batch: texts generated at a time.
    only: keys of the rows to measure, such as ["memory", "system"]; none means all of KEYS.

    Raises ValueError if the folder holds no checkpoint, or for an unknown key.
    """
    unknown = [key for key in only if key not in KEYS]
    if unknown:
        raise ValueError(f"only: no row has the key {', '.join(map(repr, unknown))}; the keys are {', '.join(KEYS)}")
    llama = Llama.build(folder, max_batch_size=batch, device=device, dtype=torch.float32)
    bench = Bench(llama, seed, batch=batch, **(QUICK if quick else {}))
    wanted, rows = set(only or KEYS), []
    needed = wanted.union(KNOWABLE if "refused" in wanted else ())
    for keys, measure in MEASURES.items():
        if needed.intersection(keys):
            rows += measure(bench)
    if "refused" in wanted:
        rows.append(measures.refused([row for row in rows if row.key in KNOWABLE]))
    rows = sorted((row for row in rows if row.key in wanted), key=lambda row: KEYS.index(row.key))
    return Evaluation(rows, seed, quick, llama.device.type)


def asked(key: str, bench: Bench) -> list[Row]:
    name, draw = ASKED[key]
    n = bench.n_sums if key == "sums" else bench.n
    return [measures.questions(bench, key, name, draw(n, bench.seed), LIMITS.get(key, 0.95))]


def known(bench: Bench) -> list[Row]:
    return [measures.known_probabilities(bench)]


def poems(bench: Bench) -> list[Row]:
    return [measures.poems(bench)]


def stories_told(bench: Bench) -> list[Row]:
    def same(text: str, language: str) -> list[str]:
        return check_story(text, language) + check_things(text, language)

    return told.stories(bench, stories(bench.seed, held_out=True), same, check_plot)


def variety(bench: Bench) -> list[Row]:
    return [told.variety(bench, stories(bench.seed + 1, held_out=True), stories(bench.seed, held_out=False))]


def excess(bench: Bench) -> list[Row]:
    return [measures.excess_loss(bench, {part: documents(part, bench.seed, held_out=True) for part in DRAWN})]


MEASURES: dict[tuple[str, ...], Callable[[Bench], list[Row]]] = {  # keys of rows: what measures them together
    ("known",): known,
    **{(key,): partial(asked, key) for key in ASKED},
    ("beginnings",): lambda bench: [plain_beginnings(bench)],
    ("poems",): poems,
    ("ends", "kept", "plot"): stories_told,
    ("variety",): variety,
    ("excess",): excess,
}
KEYS = ("known", *ASKED, "refused", *(key for keys in MEASURES for key in keys if key not in ("known", *ASKED)))


def stories(seed: int, held_out: bool) -> Iterator[Document]:
    """Stories of both languages, taking turns."""
    parts = [documents(part, seed, held_out) for part in DRAWN if part.startswith("stories")]
    return chain.from_iterable(zip(*parts, strict=True))


def report(evaluation: Evaluation) -> str:
    """The table in Markdown, and below it the names of the rows that miss their limit."""
    lines = ["| | What | Measured | Required | n | How |", "|---|---|---|---|---|---|"]
    for row in evaluation.rows:
        measured = " / ".join(figure.shown() for figure in row.figures)
        limits = [figure.required() for figure in row.figures]
        required = limits[0] if len(set(limits)) == 1 else " / ".join(limits)
        lines.append(f"| {'✓' if row.met else '✗'} | {row.name} | {measured} | {required} | {row.n} | {row.settings} |")
    missed = "; ".join(row.name for row in evaluation.missed)
    lines += ["", f"Missed: {missed}." if missed else "Nothing is missed."]
    if evaluation.quick:
        lines.append("This is a quick sample: its shares may be off by several percent.")
    return "\n".join(lines)


def as_json(evaluation: Evaluation) -> str:
    """The same figures as the table, and all wrong answers."""
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


def wrong_answers(evaluation: Evaluation) -> str:
    """The first wrong answers of each row, for a reader who wants to know why a figure is low."""
    lines = []
    for row in evaluation.rows:
        wrong = [sample for sample in row.samples if not sample.right][:SHOWN]
        if wrong:
            lines += ["", f"{row.name}, wrong:"]
            lines += [f"  {sample.asked}\n    -> {sample.answer}".replace("\n\n", "\n") for sample in wrong]
    return "\n".join(lines)
