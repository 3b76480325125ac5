"""Every widget, with its own defaults, on models that are small in each way: context, vocabulary, rows, chat format."""

import pytest
import torch

from minillama import Llama, Tokenizer, widgets
from minillama.formats import in_format


def attention(llama):
    sizes = llama.model.params.n_layers, llama.model.params.n_heads
    return widgets.AttentionExplorer(llama.tokenizer.pieces([1, 2]), torch.ones(*sizes, 2, 2).tril() / 2)


MAKERS = {
    "AttentionExplorer": attention,
    "BeamView": lambda llama: widgets.BeamView(llama, ["a"]),
    "CacheView": lambda llama: widgets.CacheView(llama, "a"),
    "CanvasView": lambda llama: widgets.CanvasView(llama, ["a"]),
    "ChatPanel": widgets.ChatPanel,
    "ChatView": lambda llama: widgets.ChatView(llama, [{"role": "user", "content": "a"}]),
    "GenerateStepper": lambda llama: widgets.GenerateStepper(llama, ["a"]),
    "LogprobHeatmap": lambda llama: widgets.LogprobHeatmap(llama, ["a"]),
    "Predict": lambda llama: widgets.Predict("?", ["a"], "a"),
    "TemperatureExplorer": lambda llama: widgets.TemperatureExplorer(llama, ["a"]),
    "TokenView": lambda llama: widgets.TokenView(llama.tokenizer, "a 小猫"),
    "TopPExplorer": lambda llama: widgets.TopPExplorer(llama, ["a"]),
}


def test_none_is_left_out():
    assert MAKERS.keys() == {name for name in widgets.__all__ if not name.startswith("show_")}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("context", [3, 7, 12, 40])
def test_a_context_shorter_than_a_default(checkpoint, name, context):
    llama = Llama.build(checkpoint.folder, max_seq_len=context, max_batch_size=1, device="cpu")
    MAKERS[name](llama)


def test_a_default_is_as_large_as_there_is_room_for(checkpoint):
    lengths = {}
    for context in (5, 64):
        llama = Llama.build(checkpoint.folder, max_seq_len=context, max_batch_size=2, device="cpu")
        canvas, heat = widgets.CanvasView(llama, ["a"]), widgets.LogprobHeatmap(llama, ["a"])
        lengths[context] = canvas.max_gen_len.value, heat.max_gen_len
        with pytest.raises(ValueError, match=f"max_gen_len must be a whole number from 0 to {context}, got 99"):
            widgets.CanvasView(llama, ["a"], max_gen_len=99)
    assert lengths == {5: (5, 4), 64: (8, 20)}


@pytest.mark.parametrize("name", MAKERS)
def test_a_vocabulary_that_cannot_spell_a_text(random_llama, train_tokenizer, tmp_path, name):
    few = train_tokenizer(tmp_path, ["the cat sat on the mat"], 20, byte_fallback=False, hard_vocab_limit=False)
    llama = random_llama(tokenizer=Tokenizer(few))
    assert llama.tokenizer.sp_model.unk_id() in llama.tokenizer.encode("小猫", bos=False, eos=False)
    MAKERS[name](llama)


def test_without_a_chat_format_the_page_says_so(llama):
    plain = Llama(llama.model, in_format(llama.tokenizer, "none"))
    view, panel = MAKERS["ChatView"](plain), widgets.ChatPanel(plain)
    assert "chat_format" in view.view.value
    assert not panel.ask("Hi") and "chat_format" in panel.status.value
    with pytest.raises(ValueError, match="chat_format"):
        widgets.show_chat(plain, [{"role": "user", "content": "a"}])
