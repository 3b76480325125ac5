"""MODEL_CARD.md, the loss curve in it, and the finished model's way into its folder."""

import xml.etree.ElementTree as ElementTree

import pytest
import torch

from minillama import checkpoint
from tests.training.conftest import TEXTS
from training import card
from training.tokenizer import train_tokenizer
from training.train import Run

HISTORY = [
    {"step": k, "seconds": 60 * k, "tokens": 1000 * k, "stories": 3 / k, "chat": 2 / k, "known": 1.0}
    for k in range(1, 30)
]


def test_the_card_has_the_figures_and_is_published_whole(bench, evaluation, tmp_path):
    staging, out = tmp_path / "staging", tmp_path / "out"
    model, tokenizer_path = bench.llama.model, tmp_path / "tokenizer.model"
    tokenizer_path.write_bytes(train_tokenizer(TEXTS * 20, vocab_size=340))
    checkpoint.save(staging, model, tokenizer_path, torch.float16)
    out.mkdir()
    (out / "known_probabilities.json").write_text("by hand")
    with pytest.raises(ValueError, match="has no loss.svg, MODEL_CARD.md; evaluate"):
        card.publish(staging, out)
    assert [path.name for path in out.iterdir()] == ["known_probabilities.json"]
    run = Run(model, tokenizer_path, HISTORY, "CPU, 2 threads", 2000)
    before = [{"step": 8, "seconds": 60, "tokens": 900, "device": "CPU, 1 threads", "least_known": 345}]
    card.write_card(staging, run, before, evaluation, "python -m training")
    card.publish(staging, out)
    text = (out / card.CARD).read_text(encoding="utf-8")
    assert "| ✗ | asked poem" in text and "> You are Mia." in text and "> 不知道。" in text
    assert (
        "at least 2,345 times" in text
        and "| 1 | 8 | 900 | 1 | CPU, 1 threads |\n| 2 | 29 | 29,000 | 29 | CPU, 2 threads |" in text
        and "{" not in text
    )
    names = {"known_probabilities.json", "MODEL_CARD.md", "loss.svg", "tokenizer.model", "params.json"}
    assert {path.name for path in out.iterdir()} == names | {"consolidated.00.pth"}
    with pytest.raises(ValueError, match="history"):
        card.write_card(staging, run._replace(history=[]), [], evaluation, "")


def test_the_history_is_shown_in_ten_lines_with_the_last():
    lines = card.history_table(HISTORY, ["stories"]).split("\n")
    assert len(lines) <= 12 and lines[-1].startswith("| 29 |")


def test_the_answers_on_the_way_are_a_table():
    entries = [*HISTORY[:2], {**HISTORY[2], "right": {"memory en": 0.5, "sums zh": 1.0}}]
    assert card.right_table(entries).split("\n")[::2] == ["| step | memory en | sums zh |", "| 3 | 50% | 100% |"]
    assert card.right_table(HISTORY) == "Right answers were not counted on the way."


def test_eight_parts_have_lines_that_differ():
    parts = [f"part{k}" for k in range(8)]
    svg = ElementTree.fromstring(card.loss_curve([{"step": 1, "tokens": 1, **dict.fromkeys(parts, 1.0)}], parts))
    lines = svg.findall("{http://www.w3.org/2000/svg}polyline")
    assert len({(line.get("stroke"), line.get("stroke-dasharray")) for line in lines}) == 8


def test_the_loss_curve_is_an_svg_with_a_line_for_each_part():
    svg = ElementTree.fromstring(card.loss_curve(HISTORY, ["stories", "chat", "known"]))
    lines = svg.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 3 and len({line.get("stroke-dasharray") for line in lines}) == 3
    card.loss_curve(HISTORY[:1], ["stories"])
