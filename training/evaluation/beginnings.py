"""Beginnings of plain text, and whether the model goes on with them fluently: without a chat tag, and to the point."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from training.corpus.tables import read, remember
from training.evaluation.measures import GREEDY, Bench, Figure, Row, Sample, batches, share

BEGINNINGS = Path(__file__).with_name("beginnings.json")
LENGTH = 80  # tokens at most
LOOP = {"en": (4, 2), "zh": (6, 2)}  # words or characters in a row, and how often they may come
TAG = re.compile(  # of Llama 2's chat format or another's, and the name of somebody who speaks in a chat
    r"\[/?\s*INST|<</?\s*SYS|</?s>|<unk>|<\|"
    r"|(?:^|[\n.!?。！？])\s*(?:user|assistant|system|human|bot|ai)\s*:"
    r"|(?:^|[\n.!?。！？])\s*(?:用户|助手|系统|机器人)\s*[:：]",
    re.IGNORECASE,
)
END = re.compile(r"[.!?。！？…][\"”’]?$")
SIGNED = re.compile(
    r"[.!?。！？] ?(?:With love from |Your friend |Love, |你的朋友)?[\w\u4e00-\u9fff]{2,8}$"
)  # a letter


class Beginning(NamedTuple):
    """A beginning, and what a text that goes on from it must and must not have."""

    text: str
    lang: str
    kind: str
    contains: tuple[str, ...] = ()  # any of these, as whole words in English …
    regex: str = ""  # … or a match of this
    excludes: tuple[str, ...] = ()

    def faults(self, continuation: str) -> list[str]:
        """What is wrong with a continuation, a line for each fault; [] if it fits.

        >>> Beginning("We need", "en", "shopping", ("milk",)).faults(" milk and eggs.")
        []
        """
        said = continuation.strip()
        checks = {
            "a chat tag or role": has_tag(continuation),
            "almost nothing": len(said) < 2,
            "the other language": not in_language(said, self.lang),
            "no end of a sentence": not (END.search(said) or (self.kind == "letter" and SIGNED.search(said))),
            "a loop": loops(said, self.lang),
            "not about it": not self.is_about(said),
            "what it should not say": any(word.lower() in said.lower() for word in self.excludes),
        }
        return [fault for fault, found in checks.items() if found]

    def is_about(self, said: str) -> bool:
        if self.regex:
            return bool(re.search(self.regex, said, re.IGNORECASE))
        if self.lang == "zh":
            return any(word in said for word in self.contains)
        return any(re.search(rf"\b{re.escape(word)}", said, re.IGNORECASE) for word in self.contains)


@remember
def beginnings() -> tuple[Beginning, ...]:
    """The beginnings of the file, English and Chinese. ValueError if one has neither contains nor regex."""
    found = []
    for entry in json.loads(read(BEGINNINGS))["beginnings"]:
        if not entry.get("contains") and not entry.get("regex"):
            raise ValueError(f"{BEGINNINGS.name}: {entry['text']!r} needs 'contains' or 'regex'")
        listed = {name: tuple(entry.get(name, ())) for name in ("contains", "excludes")}
        found.append(Beginning(entry["text"], entry["lang"], entry["kind"], regex=entry.get("regex", ""), **listed))
    return tuple(found)


def has_tag(text: str) -> bool:
    """
    >>> has_tag("Good. [INST]"), has_tag("\\nUser: hello"), has_tag("The user is here.")
    (True, True, False)
    """
    return bool(TAG.search(text))


def in_language(text: str, lang: str) -> bool:
    """English has no Chinese character; Chinese has more of them than Latin letters."""
    chinese, latin = len(re.findall("[一-鿿]", text)), len(re.findall("[A-Za-z]", text))
    return chinese > latin if lang == "zh" else chinese == 0


def loops(text: str, lang: str) -> bool:
    """Whether some words in a row come more often than they do in a good text."""
    size, most = LOOP[lang]
    units = re.findall(r"[\w']+" if lang == "en" else r"\w", text.lower())
    runs = [tuple(units[k : k + size]) for k in range(len(units) - size + 1)]
    return any(runs.count(run) > most for run in set(runs))


def plain_beginnings(bench: Bench) -> Row:
    """The share of the beginnings that the model goes on with without a chat tag, and of those where all fits."""
    asked = beginnings()
    texts = continuations(bench, [beginning.text for beginning in asked])
    pairs = list(zip(asked, texts, strict=True))
    faults = [beginning.faults(text) for beginning, text in pairs]
    samples = [
        Sample(
            beginning.text if not found else f"{beginning.text} ({'; '.join(found)})", text, not found, beginning.lang
        )
        for (beginning, text), found in zip(pairs, faults, strict=True)
    ]
    figures = [
        Figure("without a tag", share(not has_tag(text) for text in texts), 1.0, at_least=True),
        Figure("fitting", share(not found for found in faults), 0.90, at_least=True),
    ]
    name = "plain beginnings: gone on with without a chat tag / fitting"
    return Row("beginnings", name, len(asked), f"greedy, at most {LENGTH} tokens", figures, samples)


def continuations(bench: Bench, texts: list[str]) -> list[str]:
    """What the model writes after each text, LENGTH tokens at most, without the text itself."""
    found: dict[int, str] = {}
    for rows in batches(bench.batch, [len(text) for text in texts], "beginnings"):
        results = bench.llama.text_completion([texts[k] for k in rows], max_gen_len=LENGTH, **GREEDY)
        found |= {k: result["generation"] for k, result in zip(rows, results, strict=True)}
    return [found[k] for k in range(len(texts))]
