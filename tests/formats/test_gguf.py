"""GGUF files: written here with the gguf library, read, compared with transformers; and broken in every way."""

import struct

import gguf
import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillama import Llama
from minillama.checkpoint import load
from minillama.formats import recognise
from tests import gguf_files, peers

SIZES = {"dim": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "hidden_dim": 96, "vocab_size": 400,
         "max_seq_len": 96, "rope_theta": 500.0}  # fmt: skip
TYPE = gguf.GGMLQuantizationType
TYPES = [TYPE.F32, TYPE.F16, TYPE.BF16, TYPE.Q8_0, TYPE.Q4_0, TYPE.Q4_1, TYPE.Q5_0, TYPE.Q5_1]


def write(path, model, tokenizer, kind=TYPE.F32, tied=False, extra=None, **metadata):
    """model in a GGUF file as llama.cpp's converter writes it, with a sentencepiece tokenizer and `extra` arrays."""
    args, sp = model.params, tokenizer.sp_model
    writer = gguf.GGUFWriter(path, metadata.pop("architecture", "llama"))
    writer.add_name("random")
    gguf_files.add_sizes(writer, args)
    writer.add_rope_freq_base(args.rope_theta)
    writer.add_vocab_size(args.vocab_size)
    writer.add_tokenizer_model("llama")
    kinds = [(sp.is_unknown, 2), (sp.is_control, 3), (sp.is_byte, 6)]
    ids = range(tokenizer.n_words)
    writer.add_token_list([sp.id_to_piece(i).encode() for i in ids])
    writer.add_token_scores([sp.get_score(i) for i in ids])
    writer.add_token_types([next((number for test, number in kinds if test(i)), 1) for i in ids])
    writer.add_bos_token_id(tokenizer.bos_id)
    writer.add_eos_token_id(tokenizer.eos_id)
    for key, value in metadata.items():
        {str: writer.add_string, int: writer.add_uint32, float: writer.add_float32}[type(value)](key, value)
    gguf_files.add_weights(writer, model, kind, {"output.weight"} if tied else ())
    for name, array in (extra or {}).items():
        writer.add_tensor(name, array)
    gguf_files.write(writer)
    return path


@pytest.fixture(scope="module")
def model(random_model):
    return random_model(3, **SIZES)


@pytest.fixture(scope="module")
def original(tmp_path_factory, model, tokenizer):
    """A file in Q8_0 that no test may change."""
    return write(tmp_path_factory.mktemp("gguf") / "model.gguf", model, tokenizer, TYPE.Q8_0)


@pytest.fixture
def change(original, tmp_path):
    """change(data -> data): a file with other bytes."""

    def altered(alter):
        path = tmp_path / "broken.gguf"
        path.write_bytes(alter(bytearray(original.read_bytes())))
        return path

    return altered


def check_refusal(path, *words):
    """Llama.build raises exactly ValueError, which names the file and has these words."""
    with pytest.raises(ValueError) as caught:
        Llama.build(path, device="cpu")
    assert type(caught.value) is ValueError
    for word in (*words, str(path)):
        assert word in str(caught.value), f"{word!r} is missing in {str(caught.value)!r}"


# ---- reading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TYPE.F32, TYPE.Q4_1])
def test_parity_with_transformers(tmp_path, random_model, tokenizer, kind):
    model = random_model(4, **SIZES)
    path = write(tmp_path / "model.gguf", model, tokenizer, kind, tied=kind == TYPE.Q4_1)
    network = peers.from_gguf(path)
    llama = Llama.build(path, device="cpu")
    tokens = torch.randint(3, 400, (2, 19), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs = network(tokens).logits
        torch.testing.assert_close(llama.model(tokens, 0), theirs, rtol=0, atol=1e-4)
        if kind == TYPE.F32:
            torch.testing.assert_close(model(tokens, 0), theirs, rtol=0, atol=1e-4)
    ours, _ = llama.generate(tokens[:, :6].tolist(), 12, temperature=0)
    theirs = network.generate(tokens[:, :6], attention_mask=torch.ones(2, 6), do_sample=False, max_new_tokens=12)
    assert ours == [[i for i in row[6:] if i != 2] for row in theirs.tolist()]


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_every_type_is_what_the_library_makes_of_it(tmp_path, model, tokenizer, kind):
    source = recognise(write(tmp_path / "model", model, tokenizer, kind))  # the suffix does not matter
    weights, state = source.weights(), model.state_dict()
    assert weights.keys() == state.keys()
    for key in ("layers.1.attention.wq.weight", "layers.0.feed_forward.w2.weight", "tok_embeddings.weight"):
        due = gguf.dequantize(gguf.quantize(state[key].numpy(), kind), kind)
        assert torch.equal(weights[key][...].float(), torch.from_numpy(due)), key
    assert torch.equal(weights["norm.weight"][...], state["norm.weight"])
    assert weights["output.weight"].kind == {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}.get(
        kind.name, kind.name
    )
    assert load(source, 400, torch.device("cpu"), torch.float16).norm.weight.dtype == torch.float16


@given(st.data())
def test_a_part_of_a_weight_is_that_part(original, data):
    weights = recognise(original).weights()
    key = data.draw(st.sampled_from(["layers.0.attention.wq.weight", "norm.weight", "output.weight"]))
    whole = weights[key][...]
    index = tuple(slice(*sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))) for n in whole.shape)
    assert torch.equal(weights[key][index], whole[index])


def test_the_tokenizer_splits_as_the_original(original, tokenizer):
    ours = Llama.build(original, device="cpu").tokenizer
    for text in ("Once upon a time", "  two  spaces ", "", "猫🙏\n\t", "<s>[INST] 123"):
        assert ours.encode(text, bos=True, eos=True) == tokenizer.encode(text, bos=True, eos=True)
    ids = list(range(tokenizer.n_words))
    assert ours.pieces(ids) == tokenizer.pieces(ids) and ours.decode_bytes(ids) == tokenizer.decode_bytes(ids)


def test_another_tokenizer(original, tokenizer_path):
    assert Llama.build(original, tokenizer_path, device="cpu").tokenizer.n_words == 400


def test_a_weight_may_be_changed_and_the_file_is_not(tmp_path, model, tokenizer):
    path = write(tmp_path / "model.gguf", model, tokenizer)
    before = path.read_bytes()
    llama = Llama.build(path, device="cpu")
    llama.model.output.weight.zero_()
    assert path.read_bytes() == before


# ---- what is wrong with a file -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("llama.rope.scaling.type", "yarn"), ("llama.expert_count", 8),
        ("llama.attention.key_length", 8), ("split.count", 2), ("llama.attention.sliding_window", 4096),
        ("general.alignment", 7), ("architecture", "qwen2"),
    ],
)  # fmt: skip
def test_what_this_model_does_not_compute(tmp_path, model, tokenizer, key, value):
    path = write(tmp_path / "model.gguf", model, tokenizer, **{key: value})
    check_refusal(path, {"architecture": "general.architecture", "split.count": "several"}.get(key, key))


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"n_layers": 10**9}, ["block_count=1000000000", "2 layers"]),
        ({"n_layers": 1}, ["block_count=1", "2 layers"]),
        ({"dim": 128, "rope": 32}, ["expected the shape (64, 128)"]),
        ({"hidden_dim": 2**31}, ["expected the shape (2147483648, 64)"]),
        ({"n_heads": 0}, ["n_heads"]),
    ],
)
def test_sizes_that_the_weights_have_not(change, sizes, words):
    names = {
        "n_layers": b"block_count",
        "max_seq_len": b"context_length",
        "dim": b"llama.embedding_length",
        "hidden_dim": b"feed_forward_length",
        "n_heads": b"attention.head_count",
        "rope": b"rope.dimension_count",
    }

    def alter(data):  # fmt: skip
        for name, value in sizes.items():
            end = data.index(names[name]) + len(names[name]) + 4
            data[end : end + 4] = struct.pack("<I", value)
        return data

    check_refusal(change(alter), *words)


def header(*parts, counts=(0, 0), version=3):
    packed = b"".join(part if isinstance(part, bytes) else struct.pack("<" + part[0], *part[1:]) for part in parts)
    return b"GGUF" + struct.pack("<IQQ", version, *counts) + packed


def text(data, length=None):
    return struct.pack("<Q", len(data) if length is None else length) + data


KEY = text(b"general.architecture")
HOSTILE = {
    "empty": b"",
    "magic alone": b"GGUF",
    "header alone": header(),
    "another version": header(version=4),
    "big-endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "many keys": header(counts=(0, 2**63)),
    "many tensors": header(counts=(2**40, 0)),
    "keys that are not there": header(counts=(0, 5)),
    "a long key": header(text(b"a", 2**62), counts=(0, 1)),
    "a key over the end": header(text(b"a", 100), counts=(0, 1)),
    "a key that is no text": header(text(b"\xff\xfe"), ("I", 8), text(b"llama"), counts=(0, 1)),
    "a key twice": header(KEY, ("I", 8), text(b"llama"), KEY, ("I", 8), text(b"llama"), counts=(0, 2)),
    "an unknown type": header(KEY, ("I", 99), counts=(0, 1)),
    "a long text": header(KEY, ("I", 8), text(b"llama", 2**63), counts=(0, 1)),
    "a long array": header(KEY, ("IIQ", 9, 4, 2**60), counts=(0, 1)),
    "a long array of texts": header(KEY, ("IIQ", 9, 8, 2**60), counts=(0, 1)),
    "an array of arrays": header(KEY, ("IIQIQ", 9, 9, 1, 9, 1), counts=(0, 1)),
    "an array of an unknown type": header(KEY, ("IIQ", 9, 77, 1), counts=(0, 1)),
    "a tensor of 2**31 dimensions": header(text(b"a"), ("I", 2**31), counts=(1, 0)),
    "a tensor of no dimension": header(text(b"a"), ("IIQ", 0, 0, 0), counts=(1, 0)),
    "a tensor twice": header(*[text(b"a"), ("IQIQ", 1, 4, 0, 0)] * 2, counts=(2, 0)),
    "an architecture that is a number": header(KEY, ("II", 4, 5), counts=(0, 1)),
    "an architecture that is a list": header(KEY, ("IIQ", 9, 8, 1), text(b"llama"), counts=(0, 1)),
    "a pickle": b"\x80\x04cposix\nsystem\n(S'touch /tmp/ran'\ntR." * 20,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_headers(tmp_path, what):
    path = tmp_path / "hostile.gguf"
    path.write_bytes(HOSTILE[what])
    check_refusal(path)


def test_a_file_that_is_cut_off_anywhere(original, change):
    data = original.read_bytes()
    ends = [*range(0, 400, 23), *range(400, len(data), len(data) // 12), len(data) - 1]
    for end in ends:
        check_refusal(change(lambda _, end=end: data[:end]))


@given(st.data())
def test_a_header_with_wrong_bytes_is_refused_or_read(original, tmp_path_factory, data):
    """Never another error than ValueError, never a hang, never a tensor from outside the file."""
    content = bytearray(original.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, 900))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "mutated.gguf"
    path.write_bytes(content)
    try:
        source = recognise(path)
        source.weights()
        source.tokenizer()
    except ValueError as error:
        assert type(error) is ValueError and "mutated.gguf" in str(error)


def place(data, name):
    """Where the fields behind a tensor's name begin: n_dims, dims, type, offset."""
    return data.index(text(name)) + 8 + len(name)


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (4, struct.pack("<Q", 2**40), ["claims"]),  # columns
        (12, struct.pack("<Q", 2**40), ["claims"]),  # rows
        (12, struct.pack("<Q", 2**63), ["claims"]),
        (4, struct.pack("<Q", 33), ["no whole blocks of 32"]),
        (20, struct.pack("<I", 26), ["type that is not read"]),
        (20, struct.pack("<I", 4), ["type that is not read"]),
        (20, struct.pack("<I", 99), ["type that is not read"]),
        (24, struct.pack("<Q", 2**62), ["claims"]),  # offset
        (24, struct.pack("<Q", 3), ["claims"]),
        (12, struct.pack("<Q", 30), ["attention.wk.weight", "expected the shape (32, 64), got (30, 64)"]),
    ],
)
def test_a_tensor_that_is_not_what_it_says(change, at, value, words):
    def alter(data):
        start = place(data, b"blk.1.attn_k.weight") + at
        data[start : start + len(value)] = value
        return data

    check_refusal(change(alter), *words)


def test_tensors_that_are_missing_or_unknown(change):
    def rename(old, new):
        return change(lambda data: data.replace(text(old), text(new)))

    check_refusal(rename(b"blk.1.attn_k.weight", b"blk.1.attn_z.weight"), "lacks blk.1.attn_k.weight")
    check_refusal(rename(b"output_norm.weight", b"outpuX_norm.weight"), "lacks output_norm.weight")
    check_refusal(rename(b"output.weight", b"rope_f.weight"), "has rope_f.weight, which a Llama 2 does not have")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (text(b"llama"), text(b"mamba"), ["mamba"]),
        (b"tokenizer.ggml.scores", b"tokenizer.ggml.scorez", ["scores"]),
        (b"tokenizer.ggml.tokens", b"tokenizer.ggml.tokenz", ["tokenizer of 0 tokens"]),
        (text(b"<0x41>"), text(b"<0x42>"), ["twice"]),
    ],
)
def test_tokenizers_that_cannot_be_used(change, old, new, words):
    def alter(data):
        start = data.index(old, data.index(b"tokenizer.ggml.model"))
        data[start : start + len(old)] = new
        return data

    check_refusal(change(alter), *words)


def test_without_the_gguf_library(monkeypatch, original, tmp_path, model, tokenizer):
    plain = write(tmp_path / "plain.gguf", model, tokenizer, TYPE.BF16)
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    assert Llama.build(plain, device="cpu").model.params.dim == 64
    check_refusal(original, "pip install gguf")


def test_k_quants(tmp_path):
    """The kinds that the library reads but does not write: any bytes are numbers."""
    from minillama.formats.gguf import _dequantise

    for kind in (TYPE.Q4_K, TYPE.Q6_K):
        block, n_bytes = gguf.GGML_QUANT_SIZES[kind]
        data = numpy.random.default_rng(0).integers(0, 90, 3 * n_bytes, dtype=numpy.uint8)
        got = _dequantise(bytearray(data.tobytes()), n_bytes, 2, n_bytes, kind.value)
        assert torch.equal(got, torch.from_numpy(gguf.dequantize(data.reshape(3, n_bytes), kind))[1:])
