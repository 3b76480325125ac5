"""Other programs on the same weights, each asked in the same way as minillama: what `benchmarks.compare` measures.

A runner is called with prompts of equal length, the number of new tokens and a sampler, and tells the seconds of
decoding and the new ids. Decoding begins with the first new token and ends with the last, so it is one forward less
than there are new tokens; loading and reading the prompts are not in it. Where each program's seconds come from:

- minillama, transformers: a clock that starts when the model has read the prompts, and stops when the ids are here.
- llama.cpp: llama-server's own figure, that of its slowest row. HTTP is not in it.
- CTranslate2: the time of all new tokens less the time of a run that makes one.

No token ends a text early, and each computes with a cache in float32. benchmarks/README.md says how the programs get
here; neither is part of this repository.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from minillama import Llama
from minillama.int8 import Int8Linear

SAMPLERS = {"greedy": {"temperature": 0.0, "top_p": 1.0}, "sampled": {"temperature": 0.8, "top_p": 0.9}}
PEERS = {  # the figures that each program gives, by the name of --peer; transformers always runs
    "transformers": ("transformers",),
    "llama.cpp": ("llama.cpp f32", "llama.cpp Q8_0"),
    "ctranslate2": ("CTranslate2 f32", "CTranslate2 int8"),
}
CONVERTER = "convert_hf_to_gguf.py"
ENDS = (b"</s>", b"<|im_end|>", b"<|endoftext|>")


class Made(NamedTuple):
    seconds: float
    ids: list[list[int]]


Runner = Callable[[list[list[int]], int, str], Made]


# ---- in this process ------------------------------------------------------------------------------------------------


def decoding(module: nn.Module, generate: Callable[[], list[list[int]]]) -> Made:
    """What `generate` returns, and the seconds from the end of the module's first call, which reads the prompts."""
    wait = torch.cuda.synchronize if next(module.parameters()).is_cuda else lambda: None
    began = []

    def note(*_) -> None:
        hook.remove()
        wait()
        began.append(time.perf_counter())

    hook = module.register_forward_hook(note)
    try:
        ids = generate()
    finally:
        hook.remove()
    wait()
    return Made(time.perf_counter() - began[0], ids)


def minillama(llama: Llama) -> Runner:
    def run(prompts: list[list[int]], new_tokens: int, sampler: str) -> Made:
        return decoding(llama.model, lambda: llama.generate(prompts, new_tokens, **SAMPLERS[sampler], seed=0)[0])

    return run


def transformers(llama: Llama) -> Runner:
    from tests.peers import to_transformers  # here, so that a process that measures minillama stays without it

    network = to_transformers(llama.model).to(llama.device)
    network.generation_config.eos_token_id = None

    def run(prompts: list[list[int]], new_tokens: int, sampler: str) -> Made:
        ids = torch.tensor(prompts, device=llama.device)
        how = {"do_sample": sampler != "greedy"} | (SAMPLERS[sampler] | {"top_k": 0} if sampler != "greedy" else {})
        how |= {"max_new_tokens": new_tokens, "eos_token_id": None, "pad_token_id": 0}
        mask = torch.ones_like(ids)
        return decoding(network, lambda: network.generate(ids, attention_mask=mask, **how)[:, ids.shape[1] :].tolist())

    return run


def linears(llama: Llama) -> Runner:
    """The same step reduced: every linear layer of the model once a token, and nothing else."""
    layers = [module for module in llama.model.modules() if isinstance(module, nn.Linear | Int8Linear)]
    like = llama.model.norm.weight

    @torch.no_grad()
    def run(prompts: list[list[int]], new_tokens: int, sampler: str) -> Made:
        rows = {"dtype": like.dtype, "device": like.device}
        inputs = [torch.zeros(len(prompts), 1, layer.in_features, **rows) for layer in layers]
        wait = torch.cuda.synchronize if like.is_cuda else lambda: None
        wait()
        began = time.perf_counter()
        for _ in range(new_tokens - 1):
            for layer, x in zip(layers, inputs, strict=True):
                layer(x)
        wait()
        return Made(time.perf_counter() - began, [])

    return run


# ---- llama.cpp ------------------------------------------------------------------------------------------------------


class LlamaServer:
    """llama-server with one model, asked over HTTP."""

    def __init__(self, binary: Path, model: Path, threads: int, log: Path, rows: int = 1, context: int = 0, *more: str):
        """rows: prompts side by side. context: tokens of each, 0 for the model's own. more: further options."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        # The cache would be in float16, and parts of a prompt would be taken from an earlier one.
        options = "-fa off -ctk f32 -ctv f32 --no-cache-prompt --jinja --host 127.0.0.1 --port"
        sizes = f"-t {threads} -tb {threads} -np {rows} -c {rows * context}"
        command = [binary, "-m", model, *sizes.split(), *more, *options.split(), self.address.split(":")[1]]
        self._log = log
        with open(log, "wb") as output:
            env = os.environ | {"OMP_NUM_THREADS": str(threads)}
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env)

    def __enter__(self):
        for _ in range(600):
            if self._process.poll() is not None:
                sys.exit(f"llama-server ended with {self._process.returncode}; its last words are in {self._log}")
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                self.ask("health")
                return self
            time.sleep(0.1)
        self.__exit__()
        sys.exit(f"llama-server is not ready after a minute; see {self._log}")

    def __exit__(self, *_) -> None:
        self._process.terminate()
        self._process.wait()

    def ask(self, what: str, **fields) -> dict | list:
        data = json.dumps(fields).encode() if fields else None
        request = urllib.request.Request(f"http://{self.address}/{what}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as reply:
            return json.load(reply)

    def decode(self, prompts: list[list[int]], new_tokens: int, sampler: str) -> Made:
        """The runner. Only what a sampler needs is in llama.cpp's chain, in minillama's order."""
        if sampler == "greedy":
            how = {"samplers": ["top_k"], "top_k": 1}
        else:
            how = SAMPLERS[sampler] | {"samplers": ["temperature", "top_p"], "seed": 0}
        how |= {"n_predict": new_tokens, "ignore_eos": True, "return_tokens": True, "cache_prompt": False}
        return decoded(self.ask("completion", prompt=prompts, **how), new_tokens)


def decoded(reply: dict | list[dict], new_tokens: int) -> Made:
    """The rows of a reply of llama-server, and the milliseconds that it says the slowest took for decoding."""
    rows = sorted(reply if isinstance(reply, list) else [reply], key=lambda row: row["index"])
    for row in rows:
        if (made := row["timings"]["predicted_n"]) != new_tokens:
            sys.exit(f"llama-server made {made} tokens, expected {new_tokens}")
    return Made(max(row["timings"]["predicted_ms"] for row in rows) / 1000, [row["tokens"] for row in rows])


def llama_cpp_source(binaries: Path) -> Path:
    """The source from which the binaries were built, for its converter: build/CMakeCache.txt tells it."""
    for name in ("llama-server", "llama-quantize"):
        if not (binaries / name).is_file():
            raise ValueError(f"there is no {binaries / name}; benchmarks/README.md says how llama.cpp is built")
    cache = binaries.resolve().parent / "CMakeCache.txt"
    told = re.search(r"^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$", cache.read_text(), re.M) if cache.is_file() else None
    if told is None or not (Path(told[1]) / CONVERTER).is_file():
        raise ValueError(f"{cache} does not lead to {CONVERTER}; benchmarks/README.md says how llama.cpp is built")
    return Path(told[1])


def to_gguf(hf: Path, file: Path, binaries: Path) -> None:
    """Write a GGUF file in float32 from a checkpoint in Hugging Face's layout, by llama.cpp's own converter."""
    source = llama_cpp_source(binaries)
    # The converter comes with a gguf library of its own, newer than the one from PyPI.
    paths = os.pathsep.join([str(source / "gguf-py"), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, source / CONVERTER, "--outtype", "f32", "--outfile", file, hf]
    call(command, file.with_suffix(".log"), PYTHONPATH=paths)


def quantize(binaries: Path, file: Path, to: Path, kind: str) -> None:
    call([binaries / "llama-quantize", "--allow-requantize", file, to, kind], to.with_suffix(".log"))


def call(command: Sequence[str | Path], log: Path, **env: str) -> None:
    with open(log, "wb") as output:
        done = subprocess.run(command, stdout=output, stderr=output, env=os.environ | env)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}; see {log}")


def without_ends(gguf: Path) -> None:
    """Rename, in place, the tokens at whose names llama.cpp ends a text whatever it is asked."""
    with open(gguf, "r+b") as file:
        head = file.read(2**24)  # the vocabulary is at the beginning; a name follows its length
        for name in ENDS:
            at = head.find(struct.pack("<Q", len(name)) + name)
            if at >= 0:
                file.seek(at + 8)
                file.write(b"<" + b"-" * (len(name) - 2) + b">")


# ---- CTranslate2 ----------------------------------------------------------------------------------------------------


class CTranslate2:
    """A process with CTranslate2, asked by lines of JSON; benchmarks/ctranslate2_worker.py is its other half."""

    def __init__(self, site: Path, model: Path, kind: str, threads: int):
        """site: the folder that holds the package. kind: float32 or int8."""
        env = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": path_with(site)}
        command = [sys.executable, "-m", "benchmarks.ctranslate2_worker", model, kind, str(threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def __enter__(self) -> CTranslate2:
        return self

    def __exit__(self, *_) -> None:
        self._process.stdin.close()
        self._process.wait()

    def decode(self, prompts: list[list[int]], new_tokens: int, sampler: str) -> Made:
        """The runner."""
        asked = {"prompts": prompts, "new_tokens": new_tokens} | ({} if sampler == "greedy" else SAMPLERS[sampler])
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"the process with CTranslate2 ended with {self._process.wait()}")
        made = Made(**json.loads(line))
        if made.seconds <= 0:  # a difference of two times
            sys.exit(f"CTranslate2: {new_tokens} tokens took no longer than one; raise --new-tokens")
        return made


def path_with(site: Path) -> str:
    """PYTHONPATH with this repository and the folder of a package that is not installed here."""
    return os.pathsep.join([str(Path(__file__).parent.parent), str(site)])


# ---- all of them ----------------------------------------------------------------------------------------------------


def versions(given: dict[str, Path]) -> list[str]:
    """What the peers say of themselves, as notes of a run."""
    found = []
    if binaries := given.get("llama.cpp"):
        said = subprocess.run([binaries / "llama-server", "--version"], capture_output=True, text=True)
        found += [f"llama.cpp {version_in(said.stdout + said.stderr)}"]
    if site := given.get("ctranslate2"):
        (package,) = metadata.distributions(name="ctranslate2", path=[str(site)])
        found += [f"CTranslate2 {package.version}"]
    return found


def version_in(said: str) -> str:
    told = re.search(r"^version: (.*)$", said, re.M)
    return told[1] if told else "of no known version"


class Files:
    """The weights of a model as each peer reads them: made once, from minillama's export, in a folder of its own."""

    def __init__(self, folder: Path, peers: dict[str, Path]):
        self.folder, self.peers = folder, peers

    def make(self, name: str, llama: Llama) -> Path:
        """The folder with hf/, f32.gguf, q8_0.gguf and ct2/, as far as the peers need them."""
        folder = self.folder / name
        if folder.exists():
            return folder
        folder.mkdir(parents=True)
        hf = folder / "hf"
        llama.save(hf, "hf")
        if binaries := self.peers.get("llama.cpp"):
            to_gguf(hf, folder / "f32.gguf", binaries)
            without_ends(folder / "f32.gguf")
            quantize(binaries, folder / "f32.gguf", folder / "q8_0.gguf", "Q8_0")
        if site := self.peers.get("ctranslate2"):
            command = [sys.executable, "-m", "ctranslate2.converters.transformers", "--model", hf]
            call([*command, "--output_dir", folder / "ct2"], folder / "ct2.log", PYTHONPATH=path_with(site))
        return folder

    @contextlib.contextmanager
    def runners(self, name: str, llama: Llama, rows: int, context: int, threads: int) -> Iterator[dict[str, Runner]]:
        """The peers that were asked for, with the model loaded, by the name of their figure."""
        if not self.peers:
            yield {}
            return
        folder, found = self.make(name, llama), {}
        with contextlib.ExitStack() as open_ones:
            if binaries := self.peers.get("llama.cpp"):
                context = -(-context // 256) * 256
                for figure, kind in zip(PEERS["llama.cpp"], ("f32", "q8_0"), strict=True):
                    file, log = folder / f"{kind}.gguf", folder / f"{kind}-server.log"
                    no_end = ("--override-kv", "tokenizer.ggml.eos_token_id=int:0")
                    server = LlamaServer(binaries / "llama-server", file, threads, log, rows, context, *no_end)
                    found[figure] = open_ones.enter_context(server).decode
            if site := self.peers.get("ctranslate2"):
                for figure, kind in zip(PEERS["ctranslate2"], ("float32", "int8"), strict=True):
                    found[figure] = open_ones.enter_context(CTranslate2(site, folder / "ct2", kind, threads)).decode
            yield found
