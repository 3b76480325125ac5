"""Known probabilities with a second level: both levels are measured."""

import pytest
import torch

from training.corpus import known
from training.evaluation import measures

DEEP = known.read_prompt(
    {
        "id": "deep",
        "lang": "en",
        "kind": "text",
        "prompt": "Once upon a",
        "options": [
            {
                "text": " time",
                "probability": 0.75,
                "then": [{"text": " there", "probability": 0.9}, {"text": " was", "probability": 0.1}],
            },
            {"text": " cat", "probability": 0.25},
        ],
    }
)


def measured(bench, monkeypatch, first, second):
    """The row of a model with these probabilities of each level's options, and the prompts that it was asked."""
    (_, time), tokenizer, asked = DEEP.levels(), bench.llama.tokenizer, []

    def next_probs(llama, ids):
        probs = torch.zeros(tokenizer.n_words, dtype=torch.float64)
        of_time = ids == tokenizer.encode("Once upon a time", bos=True, eos=False)
        given = torch.tensor(second if of_time else first, dtype=torch.float64)
        probs[DEEP.next_ids(tokenizer, time if of_time else None)] = given
        asked.append(tokenizer.decode(ids))
        return probs

    monkeypatch.setattr(measures, "next_probs", next_probs)
    row = measures.known_probabilities(bench, [DEEP])
    assert asked == ["Once upon a", "Once upon a time"]
    return row


@pytest.mark.parametrize(
    "first, second, largest, variation",
    [
        ((0.75, 0.25), (0.9, 0.1), 0.0, 0.0),
        ((0.71, 0.29), (0.9, 0.1), 0.04, 0.02),
        ((0.75, 0.25), (0.8, 0.2), 0.1, 0.05),
        ((0.75, 0.25), (0.7, 0.1), 0.2, 0.1),
    ],
)
def test_both_levels_count(bench, monkeypatch, first, second, largest, variation):
    row = measured(bench, monkeypatch, first, second)
    assert [figure.value for figure in row.figures] == pytest.approx([largest, variation])
    assert row.n == len(row.samples) == 1 and row.met is row.samples[0].right is (largest == 0)


def test_a_sample_shows_both_levels(bench, monkeypatch):
    row = measured(bench, monkeypatch, (0.75, 0.25), (0.8, 0.2))
    assert row.samples[0].answer == "time 0.750 (0.75), cat 0.250 (0.25); time … there 0.800 (0.9), was 0.200 (0.1)"
