"""The figures of the notebook on `forward`."""

import pytest
import torch

from minillama import figures, plots
from minillama.model import precompute_freqs_cis


def test_plot_rotation_turns_each_pair_by_its_own_angle():
    freqs_cis = precompute_freqs_cis(head_dim=4, end=3)
    figure = plots.plot_rotation(freqs_cis, pairs=(0, 1))
    for ax, pair in zip(figure.axes, (0, 1), strict=True):
        tips = [complex(*hand.get_xydata()[1]) for hand in ax.lines]
        assert tips == pytest.approx(freqs_cis[:, pair].tolist())
        assert [text.get_text() for text in ax.texts] == ["0", "1", "2"]
    assert [ax.get_title() for ax in figure.axes] == ["pair 0: 1 rad per position", "pair 1: 0.01 rad per position"]


def test_plot_rotation_of_a_single_position():
    assert len(plots.plot_rotation(precompute_freqs_cis(4, 1), pairs=(1,)).axes) == 1


def test_plot_attention_hides_the_future_and_names_both_axes():
    weights = torch.tensor([[1.0, 0.0], [0.3, 0.7]])
    figure = plots.plot_attention(["<s>", "▁$a$"], weights, "layer 0, head 1")
    ax = figure.axes[0]
    shown = ax.images[0].get_array()
    assert shown.mask.tolist() == [[False, True], [False, False]]
    assert shown.compressed().tolist() == pytest.approx([1.0, 0.3, 0.7])
    for axis in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert len(axis) == 2 and axis[0].get_text() == "<s>" and axis[1].get_text() == "▁$a$"
    assert ax.get_title() == "layer 0, head 1" and "looks" in ax.get_ylabel()


def test_plot_attention_escapes_where_no_chinese_font_is(monkeypatch):
    monkeypatch.setattr(figures, "find_cjk_font", lambda: None)
    labels = plots.plot_attention(["猫", "\x07"], torch.eye(2)).axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == ["\\u732b", "\\x07"]
