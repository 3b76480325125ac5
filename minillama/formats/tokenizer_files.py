"""Tokenizers in files: tokenizer.model or tokenizer.json, with the files beside them that say how they are used.

tokenizer_config.json names bos and eos and often holds the chat template; generation_config.json has the ids that end
an answer.
"""

from __future__ import annotations

import json
from pathlib import Path

from minillama.files import read_json
from minillama.formats import chat_templates
from minillama.formats.bpe import INSTALL, MOST_TOKENS, BPETokenizer
from minillama.tokenizer import SPACE, BaseTokenizer, Tokenizer

MODEL, JSON, CONFIG = "tokenizer.model", "tokenizer.json", "tokenizer_config.json"
GENERATION = "generation_config.json"
LARGEST_JSON = 256 * 2**20  # bytes


def read_tokenizer(folder: Path, n_words: int, config: dict, path: str | Path | None = None) -> BaseTokenizer:
    """The tokenizer of a folder: tokenizer.model if it has n_words tokens, else tokenizer.json; or the file at `path`.

    n_words: -1 if only the tokenizer knows. config: the fields of config.json, for the ids of bos and eos. The chat
    format is that of the folder's template. Raises ValueError naming the file that is missing, broken or does not fit.
    """
    model, other = folder / MODEL, folder / JSON
    if path is not None:
        model, other = (None, Path(path)) if Path(path).suffix == ".json" else (Path(path), None)
    settings, generation = (read_json(folder / name) if (folder / name).is_file() else {}
                            for name in (CONFIG, GENERATION))  # fmt: skip
    tokenizer = None
    if model is not None and (model.is_file() or other is None):
        try:
            tokenizer = Tokenizer(model)
        except ValueError:
            if other is None or not other.is_file():
                raise
    if other is not None and other.is_file() and (tokenizer is None or tokenizer.n_words != n_words != -1):
        tokenizer = read_json_tokenizer(other, n_words, settings, generation | config)
    if tokenizer is None:
        raise ValueError(f"tokenizer_path: no tokenizer at {str(folder)!r}; expected {MODEL} or {JSON}")
    ends = generation.get("eos_token_id", [])
    ends = [i for i in (ends if isinstance(ends, list) else [ends]) if isinstance(i, int)]
    template = chat_templates.read(folder, settings)
    tokenizer = tokenizer.with_format(chat_templates.recognise(template, tokenizer, settings), ends)
    if others := {name: value for name, value in generation.items() if name not in ("bos_token_id", "eos_token_id")}:
        tokenizer.carried = {GENERATION: others}
    return tokenizer


def read_tokenizer_file(path: str | Path, n_words: int) -> BaseTokenizer:
    """The tokenizer.model or tokenizer.json that a caller names in place of the checkpoint's own."""
    return read_tokenizer(Path(path).parent, n_words, {}, path)


def read_json_tokenizer(path: Path, n_words: int, settings: dict, config: dict) -> BPETokenizer:
    """A BPETokenizer from tokenizer.json; settings: the fields of tokenizer_config.json, config: of config.json.

    n_words: the rows of the weights, at least the tokenizer's size; -1 takes that. Raises ValueError naming the file.
    """
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


def to_json(tokenizer: BaseTokenizer) -> dict[str, str]:
    """The contents of tokenizer.json, tokenizer_config.json and generation_config.json for `tokenizer`, by name."""
    if isinstance(tokenizer, BPETokenizer):
        made, begins = tokenizer.tokenizer, tokenizer.begins
    else:
        made, begins = from_sentencepiece(tokenizer), True
    names = chat_templates.given_names(tokenizer)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **names, "add_bos_token": begins, "add_eos_token": False}
    config["clean_up_tokenization_spaces"] = False
    if (template := chat_templates.to_template(tokenizer.chat_format)) is not None:
        config["chat_template"] = template
    fields = {CONFIG: config, GENERATION: tokenizer.carried.get(GENERATION, {}) | end_ids(tokenizer)}
    return {JSON: made.to_str()} | {name: json.dumps(each, indent=2) + "\n" for name, each in fields.items()}


def end_ids(tokenizer: BaseTokenizer) -> dict:
    """bos_token_id and eos_token_id, as config.json and generation_config.json have them."""
    bos = {"bos_token_id": tokenizer.bos_id} if tokenizer.bos_id >= 0 else {}
    return bos | {"eos_token_id": list(tokenizer.stop_ids) if len(tokenizer.stop_ids) > 1 else tokenizer.eos_id}


def files_of(tokenizer: BaseTokenizer, plain: bool) -> dict[str, str | bytes]:
    """All files of a tokenizer, by name, with its chat format and stop_ids.

    plain: a tokenizer.model alone is enough where it says everything, as in Meta's layout.
    """
    if isinstance(tokenizer, BPETokenizer):
        return to_json(tokenizer)
    files = {MODEL: tokenizer.sp_model.serialized_model_proto()}
    says_all = tokenizer.chat_format is None and tokenizer.stop_ids == (tokenizer.eos_id,) and not tokenizer.carried
    return files if plain and says_all else files | to_json(tokenizer)
