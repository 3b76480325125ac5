"""Byte-level BPE as GPT-2's, and whatever else the `tokenizers` library holds whose tokens stand for exact bytes.

Byte-level BPE writes every byte as a printable character ("Ġ" is a space), so that a piece is a text even if its bytes
are not. The work is done by the library; `BPETokenizer` gives it the members of every tokenizer here.
"""

from __future__ import annotations

from minillama import arguments
from minillama.tokenizer import SPACE, BaseTokenizer

MOST_TOKENS = 2**20
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

    n_words: the rows of the weights; ids that the tokenizer does not know are empty tokens. bos_id: None if there is
    none. begins: whether a text of this model begins with bos_id; `encode(bos=True)` adds it only then. Raises
    ValueError for a tokenizer whose tokens do not stand for exact bytes.
    """

    def __init__(self, tokenizer, n_words: int, bos_id: int | None, eos_id: int, begins: bool, chat_format=None):
        tokenizer.encode_special_tokens = True  # the text "<|im_end|>" is text, never the token
        tokenizer.no_padding(), tokenizer.no_truncation()
        decoder = tokenizer.decoder.__getstate__().decode() if tokenizer.decoder is not None else ""
        if "ByteLevel" not in decoder and "ByteFallback" not in decoder:
            raise ValueError("it is neither byte-level BPE nor BPE with byte fallback")
        self.tokenizer, self.begins = tokenizer, begins and bos_id is not None
        alphabet = byte_alphabet() if "ByteLevel" in decoder else None
        added = tokenizer.get_added_tokens_decoder()
        pieces = [tokenizer.id_to_token(i) for i in range(n_words)]
        token_bytes = [bytes_of(piece, added.get(i), alphabet) for i, piece in enumerate(pieces)]
        names = [f"<unused {i}>" if piece is None else piece for i, piece in enumerate(pieces)]
        bos_id = -1 if bos_id is None else bos_id
        super().__init__(token_bytes, names, bos_id, eos_id, space_in_front=alphabet is None, chat_format=chat_format)

    def encode(self, s: str, bos: bool, eos: bool) -> list[int]:
        """Token ids of s, with bos_id before (if texts of this model have it) and eos_id after if asked.

        The text "<|im_end|>" is ten characters, never the token. Raises as `Tokenizer.encode` does.
        """
        arguments.text("s", s)
        bos, eos = arguments.flags(bos=bos, eos=eos)
        ids = self.tokenizer.encode(s, add_special_tokens=False).ids
        return [self.bos_id] * (bos and self.begins) + ids + [self.eos_id] * eos


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
