"""Checks of the exercises on real models: rows of wq and wk, nats per byte, ChatML."""

import math  # noqa: F401  (wrong functions call it)

import torch

from minillama.check.chat import messages
from minillama.check.exercise import exercise, swap, swaps


def right_to_halves(weight, head_dim):
    """f(weight (n_heads * head_dim, dim), head_dim): the rows in Hugging Face's order, the shape kept."""
    heads = weight.unflatten(0, (-1, head_dim))
    return torch.cat([heads[:, ::2], heads[:, 1::2]], dim=1).flatten(0, 1)


def rows(n_heads: int, head_dim: int, dim: int, dtype: torch.dtype = torch.float32) -> tuple:
    """A weight whose numbers tell their row: row 7 begins with 7, and goes on in steps of 1/16."""
    return (torch.arange(n_heads * head_dim)[:, None] + torch.arange(dim) / 16).to(dtype), head_dim


_EVEN, _ODD, _HEAD, _FLAT = "heads[:, ::2]", "heads[:, 1::2]", "(-1, head_dim)", ".flatten(0, 1)"
to_halves = exercise(
    right_to_halves,
    cases={
        "three heads of 6 rows, 12 columns": rows(3, 6, 12),
        "one head of 8 rows, 3 columns": rows(1, 8, 3),
        "one head of 6 rows, 6 columns": rows(1, 6, 6),
        "two heads of 12 rows, in bfloat16": rows(2, 12, 4, torch.bfloat16),
        "five heads of 4 rows, in float64": rows(5, 4, 3, torch.float64),
        "four heads of 2 rows: nothing to move": rows(4, 2, 7),
    },
    mistakes={
        "Nothing was moved. In each head rows 0, 2, 4 … come first, then 1, 3, 5 ….":
            [lambda w, d: w, swap("1).flatten(0, 1)", "2).reshape(weight.shape)")],
        "That is the way back. Here the rows 0, 2, 4 … of a head come to its front.":
            lambda w, d: w.unflatten(0, (-1, 2, d // 2)).transpose(1, 2).flatten(0, 2),
        "Rows 0, 2, 4 … come first, not 1, 3, 5 ….": swap(_EVEN, _ODD, _ODD, _EVEN),
        "The columns were moved. Move the rows: axis 0.":
            [lambda w, d: torch.cat([w[:, 0::2], w[:, 1::2]], dim=1), lambda w, d: right_to_halves(w.T, d).T],
        "Rows of different heads were mixed: each head keeps its rows and its place.":
            [lambda w, d: torch.cat([w[0::2], w[1::2]]), *swaps("dim=1)", "dim=0)", "dim=1).transpose(0, 1)"),
             lambda w, d: w.unflatten(0, (-1, d // 2, 2)).transpose(0, 1).flatten(0, 2)],
        "A head was cut in its middle. Take every second row: 0::2 and 1::2.":
            [swap(_EVEN, x + "heads[:, head_dim // 2 :]", _ODD, "heads[:, : head_dim // 2]") for x in ("", "-")],
        "There are weight.shape[0] // head_dim heads of head_dim rows: unflatten(0, (-1, head_dim)).": [
            *swaps(_HEAD, *(f"(-1, {n})" for n in (8, 6, 4, 12, "head_dim // 2")), "(head_dim, -1)", "(4, head_dim)",
                "(weight.shape[1] // head_dim, head_dim)"),
            lambda w, d: right_to_halves(w.view(4, d, -1).flatten(0, 1), d).view(w.shape),
            lambda w, d: right_to_halves(w.view(w.shape[1] // d, d, w.shape[1]).flatten(0, 1), d)],
        "The heads are still an axis of their own: flatten(0, 1).":
            [swap(_FLAT, ""), lambda w, d: w.unflatten(0, (-1, d // 2, 2)).transpose(1, 2)],
        "Half of the rows is lost: 0, 2, 4 … come first, then 1, 3, 5 ….":
            [swap(f", {_ODD}", ""), swap(f"{_EVEN}, ", ""), swap(_ODD, _EVEN), swap(_EVEN, _ODD)],
    },
    tolerance=0.0,
)  # fmt: skip


def right_nats_per_byte(token_bytes, logprobs):
    """f(token_bytes, logprobs): minus the sum of the known log-probabilities, by the bytes of their tokens."""
    known = [(data, x) for data, x in zip(token_bytes, logprobs, strict=True) if x is not None]
    nats, n_bytes = -sum(x for _, x in known), sum(len(data) for data, _ in known)
    return nats / n_bytes


def tokens(*pairs: tuple[bytes, float | None]) -> tuple:
    return tuple(map(list, zip(*pairs, strict=True)))


_END, _LEN, _SUM = "nats / n_bytes", "len(data)", "sum(len(data) for data, _ in known)"
_PPL, _RATIOS = "nats / len(known)", "sum(-x / len(data) for data, x in known if data)"
nats_per_byte = exercise(
    right_nats_per_byte,
    cases={
        "three tokens of plain letters": tokens((b"Once", -2.0), (b" upon", -0.5), (b" a", -0.25)),
        "an echo: <s> has no bytes and no score": tokens((b"", None), (b" The", -3.0), (b" cat", -1.5)),
        "no <s>: the first token has bytes, but no score": tokens((b"Once", None), (b" upon", -0.5), (b" a", -1.0)),
        "parts of a character": tokens((b"", None), ("小".encode(), -1.5), (b"\xe7", -0.25), (b"\x8c\xab", -1.0)),
        "a certain token, and eos after it": tokens((b"", None), (b"Hi", 0.0), (b" Thomas", -4.0), (b"", -0.75)),
        "no score in the middle": tokens((b"A", -1.0), (b" blue", None), (b" cat", -2.0), (b"s", -0.125)),
        "the same token three times": tokens((b"", None), (b" no", -3.0), (b" no", -1.0), (b" no", -0.5)),
    },
    mistakes={
        "Leave out a token that has no score, and its bytes too.":
            [swap("data, _ in known", "data in token_bytes"), swap(" if x is not None", "")],
        "Count bytes, len(data), not characters: a token may be a part of one.":
            swaps(_SUM, "len(b''.join(data for data, _ in known).decode())", *(_SUM.replace(
                "data)", f"data.decode({x}))") for x in ("", "errors='replace'", "errors='ignore'"))),
        "Divide by bytes. Another tokenizer has other tokens.": swaps(_SUM, "len(known)", "len(logprobs)"),
        "The minus is missing: nats are never below 0.": swap("-sum", "sum"),
        "Nats and bytes are asked for, not bits: no log(2) and no 8.":
            swaps(_END, f"{_END} / math.log(2)", f"{_END} * math.log(2)", f"{_END} / 8"),
        "Leave exp out: nats are logarithms.":
            [swap("m(x", "m(math.exp(x)"), *(swap(_END, f"math.exp({x})") for x in (_END, f"-{_END}", _PPL))],
        "These are the nats of the whole text. Divide by the bytes.": swap(_END, "nats"),
        "Divide nats by bytes, not bytes by nats.": swap(_END, "n_bytes / nats"),
        "Add all nats, add all bytes, then divide once.":
            swaps(_END, _RATIOS, f"{_RATIOS} / sum(data > b'' for data, _ in known)", f"{_RATIOS[:-9]}) / len(known)"),
        "0.0 is a log-probability too. Test `is not None`.": swap("if x is not None", "if x"),
        "A score counts even if its token has no bytes.": swap("is not None", "is not None and data"),
        "A score may be None at any place, or at none: test each.": [
            lambda data, xs: right_nats_per_byte(data[1:], xs[1:]),
            lambda data, xs: -sum(xs[1:]) / len(b"".join(data[1:])),
            lambda data, xs: -sum(xs[xs[0] is None :]) / len(b"".join(data[xs[0] is None :]))],
        "Do not round, and divide with /.": swaps(_END, "nats // n_bytes", *(f"round({_END}, {n})" for n in (1, 2, 3))),
        "A score belongs to the token at the same place.": [swap("logprobs,", "[*logprobs[1:], None],"),
            swap("logprobs, strict=True", "[x for x in logprobs if x is not None]")],
    },
)  # fmt: skip


def right_chatml(dialog, system):
    """f(dialog, system): the text of a dialog in ChatML, ready to be answered; `system` is the default."""
    if system is not None and dialog[0]["role"] != "system":
        dialog = [{"role": "system", "content": system}, *dialog]
    turns = [f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in dialog]
    return "".join(turns) + "<|im_start|>assistant\n"


_TAIL, _OWN, _IF = r'"<|im_start|>assistant\n"', ' and dialog[0]["role"] != "system"', "system is not None"
_FIRST = '[{"role": "system", "content": system}, *dialog]'
chatml = exercise(
    right_chatml,
    cases={
        "one question, no default": (messages("Hi"), None),
        "one question, with a default": (messages("Hi"), "Be kind."),
        "a longer talk": (messages("Hi", "Hello!", "Bye", "See you.", "Wait"), "Be kind."),
        "a system message of its own": (messages("Hi", "Hello!", "Bye", system="Be brief."), "Be kind."),
        "its own, and no default": (messages("Hi", system="Be brief."), None),
        "spaces around the contents": (messages(" Hi\n", " Hello! ", "\tBye ", system=" Be \n"), None),
        "Chinese, and a default of two lines": (messages("你好"), " Be kind.\nBe brief. "),
        "a default that is empty": (messages("Hi"), ""),
    },
    mistakes={
        "The end should be <|im_start|>assistant and a line break.":
            [swap(f" + {_TAIL}", ""), *swaps(_TAIL, r'"<|im_start|>user\n"', r'"assistant\n"')],
        "The answer's place stays open: no <|im_end|> at the very end.":
            swaps(r"assistant\n", r"assistant\n<|im_end|>", r"assistant\n<|im_end|>\n", r"assistant<|im_end|>\n"),
        "Put one line break after the last 'assistant'.": swaps(r"nt\n", "nt", "nt ", r"nt\n\n", r"nt:\n"),
        "Put one line break after every <|im_end|>.": [
            *swaps(r"end|>\n", "end|>", "end|> ", r"end|>\n\n"),
            swap(r"end|>\n", "end|>", '"".join', r'"\n".join'), swap(r"end|>\n", "end|>", r"nt\n", "nt")],
        "<|im_end|> follows the content directly.": swaps("<|im_end|>", r"\n<|im_end|>", " <|im_end|>"),
        "Put one line break between a role and its content.": swaps(r"]}\n{", "]} {", "]}{", "]}: {", r"]}\n\n{"),
        "Every message begins with <|im_start|> and ends with <|im_end|>.":
            [swap("<|im_start|>{", "{"), *swaps("<|im_end|>", "", "</s>", "<|im_start|>")],
        "Contents are written as they are: no strip.": swaps("nt']", *(f"nt'].{x}strip()" for x in ("", "l", "r"))),
        "`system` is an empty text here, not None: it is written too.": swap(_IF, "system"),
        "The dialog has a system message of its own: it stays, and `system` is not written.":
            [swap(_OWN, ""), swap(_OWN, "", "*dialog", "*(t for t in dialog if t['role'] != 'system')")],
        "`system` is None: no system message is written then.":
            [swap(_IF, "True", "system}", f"{x}}}") for x in (
                "str(system)", "system or ''", "'' + system", "system or 'You are a helpful assistant.'")],
        "Every message keeps its own role, and the default's is system.":
            [swap("{turn['role']}", "user"), swap('"role": "system", ', '"role": "user", ')],
        "`system` is the first message, if the dialog has no system message.":
            swaps(_FIRST, "dialog", f"[*dialog, {_FIRST[1:-10]}]", f"[dialog[0], {_FIRST[1:-10]}, *dialog[1:]]"),
        "Messages are missing, or not in order. Write all of the dialog, the assistant's answers too.":
            [lambda d, s: right_chatml(d[-1:], s), *swaps("in dialog]", *(f"in dialog{x}]" for x in ("[1:]", "[::-1]",
                " if turn['role'] == 'user'", " if turn['role'] != 'system'", " if turn['role'] != 'assistant'")))],
        "Nothing comes before the first <|im_start|>.": swaps('"".join', r'"\n" + "".join', '"<s>" + "".join'),
    },
)  # fmt: skip
