"""The static figures of notebook 06."""

import math

import pytest
import torch

from minillama import plots
from minillama.logprobs import entropy
from minillama.sampling import apply_temperature

WORDS = ["a", "an", "that", "the", "this"]
LOGITS = torch.tensor([0.30, 0.10, 0.03, 0.50, 0.07]).log()
TRUTH = {3: 0.6, 0: 0.4}


def test_bars_are_the_probabilities_and_diamonds_the_truth():
    ax = plots.plot_temperatures(WORDS, LOGITS, (0.5, 1.0, 2.0), TRUTH).axes[0]
    groups = [[bar.get_height() for bar in group] for group in ax.containers]
    for temperature, heights in zip((0.5, 1.0, 2.0), groups, strict=True):
        probs = apply_temperature(LOGITS, temperature)
        assert heights == pytest.approx([float(probs[3]), float(probs[0])])
    assert list(ax.lines[0].get_ydata()) == [0.6, 0.4]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["the", "a"]
    assert len({group[0].get_hatch() for group in ax.containers}) == 3, "colour is not the only sign"


def test_without_a_truth_the_best_tokens_are_shown():
    ax = plots.plot_temperatures(WORDS, LOGITS, (1.0,), n_tokens=3).axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["the", "a", "an"]
    assert not ax.lines


def test_entropy_curves():
    ax = plots.plot_entropy({"notes": LOGITS, "flat $": torch.zeros(5)}, highest=2.0).axes[0]
    notes, flat, limit = ax.lines[:3]
    for temperature, nats in zip(notes.get_xdata(), notes.get_ydata(), strict=True):
        assert nats == pytest.approx(float(entropy(apply_temperature(LOGITS, temperature))))
    assert list(flat.get_ydata())[1:] == pytest.approx([math.log(5)] * 60)
    assert list(limit.get_ydata()) == pytest.approx([math.log(5)] * 2)
    assert notes.get_linestyle() != flat.get_linestyle(), "colour is not the only sign"
