"""AttentionExplorer: what it takes, what it sends, and its still."""

import html
import re

import pytest
import torch

from minillama.widgets import AttentionExplorer
from minillama.widgets.attention import MOST_TOKENS, MOST_WEIGHTS, attention_html
from minillama.widgets.labels import EN

PIECES = ["<s>", "▁a", "▁<b>"]
WEIGHTS = torch.tensor([[1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.5, 0.125, 0.375]])


@pytest.fixture
def explorer():
    backwards = WEIGHTS.flip(0).expand(2, 3, 3)
    return AttentionExplorer(PIECES, torch.stack([WEIGHTS.expand(2, 3, 3), backwards], dim=1))  # (2, 2, 3, 3)


def test_the_still_names_what_each_token_looks_at_most():
    page = attention_html(WEIGHTS, PIECES, "layer 0, head 0", EN)
    cells = [html.unescape(re.sub(r"<[^>]+>", " ", row)).split() for row in re.findall(r"<tr>.*?</tr>", page)[1:]]
    assert cells == [["<s>", "<s>", "1.0000"], ["▁a", "▁a", "0.7500"], ["▁<b>", "<s>", "0.5000"]]
    assert "<b>" not in page


def test_the_browser_gets_every_weight_in_order(explorer):
    sent = torch.frombuffer(bytearray(explorer.floats), dtype=torch.float32).view(2, 2, 3, 3)
    assert torch.equal(sent, explorer.weights)
    assert (explorer.data["n_layers"], explorer.data["n_heads"], explorer.data["pieces"]) == (2, 2, PIECES)


def test_what_is_chosen(explorer):
    assert (explorer.layer, explorer.head, explorer.token) == (0, 0, 2), "the last token looks at all others"
    before = explorer.still()
    explorer.head = 1
    assert explorer.still() != before and "layer 0, head 1" in explorer.still()
    explorer.set_state({"layer": 1, "head": 0, "token": 0})  # as the page sends it
    assert repr(explorer) == "AttentionExplorer(3 tokens, layer=1, head=0, token=0)"


def test_values_are_judged(explorer):
    for name, value in (("layer", 2), ("head", -1), ("token", 3)):
        before = getattr(explorer, name)
        with pytest.raises(ValueError, match=f"{name} must be a whole number from 0 to"):
            setattr(explorer, name, value)
        assert getattr(explorer, name) == before


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_weights_of_any_float_format(dtype):
    weights = WEIGHTS[None, None].to(dtype).requires_grad_()
    assert torch.equal(AttentionExplorer(PIECES, weights).weights, WEIGHTS[None, None])


def test_bad_arguments():
    scores = WEIGHTS.masked_fill(WEIGHTS == 0, -1.0)
    large = torch.zeros(40, 4, 18, 18)
    for pieces, weights, words in [
        (PIECES, WEIGHTS, "weights must have 4 axes|weights must be"),
        (PIECES[:2], WEIGHTS[None, None], r"\(n_layers, n_heads, 2, 2\) for 2 pieces, got \(1, 1, 3, 3\)"),
        (PIECES, WEIGHTS[None, None, :2], "got .1, 1, 2, 3."),
        (PIECES, scores[None, None], "weights must lie from 0 to 1, got -1 to 1; softmax"),
        (["a"] * 18, large, f"weights must have 1 to {MOST_WEIGHTS:,} numbers, got 51,840; pass fewer layers"),
        (PIECES, torch.zeros(0, 1, 3, 3), "weights must have 1 to"),
        (["a"] * (MOST_TOKENS + 1), WEIGHTS[None, None], f"pieces must be 1 to {MOST_TOKENS} tokens, got 41"),
        ([], torch.zeros(1, 1, 1, 1), f"pieces must be 1 to {MOST_TOKENS} tokens, got 0"),
    ]:
        with pytest.raises((TypeError, ValueError), match=words):
            AttentionExplorer(pieces, weights)
    with pytest.raises(ValueError, match="head must be a whole number from 0 to 0, got 1"):
        AttentionExplorer(PIECES, WEIGHTS[None, None], head=1)
