"""show_echo: one prompt completed with and without echo, token by token in one table."""

from __future__ import annotations

import math
from dataclasses import dataclass

from minillama.markup import escape, wrap
from minillama.results import CompletionPrediction
from minillama.widgets.labels import labels

MAX_ROWS = 80  # of the table; what comes after is counted


@dataclass(frozen=True)
class EchoRow:
    """One token of the echoed result."""

    piece: str
    data: bytes
    logprob: float | None  # with echo
    plain: float | None  # without echo; of a prompt's token there is none
    from_prompt: bool


@dataclass(frozen=True)
class Echo:
    """The tokens of a result with echo, and beside each what the result without echo has."""

    with_echo: str
    without: str
    rows: list[EchoRow]


def echo_of(with_echo: CompletionPrediction, without: CompletionPrediction) -> Echo:
    """Lay two results of the same prompt side by side.

    Raises ValueError if one has no log-probabilities, or if the second is not the end of the first.
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
    """The two texts, and under them a table with a row for each token."""
    texts = "".join(
        f'<div><span class="ml-note">{name}</span> <span class="ml-piece">{escape(repr(generation))}</span></div>'
        for name, generation in (("echo=True", echo.with_echo), ("echo=False", echo.without))
    )
    heads = [text[f"echo_col_{name}"] for name in ("place", "part", "token", "bytes", "echo", "plain", "prob")]
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in heads)
    body = [_row(k, row, text) for k, row in enumerate(echo.rows[:MAX_ROWS])]
    if len(echo.rows) > MAX_ROWS:
        more = escape(text["echo_more"].format(n=len(echo.rows) - MAX_ROWS))
        body.append(f'<tr class="ml-note"><td colspan="{len(heads)}" class="ml-name">{more}</td></tr>')
    table = (
        f'<table aria-label="{escape(text["echo_table"])}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )
    return wrap(f'{texts}{table}<div class="ml-note">{escape(text["echo_legend"])}</div>', "ml-echo", style)


def _row(place: int, row: EchoRow, text: dict[str, str]) -> str:
    part = text["echo_prompt" if row.from_prompt else "echo_generated"]
    plain = "–" if row.from_prompt else f"{row.plain:.4f}"
    chance = "–"
    if row.logprob is not None:
        prob = math.exp(row.logprob)
        bar = f'<span class="ml-track"><span class="ml-bar" style="width:{90 * prob:.1f}px"></span></span>'
        chance = f"{prob:.4f}{bar}"
    logprob = "None" if row.logprob is None else f"{row.logprob:.4f}"
    kind = "prompt" if row.from_prompt else "generated"
    return (
        f'<tr class="ml-echo-{kind}"><td>{place}</td><td class="ml-name">{escape(part)}</td>'
        f'<th scope="row">{escape(row.piece)}</th><td class="ml-name">{escape(repr(row.data))}</td>'
        f"<td>{logprob}</td><td>{plain}</td><td>{chance}</td></tr>"
    )


class EchoPicture:
    """Two results side by side as a still picture: no kernel needed to look at it."""

    def __init__(self, echo: Echo, text: dict[str, str]):
        self.echo, self.text = echo, text

    def __repr__(self) -> str:
        return " ".join(
            f"{row.piece}({'None' if row.logprob is None else format(row.logprob, '.2f')})" for row in self.echo.rows
        )

    def _repr_html_(self) -> str:
        return echo_html(self.echo, self.text)


def show_echo(with_echo: CompletionPrediction, without: CompletionPrediction, language: str = "en") -> EchoPicture:
    """Two results of one prompt, both with logprobs=True: with_echo with echo=True, without with echo=False."""
    return EchoPicture(echo_of(with_echo, without), labels(language))
