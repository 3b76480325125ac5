"""The first weights: one group of heads looks one token back, and the output says the token that was read."""

import pytest
import torch

from minillama.model import apply_rotary_emb
from training.initial import new_model

SIZES = {"dim": 192, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "hidden_dim": 64, "max_seq_len": 512}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return new_model(SIZES, 1000).requires_grad_(False)


def attention_weights(model, seqlen):
    """(n_heads, seqlen, seqlen) of the first layer over random tokens."""
    block, args = model.layers[0], model.params
    x = block.attention_norm(model.tok_embeddings(torch.randint(1000, (1, seqlen))))
    queries = block.attention.wq(x).view(1, seqlen, args.n_heads, -1)
    keys = block.attention.wk(x).view(1, seqlen, args.n_kv_heads, -1)
    queries, keys = apply_rotary_emb(queries, keys, model.freqs_cis[:seqlen])
    keys = keys.repeat_interleave(args.n_heads // args.n_kv_heads, dim=2)
    scores = torch.einsum("bmhd,bnhd->hmn", queries, keys) / args.head_dim**0.5
    return scores.masked_fill(torch.ones(seqlen, seqlen).triu(1).bool(), float("-inf")).softmax(-1)


def test_one_group_of_heads_looks_one_token_back(model):
    weights = attention_weights(model, 200)
    back = weights.diagonal(-1, 1, 2).mean(1)  # (n_heads,)
    assert back[:2].min() > 0.85 and back[2:].max() < 0.3


def test_a_token_is_said_as_it_is_read(model):
    read, said = model.tok_embeddings.weight[:, 1:], model.output.weight[:, 1:]
    assert torch.cosine_similarity(read, said).min() > 0.999
    tokens = torch.randint(1000, (1, 20))
    assert (model(tokens, 0).argmax(-1) == tokens).float().mean() > 0.9
