"""A run of the generate loop as plain data, and the view of one of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from minillama import arguments
from minillama.generation import Llama
from minillama.markup import escape, wrap
from minillama.widgets.canvas import notes_html
from minillama.widgets.labels import labels
from minillama.widgets.stages import Stages, batch_stages, stages_html

SIGNS = {"prompt": "P", "new": "+", "eos": "■", "surplus": "×", "empty": "·"}


@dataclass(frozen=True)
class Step:
    """One round of the loop, as lists; of the probabilities only the largest are kept."""

    prev_pos: int
    cur_pos: int
    candidate: list[int]  # (bsz,)
    next_token: list[int]  # (bsz,)
    from_prompt: list[bool]  # (bsz,)
    eos_reached: list[bool]  # (bsz,) after the round
    tables: list[Stages]  # a row each
    logprobs: list[list[float]] | None  # (bsz, cur_pos - prev_pos)


@dataclass(frozen=True)
class Run:
    """A finished run. Its steps are counted from 1; step 0 is the canvas before the first."""

    prompt_tokens: list[list[int]]
    total_len: int
    max_gen_len: int
    temperature: float
    eos_id: int
    pad_id: int
    steps: list[Step]

    def first_new(self, row: int) -> int | None:
        """The step that writes a row's first token behind its prompt; None if the loop ended before."""
        step = len(self.prompt_tokens[row]) - self.steps[0].cur_pos + 1
        return step if step <= len(self.steps) else None

    def stop(self, row: int) -> tuple[int, str]:
        """The step that writes a row's last token that counts, and why it is the last: eos, length or room."""
        return self._stops[row]

    @cached_property
    def _stops(self) -> list[tuple[int, str]]:
        return [self._find_stop(row) for row in range(len(self.prompt_tokens))]

    def _find_stop(self, row: int) -> tuple[int, str]:
        n_prompt = len(self.prompt_tokens[row])
        for number, step in enumerate(self.steps, start=1):
            if step.cur_pos >= n_prompt and step.next_token[row] == self.eos_id:
                return number, "eos"
            if step.cur_pos == n_prompt + self.max_gen_len - 1:
                return number, "length"
        return len(self.steps), "room"

    def kind(self, number: int, row: int, column: int) -> str:
        """What stands in a place of the canvas after a step: prompt, new, eos, surplus or empty."""
        if column < len(self.prompt_tokens[row]):
            return "prompt"
        if column >= self.steps[0].cur_pos + number:
            return "empty"
        last, why = self.stop(row)
        last_column = self.steps[last - 1].cur_pos
        if column > last_column:
            return "surplus"
        return "eos" if column == last_column and why == "eos" else "new"

    def token(self, number: int, row: int, column: int) -> int:
        """The id in a place of the canvas after a step."""
        kind = self.kind(number, row, column)
        if kind == "prompt":
            return self.prompt_tokens[row][column]
        return self.pad_id if kind == "empty" else self.steps[column - self.steps[0].cur_pos].next_token[row]


def record(
    llama: Llama,
    prompt_tokens: Sequence[Sequence[int]],
    max_gen_len: int,
    temperature: float = 0.0,
    top_p: float = 0.9,
    seed: int = 1,
    logprobs: bool = False,
    n_rows: int = 8,
) -> Run:
    """Run the loop to its end and keep what can be shown of each step; n_rows candidates a row."""
    steps = []
    for step in llama.generate_steps(prompt_tokens, max_gen_len, temperature, top_p, logprobs, seed=seed):
        also = torch.stack([step.candidate, step.next_token], dim=1)  # (bsz, 2)
        tables = batch_stages(step.logits, temperature, top_p, n_rows, also, by_logit=True)
        columns = (step.candidate, step.next_token, step.from_prompt, step.eos_reached)
        scores = None if step.logprobs is None else step.logprobs.tolist()
        steps.append(Step(step.prev_pos, step.cur_pos, *(column.tolist() for column in columns), tables, scores))
        if all(steps[-1].eos_reached):  # on a GPU the loop looks at this less often
            break
    total_len = step.tokens.shape[1]
    prompts = [list(t) for t in prompt_tokens]
    eos_id, pad_id = llama.tokenizer.eos_id, llama.tokenizer.pad_id
    return Run(prompts, total_len, max_gen_len, temperature, eos_id, pad_id, steps)


def stepper_html(
    run: Run,
    number: int,
    row: int,
    pieces: Sequence[str],
    text: dict[str, str],
    n_columns: int = 16,
    notes: Sequence[str] = (),
    style: bool = True,
) -> str:
    """The canvas after step `number`, what forward read, and how the token of `row` came about.

    Of a wide canvas n_columns are shown, those around the column just written.
    """
    shown = _window(run, number, n_columns)
    grid = _grid(run, number, row, pieces, text, shown)
    hidden = run.total_len - len(shown)
    legend = [text["step_legend"]] + ([text["step_hidden"].format(n=hidden)] if hidden else [])
    under = "".join(f'<div class="ml-note">{escape(line)}</div>' for line in legend)
    detail = _detail(run, number, row, pieces, text) if number else ""
    return wrap(f"{notes_html(notes)}{grid}{under}{detail}", "ml-stepper", style)


def caption(run: Run, number: int, text: dict[str, str]) -> str:
    """What the step does, in a sentence."""
    if not number:
        return text["step_before"].format(first=run.steps[0].cur_pos, n=len(run.steps))
    step = run.steps[number - 1]
    last = step.cur_pos - 1
    reads = text["step_reads_one" if last == step.prev_pos else "step_reads"].format(first=step.prev_pos, last=last)
    end = ""
    if number == len(run.steps):
        end = " " + text["step_all_ended" if all(step.eos_reached) else "step_full"]
    return text["step_caption"].format(reads=reads, column=step.cur_pos) + end


def where_lines(run: Run, number: int, row: int, pieces: Sequence[str], text: dict[str, str]) -> list[str]:
    """The lines of the loop that write a row's token, filled in."""
    step = run.steps[number - 1]
    column, inside = step.cur_pos, step.from_prompt[row]
    before, token, candidate = run.token(number - 1, row, column), step.next_token[row], step.candidate[row]

    def named(i: int) -> str:
        return f"{i} {pieces[i]}" if i >= 0 else str(i)

    ended = number > 1 and run.steps[number - 2].eos_reached[row]
    lines = [
        f"next_token = torch.where(input_text_mask[:, {column}], tokens[:, {column}], candidate)",
        f"    row {row}:  where({inside}, {named(before)}, {named(candidate)})  →  {named(token)}",
        f"tokens[:, {column}] = next_token",
        f"    row {row}:  {before}  →  {named(token)}",
        f"eos_reached = eos_reached | (~input_text_mask[:, {column}] & (next_token == {run.eos_id}))",
        f"    row {row}:  {ended} | ({not inside} & {token == run.eos_id})  →  {step.eos_reached[row]}",
    ]
    if step.logprobs is not None:
        lines.append(f"logprobs, row {row}:")
        scores = list(enumerate(step.logprobs[row], start=step.prev_pos + 1))
        if len(scores) > 8:
            lines.append(f"    {text['step_more_logprobs'].format(n=len(scores) - 8)}")
        for place, score in scores[-8:]:
            lines.append(f"    column {place}:  {score:9.4f}  {named(run.token(number, row, place))}")
    return lines


def _window(run: Run, number: int, n_columns: int) -> range:
    if run.total_len <= n_columns:
        return range(run.total_len)
    now = run.steps[max(number, 1) - 1].cur_pos
    start = min(max(0, now - n_columns * 2 // 3), run.total_len - n_columns)
    return range(start, start + n_columns)


def _grid(run: Run, number: int, row: int, pieces: Sequence[str], text: dict[str, str], shown: range) -> str:
    step = run.steps[number - 1] if number else None
    before = "<td>…</td>" if shown.start else ""
    behind = "<td>…</td>" if shown.stop < run.total_len else ""

    def line(title: str, cells: Sequence[str], css: str = "") -> str:
        return f'<tr{css}><th scope="row">{escape(title)}</th>{before}{"".join(cells)}{behind}</tr>'

    def forward(column: int) -> str:
        if step and step.prev_pos <= column < step.cur_pos:
            return '<td class="ml-slot-read">R</td>'
        return '<td class="ml-slot-write">W</td>' if step and column == step.cur_pos else "<td></td>"

    def place(k: int, column: int) -> str:
        kind, token = run.kind(number, k, column), run.token(number, k, column)
        css = f"ml-step-{kind}" + (" ml-step-now" if step and column == step.cur_pos else "")
        piece = f"{escape(pieces[token])}<br>" if kind != "empty" else ""
        return f'<td class="{css}">{piece}<small>{SIGNS[kind]} {token}</small></td>'

    numbers = "".join(f'<th scope="col">{column}</th>' for column in shown)
    numbers = f"{'<th>…</th>' if before else ''}{numbers}{'<th>…</th>' if behind else ''}"
    rows = [line(text["step_forward"], [forward(column) for column in shown], ' class="ml-step-forward"')]
    for k in range(len(run.prompt_tokens)):
        title = ("▶ " if k == row else "  ") + text["canvas_row"].format(k=k)
        title += " ■" if step and step.eos_reached[k] else ""
        css = f' class="ml-step-row{" ml-step-chosen" if k == row else ""}"'
        rows.append(line(title, [place(k, column) for column in shown], css))
    head = escape(text["step_number"].format(k=number, n=len(run.steps)))
    code = f" <code>forward(tokens[:, {step.prev_pos}:{step.cur_pos}], {step.prev_pos})</code>" if step else ""
    return (
        f'<table class="ml-canvas" aria-label="{escape(text["step_table"])}">'
        f'<caption class="ml-count" aria-live="polite"><b>{head}</b>{code}<br>{escape(caption(run, number, text))}'
        f'</caption><thead><tr><th scope="col" class="ml-name">tokens</th>{numbers}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _detail(run: Run, number: int, row: int, pieces: Sequence[str], text: dict[str, str]) -> str:
    step = run.steps[number - 1]
    inside, token, candidate = step.from_prompt[row], step.next_token[row], step.candidate[row]
    table = step.tables[row]
    drawn = run.temperature > 0 and not inside
    places = {each.token: each.place + 1 for each in table.rows}
    marks = {candidate: text["step_drawn" if drawn else "step_argmax"].format(place=places[candidate])}
    if inside:
        own = text["step_own"].format(place=places[token])
        marks[token] = f"{marks[token]} {own}" if token == candidate else own
    if inside:
        verdict = text["step_same" if token == candidate else "step_dropped"]
    else:
        last, why = run.stop(row)
        verdict = text[f"step_stop_{why}"] if number == last else text["step_enters"]
        verdict = text["step_surplus"] if number > last else verdict
    title = text["step_detail"].format(row=row, column=step.cur_pos)
    lines = "\n".join(map(escape, where_lines(run, number, row, pieces, text)))
    return (
        f'<div class="ml-step-detail"><b>{escape(title)}</b> {escape(verdict)}<pre class="ml-where">{lines}</pre>'
        f"{stages_html(table, pieces.__getitem__, text, marks=marks)}</div>"
    )


class StepPicture:
    """The view of one step alone, without a kernel: the value of a cell."""

    def __init__(self, run: Run, number: int, row: int, pieces: Sequence[str], text: dict[str, str]):
        self.run, self.number, self.row, self.pieces, self.text = run, number, row, pieces, text

    def __repr__(self) -> str:
        head = self.text["step_number"].format(k=self.number, n=len(self.run.steps))
        lines = where_lines(self.run, self.number, self.row, self.pieces, self.text) if self.number else []
        return "\n".join([f"{head} {caption(self.run, self.number, self.text)}", *lines])

    def _repr_html_(self) -> str:
        return stepper_html(self.run, self.number, self.row, self.pieces, self.text)


def show_step(
    llama: Llama,
    prompt_tokens: Sequence[Sequence[int]],
    number: int,
    row: int = 0,
    max_gen_len: int = 12,
    language: str = "en",
    **settings,
) -> StepPicture:
    """The picture that `GenerateStepper` draws of step `number`; settings as for `record`."""
    run = record(llama, prompt_tokens, max_gen_len, **settings)
    arguments.whole("number", number, 0, len(run.steps))
    arguments.whole("row", row, 0, len(prompt_tokens) - 1)
    pieces = llama.tokenizer.pieces(range(llama.tokenizer.n_words))
    return StepPicture(run, number, row, pieces, labels(language))
