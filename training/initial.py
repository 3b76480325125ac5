"""The weights that training begins with.

A network this small can find out how to look up a name in the text. It takes two steps: look one token back, then look
for the same token further up (induction heads: Olsson et al., arXiv:2209.11895). But neither is of use without the
other, so learning both takes longer than the whole training may last. Here one group of heads looks one token back from
the start, and each token's row in the output is like its embedding. The drills then teach the rest within a minute.
Weights that begin near what training would make of them: "mimetic initialization", arXiv:2305.09828.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from minillama.model import Attention, ModelArgs, Transformer

SHARED = 4.0  # component 0 of every embedding; the others have a standard deviation of 1
SHARPNESS = 7.0  # of the look back
FAST = 0.1  # radians a position: pairs that turn more slowly hardly tell one position from the next
SAID = 0.1  # size of the output layer's rows, compared with the embeddings


def new_model(sizes: dict, vocab_size: int) -> Transformer:
    """A Transformer with these fields of ModelArgs and random weights, without a cache.

    Embeddings have size 1, so that from the first step on the residual stream tells which token it carries. Linear
    layers keep the size of what they read; those that add to the residual stream make it smaller, the deeper the model.
    """
    model = Transformer(ModelArgs(**sizes, vocab_size=vocab_size))
    for name, parameter in model.layers.named_parameters():
        if parameter.dim() == 2:
            depth = 2 * len(model.layers) if name.endswith(("wo.weight", "w2.weight")) else 1
            nn.init.normal_(parameter, std=(depth * parameter.shape[1]) ** -0.5)
    embeddings = nn.init.normal_(model.tok_embeddings.weight)  # (vocab_size, dim)
    with torch.no_grad():
        model.output.weight.copy_(SAID * embeddings)
        model.output.weight[:, 0] = 0.0
        embeddings[:, 0] = SHARED
    look_back(model.layers[0].attention, model.params)
    return model


@torch.no_grad()
def look_back(attention: Attention, args: ModelArgs) -> None:
    """Make key-value head 0, and the query heads that share it, attend to the token before, whatever it is.

    Queries and keys are made from the component that all tokens share. After the rotary embedding, a query at position
    m and a key at position n have the product sum_i cos((m - n) theta_i), which is largest at n = m. Each key here is
    turned one position further, so that it is largest at n = m - 1.
    """
    shared = SHARED / math.sqrt((args.dim - 1 + SHARED**2) / args.dim)  # after the norm
    angles = args.rope_theta ** (-torch.arange(0, args.head_dim, 2) / args.head_dim)  # (head_dim / 2,) radians
    queries = attention.wq.weight[: args.head_dim * args.n_heads // args.n_kv_heads]  # those of the first group
    keys = attention.wk.weight[: args.head_dim]
    queries *= 0.1  # so that the random rest matters little
    keys *= 0.1
    size = SHARPNESS / shared * (angles > FAST)  # (head_dim / 2,)
    queries[0::2, 0] = size.repeat(args.n_heads // args.n_kv_heads)
    keys[0::2, 0] = size * angles.cos()
    keys[1::2, 0] = size * angles.sin()
