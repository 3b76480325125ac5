"""The parts of the corpus: the same from the same seed, and never on both sides of the split."""

import re
from collections import Counter
from itertools import islice
from random import Random

import pytest

from tests.training.corpus.drawn import trained
from training.corpus.document import is_held_out
from training.corpus.draws import Draws
from training.corpus.lookups import lookups
from training.corpus.parts import DRAWN, SHARES, documents, draw, mixture
from training.corpus.stories import draw_story


@pytest.mark.parametrize("part", DRAWN)
def test_the_same_seed_draws_the_same_documents(part):
    first, again, other = (list(islice(documents(part, seed), 50)) for seed in (1, 1, 8))
    assert first == again == trained(part)[:50] != other


@pytest.mark.parametrize("part", DRAWN)
def test_no_held_out_document_is_trained_on(part):
    texts = {document.texts for document in trained(part)}
    kept = list(islice(documents(part, 1, held_out=True), 5))
    assert not texts & {document.texts for document in kept}
    assert all(map(is_held_out, kept)) and not any(map(is_held_out, trained(part)))


def test_the_mixture_keeps_to_the_shares():
    shares, total = {part: SHARES[part] for part in DRAWN}, Counter()
    for document, text in islice(mixture(1, lambda document: "".join(document.texts), shares=shares), 500):
        total[document.part] += len(text)
    for part in DRAWN:
        assert total[part] / total.total() == pytest.approx(SHARES[part] / sum(shares.values()), abs=0.02)
    assert sum(SHARES.values()) == pytest.approx(1)


def test_an_unknown_part_or_language_is_named():
    with pytest.raises(ValueError, match="part must be one of .*'poems'"):
        draw("poems", Random(0))
    with pytest.raises(ValueError, match="language must be one of .*'fr'"):
        draw_story(Draws(Random(0)), "fr")


@pytest.mark.parametrize("part", DRAWN)
def test_texts_are_clean(part):
    marks = r"[{}\[\]\x01-\x03]|(?<!\.)\.\.(?!\.)|,,|。。|，，|。！|(?<!=) [.,!?]|  "
    articles = r"\b[Aa] (?!one\b|uni|use|uku)[aeiou]|\b[Aa]n (?![aeiouAEIOU]|hour|honest)"
    blemish = f"{marks}|{articles}"
    for document in trained(part)[:2000]:
        for text in document.texts:
            found = re.search(blemish, re.sub(r" ?\[/?INST\] ?", "", text))
            assert not found, (found, text)


def test_lookups_are_short_chats_in_both_languages_and_are_not_held_out():
    drawn = list(islice(lookups(4), 200))
    assert all(document.part in ("chat_en", "chat_zh") and not is_held_out(document) for document in drawn)
    texts = [text for document in drawn for text in document.texts]
    assert sum("开头" in text or "begin" in text for text in texts) > 10 and any("<<SYS>>" in text for text in texts)
    assert sum(document.part == "chat_zh" for document in drawn) > 80
