"""The path of a call through the code, as a picture whose boxes link to the notebook and the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
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
from minillama.svg import CREAM, DARK, FONTS, INK, MINT, PALE, arrow, page, pill, text, tips
from minillama.tokenizer import Tokenizer
from minillama.words import say

WIDTH, HEIGHT, STEP = 212, 46, 70  # of a box; from one row to the next
LEFT, MIDDLE, RIGHT, WHOLE = 16, 136, 256, 486  # where the boxes of the three columns begin, and the picture ends
TITLE = "From a call to its result"
ON_PALE = "color: #0a3d91; text-decoration: underline"  # a link on a box, which is pale in the dark theme too


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
    Box("all rows at eos?", "no: go on; yes, or a full canvas: cut and decode", 9, Llama.generate_steps, MIDDLE, 7),
    Box("cut, decode", "each row ends where its text ends; ids become text", 11, Collector.predictions, MIDDLE, 8),
    Box("CompletionPrediction", "a generation: text", 11, CompletionPrediction, LEFT, 9),
    Box("ChatPrediction", "a generation: a message with a role", 12, ChatPrediction, RIGHT, 9),
)
ARROWS = ((0, 2), (1, 3), (2, 4), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 9), (9, 10), (10, 11), (10, 12))
LOOP = (9, 5)  # back to forward, until every row has ended or the canvas is full


class Flowchart:
    """The picture, and beside it the same boxes as a list: the value of a cell.

    mine {label of a box: function}: these boxes show the function's name in place of the link. Raises ValueError for a
    label that no box has.
    """

    def __init__(self, mine: Mapping[str, Callable] | None = None):
        allowed.table(_function, least=0)("mine", {} if mine is None else mine)
        self.mine = dict(mine or {})
        if unknown := self.mine.keys() - {box.label for box in BOXES}:
            raise ValueError(f"mine: no box is labelled {sorted(unknown)}; there are {[box.label for box in BOXES]}")

    def __repr__(self) -> str:
        where = [self._name(box) or say("notebook {k:02}", k=box.notebook) for box in BOXES]
        told = [say("{label}: {says}", label=say(box.label), says=say(box.says)) for box in BOXES]
        return "\n".join(say("{k}. {told} ({where})", k=k + 1, told=told[k], where=where[k]) for k in range(len(told)))

    def _repr_html_(self) -> str:
        pairs = [(f"<code>{escape(say(box.label))}</code>", escape(say(box.says))) for box in BOXES]
        items = "".join(f"<li>{say('{label}: {says}', label=label, says=says)}</li>" for label, says in pairs)
        functions = dict.fromkeys(box.code for box in BOXES if not self._name(box))
        code = "".join(f"<li>{source_link(function)._repr_html_()}</li>" for function in functions)
        code = f"<details><summary>{say('The code of the boxes')}</summary><ul>{code}</ul></details>"
        drawn = linked({box.label: self._name(box) for box in BOXES})
        body = f'<div style="flex: 0 1 490px">{drawn}</div><div style="flex: 1 1 300px"><ol>{items}</ol>{code}</div>'
        return wrap(f'<div style="display: flex; flex-wrap: wrap; gap: 16px">{body}</div>', "ml-flowchart")

    def _name(self, box: Box) -> str:
        function = self.mine.get(box.label)
        return getattr(function, "__name__", repr(function)) if function is not None else ""


def _function(name: str, value) -> None:
    if not callable(value):
        raise TypeError(f"{name} must be a function, got {typed(value)}")


def picture() -> str:
    """The picture as a file: its boxes name their notebooks."""
    parts = _ways()
    for box in BOXES:
        second = text(box.column + WIDTH / 2, y_of(box) + 32, f"notebook {box.notebook:02}")
        parts.append(_box(box, second))
    return page(WHOLE, 10 * STEP + 10, TITLE, "; ".join(f"{box.label}: {box.says}" for box in BOXES), parts)


def linked(names: Mapping[str, str]) -> str:
    """The picture for a notebook: its boxes are links. names {label of a box: what the learner calls it, or ""}."""
    parts, stops = _ways(), set()
    for box in BOXES:
        name = names[box.label]
        parts.append(_box(box, _link(box, name, first=box.notebook not in stops), mine=bool(name)))
        stops |= {box.notebook} if not name else set()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WHOLE} {10 * STEP + 10}" role="group" '
        f'aria-label="{say(TITLE)}" style="width: 100%; max-width: {WHOLE}px" font-family="{FONTS}">'
        f"{tips()}{''.join(parts)}</svg>"
    )


def _link(box: Box, name: str, first: bool) -> str:
    """The second line of a box: the learner's function, or a link to the notebook; the first to it is a tab stop."""
    found = sorted((REPOSITORY / "notebooks").glob(f"{box.notebook:02}_*.ipynb"))
    words = f"{box.notebook:02} {say(title_of(found[0]))}" if found else ""
    stop = "" if first else ' tabindex="-1"'
    inside = f'<span style="font-family: monospace">{escape(name)}</span>' if name else words
    if words and not name:
        inside = f'<a href="{escape(found[0].name)}" style="{ON_PALE}"{stop}>{escape(words)}</a>'
    style = f"text-align: center; font-size: 13px; line-height: 20px; color: {DARK}"
    content = f'<div xmlns="http://www.w3.org/1999/xhtml" style="{style}">{inside}</div>'
    return f'<foreignObject x="{box.column}" y="{y_of(box) + 22}" width="{WIDTH}" height="22">{content}</foreignObject>'


def title_of(notebook: Path) -> str:
    """What a notebook is about, in words: "Completion and echo"."""
    words = notebook.stem[3:].replace("_", " ").capitalize()
    return {"Kv cache": "KV cache", "Top p": "top_p"}.get(words, words)


def _box(box: Box, second: str, mine: bool = False) -> str:
    question = box.label.endswith("?")
    fill = MINT if mine else CREAM if question else PALE
    x, y = box.column, y_of(box)
    shape = f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="{HEIGHT // 2 if question else 6}" '
    return f'{shape}fill="{fill}" stroke="{INK}"/>{text(x + WIDTH / 2, y + 15, say(box.label), bold=True)}{second}'


def _ways() -> list[str]:
    """The arrows, that from the question back to forward on the right."""
    ways = [(BOXES[start], BOXES[end]) for start, end in ARROWS]
    middle = {box: box.column + WIDTH / 2 for box in BOXES}
    drawn = [arrow(f"M{middle[a]:g} {y_of(a) + HEIGHT} L{middle[b]:g} {y_of(b) - 1}") for a, b in ways]
    start, end = (BOXES[k] for k in LOOP)
    x, y1, y2 = MIDDLE + WIDTH, y_of(start) + HEIGHT / 2, y_of(end) + HEIGHT / 2
    return [
        *drawn,
        arrow(f"M{x} {y1:g} H{x + 60} V{y2:g} H{x + 1}"),
        pill(x + 60, (y1 + y2) / 2, 36, say("no")),
        pill(middle[start] + 92, y_of(start) + HEIGHT + 12, 172, say("yes, or the canvas is full")),
    ]


def y_of(box: Box) -> int:
    return 10 + box.row * STEP
