"""The static figure of notebook 08: the four cases of the torch.where line."""

import pytest
import torch

from minillama import plots

MASK = torch.tensor([True, True, False, False])
COLUMN = torch.tensor([6, 6, -1, 2])
CANDIDATE = torch.tensor([6, 3, 3, 2])


def boxes(figure):
    """The boxes of each row, left to right: mask, canvas, candidate, next_token."""
    patches = figure.axes[0].patches
    return [patches[k : k + 4] for k in range(0, len(patches), 4)]


def test_each_row_shows_what_is_taken():
    figure = plots.plot_where(MASK, COLUMN, CANDIDATE, ["a", "b", "c", "d"])
    numbers = [text.get_text() for text in figure.axes[0].texts if text.get_text() not in ("", "a", "b", "c", "d")]
    heads, numbers = numbers[:4], numbers[4:]
    assert [head.replace("\n", "") for head in heads] == [
        "input_text_mask[:, cur_pos]",
        "tokens[:, cur_pos]",
        "candidate",
        "next_token",
    ]
    expected = torch.where(MASK, COLUMN, CANDIDATE).tolist()
    assert [numbers[4 * k + 3] for k in range(4)] == list(map(str, expected))
    assert numbers[:4] == ["True", "6", "6", "6"] and numbers[8:12] == ["False", "-1", "3", "3"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b", "c", "d"]


def test_colour_is_not_the_only_sign():
    for row, inside in zip(boxes(plots.plot_where(MASK, COLUMN, CANDIDATE)), MASK.tolist(), strict=True):
        _, canvas, candidate, result = row
        taken, left = (canvas, candidate) if inside else (candidate, canvas)
        assert taken.get_hatch() is None and left.get_hatch() == "///"
        assert taken.get_linewidth() > left.get_linewidth()
        assert taken.get_facecolor() == result.get_facecolor() != left.get_facecolor()


@pytest.mark.parametrize("bsz", [1, 8])
def test_any_batch(bsz):
    figure = plots.plot_where(torch.ones(bsz).bool(), torch.arange(bsz), torch.zeros(bsz).long())
    assert len(boxes(figure)) == bsz
    assert figure.axes[0].get_yticklabels()[-1].get_text() == f"row {bsz - 1}"
