"""How another layout names the weights that Meta calls tok_embeddings, layers.0.attention.wq …"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from minillama.files import listed


@dataclass(frozen=True)
class KeyTable:
    """The names of one layout.

    >>> table = KeyTable("blk", {"norm": "output_norm"}, {"attention.wq": "attn_q"})
    >>> table.names(n_layers=1)
    {'norm.weight': 'output_norm.weight', 'layers.0.attention.wq.weight': 'blk.0.attn_q.weight'}
    """

    layers: str  # what comes before the number of a layer
    outer: dict[str, str]  # Meta's key of a weight outside the layers, without ".weight": their name
    inner: dict[str, str]  # the same for a weight inside a layer, without "layers.0."

    def names(self, n_layers: int) -> dict[str, str]:
        """Their name for each of Meta's keys."""
        outer = {f"{meta}.weight": f"{theirs}.weight" for meta, theirs in self.outer.items()}
        inner = {
            f"layers.{n}.{meta}.weight": f"{self.layers}.{n}.{theirs}.weight"
            for n in range(n_layers)
            for meta, theirs in self.inner.items()
        }
        return outer | inner

    def match(self, found: Collection[str], n_layers: int, says: str, tied: bool) -> dict[str, str]:
        """As `names`, if these are exactly the names that were found; a tied output has that of tok_embeddings.

        says: what claims n_layers, for the message. Raises ValueError for the first thing that does not fit; the caller
        puts the file's name before it.
        """
        start = f"{self.layers}."
        numbers = {name.removeprefix(start).split(".")[0] for name in found if name.startswith(start)}
        if len(numbers) != n_layers:  # before n_layers is believed
            raise ValueError(f"holds the weights of {len(numbers)} layers, but {says}; copy it again")
        table = self.names(n_layers)
        if tied:
            table["output.weight"] = table["tok_embeddings.weight"]
        if missing := {*table.values()} - {*found}:
            raise ValueError(f"lacks {listed(missing)}; copy it again")
        if unknown := {*found} - {*table.values()}:
            raise ValueError(f"has {listed(unknown)}, which a Llama 2 does not have")
        return table
