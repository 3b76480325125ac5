// Predict: choose, then see. From then on the choice is locked.

const seen = (globalThis.mlPredictions ??= new Map()); // in a page without a kernel: {id: whether it was right}

function render({ model, el: parent, alone = false }) {
  const { id, text, question, options, shown, answer, because } = model.get("data");
  const root = explorer(parent, "fx-predict");
  if (!alone) hideStill(root, id);
  const group = `ml-${Math.random()}`; // the same prediction may be shown twice in a page

  // ---- the parts

  const radios = options.map((_, k) => el("input", "", { type: "radio", name: group, value: k }));
  const marks = options.map(() => el("span", "fx-mark"));
  const labels = shown.map((words, k) => el("label", "fx-option", {}, radios[k],
    el("kbd", "fx-key", { "aria-hidden": "true" }, String(k + 1)), el("span", "fx-words", {}, words), marks[k]));
  const button = el("button", "s-reveal", { type: "button" }, text.predict_reveal);
  const keys = el("span", "fx-note", {}, fill(text.predict_keys, { n: options.length }));
  const buttons = el("div", "fx-buttons", {}, button, keys);
  const choices = el("div", "fx-options", {}, ...labels);
  const fieldset = el("fieldset", "", {}, el("legend", "", {}, question), choices, buttons);
  const said = el("p", "fx-said", { tabindex: -1 }), score = el("p", "fx-note");
  root.append(fieldset, said, score);

  // ---- what is done

  const put = bind(model, ["choice", "revealed", "score"], draw);
  const choose = (k) => model.get("revealed") || put({ choice: options[k] });
  const reveal = () => {
    const choice = model.get("choice");
    if (choice === null || model.get("revealed")) return;
    seen.set(id, choice === options[answer]);
    put({ revealed: true });
    said.focus({ preventScroll: true }); // the fieldset is off now; a screen reader goes on with the answer
  };
  radios.forEach((radio, k) => radio.addEventListener("change", () => choose(k)));
  button.addEventListener("click", reveal);
  fieldset.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const k = Number(event.key) - 1;
    if (event.key === "Enter") reveal();
    else if (k in radios) radios[k].focus(), choose(k);
    else return;
    event.preventDefault();
  });

  // ---- what is seen

  function mark(k, chosen) {
    if (k === answer) return chosen === k ? text.right_chosen : text.right_option;
    return chosen === k ? text.wrong_chosen : "";
  }

  function draw() {
    const chosen = options.indexOf(model.get("choice")), revealed = model.get("revealed");
    radios.forEach((radio, k) => {
      radio.checked = k === chosen;
      say(marks[k], revealed ? mark(k, chosen) : "");
      labels[k].classList.toggle("fx-right", revealed && k === answer);
      labels[k].classList.toggle("fx-wrong", revealed && k === chosen && k !== answer);
    });
    fieldset.disabled = revealed;
    button.disabled = chosen < 0;
    buttons.hidden = revealed;
    const kind = chosen < 0 ? "none" : chosen === answer ? "right" : "wrong";
    const verdict = fill(text[`predict_is_${kind}`], { choice: shown[chosen], answer: shown[answer] });
    say(said, revealed ? `${verdict} ${because}` : "");
    say(score, revealed ? counted() : "");
  }

  function counted() { // by Python, from what is kept; in a page without a kernel by the page
    const own = () => [[...seen.values()].filter(Boolean).length, seen.size];
    const [right, all] = alone ? own() : model.get("score") ?? [0, 0];
    return all ? fill(text.predict_score, { right, all }) : "";
  }

  // ---- the question and its options stand in the text above: it has the question, this has the options

  const same = (node, words) => node.textContent.replace(/\s+/g, " ").trim() === words.replace(/\s+/g, " ").trim();
  function readAbove() {
    const above = root.closest(".jp-Cell, .cell")?.previousElementSibling;
    const list = above?.matches("ol") ? above : [...(above?.querySelectorAll("ol") ?? [])].pop();
    const items = [...(list?.children ?? [])];
    const asked = items.length === options.length && items.every((item, k) => same(item, options[k]));
    root.classList.toggle("fx-asked", asked);
    if (asked) list.dataset.mlAsked = id;
  }
  root.append(el("style", "", {}, `[data-ml-asked="${id}"] { display: none !important; }`));
  const watch = new IntersectionObserver(readAbove); // a text may be drawn anew while it is out of sight
  watch.observe(root);
  draw();
  return () => watch.disconnect();
}
