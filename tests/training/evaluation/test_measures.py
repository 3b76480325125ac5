"""The measures on a small random model."""

import math
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F

from tests.training.conftest import TEXTS
from training.corpus import known
from training.corpus.document import Document
from training.evaluation import measures
from training.evaluation.measures import Figure, Row, Sample

FACES = known.read_prompt(
    {
        "id": "coin",
        "lang": "en",
        "kind": "text",
        "prompt": "Once upon a",
        "options": [{"text": " time", "probability": 0.75}, {"text": " cat", "probability": 0.25}],
    }
)


class Question(NamedTuple):
    dialog: list
    accepts: object
    language: str


def stories():
    return (Document("stories", (text,), -3.0) for text in TEXTS * 10)


def test_a_figure_knows_its_limit():
    assert Figure("", 0.95, 0.95, at_least=True).met and not Figure("", 0.949, 0.95, at_least=True).met
    assert Figure("", 0.01, 0.01, at_least=False).met and not Figure("", 0.011, 0.01, at_least=False).met
    assert Figure("en", 0.9512, 0.95, at_least=True).shown() == "en 95.1%"
    assert Figure("", 0.0312, 0.03, at_least=False, percent=False).shown() == "0.031"
    assert Figure("", 0.0312, 0.03, at_least=False, percent=False).required() == "≤ 0.03"
    assert Figure("", 0.02, 0.015, at_least=False, percent=False).required() == "≤ 0.015"


def test_the_next_probabilities_are_those_of_a_plain_forward(bench):
    ids = bench.llama.tokenizer.encode(TEXTS[0], bos=True, eos=False)
    logits = bench.llama.model(torch.tensor([ids]), 0)[0, -1]
    torch.testing.assert_close(measures.next_probs(bench.llama, ids), torch.softmax(logits, -1))


@pytest.mark.parametrize(
    "time, cat, elsewhere, largest, variation",
    [(0.75, 0.25, 0.0, 0.0, 0.0), (0.7, 0.3, 0.0, 0.05, 0.05), (0.75, 0.15, 0.1, 0.1, 0.1), (0.7, 0.2, 0.1, 0.1, 0.1)],
)
def test_known_probabilities_count_what_lies_elsewhere(bench, monkeypatch, time, cat, elsewhere, largest, variation):
    probs = torch.zeros(bench.llama.tokenizer.n_words, dtype=torch.float64)
    probs[FACES.next_ids(bench.llama.tokenizer)] = torch.tensor([time, cat], dtype=torch.float64)
    probs[0] = elsewhere
    monkeypatch.setattr(measures, "next_probs", lambda llama, ids: probs)
    row = measures.known_probabilities(bench, [FACES])
    assert [figure.value for figure in row.figures] == pytest.approx([largest, variation])
    assert row.met is (largest <= 0.02)


def test_questions_are_judged_and_counted_by_language(bench):
    asked = [
        Question([{"role": "user", "content": "a" * k}], lambda text, k=k: k % 3 == 0, "zh" if k > 3 else "en")
        for k in range(1, 7)
    ]
    row = measures.questions(bench, "memory", "memory", asked)
    assert [(figure.label, figure.value) for figure in row.figures] == [("en", 1 / 3), ("zh", 1 / 3)]
    assert [sample.asked for sample in row.samples] == ["a" * k for k in range(1, 7)]
    with pytest.raises(ValueError, match="at least one question"):
        measures.questions(bench, "memory", "memory", [])


def test_what_is_known_and_refused_is_counted():
    rows = [
        Row("facts", "facts", 3, "greedy", [], [Sample("a", text, True, "en") for text in ("Yes.", "Red.", "No.")]),
        Row("sums", "sums", 1, "greedy", [], [Sample("1 + 1", "I don't know.", False, "en")]),
    ]
    row = measures.refused(rows)
    assert (row.figures[0].value, row.n, row.met) == (0.25, 4, False)
    assert [sample.asked for sample in row.samples if not sample.right] == ["1 + 1"]
    assert measures.refused(rows[:1]).met


def test_answers_do_not_depend_on_the_batch(bench):
    dialogs = [[{"role": "user", "content": text}] for text in ("a", "Once upon a time", "cat", "dog", "从前")]
    one = measures.answers(bench, dialogs, 12, "one", {"temperature": 1.0, "top_p": 1.0})
    assert one == measures.answers(bench._replace(batch=1), dialogs, 12, "each", {"temperature": 1.0, "top_p": 1.0})


def test_the_excess_is_the_loss_less_the_sources_own(bench):
    tokenizer, model = bench.llama.tokenizer, bench.llama.model
    row = measures.excess_loss(bench._replace(n=4), {"stories": stories(), "poems": [Document("poems", ("a",), None)]})
    total, n = 0.0, 0
    for text in TEXTS:
        ids = torch.tensor(tokenizer.encode(text, bos=True, eos=True))
        total += F.cross_entropy(model(ids[None, :-1], 0)[0], ids[1:], reduction="sum").item() - 3.0
        n += len(ids) - 1
    assert [figure.label for figure in row.figures] == ["stories"]
    assert row.figures[0].value == pytest.approx(total / n, rel=1e-4)


def test_a_chat_that_goes_on_is_not_charged_for_its_next_bos(bench):
    nats, n = measures.losses(bench, [Document("chat", ("a", "b"), -1.0)], "chat")
    ids = [i for text in "ab" for i in bench.llama.tokenizer.encode(text, bos=True, eos=True)]
    assert n == len(ids) - 2 and math.isfinite(nats)


def test_documents_beyond_the_context_are_passed_over_and_no_probability_is_an_error(bench):
    long = Document("stories", ("cat " * 60,), -1.0)
    assert measures.excess_loss(bench, {"stories": [long, *list(stories())[:2]]}).n == 2
    with pytest.raises(ValueError, match="logprob is None in all"):
        measures.excess_loss(bench, {"poems": [Document("poems", ("a",), None)]})


def test_poems_are_judged_by_form_and_character(bench, monkeypatch):
    poem = "白日依山尽，\n黄河入海流。\n欲穷千里目，\n更上一层楼。"
    monkeypatch.setattr(measures, "answers", lambda *_: [poem] * 125)
    row = measures.poems(bench._replace(n=125))
    form, character = (figure.value for figure in row.figures)
    assert 0.6 < form < 0.9 and character == 5 / 125  # of the nouns it has 日 山 河 海 楼
