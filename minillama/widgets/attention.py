"""AttentionExplorer: choose a head and a token, and see which tokens it looks at, and with what weight."""

from __future__ import annotations

from collections.abc import Sequence

import traitlets as T
from torch import Tensor

from minillama import allowed, arguments
from minillama.markup import escape, visible, wrap
from minillama.widgets.front import SENT, Explorer, Value, packed
from minillama.widgets.labels import labels, only
from minillama.widgets.parts import columns, share, table

MOST_TOKENS, MOST_WEIGHTS = 40, 48_000  # more cannot be seen, and are too much for a page


def attention_html(weights: Tensor, pieces: Sequence[str], title: str, text: dict[str, str], style: bool = True) -> str:
    """The still of one head: for every token the one that it looks at most.

    weights: (seqlen, seqlen), a row for each token that looks.
    """
    rows = []
    for piece, weight, place in zip(pieces, *(each.tolist() for each in weights.max(-1)), strict=True):
        cells = f'<td class="ml-name">{escape(pieces[place])}</td><td>{share(weight)}</td>'
        rows.append(f'<tr><th scope="row">{escape(piece)}</th>{cells}</tr>')
    heads = columns(text, "looks", "looked_at", "weight")
    return wrap(table(heads, rows, title, escape(title), left=(0, 1, 2)), "ml-attention", style)


class AttentionExplorer(Explorer):
    """The attention weights of every head over one text: small pictures to choose from, and arcs between the tokens.

    pieces: the tokens' names, seqlen of them, at most 40. weights: (n_layers, n_heads, seqlen, seqlen) float, from 0
    to 1, as softmax gives them: in each row the weights of one token that looks; at most 48,000 numbers. `layer`,
    `head` and `token`, the place of the token that looks, can be read and set; token=None is the last one. Raises
    TypeError or ValueError, naming the argument, where these do not fit together or a number is out of range.

    >>> import torch
    >>> AttentionExplorer(["<s>", "▁a"], torch.tensor([[1.0, 0.0], [0.25, 0.75]])[None, None])
    AttentionExplorer(2 tokens, layer=0, head=0, token=1)
    """

    name, uses = "attention", ("grid",)
    layer = Value().tag(**SENT)
    head = Value().tag(**SENT)
    token = Value().tag(**SENT)

    @allowed.only(
        pieces=allowed.names, weights=allowed.floats(4), layer=allowed.plain, head=allowed.plain, token=allowed.plain
    )
    def __init__(
        self,
        pieces: Sequence[str],
        weights: Tensor,
        layer: int = 0,
        head: int = 0,
        token: int | None = None,
    ):
        self.text = labels()
        self.weights, self.pieces = check_weights(pieces, weights), list(pieces)
        data = {"pieces": [visible(piece) for piece in pieces], "n_layers": len(weights), "n_heads": weights.shape[1],
                "text": only(self.text, ("att_*",))}  # fmt: skip
        token = len(pieces) - 1 if token is None else token
        super().__init__(data, floats=packed([self.weights]), layer=layer, head=head, token=token)

    def __repr__(self) -> str:
        place = f"layer={self.layer}, head={self.head}, token={self.token}"
        return f"AttentionExplorer({len(self.pieces)} tokens, {place})"

    @T.validate("layer", "head", "token")
    def _judge(self, proposal):
        name = proposal["trait"].name
        n_layers, n_heads, n, _ = self.weights.shape
        highest = {"layer": n_layers, "head": n_heads, "token": n}[name] - 1
        return arguments.whole(name, proposal["value"], 0, highest)

    def still(self) -> str:
        title = self.text["att_head"].format(layer=self.layer, head=self.head)
        return attention_html(self.weights[self.layer, self.head], self.pieces, title, self.text)


def check_weights(pieces: Sequence[str], weights: Tensor) -> Tensor:
    """The weights in float32 on the CPU. Raises ValueError, naming the argument, if they are none of these pieces'."""
    sides = [*weights.shape[2:]]
    if not 1 <= len(pieces) <= MOST_TOKENS:
        raise ValueError(f"pieces must be 1 to {MOST_TOKENS} tokens, got {len(pieces)}; choose a shorter text")
    if sides != [len(pieces)] * 2:
        raise ValueError(
            f"weights must be (n_layers, n_heads, {len(pieces)}, {len(pieces)}) for {len(pieces)} pieces, "
            f"got {tuple(weights.shape)}"
        )
    if not 1 <= weights.numel() <= MOST_WEIGHTS:
        raise ValueError(
            f"weights must have 1 to {MOST_WEIGHTS:,} numbers, got {weights.numel():,}; "
            "pass fewer layers, such as weights[:4], or a shorter text"
        )
    weights = weights.detach().float().cpu()
    if float(weights.min()) < 0 or float(weights.max()) > 1:
        raise ValueError(
            f"weights must lie from 0 to 1, got {float(weights.min()):g} to {float(weights.max()):g}; "
            "softmax(scores + mask, dim=-1) gives such weights"
        )
    return weights
