"""The same weights in minillama and in llama.cpp: equal ids and equal texts, whichever wrote the file?

The model is exported in Hugging Face's layout, llama.cpp's own converter makes a GGUF file of it, llama-quantize makes
it Q8_0, and llama-server and minillama's reader of GGUF files both run what comes out. The prompts, half of them
Chinese, are continued greedily. In float32 every text must be the same, and this command ends with 1 if one is not.
With Q8_0 llama.cpp rounds the activations to 8 bits too, minillama does not; there texts may part where two tokens are
almost equally probable. That both read the same numbers from the Q8_0 file is seen from q8_0-f32, which is the Q8_0
file turned back into float32 by llama.cpp.

llama.cpp is not part of this repository: benchmarks/README.md says how it is built.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from benchmarks.peers import LlamaServer, call, llama_cpp_source, quantize, to_gguf
from minillama import COURSE_MODEL, Llama
from minillama.chat import encode_dialog
from minillama.tokenizer import BaseTokenizer

TEXTS = (
    "Once upon a time, there was a little",
    "One day, Tom and his sister went to the park.",
    "The dog was very sad because",
    '"Can I help you?" asked the girl.',
    "It was raining, so Lily",
    "从前，有一只小猫",
    "有一天，小明和妹妹去公园玩。",
    "小狗很难过，因为",
    "“我可以帮你吗？”小女孩问。",
    "外面下着雨，所以",
)
QUESTIONS = (
    "Hello! Who are you?",
    "What do cats like to eat?",
    "Tell me a story about a bear.",
    "Why is the sky blue?",
    "你好！你是谁？",
    "小猫喜欢吃什么？",
    "讲一个小熊的故事。",
    "天空为什么是蓝色的？",
)
USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
DIALOGS = [[(USER, question)] for question in QUESTIONS] + [
    [(SYSTEM, "Answer in one short sentence."), (USER, "What is rain?"), (ASSISTANT, "Water."), (USER, "And snow?")],
    [(SYSTEM, "用一句话回答。"), (USER, "雨是什么？"), (ASSISTANT, "是水。"), (USER, "雪呢？")],
]
ODD = (  # encoded, not continued
    " two  spaces, a\ttab\nand a new line \n\n",
    "2026-11-30: 3.14159 × 2 = 6,28318",
    "naïve café, Ελλάδα, Россия, ½, ①, ﬁ, Ａ",
    "🙂👩‍👩‍👧 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 龘靐齉",
    "def f(x):\n    return x  # [1, 2]\n",
    "▁ is sentencepiece's sign",
    "全角　空格，“引号”……《书》",
)


class Run(NamedTuple):
    """One prompt continued greedily, with a number for each of the ids."""

    ids: list[int]  # with the one that ended the row, where it ended before the limit
    text: str
    logprobs: list[float | None]  # None where it is not told
    gaps: list[float | None]  # log p of the best token less that of the second


class Server(LlamaServer):
    """llama-server with one model, asked for ids, answers and log-probabilities."""

    def encode(self, text: str, special: bool = False) -> list[int]:
        """Ids of a text, with bos; special: "<s>" is a token, as in what a template has laid out."""
        return self.ask("tokenize", content=text, add_special=True, parse_special=special)["tokens"]

    def encode_dialog(self, dialog: list[dict]) -> list[int]:
        """Ids of a dialog, laid out by the template in the file."""
        return self.encode(self.ask("apply-template", messages=dialog)["prompt"], special=True)

    def answer(self, dialog: list[dict], new_tokens: int) -> str:
        reply = self.ask("v1/chat/completions", messages=dialog, temperature=0, max_tokens=new_tokens)
        return reply["choices"][0]["message"]["content"]

    def run(self, prompt: list[int], new_tokens: int, tokenizer: BaseTokenizer) -> Run:
        how = {"temperature": 0, "n_predict": new_tokens, "n_probs": 2, "return_tokens": True}
        reply = self.ask("completion", prompt=prompt, **how)
        told = iter(reply["completion_probabilities"])
        steps = [next(told, None) if whole else None for whole in ends_whole(tokenizer, reply["tokens"])]
        logprobs = [step and step["logprob"] for step in steps]
        best = [step and [each["logprob"] for each in step["top_logprobs"]] for step in steps]
        return Run(reply["tokens"], reply["content"], logprobs, [pair and pair[0] - pair[1] for pair in best])


def ends_whole(tokenizer: BaseTokenizer, ids: list[int]) -> list[bool]:
    """For each id, whether a whole character ends there: llama-server tells log p nowhere else.

    It looks for a first byte, among the last three, that asks for more bytes than there are.
    """
    text, whole = b"", []
    for i in ids:
        text += tokenizer.token_bytes(i)
        last = enumerate(reversed(text[-3:]), 1)
        asked = [(n, 2 + (byte >= 0xE0) + (byte >= 0xF0)) for n, byte in last if 0xC0 <= byte < 0xF8]
        whole.append(all(n >= size for n, size in asked))
    return whole


def run_ours(llama: Llama, prompt: list[int], new_tokens: int) -> Run:
    (ids,), _ = llama.generate([prompt], new_tokens, temperature=0)
    text = llama.tokenizer.decode_bytes(ids).decode(errors="replace")
    scores = llama.logits([prompt + ids])[0, len(prompt) - 1 :].log_softmax(-1)[:new_tokens]  # (len, vocab_size)
    best = scores.topk(2)
    ids = [*ids, *best.indices[len(ids) :, 0].tolist()]
    logprobs = scores[torch.arange(len(ids)), ids].tolist()
    return Run(ids, text, logprobs, (best.values[:, 0] - best.values[:, 1]).tolist())


def first_difference(a: Sequence[int], b: Sequence[int]) -> int | None:
    """Where two lists part; None if they are equal.

    >>> first_difference([1, 2], [1, 3]), first_difference([1], [1, 2]), first_difference([1], [1])
    (1, 1, None)
    """
    if list(a) == list(b):
        return None
    return next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def convert(model: str, binaries: Path, folder: Path) -> dict[str, Path]:
    """Write hf/ and three GGUF files to `folder`: f32, q8_0, and q8_0-f32, the numbers of q8_0 as float32."""
    files = {name: folder / f"{name}.gguf" for name in ("f32", "q8_0", "q8_0-f32")}
    export = [sys.executable, "-m", "minillama", "convert", "--model", model, folder / "hf", "--format", "hf"]
    call(export, folder / "hf.log")
    to_gguf(folder / "hf", files["f32"], binaries)
    quantize(binaries, files["f32"], files["q8_0"], "Q8_0")
    quantize(binaries, files["q8_0"], files["q8_0-f32"], "F32")
    return files


def show(row: Sequence[str]) -> None:
    tqdm.write(f"| {' | '.join(row)} |", file=sys.stdout)


def show_ids(what: str, ours: Sequence[list[int]], theirs: Sequence[list[int]], texts: Sequence) -> bool:
    """A row of the first table. Returns whether all ids are equal."""
    pairs = zip(ours, theirs, strict=True)
    parted = [(k, first_difference(a, b)) for k, (a, b) in enumerate(pairs) if a != b]
    where = ", ".join(f"at token {at + 1} of {texts[k]!r:.60}" for k, at in parted[:3])
    show([what, f"{len(texts) - len(parted)} of {len(texts)}", where])
    return not parted


def show_runs(a: str, b: str, runs: dict[str, list[Run]]) -> bool:
    """A row of the second table. Returns whether all texts are equal."""
    parted, apart = [], [0.0]
    for k, (x, y) in enumerate(zip(runs[a], runs[b], strict=True), 1):
        at = first_difference(x.ids, y.ids)
        if at is not None:
            parted.append(f"prompt {k} at token {at + 1} ({gap(x, at)} and {gap(y, at)})")
        elif text_of(x.text) != text_of(y.text):
            parted.append(f"prompt {k}, of the same ids")
        pairs = zip(x.logprobs[:at], y.logprobs[:at], strict=True)
        apart += [abs(p - q) for p, q in pairs if p is not None and q is not None]
    show([a, b, f"{len(runs[a]) - len(parted)} of {len(runs[a])}", f"{max(apart):.1e}", "; ".join(parted)])
    return not parted


def gap(run: Run, at: int) -> str:
    if at >= len(run.ids):
        return "it has ended"
    return "not told" if run.gaps[at] is None else f"{run.gaps[at]:.4f}"


def show_answers(what: str, ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """A row of the first table, for texts. Returns whether all are equal."""
    parted = [k for k, (a, b) in enumerate(zip(ours, theirs, strict=True)) if text_of(a) != text_of(b)]
    show([what, f"{len(ours) - len(parted)} of {len(ours)}", ", ".join(f"dialog {k + 1}" for k in parted)])
    return not parted


def text_of(text: str) -> str:
    """Without the space around it, and without the half of a character that the limit has left at its end."""
    return text.rstrip("\ufffd").strip()


def compare(models: dict[str, str | Path], binaries: Path, new_tokens: int, threads: int, folder: Path) -> bool:
    """Print both tables. Returns whether everything is equal that must be."""
    llamas = {name: Llama.build(path, dtype=torch.float32, device="cpu") for name, path in models.items()}
    original = llamas["original"]
    dialogs = [[{"role": role, "content": text} for role, text in dialog] for dialog in DIALOGS]
    texts = [*TEXTS, *ODD]
    ids = [original.tokenizer.encode(text, bos=True, eos=False) for text in texts]
    laid_out = [encode_dialog(original.tokenizer, dialog) for dialog in dialogs]
    prompts = ids[: len(TEXTS)] + laid_out
    names = [name for name in models if name != "original"]
    runs, right = {}, []

    print("| what | equal | differs |\n|---|---|---|")
    for name in names:
        tokenizer = llamas[name].tokenizer
        own = [tokenizer.encode(text, bos=True, eos=False) for text in texts]
        right += [show_ids(f"{name} in minillama: ids of texts", ids, own, texts)]
        own = [encode_dialog(tokenizer, dialog) for dialog in dialogs]
        right += [show_ids(f"{name} in minillama: ids of dialogs", laid_out, own, dialogs)]
        with Server(binaries / "llama-server", Path(models[name]), threads, folder / "server.log") as server:
            theirs = [server.encode(text) for text in texts]
            right += [show_ids(f"{name} in llama.cpp: ids of texts", ids, theirs, texts)]
            theirs = [server.encode_dialog(dialog) for dialog in dialogs]
            right += [show_ids(f"{name} in llama.cpp: ids of dialogs", laid_out, theirs, dialogs)]
            if name == "f32":
                how = {"temperature": 0, "max_gen_len": new_tokens}
                answers = [original.chat_completion([dialog], **how)[0]["generation"]["content"] for dialog in dialogs]
                theirs = [server.answer(dialog, new_tokens) for dialog in dialogs]
                right += [show_answers("f32 in llama.cpp: answers of its chat endpoint", answers, theirs)]
            runs[f"llama.cpp {name}"] = [
                server.run(p, new_tokens, original.tokenizer) for p in tqdm(prompts, f"llama.cpp {name}")
            ]
    for name in ("original", "f32", "q8_0"):
        bar = tqdm(prompts, f"minillama {name}")
        runs[f"minillama {name}"] = [run_ours(llamas[name], p, new_tokens) for p in bar]

    print("\n| this | against | equal texts | most that log p is apart | where (gaps to the second token) |")
    print("|---|---|---|---|---|")
    right += [show_runs("minillama original", "minillama f32", runs)]
    right += [show_runs("minillama original", "llama.cpp f32", runs)]
    right += [show_runs("minillama q8_0", "llama.cpp q8_0-f32", runs)]
    show_runs("minillama q8_0", "llama.cpp q8_0", runs)
    show_runs("llama.cpp q8_0-f32", "llama.cpp q8_0", runs)
    show_runs("minillama original", "minillama q8_0", runs)
    return all(right)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.llama_cpp", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("binaries", type=Path, help="the folder with llama-server and llama-quantize, such as build/bin")
    add("--model", default=str(COURSE_MODEL), metavar="PATH", help="what to compare (default: the course model)")
    add("--new-tokens", type=int, default=64, metavar="N", help="tokens to generate (default: %(default)s)")
    add("--threads", type=int, default=1, metavar="N", help="threads of llama-server (default: %(default)s)")
    add("--folder", type=Path, metavar="FOLDER", help="keep the files that are made in this new folder")
    args = parser.parse_args(argv)
    try:
        llama_cpp_source(args.binaries)
    except ValueError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        files = convert(args.model, args.binaries, folder)
        right = compare({"original": args.model} | files, args.binaries, args.new_tokens, args.threads, folder)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
