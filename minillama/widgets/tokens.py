"""TokenView: type a text and see its tokens with their ids and bytes."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import ipywidgets as W

from minillama import allowed
from minillama.markup import escape, wrap
from minillama.tokenizer import BaseTokenizer, Tokenizer
from minillama.widgets.labels import labels
from minillama.widgets.parts import LONGEST_DRAWN, Picture, View, chip, columns, count, hook, refusal, sized, table

MAX_ROWS = 40  # of the table; the coloured pieces are all shown
N_HUES = 4


@dataclass(frozen=True)
class TokenRow:
    """One token of a text."""

    id: int
    piece: str
    data: bytes
    kind: str  # "text", "byte", "control"
    alone: str  # what decode gives for this token alone
    completed: str  # the characters whose last byte is in this token; "" while one is unfinished
    group: int  # the bytes of one character share a group; any other token has its own


@dataclass(frozen=True)
class Tokens:
    """The tokens of a text, in order, and how much of it was left out."""

    text: str
    rows: list[TokenRow]
    n_cut: int = 0  # characters


def tokens_of(tokenizer: Tokenizer, text: str, bos: bool = False, eos: bool = False) -> Tokens:
    """Encode at most LONGEST_DRAWN characters of text with any of our tokenizers. Raises what its encode raises."""
    kept = text[:LONGEST_DRAWN] if isinstance(text, str) else text
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
    r"""Whether a token is part of a character: a byte by its name, or (byte-level BPE) bytes that are not UTF-8.

    >>> is_part("<0x41>", b"A"), is_part("A", b"A"), is_part("çĮ", b"\xe7\x8c")
    (True, False, True)
    """
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return piece == f"<0x{data.hex().upper()}>"


def tokens_html(tokens: Tokens, text: dict[str, str], style: bool = True) -> str:
    """The coloured pieces, and below them a table with one row per token."""
    above = count(caption(tokens, text))
    if not tokens.rows:
        return wrap(above, "ml-token-view", style)
    groups = (list(group) for _, group in groupby(tokens.rows, key=lambda row: row.group))
    strip = "".join(_group(group, text) for group in groups)
    pieces = f'<div class="ml-chips" role="list" aria-label="{escape(text["tok_pieces"])}">{strip}</div>'
    return wrap(above + pieces + _table(tokens.rows, text), "ml-token-view", style)


def caption(tokens: Tokens, text: dict[str, str]) -> str:
    """How many there are, and whether some were left out."""
    sizes = {"tokens": len(tokens.rows), "chars": len(tokens.text), "bytes": len(tokens.text.encode())}
    notes = [text["tok_count"].format(**sizes)]
    notes += [text["tok_empty"]] if not tokens.text else []
    notes += [text["tok_cut"].format(kept=len(tokens.text), cut=tokens.n_cut)] if tokens.n_cut else []
    return " ".join(notes)


def _group(rows: Sequence[TokenRow], text: dict[str, str]) -> str:
    """A token, or the bytes of one character in a box that names the character."""
    hue = rows[0].group % N_HUES
    chips = "".join(chip(row.piece, row.id, f"ml-hue{hue} ml-{row.kind}", role="listitem") for row in rows)
    if len(rows) == 1:
        return chips
    whole = escape(text["tok_whole"].format(character=rows[-1].completed))
    return f'<span class="ml-character">{chips}<span class="ml-note">{whole}</span></span>'


def _table(rows: Sequence[TokenRow], text: dict[str, str]) -> str:
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
        others = "".join(f'<td class="ml-name">{escape(cell)}</td>' for cell in cells)
        body.append(f'<tr class="ml-{row.kind}"><th scope="row">{escape(row.piece)}</th>{others}</tr>')
    heads = columns(text, "token", "id", "kind", "bytes", "alone", "completed")
    more = text["tok_more"].format(n=len(rows) - MAX_ROWS) if len(rows) > MAX_ROWS else ""
    return table(heads, body, text["tok_table"], more=more, left=range(6))


@allowed.only(tokenizer=allowed.an(BaseTokenizer), text=allowed.text, bos=allowed.flag, eos=allowed.flag)
def show_tokens(tokenizer: Tokenizer, text: str, bos: bool = False, eos: bool = False) -> Picture:
    """A still picture of the tokens of a text, as `TokenView` draws them.

    Only the first 400 characters of text are used; bos and eos: whether that token is added. Raises TypeError or
    ValueError where `tokenizer.encode` would.
    """
    tokens = tokens_of(tokenizer, text, bos, eos)
    return Picture(tokens_html(tokens, labels()), " ".join(f"{row.piece}({row.id})" for row in tokens.rows))


class TokenView(View):
    """A text field, check boxes for bos and eos, and the tokens of the text, as you type.

    tokenizer: any of the package's. text, bos and eos: the first contents of the field and the boxes. Only the first
    400 characters of a text are used. For a text that cannot be encoded a message replaces the tokens.
    """

    @allowed.only(tokenizer=allowed.an(BaseTokenizer), text=allowed.text, bos=allowed.flag, eos=allowed.flag)
    def __init__(self, tokenizer: Tokenizer, text: str = "", bos: bool = False, eos: bool = False):
        self.text, self.tokenizer = labels(), tokenizer
        self.input = W.Textarea(text, description=self.text["tok_text"], rows=2, **sized("640px"))
        apart = {"indent": False, "layout": W.Layout(width="auto", margin="2px 16px 2px 2px")}
        self.bos = W.Checkbox(bos, description=self.text["tok_bos"], **apart)
        self.eos = W.Checkbox(eos, description=self.text["tok_eos"], **apart)
        self.view = W.HTML()
        hook({"s-text": self.input, "s-bos": self.bos, "s-eos": self.eos}, self._draw)
        super().__init__([self.input, W.HBox([self.bos, self.eos]), self.view], "w-tokens")
        self._draw()

    def _draw(self, _change=None) -> None:
        try:
            tokens = tokens_of(self.tokenizer, self.input.value, self.bos.value, self.eos.value)
        except ValueError:  # a lone surrogate
            self.show(refusal(self.text["surrogate"], "ml-token-view"), self.text["surrogate"])
        else:
            self.show(tokens_html(tokens, self.text, style=False), caption(tokens, self.text))
