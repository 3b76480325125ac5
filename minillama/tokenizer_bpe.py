"""Tokenizers that are no sentencepiece model: byte-level BPE as GPT-2's, and whatever else a tokenizer.json holds.

The work is done by the `tokenizers` library; `BPETokenizer` makes it a `BaseTokenizer`. Byte-level BPE
writes every byte as a printable character ("Ġ" is a space), so that a piece is a text even if its bytes are not.
"""

from __future__ import annotations

import json
from pathlib import Path

from minillama import arguments, chat_formats
from minillama.files import read_json
from minillama.tokenizer import SPACE, BaseTokenizer, Tokenizer

MODEL, JSON, CONFIG, TEMPLATE = "tokenizer.model", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
GENERATION = "generation_config.json"
LARGEST_JSON, MOST_TOKENS = 256 * 2**20, 2**20  # bytes, tokens
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


def read_tokenizer(folder: Path, n_words: int, config: dict, path: str | Path | None = None):
    """The tokenizer of a folder: tokenizer.model if it has n_words tokens, else tokenizer.json; or the file at `path`.

    n_words: -1 if only the tokenizer knows. config: the fields of config.json, for the ids of bos and eos. The chat
    format is that of the folder's template. Raises ValueError naming the file that is missing, broken or does not fit.
    """
    model, other = folder / MODEL, folder / JSON
    if path is not None:
        model, other = (folder / "nothing", Path(path)) if Path(path).suffix == ".json" else (Path(path), None)
    settings = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    generation = read_json(folder / GENERATION) if (folder / GENERATION).is_file() else {}
    tokenizer = None
    if model.is_file() or other is None:
        try:
            tokenizer = Tokenizer(model)
        except ValueError:
            if other is None or not other.is_file():
                raise
    if other is not None and other.is_file() and (tokenizer is None or tokenizer.n_words != n_words != -1):
        tokenizer = read_json_tokenizer(other, n_words, settings, generation | config)
    if tokenizer is None:
        raise ValueError(f"tokenizer_path: no tokenizer at {str(folder)!r}; a {MODEL} or {JSON} is due")
    ends = generation.get("eos_token_id", [])
    ends = [i for i in (ends if isinstance(ends, list) else [ends]) if isinstance(i, int)]
    return tokenizer.with_format(chat_formats.recognise(_template(folder, settings), tokenizer.id_of), ends)


def read_tokenizer_file(path: str | Path, n_words: int):
    """The tokenizer.model or tokenizer.json that a caller names in place of the checkpoint's own."""
    return read_tokenizer(Path(path).parent, n_words, {}, path)


def read_json_tokenizer(path: Path, n_words: int, settings: dict, config: dict) -> BPETokenizer:
    """A BPETokenizer from tokenizer.json; settings are the fields of tokenizer_config.json."""
    try:
        import tokenizers
    except ImportError:
        raise ValueError(f"tokenizer_path: to read {str(path)!r} {INSTALL}") from None
    if (size := path.stat().st_size) > LARGEST_JSON:
        raise ValueError(f"tokenizer_path: {str(path)!r} has {size} bytes, at most {LARGEST_JSON} are read")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        raise ValueError(f"tokenizer_path: {str(path)!r} is broken or no tokenizer.json ({error})") from error
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    if not size <= n_words <= MOST_TOKENS and n_words != -1:
        raise ValueError(
            f"tokenizer_path: {str(path)!r} has {size} tokens, the weights have {n_words}; they do not fit"
        )
    bos_id, eos_id = (_named(tokenizer, settings, config, name) for name in ("bos", "eos"))
    if eos_id is None:
        raise ValueError(f"tokenizer_path: nothing beside {str(path)!r} says which token is eos ({CONFIG}: eos_token)")
    begins = settings.get("add_bos_token")
    begins = begins if isinstance(begins, bool) else tokenizer.encode("a").ids[:1] == [bos_id]
    try:
        return BPETokenizer(tokenizer, size if n_words == -1 else n_words, bos_id, eos_id, begins)
    except ValueError as error:
        raise ValueError(f"tokenizer_path: {str(path)!r} cannot be used: {error}") from None


def _named(tokenizer, settings: dict, config: dict, name: str) -> int | None:
    """The id of bos or eos: by its name in tokenizer_config.json, else by its number in config.json."""
    token = settings.get(f"{name}_token")
    token = token.get("content") if isinstance(token, dict) else token
    if isinstance(token, str) and (i := tokenizer.token_to_id(token)) is not None:
        return i
    ids = config.get(f"{name}_token_id")
    first = ids[0] if isinstance(ids, list) and ids else ids
    return first if isinstance(first, int) and tokenizer.id_to_token(first) is not None else None


def _template(folder: Path, settings: dict) -> str | None:
    """The chat template: in a file of its own (transformers 5) or in tokenizer_config.json (before)."""
    path = folder / TEMPLATE
    if path.is_file() and path.stat().st_size < 2**20:
        return path.read_text(encoding="utf-8", errors="replace")
    template = settings.get("chat_template")
    if isinstance(template, list):  # several, by name
        named = {each.get("name"): each.get("template") for each in template if isinstance(each, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None


def from_sentencepiece(tokenizer: Tokenizer):
    """The same tokenizer for the `tokenizers` library, which others read without sentencepiece.

    The merges are all the ways in which two pieces make a third, best score first: sentencepiece's BPE keeps none.
    """
    import tokenizers
    from tokenizers import decoders, models, normalizers, processors

    sp = tokenizer.sp_model
    pieces = [sp.id_to_piece(i) for i in range(tokenizer.n_words)]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    ways = [(-sp.get_score(i), vocab[piece[:cut]], vocab[piece[cut:]], piece[:cut], piece[cut:])
            for i, piece in enumerate(pieces) if not (sp.is_control(i) or sp.is_unknown(i) or sp.is_byte(i))
            for cut in range(1, len(piece)) if piece[:cut] in vocab and piece[cut:] in vocab]  # fmt: skip
    merges = [way[3:] for way in sorted(ways)]
    unknown = sp.id_to_piece(sp.unk_id())
    bpe = models.BPE(vocab=vocab, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    made = tokenizers.Tokenizer(bpe)
    made.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    made.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    for i, piece in enumerate(pieces):
        if sp.is_control(i) or sp.is_unknown(i):
            made.add_special_tokens([tokenizers.AddedToken(piece, special=True, normalized=False)])
    bos = pieces[tokenizer.bos_id]
    made.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokenizer.bos_id)]
    )
    return made


def to_json(tokenizer) -> dict[str, str]:
    """The files tokenizer.json and tokenizer_config.json that say what `tokenizer` does, by name."""
    if isinstance(tokenizer, BPETokenizer):
        made, begins = tokenizer.tokenizer, tokenizer.begins
    else:
        made, begins = from_sentencepiece(tokenizer), True
    names = {f"{name}_token": tokenizer.pieces([i])[0]
             for name, i in (("bos", tokenizer.bos_id), ("eos", tokenizer.eos_id)) if i >= 0}  # fmt: skip
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **names, "add_bos_token": begins, "add_eos_token": False}
    config["clean_up_tokenization_spaces"] = False
    if (template := chat_formats.to_template(tokenizer.chat_format)) is not None:
        config["chat_template"] = template
    fields = {CONFIG: config, GENERATION: end_ids(tokenizer)}
    return {JSON: made.to_str()} | {name: json.dumps(each, indent=2) + "\n" for name, each in fields.items()}


def end_ids(tokenizer) -> dict:
    """bos_token_id and eos_token_id, as config.json and generation_config.json have them."""
    bos = {"bos_token_id": tokenizer.bos_id} if tokenizer.bos_id >= 0 else {}
    return bos | {"eos_token_id": list(tokenizer.stop_ids) if len(tokenizer.stop_ids) > 1 else tokenizer.eos_id}
