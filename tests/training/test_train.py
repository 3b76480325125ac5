"""The loop: a resumed run ends in the same weights, and a checkpoint that is not this run's is refused."""

import errno
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import training.__main__
from minillama.checkpoint import COURSE_MODEL
from minillama.tokenizer import Tokenizer
from training import known, package, quatrains
from training import train as loop
from training.__main__ import main
from training.evaluate import Evaluation
from training.initial import new_model
from training.measures import Figure, Row
from training.packing import PAD, drill_rows
from training.state import load_state, write_atomically
from training.train import (
    Config,
    check_known,
    count,
    cross_entropy,
    evaluate_loss,
    fast_dtype,
    learning_rate,
    loss_of,
    new_optimizer,
    read_batch,
    steps_within,
    train,
    update,
)

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
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(TINY, tmp_path_factory.mktemp("whole"))


def test_a_resumed_run_ends_in_the_same_weights(run, tmp_path):
    for stop_at in (2, 5, None):
        resumed = train(TINY, tmp_path, stop_at)
    for (name, whole), again in zip(run.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(whole, again), name
    assert [entry["step"] for entry in resumed.history] == [2, 3, 5, 6]
    assert (
        run.history[-1].items() - {"seconds": 0}.items() >= {"step": 6, "tokens": resumed.history[-1]["tokens"]}.items()
    )


def test_a_run_so_short_that_it_reads_lookups_alone(tmp_path):
    short = replace(TINY, steps=3, lookups=((3, TINY.batch_rows),), shares={"stories_en": 0.5, "chat_en": 0.5})
    assert train(short, tmp_path).history[-1]["step"] == 3


def test_a_finished_run_is_not_trained_further(run):
    again = train(TINY, run.tokenizer_path.parent)
    assert again.history == run.history
    assert torch.equal(again.model.output.weight, run.model.output.weight)


def test_the_corpus_is_drawn_once(run, monkeypatch):
    monkeypatch.setattr(loop, "mixture", lambda *_, **__: pytest.fail("drawn again"))
    train(TINY, run.tokenizer_path.parent)


def test_a_broken_file_of_rows_is_drawn_again(run, tmp_path):
    whole = (run.tokenizer_path.parent / "corpus.npz").read_bytes()
    (tmp_path / "corpus.npz").write_bytes(whole[: len(whole) // 2])
    again = train(TINY, tmp_path, stop_at=1)
    with np.load(tmp_path / "corpus.npz") as new, np.load(io.BytesIO(whole)) as old:
        assert new.files == old.files and all((new[name] == old[name]).all() for name in old.files)
    assert again.history[-1].keys() == {"step", "seconds", "tokens", *TINY.shares}


@pytest.mark.parametrize("change", [{"seed": 2}, {"steps": 7}, {"learning_rate": 1e-3}])
def test_a_checkpoint_of_another_run_is_refused(run, change):
    with pytest.raises(ValueError, match=f"belongs to another run .*{next(iter(change))} is .*another --run"):
        train(replace(TINY, **change), run.tokenizer_path.parent)


@pytest.mark.parametrize("content, message", [(b"not a checkpoint", "is broken"), (None, "is no checkpoint")])
def test_a_broken_or_foreign_file_is_refused(tmp_path, content, message):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content) if content else torch.save({"weights": torch.ones(2)}, path)
    model = new_model(TINY.model, 1000)
    with pytest.raises(ValueError, match=message):
        load_state(path, {}, model, new_optimizer(TINY, model))


def test_every_row_is_read_once():
    rows = {"short": torch.arange(8)[:, None].numpy(), "long": torch.arange(100, 102)[:, None].numpy()}
    read = [read_batch(TINY, rows, step).flatten().tolist() for step in range(6)]
    assert read == [[0, 1], [2, 3], [100], [4, 5], [6, 7], [101]]


def test_drills_come_first():
    config = replace(TINY, drill_steps=2, drill_batch_rows=3, drill_seqlen=16)
    rows = {"drill": drill_rows(6, 16, 259, 700, seed=1), "short": torch.arange(8)[:, None].numpy()}
    read = [read_batch(config, rows, step) for step in range(3)]
    assert torch.equal(torch.cat(read[:2]), torch.from_numpy(rows["drill"]).long())
    assert read[2].flatten().tolist() == [0, 1]


def test_a_run_with_drills_resumes_too(tmp_path):
    config = replace(TINY, drill_steps=3, steps=2)
    train(config, tmp_path, stop_at=2)
    run = train(config, tmp_path)
    whole = train(config, tmp_path / "whole")
    assert torch.equal(run.model.output.weight, whole.model.output.weight)


def test_pad_does_not_count_in_the_loss():
    model = new_model(TINY.model, 1000)
    row = torch.randint(3, 1000, (1, 9))
    padded = torch.cat([row, torch.full((1, 5), PAD)], dim=1)
    assert loss_of(model, padded).item() == pytest.approx(loss_of(model, row).item(), abs=1e-5)


def test_the_loss_of_rows_is_that_of_their_tokens():
    model = new_model(TINY.model, 1000)
    rows = [torch.randint(3, 1000, (n,)) for n in range(5, 40)]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    with torch.no_grad():
        total = sum(loss_of(model, row[None]).item() * (len(row) - 1) for row in rows)
    assert evaluate_loss(model, padded) == pytest.approx(total / sum(len(row) - 1 for row in rows), rel=1e-5)


def test_the_last_steps_are_in_float32(monkeypatch):
    monkeypatch.setattr(loop, "fast_dtype", lambda device: torch.bfloat16)
    config, seen = replace(TINY, steps=20, exact=0.15), []

    def spy(model, tokens, targets, dtype):
        seen.append(dtype)
        return cross_entropy(model, tokens, targets, dtype)

    model = new_model(TINY.model, 1000)
    optimizer = new_optimizer(config, model)
    for step in range(config.all_steps):
        loss = update(config, model, optimizer, torch.randint(3, 1000, (1, 9)), step, spy)
        assert loss.dtype == torch.float32 and loss.isfinite()
    assert seen == [torch.bfloat16] * 17 + [torch.float32] * 3


def test_products_in_bfloat16_give_nearly_the_same_loss_and_gradient():
    def gradient(dtype):
        torch.manual_seed(1)
        model = new_model(TINY.model, 1000)
        loss = loss_of(model, torch.randint(3, 1000, (4, 33)), dtype)
        loss.backward()
        return loss.item(), torch.cat([weight.grad.flatten() for weight in model.parameters()])

    (exact, due), (rounded, found) = gradient(torch.float32), gradient(torch.bfloat16)
    assert rounded != exact and rounded == pytest.approx(exact, rel=0.01)
    assert torch.cosine_similarity(due, found, dim=0) > 0.99


def test_the_fast_dtype_is_what_the_processor_has(monkeypatch):
    for found, due in (({}, torch.float32), ({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": 1}, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        assert fast_dtype(torch.device("cpu")) == due
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # as in older torches
    assert fast_dtype(torch.device("cpu")) == torch.float32


def test_too_few_known_prompts_are_refused_in_a_whole_run(run, monkeypatch):
    folder = run.tokenizer_path.parent
    with np.load(folder / "corpus.npz") as file:
        rows = {kind: file[kind] for kind in ("short", "long")}
    assert check_known(TINY, Tokenizer(run.tokenizer_path), rows) == run.least_known
    with pytest.raises(ValueError, match="is read 0 times in .* steps, 2,000 are due; raise the share of 'known'"):
        empty = {kind: array[:0] for kind, array in rows.items()}
        check_known(replace(TINY, steps=Config.steps), Tokenizer(run.tokenizer_path), empty)


def test_a_count_ends_at_the_rows_end():
    rows = np.array([[1, 5, 6, 2, 1, 5], [6, 1, 5, 6, 7, 2]], dtype=np.int16)
    assert [count(rows, ids) for ids in ([1, 5, 6], [7, 2], [2, 9], [6])] == [2, 1, 0, 3]


def test_the_learning_rate_warms_up_and_falls():
    config = replace(TINY, steps=900, drill_steps=100, warmup=100)
    rates = [learning_rate(config, step) for step in range(1000)]
    assert max(rates) == rates[100] == config.learning_rate
    assert rates[:100] == sorted(rates[:100]) and rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-4 * config.learning_rate)


def test_minutes_are_measured_once(tmp_path):
    (tmp_path / "steps.json").write_text("123")
    assert steps_within(1.0, tmp_path, seed=1) == 123
    with pytest.raises(ValueError, match="minutes must be more than 0, got -1"):
        steps_within(-1, tmp_path, seed=1)


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main(["--steps", "0", "--run", str(tmp_path)]) == 2
    assert "steps must be at least 1, got 0" in capsys.readouterr().err


@pytest.fixture
def no_poems(tmp_path, monkeypatch):
    monkeypatch.setattr(quatrains, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(package.shutil, "which", lambda name: None)


def test_without_the_poems_nothing_is_begun(no_poems, tmp_path, capsys):
    for length in ([], ["--minutes", "1"]):
        assert main([*length, "--run", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 2
        assert "chinese-poetry 2.0.1 are not in" in (said := capsys.readouterr().err) and "npm pack" in said
    assert not (tmp_path / "run").exists() and not (tmp_path / "out").exists()


def test_a_full_disk_leaves_the_last_good_file(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_text("good")

    def write(beside):
        beside.write_text("ha")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, write)
    assert [one.name for one in tmp_path.iterdir()] == ["checkpoint.pt"] and path.read_text() == "good"


@pytest.fixture
def finishing(run, monkeypatch):
    """`main` with everything done but the evaluation."""
    monkeypatch.setattr(training.__main__, "fetch_package", lambda cache: None)
    monkeypatch.setattr(training.__main__, "train", lambda config, out: run)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)


def test_the_assets_are_replaced_after_the_evaluation(finishing, tmp_path, monkeypatch, capsys):
    row = Row("memory", "memory", 20, "greedy", [Figure("en", 0.5, 0.95, at_least=True)])
    monkeypatch.setattr(training.__main__, "evaluate", lambda *_: Evaluation([row], 1, True, "cpu"))
    out, before = tmp_path / "out", (COURSE_MODEL / known.KNOWN.name).read_bytes()
    out.mkdir()
    (out / known.KNOWN.name).write_bytes(before)
    assert main(["--run", str(tmp_path / "run"), "--out", str(out), "--quick"]) == 0
    said = capsys.readouterr().out
    assert "| ✗ | memory" in said and f"The model is in {out}." in said
    assert (out / known.KNOWN.name).read_bytes() == before
    assert json.loads((out / "params.json").read_text())["vocab_size"] == 1000
    assert "| ✗ | memory" in (out / "MODEL_CARD.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("error, status", [(KeyboardInterrupt(), 130), (OSError("No space left on device"), 2)])
def test_an_interrupted_evaluation_leaves_the_assets_alone(finishing, tmp_path, monkeypatch, capsys, error, status):
    def interrupted(*_):
        raise error

    monkeypatch.setattr(training.__main__, "evaluate", interrupted)
    assert main(["--run", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == status
    assert "the same command goes on" in capsys.readouterr().err and not (tmp_path / "out").exists()
