"""Training: one loop over rows of tokens, resumable at every checkpoint.

What is read at a step depends on the seed and the step alone, and nothing else is random, so a resumed run ends in
the same weights as one that was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from minillama.checkpoint import TOKENIZER
from minillama.model import Transformer
from minillama.tokenizer import Tokenizer
from training import known, quatrains
from training.corpus import SHARES, documents, encode, lookups, mixture
from training.initial import new_model
from training.optimizers import Muon, Together
from training.packing import BEGIN, PAD, drill_rows, look_of, pack, within_documents
from training.state import check_state, load_state, save_state, write_atomically
from training.tokenizer import N_BASE, train_tokenizer

MODEL = {"dim": 192, "n_layers": 4, "n_heads": 4, "n_kv_heads": 2, "hidden_dim": 512, "max_seq_len": 512}
LEAST_KNOWN = 2000  # times that every known prompt is read in a whole run
N_OPEN = 512  # rows that wait for a document that fills them


@dataclass(frozen=True)
class Config:
    steps: int = 19700  # on the corpus, after the drills
    drill_steps: int = 300  # first of all, on drill_rows
    drill_seqlen: int = 48
    drill_batch_rows: int = 24
    lookups: tuple[tuple[int, int], ...] = ((400, 6), (800, 3), (16100, 1))  # (batches, rows of each)
    seed: int = 1
    shares: dict[str, float] = field(default_factory=lambda: dict(SHARES))
    vocab_size: int = 5120  # half of them characters
    tokenizer_documents: int = 25_000
    model: dict = field(default_factory=lambda: dict(MODEL))
    seqlen: int = 256  # every story has room
    batch_rows: int = 6
    long_seqlen: int = 512  # chats of many turns, so that every position of the context is trained
    long_batch_rows: int = 3
    long_every: int = 8  # one step in so many reads long rows
    learning_rate: float = 4e-3
    warmup: int = 50  # steps
    beta2: float = 0.999
    weight_decay: float = 0.1  # of the matrices between embeddings and output
    exact: float = 0.15  # of the steps, the last ones: in float32, as the model is used; rounded logits are off by 1/32
    held_out_documents: int = 100  # of each part
    checkpoint_every: int = 1000
    compile: bool = shutil.which("g++") is not None  # a quarter faster, after a minute

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if self.drill_steps < 0:
            raise ValueError(f"drill_steps must be at least 0, got {self.drill_steps}")

    @property
    def all_steps(self) -> int:
        return self.drill_steps + self.steps


class Run(NamedTuple):
    """What `train` leaves behind."""

    model: Transformer
    tokenizer_path: Path
    history: list[dict]  # one entry at each checkpoint: step, seconds, tokens, held-out losses
    device: str
    least_known: int  # times that every known prompt was read, at least


def train(config: Config, out: Path, stop_at: int | None = None) -> Run:
    """Train from the beginning, or from the last checkpoint in `out`, to the last step (or to step `stop_at`).

    Raises ValueError if `out` holds a broken checkpoint, or one of a run with other settings.
    """
    torch.manual_seed(config.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    identity = {**asdict(config), "checkpoint_every": None, "compile": None}
    check_state(out / "checkpoint.pt", identity)  # before minutes go by
    data = prepare_data(config, out)
    tokenizer, rows = Tokenizer(out / TOKENIZER), {kind: data[kind] for kind in ("drill", "short", "long")}
    least_known = check_known(config, tokenizer, rows)
    held_out = {part: torch.from_numpy(data[f"held_out_{part}"].astype(np.int64)).to(device) for part in config.shares}
    model = new_model(config.model, tokenizer.n_words).to(device)
    optimizer = new_optimizer(config, model)
    identity["corpus"] = fingerprint(rows)
    progress = load_state(out / "checkpoint.pt", identity, model, optimizer)
    step, seconds, history = progress.get("step", 0), progress.get("seconds", 0.0), progress.get("history", [])

    started, tokens = time.monotonic() - seconds, history[-1]["tokens"] if history else 0
    bar = tqdm(total=config.all_steps, initial=step, unit="step", desc="training", mininterval=1.0, dynamic_ncols=True)
    first_tokens, first_time = tokens, time.monotonic()
    compiled = torch.compile(cross_entropy, dynamic=False) if config.compile else cross_entropy
    while step < config.all_steps and step != stop_at:
        batch = read_batch(config, rows, step).to(device)
        loss = update(config, model, optimizer, batch, step, compiled)
        step, tokens = step + 1, tokens + int((batch[:, 1:] >= 0).sum())
        bar.update()
        if step % 10 == 0:
            speed = (tokens - first_tokens) / (time.monotonic() - first_time)
            bar.set_postfix_str(f"loss {loss.item():.3f}, {speed:,.0f} tok/s")
        if step % config.checkpoint_every == 0 or step in (config.all_steps, stop_at):
            losses = {part: round(evaluate_loss(model, rows), 4) for part, rows in held_out.items()}
            seconds = time.monotonic() - started
            history.append({"step": step, "seconds": round(seconds), "tokens": tokens, **losses})
            shown = ", ".join(f"{part} {value:.3f}" for part, value in losses.items())
            bar.write(f"step {step:5d}  {seconds / 60:5.1f} min  held-out loss: {shown}")
            save_state(out / "checkpoint.pt", identity, model, optimizer, step=step, seconds=seconds, history=history)
    bar.close()
    look_of(model).mask = None
    return Run(model.cpu(), out / TOKENIZER, history, device_name(device), least_known)


def steps_within(minutes: float, out: Path, seed: int) -> int:
    """How many steps fit into so many minutes, beside the drills: measured once for a run, then read from `out`."""
    if not minutes > 0:
        raise ValueError(f"minutes must be more than 0, got {minutes}")
    note = out / "steps.json"
    if note.exists():
        return json.loads(note.read_text())
    config = Config(seed=seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = new_model(config.model, config.vocab_size).to(device)
    optimizer = new_optimizer(config, model)
    seconds = []
    for _ in range(20):  # the first ones are slower and count too: they make up for evaluation and checkpoints
        batch = torch.randint(config.vocab_size, (config.batch_rows, config.seqlen + 1), device=device)
        started = time.monotonic()
        update(config, model, optimizer, batch, step=0).item()
        seconds.append(time.monotonic() - started)
    drills = config.drill_steps * config.drill_batch_rows * config.drill_seqlen / (config.batch_rows * config.seqlen)
    steps = max(1, int(60 * minutes / (sum(seconds) / len(seconds)) - drills))
    write_atomically(note, lambda beside: beside.write_text(json.dumps(steps)))
    return steps


def cross_entropy(model: Transformer, tokens: Tensor, targets: Tensor, dtype: torch.dtype) -> Tensor:
    """Of each next token that is asked for, on average; products of matrices are taken in `dtype`."""
    with torch.autocast(tokens.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        logits = model(tokens, 0)  # (bsz, seqlen, vocab_size)
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=PAD)


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies in it, which is faster; float32 elsewhere."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported()
    else:
        can = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}  # older torches lack it
        fast = can.get("avx512_bf16") or can.get("amx_bf16")
    return torch.bfloat16 if fast else torch.float32


def update(
    config: Config, model: Transformer, optimizer: Together, batch: Tensor, step: int, entropy: Callable = cross_entropy
) -> Tensor:
    """One step on a batch (bsz, seqlen + 1); returns the loss before it."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, step)
    exact = step >= (1 - config.exact) * config.all_steps
    loss = loss_of(model, batch, torch.float32 if exact else fast_dtype(batch.device), entropy)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.detach()


def loss_of(
    model: Transformer, batch: Tensor, dtype: torch.dtype = torch.float32, entropy: Callable = cross_entropy
) -> Tensor:
    """Mean loss of the tokens that are asked for in a batch (bsz, seqlen + 1), in nats."""
    tokens = torch.where(batch < 0, ~batch, batch)[:, :-1]  # (bsz, seqlen)
    targets = batch[:, 1:].clamp(min=PAD)  # (bsz, seqlen)
    look_of(model).mask = within_documents(batch[:, :-1])
    return entropy(model, tokens, targets, dtype)


@torch.no_grad()
def evaluate_loss(model: Transformer, rows: Tensor) -> float:
    """Mean loss of a token, in nats, over rows of one document each, sorted by their length."""
    batches = [
        batch[:, : int(n.max())] for batch, n in zip(rows.split(16), (rows != PAD).sum(dim=1).split(16), strict=True)
    ]
    asked = [int((batch[:, 1:] >= 0).sum()) for batch in batches]
    total = sum(loss_of(model, batch).item() * n for batch, n in zip(batches, asked, strict=True))
    return total / sum(asked)


def learning_rate(config: Config, step: int) -> float:
    """Linear warm-up, then half a cosine down to 0."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.all_steps - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def new_optimizer(config: Config, model: Transformer) -> Together:
    """Muon for the matrices of the layers; AdamW, without decay, for embeddings, output and norms.

    With so few tokens a step, beta2 must look back far: the second moment of a rare piece's row in the output would
    otherwise be forgotten between two of its occurrences, and the many small pushes down, blown up to full steps, would
    outweigh them (beta2 and the size of batches: arXiv:2507.07101).
    """
    matrices = [p for p in model.layers.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if not any(p is matrix for matrix in matrices)]
    adamw = torch.optim.AdamW(others, lr=config.learning_rate, betas=(0.9, config.beta2), weight_decay=0.0, fused=True)
    muon = Muon(matrices, config.learning_rate, config.weight_decay, dtype=fast_dtype(matrices[0].device))
    return Together(muon, adamw)


# ---- data


def prepare_data(config: Config, out: Path) -> dict[str, np.ndarray]:
    """Tokenizer, rows to train on and held-out rows, drawn once for a run, then read from `out`."""
    path, key = out / "corpus.npz", data_key(config)
    data = load_data(path, key)
    if data is None:
        if "quatrains" in config.shares:
            quatrains.load_poems()  # first of all: where they cannot be had nothing is left behind
        model = prepare_tokenizer(config)
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
    """What was drawn before; None if that is nothing, or something else."""
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files if name != "key"} if str(file["key"]) == key else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def data_key(config: Config) -> str:
    """A fingerprint of all that the corpus is drawn from: settings, grammar and code."""
    digest = hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode())
    here = Path(__file__).parent
    for path in sorted([known.KNOWN, *here.glob("*.py"), *here.glob("data/*")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def prepare_tokenizer(config: Config) -> bytes:
    """A tokenizer.model trained on the corpus; the known part is represented by lines of its own."""
    shares, with_known = (
        {part: share for part, share in config.shares.items() if part != "known"},
        "known" in config.shares,
    )
    characters = (quatrains.characters() if "quatrains" in shares else []) + (known.characters() if with_known else [])
    drawn = islice(
        mixture(config.seed, lambda document: "".join(document.texts), shares=shares), config.tokenizer_documents
    )
    texts = [
        text
        for document, _ in tqdm(drawn, "texts for the tokenizer", config.tokenizer_documents, dynamic_ncols=True)
        for text in document.texts
    ]
    lines = known.tokenizer_lines() if with_known else ()
    return train_tokenizer([*texts, *lines], config.vocab_size, "".join(dict.fromkeys(characters)))


def prepare_rows(config: Config, tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    """The rows to read, drills, short and long: as many as the steps take, so that none is read twice."""
    long_steps = config.steps // config.long_every
    short_steps = config.steps - long_steps
    among = [rows for batches, rows in config.lookups for _ in range(batches)][:short_steps]  # lookups of each batch
    wanted = {
        "short": (short_steps * config.batch_rows - sum(among), config.seqlen),
        "long": (max(1, long_steps) * config.long_batch_rows, config.long_seqlen),
    }
    n_pieces, n_drills = config.vocab_size - N_BASE, config.drill_steps * config.drill_batch_rows
    rows = {"drill": drill_rows(n_drills, config.drill_seqlen, N_BASE, n_pieces, config.seed)}
    total = sum(n_rows * (seqlen + 1) for n_rows, seqlen in wanted.values())
    with tqdm(total=total, unit="token", unit_scale=True, desc="drawing the corpus", dynamic_ncols=True) as bar:
        for kind, (n_rows, seqlen) in wanted.items():
            drawn = fitting(config, tokenizer, seqlen + 1, long=kind == "long", bar=bar)
            rows[kind] = shuffled(pack(drawn, n_rows, seqlen, min(N_OPEN, 1 + n_rows // 8)), config.seed)
    told = (encode(document, tokenizer) for document in lookups(config.seed))
    first = np.cumsum([0, *(config.batch_rows - n for n in among)])[: len(among)]  # row at which each batch begins
    rows["short"] = np.insert(rows["short"], np.repeat(first, among), pack(told, sum(among), config.seqlen), axis=0)
    return rows


def shuffled(rows: np.ndarray, seed: int) -> np.ndarray:
    """In another order, though not far from their places: in each stretch of the run the options of the known prompts
    keep nearly to their shares, and what the last steps read decides what the model says."""
    rng, places = np.random.default_rng(seed), np.arange(len(rows))
    for k in range(0, len(rows), N_OPEN):
        rng.shuffle(places[k : k + N_OPEN])
    return rows[places]


def fitting(config: Config, tokenizer: Tokenizer, size: int, long: bool, bar: tqdm) -> Iterator[list[int]]:
    """Documents of at most `size` tokens; they keep to the shares, for those that are longer count nothing."""

    def encoder(document):
        ids = encode(document, tokenizer)
        return ids if len(ids) <= size else []

    for _, ids in mixture(config.seed, encoder, long=long, shares=config.shares):
        bar.update(len(ids))
        yield ids


def check_known(config: Config, tokenizer: Tokenizer, rows: dict[str, np.ndarray]) -> int:
    """How often the rarest of the known prompts is read. ValueError if a whole run would have too few of one."""
    if "known" not in config.shares:
        return 0
    prompts = known.load()
    openings = {prompt.id: [BEGIN, *prompt.encode(tokenizer)[1:]] for prompt in prompts}
    found = {name: sum(count(rows[kind], ids) for kind in ("short", "long")) for name, ids in openings.items()}
    rarest = min(found, key=found.get)
    if found[rarest] < LEAST_KNOWN and config.steps >= Config.steps:
        raise ValueError(
            f"{rarest} is read {found[rarest]:,} times in {config.steps:,} steps, {LEAST_KNOWN:,} are due; "
            f"raise the share of 'known' ({config.shares['known']:.0%})"
        )
    return found[rarest]


def count(rows: np.ndarray, ids: list[int]) -> int:
    """How often `ids` stand in the rows, one after the other.

    >>> count(np.array([[1, 5, 6, 2, 1, 5], [6, 1, 5, 6, 7, 2]]), [1, 5, 6])
    2
    """
    flat = np.pad(rows, ((0, 0), (0, 1)), constant_values=PAD).ravel()  # a PAD between rows
    places = np.flatnonzero(flat == ids[0])
    for k, i in enumerate(ids):
        places = places[places + k < len(flat)]
        places = places[flat[places + k] == i]
    return len(places)


def read_batch(config: Config, rows: dict[str, np.ndarray], step: int) -> Tensor:
    """The rows of this step, (bsz, seqlen + 1) int64."""
    corpus_step = step - config.drill_steps
    n_long, place = divmod(
        corpus_step, config.long_every
    )  # long batches before this one; the last place is a long one's
    if corpus_step < 0:
        kind, bsz, turn = "drill", config.drill_batch_rows, step
    elif place == config.long_every - 1:
        kind, bsz, turn = "long", config.long_batch_rows, n_long
    else:
        kind, bsz, turn = "short", config.batch_rows, corpus_step - n_long
    return torch.from_numpy(rows[kind][turn * bsz : (turn + 1) * bsz].astype(np.int64))


def held_out_rows(config: Config, tokenizer: Tokenizer, part: str) -> np.ndarray:
    """Held-out documents that fit into the context, one a row, the short first: (n, longest) int16."""
    found = (encode(document, tokenizer) for document in documents(part, config.seed, held_out=True))
    ids = sorted(
        islice((ids for ids in found if len(ids) <= config.long_seqlen + 1), config.held_out_documents), key=len
    )
    return np.array([row + [PAD] * (len(ids[-1]) - len(row)) for row in ids], dtype=np.int16)


def fingerprint(rows: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in rows.values())).hexdigest()[:16]


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
