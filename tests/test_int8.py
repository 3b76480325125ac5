import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from minillama import Llama
from minillama.__main__ import build
from minillama.int8 import FEW_ROWS, Int8Linear, is_int8, quantize, to_int8
from minillama.logprobs import perplexity, token_logprobs
from minillama.model import ModelArgs, Transformer
from minillama.options import parser
from tests.examples import examples
from tests.fuzz.originals import originals, place

TEXTS = ("Once upon a time", "从前有一只小猫", "[INST] What is your name? [/INST]")


@examples(60)
@given(st.integers(1, 9), st.integers(1, 40), st.floats(1e-6, 1e4), st.integers(0, 99))
def test_no_number_moves_by_more_than_half_a_step(rows, columns, size, seed):
    weight = size * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    int8, scale = quantize(weight)
    assert int8.dtype == torch.int8 and int8.shape == weight.shape and scale.shape == (rows,)
    assert (int8.abs().amax(1) == 127).all()  # every row uses its whole range
    assert ((int8 * scale[:, None] - weight).abs() <= 0.501 * scale[:, None]).all()


def test_rows_of_zeros_stay_zeros():
    int8, scale = quantize(torch.tensor([[0.0, 0.0], [1.0, -0.5]]))
    assert int8.tolist() == [[0, 0], [127, -64]] and scale[0] == 0
    assert Int8Linear(nn.Linear(4, 2, bias=False).requires_grad_(False)).weight.shape == (2, 4)


def test_scales_in_bfloat16_are_those_that_the_numbers_were_divided_by():
    weight = torch.randn(64, 40, generator=torch.Generator().manual_seed(0))
    int8, scale = quantize(weight, torch.bfloat16)
    assert scale.dtype == torch.bfloat16 and int8.abs().max() == 127
    assert ((int8 * scale.float()[:, None] - weight).abs() <= 0.501 * scale.float()[:, None]).all()


DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
SHAPES = [(1, 1), (2, 3), (1, FEW_ROWS), (1, FEW_ROWS + 1), (5, 9)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("columns", [32, 33, 8])  # some that the fast product has no code for
def test_it_multiplies_by_what_it_keeps(shape, columns, dtype):
    torch.manual_seed(0)
    layer = Int8Linear(nn.Linear(columns, 48, bias=False).to(dtype))
    x = torch.randn(*shape, columns).to(dtype)
    due = F.linear(x.bfloat16().double(), layer.weight * layer.scale.double()[:, None])  # (*shape, 48)
    got = layer(x)
    assert got.shape == (*shape, 48) and got.dtype == dtype
    torch.testing.assert_close(got.double(), due, rtol=2**-8, atol=1e-6)  # one rounding to bfloat16


@pytest.mark.parametrize("n", [1, FEW_ROWS, FEW_ROWS + 1])
def test_the_product_sees_bfloat16(n):
    """Also where the weight is widened: what a token gets must not depend on how many others stand beside it."""

    class Kernel(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function is torch.ops.aten._weight_int8pack_mm.default:
                seen.append((args[0].dtype, args[1].dtype, args[2].dtype))
            return function(*args, **kwargs or {})

    seen = []
    layer = Int8Linear(nn.Linear(32, 48, bias=False))
    x = torch.full((n, 32), 1 + 2**-10)  # in bfloat16 it is 1
    with torch.inference_mode(), Kernel():
        y = layer(x)
    assert seen == [(torch.bfloat16, torch.int8, torch.bfloat16)] * (n <= FEW_ROWS)
    assert torch.equal(y, layer(torch.ones(n, 32))) and torch.equal(y, y.bfloat16().float())


def test_rows_that_begin_anywhere_in_memory():
    """The fast product reads whole vectors from places that must be multiples of their size."""
    layer = Int8Linear(nn.Linear(32, 48, bias=False).bfloat16())
    x = torch.randn(3 * 32 + 1).bfloat16()[1:].view(3, 32)
    across = torch.randn(32, 3).bfloat16().T  # (3, 32), a row is no piece of memory
    for rows in (x, across):
        torch.testing.assert_close(layer(rows), layer(rows.clone().contiguous()), rtol=0, atol=0)
    assert layer(torch.zeros(0, 32)).shape == (0, 48)


def test_it_is_exported_as_one_product():
    layer, x = Int8Linear(nn.Linear(32, 48, bias=False)), torch.randn(1, 1, 32)
    exported = torch.export.export(layer, (x,))
    assert str(exported.graph).count("_weight_int8pack_mm.default") == 1
    assert torch.equal(exported.module()(x), layer(x))


def test_every_linear_and_nothing_else_is_exchanged():
    model = Transformer(ModelArgs(dim=16, n_layers=2, n_heads=2, vocab_size=40)).requires_grad_(False)
    assert not is_int8(model) and to_int8(model) is model and is_int8(model)
    kinds = {name: weight.dtype for name, weight in model.state_dict().items()}
    assert sum(dtype == torch.int8 for dtype in kinds.values()) == 2 * 7 + 1
    floats = {name.split(".")[-2] for name, dtype in kinds.items() if dtype != torch.int8 and name.endswith(".weight")}
    assert floats == {"tok_embeddings", "attention_norm", "ffn_norm", "norm"}


@pytest.fixture(scope="module")
def course():
    return Llama.build(device="cpu", int8=True)


@pytest.fixture(scope="module")
def plain():
    return Llama.build(device="cpu")


@torch.inference_mode()
@pytest.mark.parametrize("at_once", [1, 99])  # a token a step, as a generation reads; the whole text
def test_the_course_model_loses_little(course, plain, at_once):
    for text in TEXTS:
        ids = torch.tensor([course.tokenizer.encode(text, bos=True, eos=False)])  # (1, seqlen)
        found = []
        for llama in (course, plain):
            parts = [llama.model(part, at_once * k) for k, part in enumerate(ids.split(at_once, dim=1))]
            scores = token_logprobs(torch.cat(parts, 1)[:, :-1], ids[:, 1:])  # (1, seqlen - 1)
            found.append(perplexity(scores[0].tolist()))
        assert found[0] == pytest.approx(found[1], rel=0.05)


@pytest.mark.parametrize("format", ["meta", "meta-shards", "meta-old", "hf", "hf-bpe", "gguf", "gguf-bpe"])
def test_each_matrix_is_rounded_when_it_is_read(tmp_path, format):
    path = place(tmp_path / "model", originals()[format])
    due = to_int8(Llama.build(path, device="cpu").model).state_dict()
    built = Llama.build(path, device="cpu", int8=True)
    assert built.model.state_dict().keys() == due.keys() and is_int8(built.model)
    for key, tensor in built.model.state_dict().items():
        assert tensor.dtype == due[key].dtype and torch.equal(tensor, due[key]), key
    assert len(built.generate([[1, 5]], 4, temperature=0)[0][0]) <= 4


def test_it_takes_a_quarter_of_the_memory(course, plain):
    def nbytes(model):
        return sum(t.nbytes for layer in model.layers for t in layer.state_dict().values())

    assert nbytes(course.model) < 0.27 * nbytes(plain.model)
    assert course.model.layers[0].attention.cache.k.dtype == torch.float32  # activations stay


def test_it_cannot_be_saved(course, tmp_path):
    for format in ("meta", "hf"):
        with pytest.raises(ValueError, match="build it without int8"):
            course.save(tmp_path / format, format=format)
    assert not list(tmp_path.iterdir())


def test_the_shell_has_it():
    for flags in ([], ["--int8"]):
        assert is_int8(build(parser().parse_args(["complete", "Once", *flags])).model) == bool(flags)
