"""The measures of the stories that the model tells: one function for a row of the table, or for several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from tqdm import tqdm

from training.corpus.document import Document, encode
from training.evaluation.measures import Bench, Figure, Row, Sample, batches, sampled, share

STORY = {"temperature": 0.8, "top_p": 0.95}
PURE = {"temperature": 1.0, "top_p": 1.0}
STORY_LENGTH = 400  # tokens at most
OPENING = 2  # tokens of a held-out story that the model goes on from
Check = Callable[[str, str], list[str]]


def stories(bench: Bench, held_out: Iterable[Document], same: Check, plot: Check) -> list[Row]:
    """Stories at a usual temperature: whether they end, and whether two checks find no fault in them.

    same: check(text, language), a line for each fault in who is who and what is what. plot: the same of the plot.
    """
    made = begun(bench, held_out, bench.n, STORY, "stories")
    settings = f"{sampled(STORY, STORY_LENGTH)}, begun with {OPENING} tokens of held-out stories"
    ends = [Figure("", share(ended for _, ended, _ in made), 0.99, at_least=True)]
    rows = [Row("ends", f"stories end within {STORY_LENGTH} tokens", len(made), settings, ends)]
    for key, name, check, limit in (
        ("kept", "names and objects of a story stay the same", same, 0.97),
        ("plot", "stories keep their plot: its steps, in order, none missing or told twice", plot, 0.95),
    ):
        faults = [check(text, language) for text, _, language in made]
        samples = [
            Sample("; ".join(found), text, not found, language)
            for found, (text, _, language) in zip(faults, made, strict=True)
        ]
        figure = Figure("", share(sample.right for sample in samples), limit, at_least=True)
        rows.append(Row(key, name, len(made), settings, [figure], samples))
    return rows


def variety(bench: Bench, held_out: Iterable[Document], trained: Iterator[Document]) -> Row:
    """Stories drawn from the unchanged probabilities: whether they repeat each other, or the corpus."""
    made = begun(bench, held_out, bench.n_stories, PURE, "variety")
    texts = [text for text, _, _ in made]
    found, wanted = set(), set(texts)
    for document in tqdm(islice(trained, bench.n_corpus), "corpus", total=bench.n_corpus, dynamic_ncols=True):
        found |= wanted.intersection(text.strip() for text in document.texts)
    figures = [
        Figure("distinct", len(wanted) / len(texts), 0.95, at_least=True),
        Figure("copied", share(text in found for text in texts), 0.01, at_least=False),
    ]
    name = f"stories: distinct / copied whole from {bench.n_corpus:,} of the corpus"
    return Row("variety", name, len(texts), sampled(PURE, STORY_LENGTH), figures)


def begun(bench: Bench, held_out: Iterable[Document], n: int, sampler: dict, name: str) -> list[tuple[str, bool, str]]:
    """n stories that begin as held-out ones do, each (text, whether it came to its end, language)."""
    tokenizer, context = bench.llama.tokenizer, bench.llama.model.params.max_seq_len
    encoded = [encode(document, tokenizer) for document in islice(held_out, n)]
    if not encoded:
        raise ValueError(f"{name}: expected held-out stories to begin with, got none")
    encoded = [encoded[k % len(encoded)] for k in range(n)]
    prompts = [ids[: 1 + OPENING] for ids in encoded]
    found: dict[int, tuple[str, bool, str]] = {}
    for rows in batches(bench.batch, [len(ids) for ids in encoded], name):  # stories of like length end together
        seeds = [bench.seed * 1_000_003 + k for k in rows]
        chosen = [prompts[k] for k in rows]
        tokens, _ = bench.llama.generate(chosen, STORY_LENGTH, echo=True, seed=seeds, **sampler)
        for k, ids in zip(rows, tokens, strict=True):
            ended = len(ids) < min(len(prompts[k]) + STORY_LENGTH, context)  # otherwise it was cut
            text = tokenizer.decode(ids).strip()
            found[k] = (text, ended, "zh" if is_chinese(text) else "en")
    return [found[k] for k in range(n)]


def is_chinese(text: str) -> bool:
    return sum("一" <= character <= "鿿" for character in text) * 2 > len(text)
