"""LogprobHeatmap: a text as tokens coloured by log-probability, two runs side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import traitlets as T

from minillama import allowed, arguments
from minillama.generation import Llama
from minillama.logprobs import perplexity, sequence_logprob
from minillama.markup import escape, visible, wrap
from minillama.widgets.front import SENT, Explorer, Value
from minillama.widgets.labels import labels, only
from minillama.widgets.parts import LONGEST, Picture, box, columns, count, number, small, table
from minillama.widgets.prompts import trouble
from minillama.widgets.scores import ScoredText, ScoredToken, score

MAX_TOKENS = 300  # coloured in a panel; the others are only counted
MAX_ROWS = 10  # uncertain tokens listed in a panel
MAX_WRITTEN = 60  # the largest max_gen_len
HOTTEST = 2.0  # the highest temperature
LOWEST = -7.0  # this log-probability and all lower ones have the darkest colour
LEGEND = (1.0, 0.5, 0.1, 0.03, 0.01, 0.001)  # probabilities
WORDS = ("max_gen_len", "from_prompt", "generated", "prompts", "col_*", "heat_*", "settings*")
CIVIDIS = ("#00224e", "#1a386f", "#434e6c", "#61656f", "#7d7c78", "#9b9476", "#bcae6c", "#dec958", "#fee838")


# ---- the view --------------------------------------------------------------------------------------------------------


def shade(logprob: float) -> tuple[str, str]:
    """Background and text colour for a log-probability: from dark blue (improbable) to yellow (certain)."""
    place = (len(CIVIDIS) - 1) * (1 - max(logprob, LOWEST) / LOWEST)
    k = min(int(place), len(CIVIDIS) - 2)
    low, high = (bytes.fromhex(color[1:]) for color in CIVIDIS[k : k + 2])
    mixed = [round(a + (b - a) * (place - k)) for a, b in zip(low, high, strict=True)]
    linear = [c / 3294 if c < 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in mixed]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return f"#{bytes(mixed).hex()}", "#ffffff" if luminance < 0.179 else "#000000"


def percent(prob: float) -> str:
    """A probability in few characters.

    >>> percent(0.034), percent(0.5), percent(2e-7)
    ('3.4%', '50%', '<0.01%')
    """
    return "<0.01%" if prob < 1e-4 else f"{100 * prob:.2g}%" if prob < 0.995 else "100%"


def share(threshold: float) -> str:
    """The threshold, which may be 0."""
    return percent(threshold) if threshold > 0 else "0%"


def heatmap_html(
    runs: Sequence[ScoredText | str], threshold: float, echo: bool, text: dict[str, str], style: bool = True
) -> str:
    """The runs compared, the legend, and a panel for each run; a str is a message in place of a run.

    A token whose probability is below the threshold has a dashed line and its probability below it, and is listed.
    Without echo the prompts' tokens are left out, and the numbers do not count them.
    """
    names = [chr(ord("A") + k) for k in range(len(runs))]
    body = _comparison(runs, names, threshold, echo, text) + _legend(threshold, text)
    panels = "".join(_panel(run, name, threshold, echo, text) for run, name in zip(runs, names, strict=True))
    return wrap(f'{body}<div class="ml-beside">{panels}</div>', "ml-heatmap", style)


def _seen(run: ScoredText, echo: bool) -> list[tuple[int, ScoredToken]]:
    return [(place, token) for place, token in enumerate(run.tokens) if echo or not token.from_prompt]


def _comparison(runs: Sequence[ScoredText | str], names: Sequence[str], threshold, echo, text) -> str:
    heads = columns(text, "run", "temperature", "tokens", "sum", "perplexity", "below")
    rows = []
    for run, name in zip(runs, names, strict=True):
        if isinstance(run, str):
            continue
        seen = [token for _, token in _seen(run, echo)]
        scores = [token.logprob for token in seen]
        known = any(score is not None for score in scores)
        cells = [
            f"{run.temperature:.2f}",
            str(len(seen)),
            f"{sequence_logprob(scores):.2f}" if known else "–",
            f"{perplexity(scores):.2f}" if known else "–",
            str(sum(token.is_below(threshold) for token in seen)),
        ]
        numbers = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr class="ml-run"><th scope="row">{name}</th>{numbers}</tr>')
    if not rows:
        return ""
    caption = text["heat_zero"]
    if threshold > 0:
        caption = text["heat_caption"].format(prob=share(threshold), logprob=math.log(threshold))
    return table(heads, rows, text["heat_table"], escape(caption), left=(0,))


def _legend(threshold: float, text: dict[str, str]) -> str:
    chips = "".join(_chip(percent(p), math.log(p)) for p in LEGEND[:-1])
    chips += _chip(text["heat_or_less"].format(prob=percent(LEGEND[-1])), LOWEST)
    below = escape(text["heat_below"].format(prob=share(threshold)))
    sign = f'<span class="ml-heat-token ml-heat-below">{below}</span>'
    none = f'<span class="ml-heat-token ml-heat-none">{escape(text["heat_none"])}</span>'
    return f'<div class="ml-heat-legend">{escape(text["heat_legend"])} {chips} {sign} {none}</div>'


def _chip(words: str, logprob: float) -> str:
    fill, ink = shade(logprob)
    return f'<span class="ml-heat-token" style="background:{fill};color:{ink}">{escape(words)}</span>'


def _panel(run: ScoredText | str, name: str, threshold: float, echo: bool, text: dict[str, str]) -> str:
    seen = [] if isinstance(run, str) else _seen(run, echo)
    if not seen:
        message = box(run, "failed") if isinstance(run, str) else box(text["heat_nothing"], "missing")
        return f'<div class="ml-heat-panel"><b>{name}</b>{message}</div>'
    parts = []
    for from_prompt, key in ((True, "from_prompt"), (False, "generated")):
        tokens = [(place, token) for place, token in seen[:MAX_TOKENS] if token.from_prompt is from_prompt]
        if tokens:
            chips = "".join(_token(place, token, run.vocab_size, threshold, text) for place, token in tokens)
            css = "ml-heat-prompt" if from_prompt else "ml-heat-written"
            parts.append(
                f'<div class="ml-heat-part {css}"><span class="ml-note">{escape(text[key])}</span>'
                f'<div class="ml-chips" role="list" aria-label="{name}: {escape(text[key])}">{chips}</div></div>'
            )
    if len(seen) > MAX_TOKENS:
        parts.append(small(text["heat_more_tokens"].format(n=len(seen) - MAX_TOKENS)))
    hint = f'<div class="ml-heat-hint ml-note">{escape(text["heat_hint"])}</div>'
    return (
        f'<div class="ml-heat-panel"><div class="ml-heat-text"><b>{name}</b>{"".join(parts)}{hint}</div>'
        f"{_uncertain(seen, name, threshold, text)}</div>"
    )


def _token(place: int, token: ScoredToken, vocab_size: int, threshold: float, text: dict[str, str]) -> str:
    """A coloured token. Its label is what a screen reader says and what the style sheet shows under the pointer."""
    if token.logprob is None:
        says = text["heat_tip_none"].format(place=place, piece=token.piece)
        css, style, percentage = "ml-heat-token ml-heat-none", "", ""
    else:
        prob = math.exp(token.logprob)
        says = text["heat_tip"].format(
            place=place, piece=token.piece, prob=percent(prob), logprob=token.logprob, rank=token.rank,
            vocab_size=vocab_size, best=token.top[0][0], best_prob=percent(token.top[0][1]),
        )  # fmt: skip
        below = token.is_below(threshold)
        fill, ink = shade(token.logprob)
        css = "ml-heat-token ml-heat-below" if below else "ml-heat-token"
        style = f' style="background:{fill};color:{ink}"'
        percentage = f'<span class="ml-heat-number">{percent(prob)}</span>' if below else ""
    return (
        f'<span class="{css}"{style} role="listitem" aria-label="{escape(says)}">'
        f"{escape(token.piece)}{percentage}</span>"
    )


def _uncertain(seen: Sequence[tuple[int, ScoredToken]], name: str, threshold: float, text: dict[str, str]) -> str:
    """The tokens below the threshold, the least probable first."""
    below = sorted((pair for pair in seen if pair[1].is_below(threshold)), key=lambda pair: pair[1].logprob)
    caption = text["heat_uncertain"].format(run=name, n=len(below), prob=share(threshold))
    if not below:
        return count(caption)
    heads = columns(text, "place", "token", "prob", "logprob", "rank", "best")
    body = []
    for place, token in below[:MAX_ROWS]:
        cells = [percent(math.exp(token.logprob)), f"{token.logprob:.2f}", str(token.rank)]
        numbers = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        piece, prob = token.top[0]
        best = escape(f"{piece} {percent(prob)}")
        body.append(
            f'<tr class="ml-low"><td>{place}</td><th scope="row">{escape(token.piece)}</th>{numbers}'
            f'<td class="ml-name">{best}</td></tr>'
        )
    more = text["heat_more_rows"].format(n=len(below) - MAX_ROWS) if len(below) > MAX_ROWS else ""
    return table(heads, body, caption=escape(caption), more=more, left=(1, 5))


@allowed.only(
    llama=allowed.an(Llama),
    prompts=allowed.texts,
    temperatures=allowed.numbers,
    threshold=allowed.plain,
    echo=allowed.flag,
    seed=allowed.seed,
)
def show_logprobs(
    llama: Llama,
    prompts: Sequence[str],
    temperatures: Sequence[float] | None = None,
    max_gen_len: int = 0,
    threshold: float = 0.1,
    echo: bool = True,
    seed: int = 1,
) -> Picture:
    """A still picture of texts coloured by log-probability, as `LogprobHeatmap` draws them.

    prompts: a list of str, of any length; temperatures: one for each, by default 0. With max_gen_len 0 the prompts are
    scored as they are, otherwise with what the model writes after them. threshold: tokens with a smaller probability
    are marked and listed. echo: show the prompts' tokens. Raises TypeError or ValueError where `Llama.generate` would,
    and ValueError if temperatures has another length than prompts or threshold is not from 0 to 1.
    """
    arguments.texts("prompts", prompts)
    temperatures = [0.0] * len(prompts) if temperatures is None else temperatures
    if len(temperatures) != len(prompts):
        raise ValueError(f"temperatures has {len(temperatures)} for {len(prompts)} prompts; give one for each")
    arguments.number("threshold", threshold, 0, 1)
    runs = [
        score(llama, prompt, max_gen_len, temperature, seed=seed)
        for prompt, temperature in zip(prompts, temperatures, strict=True)
    ]
    words = (" ".join(f"{token.piece}({number(token.logprob, 2)})" for _, token in _seen(run, echo)) for run in runs)
    return Picture(heatmap_html(runs, threshold, echo, labels()), "\n".join(words))


# ---- the widget ------------------------------------------------------------------------------------------------------


class LogprobHeatmap(Explorer):
    """Two prompts, or one at two temperatures: their texts coloured by log-probability, side by side.

    prompts: one or two texts. temperatures: two, from 0 to 2. max_gen_len: from 0 to 60; None for 20, if there is room
    for so many. threshold: tokens with a smaller probability are marked and listed. echo: show the prompts' tokens. All
    of these can be read and set (`prompts` has two then). A new prompt, temperature or length runs the model again;
    threshold and echo only change what is shown. `runs` are the two `ScoredText`, or a str that says why there is none.
    Raises TypeError or ValueError, naming the argument, if prompts is not a list of one or two str or a number is
    out of range.
    """

    name, uses = "heatmap", ("grid", "reading")
    prompts = Value().tag(**SENT)
    temperatures = Value().tag(**SENT)
    max_gen_len = Value().tag(**SENT)
    threshold = Value().tag(**SENT)
    echo = Value().tag(**SENT)
    scored = T.List().tag(**SENT)  # `runs` as the page needs them

    @allowed.only(
        llama=allowed.an(Llama),
        prompts=allowed.texts,
        temperatures=allowed.numbers,
        max_gen_len=allowed.plain,
        threshold=allowed.plain,
        echo=allowed.flag,
        seed=allowed.seed,
    )
    def __init__(
        self,
        llama: Llama,
        prompts: Sequence[str],
        temperatures: Sequence[float] = (0.0, 1.0),
        max_gen_len: int | None = None,
        threshold: float = 0.1,
        echo: bool = True,
        seed: int = 1,
    ):
        arguments.texts("prompts", prompts)
        if len(prompts) > 2 or len(temperatures) != 2:
            sizes = f"{len(prompts)} and {len(temperatures)}"
            raise ValueError(f"prompts must be one or two, and temperatures two, got {sizes}; leave some out")
        self.longest = min(MAX_WRITTEN, llama.model.params.max_seq_len - 1)
        self.text, self.llama, self.seed = labels(), llama, seed
        self.runs: list[ScoredText | str] = ["", ""]
        self.ran: list[tuple] = [(), ()]  # what each was run with
        data = {"text": only(self.text, WORDS), "vocab_size": llama.tokenizer.n_words, "cividis": CIVIDIS,
                "lowest": LOWEST, "legend": LEGEND, "longest": self.longest, "hottest": HOTTEST}  # fmt: skip
        max_gen_len = min(20, self.longest) if max_gen_len is None else max_gen_len
        super().__init__(data, prompts=[*prompts, prompts[0]][:2], temperatures=temperatures, threshold=threshold,
                         max_gen_len=max_gen_len, echo=echo)  # fmt: skip
        self.observe(self._run, ["prompts", "temperatures", "max_gen_len"])
        self._run()

    def __repr__(self) -> str:
        return f"LogprobHeatmap(temperatures={self.temperatures}, threshold={self.threshold}, echo={self.echo})"

    @T.validate("prompts", "temperatures", "max_gen_len", "threshold", "echo")
    def _judge(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        if name == "echo":
            return arguments.flag(name, value)
        if name == "threshold":
            return arguments.number(name, value, 0, 1)
        if name == "max_gen_len":
            return arguments.whole(name, value, 0, self.longest)
        arguments.listing(name, value, "str" if name == "prompts" else "numbers")
        if len(value) != 2:
            raise ValueError(f"{name} must be two, one for each run, got {len(value)}")
        if name == "temperatures":
            return [arguments.number(f"{name}[{k}]", each, 0, HOTTEST) for k, each in enumerate(value)]
        for k, each in enumerate(value):  # what is in them, the run answers in place
            arguments.kind(f"{name}[{k}]", each, str)
        return [*value]

    def _run(self, _change=None) -> None:
        """Run the model for each text whose prompt, temperature or length is new."""
        asked = [(*each, self.max_gen_len) for each in zip(self.prompts, self.temperatures, strict=True)]
        if asked == self.ran:
            return
        for k, (prompt, temperature, max_gen_len) in enumerate(asked):
            if asked[k] != self.ran[k]:
                problem = self._problem(prompt, max_gen_len)
                self.runs[k] = problem or score(self.llama, prompt, max_gen_len, temperature, seed=self.seed)
        self.ran = asked
        self.scored = [run_data(run, *values) for run, values in zip(self.runs, asked, strict=True)]

    def _problem(self, prompt: str, max_gen_len: int) -> str:
        if len(prompt) > LONGEST:
            return self.text["heat_long"].format(n=len(prompt), most=LONGEST)
        return trouble(self.llama, prompt, max_gen_len, self.text)

    def still(self) -> str:
        return heatmap_html(self.runs, self.threshold, self.echo, self.text)


def run_data(run: ScoredText | str, prompt: str, temperature: float, max_gen_len: int) -> dict:
    """A run for the page, as JSON: all scores, but only the first MAX_TOKENS tokens."""
    asked = {"prompt": prompt, "temperature": temperature, "max_gen_len": max_gen_len}
    if isinstance(run, str):
        return {**asked, "problem": run}
    shown = run.tokens[:MAX_TOKENS]
    tops = [token.top and [[visible(piece), float(f"{prob:.3g}")] for piece, prob in token.top] for token in shown]
    return {
        **asked, "problem": "", "n_prompt": sum(token.from_prompt for token in run.tokens),
        "pieces": [visible(token.piece) for token in shown], "ranks": [token.rank for token in shown], "tops": tops,
        "logprobs": [token.logprob and round(max(token.logprob, -9999.0), 6) for token in run.tokens],
    }  # fmt: skip
