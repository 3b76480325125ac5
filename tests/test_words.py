"""The language of what is shown: chosen by a call or by the environment; never that of an error."""

import pytest
import torch

import minillama
from minillama import check, words
from minillama.words import say
from translation.style import _is_english


@pytest.fixture
def chinese():
    minillama.language("zh")
    yield
    minillama.language("en")


def test_a_language_is_chosen_and_told(chinese):
    assert minillama.language() == "zh" and minillama.language("en") == "en" == minillama.language()


@pytest.mark.parametrize("name", ["xx", "", "ZH", 3, ["zh"]])
def test_a_language_that_is_not_there_changes_nothing(name):
    with pytest.raises(ValueError, match=r"name must be one of \['en', 'zh'\], got"):
        minillama.language(name)
    assert minillama.language() == "en"


@pytest.fixture
def fresh(monkeypatch):
    """Nothing was chosen yet, as in a new process."""
    words._of_the_environment.cache_clear()
    words._chosen = ""
    yield monkeypatch
    minillama.language("en")
    words._of_the_environment.cache_clear()


@pytest.mark.parametrize(("named", "told"), [("zh", "zh"), ("", "en")])
def test_the_environment_names_a_language(named, told, fresh):
    fresh.setenv("MINILLAMA_LANGUAGE", named)
    assert minillama.language() == told


def test_another_language_of_the_environment_is_told_once(fresh):
    fresh.setenv("MINILLAMA_LANGUAGE", "xx")
    with pytest.warns(UserWarning, match="MINILLAMA_LANGUAGE must be one of .* got 'xx'"):
        assert minillama.language() == "en" == minillama.language()


def test_a_sentence_without_a_translation_stays_english(chinese):
    assert say("{n} of {m} that nobody says", n=1, m=2) == "1 of 2 that nobody says"


def test_chinese_beside_chinese_has_no_space_and_beside_latin_it_has(chinese, monkeypatch):
    monkeypatch.setattr(words, "_sentences", lambda name: {"x": "应该是 {want}，得到 {got} 了 {n:,} 个"})
    assert say("x", want="张量", got="列表", n=1) == "应该是张量，得到列表了 1 个"
    assert say("x", want="int", got="a 和 b", n=1000) == "应该是 int，得到 a 和 b 了 1,000 个"
    assert say("x", want="{n} 个", got="", n=1) == "应该是 {n} 个，得到  了 1 个"


def test_every_hint_of_an_exercise_is_in_the_language(chinese):
    """What the judge says of every mistake that it knows."""
    for hint, wrong in check.greedy.exercise.wrong:
        said = [line for line in str(check.greedy(wrong)).splitlines() if "Error: " not in line]  # of an exception
        assert len(said) > 1 and not any(_is_english(line) for line in said), hint
        assert all(any(letter > "\u3400" for letter in line) for line in said[-2:]), said


def test_reports_and_progress_are_in_the_language(chinese, capsys):
    def my_greedy(probs):
        raise NotImplementedError

    assert str(check.greedy(my_greedy)) == "○ my_greedy：还没有做。写完函数，再运行这个单元格。"
    assert "通过" in str(check.greedy(lambda probs: probs.argmax(-1)))
    assert "种情况正确" in check.greedy(lambda probs: 1)._repr_html_()
    assert str(check.progress(0)).splitlines()[-1].startswith("接下来：00_start_here 里的 ")
    check.use(my_greedy, lambda probs: probs.argmax(-1))
    assert "还没有通过检查" in capsys.readouterr().out


def test_errors_stay_english(chinese):
    with pytest.raises(ValueError, match="temperature must be"):
        minillama.Sampling(temperature=-1)
    with pytest.raises(ValueError, match="expected shape"):
        check.check_shape(torch.zeros(2), (3,))
