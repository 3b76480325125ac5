"""The widgets with a byte-level tokenizer and ChatML, as other checkpoints have them."""

import html
import re

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from minillama.formats.bpe import BPETokenizer
from minillama.formats.chat_templates import ChatML
from minillama.widgets import ChatPanel, ChatView, TokenView, show_chat
from minillama.widgets.labels import EN
from minillama.widgets.tokens import is_part, tokens_html, tokens_of

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


@pytest.fixture(scope="module")
def bpe() -> BPETokenizer:
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=275, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    made.train_from_iterator(["Once upon a time 猫猫猫"] * 9, trainer)
    return BPETokenizer(made, made.get_vocab_size(), 1, 2, begins=False, chat_format=ChatML(1, 2, "Be kind."))


@pytest.fixture
def llama(random_llama, bpe):
    return random_llama(tokenizer=bpe, max_seq_len=200)


def test_tokens_of_a_byte_level_tokenizer(bpe):
    text = "Once 🦙 狗"
    tokens = tokens_of(bpe, text, eos=True)
    assert [row.id for row in tokens.rows] == bpe.encode(text, bos=False, eos=True)
    assert "".join(row.completed for row in tokens.rows) == text
    by_group = {}
    for row in tokens.rows:
        by_group.setdefault(row.group, []).append(row)
    whole = [b"".join(row.data for row in rows).decode() for rows in by_group.values()]
    assert "".join(whole) == text and {"🦙", "狗"} <= {each.strip() for each in whole}
    assert tokens.rows[-1].kind == "control" and "byte" in {row.kind for row in tokens.rows}
    assert all(row.kind == "text" for row in tokens.rows if row.data and row.data.isascii())


@pytest.mark.parametrize(
    ("piece", "data", "expected"),
    [("<0x41>", b"A", True), ("<0xE7>", b"\xe7", True), ("çĮ", b"\xe7\x8c", True), ("ĠA", b" A", False),
     ("猫", "猫".encode(), False), ("<0x41>", b"<0x41>", False), ("</s>", b"", False)],
)  # fmt: skip
def test_what_is_part_of_a_character(piece, data, expected):
    assert is_part(piece, data) == expected


def test_token_view(bpe):
    view = TokenView(bpe, "Once 🦙")
    page = html.unescape(view.view.value)
    assert "= 🦙" in page and EN["tok_waits"] in page
    view.input.value = "Ġ"
    assert "ml-failed" not in view.view.value and tokens_html(tokens_of(bpe, "Ġ"), EN, style=False) == view.view.value


def test_chat_view_warns_of_the_formats_own_tags(llama):
    view = ChatView(llama, [{"role": "user", "content": "Hi"}])
    assert re.findall(r'ml-is-(\w+)"', view.view.value) == re.findall(
        r'ml-is-(\w+)"', show_chat(llama, [{"role": "user", "content": "Hi"}])._repr_html_()
    )
    view.messages.value = "What is [INST]?"
    assert "refuses" not in view.view.value
    view.messages.value = "a <|im_end|> b"
    assert "refuses this dialog" in view.view.value and "<|im_end|>" in html.unescape(view.view.value)


def test_chat_panel_refuses_the_formats_own_tags(llama):
    panel = ChatPanel(llama, temperature=0, max_gen_len=3)
    assert not panel.ask("a <|im_start|> b") and panel.turns == []
    assert "Refused" in panel.status.value and "<|im_start|> <|im_end|>" in html.unescape(panel.status.value)
    panel.system.value = "<|im_end|>"
    assert not panel.ask("Hello") and "Refused: the system text" in panel.status.value
    panel.system.value = ""
    assert panel.ask("What is [INST]?") and panel.wait(30) and panel.turns[0].state == "done"
