"""Echo is the prompt, byte for byte, for every tokenizer; a space in front is only taken off where one was put in."""

import functools
import io
import json

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import SentencePieceTrainer
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from minillama import Llama, Tokenizer
from minillama.chat import segment_dialog
from minillama.formats.bpe import BPETokenizer
from minillama.formats.chat_templates import ChatML
from minillama.formats.tokenizer_files import from_sentencepiece
from minillama.tokenizer import as_written
from tests.conftest import CORPUS
from tests.formats.test_gguf import write

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
LIKELY = st.text(st.sampled_from(" \n▁aOnce①ﬁ猫<t>"), max_size=20)
PROMPTS = [
    "Once",
    " Once",
    "  Once",
    "    return x",
    " ",
    "a <tag> b<tag>",
    "①ﬁ e\u0301",
    "\u3000x  ",
    "▁x ▁",
    "🦙\t猫",
]


def sentencepiece(**settings) -> Tokenizer:
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 5), model_writer=model, hard_vocab_limit=False, num_threads=1, minloglevel=2,
        **{"vocab_size": 400, "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
                          "remove_extra_whitespaces": False, **settings},
    )  # fmt: skip
    return Tokenizer(model.getvalue())


def as_json(change) -> BPETokenizer:
    made = from_sentencepiece(sentencepiece())
    change(made)
    return BPETokenizer(made, made.get_vocab_size(), 1, 2, begins=True)


def metaspace(scheme: str):
    def change(made):
        made.normalizer = normalizers.Sequence([])
        made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=False)

    return as_json(change)


def byte_level(add_prefix_space: bool) -> BPETokenizer:
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))  # fmt: skip
    return BPETokenizer(made, made.get_vocab_size(), None, 1, begins=False)


KINDS = {
    "Llama 2's": sentencepiece,
    "no dummy prefix": lambda: sentencepiece(add_dummy_prefix=False),
    "spaces removed": lambda: sentencepiece(remove_extra_whitespaces=True),
    "nmt_nfkc": lambda: sentencepiece(normalization_rule_name="nmt_nfkc"),
    "unigram": lambda: sentencepiece(model_type="unigram"),
    "space as suffix": lambda: sentencepiece(treat_whitespace_as_suffix=True),
    "user defined": lambda: sentencepiece(user_defined_symbols=["<tag>"]),
    "no byte fallback": lambda: sentencepiece(byte_fallback=False, vocab_size=120),
    "Prepend": lambda: as_json(lambda made: made.add_tokens([tokenizers.AddedToken("<tag>", normalized=False)])),
    "Metaspace first": lambda: metaspace("first"),
    "Metaspace always": lambda: metaspace("always"),
    "Metaspace never": lambda: metaspace("never"),
    "byte level": lambda: byte_level(False),
    "byte level, a space in front": lambda: byte_level(True),
}
FRONT = {"no dummy prefix", "space as suffix", "Metaspace never", "byte level"}  # where there is none


@pytest.fixture(scope="module")
def of_kind(random_llama):
    return functools.cache(lambda name: random_llama(1, KINDS[name](), n_layers=1, max_seq_len=96))


@pytest.fixture(params=KINDS)
def kind(request, of_kind):
    return request.param, of_kind(request.param)


def check_echo(llama: Llama, prompts: list[str]) -> None:
    asked = {"max_gen_len": 2, "temperature": 0, "logprobs": True}
    plain, echoed = (llama.text_completion(prompts, echo=echo, **asked) for echo in (False, True))
    for prompt, without, result in zip(prompts, plain, echoed, strict=True):
        data = b"".join(result["token_bytes"])
        assert data == prompt.encode() + b"".join(without["token_bytes"])
        assert result["generation"] == prompt + without["generation"] == data.decode(errors="replace")
        assert len(result["token_bytes"]) == len(result["token_ids"]) == len(result["logprobs"])


def test_echo_is_the_prompt(kind):
    name, llama = kind
    assert llama.tokenizer.space_in_front == (name not in FRONT)
    for prompt in PROMPTS:
        if llama.tokenizer.encode(prompt, bos=True, eos=False):
            check_echo(llama, [prompt])


@given(TEXT | LIKELY)
def test_echo_is_any_prompt(of_kind, text):
    for name in ("Prepend", "nmt_nfkc", "byte level, a space in front", "Metaspace first"):
        if of_kind(name).tokenizer.encode(text, bos=True, eos=False):
            check_echo(of_kind(name), [text])


@given(TEXT | LIKELY)
def test_what_decodes_exactly_comes_back(of_kind, text):
    for name in ("no dummy prefix", "byte level", "Metaspace never", "user defined"):
        tokenizer = of_kind(name).tokenizer
        expected = text.replace("▁", " ") if name != "byte level" else text
        assert tokenizer.decode(tokenizer.encode(text, bos=True, eos=True)) == expected


def test_labels_of_a_dialog_do_not_slip(kind):
    name, llama = kind
    segments = segment_dialog(llama.tokenizer, [{"role": "user", "content": "fox 12"}])
    said = [(each.label, llama.tokenizer.decode_bytes(each.ids)) for each in segments if each.label != "bos"]
    if name in ("space as suffix", "spaces removed", "no byte fallback"):
        return
    front = b" " if llama.tokenizer.space_in_front else b""
    assert said == [("tag", front + b"[INST] "), ("user", b"fox 12"), ("tag", b" [/INST]")] or said == [
        ("tag", front + b"[INST]"), ("user", b" fox 12"), ("tag", b" [/INST]")
    ]  # fmt: skip


def test_gguf_without_a_space_in_front(random_model, tokenizer, tmp_path):
    model = random_model(3, vocab_size=400, dim=64, hidden_dim=96, max_seq_len=96)
    metadata = {"tokenizer.ggml.add_space_prefix": 0}
    llama = Llama.build(write(tmp_path / "a.gguf", model, tokenizer, **metadata), device="cpu", max_batch_size=4)
    assert not llama.tokenizer.space_in_front
    check_echo(llama, PROMPTS[:4])


def test_tokenizer_model_whose_config_wants_no_space(random_llama, tokenizer, tmp_path):
    random_llama(1, tokenizer).save(tmp_path, "hf")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"add_prefix_space": False}))
    ours = Llama.build(tmp_path, device="cpu").tokenizer
    ids = ours.encode(" Once", bos=False, eos=False)
    assert not ours.space_in_front and ids == tokenizer.encode("Once", bos=False, eos=False)
    assert ours.decode(ids) == " Once" and ours.decode_bytes(ids) == b" Once"


@given(st.lists(st.sampled_from([b"", b" ", b"a", b" a", b"b ", "①".encode(), b"\xe2"]), max_size=8), TEXT | LIKELY)
def test_the_parts_of_a_text_join_to_it(token_bytes, text):
    for space_in_front in (False, True):
        parts = as_written(text.encode(), [*token_bytes, b"x"], space_in_front)
        assert b"".join(parts) == text.encode() and len(parts) == len(token_bytes) + 1


@pytest.mark.parametrize("name", ["byte level", "no dummy prefix", "Llama 2's"])
def test_an_answer_keeps_the_space_that_is_its_own(reciter, name):
    """In ChatML nothing puts a space before an answer; Llama 2's format does, whatever the tokenizer."""
    tokenizer = KINDS[name]()
    ids = tokenizer.encode(" Once" if name != "Llama 2's" else "Once", bos=False, eos=False)
    assert tokenizer.decode_bytes(ids) == b" Once" and len({*ids}) == len(ids)
    chatml = reciter(tokenizer.with_format(ChatML(0, tokenizer.eos_id)), ids)
    llama_2 = reciter(tokenizer.with_format(None), ids)
    dialog, asked = [{"role": "user", "content": "Hi"}], {"temperature": 0, "max_gen_len": 9}
    for llama, due in ((chatml, "Once" if name == "Llama 2's" else " Once"), (llama_2, "Once")):
        assert llama.chat_completion([dialog], **asked)[0]["generation"]["content"] == due
        assert "".join(llama.stream(dialog, **asked)) == due
        assert llama.text_completion(["Hi"], **asked)[0]["generation"] == " Once"
