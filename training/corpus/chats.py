"""Whole chats of one to four turns: small talk, stories on request, memory, system texts.

A chat is drawn as one text of messages, each after the mark of who says it; `dialog_of` takes them apart.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from training.corpus.draws import Draws, Options
from training.corpus.grammar import Slots, Table, fill
from training.corpus.invented import invented
from training.corpus.names import names
from training.corpus.questions import KINDS, SAID_FIRST, Item
from training.corpus.tables import is_secret, remember, table
from training.corpus.turns import ASSISTANT, SYSTEM, USER, Chat, Rule, yes_or_no

ROLES = {SYSTEM: "system", USER: "user", ASSISTANT: "assistant"}
Turn = tuple[Item, Slots, str]
SHAPES = Options({"plain": 19, "saying": 15, "story": 24, "memory": 18, "system": 24})
NO_TALK = tuple(kind for kind in KINDS if kind != "talk")
AFTER_STORY = Options({"question": 60, "thanks": 22, "story": 18})
TOLD = Options({"at once": 32, "between": 33, "other": 15, "both": 10})
TOLD_OR_NOT = Options([*TOLD.probabilities(), ("unknown", 0.1)])
END = re.compile(r"(\[[.。!！|]+\]|[.。!！])$")  # the end mark of a wording
LEAD = 0.3  # share of the system texts with a sentence before them
CROSS = {"chinese": ("en>zh", "zh>zh"), "english": ("zh>en", "en>en")}  # kinds of questions under these rules
TELLING = ("none", "ending", "beginning", "pirate", "cat", "robot")  # rules under which stories are told


def draw_chat(draws: Draws, language: str, long: bool = False) -> None:
    """Write a finished chat of one to four turns, or of five to nine."""
    chat = Chat(draws, language)
    if long:
        return long_chat(chat)
    shape = draws.choose(SHAPES)
    shapes = {"plain": plain_chat, "saying": saying_chat, "story": story_chat, "memory": memory_chat}
    (shapes | {"system": system_chat})[shape](chat)


def dialog_of(text: str) -> list[dict[str, str]]:
    """The messages {"role", "content"} of a drawn chat."""
    found = re.findall(f"([{SYSTEM}{USER}{ASSISTANT}])([^{SYSTEM}{USER}{ASSISTANT}]*)", text)
    return [{"role": ROLES[mark], "content": content} for mark, content in found]


def chance(chat: Chat, probability: float) -> bool:
    return chat.draws.choose(yes_or_no(probability))


# ---- small talk and stories


def plain_chat(chat: Chat) -> None:
    """A question that is no small talk, and perhaps more of any kind."""
    said = chat.turn(*NO_TALK)
    if chat.goes_on(0.5):
        some_turns(chat, closing=0.15, said=said)


def saying_chat(chat: Chat) -> None:
    """Small talk of any kind as the first message: a greeting, yes or no, thanks, a question that it cannot know."""
    said = chat.turn("talk", *SAID_FIRST)
    if said[0].kind != "bye" and chat.goes_on(0.4):
        some_turns(chat, closing=0.15, said=said)


def hello_and_turns(chat: Chat, hello: float) -> None:
    said = chat.turn("hello") if chance(chat, hello) else None
    some_turns(chat, said=said)


def some_turns(chat: Chat, *kinds: str, closing: float = 0.0, said: Turn | None = None) -> None:
    """One to three questions of these kinds, after the turn `said` if there was one.

    An offer of a story may be accepted, and the last turn be a thank-you.
    """
    for k in range(3):
        if k and not chat.goes_on(0.5):
            return
        if said and offers_story(chat, said) and chance(chat, 0.5):
            return reply_to_offer(chat, said)
        if said and closing and chance(chat, closing):
            chat.turn("thanks", "bye")
            return
        said = chat.turn(*kinds)


def offers_story(chat: Chat, said: Turn) -> bool:
    answer = said[2]
    return chat.rule.rule in TELLING and answer.endswith(("?", "？")) and ("story" in answer or "故事" in answer)


def reply_to_offer(chat: Chat, said: Turn) -> None:
    asks, slots = chat.asks["story"], said[1]
    if chance(chat, 0.7):
        chat.says(USER, asks["yes"], slots)
        chat.tells(slots.held.get("animal"))
    else:
        chat.says(USER, asks["no"], slots)
        chat.answers(asks["alright"], slots)


def story_chat(chat: Chat) -> None:
    if chance(chat, 0.1):
        chat.turn("hello")
    story = chat.story()
    if not chat.goes_on(0.45):
        return
    then = chat.draws.choose(AFTER_STORY)
    if then == "story":
        chat.story()
    elif then == "thanks":
        chat.turn("thanks", "bye")
    else:
        slots = Slots(noun=story.noun, hero=story.hero)
        chat.says(USER, chat.asks["story"]["question"], slots)
        chat.answers(chat.asks["story"]["reply"], slots)


# ---- memory


class Memory(NamedTuple):
    """Something that a user tells and asks back later: a block of data/memory.toml."""

    values: str  # "names", "colours" ...
    tell: tuple[str, ...]
    also: tuple[str, ...]  # the same after another telling
    reply: tuple[str, ...]
    ask: tuple[str, ...]
    answer: tuple[str, ...]
    unknown: tuple[str, ...]  # the answer if it was not told
    tables: tuple[Table, ...]

    def told(self, chat: Chat) -> Slots:
        slots = Slots(*self.tables)
        chat.says(USER, self.tell, slots)
        chat.answers(self.reply, slots)
        return slots

    def asked(self, chat: Chat, slots: Slots) -> None:
        chat.says(USER, self.ask, slots)
        chat.answers(self.answer, slots)


@remember
def memories(language: str, secret: bool = False, but: str | None = None, made_up: bool = False) -> Options[Memory]:
    """What can be told, except the values `but`.

    secret: new names, and the values that are never told in training, instead of all others.
    made_up: new words in place of all values but ages.
    """
    people, found = table("people", language), []
    pets = Table.of_list("pet", people["pets"])
    for block in table("memory", language)["memory"]:
        values = block["values"]
        named = values in ("names", "friends", "pets")
        if values == but:
            continue
        if named and (secret or made_up or values != "pets" or "pet_names" not in people):
            rows = invented(language).rows if made_up else names(language, secret).rows
            x = Table(({"x": row["name"]}, weight) for row, weight in rows)
        elif values != "ages" and made_up:
            x = Table(({"x": row["word"]}, 1) for row, _ in invented(language).rows)
        elif values == "ages":
            x = Table(({"x": str(age)}, 1) for age in range(3, 61))
        else:
            x = Table(({"x": value}, 1) for value in people["pet_names" if named else values])
        if not named and (values == "ages" or not made_up):
            kept = [(row, weight) for row, weight in x.rows if is_secret("value", values, row["x"]) == secret]
            if not kept:
                continue
            x = Table(kept)
        wordings = (tuple(block[key]) for key in ("tell", "and", "reply", "ask", "answer", "unknown"))
        found.append((Memory(values, *wordings, (x, pets)), block["weight"]))
    return Options(found)


def memory_chat(chat: Chat) -> str:
    """Something is told and asked back, perhaps with something else in between; or it is asked without being told.

    Returns the value to remember, "" if none was told at first.
    """
    new = "names" in chat.secret
    shape = chat.draws.choose(TOLD if new else TOLD_OR_NOT)
    memory = chat.draws.choose(memories(chat.language, new, made_up=chat.made_up))
    if shape == "unknown":
        return not_told(chat, memory)
    if shape == "both":
        return told_in_one(chat, memory)
    slots = memory.told(chat)
    if shape == "other":
        other = chat.draws.choose(memories(chat.language, but=memory.values, made_up=chat.made_up))
        other_slots = other.told(chat)
        if chance(chat, 0.3):
            other.asked(chat, other_slots)
    if shape == "between":
        chat.turn()
        if chance(chat, 0.4):
            chat.turn()
    memory.asked(chat, slots)
    return slots.held["x"]


def not_told(chat: Chat, memory: Memory) -> str:
    slots = Slots(*memory.tables)
    chat.says(USER, memory.ask, slots)
    chat.answers(memory.unknown, slots)
    if chat.goes_on(0.5):
        slots = memory.told(chat)
        if chat.goes_on(0.4):
            memory.asked(chat, slots)
    return ""


def told_in_one(chat: Chat, memory: Memory) -> str:
    """Two things in one sentence."""
    other = chat.draws.choose(memories(chat.language, but=memory.values, made_up=chat.made_up))
    slots, other_slots = Slots(*memory.tables), Slots(*other.tables)
    joiner, end = {"en": (" and ", "."), "zh": ("，", "。")}[chat.language]
    chat.says(USER, tuple(dict.fromkeys(END.sub("", tell) for tell in memory.tell)), slots)
    chat.draws.write(joiner)
    fill(chat.draws, Options.uniform(other.also), other_slots)
    chat.draws.write(end)
    chat.answers(table("memory", chat.language)["and_reply"], slots)
    if chance(chat, 0.4):
        other.asked(chat, other_slots)
    memory.asked(chat, slots)
    return slots.held["x"]


def long_chat(chat: Chat) -> None:
    """Five to nine turns: what was told in the first is asked back in the last."""
    memory = chat.draws.choose(memories(chat.language))
    slots = memory.told(chat)
    for _ in range(chat.draws.choose(Options.uniform(range(3, 8)), silent=True)):
        chat.turn()
    memory.asked(chat, slots)


# ---- system texts


def system_chat(chat: Chat) -> None:
    draw_system(chat)
    turns = {"one_word": some_turns, "named": named_turns, "user_named": user_named_turns}
    turns |= {rule: lambda chat, kinds=kinds: some_turns(chat, *kinds) for rule, kinds in CROSS.items()}
    turns.get(chat.rule.rule, other_turns)(chat)


def draw_system(chat: Chat, *rules: str) -> None:
    """Write a system text of one of these rules, of any if there are none. From here on the chat obeys it."""
    if chat.made_up:
        slots = Slots(invented(chat.language))
    else:
        slots = Slots(names(chat.language, "names" in chat.secret), last_words(chat.language))
    chat.draws.write(SYSTEM)
    lead = chat.draws.choose(leads(chat.language))
    chat.draws.write(lead)
    options = systems(chat.language, bool(lead), rules)
    rule, wording = chat.draws.choose(options)
    fill(chat.draws, wording, slots)
    chat.rule, chat.system_wording, chat.system_slots = rule, wording, slots


@remember
def last_words(language: str) -> Table:
    return Table(({"word": word}, 1) for word in table("people", language)["words"])


@remember
def leads(language: str) -> Options[str]:
    lead = table("system", language)["lead"]
    return Options([("", 1 - LEAD), *((text, LEAD / len(lead)) for text in lead)])


@remember
def systems(language: str, ruled: bool, rules: tuple[str, ...] = ()) -> Options[tuple[Rule, str]]:
    """Rules, of all if `rules` is empty, each with one of its texts; `ruled` leaves out those that change nothing."""
    found = []
    for block in table("system", language)["system"]:
        if (not rules or block["rule"] in rules) and not (ruled and block["rule"] == "none"):
            fields = {name: block[name] for name in ("rule", "form") if name in block}
            fields |= {name: tuple(block[name]) for name in ("ask", "reply", "hello", "welcome") if name in block}
            texts = block["text"] + block.get("english_text", [])
            found += [((Rule(**fields), text), block["weight"] / len(texts)) for text in texts]
    return Options(found)


def named_turns(chat: Chat) -> None:
    if chance(chat, 0.3):
        chat.turn("fact", "sum", "count")
    chat.says(USER, chat.rule.ask, chat.system_slots)
    chat.answers(chat.rule.reply, chat.system_slots)


def user_named_turns(chat: Chat) -> None:
    rule, hello = chat.rule, chance(chat, 0.5)
    if hello:
        chat.says(USER, rule.hello, chat.system_slots)
        chat.answers(rule.welcome, chat.system_slots)
    if not hello or chat.goes_on(0.5):
        chat.says(USER, rule.ask, chat.system_slots)
        chat.answers(rule.reply, chat.system_slots)


def other_turns(chat: Chat) -> None:
    story = 8 if chat.rule.rule in TELLING else 0
    shape = chat.draws.choose(Options({"turns": 72, "memory": 20, "story": story}))
    if shape == "story":
        chat.story()
    elif shape == "memory":
        memory = chat.draws.choose(memories(chat.language))
        memory.asked(chat, memory.told(chat))
    else:
        hello_and_turns(chat, 0.3)
