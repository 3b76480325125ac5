"""TopPExplorer: slide temperature and top_p, and see which tokens survive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import ipywidgets as W
import torch
from torch import Tensor

from minillama.generation import Llama
from minillama.markup import STYLE, wrap
from minillama.sampling import apply_temperature, draw, nucleus
from minillama.widgets.labels import labels
from minillama.widgets.prompts import check_prompts
from minillama.widgets.stages import Stages, stages, stages_html


def top_p_html(
    table: Stages,
    pieces: Sequence[str],
    text: dict[str, str],
    observed: dict[int, int] | None = None,
    style: bool = True,
) -> str:
    """What the widget shows: the stage table, with the draws beside the probabilities if there are any."""
    return wrap(stages_html(table, pieces.__getitem__, text, observed), "ml-top-p", style)


class TopPExplorer(W.VBox):
    """Sliders over the next token of a prompt.

    The model runs once for each prompt, when the widget is made; the sliders re-use those logits. The draw buttons
    sample from the nucleus that is shown and put the observed frequencies beside the probabilities.
    """

    def __init__(
        self,
        llama: Llama,
        prompts: Sequence[str],
        temperature: float = 1.0,
        top_p: float = 0.9,
        n_rows: int = 12,
        seed: int = 0,
        language: str = "en",
    ):
        check_prompts(llama, prompts)
        self.text = labels(language)
        self.logits = {prompt: next_token_logits(llama, prompt) for prompt in prompts}  # (vocab_size,) each
        self.pieces = llama.tokenizer.pieces(range(llama.tokenizer.n_words))
        self.n_rows, self.generator = n_rows, torch.Generator().manual_seed(seed)
        self.observed: dict[int, int] | None = None

        wide = {"style": {"description_width": "initial"}, "layout": W.Layout(width="340px")}
        options = list(dict.fromkeys(prompts))
        self.prompt = W.Dropdown(options=options, description=self.text["prompt"], **wide)
        self.temperature = W.FloatSlider(
            temperature, min=0, max=2, step=0.05, description=self.text["temperature"], **wide
        )
        self.top_p = W.FloatSlider(top_p, min=0, max=1, step=0.01, description=self.text["top_p"], **wide)
        self.draws = [
            W.Button(description=self.text["draw"].format(n=n), tooltip=self.text["draw_tip"].format(n=n))
            for n in (1, 100, 1000)
        ]
        self.view = W.HTML()
        for widget, hook in ((self.prompt, "s-prompt"), (self.temperature, "s-temperature"), (self.top_p, "s-top-p")):
            widget.add_class(hook)
            widget.observe(self._moved, "value")
        for n, button in zip((1, 100, 1000), self.draws, strict=True):
            button.add_class(f"s-draw-{n}")
            button.on_click(lambda _, n=n: self.sample(n))
        super().__init__(
            [self.prompt, W.HBox([self.top_p, self.temperature], layout=W.Layout(flex_flow="row wrap")),
             W.HBox(self.draws), self.view, W.HTML(STYLE)]
        )  # fmt: skip
        self.add_class("w-top-p")
        self._draw()

    def sample(self, n: int) -> dict[int, int]:
        """Draw n tokens from the nucleus as the sliders have it; show and return how often each came."""
        probs = apply_temperature(self.logits[self.prompt.value], self.temperature.value)
        top = nucleus(probs[None], self.top_p.value)  # (1, vocab_size)
        places = draw(top.renormalised, self.generator, n)  # (1, n)
        self.observed = dict(Counter(top.probs_idx.gather(-1, places)[0].tolist()))
        self._draw()
        return self.observed

    def _moved(self, _change) -> None:
        self.observed = None  # the old draws came from another distribution
        self._draw()

    def _draw(self) -> None:
        table = stages(self.logits[self.prompt.value], self.temperature.value, self.top_p.value, self.n_rows)
        self.view.value = top_p_html(table, self.pieces, self.text, self.observed, style=False)


def next_token_logits(llama: Llama, prompt: str) -> Tensor:
    """The raw logits (vocab_size,) for the token after a prompt, on the CPU."""
    prompt_tokens = [llama.tokenizer.encode(prompt, bos=True, eos=False)]
    return llama.logits(prompt_tokens)[0, -1].cpu()
