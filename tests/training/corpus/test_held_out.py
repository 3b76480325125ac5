"""Questions that are never trained on, and their judges."""

import pytest

from tests.training.corpus.drawn import trained
from training.corpus import held_out
from training.corpus.chats import dialog_of
from training.corpus.document import chat_texts
from training.corpus.parts import DRAWN
from training.corpus.tables import LANGUAGES

SETS = ["held_out_memory_dialogs", "held_out_system_dialogs", "held_out_requests", "held_out_facts"]


@pytest.mark.parametrize("draw_set", SETS)
def test_held_out_questions_are_never_trained_on(draw_set):
    contexts = {
        prefix(document.texts, k) for part in DRAWN for document in trained(part) for k in range(len(document.texts))
    }
    asked = getattr(held_out, draw_set)(120, 3)
    assert asked == asked and len({repr(question.dialog) for question in asked}) == 120
    assert {question.language for question in asked} == set(LANGUAGES)
    for question in asked:
        texts = tuple(chat_texts(question.dialog))
        assert prefix(texts, len(texts) - 1) not in contexts, question.dialog
    assert [q.dialog for q in asked[:10]] == [q.dialog for q in getattr(held_out, draw_set)(120, 3)[:10]]


def prefix(texts: tuple[str, ...], k: int) -> tuple[str, ...]:
    """The first k pairs, and the question of the next one."""
    return (*texts[:k], texts[k].split("[/INST]")[0])


def test_a_fact_that_is_held_out_is_asked_nowhere():
    asked = {question.dialog[-1]["content"] for question in held_out.held_out_facts(200, 4)}
    for part in ("chat_en", "chat_zh"):
        for document in trained(part):
            for text in document.texts:
                user = text.split("[INST] ")[1].split(" [/INST]")[0].split("<</SYS>>\n\n")[-1]
                assert user not in asked


@pytest.mark.parametrize("draw_set, bad", [
    ("held_out_memory_dialogs", "I don't know."),
    ("held_out_system_dialogs", "maybe"),
    ("held_out_requests", "Once upon a time, there was nobody."),
    ("held_out_facts", "I like you."),
    ("sums", "I have 21."),
    ("held_out_unknown", "It is sunny, and Spain has won."),
])  # fmt: skip
def test_judges_refuse_what_is_wrong(draw_set, bad):
    for question in getattr(held_out, draw_set)(60, 5):
        assert not question.accepts(bad), question


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("secret", ["names", "systems"])
def test_judges_accept_what_the_corpus_says(language, secret, monkeypatch):
    said = []
    monkeypatch.setattr(held_out, "dialog_of", lambda text: said.append(dialog_of(text)) or said[-1])
    draw_set = {"names": held_out.held_out_memory_dialogs, "systems": held_out.held_out_system_dialogs}[secret]
    answers = {repr(question.dialog): question for question in draw_set(200, 9)}
    seen = [(answers[repr(dialog[:-1])], dialog[-1]["content"]) for dialog in said if repr(dialog[:-1]) in answers]
    assert len(seen) >= 200
    for question, answer in seen:
        assert question.language != language or question.accepts(answer), (question, answer)


def test_all_sums_are_asked_once_and_in_wordings_that_training_never_has_if_there_are_any():
    asked = held_out.sums(10_000, 1)
    for language in LANGUAGES:
        dialogs = [question.dialog[0]["content"] for question in asked if question.language == language]
        assert len(dialogs) == 2 * 231
        ways = held_out.sums_of(language)
        assert len(ways) == 2 * 231 and (True, 0, 20) in ways and (False, 20, 20) in ways
        assert len(secret_wordings(language).intersection(dialogs)) > 150
    assert len(held_out.sums(30, 1)) == 30 and held_out.sums(30, 1)[0].dialog == asked[0].dialog
    nines = [question for question in asked if question.accepts("9")]
    assert len(nines) == 2 * (10 + 12)  # 0 + 9 to 9 + 0, and 9 - 0 to 20 - 11


def secret_wordings(language):
    return {
        held_out.filled(ask, held_out.Slots(**row))
        for ways in held_out.sums_of(language).values()
        for row, ask in ways
        if held_out.is_secret_row(row, ask)
    }


def test_who_cannot_know_admits_it_and_no_document_to_train_on_may_ask():
    asked = held_out.held_out_unknown(200, 2)
    assert all(question.accepts("I don't know.") and question.accepts("我不知道。") for question in asked)
    for question in asked:
        texts = chat_texts([*question.dialog, {"role": "assistant", "content": "I don't know."}])
        system = {"role": "system", "content": "Be nice."}
        assert held_out.asks_held_out(texts) and held_out.asks_held_out(["[INST] Hi [/INST] Hello! ", *texts])
        assert held_out.asks_held_out(chat_texts([system, *question.dialog, {"role": "assistant", "content": "a"}]))
    for text in (*held_out.ALWAYS_ASKED, "What is 3 + 4?", "Hello!", "What is the capital of France?"):
        assert not held_out.asks_held_out([f"[INST] {text} [/INST] a "])
    dropped = [held_out.asks_held_out(document.texts) for part in ("chat_en", "chat_zh") for document in trained(part)]
    assert sum(dropped) < 0.03 * len(dropped)
