// The switch of languages leads to the cell that is read: both pages have the same ids.
const cells = [...document.querySelectorAll(".book-cell")];

// The last cell that begins at the top of the window or above it, where a link to a cell puts it.
function here() {
  const top = parseFloat(getComputedStyle(cells[0] ?? document.body).scrollMarginTop) + 4;
  return cells.findLast((node) => node.getBoundingClientRect().top <= top)?.id;
}

for (const link of document.querySelectorAll(".book-languages a")) {
  const address = link.getAttribute("href");
  const follow = () => link.setAttribute("href", scrollY > 0 && here() ? `${address}#${here()}` : address);
  for (const event of ["pointerdown", "focus", "click"]) link.addEventListener(event, follow);
}

// A link to what is folded unfolds it.
function unfold() {
  let node = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (node && !node.offsetParent) {
    for (node = node.closest("details"); node; node = node.parentElement.closest("details")) node.open = true;
  }
}
addEventListener("hashchange", unfold);
unfold();

// What is wider than the page is scrolled by the arrow keys, once it has the focus.
const wide = document.querySelectorAll("article :is(pre, .cell_output, .table-wrapper, p:has(> img))");
const reach = () => wide.forEach((node) => {
  if (node.scrollWidth > node.clientWidth) node.tabIndex = 0;
  else node.removeAttribute("tabindex");
});
addEventListener("resize", reach);
reach();
