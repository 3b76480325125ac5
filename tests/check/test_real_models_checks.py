"""The judges of the exercises on real models: right answers pass, the answers that learners give are understood."""

import math
from fractions import Fraction

import pytest
import torch

from minillama import check
from minillama.check.chat import messages
from minillama.check.real_models import MISTAKES, _chatml
from minillama.formats.chat_templates import ChatML
from minillama.tokenizer import BaseTokenizer


def right_rows(weight, head_dim):
    heads = weight.view(-1, head_dim, weight.shape[1])  # (n_heads, head_dim, dim)
    return torch.cat([heads[:, 0::2], heads[:, 1::2]], dim=1).reshape(weight.shape)


def rows_by_loop(weight, head_dim):
    order = []
    for first in range(0, len(weight), head_dim):
        order += [*range(first, first + head_dim, 2), *range(first + 1, first + head_dim, 2)]
    return weight[order]


def right_nats(data, logprobs):
    known = [(each, x) for each, x in zip(data, logprobs, strict=True) if x is not None]
    return -sum(x for _, x in known) / sum(len(each) for each, _ in known)


def right_chatml(dialog, system):
    if system is not None and dialog[0]["role"] != "system":
        dialog = [{"role": "system", "content": system}, *dialog]
    turns = [f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in dialog]
    return "".join(turns) + "<|im_start|>assistant\n"


def test_right_answers_pass():
    for report in (
        check.to_halves(right_rows),
        check.to_halves(rows_by_loop),
        check.to_halves(lambda w, d: w.unflatten(0, (-1, d // 2, 2)).transpose(1, 2).flatten(0, 2)),
        check.nats_per_byte(right_nats),
        check.nats_per_byte(lambda data, logprobs: torch.tensor(right_nats(data, logprobs))),
        check.nats_per_byte(lambda data, logprobs: Fraction(right_nats(data, logprobs))),
        check.chatml(right_chatml),
        check.chatml(_chatml),
    ):
        assert report.status == "passed", report


def stub(*_):
    raise NotImplementedError


@pytest.mark.parametrize("judge", [check.to_halves, check.nats_per_byte, check.chatml])
def test_stubs_and_nonsense(judge):
    assert judge(stub).status == "not attempted"
    assert judge(lambda *_: ...).status == "not attempted"
    assert judge("no function").status == "failed"
    assert "return" in judge(lambda *_: None).hint
    assert "IndexError" in judge(lambda *_: [][0]).hint


def in_place(weight, head_dim):
    weight[:] = right_rows(weight, head_dim)
    return weight


ROW_MISTAKES = {
    "nothing": (lambda w, d: w, "Nothing was moved"),
    "the way back": (lambda w, d: w.unflatten(0, (-1, 2, d // 2)).transpose(1, 2).flatten(0, 2), "the way back"),
    "second first": (lambda w, d: right_rows(w, d).unflatten(0, (-1, 2, d // 2)).flip(1).flatten(0, 2), "in front"),
    "columns": (lambda w, d: right_rows(w.T, d).T if w.shape[1] == d else right_rows(w, d), "columns were moved"),
    "columns, in every case": (lambda w, d: torch.cat([w[:, 0::2], w[:, 1::2]], dim=1), "columns were moved"),
    "across the heads": (lambda w, d: torch.cat([w[0::2], w[1::2]]), "across all heads"),
    "8 typed in": (lambda w, d: right_rows(w, 8) if len(w) % 8 == 0 else right_rows(w, d), "heads of 8 rows"),
    "axes left": (lambda w, d: w.unflatten(0, (-1, d // 2, 2)).transpose(1, 2), "axes of their own"),
    "heads left": (lambda w, d: right_rows(w, d).unflatten(0, (-1, d)), "axes of their own"),
    "turned matrix": (lambda w, d: right_rows(w, d).T, "The shape should be (8, 3)"),
    "float": (lambda w, d: right_rows(w, d).float(), "torch.bfloat16"),
    "other numbers": (lambda w, d: right_rows(w, d) + 1, "not the rows that came in"),
    "from behind": (lambda w, d: w.flip(0), "The rows stand in the order\n7 6 5 4"),
    "in place": (in_place, "changed the tensor"),
    "a list": (lambda w, d: right_rows(w, d).tolist(), "A tensor is due"),
}


@pytest.mark.parametrize("name", ROW_MISTAKES)
def test_row_mistakes(name):
    wrong, hint = ROW_MISTAKES[name]
    report = check.to_halves(wrong)
    assert report.status == "failed" and hint in report.hint, report


def known(logprobs):
    return [x for x in logprobs if x is not None]


NAT_MISTAKES = {
    "all bytes": (lambda data, lp: -sum(known(lp)) / sum(map(len, data)), "without a score were counted"),
    "characters": (
        lambda data, lp: (
            right_nats(data, lp) * len(b"".join(data)) / len(b"".join(data).decode())
            if lp[0] is None and not data[0]
            else right_nats(data, lp)
        ),
        "three bytes",
    ),
    "decode each": (lambda data, lp: [each.decode() for each in data] and right_nats(data, lp), "decode fails"),
    "decode with signs": (
        lambda data, lp: (
            -sum(known(lp))
            / sum(len(b.decode(errors="replace")) for b, x in zip(data, lp, strict=True) if x is not None)
        ),
        "a sign of its own",
    ),
    "tokens": (lambda data, lp: -sum(known(lp)) / len(known(lp)), "divided by tokens"),
    "the first left out": (lambda data, lp: right_nats(data[1:], lp[1:]), "though it has a score"),
    "perplexity": (lambda data, lp: math.exp(-sum(known(lp)) / len(known(lp))), "This is the perplexity"),
    "bits for bytes": (lambda data, lp: right_nats(data, lp) / 8, "no 8"),
    "sum of ratios": (
        lambda data, lp: sum(-x / len(b) for b, x in zip(data, lp, strict=True) if b and x is not None),
        "added up the tokens' own",
    ),
    "all tokens": (lambda data, lp: -sum(known(lp)) / len(lp) if None in lp else right_nats(data, lp), "all tokens"),
    "None added": (lambda data, lp: -sum(lp) / sum(map(len, data)), "None is no number"),
    "no minus": (lambda data, lp: -right_nats(data, lp), "minus is missing"),
    "bits": (lambda data, lp: right_nats(data, lp) / math.log(2), "These are bits"),
    "exp": (lambda data, lp: math.exp(right_nats(data, lp)), "exp of it"),
    "sum": (lambda data, lp: -sum(known(lp)), "whole text"),
    "upside down": (lambda data, lp: 1 / right_nats(data, lp), "Turn it round"),
    "mean of ratios": (
        lambda data, lp: (
            sum(-x / len(b) for b, x in zip(data, lp, strict=True) if b and x is not None)
            / sum(bool(b) and x is not None for b, x in zip(data, lp, strict=True))
        ),
        "then divide once",
    ),
    "zero left out": (
        lambda data, lp: -sum(known(lp)) / sum(len(b) for b, x in zip(data, lp, strict=True) if x),
        "the model was certain",
    ),
    "eos left out": (
        lambda data, lp: right_nats([b for b in data if b], [x for b, x in zip(data, lp, strict=True) if b]),
        "counts among the nats",
    ),
    "a list": (lambda data, lp: [right_nats(data, lp)], "A number is due, your function returned list"),
    "changes the list": (lambda data, lp: lp.pop(0) or right_nats(data[1:], lp), "changed the list"),
}


@pytest.mark.parametrize("name", NAT_MISTAKES)
def test_nat_mistakes(name):
    wrong, hint = NAT_MISTAKES[name]
    report = check.nats_per_byte(wrong)
    assert report.status == "failed" and hint in report.hint, report


@pytest.mark.parametrize("fault", MISTAKES)
def test_every_known_mistake_has_its_hint(fault):
    report = check.chatml(lambda dialog, system: _chatml(dialog, system, fault))
    assert report.status == "failed" and report.hint.startswith(MISTAKES[fault])
    assert "due " in report.hint and "yours" in report.hint


def test_two_mistakes_are_both_named():
    report = check.chatml(lambda dialog, system: _chatml(dialog, system, "break", "tail"))
    assert MISTAKES["break"] in report.hint and MISTAKES["tail"] in report.hint


CHATML_MISTAKES = {
    "Llama 2's": (lambda dialog, system: f"[INST] {dialog[-1]['content']} [/INST]", "Llama 2's format"),
    "a list": (lambda dialog, system: [right_chatml(dialog, system)], "join"),
    "the last message only": (lambda dialog, system: right_chatml(dialog[-1:], system), "differ here"),
    "changed": (
        lambda dialog, system: dialog.insert(0, {"role": "system", "content": "x"}) or right_chatml(dialog, system),
        "changed the list",
    ),
}


@pytest.mark.parametrize("name", CHATML_MISTAKES)
def test_chatml_mistakes(name):
    wrong, hint = CHATML_MISTAKES[name]
    report = check.chatml(wrong)
    assert report.status == "failed" and hint in report.hint, report


def test_the_reference_is_the_packages():
    class Spelled(BaseTokenizer):
        """A tokenizer of one id a byte; the two tokens of ChatML have the ids 256 and 257."""

        def encode(self, s, bos, eos):
            return list(s.encode())

    spelled = Spelled([bytes([byte]) for byte in range(256)], space_in_front=False)
    marks = {256: b"<|im_start|>", 257: b"<|im_end|>"}
    for system in (None, "Be kind.\nBe brief."):
        for dialog in (messages(" Hi\n"), messages("你好", "b", "c", system="s")):
            segments = ChatML(256, 257, system).segments(spelled, dialog)
            ids = [i for segment in segments for i in segment.ids]
            assert b"".join(marks.get(i) or bytes([i]) for i in ids).decode() == _chatml(dialog, system)
