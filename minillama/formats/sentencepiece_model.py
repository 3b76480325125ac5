"""The bytes of a tokenizer.model: a message in Protocol Buffers' encoding, written, lengthened and shortened.

So sentencepiece itself does all the splitting, whatever file the pieces are from. The fields:
https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from minillama.tokenizer import SPACE

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # types of pieces, in GGUF as here
NUMBER, BYTES = 0, 2  # kinds of fields; a text and a message in a message are bytes


def written(
    tokens: list[str],
    scores: list[float],
    types: list[int],
    bos_id: int,
    eos_id: int,
    add_dummy_prefix: bool = True,
    remove_extra_whitespaces: bool = False,
) -> bytes:
    """A model of BPE with these pieces; bos_id or eos_id -1: there is none."""
    if scores is None or len(scores) != len(tokens):
        raise ValueError("its scores are not as many as its tokens")
    pieces = b"".join(piece(*each) for each in zip(tokens, types, scores, strict=True))
    trainer = _field(3, 2) + _field(4, len(tokens)) + _field(35, any(kind == BYTE for kind in types))
    for i, number, name in ((bos_id, 41, 46), (eos_id, 42, 47)):
        trainer += _field(number, i) + _field(name, tokens[i].encode()) if i >= 0 else b""
    unknown = [i for i, kind in enumerate(types) if kind == UNKNOWN]
    trainer += _field(40, unknown[0]) + _field(45, tokens[unknown[0]].encode()) if unknown else b""
    return pieces + _field(2, trainer) + _field(3, _field(1, b"identity") + _field(5, True)) + spaces(
        add_dummy_prefix, remove_extra_whitespaces
    )  # fmt: skip


def piece(token: str, kind: int, score: float = 0.0) -> bytes:
    """One piece, to be put after a model."""
    return _field(1, _field(1, token.encode()) + _float(2, score) + _field(3, kind))


def spaces(add_dummy_prefix: bool, remove_extra_whitespaces: bool | None = None) -> bytes:
    """Settings, to be put after a model: of two, the later one counts."""
    removing = b"" if remove_extra_whitespaces is None else _field(4, remove_extra_whitespaces)
    return _field(3, _field(3, add_dummy_prefix) + removing)


def with_pieces(model: bytes, size: int, n_words: int, added: Mapping[int, tuple[str, bool]]) -> bytes:
    """A model of `size` pieces with n_words of them: the surplus taken away, or what is missing added.

    added: the name of an added id, and whether texts may hold it. An id without one is an unused control piece.
    """
    if n_words < size:
        return b"".join(field for k, field in _pieces_first(model) if k is None or k < n_words)
    for i in range(size, n_words):
        name, is_text = added.get(i, (f"<unused {i}>", False))
        model += piece(name.replace(" ", SPACE) if is_text else name, USER_DEFINED if is_text else CONTROL)
    return model


def settings(model: bytes) -> dict:
    """How a model is to be used, as far as sentencepiece's own object does not say it."""
    found: dict = {2: {}, 3: {}}  # of the trainer, of the normaliser
    kinds = []
    for number, value in _known(model, {1: BYTES, 2: BYTES, 3: BYTES}):
        if number == 1:
            kinds.append(dict(_known(value, {3: NUMBER})).get(3, NORMAL))
        else:
            found[number] |= dict(_known(value, {2: {3: NUMBER, 35: NUMBER}, 3: {2: BYTES, 4: NUMBER}}[number]))
    trainer, normalizer = found[2], found[3]
    return {
        "is_unigram": trainer.get(3, 1) == 1,
        "byte_fallback": bool(trainer.get(35)),
        "charsmap": normalizer.get(2, b""),
        "remove_extra_whitespaces": bool(normalizer.get(4, True)),
        "user_defined": [kind == USER_DEFINED for kind in kinds],
    }


def _pieces_first(model: bytes) -> Iterator[tuple[int | None, bytes]]:
    """Each field of a model as it is; with its number, if it is a piece."""
    k = 0
    for number, _, field in _fields(model):
        is_piece = number == 1 and field[0] & 7 == BYTES
        yield (k if is_piece else None), field
        k += is_piece


def _known(message: bytes, kinds: Mapping[int, int]) -> Iterator[tuple[int, int | bytes]]:
    """The fields of these numbers and kinds; what has another kind is no field that sentencepiece knows."""
    for number, value, field in _fields(message):
        if field[0] & 7 == kinds.get(number):
            yield number, value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes, bytes]]:
    """The number and the value of each field (for floats, its bytes), and the whole field.

    Fields that sentencepiece does not know may be groups, whose two marks (3 and 4) have no value.
    """
    at = 0
    while at < len(message):
        start = at
        key, at = _read_varint(message, at)
        if key & 7 == 0:
            value, at = _read_varint(message, at)
        else:
            length, at = _read_varint(message, at) if key & 7 == 2 else ({1: 8, 3: 0, 4: 0, 5: 4}[key & 7], at)
            value, at = message[at : at + length], at + length
        yield key >> 3, value, message[start:at]


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def _varint(n: int) -> bytes:
    """Seven bits a byte, the lowest first; all bytes but the last have their top bit set."""
    low, n = n & 127, n >> 7
    return bytes([low | 128]) + _varint(n) if n else bytes([low])


def _field(number: int, value: int | bytes) -> bytes:
    """A field of a message: a number, or bytes (a text, or a message in a message)."""
    if isinstance(value, bytes):
        return _varint(number << 3 | 2) + _varint(len(value)) + value
    return _varint(number << 3) + _varint(int(value))


def _float(number: int, value: float) -> bytes:
    return _varint(number << 3 | 5) + struct.pack("<f", value)
