// The canvas of a run as a timeline, and what is known of its places. stepper.js draws what stands around it.

const CELL = 60; // pixels
const MOTION = 250; // milliseconds

// A run that Python recorded. Steps are counted from 1, step 0 is the canvas before the first.
function readRun(ran) {
  const { prompt_tokens: prompts, first, next_token: written, stops, pad_id: pad, names, n_steps: last } = ran;
  const kind = (step, row, column) => {
    if (column < prompts[row].length) return "prompt";
    if (column >= first + step) return "empty";
    const lastColumn = first + stops[row][0] - 1;
    if (column > lastColumn) return "surplus";
    return column === lastColumn && stops[row][1] === "eos" ? "eos" : "new";
  };
  const token = (step, row, column) => ({ prompt: prompts[row][column], empty: pad })[kind(step, row, column)]
    ?? written[column - first][row];
  return {
    kind, token,
    column: (step) => first + step - 1, // that the step writes
    step: (column) => between(0, column - first + 1, last), // that writes a column
    reads: (step) => (step > 1 ? [first + step - 2, 1] : [0, first]), // the first column that a step reads, how many
    firstNew: (row) => prompts[row].length - first + 1,
    inside: (row, column) => column < prompts[row].length,
    ended: (step, row) => ran.ended[row] > 0 && step >= ran.ended[row],
    named: (i) => (i in names ? `${i} ${names[i]}` : String(i)),
  };
}

// Returns { node, draw(step, row), light(part) }; part: "read", "candidate", "written", "ended" or undefined.
function timeline({ ran, run, text, signs, chosen }) {
  const { first, total_len: total, names, candidate, logprobs, prompt_tokens: prompts } = ran;
  const rows = [...prompts.keys()], columns = [...Array(total).keys()];
  const { node, track, heads, names: titles, lines, at } = grid({ label: text.step_table, corner: text.step_tokens,
    heads: columns.map(String), names: rows.map((k) => fill(text.row, { k })), cell: CELL, chosen });
  const marks = heads.map((head) => head.appendChild(el("span", "fx-sign")));
  const chip = el("span", "fx-chip", { "aria-hidden": "true" });
  const read = el("div", "fx-band fx-band-read", { "aria-hidden": "true" });
  const write = el("div", "fx-band fx-band-write", { "aria-hidden": "true" });
  track.append(read, write);
  node.classList.toggle("fx-with-scores", logprobs !== null);
  const reduced = matchMedia("(prefers-reduced-motion: reduce)");
  let shown = null; // step and row

  function fillCell(step, row, column) {
    const kind = run.kind(step, row, column), token = run.token(step, row, column);
    const scored = logprobs && column && step && column <= run.column(step);
    const score = scored ? fixed(logprobs[row][column - 1], 3) : "";
    const cell = lines[row][column], css = `fx-gridcell fx-step-${kind}`;
    if (cell.className !== css) cell.className = css;
    say(cell, [kind === "empty" ? "" : names[token], `${signs[kind]} ${token}`, score].join("\n"));
  }

  function sign(step, letters) {
    if (!step) return;
    const [from, n] = run.reads(step);
    for (let k = 0; k < n; k++) say(marks[from + k], letters[0]);
    say(marks[run.column(step)], letters[1]);
  }

  function draw(step, row) {
    const before = shown?.step ?? 0, [low, high] = [before, step].sort((a, b) => a - b);
    const column = run.column(step), [from, n] = run.reads(step);
    at(row, column);
    for (let c = shown && low ? first + low : 0; c < (shown ? first + high : total); c++)
      if (!shown || low !== high) for (const k of rows) fillCell(step, k, c);
    if (shown) sign(shown.step, ["", ""]);
    sign(step, ["R", "W"]);
    for (const k of rows) {
      say(titles[k], `${k === row ? "▶ " : ""}${fill(text.row, { k })}${run.ended(step, k) ? " ■" : ""}`);
      titles[k].classList.toggle("fx-chosen", k === row);
    }
    read.hidden = write.hidden = chip.hidden = !step;
    const moved = step === before + 1 && shown;
    shown = { step, row };
    if (!step) return;
    read.style.left = `calc(100cqw / 3 + ${from * CELL}px)`;
    read.style.width = `${n * CELL}px`;
    write.style.left = `calc(100cqw / 3 + ${column * CELL}px)`;
    const drawn = candidate[step - 1][row], dropped = drawn !== run.token(step, row, column);
    say(chip, names[drawn]);
    chip.classList.toggle("fx-dropped", dropped);
    if (chip.parentNode !== heads[column]) heads[column].append(chip);
    if (moved && !reduced.matches) animate(lines[row][column], row, dropped);
  }

  // What is read glows, the candidate appears above W; it falls into its row, or the prompt's token pushes it away.
  function animate(cell, row, dropped) {
    const down = `calc(var(--head) + ${row} * var(--line) - 18px)`; // from where the style sheet puts the candidate
    const half = { opacity: 1, transform: "none", offset: 0.5 };
    const away = dropped ? { opacity: 0, transform: `translate(${CELL}px, -8px) rotate(20deg)` }
      : { opacity: 1, transform: `translateY(${down})` };
    read.animate([{ opacity: 1 }, { opacity: 1, offset: 0.4 }, { opacity: 0.35 }], MOTION);
    chip.animate([{ opacity: 0, transform: "translateY(-8px)" }, half, away], MOTION);
    const comes = dropped ? { transform: `translateX(-${CELL / 2}px)`, offset: 0.5 } : { opacity: 0, offset: 0.9 };
    cell.animate([{ ...comes, offset: 0 }, comes, { opacity: 1, transform: "none" }], MOTION);
  }

  // Frame what a line of the loop speaks of.
  function light(part) {
    const { step, row } = shown, written = lines[row][run.column(step)];
    const parts = { read, candidate: chip, written, ended: titles[row] };
    node.querySelector(".fx-framed")?.classList.remove("fx-framed");
    if (step) parts[part]?.classList.add("fx-framed");
  }

  return { node, draw, light };
}
