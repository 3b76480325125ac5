"""Make the course model from nothing: draw the corpus, train tokenizer and model, evaluate, replace the assets.

One command, which may be interrupted at any time: the same command goes on where the last checkpoint left it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: where another program runs, spinning is slow

import argparse
import sys
from pathlib import Path

import torch

from minillama import checkpoint
from training.card import model_card
from training.evaluate import evaluate, report
from training.train import Config, Run, steps_within, train

HERE = Path(__file__).parent
CARD = "MODEL_CARD.md"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    length = top.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help=f"train for so many steps (default: {Config.steps})")
    length.add_argument("--minutes", type=float, help="train for as many steps as this machine makes in that time")
    top.add_argument("--seed", type=int, default=Config.seed, help="of corpus and weights (default: %(default)s)")
    top.add_argument(
        "--out",
        type=Path,
        default=HERE.parent / "assets" / "course-model",
        help="where the finished model goes (default: assets/course-model)",
    )
    top.add_argument(
        "--run",
        type=Path,
        default=HERE / "runs" / "course-model",
        help="where the unfinished one is kept (default: training/runs/course-model)",
    )
    return top


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    torch.set_num_threads(min(2, os.cpu_count() or 1))  # the same number everywhere: sums depend on it
    try:
        steps = options.steps if options.minutes is None else steps_within(options.minutes, options.run, options.seed)
        config = Config(seed=options.seed) if steps is None else Config(seed=options.seed, steps=steps)
        run = train(config, options.run)
    except ValueError as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("training: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    finish(config, run, options.run / "finished", options.out)
    return 0


def finish(config: Config, run: Run, staging: Path, out: Path) -> None:
    """Evaluate the trained model beside `out`, and only then move it there, file by file."""
    checkpoint.save(staging, run.model, run.tokenizer_path, torch.float16)
    evaluation = evaluate(staging, config)
    (staging / CARD).write_text(model_card(staging, config, run, evaluation), encoding="utf-8")
    out.mkdir(parents=True, exist_ok=True)
    for name in (checkpoint.TOKENIZER, checkpoint.PARAMS, checkpoint.SHARD, CARD):
        part = out / f".{name}.part"  # on the same disk, so that the move is one step
        part.write_bytes((staging / name).read_bytes())
        os.replace(part, out / name)
    print(report(evaluation), f"The model is in {out}.", sep="\n\n")


if __name__ == "__main__":
    raise SystemExit(main())
