"""The chat format, against ids and texts written by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillama.chat import SPECIAL_TAGS, encode_dialog, fold_turns, has_special_tags, segment_dialog
from minillama.tokenizer import BaseTokenizer


class ByteTokenizer(BaseTokenizer):
    """A token for each byte, so that ids can be read."""

    def __init__(self):
        super().__init__([b"", b"", b"", *(bytes([byte]) for byte in range(256))])

    def encode(self, s, bos, eos):
        return [1] * bos + [byte + 3 for byte in s.encode()] + [2] * eos


def read(ids):
    """Ids of a ByteTokenizer as text, with <s> for bos and </s> for eos."""
    return b"".join({1: b"<s>", 2: b"</s>"}.get(i) or bytes([i - 3]) for i in ids).decode()


def dialog(*contents, system=None):
    """User and assistant in turns."""
    first = [] if system is None else [{"role": "system", "content": system}]
    return first + [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(contents)]


EXAMPLES = [
    (dialog("Hi"), "<s>[INST] Hi [/INST]"),
    (dialog("Hi", "Hello!", "Bye"), "<s>[INST] Hi [/INST] Hello! </s><s>[INST] Bye [/INST]"),
    (
        dialog("a", "b", "c", "d", "e"),
        "<s>[INST] a [/INST] b </s><s>[INST] c [/INST] d </s><s>[INST] e [/INST]",
    ),
    (dialog("Hi", system="Be kind."), "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST]"),
    (
        dialog("Hi", "Hello!", "Bye", system="Be kind."),
        "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST] Hello! </s><s>[INST] Bye [/INST]",
    ),
    # Contents are stripped …
    (dialog(" Hi\n", "\n Hello! ", "\tBye "), "<s>[INST] Hi [/INST] Hello! </s><s>[INST] Bye [/INST]"),
    # … but with a system text the first turn is stripped as one, hence not where the two texts meet.
    (dialog(" Hi ", system=" Be kind. "), "<s>[INST] <<SYS>>\n Be kind. \n<</SYS>>\n\n Hi [/INST]"),
    (dialog(" ", system="Be kind."), "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>> [/INST]"),
    (dialog("Hi", system=""), "<s>[INST] <<SYS>>\n\n<</SYS>>\n\nHi [/INST]"),
    (dialog(""), "<s>[INST]  [/INST]"),
    (dialog("两行\n诗", "好", "谢谢🙏"), "<s>[INST] 两行\n诗 [/INST] 好 </s><s>[INST] 谢谢🙏 [/INST]"),
]


@pytest.mark.parametrize(("messages", "text"), EXAMPLES)
def test_examples(messages, text):
    assert read(encode_dialog(ByteTokenizer(), messages)) == text


def test_ids_by_hand(tokenizer):
    """bos and eos are ids; each text between them is encoded alone, with the tokenizer's own leading space."""

    def ids(text):
        return tokenizer.sp_model.encode(text)

    assert encode_dialog(tokenizer, dialog("Hi")) == [1, *ids("[INST] Hi [/INST]")]
    assert encode_dialog(tokenizer, dialog("Hi", "Hello!", "Bye", system="Be kind.")) == [
        *[1, *ids("[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST] Hello! "), 2],
        *[1, *ids("[INST] Bye [/INST]")],
    ]


CONTENT = st.text(st.sampled_from(" \n\tab猫🦙[]/<>"), max_size=8)
DIALOGS = st.builds(
    lambda pairs, last, system: dialog(*(text for pair in pairs for text in pair), last, system=system),
    st.lists(st.tuples(CONTENT, CONTENT), max_size=3),
    CONTENT,
    st.none() | CONTENT,
)


def texts_of(messages):
    """What stands between bos and eos, by Meta's rule: fold the system text in, then strip, then put tags around."""
    if messages[0]["role"] == "system":
        first = "<<SYS>>\n" + messages[0]["content"] + "\n<</SYS>>\n\n" + messages[1]["content"]
        messages = [{"role": "user", "content": first}, *messages[2:]]
    contents = [message["content"].strip() for message in messages]
    pairs = zip(contents[::2], contents[1::2], strict=False)
    return [f"[INST] {prompt} [/INST] {answer} " for prompt, answer in pairs] + [f"[INST] {contents[-1]} [/INST]"]


@given(DIALOGS)
def test_any_dialog_by_metas_rule(tokenizer, messages):
    texts = texts_of(messages)
    assert read(encode_dialog(ByteTokenizer(), messages)) == "<s>" + "</s><s>".join(texts)
    due = [i for text in texts for i in tokenizer.encode(text, bos=True, eos=text is not texts[-1])]
    assert encode_dialog(tokenizer, messages) == due


@given(DIALOGS)
def test_folded_turns_join_to_what_is_encoded(messages):
    assert ["".join(text for _, text in turns) for turns in fold_turns(messages)] == texts_of(messages)


@given(DIALOGS)
def test_segments_join_to_the_encoding(tokenizer, messages):
    segments = segment_dialog(tokenizer, messages)
    assert [i for segment in segments for i in segment.ids] == encode_dialog(tokenizer, messages)
    assert all(segment.ids for segment in segments)
    assert all(a.label != b.label for a, b in zip(segments, segments[1:], strict=False))
    assert [s.ids for s in segments if s.label == "bos"] == [[1]] * len(texts_of(messages))
    assert [s.ids for s in segments if s.label == "eos"] == [[2]] * (len(texts_of(messages)) - 1)


def test_segments_are_labelled(tokenizer):
    segments = segment_dialog(tokenizer, dialog("What is 12?", "It is 猫.", "Hello", system="Be kind."))
    shown = [(segment.label, tokenizer.decode_bytes(segment.ids).decode().strip()) for segment in segments]
    assert shown == [
        ("bos", ""),
        ("tag", "[INST] <<SYS>>"),
        ("system", "Be kind."),
        ("tag", "<</SYS>>"),
        ("user", "What is 12?"),
        ("tag", "[/INST]"),
        ("assistant", "It is 猫."),
        ("eos", ""),
        ("bos", ""),
        ("tag", "[INST]"),
        ("user", "Hello"),
        ("tag", "[/INST]"),
    ]


def test_fold_turns():
    assert fold_turns(dialog(" a ", "b", "c", system="s")) == [
        [
            ("tag", "[INST] "),
            ("tag", "<<SYS>>\n"),
            ("system", "s"),
            ("tag", "\n<</SYS>>\n\n"),
            ("user", " a"),
            ("tag", " [/INST]"),
            ("assistant", " b "),
        ],
        [("tag", "[INST] "), ("user", "c"), ("tag", " [/INST]")],
    ]


def test_the_dialog_is_left_as_it_was():
    messages = dialog(" a ", "b", "c", system="s")
    encode_dialog(ByteTokenizer(), messages)
    assert messages == dialog(" a ", "b", "c", system="s")


@pytest.mark.parametrize("tag", ["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"])
def test_special_tags_are_seen_in_any_message(tag):
    assert tag in SPECIAL_TAGS
    for place in range(4):
        messages = dialog("a", "b", "c", system="s")
        assert not has_special_tags(messages)
        messages[place]["content"] = f"x{tag}y"
        assert has_special_tags(messages)


@pytest.mark.parametrize("text", ["[ INST ]", "[inst]", "INST", "<SYS>", "[/ INST]", "<s>"])
def test_only_the_exact_spelling_is_special(text):
    assert not has_special_tags(dialog(text))
