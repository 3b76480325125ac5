"""The drawn texts: one way to draw each, the same from the same seed, and never on both sides of the split."""

import re
from collections import Counter
from functools import cache
from itertools import islice
from random import Random

import pytest

from training import held_out
from training.chats import dialog_of, draw_chat, memories
from training.corpus import (
    DRAWN,
    SHARES,
    Document,
    chat_texts,
    documents,
    draw,
    is_held_out,
    lookups,
    mixture,
    program,
)
from training.draws import Draws, derivations
from training.stories import draw_story, wishes, without_article, words_of
from training.tables import LANGUAGES
from training.turns import Chat, items, names, questions, requests

TRAINED = 5_000  # documents of each part that no held-out question may stand in
SETS = ["held_out_memory_dialogs", "held_out_system_dialogs", "held_out_requests", "held_out_facts_and_sums"]


@cache
def trained(part: str) -> list[Document]:
    return list(islice(documents(part, 1), TRAINED))


@pytest.mark.parametrize("part", DRAWN)
def test_every_text_can_be_drawn_in_one_way_and_knows_its_probability(part):
    rng = Random(11)
    for _ in range(120 if part.startswith("stories") else 60):
        draws = Draws(rng)
        program(part)(draws)
        assert derivations(program(part), draws.text) == pytest.approx([draws.logprob]), draws.text


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


def test_chats_are_dialogs_of_one_to_four_turns():
    rng, turns = Random(6), Counter()
    for k in range(600):
        draws = Draws(rng)
        draw_chat(draws, LANGUAGES[k % 2])
        dialog = dialog_of(draws.text)
        said = dialog[1:] if dialog[0]["role"] == "system" else dialog
        assert [message["role"] for message in said] == ["user", "assistant"] * (len(said) // 2)
        assert all(message["content"] == message["content"].strip() != "" for message in dialog)
        turns[len(said) // 2] += 1
    assert set(turns) == {1, 2, 3, 4}
    draws = Draws(rng)
    draw_chat(draws, "en", long=True)
    assert 5 <= len(dialog_of(draws.text)) // 2 <= 9


# ---- stories


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_story_is_about_what_was_asked_for(language):
    rng = Random(5)
    rows = requests(language).rows
    for row, _ in rng.sample(rows, 100):
        draws = Draws(rng)
        draw_story(draws, language, row["noun"], row["wish"], hero="Zazu" if language == "en" else "木木")
        thing = without_article(row["wish"])
        assert row["noun"] in draws.text and draws.text.count(thing) > 1 and re.search("Zazu|木木", draws.text)
    for topic in wishes(language, sort="topic").items:
        assert draw_story(Draws(rng), language, wish=topic).wish == topic
    with pytest.raises(ValueError, match="wishes"):
        draw_story(Draws(rng), language, wish="taxes")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_beginning_ends_with_the_step_that_names_the_wish(language):
    shorter = 0
    for k, (row, _) in enumerate(Random(5).sample(requests(language).rows, 60)):
        beginning, whole = Draws(Random(k)), Draws(Random(k))
        draw_story(beginning, language, row["noun"], row["wish"], whole=False)
        draw_story(whole, language, row["noun"], row["wish"])
        assert whole.text.startswith(beginning.text) and without_article(row["wish"]) in beginning.text
        shorter += len(beginning.text) < 0.8 * len(whole.text)
    assert shorter > 40


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_asks_for_a_beginning_gets_no_whole_story(language):
    rng, lengths = Random(6), {True: [], False: []}
    for k in range(80):
        draws = Draws(rng)
        story = Chat(draws, language).story("beginning" if k % 2 else "wish")
        asked, answer = dialog_of(draws.text)
        assert without_article(story.wish) in answer["content"]
        assert re.search("begin|Start|开头|开个头", asked["content"], re.IGNORECASE) or not k % 2
        lengths[bool(k % 2)].append(len(answer["content"]))
    assert sum(lengths[True]) < 0.7 * sum(lengths[False])


def test_lookups_are_short_chats_in_both_languages_and_are_not_held_out():
    drawn = list(islice(lookups(4), 200))
    assert all(document.part in ("chat_en", "chat_zh") and not is_held_out(document) for document in drawn)
    texts = [text for document in drawn for text in document.texts]
    assert sum("开头" in text or "begin" in text for text in texts) > 10 and any("<<SYS>>" in text for text in texts)
    assert sum(document.part == "chat_zh" for document in drawn) > 80


@pytest.mark.parametrize("language, unit, shortest, longest, different", [
    ("en", r"[\w'-]+", 60, 180, 2_500),
    ("zh", ".", 80, 250, 1_000),
])  # fmt: skip
def test_stories_have_their_length_and_many_words_and_none_comes_twice(language, unit, shortest, longest, different):
    stories = [document.texts[0] for document in trained(f"stories_{language}")[:2000]]
    lengths = [len(re.findall(unit, story)) for story in stories]
    assert shortest <= min(lengths) and max(lengths) <= longest
    used = Counter(re.findall("[一-鿿]" if language == "zh" else "[a-z]+", " ".join(stories).lower()))
    assert len(used) >= different
    assert len(set(stories)) == len(stories)


@pytest.mark.parametrize("language", LANGUAGES)
def test_plots_and_words_are_well_formed(language):
    words = words_of(language)
    assert len(words.plots) >= {"en": 60, "zh": 30}[language]
    for plot in words.plots.values():
        assert len(plot.steps) == 4 and all(len(wordings) >= 2 for wordings in plot.steps), plot.name
        for wordings in [*plot.steps, *plot.slots.values()]:
            assert len(wordings) == len(set(wordings)), f"{plot.name}: a wording stands twice"
        for noun in words.nouns.items:
            words.plot_tables(plot.name, noun)  # raises where no case is left
    first = Counter(wording for plot in words.plots.values() for wording in plot.steps[0])
    assert max(first.values()) == 1, first.most_common(1)
    for key, values in words.words.items():
        if isinstance(values, list) and key not in ("openings", "day", "child_kinds", "animal_kinds"):
            assert len(values) == len(set(values)), f"{key}: a word stands twice"


# ---- chats


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_question_has_two_items(language):
    for kinds in [(), ("hello",), ("thanks", "bye"), ("en>zh", "zh>zh"), ("zh>en", "en>en")]:
        asks = Counter(ask for _, ask in questions(language, kinds, False, "", frozenset()).items if "{" not in ask)
        assert not asks or max(asks.values()) == 1, asks.most_common(1)
    for item in items(language):
        assert len(item.ask) == len(set(item.ask)) and len(item.answer) > 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_thousands_of_names_and_the_held_out_ones_are_never_told(language):
    told = set(names(language).column("name").items)
    new = held_out.held_out_names(language)
    assert len(told) >= 5_000 and len(new) >= 200 and not told & set(new)
    texts = "\n".join(text for part in DRAWN for document in trained(part) for text in document.texts).lower()
    if language == "zh":
        runs = set(re.findall("[一-鿿]{2,}", texts))
        seen = {run[i : i + n] for run in runs for n in (2, 3) for i in range(len(run))}
    else:
        seen = set(re.findall(r"\w+", " ".join(set(texts.split()))))
    assert not seen & set(map(str.lower, new))


@pytest.mark.parametrize("language", LANGUAGES)
def test_values_that_are_asked_for_in_the_evaluation_are_never_told(language):
    told = {memory.values: set(memory.tables[0].column("x").items) for memory in memories(language).items}
    new = {memory.values: set(memory.tables[0].column("x").items) for memory in memories(language, secret=True).items}
    assert len(new) >= 5 and {"names", "pets", "ages", "cities"} <= new.keys() <= told.keys()
    assert not any(told[values] & new[values] for values in new)


@pytest.mark.parametrize("rule, holds", [
    ("capital", lambda answer: answer == answer.upper()),
    ("one word", lambda answer: len(answer.split()) == 1),
    ("in Chinese", lambda answer: re.search("[一-鿿]", answer)),
    ("in English", lambda answer: not re.search("[一-鿿]{4}", answer)),
])  # fmt: skip
def test_system_texts_change_the_answer(rule, holds):
    chats = [
        text
        for document in trained("chat_en")
        for text in document.texts
        if "<</SYS>>" in text and rule in text.split("<</SYS>>")[0]
    ]
    assert len(chats) > 20
    for text in chats:
        answer = text.split("[/INST]")[1].strip()
        assert holds(answer), text


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


def test_a_fact_or_sum_that_is_held_out_is_asked_nowhere():
    asked = {question.dialog[-1]["content"] for question in held_out.held_out_facts_and_sums(200, 4)}
    for part in ("chat_en", "chat_zh"):
        for document in trained(part):
            for text in document.texts:
                user = text.split("[INST] ")[1].split(" [/INST]")[0].split("<</SYS>>\n\n")[-1]
                assert user not in asked


@pytest.mark.parametrize("part, bad", [
    ("memory", "I don't know."),
    ("system", "maybe"),
    ("requests", "Once upon a time, there was nobody."),
    ("facts", "I like you."),
])  # fmt: skip
def test_judges_refuse_what_is_wrong(part, bad):
    draw_set = dict(zip(("memory", "system", "requests", "facts"), SETS, strict=True))[part]
    for question in getattr(held_out, draw_set)(60, 5):
        assert not question.accepts(bad), question
        assert question.part == part


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
