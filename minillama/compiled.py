"""The step that reads one token per row, compiled: on a GPU as a CUDA graph, on a CPU ahead of time as native code.

On a CPU there is a package for 1 row, one for 8 and one for 32, each made when it is first needed (`native.py`), which
takes about a minute, and then kept (`ahead.py`): every later process loads it at once, without a compiler.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import hashlib
import json
import mmap
import platform
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from minillama import ahead, native
from minillama.model import Transformer

Step = Callable[[Tensor, int], Tensor]  # tokens (bsz, 1), start_pos -> logits (bsz, 1, vocab_size) float32
ALIGNED, HUGE = 64, 2**21  # bytes: of a cache line, of a huge page
ROWS = (1, 8, 32)  # of a package; a smaller batch takes the next larger one


def compile_step(model: Transformer) -> Step:
    """`model.forward` for one token a row, in the model's own cache; its first call with more rows prepares it.

    The weights are part of what is compiled: whoever changes them compiles again. Raises ValueError where a CPU has no
    C++ compiler and nothing is kept for this model.
    """
    return AheadOfTime(model) if model.norm.weight.device.type == "cpu" else _on_gpu(model)


def _on_gpu(model: Transformer) -> Step:
    compiled = torch.compile(model, mode="reduce-overhead", fullgraph=True)

    def step(tokens: Tensor, start_pos: int) -> Tensor:
        position = torch.full((), start_pos, device=tokens.device)  # torch.tensor would wait for the GPU
        tokens = tokens.clone(memory_format=torch.contiguous_format)  # the same strides on any canvas
        with torch.inference_mode():
            logits = compiled(tokens, position, last_only=True)
        return logits.clone()  # the graph writes its own anew each time

    return step


class AheadOfTime:
    """The step of a model on a CPU, from packages that are made or loaded when they are first needed."""

    def __init__(self, model: Transformer):
        self.model = model
        self.loaded: dict[int, _Loaded] = {}  # by rows
        if native.compiler() is None and not any(ahead.find(self._key(rows)) for rows in self._choices()):
            raise ValueError(native.NO_COMPILER)

    def __call__(self, tokens: Tensor, start_pos: int) -> Tensor:
        rows = next(rows for rows in self._choices() if rows >= len(tokens))
        if rows not in self.loaded:
            self.loaded[rows] = self._load(rows)
        return self.loaded[rows](tokens, start_pos)

    def _choices(self) -> list[int]:
        """The rows of packages that this model's cache has room for, and all its rows."""
        most = self.model.params.max_batch_size
        return [*(rows for rows in ROWS if rows < most), most]

    def _load(self, rows: int) -> _Loaded:
        for _ in range(2):  # a package that cannot be loaded is made once more
            package = ahead.package(self._key(rows), partial(native.write, self.model, rows))
            try:
                return _Loaded(self.model, rows, package)
            except (OSError, RuntimeError, KeyError) as error:
                ahead.discard(package)
                reason = error
        raise ValueError(f"compile=True: the compiled step cannot be loaded ({reason}); leave compile out")

    def _key(self, rows: int) -> str:
        """Everything that the native code depends on, as 24 hexadecimal digits."""
        sizes = dataclasses.asdict(dataclasses.replace(self.model.params, max_batch_size=1, max_seq_len=1))
        torchs = [torch.__version__, torch.version.git_version, native.threads(self.model, rows)]
        parts = [rows, sizes, torchs, _processor(), _sources(), self._weights]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]

    @cached_property
    def _weights(self) -> str:
        total = hashlib.sha256()
        for name, weight in self.model.state_dict().items():
            weight = weight.contiguous()
            total.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
            total.update((ctypes.c_char * weight.nbytes).from_address(weight.data_ptr()))
        return total.hexdigest()


class _Loaded:
    """A package in use."""

    def __init__(self, model: Transformer, rows: int, package: ahead.Package):
        self.model, self.package, self.dtype = model, package, model.norm.weight.dtype
        self.runner = torch._C._aoti.AOTIModelContainerRunnerCpu(str(package.path / native.LIBRARY), 1)
        kept = _side_by_side(torch.load(package.path / native.WEIGHTS, mmap=True, weights_only=True))
        kept |= {f"model.{name}": weight for name, weight in model.state_dict().items()}
        names = self.runner.get_constant_names_to_original_fqns()
        self.weights = {name: kept[original] for name, original in names.items()}
        self.runner.update_constant_buffer(self.weights, False, False, True)  # not copied: they live as long as this
        self.tokens = torch.zeros(rows, 1, dtype=torch.long)  # (rows, 1)
        self.keys, self.arguments, self.end = None, [], 0

    def __call__(self, tokens: Tensor, start_pos: int) -> Tensor:  # (bsz, 1) -> (bsz, 1, vocab_size)
        bsz, keys = len(tokens), self.model.layers[0].attention.cache.k
        if keys is not self.keys or not self.end - native.BLOCK <= start_pos < self.end:
            self._look_at(start_pos)
        self.tokens[:bsz] = tokens  # the rows beyond are computed too, and written where no run reads
        self.arguments[1] = torch.tensor(start_pos)
        (logits,) = self.runner.run(self.arguments)
        return logits[:bsz]

    def _look_at(self, start_pos: int) -> None:
        """Take the model's cache as it is now, up to the end of the block with this position.

        Raises ValueError where its numbers are of another kind than those that the native code reads.
        """
        caches = [layer.attention.cache for layer in self.model.layers]
        if (caches[0].k.dtype, caches[0].k.device.type) != (self.dtype, "cpu"):
            now = f"{caches[0].k.dtype} on {caches[0].k.device}"
            raise ValueError(f"model: compiled for {self.dtype} on a CPU, it is {now} now; make a new Llama of it")
        self.keys, self.end = caches[0].k, (start_pos // native.BLOCK + 1) * native.BLOCK
        positions = torch.arange(min(self.end, self.model.params.max_seq_len))  # (n,)
        lent = [tensor[: len(self.tokens)] for cache in caches for tensor in (cache.k, cache.v)]
        self.arguments = [self.tokens, None, positions, torch.view_as_real(self.model.freqs_cis), *lent]


def _side_by_side(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of the tensors in one block of memory. On Linux it has pages of 2 MiB: the processor then looks up 500
    times fewer addresses to read it, which took a quarter of a step's time."""
    places, end = {}, 0
    for name, tensor in tensors.items():
        places[name] = end
        end += -(-tensor.nbytes // ALIGNED) * ALIGNED
    block = mmap.mmap(-1, end + HUGE, **({"flags": mmap.MAP_PRIVATE} if hasattr(mmap, "MAP_PRIVATE") else {}))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            block.madvise(mmap.MADV_HUGEPAGE)
    numbers = torch.frombuffer(block, dtype=torch.uint8)  # keeps the block
    numbers = numbers[-numbers.data_ptr() % HUGE :]
    copies = {name: numbers[at : at + tensors[name].nbytes] for name, at in places.items()}
    return {name: copy.view(tensors[name].dtype).view(tensors[name].shape).copy_(tensors[name])
            for name, copy in copies.items()}  # fmt: skip


def _processor() -> list:
    """What the native code is made for: the system, and the processor with all it can do."""
    flags = Path("/proc/cpuinfo")
    lines = flags.read_text(encoding="utf-8", errors="replace").splitlines() if flags.is_file() else []
    known = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    return [platform.system(), platform.machine(), platform.processor(), torch.backends.cpu.get_cpu_capability(), known]


def _sources() -> str:
    """The files that say what is computed: after a change of theirs a package is out of date."""
    here = Path(__file__).parent
    names = ("model.py", "rope.py", "int8.py", "native.py", "compiled.py")
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in names)).hexdigest()
