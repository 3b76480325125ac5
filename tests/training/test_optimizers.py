"""Muon: its step is orthogonal for any matrix, in either precision, and it finds a minimum."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.optimizers import Muon, orthogonal


@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.floats(1e-3, 1e3), st.integers(0, 999))
def test_a_step_has_no_short_direction_and_no_long_one(n, rows, columns, size, seed):
    matrices = size * torch.randn(n, rows, columns, generator=torch.Generator().manual_seed(seed))
    wide = matrices.svd().S.amin(dim=-1) > 0.1 * matrices.svd().S.amax(dim=-1)  # four iterations lift no more
    for dtype in (torch.float32, torch.bfloat16):
        step = orthogonal(matrices, dtype)
        assert step.dtype == torch.float32 and step.shape == matrices.shape
        assert step.svd().S.max() < 1.3
        assert (step.svd().S[wide] > 0.5).all()


def test_rounding_hardly_turns_a_step():
    matrices = torch.randn(4, 48, 96, generator=torch.Generator().manual_seed(1))
    exact, rounded = orthogonal(matrices), orthogonal(matrices, torch.bfloat16)
    assert torch.cosine_similarity(exact.flatten(1), rounded.flatten(1)).min() > 0.999


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_finds_the_matrix(dtype):
    target = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    found = torch.zeros(6, 4, requires_grad=True)
    muon = Muon([found], lr=0.5, dtype=dtype)
    for _ in range(200):
        muon.zero_grad()
        (found - target).square().sum().backward()
        muon.step()
        muon.param_groups[0]["lr"] *= 0.97
    assert (found - target).abs().max() < 0.1
