// TemperatureExplorer: the dot on the entropy curve is the slider. Below it the probabilities at this temperature, each
// with an outline of the one at temperature 1 and a diamond for the true one, where that is known.

const COLUMNS = ["logit", "scaled", "at_one", "now", "truth", "plot"];
const MARKS = ["ghost", "bar", "diamond"];
const POINTS = 60; // of the curve, and one more

function render({ model, el: parent, alone = false }) {
  const data = model.get("data");
  const { id, text, prompts, shown, truths, n_rows: nRows, vocab_size: vocabSize, highest } = data;
  const all = floats(model.get("floats")); // vocab_size logits a prompt
  const root = explorer(parent, "fx-temperature");
  if (!alone) hideStill(root, id);

  // ---- the prompt: chosen, or typed, which takes a kernel

  const put = bind(model, ["prompt", "own", "typed", "temperature"], draw);
  const [select, promptField] = promptChoice(text, shown, (k) => put({ prompt: prompts[k], own: "" }));
  const own = el("input", "", { type: "text", placeholder: alone ? text.temp_alone : text.temp_own_tip });
  own.disabled = alone;
  own.addEventListener("change", () => put({ own: own.value }));
  own.addEventListener("keydown", (event) => event.stopPropagation()); // or JupyterLab takes Enter
  const message = el("p", "fx-message", { role: "alert" });

  // ---- the curve and its dot

  const line = svg("polyline");
  const picture = svg("svg", { viewBox: "0 0 300 100", preserveAspectRatio: "none", "aria-hidden": "true" });
  picture.append(svg("path", { d: "M100 0V100", class: "fx-own" }), line);
  const most = Math.log(vocabSize) || 1; // the entropy of equally likely tokens
  const pill = el("span", "fx-pill", { "aria-hidden": "true" });
  const dot = el("div", "fx-knob s-temperature", {}, pill);
  const area = el("div", "fx-area", {}, picture, dot);
  slider(dot, [area], { highest, step: 0.05, page: 0.5, label: text.temperature, read: () => model.get("temperature"),
    moved: (value) => value !== model.get("temperature") && put({ temperature: value }) });
  const ticks = [0, 0.5, 1, 2, 3].map((tick) => {
    const mark = el("span", "", {}, { 0.5: text.temp_tick_squared, 2: text.temp_tick_root }[tick] ?? String(tick));
    mark.style.left = `${(100 * tick) / highest}%`;
    return mark;
  });
  const curve = el("div", "fx-curve", {}, el("span", "fx-limit", {}, `${text.temp_limit}: ${most.toFixed(1)}`),
    el("span", "fx-axis-name", {}, text.temp_axis), area, el("div", "fx-ticks", { "aria-hidden": "true" }, ...ticks));

  // ---- the table

  const caption = el("p", "fx-caption ml-count", { "aria-live": "polite" });
  const odds = el("p", "fx-caption fx-aside");
  const heads = head(COLUMNS, text), [nowLong] = heads.children[4].children;
  const body = el("div", "fx-rows", { role: "rowgroup" });
  const table = el("div", "fx-table", { role: "table", "aria-label": text.temp_table }, heads, body);
  const detail = el("p", "fx-detail");
  const view = el("div", "", {}, curve, caption, odds, table, detail, el("p", "fx-note", {}, text.temp_keys));
  const fields = [promptField, el("label", "fx-field s-own", {}, text.temp_own, own)];
  root.append(el("div", "fx-controls", {}, ...fields), message, view);

  let rows = [], rest, lit = 0, walked;
  root.addEventListener("keydown", (event) => walked?.keys(event));

  // ---- what is shown

  let now = {}, ownShown = "";

  // Logits, names and truth of the prompt that counts; undefined while the kernel still reads a typed one.
  function source() {
    const typed = model.get("typed"), prompt = model.get("prompt"), k = prompts.indexOf(prompt);
    if (!model.get("own")) {
      const logits = all.subarray(k * vocabSize, (k + 1) * vocabSize);
      return { key: `chosen ${k}`, logits, names: data.names, truth: truths[k] };
    }
    if (typed.own !== model.get("own")) return undefined;
    return { key: `typed ${typed.own}`, ...typed, logits: floats(model.get("typed_floats")), truth: {} };
  }

  function draw() {
    const found = source(), typing = model.get("own") !== "";
    select.value = prompts.indexOf(model.get("prompt"));
    promptField.classList.toggle("fx-off", typing);
    if (ownShown !== model.get("own")) own.value = ownShown = model.get("own"); // else it may be half typed
    say(message, found ? [...(found.notes ?? []), found.problem].filter(Boolean).join(" ") : text.temp_wait);
    message.classList.toggle("fx-failed", Boolean(found?.problem));
    view.hidden = Boolean(found?.problem);
    if (!found || found.problem) return;
    if (found.key !== now.key) another(found);
    const temperature = model.get("temperature");
    now.temperature = temperature;
    now.probs = softmax(now.logits, now.order, temperature);
    const nats = entropy(now.probs);
    dot.style.left = `${(100 * temperature) / highest}%`;
    dot.style.top = `${100 * (1 - nats / most)}%`;
    dot.setAttribute("aria-valuenow", temperature);
    dot.setAttribute("aria-valuetext", fill(text.temp_spoken, { temperature: plain(temperature), nats }));
    say(pill, `T ${plain(temperature)}`);
    say(caption, fill(text.temp_caption, { temperature, entropy: nats, choices: Math.exp(nats) }));
    say(odds, oddsAt(temperature));
    say(nowLong, fill(text.col_now, { temperature: plain(temperature) }));
    for (const each of rows) fillRow(each);
    fillRest();
    explain();
  }

  // Another prompt: its curve, and a row for each of the largest logits and of the tokens whose truth is known.
  function another({ key, logits, names, truth }) {
    const order = ranked(logits), atOne = softmax(logits, order, 1);
    now = { key, logits, names, truth, order, atOne };
    const points = Array.from({ length: POINTS + 1 }, (_, n) => {
      const temperature = (n * highest) / POINTS;
      const y = 100 * (1 - entropy(softmax(logits, order, temperature)) / most);
      return `${((300 * temperature) / highest).toFixed(2)},${y.toFixed(2)}`;
    });
    line.setAttribute("points", points.join(" "));
    const places = Array.from(order.keys()).filter((k) => k < nRows || order[k] in truth);
    rows = places.map((k) => ({ ...row(COLUMNS, MARKS), k }));
    rest = row(COLUMNS, MARKS);
    rest.node.classList.add("fx-rest");
    rest.node.hidden = rows.length === vocabSize;
    root.classList.toggle("fx-no-truth", Object.keys(truth).length === 0);
    body.replaceChildren(...[...rows, rest].map((each) => each.node));
    lit = 0;
    walked = walk(rows.map((each) => each.node), (n) => {
      lit = n;
      explain();
    });
  }

  function fillRow(each) {
    const { logits, order, names, truth, atOne, probs, temperature } = now, token = order[each.k];
    say(each.name, names[token]);
    say(each.logit, fixed(logits[token], 2));
    say(each.scaled, temperature < TINY ? "–" : fixed(logits[token] / temperature, 2));
    numbers(each, atOne[each.k], probs[each.k], truth[token]);
  }

  function fillRest() {
    const sum = (probs) => Math.max(0, 1 - rows.reduce((total, each) => total + probs[each.k], 0));
    say(rest.name, fill(text.top_rest, { n: vocabSize - rows.length }));
    numbers(rest, sum(now.atOne), sum(now.probs));
  }

  function numbers(each, atOne, prob, truth) {
    say(each.at_one, fixed(atOne, 4));
    say(each.now, fixed(prob, 4));
    say(each.truth, truth === undefined ? "" : fixed(truth, 4));
    each.diamond.hidden = truth === undefined;
    each.diamond.style.left = `${100 * (truth ?? 0)}%`;
    each.ghost.style.width = `${100 * atOne}%`;
    each.bar.style.transform = `scaleX(${prob})`;
  }

  // What the temperature does to the odds of any two tokens.
  function oddsAt(temperature) {
    if (temperature < TINY) return text.greedy;
    if (temperature === 1) return text.temp_own_odds;
    const also = { 0.5: text.temp_squared, 2: text.temp_root }[temperature] ?? "";
    return fill(text.temp_odds, { temperature: plain(temperature), power: 1 / temperature, also });
  }

  function explain() {
    const { logits, order, names, probs, temperature } = now, { k } = rows[lit];
    rows.forEach((each, n) => each.node.classList.toggle("fx-lit", n === lit));
    const values = { piece: names[order[k]], logit: logits[order[k]], temperature: plain(temperature), prob: probs[k] };
    say(detail, fill(temperature < TINY ? text.top_why_greedy : text.top_why, values));
  }

  draw();
}
