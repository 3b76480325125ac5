"""The path of a call through the code, as a picture whose boxes link to the notebook and the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from minillama import allowed
from minillama.arguments import typed
from minillama.chat import encode_dialog
from minillama.generation import Llama
from minillama.links import REPOSITORY, source_link
from minillama.markup import escape, wrap
from minillama.model import Transformer
from minillama.results import ChatPrediction, Collector, CompletionPrediction
from minillama.sampling import apply_temperature, sample_top_p
from minillama.tokenizer import Tokenizer

WIDTH, HEIGHT, STEP = 212, 46, 70  # of a box; from one row to the next
LEFT, MIDDLE, RIGHT = 16, 136, 256  # where the boxes of the three columns begin
INK, PAPER, PALE, DIAMOND, MINE = "#1a1a1a", "#ffffff", "#eef4f8", "#fdf1dc", "#d9f2e8"
ON_PAPER = ' style="color: #0b57d0"'  # a link on the picture, whose paper is white in the dark theme too


class Box(NamedTuple):
    label: str
    says: str  # for the plain list
    notebook: int  # where it is taught
    code: Callable
    column: int  # x
    row: int


BOXES = (
    Box("text_completion(prompts)", "a list of texts to continue", 11, Llama.text_completion, LEFT, 0),
    Box("chat_completion(dialogs)", "a list of dialogs to answer", 12, Llama.chat_completion, RIGHT, 0),
    Box("encode", "text becomes token ids", 1, Tokenizer.encode, LEFT, 1),
    Box("template, encode", "a dialog is put into [INST] … [/INST], then encoded", 12, encode_dialog, RIGHT, 1),
    Box("canvas: torch.full", "all prompts in one tensor, with room for new tokens", 2, Llama.generate, MIDDLE, 2),
    Box("forward", "the network reads the new columns and returns logits", 4, Transformer.forward, MIDDLE, 3),
    Box("softmax, temperature", "logits become probabilities", 6, apply_temperature, MIDDLE, 4),
    Box("sample_top_p", "one token is drawn from the nucleus", 7, sample_top_p, MIDDLE, 5),
    Box("where, write column", "prompt token or new token goes into the canvas", 8, Llama.generate_steps, MIDDLE, 6),
    Box("all rows at eos?", "no: read the new column; yes: cut and decode", 9, Llama.generate_steps, MIDDLE, 7),
    Box("cut, decode", "each row ends where its text ends; ids become text", 11, Collector.predictions, MIDDLE, 8),
    Box("CompletionPrediction", "a generation: text", 11, CompletionPrediction, LEFT, 9),
    Box("ChatPrediction", "a generation: a message with a role", 12, ChatPrediction, RIGHT, 9),
)
ARROWS = ((0, 2), (1, 3), (2, 4), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 9), (9, 10), (10, 11), (10, 12))
LOOP = (9, 5)  # back to forward, until every row has ended


class Flowchart:
    """The picture, and beside it the same boxes as a list: the value of a cell.

    mine {label of a box: function}: these boxes show the function's name in place of the links. Raises ValueError for a
    label that no box has.
    """

    def __init__(self, mine: Mapping[str, Callable] | None = None):
        allowed.table(_function, least=0)("mine", {} if mine is None else mine)
        self.mine = dict(mine or {})
        if unknown := self.mine.keys() - {box.label for box in BOXES}:
            raise ValueError(f"mine: no box is labelled {sorted(unknown)}; there are {[box.label for box in BOXES]}")

    def __repr__(self) -> str:
        where = [self._name(box) or f"notebook {box.notebook:02}" for box in BOXES]
        return "\n".join(f"{k}. {box.label}: {box.says} ({where[k - 1]})" for k, box in enumerate(BOXES, 1))

    def _repr_html_(self) -> str:
        items = "".join(
            f"<li><code>{escape(box.label)}</code>: {escape(box.says)} ({links(box, name=self._name(box))})</li>"
            for box in BOXES
        )
        picture = svg(linked=True, names={box.label: self._name(box) for box in BOXES})
        body = f'<div style="flex: 0 1 490px">{picture}</div><ol style="flex: 1 1 300px">{items}</ol>'
        return wrap(f'<div style="display: flex; flex-wrap: wrap; gap: 16px">{body}</div>', "ml-flowchart")

    def _name(self, box: Box) -> str:
        function = self.mine.get(box.label)
        return getattr(function, "__name__", repr(function)) if function is not None else ""


def _function(name: str, value) -> None:
    if not callable(value):
        raise TypeError(f"{name} must be a function, got {typed(value)}")


def links(box: Box, style: str = "", name: str = "") -> str:
    """Links to the notebook, if it is there, and to the code of a box; or the name of what the learner wrote for it."""
    if name:
        return f'<span style="font-family: monospace">{escape(name)}</span>'
    found = sorted((REPOSITORY / "notebooks").glob(f"{box.notebook:02}_*.ipynb"))
    notebook = f'<a href="{escape(found[0].name)}"{style}>{box.notebook:02}</a>' if found else f"{box.notebook:02}"
    return f'{notebook} · <a href="{escape(source_link(box.code).address)}"{style}>code</a>'


def svg(linked: bool, names: Mapping[str, str] | None = None) -> str:
    """The picture as SVG; linked: for a notebook, where links work. names {label of a box: name of a function}."""
    names = names or {}
    height = 10 * STEP + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 486 {height}" style="width: 100%; max-width: 486px" '
        'role="img" font-family="sans-serif" font-size="13">',
        "<title>From a call to its result</title>",
        f"<desc>{escape('; '.join(f'{box.label}: {box.says}' for box in BOXES))}</desc>",
        '<defs><marker id="flow-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        f'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{INK}"/></marker></defs>',
        f'<rect width="486" height="{height}" rx="8" fill="{PAPER}"/>',
    ]
    for start, end in ARROWS:
        (x1, y1), (x2, y2) = bottom(BOXES[start]), top(BOXES[end])
        parts.append(f'<path d="M{x1} {y1} L{x2} {y2}" stroke="{INK}" fill="none" marker-end="url(#flow-tip)"/>')
    parts += [back(*LOOP)] + [drawn(box, linked, names.get(box.label, "")) for box in BOXES]
    return "\n".join([*parts, "</svg>\n"])


def drawn(box: Box, linked: bool, name: str = "") -> str:
    x, y = box.column, y_of(box)
    question = box.label.endswith("?")
    shape = f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="{HEIGHT // 2 if question else 6}" '
    shape += f'fill="{MINE if name else DIAMOND if question else PALE}" stroke="#7a8a94"/>'
    middle = x + WIDTH / 2
    label = f'<text x="{middle}" y="{y + 19}" text-anchor="middle" fill="{INK}" font-weight="bold">{box.label}</text>'
    if not linked:
        below = f'<text x="{middle}" y="{y + 37}" text-anchor="middle" fill="{INK}">notebook {box.notebook:02}</text>'
    else:
        style = f"text-align: center; font-size: 13px; line-height: 20px; color: {INK}"
        content = f'<div xmlns="http://www.w3.org/1999/xhtml" style="{style}">{links(box, ON_PAPER, name)}</div>'
        below = f'<foreignObject x="{x}" y="{y + 22}" width="{WIDTH}" height="22">{content}</foreignObject>'
    return shape + label + below


def back(start: int, end: int) -> str:
    """The arrow from the question back to forward, on the right side."""
    x, y1, y2 = MIDDLE + WIDTH, y_of(BOXES[start]) + HEIGHT / 2, y_of(BOXES[end]) + HEIGHT / 2
    line = f'<path d="M{x} {y1} H{x + 60} V{y2} H{x}" stroke="{INK}" fill="none" marker-end="url(#flow-tip)"/>'
    no = f'<text x="{x + 30}" y="{y1 - 6}" text-anchor="middle" fill="{INK}">no</text>'
    return line + no + f'<text x="{MIDDLE + WIDTH / 2 + 8}" y="{y1 + HEIGHT / 2 + 16}" fill="{INK}">yes</text>'


def y_of(box: Box) -> int:
    return 10 + box.row * STEP


def top(box: Box) -> tuple[float, float]:
    return box.column + WIDTH / 2, y_of(box)


def bottom(box: Box) -> tuple[float, float]:
    return box.column + WIDTH / 2, y_of(box) + HEIGHT
