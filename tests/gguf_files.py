"""What every GGUF file of the tests is made of, written with the format's own library: sizes and weights."""

from __future__ import annotations

from collections.abc import Collection

import gguf

from minillama.formats.gguf import KEYS
from minillama.model import ModelArgs, Transformer

F32 = gguf.GGMLQuantizationType.F32


def add_sizes(writer: gguf.GGUFWriter, args: ModelArgs) -> None:
    writer.add_context_length(args.max_seq_len)
    writer.add_embedding_length(args.dim)
    writer.add_block_count(args.n_layers)
    writer.add_feed_forward_length(args.ffn_width())
    writer.add_head_count(args.n_heads)
    writer.add_head_count_kv(args.n_kv_heads)
    writer.add_layer_norm_rms_eps(args.norm_eps)
    writer.add_rope_dimension_count(args.head_dim)


def add_weights(
    writer: gguf.GGUFWriter, model: Transformer, kind: gguf.GGMLQuantizationType, without: Collection[str] = ()
) -> None:
    """Matrices in `kind`, norms in float32; `without`: names of weights to leave out."""
    weights = model.state_dict()
    for key, name in KEYS.names(model.params.n_layers).items():
        if key not in without:
            stored = F32 if weights[key].ndim == 1 else kind
            writer.add_tensor(name, gguf.quantize(weights[key].numpy(), stored), raw_dtype=stored)


def write(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
