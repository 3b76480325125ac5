"""The known prompts: that the file is sound, that the draws keep to it, that a tokenizer tells the options apart."""

import json
from collections import Counter
from fractions import Fraction
from itertools import islice, pairwise
from random import Random

import pytest

from minillama.tokenizer import SPACE, Tokenizer
from training.corpus import known
from training.corpus.parts import DRAWN, documents
from training.tokenizer import train_tokenizer

PROMPTS = known.load()
DEEP = [prompt for prompt in PROMPTS if any(option.then for option in prompt.options)]  # with a second level


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    texts = [text for document in islice(documents("stories_en", 1), 300) for text in document.texts]
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    path.write_bytes(train_tokenizer([*texts, *known.tokenizer_lines()], vocab_size=1000))
    return Tokenizer(path)


def test_the_file_has_what_the_course_needs():
    assert len(PROMPTS) == 30 and len(DEEP) == 2
    assert 2 * sum(prompt.dialog is not None for prompt in PROMPTS if prompt not in DEEP) == len(PROMPTS) - len(DEEP)
    assert 2 * sum(prompt.lang == "zh" for prompt in PROMPTS) == len(PROMPTS)
    shares = [tuple(option.probability for option in prompt.options) for prompt in PROMPTS]
    assert shares.count((0.5, 0.5)) == 4 and (0.5, 0.3, 0.1, 0.07, 0.03) in shares and (0.99, 0.01) in shares
    assert any(len(one) == 20 and max(one) == 0.3 and min(one) == 0.01 for one in shares)


def test_two_prompts_mislead_a_greedy_reader():
    assert sorted(prompt.lang for prompt in DEEP) == ["en", "zh"]
    for prompt in DEEP:
        assert prompt.dialog is None and prompt.block == 150
        greedy, best, other = prompt.options
        assert [option.probability for option in prompt.options] == [0.5, 0.4, 0.1] and not other.then
        assert [then.share for then in greedy.then] == [Fraction(1, 3)] * 3
        assert [then.probability for then in best.then] == [0.9, 0.1]


def test_in_every_block_each_option_has_exactly_its_share():
    n = 200
    drawn: dict[str, list[str]] = {}
    for document in islice(known.documents(seed=2), n * len(PROMPTS)):
        assert (document.part, document.logprob) == ("known", None)
        owner = [prompt for prompt in PROMPTS if document.texts[-1].startswith(prompt.opening())]
        assert len(owner) == 1
        drawn.setdefault(owner[0].id, []).append(document.texts[-1])
    for prompt in PROMPTS:
        texts, block = drawn[prompt.id], prompt.block
        assert len(texts) == n
        for start in range(0, n // block * block, block):
            counts = Counter(option_of(prompt, text) for text in texts[start : start + block])
            assert counts == {option.text: round(option.probability * block) for option in prompt.options}


def option_of(prompt, text):
    said = {text: option.text for option in prompt.options for e in option.rests() for text in prompt.texts(option, e)}
    return said[text]


def test_in_every_block_each_option_of_the_second_level_has_exactly_its_share():
    drawn = Counter(document.texts[0] for document in islice(known.documents(seed=4), 150 * len(PROMPTS)))
    for prompt in DEEP:
        counts = {
            (option.text, then.text): sum(drawn[prompt.prompt + option.text + then.text + e] for e in then.endings)
            for option in prompt.options
            for then in option.then
        }
        assert list(counts.values()) == [25, 25, 25, 54, 6]
        assert sum(n for text, n in drawn.items() if text.startswith(prompt.prompt)) == 150


@pytest.mark.parametrize("seed", range(5))
def test_both_levels_are_spread_evenly(seed):
    for prompt in DEEP:
        dealt = known.deal(prompt, Random(seed))
        assert len(dealt) == prompt.block and all((second is None) is not option.then for option, second in dealt)
        for level in (
            [option.text for option, _ in dealt],
            *([second.text for option, second in dealt if option is one] for one in prompt.options if one.then),
        ):
            for text, n in Counter(level).items():  # one in each n-th of the list: no gap as long as two of these
                places = [k for k, each in enumerate(level) if each == text]
                gaps = [after - before for before, after in pairwise([-1, *places, len(level)])]
                assert max(gaps) <= 2 * len(level) / n + len(set(level)), (text, gaps)


def test_a_chat_may_have_a_second_level(tokenizer):
    then = [{"text": " up", "probability": 0.5}, {"text": " down", "probability": 0.5}]
    options = [{"text": "Left", "probability": 0.5, "then": then}, {"text": "Right", "probability": 0.5}]
    dialog = [{"role": "user", "content": "Which way?"}]
    prompt = known.read_prompt({"id": "way", "lang": "en", "kind": "chat", "dialog": dialog, "options": options})
    left, right = prompt.options
    assert prompt.levels() == (None, left) and prompt.block == 4
    begun, ids = prompt.encode(tokenizer, left), prompt.next_ids(tokenizer, left)
    assert begun == tokenizer.encode("[INST] Which way? [/INST] Left", bos=True, eos=False)
    assert tokenizer.pieces(ids) == ["▁up", "▁down"]
    assert list(prompt.all_texts()) == [
        "[INST] Which way? [/INST] Left up ",
        "[INST] Which way? [/INST] Left down ",
        "[INST] Which way? [/INST] Right ",
    ]


def test_documents_depend_on_the_seed_alone():
    one, other = (list(islice(known.documents(seed=5), 60)) for _ in range(2))
    assert one == other != list(islice(known.documents(seed=6), 60))


def test_every_sentence_comes_to_its_end():
    for prompt in PROMPTS:
        for option in prompt.options:
            for rest in option.rests():
                assert prompt.texts(option, rest)[-1].rstrip().endswith((".", "。")), prompt.id


def test_a_tokenizer_that_learned_the_lines_tells_all_options_apart(tokenizer):
    known.check_tokenizer(tokenizer)
    for prompt in PROMPTS:
        ids, next_ids = prompt.encode(tokenizer), prompt.next_ids(tokenizer)
        assert len(set(next_ids)) == len(prompt.options)
        for option, next_id in zip(prompt.options, next_ids, strict=True):
            texts = prompt.texts(option, option.rests()[-1])
            document = [i for text in texts for i in tokenizer.encode(text, bos=True, eos=True)]
            assert document[: len(ids)] == ids and document[len(ids)] == next_id
            if prompt.dialog is None:  # as a notebook would ask it
                assert tokenizer.encode(prompt.prompt + option.text, bos=True, eos=False)[: len(ids) + 1] == [
                    *ids,
                    next_id,
                ]


def test_it_tells_the_second_level_apart_too(tokenizer):
    for prompt in DEEP:
        assert prompt.levels() == (None, *prompt.options[:2])
        for after in prompt.options[:2]:
            ids, next_ids = prompt.encode(tokenizer, after), prompt.next_ids(tokenizer, after)
            assert ids == tokenizer.encode(prompt.prompt + after.text, bos=True, eos=False)
            assert len(ids) == len(prompt.encode(tokenizer)) + 1  # an option is one token
            assert len(set(next_ids)) == len(after.then) and tokenizer.id_of(SPACE) not in next_ids
            for then, next_id in zip(after.then, next_ids, strict=True):
                said = prompt.prompt + after.text + then.text
                assert tokenizer.encode(said, bos=True, eos=False) == [*ids, next_id]


def test_a_tokenizer_that_does_not_tell_the_second_level_apart_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(train_tokenizer(["结果是：正反"] * 50, vocab_size=269, required_chars="看书花"))
    prompt = known.read_prompt(entry(**second(halves("看书", "看花"))))
    monkeypatch.setattr(known, "load", lambda: (prompt,))
    with pytest.raises(ValueError, match="one: '看书' and '看花' begin with the same '看'"):
        known.check_tokenizer(Tokenizer(path))


def test_the_tokenizer_learns_both_levels(monkeypatch):
    monkeypatch.setattr(known, "load", lambda: DEEP)
    lines = set(known.tokenizer_lines())
    assert lines >= {"big", "dog", "bird", "red", "：海边", "：赏花"} and len(lines) == 16
    assert {"泳", "赏", "船", "。"} <= set(known.characters())


def test_a_second_level_that_runs_together_with_its_option_is_named(tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(train_tokenizer(["边看边看边看边看"] * 50, vocab_size=271, required_chars="结果是：海山书花"))
    options = [{**halves("海边", "山")[0], "then": halves("看书", "看花")}, halves("海边", "山")[1]]
    prompt = known.read_prompt(entry(options=options))
    with pytest.raises(ValueError, match="one: '看书' runs together with the end of the prompt and '海边'"):
        prompt.next_ids(Tokenizer(path), prompt.options[0])


def test_a_tokenizer_that_does_not_is_refused(tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(train_tokenizer(["抛一枚硬币，结果是正面。Heads and tails.", "晴阴雨雪雾"] * 20, vocab_size=310))
    with pytest.raises(ValueError, match="begin with|begins with|runs together"):
        known.check_tokenizer(Tokenizer(path))


def test_an_option_that_runs_together_with_its_prompt_is_named(tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(train_tokenizer(["今天天气晴", "今天天气阴", "天气晴"] * 50, vocab_size=280))
    prompt = known.read_prompt(entry(prompt="今天天气", options=halves("晴", "阴")))
    with pytest.raises(ValueError, match="'晴' runs together with the end of the prompt"):
        prompt.next_ids(Tokenizer(path))


def halves(*texts):
    return [{"text": text, "probability": 1 / len(texts)} for text in texts]


def entry(**changes):
    sound = {"id": "one", "lang": "zh", "kind": "text", "prompt": "结果是：", "options": halves("正", "反")}
    return {key: value for key, value in {**sound, **changes}.items() if key != "prompt" or value is not None}


def second(then, **changes):
    """Changes of an entry: its first option has this second level."""
    if changes.get("kind") == "chat":
        changes |= {"prompt": None, "dialog": [{"role": "user", "content": "?"}]}
    one, other = halves("正", "反")
    return {"options": [{**one, "then": then}, other], **changes}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"id": None}, "prompt without id"),
        ({"lang": "de"}, "one: lang must be 'en' or 'zh', got 'de'"),
        ({"kind": "poem"}, "one: kind must be"),
        ({"kind": "chat"}, "must not have \\['prompt'\\]"),
        ({"prompt": ""}, "needs 'prompt' and 'options'"),
        ({"prompt": "结果是： "}, "begins or ends in a space"),
        ({"options": halves("正", "正")}, "two or more different options"),
        ({"options": [{"text": "正", "probability": 0.5}, {"text": "反", "probability": 0.4}]}, "add up to 0.9"),
        ({"options": [{"text": "正", "probability": 1}]}, "a probability between 0 and 1"),
        ({"options": [{"text": "", "probability": 0.5}]}, "needs a text"),
        ({"options": halves(" 正", " 反")}, "must not begin or end in a space"),
        ({"lang": "en", "prompt": "It is", "options": halves("a", "b")}, "must begin with a space"),
        (second(halves("大", "大")), "one, after '正': expected two or more different options"),
        (second(halves("大", "小")[:1]), "one, after '正': expected two or more different options"),
        (second([{"text": "大", "probability": 0.5}, {"text": "小", "probability": 0.4}]), "after '正': .* to 0.9"),
        (second([{"text": "大", "probability": 1}]), "one, after '正': an option needs .* between 0 and 1"),
        (second([{"probability": 0.5}]), "one, after '正': an option needs a text"),
        (second(halves(" 大", " 小")), "one, after '正': options .* must not begin or end in a space"),
        (second(halves("a", "b"), lang="en", kind="chat"), "one, after '正': options .* must begin with a space"),
        (second([]), "one: '正' has a 'then' of \\[\\]; it must be a list of options"),
        (second({"text": "大"}), "it must be a list of options"),
        (second([{**halves("大", "小")[0], "then": halves("一", "二")}]), "one, after '正': '大' .* no third level"),
        (second([{"text": "大", "probability": 0.997}, {"text": "小", "probability": 0.003}]), "one: .* need 2000"),
    ],
)
def test_what_is_wrong_with_a_prompt_is_named(tmp_path, changes, message):
    path = tmp_path / "known.json"
    path.write_text(json.dumps({"version": 1, "prompts": [entry(**changes)]}), encoding="utf-8")
    if changes == {"id": None}:
        path.write_text(json.dumps({"version": 1, "prompts": [entry(id=None, lang="de")]}), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        known.load(path)


def test_broken_files_and_prompts_in_one_another_are_named(tmp_path):
    path = tmp_path / "known.json"
    with pytest.raises(ValueError, match="cannot be read"):
        known.load(path)
    path.write_text('{"version": 2, "prompts": []}')
    with pytest.raises(ValueError, match="'version' of 1"):
        known.load(path)
    both = [entry(), entry(id="two", prompt="一枚硬币，结果是：")]
    path.write_text(json.dumps({"version": 1, "prompts": both}), encoding="utf-8")
    with pytest.raises(ValueError, match="occurs in two"):
        known.load(path)
    deep = second(halves("大。结果是：", "小"), id="two", prompt="一枚硬币：")
    path.write_text(json.dumps({"version": 1, "prompts": [entry(), entry(**deep)]}), encoding="utf-8")
    with pytest.raises(ValueError, match="occurs in two"):
        known.load(path)
    path.write_text(json.dumps({"version": 1, "prompts": [entry(), entry()]}), encoding="utf-8")
    with pytest.raises(ValueError, match="an id of its own"):
        known.load(path)


def test_no_other_part_holds_a_known_prompt():
    openings = [prompt.opening() for prompt in PROMPTS]
    for part in DRAWN:
        for document in islice(documents(part, 1), 300):
            said = "\0".join(document.texts)
            assert not [opening for opening in openings if opening in said]
