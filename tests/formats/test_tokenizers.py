"""tokenizer.json, byte-level BPE out of GGUF metadata, and the chat formats that come with them; against the
libraries that they are from."""

import json
from pathlib import Path

import pytest
import tokenizers
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, trainers

from minillama.chat import encode_dialog, has_special_tags, segment_dialog
from minillama.formats.bpe import BPETokenizer, byte_alphabet
from minillama.formats.chat_templates import ChatML, Llama2, NoChat, recognise, to_template
from minillama.formats.gguf_tokenizer import from_metadata
from minillama.formats.tokenizer_files import from_sentencepiece, read_tokenizer

TEXTS = [
    "Once upon a time",
    "  two  spaces ",
    "",
    " ",
    "猫🙏\n\n\tdef f():",
    "<s>[INST] 12345 it's",
    "<|im_end|>",
    "▁x",
    "é\u0301",
]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are kind.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
DIALOGS = [
    [{"role": "user", "content": "Hi there"}],
    [{"role": "user", "content": " a\n"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "猫?"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "12 + 3"}],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """tokenizer.json and tokenizer_config.json as SmolLM2's are: digits alone, byte-level BPE, ChatML."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    split = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Sequence(split), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    tokenizer.train_from_iterator(
        ["Once upon a time there was a cat. It's a cat, the user and assistant said."] * 9, trainer
    )
    folder = tmp_path_factory.mktemp("bpe")
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[1], "eos_token": SPECIAL[2]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": CHATML}))
    return folder


@pytest.fixture(scope="module")
def bpe(folder) -> BPETokenizer:
    return read_tokenizer(folder, 310, {})


@pytest.fixture(scope="module")
def metadata(folder) -> dict:
    """The same tokenizer as a GGUF file has it."""
    parts = json.loads((folder / "tokenizer.json").read_text())["model"]
    tokens = sorted(parts["vocab"], key=parts["vocab"].get)
    fields = {"model": "gpt2", "pre": "smollm", "tokens": tokens, "merges": [" ".join(m) for m in parts["merges"]],
              "token_type": [3 if token in SPECIAL else 1 for token in tokens], "bos_token_id": 1, "eos_token_id": 2,
              "add_bos_token": False}  # fmt: skip
    return {f"tokenizer.ggml.{key}": value for key, value in fields.items()} | {"tokenizer.chat_template": CHATML}


# ---- byte-level BPE ------------------------------------------------------------------------------------------------


def test_the_alphabet_is_the_librarys():
    assert sorted(byte_alphabet()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(byte_alphabet().values()) == list(range(256)) and byte_alphabet()["Ċ"] == ord("\n")


def test_ids_are_those_of_transformers(folder, bpe):
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        if "<|" not in text:
            assert bpe.encode(text, bos=True, eos=False) == theirs.encode(text), text


@given(st.text())
def test_there_and_back(bpe, text):
    if any("\ud800" <= c <= "\udfff" for c in text):
        return
    ids = bpe.encode(text, bos=True, eos=True)
    assert bpe.decode_bytes(ids) == text.encode() and bpe.decode(ids) == text
    assert ids[-1] == bpe.eos_id and bpe.bos_id not in ids and bpe.eos_id not in ids[:-1]


def test_the_members_of_a_tokenizer(bpe):
    assert (bpe.n_words, bpe.bos_id, bpe.eos_id, bpe.pad_id, bpe.stop_ids) == (310, 1, 2, -1, (2,))
    assert bpe.pieces([1, 2]) == SPECIAL[1:] and bpe.decode([1, 2]) == "" == bpe.decode([309])
    assert bpe.pieces([309]) == ["<unused 309>"]
    assert bpe.pieces(bpe.encode("a time", False, False))[-1].startswith("Ġ")
    for i in (-1, 310, 10**9):
        for read in (bpe.decode, bpe.pieces, bpe.decode_bytes, lambda ids: bpe.token_bytes(ids[0])):
            with pytest.raises(ValueError, match="outside the vocabulary, 0 to 309"):
                read([i])
    with pytest.raises(TypeError, match="must be a whole number"):
        bpe.token_bytes("a")
    with pytest.raises(TypeError, match="must be a str"):
        bpe.encode(None, bos=True, eos=False)
    with pytest.raises(ValueError, match="lone surrogate"):
        bpe.encode("\ud800", bos=True, eos=False)


def test_the_one_out_of_gguf_is_the_same(metadata, bpe):
    ours = from_metadata(metadata, -1, Path("x.gguf"))
    for text in TEXTS:
        assert ours.encode(text, bos=True, eos=True) == bpe.encode(text, bos=True, eos=True), text
    assert ours.pieces(range(300)) == bpe.pieces(range(300))
    assert [ours.token_bytes(i) for i in range(300)] == [bpe.token_bytes(i) for i in range(300)]


def test_splittings(metadata):
    digits = {"smollm": ["1", "2"], "gpt-2": ["12"], "llama-bpe": ["12"]}
    for splitting, due in digits.items():
        more = {"tokens": "12", "merges": "1 2", "token_type": 1}
        added = {f"tokenizer.ggml.{key}": [*metadata[f"tokenizer.ggml.{key}"], each] for key, each in more.items()}
        fields = metadata | added | {"tokenizer.ggml.pre": splitting}
        made = from_metadata(fields, 301, Path("x.gguf"))
        assert made.pieces(made.encode("12", False, False)) == due, splitting
    assert from_metadata({k: v for k, v in fields.items() if "add_bos" not in k}, 301, Path("x")).encode(
        "", True, False
    ) == [1]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("model", "bert", "'bert'"), ("model", None, "None"), ("pre", "deepseek", "deepseek"), ("merges", [], "merges"),
        ("merges", ["a b c"], "pairs"), ("merges", ["Ġ zz"], "cannot be used"), ("tokens", [], "0 tokens"),
        ("tokens", 5, "0 tokens"), ("tokens", ["a"] * 300, "twice"), ("token_type", [1], "not as many"),
        ("eos_token_id", 300, "300"),
        ("bos_token_id", 301, "301"), ("eos_token_id", "x", "x"), ("tokens", list(range(300)), "cannot be used"),
    ],
)  # fmt: skip
def test_bad_metadata(metadata, field, value, words):
    with pytest.raises(ValueError, match="x.gguf") as caught:
        from_metadata(metadata | {f"tokenizer.ggml.{field}": value}, -1, Path("x.gguf"))
    assert type(caught.value) is ValueError and words in str(caught.value)


# ---- tokenizer.json ------------------------------------------------------------------------------------------------


def test_a_sentencepiece_tokenizer_as_json(tmp_path, tokenizer):
    """What is exported for others splits as the original does, read here and read by transformers."""
    eos = {"__type": "AddedToken", "content": "</s>", "special": True}
    from_sentencepiece(tokenizer).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": eos}))
    ours = read_tokenizer(tmp_path, -1, {})
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert (ours.n_words, ours.bos_id, ours.eos_id) == (400, 1, 2)
    for text in TEXTS:
        due = tokenizer.encode(text, bos=True, eos=False)
        assert ours.encode(text, bos=True, eos=False) == due, text
        assert ours.decode(due) == tokenizer.decode(due) and ours.decode_bytes(due) == tokenizer.decode_bytes(due)
        if "<s>" not in text:
            assert theirs.encode(text) == due, text
    assert [ours.token_bytes(i) for i in range(1, 400)] == [tokenizer.token_bytes(i) for i in range(1, 400)]


def test_which_file_is_taken(tmp_path, folder, tokenizer_path):
    (tmp_path / "tokenizer.model").write_bytes(tokenizer_path.read_bytes())
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert not isinstance(read_tokenizer(tmp_path, 400, {}), BPETokenizer)  # the one of the right size
    assert isinstance(read_tokenizer(tmp_path, 300, {}), BPETokenizer)
    (tmp_path / "tokenizer.model").write_bytes(b"not of sentencepiece, as Llama 3's")
    assert isinstance(read_tokenizer(tmp_path, 400, {}), BPETokenizer)
    assert read_tokenizer(tmp_path, 400, {}, tokenizer_path).n_words == 400


def test_ends_from_the_generation_config(tmp_path, folder):
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    with pytest.raises(ValueError, match="which token is eos"):
        read_tokenizer(tmp_path, 300, {})
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [2, 0]}')
    tokenizer = read_tokenizer(tmp_path, 300, {})
    assert (tokenizer.eos_id, tokenizer.stop_ids, tokenizer.bos_id) == (2, (2, 0), -1)
    assert isinstance(tokenizer.chat_format, NoChat)
    assert read_tokenizer(tmp_path, 300, {"eos_token_id": 0}).stop_ids == (0, 2)


@pytest.mark.parametrize("n_words", [149, 601, 10**12])
def test_a_tokenizer_json_of_another_model(folder, n_words):
    with pytest.raises(ValueError, match=f"tokenizer.json' has 300 tokens, but vocab_size={n_words} according to"):
        read_tokenizer(folder, n_words, {})


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"model": {"type": "BPE"}}', b"x" * 500])
def test_a_broken_tokenizer_json(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ValueError, match="tokenizer.json' is broken"):
        read_tokenizer(tmp_path, 300, {"eos_token_id": 0})


def test_a_tokenizer_json_of_another_kind(tmp_path):
    tokenizers.Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="neither byte-level BPE nor"):
        read_tokenizer(tmp_path, -1, {"eos_token_id": 1})


def test_without_the_tokenizers_library(monkeypatch, folder, metadata):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    for read in (lambda: read_tokenizer(folder, 300, {}), lambda: from_metadata(metadata, 300, Path("x"))):
        with pytest.raises(ValueError, match="pip install tokenizers"):
            read()


# ---- chat formats --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialog", DIALOGS)
def test_chatml_is_what_the_template_says(folder, bpe, dialog):
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    due = theirs.apply_chat_template(dialog, add_generation_prompt=True, return_dict=False)
    assert encode_dialog(bpe, dialog) == due
    ours = theirs.apply_chat_template(dialog, chat_template=to_template(bpe.chat_format), add_generation_prompt=True,
                                      return_dict=False)  # fmt: skip
    assert ours == due


@pytest.mark.parametrize("dialog", DIALOGS)
def test_the_llama_2_template_says_what_chat_does(folder, tokenizer, dialog):
    text = transformers.AutoTokenizer.from_pretrained(folder).apply_chat_template(
        dialog, chat_template=to_template(None), tokenize=False, bos_token="<s>", eos_token="</s>"
    )
    parts = [part for part in text.replace("</s>", "").split("<s>") if part]
    due = [i for i in encode_dialog(tokenizer, dialog) if i != tokenizer.eos_id]
    assert due == [i for part in parts for i in tokenizer.encode(part, bos=True, eos=False)]
    assert text.count("</s>") == encode_dialog(tokenizer, dialog).count(tokenizer.eos_id)


def test_labels_of_chatml(bpe):
    segments = segment_dialog(bpe, DIALOGS[0])
    labels = " ".join(segment.label for segment in segments)
    assert labels == "bos tag system eos tag bos tag user eos tag bos tag"
    named = {segment.label: bpe.decode(segment.ids) for segment in segments}
    assert named["system"] == "You are kind." and named["user"] == "Hi there"


def test_tags_are_refused_in_their_own_format(bpe, tokenizer):
    chatml, llama_2 = [{"role": "user", "content": "<|im_end|>"}], [{"role": "user", "content": "[INST]"}]
    assert has_special_tags(chatml, bpe) and not has_special_tags(llama_2, bpe)
    assert (
        has_special_tags(llama_2, tokenizer) and not has_special_tags(chatml, tokenizer) and has_special_tags(llama_2)
    )


def test_templates_are_known_by_their_marks(bpe, tokenizer):
    def known(template, tokenizer=bpe):
        return recognise(template, tokenizer).known

    assert isinstance(known("{{ '[INST] <<SYS>>' }}"), Llama2)
    assert isinstance(known(CHATML), ChatML) and recognise(CHATML, bpe).system == "You are kind."
    assert known(CHATML.replace("\n", "\\n")).system == "You are kind."
    assert known("<|im_start|>system\\n' + x + '<|im_end|>").system is None
    assert known("<|im_start|>{{ m }}<|im_end|>").system is None
    for template in ("[INST] {{ m }}", "<|user|>", "{{ ''.__class__.__mro__ }}"):
        assert known(template) is None
    assert known(CHATML, tokenizer) is None  # which has no such tokens
    for template in (None, "", " \n"):
        assert isinstance(recognise(template, bpe), NoChat)


def test_what_is_written_here_needs_no_trial(bpe, tokenizer):
    assert recognise(to_template(None), tokenizer) is None
    for system in (None, "Be kind.\nAnd brief."):
        assert isinstance(made := recognise(to_template(ChatML(1, 2, system)), bpe), ChatML) and made.system == system


def test_every_stop_id_ends_a_row(reciter, tokenizer):
    ids = [300, 301, 302, 303]
    llama = reciter(tokenizer.with_format(None, stop_ids=[302]), ids)
    assert llama.tokenizer.stop_ids == (2, 302)
    (generated,), _ = llama.generate([[1]], 20, temperature=0)
    result = llama.text_completion(["a"], temperature=0, max_gen_len=20)[0]
    assert generated == ids[:2] and result["finish_reason"] == "stop"
    assert reciter(tokenizer, ids).generate([[1]], 20, temperature=0)[0] == [ids]


def test_the_end_of_a_turn_in_chatml_is_a_stop_id(tokenizer, bpe):
    other = tokenizer.with_format(ChatML(300, 301), stop_ids=[2, 299])
    assert other.stop_ids == (2, 299, 301) and tokenizer.stop_ids == (2,) and tokenizer.chat_format is None
    assert isinstance(bpe.chat_format.known, ChatML) and bpe.stop_ids == (2,)  # there it is eos itself
