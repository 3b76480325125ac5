"""Questions with their answers: small talk, facts, sums, counting, echoes. `Chat` writes them one after the other.

An `Item` is one question in several wordings, with its answers; the slots of all of them come from the same tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import product
from typing import NamedTuple, TypeVar

from training.draws import Draws, Options
from training.grammar import Slots, Table, capitalised, fill, literal, literal_of_last, without_choices
from training.stories import Story, draw_story, wishes, words_of
from training.tables import DATA, check_language, is_secret, read, remember, table

T = TypeVar("T")
SYSTEM, USER, ASSISTANT = "\x01", "\x02", "\x03"  # stand before a message in the drawn text
KINDS = {"fact": 42, "talk": 18, "sum": 24, "count": 5, "echo": 5, "added": 6}
REQUESTS = Options({"wish": 56, "beginning": 12, "noun": 10, "named": 10, "thing": 6, "topic": 4, "plain": 2})
WISH = Options({"wish": 1})
LISTED = 0.4  # of the names are in the list; the others are put together from two parts
NAME_LISTS = ("names", "names_foreign", "held_out")  # of people.toml
SECRETS = frozenset({"names", "questions", "systems", "requests"})


class Item(NamedTuple):
    kind: str
    ask: tuple[str, ...]
    answer: Options[str]
    short: str | None  # the answer in one word
    tables: tuple[Table, ...]
    weight: float
    rows: Table | None = None  # of which some are never asked for in some wordings


class Rule(NamedTuple):
    """What a system text does to the answers: a block of data/system.toml."""

    rule: str = "none"
    form: str = "{answer}"  # what stands around an answer
    ask: tuple[str, ...] = ()  # of "named" and "user_named": questions and replies of their own
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

    `secret` names what is taken from the held-out side instead of the other: some of SECRETS.
    """

    def __init__(self, draws: Draws, language: str, secret: frozenset[str] = frozenset()):
        unknown = secret - SECRETS
        if unknown:
            raise ValueError(f"secret may hold {sorted(SECRETS)}, got {sorted(unknown)}")
        self.draws, self.language, self.secret = draws, check_language(language), secret
        self.asks = table("asks")[language]
        self.rule, self.system_wording, self.system_slots = Rule(), "", Slots()

    def goes_on(self, probability: float) -> bool:
        """Whether there is another turn. No token shows it: between two turns there is only a bos."""
        return self.draws.choose(yes_or_no(probability), silent=True)

    def says(self, who: str, wordings: Options[str] | Iterable[str], slots: Slots) -> None:
        """A message of the user or the system in one of these wordings."""
        self.draws.write(who)
        fill(self.draws, self.draws.choose(as_options(wordings), literal), slots)

    def answers(self, wordings: Options[str] | Iterable[str], slots: Slots) -> str:
        """The answer, as the system text wants it; returns the wording."""

        def write() -> str:
            wording = self.draws.choose(as_options(wordings), literal)
            fill(self.draws, wording, slots)
            return wording

        return self.write_answer(write)

    def write_answer(self, write: Callable[[], T]) -> T:
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
        """A question of one of these kinds, with its answer: the item, its slots, the wording of the answer."""
        one_word = self.rule.rule == "one_word"
        options = questions(self.language, kinds, one_word, self.system_wording, self.secret)
        self.draws.write(USER)
        item, ask = self.draws.choose(options, literal_of_last)
        slots = Slots(*item.tables)
        if item.rows:
            slots.add(open_rows(item.rows, ask, "questions" in self.secret))
        fill(self.draws, ask, slots)
        return item, slots, self.answers([item.short] if one_word else item.answer, slots)

    def story(self, about: str | None = None) -> Story:
        """A request for a story, of one of the sorts in REQUESTS, and the story."""
        asks = self.asks["story"]
        about = about or self.draws.choose(REQUESTS if "requests" not in self.secret else WISH)
        slots = Slots(requests(self.language, "requests" in self.secret), names(self.language, "names" in self.secret))
        slots.add(*topics(self.language))
        self.says(USER, asks[about], slots)
        held = slots.held
        wish = held.get("wish") or held.get("object") or held.get("topic")
        return self.tells(held.get("noun"), wish, held.get("name"), whole=about != "beginning")

    def tells(self, noun: str | None, wish: str | None = None, name: str | None = None, whole: bool = True) -> Story:
        return self.write_answer(lambda: draw_story(self.draws, self.language, noun, wish, name, whole))


@remember
def yes_or_no(probability: float) -> Options[bool]:
    return Options({True: probability, False: 1 - probability})


@remember
def uniform(wordings: tuple[str, ...]) -> Options[str]:
    return Options.uniform(wordings)


def as_options(wordings: Options[str] | Iterable[str]) -> Options[str]:
    return wordings if isinstance(wordings, Options) else uniform(tuple(wordings))


# ---- what is asked


@remember
def questions(language: str, kinds: tuple, short: bool, system: str, secret: frozenset) -> Options[tuple[Item, str]]:
    """Items with one of their wordings. Some pairs of system text and wording are secret."""
    weights = []
    for item in items(language):
        if item.kind not in (kinds or KINDS) or (short and not item.short):
            continue
        for ask in item.ask:
            share = 1.0
            if system and is_secret(system, ask) != ("systems" in secret):
                share = 0.0
            elif item.rows:
                share = share_of_rows(item.rows, ask, "questions" in secret)
            elif "questions" in secret:
                share = 0.0
            weights.append(((item, ask), item.weight * share / len(item.ask)))
    return Options(weights)


def is_secret_row(row: dict[str, str], ask: str) -> bool:
    """Whether the question that this wording makes of the row is never asked in training, anywhere."""
    return is_secret("question", without_choices(ask, row))


@remember
def share_of_rows(rows: Table, ask: str, secret: bool) -> float:
    total = sum(weight for _, weight in rows.rows)
    return sum(weight for row, weight in rows.rows if is_secret_row(row, ask) == secret) / total


@remember
def open_rows(rows: Table, ask: str, secret: bool) -> Table:
    return Table((row, weight) for row, weight in rows.rows if is_secret_row(row, ask) == secret)


@remember
def items(language: str) -> list[Item]:
    """All that can be asked for, outside stories, memory and system texts; the weights of a kind add up to KINDS."""
    found = [*facts(language), *facts_of_both(language), *talks(language), *numbers(language), echo(language)]
    total = {kind: sum(item.weight for item in found if item.kind == kind) for kind in KINDS}
    return [item._replace(weight=item.weight * KINDS.get(item.kind, 1) / total.get(item.kind, 1)) for item in found]


def facts(language: str) -> Iterable[Item]:
    for fact in table("facts", language)["fact"]:
        rows, answer = rows_of(fact), Options.uniform(fact["answer"])
        yield Item("fact", tuple(fact["ask"]), answer, fact.get("short"), (), len(rows.rows) ** 0.5, rows)


def facts_of_both(language: str) -> Iterable[Item]:
    """What is known in both languages. A system text asks for kinds such as "en>zh": asked in English, answered in
    Chinese. Kind "added" asks in this language and says that the answer shall be in the other one."""
    other, added = "zh" if language == "en" else "en", table("asks")["added"][language]
    keys = {"zh": ("ask", "answer", "short"), "en": ("ask_english", "english", "short_english")}
    for fact in [*table("facts", "zh")["fact"], *table("system", "zh")["english"]]:
        if "english" not in fact:
            continue
        rows, weight = rows_of(fact), len(rows_of(fact).rows) ** 0.5 if "rows" in fact else 0.5
        for to, (_, answer, short) in keys.items():
            wording = (Options.uniform(fact[answer]), fact.get(short), (), weight, rows)
            for asked in (asked for asked in keys if keys[asked][0] in fact):
                yield Item(f"{asked}>{to}", tuple(fact[keys[asked][0]]), *wording)
            if to == other and "rows" in fact and keys[language][0] in fact:
                asks = tuple(ask + wish for ask in fact[keys[language][0]] for wish in added)
                yield Item("added", asks, *wording)


def rows_of(fact: dict) -> Table | None:
    if "rows" not in fact:
        return None
    rows = [dict(zip(fact["columns"], row, strict=True)) for row in fact["rows"]]
    if fact.get("both"):  # a row is read backwards too
        rows += [dict(zip(fact["columns"], row[::-1], strict=True)) for row in fact["rows"]]
    return Table.of_rows(rows)


def talks(language: str) -> Iterable[Item]:
    """Small talk. The kinds "hello", "thanks" and "bye" stand only where they belong."""
    talk, words, people = table("talk", language), words_of(language), table("people", language)
    animals = Table(
        ({"animal": animal, "animals_plural": plural(animal)}, p)
        for animal, p in words.animals.probabilities()
        if animal not in NO_PLURAL
    )
    big = [str(n) for n in range(21, 1000)]
    tables = [Table(({name: n}, 1) for n in big) for name in ("big", "big2")]
    tables += [Table.of_list("food", words.words["food"] if language == "en" else people["foods"]), animals]
    tables += [Table.of_list(name, values) for name, values in talk["slots"].items() if name != "animal"]
    tables = tuple(tables)
    for block in talk["talk"]:
        kind = block["kind"] if block["kind"] in ("hello", "thanks", "bye") else "talk"
        for each in {kind, block["kind"]}:  # `turn("self")` asks for this sort of talk alone
            weight = block.get("weight", 1) * len(block["ask"]) ** 0.5
            yield Item(each, tuple(block["ask"]), Options.uniform(block["answer"]), block.get("short"), tables, weight)


NO_PLURAL = {"mouse", "wolf", "sheep", "goose", "deer", "fish", "calf"}


def plural(animal: str) -> str:
    return animal + ("es" if re.search(r"(x|s|sh|ch)$", animal) else "s")


def numbers(language: str) -> Iterable[Item]:
    """Sums to 20 and counting to 12."""
    asks, comma = table("asks")[language], ", " if language == "en" else "、"

    def row(**columns: object) -> dict[str, str]:
        return {name: str(value) for name, value in columns.items()}

    def line(start: int, end: int) -> str:
        return comma.join(map(str, range(start, end + 1)))

    def in_words(rows: list) -> list:
        numerals = table("talk", "zh")["slots"]["numerals"]
        return [({name: numerals[int(value)] for name, value in row.items()}, weight) for row, weight in rows]

    counts = [(start, end) for start in range(2, 10) for end in range(start + 2, 13)]
    rows = {
        "plus": [(row(a=a, b=n - a, n=n), 1 / (n + 1)) for n in range(21) for a in range(n + 1)],
        "minus": [(row(a=a, b=b, n=a - b), 1 / (a + 1)) for a in range(21) for b in range(a + 1)],
        "count_to": [(row(end=end, numbers=line(1, end)), 1) for end in range(3, 13)],
        "count_from": [(row(start=start, end=end, numbers=line(start, end)), 1) for start, end in counts],
        "after": [(row(n=n, next=n + 1), 1) for n in range(1, 20)],
        "before": [(row(n=n, next=n + 1), 1) for n in range(1, 20)],
    }
    if language == "zh":
        rows |= {f"{name}_words": in_words(rows[name]) for name in ("plus", "minus")}
    for name, pairs in rows.items():
        fields = (tuple(asks[name]["ask"]), Options.uniform(asks[name]["answer"]), asks[name].get("short"))
        if name.startswith(("plus", "minus")):
            yield Item("sum", *fields, (), 2 if name.startswith("plus") else 1, Table(pairs))
        else:
            yield Item("count", *fields, (Table(pairs),), 2 if name == "count_to" else 1)


def echo(language: str) -> Item:
    asks, words = table("asks")[language]["echo"], words_of(language)
    word = Options.zipf(table("people", language)["words"]).probabilities()
    word += names(language, False).column("name").probabilities()
    word += Options.zipf(words.words["toy"]).probabilities() + words.animals.probabilities()
    tables = (
        Table.of_list("sentence", asks["sentence"]),
        Table(({"word": text}, p) for text, p in Options(word).probabilities()),
        Table(({"animal": animal}, p) for animal, p in words.animals.probabilities()),
    )
    return Item("echo", tuple(asks["ask"]), Options.uniform(asks["answer"]), None, tables, 1)


# ---- names and requests


@remember
def names(language: str, secret: bool = False) -> Table:
    """Column "name": names of users and pets, thousands of them; or those that are never trained on."""
    people, said = table("people", language), words_said(language)
    listed = [name for name in people["names"] + people.get("names_foreign", []) if name not in people["held_out"]]
    made = sorted(name for name in made_up_names(language) - {*listed, *people["held_out"]} if name.lower() not in said)
    open_names = [name for name in made if not is_secret("name", name)]
    if secret:
        within = {name[i : i + 2] for name in [*open_names, *listed] for i in (0, 1)} if language == "zh" else set()
        hidden = [name for name in people["held_out"] if name.lower() not in said]
        hidden += [name for name in made if is_secret("name", name) and name not in within]
        return Table(({"name": name}, 1) for name in sorted(hidden))
    weights = [(name, LISTED * p) for name, p in Options.zipf(listed).probabilities()]
    weights += [(name, (1 - LISTED) / len(open_names)) for name in open_names]
    return Table(({"name": name}, weight) for name, weight in weights)


def words_said(language: str) -> set[str]:
    """What stands in texts anyway, so that it is no new name: words; in Chinese two or three characters in a row."""
    paths = [path for path in DATA.iterdir() if path.name == "asks.toml" or ("zh" in path.name) == (language == "zh")]
    people = {name: words for name, words in table("people", language).items() if name not in NAME_LISTS}
    text = " ".join([read(path) for path in paths if "people" not in path.name] + sum(people.values(), [])).lower()
    if language == "en":
        return set(re.findall(r"\w+", text))
    return {text[i : i + n] for n in (2, 3) for i in range(len(text))}


def made_up_names(language: str) -> set[str]:
    """Names of two syllables. In Chinese: 王宁, 小宁, 宁宁, and some of 王雨宁."""
    people = table("people", language)
    if language == "en":
        return {capitalised(one + two) for one in people["parts"] for two in people["parts"] if one != two}
    two = {one + last for one in people["surnames"] + people["heads"] for last in people["lasts"]}
    three = {"".join(parts) for parts in product(people["surnames"], people["middles"], people["lasts"])}
    return two | {name * 2 for name in people["doubles"]} | {name for name in three if is_secret(name, one_in=40)}


@remember
def requests(language: str, secret: bool = False) -> Table:
    """Columns "noun" and "wish": whom a story can be about, and with what."""
    return Table(
        ({"noun": noun, "wish": wish}, p * q)
        for noun, p in words_of(language).nouns.probabilities()
        for wish, q in wishes(language, noun).probabilities()
        if noun not in wish and is_secret("request", noun, wish) == secret
    )


@remember
def topics(language: str) -> tuple[Table, Table]:
    """Column "topic": what a story can be about; column "object": with what, whoever the hero."""
    found = {"topic": wishes(language, sort="topic"), "object": wishes(language)}
    return tuple(Table(({name: wish}, p) for wish, p in options.probabilities()) for name, options in found.items())
