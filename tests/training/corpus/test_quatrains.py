"""Requests for poems, and the poems that answer them."""

import re
from itertools import islice

import pytest

from training.corpus import quatrains
from training.corpus.grammar import expand
from training.corpus.poems import has_form
from training.corpus.questions import items
from training.corpus.tables import table

POEMS = [
    "床前看月光，\n疑是地上霜。\n举头望山月，\n低头思故乡。",
    "白日依山尽，\n黄河入海流。\n欲穷千里目，\n更上一层楼。",
    "春眠不觉晓，\n处处闻啼鸟。\n夜来风雨声，\n花落知多少。",
    "千山鸟飞绝，\n万径人踪灭。\n孤舟蓑笠翁，\n独钓寒江雪。",
    "月落乌啼霜满天，\n江枫渔火对愁眠。\n姑苏城外寒山寺，\n夜半钟声到客船。",
    "朝辞白帝彩云间，\n千里江陵一日还。\n两岸猿声啼不住，\n轻舟已过万重山。",
]


def test_a_request_is_answered_by_a_poem_that_has_what_was_asked():
    answered = 0
    for document in islice(quatrains.draw_documents(POEMS, seed=1), 600):
        assert (document.part, len(document.texts), document.logprob) == ("quatrains", 1, None)
        match = re.fullmatch(r"\[INST\] (.+) \[/INST\] ((?s:.+)) ", document.texts[0])
        request, poem = match.groups() if match else ("", document.texts[0])
        assert poem in POEMS
        length = 5 if "五言" in request else 7 if "七言" in request else None
        assert has_form(poem, length)
        if asked := re.search(r"“(.)”|于(.)的|咏(.)的|写一首(.)的诗", request):
            assert next(filter(None, asked.groups())) in poem[:2]
            answered += 1
    assert 300 < answered < 550


def test_the_same_seed_gives_the_same_documents_and_every_poem_comes_once_before_any_comes_again():
    one, other = (list(islice(quatrains.draw_documents(POEMS, seed=3), 12)) for _ in range(2))
    assert one == other != list(islice(quatrains.draw_documents(POEMS, seed=4), 12))
    for round_ in (one[:6], one[6:]):
        assert sorted(poem for poem in POEMS for document in round_ if poem in document.texts[0]) == sorted(POEMS)


def test_a_poem_is_held_out_whatever_it_is_asked_by(monkeypatch):
    monkeypatch.setattr(quatrains, "HELD_OUT", 2)
    monkeypatch.setattr(quatrains, "load_poems", lambda: tuple(POEMS))
    sides = []
    for held_out in (False, True):
        documents = islice(quatrains.documents(1, held_out), 100)
        sides.append({poem for document in documents for poem in POEMS if poem in document.texts[0]})
    assert sides[0] and sides[1] and not sides[0] & sides[1] and sides[0] | sides[1] == set(POEMS)


def test_no_poems_is_an_error_not_an_endless_loop():
    with pytest.raises(ValueError, match="poems: there are none"):
        next(quatrains.draw_documents([], seed=1))


def test_requests_cover_every_noun():
    requests = quatrains.requests(2 * len(quatrains.NOUNS), seed=1)
    assert len(set(quatrains.NOUNS)) == len(quatrains.NOUNS) >= 100
    assert all(sum(request.character == noun for request in requests) == 2 for noun in quatrains.NOUNS)
    assert all(request.character in request.user and "{" not in request.user for request in requests)
    assert {request.length for request in requests} == {None, 5, 7}


def test_no_wording_of_a_request_is_that_of_another_or_of_a_question():
    by_form = {wording.format(form=form) for wording in quatrains.BY_FORM for form in quatrains.FORMS.values()}
    by_character = {wording.format(x="月") for wording in quatrains.BY_CHARACTER}
    groups = [set(quatrains.BY_NOTHING), by_form, by_character]
    assert len(set().union(*groups)) == sum(map(len, groups))
    assert len(by_character) == len(quatrains.BY_CHARACTER) and len(groups[0]) == len(quatrains.BY_NOTHING)
    asked = {text for item in items("zh") for ask in item.ask for text, _ in expand(ask)}
    asked |= {text for ask in table("asks")["zh"]["story"]["plain"] for text, _ in expand(ask)}
    assert asked and not asked & set().union(*groups)


def test_requests_without_a_form_or_character_name_none():
    assert not [wording for wording in quatrains.BY_NOTHING if re.search("五言|七言|关于|“|{", wording)]
    for wordings, slots in [
        (quatrains.BY_CHARACTER, ["x"]),
        (quatrains.BY_FORM, ["form"]),
        (quatrains.BY_CHARACTER_AND_FORM, ["form", "x"]),
    ]:
        assert all(sorted(re.findall(r"{(\w+)}", wording)) == slots for wording in wordings)
