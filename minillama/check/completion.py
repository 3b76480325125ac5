"""Checks of the exercises on completion: echo, the first space, stop strings, streaming, scoring."""

import functools
import re

from minillama.check.exercise import exercise, swap
from minillama.check.judge import Wrong
from minillama.check.logprobs import each, lists
from minillama.check.report import say
from minillama.checkpoint import COURSE_MODEL
from minillama.tokenizer import Tokenizer


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
echo_lists = exercise(right_echo_lists, look=two, cases={
    "echo": ([1, 31, 7], [12, 40], [-0.5, -2.0, 0.0, -1.25], True),
    "the same row without echo": ([1, 31, 7], [12, 40], [-0.5, -2.0, 0.0, -1.25], False),
    "a prompt of bos": ([1], [7, 8, 7], [-3.0, -0.5, -1.0], False), "none new": ([1, 9, 6], [], [-4.0, -0.75], True),
    "a neighbour wrote longer": ([1, 6], [4, 4, 5], [-1.5, -0.25, -2.5, -6.0, -7.0, -8.0], True),
    "a neighbour wrote longer, without echo": ([1, 6], [4, 4, 5], [-1.5, -0.25, -2.5, -6.0, -7.0, -8.0], False),
    "a neighbour wrote alone, without echo": ([1, 5, 8], [], [-1.5, -0.25, -9.0], False),
}, mistakes={
    "Nothing predicts the first token: expected None.": each("None", "0.0", "-1.0", "'None'", "float('nan')"),
    "Without echo there is no None: the prompt's first token is not in the result.":
        each(_LOG, "@ if echo else [None, *logprobs[first + 1 :]]", "@ if echo else [None, *@]"),
    "after_first[i] belongs to position i + 1: put None before it, then cut.": [
        *each("[None, *after_first]", "after_first", "[*after_first, None]"), *each(
            _LOG, "after_first[: len(token_ids)] if echo else @", "after_first[: len(token_ids) - 1] if echo else @",
            "@ if echo else after_first[first : len(token_ids)]", "@ if echo else after_first[first:]")],
    "Numbers are left over: a neighbour wrote longer. Cut at the row's end.": each("[: len(token_ids)]", "") + each(
        _LOG, "@ if echo else [None, *after_first][first:]", "[None, *after_first] if echo else @"),
    "Count from the front: a neighbour's numbers may follow.":
        each("[: len(token_ids)]", "[-len(token_ids) :]") + each(_LOG, "@ if echo else after_first[-len(generated) :]"),
    "Cut both lists at the same place, len(prompt).":
        [*each(_LOG, "logprobs", "logprobs[max(first - 1, 0) :]"), *each(_IDS, "token_ids", "generated")],
    "Cut the prompt off without echo, and only then.":
        each("0 if echo else len(prompt)", "0", "len(prompt)", "len(prompt) if echo else 0"),
    "Only the first token has None.": each(_LOG, "[None] * len(prompt) + logprobs[len(prompt) :] if echo else @"),
    "The order is token_ids, logprobs.": each(_BOTH, f"{_LOG}, {_IDS}"),
    "The prompt comes before the generated tokens.": each("prompt + generated", "generated + prompt"),
    "The last number is missing: each token has one.": each("len(token_ids)]", "len(token_ids) - 1]"),
})  # fmt: skip


def right_continuation(tokenizer, prompt_tokens, generated):
    """f(tokenizer, prompt_tokens, generated): the text to put after the prompt, with its first space."""
    return tokenizer.decode_bytes(generated).decode(errors="replace")


def after(k, text, left_out=0):
    """The arguments for a text whose prompt ends before its token k; the last ids may be left out."""
    tokenizer = Tokenizer(COURSE_MODEL / "tokenizer.model")
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
    "The space in front is lost: decode drops it.": [lambda t, p, g: t.decode(g), *each('"replace")', "@.lstrip()")],
    "No rule tells where a space belongs. It is in the bytes of the ids.":
        [lambda t, p, g, rule=rule: " " * bool(re.match(rule, t.decode(g))) + t.decode(g) for rule in (
            "", ".", r"\w", "[a-zA-Z]", "[a-zA-Z0-9]", "[ -~]", "[^.,，]")] + each("return ", 'return " " + '),
    "This is the whole text. Expected only what comes after the prompt.":
        [lambda t, p, g: t.decode(p + g), lambda t, p, g: t.decode(p) + t.decode(g),
         *each("(generated)", "(prompt_tokens + generated)")],
    "Decode all ids together: one alone loses its space, or is half a character.":
        [lambda t, p, g: "".join(t.decode([i]) for i in g),
         *(lambda t, p, g, x=x: "".join(t.token_bytes(i).decode(errors=x) for i in g) for x in ("replace", "ignore"))],
    "These are names of the tokens. Their bytes are the text: decode_bytes.":
        [lambda t, p, g: "".join(t.pieces(g)), lambda t, p, g: "".join(t.pieces(g)).replace("▁", " ")],
    "strip takes characters away that belong to the text.": each('"replace")', "@.strip()", "@.rstrip()"),
    "Make a str of the bytes: decode(errors='replace').": each('.decode(errors="replace")', "", ".__str__()"),
    "An unfinished character must not raise, and is written �: errors='replace'.":
        each('"replace"', "'strict'", "'ignore'", "'backslashreplace'") + each('"replace")', '@.rstrip("�")'),
    "Take decode(prompt_tokens) off the decoded whole: tokens, bytes and characters count differently.": [
        lambda t, p, g: t.decode(p + g)[len(p) :], lambda t, p, g: t.decode(p + g)[len(t.decode_bytes(p)) :],
        lambda t, p, g: t.decode_bytes(p + g).decode(errors="replace")[len(t.decode(p)) :]],
    "Take the prompt's text off once, at the front, as a whole.": [
        lambda t, p, g: t.decode(p + g).replace(t.decode(p), ""), lambda t, p, g: t.decode(p + g).lstrip(t.decode(p)),
        lambda t, p, g: t.decode(p + g).split(t.decode(p))[-1]],
    "The bytes are UTF-8.": each("decode(e", 'decode("latin-1", e', 'decode("ascii", e', 'decode("utf-16", e'),
    "Nothing may be generated: then there is no first token.": each("return ", "return generated[0] * '' + "),
    "That is the prompt. Expected what comes after it.": each("(generated)", "(prompt_tokens)"),
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
    "one stop string": ("The cat", " sat. It slept.", ["."]), "none": ("The cat", " sat.", []),
    "it never comes": ("The cat", " sat", ["!", "?"]), "one of two comes": ("The cat", " sat, and slept", ["!", ","]),
    "in the prompt, too": ("Yes. A cat", " sat. It slept.", ["."]), "only there": ("Yes. A cat", " sat and ate", ["."]),
    "half in the prompt": ("The end", "ing was good, the end", ["ending"]),
    "three stop strings, the second comes first": ("Q:", " why? Well. So! Or so", ["Well", "?", "!"]),
    "the generation begins with it": ("One", ", two, three", [", "]),
    "at the end": ("A", " b STOP", ["STOP"]), "its characters alone": ("A", " SPOT and STO", ["STOP"]),
    "Chinese": ("从前。有一只小猫", "，它很饿。它哭了。", ["。", "！"]),
}, mistakes={
    "Search the generation only. A hit that begins in the prompt is none.": [
        swap(_FIND, f"max({_WHOLE} - len(prompt), 0)", "in gen", "in prompt + gen"),
        swap(_FIND, _WHOLE, "in gen", "in prompt + gen", "generation[:", "(prompt + generation)[len(prompt):")],
    "Leave the prompt out.": each("return gen", "return prompt + gen") + each("generation", "(prompt + @)"),
    "Two faults are left: the prompt is searched, and find returns -1 for what is not there.":
        lambda p, g, s: ((p + g)[len(p) : min([(p + g).find(text) for text in s])], "stop"),
    "find returns -1 for what is not there, and [:-1] drops the last character.":
        each(_IF, "") + [swap(_IF, "", _NOT, "if {*ends} <= {-1}"), swap(_IF, "", _NOT, "if sum(ends) == -len(ends)")],
    "The earliest hit counts, whichever string makes it: min.": each("min(ends)", "ends[0]", "ends[-1]", "max(ends)"),
    "The earliest hit counts: find, not rfind.": swap("find", "rfind"),
    "Compare with every stop string, not with the first alone.": swap("in stop if", "in stop[:1] if"),
    "A hit at place 0 counts: the text is empty then.": each(_IF, " if generation.find(text) > 0"),
    "The stop string is no part of the text.": each("min(ends)", "@ + 1") + each(_FIND, "@ + len(text)"),
    "The text is right. The reason is 'stop' if a stop string was found, else 'length'.":
        [*each('"length"', "'stop'", "'eos'", "None"), *each("stop\"", "length\""),
         swap('"length"', "'stop'", '"stop"', '"length"')],
    "The order is text, finish_reason.": lambda p, g, s: right_cut_at_stop(p, g, s)[::-1],
    "Cut, but do not strip: spaces belong to the text.":
        [swap(_CUT, f"{_CUT}.{x}()", "generation, ", f"generation.{x}(), ") for x in ("strip", "lstrip", "rstrip")],
    "A stop string may stand anywhere, not only at the end.": [
        swap(_IF, " if generation.endswith(text)", "find", find) for find in ("find", "rfind")],
    "A stop string counts as a whole, not each of its characters.": swap("in stop if", "in ''.join(stop) if"),
    "A stop string is no pattern: . and ? mean themselves. Use find, or re.escape.":
        [swap("generation.find(text)", "re.search(text, generation).start()", _IF, " if re.search(text, generation)")],
    "Expected what comes before the stop string, and nothing after it.":
        each(_CUT, "generation[min(ends) + 1 :]", "generation[min(ends) :]", "''.join(generation.split(stop[0]))"),
    "Nothing may be found, and stop may be empty: min of nothing raises ValueError.": swap(_NOT, "if False"),
})  # fmt: skip


def right_settled(text, stop):
    """f(text, stop): what of text no stop string may still claim; held back is the longest end that one begins with."""
    for n in range(len(text), 0, -1):
        if any(each.startswith(text[-n:]) for each in stop):
            return text[: len(text) - n]
    return text


_ANY, _N, _LEFT = "any(each.startswith(text[-n:]) for each in stop)", "range(len(text), 0, -1)", "text[: len(text) - n]"
settled = exercise(right_settled, cases={
    "nothing looks like a stop string": ("The men", ["END"]),
    "two of its characters": ("The cat seeNEN", ["END"]), "its last alone": ("The cat saD", ["END"]),
    "a beginning in the middle is over": ("ENough is EN", ["END"]),
    "the longest end counts: 'aa', not 'a'": ("bbaa", ["aab"]),
    "the longest end of all": ("xab", ["bz", "abc", "q"]), "reversed": ("xab", ["q", "abc", "bz"]),
    "another stop string fits what is left": ("caob", ["oq", "bz", "oy"]),
    "three": ("What do you", ["!", "youth", "do not"]), "a long one, a short text": ("Th", ["The end."]),
    "no stop string": ("The cat", []), "no text": ("", ["END"]),
    "one character cannot come in part": ("The cat", [".", "。"]),
}, mistakes={
    "The end may become a stop string. Once shown, it cannot be taken back.": each(_ANY, "False"),
    "Hold back only an end with which a stop string begins.":
        [lambda x, stop, k=k: x[: max(0, len(x) - max(map(len, stop), default=k) + k)] for k in (0, 1)],
    "A shorter end fits, too, but the longest counts: begin with the largest n.": swap(_N, "range(1, len(text) + 1)"),
    "Compare with every stop string.": each("in stop", "in stop[:1]", "in stop[-1:]"),
    "One stop string that fits is enough: any, not all.": swap("any(", "all("),
    "Compare all stop strings with the whole text: the longest end counts.": [
        lambda x, stop: functools.reduce(lambda left, s: right_settled(left, [s]), stop, x),
        *(lambda x, stop, k=k: next((y for s in stop[::k] if (y := right_settled(x, [s])) != x), x) for k in (1, -1))],
    "More characters may be held back: try every n from len(text) on.":
        each(_N, "range(1, 0, -1)", "range(min(2, len(text)), 0, -1)", "range(len(text) - 1, 0, -1)"),
    "An end of one character counts, too: n goes down to 1.": swap(_N, "range(len(text), 1, -1)"),
    "Only the END of the text may become a stop string. The middle is over.":
        [lambda x, stop, k=k: x[: min((x.find(s[:k]) for s in stop if s[:k] in x), default=None)] for k in (1, 2)],
    "The same characters stand elsewhere, too. Cut by length: text[: len(text) - n].":
        [lambda x, s: x.rstrip("".join(s)), *each(_LEFT, "text.rstrip(text[-n:])", "text.replace(text[-n:], '')")],
    "Do not strip: spaces belong to the text.": each(_LEFT, "@.strip()", "@.rstrip()"),
    "If no end fits, all may be shown. text[:-0] is nothing.": each(" - n]\n    return text", "@[:-0]"),
    "An end counts if a stop string begins with it: startswith.":
        each("each.startswith(text[-n:])", "text[-n:] in each", "each.endswith(text[-n:])"),
    "Return what may be shown, not the rest.":
        each(_LEFT, "text[-n:]") + each(f"{_LEFT}\n    return text", "text[-n:]\n    return ''"),
    "Return the settled part alone.": swap(_LEFT, f"{_LEFT}, text[-n:]", "\n    return text", "\n    return text, ''"),
    "Hold back exactly the n characters that fit.": each(_LEFT, "@[:-1]", "text[: len(text) - n + 1]"),
    "stop may be empty: max of nothing raises ValueError.": each(_N, "range(max(map(len, stop)) and len(text), 0, -1)"),
    "text may be empty: text[-1] raises IndexError.": swap("return text", "return text if text[-1] else ''"),
})  # fmt: skip


def right_answer_scores(rows, n_prompt):
    """f(rows, n_prompt): for each row of echoed logprobs (sum, mean) over its answer, the tokens after n_prompt."""
    answers = [row[n_prompt:] for row in rows]
    return [(sum(answer), sum(answer) / len(answer)) for answer in answers]


_ONE, _NEW, _MEAN = "(sum(answer), sum(answer) / len(answer))", "row[n_prompt:]", "sum(answer) / len(answer)"
answer_scores = exercise(right_answer_scores, look=lists, cases={
    "one answer of two tokens": ([[None, -6.0, -2.0, -0.5, -1.25]], 3),
    "answers of one token, three and two": (
        [[None, -6.0, -2.0, -1.0], [None, -6.0, -2.0, -3.0, -0.5, -0.25], [None, -6.0, -2.0, -0.75, -4.0]], 3),
    "the longest first": ([[None, -5.0, -0.5, -0.25, -1.5, -0.75], [None, -5.0, -1.75]], 2),
    "a prompt of bos alone": ([[None, -4.0, -1.0], [None, -3.0]], 1),
    "a token that was certain": ([[None, -0.5, -7.0, -1.5, 0.0, -2.5, -0.25], [None, -0.5, -7.0, -1.5, 0.0]], 4),
}, mistakes={
    "The answer begins at place n_prompt: the prompt's tokens do not count.":
        each(_NEW, "row", "row[1:]", "[x or 0.0 for x in row]"),
    "Begin at n_prompt, not one before.": each(_NEW, "row[n_prompt - 1 :]", "[x or 0.0 for x in row[n_prompt - 1 :]]"),
    "A token of the answer is left out. It goes from place n_prompt to the end of the row.": each(
        _NEW, "row[n_prompt + 1 :]", "(row[n_prompt + 1:] or [0.0])", "@[:-1]", "(@[:-1] or [0.0])"),
    "Divide by the number of the answer's own tokens.":
        each("len(answer)", "(@ + n_prompt)", "(@ + n_prompt - 1)", "(@ + 1)", "max(1, @ - 1)", "n_prompt", "len(rows)",
             "len(answers[0])", "len(rows[0])", "max(map(len, answers))", "max(map(len, rows))"),
    "Log-probabilities are at most 0: no minus.": each(_ONE, f"(-sum(answer), -{_MEAN})", f"(sum(answer), -{_MEAN})"),
    "The pair is (sum, mean), in this order.":
        each(_ONE, f"({_MEAN}, sum(answer))", "(sum(answer), sum(answer))", f"({_MEAN},) * 2"),
    "Leave the logs as they are: no exp.": each(
        _ONE, f"(sum(answer), 2.718282 ** {_MEAN})", f"(sum(answer), 2.718282 ** -({_MEAN}))",
        f"(2.718282 ** sum(answer), 2.718282 ** ({_MEAN}))"),
    "Return one pair (sum, mean) for each row, in one list.": [
        *each(_ONE, "sum(answer)", _MEAN), *each("in answers]", "@[:1]", "@[-1:]", "@[0]"),
        lambda rows, n: [[*x] for x in zip(*right_answer_scores(rows, n), strict=True)]],
    "Each row has its own sum: begin at 0.": each("sum(answer)", "sum(sum(answers[:answers.index(answer) + 1], []))"),
    "The answer is what comes after n_prompt tokens.": each(_NEW, "(row[1:n_prompt] or [0.0])", "row[-n_prompt:]"),
    "All tokens of the answer count, not one alone.": each(_NEW, "@[:1]", "@[-1:]"),
    "0.0 is a logprob, and counts.": each(_NEW, "[x for x in @ if x]", "([x for x in @ if x] or [0.0])"),
    "Keep the rows in their order.": each("in answers]", "in sorted(answers, key=sum)]", "in sorted(answers)]"),
    "Do not round: expected the exact numbers.": each("sum(answer)", "round(@)", "round(@, 1)"),
})  # fmt: skip
