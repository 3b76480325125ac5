"""Checks of the exercises on completion: echo, the first space, stop strings, streaming, scoring."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

from minillama.check.former import Wrong, call, judge
from minillama.check.report import Report
from minillama.checkpoint import COURSE_MODEL
from minillama.tokenizer import Tokenizer

# ---- echo ----------------------------------------------------------------------------------------------------------


def echo_lists(function: Callable[..., tuple[list[int], list[float | None]]]) -> Report:
    """Judge f(prompt, generated, after_first, echo): (token_ids, logprobs), the prompt's first if echo.

    after_first[i] is the log-probability of position i + 1 of prompt + generated; it may go on behind the row's end.
    """

    def case(prompt: list[int], generated: list[int], echo: bool, surplus: int = 0) -> Callable[[Callable], None]:
        n = len(prompt) + len(generated)
        after_first = [-0.25 * k for k in range(1, n + surplus)]
        return lambda f: _expect_echo(f, prompt, generated, after_first, echo)

    return judge(
        function,
        [
            ("echo=True: [1, 2, 3] and two new tokens", case([1, 2, 3], [4, 5], True)),
            ("echo=False: the same row", case([1, 2, 3], [4, 5], False)),
            ("a prompt of bos alone, both ways", _both(case([1], [7, 8], True), case([1], [7, 8], False))),
            ("nothing generated, both ways", _both(case([1, 9, 6], [], True), case([1, 9, 6], [], False))),
            ("a neighbour went on longer", _both(case([1, 6], [4, 4], True, 3), case([1, 6], [4, 4], False, 3))),
        ],
    )


def _expect_echo(f: Callable, prompt, generated, after_first, echo: bool) -> None:
    got = call(f, prompt, generated, after_first, echo)
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Wrong(f"Two lists are due: return token_ids, logprobs. Yours returned {_short(got)}.")
    ids, scores = (list(part) if isinstance(part, tuple | list) else part for part in got)
    everything, known = prompt + generated, [None, *after_first]
    due_ids = everything if echo else generated
    due = known[: len(everything)] if echo else known[len(prompt) : len(everything)]
    if ids == due_ids and scores == due:
        return
    if ids != due_ids:
        hint = "With echo the ids are the prompt's, then the generated ones; without, only the generated ones."
    elif not isinstance(scores, list):
        hint = f"The logprobs must be a list, yours is {type(scores).__name__}."
    elif scores == [0.0, *due[1:]] and echo:
        hint = "The first token has 0.0: that says probability one. Nothing predicts it: None."
    elif scores in ([None, *due], [None, *due[1:]]) and not echo:
        hint = "None belongs to the first token of the prompt. Without echo that token is not in the result."
    elif scores == after_first[: len(due)] and echo:
        hint = "after_first begins at position 1. The token at position 0 comes first, with None."
    elif not echo and scores == after_first[len(prompt) :][: len(due)]:
        hint = (
            "These are one place late. after_first[0] belongs to position 1, so the first generated token, at position "
            "len(prompt), has after_first[len(prompt) - 1]."
        )
    elif scores[: len(due)] == due:
        hint = "Numbers are left over: the scores of a row that has ended go on while its neighbours write. Cut them."
    elif len(scores) != len(due_ids):
        hint = f"One logprob for each token is due: {len(due_ids)}, yours are {len(scores)}."
    else:
        hint = "Each token must stand beside its own number. Write down which position after_first[0] belongs to."
    arguments = f"prompt {prompt}, generated {generated}, after_first {after_first}, echo={echo}"
    raise Wrong(f"{arguments}\ndue   {due_ids}, {due}\nyours {_short(ids)}, {_short(scores)}\n{hint}")


# ---- the first space -----------------------------------------------------------------------------------------------


def continuation(function: Callable[..., str]) -> Report:
    """Judge f(tokenizer, prompt_tokens, generated): the text to put behind the prompt, with its first space."""

    def case(text: str, begins: str, unfinished: int = 0) -> Callable[[Callable], None]:
        """The ids of text, cut before the token that begins with `begins`; the last ids may be left out."""

        def run(f: Callable) -> None:
            tokenizer = _tokenizer()
            ids = tokenizer.encode(text, bos=True, eos=False)
            first = text.index(begins) + 1  # encode puts a space before the text
            cut = next(
                k for k in range(len(ids)) if len(tokenizer.decode_bytes(ids[:k]).decode(errors="ignore")) >= first
            )
            _expect_continuation(f, tokenizer, ids[:cut], ids[cut : len(ids) - unfinished])

        return run

    return judge(
        function,
        [
            ("a word: its space stays", case("My name is Bob. I am ", " Bob")),
            ("Chinese: there is no space", case("从前有一只小猫，它喜欢玩。", "，")),
            ("a full stop: no space either", case("We all went home.", ".")),
            ("a number: the space is a token of its own", case("She has 12 cats.", " 12")),
            ("a word after Chinese", case("他说 yes and no", " yes")),
            ("a llama, four byte tokens", case("I saw a 🦙 today.", " 🦙")),
            ("nothing generated", lambda f: _expect_continuation(f, _tokenizer(), [1, 300], [])),
            ("the last character is unfinished", case("I saw a 🦙", " 🦙", unfinished=1)),
        ],
    )


@functools.cache
def _tokenizer() -> Tokenizer:
    return Tokenizer(COURSE_MODEL / "tokenizer.model")


def _expect_continuation(f: Callable, tokenizer: Tokenizer, prompt: list[int], generated: list[int]) -> None:
    got = call(f, tokenizer, prompt, generated)
    if isinstance(got, bytes):
        raise Wrong("A str is due, your function returned bytes. data.decode(errors='replace') makes text of them.")
    if not isinstance(got, str):
        raise Wrong(f"A str is due, your function returned {type(got).__name__}. Is there a `return`?")
    due = tokenizer.decode_bytes(generated).decode(errors="replace")
    if got.rstrip("\ufffd") == due.rstrip("\ufffd"):  # a broken end is one sign or several
        return
    text = tokenizer.decode(prompt)
    if got == tokenizer.decode(prompt + generated):
        hint = "This is the whole text. Only what comes after the prompt is due."
    elif got == "".join(tokenizer.pieces(generated)):
        hint = "These are the tokenizer's names of the tokens. Its bytes are the text: tokenizer.decode_bytes."
    elif "\ufffd" in got and "\ufffd" not in due:
        hint = "A character is broken: its tokens were decoded one by one. Join the bytes first, decode once."
    elif got == "".join(tokenizer.decode([i]) for i in generated):
        hint = "Each token was decoded alone, and each lost its space. Join first, decode once."
    elif due.startswith(" ") and got == due[1:]:
        hint = f"The space between {text[-8:]!r} and {due[1:9]!r} is lost: decode drops the first one."
    elif due.startswith(" ") and got == due.strip():
        hint = "strip() takes the space away that the continuation begins with."
    elif got == " " + due:
        hint = "There is a space too many. Not every continuation begins with one: look into the bytes."
    else:
        hint = "prompt text + continuation must be the whole text, character for character."
    raise Wrong(f"behind {text!r}\ndue   {due!r}\nyours {_short(got)}\n{hint}")


# ---- stop strings --------------------------------------------------------------------------------------------------


def cut_at_stop(function: Callable[..., tuple[str, str]]) -> Report:
    """Judge f(prompt, generation, stop): (text, finish_reason); the text ends before the first stop string."""

    def case(prompt: str, generation: str, *stop: str) -> Callable[[Callable], None]:
        return lambda f: _expect_cut(f, prompt, generation, list(stop))

    return judge(
        function,
        [
            ("one stop string", case("The cat", " sat. It slept.", ".")),
            ("it never comes", case("The cat", " sat and slept", "!", "?")),
            ("it is in the prompt too", case("Yes. The cat", " sat. It slept.", ".")),
            ("it is only in the prompt", case("Yes. The cat", " sat and slept", ".")),
            ("half in the prompt", case("The end", "ing was good, the end", "ending")),
            ("two stop strings, the second comes first", case("Q:", " why? Well. So", ".", "?")),
            ("no stop string at all", case("The cat", " sat.")),
            ("the generation begins with it", case("One", ", two, three", ", ")),
            ("twice in the generation", case("A", " b\n\nc\n\nd", "\n\n")),
            ("Chinese", case("从前。有一只小猫", "，它很饿。它哭了。", "。", "！")),
        ],
    )


def _expect_cut(f: Callable, prompt: str, generation: str, stop: list[str]) -> None:
    got = call(f, prompt, generation, stop)
    if not isinstance(got, tuple | list) or len(got) != 2 or not all(isinstance(part, str) for part in got):
        raise Wrong(f"Two str are due: return text, finish_reason. Yours returned {_short(got)}.")
    ends = [generation.find(text) for text in stop if text in generation]
    due = (generation[: min(ends)], "stop") if ends else (generation, "length")
    text, reason = got
    if (text, reason) == due:
        return
    in_whole = [k for k in ((prompt + generation).find(each) for each in stop) if k >= 0]
    if text.startswith(prompt) and prompt:
        hint = "The prompt is not part of the generation: return what is new."
    elif in_whole and min(in_whole) < len(prompt) and (text, reason) != due and text in (
        (prompt + generation)[len(prompt) : min(in_whole)], (prompt + generation)[: min(in_whole)]
    ):  # fmt: skip
        hint = "A hit in the prompt counted. Only the generation is searched: a stop string may stand in the question."
    elif text == generation[:-1] and not ends:
        hint = "find returns -1 for a text that is not there, and [:-1] drops the last character."
    elif ends and any(text == due[0] + each for each in stop):
        hint = "The stop string itself is not part of the result."
    elif ends and text == generation[: max(ends)]:
        hint = "The earliest hit counts, whichever stop string makes it: take the smallest place."
    elif ends and stop[0] in generation and text == generation[: generation.find(stop[0])]:
        hint = "The earliest hit counts, not the first string of the list."
    elif ends and any(text == generation[: generation.rfind(each)] for each in stop if each in generation):
        hint = "The earliest hit counts: find, not rfind."
    elif text == due[0].strip():
        hint = "Cut, but do not strip: the spaces belong to the text."
    elif text == due[0]:
        hint = f"The text is right; the finish_reason is {due[1]!r} here."
    elif not ends:
        hint = "No stop string is in the generation: it stays as it is."
    else:
        hint = "The text ends where the first stop string of the generation begins."
    arguments = f"prompt {prompt!r}, generation {generation!r}, stop {stop}"
    raise Wrong(f"{arguments}\ndue   {due}\nyours {(text, reason)}\n{hint}")


# ---- streaming -----------------------------------------------------------------------------------------------------


def settled(function: Callable[[str, list[str]], str]) -> Report:
    """Judge f(text, stop): the part of an unfinished text that may be shown, whatever comes next.

    No stop string is complete in text. Held back is the longest end with which a stop string begins, and no more.
    """

    def case(text: str, *stop: str) -> Callable[[Callable], None]:
        return lambda f: _expect_settled(f, text, list(stop))

    return judge(
        function,
        [
            ("nothing looks like a stop string", case("The cat sat", "END")),
            ("its first character has come", case("The cat satE", "END")),
            ("two of its characters", case("The cat saEN", "END")),
            ("a beginning in the middle is over", case("ENough is EN", "END")),
            ("the longest end counts: 'aa', not 'a'", case("bbaa", "aab")),
            ("its last character only", case("The cat saD", "END")),
            ("several stop strings", case("What do you", "!", "youth", "do not")),
            ("a long stop string, a short text", case("Th", "The end.")),
            ("no stop string", case("The cat")),
            ("no text", case("", "END")),
            ("one character cannot come in part", case("The cat", ".", "。")),
        ],
    )


def _expect_settled(f: Callable, text: str, stop: list[str]) -> None:
    got = call(f, text, stop)
    if not isinstance(got, str):
        raise Wrong(f"A str is due, your function returned {type(got).__name__}. Is there a `return` on every way?")
    sizes = [n for n in range(1, len(text) + 1) if any(each.startswith(text[-n:]) for each in stop)]
    due = text[: len(text) - max(sizes, default=0)]
    if got == due:
        return
    if not text.startswith(got):
        hint = "The settled part is a beginning of the text."
    elif stop and got == text[: max(0, len(text) - max(len(each) - 1 for each in stop))] and len(got) < len(due):
        hint = "Safe, but too late: hold back only an end that really begins a stop string."
    elif len(got) < len(due) and any(text.find(each[0]) == len(got) for each in stop):
        hint = "Only the END of the text may grow into a stop string. What stands in the middle cannot any more."
    elif len(got) < len(due):
        hint = "Too much is held back. Compare each end text[-n:] with the beginnings of the stop strings."
    elif sizes and len(text) - len(got) == min(sizes) < max(sizes):
        hint = "A shorter end fits too, but the longest one counts: begin with the largest n."
    elif got == text and sum(any(each.startswith(text[-n:]) for n in sizes) for each in stop[:1]) == 0:
        hint = "Every stop string must be compared, not only the first."
    elif got == text:
        hint = f"The end {text[len(due) :]!r} may still become a stop string. Once shown, it cannot be taken back."
    else:
        hint = f"{text[len(due) : len(got)]!r} is shown too early."
    raise Wrong(f"text {text!r}, stop {stop}\ndue   {due!r}\nyours {got!r}\n{hint}")


# ---- scoring -------------------------------------------------------------------------------------------------------


def answer_scores(function: Callable[..., Sequence[tuple[float, float]]]) -> Report:
    """Judge f(rows, n_prompt): for each row of echoed logprobs (sum, mean) over its answer.

    The answer is what comes after the first n_prompt tokens.
    """
    prompt: list[float | None] = [None, -6.0, -2.0]

    def case(n_prompt: int, *rows: list[float | None]) -> Callable[[Callable], None]:
        return lambda f: _expect_scores(f, [list(row) for row in rows], n_prompt)

    return judge(
        function,
        [
            ("one answer of one token", case(3, [*prompt, -0.5])),
            ("answers of one token and of three", case(3, [*prompt, -1.0], [*prompt, -3.0, -0.5, -0.25])),
            ("the longest first", case(3, [*prompt, -0.5, -0.5, -0.5, -0.5], [*prompt, -1.0])),
            ("a prompt of bos alone", case(1, [None, -4.0, -1.0], [None, -3.0])),
        ],
    )  # fmt: skip


def _expect_scores(f: Callable, rows: list[list[float | None]], n_prompt: int) -> None:
    got = call(f, rows, n_prompt)
    if got is None:
        raise Wrong("Your function returned nothing. Is there a `return`?")
    try:
        pairs = [tuple(float(value) for value in pair) for pair in got]
    except TypeError:
        raise Wrong(f"A list with one pair (sum, mean) for each row is due, yours is {_short(got)}.") from None
    if len(pairs) != len(rows) or any(len(pair) != 2 for pair in pairs):
        raise Wrong(f"{len(rows)} pairs (sum, mean) are due, yours is {_short(got)}.")

    def scores(first: int, divide: Callable[[list, list], int] = lambda row, answer: len(answer)):
        answers = [[value for value in row[first:] if value is not None] for row in rows]
        return [(sum(a), sum(a) / max(1, divide(row, a))) for row, a in zip(rows, answers, strict=True)]

    due = scores(n_prompt)
    mistakes = [
        ("The prompt's tokens are counted too. The answer begins at place n_prompt.", scores(0)),
        ("One token of the prompt is counted too: the answer begins at place n_prompt, not one before.",
         scores(n_prompt - 1)),
        ("The answer's first token is left out. It stands at place n_prompt.", scores(n_prompt + 1)),
        ("The mean is over the answer's tokens: divide by their number, not by the length of the row.",
         scores(n_prompt, lambda row, answer: len(row))),
        ("Log-probabilities are at most 0; yours are positive. Leave the minus out.", [(-a, -b) for a, b in due]),
        ("Sum and mean are exchanged.", [(b, a) for a, b in due]),
        ("These are probabilities. Leave the logs as they are: no exp.", [(math.exp(a), math.exp(b)) for a, b in due]),
    ]  # fmt: skip
    if _close(pairs, due):
        return
    hint = next((hint for hint, wrong in mistakes if _close(pairs, wrong)), "")
    raise Wrong(f"rows {rows}, n_prompt {n_prompt}\ndue   {due}\nyours {_short(pairs)}\n{hint}".rstrip())


def _close(pairs, others) -> bool:
    return all(
        math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6)
        for pair, other in zip(pairs, others, strict=True)
        for a, b in zip(pair, other, strict=True)
    )


def _both(*cases: Callable[[Callable], None]) -> Callable[[Callable], None]:
    def run(f: Callable) -> None:
        for case in cases:
            case(f)

    return run


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:160] + " …"
