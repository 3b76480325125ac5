// TopPExplorer: the cut line is the slider. Each bar is a probability; the thin staircase below the bars adds them up;
// a token stays if its step begins at or before the line.

const STOPS = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 2, 3]; // of temperature
const COLUMNS = ["logit", "scaled", "prob", "plot", "before", "kept", "renormalised", "observed"];
const MARKS = ["ghost", "bar", "step", "dot"];

function render({ model, el: parent, alone = false }) {
  const { id, text, prompts, shown, names, n_rows: nRows, vocab_size: vocabSize, seed } = model.get("data");
  const all = floats(model.get("floats")); // vocab_size logits a prompt
  const random = randomFrom(seed);
  const root = explorer(parent, "fx-top-p");
  if (!alone) hideStill(root, id);

  // ---- the controls

  const put = bind(model, ["prompt", "temperature", "top_p", "observed"], draw);
  const move = (values) => put({ ...values, observed: {} }); // old draws came from another distribution
  const [select, promptField] = promptChoice(text, shown, (k) => move({ prompt: prompts[k] }));
  const heat = el("input", "", { type: "range", min: 0, max: STOPS.length - 1, step: 1 });
  heat.addEventListener("input", () => move({ temperature: STOPS[heat.value] }));
  const degrees = el("output", "fx-readout");
  const heatLabel = el("label", "fx-field", {}, text.temperature, heat);
  const heatField = el("div", "fx-field s-temperature", {}, heatLabel, degrees);
  const buttons = [1, 100, 1000].map((n) => {
    const attributes = { type: "button", title: fill(text.draw_tip, { n }) };
    const button = el("button", `s-draw-${n}`, attributes, fill(text.draw, { n }));
    button.addEventListener("click", () => sample(n));
    return button;
  });
  const reset = el("button", "s-draw-0", { type: "button" }, text.top_reset);
  reset.addEventListener("click", () => put({ observed: {} }));
  const caption = el("p", "fx-caption ml-count", { "aria-live": "polite" });
  const crossing = el("p", "fx-caption fx-aside");

  // ---- the table, and over its plots the line

  const heads = head(COLUMNS, text);
  const [observedLong, observedShort] = heads.lastChild.children;
  const rows = Array.from({ length: Math.min(nRows, vocabSize) }, () => row(COLUMNS, MARKS));
  const rest = row(COLUMNS, MARKS);
  rest.node.classList.add("fx-rest");
  const table = el("div", "fx-table", { role: "table", "aria-label": text.stages_table },
    heads, el("div", "fx-rows", { role: "rowgroup" }, ...[...rows, rest].map((each) => each.node)));
  const pill = el("span", "fx-pill", { "aria-hidden": "true" });
  const cut = el("div", "fx-line s-top-p", {}, pill);
  const axis = el("div", "fx-axis");
  const rail = el("div", "fx-cell fx-plot fx-rail", {}, axis, cut);
  slider(cut, [axis, cut], { highest: 1, step: 0.01, page: 0.1, label: text.top_p, read: () => model.get("top_p"),
    moved: (value) => value !== model.get("top_p") && move({ top_p: value }) });
  const detail = el("p", "fx-detail");
  root.append(el("div", "fx-controls", {}, promptField, heatField, el("div", "fx-buttons", {}, ...buttons, reset)),
    caption, crossing, el("div", "fx-stage", {}, table, el("div", "fx-row fx-over", {}, rail)), detail,
    el("p", "fx-note", {}, text.top_keys));

  let lit = 0; // the row whose arithmetic is shown
  const rowsWalk = walk(rows.map((each) => each.node), (k) => {
    lit = k;
    explain();
  });
  root.addEventListener("keydown", (event) => {
    rowsWalk.keys(event);
    if (event.target.matches("button, select, input") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") sample(1);
    else if (event.key === "0") put({ observed: {} });
    else return;
    event.preventDefault();
  });

  // ---- what the sliders change

  let now = {}; // the distribution that is shown

  function distribution() {
    const [prompt, temperature, p] = ["prompt", "temperature", "top_p"].map((name) => model.get(name));
    if (prompt !== now.prompt) {
      const start = prompts.indexOf(prompt) * vocabSize;
      const logits = all.subarray(start, start + vocabSize);
      now = { prompt, logits, order: ranked(logits) };
    }
    if (temperature !== now.temperature) now.probs = softmax(now.logits, now.order, temperature);
    now = { ...now, temperature, p, ...nucleus(now.probs, p) };
  }

  function draw() {
    distribution();
    const { prompt, temperature, p, nKept, mass, before, order } = now;
    const observed = model.get("observed"), draws = Object.values(observed).reduce((a, b) => a + b, 0);
    select.value = prompts.indexOf(prompt);
    heat.value = nearest(STOPS, temperature);
    heat.setAttribute("aria-valuetext", plain(temperature));
    say(degrees, plain(temperature));
    cut.style.left = `${100 * p}%`;
    cut.setAttribute("aria-valuenow", p);
    cut.setAttribute("aria-valuetext", plain(p));
    say(pill, `p ${plain(p)}`);
    say(caption, fill(text.kept, { kept: nKept, total: vocabSize, mass }));
    const last = nKept - 1, piece = last < rows.length ? names[order[last]] : fill(text.top_place, { n: nKept });
    const stays = fill(text.top_crossing, { piece, before: before[last], p: plain(p) });
    say(crossing, p >= 1 ? text.top_all : temperature < TINY ? text.greedy : stays);
    say(observedLong, fill(text.col_observed, { n: draws }));
    say(observedShort, fill(text.short_observed, { n: draws }));
    rows.forEach((each, k) => fillRow(each, k, observed, draws));
    fillRest(observed, draws);
    explain();
  }

  function fillRow(each, k, observed, draws) {
    const { probs, before, nKept, mass, order, logits, temperature } = now;
    const kept = k < nKept, renormalised = kept ? probs[k] / mass : 0, count = observed[order[k]] ?? 0;
    each.node.classList.toggle("fx-cut", !kept);
    each.node.classList.toggle("fx-crossing", k === nKept - 1 && now.p < 1);
    say(each.name, names[order[k]]);
    say(each.logit, fixed(logits[order[k]], 2));
    say(each.scaled, temperature < TINY ? "–" : fixed(logits[order[k]] / temperature, 2));
    numbers(each, probs[k], before[k], kept ? text.is_kept : text.is_cut, renormalised, count, draws);
  }

  function fillRest(observed, draws) {
    const { probs, before, nKept, mass } = now, n = rows.length, keptBelow = Math.max(0, nKept - n);
    rest.node.hidden = n === vocabSize;
    if (rest.node.hidden) return;
    const inRows = rows.reduce((sum, _, k) => sum + (observed[now.order[k]] ?? 0), 0);
    rest.node.classList.toggle("fx-cut", keptBelow === 0);
    say(rest.name, fill(text.top_rest, { n: vocabSize - n }));
    const renormalised = keptBelow ? (mass - before[n]) / mass : 0, kept = fill(text.top_rest_kept, { n: keptBelow });
    numbers(rest, tail(probs, n), before[n], kept, renormalised, draws - inRows, draws);
  }

  function numbers(each, prob, before, kept, renormalised, count, draws) {
    say(each.prob, fixed(prob, 4));
    say(each.before, fixed(before, 4));
    say(each.kept, kept);
    say(each.renormalised, fixed(renormalised, 4));
    say(each.observed, draws ? fixed(count / draws, 4) : "");
    each.ghost.hidden = !renormalised;
    each.ghost.style.width = `${100 * prob}%`;
    each.bar.style.transform = `scaleX(${renormalised || prob})`;
    each.step.style.left = `${100 * Math.min(1, before)}%`;
    each.step.style.width = `${100 * prob}%`;
    each.dot.hidden = !count;
    each.dot.style.left = `${draws ? (100 * count) / draws : 0}%`;
  }

  // The arithmetic of the row under the pointer or the focus.
  function explain() {
    const { logits, order, temperature, probs, before, nKept, mass, p } = now;
    rows.forEach((each, k) => each.node.classList.toggle("fx-lit", k === lit));
    const values = { piece: names[order[lit]], logit: logits[order[lit]], temperature: plain(temperature),
      prob: probs[lit], before: before[lit], p: plain(p), mass, renormalised: probs[lit] / mass };
    const heated = temperature < TINY ? text.top_why_greedy : text.top_why;
    const kept = p >= 1 ? text.top_why_all : lit < nKept ? text.top_why_kept : text.top_why_cut;
    say(detail, `${fill(heated, values)} ${fill(kept, values)}`);
  }

  // ---- draws from the nucleus

  function sample(n) {
    const observed = { ...model.get("observed") };
    const { probs, order, nKept, mass } = now;
    let k = 0;
    for (let drawn = 0; drawn < n; drawn++) {
      let left = random() * mass;
      for (k = 0; k < nKept - 1 && left >= probs[k]; k++) left -= probs[k];
      observed[order[k]] = (observed[order[k]] ?? 0) + 1;
    }
    put({ observed });
    if (n === 1 && !matchMedia("(prefers-reduced-motion: reduce)").matches)
      (rows[k] ?? rest).dot.animate([{ transform: "translateY(-22px)" }, { transform: "none" }], 150);
  }

  draw();
}
