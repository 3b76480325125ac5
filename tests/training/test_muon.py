"""Muon: every singular value near 1, a step of AdamW's size, and a loss that falls."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from training.muon import Muon, orthogonal


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_the_singular_values_are_near_one(n, m, seed):
    matrices = torch.randn(3, n, m, generator=torch.Generator().manual_seed(seed))
    values = torch.linalg.svdvals(matrices)
    found = torch.linalg.svdvals(orthogonal(matrices))
    large = values > 0.02 * torch.linalg.matrix_norm(matrices)[:, None]  # five rounds do not lift what is smaller
    assert ((found[large] > 0.5) & (found[large] < 1.4)).all()


def test_the_singular_vectors_stay():
    matrix = torch.randn(1, 12, 30, generator=torch.Generator().manual_seed(1))
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    turned = u.mT @ orthogonal(matrix) @ vh.mT  # diagonal, if the vectors are the same
    assert (turned - torch.diag_embed(turned.diagonal(dim1=1, dim2=2))).abs().max() < 1e-4


def test_a_zero_gradient_moves_nothing():
    parameter = nn.Parameter(torch.ones(3, 5))
    parameter.grad = torch.zeros(3, 5)
    Muon([parameter], lr=0.1, weight_decay=0.0).step()
    assert torch.equal(parameter, torch.ones(3, 5))


def test_a_step_has_the_size_of_adamws():
    parameter = nn.Parameter(torch.zeros(64, 256))
    parameter.grad = torch.randn(64, 256, generator=torch.Generator().manual_seed(1))
    Muon([parameter], lr=0.01).step()
    assert parameter.square().mean().sqrt().item() == pytest.approx(0.2 * 0.01, rel=0.2)


def test_a_saved_state_goes_on_in_the_same_way():
    def steps(parameter, optimizer, seeds):
        for seed in seeds:
            parameter.grad = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))
            optimizer.step()

    whole, first = nn.Parameter(torch.zeros(4, 6)), nn.Parameter(torch.zeros(4, 6))
    steps(whole, Muon([whole], lr=0.1), range(6))
    before = Muon([first], lr=0.1)
    steps(first, before, range(3))
    second = nn.Parameter(first.detach().clone())
    after = Muon([second], lr=0.1)
    after.load_state_dict(before.state_dict())
    steps(second, after, range(3, 6))
    assert torch.equal(whole, second)
