"""The settings of a training run. Two runs with the same settings end in the same weights."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field

from training.corpus.parts import SHARES

MODEL = {"dim": 224, "n_layers": 6, "n_heads": 4, "n_kv_heads": 2, "hidden_dim": 544, "max_seq_len": 512}


@dataclass(frozen=True)
class Config:
    """The defaults are those of the first stage; STAGES has what the others change."""

    steps: int = 13_700  # on the corpus, after the drills
    drill_steps: int = 300  # at the very beginning, on drill_rows
    drill_seqlen: int = 48
    drill_batch_rows: int = 24
    until: int | None = None  # the step after which the stage ends, while its rate is still above 0; None: all_steps
    lookups: tuple[tuple[int, int], ...] = ((300, 10), (600, 5), (100_000, 2))  # (batches, rows of lookups in each)
    quizzes: float = 0.0  # share of quizzes among the documents of these rows
    recalls: float = 0.0  # and of stories of which only what their own text decides is asked for
    seed: int = 1
    shares: dict[str, float] = field(default_factory=lambda: dict(SHARES))  # of the tokens
    vocab_size: int = 4096  # half of the pieces are single characters
    tokenizer_documents: int = 25_000
    model: dict = field(default_factory=lambda: dict(MODEL))
    seqlen: int = 256  # enough for every story
    batch_rows: int = 10
    long_seqlen: int = 512  # for chats of many turns, so that every position of the context is trained
    long_batch_rows: int = 5
    long_every: int = 8  # every eighth step reads long rows
    learning_rate: float = 4e-3
    warmup: int = 50  # steps
    beta2: float = 0.999
    weight_decay: float = 0.1  # of the matrices between embeddings and output
    exact: float = 0.10  # share of the steps, the last ones, in float32: bfloat16 rounds a logit of 10 by up to 1/32
    held_out_documents: int = 100  # of each part
    checkpoint_every: int = 1000  # steps
    progress_every: int = 2000  # steps: how often questions are asked on the way
    compile: bool = shutil.which("g++") is not None  # a quarter faster, after a minute of compiling

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if self.drill_steps < 0:
            raise ValueError(f"drill_steps must be at least 0, got {self.drill_steps}")

    @property
    def all_steps(self) -> int:
        return self.drill_steps + self.steps

    @property
    def last_step(self) -> int:
        return self.until or self.all_steps


SECOND = {  # shares of the tokens in the second stage
    "stories_en": 0.16,
    "stories_zh": 0.10,
    "chat_en": 0.26,
    "chat_zh": 0.20,
    "prose_en": 0.03,
    "prose_zh": 0.03,
    "quatrains": 0.09,
    "known": 0.13,
}
THIRD = {  # of the third
    "stories_en": 0.17,
    "stories_zh": 0.11,
    "chat_en": 0.21,
    "chat_zh": 0.16,
    "prose_en": 0.06,
    "prose_zh": 0.06,
    "quatrains": 0.07,
    "known": 0.16,
}
STAGES = (  # the first learns to read and to look back; the second learns what there is to know, from fresh documents;
    # the third learns to keep to what it has said
    Config(until=8000),
    Config(
        steps=6500,
        drill_steps=0,
        lookups=((100_000, 5),),
        quizzes=0.85,
        seed=2,
        shares=SECOND,
        learning_rate=1.8e-3,
        exact=0.12,
    ),
    Config(
        steps=12_000,
        drill_steps=0,
        lookups=((100_000, 6),),
        quizzes=0.65,
        recalls=0.20,
        seed=3,
        shares=THIRD,
        learning_rate=1.6e-3,
        exact=0.15,
    ),
)
