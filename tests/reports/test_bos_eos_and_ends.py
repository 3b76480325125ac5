"""Whether texts begin with bos, what ends an answer: from every file that says it, in tokenizer.model, tokenizer.json
and GGUF alike; and a tokenizer.json that is written has the same ids, or is left out and said so."""

import json
import warnings

import pytest
import tokenizers
import transformers
from tokenizers import decoders, normalizers, processors

from minillama import Llama
from minillama.__main__ import main
from minillama.chat import encode_dialog
from minillama.formats.sentencepiece_json import from_sentencepiece
from minillama.formats.tokenizer_files import read_tokenizer
from minillama.tokenizer import Tokenizer
from tests.formats.test_gguf import write
from tests.formats.test_tokenizers import folder, metadata  # noqa: F401
from tests.reports.test_spaces_that_are_the_callers import sentencepiece

KINDS = ["tokenizer.model", "tokenizer.json"]
TRY = ["Once", " Once", "  two", "a <tag> b", "foxes and mills", "x\n\ny", "ﬁne ①", "小猫 12", "a\r\nb", "   "]


@pytest.fixture(params=KINDS)
def saved(request, random_llama, tokenizer, tmp_path):
    """settings(**fields): the tokenizer of a folder with these fields in its files."""
    random_llama(1, tokenizer).save(tmp_path, "hf")
    (tmp_path / ({*KINDS} - {request.param}).pop()).unlink()
    own = json.loads((tmp_path / "tokenizer_config.json").read_text())

    def settings(files=(), **fields):
        mine = {key: value for key, value in (own | fields).items() if value is not ...}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(mine))
        for name, more in dict(files).items():
            old = json.loads((tmp_path / name).read_text()) if (tmp_path / name).is_file() else {}
            (tmp_path / name).write_text(json.dumps(old | more))
        return Llama.build(tmp_path, device="cpu").tokenizer

    return settings


def test_bos_only_where_the_model_has_it(saved, tokenizer):
    due = tokenizer.encode("Once", bos=False, eos=False)
    for setting, first in ((True, [1]), (False, []), (None, [1]), (..., [1])):
        ours = saved(add_bos_token=setting)
        assert ours.encode("Once", bos=True, eos=False) == [*first, *due] and ours.begins == bool(first), setting
        assert ours.encode("Once", bos=False, eos=False) == due


def test_eos_is_kept_and_never_put_after_a_prompt(saved, tokenizer):
    for setting in (True, False, None):
        ours = saved(add_eos_token=setting)
        assert ours.ends == bool(setting) and ours.encode("Once", True, False)[-1] != 2
        assert ours.encode("Once", True, True) == tokenizer.encode("Once", True, True)


def test_bos_from_the_post_processor(tmp_path, tokenizer):
    for begins, ends in ((True, False), (False, False), (False, True), (True, True)):
        marked = tokenizer.with_marks(1, 2, begins, ends)
        from_sentencepiece(marked).save(str(tmp_path / "tokenizer.json"))
        (tmp_path / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}')
        ours = read_tokenizer(tmp_path, -1, {})
        theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
        assert (ours.begins, ours.ends) == (begins, ends)
        assert ours.encode("Once", bos=True, eos=ends) == theirs.encode("Once")


def test_every_source_of_end_ids(saved):
    assert saved().stop_ids == (2,)
    ours = saved({"config.json": {"eos_token_id": [2, 301]}, "generation_config.json": {"eos_token_id": 302}})
    assert ours.stop_ids == (2, 301, 302)
    ours = saved({"generation_config.json": {"eos_token_id": [303, 10**9, -1, True, "x", None]}}, eos_token="<unk>")
    assert ours.eos_id == 0 and ours.stop_ids == (0, 2, 301, 303)
    named = {"special_tokens_map.json": {"eos_token": {"content": "<unk>"}}}
    assert saved(named, eos_token=...).eos_id == 0 and saved(named, eos_token="</s>").eos_id == 2


def test_gguf_says_it_too(random_model, tokenizer, tmp_path):
    model = random_model(3, vocab_size=400, dim=64, hidden_dim=96)
    more = {"add_bos_token": 0, "add_eos_token": 1, "eot_token_id": 301, "eom_token_id": 302}
    named = {f"tokenizer.ggml.{key}": value for key, value in more.items()}
    ours = Llama.build(write(tmp_path / "a.gguf", model, tokenizer, **named), device="cpu").tokenizer
    assert (ours.begins, ours.ends, ours.bos_id, ours.stop_ids) == (False, True, 1, (2, 301, 302))
    assert ours.encode("Once", bos=True, eos=False) == tokenizer.encode("Once", bos=False, eos=False)


@pytest.mark.parametrize("none", [-1, 2**32 - 1])
def test_gguf_without_bos(metadata, none, tmp_path):  # noqa: F811
    from minillama.formats.gguf_tokenizer import from_metadata

    ours = from_metadata(metadata | {"tokenizer.ggml.bos_token_id": none, "tokenizer.ggml.add_bos_token": True},
                         -1, tmp_path)  # fmt: skip
    assert ours.bos_id == -1 and not ours.begins and ours.encode("a", True, False) == ours.encode("a", False, False)


@pytest.mark.parametrize("format", ["hf", "meta"])
def test_no_bos_at_all(random_llama, tmp_path, format):
    tokenizer = sentencepiece(bos_id=-1)
    llama = random_llama(1, tokenizer)
    assert (tokenizer.bos_id, tokenizer.begins, tokenizer.stop_ids) == (-1, False, (2,))
    llama.save(tmp_path, format)
    again = Llama.build(tmp_path, device="cpu").tokenizer
    assert again.encode("Once", True, True) == tokenizer.encode("Once", True, True)
    assert -1 not in again.encode("Once", True, True) and again.bos_id == -1
    assert -1 not in encode_dialog(again, [{"role": "user", "content": "Hi"}])
    if format == "hf":
        assert transformers.AutoTokenizer.from_pretrained(tmp_path).encode("Once") == again.encode("Once", True, False)


def test_no_eos_at_all(random_llama):
    tokenizer = sentencepiece(eos_id=-1)
    llama = random_llama(1, tokenizer)
    assert tokenizer.stop_ids == () and tokenizer.encode("a", True, True)[-1] != -1
    assert llama.text_completion(["a"], max_gen_len=3)[0]["finish_reason"] == "length"


def test_a_prompt_without_a_token(random_llama):
    llama = random_llama(1, sentencepiece(bos_id=-1))
    for call in (llama.text_completion, llama.logits, lambda texts: llama.stream(texts[0])):
        with pytest.raises(ValueError, match="has no tokens|is empty"):
            call([""])


@pytest.mark.parametrize("fields", [{"add_bos_token": False}, {"add_eos_token": True}, {"eos_token": "<unk>"}])
@pytest.mark.parametrize("format", ["hf", "meta"])
def test_marks_are_carried_through(saved, random_llama, tmp_path, fields, format):
    before = saved(**fields)
    random_llama(1, before).save(tmp_path / "again", format)
    after = Llama.build(tmp_path / "again", device="cpu").tokenizer
    for name in ("bos_id", "eos_id", "begins", "ends", "stop_ids"):
        assert getattr(after, name) == getattr(before, name), name
    assert after.encode("Once", True, True) == before.encode("Once", True, True)


# ---- an exported tokenizer.json ------------------------------------------------------------------------------------

SETTINGS = {
    "as Llama 2's": {},
    "no dummy prefix": {"add_dummy_prefix": False},
    "unigram": {"model_type": "unigram"},
    "user defined": {"user_defined_symbols": ["<tag>", "<t"]},
    "spaces removed": {"remove_extra_whitespaces": True},
    "no bos": {"bos_id": -1},
    "nmt_nfkc": {"normalization_rule_name": "nmt_nfkc"},
    "space as suffix": {"treat_whitespace_as_suffix": True},
    "no byte fallback": {"byte_fallback": False, "vocab_size": 120},
}
LEFT_OUT = {"nmt_nfkc", "space as suffix"}


@pytest.mark.parametrize("name", SETTINGS)
def test_an_exported_tokenizer_gives_the_same_ids_or_is_left_out(random_llama, tmp_path, name):
    tokenizer = sentencepiece(**SETTINGS[name])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        random_llama(1, tokenizer).save(tmp_path, "hf")
    assert (tmp_path / "tokenizer.model").read_bytes() == tokenizer.sp_model.serialized_model_proto()
    assert (tmp_path / "tokenizer.json").exists() == (name not in LEFT_OUT) == (not said)
    if name in LEFT_OUT:
        assert "tokenizer.json is left out" in str(said[0].message)
        kind = json.loads((tmp_path / "tokenizer_config.json").read_text())["tokenizer_class"]
        assert kind == "LlamaTokenizer"
    else:
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
        for text in TRY:
            assert theirs.encode(text) == tokenizer.encode(text, bos=True, eos=False), text
    again = Llama.build(tmp_path, device="cpu").tokenizer
    assert [again.encode(text, True, False) for text in TRY] == [tokenizer.encode(text, True, False) for text in TRY]


def test_a_byte_level_export_begins_as_its_model_does(random_llama, metadata, tmp_path):  # noqa: F811
    from minillama.formats.gguf_tokenizer import from_metadata

    ours = from_metadata(metadata | {"tokenizer.ggml.add_bos_token": True}, -1, tmp_path)
    random_llama(1, ours).save(tmp_path, "hf")
    assert transformers.AutoTokenizer.from_pretrained(tmp_path).encode("Once") == ours.encode("Once", True, False)


def test_the_command_line_says_what_is_left_out(random_llama, tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        random_llama(1, sentencepiece(treat_whitespace_as_suffix=True)).save(tmp_path / "a", "hf")
    assert main(["convert", "--model", str(tmp_path / "a"), "--format", "hf", str(tmp_path / "b")]) == 0
    said = capsys.readouterr().err
    assert said.startswith("minillama: tokenizer.json is left out") and said.count("\n") == 1


# ---- broken files --------------------------------------------------------------------------------------------------


def test_a_piece_that_is_no_utf8(tokenizer, tokenizer_path, tmp_path):
    data = tokenizer_path.read_bytes()
    place = data.index("猫".encode())
    (tmp_path / "tokenizer.model").write_bytes(data[:place] + b"\xff" + data[place + 1 :])
    with pytest.raises(ValueError, match="tokenizer.model' is not a sentencepiece model") as caught:
        Tokenizer(tmp_path / "tokenizer.model")
    assert type(caught.value) is ValueError


def test_a_panic_of_the_library(saved, tmp_path, monkeypatch):
    """Its errors in Rust are no Exception, so that `except Exception` lets them through."""
    if not (tmp_path / "tokenizer.json").exists():
        pytest.skip("of tokenizer.json alone")
    panic = type("PanicException", (BaseException,), {})

    class Broken:
        @staticmethod
        def from_file(path):
            raise panic("index out of bounds")

    monkeypatch.setattr(tokenizers, "Tokenizer", Broken)
    with pytest.raises(ValueError, match="tokenizer.json' is broken or no tokenizer.json .index out of bounds"):
        saved()


@pytest.mark.parametrize(
    ("part", "made"),
    [
        ("normalizer", normalizers.Sequence([normalizers.Replace("a", "a" * 9)] * 9)),
        ("normalizer", normalizers.Replace(tokenizers.Regex("x*"), "y" * 10**6)),
        ("normalizer", normalizers.Sequence([normalizers.Prepend("a" * 9)] * 9)),
        ("decoder", decoders.Sequence([decoders.Replace("a", "a" * 9)] * 9)),
    ],
)
def test_texts_that_a_tokenizer_blows_up(saved, tmp_path, part, made):
    """A few letters would become gigabytes, and the library ends the process where there is no memory."""
    path = tmp_path / "tokenizer.json"
    if not path.exists():
        pytest.skip("of tokenizer.json alone")
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    setattr(tokenizer, part, made)
    tokenizer.save(str(path))
    with pytest.raises(ValueError, match="tokenizer.json' makes texts more than 64 times as long"):
        saved()


def test_a_tokenizer_model_that_is_too_large(tmp_path):
    with open(tmp_path / "tokenizer.model", "wb") as file:
        file.truncate(2**33)
    with pytest.raises(ValueError, match="tokenizer.model' has 8589934592 bytes, at most"):
        Tokenizer(tmp_path / "tokenizer.model")


def test_a_post_processor_that_names_what_is_not_there(saved, tmp_path):
    path = tmp_path / "tokenizer.json"
    if not path.exists():
        pytest.skip("of tokenizer.json alone")
    made = tokenizers.Tokenizer.from_file(str(path))
    made.post_processor = processors.TemplateProcessing(single="[X] $A", pair="$A $B", special_tokens=[("[X]", 999)])
    made.save(str(path))
    assert not saved(add_bos_token=None).begins
