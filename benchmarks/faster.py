"""What notebook 15 shows as recorded: assets/recorded/15.json. Measure on a machine that does nothing else.

For the course model and a shape of 110 million random weights, as they are, compiled and in int8, one row, greedy:

- speed: tokens a second, of the fastest repeat, as notebook 14 teaches;
- start: seconds of a new process from building the model to its first two tokens, compiling included;
- again: the same for a second process, which finds what the first has compiled. 0 where nothing is compiled.

Each runs in a process of its own, and what is compiled is kept in a folder that is new and goes away with the run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from benchmarks import peers
from benchmarks.compare import in_ways, some_prompts
from benchmarks.record import machine

FILE = Path(__file__).parent.parent / "assets" / "recorded" / "15.json"
MODELS, WAYS = ("course", "110M"), ("eager", "compile", "int8")


def measure(name: str, way: str, new_tokens: int, repeats: int) -> dict[str, float]:
    """In this process: {"start": seconds, "speed": tokens a second, 0 without repeats}."""
    begin = time.perf_counter()
    llama = in_ways([way], name, 1, "cpu")[way]
    run, prompts = peers.minillama(llama), some_prompts(llama, 1)
    run(prompts, 2, "greedy")  # the second token is the first that a compiled step writes
    start = time.perf_counter() - begin
    times = [run(prompts, new_tokens, "greedy").seconds for _ in range(repeats)]  # without the first token
    return {"start": start, "speed": (new_tokens - 1) / min(times) if times else 0.0}


def in_a_process(kept: str, *settings: object) -> dict[str, float]:
    """`measure` in a process of its own, which keeps what it compiles in the folder `kept`."""
    command = [sys.executable, "-m", "benchmarks.faster", "--one", *map(str, settings)]
    folders = {"MINILLAMA_CACHE": kept, "TORCHINDUCTOR_CACHE_DIR": str(Path(kept) / "inductor")}
    ran = subprocess.run(command, env=os.environ | folders, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


def row(name: str, way: str, new_tokens: int, repeats: int) -> dict[str, str | float]:
    with tempfile.TemporaryDirectory() as kept:
        first = in_a_process(kept, name, way, new_tokens, repeats)
        again = in_a_process(kept, name, way, new_tokens, 0)["start"] if way == "compile" else 0.0
    found = {"speed": first["speed"], "start": first["start"], "again": again}
    return {"model": name, "way": way} | {key: float(f"{value:.4g}") for key, value in found.items()}


def main(argv: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(
        "python -m benchmarks.faster", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = options.add_argument
    add("--models", nargs="+", default=MODELS, choices=MODELS, metavar="M", help="course or 110M (default: both)")
    add("--ways", nargs="+", default=WAYS, choices=WAYS, metavar="W", help="eager, compile or int8 (default: all)")
    add("--new-tokens", type=int, default=100, metavar="N", help="tokens to generate (default: %(default)s)")
    add("--repeats", type=int, default=5, metavar="N", help="timed runs of each row (default: %(default)s)")
    add("--write", nargs="?", const=FILE, type=Path, metavar="FILE", help="keep it in FILE, or in assets/recorded")
    add("--one", nargs=4, help=argparse.SUPPRESS)
    args = options.parse_args(argv)
    if args.one:
        name, way, new_tokens, repeats = args.one
        return print(json.dumps(measure(name, way, int(new_tokens), int(repeats))))
    here = machine("cpu")
    head = {"command": "python -m benchmarks.faster --write", "date": date.today().isoformat(), "machine": here}
    rows = []
    for name in args.models:
        for way in args.ways:
            rows.append(row(name, way, args.new_tokens, args.repeats))
            print(json.dumps(rows[-1]), flush=True)
    if args.write:
        lines = ",\n".join(f"  {json.dumps(each)}" for each in rows)
        text = json.dumps(head, indent=1, ensure_ascii=False)[:-2] + f',\n "rows": [\n{lines}\n ]\n}}\n'
        args.write.parent.mkdir(parents=True, exist_ok=True)
        args.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
