"""The trained tokenizer: any text round-trips, control tokens cannot be typed, digits and rare letters are pieces."""

from itertools import islice

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minillama.tokenizer import Tokenizer
from training.corpus.parts import SHARES, mixture
from training.tokenizer import train_tokenizer

PARTS = {part: share for part, share in SHARES.items() if part in ("stories_en", "chat_en", "known")}
RARE = "鸿鹄𠮷"


def texts(n: int = 1000):
    drawn = islice(mixture(1, lambda document: "".join(document.texts), shares=PARTS), n)
    return [text for document, _ in drawn for text in document.texts]


@pytest.fixture(scope="module")
def model() -> bytes:
    return train_tokenizer(texts(), vocab_size=1024, required_chars=RARE)


@pytest.fixture(scope="module")
def trained(model, tmp_path_factory) -> Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    path.write_bytes(model)
    return Tokenizer(path)


@given(st.text())
@example("从前有一只小猫。")
@example("Hello 🐱🎉!")
@example("  two  spaces\n\nand\ttabs ")
@example("<s> </s> <unk> <0x41> ▁")
def test_any_text_round_trips(trained, text):
    ids = trained.encode(text, bos=True, eos=True)
    assert ids[0] == 1 and ids[-1] == 2 and not {0, 1, 2} & set(ids[1:-1])
    decoded = trained.decode_bytes(ids).decode()
    assert decoded.removeprefix(" ") == text.replace("▁", " ").removeprefix(" ") if not text.startswith(" ") else True
    assert decoded == (" " + text.replace("▁", " ") if text else "")


def test_settings_are_those_of_llama_2(trained):
    assert trained.n_words == 1024
    assert (trained.bos_id, trained.eos_id, trained.pad_id) == (1, 2, -1)
    assert trained.pieces(range(3)) == ["<unk>", "<s>", "</s>"]
    assert trained.pieces([3, 258]) == ["<0x00>", "<0xFF>"]
    assert trained.pieces(trained.encode("12 345", False, False)) == ["▁", "1", "2", "▁", "3", "4", "5"]
    assert "<0x0A>" in trained.pieces(trained.encode("a\nb", False, False))


def test_every_character_is_a_piece(trained):
    assert trained.pieces(trained.encode(RARE, False, False)) == ["▁", *RARE]
    for letter in sorted(set("".join(texts(200))) - set(" \n")):
        assert len(letter) == 1 and trained.sp_model.piece_to_id(letter) > 258, letter


def test_the_same_texts_give_the_same_file(model):
    assert train_tokenizer(texts(), vocab_size=1024, required_chars=RARE) == model


def test_too_little_text_is_refused():
    with pytest.raises(ValueError, match="vocab_size=4096 does not suit these texts"):
        train_tokenizer(["a short text"], vocab_size=4096)
