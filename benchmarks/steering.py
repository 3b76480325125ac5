"""What a penalty costs: microseconds a step of the generate loop without a model, which says the same at each step.

Each setting in turn, repeat by repeat, beside the loop without any; and beside transformers' own processor of the same
kind, called on the same logits and ids at each step.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
import transformers
from torch import Tensor
from tqdm import tqdm

from benchmarks.record import Record, parser
from minillama import Sampling, steps

VOCAB, STEPS = 5120, 64
SETTINGS: dict[str, dict] = {
    "none": {},
    "repetition_penalty": {"repetition_penalty": 1.2},
    "presence_penalty": {"presence_penalty": 0.5},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "logit_bias": {"logit_bias": {7: -5.0, 9: 2.0}},
    "no_repeat_ngram_size": {"no_repeat_ngram_size": 4},
}
THEIRS: dict[str, Callable[[], transformers.LogitsProcessor]] = {
    "repetition_penalty": lambda: transformers.RepetitionPenaltyLogitsProcessor(1.2),
    "logit_bias": lambda: transformers.SequenceBiasLogitsProcessor({(7,): -5.0, (9,): 2.0}),
    "no_repeat_ngram_size": lambda: transformers.NoRepeatNGramLogitsProcessor(4),
}


def ours(name: str, logits: Tensor) -> float:
    """Microseconds a step of a greedy run of STEPS steps; logits (bsz, 1, vocab_size) are what the model says."""
    run = steps(lambda *_: logits, [[1]] * len(logits), STEPS, Sampling(temperature=0, **SETTINGS[name]),
                max_seq_len=STEPS + 1, stop_ids=[2])  # fmt: skip
    begin = time.perf_counter()
    for _ in run:
        pass
    return 1e6 * (time.perf_counter() - begin) / STEPS


def theirs(name: str, logits: Tensor) -> float | None:
    """Microseconds a call of transformers' processor, on 1 to STEPS ids a row; None where it has none."""
    if name not in THEIRS:
        return None
    process, ids = THEIRS[name](), torch.randint(3, VOCAB, (len(logits), STEPS))  # (bsz, STEPS)
    begin = time.perf_counter()
    for n in range(1, STEPS + 1):
        process(ids[:, :n], logits[:, 0])
    return 1e6 * (time.perf_counter() - begin) / STEPS


def main(argv: Sequence[str] | None = None) -> None:
    options = parser("steering", __doc__)
    options.add_argument("--batches", type=int, nargs="+", default=[1, 8], metavar="B", help="default: 1 8")
    options.add_argument("--repeats", type=int, default=20, metavar="N", help="default: %(default)s")
    args = options.parse_args(argv)
    record = Record("steering", argv, [f"medians of {args.repeats}"])
    keys = [(batch, name) for batch in args.batches for name in SETTINGS]
    if record.kept() >= {*keys}:
        return
    times: dict[tuple, list] = {key: [] for key in keys}
    for repeat in tqdm(range(args.repeats + 1), desc="steering", dynamic_ncols=True):
        for batch, name in keys:
            logits = torch.randn(batch, 1, VOCAB, generator=torch.Generator().manual_seed(0))
            pair = ours(name, logits), theirs(name, logits)
            times[batch, name] += [pair] if repeat else []  # the first one warms up
    medians = {key: statistics.median(mine for mine, _ in pairs) for key, pairs in times.items()}
    for (batch, name), pairs in times.items():
        other = statistics.median(each for _, each in pairs) if name in THEIRS else None
        row = {"batch": batch, "setting": name, "step": medians[batch, name], "transformers": other}
        record.add(row | {"more": medians[batch, name] - medians[batch, "none"]})


if __name__ == "__main__":
    main()
