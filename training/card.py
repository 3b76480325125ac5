"""MODEL_CARD.md: the prose of data/model_card.md with measured figures filled in."""

from __future__ import annotations

import hashlib
from pathlib import Path

from minillama.checkpoint import SHARD
from training.corpus import HELD_OUT, SHARES
from training.evaluate import STORY_SAMPLING, Case, Evaluation, report
from training.stories import PLOTS
from training.tables import read
from training.train import Config, Run

SHOWN_WRONG = 8


def model_card(folder: Path, config: Config, run: Run, evaluation: Evaluation) -> str:
    """The card of the checkpoint in `folder`, which `run` trained and `evaluation` measured."""
    weights, last, params = folder / SHARD, run.history[-1], run.model.params
    answers = [answer for group in evaluation.answers.values() for answer in group]
    wrong = [shown(case, text) for case, text, right in answers if not right][:SHOWN_WRONG]
    return read("model_card.md").format(
        parameters=f"{sum(p.numel() for p in run.model.parameters()):,}",
        dim=params.dim,
        n_layers=params.n_layers,
        n_heads=params.n_heads,
        n_kv_heads=params.n_kv_heads,
        hidden_dim=params.ffn_width(),
        vocab_size=params.vocab_size,
        max_seq_len=params.max_seq_len,
        size=f"{weights.stat().st_size / 2**20:.1f}",
        dtype="float16",
        sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        n_plots=len(PLOTS),
        stories_share=f"{SHARES['stories']:.0%}",
        chat_share=f"{SHARES['chat']:.0%}",
        held_out_every=HELD_OUT,
        steps=config.steps,
        drill_steps=config.drill_steps,
        seed=config.seed,
        tokens=f"{last['tokens']:,}",
        minutes=round(last["seconds"] / 60),
        device=run.device,
        seq_len=config.seq_len,
        long_seq_len=config.long_seq_len,
        long_every=config.long_every,
        evaluation=report(evaluation),
        history=history_table(run.history),
        greedy=evaluation.greedy,
        temperature=STORY_SAMPLING["temperature"],
        top_p=STORY_SAMPLING["top_p"],
        stories="\n>\n".join(f"> {story}" for story in evaluation.stories[:3]),
        chats="\n".join(shown(case, text) for case, text, _ in (group[0] for group in evaluation.answers.values())),
        wrong="\n".join(wrong) or "None of the answers above was wrong.",
    )


def history_table(history: list[dict]) -> str:
    """Ten lines of the history at most, the last among them."""
    every = -(-len(history) // 10)
    lines = ["| step | minutes | " + " | ".join(SHARES) + " |", "|---" * (2 + len(SHARES)) + "|"]
    for entry in history[::-1][::every][::-1]:
        losses = " | ".join(f"{entry[part]:.3f}" for part in SHARES)
        lines.append(f"| {entry['step']} | {entry['seconds'] / 60:.1f} | {losses} |")
    return "\n".join(lines)


def shown(case: Case, answer: str) -> str:
    """A dialog in one item of a list, its last answer in bold."""
    turns = " / ".join(message["content"] for message in case.dialog)
    return f"- {turns} / **{answer}**"
