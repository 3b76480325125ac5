// What the explorers compute and write: numbers, and words with numbers in them. front.py puts COLOURS and CSS before
// this file, and shared.js and an explorer's own files after it: one module in all.

// ---- numbers: what minillama/sampling.py computes, in 64 bits

const TINY = 2 ** -126; // a temperature below the smallest float32 is 0

// The token ids, the largest logit first; ties stay in the order of their ids.
function ranked(logits) {
  return Uint32Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a]);
}

// softmax(logits / temperature), in the order given; at temperature 0 the first token has it all.
function softmax(logits, order, temperature) {
  const probs = new Float64Array(order.length);
  if (temperature < TINY) {
    probs[0] = 1;
    return probs;
  }
  let sum = 0;
  for (let k = 0; k < probs.length; k++) {
    probs[k] = Math.exp((logits[order[k]] - logits[order[0]]) / temperature); // the largest is exp(0) = 1
    sum += probs[k];
  }
  return probs.map((weight) => weight / sum);
}

// Keep each token whose mass before it is at most p. As probs fall, these are the first nKept; `mass` is theirs.
function nucleus(probs, p) {
  const before = new Float64Array(probs.length);
  for (let k = 1; k < probs.length; k++) before[k] = before[k - 1] + probs[k - 1];
  let nKept = 0, mass = 0;
  while (nKept < probs.length && (before[nKept] <= p || p >= 1)) mass += probs[nKept++];
  return { before, nKept, mass };
}

// How uncertain a distribution is, in nats: the sum of -p log p.
function entropy(probs) {
  let nats = 0;
  for (const p of probs) if (p > 0) nats -= p * Math.log(p);
  return nats;
}

// The place of the number in a list that is nearest to this one.
function nearest(list, value) {
  return list.reduce((best, each, k) => (Math.abs(each - value) < Math.abs(list[best] - value) ? k : best), 0);
}

// The sum of all but the first n.
function tail(probs, n) {
  let sum = 0;
  for (let k = n; k < probs.length; k++) sum += probs[k];
  return sum;
}

// A function that gives the same random numbers from 0 to 1 for the same seed (mulberry32).
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

// The float32 numbers in what Python sent: a DataView from a kernel, base64 in a page.
function floats(sent) {
  const bytes = typeof sent === "string" ? Uint8Array.from(atob(sent), (c) => c.charCodeAt(0))
    : new Uint8Array(sent.buffer, sent.byteOffset, sent.byteLength);
  return new Float32Array(bytes.slice().buffer); // a copy begins where a Float32Array may begin
}

// ---- words: the templates of labels.py, filled in

// A number with so many digits after the point; what rounds to zero has no sign.
function fixed(value, digits) {
  const words = value.toFixed(digits);
  return Number(words) === 0 ? words.replace("-", "") : words;
}

const THOUSANDS = new Intl.NumberFormat("en"); // made once: to make one takes longer than to draw a table

// "{n:,} of {mass:.4f}" with {n: 4096, mass: 0.9} is "4,096 of 0.9000".
function fill(template, values = {}) {
  return template.replace(/\{(\w+)(?::(,|\.(\d)f))?\}/g, (_, name, form, digits) =>
    digits ? fixed(values[name], digits) : form ? THOUSANDS.format(values[name]) : values[name]);
}

// A temperature or top_p: two digits, and more only where they count.
function plain(value) {
  return Math.abs(value * 100 - Math.round(value * 100)) < 1e-9 ? value.toFixed(2) : String(value);
}
