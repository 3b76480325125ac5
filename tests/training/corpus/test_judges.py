"""What counts as a right answer."""

import pytest

from training.corpus.draws import Draws, Options
from training.corpus.grammar import Slots, Table
from training.corpus.judges import answers_item, honest, is_sum, keeps_rule, numbers_in
from training.corpus.questions import Item, items
from training.corpus.tables import LANGUAGES
from training.corpus.turns import SYSTEM, USER, Chat, Rule

BEAR = {"large": "bear", "little": "bee"}
SMALLER = Item(
    "fact",
    ("Is {a little} bigger than {a large}?",),
    Options.uniform(["No, {a large} is bigger than {a little}."]),
    "No",
    (),
    1,
    Table([(BEAR, 1)]),
)
SKY = Item(
    "fact", ("What colour is {thing}?",), Options.uniform(["{Thing} is {colour}."]), "{Colour}", (), 1,
    Table([({"thing": "the sky", "colour": "blue"}, 1)]),
)  # fmt: skip
CHEER = Item(
    "talk", ("I am sad.",), Options.uniform(["Shall I tell you about {a animal}?", "[Oh|Ah], I am sorry."]), None,
    (Table.of_list("animal", ["cat", "owl"]),), 1,
)  # fmt: skip
RULED = [
    ("en", "capitals", "{answer}", "NO, A BEAR IS BIGGER THAN A BEE.",
     ["NO, A BEAR IS BIGGER THAN A BEAK.", "NO, A BEAK IS BIGGER THAN A BEAK.", "No, a bear is bigger than a bee."]),
    ("en", "ending", "{answer} {Word}!", "No, a bear is bigger than a bee. Plum!",
     ["No, a bear is bigger than a bee.", "Yes, a bee is bigger than a bear. Plum!", "No, bears. Plum!", "Plum!"]),
    ("en", "beginning", "{Word}! {answer}", "Plum! No, a bear is bigger than a bee.",
     ["Plum! Yes.", "No, a bear is bigger than a bee."]),
    ("en", "pirate", "Ahoy! {answer} Arr!", "Ahoy! No, a bear is bigger than a bee. Arr!",
     ["Ahoy! No, a bear is bigger than a beer. Arr!", "Ahoy! Arr!", "Ahoy!  Arr!"]),
    ("zh", "twice", "{answer}{answer}", "小狗比马小。小狗比马小。", ["小狗比马大。小狗比马大。", "小狗比马小。"]),
    ("zh", "exclaim", "{answer}", "小狗比马小！", ["小狗比马小。", "小狗比马大！"]),
]  # fmt: skip


@pytest.mark.parametrize("language, rule, form, good, wrong", RULED)
def test_a_rule_is_kept_only_if_the_answer_is_true(language, rule, form, good, wrong):
    zh = Item("fact", ("小狗大还是马大？",), Options.uniform(["小狗比马小。"]), None, (), 1, Table([({"x": "y"}, 1)]))
    item, slots = (SMALLER, Slots(**BEAR)) if language == "en" else (zh, Slots())
    draws = Draws(None)
    chat = Chat(draws, language)
    chat.rule, chat.system_slots = Rule(rule, form), Slots(word="plum")
    draws.write(f"{SYSTEM}Do it.")
    chat.says(USER, [item.ask[0]], slots)
    chat.answers([item.answer.items[0]], slots)
    judge = keeps_rule(chat, item, slots)
    assert judge(good) and judge(f" {good}\n")
    assert [text for text in wrong if judge(text)] == []


def test_a_short_answer_that_all_rows_share_must_stand_alone():
    judge = answers_item(SMALLER, Slots(**BEAR), "en", "Is a bee bigger than a bear?")
    assert judge("No.") and judge("No, a bear is bigger than a bee.")
    assert not judge("No, a bee is bigger than a bear.") and not judge("Yes.")


def test_other_words_may_stand_around_a_short_answer_only_if_they_belong_there():
    judge = answers_item(SKY, Slots(thing="the sky", colour="blue"), "en", "What colour is the sky?")
    assert judge("Blue") and judge("The colour of the sky is blue.".replace(" of", "")) and judge("It is blue.")
    assert not judge("The sky is blue. A frog is blue.") and not judge("The sky is bluer.") and not judge("It is red.")


def test_in_small_talk_any_answer_and_any_free_slot_will_do():
    judge = answers_item(CHEER, Slots(*CHEER.tables, animal="cat"), "en", "I am sad.")
    assert judge("Shall I tell you about an owl?") and judge("Ah, I am sorry.")
    assert not judge("Shall I tell you about a owl?") and not judge("I am glad to hear that!")
    asked = answers_item(CHEER, Slots(*CHEER.tables, animal="cat"), "en", "I like my cat.")
    assert asked("Shall I tell you about a cat?") and not asked("Shall I tell you about an owl?")


@pytest.mark.parametrize("text, right", [
    ("5 - 2 = 3.", True), ("3", True), ("五减二等于三。", True), ("Three.", True), ("5-2=3", True),
    ("5 - 2 = 13.", False), ("2 - 5 = 3.", False), ("5 - 2 = -3.", False), ("5 + 3 = 8.", False), ("3.5", False),
    ("5 - 2 = 3. 5 - 1 = 4.", False), ("I don't know.", False), ("十三", False), ("", False),
])  # fmt: skip
def test_the_number_of_a_sum_must_be_exactly_right(text, right):
    assert is_sum(Slots(a="5", b="2", n="3"))(text) is right
    assert is_sum(Slots(a="五", b="二", n="三"))(text) is right


def test_a_sum_is_judged_also_if_its_answer_was_one_word():
    table = Table([({"a": "5", "b": "2", "n": "3"}, 1), ({"a": "5", "b": "3", "n": "2"}, 1)])
    slots = Slots(table)
    slots.hold("b", "2")
    assert is_sum(slots)("3") and not is_sum(slots)("2")


def test_numbers_are_read_as_figures_and_words():
    assert numbers_in("十二加八等于二十。 Twelve and 1.5, 三百") == [12, 8, 20, 12, -1, -1]


def test_who_does_not_know_says_so_and_what_is_known_is_not_refused():
    for text in ("I don’t know.", "Sorry, I do not know that.", "I cannot see you.", "我不知道。", "我看不到。"):
        assert honest(text)
    for text in ("Pigs cannot fly.", "It is five o'clock.", "Your name is Noah.", "鱼不会飞。", "今天是星期三。"):
        assert not honest(text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_answer_to_a_fact_or_sum_is_a_refusal(language):
    for item in items(language):
        if item.kind in ("fact", "sum", "count"):
            assert not [answer for answer in item.answer.items if honest(answer)]
