"""One step of training: the loss of a batch, its gradient, and what the optimizer makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minillama.model import Transformer
from training.config import Config
from training.optimizers import Muon, Together
from training.packing import PAD, look_of, within_documents


def cross_entropy(model: Transformer, tokens: Tensor, targets: Tensor, dtype: torch.dtype) -> Tensor:
    """The mean over all targets (bsz, seqlen) except PAD, in nats. Matrices are multiplied in `dtype`."""
    with torch.autocast(tokens.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        logits = model(tokens, 0)  # (bsz, seqlen, vocab_size)
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=PAD)


def loss_of(
    model: Transformer, batch: Tensor, dtype: torch.dtype = torch.float32, entropy: Callable = cross_entropy
) -> Tensor:
    """The mean loss, in nats, of the tokens that are asked for in a batch (bsz, seqlen + 1) int64 of packed rows.

    entropy: `cross_entropy`, or the same compiled.
    """
    tokens = torch.where(batch < 0, ~batch, batch)[:, :-1]  # (bsz, seqlen)
    targets = batch[:, 1:].clamp(min=PAD)  # (bsz, seqlen)
    look_of(model).mask = within_documents(batch[:, :-1])
    return entropy(model, tokens, targets, dtype)


def update(
    config: Config, model: Transformer, optimizer: Together, batch: Tensor, step: int, entropy: Callable = cross_entropy
) -> Tensor:
    """Change the model by one step on a batch (bsz, seqlen + 1) int64. Returns the loss before it, in nats a token."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, step)
    exact = step >= (1 - config.exact) * config.all_steps
    loss = loss_of(model, batch, torch.float32 if exact else fast_dtype(batch.device), entropy)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.detach()


@torch.no_grad()
def evaluate_loss(model: Transformer, rows: Tensor) -> float:
    """The mean loss of a token, in nats, over rows (n, longest) int64: a document each, sorted by length."""
    batches = [
        batch[:, : int(n.max())] for batch, n in zip(rows.split(16), (rows != PAD).sum(dim=1).split(16), strict=True)
    ]
    asked = [int((batch[:, 1:] >= 0).sum()) for batch in batches]
    total = sum(loss_of(model, batch).item() * n for batch, n in zip(batches, asked, strict=True))
    return total / sum(asked)


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies in it, which is faster; elsewhere float32."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported()
    else:
        can = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}  # older torches lack it
        fast = can.get("avx512_bf16") or can.get("amx_bf16")
    return torch.bfloat16 if fast else torch.float32


def learning_rate(config: Config, step: int) -> float:
    """A linear warm-up, then half a cosine down to 0."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.all_steps - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def new_optimizer(config: Config, model: Transformer) -> Together:
    """Muon for the matrices of the layers; AdamW, without decay, for embeddings, output and norms.

    With so few tokens a step, beta2 must look far back. The output layer has a row for every piece; between two
    occurrences of a rare piece, AdamW would otherwise forget the size of its row's gradients. It would then blow up the
    many small pushes down to full steps, which outweigh the occurrences (beta2 and batch size: arXiv:2507.07101).
    """
    matrices = [p for p in model.layers.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if not any(p is matrix for matrix in matrices)]
    adamw = torch.optim.AdamW(others, lr=config.learning_rate, betas=(0.9, config.beta2), weight_decay=0.0, fused=True)
    muon = Muon(matrices, config.learning_rate, config.weight_decay, dtype=fast_dtype(matrices[0].device))
    return Together(muon, adamw)
