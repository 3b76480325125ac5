"""The committed course model against the truth that its corpus was drawn from, as `python -m training.evaluate` asks.

What it misses stands in assets/course-model/MODEL_CARD.md; the limits here keep it from getting worse unnoticed.
"""

import torch

from minillama import COURSE_MODEL, Llama
from training import measures
from training.measures import Bench

LARGEST_ERROR = 0.20  # of a known probability; 0.03 is wanted, 0.193 measured. Exact, for nothing is sampled
MEAN_VARIATION = 0.13  # total variation distance, mean over the known prompts; 0.03 is wanted, 0.124 measured


def test_known_probabilities_are_met():
    bench = Bench(Llama.build(COURSE_MODEL, max_batch_size=1, device="cpu", dtype=torch.float32))
    row = measures.known_probabilities(bench)
    largest, variation = (figure.value for figure in row.figures)
    worst = [sample for sample in row.samples if not sample.right]
    assert largest <= LARGEST_ERROR and variation <= MEAN_VARIATION, (largest, variation, worst)
