import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from minillama import Llama
from minillama.__main__ import build, parser
from minillama.int8 import FEW_ROWS, Int8Linear, is_int8, quantize, to_int8
from minillama.logprobs import perplexity
from minillama.model import ModelArgs, Transformer
from tests.examples import examples

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, FEW_ROWS), (1, FEW_ROWS + 1), (5, 9)])
def test_it_multiplies_by_what_it_keeps(shape, dtype):
    torch.manual_seed(0)
    layer = Int8Linear(nn.Linear(32, 48, bias=False).to(dtype))
    x = torch.randn(*shape, 32).to(dtype)
    due = F.linear(x.float(), layer.weight * layer.scale.float()[:, None])  # (*shape, 48)
    got = layer(x)
    assert got.shape == (*shape, 48) and got.dtype == dtype
    close = 2e-2 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(got.float(), due, rtol=close, atol=close)


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


def test_the_course_model_loses_little(course, plain):
    ids = [course.tokenizer.encode(text, bos=True, eos=False) for text in TEXTS]
    (_, scores), (_, due) = (each.generate(ids, 0, logprobs=True, echo=True) for each in (course, plain))
    for row, due_row in zip(scores, due, strict=True):
        assert perplexity(row[1:]) == pytest.approx(perplexity(due_row[1:]), rel=0.05)


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
