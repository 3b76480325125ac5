"""The turns of a chat: `Chat` writes questions, answers and stories one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from training.corpus.draws import Draws, Options
from training.corpus.grammar import Slots, Table, fill, literal_of_last, takes_an
from training.corpus.invented import invented
from training.corpus.names import names
from training.corpus.questions import Item, questions, rows_to_ask
from training.corpus.stories import Story, draw_story, requests, topics
from training.corpus.tables import check_language, remember, table

T = TypeVar("T")
SYSTEM, USER, ASSISTANT = "\x01", "\x02", "\x03"  # one of them before each message of a drawn chat
REQUESTS = Options({"wish": 56, "beginning": 12, "noun": 10, "named": 10, "thing": 6, "topic": 4, "plain": 2})
WISH = Options({"wish": 1})
SECRETS = frozenset({"names", "questions", "systems", "requests"})


class Rule(NamedTuple):
    """What a system text does to the answers: a block of data/system.toml."""

    rule: str = "none"
    form: str = "{answer}"  # what is put around an answer
    ask: tuple[str, ...] = ()  # "named" and "user_named" have questions and replies of their own
    reply: tuple[str, ...] = ()
    hello: tuple[str, ...] = ()
    welcome: tuple[str, ...] = ()

    @property
    def around(self) -> list[str]:
        return re.split(r"\{answer\}|\{short\}", self.form)

    @property
    def change(self) -> Callable[[str], str]:
        return CHANGES.get(self.rule, str)


CHANGES: dict[str, Callable[[str], str]] = {"capitals": str.upper, "exclaim": lambda text: text.replace("。", "！")}


class Chat:
    """A dialog in the making.

    secret: some of SECRETS; what it names is drawn from the held-out side, all else from what is trained on.
    made_up: what is told, repeated and asked for are words that nobody says.
    """

    def __init__(self, draws: Draws, language: str, secret: frozenset[str] = frozenset(), made_up: bool = False):
        unknown = secret - SECRETS
        if unknown:
            raise ValueError(f"secret must be some of {sorted(SECRETS)}, got {sorted(unknown)}")
        self.draws, self.language, self.secret = draws, check_language(language), secret
        self.asks = table("asks")[language]
        self.made_up = made_up
        self.rule, self.system_wording, self.system_slots = Rule(), "", Slots()

    def goes_on(self, probability: float) -> bool:
        """Whether there is another turn. No token shows it: between two turns there is only a bos."""
        return self.draws.choose(yes_or_no(probability), silent=True)

    def says(self, who: str, wordings: Options[str] | Iterable[str], slots: Slots) -> None:
        """A message of the user or the system in one of these wordings."""
        self.draws.write(who)
        fill(self.draws, as_options(wordings), slots)

    def answers(self, wordings: Options[str] | Iterable[str], slots: Slots) -> str:
        """The answer in one of these wordings, changed as the system text demands. Returns the wording."""
        return self.write_answer(lambda: fill(self.draws, as_options(wordings), slots))

    def write_answer(self, write: Callable[[], T]) -> T:
        """The assistant's message: what write() writes, changed as the system text demands. Returns its result."""
        before, *between, after = self.rule.around
        self.draws.write(ASSISTANT)
        self.draws.change = self.rule.change
        fill(self.draws, before, self.system_slots)
        start = len(self.draws.text)
        written = write()
        for _ in between:  # a form like "{answer}{answer}"
            self.draws.write(self.draws.text[start:])
        fill(self.draws, after, self.system_slots)
        self.draws.change = str
        return written

    def turn(self, *kinds: str) -> tuple[Item, Slots, str]:
        """A question of one of these kinds, of any if there are none, and its answer.

        Returns the item, its slots, and the wording of the answer.
        """
        one_word = self.rule.rule == "one_word"
        options = questions(self.language, kinds, one_word, self.system_wording, self.secret)
        self.draws.write(USER)
        item, ask = self.draws.choose(options, literal_of_last)
        slots = Slots(*([invented(self.language)] if self.made_up and item.kind == "echo" else []), *item.tables)
        if item.rows:
            slots.add(rows_to_ask(item.rows, ask, "questions" in self.secret))
        fill(self.draws, ask, slots)
        return item, slots, self.answers([item.short] if one_word else item.answer, slots)

    def story(self, about: str | None = None) -> Story:
        """A request for a story, and the story. about: one of REQUESTS; None draws one."""
        asks = self.asks["story"]
        about = about or self.draws.choose(REQUESTS if "requests" not in self.secret else WISH)
        slots = Slots(requests(self.language, "requests" in self.secret), names(self.language, "names" in self.secret))
        slots.add(*topics(self.language))
        if self.made_up:
            return self.story_of_made_up(asks[about], slots, whole=about != "beginning")
        self.says(USER, asks[about], slots)
        held = slots.held
        wish = held.get("wish") or held.get("object") or held.get("topic")
        return self.tells(held.get("noun"), wish, held.get("name"), whole=about != "beginning")

    def story_of_made_up(self, wordings: Iterable[str], slots: Slots, whole: bool) -> Story:
        """A story in which the object that was asked for, or the hero, has a name that nobody knows."""
        noun, wish = self.draws.choose(pairs(slots.tables["wish"]))
        word, name = (self.draws.choose(invented(self.language).column(column)) for column in ("word", "name"))
        article = ("an " if takes_an(word) else "a ") if wish.startswith(("a ", "an ")) else ""
        called = article + word
        slots = Slots(noun=noun, wish=called, name=name, object=called)
        self.says(USER, wordings, slots)

        def write() -> Story:
            return draw_story(self.draws, self.language, noun, wish, slots.held["name"], whole, instead=word)

        return self.write_answer(write)

    def tells(self, noun: str | None, wish: str | None = None, name: str | None = None, whole: bool = True) -> Story:
        return self.write_answer(lambda: draw_story(self.draws, self.language, noun, wish, name, whole))


@remember
def pairs(requested: Table) -> Options[tuple[str, str]]:
    return Options(((row["noun"], row["wish"]), weight) for row, weight in requested.rows)


@remember
def yes_or_no(probability: float) -> Options[bool]:
    return Options({True: probability, False: 1 - probability})


@remember
def uniform(wordings: tuple[str, ...]) -> Options[str]:
    return Options.uniform(wordings)


def as_options(wordings: Options[str] | Iterable[str]) -> Options[str]:
    return wordings if isinstance(wordings, Options) else uniform(tuple(wordings))
