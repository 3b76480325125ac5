// BeamView: a column for each step of the search with the branches that it has kept, and lines from each to those that
// grew from it. Below: every branch of the step that was chosen, and the texts that are in the beam after it.

const SIGNS = { kept: "●", later: "✗", ended: "■" };
const BRANCH = ["logprob", "sum", "prob", "plot", "state"], TEXT = ["tokens", "sum", "mean", "state"];
const LINE = 28, TOP = 22; // the heights of a branch in the tree and of the number above it, as in the style sheet
const WIDTH = 100; // of a step in the lines' own units: they are as wide as there is room
const LONGEST = 14; // as many characters of the text before a token are shown

function render({ model, el: parent, alone = false }) {
  const { id, text, prompts, shown, most_beams: mostBeams } = model.get("data");
  const root = explorer(parent, "fx-beam");
  if (!alone) hideStill(root, id);
  const put = bind(model, ["prompt", "beams", "tree", "step"], draw);

  // ---- the controls; a new search takes a kernel

  const [select, promptField] = promptChoice(text, shown, (k) => put({ prompt: prompts[k] }));
  const beams = el("input", "", { type: "range", min: 1, max: mostBeams, step: 1 });
  const beamsShown = el("output", "fx-readout");
  beams.addEventListener("input", () => say(beamsShown, beams.value));
  beams.addEventListener("change", () => put({ beams: Number(beams.value) }));
  for (const control of [select, beams]) {
    control.disabled = alone;
    if (alone) control.title = text.beam_alone;
  }
  const beamsLabel = el("label", "fx-field", {}, text.beam_beams, beams);
  const caption = el("p", "fx-caption ml-count", { "aria-live": "polite" });
  const steps = el("div", "fx-rounds s-step", { role: "listbox", "aria-label": text.beam_steps,
    "aria-orientation": "horizontal" });
  const branchTable = el("div", "fx-table", { role: "table", "aria-label": text.beam_branches });
  const textTable = el("div", "fx-table fx-texts", { role: "table", "aria-label": text.beam_texts });
  root.append(el("div", "fx-controls", {}, promptField, el("div", "fx-field s-beams", {}, beamsLabel, beamsShown)),
    caption, el("div", "fx-pan", {}, steps), branchTable, textTable,
    el("p", "fx-note", {}, `${text.beam_legend} ${text.beam_keys}`));

  // ---- another search

  let tree, levels = [], kept = [], lines = [], columns = [], branchRows = [], textRows = [], at;

  function another(found) {
    tree = found;
    levels = tree.levels;
    kept = levels.map((level) => level.map((branch, place) => ({ ...branch, place }))
      .filter((branch) => branch.state !== "cut").sort((a, b) => b.total - a.total));
    markReach();
    const path = svg("svg", { viewBox: `0 0 ${WIDTH * (levels.length + 1)} ${LINE * tree.beams}`, "aria-hidden": "true",
      preserveAspectRatio: "none", height: LINE * tree.beams });
    lines = kept.map((level, depth) => level.map((branch, row) => path.appendChild(edge(branch, depth, row))));
    columns = Array.from({ length: levels.length + 1 }, (_, k) => column(k));
    steps.replaceChildren(path, ...columns.map((each) => each.node));
    steps.style.setProperty("--steps", levels.length + 1);
    at = rove(steps, [columns.map((each) => each.node)], (_, k) => put({ step: k }));
    branchRows = Array.from({ length: Math.max(...levels.map((level) => level.length)) }, () => {
      const parts = row(BRANCH, ["bar"]), before = el("span", "fx-earlier"), piece = el("span");
      parts.name.append(before, piece);
      return { ...parts, before, piece };
    });
    textRows = Array.from({ length: tree.beams }, () => {
      const parts = { name: el("div", "fx-cell fx-name", { role: "rowheader" }) };
      for (const name of TEXT) parts[name] = el("div", `fx-cell fx-${name}`, { role: "cell" });
      return { ...parts, node: el("div", "fx-row", { role: "row" }, ...Object.values(parts)) };
    });
    branchTable.replaceChildren(head(BRANCH, text), ...branchRows.map((each) => each.node));
    textTable.replaceChildren(head(TEXT, { ...text, col_token: text.col_text }), ...textRows.map((each) => each.node));
  }

  // reach: the last step after which a branch, or one that grew from it, is in the beam. One that has ended stays.
  function markReach() {
    for (let depth = kept.length - 1; depth >= 0; depth--)
      for (const branch of kept[depth]) {
        const grown = (kept[depth + 1] ?? []).filter((each) => each.parent === branch.place);
        branch.reach = branch.state === "ended" ? Infinity : Math.max(depth + 1, ...grown.map((each) => each.reach));
      }
  }

  // The line to a branch from the one that it grew from.
  function edge(branch, depth, row) {
    const from = depth ? kept[depth - 1].findIndex((each) => each.place === branch.parent) : 0;
    const [x, y, to] = [WIDTH * (depth + 0.5), LINE * (from + 0.5), LINE * (row + 0.5)];
    return svg("path", { d: `M${x} ${y}C${x + WIDTH / 2} ${y} ${x + WIDTH / 2} ${to} ${x + WIDTH} ${to}` });
  }

  function column(k) {
    const cells = Array.from({ length: tree.beams }, () => el("div", "fx-branch"));
    const node = el("div", "fx-round", { role: "option" }, el("div", "fx-roundhead", {}, String(k)), ...cells);
    return { node, cells };
  }

  // ---- what is shown

  function draw() {
    const [prompt, size, found] = ["prompt", "beams", "tree"].map((name) => model.get(name));
    const waits = found.prompt !== prompt || found.beams !== size;
    select.value = prompts.indexOf(prompt);
    beams.value = size;
    say(beamsShown, String(size));
    if (found !== tree) another(found);
    const k = Math.min(model.get("step"), levels.length), now = kept[k - 1] ?? [];
    const { offsetLeft: left, offsetWidth: width } = columns[k].node, view = steps.parentElement;
    view.scrollLeft = between(left + width - view.clientWidth, view.scrollLeft, left);
    at(0, k); // before anything changes: the focus waits for the layout
    const ended = kept.slice(0, k).flat().filter((branch) => branch.state === "ended");
    const going = k ? now.filter((branch) => branch.state === "kept") : [{}];
    const counted = fill(text.beam_caption, { k, n: levels.length, kept: going.length, ended: ended.length });
    say(caption, waits ? text.beam_wait : counted);
    columns.forEach((each, n) => fillColumn(each, n, k));
    const branches = [...(levels[k - 1] ?? [])].sort((a, b) => b.total - a.total);
    branchRows.forEach((each, n) => fillBranch(each, branches[n], k));
    fillTexts(k ? [...ended, ...going].sort((a, b) => b.total - a.total) : []);
  }

  // Step n of the tree, after step k.
  function fillColumn({ node, cells }, n, k) {
    const words = n ? [] : [text.beam_prompt];
    cells.forEach((cell, row) => {
      const branch = n && n <= k ? kept[n - 1][row] : undefined;
      const state = !branch ? "" : branch.reach >= k ? branch.state : "later";
      cell.className = `fx-branch fx-${n || row ? state || "empty" : "prompt"}`;
      say(cell, branch ? `${SIGNS[state]} ${branch.piece}` : n || row ? "" : text.beam_prompt);
      if (branch) words.push(`${branch.piece} ${text[`beam_${state}`]}`);
      lines[n - 1]?.[row]?.setAttribute("class", `fx-${state || "none"}`);
    });
    node.setAttribute("aria-selected", n === k);
    node.setAttribute("aria-label", `${text.step_slider} ${n}: ${words.join(", ")}`);
  }

  function fillBranch(each, branch, k) {
    each.node.classList.toggle("fx-none", !branch);
    if (!branch) return;
    const before = Array.from(k > 1 ? levels[k - 2][branch.parent].text : "");
    say(each.before, before.length > LONGEST ? `…${before.slice(-LONGEST).join("")}` : before.join(""));
    say(each.piece, branch.piece);
    say(each.logprob, fixed(branch.logprob, 3));
    say(each.sum, fixed(branch.total, 3));
    say(each.prob, fixed(Math.exp(branch.total), 4));
    say(each.state, text[`beam_${branch.state}`]);
    each.bar.style.transform = `scaleX(${Math.exp(branch.total)})`;
    each.node.classList.toggle("fx-cut", branch.state === "cut");
  }

  // The texts in the beam; the best sum and the best mean have a sign.
  function fillTexts(texts) {
    const mean = (branch) => branch.total / branch.n_tokens;
    const best = texts.reduce((a, b) => (mean(b) > mean(a) ? b : a), texts[0]);
    textRows.forEach((each, n) => {
      const branch = texts[n];
      each.node.classList.toggle("fx-none", !branch);
      if (!branch) return;
      say(each.name, branch.text);
      say(each.tokens, String(branch.n_tokens));
      say(each.sum, `${fixed(branch.total, 3)}${n ? "" : " ★"}`);
      say(each.mean, `${fixed(mean(branch), 3)}${branch === best ? " ★" : ""}`);
      say(each.state, text[`beam_${branch.state}`]);
    });
  }

  draw();
}
