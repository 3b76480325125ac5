"""Tokenizers out of the metadata of a GGUF file.

Two kinds are read: "llama", which is sentencepiece's (pieces, scores, types), and "gpt2", byte-level BPE (pieces,
merges). For the first the bytes of a tokenizer.model are written again and given to sentencepiece, so that it splits
texts exactly as ever; the second goes to the `tokenizers` library, with the splitting that the file names.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

from minillama.files import listed
from minillama.formats import chat_templates
from minillama.formats.bpe import INSTALL, MOST_TOKENS, BPETokenizer
from minillama.tokenizer import BaseTokenizer, Tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4  # types of tokens, in GGUF as in sentencepiece
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITTINGS = ("gpt-2", "smollm", "llama-bpe")  # before the merges; values of tokenizer.ggml.pre


def from_metadata(metadata: Mapping, n_words: int, path: Path) -> BaseTokenizer:
    """The tokenizer in a GGUF file's metadata. Raises ValueError naming the file `path`."""

    def error(what: str) -> ValueError:
        return ValueError(f"ckpt_dir: {str(path)!r} {what}")

    def field(name: str, default=None):
        value = metadata.get(f"tokenizer.ggml.{name}", default)
        return list(value) if hasattr(value, "__len__") and not isinstance(value, str) else value

    kind = field("model")
    count = len(metadata.get("tokenizer.ggml.tokens", ()))
    if kind not in ("llama", "gpt2"):
        raise error(f"has a tokenizer of the kind {kind!r}; 'llama' and 'gpt2' are read")
    if not 0 < count <= MOST_TOKENS or n_words not in (-1, count):
        raise error(f"has a tokenizer of {count} tokens and weights for {n_words}; it is broken")
    try:
        tokens = field("tokens")
        types = field("token_type", [NORMAL] * count)
        eos_id, bos_id = field("eos_token_id", 2), field("bos_token_id", 1)
        if len(types) != count or len({*tokens}) != count:
            raise ValueError("tokens are there twice, or their types are not as many")
        if not all(isinstance(i, int) and 0 <= i < count for i in (eos_id, bos_id)):
            raise ValueError(f"its bos and eos are {bos_id} and {eos_id}, of {count} tokens")
        if kind == "llama":
            settings = {"add_dummy_prefix": bool(field("add_space_prefix", True)),
                        "remove_extra_whitespaces": bool(field("remove_extra_whitespaces", False))}  # fmt: skip
            content = sentencepiece_model(tokens, field("scores"), types, bos_id, eos_id, **settings)
            tokenizer = Tokenizer(content)
        else:
            splitting = field("pre", "gpt-2")
            if splitting not in SPLITTINGS:
                raise ValueError(f"it splits texts as {splitting!r}; {listed(SPLITTINGS)} are known")
            begins = bool(field("add_bos_token", splitting == "llama-bpe"))
            made = byte_level_bpe(tokens, field("merges", ()), types, splitting)
            tokenizer = BPETokenizer(made, count, bos_id, eos_id, begins)
    except ImportError:
        raise error(f"has a byte-level tokenizer; {INSTALL}") from None
    except Exception as problem:
        raise error(f"has a tokenizer that cannot be used: {problem}") from problem
    template = metadata.get("tokenizer.chat_template")
    template = template if isinstance(template, str) else None
    return tokenizer.with_format(chat_templates.recognise(template, tokenizer))


def byte_level_bpe(tokens: list[str], merges: list[str], types: list[int], splitting: str):
    """A byte-level BPE of the `tokenizers` library. merges: "a b" for each pair that becomes one, in order."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    pairs = [tuple(merge.split(" ")) for merge in merges]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ValueError("its merges are missing or not pairs")
    vocab = {token: i for i, token in enumerate(tokens)}
    made = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=pairs, ignore_merges=splitting == "llama-bpe"))
    if splitting == "llama-bpe":
        split = pre_tokenizers.Split(tokenizers.Regex(LLAMA_3), "isolated")
        made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    else:
        first = [pre_tokenizers.Digits(individual_digits=True)] if splitting == "smollm" else []
        made.pre_tokenizer = pre_tokenizers.Sequence([*first, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    made.decoder = decoders.ByteLevel()
    for kind, special in ((CONTROL, True), (UNKNOWN, True), (USER_DEFINED, False)):
        added = [token for token, type_ in zip(tokens, types, strict=True) if type_ == kind]
        made.add_tokens([tokenizers.AddedToken(token, special=special, normalized=False) for token in added])
    return made


def sentencepiece_model(
    tokens: list[str],
    scores: list[float],
    types: list[int],
    bos_id: int,
    eos_id: int,
    add_dummy_prefix: bool = True,
    remove_extra_whitespaces: bool = False,
) -> bytes:
    """The bytes of a tokenizer.model (a message in Protocol Buffers' encoding) with these pieces.

    Fields: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
    """
    if scores is None or len(scores) != len(tokens):
        raise ValueError("its scores are not as many as its tokens")
    pieces = b"".join(
        _field(1, _field(1, token.encode()) + _float(2, score) + _field(3, type_))
        for token, score, type_ in zip(tokens, scores, types, strict=True)
    )
    bpe = _field(3, 2) + _field(4, len(tokens)) + _field(35, any(type_ == 6 for type_ in types))
    ends = _field(41, bos_id) + _field(42, eos_id) + _field(46, tokens[bos_id].encode())
    ends += _field(47, tokens[eos_id].encode())
    unknown = [i for i, type_ in enumerate(types) if type_ == UNKNOWN]
    ends += _field(40, unknown[0]) + _field(45, tokens[unknown[0]].encode()) if unknown else b""
    spaces = _field(3, add_dummy_prefix) + _field(4, remove_extra_whitespaces) + _field(5, True)
    return pieces + _field(2, bpe + ends) + _field(3, _field(1, b"identity") + spaces)


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
