"""Text to token ids and back, with a sentencepiece model as Llama 2's.

The names are Meta's (`llama/tokenizer.py`); `pieces` and `token_bytes` are added, because the text of one token
alone is not well defined: a Chinese character may be three tokens of one byte each. Bytes always are.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from minillama import arguments

SPACE = "\u2581"  # ▁, sentencepiece's sign for a space


class Tokenizer:
    """A loaded `tokenizer.model`.

    `n_words` is the vocabulary's size; `bos_id` and `eos_id` mark the ends of a text. Raises ValueError if the file is
    missing or is not a sentencepiece model.
    """

    def __init__(self, model_path: str | Path):
        if not Path(model_path).is_file():
            raise ValueError(f"model_path: no tokenizer at {str(model_path)!r}; a sentencepiece tokenizer.model is due")
        try:
            self.sp_model = SentencePieceProcessor(model_file=str(model_path))
        except Exception as error:
            raise ValueError(f"model_path: {str(model_path)!r} is not a sentencepiece model ({error})") from error
        self.n_words: int = self.sp_model.vocab_size()
        self.bos_id: int = self.sp_model.bos_id()
        self.eos_id: int = self.sp_model.eos_id()
        self.pad_id: int = -1  # as in Llama 2's file: no id at all, so that it can never be a prompt's token
        self.stop_ids: tuple[int, ...] = (self.eos_id,)
        self._bytes = [self._bytes_of(i) for i in range(self.n_words)]

    def encode(self, s: str, bos: bool, eos: bool) -> list[int]:
        """Token ids of s, with bos_id before and eos_id after if asked.

        The text "<s>" is three characters, never bos. Raises TypeError for anything but a str, ValueError for a
        str that no UTF-8 can hold (a lone surrogate).
        """
        arguments.text("s", s)
        return [self.bos_id] * bos + self.sp_model.encode(s) + [self.eos_id] * eos

    def decode(self, t: Sequence[int]) -> str:
        """Text of the ids t. As in Meta's code the space before the first word is dropped, control ids are silent.

        Raises ValueError for an id outside the vocabulary.
        """
        self.decode_bytes(t)
        return self.sp_model.decode([int(i) for i in t])

    def decode_bytes(self, t: Sequence[int]) -> bytes:
        """The exact bytes of the ids t, one after the other; a leading space is kept."""
        return b"".join(self.token_bytes(i) for i in t)

    def token_bytes(self, i: int) -> bytes:
        """The bytes that token i adds to a text; empty for control tokens. Raises ValueError outside the vocabulary."""
        if not isinstance(i, Integral):
            raise TypeError(f"a token id must be a whole number, got {type(i).__name__} {i!r}")
        if not 0 <= i < self.n_words:
            raise ValueError(f"token id {i} is outside the vocabulary, 0 to {self.n_words - 1}")
        return self._bytes[i]

    def pieces(self, t: Sequence[int]) -> list[str]:
        """The tokenizer's own names of the ids t: "▁Once", "<0xE6>", "<s>". Raises ValueError as `decode` does."""
        self.decode_bytes(t)
        return [self.sp_model.id_to_piece(int(i)) for i in t]

    def _bytes_of(self, i: int) -> bytes:
        piece = self.sp_model.id_to_piece(i)
        if self.sp_model.is_byte(i):
            return bytes([int(piece[3:5], 16)])  # "<0xE6>"
        if self.sp_model.is_control(i):
            return b""
        if self.sp_model.is_unknown(i):
            return " \u2047 ".encode()  # sentencepiece's own sign for it
        return piece.replace(SPACE, " ").encode()
