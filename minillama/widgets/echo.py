"""show_echo: one prompt completed with and without echo, token by token in one table."""

from __future__ import annotations

import math
from dataclasses import dataclass

from minillama import allowed
from minillama.markup import escape, wrap
from minillama.results import CompletionPrediction
from minillama.widgets.labels import labels
from minillama.widgets.parts import Picture, columns, number, share, small, table

MAX_ROWS = 80  # of the table; later tokens are only counted


@dataclass(frozen=True)
class EchoRow:
    """One token of the echoed result."""

    piece: str
    data: bytes
    logprob: float | None  # with echo
    plain: float | None  # without echo; None for a token of the prompt
    from_prompt: bool


@dataclass(frozen=True)
class Echo:
    """The tokens of a result with echo, each with what the result without echo has for it."""

    with_echo: str
    without: str
    rows: list[EchoRow]


def echo_of(with_echo: CompletionPrediction, without: CompletionPrediction) -> Echo:
    """Two results of the same prompt side by side.

    Raises ValueError if one has no log-probabilities or if the second is not the end of the first.
    """
    for name, prediction in (("with_echo", with_echo), ("without", without)):
        if "logprobs" not in prediction:
            raise ValueError(f"{name} has no log-probabilities; call text_completion with logprobs=True")
    n_prompt = len(with_echo["token_ids"]) - len(without["token_ids"])
    if n_prompt < 0 or with_echo["token_ids"][n_prompt:] != without["token_ids"]:
        raise ValueError("without is not the end of with_echo; complete the same prompt twice, with the same seed")
    plain = [None] * n_prompt + without["logprobs"]
    columns = zip(with_echo["tokens"], with_echo["token_bytes"], with_echo["logprobs"], plain, strict=True)
    rows = [EchoRow(*row, from_prompt=k < n_prompt) for k, row in enumerate(columns)]
    return Echo(with_echo["generation"], without["generation"], rows)


def echo_html(echo: Echo, text: dict[str, str], style: bool = True) -> str:
    """The two texts, and below them a table with one row per token."""
    texts = "".join(
        f'<div><span class="ml-note">{name}</span> <span class="ml-piece">{escape(repr(generation))}</span></div>'
        for name, generation in (("echo=True", echo.with_echo), ("echo=False", echo.without))
    )
    heads = columns(text, "place", "part", "token", "bytes", "with_echo", "without", "prob")
    body = [_row(k, row, text) for k, row in enumerate(echo.rows[:MAX_ROWS])]
    more = text["more_tokens"].format(n=len(echo.rows) - MAX_ROWS) if len(echo.rows) > MAX_ROWS else ""
    page = texts + table(heads, body, text["echo_table"], more=more, left=(1, 2, 3, 6)) + small(text["echo_legend"])
    return wrap(page, "ml-echo", style)


def _row(place: int, row: EchoRow, text: dict[str, str]) -> str:
    kind = "prompt" if row.from_prompt else "generated"
    part = escape(text["from_prompt" if row.from_prompt else "generated"])
    return (
        f'<tr class="ml-echo-{kind}"><td>{place}</td><td class="ml-name">{part}</td>'
        f'<th scope="row">{escape(row.piece)}</th><td class="ml-name">{escape(repr(row.data))}</td>'
        f"<td>{number(row.logprob, 4, 'None')}</td><td>{number(row.plain, 4)}</td>"
        f"<td>{share(None if row.logprob is None else math.exp(row.logprob))}</td></tr>"
    )


@allowed.only(with_echo=allowed.an(dict), without=allowed.an(dict))
def show_echo(with_echo: CompletionPrediction, without: CompletionPrediction) -> Picture:
    """A still picture of two results of one prompt side by side, token by token.

    Both are results of `Llama.text_completion` with logprobs=True and the same seed; the first also with echo=True.
    Raises ValueError if one has no log-probabilities or if `without` is not the end of `with_echo`.
    """
    echo = echo_of(with_echo, without)
    words = " ".join(f"{row.piece}({number(row.logprob, 2, 'None')})" for row in echo.rows)
    return Picture(echo_html(echo, labels()), words)
