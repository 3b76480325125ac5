"""What people pass: numbers of other libraries, numbers too large for anything, flags that are no flags, bytes for ids,
paths that are none. Each is either what was meant or an error that names the argument in a line that can be read."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from minillama import Llama, ModelArgs, Tokenizer, Transformer

HUGE = 10**5000  # Python refuses to print it
NEVER = {
    "huge": HUGE,
    "minus huge": -HUGE,
    "complex": 1j,
    "decimal": Decimal(1),
    "bytes": b"ab",
    "bytearray": bytearray(b"ab"),
    "memoryview": memoryview(b"ab"),
    "tensor": torch.tensor([3]),
    "on no device": torch.tensor(3, device="meta"),
    "array": np.array([3]),
    "date": np.datetime64("2020"),
    "dtype": torch.float32,
    "true": np.bool_(True),
    "object": object(),
    "table": {"a": 1},
    "broken repr": type("Broken", (), {"__repr__": lambda self: 1 / 0})(),
}
ROW = [1, 300]
NUMBERS = {
    "temperature": lambda m, v: m.generate([ROW], 2, temperature=v),
    "top_p": lambda m, v: m.generate([ROW], 2, top_p=v),
    "min_p": lambda m, v: m.generate([ROW], 2, min_p=v),
    "seed": lambda m, v: m.generate([ROW], 2, seed=v),
    "stop": lambda m, v: m.text_completion(["a"], stop=v),
    "a token id in prompt_tokens[0]": lambda m, v: m.generate([[1, v]], 2),
    "prompt_tokens": lambda m, v: m.generate([v], 2),
    "prompts": lambda m, v: m.text_completion([v]),
    "dialogs": lambda m, v: m.chat_completion([[{"role": v, "content": ""}]]),
    "prompt_or_dialog": lambda m, v: m.stream(v),
    "prompts_or_tokens": lambda m, v: m.logits([v]),
    "token id": lambda m, v: m.tokenizer.decode([v]),
    "bos": lambda m, v: m.tokenizer.encode("a", bos=v, eos=False),
    "model must": lambda m, v: Llama(v, m.tokenizer),
    "tokenizer must": lambda m, v: Llama(m.model, v),
    "params": lambda m, v: Transformer(v),
    "ModelArgs.dim": lambda m, v: ModelArgs(dim=v),
    "ModelArgs.norm_eps": lambda m, v: ModelArgs(norm_eps=v),
    "ModelArgs.max_seq_len": lambda m, v: m.model.setup_cache(1, v),
    "model_path": lambda m, v: Tokenizer(v),
    "format": lambda m, v: m.save("x", format=v),
    "shards": lambda m, v: m.save("x", shards=v),
    "ckpt_dir": lambda m, v: m.save(v),
    **{
        name: lambda m, v, name=name: Llama.build(m.folder, **{name: v})
        for name in "max_seq_len max_batch_size seed device int8 compile tokenizer_path model_parallel_size".split()
    },
}
FLAGS = {
    "logprobs": [
        lambda m, v: m.generate([ROW], 2, logprobs=v),
        lambda m, v: m.generate_steps([ROW], 2, logprobs=v),
        lambda m, v: m.text_completion(["a"], logprobs=v),
        lambda m, v: m.chat_completion([[{"role": "user", "content": ""}]], logprobs=v),
    ],
    "echo": [lambda m, v: m.generate([ROW], 2, echo=v), lambda m, v: m.text_completion(["a"], echo=v)],
    "bos": [lambda m, v: m.tokenizer.encode("a", bos=v, eos=False)],
    "eos": [lambda m, v: m.tokenizer.encode("a", bos=True, eos=v)],
    "int8": [lambda m, v: Llama.build(m.folder, int8=v)],
    "compile": [lambda m, v: Llama.build(m.folder, compile=v), lambda m, v: Llama(m.model, m.tokenizer, compile=v)],
}


@pytest.fixture(scope="module")
def small(checkpoint):
    llama = Llama.build(checkpoint.folder, max_batch_size=2, device="cpu")
    llama.folder = checkpoint.folder
    return llama


@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_never_meant_is_named(small, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = small.generate([ROW], 4, seed=1)
    for kind, value in NEVER.items():
        if kind == {"model_path": "bytes", "bos": "true", "int8": "true", "compile": "true"}.get(name):
            continue  # the content of a tokenizer.model; a flag
        with pytest.raises((TypeError, ValueError)) as caught:
            NUMBERS[name](small, value)
        assert type(caught.value) in (TypeError, ValueError), kind
        assert name in str(caught.value)[:60] and len(str(caught.value)) < 500, (kind, str(caught.value))
    assert small.generate([ROW], 4, seed=1) == before and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FLAGS)
def test_only_true_and_false_are_flags(small, name):
    for call in FLAGS[name]:
        for value in ("False", "no", 1, 0, 2, None, 1.0, "", [], torch.tensor(1)):
            with pytest.raises(TypeError, match=f"^{name} must be True or False, got {type(value).__name__}|int 1"):
                call(small, value)
        if name != "compile":
            for right in (np.bool_(True), torch.tensor(True)):
                assert type(call(small, right)) is type(call(small, True))


def test_whole_numbers_of_other_libraries_are_made_pythons(small, tmp_path):
    for three in (np.int8(3), np.uint64(3), np.array(3), torch.tensor(3), np.int64(3)):
        made = Llama.build(small.folder, None, three, three, seed=three, device="cpu")
        assert (made.model.params.max_seq_len, made.model.params.max_batch_size) == (3, 3)
        assert made._generator.initial_seed() == 3 and Llama(small.model, small.tokenizer, three)
        args = ModelArgs(dim=three * 4, n_heads=2, n_layers=three, hidden_dim=three, vocab_size=three)
        assert [type(value) for value in vars(args).values()].count(int) == 9 and args.head_dim == 6
        assert small.tokenizer.pieces([three]) == small.tokenizer.pieces([3])
        (row,), _ = small.generate([[three, three]], three, temperature=0, echo=True)
        assert [type(i) for i in row] == [int] * 5 and row[:2] == [3, 3]
        (prediction,) = small.text_completion(["a"], max_gen_len=three, seed=[three], logprobs=True, echo=True)
        assert (prediction,) == tuple(small.text_completion(["a"], max_gen_len=3, seed=3, logprobs=True, echo=True))
    small.save(tmp_path / "two", shards=np.uint8(2))
    assert len(list((tmp_path / "two").glob("consolidated.*"))) == 2


def test_fractions_are_numbers_and_large_lengths_are_as_long_as_can_be(small):
    assert small.generate([ROW], 4, Fraction(1, 2), Fraction(3, 4), seed=1) == small.generate(
        [ROW], 4, 0.5, 0.75, seed=1
    )
    whole = small.generate([ROW], 94, temperature=0)
    assert small.generate([ROW], HUGE, temperature=0) == whole
    assert small.generate([ROW], 4, top_k=HUGE, seed=1) == small.generate([ROW], 4, seed=1)


def test_what_is_consumed_once_is_read_once(small):
    t, ids = small.tokenizer, [1, 300, 301]
    assert t.decode(map(int, ids)) == t.decode(ids) and t.pieces(iter(ids)) == t.pieces(ids)
    assert t.decode_bytes(i for i in ids) == t.decode_bytes(ids) and t.decode({300: 0}) == t.decode([300])
    for wrong in (5, HUGE, b"ab", bytearray(b"ab"), torch.tensor(3), np.array(3), None):
        with pytest.raises(TypeError, match="^t must be a list of token ids, got "):
            t.decode(wrong)
    assert t.with_format(None, iter([7, 9])).stop_ids == (2, 7, 9)


@pytest.mark.parametrize("wrong", ["", "a\0b"])
def test_paths_that_are_none(small, wrong, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, call in {
        "ckpt_dir": [lambda: small.save(wrong), lambda: Llama.build(wrong), lambda: small.save(wrong, "hf")],
        "tokenizer_path": [lambda: Llama.build(small.folder, wrong)],
        "model_path": [lambda: Tokenizer(wrong)],
    }.items():
        for each in call:
            with pytest.raises(ValueError, match=f"^{name} (is an empty path|must be a path without a null)"):
                each()
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="model_path: the data that was given is empty"):
        Tokenizer(b"")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64, torch.bool])
def test_a_dtype_that_cannot_compute_is_refused_at_once(small, dtype):
    with pytest.raises(ValueError, match="^dtype must be torch.float32, bfloat16, float16 or float64"):
        Llama.build(small.folder, dtype=dtype)


def test_a_cache_that_no_memory_holds_names_its_sizes(small):
    for sizes, words in (({"max_seq_len": 2**62}, "max_seq_len must be"), ({"max_batch_size": 2**62}, f"{2**62} rows")):
        with pytest.raises(ValueError, match=words):
            Llama.build(small.folder, **sizes, device="cpu")


def test_only_what_draws_moves_the_generator(checkpoint):
    """Greedy calls, scores, explorers and figures in between change no unseeded text."""
    from minillama.widgets import CacheView, GenerateStepper, LogprobHeatmap, TemperatureExplorer, TopPExplorer

    def drawn(llama):
        return llama.generate([ROW, [1, 301]], 6, temperature=2.0)[0], llama.text_completion(["Once"], max_gen_len=6)

    due = drawn(Llama.build(checkpoint.folder, device="cpu"))
    llama = Llama.build(checkpoint.folder, device="cpu")
    llama.generate([ROW], 3, temperature=0)
    llama.generate([ROW], 0, logprobs=True, echo=True)
    llama.text_completion(["a"], temperature=0, max_gen_len=2)
    llama.chat_completion([[{"role": "user", "content": "a"}]], temperature=0, max_gen_len=2)
    list(llama.stream("a", temperature=0, max_gen_len=2)), llama.logits(["a"])
    CacheView(llama, "Once"), TopPExplorer(llama, ["Once"]).sample(9), TemperatureExplorer(llama, ["Once"])
    GenerateStepper(llama, ["Once"], max_gen_len=2), LogprobHeatmap(llama, ["Once"], max_gen_len=2)
    assert drawn(llama) == due
