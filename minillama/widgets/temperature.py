"""TemperatureExplorer: slide the temperature and see the probabilities and their entropy change."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ipywidgets as W
import torch
from torch import Tensor

from minillama import allowed, arguments
from minillama.generation import Llama
from minillama.logprobs import entropy
from minillama.markup import STYLE, escape, wrap
from minillama.sampling import apply_temperature
from minillama.widgets.labels import labels
from minillama.widgets.parts import boxes, columns, hook, number, refusal, share, shortened, sized, table
from minillama.widgets.prompts import check_prompts, prompt_choice, trouble
from minillama.widgets.top_p import next_token_logits

HIGHEST = 3.0  # the slider's and the curve's end
POINTS = torch.linspace(0, HIGHEST, 61).tolist()  # temperatures of the curve


@dataclass(frozen=True)
class TemperatureRow:
    """One candidate for the next token."""

    token: int
    logit: float
    scaled: float | None  # logit / temperature; None at temperature 0
    at_one: float  # its probability at temperature 1 …
    prob: float  # … and at this temperature
    truth: float | None  # its true probability, where that is known


@dataclass(frozen=True)
class Heated:
    """The distribution of the next token at one temperature, the largest logits first."""

    rows: list[TemperatureRow]
    vocab_size: int
    temperature: float
    entropy: float  # of the whole distribution, in nats
    rest_at_one: float  # what the tokens without a row have together
    rest: float
    has_truth: bool


def heated(logits: Tensor, temperature: float, truth: Mapping[int, float] | None = None, n_rows: int = 12) -> Heated:
    """Logits (vocab_size,) at a temperature: the n_rows largest, and every token whose true probability is known."""
    truth = truth or {}
    logits = logits.float()
    at_one, probs = apply_temperature(logits, 1.0), apply_temperature(logits, temperature)  # (vocab_size,) each
    best = logits.topk(min(n_rows, len(logits))).indices.tolist()
    ids = sorted({*best, *truth}, key=lambda i: (-float(logits[i]), i))
    columns = (logits[ids].tolist(), at_one[ids].tolist(), probs[ids].tolist())
    rows = [
        TemperatureRow(i, logit, logit / temperature if temperature else None, one, prob, truth.get(i))
        for i, logit, one, prob in zip(ids, *columns, strict=True)
    ]
    rest_at_one, rest = (float(p.index_fill(0, torch.tensor(ids), 0.0).sum()) for p in (at_one, probs))
    return Heated(rows, len(logits), temperature, float(entropy(probs)), rest_at_one, rest, bool(truth))


def entropy_curve(logits: Tensor) -> list[float]:
    """The entropy of logits (vocab_size,) at each of POINTS, in nats."""
    return [float(entropy(apply_temperature(logits.float(), temperature))) for temperature in POINTS]


def temperature_html(
    state: Heated,
    curve: Sequence[float],
    name: Callable[[int], str],
    text: dict[str, str],
    notes: Sequence[str] = (),
    style: bool = True,
) -> str:
    """What the widget shows: notes, and below them the table of candidates beside the entropy curve."""
    body = f'<div class="ml-beside">{_table(state, name, text)}{_curve(state, curve, text)}</div>'
    return wrap(boxes(notes) + body, "ml-temperature", style)


def _table(state: Heated, name: Callable[[int], str], text: dict[str, str]) -> str:
    heads = columns(text, "token", "logit", "scaled", "at_one")
    heads += [text["col_now"].format(temperature=f"{state.temperature:.2f}")]
    heads += [text["col_truth"]] if state.has_truth else []
    body = []
    for row in state.rows:
        cells = [f"{row.logit:.2f}", number(row.scaled, 2), share(row.at_one), share(row.prob)]
        cells += [share(row.truth)] if state.has_truth else []
        numbers = "".join(f"<td>{cell}</td>" for cell in cells)
        body.append(f'<tr class="ml-candidate"><th scope="row">{escape(name(row.token))}</th>{numbers}</tr>')
    if hidden := state.vocab_size - len(state.rows):
        rest = f"<td>{share(state.rest_at_one)}</td><td>{share(state.rest)}</td>"
        label = escape(text["temp_rest"].format(n=hidden))
        empty = "<td></td>" if state.has_truth else ""
        body.append(f'<tr class="ml-note ml-rest"><td colspan="3" class="ml-name">{label}</td>{rest}{empty}</tr>')
    caption = text["temp_caption"].format(
        temperature=state.temperature, entropy=state.entropy, choices=math.exp(state.entropy)
    )
    caption += f" {text['greedy']}" if state.temperature == 0 else ""
    return table(heads, body, text["temp_table"], escape(caption))


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 380, 230, 40, 368, 26, 188  # of the curve, in pixels


def _curve(state: Heated, curve: Sequence[float], text: dict[str, str]) -> str:
    """Entropy against temperature as SVG, with a dot where the slider is."""
    top = math.log(state.vocab_size) or 1.0  # the entropy of equally likely tokens

    def x(temperature: float) -> float:
        return LEFT + (RIGHT - LEFT) * temperature / HIGHEST

    def y(nats: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * nats / top

    def words(at_x: float, at_y: float, key: str, anchor: str = "middle") -> str:
        return f'<text x="{at_x:.0f}" y="{at_y:.0f}" text-anchor="{anchor}">{escape(key)}</text>'

    line = " ".join(f"{x(t):.1f},{y(nats):.1f}" for t, nats in zip(POINTS, curve, strict=True))
    here_x, here_y = x(min(state.temperature, HIGHEST)), y(state.entropy)
    ticks = "".join(
        f'<path class="ml-axis" d="M{x(t):.1f} {BOTTOM} v5"/>{words(x(t), BOTTOM + 18, f"{t:g}")}' for t in range(4)
    )
    spoken = text["temp_curve"].format(temperature=state.temperature, entropy=state.entropy, highest=HIGHEST)
    return (
        f'<svg class="ml-curve" role="img" aria-label="{escape(spoken)}" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<path class="ml-axis" d="M{LEFT} {TOP - 6} V{BOTTOM} H{RIGHT}"/>{ticks}'
        f'<path class="ml-limit" d="M{LEFT} {TOP} H{RIGHT}"/>'
        f"{words(RIGHT, TOP - 6, text['temp_limit'], 'end')}"
        f"{words((LEFT + RIGHT) / 2, HEIGHT - 6, text['temperature'])}"
        f"{words(LEFT + 6, TOP + 16, text['temp_axis'], 'start')}"
        f"{words(LEFT - 5, BOTTOM + 4, '0', 'end')}{words(LEFT - 5, TOP + 4, f'{top:.1f}', 'end')}"
        f'<polyline class="ml-line" points="{line}"/>'
        f'<path class="ml-here" d="M{here_x:.1f} {BOTTOM} V{here_y:.1f}"/>'
        f'<circle class="ml-dot" cx="{here_x:.1f}" cy="{here_y:.1f}" r="5"/></svg>'
    )


class TemperatureExplorer(W.VBox):
    """A temperature slider (0 to 3) for the next token after a prompt, chosen or typed.

    prompts: a list of str to choose from. truths: {prompt: {token id: probability}} where the true probabilities are
    known; these tokens get a row too. n_rows: how many other tokens get one. The model runs once for each prompt; the
    slider re-uses those logits. Raises TypeError or ValueError, naming the argument, if prompts is empty or not a list
    of str, a prompt leaves no room for a token, a number is out of range or the language has no labels.
    """

    @allowed.only(
        llama=allowed.an(Llama),
        prompts=allowed.texts,
        truths=allowed.table(allowed.table(allowed.probability, allowed.place)),
        temperature=allowed.plain,
        n_rows=allowed.plain,
    )
    def __init__(
        self,
        llama: Llama,
        prompts: Sequence[str],
        truths: Mapping[str, Mapping[int, float]] | None = None,
        temperature: float = 1.0,
        n_rows: int = 10,
        language: str = "en",
    ):
        check_prompts(llama, prompts)
        arguments.number("temperature", temperature, 0, HIGHEST)
        arguments.whole("n_rows", n_rows, 1)
        self.text, self.llama, self.truths, self.n_rows = labels(language), llama, dict(truths or {}), n_rows
        self.pieces = llama.tokenizer.pieces(range(llama.tokenizer.n_words))
        self.cached: dict[str, tuple[Tensor, list[float]]] = {}
        for prompt in prompts:
            self._run(prompt)

        self.prompt = prompt_choice(prompts, self.text, "520px")
        names = {"description": self.text["temp_own"], "placeholder": self.text["temp_own_tip"]}
        self.own = W.Text(**names, continuous_update=False, **sized("520px"))
        self.temperature = W.FloatSlider(
            temperature, min=0, max=HIGHEST, step=0.05, description=self.text["temperature"], **sized("520px")
        )
        self.view = W.HTML()
        controls = {"s-prompt": self.prompt, "s-own": self.own, "s-temperature": self.temperature}
        hook(controls, self._moved)
        super().__init__([self.prompt, self.own, self.temperature, self.view, W.HTML(STYLE)])
        self.add_class("w-temperature")
        self._draw()

    def _moved(self, change) -> None:
        if change.owner is self.prompt and self.own.value:
            self.own.value = ""  # the choice counts again; this draws
        else:
            self._draw()

    def _run(self, prompt: str) -> tuple[Tensor, list[float]]:
        """The logits (vocab_size,) after a prompt and their entropy curve."""
        if prompt not in self.cached:
            logits = next_token_logits(self.llama, prompt)
            self.cached[prompt] = logits, entropy_curve(logits)
        return self.cached[prompt]

    def _draw(self) -> None:
        prompt, notes = shortened(self.own.value or self.prompt.value, self.text)
        if prompt not in self.cached and (problem := trouble(self.llama, prompt, 1, self.text)):
            self.view.value = refusal(problem, "ml-temperature", notes)
            return
        logits, curve = self._run(prompt)
        state = heated(logits, self.temperature.value, self.truths.get(prompt), self.n_rows)
        self.view.value = temperature_html(state, curve, self.pieces.__getitem__, self.text, notes, style=False)
