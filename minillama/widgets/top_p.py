"""TopPExplorer: move the cut line and the temperature and see which tokens are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
import traitlets as T
from torch import Tensor

from minillama import allowed, arguments
from minillama.generation import Llama
from minillama.markup import visible, wrap
from minillama.sampling import apply_temperature, draw, nucleus
from minillama.widgets.front import HIGHEST, SENT, Explorer, Value, packed
from minillama.widgets.labels import labels, only
from minillama.widgets.prompts import check_prompts, one_of
from minillama.widgets.stages import Stages, shown_names, stages, stages_html

WORDS = ("prompt", "temperature", "top_p", "kept", "greedy", "is_kept", "is_cut", "stages_table", "draw", "draw_tip",
         "col_*", "short_*", "top_*")  # fmt: skip


def top_p_html(state: Stages, pieces: Sequence[str], text: dict[str, str], style: bool = True) -> str:
    """The still: the stage table."""
    return wrap(stages_html(state, pieces.__getitem__, text), "ml-top-p", style)


class TopPExplorer(Explorer):
    """The next token after a prompt: a line at top_p (0 to 1) to drag, a slider for the temperature (0 to 3).

    prompts: a list of str to choose from; n_rows: how many tokens the table shows. The model runs once for each
    prompt, when the widget is made; the browser has the logits and draws by itself. Its draws come from the nucleus
    that is shown and add up until something is moved; they are seeded by seed. `prompt`, `temperature`, `top_p` and
    `observed` ({token id: how often it was drawn}) can be read and set. Raises TypeError or ValueError, naming the
    argument, if prompts is empty or not a list of str, a prompt leaves no room for a token or a number is out of range.
    """

    name, moved = "top_p", ("prompt", "temperature", "top_p")
    prompt = Value().tag(**SENT)
    temperature = Value().tag(**SENT)
    top_p = Value().tag(**SENT)
    observed = Value().tag(**SENT, from_json=lambda value, _: {int(i): n for i, n in value.items()})

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
    ):
        check_prompts(llama, prompts)
        arguments.whole("n_rows", n_rows, 1)
        arguments.whole("seed", seed, 0, arguments.LARGEST_SEED)
        self.text = labels()
        self.logits = {prompt: next_token_logits(llama, prompt) for prompt in prompts}  # (vocab_size,) each
        self.pieces = llama.tokenizer.pieces(range(llama.tokenizer.n_words))
        self.n_rows, self.generator = n_rows, torch.Generator().manual_seed(seed)
        names = shown_names(self.logits.values(), self.pieces, n_rows)
        data = {"prompts": list(self.logits), "shown": [visible(prompt) for prompt in self.logits], "names": names,
                "text": only(self.text, WORDS), "vocab_size": len(self.pieces), "n_rows": n_rows,
                "seed": seed % 2**32}  # fmt: skip
        super().__init__(data, floats=packed(self.logits.values()), prompt=prompts[0], temperature=temperature,
                         top_p=top_p, observed={})  # fmt: skip

    def __repr__(self) -> str:
        return f"TopPExplorer({len(self.logits)} prompts, temperature={self.temperature}, top_p={self.top_p})"

    @T.validate("temperature", "top_p", "prompt", "observed")
    def _judge(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        if name == "prompt":
            return one_of(value, self.logits)
        if name == "observed":
            return counts(value, len(self.pieces))
        return arguments.number(name, value, 0, {"temperature": HIGHEST, "top_p": 1}[name])

    def _moved(self, change) -> None:
        self.observed = {}  # the old draws came from another distribution

    @allowed.only(n=allowed.count)
    def sample(self, n: int) -> dict[int, int]:
        """Draw n more tokens from the nucleus that is shown; return {token id: how often it was drawn} of all."""
        probs = apply_temperature(self.logits[self.prompt], self.temperature)
        top = nucleus(probs[None], self.top_p)  # (1, vocab_size)
        places = draw(top.renormalised, self.generator, n)  # (1, n)
        drawn = Counter(top.probs_idx.gather(-1, places)[0].tolist())
        self.observed = dict(Counter(self.observed) + drawn)
        return self.observed

    def still(self) -> str:
        state = stages(self.logits[self.prompt], self.temperature, self.top_p, self.n_rows)
        return top_p_html(state, self.pieces, self.text)


def counts(value, vocab_size: int) -> dict[int, int]:
    """`observed`, judged."""
    if not isinstance(value, Mapping):
        raise TypeError(f"observed must be a dict {{token id: how often it was drawn}}, got {arguments.typed(value)}")
    judged = {arguments.whole("observed: a token id", i, 0, vocab_size - 1): n for i, n in value.items()}
    return {i: arguments.whole(f"observed[{i}]", n, 1) for i, n in judged.items()}


def next_token_logits(llama: Llama, prompt: str) -> Tensor:
    """The raw logits (vocab_size,) for the token after a prompt, on the CPU."""
    prompt_tokens = [llama.tokenizer.encode(prompt, bos=True, eos=False)]
    return llama.logits(prompt_tokens)[0, -1].cpu()
