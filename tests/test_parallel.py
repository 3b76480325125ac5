"""Several ranks compute what one process does, and no error of one leaves another waiting.

Most ranks here are forks of this process with the variables that torchrun sets: nothing has to be imported again. One
test starts the command line by torchrun itself.
"""

import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist
import torch.distributed.tensor.parallel  # before the forks, which need not import it then

from minillama import Llama, ModelArgs, parallel
from tests.test_shards import split, write

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")
REPOSITORY = Path(__file__).resolve().parent.parent
PROMPTS = [[1, 300, 301], [1, 302], [1, 303, 304, 305, 306]]
TEXTS = ["Once upon a time", "The weather"]
DIALOGS = [[{"role": "user", "content": "What is 12?"}], [{"role": "user", "content": "[INST]"}]]
HOT = {"temperature": 1.5, "top_p": 0.95}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def in_ranks(n: int, function, *args, seconds: float = 300) -> list:
    """[function(rank, *args) in each of n processes]; of one that failed its exception, of a dead one its exit code."""
    port, context = free_port(), multiprocessing.get_context("fork")

    def run(rank, pipe):
        torch.cuda.is_available = lambda: False  # a fork must not touch a GPU that this process may have touched
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n, "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in names.items()} | {"MASTER_ADDR": "127.0.0.1"})
        try:
            result = function(rank, *args)
        except Exception as error:
            result = error
        pipe.send(result)
        pipe.recv()  # a rank that leaves breaks the others' connections

    pipes = [context.Pipe() for _ in range(n)]
    ranks = [context.Process(target=run, args=(rank, pipes[rank][1]), daemon=True) for rank in range(n)]
    for process, (_, theirs) in zip(ranks, pipes, strict=True):
        process.start()
        theirs.close()
    results, end = [], time.monotonic() + seconds
    for process, (ours, _) in zip(ranks, pipes, strict=True):
        ready = multiprocessing.connection.wait([ours, process.sentinel], max(end - time.monotonic(), 0))
        if ready and ours not in ready:
            process.join()  # else its exit code may not be known yet
        results.append(ours.recv() if ours in ready else process.exitcode if ready else "hangs")
    for process in ranks:
        process.kill()
        process.join()
    return results


def numbers(llama) -> dict:
    """What a Llama computes, in plain data."""
    tokens = torch.randint(3, 400, (3, 20), generator=torch.Generator().manual_seed(0), device="cpu").to(llama.device)
    with torch.no_grad():
        whole = llama.model(tokens, 0)
        llama.model(tokens[:, :7], 0)
        pieces = [llama.model(tokens[:, 7:15], 7), llama.model(tokens[:, 15:], 15, last_only=True)]
    assert type(whole) is torch.Tensor and type(llama.model.layers[0].attention.cache.k) is torch.Tensor
    greedy, scores = llama.generate(PROMPTS, 5, temperature=0, logprobs=True, echo=True)
    return {
        "logits": whole.cpu(),
        "pieces": torch.cat(pieces, 1).cpu(),
        "greedy": greedy,
        "scores": [*llama.generate(PROMPTS, 0, logprobs=True, echo=True)[1], *scores],
        "sampled": llama.generate(PROMPTS, 5, **HOT, seed=[5, 6, 7])[0],
    }


def everything(llama) -> dict:
    """And what it says."""
    return numbers(llama) | {
        "unseeded": llama.generate(PROMPTS[:2], 5, **HOT)[0],
        "texts": [result["generation"] for result in llama.text_completion(TEXTS, **HOT, seed=3, max_gen_len=5)],
        "chat": llama.chat_completion(DIALOGS, **HOT, seed=4, max_gen_len=5),
        "stream": "".join(llama.stream(TEXTS[0], **HOT, seed=3, max_gen_len=8, stop=["e"])),
    }


def check_equal(got: dict, due: dict):
    assert got.keys() == due.keys()
    for name in due:
        if isinstance(due[name], torch.Tensor):
            torch.testing.assert_close(got[name], due[name], rtol=0, atol=1e-4)
        elif name == "scores":
            for row, due_row in zip(got[name], due[name], strict=True):
                assert row[0] is None and row[1:] == pytest.approx(due_row[1:], abs=1e-4)
        else:
            assert got[name] == due[name], name


@pytest.fixture(scope="module")
def model(random_model):
    return random_model(3, vocab_size=400, n_kv_heads=4, max_seq_len=96)


@pytest.fixture(scope="module")
def folder(model, checkpoint, tmp_path_factory):
    """A model for up to 4 ranks, in 2 shards."""
    folder = tmp_path_factory.mktemp("parallel")
    (folder / "params.json").write_text(json.dumps(checkpoint.params | {"n_kv_heads": 4}))
    (folder / "tokenizer.model").write_bytes((checkpoint.folder / "tokenizer.model").read_bytes())
    return write(folder, split(model.state_dict(), 2))


@pytest.fixture(scope="module")
def due(folder):
    """What one process computes."""
    return everything(Llama.build(folder, max_batch_size=3, device="cpu"))


# ---- the same as one process ---------------------------------------------------------------------------------------


def two_ranks(rank, folder):
    """Everything that can be seen in one start of two ranks; the last step makes them useless."""
    seen = {}
    llama = Llama.build(folder, max_batch_size=3, device="cpu")
    seen["all"] = everything(llama)
    seen["backend"] = dist.get_backend()
    seen["parts"] = {key: tuple(w.to_local().shape) for key, w in llama.model.named_parameters() if w.dim() == 2}
    seen["numbers"] = sum(w.to_local().numel() for w in llama.model.parameters() if w.dim() == 2)
    seen["mapped"] = llama.model.output.weight.to_local().data_ptr()
    seen["cache"] = tuple(llama.model.layers[0].attention.cache.k.shape)
    half = Llama.build(folder, max_batch_size=3, device="cpu", dtype=torch.bfloat16, model_parallel_size=2)
    seen["bfloat16"] = half.generate(PROMPTS[:2], 5, **HOT, seed=1)
    alone = Llama.build(folder, max_batch_size=3, device="cpu", model_parallel_size=1)
    seen["alone"] = alone._n_ranks, alone.generate(PROMPTS[:2], 5, temperature=0)[0]
    again = Llama.build(folder, max_batch_size=3, device="cpu", seed=rank)  # seeds that differ: rank 0 draws
    seen["seed of rank 0"] = again.generate(PROMPTS[:2], 5, **HOT)

    def error_of(call, *args, **kwargs):
        try:
            return call(*args, **kwargs)
        except Exception as error:
            return type(error), str(error)

    seen["errors"] = {
        "empty prompt": error_of(llama.generate, [[]], 5),
        "long prompt": error_of(llama.generate, [[1] * 100], 5),
        "temperature": error_of(llama.generate, PROMPTS, 5, temperature=-1),
        "other prompts": error_of(llama.generate, [[1, 300 + rank]], 5),
        "stop of rank 1": error_of(llama.text_completion, TEXTS, stop=5 if rank else "e"),
        "dialog of rank 1": error_of(llama.chat_completion, DIALOGS[1:] if not rank else [[]]),
        "logits of rank 1": error_of(llama.logits, TEXTS if not rank else [5]),
        "steps of rank 1": error_of(llama.generate_steps, PROMPTS, 5, logprobs=bool(rank) or None),
        "other stop": error_of(llama.generate, PROMPTS, 5, stop=["e", "f"][rank]),
        "other temperature": error_of(llama.stream, TEXTS[0], temperature=rank),
        "other seed": error_of(llama.text_completion, TEXTS, seed=[[3, 4], [3, 5]][rank]),
        "other function": error_of(*([llama.generate, PROMPTS, 5] if rank else [llama.text_completion, TEXTS])),
        "other dtype": error_of(Llama.build, folder, dtype=[None, torch.float64][rank], device="cpu"),
        "other chat": error_of(Llama.build, folder, chat_format=["llama-2", "none"][rank], device="cpu"),
        "other batch": error_of(Llama.build, folder, max_batch_size=2 + rank, device="cpu"),
        "nowhere": error_of(Llama.build, folder / "nowhere", device="cpu"),
        "rank 1 alone": error_of(Llama.build, folder / "nowhere" if rank else folder, device="cpu"),
        "arguments of rank 1": error_of(Llama.build, folder, max_batch_size=1 - rank, device="cpu"),
        "three": error_of(Llama.build, folder, model_parallel_size=3, device="cpu"),
        "compile": error_of(Llama.build, folder, device="cpu", compile=True),
        "mps": error_of(Llama.build, folder, device="mps"),
    }
    seen["after"] = llama.generate(PROMPTS[:2], 5, temperature=0)[0]
    seen["asked"] = parallel.from_rank_0(lambda: f"by {dist.get_rank()}")
    for group in (None, parallel._calls):
        dist.distributed_c10d._set_pg_timeout(timedelta(seconds=2), group)
    start = time.monotonic()
    if rank == 1:
        time.sleep(4)  # silent
    else:
        seen["silence"] = *error_of(llama.generate, PROMPTS, 5), time.monotonic() - start
    return seen


@pytest.fixture(scope="module")
def of_two(folder):
    return in_ranks(2, two_ranks, folder)


def test_two_ranks_compute_what_one_process_does(of_two, due):
    few = [row[len(prompt) : len(prompt) + 5] for row, prompt in zip(due["greedy"], PROMPTS[:2], strict=False)]
    for seen in of_two:
        check_equal(seen["all"], due)
        assert seen["backend"] == "gloo" and seen["after"] == few and seen["alone"] == (1, few)
    assert of_two[0]["bfloat16"] == of_two[1]["bfloat16"]
    assert of_two[0]["seed of rank 0"] == of_two[1]["seed of rank 0"]
    assert [seen["asked"] for seen in of_two] == ["by 0", "by 0"]


def test_each_rank_holds_its_part_alone(of_two, model):
    matrices = sum(weight.numel() for weight in model.parameters() if weight.dim() == 2)
    for seen in of_two:
        assert seen["numbers"] * 2 == matrices and seen["cache"] == (3, 96, 2, 8)
        assert seen["parts"]["layers.1.attention.wk.weight"] == (16, 32)
        assert seen["parts"]["layers.1.attention.wo.weight"] == (32, 16)
        assert seen["parts"]["layers.1.feed_forward.w1.weight"] == (24, 32)
        assert seen["parts"]["tok_embeddings.weight"] == (400, 16) and seen["parts"]["output.weight"] == (200, 32)


@pytest.mark.parametrize(
    ("case", "error", "words"),
    [
        ("empty prompt", ValueError, ["prompt_tokens"]),
        ("long prompt", ValueError, ["prompt_tokens", "max_seq_len"]),
        ("temperature", ValueError, ["temperature", "-1"]),
        ("other prompts", ValueError, ["prompt_tokens differs between the ranks"]),
        ("stop of rank 1", (TypeError, ValueError), ["stop must be a str or a list of str, got 5"]),
        ("dialog of rank 1", ValueError, ["dialogs[0] is empty"]),
        ("logits of rank 1", (TypeError, ValueError), ["prompts_or_tokens[0] is 5"]),
        ("steps of rank 1", (TypeError, ValueError), ["logprobs must be True or False"]),
        ("other stop", ValueError, ["stop differs between the ranks", "the same call on every rank"]),
        ("other temperature", ValueError, ["temperature differs between the ranks"]),
        ("other seed", ValueError, ["seed differs between the ranks"]),
        ("other function", ValueError, ["the ranks call different functions"]),
        ("other dtype", ValueError, ["dtype differs between the ranks"]),
        ("other chat", ValueError, ["chat_format differs between the ranks"]),
        ("other batch", ValueError, ["max_batch_size differs between the ranks"]),
        ("nowhere", ValueError, ["no folder"]),
        ("rank 1 alone", ValueError, ["no folder"]),
        ("arguments of rank 1", ValueError, ["max_batch_size", "got 0"]),
        ("three", ValueError, ["model_parallel_size must be None or 1 or 2", "got 3", "torchrun --nproc_per_node"]),
        ("compile", ValueError, ["compile must be False", "2 ranks"]),
        ("mps", ValueError, ["device", "mps"]),
    ],
)
def test_an_error_is_every_ranks(of_two, case, error, words):
    for seen in of_two:
        kind, message = seen["errors"][case]
        expected = error if isinstance(error, tuple) else (error,)
        assert kind in expected and all(word in message for word in words), message
    if case == "rank 1 alone":
        assert "rank 1 of 2 failed" in of_two[0]["errors"][case][1]


def test_a_silent_rank_is_given_up_after_the_timeout(of_two):
    kind, message, seconds = of_two[0]["silence"]
    assert kind is RuntimeError and "imed out" in message and 1 < seconds < 20
    assert message.startswith("the ranks lost each other: ") and "read every stream to its end" in message
    assert parallel.TIMEOUT == timedelta(seconds=60)


def abandoned(rank, folder):
    """Rank 1 reads one piece of a stream, then asks for something else."""
    llama = Llama.build(folder, max_batch_size=3, device="cpu")
    for group in (None, parallel._calls):
        dist.distributed_c10d._set_pg_timeout(timedelta(seconds=1), group)
    stream = llama.stream(TEXTS[0], **HOT, seed=3, max_gen_len=30)
    next(stream)
    try:
        return list(stream) if rank == 0 else llama.generate(PROMPTS, 5)
    except Exception as error:
        return type(error), str(error)


def test_an_abandoned_stream(folder):
    for kind, message in in_ranks(2, abandoned, folder):
        assert kind is RuntimeError and message.startswith("the ranks lost each other: "), message
        assert message.endswith("make the same calls on every rank and read every stream to its end")


def four_ranks(rank, folder):
    return numbers(Llama.build(folder, max_batch_size=3, device="cpu"))


@pytest.mark.full
def test_four_ranks(folder, due):
    """From two files; and 400 tokens: a hundred each."""
    for seen in in_ranks(4, four_ranks, folder):
        check_equal(seen, {name: due[name] for name in seen})


def uneven(rank, folder):
    """A vocabulary that has no equal halves; then a rank dies."""
    llama = Llama.build(folder, max_batch_size=3, device="cpu", tokenizer_path=folder / "tokenizer.model")
    shapes = tuple(llama.model.output.weight.to_local().shape), tuple(llama.model.tok_embeddings.weight.shape)
    greedy = llama.generate([[1, 5], [1, 6, 7]], 5, temperature=0)
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    start = time.monotonic()
    try:
        llama.generate([[1, 5]], 20)
    except RuntimeError as error:
        return shapes, greedy, str(error), time.monotonic() - start


def test_a_vocabulary_without_halves_and_a_killed_rank(write_checkpoint, tmp_path):
    from sentencepiece import SentencePieceTrainer

    other = tmp_path / "other"
    SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d e f g"] * 9), model_prefix=str(other), vocab_size=271, model_type="bpe",
        byte_fallback=True, minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    folder = write_checkpoint(tmp_path / "odd", tokenizer=other.with_suffix(".model")).folder
    alone = Llama.build(folder, max_batch_size=3, device="cpu")
    vocab_size = alone.tokenizer.n_words
    assert vocab_size % 2 == 1
    (shapes, greedy, error, seconds), exit_code = in_ranks(2, uneven, folder)
    assert shapes == ((vocab_size // 2 + 1, 32), (vocab_size, 32))
    assert greedy == alone.generate([[1, 5], [1, 6, 7]], 5, temperature=0)
    assert exit_code == -signal.SIGKILL and "onnection" in error and seconds < 20


# ---- what cannot be split ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "n_ranks", "words"),
    [
        ({"n_heads": 4, "n_kv_heads": 2}, 4, ["4 ranks", "n_kv_heads is 2", "take one of 1, 2 ranks"]),
        ({"n_heads": 4, "n_kv_heads": 4}, 3, ["3 ranks", "n_heads is 4", "1, 2, 4"]),
        ({"n_heads": 4, "n_kv_heads": 4, "hidden_dim": 50}, 4, ["hidden_dim is 50", "1, 2 ranks"]),
        ({"n_heads": 4, "n_kv_heads": 1}, 2, ["n_kv_heads is 1", "take one of 1 ranks"]),
    ],
)
def test_sizes_that_do_not_fit(sizes, n_ranks, words):
    with pytest.raises(ValueError) as caught:
        parallel.check_sizes(ModelArgs(**{"dim": 32, "hidden_dim": 48, "vocab_size": 7, **sizes}), n_ranks)
    assert all(word in str(caught.value) for word in ("model_parallel_size", *words)), str(caught.value)


def test_sizes_are_looked_at_before_any_weight(folder, monkeypatch):
    monkeypatch.setattr("minillama.checkpoint.read_weights", lambda folder: pytest.fail("weights were read"))
    from minillama.checkpoint import MetaFolder, load

    with pytest.raises(ValueError, match="8 ranks cannot share this model"):
        load(MetaFolder(folder), 400, torch.device("cpu"), torch.float32, n_ranks=8)


def test_without_torchrun_there_is_no_process_group(folder):
    Llama.build(folder, device="cpu", model_parallel_size=1)
    assert not dist.is_initialized() and parallel.from_rank_0(lambda: 5) == 5
    with pytest.raises(ValueError, match="model_parallel_size must be None or 1 in one process, got 2; .*torchrun"):
        Llama.build(folder, device="cpu", model_parallel_size=2)


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_ranks_take_a_gpu_each(device):
    with pytest.raises(ValueError, match="device must be 'cpu' or 'cuda' where 2 ranks"):
        parallel.place(device, 2)


def test_more_ranks_than_gpus(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="2 ranks on this machine, but 1 GPUs"):
        parallel.place("cuda", 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert parallel.place("cuda", 2) == torch.device("cuda:1")


# ---- the command line ----------------------------------------------------------------------------------------------


@pytest.mark.full
def test_a_chat_under_torchrun_and_a_killed_worker(folder):
    """Rank 0 alone asks and prints; when the other is killed, torchrun ends with an error."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "minillama", "chat"]
    command += ["--model", str(folder), "--temperature", "0", "--max-gen-len", "5", "--device", "cpu"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    chat = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, encoding="utf-8")  # fmt: skip
    dialog = [{"role": "user", "content": "Hello"}]
    due = Llama.build(folder, device="cpu").chat_completion([dialog], temperature=0, max_gen_len=5)
    try:
        chat.stdin.write("Hello\n")
        chat.stdin.flush()
        assert chat.stdout.readline().strip() == due[0]["generation"]["content"].strip()
        workers = psutil.Process(chat.pid).children()
        assert len(workers) == 2
        [last] = [worker for worker in workers if worker.environ()["RANK"] == "1"]
        start = time.monotonic()
        last.kill()
        out, err = chat.communicate(timeout=60)
        assert out == "" and chat.returncode != 0 and "SIGKILL" in err and time.monotonic() - start < 30
    finally:
        chat.kill()


# ---- on GPUs ---------------------------------------------------------------------------------------------------------


@pytest.mark.cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="no two NVIDIA GPUs")
def test_two_gpus_compute_what_one_process_on_the_cpu_does(folder, due, tmp_path):
    """By torchrun: a process that knows its GPUs must not be forked."""
    script = f"""
import torch
import torch.distributed as dist
from minillama import Llama
from tests.test_parallel import PROMPTS, everything
llama = Llama.build({str(folder)!r}, max_batch_size=3, dtype=torch.float32)
assert llama.device.index == dist.get_rank() and "nccl" in dist.get_backend_config(), llama.device
torch.save(everything(llama), f"{tmp_path}/rank{{dist.get_rank()}}.pt")
"""
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", str(tmp_path / "script.py")]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    subprocess.run(command, env=environment, check=True, timeout=300)
    for rank in range(2):
        seen = torch.load(tmp_path / f"rank{rank}.pt")
        torch.testing.assert_close(seen["logits"], due["logits"], rtol=0, atol=1e-3)
        torch.testing.assert_close(seen["pieces"], due["pieces"], rtol=0, atol=1e-3)
        assert seen["greedy"] == due["greedy"]
