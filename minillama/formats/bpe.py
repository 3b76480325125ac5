"""Byte-level BPE as GPT-2's, and whatever else the `tokenizers` library holds whose tokens stand for exact bytes.

Byte-level BPE writes every byte as a printable character ("Ġ" is a space), so that a piece is a text even if its bytes
are not. The work is done by the library; `BPETokenizer` gives it the members of every tokenizer here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from minillama import arguments
from minillama.tokenizer import SPACE, BaseTokenizer

INSTALL = "install tokenizers: pip install tokenizers"


def byte_alphabet() -> dict[str, int]:
    """The byte that each character of a byte-level piece stands for.

    Printable characters of Latin-1 stand for themselves, all other bytes for the characters from 256 on, in order.

    >>> byte_alphabet()["A"], byte_alphabet()["Ġ"]
    (65, 32)
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + k): byte for k, byte in enumerate(others)}


class BPETokenizer(BaseTokenizer):
    """A tokenizer of the `tokenizers` library.

    n_words: the rows of the weights; ids that the tokenizer does not know are empty tokens (`names` may name them),
    tokens beyond the rows are left out of it. bos_id: None if there is none. begins, ends: whether a text of this model
    begins with bos_id, ends with eos_id. Raises ValueError for a tokenizer whose tokens do not stand for exact bytes.
    """

    def __init__(
        self,
        tokenizer,
        n_words: int,
        bos_id: int | None,
        eos_id: int,
        begins: bool,
        chat_format=None,
        ends: bool = False,
        names: Mapping[int, str] | None = None,
    ):
        tokenizer = without_tokens_beyond(tokenizer, n_words)
        tokenizer.encode_special_tokens = True  # the text "<|im_end|>" is text, never the token
        tokenizer.no_padding(), tokenizer.no_truncation()
        decoder = tokenizer.decoder.__getstate__().decode() if tokenizer.decoder is not None else ""
        if "ByteLevel" not in decoder and "ByteFallback" not in decoder:
            raise ValueError("it is neither byte-level BPE nor BPE with byte fallback")
        self.tokenizer, self.names = tokenizer, dict(names or {})
        alphabet = byte_alphabet() if "ByteLevel" in decoder else None
        added = tokenizer.get_added_tokens_decoder()
        pieces = [tokenizer.id_to_token(i) for i in range(n_words)]
        token_bytes = [bytes_of(piece, added.get(i), alphabet) for i, piece in enumerate(pieces)]
        names = [self.names.get(i, f"<unused {i}>") if piece is None else piece for i, piece in enumerate(pieces)]
        self.missing = {byte for c, byte in (alphabet or {}).items() if tokenizer.token_to_id(c) is None}
        marks = {"bos_id": -1 if bos_id is None else bos_id, "eos_id": eos_id, "begins": begins, "ends": ends}
        super().__init__(token_bytes, names, chat_format=chat_format, **marks)
        self.space_in_front = self.decode_bytes(tokenizer.encode("a", add_special_tokens=False).ids)[:1] == b" "

    def encode(self, s: str, bos: bool, eos: bool) -> list[int]:
        """Token ids of s, with bos_id before (if texts of this model have it) and eos_id after if asked.

        The text "<|im_end|>" is ten characters, never the token. Raises as `Tokenizer.encode` does, and ValueError for
        a byte that this tokenizer has no token for.
        """
        arguments.text("s", s)
        bos, eos = arguments.flags(bos=bos, eos=eos)
        ids = self.tokenizer.encode(s, add_special_tokens=False).ids
        if self.missing.intersection(s.encode()):
            self._check_bytes(s, ids)
        return self._marked(ids, bos, eos)

    def _check_bytes(self, s: str, ids: list[int]) -> None:
        """The library leaves out in silence what it has no token for; an added token may say it all the same."""
        if len(self.decode_bytes(ids)) < len(s.encode()) + self.space_in_front:
            lost = sorted({c for c in s if self.missing.intersection(c.encode())})
            raise ValueError(f"s has {''.join(lost[:8])!r}, which no token of this model stands for; remove it")


def without_tokens_beyond(tokenizer, n_words: int):
    """A tokenizer of the library that never gives an id of n_words or more: such a text is encoded by its parts."""
    if max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0) < n_words:
        return tokenizer
    fields = json.loads(tokenizer.to_str())
    model = fields["model"]
    fields["added_tokens"] = [token for token in fields["added_tokens"] if token["id"] < n_words]
    if isinstance(model["vocab"], list):  # of [piece, score]
        model["vocab"] = model["vocab"][:n_words]
    else:
        model["vocab"] = {piece: i for piece, i in model["vocab"].items() if i < n_words}
    if "merges" in model:
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
        prefix = len(model.get("continuing_subword_prefix") or "")
        model["merges"] = [
            pair for pair in pairs if model["vocab"].keys() >= {*pair, pair[0] + pair[1][prefix:]}
        ]  # fmt: skip
    return type(tokenizer).from_str(json.dumps(fields))


def bytes_of(piece: str | None, added, alphabet: dict[str, int] | None) -> bytes:
    """What a token adds to a text; added: the library's AddedToken, if it is one; alphabet: of a byte-level BPE."""
    if piece is None or added is not None and added.special:
        return b""
    if added is not None:
        return added.content.encode()
    if alphabet:
        return b"".join(bytes([alphabet[c]]) if c in alphabet else c.encode() for c in piece)
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)])
    return piece.replace(SPACE, " ").encode()
