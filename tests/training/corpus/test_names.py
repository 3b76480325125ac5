"""Names: thousands, and the held-out ones occur nowhere."""

import re

import pytest

from tests.training.corpus.drawn import trained
from training.corpus import names as source
from training.corpus.names import names, words_said
from training.corpus.parts import DRAWN
from training.corpus.tables import LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_thousands_of_names_and_the_held_out_ones_are_never_told(language):
    told, new = (set(names(language, secret).column("name").items) for secret in (False, True))
    assert len(told) >= 5_000 and len(new) >= 200 and not told & new
    texts = "\n".join(text for part in DRAWN for document in trained(part) for text in document.texts).lower()
    if language == "zh":
        runs = set(re.findall("[一-鿿]{2,}", texts))
        seen = {run[i : i + n] for run in runs for n in (2, 3) for i in range(len(run))}
    else:
        seen = set(re.findall(r"\w+", " ".join(set(texts.split()))))
    assert not seen & set(map(str.lower, new))


@pytest.mark.parametrize("language, name", [("en", "zaza"), ("zh", "鑫鑫")])
def test_a_word_in_a_data_file_bars_a_name_and_a_comment_does_not(monkeypatch, language, name):
    read = source.read
    monkeypatch.setattr(source, "read", lambda path: f"# {name}\n{read(path)}\nx = 1  # {name}\n")
    assert name not in words_said(language)
    monkeypatch.setattr(source, "read", lambda path: f"{read(path)}\nx = '{name}'\n")
    assert name in words_said(language)
