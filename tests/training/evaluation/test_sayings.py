"""The everyday sayings: the file, its judges, and the half of it that is never trained on."""

import json
from itertools import islice

import pytest

from training.corpus.document import Document
from training.corpus.held_out_sayings import folded, says_held_out, users
from training.corpus.parts import documents
from training.evaluation import measures
from training.evaluation.sayings import any_of, entries, judge_of, never_trained, sayings

ALWAYS = (
    "请介绍一下你自己",
    "请介绍一下自己",
    "今天天气如何？",
    "写一首诗",
    "你好",
    "Hello!",
    "What's the weather today?",
    "Thank you!",
    "Count to five.",
)
DRAWN = 4_000  # chats in each language
STORY = "Once there was a duck named Dora. She had a kite. One day the wind took it away. " * 3
TALE = "从前有一只小猫，名叫点点。她有一只风筝，天天带着它去玩。有一天，大风把风筝吹走了，点点急得直跺脚。" * 3
POEM = "小月照西窗，\n清风入梦长。\n山前花已落，\n水上有余香。"
GOOD = {  # an answer for each intent, or for each of its sayings
    "en": {
        "hello": "Hello! What shall we talk about?",
        "thanks": "You're welcome!",
        "bye": "Bye! See you soon.",
        "who": "I am a small language model.",
        "introduce": "I am a tiny language model. I know some stories.",
        "can": "I can tell stories and add small numbers.",
        "help": "Of course. What can I do for you?",
        "how": "I'm fine. What about yourself?",
        "weather": "I don’t know. I have no window to look out of.",
        "joke": "What gets wet while it dries? A towel!",
        "story": STORY,
        "like": "Cats are lovely animals.",
        "count": {
            "Count to five.": "1, 2, 3, 4, 5.",
            "Can you count to 10?": "One, two, three, four, five, six, seven, eight, nine, ten.",
            "Please count from 1 to 20.": ", ".join(map(str, range(1, 21))) + ".",
        },
        "list": {
            "Name three animals.": "A cow, a horse and a mouse.",
            "Name three colours.": "Green, pink and white.",
            "Tell me three fruits.": "Apples, pears and plums.",
        },
        "yes": "Good! What shall we do?",
        "no": "All right. What would you like to do?",
        "ok": "Great! What next?",
        "sad": "Oh dear, I am sorry to hear that.",
        "bored": "Let us play a game.",
        "hungry": "Have a snack!",
        "tired": "Have a little rest.",
        "like_you": "Thank you, that is kind of you!",
        "favourite": {
            "What is your favourite colour?": "I cannot see, so I have no favourite colour.",
            "What's your favorite food?": "I do not eat, so I have no favourite food.",
            "What is your favourite animal?": "I like llamas best.",
        },
        "age": "I have no age, for I am only a program.",
        "fact": "The sky is blue.",
        "sum": {"What is 2 + 3?": "2 + 3 = 5.", "How much is 7 plus 5?": "7 + 5 = 12."},
        "poem": "I cannot write English poems, but I can write Chinese ones.",
        "unknown_time": "I don't know. I have no clock.",
        "unknown_date": "I cannot know. I have no calendar.",
        "unknown_news": "I do not know. I read no news.",
        "unknown_keys": "I don't know where your keys are.",
    },
    "zh": {
        "hello": "你好！想聊些什么呢？",
        "thanks": "不客气！",
        "bye": "再见，下次再聊！",
        "who": "我是一个小小的语言模型。",
        "introduce": "我是一个小小的语言模型，喜欢讲故事。",
        "can": "我会讲故事，也会数数。",
        "help": "好的，需要我做什么？",
        "how": "我很好，你呢？",
        "weather": "我不知道，我看不到外面。",
        "joke": "什么布剪不断？瀑布！",
        "sad": "别难过，我陪着你。",
        "count": {
            "从1数到5。": "1、2、3、4、5。",
            "请你数到十": "一、二、三、四、五、六、七、八、九、十。",
            "从一数到二十。": "、".join(map(str, range(1, 21))) + "。",
        },
        "list": {
            "说出三种动物。": "小狗、老虎和小鸟。",
            "说三种颜色": "红色、绿色、白色。",
            "请告诉我三种水果的名字。": "苹果、梨和桃子。",
        },
        "yes": "好的！那我们做点什么呢？",
        "no": "没关系。你想做什么？",
        "ok": "好！你想聊什么？",
        "bored": "我们来玩猜谜语的游戏吧。",
        "hungry": "快去吃点东西吧。",
        "tired": "好好休息一下。",
        "like": "小猫真可爱。",
        "like_you": "谢谢你，我真高兴！",
        "favourite": {
            "你最喜欢什么颜色？": "我看不见颜色，没有最喜欢的。",
            "你最喜欢吃什么？": "我不吃东西。",
            "你喜欢什么动物？": "我喜欢羊驼。",
        },
        "age": "我是程序，没有年龄。",
        "sum": {"2加3等于几？": "2加3等于5。", "7 + 5 = ?": "7 + 5 = 12。"},
        "fact": "天空是蓝色的。",
        "story": TALE,
        "poem": POEM,
        "unknown_time": "我不知道，我没有钟。",
        "unknown_date": "我不知道，我没有日历。",
        "unknown_news": "我不知道，我看不到新闻。",
        "unknown_keys": "我不知道，我看不见你的钥匙。",
    },
}
SIMILAR = (  # intents whose answers fit one another
    {"who", "introduce"}, {"can", "help"}, {"can", "introduce"}, {"yes", "no", "ok", "help"},
    {"unknown_time", "unknown_date"},
)  # fmt: skip


def good_answer(entry):
    answer = GOOD[entry["lang"]][entry["intent"]]
    return answer if isinstance(answer, str) else answer[entry["text"]]


def answers_to(language, intent):
    answer = GOOD[language][intent]
    return [answer] if isinstance(answer, str) else list(answer.values())


def test_there_are_sixty_in_each_language_and_those_that_must_be():
    texts = [entry["text"] for entry in entries()]
    assert len(texts) == len(set(texts)) == 120 and set(ALWAYS) <= set(texts)
    assert [sum(entry["lang"] == language for entry in entries()) for language in ("en", "zh")] == [60, 60]
    for language in ("en", "zh"):
        assert {entry["intent"] for entry in entries() if entry["lang"] == language} == GOOD[language].keys()
        assert sum(entry["intent"] == "introduce" for entry in entries() if entry["lang"] == language) == 5


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["text"])
def test_a_judge_accepts_a_good_answer_and_none_of_another_kind(entry):
    judge, good, language, intent = judge_of(entry), good_answer(entry), entry["lang"], entry["intent"]
    assert judge(good) and judge(f" {good}\n")
    for tag in ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "</s>"):
        assert not judge(f"{good} {tag}")
    assert not judge("") and not judge("。") and not judge(".")
    other = "zh" if language == "en" else "en"
    if intent not in ("sum", "count"):  # whose answers are figures
        assert not any(map(judge, answers_to(other, intent)))
    assert not judge({"en": "我不知道五。", "zh": "I don't know, one, two, three, four, five."}[language])
    accepted = {kind for kind in GOOD[language] for answer in answers_to(language, kind) if judge(answer)}
    assert not {kind for kind in accepted - {intent} if not any({kind, intent} <= group for group in SIMILAR)}


@pytest.mark.parametrize("text, bad", [
    ("Introduce yourself.", "I am sorry to hear that. Would you like to hear a story?"),
    ("请介绍一下自己", "别难过，我陪着你。想听一个故事吗？"),
    ("Thank you!", "Time! I am a computer program, so I have no age and no home."),
    ("Count to five.", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12."),
    ("Count to five.", "1, 2, 3, 5."),
    ("Please count from 1 to 20.", ", ".join(map(str, range(1, 20))) + "."),
    ("从1数到5。", "1、2、3、4、5、6。"),
    ("请你数到十", "一、二、三、四、五、六、七、八、九、十、十一。"),
    ("Name three animals.", "A cow, a cow and a horse."),
    ("说出三种动物。", "熊猫、小狗、小狗。"),
    ("What is 2 + 3?", "2 + 5 = 7."),
    ("2加3等于几？", "2加3等于15。"),
    ("写一首诗", "小月照西窗，\n清风入梦长。\n山前花已落。"),
    ("写一首关于月亮的诗", POEM.replace("月", "鸟")),
    ("Write a poem.", POEM),
    ("Tell me a story.", "Yes! Once there was a duck."),
    ("What time is it?", "It is three o'clock."),
    ("What time is it?", "I don't know. I cannot see the weather."),
    ("今天天气如何？", "我不知道，我没有钟。"),
    ("Introduce yourself.", "I don't know. I am only a small model."),
    ("请介绍一下你自己", "对不起，我不知道。我只是一个很小的模型。"),
    ("Hello!", "Hello! 你好吗？"),
    ("你好", "Hello! 你好！"),
    ("How much is 7 plus 5?", "7 + 5 = 12。"),
])  # fmt: skip
def test_a_judge_refuses_what_comes_close(text, bad):
    assert not judge_of(next(entry for entry in entries() if entry["text"] == text))(bad)


@pytest.mark.parametrize("text, good", [
    ("What time is it?", "I don't know. I have no clock, and I see no weather and no news."),
    ("今天天气如何？", "天气、时间和新闻，我都不知道。"),
    ("Write a poem.", f"I write Chinese poems only:\n{POEM}"),
    ("写一首诗", f"好的：\n{POEM}"),
    ("What is 2 + 3?", "Five."),
    ("Introduce yourself.", "Hello! I am a small language model. I tell stories, but I don't know the weather."),
    ("请介绍一下自己", "我是小小的语言模型，会讲故事，不过我不知道天气和时间。"),
    ("我可以问你什么问题？", "你可以让我讲故事、写诗、数数。"),
    ("你最喜欢什么颜色？", "蓝色。"),
])  # fmt: skip
def test_a_judge_accepts_other_wordings(text, good):
    assert judge_of(next(entry for entry in entries() if entry["text"] == text))(good)


def test_english_words_are_found_whole_and_longer_ones_first():
    assert any_of(["cat", "hen"]).findall("Cats and chickens") == ["Cat"]
    assert not any_of(["hi"]).search("This is his.") and any_of(["5"]).search("等于5。")
    assert any_of(["猫", "熊猫"]).findall("熊猫") == ["熊猫"] and not any_of([]).search("a")


def test_the_measure_of_questions_takes_them(bench, monkeypatch):
    monkeypatch.setattr(measures, "answers", lambda bench, dialogs, *_: [good_answer(e) for e in entries()])
    row = measures.questions(bench, "sayings", "everyday sayings", sayings())
    assert row.n == 120 and row.met and [figure.value for figure in row.figures] == [1.0, 1.0]


@pytest.mark.parametrize("change, fault", [
    ({"lang": "fr"}, "lang must be one of"), ({"intent": None}, "expected intent to be a str"),
    ({"contains": []}, "contains has 0 words"), ({"at_least": 3}, "at_least asks for 3"),
    ({"excludes": [""]}, "not empty"), ({"regex": "("}, "regex: "), ({"colour": "red"}, "'colour'.* unknown"),
    ({"text": " "}, "with a \"text\""),
])  # fmt: skip
def test_what_is_wrong_in_the_file_is_said(tmp_path, change, fault):
    entry = {"text": "Hi", "lang": "en", "intent": "hello", "contains": ["hello"], "excludes": []}
    path = tmp_path / "sayings.json"
    path.write_text(json.dumps([entry, {**entry, "text": "Hey", **change}]))
    with pytest.raises(ValueError, match=f"sayings.json, saying 2.*{fault}"):
        sayings(path)


def test_a_missing_field_a_double_and_what_is_no_json_are_said(tmp_path):
    entry = {"text": "Hi", "lang": "en", "intent": "hello", "contains": ["hello"], "excludes": []}
    for number, (content, fault) in enumerate([
        (json.dumps([entry, entry]), "saying 2, 'Hi': has the text of another one"),
        (json.dumps([{"text": "Hi"}]), "the fields .*contains.* are missing"),
        ("[", "0.json|1.json|2.json"), ("{}", "expected a list"),
    ]):  # fmt: skip
        path = tmp_path / f"{number}.json"
        path.write_text(content)
        with pytest.raises(ValueError, match=fault):
            sayings(path)


def test_half_of_the_wordings_are_never_trained_on():
    assert never_trained() <= {entry["text"] for entry in entries()}
    assert 45 <= len(never_trained()) <= 75
    for language in ("en", "zh"):
        assert 20 <= sum(e["text"] in never_trained() for e in entries() if e["lang"] == language) <= 40


@pytest.mark.parametrize("part", ["chat_en", "chat_zh"])
def test_drawn_chats_hold_none_of_them(part):
    secret = {folded(text) for text in never_trained()}
    drawn = islice(documents(part, 5), DRAWN)
    assert not secret & {folded(said) for document in drawn for said in users(document)}


def test_capital_letters_and_blanks_make_no_difference():
    text = max(text for text in never_trained() if text.isascii())
    assert text.upper() != text
    chat = ("[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nWhat? [/INST] This. ", f"[INST] {text.upper()}  [/INST] Yes. ")
    assert says_held_out(Document("chat_en", chat)) and users(Document("chat_en", chat))[0] == "What?"
    assert not says_held_out(Document("chat_en", chat[:1])) and not says_held_out(Document("stories_en", (text,)))
