"""What the tests share: a small sentencepiece tokenizer, random models, and models that say what a test wants."""

import itertools
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import settings
from sentencepiece import SentencePieceTrainer
from xdist.scheduler import LoadFileScheduling

from minillama import Llama, ModelArgs, Tokenizer, Transformer, language
from minillama.tokenizer import BaseTokenizer
from tests.examples import FULL
from tests.kernels import forked_kernels

EXAMPLES = 500 if FULL else 50
settings.register_profile("minillama", deadline=None, derandomize=True, database=None, max_examples=EXAMPLES)
settings.load_profile("minillama")
torch.set_num_threads(1)  # the models are tiny; on a busy machine threads wait for one another ten times as long

IN_A_BROWSER = {"test_explorers.py", "test_predictions.py", "test_without_a_kernel.py", "test_00_start_here.py",
                "test_02_prompt_batch.py", "test_09_generate_loop.py", "test_12_chat.py"}  # fmt: skip
NUMBERS = itertools.count()
CORPUS = [
    "Once upon a time there was a little cat named Lily. She liked to play in the park.",
    "The weather today is sunny. He said: 'Hello, world!'",
    "从前有一只小猫，它喜欢在公园里玩。",
    "今天天气很好。我们一起去吃饭吧！",
    "[INST] <<SYS>> Be kind. <</SYS>> What is 12 + 345? [/INST] It is 357.",
]
SIZES = {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "hidden_dim": 48}


class LetterTokenizer(BaseTokenizer):
    """Ids 0 to 2 as in Llama 2, then one letter for each id: a vocabulary of any size, and eos comes up often."""

    def __init__(self, n_words: int):
        super().__init__([b"" if i < 3 else chr(ord("A") + i - 3).encode() for i in range(n_words)])

    def encode(self, s: str, bos: bool, eos: bool) -> list[int]:
        return [self.bos_id] * bos + [ord(letter) - ord("A") + 3 for letter in s] + [self.eos_id] * eos

    def pieces(self, t) -> list[str]:
        return [self.token_bytes(i).decode() or ("<unk>", "<s>", "</s>")[i] for i in t]


class ByFile(LoadFileScheduling):
    """One worker has all tests of a file, for they share fixtures; runs of notebooks share none."""

    def _split_scope(self, nodeid: str) -> str:
        runs = "test_run.py" in nodeid or "test_other_model.py" in nodeid
        return nodeid if runs else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config, log):
    return ByFile(config, log)


def takes_long(item):
    """Whether a test runs in `make test-full` alone: marked `full`, of the training, or a notebook driven in a browser
    whose widgets are driven by another file too."""
    folder, name = item.path.relative_to(Path(__file__).parent).parts[0], item.path.name
    driven = folder == "browser" and name not in IN_A_BROWSER
    return driven or folder == "training" or item.get_closest_marker("full") is not None


def pytest_collection_modifyitems(config, items):
    """`make test-full` runs what takes long, beside the properties. Notebooks first: they take longest."""

    def chosen(item):
        return (takes_long(item) or hasattr(item.obj, "hypothesis")) if FULL else not takes_long(item)

    if left_out := [item for item in items if not chosen(item)]:
        config.hook.pytest_deselected(items=left_out)
    items[:] = sorted(filter(chosen, items), key=lambda item: item.path.name != "test_run.py")


@pytest.fixture(scope="session", autouse=True)
def _data_of_the_session(tmp_path_factory):
    """What is noted of exercises is not written to the home folder, by what the fixtures start either."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINILLAMA_DATA", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def _data(_data_of_the_session, monkeypatch):
    """Each test begins with nothing done. The folder is made by who writes to it."""
    monkeypatch.setenv("MINILLAMA_DATA", str(_data_of_the_session / str(next(NUMBERS))))


@pytest.fixture(scope="session")
def kernels(_data_of_the_session):
    """Kernels start at once, see tests/kernels.py."""
    with forked_kernels():
        yield


@pytest.fixture(scope="session")
def browser():
    """One for all tests. Without Chromium they skip, loudly; in CI they fail."""
    from tests.browser import jupyterlab

    if jupyterlab.find_chromium() is None:
        message = (
            "NO CHROMIUM: the widgets were not tested in a browser (apt install chromium, or set MINILLAMA_CHROMIUM)"
        )
        pytest.fail(message) if os.environ.get("MINILLAMA_REQUIRE_BROWSER") else pytest.skip(message)
    with jupyterlab.chromium() as browser:
        yield browser


@pytest.fixture(autouse=True)
def _global_state_is_left_alone():
    """No test, hence no part of minillama, leaves torch or the process other than it found them."""

    def state():
        torchs = torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()
        return *torchs, id(sys.stdout), language()

    before = state()
    yield
    assert state() == before


@pytest.fixture(scope="session")
def train_tokenizer():
    """train_tokenizer(folder, lines, vocab_size, **settings): a tokenizer.model with the settings of Llama 2's."""
    as_llama_2 = {
        "model_type": "bpe",
        "byte_fallback": True,
        "split_digits": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True,
        "num_threads": 1,
        "minloglevel": 2,
    }

    def train(folder: Path, lines: list[str], vocab_size: int, **settings) -> Path:
        made = {"model_prefix": str(folder / "tokenizer"), "vocab_size": vocab_size}
        SentencePieceTrainer.train(sentence_iterator=iter(lines * 20), **(as_llama_2 | made | settings))
        return folder / "tokenizer.model"

    return train


@pytest.fixture(scope="session")
def tokenizer_path(train_tokenizer, tmp_path_factory) -> Path:
    return train_tokenizer(tmp_path_factory.mktemp("tokenizer"), CORPUS, 400)


@pytest.fixture(scope="session")
def tokenizer(tokenizer_path) -> Tokenizer:
    return Tokenizer(tokenizer_path)


@pytest.fixture(scope="session")
def letters():
    return LetterTokenizer


@pytest.fixture(scope="session")
def random_model():
    """random_model(seed, **ModelArgs fields): a Transformer in float32, without a cache.

    Its weights are large enough for every part, the norms' too, to show in the logits.
    """

    def make(seed: int = 0, **sizes) -> Transformer:
        generator = torch.Generator().manual_seed(seed)
        args = ModelArgs(**{**SIZES, "vocab_size": 24, "max_seq_len": 24, **sizes})
        with torch.device("meta"):
            model = Transformer(args)
        model = model.to_empty(device="cpu")
        for weight in model.parameters():
            if weight.dim() == 1:
                torch.nn.init.uniform_(weight.data, 0.5, 1.5, generator=generator)
            else:
                torch.nn.init.normal_(weight.data, 0, 1.5 * weight.shape[1] ** -0.5, generator=generator)
        return model

    return make


@pytest.fixture(scope="session")
def random_llama(random_model):
    """random_llama(seed, tokenizer=None, max_batch_size=4, **ModelArgs fields): a Llama that may be changed at will."""

    def make(seed: int = 0, tokenizer=None, max_batch_size: int = 4, build_seed: int = 1, **sizes) -> Llama:
        if tokenizer is not None:
            sizes["vocab_size"] = tokenizer.n_words
        model = random_model(seed, **sizes)
        model.setup_cache(max_batch_size, model.params.max_seq_len)
        return Llama(model, tokenizer or LetterTokenizer(model.params.vocab_size), build_seed)

    return make


@pytest.fixture(scope="session")
def without_cache(random_model):
    """without_cache(model): the same weights in a Transformer that has no cache, hence reads whole sequences."""

    def make(model: Transformer) -> Transformer:
        args = ModelArgs(**{name: getattr(model.params, name) for name in ModelArgs.__dataclass_fields__})
        twin = Transformer(args)
        twin.load_state_dict(model.state_dict())
        return twin

    return make


@pytest.fixture(scope="session")
def reciter():
    """reciter(tokenizer, ids): a Llama that recites `ids`, then eos, after any prompt; no id may occur twice.

    No layer adds anything, and the output layer finds the successor of the one token it sees.
    """

    def make(tokenizer, ids: list[int], max_batch_size: int = 4, max_seq_len: int = 64) -> Llama:
        assert len({*ids, tokenizer.eos_id}) == len(ids) + 1, "a token would have two successors"
        successor = torch.full((tokenizer.n_words,), ids[0] if ids else tokenizer.eos_id)
        successor[ids] = torch.tensor([*ids[1:], tokenizer.eos_id] if ids else [], dtype=torch.long)
        dim = tokenizer.n_words + tokenizer.n_words % 2
        sizes = {"n_layers": 1, "n_heads": 1, "hidden_dim": 2, "vocab_size": tokenizer.n_words}
        model = Transformer(ModelArgs(dim=dim, max_seq_len=max_seq_len, **sizes)).requires_grad_(False)
        model.tok_embeddings.weight.copy_(torch.eye(tokenizer.n_words, dim))
        model.output.weight.zero_()[successor, torch.arange(tokenizer.n_words)] = 1.0
        model.layers[0].attention.wo.weight.zero_()
        model.layers[0].feed_forward.w2.weight.zero_()
        model.setup_cache(max_batch_size, max_seq_len)
        return Llama(model, tokenizer)

    return make


@pytest.fixture(scope="session")
def write_checkpoint(random_model, tokenizer_path):
    """write_checkpoint(folder): a checkpoint as Meta's are, down to rope.freqs and vocab_size -1."""

    def make(folder: Path, seed: int = 0, tokenizer: Path = tokenizer_path, **sizes) -> SimpleNamespace:
        vocab_size = Tokenizer(tokenizer).n_words
        model = random_model(seed, vocab_size=vocab_size, max_seq_len=96, **sizes)
        folder.mkdir(parents=True, exist_ok=True)
        params = {**SIZES, **sizes, "vocab_size": -1, "max_seq_len": 96, "multiple_of": 256, "norm_eps": 1e-5}
        (folder / "params.json").write_text(json.dumps(params))
        torch.save({**model.state_dict(), "rope.freqs": torch.ones(4)}, folder / "consolidated.00.pth")
        (folder / "tokenizer.model").write_bytes(Path(tokenizer).read_bytes())
        return SimpleNamespace(folder=folder, model=model, params=params)

    return make


@pytest.fixture(scope="session")
def checkpoint(write_checkpoint, tmp_path_factory) -> SimpleNamespace:
    """The folder of a checkpoint that no test may change, and the model whose weights it holds."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture(scope="session")
def llama(checkpoint) -> Llama:
    """Llama.build of that checkpoint. Shared: give a seed with every call, and change nothing."""
    return Llama.build(checkpoint.folder, max_batch_size=4, device="cpu")


@pytest.fixture
def fresh_llama(checkpoint) -> Llama:
    """The same, of one's own."""
    return Llama.build(checkpoint.folder, max_batch_size=4, device="cpu")
