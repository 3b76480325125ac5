"""Checkpoints in a GGUF file, llama.cpp's format: sizes, tokenizer and weights in one file.

The file: magic, version, two counts; then the metadata (key, type, value); then a name, shape, type and offset for
each tensor; then, aligned, the tensors. The header is read here, each count compared with the file's length before it
is believed; the `gguf` library knows the quantised types. llama.cpp's converter puts the rows of wq and wk of Hugging
Face's models back into Meta's order, so they are taken as they are.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import dataclasses
import math
import mmap
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from minillama.checkpoint import Reader
from minillama.files import listed, one_line
from minillama.formats import gguf_tokenizer
from minillama.formats.names import KeyTable
from minillama.formats.tokenizer_files import read_tokenizer_file
from minillama.model import ModelArgs
from minillama.rope import RopeScaling
from minillama.stored import StoredWeight
from minillama.tokenizer import BaseTokenizer

MAGIC, VERSIONS = b"GGUF", (2, 3)
MOST_ENTRIES = 20_000  # of the metadata and of the tensors, each; the largest Llama 2 has 723 tensors
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}  # struct's codes
STRING, ARRAY = 8, 9
AT_ONCE = 4096  # blocks that are unpacked together: their numbers fit into a processor's cache
FREQS = "rope_freqs.weight"
FLOATS = {0: torch.float32, 1: torch.float16, 30: torch.bfloat16}
SIZES = {
    "dim": "embedding_length",
    "n_layers": "block_count",
    "n_heads": "attention.head_count",
    "n_kv_heads": "attention.head_count_kv",
    "hidden_dim": "feed_forward_length",
    "norm_eps": "attention.layer_norm_rms_epsilon",
    "max_seq_len": "context_length",
    "rope_theta": "rope.freq_base",
}
KEYS = KeyTable(
    layers="blk",
    outer={"tok_embeddings": "token_embd", "norm": "output_norm", "output": "output"},
    inner={
        "attention_norm": "attn_norm",
        "attention.wq": "attn_q",
        "attention.wk": "attn_k",
        "attention.wv": "attn_v",
        "attention.wo": "attn_output",
        "ffn_norm": "ffn_norm",
        "feed_forward.w1": "ffn_gate",
        "feed_forward.w2": "ffn_down",
        "feed_forward.w3": "ffn_up",
    },
)


class Array(Sequence):
    """An array in the file, of strings or (with a code of struct's) of numbers; read when it is asked for."""

    def __init__(self, data, start: int, count: int, code: str | None):
        self._data, self._start, self._count, self._code = data, start, count, code

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, k: int):
        return list(self)[k]

    def __iter__(self):
        reader = ByteReader(self._data, self._start)
        return (reader.number(self._code) if self._code else reader.string() for _ in range(self._count))


class ByteReader:
    """Takes numbers and strings from data, one after the other. Raises ValueError where data ends too early."""

    def __init__(self, data, position: int = 0):
        self.data, self.position = data, position

    def skip(self, n: int) -> int:
        """Move on by n bytes; return where they begin."""
        start = self.position
        if n > len(self.data) - start:
            raise ValueError(f"expected {n} bytes at byte {start}, but the file ends at {len(self.data)}")
        self.position = start + n
        return start

    def numbers(self, code: str, count: int = 1) -> tuple:
        size = struct.calcsize("<" + code)
        return struct.unpack_from(f"<{count}{code}", self.data, self.skip(size * count))

    def number(self, code: str) -> int | float:
        return self.numbers(code)[0]

    def string(self) -> str:
        n = self.number("Q")
        start = self.skip(n)
        return bytes(self.data[start : start + n]).decode("utf-8")

    def value(self, kind: int):
        """A value of the metadata."""
        if kind in NUMBERS:
            return self.number(NUMBERS[kind])
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            raise ValueError(f"a value of the unknown type {kind} at byte {self.position}")
        inner, count, start = self.number("I"), self.number("Q"), self.position
        if inner in NUMBERS:
            self.skip(count * struct.calcsize("<" + NUMBERS[inner]))
        elif inner == STRING:
            for _ in range(count):  # ends with the file at the latest
                self.skip(self.number("Q"))
        else:
            raise ValueError(f"an array of the unknown type {inner} at byte {start}")
        return Array(self.data, start, count, NUMBERS.get(inner))


class Place(NamedTuple):
    """Where a tensor is."""

    shape: tuple[int, ...]  # as torch counts: the last dimension is contiguous
    kind: int
    offset: int  # from the end of the header


class GGUFFile(Reader):
    """A GGUF file with a Llama in it. Raises ValueError for anything wrong with it."""

    sizes_in = "metadata"

    def __init__(self, path: str | Path):
        self.path = self.weights_path = Path(path)
        size = self.path.stat().st_size
        if size < 24:
            raise self._error(f"has {size} bytes; it is cut off or no GGUF file")
        with open(self.path, "rb") as file:  # private: what a tensor in use is changed to stays in memory
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        try:
            self._read_header(ByteReader(self.data))
        except (ValueError, UnicodeDecodeError) as error:
            raise self._error(f"is cut off, broken or no GGUF file ({error})") from error
        self.args = self._model_args()

    def _error(self, what: str) -> ValueError:
        return ValueError(f"ckpt_dir: {str(self.path)!r} {one_line(what, 600)}")

    def _read_header(self, reader: ByteReader) -> None:
        if bytes(self.data[reader.skip(4) : 4]) != MAGIC:
            raise ValueError(f"its first bytes are {bytes(self.data[:4])!r}, not {MAGIC!r}")
        version = reader.number("I")
        if version not in VERSIONS:
            raise ValueError(f"version {version}; little-endian files of version 2 and 3 are read")
        n_tensors, n_keys = reader.numbers("Q", 2)
        if max(n_tensors, n_keys) > MOST_ENTRIES:
            raise ValueError(f"it claims {n_tensors} tensors and {n_keys} keys, at most {MOST_ENTRIES} are read")
        self.metadata: dict = {}
        for _ in range(n_keys):
            key = reader.string()
            if key in self.metadata:
                raise ValueError(f"the key {key!r} is there twice")
            self.metadata[key] = reader.value(reader.number("I"))
        self.places: dict[str, Place] = {}
        for _ in range(n_tensors):
            name, n_dims = reader.string(), reader.number("I")
            if name in self.places or not 1 <= n_dims <= 2:
                raise ValueError(f"the tensor {name!r} is there twice or has {n_dims} dimensions; expected 1 or 2")
            shape = tuple(reversed(reader.numbers("Q", n_dims)))
            self.places[name] = Place(shape, *reader.numbers("I"), *reader.numbers("Q"))
        alignment = self.metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 8 or alignment % 8:
            raise ValueError(f"general.alignment is {alignment!r}; expected a multiple of 8")
        self.start = -(-reader.position // alignment) * alignment

    def _model_args(self) -> ModelArgs:
        metadata = self.metadata
        if (architecture := metadata.get("general.architecture")) != "llama":
            raise self._error(f"has general.architecture {architecture!r}; only 'llama' is read")
        if metadata.get("split.count", 1) != 1:
            raise self._error("is one part of several; join them with llama.cpp's llama-gguf-split --merge")
        sizes = {ours: metadata[f"llama.{theirs}"] for ours, theirs in SIZES.items() if f"llama.{theirs}" in metadata}
        if missing := [f"llama.{SIZES[key]}" for key in SIZES if key not in (*sizes, "n_kv_heads", "rope_theta")]:
            raise self._error(f"lacks {listed(missing)} in its metadata")
        vocab_size = self.places["token_embd.weight"].shape[0] if "token_embd.weight" in self.places else -1
        try:
            args = ModelArgs(**sizes, vocab_size=vocab_size)
        except ValueError as error:
            raise self._error(f"has sizes that do not fit: {error}") from error
        head_dim, scaling = args.head_dim, self._scaling(args)
        plain = dict.fromkeys(("rope.dimension_count", "attention.key_length", "attention.value_length"), (head_dim,))
        plain |= {"rope.scaling.type": ("linear", "none"), "rope.scaling.attn_factor": (1,)}
        plain |= {"expert_count": (0,), "attention.sliding_window": (0,)}
        for key, allowed in plain.items():
            if (got := metadata.get(f"llama.{key}", allowed[0])) not in allowed:
                raise self._error(
                    f"has llama.{key} {got!r}, which this model does not compute; expected {allowed[0]!r}"
                )
        return dataclasses.replace(args, rope_scaling=scaling)

    def _scaling(self, args: ModelArgs) -> RopeScaling | None:
        """A linear factor is in the metadata; for Llama 3's there is a table of what each speed is divided by."""
        factor = self.metadata.get("llama.rope.scaling.factor", self.metadata.get("llama.rope.scale_linear", 1))
        if self.metadata.get("llama.rope.scaling.type") == "none":
            factor = 1
        try:
            linear = None if factor in (0, 1) else RopeScaling("linear", factor)
        except ValueError as error:
            raise self._error(f"has llama.rope.scaling.factor {factor!r}: {error}") from None
        if FREQS not in self.places:
            return linear
        place, pairs = self.places[FREQS], args.head_dim // 2
        if place.shape != (pairs,) or place.kind != 0:
            kind = FLOATS.get(place.kind, f"type {place.kind}")
            raise self._error(f"has {FREQS} of {place.shape} as {kind}; expected the shape {(pairs,)} as torch.float32")
        table = self._stored(FREQS, place)[...]  # (head_dim / 2,)
        if bool((table == 1).all()):
            return linear
        if linear is not None:
            raise self._error(f"has {FREQS} beside a linear factor of {factor}, which this model does not compute")
        freqs = 1 / args.rope_theta ** (torch.arange(0, args.head_dim, 2).float() / args.head_dim)  # (head_dim / 2,)
        largest = float(table.max().nan_to_num(1))
        for factor in (round(largest, 3), largest, 8, 32):
            for original in (8192, args.max_seq_len, *_original_contexts(freqs, table, max(factor, 1))):
                scaling = RopeScaling("llama3", max(factor, 1), 1, 4, original)
                if torch.allclose(freqs / scaling.slowed(freqs), table, rtol=1e-4, atol=0):
                    return scaling
        raise self._error(
            f"has in {FREQS} no factors of Llama 3, {table.tolist()[:4]} …, which this model does not compute"
        )

    def tokenizer(self, path: str | Path | None = None) -> BaseTokenizer:
        """The tokenizer in the metadata, or the one at `path`."""
        if path is not None:
            return read_tokenizer_file(path, self.args.vocab_size)
        return gguf_tokenizer.from_metadata(self.metadata, self.args.vocab_size, self.path)

    def weights(self) -> dict[str, StoredWeight]:
        """A weight for each of Meta's keys. A tied output is the very object that tok_embeddings is."""
        n_layers, tied = self.args.n_layers, "output.weight" not in self.places
        try:
            table = KEYS.match(self.places.keys() - {FREQS}, n_layers, f"says llama.block_count={n_layers}", tied)
        except ValueError as error:
            raise self._error(str(error)) from None
        stored = {name: self._stored(name, place) for name, place in self.places.items() if name != FREQS}
        return {key: stored[name] for key, name in table.items()}

    def _stored(self, name: str, place: Place) -> StoredWeight:
        if place.kind in FLOATS:
            dtype = FLOATS[place.kind]
            kind, block, n_bytes = str(dtype).removeprefix("torch."), 1, dtype.itemsize
        else:
            kind, block, n_bytes = self._quantised(name, place.kind)
        columns, rows = place.shape[-1], math.prod(place.shape[:-1])
        if columns % block:
            raise self._error(f"holds {name!r} as {kind}, but its rows of {columns} are no whole blocks of {block}")
        stride, start = columns // block * n_bytes, self.start + place.offset  # bytes
        if place.offset % 8 or rows * stride > len(self.data) - start:
            what = f"{name!r} claims {rows * stride} bytes at byte {start} of {len(self.data)}"
            raise self._error(f"is cut off or broken: {what}")

        def read(*index: slice) -> Tensor:
            rows, part = (index[0], index[1]) if len(index) == 2 else (slice(0, 1), index[0])
            count = rows.stop - rows.start
            if count == 0:
                return torch.empty(0, part.stop - part.start)
            first = start + rows.start * stride
            if place.kind in FLOATS:
                numbers = torch.frombuffer(self.data, dtype=dtype, count=count * columns, offset=first)
                table = numbers.view(count, columns)
            else:
                table = _dequantise(self.data, first, count, stride, place.kind)
            return table[:, part] if len(index) == 2 else table[0, part]

        return StoredWeight(place.shape, kind, rows * stride, read, is_view=place.kind in FLOATS)

    def _quantised(self, name: str, kind: int) -> tuple[str, int, int]:
        """A quantised type's name, its numbers and its bytes a block."""
        try:
            import gguf
            import numpy
        except ImportError:
            raise self._error("holds quantised weights; to read them install gguf: pip install gguf") from None
        try:
            quantised = gguf.GGMLQuantizationType(kind)
            block, n_bytes = gguf.GGML_QUANT_SIZES[quantised]
            gguf.dequantize(numpy.zeros((1, n_bytes), numpy.uint8), quantised)
        except (ValueError, KeyError, NotImplementedError) as error:
            raise self._error(f"holds {name!r} in a type that is not read: {error}") from None
        return quantised.name, block, n_bytes


def _original_contexts(freqs: Tensor, table: Tensor, factor: float) -> list[int]:
    """The contexts before stretching that each pair between slow and fast tells of; both: (head_dim / 2,)."""
    smooth = (1 / table - 1 / factor) / (1 - 1 / torch.tensor(factor))  # (head_dim / 2,)
    contexts = (1 + 3 * smooth) * 2 * math.pi / freqs  # (head_dim / 2,)
    between = (smooth > 0.01) & (smooth < 0.99) & contexts.isfinite()  # (head_dim / 2,)
    return sorted({max(round(each), 1) for each in contexts[between].tolist()})


def begins_as_gguf(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == MAGIC


def _dequantise(data, first: int, rows: int, stride: int, kind: int) -> Tensor:
    """`rows` rows of `stride` bytes each as float32."""
    import gguf
    import numpy

    quantised = gguf.GGMLQuantizationType(kind)
    block, n_bytes = gguf.GGML_QUANT_SIZES[quantised]
    blocks = numpy.frombuffer(data, numpy.uint8, rows * stride, first).reshape(-1, n_bytes)
    table = torch.empty(rows, stride // n_bytes * block)
    numbers = table.numpy().reshape(-1, block)
    with numpy.errstate(all="ignore"):  # a broken file's numbers are what they are
        for k in range(0, len(blocks), AT_ONCE):  # as one row: the library takes 16 rows at a time, however short
            some = gguf.dequantize(blocks[k : k + AT_ONCE].reshape(1, -1), quantised)
            numbers[k : k + AT_ONCE] = some.reshape(-1, block)
    return table
