"""Text to token ids and back: what every tokenizer offers, and the one of Llama 2, a sentencepiece model.

The names are Meta's (`llama/tokenizer.py`); `pieces` and `token_bytes` are added, because the text of one token
alone is not well defined: a Chinese character may be three tokens of one byte each. Bytes always are.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor
from torch import Tensor

from minillama import arguments, tensors
from minillama.files import one_line

SPACE = "\u2581"  # ▁, sentencepiece's sign for a space
LARGEST_MODEL = 64 * 2**20  # bytes of a tokenizer.model; Llama 2's has half a million
REACH = 16  # bytes that `as_written` looks ahead


class BaseTokenizer:
    """What the loop, the chat formats and the widgets ask of a tokenizer. One of your own only has to write `encode`.

    n_words      the size of the vocabulary; ids are 0 to n_words - 1
    bos_id       begins a text; -1 if there is no such token
    eos_id       ends a text; -1 if there is no such token
    stop_ids     every id that ends an answer, eos_id first
    pad_id       fills free places; as in Llama 2's file it is no id at all, so it is never a prompt's token
    chat_format  how a dialog is laid out (`chat.ChatFormat`); None is Llama 2's format
    carried      fields of files beside it that are not used here, by the file's name; `Llama.save` writes them again
    space_in_front  whether `encode` puts a space before every text, as sentencepiece does
    begins       whether texts of this model begin with bos_id: `encode(bos=True)` adds it only then
    ends         whether they end with eos_id; nothing here adds it to a prompt, for a prompt goes on

    >>> class Letters(BaseTokenizer):
    ...     def encode(self, s, bos, eos):
    ...         return [self.bos_id] * bos + [ord(letter) - ord("a") + 3 for letter in s] + [self.eos_id] * eos
    >>> letters = Letters([b"", b"", b"", b"a", b"b", b"c"], space_in_front=False)
    >>> letters.encode("cab", bos=True, eos=False), letters.decode([1, 5, 3, 4]), letters.pieces([1, 5])
    ([1, 5, 3, 4], 'cab', ['<1>', 'c'])
    """

    pad_id = -1

    def __init__(
        self,
        token_bytes: Sequence[bytes],
        pieces: Sequence[str] | None = None,
        bos_id: int = 1,
        eos_id: int = 2,
        space_in_front: bool = True,
        chat_format: Any = None,
        stop_ids: Iterable[int] = (),
        begins: bool = True,
        ends: bool = False,
    ):
        """token_bytes: what each token adds to a text, empty for control tokens; pieces: the name of each token.

        stop_ids: ids that end an answer besides eos_id and those of the chat format.
        """
        self._bytes = list(token_bytes)
        self._pieces = [_name(i, data) for i, data in enumerate(self._bytes)] if pieces is None else list(pieces)
        self.n_words, self.space_in_front = len(self._bytes), space_in_front
        self._set_marks(bos_id, eos_id, begins, ends)
        self.carried: dict[str, dict] = {}
        self._set_format(chat_format, stop_ids)

    def _set_marks(self, bos_id: int, eos_id: int, begins: bool, ends: bool) -> None:
        self.bos_id, self.eos_id = bos_id, eos_id
        self.begins, self.ends = begins and bos_id >= 0, ends and eos_id >= 0

    def _set_format(self, chat_format: Any, stop_ids: Iterable[int]) -> None:
        self.chat_format = chat_format
        of_format = () if chat_format is None else chat_format.end_ids
        eos = (self.eos_id,) if self.eos_id >= 0 else ()
        self.stop_ids: tuple[int, ...] = (*eos, *sorted({*stop_ids, *of_format} - {self.eos_id}))

    def with_format(self, chat_format: Any, stop_ids: Iterable[int] = ()):
        """The same tokenizer with another chat format and other stop_ids; this one stays as it is."""
        other = copy.copy(self)
        other._set_format(chat_format, stop_ids)
        return other

    def with_marks(self, bos_id: int, eos_id: int, begins: bool, ends: bool):
        """The same tokenizer with another bos and eos, in Llama 2's chat format; this one stays as it is."""
        other = copy.copy(self)
        other._set_marks(bos_id, eos_id, begins, ends)
        other._set_format(None, ())
        return other

    def _marked(self, ids: list[int], bos: bool, eos: bool) -> list[int]:
        first = [self.bos_id] if bos and self.begins else []
        return [*first, *ids, self.eos_id] if eos and self.eos_id >= 0 else [*first, *ids]

    def encode(self, s: str, bos: bool, eos: bool) -> list[int]:
        """Token ids of s, with bos_id before (if texts of this model begin with it) and eos_id after if asked.

        The text "<s>" is three characters, never bos. Raises TypeError for anything but a str, ValueError for a
        str that no UTF-8 can hold (a lone surrogate).
        """
        raise NotImplementedError

    def decode(self, t: Iterable[int]) -> str:
        """Text of the ids t, without the space in front; control ids are silent, half characters become \ufffd.

        Raises ValueError for an id outside the vocabulary.
        """
        text = self.decode_bytes(t).decode(errors="replace")
        return text.removeprefix(" ") if self.space_in_front else text

    def decode_bytes(self, t: Iterable[int]) -> bytes:
        """The exact bytes of the ids t, one after the other; a leading space is kept."""
        return b"".join(self._bytes[i] for i in self._ids(t))

    def token_bytes(self, i: int) -> bytes:
        """The bytes that token i adds to a text; empty for control tokens. Raises ValueError outside the vocabulary."""
        return self.decode_bytes([i])

    def pieces(self, t: Iterable[int]) -> list[str]:
        """The tokenizer's own names of the ids t: "▁Once", "<0xE6>", "<s>". Raises ValueError as `decode` does."""
        return [self._pieces[i] for i in self._ids(t)]

    def id_of(self, piece: str) -> int | None:
        """The id of the token with this name, None if there is none. Raises TypeError for anything but a str."""
        if not isinstance(piece, str):
            raise TypeError(f"piece must be a str, got {arguments.typed(piece)}")
        return self._pieces.index(piece) if piece in self._pieces else None

    def _ids(self, t: Iterable[int]) -> list[int]:
        """t as a list of int, each inside the vocabulary. Raises TypeError or ValueError naming the one that is not."""
        if isinstance(t, arguments.RAW) or not isinstance(t, Iterable) or getattr(t, "ndim", 1) == 0:
            raise TypeError(f"t must be a list of token ids, got {arguments.typed(t)}")
        if isinstance(t, Tensor):
            tensors.dense("t", t)
        ids = [i if type(i) is int else arguments.whole("a token id", i) for i in t]
        for i in ids:
            if not 0 <= i < self.n_words:
                outside = f"token id {arguments.shown(i)} is outside the vocabulary"
                raise ValueError(f"{outside}, 0 to {self.n_words - 1}")
        return ids


def _name(i: int, data: bytes) -> str:
    return data.decode(errors="backslashreplace").replace(" ", SPACE) or f"<{i}>"


class Tokenizer(BaseTokenizer):
    """A `tokenizer.model`, loaded from a file or given as its bytes; `sp_model` is the library's own object.

    Raises ValueError if the file is missing or is not a sentencepiece model.
    """

    def __init__(self, model_path: str | Path | bytes):
        given = isinstance(model_path, bytes)
        if not given:
            arguments.path("model_path", model_path)
        elif not model_path:
            raise ValueError("model_path: the data that was given is empty; expected a sentencepiece tokenizer.model")
        name = "the data that was given" if given else repr(str(model_path))
        if not given and not Path(model_path).is_file():
            raise ValueError(f"model_path: no tokenizer at {name}; expected a sentencepiece tokenizer.model")
        if (size := len(model_path) if given else Path(model_path).stat().st_size) > LARGEST_MODEL:
            raise ValueError(f"model_path: {name} has {size} bytes, at most {LARGEST_MODEL} are read")
        source = {"model_proto": model_path} if given else {"model_file": str(model_path)}
        try:
            self.sp_model = sp = SentencePieceProcessor(**source)
            pieces = [sp.id_to_piece(i) for i in range(sp.vocab_size())]
            token_bytes = [self._bytes_of(i, piece) for i, piece in enumerate(pieces)]
            space_in_front = sp.normalize("a").startswith(SPACE)
        except Exception as error:  # a piece that is no UTF-8, too
            raise ValueError(f"model_path: {name} is not a sentencepiece model ({one_line(error)})") from error
        super().__init__(token_bytes, pieces, sp.bos_id(), sp.eos_id(), space_in_front)

    def encode(self, s: str, bos: bool, eos: bool) -> list[int]:  # as BaseTokenizer says
        arguments.text("s", s)
        bos, eos = arguments.flags(bos=bos, eos=eos)
        return self._marked(self.sp_model.encode(s), bos, eos)

    def decode(self, t: Iterable[int]) -> str:
        """Text of the ids t. As in Meta's code the space before the first word is dropped, control ids are silent.

        Raises ValueError for an id outside the vocabulary.
        """
        return self.sp_model.decode([i for i in self._ids(t) if not self.sp_model.is_unused(i)])

    def _bytes_of(self, i: int, piece: str) -> bytes:
        if self.sp_model.is_byte(i):
            return bytes([int(piece[3:5], 16)])  # "<0xE6>"
        if self.sp_model.is_control(i) or self.sp_model.is_unused(i):
            return b""
        if self.sp_model.is_unknown(i):
            return " \u2047 ".encode()  # sentencepiece's own sign for it
        return piece.replace(SPACE, " ").encode()


def drop_space(token_bytes: Sequence[bytes]) -> list[bytes]:
    """token_bytes without the one space that begins the text.

    >>> drop_space([b"", b" Once", b" upon"])
    [b'', b'Once', b' upon']
    """
    first = next((k for k, data in enumerate(token_bytes) if data), 0)
    return [data.removeprefix(b" ") if k == first else data for k, data in enumerate(token_bytes)]


def as_written(text: bytes, token_bytes: Sequence[bytes], space_in_front: bool) -> list[bytes]:
    """`text`, which these tokens stand for, cut into one part for each token; joined, the parts are the text.

    A tokenizer may put a space in front, or change what it reads (a sign for another, two spaces for one): then
    token_bytes are not the text, and what no token says goes to the token beside it.

    >>> as_written(b"a b", [b"", b" a", b" b"], space_in_front=True)
    [b'', b'a', b' b']
    >>> as_written(" x①".encode(), [b" x", b"1"], space_in_front=True)
    [b' x', b'\xe2\x91\xa0']
    """
    if b"".join(token_bytes) == text:
        return list(token_bytes)
    if space_in_front:
        token_bytes = drop_space(token_bytes)
    starts, at, open_gap = [], 0, False  # open_gap: the tokens before found no place of their own
    for data in token_bytes:
        short = data.removeprefix(b" ")
        if text.startswith(short, at) and not text.startswith(data, at):
            data = short
        found = text.find(data, at, at + len(data) + REACH)
        if found < 0 or not data:
            starts.append(at)
            open_gap = open_gap or found < 0
            continue
        starts.append(found if open_gap else at)
        at, open_gap = found + len(data), False
    ends = [*starts[1:], len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]
