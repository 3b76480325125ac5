"""Chats that say a held-out saying are drawn again; the program that draws them would say some of them."""

from collections import Counter
from itertools import islice
from random import Random

import pytest

from tests.training.corpus.drawn import trained
from training.corpus import held_out_sayings, parts, quatrains
from training.corpus.document import Document, is_held_out
from training.corpus.held_out_sayings import folded, load, never_trained, says_held_out, users
from training.corpus.known import load as load_prompts
from training.corpus.lookups import lookups


@pytest.mark.parametrize("part", ["chat_en", "chat_zh"])
def test_the_grammar_would_say_them_and_the_documents_do_not(part):
    rng = Random(3)
    drawn = [parts.draw(part, rng) for _ in range(1500)]
    share = sum(map(says_held_out, drawn)) / len(drawn)
    assert 0 < share < 0.15  # so that the test can fail, and little is drawn in vain
    assert not any(map(says_held_out, trained(part)))
    assert not any(map(says_held_out, islice(parts.documents(part, 2, held_out=True), 10)))


@pytest.mark.parametrize("part", ["chat_en", "chat_zh"])
def test_whatever_is_held_out_is_passed_over(part, monkeypatch):
    said = Counter(folded(text) for document in trained(part) for text in users(document))
    often = frozenset(text for text, _ in said.most_common(5))
    monkeypatch.setattr(held_out_sayings, "folded_secrets", lambda: often)
    for held_out in (False, True):
        for document in islice(parts.documents(part, 1, held_out), 20 if held_out else 600):
            assert not often & {folded(text) for text in users(document)} and is_held_out(document) == held_out
    for document in islice(parts.documents(part, 1, long=True), 100):
        assert not often & {folded(text) for text in users(document)}


def test_lookups_and_requests_for_poems_pass_them_over_too(monkeypatch):
    asked = [text for document in islice(lookups(1), 100) for text in users(document)]
    once = frozenset({folded(asked[0]), folded("写一首诗")})
    monkeypatch.setattr(held_out_sayings, "folded_secrets", lambda: once)
    assert not any(map(says_held_out, islice(lookups(1), 100)))
    poems = [
        Document("quatrains", (f"[INST] {text} [/INST] 诗 ",)) for text in ("写一首诗", "写一首绝句。", "请作一首诗。")
    ]
    monkeypatch.setattr(quatrains, "documents", lambda seed, held_out: iter(poems))
    assert list(islice(parts.documents("quatrains", 1), 2)) == poems[1:]


def test_a_turn_with_a_system_text_counts_by_what_the_user_says():
    secret = min(never_trained())
    for text in (f"[INST] <<SYS>>\nBe\nkind.\n<</SYS>>\n\n{secret} [/INST] Yes. ", f"[INST] {secret} [/INST]"):
        assert users(Document("chat_en", ("[INST] Go on. [/INST] Yes. ", text))) == ["Go on.", secret]
    assert not says_held_out(Document("chat_en", (f"[INST] Say: {secret} [/INST] {secret} ",)))


def test_no_prompt_with_known_probabilities_is_a_saying():
    texts = {folded(entry["text"]) for entry in load()}
    said = {folded(said) for prompt in load_prompts() for option in prompt.options
            for said in users(Document("known", prompt.texts(option, option.endings[0])))}  # fmt: skip
    assert not texts & said
