"""A run of the generate loop as plain data, and the view of one of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from minillama import allowed, arguments
from minillama.generation import Llama
from minillama.markup import escape, wrap
from minillama.results import Row
from minillama.widgets.labels import labels
from minillama.widgets.parts import Picture, boxes, small
from minillama.widgets.stages import Stages, batch_stages, stages_html

SIGNS = {"prompt": "P", "new": "+", "eos": "■", "surplus": "×", "empty": "·"}


@dataclass(frozen=True)
class Step:
    """One step of the loop, as lists; only the largest probabilities are kept."""

    prev_pos: int
    cur_pos: int
    candidate: list[int]  # (bsz,)
    next_token: list[int]  # (bsz,)
    from_prompt: list[bool]  # (bsz,)
    eos_reached: list[bool]  # (bsz,) after the step
    tables: list[Stages]  # one per row
    logprobs: list[list[float]] | None  # (bsz, cur_pos - prev_pos)


@dataclass(frozen=True)
class Run:
    """A finished run. Its steps are counted from 1; step 0 is the canvas before the first."""

    prompt_tokens: list[list[int]]
    total_len: int
    temperature: float
    stop_ids: tuple[int, ...]
    pad_id: int
    steps: list[Step]
    stops: list[tuple[int, str]]  # (bsz,) which step writes the row's last token, and why: eos, length or room

    def first_new(self, row: int) -> int | None:
        """The step that writes a row's first token after its prompt; None if the loop ended before."""
        step = len(self.prompt_tokens[row]) - self.steps[0].cur_pos + 1
        return step if step <= len(self.steps) else None

    def kind(self, number: int, row: int, column: int) -> str:
        """What is in a place of the canvas after a step: prompt, new, eos, surplus or empty."""
        if column < len(self.prompt_tokens[row]):
            return "prompt"
        if column >= self.steps[0].cur_pos + number:
            return "empty"
        last, why = self.stops[row]
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
    """Run the loop to its end and keep what can be shown of each step, n_rows candidates for each row."""
    n_rows, temperature = arguments.whole("n_rows", n_rows, 1), arguments.plain(temperature)
    top_p = arguments.plain(top_p)
    loop = llama.generate_steps(prompt_tokens, max_gen_len, temperature, top_p, logprobs, seed=seed)
    rows = [Row(llama.tokenizer, prompt, max_gen_len, stop=()) for prompt in prompt_tokens]
    steps, stops = [], {}
    for step in loop:
        also = torch.stack([step.candidate, step.next_token], dim=1)  # (bsz, 2)
        tables = batch_stages(step.logits, temperature, top_p, n_rows, also)
        columns = (step.candidate, step.next_token, step.from_prompt, step.eos_reached)
        scores = None if step.logprobs is None else step.logprobs.tolist()
        steps.append(Step(step.prev_pos, step.cur_pos, *(column.tolist() for column in columns), tables, scores))
        for k, (row, token, inside) in enumerate(zip(rows, steps[-1].next_token, steps[-1].from_prompt, strict=True)):
            if not inside and not row.ended:
                row.push(token)
                if row.ended:
                    stops[k] = len(steps), "eos" if row.finish_reason == "stop" else "length"
        if all(steps[-1].eos_reached):  # on a GPU the loop looks at this less often
            break
    ends = [stops.get(k, (len(steps), "room")) for k in range(len(rows))]
    prompts = [row.prompt for row in rows]
    stop_ids, pad_id = llama.tokenizer.stop_ids, llama.tokenizer.pad_id
    return Run(prompts, step.tokens.shape[1], temperature, stop_ids, pad_id, steps, ends)


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
    """The canvas after step `number`, what forward read, and how the token of `row` was chosen.

    n_columns of a wide canvas are shown: those around the column just written.
    """
    shown = _window(run, number, n_columns)
    grid = _grid(run, number, row, pieces, text, shown)
    hidden = run.total_len - len(shown)
    more = [text["more_columns"].format(n=hidden)] if hidden else []
    under = "".join(map(small, [text["step_legend"], *more]))
    detail = _detail(run, number, row, pieces, text) if number else ""
    return wrap(f"{boxes(notes)}{grid}{under}{detail}", "ml-stepper", style)


def caption(run: Run, number: int, text: dict[str, str]) -> str:
    """What the step does, in a sentence."""
    if not number:
        return text["step_before"].format(first=run.steps[0].cur_pos)
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
    one, *more = run.stop_ids
    is_stop = f"torch.isin(next_token, {run.stop_ids})" if more else f"(next_token == {one})"
    title = text["row"].format(k=row)
    lines = [
        f"next_token = torch.where(input_text_mask[:, {column}], tokens[:, {column}], candidate)",
        f"    {title}:  where({inside}, {named(before)}, {named(candidate)})  →  {named(token)}",
        f"tokens[:, {column}] = next_token",
        f"    {title}:  {before}  →  {named(token)}",
        f"eos_reached = eos_reached | (~input_text_mask[:, {column}] & {is_stop})",
        f"    {title}:  {ended} | ({not inside} & {token in run.stop_ids})  →  {step.eos_reached[row]}",
    ]
    if step.logprobs is not None:
        lines.append(f"logprobs, {title}:")
        scores = list(enumerate(step.logprobs[row], start=step.prev_pos + 1))
        if len(scores) > 8:
            lines.append(f"    {text['step_more_logprobs'].format(n=len(scores) - 8)}")
        for place, score in scores[-8:]:
            head, token = text["step_column"].format(column=place), run.token(number, row, place)
            lines.append(f"    {head}:  {score:9.4f}  {named(token)}")
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
    after = "<td>…</td>" if shown.stop < run.total_len else ""

    def line(title: str, cells: Sequence[str], css: str = "") -> str:
        return f'<tr{css}><th scope="row">{escape(title)}</th>{before}{"".join(cells)}{after}</tr>'

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
    numbers = f"{'<th>…</th>' if before else ''}{numbers}{'<th>…</th>' if after else ''}"
    rows = [line(text["step_forward"], [forward(column) for column in shown], ' class="ml-step-forward"')]
    for k in range(len(run.prompt_tokens)):
        title = ("▶ " if k == row else "  ") + text["row"].format(k=k)
        title += " ■" if step and step.eos_reached[k] else ""
        css = f' class="ml-step-row{" ml-step-chosen" if k == row else ""}"'
        rows.append(line(title, [place(k, column) for column in shown], css))
    head = escape(text["step_number"].format(k=number, n=len(run.steps)))
    code = f" <code>forward(tokens[:, {step.prev_pos}:{step.cur_pos}], {step.prev_pos})</code>" if step else ""
    return (
        f'<table class="ml-canvas" aria-label="{escape(text["step_table"])}">'
        f'<caption class="ml-count"><b>{head}</b>{code}<br>{escape(caption(run, number, text))}'
        f'</caption><thead><tr><th scope="col" class="ml-name">{escape(text["step_tokens"])}</th>{numbers}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _detail(run: Run, number: int, row: int, pieces: Sequence[str], text: dict[str, str]) -> str:
    step = run.steps[number - 1]
    inside, token, candidate = step.from_prompt[row], step.next_token[row], step.candidate[row]
    table = step.tables[row]
    drawn = run.temperature > 0 and not inside
    places = {each.token: each.place + 1 for each in table.rows}
    marks = {candidate: text["step_drawn" if drawn else "step_argmax"].format(rank=places[candidate])}
    if inside:
        own = text["step_own"].format(rank=places[token])
        marks[token] = f"{marks[token]} {own}" if token == candidate else own
    if inside:
        verdict = text["step_same" if token == candidate else "step_dropped"]
    else:
        last, why = run.stops[row]
        verdict = text[f"step_stop_{why}"] if number == last else text["step_enters"]
        verdict = text["step_surplus"] if number > last else verdict
    title = text["step_detail"].format(row=row, column=step.cur_pos)
    lines = "\n".join(map(escape, where_lines(run, number, row, pieces, text)))
    return (
        f'<div class="ml-step-detail"><b>{escape(title)}</b> {escape(verdict)}<pre class="ml-where">{lines}</pre>'
        f"{stages_html(table, pieces.__getitem__, text, marks=marks)}</div>"
    )


@allowed.only(llama=allowed.an(Llama), number=allowed.plain, row=allowed.plain, max_gen_len=allowed.plain)
def show_step(
    llama: Llama,
    prompt_tokens: Sequence[Sequence[int]],
    number: int,
    row: int = 0,
    max_gen_len: int = 12,
    **settings,
) -> Picture:
    """A still picture of one step of the generate loop, as `GenerateStepper` draws it.

    prompt_tokens: bsz lists of ids, of any lengths. number: the step, from 1; 0 is the canvas before the first. row:
    the row whose token is explained. settings: temperature (by default 0), top_p, seed, logprobs and n_rows, the number
    of candidates listed. Raises TypeError or ValueError, naming the argument, where `Llama.generate` would, and
    ValueError for a step or row that does not exist.
    """
    text = labels()
    arguments.whole("max_gen_len", max_gen_len, 1)
    run = record(llama, prompt_tokens, max_gen_len, **settings)
    arguments.whole("number", number, 0, len(run.steps))
    arguments.whole("row", row, 0, len(prompt_tokens) - 1)
    pieces = llama.tokenizer.pieces(range(llama.tokenizer.n_words))
    head = text["step_number"].format(k=number, n=len(run.steps))
    lines = where_lines(run, number, row, pieces, text) if number else []
    words = "\n".join([f"{head} {caption(run, number, text)}", *lines])
    return Picture(stepper_html(run, number, row, pieces, text), words)
