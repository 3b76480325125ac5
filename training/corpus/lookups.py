"""Short chats whose answer can be found further up: something told, a word to repeat, what the system text says, what
a story should be about.

A network learns to look back within minutes from rows full of them. If they are one text in ten, it does not learn it
within an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from training.corpus.chats import dialog_of, draw_system, memory_chat, named_turns, user_named_turns
from training.corpus.document import Document, chat_texts, is_held_out
from training.corpus.draws import Draws, Options
from training.corpus.held_out import never_trained
from training.corpus.tables import LANGUAGES
from training.corpus.turns import Chat

SHAPES = Options({"memory": 42, "beginning": 20, "story": 12, "echo": 8, "named": 8, "ending": 10})
MADE_UP = Options({True: 0.6, False: 0.4})  # share of the chats about words that nobody says


def lookups(seed: int) -> Iterator[Document]:
    """Such chats without end, in both languages, none of them held out."""
    rng = Random(f"lookups {seed}")
    while True:
        for language in LANGUAGES:
            draws = Draws(rng)
            looks_up = lookup_chat(Chat(draws, language, made_up=draws.choose(MADE_UP)))
            document = Document(f"chat_{language}", tuple(chat_texts(dialog_of(draws.text))))
            if looks_up and not is_held_out(document) and not never_trained(document):
                yield document


def lookup_chat(chat: Chat) -> bool:
    """Write one. Returns whether the answer can be found: sometimes what is asked back was never told."""
    shape = chat.draws.choose(SHAPES, silent=True)
    if shape == "memory":
        return bool(memory_chat(chat))
    if shape == "beginning":
        return bool(chat.story("beginning").wish)
    if shape == "story":
        return bool(chat.story("wish").wish)
    if shape == "echo":
        chat.turn("echo")
    elif shape == "ending":
        draw_system(chat, "ending", "beginning")
        chat.turn()
    else:
        draw_system(chat, "named", "user_named")
        named_turns(chat) if chat.rule.rule == "named" else user_named_turns(chat)
    return True
