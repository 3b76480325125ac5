"""Checks of the exercises on real models: rows of wq and wk, nats per byte, ChatML."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from numbers import Real

import torch
from torch import Tensor

from minillama.chat import Dialog
from minillama.check.chat import messages
from minillama.check.former import Wrong, call, expect_number, expect_tensor, judge
from minillama.check.report import Report
from minillama.formats.hugging_face import rotate_halves

# ---- the rows of wq and wk


def to_halves(function: Callable[[Tensor, int], Tensor]) -> Report:
    """Judge f(weight (n_heads * head_dim, dim), head_dim): the rows in Hugging Face's order, the shape kept."""

    def case(n_heads: int, head_dim: int, dim: int, dtype: torch.dtype = torch.float32) -> Callable[[Callable], None]:
        weight = torch.arange(n_heads * head_dim * dim, dtype=dtype).view(n_heads * head_dim, dim)
        return lambda f: _expect_rows(f, weight, head_dim)

    return judge(
        function,
        [
            ("one head of 8 rows, 3 columns", case(1, 8, 3)),
            ("one head of 6 rows, 6 columns", case(1, 6, 6)),
            ("three heads of 8 rows", case(3, 8, 5)),
            ("two heads of 12 rows, in bfloat16", case(2, 12, 4, torch.bfloat16)),
            ("four heads of 2 rows: nothing to move", case(4, 2, 3)),
        ],
    )


def _expect_rows(f: Callable, weight: Tensor, head_dim: int) -> None:
    got, n_rows = call(f, weight, head_dim), len(weight)
    if isinstance(got, Tensor) and got.dim() > 2:
        raise Wrong(
            f"The heads are still axes of their own: {tuple(got.shape)}. Put them together again: flatten or reshape "
            f"to {tuple(weight.shape)}."
        )
    due = rotate_halves(weight, head_dim)
    expect_tensor(got, due)
    if torch.equal(got, due):
        return
    back = weight.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)
    swapped = due.unflatten(0, (-1, 2, head_dim // 2)).flip(1).flatten(0, 2)
    mistakes = [
        ("Nothing was moved: these are the rows as they came.", weight),
        ("That is the way back, from halves to adjacent pairs. Here the first numbers of all pairs, the rows 0, 2, 4 …"
         " of a head, come to its front.", back),
        ("The second numbers of the pairs stand in front. The first ones, rows 0, 2, 4 …, come first.", swapped),
        ("The columns were moved, and the rows are due: axis 0.",
         torch.cat([weight[:, 0::2], weight[:, 1::2]], dim=1)),
    ]  # fmt: skip
    for hint, wrong in mistakes:
        if torch.equal(got, wrong):
            raise Wrong(hint)
    if torch.equal(got, rotate_halves(weight, n_rows)):
        raise Wrong("The rows went across all heads. Each head keeps its own rows: give the heads an axis first.")
    for other in range(2, n_rows, 2):
        if n_rows % other == 0 and torch.equal(got, rotate_halves(weight, other)):
            raise Wrong(f"These would be heads of {other} rows; here head_dim is {head_dim}. Is the number fixed?")
    if not torch.equal(got.sort(dim=0).values, weight.sort(dim=0).values):
        raise Wrong("These are not the rows that came in, in another order. Rows only change places.")
    raise Wrong(f"The rows stand in the order\n{_order(got, weight)}, due is\n{_order(due, weight)}.")


def _order(rows: Tensor, weight: Tensor) -> str:
    places = [torch.nonzero((weight == row).all(dim=1))[:1].flatten().tolist() for row in rows]
    return " ".join(str(place[0]) if place else "?" for place in places[:16])


# ---- nats per byte


def nats_per_byte(function: Callable[[list[bytes], list], float]) -> Report:
    """Judge f(token_bytes, logprobs): minus the sum of the known log-probabilities, by the bytes of their tokens."""

    def case(*tokens: tuple[bytes, float | None]) -> Callable[[Callable], None]:
        data, logprobs = map(list, zip(*tokens, strict=True))
        return lambda f: _expect_nats(f, data, logprobs)

    cat = [(bytes([byte]), -0.25 * k) for k, byte in enumerate("猫".encode(), start=1)]
    return judge(
        function,
        [
            ("three tokens of plain letters", case((b"Once", -2.0), (b" upon", -0.5), (b" a", -0.25))),
            ("an echo: <s> has no bytes and no score", case((b"", None), (b" The", -3.0), (b" cat", -1.5))),
            ("no <s>: the first token has bytes, but no score", case((b"Once", None), (b" upon", -0.5), (b" a", -1.0))),
            ("Chinese, in parts of a character", case((b"", None), ("一只小".encode(), -1.5), *cat)),
            ("a certain token, and eos behind it", case((b"", None), (b"Hi", 0.0), (b" Thomas", -4.0), (b"", -0.75))),
        ],
    )


def _expect_nats(f: Callable, data: list[bytes], logprobs: list) -> None:
    try:
        got = call(f, data, logprobs)
    except UnicodeDecodeError:
        raise Wrong("A token may be part of a character, so decode fails. You need bytes: len(data).") from None
    except TypeError as error:
        if None in logprobs and "NoneType" in str(error):
            raise Wrong("None is no number: nothing predicted this token. Leave it out, with its bytes.") from None
        raise
    got = got.item() if isinstance(got, Tensor) and got.numel() == 1 else got
    if isinstance(got, bool) or not isinstance(got, Real):
        kind, advice = ("None", " Is there a `return`?") if got is None else (type(got).__name__, "")
        raise Wrong(f"A number is due, your function returned {kind}.{advice}")
    got = float(got)
    known = [(each, logprob) for each, logprob in zip(data, logprobs, strict=True) if logprob is not None]
    nats, n_bytes = -sum(logprob for _, logprob in known), sum(len(each) for each, _ in known)
    n_chars = len(b"".join(each for each, _ in known).decode())
    n_signs = sum(len(each.decode(errors="replace")) for each, _ in known)
    due, ratios = nats / n_bytes, [-x / len(each) for each, x in known if each]
    mistakes = [
        ("The bytes of a token without a score were counted. Nothing predicted them: leave them out.",
         nats / sum(map(len, data))),
        ("You divided by characters. A Chinese character has three bytes: count those.", nats / n_chars),
        ("You decoded each token: of a part of a character that makes a sign of its own. Count bytes: len(data).",
         nats / n_signs),
        ("You divided by tokens. Another tokenizer has others: divide by the bytes.", nats / len(known)),
        ("You divided by all tokens, even those without a score. Divide by the bytes of the scored ones.",
         nats / len(data)),
        ("The minus is missing: a log-probability is never above 0, and nats per byte are never below.", -due),
        ("These are bits: the natural log needs no conversion to nats.", due / math.log(2)),
        ("This is exp of it. Nats are due.", math.exp(due)),
        ("This is the perplexity: exp, and for a token. Nats for a byte are due.", math.exp(nats / len(known))),
        ("There are bits in it. Divide by bytes: no 8.", due / 8),
        ("These are the nats of the whole text. Divide by the bytes.", nats),
        ("These are bytes per nat. Turn it round.", n_bytes / nats),
        ("You took the mean of the tokens' own values. Add all nats, add all bytes, then divide once.",
         sum(ratios) / len(ratios)),
        ("You added up the tokens' own values. Add all nats, add all bytes, then divide once.", sum(ratios)),
        ("A token with a log-probability of 0.0 was left out: the model was certain, and its bytes count. Test "
         "`is not None`.", nats / max(1, sum(len(each) for each, x in known if x))),
        ("The last token has no bytes, but a score: it counts among the nats.",
         -sum(x for each, x in known if each) / n_bytes),
    ]  # fmt: skip
    if logprobs[0] is not None:
        rest = known[1:]
        mistakes.append(
            ("The first token was left out, though it has a score. Leave out only those whose score is None.",
             -sum(x for _, x in rest) / sum(len(each) for each, _ in rest))
        )  # fmt: skip
    expect_number(got, due, mistakes, 1e-4, f"{data} with {logprobs}: due {due:.4g}, yours {got:.4g}")


# ---- ChatML

MISTAKES = {  # what `_chatml` does otherwise, and the hint
    "open": "The end is missing: <|im_start|>assistant and a line break, where the model goes on.",
    "closed": "The answer's place is closed with <|im_end|>. It stays open: the model writes <|im_end|> itself.",
    "tail": "Behind the last 'assistant' stands a line break, as behind every role.",
    "break": "Behind every <|im_end|> stands a line break.",
    "role": "Between a role and its content stands a line break.",
    "start": "Every message begins with <|im_start|>.",
    "end": "Every message ends with <|im_end|>.",
    "strip": "Contents are taken as they are: no strip.",
    "falsy": "`system` is an empty text here, and not None: it is written too. Test `is not None`.",
    "default": "The dialog brings no system message: `system`, if it is not None, is written as the first message.",
    "twice": "The dialog has a system message of its own: `system` is not written then.",
    "None": "`system` is None: there is no default, and no system message is written.",
    "blank": "`system` is None: no system message is written, not even an empty one.",
    "replace": "The dialog has a system message of its own: it stays, and `system` does not take its place.",
    "answers": "The assistant's earlier answers belong to the text too.",
    "before": "The default system message comes first, before all others.",
}


def chatml(function: Callable[[Dialog, str | None], str]) -> Report:
    """Judge f(dialog, system): the text of a dialog in ChatML, ready to be answered; `system` is the default."""
    talk = messages("Hi", "Hello!", "Bye")

    def case(dialog: Dialog, system: str | None) -> Callable[[Callable], None]:
        return lambda f: _expect_chatml(f, dialog, system)

    return judge(
        function,
        [
            ("one question, no default", case(messages("Hi"), None)),
            ("one question, with a default", case(messages("Hi"), "Be kind.")),
            ("a longer talk", case(talk, "Be kind.")),
            ("a system message of its own", case([*messages(system="Be brief."), *talk], "Be kind.")),
            ("its own, and no default", case(messages("Hi", system="Be brief."), None)),
            ("spaces around the contents", case(messages(" Hi\n", " Hello! ", "\tBye "), None)),
            ("Chinese, and a default of two lines", case(messages("你好"), "Be kind.\nBe brief.")),
            ("a default that is empty", case(messages("Hi"), "")),
        ],
    )


def _expect_chatml(f: Callable, dialog: Dialog, system: str | None) -> None:
    got = call(f, dialog, system)
    if not isinstance(got, str):
        advice = {"NoneType": " Is there a `return`?", "list": " ''.join(parts) makes one of a list."}
        kind = type(got).__name__
        raise Wrong(f"A str is due, your function returned {kind}.{advice.get(kind, '')}")
    due = _chatml(dialog, system)
    if got == due:
        return
    for n in (1, 2):
        for names in combinations(MISTAKES, n):
            if _chatml(dialog, system, *names) == got:
                raise Wrong("\n".join([*(MISTAKES[name] for name in names), *_difference(due, got)]))
    if "[INST]" in got:
        raise Wrong("[INST] is Llama 2's format. In ChatML every message stands between <|im_start|> and <|im_end|>.")
    raise Wrong("\n".join(["The texts differ here:", *_difference(due, got)]))


def _difference(due: str, got: str) -> list[str]:
    """Both around the first place where they differ."""
    first = next((k for k, (a, b) in enumerate(zip(due, got, strict=False)) if a != b), min(len(due), len(got)))
    start = max(0, first - 24)
    shown = [("due  ", due), ("yours", got)]
    return [f"{name} {'…' * bool(start)}{text[start : first + 24]!r}" for name, text in shown]


def _chatml(dialog: Dialog, system: str | None, *faults: str) -> str:
    """A dialog in ChatML, with some of MISTAKES."""
    turns: Sequence = list(dialog)
    system = "" if system is None and "blank" in faults else system
    system = None if system == "" and "falsy" in faults else system
    if "replace" in faults and turns[0]["role"] == "system" and system is not None:
        turns = turns[1:]
    if turns[0]["role"] != "system" or "twice" in faults:
        wanted = system is not None or "None" in faults
        if wanted and "default" not in faults:
            default = {"role": "system", "content": str(system)}
            turns = [*turns, default] if "before" in faults else [default, *turns]
    if "answers" in faults:
        turns = [turn for turn in turns if turn["role"] != "assistant"]
    start, end = ("" if "start" in faults else "<|im_start|>"), ("" if "end" in faults else "<|im_end|>")
    lines = []
    for turn in turns:
        content = turn["content"].strip() if "strip" in faults else turn["content"]
        between, behind = (" " if "role" in faults else "\n"), ("" if "break" in faults else "\n")
        lines.append(f"{start}{turn['role']}{between}{content}{end}{behind}")
    if "open" not in faults:
        tail = "" if "tail" in faults else "\n"
        lines.append(f"<|im_start|>assistant{tail}{'<|im_end|>' if 'closed' in faults else ''}")
    return "".join(lines)
