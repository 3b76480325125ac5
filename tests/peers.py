"""The same network in transformers: what the benchmarks compare with, and what the tests check against."""

from __future__ import annotations

import torch
import transformers
from torch import Tensor

from minillama.model import Transformer


def to_transformers(model: Transformer, attention: str = "sdpa") -> transformers.LlamaForCausalLM:
    """A LlamaForCausalLM with the weights of `model`, under Hugging Face's names and in its row order."""
    args = model.params
    config = transformers.LlamaConfig(
        vocab_size=args.vocab_size,
        hidden_size=args.dim,
        intermediate_size=args.ffn_width(),
        num_hidden_layers=args.n_layers,
        num_attention_heads=args.n_heads,
        num_key_value_heads=args.n_kv_heads,
        rms_norm_eps=args.norm_eps,
        rope_parameters={"rope_theta": args.rope_theta}
        | (args.rope_scaling.fields() if args.rope_scaling else {"rope_type": "default"}),
        max_position_embeddings=args.max_seq_len,
        tie_word_embeddings=False,
        attn_implementation=attention,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )

    def halves(weight: Tensor, n_heads: int) -> Tensor:
        """Meta turns the pair (2i, 2i + 1), Hugging Face the pair (i, i + head_dim / 2): the rows change places."""
        return weight.view(n_heads, args.head_dim // 2, 2, args.dim).transpose(1, 2).reshape(weight.shape)

    ours = model.state_dict()
    theirs = {
        "model.embed_tokens.weight": ours["tok_embeddings.weight"],
        "model.norm.weight": ours["norm.weight"],
        "lm_head.weight": ours["output.weight"],
    }
    for n in range(args.n_layers):
        mine, there = f"layers.{n}.", f"model.layers.{n}."
        theirs[there + "input_layernorm.weight"] = ours[mine + "attention_norm.weight"]
        theirs[there + "post_attention_layernorm.weight"] = ours[mine + "ffn_norm.weight"]
        theirs[there + "self_attn.q_proj.weight"] = halves(ours[mine + "attention.wq.weight"], args.n_heads)
        theirs[there + "self_attn.k_proj.weight"] = halves(ours[mine + "attention.wk.weight"], args.n_kv_heads)
        theirs[there + "self_attn.v_proj.weight"] = ours[mine + "attention.wv.weight"]
        theirs[there + "self_attn.o_proj.weight"] = ours[mine + "attention.wo.weight"]
        theirs[there + "mlp.gate_proj.weight"] = ours[mine + "feed_forward.w1.weight"]
        theirs[there + "mlp.down_proj.weight"] = ours[mine + "feed_forward.w2.weight"]
        theirs[there + "mlp.up_proj.weight"] = ours[mine + "feed_forward.w3.weight"]
    with torch.random.fork_rng(), torch.device("meta"):
        network = transformers.LlamaForCausalLM(config)
    network.load_state_dict(theirs, strict=True, assign=True)
    network.model.rotary_emb = type(network.model.rotary_emb)(config)  # its table is not in the state dict
    return network.eval()


def from_gguf(path) -> transformers.LlamaForCausalLM:
    """What transformers reads from a GGUF file, in float32. (Its `from_pretrained` would ask for accelerate.)"""
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    config = transformers.LlamaConfig(**load_gguf_checkpoint(str(path))["config"])
    with torch.random.fork_rng(), torch.device("meta"):
        network = transformers.LlamaForCausalLM(config)
    weights = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=network)["tensors"]
    if config.tie_word_embeddings:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    network.load_state_dict(weights, strict=True, assign=True)
    network.model.rotary_emb = type(network.model.rotary_emb)(config)  # its table is not in the state dict
    return network.eval()
