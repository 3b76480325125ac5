"""The training loop: from the first step, or from the last checkpoint, to the last.

What a step reads depends on the seed and the step alone, and nothing else is random. So a run that was interrupted and
resumed ends in the same weights as one that was not.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
from contextlib import redirect_stderr
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from minillama import checkpoint
from minillama.checkpoint import SHARD, TOKENIZER
from minillama.model import Transformer
from minillama.tokenizer import Tokenizer
from training.config import Config
from training.evaluation.table import evaluate
from training.initial import new_model
from training.packing import look_of
from training.rows import check_known, fingerprint, prepare_data, read_batch
from training.state import check_state, load_state, save_state, write_atomically
from training.step import cross_entropy, evaluate_loss, new_optimizer, update

PROGRESS = ("memory", "system", "requests", "sums", "sayings")  # rows of the evaluation that are measured on the way


class Run(NamedTuple):
    """What `train` returns."""

    model: Transformer
    tokenizer_path: Path
    history: list[dict]  # one entry for each checkpoint: step, seconds, tokens, and each part's held-out loss in nats
    device: str
    least_known: int  # times that the rarest known prompt was read


def train(config: Config, out: Path, start: Path | None = None) -> Run:
    """Train from the beginning, or from the last checkpoint in the folder `out`, to the last step.

    start: folder of a finished stage in Meta's layout, whose weights and tokenizer this one begins with; None begins
    with random weights and a tokenizer of its own.

    Raises ValueError if `out` holds a broken checkpoint, or one of a run with other settings.
    """
    torch.manual_seed(config.seed)
    device, saved = best_device(), out / "checkpoint.pt"
    identity = {**asdict(config), "checkpoint_every": None, "progress_every": None, "compile": None}
    identity["start"] = hashlib.sha256((start / SHARD).read_bytes()).hexdigest() if start else None
    check_state(saved, identity)  # before minutes go by
    data = prepare_data(config, out, start)
    tokenizer, rows = Tokenizer(out / TOKENIZER), {kind: data[kind] for kind in ("drill", "short", "long")}
    least_known = check_known(config, tokenizer, rows)
    held_out = {part: torch.from_numpy(data[f"held_out_{part}"].astype(np.int64)).to(device) for part in config.shares}
    model = new_model(config.model, tokenizer.n_words).to(device)
    if start:
        model.load_state_dict(torch.load(start / SHARD, map_location=device, weights_only=True))
    optimizer = new_optimizer(config, model)
    identity["corpus"] = fingerprint(rows)
    progress = load_state(saved, identity, model, optimizer)
    first, seconds, history = progress.get("step", 0), progress.get("seconds", 0.0), progress.get("history", [])

    started, begun = time.monotonic() - seconds, time.monotonic()
    tokens = tokens_before = history[-1]["tokens"] if history else 0
    entropy = torch.compile(cross_entropy, dynamic=False) if config.compile else cross_entropy
    bar = tqdm(total=config.last_step, initial=first, unit="step", desc="training", mininterval=1.0, dynamic_ncols=True)
    for step in range(first, config.last_step):
        batch = read_batch(config, rows, step).to(device)  # (bsz, seqlen + 1)
        loss = update(config, model, optimizer, batch, step, entropy)
        done, tokens = step + 1, tokens + int((batch[:, 1:] >= 0).sum())
        bar.update()
        if done % 10 == 0:
            speed = (tokens - tokens_before) / (time.monotonic() - begun)
            bar.set_postfix_str(f"loss {loss.item():.3f}, {speed:,.0f} tok/s")
        if done % config.checkpoint_every == 0 or done == config.last_step:
            losses = {part: round(evaluate_loss(model, rows), 4) for part, rows in held_out.items()}
            seconds = time.monotonic() - started
            history.append({"step": done, "seconds": round(seconds), "tokens": tokens, **losses})
            shown = ", ".join(f"{part} {value:.3f}" for part, value in losses.items())
            bar.write(f"step {done:5d}  {seconds / 60:5.1f} min  held-out loss: {shown}")
            if done % config.progress_every == 0 and done < config.last_step:
                history[-1]["right"] = right = count_right(model, out)
                bar.write(
                    " " * 23 + "right answers: " + ", ".join(f"{name} {value:.0%}" for name, value in right.items())
                )
            save_state(saved, identity, model, optimizer, step=done, seconds=seconds, history=history)
    bar.close()
    look_of(model).mask = None
    return Run(model.cpu(), out / TOKENIZER, history, device_name(device), least_known)


def count_right(model: Transformer, out: Path) -> dict[str, float]:
    """The share of right answers so far, on a small sample: whoever sees that a run will miss can stop it.

    Keys are such as "memory en". The weights are measured as they would be saved, in float16.
    """
    folder = out / "so_far"
    weights = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
    saved = Transformer(model.params)
    saved.load_state_dict(weights)
    checkpoint.save(folder, saved, out / TOKENIZER, torch.float16)
    with redirect_stderr(io.StringIO()):  # the bars of single rows
        evaluation = evaluate(folder, quick=True, only=PROGRESS)
    shutil.rmtree(folder)
    return {f"{row.key} {figure.label}".strip(): figure.value for row in evaluation.rows for figure in row.figures}


def steps_within(minutes: float, out: Path, config: Config) -> int:
    """How many steps fit into `minutes` after the drills: measured once for a run, then read from the folder `out`."""
    if not minutes > 0:
        raise ValueError(f"minutes must be more than 0, got {minutes}")
    note = out / "steps.json"
    if note.exists():
        return json.loads(note.read_text())
    device = best_device()
    model = new_model(config.model, config.vocab_size).to(device)
    optimizer = new_optimizer(config, model)
    seconds = []
    for _ in range(20):  # the first ones are slower and count too: they make up for evaluation and checkpoints
        batch = torch.randint(config.vocab_size, (config.batch_rows, config.seqlen + 1), device=device)
        started = time.monotonic()
        update(config, model, optimizer, batch, step=0).item()
        seconds.append(time.monotonic() - started)
    drills = config.drill_steps * config.drill_batch_rows * config.drill_seqlen / (config.batch_rows * config.seqlen)
    steps = max(1, int(60 * minutes / (sum(seconds) / len(seconds)) - drills))
    write_atomically(note, lambda beside: beside.write_text(json.dumps(steps)))
    return steps


def best_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """As the model card has it, such as "CPU, 2 threads"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
