"""A document of the corpus: what it is made of, as text and as token ids, and whether it may be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minillama.chat import fold_turns
from minillama.tokenizer import Tokenizer
from training.corpus.tables import is_secret

HELD_OUT = 50  # of so many documents, one is never trained on


class Document(NamedTuple):
    part: str  # one of parts.SHARES
    texts: tuple[str, ...]  # each is encoded between bos and eos
    logprob: float | None = None  # ln of the probability of these texts in this part; of a chat, given where it ends,
    # since no token of it tells whether another turn follows


def chat_texts(dialog: Sequence[dict[str, str]]) -> list[str]:
    """Llama 2's format, one text for each pair of turns: "[INST] user [/INST] answer "."""
    return ["".join(text for _, text in turns) for turns in fold_turns(dialog)]


def is_held_out(document: Document) -> bool:
    """It depends on the texts alone, so the two sides can have no document in common, whatever the seeds."""
    return is_secret(*document.texts, one_in=HELD_OUT)


def encode(document: Document, tokenizer: Tokenizer) -> list[int]:
    """The ids of all its texts, one after the other, each between bos and eos."""
    return [i for text in document.texts for i in tokenizer.encode(text, bos=True, eos=True)]
