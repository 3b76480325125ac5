"""The judges of the exercises on completion: the right answer passes, the answers that learners give are understood."""

import math

import pytest

from minillama import check

# ---- right answers --------------------------------------------------------------------------------------------------


def right_echo_lists(prompt, generated, after_first, echo):
    ids = prompt + generated
    logprobs = [None, *after_first][: len(ids)]
    first = 0 if echo else len(prompt)
    return ids[first:], logprobs[first:]


def right_continuation(tokenizer, prompt_tokens, generated):
    return tokenizer.decode_bytes(generated).decode(errors="replace")


def difference_of_two_texts(tokenizer, prompt_tokens, generated):
    return tokenizer.decode(prompt_tokens + generated)[len(tokenizer.decode(prompt_tokens)) :]


def right_cut_at_stop(prompt, generation, stop):
    ends = [generation.find(text) for text in stop if text in generation]
    return (generation[: min(ends)], "stop") if ends else (generation, "length")


def right_settled(text, stop):
    for n in range(len(text), 0, -1):
        if any(each.startswith(text[-n:]) for each in stop):
            return text[: len(text) - n]
    return text


def right_answer_scores(rows, n_prompt):
    answers = [row[n_prompt:] for row in rows]
    return [(sum(answer), sum(answer) / len(answer)) for answer in answers]


RIGHT = [
    (check.echo_lists, right_echo_lists),
    (check.continuation, right_continuation),
    (check.continuation, difference_of_two_texts),
    (check.cut_at_stop, right_cut_at_stop),
    (check.settled, right_settled),
    (check.answer_scores, right_answer_scores),
    (check.answer_scores, lambda rows, n: [list(pair) for pair in right_answer_scores(rows, n)]),
]

# ---- wrong answers --------------------------------------------------------------------------------------------------


def zero_first(prompt, generated, after_first, echo):
    ids, logprobs = right_echo_lists(prompt, generated, after_first, echo)
    return ids, [0.0 if each is None else each for each in logprobs]


def none_always(prompt, generated, after_first, echo):
    ids, logprobs = right_echo_lists(prompt, generated, after_first, echo)
    return ids, logprobs if echo else [None, *logprobs[1:]]


def not_shifted(prompt, generated, after_first, echo):
    ids = prompt + generated
    return (ids, after_first[: len(ids)]) if echo else right_echo_lists(prompt, generated, after_first, echo)


def one_late(prompt, generated, after_first, echo):
    ids, logprobs = right_echo_lists(prompt, generated, after_first, echo)
    return ids, logprobs if echo else after_first[len(prompt) :]


def surplus_kept(prompt, generated, after_first, echo):
    ids, _ = right_echo_lists(prompt, generated, after_first, echo)
    return ids, [None, *after_first][0 if echo else len(prompt) :]


def prompt_lost(prompt, generated, after_first, echo):
    return generated, right_echo_lists(prompt, generated, after_first, echo)[1]


def prompt_extended(prompt, generated, after_first, echo):
    n = len(prompt)
    prompt += generated
    return prompt[0 if echo else n :], [None, *after_first][0 if echo else n : len(prompt)]


ECHO_LISTS_MISTAKES = {
    "0.0 for the first": (zero_first, "says probability one"),
    "None without echo": (none_always, "Without echo that token"),
    "not shifted": (not_shifted, "begins at position 1"),
    "one late": (one_late, "one place late"),
    "surplus kept": (surplus_kept, "Numbers are left over"),
    "the prompt lost": (prompt_lost, "With echo the ids are"),
    "the prompt extended": (prompt_extended, "changed the list"),
    "ids only": (lambda prompt, generated, after_first, echo: prompt + generated, "Two lists are due"),
    "only numbers": (lambda p, g, a, echo: ((p + g if echo else g), sum(a)), "must be a list"),
    "None left out": (lambda p, g, a, echo: ((p + g if echo else g), a[-2:]), "One logprob for each"),
}

CONTINUATION_MISTAKES = {
    "decode of the new ids": (lambda t, p, g: t.decode(g), "decode drops the first one"),
    "always a space": (lambda t, p, g: " " + t.decode(g), "a space too many"),
    "the whole text": (lambda t, p, g: t.decode(p + g), "whole text"),
    "token by token": (lambda t, p, g: "".join(t.decode([i]) for i in g), "lost its space"),
    "stripped": (lambda t, p, g: t.decode_bytes(g).decode(errors="replace").strip(), "strip() takes"),
    "bytes": (lambda t, p, g: t.decode_bytes(g), "returned bytes"),
    "the names": (lambda t, p, g: "".join(t.pieces(g)), "names of the tokens"),
    "strictly": (lambda t, p, g: t.decode_bytes(g).decode(), "UnicodeDecodeError"),
    "bytes one by one": (
        lambda t, p, g: "".join(t.token_bytes(i).decode(errors="replace") for i in g),
        "A character is broken",
    ),
    "no return": (lambda t, p, g: None, "return"),
    "the list changed": (lambda t, p, g: t.decode(p + [g.pop(0) for _ in list(g)]), "changed the list"),
}


def faulty_cut(prompt, generation, stop):
    """The one of the notebook."""
    whole = prompt + generation
    end = min([whole.find(text) for text in stop])
    return whole[len(prompt) : end], "stop"


def found_in_all(prompt, generation, stop):
    whole = prompt + generation
    ends = [whole.find(text) for text in stop if text in whole]
    return (whole[len(prompt) : min(ends)], "stop") if ends else (generation, "length")


def not_found_is_minus_one(prompt, generation, stop):
    ends = [generation.find(text) for text in stop]
    return (
        (generation[: min(ends)], "stop")
        if ends and any(text in generation for text in stop)
        else (
            generation[:-1],
            "length",
        )
    )


def the_first_of_the_list(prompt, generation, stop):
    for text in stop:
        if text in generation:
            return generation[: generation.find(text)], "stop"
    return generation, "length"


def stop_kept(prompt, generation, stop):
    text, reason = right_cut_at_stop(prompt, generation, stop)
    if reason == "stop":
        text += next(each for each in stop if generation.startswith(text + each))
    return text, reason


def from_the_right(prompt, generation, stop):
    ends = [generation.rfind(text) for text in stop if text in generation]
    return (generation[: min(ends)], "stop") if ends else (generation, "length")


CUT_MISTAKES = {
    "as in the notebook": (faulty_cut, "find returns -1"),
    "the prompt searched": (found_in_all, "Only the generation is searched"),
    "minus one": (not_found_is_minus_one, "find returns -1"),
    "the first of the list": (the_first_of_the_list, "whichever stop string|not the first string"),
    "the stop string kept": (stop_kept, "itself is not part"),
    "from the right": (from_the_right, "not rfind"),
    "always stop": (lambda p, g, s: (right_cut_at_stop(p, g, s)[0], "stop"), "finish_reason is 'length'"),
    "stripped": (lambda p, g, s: (right_cut_at_stop(p, g, s)[0].strip(), right_cut_at_stop(p, g, s)[1]), "not strip"),
    "with the prompt": (lambda p, g, s: (p + right_cut_at_stop(p, g, s)[0], "stop"), "not part of the generation"),
    "the text alone": (lambda p, g, s: right_cut_at_stop(p, g, s)[0], "Two str are due"),
    "min of nothing": (lambda p, g, s: (g[: min(g.find(t) for t in s if t in g)], "stop"), "ValueError"),
}


def shortest_end(text, stop):
    for n in range(1, len(text) + 1):
        if any(each.startswith(text[-n:]) for each in stop):
            return text[: len(text) - n]
    return text


def always_late(text, stop):
    held = max((len(each) for each in stop), default=1) - 1
    return text[: max(0, len(text) - held)]


def first_stop_only(text, stop):
    return right_settled(text, stop[:1])


def last_character_only(text, stop):
    return text[:-1] if text and any(each.startswith(text[-1]) for each in stop) else text


def first_letter_anywhere(text, stop):
    ends = [text.find(each[0]) for each in stop if each[0] in text]
    return text[: min(ends)] if ends else text


SETTLED_MISTAKES = {
    "all is shown": (lambda text, stop: text, "cannot be taken back"),
    "always late": (always_late, "Safe, but too late"),
    "the shortest end": (shortest_end, "begin with the largest n"),
    "the first stop string": (first_stop_only, "Every stop string"),
    "the last character": (last_character_only, "cannot be taken back"),
    "the first letter anywhere": (first_letter_anywhere, "Only the END"),
    "all but one": (lambda text, stop: text[: max(0, len(right_settled(text, stop)) - 1)], "Too much is held back"),
    "anywhere in the stop string": (
        lambda text, stop: next(
            (text[: len(text) - n] for n in range(len(text), 0, -1) if any(text[-n:] in each for each in stop)), text
        ),
        "Too much is held back",
    ),
    "what is held back": (lambda text, stop: text[len(right_settled(text, stop)) :] or "?", "a beginning of the text"),
    "no return": (lambda text, stop: None, "return"),
}


def with_lists(change):
    return lambda rows, n_prompt: [change(row, row[n_prompt:]) for row in rows]


SCORES_MISTAKES = {
    "the whole row": (with_lists(lambda row, a: (sum(row), sum(row) / len(row))), "TypeError"),
    "the prompt too": (with_lists(lambda row, a: (sum(row[1:]), sum(row[1:]) / len(row[1:]))), "counted too"),
    "over the row's length": (with_lists(lambda row, a: (sum(a), sum(a) / len(row))), "divide by their number"),
    "a minus": (with_lists(lambda row, a: (-sum(a), -sum(a) / len(a))), "at most 0"),
    "exchanged": (with_lists(lambda row, a: (sum(a) / len(a), sum(a))), "exchanged"),
    "probabilities": (with_lists(lambda row, a: (math.exp(sum(a)), math.exp(sum(a) / len(a)))), "no exp"),
    "one too late": (
        lambda rows, n: [(sum(r[n + 1 :]), sum(r[n + 1 :]) / max(1, len(r[n + 1 :]))) for r in rows],
        "first token is left out",
    ),
    "sums only": (with_lists(lambda row, a: sum(a)), "one pair"),
    "one pair for all": (lambda rows, n: right_answer_scores(rows, n) * 2, "pairs (sum, mean) are due"),
    "no return": (lambda rows, n: None, "return"),
    "rows changed": (with_lists(lambda row, a: (row.pop(), row.pop())), "changed the list"),
}

ALL = {
    check.echo_lists: ECHO_LISTS_MISTAKES,
    check.continuation: CONTINUATION_MISTAKES,
    check.cut_at_stop: CUT_MISTAKES,
    check.settled: SETTLED_MISTAKES,
    check.answer_scores: SCORES_MISTAKES,
}
MISTAKES = [(judge, name) for judge, mistakes in ALL.items() for name in mistakes]


@pytest.mark.parametrize(("judge", "solution"), RIGHT)
def test_right_answers_pass(judge, solution):
    report = judge(solution)
    assert report.status == "passed", str(report)


@pytest.mark.parametrize(("judge", "name"), MISTAKES)
def test_a_mistake_is_understood(judge, name):
    wrong, hint = ALL[judge][name]
    report = judge(wrong)
    assert report.status == "failed" and any(each in report.hint for each in hint.split("|")), str(report)


@pytest.mark.parametrize("judge", ALL)
def test_every_mistake_has_a_hint_of_its_own(judge):
    hints = [judge(wrong).hint for wrong, _ in ALL[judge].values()]
    assert len(set(hints)) == len(hints)


def stub(*_):
    raise NotImplementedError


@pytest.mark.parametrize("judge", ALL)
@pytest.mark.parametrize("function", [stub, lambda *_: ...])
def test_a_stub_is_not_attempted(judge, function):
    assert judge(function).status == "not attempted"


def test_strict_mode_raises(monkeypatch):
    monkeypatch.setenv("MINILLAMA_STRICT", "1")
    for judge in ALL:
        with pytest.raises(AssertionError):
            judge(stub)
