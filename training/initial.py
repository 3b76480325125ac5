"""The weights that training begins with.

A network this small finds out by itself how to look a name up in the text: it learns to look one token back, then to
look for what stood there before (induction heads: Olsson et al., arXiv:2209.11895). But it takes longer over it than
the whole training may last, for the one is of no use without the other. So here one group of heads looks back from
the start, and what a token is read as and said as starts out alike; the rest it learns within a minute from drills.
Weights that begin near what training would make of them: "mimetic initialization", arXiv:2305.09828.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from minillama.model import Attention, ModelArgs, Transformer

SHARED = 4.0  # component 0 of every embedding; the others are of size 1
SHARPNESS = 7.0  # of the look back
FAST = 0.1  # radians a position: pairs that turn more slowly cannot tell one position from the next
SAID = 0.1  # size of the output layer's rows beside the embeddings


def new_model(sizes: dict, vocab_size: int) -> Transformer:
    """Embeddings of size 1, so that the residual stream says from the first step on which token it carries; linears
    that keep the size of what they read, those that add to the residual stream less so, the deeper the network."""
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
    """Let key-value head 0, and the query heads that it serves, attend to the token before, whatever it is.

    Queries and keys are made of what all tokens share. Turned by their positions, a query of position m and a key of
    position n have the product sum_i cos((m - n) theta_i), largest at n = m; each key here is turned one position
    further, so that it is largest at n = m - 1.
    """
    shared = SHARED / math.sqrt((args.dim - 1 + SHARED**2) / args.dim)  # after the norm
    angles = args.rope_theta ** (-torch.arange(0, args.head_dim, 2) / args.head_dim)  # (head_dim / 2,) one position's
    queries = attention.wq.weight[: args.head_dim * args.n_heads // args.n_kv_heads]  # those of the first group
    keys = attention.wk.weight[: args.head_dim]
    queries *= 0.1  # what is random says little beside
    keys *= 0.1
    size = SHARPNESS / shared * (angles > FAST)  # (head_dim / 2,)
    queries[0::2, 0] = size.repeat(args.n_heads // args.n_kv_heads)
    keys[0::2, 0] = size * angles.cos()
    keys[1::2, 0] = size * angles.sin()
