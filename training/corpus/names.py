"""The names of users, friends and pets in the chats, and those that are never told in training."""

from __future__ import annotations

import re
from itertools import product

from training.corpus.draws import Options
from training.corpus.grammar import Table, capitalised
from training.corpus.tables import DATA, is_secret, read, remember, table

LISTED = 0.4  # share of the names that come from the list; the others are put together from two parts
NAME_LISTS = ("names", "names_foreign", "held_out")  # of people.toml
COMMENT = re.compile(r"(?m)(^|\s)#.*$")


@remember
def names(language: str, secret: bool = False) -> Table:
    """Column "name": thousands of names of users and pets; if `secret`, those that are never trained on."""
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
    """What the data files say anyway, in lower case, so that it would be no new name.

    English: words. Chinese: every two or three characters in a row. Comments in the files do not count.
    """
    paths = [path for path in [*DATA.glob("*.toml"), *DATA.glob("*.txt")] if "people" not in path.name]
    paths = [path for path in paths if path.name == "asks.toml" or ("zh" in path.name) == (language == "zh")]
    lists = [words for name, words in table("people", language).items() if name not in NAME_LISTS]
    text = " ".join([COMMENT.sub("", read(path)) for path in paths] + sum(lists, [])).lower()
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
