"""The shipped model: its sizes, its files, and the very texts that it writes.

`python -m tests.test_course_model` records the texts anew after the model was trained again; read them first.
"""

import hashlib
import json
import re
from pathlib import Path

import pytest

from minillama import COURSE_MODEL, Llama, checkpoint

GOLDEN = Path(__file__).parent / "golden.json"
PROMPTS = ["Once upon a time", "Once there was a little fox", "从前，"]
MESSAGES = ["Hello!", "What is the opposite of big?", "What is 3 + 4?", "Tell me a story about a cat.", "你好！",
            "讲一个小猫的故事。", "写一首关于月的诗"]  # fmt: skip
SETTINGS = {"greedy": {"temperature": 0}, "sampled": {"temperature": 0.8, "top_p": 0.95, "seed": 1}}


def texts(llama: Llama) -> dict[str, dict[str, str]]:
    """What the model writes after each prompt and answers to each message, in float32 on the CPU."""
    written = {}
    for name, how in SETTINGS.items():
        completions = llama.text_completion(PROMPTS, max_gen_len=120, **how)
        answers = llama.chat_completion([[{"role": "user", "content": m}] for m in MESSAGES], max_gen_len=120, **how)
        written[name] = {p: result["generation"] for p, result in zip(PROMPTS, completions, strict=True)}
        written[name] |= {m: result["generation"]["content"] for m, result in zip(MESSAGES, answers, strict=True)}
    return written


@pytest.fixture(scope="module")
def course():
    return Llama.build(device="cpu")


def test_it_writes_the_recorded_texts(course):
    assert texts(course) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_it_is_small_and_grouped(course):
    args = course.model.params
    count = sum(parameter.numel() for parameter in course.model.parameters())
    assert 2e6 <= count <= 6e6
    assert args.n_kv_heads < args.n_heads
    assert args.max_seq_len >= 512
    assert (COURSE_MODEL / checkpoint.SHARD).stat().st_size <= 12 * 2**20
    assert {weight.kind for weight in checkpoint.read_weights(COURSE_MODEL).values()} == {"float16"}


def test_the_tokenizer_is_like_llama_2s(course):
    tokenizer = course.tokenizer
    assert (tokenizer.sp_model.unk_id(), tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2)
    for text in ("Once upon a time", " two  spaces ", "今天天气晴", "🦙", "<s>", "12345", "\n\t", ""):
        ids = tokenizer.encode(text, bos=False, eos=False)
        assert tokenizer.decode_bytes(ids).decode().removeprefix(" ") == text
        assert not {tokenizer.bos_id, tokenizer.eos_id} & set(ids)
    assert all(len(piece.lstrip("▁")) == 1 for piece in tokenizer.pieces(tokenizer.encode("12345", False, False))[1:])


def test_the_card_is_of_these_weights():
    card = (COURSE_MODEL / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert hashlib.sha256((COURSE_MODEL / checkpoint.SHARD).read_bytes()).hexdigest() in card


def test_stories_end_and_are_not_all_alike(course):
    prompts = ["Once upon a time", "从前，"] * 4
    results = course.text_completion(prompts, temperature=0.8, top_p=0.95, max_gen_len=300, seed=11)
    assert sum(result["finish_reason"] == "stop" for result in results) >= 7
    assert len({result["generation"] for result in results}) >= 7
    for result in results:
        assert re.search(r"[.!?\"”。！？]$", result["generation"].strip()) or result["finish_reason"] == "length"


if __name__ == "__main__":
    recorded = texts(Llama.build(device="cpu"))
    GOLDEN.write_text(json.dumps(recorded, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(GOLDEN.read_text(encoding="utf-8"))
