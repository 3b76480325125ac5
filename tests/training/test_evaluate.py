"""How answers are judged, and that what is asked was never trained on."""

from itertools import islice

import pytest

from training.chats import PEOPLE
from training.corpus import chat_texts, documents
from training.evaluate import Case, groups, is_right, keeps_hero


@pytest.mark.parametrize(
    "expect, want, answer, right",
    [
        ("contains", "blue", "The sky is blue.", True),
        ("contains", "blue", "The sky is red.", False),
        ("capitals", "Rome", "THE CAPITAL OF ITALY IS ROME.", True),
        ("capitals", "Rome", "The capital of Italy is ROME.", False),
        ("capitals", "", "", False),
        ("exactly", "Rome", "Rome.", True),
        ("exactly", "Rome", "It is Rome.", False),
        ("ends", "lemon", "The sky is blue. Lemon!", True),
        ("ends", "lemon", "Lemon!", False),
        ("ends", "lemon", "Lemon! The sky is blue.", False),
        ("unknown", "", "I am sorry, I don't know that.", True),
        ("unknown", "", "It is Monday.", False),
    ],
)
def test_answers_are_judged(expect, want, answer, right):
    assert is_right(Case([], expect, want), answer) is right


def test_every_group_has_cases_and_every_case_can_be_judged():
    for name, cases in groups().items():
        assert len(cases) >= 8, name
        for case in cases:
            assert case.dialog[-1]["role"] == "user"
            assert "{" not in str([message["content"] for message in case.dialog])
            is_right(case, "An answer.")


def test_no_question_was_trained_on_as_it_stands():
    trained = {text for document in islice(documents("chat", 1), 6_000) for text in document.texts[-1:]}
    openings = {text.split("[/INST]")[0] for text in trained}
    memory = PEOPLE["held_out"] + ["you know", "and yours", "Of all", "his name", "her name", "By the way", "I love it"]
    for cases in groups().values():
        for case in cases:
            told = " ".join(message["content"] for message in case.dialog)
            if len(case.dialog) > 2 or any(x in told for x in [*memory, *PEOPLE["held_out_words"]]):
                continue
            asked = chat_texts(case.dialog)[0].split("[/INST]")[0]
            assert asked not in openings


def test_the_hero_is_looked_for_in_the_second_half():
    assert keeps_hero("Once there was a girl named Mia. She was sad. Then Mia laughed.")
    assert not keeps_hero("Once there was a girl named Mia. She was sad. Then Tom laughed.")
