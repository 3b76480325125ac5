"""The course model's tokenizer: sentencepiece BPE with Llama 2's settings, only with a smaller vocabulary."""

from __future__ import annotations

import io
from collections.abc import Iterable

import sentencepiece


def train_tokenizer(texts: Iterable[str], vocab_size: int = 2048) -> bytes:
    """The bytes of a tokenizer.model; the same texts always give the same bytes.

    Line breaks are kept out of training, so that "\\n" is the byte token <0x0A>, as in Llama 2.
    Raises ValueError if the texts are too few for vocab_size.
    """
    lines = (line for text in texts for line in text.split("\n") if line)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            byte_fallback=True,
            character_coverage=0.99999,
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
        raise ValueError(f"vocab_size={vocab_size} does not suit these texts; give more text ({error})") from error
    return model.getvalue()
