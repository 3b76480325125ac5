"""A prompt that cannot be run: each widget says the same where it was typed, and names the one that it was given."""

import pytest

from minillama.widgets import LogprobHeatmap, TemperatureExplorer, TopPExplorer
from minillama.widgets.labels import EN
from minillama.widgets.prompts import check_prompts, trouble

LONG = "Once " * 60


def test_typed_prompts_get_one_message(llama):
    n, most = len(llama.tokenizer.encode(LONG, bos=True, eos=False)), llama.model.params.max_seq_len
    message = trouble(llama, LONG, 1, EN)
    assert message == EN["prompt_long"].format(n=n, room=most - 1, max_seq_len=most)
    explorer, heatmap = TemperatureExplorer(llama, ["Once"]), LogprobHeatmap(llama, ["Once"])
    for typed, words in ((LONG, message), ("a\ud800", EN["surrogate"])):
        explorer.own, heatmap.prompts = typed, [typed, "Once"]
        assert explorer.typed["problem"] == heatmap.scored[0]["problem"] == words


@pytest.mark.parametrize(("max_gen_len", "room"), [(0, 0), (1, 1), (20, 1)])
def test_the_last_prompt_that_fits(llama, max_gen_len, room):
    def of(length):  # bos, the space that encode puts in front, and a token a digit
        return "1" * (length - 2)

    most = llama.model.params.max_seq_len - room
    assert len(llama.tokenizer.encode(of(most), bos=True, eos=False)) == most
    assert trouble(llama, of(most), max_gen_len, EN) == ""
    assert f"{most + 1} tokens" in trouble(llama, of(most + 1), max_gen_len, EN)


@pytest.mark.parametrize("widget", [TopPExplorer, TemperatureExplorer])
def test_given_prompts_are_named(llama, widget):
    with pytest.raises(ValueError, match=r"^prompts\[1\] has \d+ tokens, but max_seq_len is 96 .*shorten the prompt"):
        widget(llama, ["Once", LONG])
    check_prompts(llama, ["Once"] * 9)  # one after the other: more than max_batch_size
