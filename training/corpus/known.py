"""Prompts whose next-token probabilities are known, because the corpus is drawn with them: a coin, a die, the weather.

They are in assets/course-model/known_probabilities.json, which is written by hand and which programs only read. An
option, or else its prompt, may have `endings`: how the sentence goes on. They are equally likely after every option.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import TypeVar

from minillama import arguments
from minillama.chat import encode_dialog
from minillama.checkpoint import COURSE_MODEL
from minillama.tokenizer import SPACE, Tokenizer
from training.corpus.document import Document, chat_texts

KNOWN = COURSE_MODEL / "known_probabilities.json"
VERSION = 1
LARGEST_BLOCK = 1000  # documents, at most, in which each option has exactly its share
LINES = 500  # lines of each option's first word, for the tokenizer

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    text: str
    probability: float
    endings: tuple[str, ...]

    @property
    def share(self) -> Fraction:
        return Fraction(self.probability).limit_denominator(LARGEST_BLOCK)


@dataclass(frozen=True)
class Prompt:
    id: str
    lang: str
    prompt: str | None  # a text to continue …
    dialog: tuple[dict[str, str], ...] | None  # … or a dialog to answer
    options: tuple[Option, ...]

    @property
    def block(self) -> int:
        """The smallest number of documents in which every option can have exactly its share."""
        return math.lcm(*(option.share.denominator for option in self.options))

    def opening(self) -> str:
        """The beginning of the text that holds the answer."""
        return self.prompt if self.dialog is None else chat_texts(self.dialog)[-1]

    def texts(self, option: Option, ending: str = "") -> tuple[str, ...]:
        """The texts of a document with this option and ending."""
        if self.dialog is None:
            return (self.prompt + option.text + ending,)
        return tuple(chat_texts([*self.dialog, {"role": "assistant", "content": option.text + ending}]))

    def encode(self, tokenizer: Tokenizer) -> list[int]:
        """The ids after which the next token's probabilities are known."""
        if self.dialog is None:
            return tokenizer.encode(self.prompt, bos=True, eos=False)
        return encode_dialog(tokenizer, self.dialog)

    def next_ids(self, tokenizer: Tokenizer) -> list[int]:
        """The id of each option's first token. ValueError if these do not tell the options apart."""
        prompt, found = self.encode(tokenizer), []
        for option in self.options:
            for ending in ("", *option.endings):
                ids = [i for text in self.texts(option, ending) for i in tokenizer.encode(text, bos=True, eos=True)]
                if ids[: len(prompt)] != prompt:
                    shown = tokenizer.pieces(ids[len(prompt) - 2 : len(prompt) + 2])
                    raise ValueError(f"{self.id}: {option.text!r} runs together with the end of the prompt, {shown}")
                found.append((option.text, ids[len(prompt)]))
        owners: dict[int, str] = {}
        for text, i in found:
            piece = tokenizer.pieces([i])[0]
            if piece == SPACE or tokenizer.sp_model.is_byte(i):
                raise ValueError(f"{self.id}: {text!r} begins with {piece!r}, as other words do; {REMEDY}")
            if owners.setdefault(i, text) != text:
                raise ValueError(f"{self.id}: {owners[i]!r} and {text!r} begin with the same {piece!r}; {REMEDY}")
        if len(owners) != len(self.options):
            raise ValueError(f"{self.id}: the first token of an option depends on what follows it; change its endings")
        return [next(i for text, i in found if text == option.text) for option in self.options]


REMEDY = "choose other words, or give the tokenizer known.tokenizer_lines() to learn"


def load(path: Path = KNOWN) -> tuple[Prompt, ...]:
    """The prompts of the file. Raises ValueError with the prompt's id and what is wrong with it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{str(path)!r} cannot be read ({error}); it comes with the repository") from error
    if not isinstance(content, dict) or content.get("version") != VERSION or not content.get("prompts"):
        raise ValueError(f"{str(path)!r}: expected a 'version' of {VERSION} and a list of 'prompts'")
    prompts = tuple(read_prompt(entry) for entry in content["prompts"])
    check_apart(prompts)
    return prompts


def read_prompt(entry: dict) -> Prompt:
    name = entry.get("id") or f"prompt without id ({entry})"
    if entry.get("lang") not in ("en", "zh"):
        raise ValueError(f"{name}: lang must be 'en' or 'zh', got {entry.get('lang')!r}")
    field = {"text": "prompt", "chat": "dialog"}.get(entry.get("kind"))
    if field is None:
        raise ValueError(f"{name}: kind must be 'text' or 'chat', got {entry.get('kind')!r}")
    unknown = entry.keys() - {"id", "lang", "kind", field, "options", "endings"}
    if unknown or not entry.get(field) or not entry.get("options"):
        wrong = f"must not have {sorted(unknown)}" if unknown else f"needs {field!r} and 'options'"
        raise ValueError(f"{name}: a prompt of kind {entry['kind']!r} {wrong}")
    endings = entry.get("endings", [""])
    options = []
    for option in entry["options"]:
        text, probability = option.get("text"), option.get("probability")
        is_probability = isinstance(probability, float) and 0 < probability < 1
        if not isinstance(text, str) or not text.strip() or not is_probability:
            raise ValueError(f"{name}: an option needs a text and a probability between 0 and 1, got {option}")
        options.append(Option(text, probability, tuple(option.get("endings", endings))))
    if field == "dialog":
        arguments.dialog(entry["dialog"], f"{name}: dialog")
    elif entry["prompt"] != entry["prompt"].strip():
        raise ValueError(f"{name}: the prompt begins or ends in a space; a space belongs to the option that follows")
    dialog = tuple(entry["dialog"]) if field == "dialog" else None
    prompt = Prompt(name, entry["lang"], entry.get("prompt"), dialog, tuple(options))
    check_options(prompt)
    return prompt


def check_options(prompt: Prompt) -> None:
    texts = [option.text for option in prompt.options]
    if len(set(texts)) != len(texts) or len(texts) < 2:
        raise ValueError(f"{prompt.id}: expected two or more different options, got {texts}")
    total = sum(option.probability for option in prompt.options)
    if abs(total - 1) > 1e-6 or sum(option.share for option in prompt.options) != 1:
        raise ValueError(f"{prompt.id}: the probabilities add up to {total:.6f}; they must add up to 1")
    if prompt.block > LARGEST_BLOCK:
        raise ValueError(f"{prompt.id}: these shares need {prompt.block} documents; give rounder probabilities")
    if any((prompt.dialog is not None or prompt.lang == "zh") and text != text.strip() for text in texts):
        raise ValueError(f"{prompt.id}: options of a chat or in Chinese must not begin or end in a space, got {texts}")
    if prompt.dialog is None and prompt.lang == "en" and not all(text.startswith(" ") for text in texts):
        raise ValueError(f"{prompt.id}: options of an English text must begin with a space, got {texts}")


def check_apart(prompts: Sequence[Prompt]) -> None:
    """ValueError if a prompt occurs in a text of another one: its probabilities would mix with the other's."""
    if len({prompt.id for prompt in prompts}) != len(prompts):
        raise ValueError(f"every prompt needs an id of its own, got {sorted(prompt.id for prompt in prompts)}")
    for one in prompts:
        for other in prompts:
            said = "\0".join(text for option in other.options for text in other.texts(option, option.endings[0]))
            if one is not other and one.opening() in said:
                raise ValueError(f"{one.id}: the prompt {one.opening()!r} occurs in {other.id}; change its wording")


def check_tokenizer(tokenizer: Tokenizer) -> None:
    """ValueError if the first tokens of some prompt's options do not tell these apart."""
    for prompt in load():
        prompt.next_ids(tokenizer)


def tokenizer_lines() -> Iterator[str]:
    """Lines for the tokenizer to learn from, so that each option's first word is a piece, with its space if it has one.

    They take the place of the documents, from which it would learn pieces as long as half a prompt.
    """
    for prompt in load():
        before = prompt.prompt[-1] if prompt.dialog is None and prompt.lang == "zh" else ""
        for option in prompt.options:
            yield from [before + option.text.split()[0]] * LINES


def characters() -> list[str]:
    """Every character of the prompts outside ASCII. The tokenizer gets a piece for each."""
    texts = [text for prompt in load() for option in prompt.options for text in prompt.texts(option, option.endings[0])]
    return sorted({character for text in texts for character in text if not character.isascii()})


def documents(seed: int) -> Iterator[Document]:
    """Documents without end: in each round every prompt once, in a drawn order.

    Options are dealt like cards: in every `block` documents of a prompt each option has exactly its share. They are
    spread evenly, because what the model reads last counts most.
    """
    prompts = load()
    rng, decks = Random(f"known {seed}"), {prompt.id: [] for prompt in prompts}
    while True:
        for prompt in rng.sample(prompts, len(prompts)):
            deck = decks[prompt.id]
            if not deck:
                deck += spread([(option, int(option.share * prompt.block)) for option in prompt.options], rng)
            option = deck.pop()
            yield Document("known", prompt.texts(option, rng.choice(option.endings)), None)


def spread(counts: Sequence[tuple[T, int]], rng: Random) -> list[T]:
    """Each item as often as its count says: of n copies, one at a drawn place in each n-th of the list.

    >>> "".join(spread([("a", 8), ("b", 2)], Random(1)))
    'abaaabaaaa'
    """
    placed = [((k + rng.random()) / n, item) for item, n in counts for k in range(n)]
    return [item for _, item in sorted(placed, key=lambda one: one[0])]
