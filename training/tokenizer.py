"""The course model's tokenizer: sentencepiece BPE with Llama 2's settings, but a smaller vocabulary."""

from __future__ import annotations

import io
from collections.abc import Iterable

import sentencepiece

N_BASE = 259  # unk, bos, eos and the 256 bytes: the first pieces of every such tokenizer


def train_tokenizer(texts: Iterable[str], vocab_size: int = 4096, required_chars: str = "") -> bytes:
    """The bytes of a tokenizer.model. The same texts always give the same bytes.

    Every character of the texts and of `required_chars` is a piece. Line breaks are left out, so that "\\n" is the byte
    token <0x0A>, as in Llama 2. Raises ValueError if there is too little text for vocab_size, or too many characters.
    """
    lines = (line for text in texts for line in text.split("\n") if line)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            required_chars=required_chars,
            byte_fallback=True,
            character_coverage=1.0,
            split_digits=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=True,
            allow_whitespace_only_pieces=True,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(
            f"vocab_size={vocab_size} does not suit these texts; give more text or another size ({error})"
        ) from error
    return model.getvalue()
