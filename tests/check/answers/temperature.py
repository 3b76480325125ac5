"""Right answers to the exercises on softmax and temperature."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from minillama.logprobs import entropy as package_entropy


def solution_softmax(logits, temperature):
    if temperature == 0:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(logits).scatter(-1, best, 1.0)
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    exps = torch.exp(shifted / temperature)
    return exps / exps.sum(dim=-1, keepdim=True)


def softmax_in_a_loop(logits, temperature):
    probs = torch.zeros_like(logits)
    for k, row in enumerate(logits):
        if temperature == 0:
            probs[k, row.argmax()] = 1
        else:
            exps = torch.exp((row - row.max()) / temperature)
            probs[k] = exps / exps.sum()
    return probs


def softmax_by_one_hot(logits, temperature):
    if not temperature:
        return F.one_hot(logits.topk(1).indices[:, 0], logits.shape[-1]).to(logits.dtype)
    shifted = (logits - logits.max(-1, keepdim=True).values) / temperature
    return (shifted - shifted.logsumexp(-1, keepdim=True)).exp()


RIGHT = {
    "softmax": [
        solution_softmax,
        softmax_in_a_loop,
        softmax_by_one_hot,
    ],
    "same_probs": [
        lambda a, b: torch.isclose(a - b, (a - b)[:, :1], atol=1e-4).all(dim=-1),
        lambda a, b: torch.isclose(a - b, (a - b).mean(-1, keepdim=True)).all(-1),
        lambda a, b: ((a - b).amax(-1) - (a - b).amin(-1)) < 1e-4,
        lambda a, b: (a - b).std(-1) < 1e-3,
        lambda a, b: torch.isclose(a - a.amax(-1, True), b - b.amax(-1, True)).all(-1),
        lambda a, b: torch.isclose(a.diff(dim=-1), b.diff(dim=-1)).all(-1),
        lambda a, b: torch.isclose(a.log_softmax(-1), b.log_softmax(-1), atol=1e-4).all(-1),
        lambda a, b: torch.tensor([torch.allclose(x - y, (x - y)[0]) for x, y in zip(a, b, strict=True)]),
        lambda a, b: torch.from_numpy(np.isclose((a - b).numpy(), (a - b).numpy()[:, :1]).all(-1)),
    ],
    "entropy": [
        package_entropy,
        lambda probs: torch.special.entr(probs).sum(-1),
        lambda probs: -(probs * (probs + 1e-9).log()).sum(-1),
        lambda probs: -(probs * probs.clamp(min=1e-12).log()).sum(dim=1),
        lambda probs: -(probs * torch.where(probs > 0, probs, 1).log()).sum(-1),
        lambda probs: -(probs * probs.log()).nansum(-1),
        lambda probs: torch.distributions.Categorical(probs=probs).entropy(),
        lambda probs: torch.tensor(
            [-sum(p * math.log(p) for p in row if p) for row in probs.tolist()], dtype=probs.dtype
        ),
    ],
}

EQUIVALENT = {
    "softmax": {"if temperature <= 0:": "no temperature is below 0"},
    "same_probs": {
        "shift = b - a": "the shift the other way round is as constant",
        "return torch.isclose(shift[:, :1], shift).all(dim=-1)": "relative to either of two near numbers",
    },
}
