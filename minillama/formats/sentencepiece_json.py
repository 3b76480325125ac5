"""A sentencepiece model for the `tokenizers` library, which others read without sentencepiece.

Not all that sentencepiece can be told has its like there: `other_ids` finds where the two part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from minillama.formats.sentencepiece_model import settings
from minillama.tokenizer import SPACE, BaseTokenizer, Tokenizer

PROBES = (
    "", " ", "Once upon a time", " two  spaces ", "   x", "a\n\n\tb\r\n", "foxes and mills", "It's 12345 - 0.5!", "▁x",
    "def f(x):\n    return x", "天气很好。①ﬁne", "é e\u0301 ＡＢ", "🦙🙏\u200d a", "\u3000x\u00a0y", "[INST] [/INST]",
)  # fmt: skip


def from_sentencepiece(tokenizer: Tokenizer):
    """The same tokenizer for the `tokenizers` library, as far as it can be."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    sp, told = tokenizer.sp_model, settings(tokenizer.sp_model.serialized_model_proto())
    pieces = tokenizer.pieces(range(tokenizer.n_words))
    own = [piece for piece, is_own in zip(pieces, _user_defined(tokenizer), strict=True) if is_own]
    if told["is_unigram"]:
        scored = [(piece, sp.get_score(i)) for i, piece in enumerate(pieces)]
        model = models.Unigram(scored, sp.unk_id(), byte_fallback=told["byte_fallback"])
    else:
        model = models.BPE(
            vocab={piece: i for i, piece in enumerate(pieces)},
            merges=_merges(tokenizer),
            unk_token=pieces[sp.unk_id()],
            fuse_unk=True,
            byte_fallback=told["byte_fallback"],
            ignore_merges=bool(own),  # so that a piece of the user's own, cut out below, is one token
        )
    made = tokenizers.Tokenizer(model)
    space = tokenizer.space_in_front
    steps = [normalizers.Precompiled(told["charsmap"])] if told["charsmap"] else []
    if told["remove_extra_whitespaces"]:
        steps += [normalizers.Replace(tokenizers.Regex(found), put) for found, put in ((r"\A +| +\z", ""), (" +", " "))]
    steps += [normalizers.Prepend(SPACE)] if space else []
    made.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    if own:
        either = "|".join(re.escape(piece) for piece in sorted(own, key=len, reverse=True))
        made.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(either), "isolated")
    strip = [decoders.Strip(" ", 1, 0)] if space else []
    made.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
    special = [i for i in range(len(pieces)) if sp.is_control(i) or sp.is_unknown(i) or sp.is_unused(i)]
    made.add_special_tokens([tokenizers.AddedToken(pieces[i], special=True, normalized=False) for i in special])
    made.post_processor = marks(tokenizer)
    return made


def _merges(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """All the ways in which two pieces make a third, best score first: sentencepiece's BPE keeps none."""
    sp, own = tokenizer.sp_model, _user_defined(tokenizer)
    pieces = tokenizer.pieces(range(tokenizer.n_words))
    vocab = {piece: i for i, piece in enumerate(pieces)}
    ways = [(-sp.get_score(i), vocab[piece[:cut]], vocab[piece[cut:]], piece[:cut], piece[cut:])
            for i, piece in enumerate(pieces)
            if not (sp.is_control(i) or sp.is_unknown(i) or sp.is_byte(i) or sp.is_unused(i) or own[i])
            for cut in range(1, len(piece)) if piece[:cut] in vocab and piece[cut:] in vocab]  # fmt: skip
    return [way[3:] for way in sorted(ways)]


def _user_defined(tokenizer: Tokenizer) -> list[bool]:
    """For each id whether its piece is one that texts are cut at before anything else."""
    return settings(tokenizer.sp_model.serialized_model_proto())["user_defined"]


def marks(tokenizer: BaseTokenizer):
    """What puts bos and eos around a text in the `tokenizers` library."""
    from tokenizers import processors

    bos = [(tokenizer.pieces([tokenizer.bos_id])[0], tokenizer.bos_id)] if tokenizer.begins else []
    eos = [(tokenizer.pieces([tokenizer.eos_id])[0], tokenizer.eos_id)] if tokenizer.ends else []
    one, two = ([*(name for name, _ in bos), text, *(name for name, _ in eos)] for text in ("$A", "$B"))
    return processors.TemplateProcessing(single=one, pair=[*one, *two], special_tokens=[*bos, *eos])


def other_ids(made, tokenizer: Tokenizer) -> str | None:
    """A text that the two tokenizers split in different ways; None if none is found.

    Tried are PROBES, and the text of each piece.
    """
    own = (piece for piece, is_own in zip(tokenizer.pieces(range(tokenizer.n_words)), _user_defined(tokenizer),
                                          strict=True) if is_own)  # fmt: skip
    texts = [*PROBES, *_texts_of(tokenizer), *(f"a {piece.replace(SPACE, ' ')} b" for piece in own)]
    ids = tokenizer.sp_model.encode(texts)
    for text, due, got in zip(texts, ids, made.encode_batch(texts), strict=True):
        if got.ids != tokenizer._marked(due, bos=True, eos=tokenizer.ends):
            return text
    return None


def _texts_of(tokenizer: Tokenizer) -> Iterator[str]:
    """The text of each piece that is one."""
    for i, piece in enumerate(tokenizer.pieces(range(tokenizer.n_words))):
        sp = tokenizer.sp_model
        if not (sp.is_control(i) or sp.is_unknown(i) or sp.is_byte(i) or sp.is_unused(i)):
            yield piece.replace(SPACE, " ")
