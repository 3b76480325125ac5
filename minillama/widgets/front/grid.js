// Cells with one tab stop among them, and a grid of cells that scrolls by itself.
// front.py joins this file in for an explorer that has "grid" in `uses`. Two functions:
//
// rove(parent, lines, chosen): lines are lists of nodes inside `parent`. A click on one of them, or an arrow key, Home
//   or End on the one that has the focus, calls chosen(line, place). Returns at(line, place): that node is the tab stop
//   from now on, and it has the focus if one of the others had it.
// grid({ label, corner, heads, names, cell, chosen }): a table of fixed cells, `cell` pixels wide; the names of its
//   rows stay in sight. Returns { node, track, heads, names, lines, at }: the nodes of all, of what scrolls, of the
//   headings, the names and the cells, lines[row][column]. at(row, column) also scrolls: that column is in the middle
//   third of what is seen.

const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
  Home: [0, -Infinity], End: [0, Infinity] };

function between(lowest, value, highest) {
  return Math.max(lowest, Math.min(highest, value));
}

function rove(parent, lines, chosen) {
  const places = new Map(lines.flatMap((line, row) => line.map((node, place) => [node, [row, place]])));
  const found = (node) => places.get(node) ?? (node === parent || !node ? undefined : found(node.parentElement));
  let stop = lines[0][0];
  for (const node of places.keys()) node.setAttribute("tabindex", node === stop ? 0 : -1);
  parent.addEventListener("click", ({ target }) => found(target) && chosen(...found(target)));
  parent.addEventListener("keydown", (event) => {
    const by = ARROWS[event.key], from = places.get(event.target);
    if (!by || !from || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const row = between(0, from[0] + by[0], lines.length - 1);
    chosen(row, between(0, from[1] + by[1], lines[row].length - 1));
  });
  return (row, place) => {
    const had = places.has(document.activeElement);
    stop.setAttribute("tabindex", -1);
    stop = lines[row][place];
    stop.setAttribute("tabindex", 0);
    if (had) stop.focus({ preventScroll: true });
  };
}

function grid({ label, corner, heads, names, cell, chosen }) {
  const columnHeads = heads.map((head) => el("div", "fx-gridhead", { role: "columnheader" }, head));
  const rowNames = names.map((name) => el("div", "fx-gridname", {}, name));
  const lines = names.map(() => heads.map(() => el("div", "fx-gridcell", { role: "gridcell" })));
  const rows = lines.map((line, k) => el("div", "fx-gridrow", { role: "row", "aria-label": names[k] }, ...line));
  const head = el("div", "fx-gridrow", { role: "row" }, ...columnHeads);
  const table = el("div", "fx-track", { role: "grid", "aria-label": label }, head, ...rows);
  const view = el("div", "fx-scroll", {}, table);
  const above = el("div", "fx-gridcorner", {}, corner);
  const beside = el("div", "fx-gridnames", { "aria-hidden": "true" }, above, ...rowNames); // the rows have labels
  const node = el("div", "fx-grid", {}, beside, view);
  node.style.setProperty("--cell", `${cell}px`);
  node.style.setProperty("--columns", heads.length);

  let width = 0, now = 0;
  // Before column 0 and after the last there is a third of the width; so each column can come to the middle.
  const scroll = () => {
    if (!width) return;
    const left = view.scrollLeft, to = between((now + 1) * cell - Math.floor(width / 3), left, now * cell);
    if (to !== left) view.scrollLeft = to;
  };
  new ResizeObserver(([{ contentRect }]) => {
    if (!width) view.scrollLeft = contentRect.width / 3; // column 0 at the left edge
    width = contentRect.width;
    scroll();
  }).observe(view);

  const rest = rove(table, lines, chosen);
  const at = (row, column) => {
    now = column;
    scroll(); // first: to read where it is waits for the layout, and nothing has changed yet
    rest(row, column);
  };
  return { node, track: table, heads: columnHeads, names: rowNames, lines, at };
}
