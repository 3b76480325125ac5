"""The judges of the exercises on the next token: right answers pass, each usual mistake gets its own hint."""

import pytest
import torch

from minillama import check, sample_top_p
from minillama.sampling import apply_temperature, nucleus


def choose(logits, temperature, top_p, generator):
    last = logits[:, -1]
    if temperature == 0:
        return torch.argmax(last, dim=-1)
    return sample_top_p(torch.softmax(last / temperature, dim=-1), top_p, generator).reshape(-1)


def choose_by_the_limit(logits, temperature, top_p, generator):
    return sample_top_p(apply_temperature(logits[:, -1], temperature), top_p, generator)[:, 0]


def write(tokens, mask, candidate, cur_pos):
    tokens = tokens.clone()
    tokens[:, cur_pos] = torch.where(mask[:, cur_pos], tokens[:, cur_pos], candidate)
    return tokens


def write_by_loop(tokens, mask, candidate, cur_pos):
    tokens = tokens.clone()
    for k in range(len(tokens)):
        if not mask[k, cur_pos]:
            tokens[k, cur_pos] = candidate[k]
    return tokens


def draw(probs, top_p, from_prompt, generators):
    candidate = torch.argmax(probs, dim=-1)
    for k, inside in enumerate(from_prompt.tolist()):
        if not inside:
            candidate[k] = sample_top_p(probs[k : k + 1], top_p, generators[k]).item()
    return candidate


def draw_at_once(probs, top_p, from_prompt, generators):
    candidate = torch.argmax(probs, dim=-1)
    drawing = [k for k, inside in enumerate(from_prompt) if not inside]
    if drawing:
        candidate[drawing] = sample_top_p(probs[drawing], top_p, [generators[k] for k in drawing]).reshape(-1)
    return candidate


def draw_without_the_sampler(probs, top_p, from_prompt, generators):
    top = nucleus(probs, top_p)
    rows = []
    for k in range(len(probs)):
        place = 0 if from_prompt[k] else torch.multinomial(top.renormalised[k], 1, generator=generators[k])
        rows.append(int(top.probs_idx[k, place]))
    return torch.tensor(rows)


RIGHT = [
    (check.candidate, choose),
    (check.candidate, choose_by_the_limit),
    (check.write_column, write),
    (check.write_column, write_by_loop),
    (check.draw_rows, draw),
    (check.draw_rows, draw_at_once),
    (check.draw_rows, draw_without_the_sampler),
]


@pytest.mark.parametrize(("judge", "function"), RIGHT)
def test_right_answers_pass(judge, function):
    report = judge(function)
    assert report.status == "passed", str(report)
    assert report.hint == ""


def drawn(probs, top_p, generator):
    """Above temperature 0 as it should be: the mistake is elsewhere."""
    return sample_top_p(probs, top_p, generator).reshape(-1)


def at_zero(function):
    return lambda logits, t, p, g: function(logits, t, p, g) if t else choose(logits, 0, p, g)


def ungathered(logits, t, p, g):
    top = nucleus(apply_temperature(logits[:, -1], t), p)
    return torch.multinomial(top.renormalised, 1, generator=g).reshape(-1)


CANDIDATE_MISTAKES = {
    "a column": (at_zero(lambda x, t, p, g: sample_top_p(torch.softmax(x[:, -1] / t, -1), p, g)), "column"),
    "squeezed": (
        at_zero(lambda x, t, p, g: sample_top_p(torch.softmax(x[:, -1] / t, -1), p, g).squeeze()),
        "removed the axis of the batch",
    ),
    "every position": (lambda x, t, p, g: x.argmax(-1), "every position"),
    "first position": (lambda x, t, p, g: choose(x[:, :1], t, p, g), "first position"),
    "first position, drawn": (
        lambda x, t, p, g: choose(x, t, p, g) if p == 0 or t == 0 else choose(x[:, :1], t, p, g),
        "The draw uses the first position",
    ),
    "argmax down": (lambda x, t, p, g: x[:, -1].argmax(0), "down the columns"),
    "argmax over all": (lambda x, t, p, g: x[:, -1].argmax(), "All rows were searched"),
    "argmin": (lambda x, t, p, g: x[:, -1].argmin(-1), "least likely"),
    "divided by zero": (
        lambda x, t, p, g: drawn(torch.softmax(x[:, -1] / t, -1), p, g),
        "divided by 0",
    ),
    "drawn at zero": (lambda x, t, p, g: drawn(torch.softmax(x[:, -1], -1), 1.0, g), "drew at temperature 0"),
    "not gathered": (at_zero(ungathered), "sorted order"),
    "generator dropped": (
        at_zero(lambda x, t, p, g: drawn(torch.softmax(x[:, -1] / t, -1), p, None)),
        "Hand generator on",
    ),
    "always greedy": (lambda x, t, p, g: x[:, -1].argmax(-1), "Every seed"),
    "no temperature": (at_zero(lambda x, t, p, g: drawn(torch.softmax(x[:, -1], -1), p, g)), "no effect. Divide"),
    "multiplied": (at_zero(lambda x, t, p, g: drawn(torch.softmax(x[:, -1] * t, -1), p, g)), "multiplied"),
    "no top_p": (
        lambda x, t, p, g: choose(x, t, p if p == 0 else 1.0, g),
        "top_p has no effect",
    ),
    "a list": (lambda x, t, p, g: x[:, -1].argmax(-1).tolist(), "list"),
    "softmax down": (at_zero(lambda x, t, p, g: drawn(torch.softmax(x[:, -1] / t, 0), p, g)), "softmax ran down"),
    "no softmax": (at_zero(lambda x, t, p, g: drawn(x[:, -1] / t, p, g)), "softmax comes first"),
    "one text": (lambda x, t, p, g: x[-1].argmax(-1), "all positions of one text"),
    "last id": (lambda x, t, p, g: x[:, :, -1].argmax(-1), "the middle axis"),
}


def into(tokens, column, values):
    tokens = tokens.clone()
    tokens[:, column] = values
    return tokens


def into_row(tokens, mask, candidate, cur_pos):
    if tokens.shape[0] != tokens.shape[1]:
        return write(tokens, mask, candidate, cur_pos)
    tokens = tokens.clone()
    tokens[cur_pos] = torch.where(mask[:, cur_pos], tokens[:, cur_pos], candidate)
    return tokens


def along_rows(tokens, mask, candidate, cur_pos):
    square = tokens.shape[0] == tokens.shape[1]
    return torch.where(mask, tokens, candidate) if square else write(tokens, mask, candidate, cur_pos)


def in_place(tokens, mask, candidate, cur_pos):
    tokens[:, cur_pos] = torch.where(mask[:, cur_pos], tokens[:, cur_pos], candidate)
    return tokens


WRITE_MISTAKES = {
    "whole canvas": (lambda t, m, c, i: torch.where(m, t, c[:, None]), "All free places"),
    "swapped": (lambda t, m, c, i: into(t, i, torch.where(m[:, i], c, t[:, i])), "swapped"),
    "no mask": (lambda t, m, c, i: into(t, i, c), "overwrote the prompts"),
    "not written": (lambda t, m, c, i: t.clone(), "Nothing was written"),
    "the column alone": (lambda t, m, c, i: torch.where(m[:, i], t[:, i], c), "That is the column"),
    "looks for -1": (lambda t, m, c, i: into(t, i, torch.where(t[:, i] != -1, t[:, i], c)), "looked for -1"),
    "one column too early": (
        lambda t, m, c, i: into(t, i - 1, torch.where(m[:, i], t[:, i], c)),
        "column cur_pos - 1",
    ),
    "a row": (into_row, "You wrote a row"),
    "along the rows": (along_rows, "run along the rows"),
    "in place": (in_place, "on the canvas that you were given"),
    "another column's mask": (
        lambda t, m, c, i: into(t, i, torch.where(m[:, i - 1], t[:, i], c)),
        "the mask of that column",
    ),
    "nothing": (lambda t, m, c, i: None, "return"),
}


def shared(probs, top_p, from_prompt, generators):
    return sample_top_p(probs, top_p, generators[0]).reshape(-1)


def shared_past_prompts(probs, top_p, from_prompt, generators):
    return torch.where(from_prompt, probs.argmax(-1), sample_top_p(probs, top_p, generators[0]).reshape(-1))


def thrown_away(probs, top_p, from_prompt, generators):
    return torch.where(from_prompt, probs.argmax(-1), sample_top_p(probs, top_p, generators).reshape(-1))


def wrong_generators(probs, top_p, from_prompt, generators):
    candidate = probs.argmax(-1)
    drawing = ~from_prompt
    n = int(drawing.sum())
    candidate[drawing] = sample_top_p(probs[drawing], top_p, generators[:n]).reshape(-1)
    return candidate


def drawing_only(probs, top_p, from_prompt, generators):
    drawing = [k for k in range(len(probs)) if not from_prompt[k]]
    return sample_top_p(probs[drawing], top_p, [generators[k] for k in drawing]).reshape(-1)


def seeded_again(probs, top_p, from_prompt, generators):
    for k, generator in enumerate(generators):
        if not from_prompt[k]:
            generator.manual_seed(0)
    return draw(probs, top_p, from_prompt, generators)


def seeded_by_the_batch(probs, top_p, from_prompt, generators):
    draw(probs, top_p, from_prompt, generators)
    wasted = len(probs) - 1  # as many draws as there are others
    for _ in range(wasted):
        candidate = draw(probs, top_p, from_prompt, generators)
    return candidate if wasted else draw(probs, top_p, from_prompt, generators)


def places(probs, top_p, from_prompt, generators):
    candidate = probs.argmax(-1)
    for k in range(len(probs)):
        if not from_prompt[k]:
            row = nucleus(probs[k], top_p).renormalised
            candidate[k] = torch.multinomial(row, 1, generator=generators[k]).item()
    return candidate


DRAW_MISTAKES = {
    "the original": (shared, "Row 2 did not draw from generators[2]"),
    "one generator, prompts spared": (shared_past_prompts, "generators[2]. A row that draws"),
    "draws inside the prompt": (thrown_away, "Row 1 is still inside its prompt"),
    "generators counted off": (wrong_generators, "did not draw from"),
    "the global generator": (
        lambda p, q, f, g: torch.where(f, p.argmax(-1), sample_top_p(p, q).reshape(-1)),
        "Row 0 did not draw",
    ),
    "argmax": (lambda p, q, f, g: p.argmax(-1), "Row 0 did not draw"),
    "a column": (lambda p, q, f, g: draw(p, q, f, g)[:, None], "That is a column"),
    "drawing rows only": (drawing_only, "rows inside their prompt are missing"),
    "zeros inside": (lambda p, q, f, g: draw(p, q, f, g).masked_fill(f, 0), "argmax gives it"),
    "seeded again": (seeded_again, "Do not seed a generator again"),
    "depends on bsz": (seeded_by_the_batch, "differs from that alone"),
    "no top_p": (lambda p, q, f, g: draw(p, 1.0, f, g), "cuts off"),
    "not gathered": (places, "sorted order"),
    "floats": (lambda p, q, f, g: draw(p, q, f, g).float(), "int64"),
    "turned round": (lambda p, q, f, g: draw(p, q, ~f, g), "Turned round"),
}

ALL = [
    pytest.param(judge, *mistake, id=f"{judge.__name__}: {name}")
    for judge, mistakes in (
        (check.candidate, CANDIDATE_MISTAKES),
        (check.write_column, WRITE_MISTAKES),
        (check.draw_rows, DRAW_MISTAKES),
    )
    for name, mistake in mistakes.items()
]


@pytest.mark.parametrize(("judge", "wrong", "hint"), ALL)
def test_mistakes_are_understood(judge, wrong, hint):
    report = judge(wrong)
    assert report.status == "failed"
    assert hint in report.hint, str(report)


@pytest.mark.parametrize("judge", [check.candidate, check.write_column, check.draw_rows])
def test_a_stub_is_not_attempted(judge):
    def stub(*_):
        raise NotImplementedError

    assert judge(stub).status == "not attempted"
    assert judge(lambda *_: ...).status == "not attempted"
    assert "return" in judge(lambda *_: None).hint
