"""make fuzz: the campaign, for as long as you like.

It goes through all targets again and again, a few dozen cases each, other ones each time. What it finds is made as
small as possible and written to tests/fuzz/findings/, a folder each: case.json (try it again with --replay), the files
that were changed, and report.txt. The work is done in a process of its own: one that is ended by what it tries, or
hangs, is a finding too. The exit status is 1 if there is any.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz import files
from tests.fuzz.targets import targets, trial_of
from tests.fuzz.watch import PATIENCE, Finding

FINDINGS = Path(__file__).with_name("findings")
NOW = FINDINGS / "now.json"  # the case that is being tried
EACH = 60  # cases of a target at a time
MOST_ENDED = 20  # times that the process of the work may be ended by what it tries


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default: %(default)g)")
    parser.add_argument("--seed", type=int, help="of the first round (default: another one each time)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only targets whose name has TEXT in it")
    parser.add_argument("--replay", metavar="FOLDER", help="try a finding again")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.replay:
        return replay(Path(args.replay))
    args.seed = random.SystemRandom().randrange(10**6) if args.seed is None else args.seed
    return work(args) if args.work else campaign(args)


def replay(folder: Path) -> int:
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    try:
        print(trial_of(case))
    except Finding as finding:
        print(finding)
        return 1
    return 0


def campaign(args: argparse.Namespace) -> int:
    """Start the work, again where it was ended by what it tried; then say what was tried and found."""
    FINDINGS.mkdir(exist_ok=True)
    shutil.rmtree(FINDINGS / "home", ignore_errors=True)
    end, counts, found = time.monotonic() + 60 * args.minutes, defaultdict(Counter), []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HOME": str(FINDINGS / "home"), "HF_HUB_OFFLINE": "1"}
    print(f"seed {args.seed}", flush=True)
    n_ended = 0
    while (left := end - time.monotonic()) > 0 and n_ended < MOST_ENDED:
        NOW.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.fuzz", "--work", "--minutes", str(left / 60), "--only", args.only]
        command += ["--seed", str(args.seed + 10**6 * n_ended)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            _follow(process, counts, found)
        if process.returncode != 0:
            if not NOW.exists():
                print(f"the work could not be done: exit status {process.returncode}", file=sys.stderr)
                return 2
            ended = f"the process ended with the status {process.returncode}"
            now = json.loads(NOW.read_text(encoding="utf-8"))
            found.append(write(now["target"], now["case"], ended))
            counts[now["target"]]["finding"] += 1
            print(f"{now['target']}: {ended}", flush=True)
            n_ended += 1
    NOW.unlink(missing_ok=True)
    print(table(counts))
    for folder in found:
        print(f"found: {folder}")
    return 1 if found else 0


def _follow(process: subprocess.Popen, counts: dict[str, Counter], found: list[Path]) -> None:
    """Take what the work says, a line of JSON for each target that it has done; end it where it hangs."""

    def end_if_it_hangs() -> None:
        while process.poll() is None:
            time.sleep(5)
            if NOW.exists() and time.time() - NOW.stat().st_mtime > 5 * PATIENCE:
                process.kill()

    threading.Thread(target=end_if_it_hangs, daemon=True).start()
    for line in process.stdout:
        if not line.startswith('{"target"'):
            print(line, end="", flush=True)
            continue
        said = json.loads(line)
        counts[said["target"]].update(said["counts"])
        for each in said["found"]:
            found.append(Path(each))
            print(f"{said['target']}: {each}", flush=True)


def work(args: argparse.Namespace) -> int:
    """Go through the targets until the time is over."""
    end, known, round_ = time.monotonic() + 60 * args.minutes, set(), 0
    chosen = {name: target for name, target in targets().items() if args.only in name}
    if not chosen:
        print(f"no target has {args.only!r} in its name; there are: {', '.join(targets())}")
        return 2
    while time.monotonic() < end:
        for name, target in chosen.items():
            if time.monotonic() < end:
                counts, found = try_some(name, target, f"{args.seed} {round_}", known)
                print(json.dumps({"target": name, "counts": counts, "found": list(map(str, found))}), flush=True)
        round_ += 1
    return 0


def try_some(name: str, target, mark: str, known: set[str]) -> tuple[Counter, list[Path]]:
    """Some cases of a target; what is found is made small, written, and known from then on."""
    counts: Counter = Counter()
    smallest: dict[str, tuple[dict, str]] = {}

    @seed(mark)
    @settings(max_examples=EACH, deadline=None, database=None, derandomize=False, print_blob=False,
              phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(target.cases)
    def each(case):
        NOW.write_text(json.dumps({"target": name, "case": case}), encoding="utf-8")
        try:
            counts[target.trial(case)] += 1
        except Finding as finding:
            if finding.mark in known:
                counts["found before"] += 1
                return
            counts["finding"] += finding.mark not in smallest
            if finding.mark not in smallest or len(json.dumps(case)) <= len(json.dumps(smallest[finding.mark][0])):
                smallest[finding.mark] = case, str(finding)
            raise

    try:
        each()
    except Exception:  # the finding, several of them, or one that comes and goes
        if not smallest:
            raise
    known |= smallest.keys()
    return counts, [write(name, case, report) for case, report in smallest.values()]


def write(name: str, case: dict, report: str) -> Path:
    """A folder for a finding."""
    word = "-".join(name.split()).replace("/", "-")
    n = sum(1 for folder in FINDINGS.iterdir() if folder.name.startswith(f"{word}-"))
    folder = FINDINGS / f"{word}-{n + 1}"
    folder.mkdir()
    (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n", encoding="utf-8")
    (folder / "report.txt").write_text(report + "\n", encoding="utf-8", errors="backslashreplace")
    if "original" in case:
        for file, data in files.files_of(case).items():
            if file in case["edits"]:
                (folder / file).write_bytes(data)
    return folder


def table(counts: dict[str, Counter]) -> str:
    """A line for each target, a column for each outcome."""
    outcomes = sorted({outcome for each in counts.values() for outcome in each})
    total = sum(counts.values(), Counter())
    rows = [("", *outcomes, "in all")]
    rows += [(name, *(str(each[o]) for o in outcomes), str(each.total())) for name, each in counts.items()]
    rows.append(("in all", *(str(total[o]) for o in outcomes), str(total.total())))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    aligned = ([f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join([row[0].strip().ljust(widths[0]), *row[1:]]) for row in aligned)


if __name__ == "__main__":
    raise SystemExit(main())
