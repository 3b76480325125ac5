// What the explorers show alike: parts of the page, tables, sliders, and the page without a kernel.

// ---- parts of the page. Text from Python is only ever textContent, so nothing in it can become markup.

function el(tag, name = "", attributes = {}, ...children) {
  const node = document.createElement(tag);
  node.className = name;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children); // a string becomes a text node
  return node;
}

// An element of an SVG picture; attributes only.
function svg(tag, attributes = {}, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}

// Change a text only where it differs: a screen reader then reads only news. The node of the text stays, for a new one
// takes longer.
function say(node, text) {
  const words = node.firstChild;
  if (words === null || words !== node.lastChild || words.nodeType !== Node.TEXT_NODE) node.textContent = text;
  else if (words.data !== text) words.data = text;
}

// A heading with a long and a short form; the style sheet shows the one that there is room for.
function heading(long, short = long) {
  return el("div", "fx-cell fx-heading", { role: "columnheader" }, el("span", "fx-long", {}, long),
    el("span", "fx-short", {}, short));
}

// A row of a table: its name, a cell a column, and in the cell called plot the marks, which are for the eye only.
function row(columns, marks) {
  const parts = { name: el("div", "fx-cell fx-name", { role: "rowheader" }) };
  for (const name of columns) parts[name] = el("div", `fx-cell fx-${name}`, { role: "cell" });
  for (const mark of marks) parts.plot.append((parts[mark] = el("div", `fx-${mark}`)));
  parts.plot.setAttribute("aria-hidden", "true");
  return { ...parts, node: el("div", "fx-row", { role: "row" }, parts.name, ...columns.map((name) => parts[name])) };
}

// The head of a table. `text` has a long and a short heading for each column; the plot has its scale.
function head(columns, text) {
  const scale = ["0", "0.5", "1"].map((tick) => el("span", "", {}, tick));
  const cells = columns.map((name) => name === "plot"
    ? el("div", "fx-cell fx-plot fx-scale", { "aria-hidden": "true" }, ...scale)
    : heading(text[`col_${name}`], text[`short_${name}`]));
  return el("div", "fx-row fx-head", { role: "row" }, heading(text.col_token), ...cells);
}

// A choice of prompts. `shown` are the texts with every character made visible.
function promptChoice(text, shown, chosen) {
  const select = el("select", "", {}, ...shown.map((words, k) => el("option", "", { value: k }, words)));
  select.addEventListener("change", () => chosen(Number(select.value)));
  return [select, el("label", "fx-field s-prompt", {}, text.prompt, select)];
}

// Rows that the arrow keys walk through, one tab stop in all; lit(k) is called for the row under the pointer or focus,
// then chosen(k) for the one that got the focus. Returns { keys, at }: keys is for keydown, at(k) moves the tab stop.
function walk(rows, lit, chosen = () => {}) {
  let stop = 0, moving = false;
  const at = (k) => {
    if (k === stop) return; // to set it where the focus is waits for the layout
    rows[stop].setAttribute("tabindex", -1);
    rows[(stop = k)].setAttribute("tabindex", 0);
  };
  const go = (k) => {
    at(k);
    lit(k);
    chosen(k);
  };
  rows.forEach((each, k) => {
    each.setAttribute("tabindex", k === stop ? 0 : -1);
    each.addEventListener("pointerenter", () => lit(k));
    each.addEventListener("focus", () => moving || go(k));
  });
  const keys = (event) => {
    const seen = rows.filter((each) => !each.matches(".fx-none")), k = seen.indexOf(event.target);
    const to = { ArrowUp: k - 1, ArrowDown: k + 1, Home: 0, End: seen.length - 1 }[event.key];
    if (k < 0 || to === undefined) return;
    event.preventDefault();
    const place = rows.indexOf(seen[Math.max(0, Math.min(seen.length - 1, to))]);
    at(place);
    moving = true;
    rows[place].focus(); // first: to scroll there waits for the layout, and nothing that is seen has changed yet
    moving = false;
    go(place);
  };
  return { keys, at };
}

// Make `handle` a slider: arrows, Page keys, Home and End, and dragging on the rails, the first as wide as the scale.
function slider(handle, rails, { lowest = 0, highest, step, page, read, moved, label }) {
  const attributes = { role: "slider", tabindex: 0, "aria-valuemin": lowest, "aria-valuemax": highest };
  for (const [key, value] of Object.entries({ ...attributes, "aria-label": label })) handle.setAttribute(key, value);
  const to = (value) => { // on the grid of steps, and free of the rounding of the last digits
    moved(Math.max(lowest, Math.min(highest, Number((Math.round(value / step) * step).toFixed(6)))));
  };
  handle.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step, PageDown: -page, PageUp: page };
    if (event.key in by) to(read() + by[event.key]);
    else if (event.key === "Home") to(lowest);
    else if (event.key === "End") to(highest);
    else return;
    event.preventDefault();
  });
  for (const rail of rails) {
    const drag = (event) => {
      const { left, width } = rails[0].getBoundingClientRect();
      to(lowest + ((highest - lowest) * (event.clientX - left)) / width);
    };
    rail.addEventListener("pointerdown", (event) => {
      rail.setPointerCapture(event.pointerId);
      handle.focus({ preventScroll: true });
      drag(event);
      event.preventDefault();
    });
    rail.addEventListener("pointermove", (event) => rail.hasPointerCapture(event.pointerId) && drag(event));
  }
}

// ---- one explorer

// The root of an explorer. JupyterLab's own keys (d d deletes the cell) are off for whatever in it has the focus.
function explorer(parent, name) {
  const root = el("div", `fx ${name}`, {}, el("style", "", {}, CSS));
  root.addEventListener("focusin", ({ target }) => target.setAttribute("data-lm-suppress-shortcuts", "true"));
  for (const [key, colour] of Object.entries(COLOURS)) root.style.setProperty(`--${key}`, colour);
  parent.append(root);
  return root;
}

// Hide the still that Python displayed beside the widget. The rule goes away with the widget, and the still comes back.
function hideStill(root, id) {
  const still = `[data-ml-still="${id}"]`;
  root.append(el("style", "", {}, `${still}, .jp-OutputArea-child:has(${still}) { display: none !important; }`));
}

// Redraw whenever one of the values changes, whoever changed it. Returns put({name: value}): all at once, drawn once.
function bind(model, names, draw) {
  let busy = false, sending = 0;
  for (const name of names) model.on(`change:${name}`, () => busy || draw());
  return (values) => {
    busy = true;
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    busy = false;
    draw();
    clearTimeout(sending);
    sending = setTimeout(() => model.save_changes()); // what is drawn does not wait for what is sent
  };
}

// The values of an explorer in a page without a kernel, with the methods of anywidget's model.
class PageModel {
  constructor(values) {
    this.values = values;
  }
  get(name) {
    return this.values[name];
  }
  set(name, value) {
    this.values[name] = value;
  }
  on() {} // nobody else changes them
  save_changes() {}
}

// Where no widget is alive: put the explorer in the still's place as soon as that is seen.
function start(id, values, render) {
  for (const still of document.querySelectorAll(`[data-ml-still="${id}"]:not([data-ml-started])`)) {
    still.dataset.mlStarted = "";
    new IntersectionObserver((entries, seen) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      still.replaceChildren();
      render({ model: new PageModel(values), el: still, alone: true });
    }).observe(still);
  }
}
