// One text of the heat map: a strip of −log p with the threshold as a line to drag, the text itself, and the tokens
// whose spikes are above the line. heatmap.js puts two of them side by side.

const STOPS = [1, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03, 0.02,
  0.015, 0.01, 0.005, 0.002, 0.001, 0]; // of the threshold, for the keys
const SLIP = 4; // pixels that a finger may move in a tap
const N_ROWS = 6; // uncertain tokens in the table
const LOW = ["place", "token", "prob", "logprob", "rank"]; // its columns

// A probability in few characters, as heatmap.py writes it.
function percent(prob) {
  return prob < 1e-4 ? "<0.01%" : prob < 0.995 ? `${Number((100 * prob).toPrecision(2))}%` : "100%";
}

// The ground and the ink for a log-probability, as heatmap.py mixes them: from dark blue to yellow.
function shade(logprob, { cividis, lowest }) {
  const place = (cividis.length - 1) * (1 - Math.max(logprob, lowest) / lowest);
  const k = Math.min(Math.floor(place), cividis.length - 2);
  const [low, high] = [cividis[k], cividis[k + 1]].map((colour) =>
    [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
  const mixed = low.map((part, each) => Math.round(part + (high[each] - part) * (place - k)));
  const linear = mixed.map((c) => (c < 10 ? c / 3294 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  const light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  return { background: `rgb(${mixed.join(" ")})`, color: light < 0.179 ? "#fff" : "#000" };
}

// A row of a table: a cell for each text; the first of a row that is no heading is its name.
function cells(texts, role = "cell", css = "fx-cells") {
  return el("div", css, { role: "row" }, ...texts.map((words, k) =>
    el("div", "", { role: role === "cell" && !k ? "rowheader" : role }, words)));
}

// Returns { node, reader, tokens, first(echo), about(place), place(target), draw(threshold, echo), light(place) };
// reader holds the text; first: the first token that is seen. moved(threshold) is called when the line is moved.
function reading({ run, name, data, read, moved }) {
  const { text, lowest, vocab_size: vocabSize } = data, { pieces, ranks, tops, logprobs, n_prompt: nPrompt } = run;
  const tokens = pieces.map((piece, k) => {
    const token = el("span", "fx-token", { role: "listitem", "aria-label": says(k) }, piece.replaceAll("▁", " "));
    if (logprobs[k] === null) token.classList.add("fx-no-score");
    else Object.assign(token.style, shade(logprobs[k], data));
    return token;
  });
  const spikes = pieces.map((_, k) => {
    const bar = el("i");
    bar.style.height = `${100 * Math.min(1, (logprobs[k] ?? 0) / lowest)}%`;
    if (logprobs[k] !== null) bar.style.background = shade(logprobs[k], data).background;
    return el("span", "fx-spike", {}, bar); // as high as the strip, so that the pointer finds it
  });

  // What is known of a token, and of the most probable ones at its place.
  function says(k) {
    if (logprobs[k] === null) return fill(text.heat_tip_none, { place: k, piece: pieces[k] });
    const best = tops[k].map(([piece, prob]) => `${piece} ${percent(prob)}`).join(", ");
    return `${about(k)} ${fill(text.heat_top, { best })}`;
  }

  function about(k) {
    const prob = percent(Math.exp(logprobs[k]));
    const values = { place: k, piece: pieces[k], prob, logprob: logprobs[k], rank: ranks[k], vocab_size: vocabSize };
    return fill(text.heat_about, values);
  }

  // ---- the strip and its line

  const pill = el("span", "fx-pill", { "aria-hidden": "true" });
  const line = el("div", `fx-threshold s-threshold-${name.toLowerCase()}`, { role: "slider", tabindex: 0,
    "aria-orientation": "vertical", "aria-valuemin": 0, "aria-valuemax": -lowest,
    "aria-label": fill(text.heat_slider, { run: name }) }, pill);
  const strip = el("div", "fx-strip", {}, el("span", "fx-axis-name", {}, text.heat_axis),
    el("div", "fx-spikes", { "aria-hidden": "true" }, ...spikes), line);
  const drag = (event) => {
    const { top, height } = strip.getBoundingClientRect(), up = between(0, (top + height - event.clientY) / height, 1);
    moved(up === 1 ? 0 : Number(Math.exp(up * lowest).toPrecision(2)));
  };
  let down = null; // where the pointer came down; a finger has to move before it drags, for a tap is for a spike
  strip.addEventListener("pointerdown", (event) => {
    down = event.clientY;
    if (event.pointerType === "touch") return; // what a finger came down on gets all its events anyway
    strip.setPointerCapture(event.pointerId);
    line.focus({ preventScroll: true });
    drag(event);
    event.preventDefault();
  });
  strip.addEventListener("pointermove", (event) => {
    if (down === null || (event.pointerType === "touch" && Math.abs(event.clientY - down) < SLIP)) return;
    down = Infinity; // from now on every move counts
    if (document.activeElement !== line) line.focus({ preventScroll: true });
    drag(event);
  });
  for (const kind of ["pointerup", "pointercancel"]) strip.addEventListener(kind, () => (down = null));
  line.addEventListener("keydown", (event) => {
    const at = nearest(STOPS, read()), last = STOPS.length - 1;
    const to = { ArrowUp: at + 1, ArrowRight: at + 1, ArrowDown: at - 1, ArrowLeft: at - 1, PageUp: at + 5,
      PageDown: at - 5, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    moved(STOPS[between(0, to, last)]);
  });

  // ---- the text, in two parts that flow into each other, and the table

  const part = (words, each) => el("span", "", { role: "list", "aria-label": `${name}: ${words}` }, ...each);
  const prompt = part(text.from_prompt, tokens.slice(0, nPrompt));
  const written = part(text.generated, tokens.slice(nPrompt));
  const signs = ["▸ ", " ●"].map((sign) => el("span", "fx-aside", { "aria-hidden": "true" }, sign));
  const more = logprobs.length - pieces.length;
  const reader = el("div", "fx-reader", {}, signs[0], prompt, signs[1], written);
  const low = Array.from({ length: N_ROWS }, () => cells(LOW.map(() => ""), "cell", "fx-cells ml-low"));
  const hidden = el("p", "fx-note");
  const table = el("div", "fx-table fx-lows", { role: "table", "aria-label": fill(text.heat_lows, { run: name }) },
    cells(LOW.map((column) => text[`col_${column}`]), "columnheader"), ...low);
  const empty = el("p", "fx-message", {}, text.heat_nothing);
  const node = el("section", "fx-panel", { "aria-label": name }, el("b", "", {}, name), strip, reader, empty,
    ...(more > 0 ? [el("p", "fx-note", {}, fill(text.heat_more_tokens, { n: more }))] : []), table, hidden);
  const first = (echo) => (echo ? 0 : nPrompt);
  let listed = []; // the places that the table shows

  function draw(threshold, echo) {
    const nats = threshold > 0 ? -Math.log(threshold) : Infinity;
    line.style.bottom = `${100 * Math.min(1, nats / -lowest)}%`;
    line.setAttribute("aria-valuenow", fixed(Math.min(-lowest, nats), 2));
    const prob = share(threshold);
    line.setAttribute("aria-valuetext", threshold > 0 ? fill(text.heat_spoken, { prob, nats }) : prob);
    say(pill, prob);
    const below = tokens.map((_, k) => logprobs[k] !== null && Math.exp(logprobs[k]) < threshold);
    const from = first(echo), seen = tokens.map((_, k) => k).slice(from);
    tokens.forEach((token, k) => {
      token.classList.toggle("fx-low", below[k]);
      spikes[k].classList.toggle("fx-low", below[k]);
      spikes[k].hidden = k < from;
    });
    prompt.hidden = signs[0].hidden = !echo;
    written.hidden = signs[1].hidden = nPrompt >= pieces.length; // a list needs items
    empty.hidden = seen.length > 0;
    const uncertain = seen.filter((k) => below[k]).sort((a, b) => logprobs[a] - logprobs[b]);
    listed = uncertain.slice(0, N_ROWS);
    low.forEach((each, row) => {
      const k = listed[row];
      const words = k === undefined ? ["", "", "", "", ""]
        : [k, pieces[k], percent(Math.exp(logprobs[k])), fixed(logprobs[k], 2), ranks[k]];
      words.forEach((word, column) => say(each.children[column], String(word)));
    });
    const others = uncertain.length - listed.length;
    say(hidden, others > 0 ? fill(text.heat_more_rows, { n: others }) : " ");
  }

  // Light a token, its spike and its row of the table; undefined: none.
  function light(place) {
    for (const each of node.querySelectorAll(".fx-lit")) each.classList.remove("fx-lit");
    for (const each of [tokens[place], spikes[place], low[listed.indexOf(place)]]) each?.classList.add("fx-lit");
  }

  // The place of what the pointer is on: a token, a spike or a row of the table.
  function place(target) {
    const found = target.closest(".fx-token, .fx-spike");
    const k = [tokens, spikes].map((nodes) => nodes.indexOf(found)).find((each) => each >= 0);
    return k ?? listed[low.indexOf(target.closest(".ml-low"))];
  }

  return { node, reader, tokens, first, about, place, draw, light };
}

// The threshold, which may be 0.
function share(threshold) {
  return threshold > 0 ? percent(threshold) : "0%";
}
