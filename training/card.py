"""MODEL_CARD.md, the text of model_card.md with the measured figures; and moving the finished model to its folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from minillama.checkpoint import PARAMS, SHARD, TOKENIZER
from training.config import STAGES
from training.corpus import known
from training.corpus.parts import SHARES
from training.corpus.poems import N_COMMON
from training.evaluation.measures import Sample
from training.evaluation.table import Evaluation, report
from training.train import Run

TEMPLATE = Path(__file__).parent / "model_card.md"
CARD, CURVE = "MODEL_CARD.md", "loss.svg"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")  # Okabe and Ito
DASHES = ("", "6 3", "2 2", "8 2 2 2", "1 3", "10 4", "4 4", "12 2")
GOOD, BAD = 1, 2  # right and wrong samples shown of each row and language
SHOWN = 800  # characters; a longer answer is cut


def write_card(folder: Path, run: Run, before: Sequence[dict], evaluation: Evaluation, command: str) -> None:
    """Write MODEL_CARD.md and the loss curve into `folder`, which holds the finished checkpoint.

    before: what the stages before the run took, each with "step", "seconds", "tokens", "device" and "least_known".
    command: the command that made the model.
    """
    model, history = run.model, run.history
    if not history:
        raise ValueError("history: expected at least one entry, got none; train to the first checkpoint")
    parts = [key for key in history[-1] if key not in ("step", "seconds", "tokens", "right")]
    (folder / CURVE).write_text(loss_curve(history, parts), encoding="utf-8")
    weights, params = folder / SHARD, model.params
    stages = [*before, {**history[-1], "device": run.device, "least_known": run.least_known}]
    text = TEMPLATE.read_text(encoding="utf-8").format(
        parameters=f"{sum(p.numel() for p in model.parameters()):,}",
        dim=params.dim,
        n_layers=params.n_layers,
        heads=f"{params.n_heads}, {params.n_kv_heads or params.n_heads}",
        hidden_dim=params.ffn_width(),
        vocab_size=params.vocab_size,
        max_seq_len=params.max_seq_len,
        size=f"{weights.stat().st_size / 2**20:.1f}",
        sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        n_known=len(known.load()),
        least_known=f"{sum(stage['least_known'] for stage in stages):,}",
        n_common=N_COMMON,
        mixture="\n".join(
            f"| {part} | " + " | ".join(f"{config.shares[part]:.0%}" for config in STAGES) + " |" for part in SHARES
        ),
        command=command,
        stages="\n".join(
            f"| {k} | {one['step']:,} | {one['tokens']:,} | {one['seconds'] / 60:.0f} | {one['device']} |"
            for k, one in enumerate(stages, 1)
        ),
        exact=f"{STAGES[-1].exact:.0%}",
        quizzes=f"{STAGES[-1].quizzes:.0%}",
        curve=CURVE,
        history=history_table(history, parts),
        right=right_table(history),
        evaluation=report(evaluation),
        good=samples(evaluation, right=True, n=GOOD) or "None of the answers was right.",
        bad=samples(evaluation, right=False, n=BAD) or "None of the answers was wrong.",
    )
    (folder / CARD).write_text(text, encoding="utf-8")


def publish(folder: Path, out: Path) -> None:
    """Copy the finished model from `folder` to `out` and replace the old files, each in one step. Other files stay.

    Raises ValueError, and changes nothing, if a file is missing: the card is written only after the evaluation.
    """
    names = (TOKENIZER, PARAMS, SHARD, CURVE, CARD)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{str(folder)!r} has no {', '.join(missing)}; evaluate the model and write its card first")
    out.mkdir(parents=True, exist_ok=True)
    parts = [out / f".{name}.part" for name in names]  # on the same disk, so that the move is one step
    try:
        for name, part in zip(names, parts, strict=True):
            part.write_bytes((folder / name).read_bytes())
        for name, part in zip(names, parts, strict=True):
            os.replace(part, out / name)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def history_table(history: Sequence[dict], parts: Sequence[str]) -> str:
    """At most ten entries of the history, the last among them, as a Markdown table."""
    every = -(-len(history) // 10)
    lines = ["| step | minutes | " + " | ".join(parts) + " |", "|---" * (2 + len(parts)) + "|"]
    for entry in history[::-1][::every][::-1]:
        losses = " | ".join(f"{entry[part]:.3f}" for part in parts)
        lines.append(f"| {entry['step']:,} | {entry['seconds'] / 60:.1f} | {losses} |")
    return "\n".join(lines)


def right_table(history: Sequence[dict]) -> str:
    """The shares of right answers on the way, as a Markdown table; a sentence if none were measured."""
    measured = [entry for entry in history if "right" in entry]
    if not measured:
        return "Right answers were not counted on the way."
    names = list(measured[-1]["right"])
    lines = ["| step | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for entry in measured:
        lines.append(f"| {entry['step']:,} | " + " | ".join(f"{entry['right'][name]:.0%}" for name in names) + " |")
    return "\n".join(lines)


def loss_curve(history: Sequence[dict], parts: Sequence[str]) -> str:
    """An SVG of the held-out losses over the tokens read: for each part a line with its own colour and dashes."""
    width, height = 720, 320
    left, right, top, bottom = 48, 130, 16, 40
    most = max(entry["tokens"] for entry in history) or 1
    high = max(entry[part] for entry in history for part in parts) * 1.05
    high = high if high > 0 else 1.0

    def x(tokens: float) -> float:
        return left + (width - left - right) * tokens / most

    def y(loss: float) -> float:
        return height - bottom - (height - top - bottom) * max(0.0, loss) / high

    marks = [
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<path d="M{left} {top}V{height - bottom}H{width - right}" fill="none" stroke="#555"/>',
        f'<text x="{(left + width - right) / 2:.0f}" y="{height - 8}" text-anchor="middle">million tokens read</text>',
        f'<text x="{left}" y="{top - 4}">held-out loss, nats a token</text>',
    ]
    for k in range(5):
        loss, tokens = high * k / 4, most * k / 4
        marks.append(f'<text x="{left - 6}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:.1f}</text>')
        marks.append(
            f'<text x="{x(tokens):.1f}" y="{height - bottom + 16}" text-anchor="middle">{tokens / 1e6:.3g}</text>'
        )
    lowest = 0.0
    for k, part in sorted(enumerate(parts), key=lambda one: -history[-1][one[1]]):
        points = " ".join(f"{x(entry['tokens']):.1f},{y(entry[part]):.1f}" for entry in history)
        colour, dash = COLOURS[k % len(COLOURS)], DASHES[k % len(DASHES)]
        marks.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
        )
        lowest = max(y(history[-1][part]) + 4, lowest + 14, top)  # labels must not overlap
        marks.append(f'<text x="{width - right + 6}" y="{lowest:.1f}" fill="{colour}">{part}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
    return "\n".join([f'{head} font-size="11">', *marks, "</svg>", ""])


def samples(evaluation: Evaluation, right: bool, n: int) -> str:
    """The first n samples of each row in each language that are right, or that are wrong."""
    blocks = []
    for row in evaluation.rows:
        for language in ("en", "zh"):
            found = [sample for sample in row.samples if sample.right == right and sample.language == language][:n]
            blocks += [f"*{row.name}*\n\n{quoted(sample)}" for sample in found]
    return "\n\n".join(blocks)


def quoted(sample: Sample) -> str:
    asked = [f"> {sample.asked.strip()}", ">"] if sample.asked else []
    answer = sample.answer if len(sample.answer) <= SHOWN else f"{sample.answer[:SHOWN]} …"
    return "\n".join([*asked, *(f"> {line.strip()}  " for line in (answer or "(nothing)").split("\n") if line.strip())])
