"""One step: the loss, the precision it is taken in, and the learning rate."""

from dataclasses import replace

import pytest
import torch

from tests.training.conftest import TINY
from training import step
from training.initial import new_model
from training.packing import PAD
from training.step import (
    cross_entropy,
    evaluate_loss,
    fast_dtype,
    learning_rate,
    loss_of,
    new_optimizer,
    update,
)


def test_pad_does_not_count_in_the_loss():
    model = new_model(TINY.model, 1000)
    row = torch.randint(3, 1000, (1, 9))
    padded = torch.cat([row, torch.full((1, 5), PAD)], dim=1)
    assert loss_of(model, padded).item() == pytest.approx(loss_of(model, row).item(), abs=1e-5)


def test_the_loss_of_rows_is_that_of_their_tokens():
    model = new_model(TINY.model, 1000)
    rows = [torch.randint(3, 1000, (n,)) for n in range(5, 40)]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    with torch.no_grad():
        total = sum(loss_of(model, row[None]).item() * (len(row) - 1) for row in rows)
    assert evaluate_loss(model, padded) == pytest.approx(total / sum(len(row) - 1 for row in rows), rel=1e-5)


def test_the_last_steps_are_in_float32(monkeypatch):
    monkeypatch.setattr(step, "fast_dtype", lambda device: torch.bfloat16)
    config, seen = replace(TINY, steps=20, exact=0.15), []

    def spy(model, tokens, targets, dtype):
        seen.append(dtype)
        return cross_entropy(model, tokens, targets, dtype)

    model = new_model(TINY.model, 1000)
    optimizer = new_optimizer(config, model)
    for k in range(config.all_steps):
        loss = update(config, model, optimizer, torch.randint(3, 1000, (1, 9)), k, spy)
        assert loss.dtype == torch.float32 and loss.isfinite()
    assert seen == [torch.bfloat16] * 17 + [torch.float32] * 3


def test_products_in_bfloat16_give_nearly_the_same_loss_and_gradient():
    def gradient(dtype):
        torch.manual_seed(1)
        model = new_model(TINY.model, 1000)
        loss = loss_of(model, torch.randint(3, 1000, (4, 33)), dtype)
        loss.backward()
        return loss.item(), torch.cat([weight.grad.flatten() for weight in model.parameters()])

    (exact, whole), (rounded, found) = gradient(torch.float32), gradient(torch.bfloat16)
    assert rounded != exact and rounded == pytest.approx(exact, rel=0.01)
    assert torch.cosine_similarity(whole, found, dim=0) > 0.99


def test_the_fast_dtype_is_what_the_processor_has(monkeypatch):
    for found, dtype in (
        ({}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": 1}, torch.bfloat16),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        assert fast_dtype(torch.device("cpu")) == dtype
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # as in older torches
    assert fast_dtype(torch.device("cpu")) == torch.float32


def test_the_learning_rate_warms_up_and_falls():
    config = replace(TINY, steps=900, drill_steps=100, warmup=100)
    rates = [learning_rate(config, k) for k in range(1000)]
    assert max(rates) == rates[100] == config.learning_rate
    assert rates[:100] == sorted(rates[:100]) and rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-4 * config.learning_rate)
