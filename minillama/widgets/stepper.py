"""GenerateStepper: run the generate loop once, then walk along it as along a timeline."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import traitlets as T

from minillama import allowed, arguments
from minillama.generation import Llama
from minillama.markup import visible
from minillama.widgets.front import SENT, Explorer, Value, packed
from minillama.widgets.labels import labels, only
from minillama.widgets.parts import refusal
from minillama.widgets.prompts import no_room, read_prompts
from minillama.widgets.stages import Stages
from minillama.widgets.steps import SIGNS, Run, record, stepper_html

LONGEST_RUN = 64  # the largest max_gen_len
LARGEST_SEED = 999_999
MOST_SENT = 12_000  # candidates of a run, all steps and rows together: about 130 kB in a page
SETTINGS = ("prompts", "max_gen_len", "temperature", "top_p", "seed", "logprobs")
WORDS = ("row", "prompts", "prompts_tip", "max_gen_len", "temperature", "top_p", "greedy", "kept", "is_*", "col_*",
         "short_*", "stages_table", "top_rest", "top_rest_kept", "step_*", "settings*")  # fmt: skip


class GenerateStepper(Explorer):
    """A run of the generate loop on a few prompts, to play or to step through.

    prompts: a list of str. max_gen_len: from 1 to 64. temperature: from 0 to 2. n_rows: how many candidates each step
    lists, from 1 to 50 (fewer in a run of many rows and steps). `step` (0: before the first), `row` and all arguments
    but n_rows can be read and set. The model runs when the widget is made, when `run` is pressed and when
    `run()` is called; `step` and `row` only change what is shown. If the prompts cannot be run, a message says why.
    Raises TypeError or ValueError, naming the argument, if prompts is empty or not a list of str or a number is out of
    range.
    """

    name, uses = "stepper", ("grid", "timeline", "candidates")
    prompts = Value().tag(**SENT)
    max_gen_len = Value().tag(**SENT)
    temperature = Value().tag(**SENT)
    top_p = Value().tag(**SENT)
    seed = Value().tag(**SENT)
    logprobs = Value().tag(**SENT)
    step = Value(0).tag(**SENT)
    row = Value(0).tag(**SENT)
    asked = T.Int(0).tag(**SENT)  # how often the page has asked for a run
    ran = T.Dict().tag(**SENT)  # the last run as the page needs it; its candidates are in `floats`

    @allowed.only(
        llama=allowed.an(Llama),
        prompts=allowed.texts,
        max_gen_len=allowed.plain,
        temperature=allowed.plain,
        top_p=allowed.plain,
        seed=allowed.plain,
        logprobs=allowed.flag,
        n_rows=allowed.plain,
    )
    def __init__(
        self,
        llama: Llama,
        prompts: Sequence[str],
        max_gen_len: int = 12,
        temperature: float = 0.0,
        top_p: float = 0.9,
        seed: int = 1,
        logprobs: bool = False,
        n_rows: int = 40,
    ):
        self.n_rows = arguments.whole("n_rows", n_rows, 1, 50)
        self.text, self.llama = labels(), llama
        self.pieces = llama.tokenizer.pieces(range(llama.tokenizer.n_words))
        self.recorded: Run | None = None
        data = {"text": only(self.text, WORDS), "signs": SIGNS, "longest_run": LONGEST_RUN,
                "largest_seed": LARGEST_SEED, "vocab_size": len(self.pieces)}  # fmt: skip
        super().__init__(data, prompts=prompts, max_gen_len=max_gen_len, temperature=temperature, top_p=top_p,
                         seed=seed, logprobs=logprobs)  # fmt: skip
        self.observe(lambda _: self.run(), "asked")
        self.run()

    def __repr__(self) -> str:
        n_steps = len(self.recorded.steps) if self.recorded else 0
        return f"GenerateStepper({len(self.prompts)} prompts, {n_steps} steps, step={self.step}, row={self.row})"

    @T.validate(*SETTINGS, "step", "row")
    def _judge(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        if name == "prompts":  # what is in them, `run` answers in place
            arguments.listing(name, value, "str")
            for k, each in enumerate(value):
                arguments.kind(f"prompts[{k}]", each, str)
            return [*value]
        if name == "logprobs":
            return arguments.flag(name, value)
        if name in ("temperature", "top_p"):
            return arguments.number(name, value, 0, {"temperature": 2, "top_p": 1}[name])
        n_steps, n_rows = (len(self.recorded.steps), len(self.recorded.prompt_tokens)) if self.recorded else (0, 1)
        lowest, highest = {"max_gen_len": (1, LONGEST_RUN), "seed": (0, LARGEST_SEED), "step": (0, n_steps),
                           "row": (0, n_rows - 1)}[name]  # fmt: skip
        return arguments.whole(name, value, lowest, highest)

    def run(self) -> None:
        """Run the model with the settings as they are; what is shown begins before the first step."""
        settings = {name: getattr(self, name) for name in SETTINGS}
        params, sampler = self.llama.model.params, [settings[name] for name in SETTINGS[2:]]
        prompt_tokens, notes, problem = read_prompts(
            "\n".join(self.prompts), self.llama.tokenizer, params.max_batch_size, self.text
        )
        problem = problem or no_room(prompt_tokens, self.max_gen_len, params.max_seq_len, self.text)
        sent, rows = {"settings": settings, "notes": notes, "problem": problem, "asked": self.asked}, []
        with self.hold_sync():
            self.step = self.row = 0
            self.recorded = None
            if not problem:
                self.recorded = record(self.llama, prompt_tokens, self.max_gen_len, *sampler, self.n_rows)
                n_shown = max(1, min(self.n_rows, MOST_SENT // (len(self.recorded.steps) * len(prompt_tokens))))
                n_shown = min(n_shown, len(self.pieces))
                sent |= run_data(self.recorded, self.pieces, n_shown)
                rows = [candidates(table, next_token, n_shown) for step in self.recorded.steps
                        for table, next_token in zip(step.tables, step.next_token, strict=True)]  # fmt: skip
            self.floats = packed(rows) if rows else b""
            self.ran = sent

    def still(self) -> str:
        if not self.recorded:
            return refusal(self.ran["problem"], "ml-stepper", self.ran["notes"])
        return stepper_html(self.recorded, self.step, self.row, self.pieces, self.text, notes=self.ran["notes"])


def run_data(run: Run, pieces: Sequence[str], n_shown: int) -> dict:
    """A run for the page, as JSON; logprobs are (bsz, columns written) or None."""
    rows = range(len(run.prompt_tokens))
    ended = [next((n for n, step in enumerate(run.steps, start=1) if step.eos_reached[k]), 0) for k in rows]
    ids = {i for t in run.prompt_tokens for i in t}
    ids |= {i for step in run.steps for i in (*step.candidate, *step.next_token)}
    ids |= {row.token for step in run.steps for table in step.tables for row in table.rows[:n_shown]}
    scores = None
    if run.steps[0].logprobs is not None:
        scores = [[round(x, 3) for step in run.steps for x in step.logprobs[k]] for k in rows]
    return {
        "n_steps": len(run.steps), "first": run.steps[0].cur_pos, "total_len": run.total_len, "n_shown": n_shown,
        "prompt_tokens": run.prompt_tokens, "candidate": [step.candidate for step in run.steps],
        "next_token": [step.next_token for step in run.steps], "pad_id": run.pad_id, "stop_ids": [*run.stop_ids],
        "stops": run.stops, "ended": ended, "logprobs": scores, "names": {i: visible(pieces[i]) for i in sorted(ids)},
    }  # fmt: skip


def candidates(table: Stages, next_token: int, n_shown: int) -> torch.Tensor:
    """A step's numbers for one row (5 + 2 * n_shown,): how many tokens are kept and their mass, the first one's
    probability, next_token's logit and place, then the ids and the logits of the first n_shown."""
    own = next(row for row in table.rows if row.token == next_token)
    top = table.rows[:n_shown]
    numbers = [table.n_kept, table.mass_kept, top[0].prob, own.logit, own.place]
    return torch.tensor([*numbers, *(row.token for row in top), *(row.logit for row in top)])
