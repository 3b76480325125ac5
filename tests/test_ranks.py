"""The program of notebook 13: two ranks write what one process does, and what breaks where they do not agree."""

import sys

import pytest
import torch

from minillama import Llama, ranks, words
from minillama.shards import SPLIT_DIM
from tests.test_parallel import in_ranks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")


@pytest.fixture(scope="module")
def alone():
    return Llama.build(device="cpu")


@pytest.fixture(scope="module")
def reports(alone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks") / "checkpoint"
    alone.save(folder, shards=2)
    assert in_ranks(2, lambda rank: ranks.main(folder)) == [None, None]
    return [torch.load(folder.parent / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


def test_by_hand_and_by_the_engine_two_ranks_do_what_one_process_does(alone, reports):
    for rank, report in enumerate(reports):
        assert (report["RANK"], report["WORLD_SIZE"]) == (str(rank), "2")
        assert report["text"] == ranks.write(alone, seed=1)
        for logits in (report["logits"], report["engine"]["logits"]):
            torch.testing.assert_close(logits, ranks.logits_of(alone), rtol=0, atol=1e-3)
        assert report["exchanges"] == report["engine"]["exchanges"]["all_reduce"] == 2 * alone.model.params.n_layers
        assert report["engine"]["cuts"] == SPLIT_DIM and report["seconds"] > 0
    assert reports[0]["engine"]["text"] == reports[1]["engine"]["text"]


def test_another_seed_on_one_rank_spoils_the_texts_of_both(alone, reports):
    texts = [report["other seed"] for report in reports]
    right = [ranks.write(alone, seed=1), ranks.write(alone, seed=2)]
    assert texts[0] != texts[1] and texts[0] != right[0] and texts[1] != right[1]
    assert {report["engine"]["other seed"] for report in reports} == {
        "seed differs between the ranks; make the same call on every rank"
    }


def test_a_rank_that_calls_alone_gives_up_after_its_time(reports):
    assert "RuntimeError" in reports[0]["alone"] and "3000ms" in reports[0]["alone"]
    assert reports[1]["alone"] == "I made no call."


@pytest.fixture
def fresh(monkeypatch):
    """No language was chosen yet, as in a new process."""
    words._of_the_environment.cache_clear()
    monkeypatch.setattr(words, "_chosen", "")
    yield monkeypatch
    monkeypatch.undo()
    words._of_the_environment.cache_clear()


@pytest.mark.parametrize(("named", "prompt"), [("zh", "从前，有一只小"), ("", "Once upon a time, there was a little")])
def test_a_new_process_writes_in_the_language_of_its_environment(named, prompt, alone, fresh):
    fresh.setenv("MINILLAMA_LANGUAGE", named)
    assert ranks.write(alone, seed=1, n_tokens=0) == prompt
