"""Plain beginnings: what fits is told from what does not, and the judges take what the corpus says."""

import pytest

from tests.training.corpus.drawn import trained
from training.corpus.prose import held_out_beginnings, prose_of
from training.corpus.tables import is_secret
from training.evaluation import beginnings as source
from training.evaluation.beginnings import Beginning, beginnings, has_tag, loops, plain_beginnings

NEED = Beginning("We need", "en", "shopping", ("milk", "eggs"), excludes=("Once upon a time",))
ASK = Beginning("请问今天", "zh", "question", ("星期", "天气"))

PROMISED = {"The weather today is", "One day, I like", "Hello, my name is", "今天天气", "从前有座山", "请问今天"}


def test_there_are_sixty_beginnings_half_in_each_language_and_about_half_are_held_out():
    found = beginnings()
    assert len(found) == 60 and len({one.text for one in found}) == 60
    assert sum(one.lang == "zh" for one in found) == 30
    assert held_out_beginnings() == {
        one.text for one in found if is_secret("beginning", one.text, one_in=2) and one.text not in PROMISED
    }
    for lang in ("en", "zh"):
        assert 10 <= sum(one.text in held_out_beginnings() for one in found if one.lang == lang) <= 18


@pytest.mark.parametrize(
    "said, fault",
    [
        (" milk, bread and two eggs.", None),
        (" milk. [INST] Hello [/INST]", "a chat tag"),
        (" milk.\nUser: hello.", "a chat tag"),
        (" milk", "no end"),
        (" stars and clouds.", "not about it"),
        (" milk. 我要牛奶。", "the other language"),
        (" milk and milk and milk and milk and milk and milk and milk.", "a loop"),
        (" milk. Once upon a time, there was a cow.", "should not say"),
        ("", "almost nothing"),
    ],
)
def test_an_english_continuation_is_judged(said, fault):
    found = NEED.faults(said)
    assert found == [] if fault is None else any(fault in one for one in found)


@pytest.mark.parametrize(
    "said, fault",
    [
        ("星期几？今天星期三。", None),
        ("星期几", "no end"),
        ("有点儿冷。", "not about it"),
        ("星期几。助手：你好。", "a chat tag"),
        ("is Monday 星期.", "the other language"),
        ("星期一，今天是星期一，今天是星期一，今天是星期一。", "a loop"),
    ],
)
def test_a_chinese_continuation_is_judged(said, fault):
    found = ASK.faults(said)
    assert found == [] if fault is None else any(fault in one for one in found)


def test_a_letter_may_end_with_a_name_and_other_texts_may_not():
    letter = Beginning("Dear Tom,", "en", "letter", ("thank",))
    assert letter.faults(" thank you for your letter. Love, Zoe") == []
    assert letter._replace(kind="day").faults(" thank you for your letter. Love, Zoe") == ["no end of a sentence"]


def test_a_regex_may_judge_instead_of_words():
    assert Beginning("One,", "en", "counting", regex=r"\btwo\b.*three").is_about(" two, three.")
    assert not Beginning("One,", "en", "counting", regex=r"\btwo\b.*three").is_about(" three, two.")


def test_a_tag_is_none_inside_a_sentence():
    assert has_tag("[INST]") and has_tag("<<SYS>>") and has_tag("Good.\nAssistant: yes") and has_tag("好。用户：你好")
    assert not has_tag('She said: "The user is late."') and not has_tag("小明问：“几点了？”")
    assert not loops("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.", "en")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_judges_accept_what_the_corpus_says_after_a_beginning(language):
    """A beginning that is trained on, and the text of the corpus that begins with it."""
    judged = 0
    for one in beginnings():
        if one.lang == language and one.text not in held_out_beginnings():
            texts = [document.texts[0] for document in trained(f"prose_{language}")]
            for text in [text for text in texts if text.startswith(one.text)][:60]:
                assert one.faults(text[len(one.text) :]) == [], text
                judged += 1
    assert judged > 100


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_trained_beginning_is_one_that_the_corpus_has(language):
    begins = [beginning.text for beginning in prose_of(language).beginnings.items]
    for one in beginnings():
        if one.lang == language and one.text not in held_out_beginnings():
            said = one.text.replace("Tom,", "{friend},").replace("小猫", "{animal}")
            assert any(begin.startswith(said) or said.startswith(begin) for begin in begins), one.text


def test_the_row_counts_tags_and_faults(bench, monkeypatch):
    asked = (NEED, ASK, NEED._replace(text="I need"), ASK._replace(text="请问"))
    monkeypatch.setattr(source, "beginnings", lambda: asked)
    said = {"We need": " milk.", "请问今天": "[INST] 天气", "I need": " clouds.", "请问": "星期几？"}
    monkeypatch.setattr(source, "continuations", lambda bench, texts: [said[text] for text in texts])
    row = plain_beginnings(bench)
    assert [(figure.label, figure.value) for figure in row.figures] == [("without a tag", 0.75), ("fitting", 0.5)]
    assert [sample.right for sample in row.samples] == [True, False, False, True] and not row.met
    assert "not about it" in row.samples[2].asked


def test_the_model_goes_on_in_the_order_of_the_beginnings(bench, monkeypatch):
    monkeypatch.setattr(source, "LENGTH", 8)
    texts = ["Once upon a", "从前", "a", "cat dog", "b"]
    found = source.continuations(bench, texts)
    each = [bench.llama.text_completion([text], max_gen_len=8, temperature=0.0)[0]["generation"] for text in texts]
    assert found == each
