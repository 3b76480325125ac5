"""Prompts whose next-token probabilities are known, because the corpus is drawn with them: a coin, a die, the weather.

They are in assets/course-model/known_probabilities.json, which is written by hand and which programs only read. An
option, or else its prompt, may have `endings`: how the sentence goes on. They are equally likely after every option.
An option may have a second level, `then`: options of its own, with known probabilities after the prompt and the option.
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
    then: tuple[Option, ...] = ()  # the second level

    @property
    def share(self) -> Fraction:
        return Fraction(self.probability).limit_denominator(LARGEST_BLOCK)

    @property
    def block(self) -> int:
        """The smallest number of documents in which it, and each option after it, can have exactly its share."""
        return math.lcm(self.share.denominator, *((self.share * then.share).denominator for then in self.then))

    def rests(self) -> tuple[str, ...]:
        """All that may follow its text in a document.

        >>> Option(" big", 0.5, ("!",), (Option(" dog", 0.5, (".",)), Option(" cat", 0.5, (".",)))).rests()
        (' dog.', ' cat.')
        """
        return tuple(then.text + ending for then in self.then for ending in then.endings) or self.endings


@dataclass(frozen=True)
class Prompt:
    id: str
    lang: str
    prompt: str | None  # a text to continue …
    dialog: tuple[dict[str, str], ...] | None  # … or a dialog to answer
    options: tuple[Option, ...]

    @property
    def block(self) -> int:
        """The smallest number of documents in which every option of both levels can have exactly its share."""
        return math.lcm(*(option.block for option in self.options))

    def levels(self) -> tuple[Option | None, ...]:
        """After what the next token's probabilities are known: None for the prompt, and each option with a `then`."""
        return (None, *(option for option in self.options if option.then))

    def opening(self) -> str:
        """The beginning of the text that holds the answer."""
        return self.prompt if self.dialog is None else chat_texts(self.dialog)[-1]

    def texts(self, option: Option, rest: str = "") -> tuple[str, ...]:
        """The texts of a document with this option and one of its rests."""
        if self.dialog is None:
            return (self.prompt + option.text + rest,)
        return tuple(chat_texts([*self.dialog, {"role": "assistant", "content": option.text + rest}]))

    def all_texts(self) -> Iterator[str]:
        """The texts of every document that can be drawn."""
        for option in self.options:
            for rest in option.rests():
                yield from self.texts(option, rest)

    def encode(self, tokenizer: Tokenizer, after: Option | None = None) -> list[int]:
        """The ids after which the next token's probabilities are known. after: one of `levels`."""
        if after is not None:
            *turns, last = self.texts(after)
            ids = [i for text in turns for i in tokenizer.encode(text, bos=True, eos=True)]
            return ids + tokenizer.encode(last.rstrip(), bos=True, eos=False)
        if self.dialog is None:
            return tokenizer.encode(self.prompt, bos=True, eos=False)
        return encode_dialog(tokenizer, self.dialog)

    def next_ids(self, tokenizer: Tokenizer, after: Option | None = None) -> list[int]:
        """The id of each option's first token; after an option, of each of its `then`.

        Raises ValueError if these ids do not tell the options apart.
        """
        begun, found = self.encode(tokenizer, after), []
        for option in self.options if after is None else after.then:
            for rest in ("", *option.rests()):
                texts = self.texts(option, rest) if after is None else self.texts(after, option.text + rest)
                ids = [i for text in texts for i in tokenizer.encode(text, bos=True, eos=True)]
                if ids[: len(begun)] != begun:
                    shown = tokenizer.pieces(ids[len(begun) - 2 : len(begun) + 2])
                    before = f"the end of the prompt{'' if after is None else f' and {after.text!r}'}"
                    raise ValueError(f"{self.id}: {option.text!r} runs together with {before}, {shown}")
                found.append((option.text, ids[len(begun)]))
        owners: dict[int, str] = {}
        for text, i in found:
            piece = tokenizer.pieces([i])[0]
            if piece == SPACE or tokenizer.sp_model.is_byte(i):
                raise ValueError(f"{self.id}: {text!r} begins with {piece!r}, as other words do; {REMEDY}")
            if owners.setdefault(i, text) != text:
                raise ValueError(f"{self.id}: {owners[i]!r} and {text!r} begin with the same {piece!r}; {REMEDY}")
        if len(owners) != len(dict(found)):
            raise ValueError(f"{self.id}: the first token of an option depends on what follows it; change its endings")
        return list({text: i for text, i in found}.values())


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
    options = tuple(read_option(name, option, entry.get("endings", [""])) for option in entry["options"])
    if field == "dialog":
        arguments.dialog(entry["dialog"], f"{name}: dialog")
    elif entry["prompt"] != entry["prompt"].strip():
        raise ValueError(f"{name}: the prompt begins or ends in a space; a space belongs to the option that follows")
    dialog = tuple(entry["dialog"]) if field == "dialog" else None
    prompt = Prompt(name, entry["lang"], entry.get("prompt"), dialog, options)
    check_options(prompt)
    return prompt


def read_option(name: str, entry: dict, endings: Sequence[str], second: bool = False) -> Option:
    """An option of either level. name: of its prompt; endings: for want of its own."""
    text, probability = entry.get("text"), entry.get("probability")
    is_probability = isinstance(probability, float) and 0 < probability < 1
    if not isinstance(text, str) or not text.strip() or not is_probability:
        raise ValueError(f"{name}: an option needs a text and a probability between 0 and 1, got {entry}")
    if "then" in entry and (second or not entry["then"] or not isinstance(entry["then"], list)):
        wrong = "there is no third level" if second else "it must be a list of options"
        raise ValueError(f"{name}: {text!r} has a 'then' of {entry['then']!r}; {wrong}")
    endings = tuple(entry.get("endings", endings))
    then = tuple(read_option(f"{name}, after {text!r}", each, endings, second=True) for each in entry.get("then", ()))
    return Option(text, probability, endings, then)


def check_options(prompt: Prompt) -> None:
    check_level(prompt.id, prompt.options, spaced=prompt.dialog is None and prompt.lang == "en")
    for option in prompt.levels()[1:]:
        check_level(f"{prompt.id}, after {option.text!r}", option.then, spaced=prompt.lang == "en")
    if prompt.block > LARGEST_BLOCK:
        raise ValueError(f"{prompt.id}: these shares need {prompt.block} documents; give rounder probabilities")


def check_level(name: str, options: Sequence[Option], spaced: bool) -> None:
    """ValueError if these options cannot stand side by side. spaced: whether each must begin with a space."""
    texts = [option.text for option in options]
    if len(set(texts)) != len(texts) or len(texts) < 2:
        raise ValueError(f"{name}: expected two or more different options, got {texts}")
    total = sum(option.probability for option in options)
    if abs(total - 1) > 1e-6 or sum(option.share for option in options) != 1:
        raise ValueError(f"{name}: the probabilities add up to {total:.6f}; they must add up to 1")
    if spaced and not all(text.startswith(" ") for text in texts):
        raise ValueError(f"{name}: options that follow an English text must begin with a space, got {texts}")
    if not spaced and any(text != text.strip() for text in texts):
        raise ValueError(f"{name}: options of a chat or in Chinese must not begin or end in a space, got {texts}")


def check_apart(prompts: Sequence[Prompt]) -> None:
    """ValueError if a prompt occurs in a text of another one: its probabilities would mix with the other's."""
    if len({prompt.id for prompt in prompts}) != len(prompts):
        raise ValueError(f"every prompt needs an id of its own, got {sorted(prompt.id for prompt in prompts)}")
    for one in prompts:
        for other in prompts:
            if one is not other and one.opening() in "\0".join(other.all_texts()):
                raise ValueError(f"{one.id}: the prompt {one.opening()!r} occurs in {other.id}; change its wording")


def check_tokenizer(tokenizer: Tokenizer) -> None:
    """ValueError if the first tokens of some prompt's options, of either level, do not tell these apart."""
    for prompt in load():
        for after in prompt.levels():
            prompt.next_ids(tokenizer, after)


def tokenizer_lines() -> Iterator[str]:
    """Lines for the tokenizer to learn from, so that each option's first word is a piece, with its space if it has one.

    They take the place of the documents, from which it would learn pieces as long as half a prompt.
    """
    for prompt in load():
        before = prompt.prompt[-1] if prompt.dialog is None and prompt.lang == "zh" else ""
        for option in prompt.options:
            for each in (option, *option.then):
                yield from [before + each.text.split()[0]] * LINES


def characters() -> list[str]:
    """Every character of the prompts outside ASCII. The tokenizer gets a piece for each."""
    said = {character for prompt in load() for text in prompt.all_texts() for character in text}
    return sorted(character for character in said if not character.isascii())


def documents(seed: int) -> Iterator[Document]:
    """Documents without end: in each round every prompt once, in a drawn order.

    Options are dealt like cards: in every `block` documents of a prompt each option has exactly its share.
    """
    prompts = load()
    rng, decks = Random(f"known {seed}"), {prompt.id: [] for prompt in prompts}
    while True:
        for prompt in rng.sample(prompts, len(prompts)):
            deck = decks[prompt.id]
            if not deck:
                deck += deal(prompt, rng)
            option, second = deck.pop()
            rest = rng.choice(option.endings) if second is None else second.text + rng.choice(second.endings)
            yield Document("known", prompt.texts(option, rest), None)


def deal(prompt: Prompt, rng: Random) -> list[tuple[Option, Option | None]]:
    """The options of prompt.block documents, each with one of its `then` or None: each as often as its share says.

    On both levels they are spread evenly, because what the model reads last counts most.
    """
    counts = [(option, int(option.share * prompt.block)) for option in prompt.options]
    seconds = {option: spread([(then, int(then.share * n)) for then in option.then], rng) for option, n in counts}
    return [(option, seconds[option].pop() if option.then else None) for option in spread(counts, rng)]


def spread(counts: Sequence[tuple[T, int]], rng: Random) -> list[T]:
    """Each item as often as its count says: of n copies, one at a drawn place in each n-th of the list.

    >>> "".join(spread([("a", 8), ("b", 2)], Random(1)))
    'abaaabaaaa'
    """
    placed = [((k + rng.random()) / n, item) for item, n in counts for k in range(n)]
    return [item for _, item in sorted(placed, key=lambda one: one[0])]
