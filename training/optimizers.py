"""Muon for the matrices between embeddings and output, AdamW for all else.

AdamW scales each number of a matrix by itself, and its steps have nearly the same direction: they learn again and again
what many texts have in common, and the rest hardly moves. Muon makes the step orthogonal, so that it is equally long in
all directions. It needs fewer steps for the same loss, and more time for each.

Muon: https://kellerjordan.github.io/posts/muon; making its steps as large as AdamW's: arXiv:2502.16982, section 2.2.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

ITERATIONS = 4
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of the polynomial a x + b x³ + c x⁵, steep at 0 and bounded


class Muon(torch.optim.Optimizer):
    """Momentum for matrices, with steps made orthogonal. Products of matrices are taken in `dtype`."""

    def __init__(
        self,
        matrices: list[Tensor],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for (rows, columns), same in by_shape(group["params"]).items():
                for p in same:
                    state = self.state[p]
                    state.setdefault("momentum", torch.zeros_like(p)).mul_(group["momentum"]).add_(p.grad)
                ahead = torch.stack([p.grad + group["momentum"] * self.state[p]["momentum"] for p in same])
                size = group["lr"] * 0.2 * max(rows, columns) ** 0.5  # a root mean square of 0.2, as AdamW's steps have
                for p, direction in zip(same, orthogonal(ahead, self.dtype), strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(direction, alpha=size)


def orthogonal(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """About the nearest matrices with orthonormal rows or columns, (n, rows, columns): singular values near 1.

    Each iteration takes an odd polynomial of the matrix, which changes its singular values and nothing else.

    >>> orthogonal(torch.diag(torch.tensor([3.0, 4.0]))[None])[0].abs() > 0.5
    tensor([[ True, False],
            [False,  True]])
    """
    a, b, c = NEWTON_SCHULZ
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # no singular value above 1
    tall = x.shape[-2] > x.shape[-1]
    x = (x.mT if tall else x).to(dtype).contiguous()
    for _ in range(ITERATIONS):
        gram = x @ x.mT.contiguous()
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)  # a x + (b gram + c gram²) x
    return (x.mT if tall else x).to(matrices.dtype)


def by_shape(parameters: list[Tensor]) -> dict[torch.Size, list[Tensor]]:
    """The parameters grouped by shape, so that those of one shape can be multiplied at once."""
    found = defaultdict(list)
    for p in parameters:
        found[p.shape].append(p)
    return found


class Together:
    """Several optimizers as one."""

    def __init__(self, *optimizers: torch.optim.Optimizer):
        self.optimizers = optimizers

    @property
    def param_groups(self) -> list[dict]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none)

    def state_dict(self) -> list[dict]:
        return [optimizer.state_dict() for optimizer in self.optimizers]

    def load_state_dict(self, states: list[dict]) -> None:
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)
