"""TokenView: type a text, and see its tokens with their ids and bytes."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import ipywidgets as W

from minillama.markup import STYLE, escape, wrap
from minillama.tokenizer import Tokenizer
from minillama.widgets.labels import labels

MAX_CHARACTERS = 400  # of a text; what comes after is cut
MAX_ROWS = 40  # of the table; the coloured pieces are shown all
N_HUES = 4


@dataclass(frozen=True)
class TokenRow:
    """One token of a text."""

    id: int
    piece: str
    data: bytes
    kind: str  # "text", "byte", "control"
    alone: str  # what decode gives for this token alone
    completed: str  # the characters whose last byte this token brings; "" while one is unfinished
    group: int  # the bytes of one character share a group, any other token has its own


@dataclass(frozen=True)
class Tokens:
    """The tokens of a text, in order, and what was left out of it."""

    text: str
    rows: list[TokenRow]
    n_cut: int = 0  # characters


def tokens_of(tokenizer: Tokenizer, text: str, bos: bool = False, eos: bool = False) -> Tokens:
    """Encode text, at most MAX_CHARACTERS of it, with any of our tokenizers. Raises as `Tokenizer.encode` does."""
    kept = text[:MAX_CHARACTERS] if isinstance(text, str) else text
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    rows, group, open_character = [], -1, False
    for i in tokenizer.encode(kept, bos=bos, eos=eos):
        group += not open_character
        data, piece = tokenizer.token_bytes(i), tokenizer.pieces([i])[0]
        kind = "byte" if is_part(piece, data) else "text" if data else "control"
        completed = decoder.decode(data)
        open_character = bool(decoder.getstate()[0])  # bytes that wait for more
        rows.append(TokenRow(i, piece, data, kind, tokenizer.decode([i]), completed, group))
    return Tokens(kept, rows, len(text) - len(kept))


def is_part(piece: str, data: bytes) -> bool:
    """Whether a token is bytes and not text: one byte by its name, or (byte-level BPE) no whole characters.

    >>> is_part("<0x41>", b"A"), is_part("A", b"A"), is_part("çĮ", b"\xe7\x8c")
    (True, False, True)
    """
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return piece == f"<0x{data.hex().upper()}>"


def tokens_html(tokens: Tokens, text: dict[str, str], style: bool = True) -> str:
    """The coloured pieces, and under them a table with a row for each token."""
    sizes = {"tokens": len(tokens.rows), "chars": len(tokens.text), "bytes": len(tokens.text.encode())}
    notes = [text["tok_count"].format(**sizes)]
    notes += [text["tok_empty"]] if not tokens.text else []
    notes += [text["tok_cut"].format(kept=len(tokens.text), cut=tokens.n_cut)] if tokens.n_cut else []
    count = f'<div class="ml-count" aria-live="polite">{escape(" ".join(notes))}</div>'
    if not tokens.rows:
        return wrap(count, "ml-token-view", style)
    groups = (list(group) for _, group in groupby(tokens.rows, key=lambda row: row.group))
    strip = "".join(_group(group, text) for group in groups)
    pieces = f'<div class="ml-chips" role="list" aria-label="{escape(text["tok_pieces"])}">{strip}</div>'
    return wrap(count + pieces + _table(tokens.rows, text), "ml-token-view", style)


def _group(rows: Sequence[TokenRow], text: dict[str, str]) -> str:
    """A token, or the bytes of one character in a box with the character."""
    hue = rows[0].group % N_HUES
    chips = "".join(
        f'<span class="ml-chip ml-hue{hue} ml-{row.kind}" role="listitem"><span class="ml-piece">{escape(row.piece)}'
        f'</span><span class="ml-id">{row.id}</span></span>'
        for row in rows
    )
    if len(rows) == 1:
        return chips
    whole = escape(text["tok_whole"].format(character=rows[-1].completed))
    return f'<span class="ml-character">{chips}<span class="ml-note">{whole}</span></span>'


def _table(rows: Sequence[TokenRow], text: dict[str, str]) -> str:
    heads = [text[f"tok_col_{name}"] for name in ("piece", "id", "kind", "bytes", "alone", "completed")]
    head = "".join(f'<th scope="col" style="text-align:left">{escape(title)}</th>' for title in heads)
    body = []
    for row in rows[:MAX_ROWS]:
        silent = row.kind == "control"
        waits = row.kind == "byte" and not row.completed
        completed = "–" if silent else text["tok_waits"] if waits else f'"{row.completed}"'
        cells = [
            str(row.id),
            text[f"tok_kind_{row.kind}"],
            row.data.hex(" ").upper() or "–",
            f'"{row.alone}"',
            completed,
        ]
        columns = "".join(f'<td class="ml-name">{escape(cell)}</td>' for cell in cells)
        body.append(f'<tr class="ml-{row.kind}"><th scope="row">{escape(row.piece)}</th>{columns}</tr>')
    if len(rows) > MAX_ROWS:
        more = escape(text["tok_more"].format(n=len(rows) - MAX_ROWS))
        body.append(f'<tr class="ml-note"><td colspan="{len(heads)}" class="ml-name">{more}</td></tr>')
    return (
        f'<table aria-label="{escape(text["tok_table"])}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )


class TokenPicture:
    """The tokens of a text as a still picture: no kernel needed to look at it."""

    def __init__(self, tokens: Tokens, text: dict[str, str]):
        self.tokens, self.text = tokens, text

    def __repr__(self) -> str:
        return " ".join(f"{row.piece}({row.id})" for row in self.tokens.rows)

    def _repr_html_(self) -> str:
        return tokens_html(self.tokens, self.text)


def show_tokens(
    tokenizer: Tokenizer, text: str, bos: bool = False, eos: bool = False, language: str = "en"
) -> TokenPicture:
    """The picture that `TokenView` draws for this text."""
    return TokenPicture(tokens_of(tokenizer, text, bos, eos), labels(language))


class TokenView(W.VBox):
    """A text field, check boxes for bos and eos, and the tokens that the text becomes while it is typed."""

    def __init__(
        self, tokenizer: Tokenizer, text: str = "", bos: bool = False, eos: bool = False, language: str = "en"
    ):
        self.text, self.tokenizer = labels(language), tokenizer
        wide = {"style": {"description_width": "initial"}}
        self.input = W.Textarea(
            text, description=self.text["tok_text"], rows=2, layout=W.Layout(width="min(640px, 98%)"), **wide
        )
        self.bos = W.Checkbox(bos, description=self.text["tok_bos"], indent=False, layout=W.Layout(width="auto"))
        self.eos = W.Checkbox(eos, description=self.text["tok_eos"], indent=False, layout=W.Layout(width="auto"))
        self.view = W.HTML()
        for widget, hook in ((self.input, "s-text"), (self.bos, "s-bos"), (self.eos, "s-eos")):
            widget.add_class(hook)
            widget.observe(self._changed, "value")
        super().__init__([self.input, W.HBox([self.bos, self.eos]), self.view, W.HTML(STYLE)])
        self.add_class("w-tokens")
        self._draw()

    def _changed(self, _change) -> None:
        self._draw()

    def _draw(self) -> None:
        try:
            tokens = tokens_of(self.tokenizer, self.input.value, self.bos.value, self.eos.value)
        except ValueError:  # no text: a lone surrogate
            message = f'<div class="ml-box ml-failed" role="alert">{escape(self.text["tok_surrogate"])}</div>'
            self.view.value = wrap(message, "ml-token-view", style=False)
        else:
            self.view.value = tokens_html(tokens, self.text, style=False)
