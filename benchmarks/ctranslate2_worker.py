"""CTranslate2 in a process of its own: a line of JSON for each run, as `benchmarks.peers` asks for it.

It imports neither torch nor minillama, so that no other library's threads are here.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import ctranslate2


def main(model: str, kind: str, threads: str) -> None:
    vocabulary = json.loads((Path(model) / "vocabulary.json").read_text(encoding="utf-8"))
    generator = ctranslate2.Generator(model, compute_type=kind, inter_threads=1, intra_threads=int(threads))
    for line in sys.stdin:
        asked = json.loads(line)
        prompts = [[vocabulary[i] for i in prompt] for prompt in asked["prompts"]]
        # The end token would be </s>; any other will do, because none may come before min_length.
        how = {"include_prompt_in_result": False, "end_token": [vocabulary[0]]}
        if "temperature" in asked:
            how |= {"sampling_topk": 0, "sampling_temperature": asked["temperature"], "sampling_topp": asked["top_p"]}
        times = []
        for n in (1, 1, asked["new_tokens"]):  # the first run of a process takes longer
            began = time.perf_counter()
            made = generator.generate_batch(prompts, min_length=n, max_length=n, **how)
            times.append(time.perf_counter() - began)
        ids = [row.sequences_ids[0] for row in made]
        print(json.dumps({"seconds": times[2] - times[1], "ids": ids}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
