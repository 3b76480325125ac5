"""Tokenizers in files: tokenizer.model or tokenizer.json, with the files beside them that say how they are used.

tokenizer_config.json (before it special_tokens_map.json and added_tokens.json) names bos and eos, says whether texts
begin and end with them, names added tokens, and often holds the chat template; generation_config.json has the ids that
end an answer.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from minillama import arguments
from minillama.checkpoint import MOST_TOKENS, check_fit
from minillama.files import one_line, read_json
from minillama.formats import chat_templates, sentencepiece_model
from minillama.formats.bpe import INSTALL, BPETokenizer
from minillama.formats.sentencepiece_json import from_sentencepiece, marks, other_ids
from minillama.tokenizer import BaseTokenizer, Tokenizer

MODEL, JSON, CONFIG = "tokenizer.model", "tokenizer.json", "tokenizer_config.json"
NAMES, ADDED, GENERATION = "special_tokens_map.json", "added_tokens.json", "generation_config.json"
SPECIAL = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "pad", "sep", "cls", "mask"))
LARGEST_JSON = 256 * 2**20  # bytes
MOST_GROWTH = 64  # times its length, that a tokenizer.json may make of a text before it cuts it, or of tokens after it


def read_tokenizer(folder: Path, n_words: int, config: dict, path: str | Path | None = None) -> BaseTokenizer:
    """The tokenizer of a folder: tokenizer.model if it has n_words tokens, else tokenizer.json; or the file at `path`.

    n_words: the rows of the weights, -1 if they are not known yet. config: the fields of config.json, for the ids of
    bos and eos. The chat format is that of the folder's template. Raises ValueError naming the file that is missing,
    broken or does not fit.
    """
    model, other = folder / MODEL, folder / JSON
    if path is not None:
        arguments.path("tokenizer_path", path)
        model, other = (None, Path(path)) if Path(path).suffix == ".json" else (Path(path), None)
    names, settings, generation, added = (read_json(folder / name) if (folder / name).is_file() else {}
                                          for name in (NAMES, CONFIG, GENERATION, ADDED))  # fmt: skip
    written = names | settings  # a null says that there is no such token
    settings = names | {key: value for key, value in settings.items() if value is not None}
    added = added_tokens(settings, added)
    tokenizer = None
    if model is not None and (model.is_file() or other is None):
        try:
            tokenizer = Tokenizer(model)
        except ValueError:
            if other is None or not other.is_file():
                raise
    if other is not None and other.is_file() and (tokenizer is None or tokenizer.n_words != n_words != -1):
        tokenizer = read_json_tokenizer(other, n_words, settings, generation | config, added)
    elif tokenizer is not None:
        tokenizer = _of_model(tokenizer, n_words, settings, added, f"the checkpoint in {str(folder)!r}")
    if tokenizer is None:
        raise ValueError(f"tokenizer_path: no tokenizer at {str(folder)!r}; expected {MODEL} or {JSON}")
    ends = [fields.get("eos_token_id") for fields in (config, generation)]
    template = chat_templates.read(folder, settings)
    chat_format = chat_templates.recognise(template, tokenizer, written)
    tokenizer = tokenizer.with_format(chat_format, ids_among(tokenizer.n_words, *ends))
    if others := {name: value for name, value in generation.items() if name not in ("bos_token_id", "eos_token_id")}:
        tokenizer.carried = {GENERATION: others}
    return tokenizer


def ids_among(n_words: int, *values) -> list[int]:
    """The ids of a vocabulary among values, each of them an id, a list of ids, or anything else."""
    flat = [i for value in values for i in (value if isinstance(value, list) else [value])]
    return [i for i in flat if type(i) is int and 0 <= i < n_words]


def read_tokenizer_file(path: str | Path, n_words: int) -> BaseTokenizer:
    """The tokenizer.model or tokenizer.json that a caller names in place of the checkpoint's own."""
    return read_tokenizer(Path(path).parent, n_words, {}, path)


def added_tokens(settings: Mapping, older: Mapping) -> dict[int, tuple[str, bool]]:
    """The tokens that were added to a tokenizer: for each id its name, and whether texts may hold it.

    settings: the fields of tokenizer_config.json; older: of added_tokens.json. Of a folder that says nothing on special
    tokens, only the names are known.
    """
    told = settings.get("added_tokens_decoder")
    if isinstance(told, dict):
        each = [(i, token.get("content"), not token.get("special", False))
                for i, token in told.items() if isinstance(token, dict)]  # fmt: skip
    else:
        special = {_content(settings.get(key)) for key in SPECIAL}
        for key in ("additional_special_tokens", "extra_special_tokens"):
            tokens = settings.get(key)
            special |= {_content(token) for token in tokens} if isinstance(tokens, list) else set()
        each = [(i, name, special != {None} and name not in special) for name, i in older.items()]
    known = [(int(i), name, is_text) for i, name, is_text in each if str(i).isdecimal() and len(str(i)) < 9]
    return {i: (name, is_text) for i, name, is_text in known if i < MOST_TOKENS and isinstance(name, str) and name}


def _content(token) -> str | None:
    """The text of a token that is written as a text or with its settings."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None


def _of_model(tokenizer: Tokenizer, n_words: int, settings: Mapping, added: Mapping, where: str) -> Tokenizer:
    """A tokenizer.model as the files beside it say it is used."""
    if settings.get("add_prefix_space") is False and tokenizer.space_in_front:
        tokenizer = Tokenizer(tokenizer.sp_model.serialized_model_proto() + sentencepiece_model.spaces(False))
    known = {*tokenizer.pieces(range(tokenizer.n_words))}
    added = {i: named for i, named in added.items() if i >= tokenizer.n_words and named[0] not in known}
    n_words = max([tokenizer.n_words - 1, *added]) + 1 if n_words == -1 else n_words
    tokenizer = with_rows(tokenizer, n_words, added, where)
    bos_id, eos_id = (
        own if named is None else named
        for own, named in (
            (tokenizer.bos_id, _named(tokenizer.id_of, settings, "bos")),
            (tokenizer.eos_id, _named(tokenizer.id_of, settings, "eos")),
        )
    )
    return tokenizer.with_marks(
        bos_id, eos_id, settings.get("add_bos_token") is not False, settings.get("add_eos_token") is True
    )


def with_rows(
    tokenizer: BaseTokenizer,
    n_words: int,
    added: Mapping[int, tuple[str, bool]] | None = None,
    where: str = "the checkpoint",
) -> BaseTokenizer:
    """The same tokenizer for weights of n_words rows; `where` that is said, for messages.

    Ids beyond its own are unused (`added` may name them); tokens beyond the rows are ignored: a text that holds one is
    encoded by its parts. Raises ValueError if a size cannot be right, or if no row is left for eos.
    """
    if n_words in (-1, tokenizer.n_words):
        return tokenizer
    check_fit(tokenizer.n_words, n_words, where)
    if tokenizer.eos_id >= n_words:
        raise ValueError(
            f"tokenizer_path: the tokenizer ends a text with the id {tokenizer.eos_id}, but the weights have rows for "
            f"0 to {n_words - 1} alone; give the tokenizer that belongs to these weights"
        )
    bos_id = tokenizer.bos_id if tokenizer.bos_id < n_words else -1
    ends = (bos_id, tokenizer.eos_id, tokenizer.begins)
    if isinstance(tokenizer, BPETokenizer):
        other = BPETokenizer(tokenizer.tokenizer, n_words, *ends, ends=tokenizer.ends, names=tokenizer.names)
    elif isinstance(tokenizer, Tokenizer):
        model, size = tokenizer.sp_model.serialized_model_proto(), tokenizer.n_words
        model = sentencepiece_model.with_pieces(model, size, n_words, added or {})
        other = Tokenizer(model).with_marks(*ends, tokenizer.ends)
    else:
        raise ValueError(f"tokenizer_path: the tokenizer has {tokenizer.n_words} tokens, the weights have {n_words}")
    return other.with_format(tokenizer.chat_format, [i for i in tokenizer.stop_ids if i < n_words])


def read_json_tokenizer(
    path: Path, n_words: int, settings: Mapping, config: Mapping, added: Mapping[int, tuple[str, bool]]
) -> BPETokenizer:
    """A BPETokenizer from tokenizer.json; settings: the fields of tokenizer_config.json, config: of config.json.

    n_words: the rows of the weights; -1 takes the tokenizer's size. Raises ValueError naming the file.
    """
    try:
        import tokenizers
    except ImportError:
        raise ValueError(f"tokenizer_path: to read {str(path)!r} {INSTALL}") from None
    if (size := path.stat().st_size) > LARGEST_JSON:
        raise ValueError(f"tokenizer_path: {str(path)!r} has {size} bytes, at most {LARGEST_JSON} are read")

    def tried(step: Callable, trouble: str):
        try:
            return step()
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # of the library's Rust
                raise
            raise ValueError(f"tokenizer_path: {str(path)!r} {trouble} ({one_line(error)})") from error

    tokenizer = tried(lambda: tokenizers.Tokenizer.from_file(str(path)), "is broken or no tokenizer.json")
    if max(map(_growth, (tokenizer.normalizer, tokenizer.decoder))) > MOST_GROWTH:
        raise ValueError(
            f"tokenizer_path: {str(path)!r} makes texts more than {MOST_GROWTH} times as long before it cuts them, or "
            f"tokens so; a short text could fill the memory"
        )
    size = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    n_words = size if n_words == -1 else n_words
    check_fit(size, n_words, "the checkpoint", path)

    def id_of(piece: str) -> int | None:
        return next(iter(ids_among(n_words, tokenizer.token_to_id(piece))), None)

    bos_id, eos_id = (
        next((i for i in (_named(id_of, settings, name), *ids_among(min(size, n_words), config.get(f"{name}_token_id")))
              if i is not None), None)
        for name in ("bos", "eos")
    )  # fmt: skip
    if eos_id is None:
        raise ValueError(f"tokenizer_path: nothing beside {str(path)!r} says which token is eos ({CONFIG}: eos_token)")
    probe = tried(lambda: tokenizer.encode("a").ids, "cannot be used")
    begins, ends = (settings.get(f"add_{name}_token") for name in ("bos", "eos"))
    begins = begins if isinstance(begins, bool) else probe[:1] == [bos_id]
    ends = ends if isinstance(ends, bool) else probe[-1:] == [eos_id]
    names = {i: name for i, (name, _) in added.items()}
    return tried(
        lambda: BPETokenizer(tokenizer, n_words, bos_id, eos_id, begins, ends=ends, names=names), "cannot be used"
    )  # fmt: skip


def _growth(part) -> float:
    """How many times as long a normalizer or decoder of the `tokenizers` library may make a text, by its parts."""
    state = part if isinstance(part, dict) else json.loads(part.__getstate__()) if part is not None else {}
    growth = math.prod(_growth(each) for each in state.get("normalizers") or state.get("decoders") or ())
    if state.get("type") == "Replace":
        return max(1, len(state["content"]) / max(1, len(state["pattern"].get("String", ""))))
    return growth * (1 + len(state.get("prepend") or ""))


def _named(id_of: Callable[[str], int | None], settings: Mapping, name: str) -> int | None:
    """The id of bos or eos by its name in tokenizer_config.json."""
    token = _content(settings.get(f"{name}_token"))
    return None if token is None else id_of(token)


def to_json(tokenizer: BaseTokenizer) -> dict[str, str]:
    """The contents of tokenizer.json, tokenizer_config.json and generation_config.json for `tokenizer`, by name.

    tokenizer.json is left out, with a warning, where the `tokenizers` library would give other ids.
    """
    import tokenizers

    if isinstance(tokenizer, BPETokenizer):
        made = tokenizers.Tokenizer.from_str(tokenizer.tokenizer.to_str())
        if made.encode("a").ids != tokenizer.encode("a", bos=True, eos=tokenizer.ends):
            made.post_processor = marks(tokenizer)
        differs = None
    else:
        made = from_sentencepiece(tokenizer)
        differs = other_ids(made, tokenizer)
    names = chat_templates.given_names(tokenizer)
    kind = "PreTrainedTokenizerFast" if differs is None else "LlamaTokenizer"
    config = {"tokenizer_class": kind, **names, "add_bos_token": tokenizer.begins, "add_eos_token": tokenizer.ends}
    if not isinstance(tokenizer, BPETokenizer) and not tokenizer.space_in_front:
        config["add_prefix_space"] = False
    config["clean_up_tokenization_spaces"] = False
    if (template := chat_templates.to_template(tokenizer.chat_format)) is not None:
        config["chat_template"] = template
    fields = {CONFIG: config, GENERATION: tokenizer.carried.get(GENERATION, {}) | end_ids(tokenizer)}
    files = {name: json.dumps(each, indent=2) + "\n" for name, each in fields.items()}
    if differs is None:
        return {JSON: made.to_str()} | files
    warnings.warn_explicit(  # each time, where `warn` would say it once
        f"{JSON} is left out: the tokenizers library would give other ids to some texts, such as {differs[:40]!r}. "
        f"{MODEL} is written; transformers needs sentencepiece and protobuf to read it",
        UserWarning,
        "Llama.save",
        1,
    )
    return files


def end_ids(tokenizer: BaseTokenizer) -> dict:
    """bos_token_id and eos_token_id, as config.json and generation_config.json have them."""
    bos = {"bos_token_id": tokenizer.bos_id} if tokenizer.bos_id >= 0 else {}
    ids = tokenizer.stop_ids
    return bos | ({"eos_token_id": ids[0] if len(ids) == 1 else list(ids)} if ids else {})


def files_of(tokenizer: BaseTokenizer, plain: bool) -> dict[str, str | bytes]:
    """All files of a tokenizer, by name, with its chat format and stop_ids.

    plain: a tokenizer.model alone is enough where it says everything, as in Meta's layout.
    """
    if isinstance(tokenizer, BPETokenizer):
        return to_json(tokenizer)
    files = {MODEL: tokenizer.sp_model.serialized_model_proto()}
    own = Tokenizer(files[MODEL])
    says_all = (
        tokenizer.chat_format is None
        and not tokenizer.carried
        and all(
            getattr(tokenizer, name) == getattr(own, name)
            for name in ("stop_ids", "bos_id", "eos_id", "begins", "ends")
        )
    )
    return files if plain and says_all else files | to_json(tokenizer)
