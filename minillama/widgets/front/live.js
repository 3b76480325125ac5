// Words for a screen reader: a region that stays in the page while its text changes, so that each change is read out.
// What Python draws (parts.py) is put in anew as a whole, and a region that is new is silent.

const UNSEEN = "position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: pre";

function render({ model, el }) {
  const region = document.createElement("div");
  region.className = "ml-live";
  region.setAttribute("role", "status"); // read out as soon as the reader is free
  region.style = UNSEEN;
  const say = () => (region.textContent = model.get("words"));
  model.on("change:words", say);
  say();
  el.append(region);
}
