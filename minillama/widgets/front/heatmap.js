// LogprobHeatmap: two texts to read (reading.js), each token on the colour of its probability, and the two compared.

function render({ model, el: parent, alone = false }) {
  const data = model.get("data"), { id, text, legend, longest, hottest } = data;
  const root = explorer(parent, "fx-heatmap"), names = ["A", "B"];
  if (!alone) hideStill(root, id);
  const put = bind(model, ["prompts", "temperatures", "max_gen_len", "threshold", "echo", "scored"], draw);

  // ---- the settings: a run takes a kernel

  const field = (label, css, attributes) => {
    const input = el("input", "", attributes);
    return { input, node: el("label", `fx-field ${css}`, {}, label, input) };
  };
  const number = { type: "number", min: 0 };
  const [prompts, heats] = [["prompt", { type: "text" }], ["temperature", { ...number, max: hottest, step: 0.1 }]].map(
    ([what, attributes]) => names.map((run) =>
      field(fill(text[`heat_in_${what}`], { run }), `s-${what}-${run.toLowerCase()}`, attributes)));
  const length = field(text.max_gen_len, "s-length", { ...number, max: longest, step: 1 });
  const lines = names.map((_, k) => el("div", "fx-controls", {}, prompts[k].node, heats[k].node));
  const settings = el("details", "s-settings", {}, el("summary", "", {}, text.settings), ...lines, length.node);
  if (alone) settings.append(el("p", "fx-note", {}, text.settings_alone));
  for (const input of settings.querySelectorAll("input")) input.disabled = alone;
  const inside = ({ input }, old) => (input.value === "" ? old : between(0, Number(input.value), Number(input.max)));
  const ask = () => put({ prompts: prompts.map(({ input }) => input.value),
    temperatures: heats.map((each, k) => inside(each, model.get("temperatures")[k])),
    max_gen_len: Math.round(inside(length, model.get("max_gen_len"))) });
  settings.addEventListener("change", ask);
  settings.addEventListener("keydown", (event) => event.stopPropagation()); // or JupyterLab takes Enter
  const echo = field(text.heat_in_echo, "s-echo", { type: "checkbox" });
  echo.input.addEventListener("change", () => put({ echo: echo.input.checked }));

  // ---- what is compared, the legend, the two texts

  const message = el("p", "fx-message", { role: "status" });
  const count = el("p", "fx-caption ml-count", { "aria-live": "polite" });
  const heads = ["run", "temperature", "tokens", "sum", "perplexity", "below"].map((name) => text[`col_${name}`]);
  const rows = names.map(() => cells(heads.map(() => ""), "cell", "fx-cells ml-run"));
  const table = el("div", "fx-table", { role: "table", "aria-label": text.heat_table }, cells(heads, "columnheader"),
    ...rows);
  const chips = legend.map((prob, k) => {
    const words = k < legend.length - 1 ? percent(prob) : fill(text.heat_or_less, { prob: percent(prob) });
    const chip = el("span", "fx-token", {}, words);
    Object.assign(chip.style, shade(Math.log(prob), data));
    return chip;
  });
  const key = el("p", "fx-legend", {}, text.heat_legend, ...chips, el("span", "fx-token fx-low", {}, text.heat_dashed),
    el("span", "fx-token fx-no-score", {}, text.heat_none));
  const panels = el("div"), pop = el("div", "fx-pop", { "aria-hidden": "true", hidden: "" });
  root.append(el("div", "fx-top", {}, settings, message), table, count, el("div", "fx-controls", {}, echo.node), key,
    panels, el("p", "fx-note", {}, text.heat_keys));

  // ---- one tab stop for all tokens; what is under the pointer or the focus is lit in both texts

  let scored = null, texts = []; // what is shown
  let lit = "", before = "", touched = false; // the place that is lit; what was lit as the pointer came down, a finger?

  const failed = (problem) => ({ node: el("div", "fx-panel fx-failed", { role: "alert" }, problem), tokens: [],
    draw() {}, light() {}, place() {} });

  function another() {
    scored = model.get("scored");
    pop.hidden = true;
    const read = () => model.get("threshold"), moved = (threshold) => threshold !== read() && put({ threshold });
    texts = scored.map((run, k) => run.problem ? failed(`${names[k]}: ${run.problem}`)
      : reading({ run, name: names[k], data, read, moved }));
    const beside = el("div", "fx-panels", {}, ...texts.map(({ node }) => node));
    panels.replaceChildren(beside);
    const walked = texts.filter(({ tokens }) => tokens.length > 0);
    if (!walked.length) return;
    const stop = rove(beside, walked.map(({ tokens }) => tokens), (line, place) => {
      const { tokens, first } = walked[line], there = Math.max(place, first(model.get("echo")));
      if (there < tokens.length) stop(line, there);
    });
    const hover = (to) => ({ pointerType, target }) => pointerType !== "touch" && point(to ?? target);
    beside.addEventListener("pointerover", hover());
    beside.addEventListener("pointerleave", hover(beside));
    beside.addEventListener("focusin", ({ target }) => point(target));
    beside.addEventListener("focusout", () => point(beside));
    beside.addEventListener("pointerdown", ({ pointerType }) => {
      touched = pointerType === "touch";
      before = lit;
    });
    beside.addEventListener("click", ({ target, clientX, clientY }) => { // of a finger: it does not hover
      if (!touched) return;
      const under = document.elementsFromPoint(clientX, clientY); // a browser takes a spike's tap for one on the line
      const tapped = target.matches(".fx-token") ? target : under.find((each) => each.matches(".fx-spike")) ?? target;
      point(before === placeOf(tapped).join() ? beside : tapped);
    });
  }

  // Which text the pointer is on, and the place there of a token, a spike or a row; undefined where there is none.
  function placeOf(target) {
    const here = texts.findIndex(({ node }) => node.contains(target));
    return [here, texts[here]?.place(target)];
  }

  function point(target) {
    const [here, place] = placeOf(target);
    lit = place === undefined ? "" : [here, place].join();
    for (const each of texts) each.light(place);
    pop.hidden = place === undefined || scored[here].logprobs[place] === null;
    if (pop.hidden) return;
    const { tops } = scored[here], { reader, about } = texts[here];
    reader.append(pop);
    pop.replaceChildren(el("b", "", {}, about(place)), ...tops[place].map(([piece, prob]) => {
      const bar = el("i");
      bar.style.width = `${100 * prob}px`;
      return el("div", "fx-best", {}, el("code", "", {}, piece), el("span", "", {}, percent(prob)), bar);
    }));
  }
  root.addEventListener("keydown", ({ key: pressed }) => pressed === "Escape" && point(root));

  // ---- what is shown

  function draw() {
    const [threshold, withPrompt] = [model.get("threshold"), model.get("echo")];
    const fields = [...prompts, ...heats, length];
    const values = [...model.get("prompts"), ...model.get("temperatures"), model.get("max_gen_len")];
    fields.forEach(({ input }, k) => document.activeElement !== input && (input.value = values[k]));
    echo.input.checked = withPrompt;
    if (model.get("scored") !== scored) another();
    const waits = scored.some((run, k) => run.prompt !== values[k] || run.temperature !== values[k + 2]
      || run.max_gen_len !== values[4]);
    say(message, waits ? text.settings_running : "");
    const words = { prob: share(threshold), nats: -Math.log(threshold) };
    say(count, threshold > 0 ? fill(text.heat_count, words) : text.heat_zero);
    scored.forEach((run, k) => {
      texts[k].draw(threshold, withPrompt);
      rows[k].hidden = Boolean(run.problem);
      if (run.problem) return;
      const seen = run.logprobs.slice(withPrompt ? 0 : run.n_prompt), known = seen.filter((each) => each !== null);
      const sum = known.reduce((total, each) => total + each, 0);
      const number = (value) => (known.length ? fixed(value, 2) : "–");
      const below = known.filter((each) => Math.exp(each) < threshold).length;
      [names[k], fixed(run.temperature, 2), seen.length, number(sum), number(Math.exp(-sum / known.length)), below]
        .forEach((words, column) => say(rows[k].children[column], String(words)));
    });
  }

  draw();
}
