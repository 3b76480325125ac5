"""Short chats of lists that have to be known by heart: sums, facts, sayings, and the same under a system text.

In the other chats each of these comes too seldom. Rows full of them are read once the model can read.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from training.corpus.chats import dialog_of, draw_system, system_chat
from training.corpus.document import Document, chat_texts, is_held_out
from training.corpus.draws import Draws, Options
from training.corpus.grammar import Slots, fill
from training.corpus.held_out import never_trained, unknown
from training.corpus.questions import SAID_FIRST
from training.corpus.tables import LANGUAGES
from training.corpus.turns import USER, Chat

QUIZZES = Options({"sum": 28, "fact": 13, "added": 4, "count": 3, "saying": 17, "unknown": 5, "system": 16, "form": 14})
FORMS = {"en": ("one_word", "capitals"), "zh": ("one_word", "twice")}  # rules under which answers look like no others


def quizzes(seed: int) -> Iterator[Document]:
    """Such chats without end, in both languages, none of them held out."""
    rng = Random(f"quizzes {seed}")
    while True:
        for language in LANGUAGES:
            draws = Draws(rng)
            quiz_chat(Chat(draws, language))
            document = Document(f"chat_{language}", tuple(chat_texts(dialog_of(draws.text))))
            if not is_held_out(document) and not never_trained(document):
                yield document


def quiz_chat(chat: Chat) -> None:
    kind = chat.draws.choose(QUIZZES, silent=True)
    if kind == "system":
        system_chat(chat)
    elif kind == "form":
        draw_system(chat, *FORMS[chat.language])
        chat.turn()
    elif kind == "unknown":
        item, ask = chat.draws.choose(unknown(chat.language))
        slots = Slots(*item.tables)
        chat.draws.write(USER)
        fill(chat.draws, ask, slots)
        chat.answers(item.answer, slots)
    elif kind == "saying":
        chat.turn("talk", *SAID_FIRST)
    else:
        chat.turn(kind)
