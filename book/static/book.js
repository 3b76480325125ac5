// The switch of languages leads to the cell that is read: both pages have the same ids.
const cells = [...document.querySelectorAll("article [id]")].filter((node) => node.matches("section, .cell, p, ol, ul, figure, table, pre, div"));

// The last cell that begins above the upper third of the window.
function here() {
  const passed = cells.filter((node) => node.getBoundingClientRect().top < innerHeight / 3);
  return scrollY > 0 ? passed.at(-1)?.id : "";
}

for (const link of document.querySelectorAll(".book-languages a")) {
  const address = link.getAttribute("href");
  const follow = () => link.setAttribute("href", here() ? `${address}#${here()}` : address);
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
