"""What the tests of training share: a small random model and its figures, and a small run."""

import pytest
import torch

from minillama import Llama, ModelArgs, Tokenizer, Transformer
from training.config import Config
from training.evaluation.measures import Bench, Figure, Row, Sample
from training.evaluation.table import Evaluation
from training.tokenizer import train_tokenizer
from training.train import train

TEXTS = [
    "Once upon a time there was a cat.",
    "Once upon a time there was a dog.",
    "从前有一只小猫。",
    "从前有一只小狗。",
]
TINY = Config(
    steps=6,
    drill_steps=0,
    lookups=((2, 1),),
    warmup=2,
    compile=False,
    shares={"stories_en": 0.5, "chat_en": 0.3, "known": 0.2},  # the poems would have to be fetched
    vocab_size=1000,
    tokenizer_documents=300,
    model={"dim": 16, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "hidden_dim": 24, "max_seq_len": 512},
    seqlen=192,
    batch_rows=2,
    long_batch_rows=1,
    long_every=3,
    held_out_documents=2,
    checkpoint_every=3,
    progress_every=99,
)


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tokenizer.model"
    path.write_bytes(train_tokenizer(TEXTS * 20, vocab_size=340))
    tokenizer = Tokenizer(path)
    torch.manual_seed(0)
    sizes = {"dim": 16, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "hidden_dim": 16, "max_seq_len": 48}
    model = Transformer(ModelArgs(vocab_size=tokenizer.n_words, **sizes))
    model.requires_grad_(False)
    model.setup_cache(4, 48)
    return Bench(Llama(model, tokenizer), n=6, n_stories=6, n_corpus=20, batch=4)


@pytest.fixture
def evaluation():
    samples = [Sample("Who am I?", "You are Mia.", True, "en"), Sample("我是谁？", "不知道。", False, "zh")]
    good = [Figure("en", 1.0, 0.95, at_least=True)]
    bad = [Figure("form", 0.5, 0.9, at_least=True), Figure("character", 0.9, 0.8, at_least=True)]
    rows = [Row("memory", "memory", 20, "greedy", good, samples), Row("poems", "asked poem", 10, "sampled", bad)]
    return Evaluation(rows, seed=1, quick=False, device="cpu")


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A finished run of TINY. Its folder is that of its tokenizer; change nothing there."""
    return train(TINY, tmp_path_factory.mktemp("whole"))
