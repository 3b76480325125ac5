"""Questions: no wording belongs to two of them."""

from collections import Counter

import pytest

from training.corpus.questions import items, questions
from training.corpus.tables import LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_question_has_two_items(language):
    for kinds in [(), ("hello",), ("thanks", "bye"), ("en>zh", "zh>zh"), ("zh>en", "en>en")]:
        asks = Counter(ask for _, ask in questions(language, kinds, False, "", frozenset()).items if "{" not in ask)
        assert not asks or max(asks.values()) == 1, asks.most_common(1)
    for item in items(language):
        assert len(item.ask) == len(set(item.ask)) and len(item.answer) > 0
