"""Checks of the exercises on completion: echo, the first space, stop strings, streaming, scoring."""

import functools
import re

from minillama.check.exercise import exercise, swap, swaps
from minillama.check.judge import Wrong
from minillama.check.logprobs import lists
from minillama.checkpoint import own_model
from minillama.tokenizer import Tokenizer
from minillama.words import say


def two(x):
    """Two results, in a tuple or a list."""
    x = lists(x)
    if isinstance(x, str) or isinstance(x, list) and len(x) != 2:
        raise Wrong(say("Expected two results: return a, b."))
    return tuple(x) if isinstance(x, list) else x


def right_echo_lists(prompt, generated, after_first, echo):
    """f(prompt, generated, after_first, echo): (token_ids, logprobs); after_first[i], of position i + 1, may go on."""
    token_ids = prompt + generated
    logprobs = [None, *after_first][: len(token_ids)]
    first = 0 if echo else len(prompt)
    return token_ids[first:], logprobs[first:]


_IDS, _LOG, _BOTH = "token_ids[first:]", "logprobs[first:]", "token_ids[first:], logprobs[first:]"
_ROW, _LONG = ([1, 2, 7], [12, 40], [-0.5, -2.0, 0.0, -1.25]), ([1, 6], [4, 4, 5], [-1.5, -0.25, -2.5, -6.0, -7.0, -8])
echo_lists = exercise(right_echo_lists, look=two, cases={
    "with echo": (*_ROW, True), "the same row without echo": (*_ROW, False),
    "the prompt is bos alone": ([1], [7, 8, 7], [-3.0, -0.5, -1.0], False),
    "nothing generated": ([1, 9, 6], [], [-4.0, -0.75], True),
    "a neighbour in the batch wrote more": (*_LONG, True),
    "a neighbour in the batch wrote more, without echo": (*_LONG, False),
    "only a neighbour in the batch wrote, without echo": ([1, 5, 8], [], [-1.5, -0.25, -9.0], False),
}, mistakes={
    "Nothing predicts the first token: expected None.": swaps("None", "0.0", "-1.0", "'None'", "float('nan')"),
    "Without echo there is no None: the prompt's first token is not in the result.":
        swaps(_LOG, "$ if echo else [None, *logprobs[first + 1 :]]", "$ if echo else [None, *$]"),
    "after_first[i] belongs to position i + 1: put None before it, then cut.": [
        *swaps("[None, *after_first]", "after_first", "[*after_first, None]"), *swaps(
            _LOG, "after_first[: len(token_ids)] if echo else $", "$ if echo else after_first[first:]",
            "$ if echo else after_first[first : len(token_ids)]")],
    "A neighbour's numbers may follow. Cut at the row's end, counted from the front.": [
        *swaps("[: len(token_ids)]", "", "[-len(token_ids) :]"), *swaps(
            _LOG, "$ if echo else [None, *after_first][first:]", "[None, *after_first] if echo else $",
            *(f"$ if echo else {x}[-len(generated) :]" for x in ("after_first", "[None, *after_first]")))],
    "Cut both lists at the same place, len(prompt).":
        [*swaps(_LOG, "logprobs", "logprobs[max(first - 1, 0) :]"), *swaps(_IDS, "token_ids", "generated")],
    "Cut the prompt off without echo. With echo keep the prompt and what was generated.":
        [*swaps("0 if echo else len(prompt)", "0", "len(prompt)", "len(prompt) if echo else 0"),
         swap("prompt + generated", "prompt if echo else prompt + generated")],
    "Nothing may be generated: x[-0:] is all of x.": swap("len(prompt)", "-len(generated)"),
    "Return two lists, not a list of pairs.": lambda *row: [*zip(*right_echo_lists(*row), strict=True)],
    "Only the first token has None.": swaps(_LOG, "[None] * len(prompt) + logprobs[len(prompt) :] if echo else $"),
    "The order is token_ids, logprobs.": swaps(_BOTH, f"{_LOG}, {_IDS}"),
    "The last number is missing: every token but the first has one.": swaps("len(token_ids)]", "len(token_ids) - 1]"),
})  # fmt: skip


def right_continuation(tokenizer, prompt_tokens, generated):
    """f(tokenizer, prompt_tokens, generated): the text to put after the prompt, with its first space."""
    return tokenizer.decode_bytes(generated).decode(errors="replace")


def after(k, text, left_out=0):
    """The arguments for a text whose prompt ends before its token k; the last ids may be left out."""
    tokenizer = Tokenizer(own_model() / "tokenizer.model")
    ids = tokenizer.encode(text, bos=True, eos=False)
    return tokenizer, ids[:k], ids[k : len(ids) - left_out]


continuation = exercise(right_continuation, cases=lambda: {
    "a word: its space stays": after(4, "My name is Bob. I am happy"),
    "Chinese: there is no space": after(4, "从前有一只小猫，它喜欢玩。"),
    "a full stop: no space either": after(6, "We all went home."), "nothing generated": after(4, "We all"),
    "a number: the space is a token of its own": after(3, "She has 12 cats."),
    "a word after Chinese": after(3, "他说 yes and no"), "a word cut in two": after(5, "Once upon my sofa"),
    "a llama, four byte tokens": after(4, "I saw a 🦙 today."),
    "the prompt's text comes again, and a line ends": after(3, "a cat and a cat and a cat\n"),
    "the last character is unfinished": after(4, "I saw a 🦙", left_out=1),
}, mistakes={
    "The space in front is lost: decode drops it.": [lambda t, p, g: t.decode(g), *swaps('"replace")', "$.lstrip()")],
    "No rule tells where a space belongs: it is in the bytes of the ids.":
        [lambda t, p, g, rule=rule: " " * bool(re.match(rule, t.decode(g))) + t.decode(g) for rule in (
            "", ".", r"\w", "[a-zA-Z]", "[a-zA-Z0-9]", "[ -~]", "[^.,，]")] + swaps("return ", 'return " " + '),
    "This is the whole text. Expected only what comes after the prompt.":
        [lambda t, p, g: t.decode(p + g), *swaps("(generated)", "(prompt_tokens + generated)")],
    "Decode all ids together: one alone loses its space, or is half a character.":
        [lambda t, p, g: "".join(t.decode([i]) for i in g),
         *(lambda t, p, g, x=x: "".join(t.token_bytes(i).decode(errors=x) for i in g) for x in ("replace", "ignore"))],
    "These are the names of the tokens. Their bytes are the text: decode_bytes.":
        [lambda t, p, g: "".join(t.pieces(g)), lambda t, p, g: "".join(t.pieces(g)).replace("▁", " ")],
    "strip removes characters that belong to the text.": swaps('"replace")', "$.strip()", "$.rstrip()"),
    "Turn the bytes into a str: .decode(errors='replace').": swaps('.decode(errors="replace")', "", ".__str__()"),
    "An unfinished character must not raise an error: errors='replace' writes � for it.":
        swaps('"replace"', "'strict'", "'ignore'", "'backslashreplace'") + swaps('"replace")', '$.rstrip("�")'),
    "Cut by the length of decode(prompt_tokens): tokens, bytes and characters count differently.":
        [lambda t, p, g: t.decode(p + g)[len(p) :], lambda t, p, g: t.decode(p + g)[len(t.decode_bytes(p)) :]],
    "Remove the prompt's text once, at the front, as a whole: removeprefix.": [
        lambda t, p, g: t.decode(p + g).replace(t.decode(p), ""), lambda t, p, g: t.decode(p + g).lstrip(t.decode(p)),
        lambda t, p, g: t.decode(p + g).split(t.decode(p))[-1]],
    "Nothing may be generated: then there is no first token.": swaps("return ", "return generated[0] * '' + "),
}, look=lambda x: re.sub("\ufffd+", "\ufffd", x) if isinstance(x, str) else x)  # fmt: skip


def right_cut_at_stop(prompt, generation, stop):
    """f(prompt, generation, stop): (text, finish_reason); the text ends before the first stop string."""
    ends = [generation.find(text) for text in stop if text in generation]
    if not ends:
        return generation, "length"
    return generation[: min(ends)], "stop"


_CUT, _IF, _NOT = "generation[: min(ends)]", " if text in generation", "if not ends"
_FIND, _WHOLE = "generation.find(text)", "(prompt + generation).find(text)"
cut_at_stop = exercise(right_cut_at_stop, look=two, cases={
    "one stop string": ("The cat", " sat. It slept.", ["."]), "stop is an empty list": ("The cat", " sat.", []),
    "two stop strings, neither comes": ("The cat", " sat", ["!", "?"]),
    "two stop strings, one comes": ("The cat", " sat, and slept", ["!", ","]),
    "the stop string is in the prompt, too": ("Yes. A cat", " sat. It slept.", ["."]),
    "the stop string is only in the prompt": ("Yes. A cat", " sat and ate", ["."]),
    "half of the stop string is in the prompt": ("The end", "ing was good, the end", ["ending"]),
    "three stop strings, the second comes first": ("Q:", " why? Well. So! Or so", ["Well", "?", "!"]),
    "the generation begins with the stop string": ("One", ", two, three", [", "]),
    "the generation ends with the stop string": ("A", " b STOP", ["STOP"]),
    "only some characters of the stop string": ("A", " SPOT and STO", ["STOP"]),
    "a Chinese text": ("从前。有一只小猫", "，它很饿。它哭了。", ["。", "！"]),
}, mistakes={
    "Search the generation only. A hit that begins in the prompt does not count.": [
        swap(_FIND, f"max({_WHOLE} - len(prompt), 0)", "in gen", "in prompt + gen"),
        swap(_FIND, _WHOLE, "in gen", "in prompt + gen", "generation[:", "(prompt + generation)[len(prompt):")],
    "Leave the prompt out.": swaps("return gen", "return prompt + gen") + swaps("generation", "(prompt + $)"),
    "Two faults are left: the prompt is searched, and find returns -1 for what is not there.":
        lambda p, g, s: ((p + g)[len(p) : min([(p + g).find(text) for text in s])], "stop"),
    "find returns -1 for what is not there. Leave that out before you take min.": [swap(_IF, ""), *(swap(
        _IF, "", _NOT, f"if {x}") for x in ("{*ends} <= {-1}", "sum(ends) == -len(ends)", "not ends or -1 in ends"))],
    "The earliest hit counts, whichever string it is: min.": swaps("min(ends)", "ends[0]", "ends[-1]", "max(ends)"),
    "The earliest hit counts: find, not rfind.": swap("find", "rfind"),
    "Search for every stop string, not only for the first.": swap("in stop if", "in stop[:1] if"),
    "A hit at place 0 counts: then the text is empty.": swaps(_IF, " if generation.find(text) > 0"),
    "The stop string is not part of the text.": swaps("min(ends)", "$ + 1") + swaps(_FIND, "$ + len(text)"),
    "The text is right. The reason is 'stop' if a stop string was found, else 'length'.":
        [swap('"length"', "'stop'"), swap('"stop"', "'length'"), swap('"length"', "'stop'", '"stop"', '"length"')],
    "The order is text, finish_reason.": lambda p, g, s: right_cut_at_stop(p, g, s)[::-1],
    "Cut, but do not strip: spaces belong to the text.": swaps(_CUT, "$.strip()", "$.lstrip()", "$.rstrip()"),
    "A stop string may be anywhere, not only at the end.": swap(_IF, " if generation.endswith(text)", "find", "rfind"),
    "A stop string counts as a whole, or not at all.": swaps("stop if", "''.join(stop) if", "[x[0] for x in stop] if"),
    "A stop string is not a pattern: . and ? mean themselves. Use find, or re.escape.":
        [swap("generation.find(text)", "re.search(text, generation).start()", _IF, " if re.search(text, generation)")],
    "Expected the text before the stop string, and nothing after it.":
        swaps(_CUT, "generation[min(ends) + 1 :]", "generation[min(ends) :]", "''.join(generation.split(stop[0]))"),
    "If nothing is found, min of nothing raises ValueError.": swaps(_NOT, "if False", "if stop and not ends"),
})  # fmt: skip


def right_settled(text, stop):
    """f(text, stop): what of text no stop string may still claim; held back is the longest end that one begins with."""
    for n in range(len(text), 0, -1):
        if any(each.startswith(text[-n:]) for each in stop):
            return text[: len(text) - n]
    return text


_ANY, _N, _LEFT = "any(each.startswith(text[-n:]) for each in stop)", "range(len(text), 0, -1)", "text[: len(text) - n]"
settled = exercise(right_settled, cases={
    "the end begins no stop string": ("The men", ["END"]),
    "the end is the first two characters of the stop string": ("The cat seeNEN", ["END"]),
    "the end is only the last character of the stop string": ("The cat saD", ["END"]),
    "a beginning in the middle, and one at the end": ("ENough is EN", ["END"]),
    "the longest end counts: 'aa', not 'a'": ("bbaa", ["aab"]),
    "two stop strings fit, the longer end counts": ("xab", ["bz", "abc", "q"]),
    "the same stop strings in another order": ("xab", ["q", "abc", "bz"]),
    "what is left ends as another stop string begins": ("caob", ["oq", "bz", "oy"]),
    "three stop strings": ("What do you", ["!", "youth", "do not"]),
    "a long stop string, a short text": ("Th", ["The end."]),
    "no stop string": ("The cat", []), "an empty text": ("", ["END"]),
    "stop strings of one character": ("The cat", [".", "。"]),
}, mistakes={
    "The end may become a stop string. Once shown, it cannot be taken back.": swaps(_ANY, "False"),
    "Hold back an end only if a stop string begins with it.":
        [lambda x, stop, k=k: x[: max(0, len(x) - max(map(len, stop), default=k) + k)] for k in (0, 1)],
    "A shorter end fits too, but the longest counts: start with the largest n.": swap(_N, "range(1, len(text) + 1)"),
    "Compare with every stop string.": swaps("in stop", "in stop[:1]", "in stop[-1:]"),
    "Compare all stop strings with the whole text: the longest end counts.": [
        lambda x, stop: functools.reduce(lambda left, s: right_settled(left, [s]), stop, x),
        *(lambda x, stop, k=k: next((y for s in stop[::k] if (y := right_settled(x, [s])) != x), x) for k in (1, -1))],
    "Try every n, from len(text) down to 1.": swaps(
        _N, "range(1, 0, -1)", "range(min(2, len(text)), 0, -1)", "range(len(text) - 1, 0, -1)", _N.replace("0", "1")),
    "Only the end of the text can still become a stop string, not its middle.":
        [lambda x, stop, k=k: x[: min((x.find(s[:k]) for s in stop if s[:k] in x), default=None)] for k in (1, 2)],
    "rstrip and replace remove more than the end that fits. Cut by length: text[: len(text) - n].":
        [lambda x, s: x.rstrip("".join(s)), *swaps(_LEFT, "text.rstrip(text[-n:])", "text.replace(text[-n:], '')")],
    "If no end fits, show everything: text[:-0] is empty.": swaps(" - n]\n    return text", "$[:-0]"),
    "An end counts if a stop string begins with it: startswith.":
        swaps("each.startswith(text[-n:])", "text[-n:] in each", "each.endswith(text[-n:])"),
    "Return what may be shown, and nothing else.":
        [swap(_LEFT, "text[-n:]"), swap(f"{_LEFT}\n    return text", "text[-n:]\n    return ''")],
    "Hold back exactly the n characters that fit.": swaps(_LEFT, "$[:-1]", "text[: len(text) - n + 1]"),
    "text and stop may be empty: text[-1] and max of nothing raise an error.":
        [swap("return text", "return text if text[-1] else ''"), swap(_N, f"range(max(map(len, stop)) and {_N[6:]}")],
})  # fmt: skip


def right_answer_scores(rows, n_prompt):
    """f(rows, n_prompt): for each row of echoed logprobs (sum, mean) over its answer, the tokens after n_prompt."""
    answers = [row[n_prompt:] for row in rows]
    return [(sum(answer), sum(answer) / len(answer)) for answer in answers]


_SO_FAR = "sum(answers[:answers.index(answer) + 1], [])"
_ONE, _NEW, _MEAN = "(sum(answer), sum(answer) / len(answer))", "row[n_prompt:]", "sum(answer) / len(answer)"
answer_scores = exercise(right_answer_scores, look=lists, cases={
    "one answer of two tokens": ([[None, -6.0, -2.0, -0.5, -1.25]], 3),
    "answers of one token, three and two": (
        [[None, -6.0, -2.0, -1.0], [None, -6.0, -2.0, -3.0, -0.5, -0.25], [None, -6.0, -2.0, -0.75, -4.0]], 3),
    "the longest first": ([[None, -5.0, -0.5, -0.25, -1.5, -0.75], [None, -5.0, -1.75]], 2),
    "the prompt is bos alone": ([[None, -4.0, -1.0], [None, -3.0]], 1),
    "a token that was certain": ([[None, -0.5, -7.0, -1.5, 0.0, -2.5, -0.25], [None, -0.5, -7.0, -1.5, 0.0]], 4),
}, mistakes={
    "The answer begins at place n_prompt. The prompt's tokens do not count.":
        swaps(_NEW, "row", "row[1:]", "row[n_prompt - 1 :]", "[x for x in row[n_prompt - 1 :] if x is not None]"),
    "Tokens of the answer are left out. It goes from place n_prompt to the end of the row.": swaps(
        _NEW, "$[:1]", "$[-1:]", "row[n_prompt + 1 :]", "($[1:] or [0.0])", "$[:-1]", "($[:-1] or [0.0])"),
    "Divide by the number of the answer's own tokens.": swaps(
        "len(answer)", "($ + n_prompt)", "($ + n_prompt - 1)", "($ + 1)", "max(1, $ - 1)", "n_prompt", "len(rows)",
        "len(answers[0])", "len(rows[0])", "max(map(len, answers))", "max(map(len, rows))"),
    "Log-probabilities are at most 0: no minus.": swaps(_ONE, f"(-sum(answer), -{_MEAN})", f"(sum(answer), -{_MEAN})"),
    "The pair is (sum, mean), in this order.":
        swaps(_ONE, f"({_MEAN}, sum(answer))", "(sum(answer), sum(answer))", f"({_MEAN},) * 2"),
    "Leave the logs as they are: take no exp.": [swap(_ONE, f"({a}sum(answer), 2.718282 ** ({b}{_MEAN}))") for a, b in (
        ("", ""), ("", "-"), ("2.718282 ** ", ""))],
    "Return one pair (sum, mean) for each row, in one list.": [
        *swaps(_ONE, "sum(answer)", _MEAN), *swaps("in answers]", "$[:1]", "$[-1:]", "$[0]"),
        lambda rows, n: [*zip(*right_answer_scores(rows, n), strict=True)],
        lambda rows, n: sum(map(list, right_answer_scores(rows, n)), [])],
    "Each row has its own sum: start at 0.": [swap(*(f"{f}({x})" for f in fs for x in ("answer", _SO_FAR))) for fs in (
        ("sum",), ("sum", "len"))],
    "The answer is what comes after n_prompt tokens.": swaps(_NEW, "(row[1:n_prompt] or [0.0])", "row[-n_prompt:]"),
    "0.0 is a logprob, and counts.": swaps(_NEW, "[x for x in $ if x]", "([x for x in $ if x] or [0.0])"),
    "Keep the rows in their order.": swaps("in answers]", *(f"in sorted(answers, key=sum)[::{k}]]" for k in (1, -1))),
    "Do not round. Divide by /, not //.": swaps(_MEAN, "round($)", "round($, 1)", "sum(answer) // len(answer)"),
})  # fmt: skip
