"""GenerateStepper: run the generate loop once, then go through it column by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as W

from minillama import arguments
from minillama.generation import Llama
from minillama.markup import STYLE, wrap
from minillama.widgets.canvas import notes_html
from minillama.widgets.labels import labels
from minillama.widgets.prompts import no_room, read_prompts
from minillama.widgets.steps import Run, record, stepper_html

LONGEST_RUN = 64  # the end of the slider max_gen_len
LARGEST_SEED = 999_999


class GenerateStepper(W.VBox):
    """A run of the generate loop over a few prompts, to be played or stepped through.

    The model runs when the widget is made and when `run` is pressed. Steps, rows and jumps only change what is shown.
    What cannot be run gets a message in its place.
    """

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

        plain = {"style": {"description_width": "initial"}}
        wide = {**plain, "layout": W.Layout(width="330px", max_width="98%")}
        self.prompts = W.Textarea(
            "\n".join(prompts), description=self.text["canvas_prompts"], tooltip=self.text["canvas_prompts_tip"],
            rows=4, layout=W.Layout(width="670px", max_width="98%"), **plain
        )  # fmt: skip
        self.max_gen_len = W.IntSlider(max_gen_len, 1, LONGEST_RUN, description=self.text["max_gen_len"], **wide)
        self.temperature = W.FloatSlider(
            temperature, min=0, max=2, step=0.05, description=self.text["temperature"], **wide
        )
        self.top_p = W.FloatSlider(top_p, min=0, max=1, step=0.01, description=self.text["top_p"], **wide)
        self.seed = W.BoundedIntText(
            seed, min=0, max=LARGEST_SEED, description=self.text["step_seed"], layout=W.Layout(width="150px"), **plain
        )
        self.logprobs = W.Checkbox(logprobs, description="logprobs", indent=False, layout=W.Layout(width="100px"))
        self.run = self._button("run", self._run, button_style="primary")
        self.play = W.Play(value=0, min=0, max=1, interval=700, show_repeat=False)
        self.step = W.IntSlider(0, 0, 1, description=self.text["step_slider"], **wide)
        self.back = self._button("back", lambda: self._go(self.step.value - 1))
        self.forth = self._button("forth", lambda: self._go(self.step.value + 1))
        self.row = W.Dropdown(
            options=[("", 0)], description=self.text["step_row"], layout=W.Layout(width="150px"), **plain
        )
        self.first_new = self._button("first_new", lambda: self._jump(lambda run, k: run.first_new(k)))
        self.stops = self._button("stops", lambda: self._jump(lambda run, k: run.stop(k)[0]))
        self.view = W.HTML()

        settings = {"s-prompts": self.prompts, "s-max-gen-len": self.max_gen_len, "s-temperature": self.temperature,
                    "s-top-p": self.top_p, "s-seed": self.seed, "s-logprobs": self.logprobs}  # fmt: skip
        for hook, control in settings.items():
            control.add_class(hook)
            control.observe(self._draw, "value")
        for hook, control in {"s-play": self.play, "s-step": self.step, "s-row": self.row}.items():
            control.add_class(hook)
        W.link((self.play, "value"), (self.step, "value"))
        self.step.observe(self._draw, "value")
        self.row.observe(self._row_moved, "value")
        lines = [
            [self.max_gen_len, self.temperature],
            [self.top_p, self.seed, self.logprobs, self.run],
            [self.play, self.step, self.back, self.forth],
            [self.row, self.first_new, self.stops],
        ]
        boxes = [W.HBox(line, layout=W.Layout(flex_flow="row wrap", align_items="center")) for line in lines]
        super().__init__([self.prompts, *boxes, self.view, W.HTML(STYLE)])
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
        """A new run with the settings as they stand; the view begins before its first step."""
        params, max_gen_len = self.llama.model.params, self.max_gen_len.value
        prompt_tokens, self.notes, self.problem = read_prompts(
            self.prompts.value, self.llama.tokenizer, params.max_batch_size, self.text
        )
        self.ran = self._settings()
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

    def _settings(self) -> tuple:
        controls = (self.prompts, self.max_gen_len, self.temperature, self.top_p, self.seed, self.logprobs)
        return tuple(control.value for control in controls)

    def _row_moved(self, _change=None) -> None:
        if self.recorded and self.row.value is not None:
            k = self.row.value
            _, why = self.recorded.stop(k)
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
        notes = [*self.notes, *([self.text["step_changed"]] if self._settings() != self.ran else [])]
        if not self.recorded:
            page = notes_html(notes) + notes_html([self.problem], failed=True)
            self.view.value = wrap(page, "ml-stepper", style=False)
            return
        self.view.value = stepper_html(
            self.recorded, self.step.value, self.row.value or 0, self.pieces, self.text, self.n_columns, notes,
            style=False,
        )  # fmt: skip
