"""GenerateStepper: run the generate loop once, then step through it column by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as W

from minillama import allowed, arguments
from minillama.generation import Llama
from minillama.markup import STYLE
from minillama.widgets.labels import labels
from minillama.widgets.parts import hook, line, refusal, sized
from minillama.widgets.prompts import no_room, prompts_field, read_prompts
from minillama.widgets.steps import Run, record, stepper_html

LONGEST_RUN = 64  # the end of the slider max_gen_len
LARGEST_SEED = 999_999


class GenerateStepper(W.VBox):
    """A run of the generate loop on a few prompts, to play or to step through.

    prompts: a list of str. max_gen_len: from 1 to 64. temperature: from 0 to 2. n_rows: how many candidates each step
    lists. n_columns: how many columns of a wide canvas are shown, at least 4. The model runs when the widget is made
    and when `run` is pressed; step, row and jumps only change what is shown. If the prompts cannot be run, a message
    says why. Raises TypeError or ValueError, naming the argument, if prompts is empty or not a list of str, a number is
    out of range or the language has no labels.
    """

    @allowed.only(
        llama=allowed.an(Llama),
        prompts=allowed.texts,
        max_gen_len=allowed.plain,
        temperature=allowed.plain,
        top_p=allowed.plain,
        seed=allowed.plain,
        logprobs=allowed.flag,
    )
    @allowed.only(n_rows=allowed.plain, n_columns=allowed.plain)
    def __init__(
        self,
        llama: Llama,
        prompts: Sequence[str],
        max_gen_len: int = 12,
        temperature: float = 0.0,
        top_p: float = 0.9,
        seed: int = 1,
        logprobs: bool = False,
        n_rows: int = 8,
        n_columns: int = 16,
        language: str = "en",
    ):
        arguments.texts("prompts", prompts)
        arguments.whole("max_gen_len", max_gen_len, 1, LONGEST_RUN)
        arguments.number("temperature", temperature, 0, 2)
        arguments.number("top_p", top_p, 0, 1)
        arguments.whole("seed", seed, 0, LARGEST_SEED)
        arguments.whole("n_rows", n_rows, 1, 50)
        arguments.whole("n_columns", n_columns, 4)
        self.text, self.llama = labels(language), llama
        self.n_rows, self.n_columns = n_rows, n_columns
        self.pieces = llama.tokenizer.pieces(range(llama.tokenizer.n_words))
        self.recorded: Run | None = None
        self.notes: list[str] = []
        self.problem = ""

        wide, narrow = sized("330px"), sized("150px")
        self.prompts = prompts_field(prompts, self.text, "670px")
        self.max_gen_len = W.IntSlider(max_gen_len, 1, LONGEST_RUN, description=self.text["max_gen_len"], **wide)
        self.temperature = W.FloatSlider(
            temperature, min=0, max=2, step=0.05, description=self.text["temperature"], **wide
        )
        self.top_p = W.FloatSlider(top_p, min=0, max=1, step=0.01, description=self.text["top_p"], **wide)
        self.seed = W.BoundedIntText(seed, min=0, max=LARGEST_SEED, description=self.text["step_seed"], **narrow)
        self.logprobs = W.Checkbox(logprobs, description="logprobs", indent=False, layout=W.Layout(width="100px"))
        self.run = self._button("run", self._run, button_style="primary")
        self.play = W.Play(value=0, min=0, max=1, interval=700, show_repeat=False)
        self.step = W.IntSlider(0, 0, 1, description=self.text["step_slider"], **wide)
        self.back = self._button("back", lambda: self._go(self.step.value - 1))
        self.forth = self._button("forth", lambda: self._go(self.step.value + 1))
        self.row = W.Dropdown(options=[("", 0)], description=self.text["step_row"], **narrow)
        self.first_new = self._button("first_new", lambda: self._jump(lambda run, k: run.first_new(k)))
        self.stops = self._button("stops", lambda: self._jump(lambda run, k: run.stops[k][0]))
        self.view = W.HTML()

        self.settings = {"s-prompts": self.prompts, "s-max-gen-len": self.max_gen_len,
                         "s-temperature": self.temperature, "s-top-p": self.top_p, "s-seed": self.seed,
                         "s-logprobs": self.logprobs}  # fmt: skip
        hook(self.settings | {"s-step": self.step}, self._draw)
        hook({"s-row": self.row}, self._row_moved)
        hook({"s-play": self.play})
        W.link((self.play, "value"), (self.step, "value"))
        lines = [
            line(self.max_gen_len, self.temperature),
            line(self.top_p, self.seed, self.logprobs, self.run),
            line(self.play, self.step, self.back, self.forth),
            line(self.row, self.first_new, self.stops),
        ]
        super().__init__([self.prompts, *lines, self.view, W.HTML(STYLE)])
        self.add_class("w-stepper")
        self._run()

    def _button(self, name: str, pressed, **options) -> W.Button:
        button = W.Button(
            description=self.text[f"step_{name}"].format(k=0), tooltip=self.text[f"step_{name}_tip"],
            layout=W.Layout(width="auto"), **options
        )  # fmt: skip
        button.add_class(f"s-{name.replace('_', '-')}")
        button.on_click(lambda _: pressed())
        return button

    def _run(self) -> None:
        """A new run with the settings of the controls; the view begins before its first step."""
        params, max_gen_len = self.llama.model.params, self.max_gen_len.value
        prompt_tokens, self.notes, self.problem = read_prompts(
            self.prompts.value, self.llama.tokenizer, params.max_batch_size, self.text
        )
        self.ran = self._values()
        self.problem = self.problem or no_room(prompt_tokens, max_gen_len, params.max_seq_len, self.text)
        self.play.playing = False
        self.recorded = None
        if not self.problem:
            sampler = (self.temperature.value, self.top_p.value, self.seed.value, self.logprobs.value)
            self.recorded = record(self.llama, prompt_tokens, max_gen_len, *sampler, self.n_rows)
        for control in (self.play, self.step, self.back, self.forth, self.row, self.first_new, self.stops):
            control.disabled = self.recorded is None
        if self.recorded:
            self.step.value = 0
            self.step.max = self.play.max = len(self.recorded.steps)
            self.row.options = [(str(k), k) for k in range(len(prompt_tokens))]
        self._row_moved()

    def _values(self) -> list:
        return [control.value for control in self.settings.values()]

    def _row_moved(self, _change=None) -> None:
        if self.recorded and self.row.value is not None:
            k = self.row.value
            _, why = self.recorded.stops[k]
            self.first_new.description = self.text["step_first_new"].format(k=k)
            self.first_new.disabled = self.recorded.first_new(k) is None
            self.stops.description = self.text[f"step_stops_{why}"].format(k=k)
        self._draw()

    def _go(self, number: int | None) -> None:
        if self.recorded and number is not None:
            self.step.value = min(max(number, 0), len(self.recorded.steps))

    def _jump(self, find: Callable[[Run, int], int | None]) -> None:
        if self.recorded:
            self._go(find(self.recorded, self.row.value))

    def _draw(self, _change=None) -> None:
        notes = [*self.notes, *([self.text["step_changed"]] if self._values() != self.ran else [])]
        if not self.recorded:
            self.view.value = refusal(self.problem, "ml-stepper", notes)
            return
        self.view.value = stepper_html(
            self.recorded, self.step.value, self.row.value or 0, self.pieces, self.text, self.n_columns, notes,
            style=False,
        )  # fmt: skip
