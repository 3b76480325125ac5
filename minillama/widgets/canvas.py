"""CanvasView: edit the prompts and max_gen_len and see the canvas and its mask before the first step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ipywidgets as W

from minillama import allowed, arguments, calls, loop
from minillama.generation import Llama
from minillama.markup import escape, wrap
from minillama.widgets.labels import labels
from minillama.widgets.parts import Picture, View, boxes, hook, refusal, sized, small
from minillama.widgets.prompts import no_room, prompts_field, read_prompts


@dataclass(frozen=True)
class Canvas:
    """What the generate loop starts with, as lists, and the numbers that determine it."""

    tokens: list[list[int]]  # (bsz, total_len)
    mask: list[list[bool]]  # (bsz, total_len)
    prompt_lens: list[int]  # (bsz,)
    max_gen_len: int
    max_seq_len: int

    @property
    def total_len(self) -> int:
        return len(self.tokens[0])

    def read_by(self, column: int) -> int | None:
        """Which call of forward reads a column, counted from 1; None if none does."""
        first = min(self.prompt_lens)
        if self.max_gen_len == 0 or column == self.total_len - 1:  # no call, or written last
            return None
        return 1 if column < first else column - first + 2


def lay_out(prompt_tokens: Sequence[Sequence[int]], max_gen_len: int, max_seq_len: int, pad_id: int = -1) -> Canvas:
    """The canvas as `Llama.generate_steps` makes it.

    >>> lay_out([[1, 5], [1, 7, 8]], max_gen_len=1, max_seq_len=16).tokens
    [[1, 5, -1, -1], [1, 7, 8, -1]]
    """
    prompt_lens = [len(t) for t in prompt_tokens]
    total_len = min(max_seq_len, max_gen_len + max(prompt_lens))
    tokens = loop.canvas(prompt_tokens, total_len, pad_id)  # (bsz, total_len)
    return Canvas(tokens.tolist(), (tokens != pad_id).tolist(), prompt_lens, max_gen_len, max_seq_len)


def canvas_html(
    canvas: Canvas,
    name: Callable[[int], str],
    text: dict[str, str],
    n_columns: int = 32,
    notes: Sequence[str] = (),
    style: bool = True,
) -> str:
    """The canvas, its mask below it, and which call of forward reads each column.

    name: a function from a token id to its piece. Columns after the first n_columns are only counted.
    """
    columns = range(min(n_columns, canvas.total_len))
    hidden = canvas.total_len - len(columns)
    tail = "<td>…</td>" if hidden else ""

    def row(title: str, cells: Sequence[str]) -> str:
        return f'<tr><th scope="row">{escape(title)}</th>{"".join(cells)}{tail}</tr>'

    def group(variable: str, rows: Sequence[str]) -> str:
        head = "".join(f'<th scope="col">{column}</th>' for column in columns) + "<th>…</th>" * (hidden > 0)
        head = f'<tr><th scope="col" class="ml-name"><code>{variable}</code></th>{head}</tr>'
        return f"<tbody>{head}{''.join(rows)}</tbody>"

    def token(value: int, from_prompt: bool) -> str:
        if not from_prompt:
            return f'<td class="ml-pad">{value}</td>'
        return f'<td class="ml-prompt">{escape(name(value))}<br>{value}</td>'

    titles = [text["row"].format(k=k) for k in range(len(canvas.tokens))]
    tokens, mask = [], []
    for title, values, flags in zip(titles, canvas.tokens, canvas.mask, strict=True):
        tokens.append(row(title, [token(values[column], flags[column]) for column in columns]))
        signs = ['<td class="ml-prompt">✓</td>' if flags[column] else '<td class="ml-pad">·</td>' for column in columns]
        mask.append(row(title, signs))
    calls = [f"<td>{canvas.read_by(column) or '–'}</td>" for column in columns]
    more = [text["more_columns"].format(n=hidden)] if hidden else []
    under = "".join(map(small, [text["canvas_legend"], *more]))
    return wrap(
        f"{boxes(notes)}<table class='ml-canvas' aria-label='{escape(text['canvas_table'])}'>"
        f"<caption class='ml-count'>{escape(caption(canvas, text))}</caption>"
        f"{group('tokens', tokens)}{group('input_text_mask', mask)}"
        f"<tbody>{row(text['canvas_read'], calls)}</tbody></table>{under}",
        "ml-canvas-view",
        style,
    )


def caption(canvas: Canvas, text: dict[str, str]) -> str:
    """How bsz and total_len are computed."""
    return text["canvas_caption"].format(
        bsz=len(canvas.tokens),
        max_seq_len=canvas.max_seq_len,
        longest=max(canvas.prompt_lens),
        max_gen_len=canvas.max_gen_len,
        total_len=canvas.total_len,
    )


@allowed.only(llama=allowed.an(Llama), max_gen_len=allowed.plain)
def show_canvas(llama: Llama, prompt_tokens: Sequence[Sequence[int]], max_gen_len: int) -> Picture:
    """The canvas that a run on these prompts would start with, as a still picture.

    prompt_tokens: bsz lists of ids, of any lengths; max_gen_len: 0 or more. The model is not run. Raises TypeError or
    ValueError, naming the argument, where `Llama.generate` would.
    """
    arguments.whole("max_gen_len", max_gen_len, 0, arguments.LARGEST_SIZE)
    calls.prompt_tokens(prompt_tokens, llama.model.params, max_gen_len)
    text, tokenizer = labels(), llama.tokenizer
    canvas = lay_out(prompt_tokens, max_gen_len, llama.model.params.max_seq_len, tokenizer.pad_id)
    page = canvas_html(canvas, lambda i: tokenizer.pieces([i])[0], text)
    return Picture(page, "\n".join([caption(canvas, text), *map(str, canvas.tokens)]))


class CanvasView(View):
    """A field with one prompt per line and one for max_gen_len: the canvas and its mask, as the loop makes them.

    prompts: a list of str. max_gen_len: from 0 to the model's max_seq_len; None for 8, if that is not too many.
    n_columns: how many columns of a wide canvas are shown. The model is not run. Blank lines are ignored; if no canvas
    can be made, a message says why. Raises TypeError or ValueError, naming the argument, if prompts is empty or not a
    list of str or a number is out of range.
    """

    @allowed.only(llama=allowed.an(Llama), prompts=allowed.texts, max_gen_len=allowed.plain, n_columns=allowed.plain)
    def __init__(
        self,
        llama: Llama,
        prompts: Sequence[str],
        max_gen_len: int | None = None,
        n_columns: int = 32,
    ):
        arguments.texts("prompts", prompts)
        params = llama.model.params
        max_gen_len = min(8, params.max_seq_len) if max_gen_len is None else max_gen_len
        arguments.whole("max_gen_len", max_gen_len, 0, params.max_seq_len)
        arguments.whole("n_columns", n_columns, 1)
        self.text = labels()
        self.tokenizer, self.n_columns = llama.tokenizer, n_columns
        self.max_batch_size, self.max_seq_len = params.max_batch_size, params.max_seq_len
        self.pieces = llama.tokenizer.pieces(range(llama.tokenizer.n_words))

        self.prompts = prompts_field(prompts, self.text, "560px")
        self.max_gen_len = W.BoundedIntText(
            max_gen_len, min=0, max=self.max_seq_len, description=self.text["max_gen_len"], **sized("200px")
        )
        self.view = W.HTML()
        hook({"s-prompts": self.prompts}, self._edited)
        hook({"s-max-gen-len": self.max_gen_len}, self._draw)
        super().__init__([self.prompts, self.max_gen_len, self.view], "w-canvas")
        self._edited()

    def _edited(self, _change=None) -> None:
        """Encode the prompts; max_gen_len re-uses their ids."""
        self.prompt_tokens, self.notes, self.problem = read_prompts(
            self.prompts.value, self.tokenizer, self.max_batch_size, self.text
        )
        self._draw()

    def _draw(self, _change=None) -> None:
        max_gen_len = self.max_gen_len.value
        problem = self.problem or no_room(self.prompt_tokens, max_gen_len, self.max_seq_len, self.text)
        if problem:
            return self.show(refusal(problem, "ml-canvas-view", self.notes), " ".join([*self.notes, problem]))
        canvas = lay_out(self.prompt_tokens, max_gen_len, self.max_seq_len, self.tokenizer.pad_id)
        page = canvas_html(canvas, self.pieces.__getitem__, self.text, self.n_columns, self.notes, style=False)
        self.show(page, " ".join([*self.notes, caption(canvas, self.text)]))
