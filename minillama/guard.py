"""A model as the loop of one run sees it: its cache guarded, its one-token step compiled, few waits for a GPU."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor

from minillama.compiled import compile_step
from minillama.loop import Forward
from minillama.model import Transformer
from minillama.parallel import is_shared

POLL_EVERY = 16  # steps between two looks at eos_reached on a GPU: each look waits for all queued work


class CacheTaken(RuntimeError):
    """A run was continued after a later run took over its cache: its keys and values are overwritten."""


class Guard:
    """Lets one run at a time use a model's cache: the latest."""

    def __init__(self, model: Transformer, compile: bool = False):
        """compile: read single tokens by a compiled step, see compiled.py."""
        self.model = model
        self.decode = compile_step(model) if compile else None
        self._shared = is_shared(model.output.weight)
        self._owner: object = None  # the run that owns the cache
        self._reading = threading.Lock()  # one forward at a time: a widget may run the model in a thread of its own

    def forward(self, last_only: bool) -> Forward:
        """The model's forward for one new run: forward(tokens (bsz, n), start_pos) to logits, as `loop.steps` calls it.

        Its call with start_pos 0 takes over the cache; a later call raises CacheTaken once another run has done so.
        last_only: give the logits of the last position alone.
        """
        run = object()

        def forward(tokens: Tensor, start_pos: int) -> Tensor:  # (bsz, n) -> (bsz, n or 1, vocab_size)
            with self._reading:
                self._owner = run if start_pos == 0 else self._owner
                if self._owner is not run:
                    raise CacheTaken(
                        "another run on this Llama has taken over the cache; finish one run before starting another"
                    )
                # inference_mode is a tenth faster than no_grad; with DTensors half as fast
                with torch.no_grad() if self._shared else torch.inference_mode():
                    if self.decode is None or tokens.shape[1] > 1:
                        logits = self.model(tokens, start_pos, last_only)
                    else:
                        position = torch.full((), start_pos, device=tokens.device)  # torch.tensor would wait
                        tokens = tokens.clone(memory_format=torch.contiguous_format)  # the same strides on any canvas
                        logits = self.decode(tokens, position, last_only=True)
                if self.model.norm.weight.device.type == "cpu" or start_pos % POLL_EVERY == 0:
                    self._check_finite(logits)
                return logits.clone()  # inference tensors cannot be used in autograd; a CUDA graph overwrites its own

        return forward

    def _check_finite(self, logits: Tensor) -> None:
        """Raise ValueError where a last position's largest logit (bsz,) is NaN or infinite: nothing can be chosen."""
        largest = logits[:, -1].amax(dim=-1)  # (bsz,), NaN if any is
        if not bool(largest.isfinite().all()):
            dtype = str(self.model.norm.weight.dtype).removeprefix("torch.")
            advice = "the checkpoint's weights are damaged or hold numbers that are not finite"
            if dtype == "float16":
                advice = (
                    "numbers inside the network are too large for float16; build with dtype=torch.float32 or bfloat16"
                )
            raise ValueError(f"dtype: the model's logits are not finite in {dtype}: {advice}")


def polled(device: torch.device) -> Callable[[Tensor], bool]:
    """A function that says whether every row has reached eos; on a GPU it looks only every POLL_EVERY steps."""
    n_steps = 0

    def all_ended(eos_reached: Tensor) -> bool:  # (bsz,)
        nonlocal n_steps
        n_steps += 1
        return (device.type == "cpu" or n_steps % POLL_EVERY == 0) and bool(eos_reached.all())

    return all_ended
