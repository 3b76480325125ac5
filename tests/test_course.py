"""What the notebooks need of their model: where it is lacking the course's own stands in, and a line says so."""

import json
import shutil

import pytest
import torch

from minillama import Llama, checkpoint, course
from minillama.course import fitted, known_probabilities, model_folder, wrapped

OWN = checkpoint.own_model()


@pytest.fixture
def named(monkeypatch):
    """named(path): $MINILLAMA_COURSE_MODEL, as if it had been set before Python began."""
    return lambda path: monkeypatch.setattr(checkpoint, "COURSE_MODEL", path)


@pytest.fixture
def other(checkpoint, tmp_path, named):
    """A folder as Meta's are, whose name has spaces and no Latin letters."""
    folder = shutil.copytree(checkpoint.folder, tmp_path / "另一个 模型")
    named(folder)
    return folder


def test_the_course_model_lacks_nothing(capsys):
    needs = {"any_text": True, "tokenizer": True, "by_hand": True, "room": 256, "ranks": 2}
    assert model_folder(**needs) == checkpoint.COURSE_MODEL == OWN
    llama = Llama.build(OWN, device="cpu")
    same, known = known_probabilities(llama, "en-coin", "zh-coin")
    assert same is llama and known["en-coin"]["kind"] == "text"
    assert capsys.readouterr().out == ""


def test_another_model_is_taken_where_it_will_do(other, capsys):
    assert model_folder() == model_folder(any_text=True, tokenizer=True, by_hand=True, room=96, ranks=2) == other
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("needs", "line"),
    [
        (
            {"room": 97},
            "This model has room for 96 tokens, and this notebook needs 97: the course's own model",
        ),
        ({"ranks": 3}, "This model has heads or hidden units that 3 ranks cannot share: the course's own"),
    ],
)
def test_sizes_that_will_not_do(other, needs, line, capsys):
    assert model_folder(**needs) == OWN and model_folder() == other
    assert capsys.readouterr().out.startswith(line)


def test_files_that_are_not_there(other, capsys):
    params, card = other / "params.json", json.loads((other / "params.json").read_text())

    def said(**needs):
        assert model_folder(**needs) == OWN
        return capsys.readouterr().out.removeprefix("This model has ").split(": ")[0]

    params.write_text(json.dumps(card | {"use_scaled_rope": False}))
    assert said(by_hand=True) == "fields in params.json that are not explained here (use_scaled_rope)"
    params.write_text(json.dumps(card))
    Llama.build(other, device="cpu").save(other, shards=2)
    assert said(by_hand=True) == "its weights in 2 files, which are the subject of notebook 13"
    shutil.move(other / "tokenizer.model", other.parent)  # as in Meta's download
    assert said(by_hand=True) == "no tokenizer.model in its folder"
    assert model_folder(any_text=True, tokenizer=True) == other
    (other.parent / "tokenizer.model").unlink()
    with pytest.raises(ValueError, match="no tokenizer at"):
        model_folder(tokenizer=True)


def test_other_layouts(llama, tmp_path, named, capsys):
    llama.save(tmp_path, "hf")
    named(tmp_path)
    assert model_folder(any_text=True, room=96, ranks=2) == tmp_path and model_folder(by_hand=True) == OWN
    assert "has no params.json" in capsys.readouterr().out
    (tmp_path / "tokenizer.model").unlink()
    assert model_folder(any_text=True) == tmp_path and model_folder(tokenizer=True) == OWN
    assert "has no tokenizer.model" in capsys.readouterr().out
    named(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no folder .*nowhere"):
        model_folder()


def test_without_known_probabilities_the_courses_own_model_is_compared(other, capsys):
    llama = Llama.build(other, max_batch_size=3, device="cpu")
    own, known = known_probabilities(llama, "en-coin")
    said = "This model has no known_probabilities.json, so the comparison with it is left out"
    assert capsys.readouterr().out == f"{said}: the course's own model stands in.\n"
    assert own is not llama and own.model.params.max_batch_size == 3 and own.device == llama.device
    prompt, option = known["en-coin"]["prompt"], known["en-coin"]["options"][0]
    n, probs = len(own.tokenizer.encode(prompt, True, False)), torch.softmax(own.logits([prompt])[0, -1], -1)
    first = own.tokenizer.encode(prompt + option["text"], True, False)[n]
    assert abs(probs[first] - option["probability"]) < 0.2  # it is the model that has learnt them


def test_known_probabilities_of_another_model(other, capsys):
    llama, path = Llama.build(other, device="cpu"), other / course.KNOWN
    mine = {"id": "mine", "prompt": "Once", "options": []}
    path.write_text(json.dumps({"prompts": [mine]}))
    assert known_probabilities(llama, "mine") == known_probabilities(llama) == (llama, {"mine": mine})
    assert capsys.readouterr().out == ""
    assert "en-coin" in known_probabilities(llama, "mine", "en-coin")[1]
    assert "has no en-coin in its known_probabilities.json, so" in capsys.readouterr().out
    for broken in ('{"prompts": [1]}', '{"prompts": 1}', "{}", "no JSON"):
        path.write_text(broken)
        with pytest.raises(ValueError, match="known_probabilities.json"):
            known_probabilities(llama)


def test_an_id_that_no_model_has():
    llama = Llama.build(OWN, device="cpu")
    with pytest.raises(ValueError, match="needed: the course model has no xx-coin in its .*; it has .*en-coin"):
        known_probabilities(llama, "xx-coin")


def test_a_text_is_cut_where_the_context_ends(llama, capsys):
    assert fitted(llama, "Once") == "Once" and capsys.readouterr().out == ""
    for text in ("Once upon a time. " * 40, "龘🦙" * 60, "1" * 95):
        beginning = fitted(llama, text)
        n = len(llama.tokenizer.encode(beginning, bos=True, eos=False))
        assert text.startswith(beginning) and 86 <= n <= 96
        llama.generate([llama.tokenizer.encode(beginning, bos=True, eos=False)], 0, logprobs=True, echo=True)
        said = f"room for 96 tokens: of {len(text)} characters the first {len(beginning)} are read."
        assert said in capsys.readouterr().out
    for wrong in (5, None, b"Once"):
        with pytest.raises(TypeError, match="text must be a str"):
            fitted(llama, wrong)


@pytest.mark.parametrize("needs", [{"room": 0}, {"ranks": "two"}, {"by_hand": "no"}])
def test_needs_are_judged(needs):
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(needs))} must be"):
        model_folder(**needs)


def test_a_printed_text_breaks_between_words():
    story = "Once upon a time, there was a well-known cat. " * 9
    lines = wrapped(story).split("\n")
    assert max(map(len, lines)) <= 80 < len(lines[0]) + len(lines[1].split()[0]) + 1, "as much as there is room for"
    assert " ".join(lines).split() == story.split()
    chinese, long_word = "从前，有一只小猫。" * 20, "a" * 99
    assert wrapped(f"{chinese}\n\n{long_word}\n") == f"{chinese}\n\n{long_word}\n"
    assert wrapped("a b c", width=3) == "a b\nc" and wrapped("") == ""
