// The candidates of a step and row: the tokens with the largest logits in a table that scrolls, and all others in one
// row. stepper.py sends for each step and row: HEADER numbers, n token ids, their n logits.

const HEADER = 5;
const COLUMNS = ["logit", "scaled", "prob", "plot", "before", "kept", "renormalised", "pick"];

// What Python sent of a step and row, and prob(logit, place): place 0 is the most probable token.
function candidatesOf({ n_shown: n, stops, settings: { temperature } }, numbers, step, k) {
  const start = ((step - 1) * stops.length + k) * (HEADER + 2 * n);
  const [nKept, mass, best, ownLogit, ownPlace] = numbers.subarray(start, start + HEADER);
  const ids = numbers.subarray(start + HEADER, start + HEADER + n);
  const logits = numbers.subarray(start + HEADER + n, start + HEADER + 2 * n);
  const prob = (logit, place) => temperature < TINY ? Number(place === 0)
    : best * Math.exp((logit - logits[0]) / temperature);
  return { nKept, mass, ids, logits, prob, own: { place: ownPlace, prob: prob(ownLogit, ownPlace) } };
}

// Returns { node, keys, draw(candidates, marks, temperature) }; marks: {token id: what the last column says of it}.
function candidateTable({ n_shown: n, names }, text, vocabSize) {
  const rows = Array.from({ length: n }, () => row(COLUMNS, ["ghost", "bar"])), rest = row(COLUMNS, ["ghost", "bar"]);
  rest.node.classList.add("fx-rest");
  rest.node.hidden = n === vocabSize;
  const nodes = [...rows, rest].map((each) => each.node).filter((node) => !node.hidden);
  const heads = el("div", "fx-heads", { role: "rowgroup" }, head(COLUMNS, text));
  const body = el("div", "fx-rows", { role: "rowgroup" }, ...nodes);
  const caption = el("p", "fx-caption");
  let scrolled = false;
  body.addEventListener("scroll", () => (scrolled = body.scrollTop > 0));
  const table = el("div", "fx-table", { role: "table", "aria-label": text.stages_table }, heads, body);
  let lit = nodes[0];
  const { keys } = walk(nodes, (k) => {
    lit.classList.remove("fx-lit");
    lit = nodes[k];
    lit.classList.add("fx-lit");
  });

  function fillRow(each, { name, logit, prob, before, isKept, kept, renormalised, mark }, temperature) {
    each.node.classList.toggle("fx-cut", !isKept);
    each.node.classList.toggle("fx-marked", mark !== "");
    say(each.name, name);
    say(each.logit, logit === undefined ? "" : fixed(logit, 2));
    say(each.scaled, logit === undefined ? "" : temperature < TINY ? "–" : fixed(logit / temperature, 2));
    say(each.prob, fixed(prob, 4));
    say(each.before, fixed(before, 4));
    say(each.kept, kept);
    say(each.renormalised, fixed(renormalised, 4));
    say(each.pick, mark);
    each.ghost.hidden = !renormalised;
    each.ghost.style.width = `${100 * prob}%`;
    each.bar.style.transform = `scaleX(${renormalised || prob})`;
  }

  function draw({ nKept, mass, ids, logits, prob: probOf }, marks, temperature) {
    let before = 0;
    rows.forEach((each, k) => {
      const prob = probOf(logits[k], k), isKept = k < nKept;
      fillRow(each, { name: names[ids[k]], logit: logits[k], prob, before, isKept, mark: marks[ids[k]] ?? "",
        kept: isKept ? text.is_kept : text.is_cut, renormalised: isKept ? prob / mass : 0 }, temperature);
      before += prob;
    });
    const below = Math.max(0, nKept - n);
    fillRow(rest, { name: fill(text.top_rest, { n: vocabSize - n }), prob: Math.max(0, 1 - before), before, mark: "",
      isKept: below > 0, kept: fill(text.top_rest_kept, { n: below }),
      renormalised: below ? (mass - before) / mass : 0 }, temperature);
    const greedy = temperature < TINY ? ` ${text.greedy}` : "";
    say(caption, fill(text.kept, { kept: nKept, total: vocabSize, mass }) + greedy);
    if (scrolled) body.scrollTop = 0; // only then, for it waits for the layout
  }

  return { node: el("div", "", {}, caption, table), keys, draw };
}
