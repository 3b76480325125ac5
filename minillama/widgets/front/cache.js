// CacheView: on the left a row for each call of forward and a column for each slot of the cache; on the right the mask,
// a row for each query. The row under the pointer, or the one that was chosen, is lit, and its queries beside it.

// The columns (start_pos, end) that each call reads: what cache_calls computes in widgets/cache.py.
function cacheCalls(nPrompt, totalLen, piece, cached) {
  const ends = [];
  if (cached) for (let end = piece; end < nPrompt; end += piece) ends.push(end);
  for (let end = nPrompt; end < totalLen; end++) ends.push(end);
  return ends.map((end, k) => [cached && k ? ends[k - 1] : 0, end]);
}

function render({ model, el: parent, alone = false }) {
  const { id, text } = model.get("data");
  const root = explorer(parent, "fx-cache");
  if (!alone) hideStill(root, id);
  const put = bind(model, ["prompt", "read", "call", "piece", "cached"], draw);

  // ---- the controls

  const prompt = el("input", "", { type: "text" });
  prompt.disabled = alone; // a new prompt takes a kernel
  if (alone) prompt.title = text.temp_alone;
  prompt.addEventListener("change", () => put({ prompt: prompt.value }));
  prompt.addEventListener("keydown", (event) => event.stopPropagation()); // or JupyterLab takes Enter
  const piece = el("input", "", { type: "range", min: 1, step: 1 });
  piece.addEventListener("input", () => plan({ piece: Number(piece.value) }));
  const pieceShown = el("output", "fx-readout");
  const cached = el("input", "", { type: "checkbox" });
  cached.addEventListener("change", () => plan({ cached: cached.checked }));
  const pieceLabel = el("label", "fx-field", {}, text.cache_piece, piece);
  const message = el("p", "fx-message", { role: "alert" });
  root.append(el("div", "fx-controls", {}, el("label", "fx-field s-prompt", {}, text.prompt, prompt),
    el("div", "fx-field s-piece", {}, pieceLabel, pieceShown),
    el("label", "fx-field s-cached", {}, cached, text.cache_on)), message);

  // ---- the two tables, as large for every plan of the same prompt

  const spoken = ["cache_call", "cache_does", "cache_next"].map(() => el("div"));
  const caption = el("div", "fx-caption ml-count", { "aria-live": "polite" }, ...spoken);
  const stairs = el("div", "fx-slots s-call", { role: "table", "aria-label": text.cache_stairs });
  const mask = el("div", "fx-slots fx-mask", { role: "img" });
  const view = el("div", "", {}, caption, el("div", "fx-two", {}, stairs, mask),
    el("p", "fx-note", {}, `${text.cache_legend} ${text.cache_keys}`));
  root.append(view);

  let read = {}, calls = [], rows = [], queries = [], names = []; // names: what heads a column, in both tables
  let call = 0; // the one that was chosen, from 0
  let planned = "", drawn = "", known = 0; // the plan and the call that are drawn, and how many tokens with them
  let promptShown = "", walked;
  const also = { ArrowLeft: "ArrowUp", ArrowRight: "ArrowDown" };
  stairs.addEventListener("keydown", (event) => {
    const { key, target } = event;
    walked.keys({ key: also[key] ?? key, target, preventDefault: () => event.preventDefault() });
  });
  stairs.addEventListener("pointerleave", () => look(call));

  function line(name, role) {
    const label = el("div", "fx-slotname", role ? { role: "rowheader" } : {}, name);
    const cells = read.pieces.map(() => el("div", "fx-slot", role ? { role: "cell" } : {}));
    const signs = " ".repeat(cells.length);
    return { label, cells, signs, node: el("div", "fx-slotrow", role ? { role: "row" } : {}, label, ...cells) };
  }

  // The row above a table: the number of each slot, and its token, as soon as that is known.
  function headed(corner, role) {
    const attributes = role ? { role: "columnheader" } : {};
    const cells = read.pieces.map(() => el("div", "fx-slothead", attributes));
    names.push(cells);
    return el("div", "fx-slotrow fx-slotheads", role ? { role: "row" } : {},
      el("div", "fx-slotname", attributes, corner), ...cells);
  }

  // Another prompt.
  function another(found) {
    read = found;
    names = [];
    planned = drawn = "";
    known = 0;
    const n = read.pieces.length - 1; // the last token is never read
    rows = Array.from({ length: n }, () => line("", true));
    queries = Array.from({ length: n }, (_, query) => line(`${query} ${read.pieces[query]}`, false));
    stairs.replaceChildren(headed(text.cache_corner, true), ...rows.map((each) => each.node));
    mask.replaceChildren(headed(text.cache_queries, false), ...queries.map((each) => each.node));
    walked = walk(rows.map((each) => each.node), look, (k) => put({ call: k + 1 }));
    root.style.setProperty("--slots", n + 1);
    piece.max = read.n_prompt;
  }

  // ---- what is shown

  // Change the plan; a call beyond its last becomes its last.
  function plan(values) {
    const now = { piece: model.get("piece"), cached: model.get("cached"), ...values };
    const { length } = cacheCalls(read.n_prompt, read.pieces.length, now.piece, now.cached);
    put({ ...values, call: Math.min(model.get("call"), length) });
  }

  function draw() {
    const found = model.get("read"), waits = found.prompt !== model.get("prompt"), failed = !found.pieces.length;
    if (promptShown !== model.get("prompt")) prompt.value = promptShown = model.get("prompt"); // or it is half typed
    say(message, waits ? text.temp_wait : found.note);
    message.classList.toggle("fx-failed", failed && !waits);
    view.hidden = failed;
    if (failed) return;
    if (found !== read) another(found);
    const size = Math.min(model.get("piece"), read.n_prompt), keeps = model.get("cached");
    piece.value = size;
    piece.disabled = !keeps; // without a cache every call reads everything
    say(pieceShown, String(size));
    cached.checked = keeps;
    calls = cacheCalls(read.n_prompt, read.pieces.length, size, keeps);
    call = Math.min(model.get("call"), calls.length) - 1;
    const wanted = [read.prompt, size, keeps].join(" ");
    if (wanted !== planned) rows.forEach((each, k) => fillRow(each, calls[k]));
    planned = wanted;
    walked.at(call);
    look(call);
  }

  // A row of the staircase: what a call does with each slot. A row that this plan does not need is not seen, and stays
  // as it was: the next plan may need it again.
  function fillRow(each, bounds) {
    each.node.classList.toggle("fx-none", !bounds);
    each.node.setAttribute("aria-hidden", !bounds);
    if (!bounds) return;
    const [start, end] = bounds;
    say(each.label, `${start}:${end}, ${start}`);
    mark(each, (slot) => (slot < start ? "R" : slot < end ? "W" : "–"));
  }

  // Give each slot of a row its sign: R and W as they are, r and w for a query that looks at such a slot. Only what
  // differs is changed: each change of a text or a class costs the browser a little layout.
  function mark(each, signAt) {
    const before = each.signs, shown = { " ": "", r: "✓", w: "✓" };
    const ground = (sign) => ({ r: "fx-slot fx-read", w: "fx-slot fx-written" })[sign.toLowerCase()] ?? "fx-slot";
    each.signs = each.cells.map((_, slot) => signAt(slot)).join("");
    each.cells.forEach((cell, slot) => {
      const sign = each.signs[slot];
      if (sign === before[slot]) return;
      say(cell, shown[sign] ?? sign);
      if (ground(sign) !== ground(before[slot])) cell.className = ground(sign);
    });
  }

  // Light a call, its slots and its queries, and say what it does.
  function look(k) {
    if (drawn === `${planned} ${k}`) return;
    drawn = `${planned} ${k}`;
    const [start, end] = calls[k];
    rows.forEach((each, n) => each.node.classList.toggle("fx-now", n === k));
    if (known !== Math.max(read.n_prompt, end)) name(Math.max(read.n_prompt, end));
    queries.forEach((each, query) => {
      const inside = query >= start && query < end;
      each.node.classList.toggle("fx-now", inside);
      if (inside) mark(each, (slot) => (slot >= end ? " " : slot > query ? "✗" : slot < start ? "r" : "w"));
    });
    tell(start, end, k);
  }

  // The tokens that are known by now, above the slots and beside the queries.
  function name(until) {
    known = until;
    const words = read.pieces.map((piece, slot) => (slot < known ? `${slot} ${piece}` : String(slot)));
    for (const cells of [...names, queries.map(({ label }) => label)])
      cells.forEach((cell, slot) => say(cell, words[slot]));
  }

  function tell(start, end, k) {
    const slots = (first, last) => fill(first === last ? text.cache_one_slot : text.cache_slots, { first, last });
    const next = end < read.n_prompt ? text.cache_more_prompt
      : fill(text.cache_next, { column: end, piece: read.pieces[end] });
    const computed = calls.slice(0, k + 1).reduce((sum, [from, to]) => sum + to - from, 0);
    const head = fill(text.cache_call, { k: k + 1, n: calls.length });
    say(spoken[0], `${head} forward(tokens[:, ${start}:${end}], ${start})`);
    say(spoken[1], fill(text.cache_does, { written: slots(start, end - 1), read: slots(0, end - 1) }));
    say(spoken[2], `${next} ${fill(text.cache_computed, { n: computed })}`);
    mask.setAttribute("aria-label", fill(text.cache_mask, { first: start, last: end - 1 }));
  }

  draw();
}
