"""CacheView: go through the calls of forward and see which slots of the cache each call writes and reads."""

from __future__ import annotations

from collections.abc import Sequence

import traitlets as T

from minillama import allowed, arguments
from minillama.generation import Llama
from minillama.markup import escape, visible, wrap
from minillama.widgets.front import SENT, Explorer, Value
from minillama.widgets.labels import labels, only
from minillama.widgets.parts import LONGEST, refusal, small

MAX_PROMPT = 16  # tokens shown: a wider table cannot be read
WORDS = ("prompt", "temp_alone", "temp_wait", "cache_*")


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
        f'<caption class="ml-count">{"<br>".join(caption)}</caption>'
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


class CacheView(Explorer):
    """A prompt continued greedily by max_gen_len tokens (1 to 16), one call of forward after another.

    `prompt`, `call` (from 1), `piece` (how many of the prompt's tokens each call reads) and `cached` can be read and
    set. The model runs once for each prompt; the browser has its tokens and draws by itself. A prompt of more than 16
    tokens is cut, and for one that cannot be encoded a message replaces the calls. Raises TypeError or ValueError,
    naming the argument, if prompt is not a str or max_gen_len or a number that is set is out of range.
    """

    name, moved = "cache", ("piece", "cached")
    prompt = Value().tag(**SENT)
    call = Value().tag(**SENT)
    piece = Value().tag(**SENT)
    cached = Value().tag(**SENT)
    read = T.Dict().tag(**SENT)  # the answer to `prompt`: the token of every column, how many are the prompt's, a note

    @allowed.only(llama=allowed.an(Llama), prompt=allowed.text, max_gen_len=allowed.plain)
    def __init__(
        self,
        llama: Llama,
        prompt: str = "Once upon a time, there was a little",
        max_gen_len: int = 6,
    ):
        arguments.text("prompt", prompt)
        arguments.whole("max_gen_len", max_gen_len, 1, 16)
        self.text, self.llama, self.max_gen_len = labels(), llama, max_gen_len
        read = self._run(prompt)
        super().__init__({"text": only(self.text, WORDS)}, prompt=prompt, call=1, piece=read["n_prompt"], cached=True,
                         read=read)  # fmt: skip
        self.observe(self._read, "prompt")

    def __repr__(self) -> str:
        return f"CacheView({self.read['n_prompt']} tokens in the prompt, call={self.call} of {len(self.calls)})"

    @property
    def calls(self) -> list[tuple[int, int]]:
        """(start_pos, end) of each call; empty if the prompt cannot be read."""
        n_prompt, n_columns = self.read["n_prompt"], len(self.read["pieces"])
        return cache_calls(n_prompt, n_columns, min(self.piece, n_prompt), self.cached) if n_columns else []

    @T.validate("prompt", "call", "piece", "cached")
    def _judge(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        if name == "prompt":
            arguments.kind("prompt", value, str)
            return value
        if name == "cached":
            return arguments.flag(name, value)
        return arguments.whole(name, value, 1, self.read["n_prompt"] if name == "piece" else max(1, len(self.calls)))

    def _moved(self, change) -> None:
        self.call = min(self.call, max(1, len(self.calls)))  # a call beyond the last becomes the last

    def _read(self, _change) -> None:
        self.call = 1
        self.read = self._run(self.prompt)
        self.piece = self.read["n_prompt"]

    def _run(self, prompt: str) -> dict:
        """What the page needs to know of a prompt."""
        try:
            prompt_tokens = self.llama.tokenizer.encode(prompt[:LONGEST], bos=True, eos=False)
        except ValueError:  # a lone surrogate
            return {"prompt": prompt, "pieces": [], "n_prompt": 1, "note": self.text["surrogate"]}
        limit = min(MAX_PROMPT, self.llama.model.params.max_seq_len - 1)
        note = "" if prompt else self.text["cache_empty"]
        if len(prompt_tokens) > limit or len(prompt) > LONGEST:
            note = self.text["cache_cut"].format(n=limit)
        prompt_tokens = prompt_tokens[:limit]
        step = list(self.llama.generate_steps([prompt_tokens], self.max_gen_len, temperature=0))[-1]
        pieces = self.llama.tokenizer.pieces(step.tokens[0, : step.cur_pos + 1].tolist())
        return {"prompt": prompt, "pieces": [visible(piece) for piece in pieces], "n_prompt": len(prompt_tokens),
                "note": note}  # fmt: skip

    def still(self) -> str:
        pieces, n_prompt, note = (self.read[name] for name in ("pieces", "n_prompt", "note"))
        if not pieces:
            return refusal(note, "ml-cache")
        return cache_html(self.calls, self.call - 1, pieces, n_prompt, self.text, note)
