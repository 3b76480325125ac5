"""Llama.save: what is written is read back the same, here and by transformers."""

import errno
import json
import os

import pytest
import torch
import transformers

from minillama import COURSE_MODEL, Llama, Tokenizer
from minillama.check import left_pad
from minillama.checkpoint import load
from minillama.formats import recognise
from tests.disk import files_end_at

PROMPTS = ["Once upon a time", "从前有一只", "A coin shows"]
FILES = {
    "meta": ["consolidated.00.pth", "params.json", "tokenizer.model"],
    "hf": ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer.model",
           "tokenizer_config.json"],
}  # fmt: skip


@pytest.fixture(scope="module")
def course_export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "course"
    llama = Llama.build(COURSE_MODEL, device="cpu")
    llama.save(folder, "hf", shards=2)
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return llama, folder, network, transformers.AutoTokenizer.from_pretrained(folder)


def test_transformers_loads_the_course_model_and_gives_equal_text(course_export):
    llama, _, network, theirs = course_export
    for prompt in PROMPTS:
        row = llama.tokenizer.encode(prompt, bos=True, eos=False)
        assert theirs.encode(prompt) == row
        with torch.no_grad():
            logits = llama.model(torch.tensor([row]), 0)
            torch.testing.assert_close(logits, network(torch.tensor([row])).logits, rtol=0, atol=1e-4)
        generated = network.generate(torch.tensor([row]), attention_mask=torch.ones(1, len(row)), do_sample=False,
                                     max_new_tokens=20)[0, len(row) :].tolist()  # fmt: skip
        ours = llama.generate([row], 20, temperature=0)[0][0]
        assert ours == [i for i in generated if i != llama.tokenizer.eos_id]


def test_left_padding_in_transformers_gives_the_texts_of_our_canvas(course_export):
    """What notebook 18 builds by hand: its tensors are those of transformers, and so are the texts."""
    llama, _, network, theirs = course_export
    prompts = ["Once upon a time, there was a little", "The cat", "从前有一只小猫"]
    rows, eos_id = [llama.tokenizer.encode(text, bos=True, eos=False) for text in prompts], llama.tokenizer.eos_id
    input_ids, attention_mask, position_ids = left_pad.exercise.right(rows, eos_id)
    theirs.pad_token = theirs.eos_token
    batch = theirs(prompts, padding=True, padding_side="left", return_tensors="pt")
    assert torch.equal(batch["input_ids"], input_ids) and torch.equal(batch["attention_mask"], attention_mask)

    calls = []
    hook = network.model.register_forward_pre_hook(lambda _, args, named: calls.append(named), with_kwargs=True)
    generated = network.generate(**batch, do_sample=False, max_new_tokens=20)[:, input_ids.shape[1] :].tolist()
    hook.remove()
    tokens = attention_mask == 1
    assert torch.equal(calls[0]["position_ids"].expand_as(tokens)[tokens], position_ids[tokens])
    assert calls[1]["position_ids"].flatten().tolist() == [len(row) for row in rows]
    until = [row[: row.index(eos_id)] if eos_id in row else row for row in generated]
    assert llama.generate(rows, 20, temperature=0)[0] == until
    with torch.no_grad():
        padded = network(input_ids, attention_mask=attention_mask, position_ids=position_ids).logits[:, -1]
        alone = torch.cat([llama.model(torch.tensor([row]), 0, last_only=True)[:, -1] for row in rows])
    torch.testing.assert_close(padded, alone, rtol=0, atol=1e-4)


def test_the_tokenizer_of_the_export_splits_alike(course_export):
    llama, _, _, theirs = course_export
    for text in ("  two  spaces ", "猫🙏\n\t", "12345", "It's [INST]", "the end."):
        assert theirs.encode(text) == llama.tokenizer.encode(text, bos=True, eos=False), text
    dialog = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"},
              {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Bye"}]  # fmt: skip
    from minillama.chat import encode_dialog

    assert theirs.apply_chat_template(dialog, return_dict=False) == encode_dialog(llama.tokenizer, dialog)


def test_the_export_of_the_course_model_read_back(course_export):
    llama, folder, _, _ = course_export
    again = Llama.build(folder, device="cpu")
    assert again.tokenizer.chat_format is None
    for ours, theirs in zip(again.model.parameters(), llama.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    dialog = [{"role": "user", "content": "Hello!"}]
    assert again.chat_completion([dialog], temperature=0, max_gen_len=9) == llama.chat_completion(
        [dialog], temperature=0, max_gen_len=9
    )


def same(model, folder, dtype=torch.float32):
    again = load(recognise(folder), 400, torch.device("cpu"), dtype)
    for key, weight in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], weight.to(dtype)), key
    fields = ("dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "norm_eps", "max_seq_len", "rope_theta")
    for field in fields:
        assert getattr(again.params, field) == getattr(
            model, "context" if field == "max_seq_len" else "params", None
        ) or (getattr(again.params, field) == getattr(model.params, field)), field
    assert again.params.ffn_width() == model.params.ffn_width()
    return again


@pytest.mark.parametrize("format", ["meta", "hf"])
@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_there_and_back(random_llama, tokenizer, tmp_path, format, shards, dtype):
    llama = random_llama(7, tokenizer, rope_theta=777.0, norm_eps=1e-3, hidden_dim=None, multiple_of=8)
    llama.save(tmp_path / "deep" / "saved", format, shards, dtype)
    if shards == 1:
        assert sorted(os.listdir(tmp_path / "deep" / "saved")) == FILES[format]
    assert os.listdir(tmp_path / "deep") == ["saved"]
    same(llama.model, tmp_path / "deep" / "saved", dtype or torch.float32)


@pytest.mark.parametrize("format", ["meta", "hf"])
def test_every_stop_id_is_carried_through(random_llama, tokenizer, tmp_path, format):
    random_llama(7, tokenizer.with_format(None, stop_ids=[300, 301])).save(tmp_path, format)
    again = Llama.build(tmp_path, device="cpu").tokenizer
    assert again.stop_ids == (2, 300, 301) and again.chat_format is None


def test_metas_shards_are_parts_of_the_weights(random_llama, tokenizer, tmp_path):
    llama = random_llama(7, tokenizer)
    llama.save(tmp_path, shards=2)
    parts = [torch.load(tmp_path / f"consolidated.0{rank}.pth", weights_only=True) for rank in range(2)]
    state = llama.model.state_dict()
    for key, dim in (("tok_embeddings", 1), ("output", 0), ("layers.1.attention.wo", 1), ("layers.0.attention.wk", 0),
                     ("layers.1.feed_forward.w2", 1), ("layers.1.feed_forward.w3", 0)):  # fmt: skip
        assert torch.equal(torch.cat([part[f"{key}.weight"] for part in parts], dim), state[f"{key}.weight"]), key
    assert all(torch.equal(part["norm.weight"], state["norm.weight"]) for part in parts)
    assert (
        sum(path.stat().st_size for path in tmp_path.glob("*.pth"))
        < 4 * sum(w.numel() for w in state.values()) + 40_000
    )


def test_tied_embeddings_stay_tied(random_llama, tokenizer, tmp_path):
    llama = random_llama(7, tokenizer)
    llama.model.output.weight = llama.model.tok_embeddings.weight
    llama.save(tmp_path, "hf")
    assert json.loads((tmp_path / "config.json").read_text())["tie_word_embeddings"] is True
    assert "output.weight" in recognise(tmp_path).weights()
    again = same(llama.model, tmp_path)
    assert again.output.weight.data_ptr() == again.tok_embeddings.weight.data_ptr()


def test_an_index_names_every_tensor(random_llama, tokenizer, tmp_path):
    llama = random_llama(7, tokenizer)
    llama.save(tmp_path, "hf", shards=2)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert {*index["weight_map"].values()} == {f"model-0000{k}-of-00002.safetensors" for k in (1, 2)}
    assert len(index["weight_map"]) == 21
    assert index["metadata"]["total_size"] == 4 * sum(weight.numel() for weight in llama.model.state_dict().values())


def test_fewer_shards_over_more_leave_none_behind(random_llama, tokenizer, tmp_path):
    llama = random_llama(7, tokenizer)
    for format in ("meta", "hf"):
        for shards in (2, 1, 2):
            llama.save(tmp_path / format, format, shards)
            same(llama.model, tmp_path / format)
    assert len([*(tmp_path / "meta").glob("*.pth")]) == 2 and not (tmp_path / "hf" / "model.safetensors").exists()


BYSTANDERS = (
    "consolidated.notes.pth", "consolidated.00.pth.bak", "old.consolidated.01.pth", "model.safetensors.bak",
    "model-mine.safetensors", "model-00001-of-00002.safetensors.old", "model.safetensors.index.json.orig",
)  # fmt: skip


@pytest.mark.parametrize("format", ["meta", "hf"])
def test_files_that_are_nobodys_shards_stay(random_llama, tokenizer, tmp_path, format):
    llama = random_llama(7, tokenizer)
    llama.save(tmp_path, format, shards=2)
    for name in BYSTANDERS:
        (tmp_path / name).write_text(name)
    (tmp_path / ("consolidated.07.pth" if format == "meta" else "model-00007-of-00007.safetensors")).mkdir()
    llama.save(tmp_path, format)
    assert all((tmp_path / name).read_text() == name for name in BYSTANDERS)
    left = {path.name for path in tmp_path.iterdir() if path.is_file()} - {*BYSTANDERS}
    assert sorted(left) == FILES[format]


@pytest.mark.parametrize("format", ["meta", "hf"])
def test_nothing_is_removed_before_the_new_files_are_in_place(random_llama, tokenizer, tmp_path, format, monkeypatch):
    llama = random_llama(7, tokenizer)
    llama.save(tmp_path, format, shards=2)
    before, replace = {*os.listdir(tmp_path)}, os.replace

    def fail_at_the_weights(old, new):
        if str(new).endswith((".pth", ".safetensors")):
            raise OSError(errno.EIO, "broken disk")
        replace(old, new)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="broken disk"):
        patch.setattr(os, "replace", fail_at_the_weights)
        llama.save(tmp_path, format)
    assert {*os.listdir(tmp_path)} >= before


def test_over_the_folder_in_use(random_llama, tokenizer, tmp_path):
    llama = random_llama(7, tokenizer)
    for format in ("meta", "hf"):
        llama.save(tmp_path / format, format)
        used = Llama.build(tmp_path / format, device="cpu")
        used.save(tmp_path / format, format)
        same(llama.model, tmp_path / format)
        same(used.model, tmp_path / format)


WEIGHTS = {"meta": "consolidated.00.pth", "hf": "model.safetensors"}


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "over-an-old-one"])
@pytest.mark.parametrize("format", WEIGHTS)
@pytest.mark.parametrize("size", [100, 20_000], ids=["the-first-file", "the-weights"])
def test_a_full_disk_is_named_and_changes_nothing(random_llama, tokenizer, tmp_path, format, size, is_there):
    folder = tmp_path / "saved"
    if is_there:
        random_llama(7, tokenizer).save(folder, format)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    llama = random_llama(8, tokenizer)
    with pytest.raises(OSError, match="could not be written") as caught, files_end_at(size):
        llama.save(folder, format)
    name = "params.json" if format == "meta" and size == 100 else WEIGHTS[format]
    for words in (f"ckpt_dir: {str(folder / name)!r}", os.strerror(errno.EFBIG), "Make room"):
        assert words in str(caught.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
    assert os.listdir(tmp_path) == (["saved"] if is_there else [])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"format": "gguf"}, ValueError, "format must be one of"),
        ({"shards": 0}, ValueError, "shards must be"), ({"shards": 1.5}, TypeError, "shards must be"),
        ({"shards": 3}, ValueError, "does not divide"), ({"shards": 4}, ValueError, "'n_kv_heads': 2"),
        ({"format": "hf", "shards": 3}, ValueError, "2 layers"),
        ({"dtype": torch.int8}, ValueError, "dtype must be"), ({"dtype": "float16"}, ValueError, "dtype must be"),
    ],
)  # fmt: skip
def test_what_cannot_be_written(random_llama, tokenizer, tmp_path, arguments, error, words):
    with pytest.raises(error, match=words):
        random_llama(7, tokenizer).save(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_two_formats_do_not_share_a_folder(random_llama, tokenizer, tmp_path):
    llama = random_llama(7, tokenizer)
    llama.save(tmp_path / "meta")
    llama.save(tmp_path / "hf", "hf")
    with pytest.raises(ValueError, match="holds params.json"):
        llama.save(tmp_path / "meta", "hf")
    with pytest.raises(ValueError, match="holds config.json"):
        llama.save(tmp_path / "hf")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        llama.save(tmp_path / "file")


@pytest.mark.parametrize("field", [b"\x10\x05", b"\x15\0\0\0\0"], ids=["a number", "four bytes"])
def test_a_charsmap_of_another_kind_is_none(random_llama, tokenizer, tmp_path, field):
    """sentencepiece does not take the field for one, and neither does what is written for the tokenizers library."""
    odd = Tokenizer(tokenizer.sp_model.serialized_model_proto() + bytes([0x1A, len(field)]) + field)
    random_llama(tokenizer=odd).save(tmp_path / "saved", "hf")
    (tmp_path / "saved" / "tokenizer.model").unlink()
    again = Llama.build(tmp_path / "saved", device="cpu")
    for text in ("the cat", "on the mat", "  a b"):
        assert again.tokenizer.encode(text, True, False) == odd.encode(text, True, False)


def test_a_save_that_fails_leaves_nothing_behind(random_llama, tokenizer, tmp_path, monkeypatch):
    """The tokenizer is written last: the weights are there by then, and go again."""

    def fail(*_, **__):
        raise ValueError("no")

    monkeypatch.setattr("minillama.formats.export.files_of", fail)
    for format in FILES:
        with pytest.raises(ValueError, match="^no$"):
            random_llama().save(tmp_path / format, format)
    assert [*tmp_path.iterdir()] == []
