"""From logits to the renormalised nucleus, one column a stage: plain data, and the table that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minillama.markup import escape, visible
from minillama.sampling import apply_temperature, nucleus
from minillama.widgets.parts import columns, number, share, table


@dataclass(frozen=True)
class StageRow:
    """One candidate for the next token."""

    token: int
    logit: float
    scaled: float | None  # logit / temperature; None at temperature 0
    prob: float
    mass_before: float
    kept: bool
    renormalised: float
    place: int  # from 0, the most probable


@dataclass(frozen=True)
class Stages:
    """The most probable candidates, the most probable first, and the vocabulary and nucleus they are from."""

    rows: list[StageRow]
    vocab_size: int
    n_kept: int
    mass_kept: float


def stages(logits: Tensor, temperature: float, top_p: float, n_rows: int = 12) -> Stages:
    """Take logits (vocab_size,) through temperature and top_p; the n_rows tokens with the largest logits."""
    return batch_stages(logits[None], temperature, top_p, n_rows)[0]


def shown_names(logits: Iterable[Tensor], pieces: Sequence[str], n_rows: int) -> dict[int, str]:
    """{id: its piece, made visible} of every token that gets a row for one of these logits (vocab_size,)."""
    best = (row.sort(descending=True, stable=True).indices[:n_rows].tolist() for row in logits)
    return {i: visible(pieces[i]) for ids in best for i in ids}


def batch_stages(
    logits: Tensor, temperature: float, top_p: float, n_rows: int, also: Tensor | None = None
) -> list[Stages]:
    """`stages` of every row of logits (bsz, vocab_size); also (bsz, n): ids that get a row whatever their place.

    Where probabilities are equal, such as all but one at temperature 0, the tokens stand in the order of their logits.
    """
    bsz, vocab_size = logits.shape
    top = nucleus(apply_temperature(logits.float(), temperature), top_p)
    top = top._replace(probs_idx=logits.sort(dim=-1, descending=True, stable=True).indices)
    places = torch.arange(min(n_rows, vocab_size), device=logits.device).expand(bsz, -1)  # (bsz, n_rows)
    if also is not None:
        found = (top.probs_idx[:, None, :] == also[:, :, None]).int().argmax(dim=-1)  # (bsz, n)
        places = torch.cat([places, found], dim=1)
    ids = top.probs_idx.gather(-1, places)
    chosen = logits.gather(-1, ids)
    sorted_columns = (top.probs_sort, top.mass_before, top.kept, top.renormalised)
    columns = [ids, chosen, *(column.gather(-1, places) for column in sorted_columns), places]
    masses = top.probs_sort.where(top.kept, 0.0).sum(dim=-1)  # (bsz,)
    tables = []
    for *lists, n_kept, mass in zip(*(x.tolist() for x in (*columns, top.kept.sum(dim=-1), masses)), strict=True):
        rows = {}
        for token, logit, *numbers in zip(*lists, strict=True):
            rows[token] = StageRow(token, logit, None if temperature == 0 else logit / temperature, *numbers)
        tables.append(Stages(sorted(rows.values(), key=lambda row: row.place), vocab_size, n_kept, mass))
    return tables


def stages_html(
    state: Stages,
    name: Callable[[int], str],
    text: dict[str, str],
    marks: Mapping[int, str] | None = None,
) -> str:
    """The stage table. name: a function from a token id to its piece.

    marks: {id: what a last column says of it}; these tokens are printed in bold.
    """
    heads = columns(text, "token", "logit", "scaled", "prob", "before", "kept", "renormalised")
    heads += [text["col_mark"]] if marks is not None else []
    body, above = [], True
    for row in state.rows:
        css = "ml-kept" if row.kept else "ml-cut"
        css += " ml-border" if above and not row.kept else ""
        above = row.kept
        cells = [
            f"{row.logit:.2f}",
            number(row.scaled, 2),
            share(row.prob),
            f"{row.mass_before:.4f}",
            text["is_kept"] if row.kept else text["is_cut"],
            share(row.renormalised),
        ]
        if marks is not None:
            cells.append(escape(marks.get(row.token, "")))
            css += " ml-marked" if row.token in marks else ""
        numbers = "".join(f"<td>{cell}</td>" for cell in cells)
        body.append(f'<tr class="{css}"><th scope="row">{escape(name(row.token))}</th>{numbers}</tr>')
    hidden = state.vocab_size - len(state.rows)
    n_below = state.n_kept - sum(row.kept for row in state.rows)
    more = text["more_kept"].format(n=hidden, kept=n_below) if hidden else ""
    caption = text["kept"].format(kept=state.n_kept, total=state.vocab_size, mass=state.mass_kept)
    if any(row.scaled is None for row in state.rows):
        caption += f" {text['greedy']}"
    return table(heads, body, text["stages_table"], escape(caption), more, left=(0, 3, 6))
