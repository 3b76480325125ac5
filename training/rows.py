"""The rows of tokens that training reads: drawn from the corpus once for a run, then kept in its folder."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from minillama.checkpoint import TOKENIZER
from minillama.tokenizer import SPACE, Tokenizer
from training.config import Config
from training.corpus import known, poems, quatrains
from training.corpus.document import Document, encode
from training.corpus.invented import chinese_characters
from training.corpus.lookups import lookups
from training.corpus.parts import documents, mixture
from training.corpus.quizzes import quizzes
from training.corpus.recalls import Recall, recalls
from training.packing import BEGIN, PAD, drill_rows, pack
from training.state import write_atomically
from training.tokenizer import N_BASE, train_tokenizer

ANSWER = "[/INST]"  # what stands before an answer
LEAST_KNOWN = 1000  # times that a stage of WHOLE steps or more must read every known prompt
WHOLE = 5000
N_OPEN = 512  # rows that wait for a document that fills them
DRAWN_BY = (
    "rows.py",
    "packing.py",
    "tokenizer.py",
    "corpus/*.py",
    "corpus/data/*",
    "evaluation/*.json",
)  # what the rows depend on


def prepare_data(config: Config, out: Path, start: Path | None = None) -> dict[str, np.ndarray]:
    """The arrays of a run, drawn the first time and read from `out` later.

    start: folder of the stage before, whose tokenizer this one has; None trains a tokenizer.

    "tokenizer": the bytes of tokenizer.model. "drill", "short", "long": rows to train on, (n_rows, seqlen + 1) int16.
    "held_out_" and a part's name: rows that are never trained on, see `held_out_rows`.
    """
    path, key = out / "corpus.npz", data_key(config, start)
    data = load_data(path, key)
    if data is None:
        if "quatrains" in config.shares:
            poems.load_poems()  # first of all: if they cannot be had, nothing is left behind
        model = (start / TOKENIZER).read_bytes() if start else prepare_tokenizer(config)
        write_atomically(out / TOKENIZER, lambda beside: beside.write_bytes(model))
        tokenizer = Tokenizer(out / TOKENIZER)
        if "known" in config.shares:
            known.check_tokenizer(tokenizer)
        held_out = {f"held_out_{part}": held_out_rows(config, tokenizer, part) for part in config.shares}
        data = {"tokenizer": np.frombuffer(model, np.uint8), **prepare_rows(config, tokenizer), **held_out}
        write_atomically(path, lambda beside: save_data(beside, key, data))
    write_atomically(out / TOKENIZER, lambda beside: beside.write_bytes(data["tokenizer"].tobytes()))
    return data


def save_data(path: Path, key: str, data: dict[str, np.ndarray]) -> None:
    with open(path, "wb") as file:
        np.savez(file, key=np.array(key), **data)


def load_data(path: Path, key: str) -> dict[str, np.ndarray] | None:
    """What was drawn before; None if there is no whole file, or it was drawn from something else."""
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files if name != "key"} if str(file["key"]) == key else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def data_key(config: Config, start: Path | None = None) -> str:
    """A fingerprint of all that the rows depend on: settings, data files and code, and the tokenizer of `start`."""
    digest = hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode())
    here = Path(__file__).parent
    given = [start / TOKENIZER] if start else []
    for path in sorted([known.KNOWN, *given, *(path for pattern in DRAWN_BY for path in here.glob(pattern))]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def prepare_tokenizer(config: Config) -> bytes:
    """The bytes of a tokenizer.model trained on the corpus, with a piece for each Chinese character of all its data.

    The known part has lines of its own for it. Poems are left out: pieces of two characters would hide how long a line
    is.
    """
    shares = {part: share for part, share in config.shares.items() if part not in ("known", "quatrains")}
    with_known = "known" in config.shares
    characters = chinese_characters() if any(part.endswith("zh") for part in shares) else []
    characters += quatrains.characters() if "quatrains" in config.shares else []
    characters += known.characters() if with_known else []
    drawn = mixture(config.seed, lambda document: "".join(document.texts), shares=shares)
    drawn = islice(drawn, config.tokenizer_documents)
    drawn = tqdm(drawn, "texts for the tokenizer", config.tokenizer_documents, dynamic_ncols=True)
    texts = [text for document, _ in drawn for text in document.texts]
    lines = known.tokenizer_lines() if with_known else ()
    return train_tokenizer([*texts, *lines], config.vocab_size, "".join(dict.fromkeys(characters)))


def prepare_rows(config: Config, tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    """Drills, short and long rows, (n_rows, seqlen + 1) int16: as many as all_steps would read, none of them twice.

    The first rows of a short batch are lookups, as many as config.lookups says.
    """
    long_steps = config.steps // config.long_every
    short_steps = config.steps - long_steps
    n_lookups = [rows for batches, rows in config.lookups for _ in range(batches)][:short_steps]  # in each short batch
    wanted = {
        "short": (short_steps * config.batch_rows - sum(n_lookups), config.seqlen),
        "long": (max(1, long_steps) * config.long_batch_rows, config.long_seqlen),
    }
    n_pieces, n_drills = config.vocab_size - N_BASE, config.drill_steps * config.drill_batch_rows
    rows = {"drill": drill_rows(n_drills, config.drill_seqlen, N_BASE, n_pieces, config.seed)}
    total = sum(n_rows * (seqlen + 1) for n_rows, seqlen in wanted.values())
    with tqdm(total=total, unit="token", unit_scale=True, desc="drawing the corpus", dynamic_ncols=True) as bar:
        for kind, (n_rows, seqlen) in wanted.items():
            drawn = fitting(config, tokenizer, seqlen + 1, long=kind == "long", bar=bar)
            rows[kind] = shuffled(pack(drawn, n_rows, seqlen, min(N_OPEN, 1 + n_rows // 8)), config.seed)
    drawn = to_answer(config, tokenizer)
    first = np.cumsum([0, *(config.batch_rows - n for n in n_lookups)])[:-1]  # index of each batch's first row
    packed = pack(drawn, sum(n_lookups), config.seqlen)
    rows["short"] = np.insert(rows["short"], np.repeat(first, n_lookups), packed, axis=0)
    return rows


def to_answer(config: Config, tokenizer: Tokenizer) -> Iterator[list[int]]:
    """Look-ups as ids, and among them as many quizzes as config.quizzes says, and as many recalls.

    Only what can be known is asked for in them: answers, and of a story what its own text decides.
    """
    rng, found, known, told = (
        Random(f"to answer {config.seed}"), lookups(config.seed), quizzes(config.seed), recalls(config.seed)
    )  # fmt: skip
    while True:
        drawn = rng.random()
        if config.quizzes <= drawn < config.quizzes + config.recalls:
            yield certain_only(next(told), tokenizer)
        else:
            yield answers_only(next(known if drawn < config.quizzes else found).texts, tokenizer)


def answers_only(texts: Iterable[str], tokenizer: Tokenizer) -> list[int]:
    """The ids of a chat's texts as `encode` gives them, but what is no answer is only read, not asked for (~id).

    What is told there is drawn: nothing before it could predict it.
    """
    found = []
    for text in texts:
        ids = tokenizer.encode(text, bos=True, eos=True)
        n_read = len(tokenizer.encode(text[: text.index(ANSWER) + len(ANSWER)], bos=True, eos=False))
        found += [ids[0], *(~i for i in ids[1:n_read]), *ids[n_read:]]  # ~bos would begin another document
    return found


def certain_only(story: Recall, tokenizer: Tokenizer) -> list[int]:
    """The ids of the story as `encode` gives them, but what its text does not decide is only read (~id)."""
    ids = tokenizer.encode(story.text, bos=True, eos=True)
    found, end = [ids[0]], -1  # the first piece has a space that the text lacks
    for i, piece in zip(ids[1:-1], tokenizer.pieces(ids[1:-1]), strict=True):
        start, end = end, end + len(piece)
        first = start + (piece[0] == SPACE)  # a space alone does not count as part of a word
        asked = any(first < stop and begin < end for begin, stop in story.certain)
        found.append(i if asked else ~i)
    return [*found, ids[-1]]


def shuffled(rows: np.ndarray, seed: int) -> np.ndarray:
    """The rows in another order, none far from its place.

    So the options of the known prompts have nearly their shares in every stretch of the run, and above all at the end:
    what the last steps read decides what the model says.
    """
    rng, places = np.random.default_rng(seed), np.arange(len(rows))
    for k in range(0, len(rows), N_OPEN):
        rng.shuffle(places[k : k + N_OPEN])
    return rows[places]


def fitting(config: Config, tokenizer: Tokenizer, size: int, long: bool, bar: tqdm) -> Iterator[list[int]]:
    """Documents of at most `size` tokens, as ids, in the configured shares: longer ones do not count in these."""

    def encoder(document: Document) -> list[int]:
        ids = encode(document, tokenizer)
        fits = len(ids) <= size and (document.part != "quatrains" or is_spelt(document, tokenizer))
        return ids if fits else []

    for _, ids in mixture(config.seed, encoder, long=long, shares=config.shares):
        bar.update(len(ids))
        yield ids


def is_spelt(document: Document, tokenizer: Tokenizer) -> bool:
    """Whether each character of a poem is a token. Then all lines of a form have the same number of tokens."""
    lines = document.texts[-1].rpartition(ANSWER)[2].strip().split("\n")
    return all(
        len(piece.strip(SPACE)) < 2
        for line in lines
        for piece in tokenizer.pieces(tokenizer.encode(line, bos=False, eos=False))
    )


def check_known(config: Config, tokenizer: Tokenizer, rows: dict[str, np.ndarray]) -> int:
    """How often the rows that are read hold the rarest known prompt. ValueError if that is too seldom for a stage."""
    if "known" not in config.shares:
        return 0
    prompts = known.load()
    openings = {prompt.id: [BEGIN, *prompt.encode(tokenizer)[1:]] for prompt in prompts}
    n_long, place = divmod(config.last_step - config.drill_steps, config.long_every)
    n_short = (config.long_every - 1) * n_long + place
    read = [rows["short"][: n_short * config.batch_rows], rows["long"][: n_long * config.long_batch_rows]]
    found = {name: sum(count(some, ids) for some in read) for name, ids in openings.items()}
    rarest = min(found, key=found.get)
    if found[rarest] < LEAST_KNOWN and config.steps >= WHOLE:
        raise ValueError(
            f"the prompt {rarest} is read {found[rarest]:,} times in {config.last_step:,} steps, but should be read at "
            f"least {LEAST_KNOWN:,} times; raise the share of 'known' ({config.shares['known']:.0%})"
        )
    return found[rarest]


def count(rows: np.ndarray, ids: list[int]) -> int:
    """How often the rows (n_rows, seqlen + 1) contain `ids`, one after the other.

    >>> count(np.array([[1, 5, 6, 2, 1, 5], [6, 1, 5, 6, 7, 2]]), [1, 5, 6])
    2
    """
    flat = np.pad(rows, ((0, 0), (0, 1)), constant_values=PAD).ravel()  # with a PAD after each row
    places = np.flatnonzero(flat == ids[0])
    for k, i in enumerate(ids):
        places = places[places + k < len(flat)]
        places = places[flat[places + k] == i]
    return len(places)


def read_batch(config: Config, rows: dict[str, np.ndarray], step: int) -> Tensor:
    """The rows of this step, (bsz, seqlen + 1) int64."""
    corpus_step = step - config.drill_steps
    n_long, place = divmod(corpus_step, config.long_every)  # n_long long batches come before this one
    if corpus_step < 0:
        kind, bsz, turn = "drill", config.drill_batch_rows, step
    elif place == config.long_every - 1:  # the last of every long_every steps
        kind, bsz, turn = "long", config.long_batch_rows, n_long
    else:
        kind, bsz, turn = "short", config.batch_rows, corpus_step - n_long
    return torch.from_numpy(rows[kind][turn * bsz : (turn + 1) * bsz].astype(np.int64))


def held_out_rows(config: Config, tokenizer: Tokenizer, part: str) -> np.ndarray:
    """Held-out documents that fit into a long row, one a row, the shortest first: (n, longest) int16."""
    found = (encode(document, tokenizer) for document in documents(part, config.seed, held_out=True))
    fitting = (ids for ids in found if len(ids) <= config.long_seqlen + 1)
    rows = sorted(islice(fitting, config.held_out_documents), key=len)
    return np.array([row + [PAD] * (len(rows[-1]) - len(row)) for row in rows], dtype=np.int16)


def fingerprint(rows: dict[str, np.ndarray]) -> str:
    """16 hexadecimal digits that differ if anything in the rows does."""
    return hashlib.sha256(b"".join(array.tobytes() for array in rows.values())).hexdigest()[:16]
