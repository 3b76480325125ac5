"""What the widgets share: parts of their pages, as pure functions to escaped HTML, and the form of their controls."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence

import anywidget
import ipywidgets as W
import traitlets as T

from minillama.markup import STYLE, escape, visible, wrap
from minillama.widgets.front import FRONT, module

# How many characters of a field are used.
LONGEST = 4000  # of a prompt or a dialog; the rest is left out, with a note
LONGEST_DRAWN = 400  # of a text whose tokens are all drawn
LONGEST_SENT = 20_000  # of a message to the model; a longer one is refused unread: encoding it would take seconds

GONE = """<style>/* what JupyterLab says of a widget that is gone, where its still is beside it */
.jp-OutputArea-child:not(:has(.widget-box)):has(+ .jp-OutputArea-child [data-ml-view]) { display: none; }
</style>"""
SIGNS = {"passed": "✓", "failed": "✗", "missing": "○"}


# ---- the page --------------------------------------------------------------------------------------------------------


class Picture:
    """The value of a cell that shows a view: HTML in a notebook, words elsewhere. It can be seen without a kernel."""

    def __init__(self, page: str, words: str):
        self.page, self.words = page, words

    def __repr__(self) -> str:
        return self.words

    def _repr_html_(self) -> str:
        return self.page


def box(message: str, kind: str = "", live: bool = True) -> str:
    """A message in a box; kind: "passed", "failed", "missing" or "". A screen reader announces it, a failure at once.

    live: False in a view, where `View.show` announces what is new.

    >>> box("Shorten it.", "failed")
    '<div class="ml-box ml-failed" role="alert"><span class="ml-sign">✗</span>Shorten it.</div>'
    """
    css, sign = (f" ml-{kind}", f'<span class="ml-sign">{SIGNS[kind]}</span>') if kind else ("", "")
    role = f' role="{"alert" if kind == "failed" else "status"}"' if live else ""
    return f'<div class="ml-box{css}"{role}>{sign}{escape(message)}</div>'


def boxes(notes: Sequence[str]) -> str:
    """A box for each note on what was typed; the view is shown all the same."""
    return "".join(box(note, "missing", live=False) for note in notes)


def refusal(problem: str, name: str, notes: Sequence[str] = ()) -> str:
    """A page that has a problem in place of the view; name: the class of the page."""
    return wrap(boxes(notes) + box(problem, "failed", live=False), name, style=False)


def small(words: str) -> str:
    """A line in small print: a legend, or what is left out."""
    return f'<div class="ml-note">{escape(words)}</div>'


def count(words: str) -> str:
    """The line that says what the view shows."""
    return f'<div class="ml-count">{escape(words)}</div>'


def table(
    heads: Sequence[str],
    rows: Sequence[str],
    label: str = "",
    caption: str = "",
    more: str = "",
    left: Collection[int] = (),
) -> str:
    """A table with a heading over each column. rows (<tr>…</tr> each) and caption are HTML, the others are text.

    more: a last row, across all columns, that says what is left out. left: the places of the headings that begin at the
    left, as the names and the bars below them do.
    """
    css = [' class="ml-left"' if place in left else "" for place in range(len(heads))]
    head = "".join(f'<th scope="col"{each}>{escape(title)}</th>' for title, each in zip(heads, css, strict=True))
    last = f'<tr class="ml-note"><td colspan="{len(heads)}" class="ml-name">{escape(more)}</td></tr>' if more else ""
    if caption:
        caption = f'<caption class="ml-count">{caption}</caption>'
    label = f' aria-label="{escape(label)}"' if label else ""
    return f"<table{label}>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}{last}</tbody></table>"


def columns(text: Mapping[str, str], *names: str) -> list[str]:
    """The headings of columns."""
    return [text[f"col_{name}"] for name in names]


def number(value: float | None, digits: int, none: str = "–") -> str:
    """A number in a table, or `none` if there is no number. What rounds to zero has no sign.

    >>> number(-0.0001, 3), number(None, 3)
    ('0.000', '–')
    """
    return none if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def share(part: float | None) -> str:
    """A number from 0 to 1 with a bar beside it; the bar is for the eye only."""
    filled = "" if part is None else f'<span class="ml-bar" style="width:{90 * part:.1f}px"></span>'
    return f'{number(part, 4)}<span class="ml-track" aria-hidden="true">{filled}</span>'


def chip(piece: str, i: int, css: str, role: str = "") -> str:
    """A token in a coloured box, its id below it."""
    role = f' role="{role}"' if role else ""
    ids = f'<span class="ml-id">{i}</span>'
    return f'<span class="ml-chip {css}"{role}><span class="ml-piece">{escape(piece)}</span>{ids}</span>'


class Live(anywidget.AnyWidget):
    """Words that a screen reader reads out when they change; nobody sees them."""

    _esm = module((FRONT / "live.js").read_text(encoding="utf-8"))
    words = T.Unicode().tag(sync=True)


class View(W.VBox):
    """Controls and below them a view, an HTML widget whose page they change.

    Where one is shown, its still is shown beside it, hidden as long as the widget lives: a notebook that is opened with
    another kernel has no widget, and shows the still.
    """

    view: W.HTML
    text: Mapping[str, str]

    def __init__(self, controls: Sequence[W.Widget], name: str):
        self.key = uuid.uuid4().hex
        still = f'[data-ml-still="{self.key}"]'
        hidden = f"<style>{still}, .jp-OutputArea-child:has({still}) {{ display: none !important; }}</style>"
        self.live = Live(layout=W.Layout(margin="0"))
        super().__init__([*controls, self.live, W.HTML(STYLE + hidden)])
        self.add_class(name)

    def show(self, page: str, words: str) -> None:
        """Put a page in the view; words: what a screen reader is told of it."""
        self.view.value, self.live.words = page, visible(words)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def still(self) -> str:
        """What the view shows now, as a page of its own, and that the controls need the notebook."""
        below = wrap(small(self.text["alone"]), style=False)
        return f'{GONE}<div data-ml-still="{self.key}" data-ml-view>{STYLE}{self.view.value}{below}</div>'

    def _ipython_display_(self) -> None:
        """Two outputs, for JupyterLab shows one MIME type of each: the widget, and what stays where it cannot live."""
        from IPython.display import display

        bundle = {kind: data for kind, data in self._repr_mimebundle_().items() if kind != "text/plain"}
        display({**bundle, "text/html": ""}, raw=True)  # a page without widgets shows nothing here
        display({"text/html": self.still(), "text/plain": repr(self)}, raw=True)


# ---- the controls ----------------------------------------------------------------------------------------------------


def sized(width: str) -> dict:
    """Arguments that a control takes: room for its whole description, and a width, which is less on a narrow page."""
    return {"style": {"description_width": "initial"}, "layout": W.Layout(width=width, max_width="98%")}


def line(*controls: W.Widget) -> W.HBox:
    """Controls side by side, below each other on a narrow page."""
    return W.HBox(controls, layout=W.Layout(flex_flow="row wrap", align_items="center"))


def hook(controls: Mapping[str, W.DOMWidget], moved: Callable | None = None) -> None:
    """Give each control the class that tests find it by, and call moved(change) whenever its value changes."""
    for name, control in controls.items():
        control.add_class(name)
        if moved is not None:
            control.observe(moved, "value")


def shortened(value: str, text: Mapping[str, str]) -> tuple[str, list[str]]:
    """As much of a field's text as is used, and a note if some of it is not."""
    return value[:LONGEST], [text["cut"].format(n=LONGEST)] if len(value) > LONGEST else []


def halved(*values: str) -> bool:
    """Whether a text holds half a character, a lone surrogate, which no tokenizer reads."""
    return any("\ud800" <= letter <= "\udfff" for value in values for letter in value)
