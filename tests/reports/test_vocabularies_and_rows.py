"""A tokenizer with fewer or more pieces than the weights have rows: the surplus is unused, or ignored."""

import json
import shutil

import pytest
import tokenizers
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from minillama import Llama, Tokenizer
from minillama.formats import with_rows
from minillama.formats.bpe import BPETokenizer
from minillama.formats.tokenizer_files import from_sentencepiece, read_tokenizer
from tests.formats.test_gguf import write
from tests.formats.test_tokenizers import SPECIAL, TEXTS
from tests.formats.test_tokenizers import folder as bpe_folder  # noqa: F401

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=40)


@pytest.fixture(scope="module")
def padded(tokenizer) -> Tokenizer:
    return with_rows(tokenizer, 416, {400: ("[PAD]", False), 402: ("<tool>", True)})


@pytest.fixture
def checkpoint_of(random_model, random_llama, tokenizer, tokenizer_path, tmp_path):
    """checkpoint_of(n_rows, format): a folder with a network of n_rows and the tokenizer.model of 400 pieces."""

    def make(n_rows: int, format: str = "hf"):
        padded = with_rows(tokenizer, n_rows)
        llama = random_llama(3, padded, max_seq_len=96)
        llama.save(tmp_path / "made", format)
        for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "tokenizer.model"):
            (tmp_path / "made" / name).unlink(missing_ok=True)
        shutil.copy(tokenizer_path, tmp_path / "made" / "tokenizer.model")
        return llama, tmp_path / "made"

    return make


@pytest.mark.parametrize("n_rows", [399, 401, 448])
@pytest.mark.parametrize("format", ["hf", "meta"])
def test_weights_of_another_number_of_rows(checkpoint_of, n_rows, format):
    llama, folder = checkpoint_of(n_rows, format)
    if format == "meta":  # as Meta's own, which leaves the size to the tokenizer
        params = json.loads((folder / "params.json").read_text())
        (folder / "params.json").write_text(json.dumps(params | {"vocab_size": -1}))
    again = Llama.build(folder, device="cpu")
    assert again.tokenizer.n_words == again.model.params.vocab_size == n_rows
    asked = {"max_gen_len": 12, "temperature": 0}
    due = llama.text_completion(["Once"], **asked)[0]["generation"]
    assert again.text_completion(["Once"], **asked)[0]["generation"] == due
    if n_rows == 448:
        assert again.tokenizer.pieces([400, 447]) == ["<unused 400>", "<unused 447>"]
        assert again.tokenizer.decode_bytes([400, 447]) == b"" and again.tokenizer.decode([447, 400]) == ""


def test_rows_that_added_tokens_name(checkpoint_of):
    _, folder = checkpoint_of(403)
    (folder / "added_tokens.json").write_text(json.dumps({"[PAD]": 400, "<s>": 1, "<tool>": 402, "<far>": 10**9}))
    ours = Llama.build(folder, device="cpu").tokenizer
    assert ours.pieces([400, 401, 402]) == ["[PAD]", "<unused 401>", "<tool>"] and ours.bos_id == 1
    assert [ours.token_bytes(i) for i in (400, 401, 402)] == [b""] * 3  # nothing says that texts may hold them
    assert not {400, 402} & {*ours.encode("[PAD]<tool>", False, False)}

    names = {"pad_token": {"content": "[PAD]"}, "eos_token": "</s>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(names))
    ours = Llama.build(folder, device="cpu").tokenizer
    assert ours.token_bytes(402) == b"<tool>" and ours.token_bytes(400) == b""
    assert ours.encode("a<tool>[PAD]", False, False).count(402) == 1 and 400 not in ours.encode("[PAD]", True, True)

    decoder = {"400": {"content": "<tool>", "special": False}, "401": {"content": "<|end|>", "special": True}}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": decoder, "eos_token": "<|end|>"}))
    ours = Llama.build(folder, device="cpu").tokenizer
    assert ours.pieces([400, 401]) == ["<tool>", "<|end|>"] and ours.eos_id == 401 and 401 in ours.stop_ids
    assert 400 in ours.encode("a <tool>", False, False)
    assert ours.decode(ours.encode("a <tool> b", True, False)) == "a <tool> b"


@pytest.mark.parametrize(
    "named", [{"400": 5}, {"x": {"content": "a"}}, {"400": {"content": ["a"]}}, {"400": {"content": "<s>"}}, [], "a"]
)
def test_added_tokens_that_are_none(checkpoint_of, named):
    _, folder = checkpoint_of(401)
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": named}))
    assert Llama.build(folder, device="cpu").tokenizer.pieces([400]) == ["<unused 400>"]


@given(TEXT)
def test_a_text_is_split_as_before(tokenizer, padded, text):
    if "<tool>" not in text:
        assert padded.encode(text, bos=True, eos=True) == tokenizer.encode(text, bos=True, eos=True)


@given(TEXT)
def test_pieces_beyond_the_rows_are_encoded_by_their_parts(tokenizer, text):
    short = with_rows(tokenizer, 330)
    ids = short.encode(text, bos=True, eos=True)
    assert max(ids) < 330 == short.n_words
    if tokenizer.sp_model.unk_id() not in ids:
        assert short.decode(ids) == text
    assert short.pieces(range(330)) == tokenizer.pieces(range(330))


def test_tokenizer_json_with_a_token_that_the_weights_lack(checkpoint_of, tokenizer):
    llama, folder = checkpoint_of(400)
    made = from_sentencepiece(tokenizer)
    made.add_special_tokens([tokenizers.AddedToken("[PAD]", special=True)])
    made.add_tokens([tokenizers.AddedToken("<tool>", special=False)])
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer.model").unlink()
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **names}))
    ours = Llama.build(folder, device="cpu")
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    row = ours.tokenizer.encode("Once", bos=True, eos=False)
    assert row == theirs.encode("Once") and ours.tokenizer.n_words == 400
    due = network.generate(torch.tensor([row]), attention_mask=torch.ones(1, len(row)), do_sample=False,
                           max_new_tokens=6)[0, len(row) :].tolist()  # fmt: skip
    assert ours.generate([row], 6, temperature=0)[0][0] == [i for i in due if i != 2]
    parts = ours.tokenizer.encode("a <tool> [PAD]", bos=False, eos=False)
    assert max(parts) < 400 and ours.tokenizer.decode(parts) == "a <tool> [PAD]"


@pytest.fixture(scope="module")
def bpe(bpe_folder) -> BPETokenizer:  # noqa: F811
    return read_tokenizer(bpe_folder, -1, {})


def test_byte_level_pieces_beyond_the_rows(bpe):
    short = with_rows(bpe, 270)
    for text in TEXTS:
        ids = short.encode(text, bos=False, eos=False)
        assert max(ids, default=0) < 270 and short.decode_bytes(ids) == text.encode()
    assert with_rows(bpe, 300) is bpe and with_rows(short, 280).pieces([269, 279]) == [
        *short.pieces([269]),
        "<unused 279>",
    ]


def test_a_byte_that_no_row_is_left_for(bpe):
    short = with_rows(bpe, 200)
    assert short.decode(short.encode("Once", False, False)) == "Once"
    lost = next(c for c in map(chr, range(0x4E00, 0x9FFF)) if short.missing & {*c.encode()})
    with pytest.raises(ValueError, match=f"s has '.*{lost}', which no token of this model stands for"):
        short.encode(f"Once {lost}", bos=False, eos=False)


def test_gguf_with_more_and_fewer_rows(random_model, tokenizer, tmp_path):
    for n_rows in (390, 448):
        model = random_model(3, vocab_size=n_rows, dim=64, hidden_dim=96)
        again = Llama.build(write(tmp_path / f"{n_rows}.gguf", model, tokenizer), device="cpu")
        assert again.tokenizer.n_words == n_rows
        assert max(again.tokenizer.encode("Once upon a time. 小猫", True, False)) < n_rows


def test_no_row_for_the_end(tokenizer, bpe):
    for each in (tokenizer, bpe):
        with pytest.raises(ValueError, match="tokenizer_path: the tokenizer ends a text with the id 299"):
            with_rows(each.with_marks(1, 299, True, False), 290)
    assert with_rows(bpe.with_marks(299, 2, True, False), 290).bos_id == -1
    assert SPECIAL[2] == bpe.pieces([bpe.eos_id])[0]
