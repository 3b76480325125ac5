// GenerateStepper: the canvas is a timeline. A cell is a token of one row, and a step writes a column. Below it are the
// four lines of the loop with their values, and the candidates of the row that is chosen.

const SETTINGS = ["prompts", "max_gen_len", "temperature", "top_p", "seed", "logprobs"];
const PARTS = ["read", "candidate", "written", "ended"]; // what the four lines speak of
const PLAY = 700; // milliseconds a step

function render({ model, el: parent, alone = false }) {
  const { id, text, signs, vocab_size: vocabSize, ...limits } = model.get("data");
  const root = explorer(parent, "fx-stepper");
  if (!alone) hideStill(root, id);
  const put = bind(model, [...SETTINGS, "step", "row", "ran"], draw);
  let now = { ran: null }; // the run that is shown

  // ---- the settings: a run takes a kernel

  const area = el("textarea", "", { rows: 4, title: text.prompts_tip });
  const numbers = { max_gen_len: [1, limits.longest_run, 1], temperature: [0, 2, 0.05], top_p: [0, 1, 0.01],
    seed: [0, limits.largest_seed, 1] };
  const fields = Object.entries(numbers).map(([name, [min, max, step]]) => {
    numbers[name] = el("input", "", { type: "number", min, max, step });
    return el("label", `fx-field s-${name.replaceAll("_", "-")}`, {}, text[name] ?? text.step_seed, numbers[name]);
  });
  const scores = el("input", "", { type: "checkbox" });
  const run = el("button", "s-run", { type: "button", title: text.step_run_tip }, text.step_run);
  const summary = el("summary", "", {}, text.settings);
  const settings = el("details", "s-settings", {}, summary, el("label", "fx-field s-prompts", {}, text.prompts, area),
    el("div", "fx-controls", {}, ...fields, el("label", "fx-field s-logprobs", {}, scores, "logprobs"), run));
  const message = el("p", "fx-message", { role: "status" });
  if (alone) settings.append(el("p", "fx-note", {}, text.settings_alone));
  for (const each of [area, ...Object.values(numbers), scores, run]) each.disabled = alone;

  function typed() { // inside the limits; what is no number changes nothing
    const chosen = { prompts: area.value.split("\n"), logprobs: scores.checked };
    for (const [name, { value, min, max, step }] of Object.entries(numbers)) {
      const number = value === "" ? model.get(name) : between(Number(min), Number(value), Number(max));
      chosen[name] = step === "1" ? Math.round(number) : number;
    }
    return chosen;
  }
  const same = (a, b) => SETTINGS.every((name) => JSON.stringify(a[name]) === JSON.stringify(b[name]));
  settings.addEventListener("change", () => put(typed()));
  settings.addEventListener("input", () => say(message, note(typed())));
  settings.addEventListener("keydown", (event) => event.stopPropagation()); // or JupyterLab takes Enter
  run.addEventListener("click", () => {
    if (same(typed(), model.get("ran").settings)) say(message, text.step_unchanged);
    else put({ ...typed(), asked: model.get("asked") + 1 });
  });

  function note(chosen) {
    const { asked, settings: those, notes, problem } = model.get("ran");
    if (asked < model.get("asked")) return text.settings_running;
    const news = !same(chosen, those) ? [text.step_changed] : asked && !problem && !at() ? [text.step_ran] : [];
    return [...news, ...notes].join(" ");
  }

  // ---- the buttons

  const at = () => model.get("step"), last = () => model.get("ran").n_steps;
  const go = (step) => put({ step: between(0, step, last()) });
  let timer = 0;
  const play = (on) => {
    clearInterval(timer);
    timer = on ? setInterval(() => (root.isConnected && at() < last() ? go(at() + 1) : play(false)), PLAY) : 0;
    say(toggle, on ? text.step_pause : text.step_play);
  };
  const pressed = () => {
    if (!timer && at() >= last()) go(0);
    play(!timer);
  };
  const button = (name, label, act) => {
    const node = el("button", `s-${name}`, { type: "button" }, label);
    node.addEventListener("click", act);
    return node;
  };
  const toggle = button("play", text.step_play, pressed);
  const firstNew = button("first-new", "", () => go(now.run.firstNew(model.get("row"))));
  const stops = button("stops", "", () => go(now.ran.stops[model.get("row")][0]));
  const buttons = el("div", "fx-buttons", {}, toggle, button("back", text.step_back, () => go(at() - 1)),
    button("forth", text.step_forth, () => go(at() + 1)), firstNew, stops);

  // ---- the canvas, the lines of the loop, the candidates

  const caption = el("p", "fx-caption ml-count", { "aria-live": "polite" });
  const canvas = el("div", "s-step");
  const verdict = el("p", "fx-caption fx-verdict");
  const code = PARTS.map(() => ({ line: el("code"), value: el("code", "fx-value") }));
  const lines = code.map(({ line, value }) => el("div", "fx-code", { role: "listitem" }, line, value));
  const loop = el("div", "ml-where", { role: "list", "aria-label": text.step_lines }, ...lines);
  const candidates = el("div");
  const view = el("div", "", {}, buttons, caption, canvas, el("p", "fx-note", {}, text.step_keys), verdict, loop,
    candidates, el("p", "fx-note", {}, text.step_legend));
  const problem = el("p", "fx-message fx-failed", { role: "alert" });
  root.append(el("div", "fx-top", {}, settings, message), problem, view);

  const frame = (k) => {
    lines.forEach((each, n) => each.classList.toggle("fx-lit", n === k));
    now.canvas?.light(PARTS[k]);
  };
  const walked = walk(lines, frame);
  loop.addEventListener("pointerleave", () => frame(2)); // the line that writes
  root.addEventListener("keydown", (event) => {
    walked.keys(event);
    now.table?.keys(event);
    const { target, key } = event;
    if (event.defaultPrevented || target.matches("input, textarea, summary") || event.ctrlKey || event.metaKey) return;
    const to = { ArrowLeft: at() - 1, ArrowRight: at() + 1, Home: 0, End: Infinity }[key];
    if (to !== undefined) go(to);
    else if (key === " " && !target.matches("button")) pressed();
    else return;
    event.preventDefault();
  });

  // ---- what is shown

  function draw() {
    const ran = model.get("ran"), chosen = Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)]));
    if (document.activeElement !== area) area.value = chosen.prompts.join("\n");
    for (const [name, input] of Object.entries(numbers))
      if (document.activeElement !== input) input.value = chosen[name];
    scores.checked = chosen.logprobs;
    say(message, note(chosen));
    say(problem, ran.problem);
    problem.hidden = !ran.problem;
    view.hidden = Boolean(ran.problem);
    if (ran !== now.ran) another(ran);
    if (!ran.problem) drawStep(at(), model.get("row"));
  }

  // Another run: its canvas, and its rows of candidates.
  function another(ran) {
    play(false);
    now = { ran };
    if (ran.problem) return;
    if (settings.contains(document.activeElement)) summary.focus({ preventScroll: true }); // for the rest folds away
    settings.open = false;
    const places = readRun(ran), chosen = (k, column) => put({ row: k, step: places.step(column) });
    now = { ran, run: places, numbers: floats(model.get("floats")), table: candidateTable(ran, text, vocabSize),
      canvas: timeline({ ran, run: places, text, signs, chosen }) };
    canvas.replaceChildren(now.canvas.node);
    candidates.replaceChildren(now.table.node);
  }

  function drawStep(step, k) {
    const { ran, run: places } = now, column = places.column(step), [from, n] = places.reads(step);
    now.canvas.draw(step, k);
    const reads = fill(n > 1 ? text.step_reads : text.step_reads_one, { first: from, last: from + n - 1 });
    const all = ran.ended.every((_, each) => places.ended(step, each)) ? text.step_all_ended : text.step_full;
    const words = [step ? fill(text.step_caption, { reads, column }) : fill(text.step_before, { first: ran.first }),
      ...(step === ran.n_steps ? [all] : [])];
    say(caption, `${fill(text.step_number, { k: step, n: ran.n_steps })} ${words.join(" ")}`);
    say(firstNew, fill(text.step_first_new, { k }));
    say(stops, fill(text.step_stops, { k }));
    firstNew.disabled = places.firstNew(k) > ran.n_steps;
    explain(Math.max(1, step), k, step ? "" : `${text.step_coming} `);
    frame(2);
  }

  const is = (yes) => (yes ? "True" : "False"); // in Python

  // The lines of the loop with their values for row k, and what they lead to. Before the first step: what it will do.
  function explain(step, k, coming) {
    const { ran, run: places } = now, { temperature, top_p: p } = ran.settings, { named } = places;
    const column = places.column(step), [from] = places.reads(step);
    const found = candidatesOf(ran, now.numbers, step, k);
    const candidate = ran.candidate[step - 1][k], token = ran.next_token[step - 1][k];
    const inside = places.inside(k, column), dropped = inside && candidate !== token, [stop, ...more] = ran.stop_ids;
    const drawn = temperature >= TINY && !inside;
    const ended = (n) => is(places.ended(n, k));
    const isStop = more.length ? `isin(tokens[:, ${column}], stop_ids)` : `(tokens[:, ${column}] == ${stop})`;
    // What is dropped is the most probable token.
    const chosen = dropped ? { place: 0, prob: found.prob(found.logits[0], 0) } : found.own;
    const many = column - from > 1 ? text.step_what_reads : text.step_what_reads_one;
    [
      [`logits = forward(tokens[:, ${from}:${column}], ${from})`, fill(many, { first: from, last: column - 1 })],
      [`candidate = ${drawn ? `sample_top_p(softmax(logits[:, -1] / ${temperature}), ${p})` : "argmax(logits[:, -1])"}`,
        fill(text.step_what_candidate, { named: named(candidate), rank: chosen.place + 1, prob: chosen.prob })],
      [`tokens[:, ${column}] = where(input_text_mask[:, ${column}], tokens[:, ${column}], candidate)`,
        `where(${is(inside)}, ${named(places.token(step - 1, k, column))}, ${named(candidate)}) → ${named(token)}`],
      [`eos_reached |= ~input_text_mask[:, ${column}] & ${isStop}`,
        `${ended(step - 1)} | (${is(!inside)} & ${is(ran.stop_ids.includes(token))}) → ${ended(step)}`],
    ].forEach(([line, value], n) => {
      say(code[n].line, line);
      say(code[n].value, value);
    });
    const [final, why] = ran.stops[k], after = step > final ? text.step_surplus : text.step_enters;
    const verdicts = { eos: text.step_stop_eos, length: text.step_stop_length, room: text.step_stop_room };
    const what = dropped ? text.step_dropped : inside ? text.step_same : step === final ? verdicts[why] : after;
    const own = dropped ? ` ${fill(text.step_what_own, { rank: found.own.place + 1, prob: found.own.prob })}` : "";
    say(verdict, `${coming}${fill(text.step_detail, { row: k, column })} ${what}${own}`);
    now.table.draw(found, inside && !dropped ? { [token]: text.step_is_both }
      : { [candidate]: text.step_is_candidate, ...(dropped && { [token]: text.step_is_own }) }, temperature);
  }

  draw();
}
