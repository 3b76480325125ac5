// AttentionExplorer: a small picture of every head, and the text as a column of tokens. From the token that looks, arcs
// lead to the tokens that it looks at, as thick as the weights, which stand beside them as numbers.

const LINE = 24; // the height of a token's line; ARCS: the width of the picture beside it, both in pixels
const ARCS = 110;
const THICKEST = 10; // an arc of weight 1
const FAINTEST = 0.005; // below it there is no arc: the number says 0.00
const CIVIDIS = [[0, 34, 78], [125, 124, 120], [254, 232, 56]]; // the darkest colour, the middle, the brightest

function render({ model, el: parent, alone = false }) {
  const { id, text, pieces, n_layers: nLayers, n_heads: nHeads } = model.get("data");
  const n = pieces.length, all = floats(model.get("floats")); // (n_layers, n_heads, n, n)
  const root = explorer(parent, "fx-attention");
  if (!alone) hideStill(root, id);
  const put = bind(model, ["layer", "head", "token"], draw);

  // ---- the heads

  const cells = Array.from({ length: nLayers * nHeads }, (_, k) => {
    const [layer, head] = [Math.floor(k / nHeads), k % nHeads];
    const label = fill(text.att_head, { layer, head });
    return el("div", "fx-thumb", { role: "gridcell", "aria-selected": false, "aria-label": label }, picture(k));
  });
  const numbers = Array.from({ length: nHeads }, (_, k) => el("div", "", { role: "columnheader" }, String(k)));
  const corner = el("div", "", { role: "columnheader" }, text.att_corner);
  const layers = Array.from({ length: nLayers }, (_, k) => cells.slice(k * nHeads, (k + 1) * nHeads));
  const lines = layers.map((layer, k) => el("div", "fx-layer", { role: "row" },
    el("div", "", { role: "rowheader" }, String(k)), ...layer));
  const heads = el("div", "fx-maps s-head", { role: "grid", "aria-label": text.att_heads },
    el("div", "fx-layer", { role: "row" }, corner, ...numbers), ...lines);
  heads.style.setProperty("--heads", nHeads);

  // The chosen head once more, so large that its axes have names, and the row of the token that looks is framed.
  const large = el("canvas", "", { width: n, height: n }), looks = el("div", "fx-looks");
  looks.style.height = `${100 / n}%`;
  const chosenHead = el("div", "fx-large", { "aria-hidden": "true" }, el("span", "fx-across", {}, text.att_across),
    el("span", "fx-down", {}, text.att_down), el("div", "fx-map", {}, large, looks));
  const at = rove(heads, layers, (layer, head) => put({ layer, head }));

  // The weights of a head as a picture, a pixel a weight; what the mask hides stays empty.
  function picture(k) {
    const canvas = el("canvas", "", { width: n, height: n, "aria-hidden": "true" });
    const context = canvas.getContext("2d"), pixels = context.createImageData(n, n);
    const weights = all.subarray(k * n * n, (k + 1) * n * n), largest = Math.max(...weights) || 1;
    weights.forEach((weight, place) => {
      const hidden = place % n > Math.floor(place / n) && weight === 0;
      pixels.data.set([...colour(weight / largest), hidden ? 0 : 255], 4 * place);
    });
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  function colour(part) {
    const [from, to] = part < 0.5 ? [0, 1] : [1, 2], share = 2 * part - from;
    return CIVIDIS[from].map((dark, k) => dark + (CIVIDIS[to][k] - dark) * share);
  }

  // ---- the tokens

  const rows = pieces.map((piece) => {
    const parts = { name: el("div", "fx-name", { role: "rowheader" }, piece), weight: el("div", "", { role: "cell" }),
      bar: el("div", "fx-bar") };
    const plot = el("div", "fx-plot", { "aria-hidden": "true" }, parts.bar);
    return { ...parts, node: el("div", "fx-seen", { role: "row" }, parts.name, parts.weight, plot) };
  });
  const arcs = pieces.map(() => svg("path"));
  const drawing = svg("svg", { width: ARCS, height: n * LINE, "aria-hidden": "true" });
  drawing.append(...arcs);
  const body = el("div", "fx-tokens s-token", { role: "table", "aria-label": text.att_tokens },
    ...rows.map((each) => each.node));
  const caption = el("p", "fx-caption ml-count", { "aria-live": "polite" });
  const list = el("div", "fx-arcs", {}, body, drawing);
  const pictures = el("div", "fx-pictures", {}, heads, chosenHead);
  root.append(caption, el("div", "fx-two", {}, pictures, list), el("p", "fx-note", {}, text.att_keys));

  let drawn, lit, token = -1, shown = 0; // shown: under the pointer or the focus, else token
  const walked = walk(rows.map((each) => each.node), (k) => {
    shown = k;
    look();
  }, (k) => put({ token: k }));
  body.addEventListener("keydown", walked.keys);
  body.addEventListener("pointerleave", () => {
    shown = token;
    look();
  });

  // ---- what is shown

  function chosen() {
    return [model.get("layer"), model.get("head")];
  }

  function draw() {
    const [layer, head] = chosen(), cell = layers[layer][head];
    if (cell !== lit) choose(layer, head, cell);
    if (token !== model.get("token")) {
      token = shown = model.get("token");
      walked.at(token);
    }
    look();
  }

  function choose(layer, head, cell) {
    const { offsetTop: top, offsetHeight: height } = cell; // many layers scroll
    heads.scrollTop = between(top + height - heads.clientHeight, heads.scrollTop, top);
    at(layer, head);
    lit?.setAttribute("aria-selected", false);
    cell.setAttribute("aria-selected", true);
    const context = large.getContext("2d");
    context.clearRect(0, 0, n, n);
    context.drawImage(cell.firstChild, 0, 0);
    lit = cell;
  }

  // The weights of the token that looks.
  function look() {
    const [layer, head] = chosen(), start = ((layer * nHeads + head) * n + shown) * n;
    if (start === drawn) return;
    drawn = start;
    looks.style.top = `${(100 * shown) / n}%`;
    const weights = all.subarray(start, start + n), y = (shown + 0.5) * LINE;
    rows.forEach((each, k) => {
      const hidden = k > shown && weights[k] === 0;
      each.node.classList.toggle("fx-lit", k === shown);
      each.node.classList.toggle("fx-cut", hidden);
      say(each.weight, hidden ? text.att_hidden : fixed(weights[k], 2));
      each.bar.style.transform = `scaleX(${weights[k]})`;
      arcs[k].setAttribute("d", arc(y, (k + 0.5) * LINE));
      arcs[k].setAttribute("stroke-width", weights[k] < FAINTEST ? 0 : Math.max(1, THICKEST * weights[k]));
    });
    const best = ranked(weights).slice(0, 3).filter((k) => weights[k] >= FAINTEST);
    const words = Array.from(best, (k) => fill(text.att_weight, { piece: pieces[k], weight: weights[k] })).join(", ");
    say(caption, fill(text.att_caption, { layer, head, piece: pieces[shown], best: words || "–" }));
  }

  // From one height to another, the further the wider; a token that looks at itself gets a small loop.
  function arc(from, to) {
    const part = Math.abs(to - from) / (n * LINE), spread = part ? 0 : 7;
    const x = part ? ARCS - 20 - (1.2 * ARCS - 20) * part : ARCS - 26;
    return `M${ARCS} ${from - spread / 2}C${x} ${from - spread} ${x} ${to + spread} ${ARCS} ${to + spread / 2}`;
  }

  draw();
}
