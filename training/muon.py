"""Muon: momentum, whose every step is made orthogonal, for the matrices inside the network.

Jordan et al., "Muon" (2024), https://kellerjordan.github.io/posts/muon/, with the size of a step as in Liu et al.,
arXiv:2502.16982. torch.optim.Muon is the same but computes in bfloat16, which a CPU without such instructions only
imitates; here it is float32.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)  # steep at 0, so that five rounds are enough
ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """For 2-D parameters; the step of each has about the size that AdamW's would have with the same lr."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.1):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            alike = defaultdict(list)  # parameters by shape: one stack of matrices is quicker than one at a time
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape].append(parameter)
            for (n, m), parameters in alike.items():
                updates = orthogonal(torch.stack([self._momentum(p, group["momentum"]) for p in parameters]))
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update, alpha=-group["lr"] * 0.2 * max(n, m) ** 0.5)

    def _momentum(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        mean = self.state[parameter].setdefault("mean", torch.zeros_like(parameter))
        mean.lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(mean, momentum)  # Nesterov's: one step ahead


def orthogonal(matrices: Tensor) -> Tensor:
    """(k, n, m) -> the same shape: the singular vectors of each matrix with singular values near 1, from 0.7 to 1.2.

    A Newton-Schulz iteration: an odd polynomial of a matrix is that polynomial of its singular values.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)  # no singular value above 1
    for _ in range(ROUNDS):
        gram = x @ x.mT  # (k, n, n)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
