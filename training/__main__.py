"""Make the course model from scratch: draw the corpus, train tokenizer and model, evaluate, replace the assets.

It may be interrupted at any time. The same command then goes on from the last checkpoint.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: beside other programs, spinning is slow

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import torch

from minillama import checkpoint
from training.card import publish, write_card
from training.config import Config
from training.corpus import poems
from training.evaluation.table import evaluate, report
from training.train import Run, steps_within, train

HERE = Path(__file__).parent
AGAIN = "the same command goes on from the last checkpoint"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    length = top.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help=f"number of steps after the drills (default: {Config.steps})")
    length.add_argument("--minutes", type=float, help="as many steps as this machine makes in this time")
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
    top.add_argument("--quick", action="store_true", help="evaluate on a small sample, for a trial")
    return top


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    torch.set_num_threads(min(2, os.cpu_count() or 1))  # the same number on every machine, because sums depend on it
    command = " ".join(["python -m training", *(sys.argv[1:] if argv is None else argv)])
    try:
        config = Config(seed=options.seed, steps=Config.steps if options.steps is None else options.steps)
        poems.fetch_package(poems.CACHE)  # first of all: without the poems nothing else is begun
        if options.minutes is not None:
            config = replace(config, steps=steps_within(options.minutes, options.run, options.seed))
        run = train(config, options.run)
        finish(config, run, options.run / "finished", options.out, command, options.quick)
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


def finish(config: Config, run: Run, staging: Path, out: Path, command: str, quick: bool) -> None:
    """Save the trained model in `staging` and evaluate it there; only then move it to `out`, file by file."""
    shutil.rmtree(staging, ignore_errors=True)
    checkpoint.save(staging, run.model, run.tokenizer_path, torch.float16)
    evaluation = evaluate(staging, config.seed, quick)
    write_card(staging, run.model, evaluation, run.history, command, run.device, run.least_known)
    print(report(evaluation))
    publish(staging, out)
    print(f"\nThe model is in {out}.")


if __name__ == "__main__":
    raise SystemExit(main())
