"""The measures of the evaluation: one function for a row of its table, or for two.

The package's own loop generates every text. The seed of each text is fixed, so on a CPU the figures do not depend on
the batch size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import torch
from tqdm import tqdm

from minillama.generation import Llama
from training.corpus import known, quatrains
from training.corpus.document import Document, encode
from training.corpus.judges import honest
from training.corpus.poems import has_form

GREEDY = {"temperature": 0.0}
POEM = {"temperature": 0.6, "top_p": 0.9}
ANSWER_LENGTH, POEM_LENGTH = 300, 100  # tokens at most
SCORED = 16  # documents scored at a time, at most: each token has logits over the whole vocabulary


class Figure(NamedTuple):
    """A measured value and the limit it should meet."""

    label: str
    value: float
    limit: float
    at_least: bool  # whether the limit is a lower one
    percent: bool = True

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def shown(self) -> str:
        value = f"{self.value:.1%}" if self.percent else f"{self.value:.3f}"
        return f"{self.label} {value}".strip()

    def required(self) -> str:
        limit = f"{self.limit:.0%}" if self.percent else f"{self.limit:g}"
        return f"{'≥' if self.at_least else '≤'} {limit}"


class Sample(NamedTuple):
    """One answer of the model."""

    asked: str
    answer: str
    right: bool
    language: str


@dataclass
class Row:
    """One row of the table."""

    key: str
    name: str
    n: int
    settings: str
    figures: list[Figure]
    samples: list[Sample] = field(default_factory=list)

    @property
    def met(self) -> bool:
        return all(figure.met for figure in self.figures)


class Bench(NamedTuple):
    """The model, and how much to ask it."""

    llama: Llama
    seed: int = 1
    n: int = 200  # questions of each kind
    n_sums: int = 1000  # which is all
    n_stories: int = 1000  # for variety
    n_corpus: int = 40_000  # stories of the corpus to compare these with
    batch: int = 64  # texts at a time


# ---- the rows


def known_probabilities(bench: Bench, prompts: Sequence[known.Prompt] | None = None) -> Row:
    """The probabilities after each prompt compared with the true ones. What other tokens get counts as error too.

    So are those after each option with a second level. The mean is over all these places; n counts the prompts.
    """
    prompts = known.load() if prompts is None else prompts
    tokenizer, variations, samples = bench.llama.tokenizer, [], []
    largest = 0.0
    for prompt in tqdm(prompts, desc="known probabilities", dynamic_ncols=True):
        worst, shown = 0.0, []
        for after in prompt.levels():
            options = prompt.options if after is None else after.then
            probs = next_probs(bench.llama, prompt.encode(tokenizer, after))  # (vocab_size,)
            got = [probs[i].item() for i in prompt.next_ids(tokenizer, after)]
            elsewhere = max(0.0, 1 - sum(got))
            errors = [abs(p - option.probability) for p, option in zip(got, options, strict=True)]
            worst = max(worst, *errors, elsewhere)
            variations.append((sum(errors) + elsewhere) / 2)
            each = [f"{o.text.strip()} {p:.3f} ({o.probability:.3g})" for p, o in zip(got, options, strict=True)]
            shown.append(("" if after is None else f"{after.text.strip()} … ") + ", ".join(each))
        largest = max(largest, worst)
        samples.append(Sample(prompt.opening(), "; ".join(shown), worst <= 0.02, prompt.lang))
    figures = [
        Figure("largest error", largest, 0.02, at_least=False, percent=False),
        Figure("mean total variation", sum(variations) / len(variations), 0.015, at_least=False, percent=False),
    ]
    return Row("known", "known probabilities", len(prompts), "softmax of the raw logits", figures, samples)


def questions(bench: Bench, key: str, name: str, asked: Sequence, limit: float = 0.95) -> Row:
    """The share of questions whose own judge accepts the answer; each has dialog, accepts and language."""
    texts = answers(bench, [question.dialog for question in asked], ANSWER_LENGTH, name, GREEDY)
    samples = [
        Sample(spoken(question.dialog), text, bool(question.accepts(text)), question.language)
        for question, text in zip(asked, texts, strict=True)
    ]
    settings = f"greedy, at most {ANSWER_LENGTH} tokens"
    return Row(key, name, len(asked), settings, by_language(samples, limit), samples)


def refused(rows: Sequence[Row]) -> Row:
    """How often the model says that it does not know what it should know: the answers in these rows of questions."""
    samples = [
        Sample(sample.asked, sample.answer, not honest(sample.answer), sample.language)
        for row in rows
        for sample in row.samples
    ]
    figure = Figure("", share(not sample.right for sample in samples), 0.02, at_least=False)
    name = f"what it should know, refused: of {', '.join(row.key for row in rows)}"
    return Row("refused", name, len(samples), "greedy", [figure], samples)


def poems(bench: Bench) -> Row:
    """Whether a poem has the form and the character that were asked for."""
    requests = quatrains.requests(bench.n, bench.seed)
    dialogs = [[{"role": "user", "content": request.user}] for request in requests]
    texts = answers(bench, dialogs, POEM_LENGTH, "poems", POEM)
    formed = [has_form(text, request.length) for text, request in zip(texts, requests, strict=True)]
    heard = [request.character in text for text, request in zip(texts, requests, strict=True)]
    samples = [
        Sample(request.user, text, one and other, "zh")
        for request, text, one, other in zip(requests, texts, formed, heard, strict=True)
    ]
    figures = [
        Figure("form", share(formed), 0.95, at_least=True),
        Figure("character", share(heard), 0.90, at_least=True),
    ]
    name = "asked poem: four lines of the asked length / contains the asked character"
    return Row("poems", name, len(texts), sampled(POEM, POEM_LENGTH), figures, samples)


def excess_loss(bench: Bench, parts: dict[str, Iterable[Document]]) -> Row:
    """The loss on held-out documents, less the entropy of the source that drew them, in nats a token.

    As in training, documents longer than the context are left out. Raises ValueError if no document has a logprob.
    """
    tokenizer, longest = bench.llama.tokenizer, bench.llama.model.params.max_seq_len
    figures, n = [], 0
    for part, stream in parts.items():
        documents = [document for document in islice(stream, bench.n) if document.logprob is not None]
        documents = [document for document in documents if len(encode(document, tokenizer)) <= longest]
        if documents:
            nats, tokens = losses(bench, documents, part)
            excess = (nats + sum(document.logprob for document in documents)) / tokens
            figures.append(Figure(part, excess, 0.08, at_least=False, percent=False))
            n += len(documents)
    if not figures:
        raise ValueError("parts: no document has a probability (logprob is None in all); give a part that is drawn")
    return Row("excess", "held-out loss above the source's entropy, nats a token", n, "raw logits", figures)


# ---- the model at work


def next_probs(llama: Llama, ids: list[int]) -> torch.Tensor:
    """The model's probabilities of the next token after ids: (vocab_size,) float32, on the CPU."""
    step = next(llama.generate_steps([ids], 1, temperature=0))
    return torch.softmax(step.logits[0].float(), dim=-1).cpu()


def answers(bench: Bench, dialogs: Sequence, length: int, name: str, sampler: dict) -> list[str]:
    """The model's answers of at most `length` tokens to the dialogs. name: of the progress bar."""
    found: dict[int, str] = {}
    sizes = [sum(len(message["content"]) for message in dialog) for dialog in dialogs]
    for rows in batches(bench.batch, sizes, name):
        seeds = [bench.seed * 1_000_003 + k for k in rows]
        results = bench.llama.chat_completion([dialogs[k] for k in rows], max_gen_len=length, seed=seeds, **sampler)
        found |= {k: result["generation"]["content"].strip() for k, result in zip(rows, results, strict=True)}
    return [found[k] for k in range(len(dialogs))]


def losses(bench: Bench, documents: Sequence[Document], name: str) -> tuple[float, int]:
    """The loss on the documents, in nats, and the number of tokens. The bos of a chat's later turns does not count."""
    tokenizer, nats, n_tokens = bench.llama.tokenizer, 0.0, 0
    encoded = [encode(document, tokenizer) for document in documents]
    for rows in batches(min(bench.batch, SCORED), [len(ids) for ids in encoded], f"loss, {name}"):
        chosen = [encoded[k] for k in rows]
        _, logprobs = bench.llama.generate(chosen, 0, logprobs=True, echo=True)
        for ids, row in zip(chosen, logprobs, strict=True):
            counted = [p for i, p in zip(ids, row, strict=True) if i != tokenizer.bos_id]
            nats, n_tokens = nats - sum(counted), n_tokens + len(counted)
    return nats, n_tokens


def batches(size: int, sizes: Sequence[int], name: str) -> Iterator[list[int]]:
    """The indices of all rows, in batches of rows of similar size, with a progress bar."""
    order = sorted(range(len(sizes)), key=lambda k: sizes[k])
    with tqdm(total=len(sizes), desc=name, dynamic_ncols=True) as bar:
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield rows
            bar.update(len(rows))


# ---- helpers


def by_language(samples: Sequence[Sample], limit: float) -> list[Figure]:
    languages = sorted({sample.language for sample in samples})
    if not languages:
        raise ValueError("asked: expected at least one question, got none")
    return [
        Figure(language, share(sample.right for sample in samples if sample.language == language), limit, at_least=True)
        for language in languages
    ]


def share(judged: Iterable[bool]) -> float:
    judged = list(judged)
    return sum(judged) / len(judged) if judged else 0.0


def sampled(sampler: dict, length: int) -> str:
    return f"temperature {sampler['temperature']:g}, top_p {sampler['top_p']:g}, at most {length} tokens"


def spoken(dialog: Sequence[dict[str, str]]) -> str:
    """A dialog in one line."""
    shown = [f"({m['content']})" if m["role"] == "system" else m["content"] for m in dialog]
    return " / ".join(shown)
