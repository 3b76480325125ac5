"""The committed course model, asked a sample of what `python -m training.evaluate` asks in full."""

import pytest
import torch

from minillama import COURSE_MODEL, Llama
from training import held_out, measures
from training.measures import Bench

LARGEST_ERROR = 0.05  # of a known probability; exact, for nothing is sampled
MEAN_VARIATION = 0.03  # total variation distance, mean over the known prompts
N = 40  # questions; one more or less is 2.5 %
MEMORY = 0.85  # of all questions, both languages together
SYSTEM = 0.85


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(Llama.build(COURSE_MODEL, max_batch_size=N, device="cpu", dtype=torch.float32), seed=2, n=N, batch=N)


def test_known_probabilities_are_met(bench):
    row = measures.known_probabilities(bench)
    largest, variation = (figure.value for figure in row.figures)
    worst = [sample for sample in row.samples if not sample.right]
    assert largest <= LARGEST_ERROR and variation <= MEAN_VARIATION, (largest, variation, worst)


@pytest.mark.parametrize(
    "key, draw, limit",
    [("memory", held_out.held_out_memory_dialogs, MEMORY), ("system", held_out.held_out_system_dialogs, SYSTEM)],
)
def test_questions_are_answered(bench, key, draw, limit):
    row = measures.questions(bench, key, key, draw(N, bench.seed))
    wrong = [sample for sample in row.samples if not sample.right]
    assert 1 - len(wrong) / row.n >= limit, wrong
