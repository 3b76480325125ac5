"""Short chats, drawn from the tables in data/: small talk, facts, sums, memory, system prompts, stories on request.

A `Turn` is one question with its answer; a chat is a list of turns, perhaps under a system text whose rule changes
every answer.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from training.grammar import fill
from training.stories import ANIMALS, WORDS, draw_story, topics
from training.tables import table

TALK, FACTS, MEMORY, SYSTEM, PEOPLE = table("talk"), table("facts"), table("memory"), table("system"), table("people")


class Turn(NamedTuple):
    user: str
    assistant: str
    short: str | None = None  # the answer in one word, where there is one


def draw_chat(rng: Random, long: bool = False) -> list[dict[str, str]]:
    """A finished dialog: messages {"role", "content"}, perhaps a system message first.

    It has one to three turns; five to nine, with something to remember from the first, if `long`.
    """
    draw = weighted(rng, {plain_chat: 31, story_chat: 13, memory_chat: 28, system_chat: 28})
    system, turns = (long_chat if long else draw)(rng)
    dialog = [{"role": "system", "content": system}] if system else []
    for turn in turns:
        dialog += [{"role": "user", "content": turn.user}, {"role": "assistant", "content": turn.assistant}]
    return dialog


def weighted(rng: Random, weights: dict[Callable, int]) -> Callable:
    return rng.choices(list(weights), list(weights.values()))[0]


# ---- single turns


def any_turn(rng: Random) -> Turn:
    return weighted(rng, {fact_turn: 40, talk_turn: 30, sum_turn: 15, count_turn: 7, echo_turn: 8})(rng)


def talk_turn(rng: Random, *kinds: str) -> Turn:
    talk = rng.choice([talk for talk in TALK["talk"] if not kinds or talk["kind"] in kinds])
    animal = rng.choice([a for a in ANIMALS if a not in ("mouse", "wolf", "sheep")])
    slots = {name: rng.choice(values) for name, values in TALK["slots"].items()}
    slots |= {
        "food": rng.choice(WORDS["food"]),
        "animal": animal,
        "animals_plural": "foxes" if animal == "fox" else f"{animal}s",
        "big": str(rng.randint(21, 999)),
        "big2": str(rng.randint(21, 999)),
    }
    ask, answer = rng.choice(talk["ask"]), rng.choice(talk["answer"])
    return Turn(fill(ask, slots, rng), fill(answer, slots, rng), talk.get("short"))


def fact_turn(rng: Random) -> Turn:
    fact = rng.choice(FACTS["fact"])
    row = rng.choice(fact["rows"])
    if fact.get("both") and rng.random() < 0.5:
        row = row[::-1]
    slots = dict(zip(fact["columns"], row, strict=True))
    short = fill(fact["short"], slots, rng) if "short" in fact else None
    return Turn(fill(rng.choice(fact["ask"]), slots, rng), fill(rng.choice(fact["answer"]), slots, rng), short)


def sum_turn(rng: Random) -> Turn:
    total = rng.randint(0, 20)
    a = rng.randint(0, total)
    b = total - a
    ask = fill("[What is|What's|How much is] {a} [+|plus] {b}?", {"a": str(a), "b": str(b)}, rng)
    return Turn(rng.choice([ask, ask, f"{a} + {b} = ?", f"{a} + {b}"]), f"{a} + {b} = {total}.", str(total))


def count_turn(rng: Random) -> Turn:
    start = rng.choice([1, 1, 1, rng.randint(2, 9)])
    end = rng.randint(start + 2, 12)
    numbers = ", ".join(map(str, range(start, end + 1)))
    if rng.random() < 0.3:
        ask = rng.choice([f"What number comes after {end}?", f"What comes after {end}?"])
        return Turn(ask, f"After {end} comes {end + 1}.", str(end + 1))
    if start == 1:
        ask = rng.choice([f"Count to {end}.", f"Please count to {end}.", f"Can you count to {end}?"])
        return Turn(ask, f"{numbers}.")
    return Turn(f"Count from {start} to {end}.", f"{numbers}.")


def echo_turn(rng: Random) -> Turn:
    word = rng.choice([rng.choice(PEOPLE["words"]), made_up_name(rng), f"the {rng.choice(ANIMALS + WORDS['toy'])}"])
    slots = {"word": word, "animal": rng.choice(ANIMALS)}
    shape = "[{word}|{word}|I like {word}.|I see {word} and the {animal}.|{word}, {animal}, {word}]"
    sentence = fill(shape, slots, rng)
    ask = rng.choice(["Say:", "Repeat after me:", "Repeat:", "Please repeat:"])
    return Turn(f"{ask} {sentence}", sentence, capitalised(word) if sentence == word and " " not in word else None)


def made_up_name(rng: Random) -> str:
    return "".join(rng.choice(PEOPLE["parts"]) for _ in range(rng.randint(2, 3))).capitalize()


def user_name(rng: Random) -> str:
    """A name for a user, never one that is held out."""
    while True:
        name = rng.choice(PEOPLE["names"]) if rng.random() < 0.6 else made_up_name(rng)
        if name not in PEOPLE["held_out"]:
            return name


def story_turn(rng: Random) -> tuple[Turn, Turn]:
    """A request for a story with the story, and a question about it with its answer."""
    noun, name, about = None, None, ""
    sort = rng.random()
    if sort < 0.15:
        story = draw_story(rng, topic=rng.choice(topics()))
        about = f" about {story.topic}"
    elif sort < 0.25:
        story = draw_story(rng)
    else:
        noun = rng.choice(["girl", "boy", *rng.choices(ANIMALS, k=5)])
        name = user_name(rng) if rng.random() < 0.35 else None
        story = draw_story(rng, noun=noun, hero=name)
        about = fill(" about {a noun}", {"noun": noun}, rng)
        about += f" {rng.choice(['named', 'called'])} {name}" if name else ""
    ask = fill("[Tell me|Tell me|Please tell me|Can you tell me|I want to hear|I would like|Write]", {}, rng)
    end = "?" if ask.startswith("Can") else rng.choice([".", "", ", please."])
    request = f"{ask} a {rng.choice(['', '', '', 'short ', 'little ', 'bedtime '])}story{about}{end}"
    question = "[What was the {noun}'s name?|What was the name of the {noun}?|What was the {noun} called?]"
    answer = f"The {story.noun}'s name was {story.hero}."
    return Turn(request, story.text), Turn(fill(question, {"noun": story.noun}, rng), answer, story.hero)


# ---- whole chats: (system text or None, turns)


def plain_chat(rng: Random):
    turns = [any_turn(rng) for _ in range(rng.choice([1, 2, 2, 3]))]
    if rng.random() < 0.25:
        turns = [talk_turn(rng, "hello"), *turns[:2]]
    if len(turns) < 3 and rng.random() < 0.15:
        turns.append(talk_turn(rng, "thanks", "bye"))
    return None, turns


def story_chat(rng: Random):
    opening = rng.random()
    if opening < 0.2:  # the offer of a story is taken up, or not
        offer = offer_turn(rng)
        if rng.random() < 0.25:
            no = fill("No[.|, thank you.|, thanks.]", {}, rng)
            return None, [offer, Turn(no, "All right. What would you like to do?")]
        offered = [animal for animal in ANIMALS if offer.assistant.endswith(f" {animal}?")]
        story = draw_story(rng, noun=offered[0] if offered else None)
        return None, [offer, Turn(fill("Yes[.|!|, please.|, please!]", {}, rng), story.text)]
    turn, question = story_turn(rng)
    if opening < 0.3:
        return None, [talk_turn(rng, "hello"), turn]
    if opening < 0.6:
        return None, [turn, question]
    if opening < 0.7:
        return None, [turn, talk_turn(rng, "thanks", "bye")]
    return None, [turn]


def offer_turn(rng: Random) -> Turn:
    while True:
        turn = talk_turn(rng, "hello", "small")
        if "story" in turn.assistant:
            return turn


class Memory(NamedTuple):
    sort: str  # "names", "colours" ...
    tell: Turn
    ask: Turn
    unknown: Turn  # asked before it was told


def draw_memory(rng: Random, but: str | None = None) -> Memory:
    """Something to remember, of another sort than `but`."""
    sorts = [memory for memory in MEMORY["memory"] if memory["values"] != but]
    memory = rng.choices(sorts, [memory["weight"] for memory in sorts])[0]
    sort = memory["values"]
    if sort in ("names", "pets"):
        value = user_name(rng)
    else:
        value = str(rng.randint(3, 60)) if sort == "ages" else rng.choice(PEOPLE[sort])
    slots = {"x": value, "pet": rng.choice(PEOPLE["pets"])}
    tell, reply, ask, answer, unknown = (
        fill(rng.choice(memory[key]), slots, rng) for key in ("tell", "reply", "ask", "answer", "unknown")
    )
    return Memory(sort, Turn(tell, reply), Turn(ask, answer, capitalised(value)), Turn(ask, unknown, "Unknown"))


def memory_chat(rng: Random):
    """Something is told and asked back, perhaps with something else between; or asked without being told."""
    sort, tell, ask, unknown = draw_memory(rng)
    shape = rng.random()
    if shape < 0.12:
        return None, [unknown, tell] if rng.random() < 0.6 else [unknown]
    if shape < 0.5:
        return None, [tell, ask]
    if shape < 0.72:
        return None, [tell, any_turn(rng), ask]
    other = draw_memory(rng, but=sort)
    if shape < 0.92:
        return None, [tell, other.tell, rng.choice([ask, other.ask])]
    then = other.tell.user.replace("My ", "my ", 1) if other.tell.user.startswith("My ") else other.tell.user
    if not then.startswith(("I ", "my ")):
        return None, [tell, ask]
    return None, [Turn(f"{tell.user.rstrip('.')} and {then}", "I will remember that."), rng.choice([ask, other.ask])]


def capitalised(word: str) -> str:
    return word[0].upper() + word[1:]


def system_chat(rng: Random):
    rule, text, name, word = draw_rule(rng)
    return text, [apply(rule, turn, word) for turn in system_turns(rng, rule, name)]


def draw_rule(rng: Random) -> tuple[str, str, str, str]:
    """A rule, the system text that asks for it, and the name and the word it may speak of."""
    system = rng.choices(SYSTEM["system"], [system["weight"] for system in SYSTEM["system"]])[0]
    name, word = user_name(rng), rng.choice(PEOPLE["words"])
    text = fill(rng.choice(system["text"]), {"name": name, "word": word}, rng)
    if rng.random() < 0.2 and system["rule"] != "none":
        text = f"You are a {rng.choice(['helpful', 'friendly'])} assistant. {text}"
    return system["rule"], text, name, word


def system_turns(rng: Random, rule: str, name: str) -> list[Turn]:
    if rule == "one_word":
        turns = []
        while len(turns) < rng.choice([1, 1, 2]):
            turn = any_turn(rng)
            turns += [turn] if turn.short else []
        return turns
    if rule == "named":
        ask = rng.choice(["What is your name?", "Who are you?", "What's your name?", "What are you called?"])
        return [*([any_turn(rng)] if rng.random() < 0.3 else []), Turn(ask, f"My name is {name}.")]
    if rule == "user_named":
        ask = rng.choice(["What is my name?", "Who am I?", "What's my name?", "Do you know my name?"])
        hello = Turn(fill("[Hi|Hello|Hey|Good morning][!|.|]", {}, rng), f"Hello, {name}! How are you today?")
        return rng.choice([[hello], [Turn(ask, f"Your name is {name}.")], [hello, Turn(ask, f"Your name is {name}.")]])
    if rng.random() < 0.08 and rule in ("none", "ending", "beginning", "pirate", "cat"):
        return [story_turn(rng)[0]]
    if rng.random() < 0.2:
        memory = draw_memory(rng)
        return [memory.tell, memory.ask]
    turns = [any_turn(rng) for _ in range(rng.choice([1, 1, 2]))]
    if rng.random() < 0.35:
        turns[0] = talk_turn(rng, "hello", "self", "small")
    return turns


def apply(rule: str, turn: Turn, word: str) -> Turn:
    """The turn, answered as the system text wants it."""
    answer = {
        "capitals": turn.assistant.upper(),
        "one_word": f"{turn.short}.",
        "ending": f"{turn.assistant} {capitalised(word)}!",
        "beginning": f"{capitalised(word)}! {turn.assistant}",
        "pirate": f"Ahoy! {turn.assistant} Arr!",
        "cat": f"Meow! {turn.assistant} Purr.",
    }.get(rule, turn.assistant)
    return Turn(turn.user, answer, turn.short)


def long_chat(rng: Random):
    """Five to nine turns: what was told at the beginning is asked back at the end."""
    memory = draw_memory(rng)
    middle = [any_turn(rng) for _ in range(rng.randint(3, 7))]
    if rng.random() < 0.25:
        middle[0] = story_turn(rng)[0]
    turns = [memory.tell, *middle, memory.ask]
    if rng.random() < 0.3:
        rule, text, _, word = draw_rule(rng)
        if rule not in ("one_word", "named", "user_named"):
            return text, [apply(rule, turn, word) for turn in turns]
    return None, turns
