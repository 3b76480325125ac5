"""Whether the people of a story stay who they are, as far as rules can tell."""

from __future__ import annotations

import re

from training.corpus.stories import PRONOUNS, words_of
from training.corpus.tables import path_of, read, remember

QUOTED = re.compile(r"[\"“][^\"”]*[\"”]")
INTRODUCED = {  # how the opening gives somebody a name
    "en": re.compile(r"(?:named|called|by the name of|whose name was) ([A-ZÀ-Ž]\w+)|^([A-ZÀ-Ž]\w+) was an? "),
    "zh": re.compile(r"(?:名叫|名字叫|都叫[他她它])(\w+)|^(\w+?)是一|认识(\w+?)吗"),
}
PRONOUN = {
    "en": re.compile(r"\b(he|she|him|her|his|himself|herself)\b", re.IGNORECASE),
    "zh": re.compile(r"[他她](?!们)"),
}
SOMEBODY = {  # who may be he or she, besides names, parents and animals
    "en": "mr mrs postman judge guard neighbour captain teacher doctor baker farmer musician lady man woman uncle aunt "
    "child baby gardener sailor fisherman king queen keeper shopkeeper conductor driver master cousin brother sister "
    "someone somebody everybody nobody stranger friend girl boy".split(),
    "zh": "小伙伴 老师 医生 邻居 叔叔 阿姨 老人 孩子 小朋友 朋友 先生 爷爷 奶奶 弟弟 妹妹 哥哥 姐姐 大家 谁".split(),
}
PET = re.compile(r"(?:it|[Tt]he \w+) ([A-ZÀ-Ž]\w+)")  # "She called it Snowy", "called the kitten Snowy"


def check_story(text: str, language: str) -> list[str]:
    """What is wrong with the people of the story, a line for each fault; [] if nothing is."""
    words, faults, sexes = words_of(language), [], sexes_of_names(language)
    hero = introduced(text, language)
    if not hero:
        return ["nobody is introduced"]
    sentences = re.split(r"(?<=[.。!！])", text)
    opening = "".join(sentences[: 1 if language == "en" else 2])
    nouns = [one for one in words.nouns.items if re.search(rf"\b{one}\b" if language == "en" else one, opening)]
    if not nouns:
        faults.append("the opening does not say what the hero is")
    others = [name for name in names_in(text, language) if name != hero]
    if len(others) > 1:
        faults.append(f"too many people: {hero}, {', '.join(others)}")
    sex = next((words.children[one] for one in nouns if one in words.children), None) or sexes.get(hero)
    return faults + wrong_pronouns(text, language, sex, [name for name in sexes if name not in hero] + others, nouns)


def introduced(text: str, language: str) -> str | None:
    """The name that the opening gives to the hero."""
    for sentence in re.split(r"(?<=[.。！？!?])", text)[:3]:
        match = INTRODUCED[language].search(sentence.strip())
        if match:
            return next(filter(None, match.groups()))
        known = [name for name in sexes_of_names(language) if name in sentence]
        if known:
            return max(known, key=lambda name: (sentence.find(name) + len(name), len(name)))
    return None


def names_in(text: str, language: str) -> list[str]:
    """The names of people in the text, without those of pets, in the order of their first mention."""
    if language == "zh":
        known = [name for name in sexes_of_names(language) if name in text and name not in plain_words(language)]
        return sorted((n for n in known if not any(n != k and n in k for k in known)), key=text.find)
    pets = {match[1] for match in PET.finditer(text)} | {*words_of(language).words["petname"]}
    inside = set(re.findall(r"(?<=[a-z,;] )[A-ZÀ-Ž][a-zà-ž]+", text))  # capitals inside a sentence
    known = {name for name in re.findall(r"\b[A-ZÀ-Ž]\w+", text) if name in sexes_of_names(language)}
    return sorted((inside | known) - pets - plain_words(language), key=text.find)


def wrong_pronouns(text: str, language: str, sex: str | None, others: list[str], nouns: list[str]) -> list[str]:
    """Each "he" that should be "she", or the reverse, as long as only the hero can be meant.

    That is until anybody else is mentioned who may be he or she. sex: "girl", "boy", or None if the name does not tell.
    """
    words = words_of(language)
    told = QUOTED.sub(lambda match: " " * len(match[0]), text)
    opening = min((at for at in map(told.find, ".。") if at >= 0), default=0)
    parents = {word for row, _ in words.parents.rows for word in (row["parent"], row["parent_name"])}
    somebody = {*others, *parents, *SOMEBODY[language], *words.nouns.items}
    somebody = {one.lower() for one in somebody if one not in nouns}
    comes = min((at for one in somebody if (at := told.lower().find(one, opening)) >= 0), default=len(told))
    if sex is None:  # then the first pronoun decides
        first = PRONOUN[language].search(told[:comes])
        sex = next((s for s in ("girl", "boy") if first and first[0].lower() in PRONOUNS[language][s]), None)
    if sex is None:
        return []
    wrong = {"girl": "boy", "boy": "girl"}[sex]
    bad = [m for m in PRONOUN[language].finditer(told) if m[0].lower() in PRONOUNS[language][wrong]]
    return [f"{m[0]!r} at {m.start()} does not fit the hero, a {sex}" for m in bad if m.start() < comes]


@remember
def sexes_of_names(language: str) -> dict[str, str | None]:
    """ "girl" or "boy" for every name of heroes and friends; None if both may have it."""
    words, sexes = words_of(language), {}
    for noun in [*words.children, *words.animals.items]:
        for row, _ in words.names(noun).rows:
            sexes[row["hero"]] = row["sex"] if sexes.get(row["hero"], row["sex"]) == row["sex"] else None
    return sexes


@remember
def plain_words(language: str) -> frozenset[str]:
    """Words of the plots that look like names, but are not."""
    if language == "zh":
        plots = read(path_of("stories.txt", "zh")) + " ".join(
            value for name, values in words_of(language).words.items() for value in values
            if isinstance(values, list) and not name.endswith(("girls", "boys"))
        )  # fmt: skip
        return frozenset(name for name in sexes_of_names(language) if name in plots)
    lists = (
        value for name, values in words_of(language).words.items() for value in values if name in ("openings", "day")
    )
    plots = " ".join([re.sub(r"\{\w+\}", "", read(path_of("stories.txt", "en"))), *lists])
    parents = {row["parent_name"] for row, _ in words_of(language).parents.rows}
    return frozenset(re.findall(r"\b[A-ZÀ-Ž]\w+", plots)) | parents | {"Beaver", "I"}
