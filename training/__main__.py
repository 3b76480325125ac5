"""Make the course model: draw the corpus, train, evaluate, replace the assets.

There are three stages, and each ends in weights from which the next one begins. Those of the first two are in the
repository, so that by default only the last stage is trained. With --stage 1 all begins from nothing, the tokenizer
included.

It may be interrupted at any time. The same command then goes on from the last checkpoint.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: beside other programs, spinning is slow

import argparse
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import torch

from minillama import checkpoint
from training.card import publish, write_card
from training.config import STAGES, Config
from training.corpus import poems
from training.evaluation.table import evaluate, report
from training.train import Run, steps_within, train

HERE = Path(__file__).parent
STAGE = "stage.json"  # beside the weights of a stage: its steps, seconds and tokens
EVALUATED = 1  # seed of the evaluation
AGAIN = "the same command goes on from the last checkpoint"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    length = top.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="number of steps of each stage after the drills, for a trial")
    length.add_argument("--minutes", type=float, help="as many steps as this machine makes in this time")
    top.add_argument(
        "--stage",
        type=int,
        choices=range(1, len(STAGES) + 1),
        default=len(STAGES),
        help="the first stage to train (default: the last)",
    )
    top.add_argument("--seed", type=int, default=Config.seed, help="of corpus and weights (default: %(default)s)")
    top.add_argument(
        "--out",
        type=Path,
        default=HERE.parent / "assets" / "course-model",
        help="folder for the finished model (default: assets/course-model)",
    )
    top.add_argument(
        "--run",
        type=Path,
        default=HERE / "runs" / "course-model",
        help="folder for the unfinished one (default: training/runs/course-model)",
    )
    top.add_argument(
        "--stages",
        type=Path,
        default=HERE / "stages",
        help="folder for the weights between the stages (default: training/stages)",
    )
    top.add_argument("--quick", action="store_true", help="evaluate on a small sample, for a trial")
    return top


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    torch.set_num_threads(min(2, os.cpu_count() or 1))  # the same number on every machine, because sums depend on it
    command = " ".join(["python -m training", *(sys.argv[1:] if argv is None else argv)])
    try:
        configs = [replace(config, seed=options.seed + k) for k, config in enumerate(STAGES)][options.stage - 1 :]
        if options.steps is not None:
            configs = [replace(config, steps=options.steps, until=None) for config in configs]
        start = stage_before(options.stage, options.stages)
        poems.fetch_package(poems.CACHE)  # first of all: without the poems nothing else is begun
        for stage, config in enumerate(configs, options.stage):
            folder = options.run / f"stage-{stage}"
            if options.minutes is not None:
                minutes = options.minutes * config.last_step / sum(one.last_step for one in configs)
                config = replace(config, steps=steps_within(minutes, folder, config), until=None)
            run = train(config, folder, start)
            if stage < len(STAGES):
                start = options.stages / str(stage)
                save_stage(run, start)
        before = [json.loads((options.stages / f"{k}" / STAGE).read_text()) for k in range(1, len(STAGES))]
        finish(config, run, before, options.run / "finished", options.out, command, options.quick)
    except ValueError as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, above all
        print(f"training: {error}; when you have fixed that, {AGAIN}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"training: interrupted; {AGAIN}", file=sys.stderr)
        return 130
    return 0


def stage_before(stage: int, stages: Path) -> Path | None:
    """The folder of the weights that a stage begins with; None for the first."""
    if stage == 1:
        return None
    folder = stages / str(stage - 1)
    missing = [name for name in (checkpoint.SHARD, checkpoint.TOKENIZER, STAGE) if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{str(folder)!r} has no {', '.join(missing)}; train from the beginning with --stage 1")
    return folder


def save_stage(run: Run, folder: Path) -> None:
    """Save the weights of a finished stage, and what it took to make them."""
    checkpoint.save(folder, run.model, run.tokenizer_path, torch.float16)
    made = {name: run.history[-1][name] for name in ("step", "seconds", "tokens")}
    (folder / STAGE).write_text(json.dumps({**made, "device": run.device, "least_known": run.least_known}) + "\n")


def finish(config: Config, run: Run, before: list[dict], staging: Path, out: Path, command: str, quick: bool) -> None:
    """Save the trained model in `staging` and evaluate it there; only then move it to `out`, file by file."""
    shutil.rmtree(staging, ignore_errors=True)
    checkpoint.save(staging, run.model, run.tokenizer_path, torch.float16)
    evaluation = evaluate(staging, EVALUATED, quick)
    write_card(staging, run, before, evaluation, command)
    print(report(evaluation))
    publish(staging, out)
    print(f"\nThe model is in {out}.")


if __name__ == "__main__":
    raise SystemExit(main())
