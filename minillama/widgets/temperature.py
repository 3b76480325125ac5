"""TemperatureExplorer: move the temperature and see the probabilities and their entropy change."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import traitlets as T
from torch import Tensor

from minillama import allowed, arguments
from minillama.generation import Llama
from minillama.logprobs import entropy
from minillama.markup import escape, visible, wrap
from minillama.sampling import apply_temperature
from minillama.widgets.front import HIGHEST, SENT, Explorer, Value, packed
from minillama.widgets.labels import labels, only
from minillama.widgets.parts import boxes, columns, number, refusal, share, shortened, table
from minillama.widgets.prompts import check_prompts, one_of, trouble
from minillama.widgets.stages import shown_names
from minillama.widgets.top_p import next_token_logits

POINTS = torch.linspace(0, HIGHEST, 61).tolist()  # temperatures of the curve
WORDS = ("prompt", "temperature", "greedy", "col_*", "short_*", "temp_*", "top_rest", "top_why", "top_why_greedy")


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
    return table(heads, body, text["temp_table"], escape(caption), left=(0, 3, 4, 5))


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


class TemperatureExplorer(Explorer):
    """The next token after a prompt, chosen or typed, at a temperature from 0 to 3: a dot to drag along a curve.

    prompts: a list of str to choose from. truths: {prompt: {token id: probability}} where the true probabilities are
    known; these tokens get a row too. n_rows: how many other tokens get one. The model runs once for each prompt; the
    browser has the logits and draws by itself. `prompt`, `own` (what is typed; "" for the chosen one) and `temperature`
    can be read and set. Raises TypeError or ValueError, naming the argument, if prompts is empty or not a list of str,
    a prompt leaves no room for a token or a number is out of range.
    """

    name, moved = "temperature", ("prompt",)
    prompt = Value().tag(**SENT)
    own = Value("").tag(**SENT)
    temperature = Value().tag(**SENT)
    typed = T.Dict().tag(**SENT)  # the answer to `own`: its names, notes and problem
    typed_floats = T.Bytes().tag(**SENT)  # and its logits

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
    ):
        check_prompts(llama, prompts)
        arguments.whole("n_rows", n_rows, 1)
        self.text, self.llama, self.truths, self.n_rows = labels(), llama, dict(truths or {}), n_rows
        self.pieces = llama.tokenizer.pieces(range(llama.tokenizer.n_words))
        self.logits = {prompt: next_token_logits(llama, prompt) for prompt in prompts}  # (vocab_size,) each
        known = [dict(self.truths.get(prompt, {})) for prompt in self.logits]
        names = shown_names(self.logits.values(), self.pieces, n_rows)
        names |= {i: visible(self.pieces[i]) for truth in known for i in truth}
        data = {"prompts": list(self.logits), "shown": [visible(prompt) for prompt in self.logits], "names": names,
                "truths": known, "text": only(self.text, WORDS), "vocab_size": len(self.pieces), "n_rows": n_rows,
                "highest": HIGHEST}  # fmt: skip
        super().__init__(data, floats=packed(self.logits.values()), prompt=prompts[0], temperature=temperature)
        self.observe(self._read, "own")

    def __repr__(self) -> str:
        return f"TemperatureExplorer({len(self.data['prompts'])} prompts, temperature={self.temperature})"

    @T.validate("temperature", "prompt", "own")
    def _judge(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        if name == "prompt":
            return one_of(value, self.data["prompts"])
        if name == "own":
            arguments.kind("own", value, str)
            return value
        return arguments.number(name, value, 0, HIGHEST)

    def _moved(self, change) -> None:
        self.own = ""  # the choice counts again

    def _read(self, _change) -> None:
        """Run the model on what was typed, and send what the page needs to show it."""
        prompt, notes = shortened(self.own, self.text)
        answer = {"own": self.own, "notes": notes, "problem": self._problem(prompt), "names": {}}
        if self.own and not answer["problem"]:
            logits = self._run(prompt)
            answer["names"] = shown_names([logits], self.pieces, self.n_rows)
            self.typed_floats = packed([logits])
        self.typed = answer

    def _problem(self, prompt: str) -> str:
        return "" if prompt in self.logits else trouble(self.llama, prompt, 1, self.text)

    def _run(self, prompt: str) -> Tensor:
        if prompt not in self.logits:
            self.logits[prompt] = next_token_logits(self.llama, prompt)
        return self.logits[prompt]

    def still(self) -> str:
        prompt, notes = shortened(self.own or self.prompt, self.text)
        if problem := self._problem(prompt):
            return refusal(problem, "ml-temperature", notes)
        logits = self._run(prompt)
        state = heated(logits, self.temperature, self.truths.get(prompt), self.n_rows)
        return temperature_html(state, entropy_curve(logits), self.pieces.__getitem__, self.text, notes)
