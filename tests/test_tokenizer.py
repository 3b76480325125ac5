"""Text to ids and back, and the exact bytes of each token."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillama import Tokenizer
from minillama.tokenizer import BaseTokenizer

# All that UTF-8 can hold, but for U+2581: sentencepiece writes a space with it, so that it comes back as one.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=40)
TEXTS = [
    "Once upon a time",
    " leading",
    "two  spaces ",
    "小猫喜欢玩。",
    "a 🦙 b",
    "1234",
    "\n\t",
    "<s>[INST] </s>",
    "é",
]


def test_ids_are_those_of_llama_2(tokenizer):
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (1, 2, -1)
    assert tokenizer.n_words == 400
    assert tokenizer.pieces([0, 1, 2, 3, 258]) == ["<unk>", "<s>", "</s>", "<0x00>", "<0xFF>"]


@pytest.mark.parametrize("text", TEXTS)
def test_bos_and_eos_are_put_around(tokenizer, text):
    ids = tokenizer.encode(text, bos=False, eos=False)
    assert ids == tokenizer.sp_model.encode(text)
    assert tokenizer.encode(text, bos=True, eos=False) == [1, *ids]
    assert tokenizer.encode(text, bos=False, eos=True) == [*ids, 2]
    assert tokenizer.encode(text, bos=True, eos=True) == [1, *ids, 2]


@given(TEXT)
def test_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, bos=True, eos=True)) == text


@given(TEXT)
def test_bytes_come_back_with_the_leading_space(tokenizer, text):
    ids = tokenizer.encode(text, bos=True, eos=True)
    assert tokenizer.decode_bytes(ids) == (f" {text}" if text else "").encode()
    assert b"".join(map(tokenizer.token_bytes, ids)) == tokenizer.decode_bytes(ids)


@given(TEXT)
def test_the_names_of_control_tokens_are_plain_text(tokenizer, text):
    ids = tokenizer.encode(f"<s>{text}</s><unk><0x41>", bos=False, eos=False)
    assert not {0, 1, 2} & set(ids)
    assert tokenizer.decode(ids) == f"<s>{text}</s><unk><0x41>"


def test_digits_are_split(tokenizer):
    assert tokenizer.pieces(tokenizer.encode("345", bos=False, eos=False))[-3:] == ["3", "4", "5"]


def test_a_character_may_be_several_tokens(tokenizer):
    ids = tokenizer.encode("🦙", bos=False, eos=False)
    assert tokenizer.pieces(ids)[1:] == ["<0xF0>", "<0x9F>", "<0xA6>", "<0x99>"]
    assert [tokenizer.token_bytes(i) for i in ids[1:]] == [b"\xf0", b"\x9f", b"\xa6", b"\x99"]


def test_token_bytes_of_each_kind(tokenizer):
    named = {name: i for i, name in enumerate(tokenizer.pieces(range(tokenizer.n_words)))}
    assert tokenizer.token_bytes(1) == tokenizer.token_bytes(2) == b""
    assert tokenizer.token_bytes(0) == " \u2047 ".encode() == tokenizer.decode([0]).encode()
    assert tokenizer.token_bytes(named["<0x0A>"]) == b"\n"
    assert tokenizer.token_bytes(named["▁"]) == b" "
    assert tokenizer.token_bytes(named["▁t"]) == b" t"
    assert tokenizer.token_bytes(named["猫"]) == "猫".encode()


@given(st.lists(st.integers(259, 399) | st.sampled_from([1, 2]), max_size=30))
def test_decode_is_decode_bytes_but_for_a_leading_space(tokenizer, ids):
    data = tokenizer.decode_bytes(ids)
    assert tokenizer.decode(ids).encode() in (data, data.removeprefix(b" "))


@pytest.mark.parametrize("i", [-1, 400, 10**6])
def test_an_id_outside_the_vocabulary_is_refused(tokenizer, i):
    for read in (tokenizer.decode, tokenizer.decode_bytes, tokenizer.pieces, lambda ids: tokenizer.token_bytes(ids[1])):
        with pytest.raises(ValueError, match=f"token id {i} is outside the vocabulary, 0 to 399"):
            read([5, i])


@pytest.mark.parametrize("i", [1.5, "5", None, b"5"])
def test_an_id_is_a_whole_number(tokenizer, i):
    for read in (tokenizer.decode, tokenizer.decode_bytes, tokenizer.pieces, lambda ids: tokenizer.token_bytes(ids[1])):
        with pytest.raises(TypeError, match=f"a token id must be a whole number, got {type(i).__name__}"):
            read([5, i])


def test_ids_may_come_from_anywhere(tokenizer):
    """Out of an iterator, which can be read once only, and as numpy's or torch's numbers."""
    ids = tokenizer.encode("Once upon", bos=False, eos=False)
    for read in (tokenizer.decode, tokenizer.decode_bytes, tokenizer.pieces):
        assert read(iter(ids)) == read(numpy.array(ids)) == read(ids) != read([])


class Letters(BaseTokenizer):
    """All that a tokenizer of one's own needs."""

    def encode(self, s, bos, eos):
        return [self.bos_id] * bos + [ord(letter) - ord("a") + 3 for letter in s] + [self.eos_id] * eos


def test_a_tokenizer_of_ones_own():
    letters = Letters([b"", b"", b"", b"a", b"b", b" ", b"\xe6"])
    assert (letters.n_words, letters.bos_id, letters.eos_id, letters.pad_id, letters.stop_ids) == (7, 1, 2, -1, (2,))
    assert letters.chat_format is None and letters.space_in_front
    assert letters.pieces(range(7)) == ["<0>", "<1>", "<2>", "a", "b", "▁", "\\xe6"]
    assert letters.decode([1, 5, 3, 6]) == "a\ufffd" and letters.decode_bytes([1, 5, 3, 6]) == b" a\xe6"
    assert letters.id_of("b") == 4 and letters.id_of("c") is None
    with pytest.raises(ValueError, match="token id 7 is outside the vocabulary, 0 to 6"):
        letters.token_bytes(7)
    with pytest.raises(NotImplementedError):
        BaseTokenizer([b"a"]).encode("a", bos=False, eos=False)


def test_another_format_is_another_tokenizer(tokenizer):
    other = tokenizer.with_format(None, stop_ids=[7, 2, 5])
    assert other.stop_ids == (2, 5, 7) and tokenizer.stop_ids == (2,)
    assert other.encode("Hi", bos=True, eos=True) == tokenizer.encode("Hi", bos=True, eos=True)


def test_a_tokenizer_may_be_given_as_its_bytes(tokenizer, tokenizer_path):
    other = Tokenizer(tokenizer_path.read_bytes())
    assert other.encode("Once", bos=True, eos=True) == tokenizer.encode("Once", bos=True, eos=True)
    with pytest.raises(ValueError, match="the data that was given is not a sentencepiece model"):
        Tokenizer(b"nonsense")


@pytest.mark.parametrize("value", [b"bytes", None, ["a"], 5])
def test_only_a_str_is_encoded(tokenizer, value):
    with pytest.raises(TypeError, match=f"must be a str, got {type(value).__name__}"):
        tokenizer.encode(value, bos=True, eos=False)


def test_a_lone_surrogate_is_refused(tokenizer):
    with pytest.raises(ValueError, match="lone surrogate.* index 2"):
        tokenizer.encode("ab\ud83e", bos=True, eos=False)


def test_a_missing_tokenizer(tmp_path):
    with pytest.raises(ValueError, match="no tokenizer at .*nowhere.model'; expected a sentencepiece tokenizer.model"):
        Tokenizer(tmp_path / "nowhere.model")
    with pytest.raises(ValueError, match="no tokenizer at"):
        Tokenizer(tmp_path)


@pytest.mark.parametrize("cut", [0, 10, 500, -5])
def test_a_broken_tokenizer(tmp_path, tokenizer_path, cut):
    path = tmp_path / "broken.model"
    path.write_bytes(tokenizer_path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="broken.model' is not a sentencepiece model"):
        Tokenizer(path)
