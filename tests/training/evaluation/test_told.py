"""The measures of stories on a small random model."""

import pytest

from tests.training.conftest import TEXTS
from training.corpus.document import Document
from training.evaluation import told


def stories():
    return (Document("stories", (text,), -3.0) for text in TEXTS * 10)


def test_stories_begin_as_held_out_ones_and_one_that_is_cut_has_not_ended(bench, monkeypatch):
    monkeypatch.setattr(told, "STORY_LENGTH", 5)
    made = told.begun(bench, stories(), 6, {"temperature": 1.0, "top_p": 1.0}, "stories")
    assert len(made) == 6 and not any(ended for _, ended, _ in made[:2])
    assert made[0][0].startswith("Once") and made[2][0].startswith("从")
    monkeypatch.setattr(bench.llama, "generate", lambda prompts, *_, **__: ([[*p, 5, 5] for p in prompts], None))
    assert all(ended for _, ended, _ in told.begun(bench, stories(), 6, {}, "stories"))
    rows = told.stories(
        bench,
        stories(),
        lambda text, language: [] if text.startswith("Once") else [f"no {language}", "nothing"],
        lambda text, language: [],
    )
    assert [row.key for row in rows] == ["ends", "kept", "plot"] and [row.met for row in rows] == [True, False, True]
    assert {sample.asked for sample in rows[1].samples} == {"", "no zh; nothing"}
    with pytest.raises(ValueError, match="expected held-out stories"):
        told.begun(bench, [], 6, {}, "stories")


def test_variety_counts_doubles_and_copies(bench, monkeypatch):
    texts = ["new", "new", TEXTS[0], "other"]
    monkeypatch.setattr(told, "begun", lambda *_: [(text, True, "en") for text in texts])
    row = told.variety(bench, stories(), stories())
    assert [figure.value for figure in row.figures] == [0.75, 0.25] and not row.met
