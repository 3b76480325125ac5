"""Tensors that nothing can be computed with are refused by name, in every function that takes one."""

import re

import numpy as np
import pytest
import torch

from minillama import Sampling, sampling
from minillama import logprobs as scores
from minillama.plots import plot_attention, plot_nucleus, plot_rotation, plot_where
from minillama.tensors import position

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:Sparse CSR tensor")
GIVEN = torch.tensor([[0.5, 0.3, 0.2]])
OTHERS = {
    "meta": lambda x: x.to("meta"),
    "sparse": lambda x: x.to_sparse(),
    "compressed": lambda x: (x if x.dim() == 2 else x.reshape(1, -1)).to_sparse_csr(),
    "nested": lambda x: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
    "jagged": lambda x: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged),
    "quantised": lambda x: torch.quantize_per_tensor(x.float(), 1.0, 0, torch.qint8),
    "of mkldnn": lambda x: x.float().to_mkldnn(),
    "without a shape": lambda x: torch.nn.UninitializedParameter(),
}
IDS, MASK = torch.tensor([[1, 5]]), torch.tensor([True, False])
DOORS = {
    "Sampling.probs": ("logits", GIVEN, Sampling(0.7, top_k=2, min_p=0.1).probs),
    "apply_temperature": ("logits", GIVEN, lambda x: sampling.apply_temperature(x, 0.7)),
    "apply_temperature at 0": ("logits", GIVEN, lambda x: sampling.apply_temperature(x, 0)),
    "filter_top_k": ("probs", GIVEN, lambda x: sampling.filter_top_k(x, 2)),
    "filter_min_p": ("probs", GIVEN, lambda x: sampling.filter_min_p(x, 0.1)),
    "nucleus": ("probs", GIVEN, lambda x: sampling.nucleus(x, 0.9)),
    "sample_top_p": ("probs", GIVEN, lambda x: sampling.sample_top_p(x, 0.9)),
    "draw": ("probs", GIVEN, sampling.draw),
    "entropy": ("probs", GIVEN, scores.entropy),
    "token_logprobs": ("logits", GIVEN[None], lambda x: scores.token_logprobs(x, IDS[:, :1])),
    "token_logprobs, tokens": ("tokens", IDS[:, :1], lambda x: scores.token_logprobs(GIVEN[None], x)),
    "plot_nucleus": ("probs", GIVEN[0], lambda x: plot_nucleus(["a", "b", "c"], x, 0.9)),
    "plot_attention": ("weights", GIVEN[:, :1], lambda x: plot_attention(["a"], x)),
    "plot_rotation": ("freqs_cis", torch.ones(1, 1, dtype=torch.complex64), lambda x: plot_rotation(x, [0])),
    "plot_where": ("from_prompt", MASK, lambda x: plot_where(x, IDS[0], IDS[0])),
    "plot_where, column": ("column", IDS[0], lambda x: plot_where(MASK, x, IDS[0])),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_not_dense(door, kind):
    name, right, call = DOORS[door]
    call(right)
    try:
        wrong = OTHERS[kind](right)
    except (RuntimeError, NotImplementedError):
        pytest.skip("torch makes none of this dtype")
    with pytest.raises(ValueError, match=f"^{name} must be a dense tensor on a real device, got (one|a) "):
        call(wrong)


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_not_dense_in_the_model_and_the_tokenizer(random_llama, kind):
    llama = random_llama()
    wrong = OTHERS[kind](IDS)
    with pytest.raises(ValueError, match="^tokens must be a dense tensor on a real device"):
        llama.model(wrong, 0)
    with pytest.raises(ValueError, match="^t must be a dense tensor on a real device"):
        llama.tokenizer.decode(wrong)


@pytest.mark.parametrize("door", DOORS)
def test_what_is_no_tensor(door):
    name, _, call = DOORS[door]
    for wrong in ([0.5, 0.5], np.ones(2), "a", 3):
        with pytest.raises(TypeError, match=f"^{name} must be a (t|T)ensor, got "):
            call(wrong)


@pytest.mark.parametrize("dtype", [torch.float8_e5m2, torch.float8_e4m3fn, torch.complex64, torch.int64, torch.bool])
@pytest.mark.parametrize("name", [name for name, door in DOORS.items() if door[1].is_floating_point()])
def test_dtypes_that_nothing_is_computed_in(name, dtype):
    argument, right, call = DOORS[name]
    expected = f"{argument} must be a tensor of torch.float32, bfloat16, float16 or float64, got {dtype}"
    with pytest.raises(TypeError, match=f"^{re.escape(expected)}"):
        call(right.to(dtype))


def test_tensors_that_do_not_belong_together():
    for wrong in ("a", 1.5, None, True):
        with pytest.raises(TypeError, match="^ignore_index must be a whole number"):
            scores.token_logprobs(GIVEN[None], IDS[:, :1], wrong)


# ---- what a model takes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (0, 0)])
def test_no_tokens_at_all(random_llama, random_model, shape):
    for model in (random_llama().model, random_model()):  # with a cache and without
        with pytest.raises(ValueError, match="^tokens must have at least one row and one column, got the shape"):
            model(torch.zeros(shape, dtype=torch.int64), 0)


def test_tokens_beside_a_model_on_another_device(random_model):
    with pytest.raises(ValueError, match=r"^tokens must be on the device meta, got one on cpu; move it: tokens.to"):
        random_model().to("meta")(IDS, 0)


@pytest.mark.parametrize("last_only", ["no", None, 1, torch.tensor([True, False])])
def test_last_only_is_a_flag(random_llama, last_only):
    with pytest.raises(TypeError, match="^last_only must be True or False"):
        random_llama().model(IDS, 0, last_only)


@pytest.mark.parametrize(
    ("start_pos", "words"),
    [
        (
            torch.tensor(0.5),
            ".*without axes that holds one, or .bsz,. of them, got Tensor .* of torch.float32",
        ),
        (torch.tensor(3.0), "a whole number, or a tensor without axes"),
        (torch.tensor([[3]]), "a whole number, or a tensor without axes"),
        (
            torch.tensor(True),
            ".*without axes that holds one, or .bsz,. of them, got Tensor .* of torch.bool",
        ),
        (torch.tensor(3j), "a whole number, or a tensor without axes"),
        (torch.tensor(3, device="meta"), "a dense tensor on a real device, got one on the device meta"),
        (torch.tensor(3).to_sparse(), "a dense tensor on a real device, got one of the layout torch.sparse_coo"),
        (torch.nn.UninitializedParameter(), "a dense tensor on a real device, got a parameter that has no shape yet"),
        (torch.tensor(-1), "a whole number of at least 0, got -1"),
        (np.array([3]), "a whole number of at least 0, got ndarray"),
    ],
)
def test_positions_that_are_none(random_llama, start_pos, words):
    with pytest.raises((TypeError, ValueError), match=f"^start_pos must be {words}"):
        random_llama().model(IDS, start_pos)


@pytest.mark.parametrize(
    ("start_pos", "words"),
    [
        (torch.tensor([]), r"start_pos must have the shape \(1,\) and torch.int64, got \(0,\) and torch.float32"),
        (torch.tensor([3, 4]), r"start_pos must have the shape \(1,\) and torch.int64, got \(2,\)"),
        (torch.tensor([3.0]), r"start_pos must have the shape \(1,\) and torch.int64, got \(1,\) and torch.float32"),
        (torch.tensor([-1]), "the least of start_pos must be a whole number of at least 0, got -1"),
        (torch.tensor([3], device="meta"), "start_pos must be a dense tensor on a real device"),
        (torch.tensor([63]), r"positions 63 to 64 are outside 0 to 63 \(max_seq_len=64\)"),
    ],
)
def test_positions_a_row_that_are_none(random_llama, start_pos, words):
    with pytest.raises((TypeError, ValueError), match=f"^{words}"):
        random_llama(max_seq_len=64).model(IDS, start_pos)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([0], "rows must be a tensor, got list"),
        (torch.tensor([0, 1]), r"rows must have the shape \(1,\) and torch.int64, got \(2,\)"),
        (torch.tensor([0.0]), r"rows must have the shape \(1,\) and torch.int64, got \(1,\) and torch.float32"),
        (torch.tensor([4]), r"rows must be different whole numbers from 0 to 3, got \[4\]"),
        (torch.tensor([-1]), r"rows must be different whole numbers from 0 to 3, got \[-1\]"),
    ],
)
def test_rows_that_are_none(random_llama, rows, words):
    with pytest.raises((TypeError, ValueError), match=f"^{words}"):
        random_llama().model(IDS, 0, rows=rows)


def test_rows_that_are_named_twice_or_have_no_cache(random_llama, random_model):
    with pytest.raises(ValueError, match=r"^rows must be different whole numbers from 0 to 3, got \[2, 2\]"):
        random_llama().model(IDS.expand(2, -1), 0, rows=torch.tensor([2, 2]))
    with pytest.raises(ValueError, match="^rows must be None without a cache; call setup_cache"):
        random_model()(IDS, 0, rows=torch.tensor([0]))


def test_a_position_in_a_tensor_is_inside_the_cache(random_llama):
    model = random_llama().model
    last = model.params.max_seq_len - 2
    with torch.no_grad():
        model(IDS, torch.tensor(last))
        with pytest.raises(ValueError, match=f"^positions {last + 1} to {last + 2} are outside 0 to {last + 1} "):
            model(IDS, torch.tensor(last + 1))
        due = model(torch.tensor([[1, 5, 6]]), 0)[:, 2:]
        for dtype in (torch.int64, torch.int32, torch.uint8, torch.int8):
            found = model(torch.tensor([[6]]), torch.tensor(2, dtype=dtype))
            torch.testing.assert_close(found, due, rtol=0, atol=1e-5)


def test_a_position_that_is_not_known_yet_is_not_looked_at():
    compiled = torch.compile(lambda x: position("start_pos", x, 1, x.device)[0] + 1, backend="eager", fullgraph=True)
    assert compiled(torch.tensor(-5)) == -4, "a look would break the graph, or raise"
