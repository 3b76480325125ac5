"""A model as the loop of one run sees it: its cache guarded, its one-token step compiled, few waits for a GPU."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import torch
from torch import Tensor

from minillama.cache import write_number
from minillama.compiled import compile_step
from minillama.loop import Forward
from minillama.model import Transformer
from minillama.parallel import answered, is_shared

POLL_EVERY = 16  # steps between two looks at eos_reached on a GPU: each look waits for all queued work

# One forward at a time on a model: a widget may run it in a thread of its own.
_locks: weakref.WeakKeyDictionary[Transformer, threading.Lock] = weakref.WeakKeyDictionary()

if hasattr(os, "register_at_fork"):  # the child of a fork has no thread that could give a lock back
    os.register_at_fork(after_in_child=lambda: _locks.update({model: threading.Lock() for model in _locks}))


class CacheTaken(RuntimeError):
    """A run was continued after its cache was written by others: its keys and values may be overwritten."""


_gives_way: ContextVar[bool] = ContextVar("gives_way", default=False)


@contextlib.contextmanager
def giving_way() -> Iterator[None]:
    """Runs that are made inside give way: any write after that raises CacheTaken in them, also before their first step.

    Other runs take the cache over when they begin.
    """
    token = _gives_way.set(True)
    try:
        yield
    finally:
        _gives_way.reset(token)


class Guard:
    """Lets one run at a time use a model's cache.

    The run that wrote last may go on; any other write since (another run, a direct call of the model, `setup_cache`)
    makes its next step raise CacheTaken.
    """

    def __init__(self, model: Transformer, compile: bool = False):
        """compile: read single tokens by a compiled step, see compiled.py."""
        self.model = model
        self.decode = compile_step(model) if compile else None
        self._attentions = [layer.attention for layer in model.layers]  # looking them up takes longer
        self._shared = is_shared(model.output.weight)
        _locks.setdefault(model, threading.Lock())

    def forward(self, last_only: bool) -> Forward:
        """The model's forward for one new run: forward(tokens (bsz, n), start_pos) to logits, as `loop.steps` calls it.

        Its call with start_pos 0 takes the cache over; a later call raises CacheTaken unless the cache is as the call
        before left it. last_only: give the logits of the last position alone.
        """
        gives_way = _gives_way.get()
        left = (
            self._written() if gives_way else []
        )  # what this run's last call left: the number of the last write to each layer's cache

        def forward(tokens: Tensor, start_pos: int) -> Tensor:  # (bsz, n) -> (bsz, n or 1, vocab_size)
            nonlocal left
            with _locks[self.model]:
                if (start_pos > 0 or gives_way) and left != self._written():
                    raise CacheTaken(
                        "another run on this model has taken over the cache; finish one run before starting another (a "
                        "direct call of the model and setup_cache count as runs)"
                    )
                if self.decode is None or tokens.shape[1] > 1:
                    with _forward_only(self._shared):
                        logits = self.model(tokens, start_pos, last_only)
                    logits = logits.clone()  # inference tensors cannot be used in autograd
                else:
                    logits = self.decode(tokens, start_pos)
                    self.model.layers[0].attention.cache.written = write_number()  # a compiled step cannot
                left = self._written()
                if self.model.norm.weight.device.type == "cpu" or start_pos % POLL_EVERY == 0:
                    check_finite(logits, self.model.norm.weight.dtype)
                return logits

        return forward

    def _written(self) -> list[int]:
        return [attention.cache.written for attention in self._attentions]


@contextlib.contextmanager
def _forward_only(shared: bool) -> Iterator[None]:
    """No gradients: inference_mode is a tenth faster than no_grad; with DTensors half as fast."""
    with torch.no_grad() if shared else torch.inference_mode(), answered() if shared else contextlib.nullcontext():
        yield


def check_finite(logits: Tensor, dtype: torch.dtype) -> None:
    """Raise ValueError where a last position's largest logit (bsz,) is NaN or infinite: nothing can be chosen."""
    if not all(map(math.isfinite, logits[:, -1].amax(dim=-1).tolist())):  # NaN if any is
        advice = "the checkpoint's weights are damaged or hold numbers that are not finite"
        if dtype == torch.float16:
            advice = "numbers inside the network are too large for float16; build with dtype=torch.float32 or bfloat16"
        name = str(dtype).removeprefix("torch.")
        raise ValueError(f"dtype: the model's logits are not finite in {name}: {advice}")


def polled(device: torch.device) -> Callable[[Tensor], bool]:
    """A function that says whether every row has reached eos; on a GPU it looks only every POLL_EVERY steps."""
    n_steps = 0

    def all_ended(eos_reached: Tensor) -> bool:  # (bsz,)
        nonlocal n_steps
        n_steps += 1
        return (device.type == "cpu" or n_steps % POLL_EVERY == 0) and all(eos_reached.tolist())

    return all_ended
