"""TopPExplorer: slide temperature and top_p and see which tokens are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import ipywidgets as W
import torch
from torch import Tensor

from minillama import allowed, arguments
from minillama.generation import Llama
from minillama.markup import STYLE, wrap
from minillama.sampling import apply_temperature, draw, nucleus
from minillama.widgets.labels import labels
from minillama.widgets.parts import hook, line, sized
from minillama.widgets.prompts import check_prompts, prompt_choice
from minillama.widgets.stages import Stages, stages, stages_html


def top_p_html(
    state: Stages,
    pieces: Sequence[str],
    text: dict[str, str],
    observed: dict[int, int] | None = None,
    style: bool = True,
) -> str:
    """What the widget shows: the stage table, with the draws beside the probabilities if there are any."""
    return wrap(stages_html(state, pieces.__getitem__, text, observed), "ml-top-p", style)


class TopPExplorer(W.VBox):
    """Sliders for temperature (0 to 2) and top_p (0 to 1) for the next token after a prompt.

    prompts: a list of str to choose from; n_rows: how many tokens the table shows. The model runs once for each
    prompt, when the widget is made; the sliders re-use those logits. The draw buttons sample from the nucleus that is
    shown, with a generator seeded by seed, and put the observed frequencies beside the probabilities. Raises TypeError
    or ValueError, naming the argument, if prompts is empty or not a list of str, a prompt leaves no room for a token, a
    number is out of range or the language has no labels.
    """

    @allowed.only(
        llama=allowed.an(Llama),
        prompts=allowed.texts,
        temperature=allowed.plain,
        top_p=allowed.plain,
        n_rows=allowed.plain,
        seed=allowed.seed,
    )
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
        arguments.number("temperature", temperature, 0, 2)
        arguments.number("top_p", top_p, 0, 1)
        arguments.whole("n_rows", n_rows, 1)
        arguments.whole("seed", seed, 0, arguments.LARGEST_SEED)
        self.text = labels(language)
        self.logits = {prompt: next_token_logits(llama, prompt) for prompt in prompts}  # (vocab_size,) each
        self.pieces = llama.tokenizer.pieces(range(llama.tokenizer.n_words))
        self.n_rows, self.generator = n_rows, torch.Generator().manual_seed(seed)
        self.observed: dict[int, int] | None = None

        self.prompt = prompt_choice(prompts, self.text, "340px")
        self.temperature = W.FloatSlider(
            temperature, min=0, max=2, step=0.05, description=self.text["temperature"], **sized("340px")
        )
        self.top_p = W.FloatSlider(top_p, min=0, max=1, step=0.01, description=self.text["top_p"], **sized("340px"))
        self.draws = [
            W.Button(description=self.text["draw"].format(n=n), tooltip=self.text["draw_tip"].format(n=n))
            for n in (1, 100, 1000)
        ]
        self.view = W.HTML()
        controls = {"s-prompt": self.prompt, "s-temperature": self.temperature, "s-top-p": self.top_p}
        hook(controls, self._moved)
        for n, button in zip((1, 100, 1000), self.draws, strict=True):
            button.add_class(f"s-draw-{n}")
            button.on_click(lambda _, n=n: self.sample(n))
        sliders = line(self.top_p, self.temperature)
        super().__init__([self.prompt, sliders, W.HBox(self.draws), self.view, W.HTML(STYLE)])
        self.add_class("w-top-p")
        self._draw()

    @allowed.only(n=allowed.count)
    def sample(self, n: int) -> dict[int, int]:
        """Draw n tokens from the nucleus that is shown; show and return {token id: how often it was drawn}."""
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
        state = stages(self.logits[self.prompt.value], self.temperature.value, self.top_p.value, self.n_rows)
        self.view.value = top_p_html(state, self.pieces, self.text, self.observed, style=False)


def next_token_logits(llama: Llama, prompt: str) -> Tensor:
    """The raw logits (vocab_size,) for the token after a prompt, on the CPU."""
    prompt_tokens = [llama.tokenizer.encode(prompt, bos=True, eos=False)]
    return llama.logits(prompt_tokens)[0, -1].cpu()
