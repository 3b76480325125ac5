"""The judges of the exercises on the generate loop: right answers pass, learners' mistakes get hints of their own."""

import pytest
import torch

from minillama import check

# ---- the head of the loop --------------------------------------------------------------------------------------------


def right_columns(prompt_tokens, max_gen_len, max_seq_len):
    lengths = [len(t) for t in prompt_tokens]
    if max(lengths) >= max_seq_len:
        raise ValueError(f"a prompt has {max(lengths)} tokens, max_seq_len is {max_seq_len}")
    return range(min(lengths), min(max_seq_len, max_gen_len + max(lengths)))


def wrong_columns(start=min, length=max, capped=True, guard=True, end=0, generous=True):
    def columns(prompt_tokens, max_gen_len, max_seq_len):
        lengths = [len(t) for t in prompt_tokens]
        if guard and max(lengths) >= max_seq_len - (not generous):
            raise ValueError("too long")
        total_len = max_gen_len + length(lengths)
        return range(start(lengths), (min(max_seq_len, total_len) if capped else total_len) + end)

    return columns


def asserting(prompt_tokens, max_gen_len, max_seq_len):
    assert max(len(t) for t in prompt_tokens) < max_seq_len
    return right_columns(prompt_tokens, max_gen_len, max_seq_len)


def first_prompt_only(prompt_tokens, max_gen_len, max_seq_len):
    if len(prompt_tokens[0]) >= max_seq_len:
        raise ValueError("too long")
    return wrong_columns(guard=False)(prompt_tokens, max_gen_len, max_seq_len)


def speechless(prompt_tokens, max_gen_len, max_seq_len):
    if max(len(t) for t in prompt_tokens) >= max_seq_len:
        raise ValueError
    return right_columns(prompt_tokens, max_gen_len, max_seq_len)


COLUMNS = {
    "begins at the longest prompt": (wrong_columns(start=max), "begin at the shortest"),
    "begins at 0": (wrong_columns(start=lambda _: 0), "It begins at 0"),
    "begins at 1": (wrong_columns(start=lambda _: 1), "right, but slow"),
    "counts from the shortest": (wrong_columns(length=min), "counts from the longest prompt"),
    "no max_seq_len": (wrong_columns(capped=False), "max_seq_len was forgotten"),
    "no max_gen_len": (lambda t, g, s: range(min(map(len, t)), s), "max_gen_len was forgotten"),
    "one too many": (wrong_columns(end=1), "One column too many"),
    "one missing": (wrong_columns(end=-1), "last column is missing"),
    "silent": (wrong_columns(guard=False), "an empty answer and no reason"),
    "too strict": (wrong_columns(generous=False), "it is allowed"),
    "looks at the first prompt": (first_prompt_only, "Look at every prompt"),
    "an assert": (asserting, "An assert is no message"),
    "no message": (speechless, "says nothing"),
    "a number": (lambda t, g, s: min(s, g + max(map(len, t))), "returned int"),
}


@pytest.mark.parametrize("answer", [right_columns, lambda *a: list(right_columns(*a))])
def test_right_columns_pass(answer):
    report = check.columns(answer)
    assert report.status == "passed", str(report)


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_understands(name):
    wrong, hint = COLUMNS[name]
    report = check.columns(wrong)
    assert report.status == "failed" and hint in report.hint, str(report)


# ---- who has ended ---------------------------------------------------------------------------------------------------


def right_eos_reached(eos_reached, from_prompt, next_token, eos_id):
    return eos_reached | (~from_prompt & (next_token == eos_id))


def in_place(eos_reached, from_prompt, next_token, eos_id):
    eos_reached |= ~from_prompt & (next_token == eos_id)
    return eos_reached


EOS_REACHED = {
    "a method": (lambda e, p, t, i: e | (~p & (t == print)), "went unnoticed"),
    "prompts count": (lambda e, p, t, i: e | (t == i), "inside a prompt does not end"),
    "forgets": (lambda e, p, t, i: ~p & (t == i), "must stay ended"),
    "and": (lambda e, p, t, i: e & (~p & (t == i)), "between the two"),
    "no brackets": (lambda e, p, t, i: e | ~p & t == i, "Brackets are missing"),
    "mask upside down": (lambda e, p, t, i: e | (p & (t == i)), "True inside the prompt"),
    "two": (lambda e, p, t, i: e | (~p & (t == 2)), "taken to be 2"),
    "all past their prompts": (lambda e, p, t, i: e | ~p, "Compare its token"),
    "one for all": (lambda e, p, t, i: right_eos_reached(e, p, t, i).all(), "One answer for each row"),
    "numbers": (lambda e, p, t, i: right_eos_reached(e, p, t, i).long(), "int64"),
    "a list": (lambda e, p, t, i: right_eos_reached(e, p, t, i).tolist(), "makes one of a list"),
    "in place": (in_place, "changed the tensor"),
}


@pytest.mark.parametrize(
    "answer",
    [right_eos_reached, lambda e, p, t, i: torch.logical_or(e, torch.logical_and(torch.logical_not(p), t == i))],
)
def test_right_eos_reached_passes(answer):
    assert check.eos_reached(answer).status == "passed"


@pytest.mark.parametrize("name", EOS_REACHED)
def test_eos_reached_understands(name):
    wrong, hint = EOS_REACHED[name]
    report = check.eos_reached(wrong)
    assert report.status == "failed" and hint in report.hint, str(report)


# ---- the answer in a row ---------------------------------------------------------------------------------------------


def until(ids, eos_id):
    return ids[: ids.index(eos_id)] if eos_id in ids else ids


def right_cut(row, prompt_len, max_gen_len, eos_id, echo):
    return (row[:prompt_len] if echo else []) + until(row[prompt_len : prompt_len + max_gen_len], eos_id)


def metas_cut(row, prompt_len, max_gen_len, eos_id, echo):
    return until(row[0 if echo else prompt_len : prompt_len + max_gen_len], eos_id)


def keeps_eos(row, prompt_len, max_gen_len, eos_id, echo):
    answer = right_cut(row, prompt_len, max_gen_len, eos_id, echo)
    ended = eos_id in row[prompt_len : prompt_len + max_gen_len]
    return answer + [eos_id] if ended else answer


def without_asking(row, prompt_len, max_gen_len, eos_id, echo):
    new = row[prompt_len : prompt_len + max_gen_len]
    return (row[:prompt_len] if echo else []) + new[: new.index(eos_id)]


def shortens_the_row(row, prompt_len, max_gen_len, eos_id, echo):
    del row[prompt_len + max_gen_len :]
    return right_cut(row, prompt_len, max_gen_len, eos_id, echo)


def last_eos(row, prompt_len, max_gen_len, eos_id, echo):
    new = row[prompt_len : prompt_len + max_gen_len]
    new = new[: len(new) - 1 - new[::-1].index(eos_id)] if eos_id in new else new
    return (row[:prompt_len] if echo else []) + new


CUT = {
    "Meta's": (metas_cut, "inside the prompt cut the row"),
    "takes eos out": (
        lambda r, n, g, i, e: (r[:n] if e else []) + [x for x in r[n : n + g] if x != i],
        "what stands behind it",
    ),
    "keeps eos": (keeps_eos, "not a part of the answer"),
    "no limit": (lambda r, n, g, i, e: (r[:n] if e else []) + until(r[n:], i), "at most max_gen_len"),
    "limit from 0": (lambda r, n, g, i, e: (r[:n] if e else []) + until(r[n:g], i), "column prompt_len + max_gen_len"),
    "not at eos": (lambda r, n, g, i, e: r[0 if e else n : n + g], "Nothing was cut"),
    "always echo": (lambda r, n, g, i, e: right_cut(r, n, g, i, True), "only with echo"),
    "never echo": (lambda r, n, g, i, e: right_cut(r, n, g, i, False), "prompt comes first"),
    "last eos": (last_eos, "cut at the last eos"),
    "does not ask": (without_asking, "Ask first"),
    "changes the row": (shortens_the_row, "changed the list"),
    "no return": (lambda r, n, g, i, e: None, "return"),
}


def test_right_cut_passes():
    assert check.cut(right_cut).status == "passed"


@pytest.mark.parametrize("name", CUT)
def test_cut_understands(name):
    wrong, hint = CUT[name]
    report = check.cut(wrong)
    assert report.status == "failed" and hint in report.hint, str(report)


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


@pytest.mark.parametrize("judge", [check.columns, check.eos_reached, check.cut, check.generate])
def test_a_stub_is_not_attempted(judge):
    def stub(*_):
        raise NotImplementedError

    assert judge(stub).status == "not attempted"
    assert judge(lambda *_: ...).status == "not attempted"


@pytest.mark.parametrize(
    ("judge", "mistakes"),
    [(check.columns, COLUMNS), (check.eos_reached, EOS_REACHED), (check.cut, CUT), (check.generate, GENERATE)],
)
def test_every_mistake_has_a_hint_of_its_own(judge, mistakes):
    hints = [judge(wrong).hint for wrong, _ in mistakes.values()]
    assert len(set(hints)) == len(hints)
