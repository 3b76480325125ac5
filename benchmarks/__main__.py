"""Everything that the README's rows of speed and the main tables of benchmarks/RESULTS.md need.

Three to six minutes on two cores that do nothing else. With --long everything else instead, which takes some twenty:
the table of targets, with compiled steps, random models of 3.6 and 110 million parameters, and SmolLM2 (`make
real-model` fetches it); and the sliders in a browser. --peer adds llama.cpp and CTranslate2 to what is compared. Each
command prints its rows as they are measured and can be run by itself: `python -m benchmarks.compare --help`. For a GPU
there is `python -m benchmarks.gpu`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.compare import add_peer_option
from benchmarks.record import add_options
from minillama import smollm2

SHORT = (
    "compare --models course --ways eager int8 --batches 1 8 32 --repeats 8",
    "int8 --texts 40",
    "context --repeats 12",
    "steering --repeats 20",
)
LONG = (
    "compare --models course 3.6M --threads 1 --ways eager compile --batches 1 8 32 --repeats 3 --no-peak",
    "compare --models course --threads 2 --ways compile --batches 1 32 --repeats 3 --no-peak",
    "compare --models 110M --threads 1 --ways eager compile int8 compile+int8 --batches 1 --repeats 3 --new-tokens 33"
    " --no-peak",
    "compare --models smollm2 --threads 1 --ways eager compile --batches 1 --repeats 3 --new-tokens 33 --no-peak",
    "widgets --presses 40",
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--long", action="store_true", help="measure what the short run leaves out")
    add_options(parser)
    add_peer_option(parser)
    args = parser.parse_args(argv)
    common = ["--write", str(args.write)] if "write" in args else []
    common += ["--resume"] if "resume" in args else []
    given = [f"--peer={name}={folder}" for name, folder in args.peer]
    failed = []
    commands = [command for command in (LONG if args.long else SHORT) if "smollm2" not in command or smollm2.find()]
    for n, command in enumerate(commands, 1):  # a process for each, as if it were run by itself
        name, *options = command.split()
        options += given if name == "compare" else []
        print(f"\n{n} of {len(commands)}: python -m benchmarks.{name} {' '.join(options)}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options, *common]).returncode:
            failed.append(command)
    for command in failed:
        print(f"failed: python -m benchmarks.{command}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
