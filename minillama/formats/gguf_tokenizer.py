"""Tokenizers out of the metadata of a GGUF file.

Two kinds are read: "llama", which is sentencepiece's (pieces, scores, types), and "gpt2", byte-level BPE (pieces,
merges). For the first the bytes of a tokenizer.model are written again (`sentencepiece_model.py`) and given to
sentencepiece, so that it splits texts exactly as ever; the second goes to the `tokenizers` library, with the splitting
that the file names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from minillama.checkpoint import MOST_TOKENS
from minillama.files import listed, one_line
from minillama.formats import chat_templates, sentencepiece_model
from minillama.formats.bpe import INSTALL, BPETokenizer
from minillama.formats.sentencepiece_model import CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED
from minillama.formats.tokenizer_files import ids_among, with_rows
from minillama.tokenizer import BaseTokenizer, Tokenizer

NONE = (-1, 2**32 - 1)  # how a file says that there is no bos or eos
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITTINGS = ("gpt-2", "smollm", "llama-bpe")  # before the merges; values of tokenizer.ggml.pre


def from_metadata(metadata: Mapping, n_words: int, path: Path) -> BaseTokenizer:
    """The tokenizer in a GGUF file's metadata. Raises ValueError naming the file `path`."""

    def error(what: str) -> ValueError:
        return ValueError(f"ckpt_dir: {str(path)!r} {one_line(what, 600)}")

    def field(name: str, default=None):
        value = metadata.get(f"tokenizer.ggml.{name}", default)
        return list(value) if hasattr(value, "__len__") and not isinstance(value, str) else value

    kind, listed_tokens = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.tokens")
    count = len(listed_tokens) if isinstance(listed_tokens, Sequence) and not isinstance(listed_tokens, str) else 0
    if not isinstance(kind, str) or kind not in ("llama", "gpt2"):
        raise error(f"has a tokenizer of the kind {kind!r}; 'llama' and 'gpt2' are read")
    if not 0 < count <= MOST_TOKENS:
        raise error(f"has a tokenizer of {count} tokens; it is broken")
    try:
        tokens = field("tokens")
        types = field("token_type", [NORMAL] * count)
        eos_id, bos_id = (-1 if i in NONE else i for i in (field("eos_token_id", 2), field("bos_token_id", 1)))
        if len(types) != count or len({*tokens}) != count:
            raise ValueError("tokens are there twice, or their types are not as many")
        if not all(type(i) is int and -1 <= i < count for i in (eos_id, bos_id)):  # True is none
            raise ValueError(f"its bos and eos are {bos_id} and {eos_id}, of {count} tokens")
        splitting = field("pre", "gpt-2")
        begins = bool(field("add_bos_token", kind == "llama" or splitting == "llama-bpe"))
        ends = bool(field("add_eos_token", False))
        if kind == "llama":
            settings = {"add_dummy_prefix": bool(field("add_space_prefix", True)),
                        "remove_extra_whitespaces": bool(field("remove_extra_whitespaces", False))}  # fmt: skip
            content = sentencepiece_model.written(tokens, field("scores"), types, bos_id, eos_id, **settings)
            tokenizer = Tokenizer(content).with_marks(bos_id, eos_id, begins, ends)
        else:
            if splitting not in SPLITTINGS:
                raise ValueError(f"it splits texts as {splitting!r}; {listed(SPLITTINGS)} are known")
            made = byte_level_bpe(tokens, field("merges", ()), types, splitting)
            tokenizer = BPETokenizer(made, count, bos_id, eos_id, begins, ends=ends)
        tokenizer = with_rows(tokenizer, n_words)
        stops = ids_among(tokenizer.n_words, *(field(f"{name}_token_id") for name in ("eot", "eom")))
    except ImportError:
        raise error(f"has a byte-level tokenizer; {INSTALL}") from None
    except Exception as problem:
        raise error(f"has a tokenizer that cannot be used: {problem}") from problem
    template = metadata.get("tokenizer.chat_template")
    template = template if isinstance(template, str) else None
    return tokenizer.with_format(chat_templates.recognise(template, tokenizer), stops)


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
    for kind, special in ((CONTROL, True), (UNKNOWN, True), (UNUSED, True), (USER_DEFINED, False)):
        added = [token for token, type_ in zip(tokens, types, strict=True) if type_ == kind]
        made.add_tokens([tokenizers.AddedToken(token, special=special, normalized=False) for token in added])
    return made
