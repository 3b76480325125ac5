"""CacheView: step through the calls of forward and see which slots of the cache each call writes and reads."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as W

from minillama import allowed, arguments
from minillama.generation import Llama
from minillama.markup import STYLE, escape, wrap
from minillama.widgets.labels import labels
from minillama.widgets.parts import LONGEST, hook, line, refusal, sized, small

MAX_PROMPT = 16  # tokens shown: a wider table cannot be read


def cache_calls(n_prompt: int, total_len: int, piece: int | None = None, cached: bool = True) -> list[tuple[int, int]]:
    """The columns (start_pos, end) that each call of forward reads, up to the call that lets the last one be written.

    n_prompt tokens are the prompt's, total_len is the width of the canvas. The prompt is read `piece` tokens at a time
    (None: in one call). Without the cache every call begins at 0.

    >>> cache_calls(n_prompt=4, total_len=7)
    [(0, 4), (4, 5), (5, 6)]
    >>> cache_calls(n_prompt=4, total_len=7, cached=False)
    [(0, 4), (0, 5), (0, 6)]
    """
    piece = n_prompt if piece is None or not cached else piece
    ends = [*range(piece, n_prompt, piece), *range(n_prompt, total_len)]
    starts = [0, *ends[:-1]] if cached else [0] * len(ends)
    return list(zip(starts, ends, strict=True))


def cache_html(
    calls: Sequence[tuple[int, int]],
    k: int,
    pieces: Sequence[str],
    n_prompt: int,
    text: dict[str, str],
    note: str = "",
    style: bool = True,
) -> str:
    """Call k: a row of slots, each written, read or empty, and below it the mask, one row per query.

    pieces: the token of every column; those that are not known yet at call k are not shown.
    """
    start, end = calls[k]
    n_slots = len(pieces)
    computed = sum(b - a for a, b in calls[: k + 1])
    known = max(n_prompt, end)
    does = text["cache_does"].format(written=_slots(start, end, text), read=_slots(0, end, text))
    if end < n_prompt:
        following = text["cache_more_prompt"]
    else:
        following = text["cache_next"].format(column=end, piece=pieces[end])
    caption = [
        f"<b>{escape(text['cache_call'].format(k=k + 1, n=len(calls)))}</b> "
        f"<code>forward(tokens[:, {start}:{end}], {start})</code>",
        escape(does),
        escape(f"{following} {text['cache_computed'].format(n=computed)}"),
    ]
    if note:
        caption.insert(0, f'<span class="ml-note">{escape(note)}</span>')
    head = "".join(f'<th scope="col">{slot}</th>' for slot in range(n_slots))
    names = "".join(f'<td class="ml-name">{escape(pieces[i]) if i < known else ""}</td>' for i in range(n_slots))
    states = "".join(_state(slot, start, end) for slot in range(n_slots))
    rows = [
        f'<tr class="ml-tokens"><th scope="row">{escape(text["cache_token"])}</th>{names}</tr>',
        f'<tr class="ml-slots"><th scope="row">{escape(text["cache_state"])}</th>{states}</tr>',
    ]
    for query in range(start, end):
        looks = "".join(_look(slot, query, end) for slot in range(n_slots))
        name = escape(text["cache_query"].format(i=query, piece=pieces[query]))
        rows.append(f'<tr class="ml-query"><th scope="row">{name}</th>{looks}</tr>')
    table = (
        f'<table aria-label="{escape(text["cache_table"])}">'
        f'<caption class="ml-count" aria-live="polite">{"<br>".join(caption)}</caption>'
        f'<thead><tr><th scope="row">{escape(text["cache_slot"])}</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
    return wrap(table + small(text["cache_legend"]), "ml-cache", style)


def _slots(start: int, end: int, text: dict[str, str]) -> str:
    return text["cache_one_slot" if end - start == 1 else "cache_slots"].format(first=start, last=end - 1)


def _state(slot: int, start: int, end: int) -> str:
    if slot >= end:
        return "<td>–</td>"
    sign, css = ("R", "ml-slot-read") if slot < start else ("W", "ml-slot-write")
    return f'<td class="{css}">{sign}</td>'


def _look(slot: int, query: int, end: int) -> str:
    if slot >= end:
        return "<td></td>"
    return "<td>✓</td>" if slot <= query else '<td class="ml-note">✗</td>'


class CacheView(W.VBox):
    """A prompt continued greedily by max_gen_len tokens (1 to 16), one call of forward after another.

    The model runs once for each prompt; the other controls only change what is shown. A prompt of more than
    16 tokens is cut, and for one that cannot be encoded a message replaces the table. Raises TypeError or ValueError,
    naming the argument, if prompt is not a str, max_gen_len is out of range or the language has no labels.
    """

    @allowed.only(llama=allowed.an(Llama), prompt=allowed.text, max_gen_len=allowed.plain)
    def __init__(
        self,
        llama: Llama,
        prompt: str = "Once upon a time, there was a little",
        max_gen_len: int = 6,
        language: str = "en",
    ):
        arguments.text("prompt", prompt)
        arguments.whole("max_gen_len", max_gen_len, 1, 16)
        self.text, self.llama, self.max_gen_len = labels(language), llama, max_gen_len
        self.ids: list[int] = []  # every column of the canvas
        self.pieces: list[str] = []
        self.n_prompt, self.note = 1, ""
        self.calls: list[tuple[int, int]] = []  # empty if the prompt cannot be read

        self.prompt = W.Text(prompt, description=self.text["prompt"], continuous_update=False, **sized("690px"))
        self.call = W.IntSlider(1, min=1, max=1, description=self.text["cache_step"], **sized("340px"))
        self.piece = W.IntSlider(1, min=1, max=1, description=self.text["cache_piece"], **sized("340px"))
        self.cached = W.Checkbox(True, description=self.text["cache_on"], indent=False)
        self.view = W.HTML()
        hook({"s-prompt": self.prompt}, self._new_prompt)
        hook({"s-piece": self.piece, "s-cached": self.cached}, self._plan)
        hook({"s-call": self.call}, self._draw)
        super().__init__([self.prompt, line(self.call, self.piece), self.cached, self.view, W.HTML(STYLE)])
        self.add_class("w-cache")
        self._new_prompt()

    def _new_prompt(self, _change=None) -> None:
        text = self.prompt.value
        try:
            prompt_tokens = self.llama.tokenizer.encode(text[:LONGEST], bos=True, eos=False)
        except ValueError:  # a lone surrogate
            self.ids, self.calls, self.note = [], [], self.text["surrogate"]
            self._draw()
            return
        limit = min(MAX_PROMPT, self.llama.model.params.max_seq_len - 1)
        self.note = "" if text else self.text["cache_empty"]
        if len(prompt_tokens) > limit or len(text) > LONGEST:
            self.note = self.text["cache_cut"].format(n=limit)
        prompt_tokens = prompt_tokens[:limit]
        step = list(self.llama.generate_steps([prompt_tokens], self.max_gen_len, temperature=0))[-1]
        self.ids = step.tokens[0, : step.cur_pos + 1].tolist()
        self.pieces = self.llama.tokenizer.pieces(self.ids)
        self.n_prompt = len(prompt_tokens)
        self.piece.max = self.piece.value = self.n_prompt
        self._plan()

    def _plan(self, _change=None) -> None:
        self.piece.disabled = not self.cached.value  # without a cache every call reads everything
        if self.ids:
            self.calls = cache_calls(self.n_prompt, len(self.ids), self.piece.value, self.cached.value)
            self.call.max = len(self.calls)  # a call beyond the last becomes the last
        self._draw()

    def _draw(self, _change=None) -> None:
        if not self.calls:
            self.view.value = refusal(self.note, "ml-cache")
            return
        k = min(self.call.value, len(self.calls)) - 1
        self.view.value = cache_html(self.calls, k, self.pieces, self.n_prompt, self.text, self.note, style=False)
