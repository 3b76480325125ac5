"""The rows: drawn once, each read once, drills first, and enough known prompts in them."""

import io
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from minillama.tokenizer import Tokenizer
from tests.training.conftest import TINY
from training import rows as data
from training.corpus.document import Document
from training.corpus.lookups import lookups
from training.corpus.quizzes import quizzes
from training.corpus.recalls import Recall, recalls
from training.packing import BEGIN, drill_rows, pack
from training.rows import (
    WHOLE,
    answers_only,
    certain_only,
    check_known,
    count,
    is_spelt,
    prepare_data,
    read_batch,
    to_answer,
)
from training.tokenizer import train_tokenizer


def test_the_corpus_is_drawn_once(run, monkeypatch):
    monkeypatch.setattr(data, "mixture", lambda *_, **__: pytest.fail("drawn again"))
    prepare_data(TINY, run.tokenizer_path.parent)


def test_a_broken_file_of_rows_is_drawn_again(run, tmp_path):
    whole = (run.tokenizer_path.parent / "corpus.npz").read_bytes()
    (tmp_path / "corpus.npz").write_bytes(whole[: len(whole) // 2])
    prepare_data(TINY, tmp_path)
    with np.load(tmp_path / "corpus.npz") as new, np.load(io.BytesIO(whole)) as old:
        assert new.files == old.files and all((new[name] == old[name]).all() for name in old.files)


def test_rows_of_other_code_or_settings_are_drawn_again(run, monkeypatch):
    key = data.data_key(TINY)
    assert key != data.data_key(replace(TINY, seed=2))
    monkeypatch.setattr(data, "DRAWN_BY", data.DRAWN_BY[:-1])  # as if the data files had changed
    assert key != data.data_key(TINY)
    assert data.load_data(run.tokenizer_path.parent / "corpus.npz", key).keys() >= {"drill", "short", "long"}
    assert data.load_data(run.tokenizer_path.parent / "corpus.npz", data.data_key(TINY)) is None


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


def test_too_few_known_prompts_are_refused_in_a_whole_run(run, monkeypatch):
    folder = run.tokenizer_path.parent
    with np.load(folder / "corpus.npz") as file:
        rows = {kind: file[kind] for kind in ("short", "long")}
    assert check_known(TINY, Tokenizer(run.tokenizer_path), rows) == run.least_known
    with pytest.raises(ValueError, match="is read 0 times in .* at least 1,000 times; raise the share of 'known'"):
        empty = {kind: array[:0] for kind, array in rows.items()}
        check_known(replace(TINY, steps=WHOLE), Tokenizer(run.tokenizer_path), empty)


def test_known_prompts_count_only_in_the_rows_that_are_read(run):
    with np.load(run.tokenizer_path.parent / "corpus.npz") as file:
        rows = {kind: file[kind] for kind in ("short", "long")}
    tokenizer = Tokenizer(run.tokenizer_path)
    assert check_known(replace(TINY, until=1), tokenizer, rows) <= run.least_known
    repeated = {kind: np.concatenate([array, array]) for kind, array in rows.items()}
    assert check_known(TINY, tokenizer, repeated) == run.least_known


def test_quizzes_and_recalls_stand_among_the_lookups_as_often_as_asked(run):
    tokenizer = Tokenizer(run.tokenizer_path)

    def answers(drawn):
        return [answers_only(document.texts, tokenizer) for document in islice(drawn, 60)]

    def rows(**shares):
        return list(islice(to_answer(replace(TINY, **shares), tokenizer), 60))

    told = [certain_only(story, tokenizer) for story in islice(recalls(TINY.seed), 60)]
    asked, found = answers(quizzes(TINY.seed)), answers(lookups(TINY.seed))
    assert rows(quizzes=0.0) == found and rows(quizzes=1.0) == asked and rows(recalls=1.0) == told
    mixed = rows(quizzes=0.3, recalls=0.4)
    counts = [sum(ids in some for ids in mixed) for some in (asked, told, found)]
    assert sum(counts) == 60 and all(8 < n < 40 for n in counts)


def test_of_a_recall_only_what_the_text_decides_is_asked_for(run):
    tokenizer = Tokenizer(run.tokenizer_path)
    text = "Tom was a cat. He met Ann. Tom ran."
    decided = [(15, 17), (27, 30)]  # He, Tom
    ids = certain_only(Recall(text, tuple(decided)), tokenizer)
    assert [~i if i < 0 else i for i in ids] == tokenizer.encode(text, bos=True, eos=True)
    assert tokenizer.decode([i for i in ids[1:-1] if i >= 0]).split() == ["He", "Tom"]
    assert ids[0] == tokenizer.bos_id and ids[-1] == tokenizer.eos_id
    for story in islice(recalls(7), 40):
        ids = certain_only(story, tokenizer)
        asked = sum(i >= 0 for i in ids)
        assert 0.02 < asked / len(ids) < 0.6


def test_a_count_ends_at_the_rows_end():
    rows = np.array([[1, 5, 6, 2, 1, 5], [6, 1, 5, 6, 7, 2]], dtype=np.int16)
    assert [count(rows, ids) for ids in ([1, 5, 6], [7, 2], [2, 9], [6])] == [2, 1, 0, 3]


def test_of_a_lookup_only_the_answers_are_asked_for(run):
    tokenizer = Tokenizer(run.tokenizer_path)
    texts = ("[INST] I am Bo. [/INST] Hello, Bo! ", "[INST] Who am I? [/INST] You are Bo. ")
    ids = answers_only(texts, tokenizer)
    assert [~i if i < 0 else i for i in ids] == [
        i for text in texts for i in tokenizer.encode(text, bos=True, eos=True)
    ]
    asked = [i for i in ids if i >= 0]
    assert tokenizer.decode(asked).split() == "Hello, Bo! You are Bo.".split()
    (row,) = pack([ids], 1, len(ids) + 8)
    assert (row == BEGIN).sum() == 1 and (row == tokenizer.bos_id).sum() == 1  # one document of two turns


def test_a_poem_is_spelt_if_each_character_is_a_token(tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(
        train_tokenizer(["写一首诗", "春风", "明月", "春", "风", "天", "月", "明"] * 99, 259 + 34, "。[]/INST")
    )
    tokenizer = Tokenizer(path)
    asked, poem = "[INST] 写一首诗 [/INST]", "春天。\n月明。"
    assert {"春风", "写一首诗"} <= {piece.strip("▁") for piece in tokenizer.pieces(range(tokenizer.n_words))}
    assert is_spelt(Document("quatrains", (f"{asked} {poem} ",)), tokenizer)
    assert not is_spelt(Document("quatrains", (f"{asked} {poem}春风。 ",)), tokenizer)
    assert is_spelt(Document("quatrains", (poem,)), tokenizer)
