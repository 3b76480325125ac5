"""Measure whether a model does what the course asks of it.

    python -m training.evaluate [FOLDER] [--quick] [--only ROWS] [--json]

✗ marks what the model misses. It does not change the exit status: the table is a report, not a gate.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from minillama.checkpoint import COURSE_MODEL
from training.evaluation.table import KEYS, as_json, evaluate, report, wrong_answers


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    top.add_argument(
        "folder", nargs="?", type=Path, default=COURSE_MODEL, help="of the checkpoint (default: the course model)"
    )
    top.add_argument("--quick", action="store_true", help="ask for less: a minute instead of many")
    top.add_argument(
        "--only",
        metavar="ROWS",
        default="",
        help=f"measure only these of {','.join(KEYS)}",
    )
    top.add_argument("--json", action="store_true", help="print JSON, with all wrong answers, instead of the table")
    top.add_argument("--seed", type=int, default=1, help="of questions and draws (default: %(default)s)")
    top.add_argument("--device", help="cpu or cuda (default: cuda if there is one)")
    top.add_argument("--batch", type=int, default=64, help="texts generated at a time (default: %(default)s)")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    try:
        only = [key.strip() for key in options.only.split(",") if key.strip()]
        evaluation = evaluate(options.folder, options.seed, options.quick, options.device, options.batch, only)
    except ValueError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    print(as_json(evaluation) if options.json else report(evaluation) + "\n" + wrong_answers(evaluation))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
