"""A model as the loop of one run sees it: its cache guarded, its one-token step compiled, a GPU seldom asked."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from minillama import loop
from minillama.compiled import compile_step
from minillama.loop import Forward, GenerationStep
from minillama.model import Transformer, Writes
from minillama.parallel import answered, is_shared, of_rank_0
from minillama.sampling import Sampling
from minillama.tokenizer import BaseTokenizer

POLL_EVERY = 16  # steps between two looks at eos_reached on a GPU: each look waits for all queued work
TAKEN = "another run on this model has taken the cache over; finish one before the next"
WRITTEN = "the model was called, or its cache was made anew, between two steps of a run; wait until the run has ended"

run_number = itertools.count().__next__  # of each run of this process; a later one has a larger number


class CacheTaken(RuntimeError):
    """A run goes on after its keys and values were overwritten: a later one on the same model has begun."""


class Run:
    """One run on a model. It is at its end when nobody holds it any more."""

    def __init__(self):
        self.number = run_number()


class Turns:
    """Whose turn it is on a model. All who guard the model share it, for it has one cache."""

    def __init__(self):
        self.reading = threading.Lock()  # one forward at a time: a widget may run the model in a thread of its own
        self.runs: weakref.WeakValueDictionary[int, Run] = weakref.WeakValueDictionary()  # those not at their end
        self.last: tuple[int, Writes, int] | None = None  # the run that read last, and the writes after it


_turns: weakref.WeakKeyDictionary[Transformer, Turns] = weakref.WeakKeyDictionary()


def _free_all() -> None:
    """In the child of a fork there is no thread that could give a lock back."""
    for turns in _turns.values():
        turns.reading = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all)


class Guard:
    """Lets one run at a time use a model's cache: the latest."""

    def __init__(self, model: Transformer, compile: bool = False):
        """compile: read single tokens by a compiled step, see compiled.py."""
        self.model = model
        self.decode = compile_step(model) if compile else None
        self._shared = is_shared(model.output.weight)
        self._turns = _turns.setdefault(model, Turns())

    def forward(self, last_only: bool) -> Forward:
        """The model's forward for one new run: forward(tokens (bsz, n), start_pos) to logits, as `loop.steps` calls it.

        Its call with start_pos 0 takes the cache over, unless a run that was made later has done so and is not at its
        end. Any call raises CacheTaken if the cache is not as the call before left it: another run has read, the
        model was called directly, or `setup_cache` has made a new one. last_only: give the logits of the last position
        alone.
        """
        run, turns = Run(), self._turns
        turns.runs[run.number] = run

        def forward(tokens: Tensor, start_pos: int) -> Tensor:  # (bsz, n) -> (bsz, n or 1, vocab_size)
            with turns.reading:
                writes = self.model.layers[0].attention.cache.writes
                owner = turns.last
                if start_pos == 0:
                    if owner is not None and owner[0] > run.number and owner[0] in turns.runs:
                        raise CacheTaken(TAKEN)
                elif owner != (run.number, writes, writes.count):
                    raise CacheTaken(WRITTEN if owner is not None and owner[0] == run.number else TAKEN)
                # inference_mode is a tenth faster than no_grad; with DTensors half as fast
                with shared_forward() if self._shared else torch.inference_mode():
                    if self.decode is None or tokens.shape[1] > 1:
                        logits = self.model(tokens, start_pos, last_only)
                    else:
                        position = torch.full((), start_pos, device=tokens.device)  # torch.tensor would wait
                        tokens = tokens.clone(memory_format=torch.contiguous_format)  # the same strides on any canvas
                        logits = self.decode(tokens, position, last_only=True)
                turns.last = run.number, writes, writes.count
                if self.model.norm.weight.device.type == "cpu" or start_pos % POLL_EVERY == 0:
                    self._check_finite(logits)
                return logits.clone()  # tensors of inference mode refuse gradients; a CUDA graph overwrites its own

        return forward

    def steps(
        self,
        prompt_tokens: Sequence[Sequence[int]],
        max_gen_len: int,
        sampling: Sampling,
        tokenizer: BaseTokenizer,
        seeds: Sequence[int] | None,
        logprobs: bool,
    ) -> Iterator[GenerationStep]:
        """One new run of the loop on this model; arguments as for `loop.steps`, judged."""
        device = self.model.norm.weight.device
        return loop.steps(
            self.forward(last_only=not logprobs),
            prompt_tokens,
            max_gen_len,
            sampling,
            max_seq_len=self.model.params.max_seq_len,
            stop_ids=tokenizer.stop_ids,
            pad_id=tokenizer.pad_id,
            seeds=seeds,
            logprobs=logprobs,
            device=device,
            all_ended=polled(device),
            **({"agree": of_rank_0} if self._shared else {}),
        )

    def under_way(self, since: int) -> int:
        """How many runs on this model, made after `since` was `run_number()`, are not at their end."""
        return sum(ref.key > since for ref in self._turns.runs.valuerefs() if ref() is not None)

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


@contextlib.contextmanager
def shared_forward() -> Iterator[None]:
    with torch.no_grad(), answered():
        yield


def polled(device: torch.device) -> Callable[[Tensor], bool]:
    """Whether every row has reached eos; on a GPU it is asked only every POLL_EVERY steps, and False in between."""
    n_steps = 0

    def all_ended(eos_reached: Tensor) -> bool:  # (bsz,)
        nonlocal n_steps
        n_steps += 1
        return (device.type == "cpu" or n_steps % POLL_EVERY == 0) and bool(eos_reached.all())

    return all_ended
