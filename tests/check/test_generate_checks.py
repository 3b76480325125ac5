"""The judges of the exercises on the generate loop: right answers pass, learners' mistakes get hints of their own."""

import pytest
import torch

from minillama import check


def until(ids, eos_id):
    return ids[: ids.index(eos_id)] if eos_id in ids else ids


def right_cut(row, prompt_len, max_gen_len, eos_id, echo):
    return (row[:prompt_len] if echo else []) + until(row[prompt_len : prompt_len + max_gen_len], eos_id)


# ---- the whole loop --------------------------------------------------------------------------------------------------


def loop(where=True, stop="all", own=True, prefill=min, move=True, start=0, keep=right_cut, change=False, plain=True):
    """A learner's generate, right or with one thing wrong."""

    def generate(model, prompt_tokens, max_gen_len, max_seq_len, eos_id, pad_id):
        lengths = [len(t) for t in prompt_tokens]
        total_len = min(max_seq_len, max_gen_len + max(lengths))
        tokens = torch.full((len(lengths), total_len), pad_id)
        for k, t in enumerate(prompt_tokens):
            tokens[k, : len(t)] = torch.tensor(t)
        mask = tokens != pad_id
        ended = torch.zeros(len(lengths), dtype=torch.bool)
        prev_pos = 0
        for cur_pos in range(prefill(lengths), total_len):
            candidate = model(tokens[:, prev_pos:cur_pos], prev_pos + (start if prev_pos else 0))[:, -1].argmax(-1)
            inside = mask[:, cur_pos]
            tokens[:, cur_pos] = torch.where(inside, tokens[:, cur_pos], candidate) if where else candidate
            ended |= (~inside if own else torch.ones_like(inside)) & (tokens[:, cur_pos] == eos_id)
            prev_pos = cur_pos if move else prev_pos
            if stop and getattr(ended, stop)():
                break
        if change:
            prompt_tokens[0].append(9)
        rows = zip(tokens.tolist(), lengths, strict=True)
        return [keep(row, n, max_gen_len, eos_id, False) for row, n in rows] if plain else tokens

    return generate


GENERATE = {
    "no where": (loop(where=False), "torch.where"),
    "any": (loop(stop="any"), "all, not any"),
    "never stops": (loop(stop=None), "eos_reached.all()"),
    "prompts end rows": (loop(own=False), "Only a new eos counts"),
    "begins at the longest": (loop(prefill=max), "given padding"),
    "begins at 1": (loop(prefill=lambda _: 1), "Begin with all that every prompt has"),
    "prev_pos stays": (loop(move=False), "prev_pos = cur_pos"),
    "one position too far": (loop(start=1), "column of the first token handed over"),
    "no cut": (loop(keep=lambda row, n, *_: row[n:]), "Nothing was cut"),
    "echo": (loop(keep=lambda row, n, g, i, e: right_cut(row, n, g, i, True)), "prompts were returned"),
    "changes the prompts": (loop(change=True), "changed the list"),
    "the canvas": (loop(plain=False), "list of lists"),
    "no model": (lambda *_: [[5]], "never called"),
    "one row at a time": (lambda model, prompts, *_: model(torch.tensor(prompts[0]), 0), "all 1 rows"),
}


def test_a_right_loop_passes():
    report = check.generate(loop())
    assert report.status == "passed", str(report)


@pytest.mark.parametrize("name", GENERATE)
def test_generate_understands(name):
    wrong, hint = GENERATE[name]
    report = check.generate(wrong)
    assert report.status == "failed" and hint in report.hint, str(report)


def test_an_endless_loop_is_named():
    def endless(model, prompt_tokens, *_):
        while True:
            model(torch.tensor(prompt_tokens), 0)

    assert "Does the loop end" in check.generate(endless).hint


# ---- all of them -----------------------------------------------------------------------------------------------------


def test_a_stub_is_not_attempted():
    def stub(*_):
        raise NotImplementedError

    assert check.generate(stub).status == "not attempted"
    assert check.generate(lambda *_: ...).status == "not attempted"


def test_every_mistake_has_a_hint_of_its_own():
    hints = [check.generate(wrong).hint for wrong, _ in GENERATE.values()]
    assert len(set(hints)) == len(hints)
