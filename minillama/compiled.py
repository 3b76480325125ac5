"""The step that reads one token per row, compiled: on a GPU as a CUDA graph, on a CPU as C++ with the weights in it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from minillama.model import Transformer

ON_CPU = {
    "freezing": True,  # the weights are constants: the compiler may change their layout
    "max_autotune_gemm": True,  # generate a matrix product for exactly these sizes where that beats the library's
    "max_autotune_gemm_backends": "CPP,ATEN",
    "autotune_num_choices_displayed": 0,
}


def compile_step(model: Transformer) -> Callable[..., Tensor]:
    """`model.forward` for a position given as a 0-d tensor; the first call compiles, and so does a new number of rows.

    On a CPU the weights are part of what is compiled: changing them later has no effect on it.
    """
    if model.norm.weight.device.type == "cuda":
        return torch.compile(model, mode="reduce-overhead", fullgraph=True)
    # Not as `options` of torch.compile: the tracer asks for `freezing` too, and they reach only the code generator.
    return torch._inductor.config.patch(ON_CPU)(torch.compile(model, fullgraph=True))
