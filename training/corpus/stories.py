"""Short stories, drawn from the plots in data/*stories.txt and the words in data/*words.toml."""

from __future__ import annotations

import re
from typing import NamedTuple

from training.corpus.draws import Draws, Options
from training.corpus.grammar import Slot, Slots, Table, fill, parse
from training.corpus.plots import Plot, read_plots
from training.corpus.tables import check_language, is_secret, path_of, read, remember, table

PRONOUNS = {  # he, him, his, himself
    "en": {"girl": ("she", "her", "her", "herself"), "boy": ("he", "him", "his", "himself")},
    "zh": {"girl": ("她", "她", "她的", "她自己"), "boy": ("他", "他", "他的", "他自己")},
}
CHILD = 0.2  # share of the heroes who are girls, and of those who are boys; the rest are animals
CLOSED = 0.15  # share of the stories that end with one of the closings
STEP = {"en": 16, "zh": 5}  # characters at the beginning of a step that tell which plot it is of


class Story(NamedTuple):
    """What a drawn story is about; its text is in the draws."""

    noun: str  # what the hero is: "girl", "boy", "fox" …
    hero: str  # the hero's name
    wish: str | None  # what was asked for: an object ("a red ball") or a topic ("a lost toy")


def draw_story(
    draws: Draws,
    language: str,
    noun: str | None = None,
    wish: str | None = None,
    hero: str | None = None,
    whole: bool = True,
    instead: str | None = None,
) -> Story:
    """Write a story. Whatever is None is drawn.

    noun: what the hero is, such as "fox".
    wish: the object or topic that was asked for, one of `wishes(language)`. ValueError if no plot has it.
    hero: the hero's name.
    whole: False stops after the first step that names the object of the wish.
    instead: a word that the story says wherever it would name that object.
    """
    words = words_of(language)
    if wish and wish not in words.wishes(noun).column("wish").items:
        raise ValueError(f"no story has wish={wish!r} for noun={noun!r}; wishes({language!r}, {noun!r}) lists them")
    if noun is None:
        noun = draws.choose(words.nouns_with(wish))
    slots = Slots(words.heroes(noun, hero), words.homes(noun), words.parents, noun=noun, measure=words.measure(noun))
    start = len(draws.text)
    fill(draws, words.openings, slots)
    slots.add(words.friends(noun).without("friend", slots.held["hero"]), words.friend_nouns(noun))
    wished = words.wishes(noun).given("wish", wish) if wish else None
    plot = words.plots[draws.choose(wished.column("plot") if wished else words.plots_for(noun))]
    slots.add(*words.plot_tables(plot.name, noun), *words.lists)
    if wished:
        slot, _, value = draws.choose(wished.given("plot", plot.name).column("holds")).partition("=")
        if slot:
            slots.hold(slot, value)
            slots.held[slot] = instead or value
    for wordings in words.steps(plot.name):
        if not whole and (instead or without_article(wish)) in draws.text[start:]:
            return Story(noun, slots.held["hero"], wish)
        draws.write(words.gap)
        begun = draws.size
        fill(draws, wordings, slots)
        draws.certain.append((begun, begun + STEP[language]))
    fill(draws, words.closings, slots)
    return Story(noun, slots.held["hero"], wish)


def without_article(wish: str) -> str:
    """
    >>> without_article("an old boot")
    'old boot'
    """
    return re.sub("^an? ", "", wish)


def wishes(language: str, noun: str | None = None, sort: str = "object") -> Options[str]:
    """What a story can be asked for: an "object", as in "a story with a red ball", or a "topic"."""
    return words_of(language).wishes(noun).given("sort", sort).column("wish")


@remember
def requests(language: str, secret: bool = False) -> Table:
    """Columns "noun" and "wish": the heroes and objects that a story can be asked for with.

    Rare ones are asked for more often than they are told of, so that none is hardly ever asked for.

    secret: the pairs that are never asked for in training, instead of the others.
    """
    return Table(
        ({"noun": noun, "wish": wish}, (p * q) ** 0.5)
        for noun, p in words_of(language).nouns.probabilities()
        for wish, q in wishes(language, noun).probabilities()
        if noun not in wish and is_secret("request", noun, wish) == secret
    )


@remember
def topics(language: str) -> tuple[Table, Table]:
    """Column "topic": what a story can be about. Column "object": what can be in it, whoever the hero is."""
    found = {"topic": wishes(language, sort="topic"), "object": wishes(language)}
    return tuple(Table(({name: wish}, p) for wish, p in options.probabilities()) for name, options in found.items())


@remember
def words_of(language: str) -> Words:
    return Words(check_language(language))


class Words:
    """The plots and words of one language, as options and tables to draw from. The methods remember their results."""

    def __init__(self, language: str):
        zh = language == "zh"
        self.language, self.gap = language, "" if zh else " "
        self.words = words = table("words", language)
        self.plots = {plot.name: plot for plot in read_plots(read(path_of("stories.txt", language)))}
        self.openings = Options.uniform(words["openings"])
        closings = [(f"{self.gap}{closing}", CLOSED) for closing in words["closings"]]
        self.closings = Options([("", (1 - CLOSED) * len(closings)), *closings])
        self.children = {"女孩": "girl", "男孩": "boy"} if zh else {"girl": "girl", "boy": "boy"}
        self.animals = Options.zipf(words["animals"])
        animals = [(animal, p * (1 - 2 * CHILD)) for animal, p in self.animals.probabilities()]
        self.nouns = Options([*((child, CHILD) for child in self.children), *animals])
        columns = ("parent_name", "p_he", "p_him", "p_his")
        rows = [{"parent": name, **dict(zip(columns, row, strict=True))} for name, row in words["parents"].items()]
        rows = [{**row, "parent": row["parent_name"] if zh else row["parent"]} for row in rows]
        self.parents = Table((row, 2 if i < 2 else 1) for i, row in enumerate(rows))
        self.lists = [Table.of_list(name, values) for name, values in words.items() if isinstance(values, list)]

    @remember
    def names(self, noun: str | None) -> Table:
        """The names that a child or an animal may have, with their pronouns; None: those of all children."""
        child = noun is None or noun in self.children
        sexes = [self.children[noun]] if noun in self.children else ["girl", "boy"]
        lists = [(sex, self.words[f"{'' if child else 'animal_'}{sex}s"]) for sex in sexes]
        return Table((self.person(name, sex), 1 / rank) for sex, names in lists for rank, name in enumerate(names, 1))

    def measure(self, noun: str) -> str:
        """The Chinese measure word before the noun, with its "one"."""
        return self.words.get("measures", {}).get(noun, "一只")

    def person(self, name: str, sex: str) -> dict[str, str]:
        pronouns = zip(("he", "him", "his", "himself"), PRONOUNS[self.language][sex], strict=True)
        return {"hero": name, "sex": sex, **dict(pronouns)}

    @remember
    def heroes(self, noun: str, hero: str | None) -> Table:
        """Names with their pronouns; of a given name, the pronouns that it may have."""
        sexes = [self.children[noun]] if noun in self.children else ["girl", "boy"]
        if hero is None:
            return Table(every_other(self.names(noun).rows, first=0))
        known = [row for row in self.names(noun).rows if row[0]["hero"] == hero]
        return Table(known or [(self.person(hero, sex), 1) for sex in sexes])

    @remember
    def friends(self, noun: str) -> Table:
        """Friends of a child are children, friends of an animal are other animals.

        They have the names that heroes do not have, so that a name tells who somebody is.
        """
        child = {sex: name for name, sex in self.children.items()}
        names = {"hero": "friend", "he": "f_he", "him": "f_him", "his": "f_his"}
        rows = [
            ({new: row[old] for old, new in names.items()} | {"friend_noun": child[row["sex"]]}, weight)
            for row, weight in every_other(self.names(None if noun in self.children else noun).rows, first=1)
        ]
        if noun in self.children:
            return Table(rows)
        return Table(({slot: value for slot, value in row.items() if slot != "friend_noun"}, w) for row, w in rows)

    @remember
    def friend_nouns(self, noun: str) -> Table:
        return Table(({"friend_noun": animal}, p) for animal, p in self.animals.probabilities() if animal != noun)

    @remember
    def homes(self, noun: str) -> Table:
        """Where the hero lives, and the noun with the word before it, such as "little fox"."""
        child = noun in self.children
        homes = self.words["child_home"] if child else [self.words["animals"][noun]]
        kinds = self.words["child_kinds" if child else "animal_kinds"]
        return Table(
            ({"home": home, "kind": f"{kind}{self.gap}{noun}"}, 1 / i / j)
            for i, home in enumerate(homes, 1)
            for j, kind in enumerate(kinds, 1)
        )

    # ---- plots

    @remember
    def plots_for(self, noun: str) -> Options[str]:
        return Options.uniform(name for name, plot in self.plots.items() if plot.suits(noun))

    @remember
    def steps(self, plot: str) -> list[Options[str]]:
        return [Options.uniform(wordings) for wordings in self.plots[plot].steps]

    @remember
    def slot_tables(self, plot: str) -> list[Table]:
        return [Table.of_list(slot, values) for slot, values in self.plots[plot].slots.items()]

    @remember
    def plot_tables(self, name: str, noun: str | None) -> list[Table]:
        """The plot's own slots, without the cases that do not suit the noun."""
        plot, tables = self.plots[name], self.slot_tables(name)
        cases = [
            {slot: value for slot, value in case.items() if slot != "not"}
            for case in plot.cases
            if noun not in case.get("not", "").split() and noun not in case.values()
        ]
        return [*tables, Table.of_rows(cases)] if plot.cases else tables

    @remember
    def wishes(self, noun: str | None) -> Table:
        """Rows of wish, sort ("object" or "topic"), plot, and the slot that the wish fixes: "slot=value", or ""."""
        rows = []
        for name, plot in self.plots.items():
            if noun is None or plot.suits(noun):
                slots = Slots(*self.plot_tables(name, noun), *self.lists)
                for about in plot.about:
                    rows += [
                        ({"wish": wish, "sort": sort, "plot": name, "holds": holds}, p)
                        for wish, sort, holds, p in readings(about, slots, plot)
                    ]
        objects = {row["wish"] for row, _ in rows if row["sort"] == "object"}
        return Table((row, p) for row, p in rows if row["sort"] == "object" or row["wish"] not in objects)

    @remember
    def nouns_with(self, wish: str | None) -> Options[str]:
        return self.nouns.where(lambda noun: not wish or wish in self.wishes(noun).column("wish").items)


def every_other(rows: list[tuple[dict[str, str], float]], first: int) -> list[tuple[dict[str, str], float]]:
    """Every second row of each sex, from the row `first` on: 0 or 1."""
    by_sex: dict[str, list] = {}
    for row in rows:
        by_sex.setdefault(row[0]["sex"], []).append(row)
    return [row for some in by_sex.values() for row in some[first::2]]


def readings(about: str, slots: Slots, plot: Plot) -> list[tuple[str, str, str, float]]:
    """What an entry of `about` can ask for: (wish, sort, "slot=value", weight).

    An entry that is only a slot is an object if the story mentions it more than once; all else is a topic.
    """
    nodes = parse(about)
    found = [node for node in nodes if isinstance(node, Slot)]
    if not found:
        return [(about, "topic", "", 1.0)]
    if len(found) > 1:
        raise ValueError(f"'about: {about}' has more than one slot")
    slot = found[0]
    sort = "object" if len(nodes) == 1 and plot.mentions(slot.name) > 1 else "topic"
    return [
        ("".join(node.form(value) if node is slot else node for node in nodes), sort, f"{slot.name}={value}", p)
        for value, p in slots.tables[slot.name].column(slot.name).probabilities()
    ]
