"""What 8 bits cost: perplexity of the same texts before and after, and the bytes that a token reads.

python -m benchmarks.int8 [--texts 100]

The texts are English stories of the corpus that no training has read. The real model (SmolLM2) reads them as well,
where its file is at hand (`make real-model`).
"""

from __future__ import annotations

import argparse
from itertools import islice

import torch

from minillama import COURSE_MODEL, Llama, smollm2
from minillama.int8 import to_int8
from minillama.logprobs import token_logprobs
from training.corpus.parts import documents


@torch.inference_mode()
def nats(llama: Llama, texts: list[str]) -> tuple[float, int]:
    """The sum of -ln p over all tokens of the texts, and how many these are; the first of a text is not asked for."""
    total, count = 0.0, 0
    for text in texts:
        ids = torch.tensor([llama.tokenizer.encode(text, bos=True, eos=False)])  # (1, seqlen)
        scores = token_logprobs(llama.model(ids, 0)[:, :-1], ids[:, 1:])  # (1, seqlen - 1)
        total, count = total - scores.sum().item(), count + scores.numel()
    return total, count


def weight_bytes(llama: Llama) -> int:
    """What one token's step reads of the weights: everything but the table of embeddings."""
    state = llama.model.state_dict()
    return sum(tensor.nbytes for name, tensor in state.items() if not name.startswith("tok_embeddings"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=100)
    args = parser.parse_args()
    texts = [document.texts[0] for document in islice(documents("stories_en", seed=1, held_out=True), args.texts)]
    models = {"course": COURSE_MODEL, "smollm2": smollm2.find()}
    print("| model | weights | perplexity | MiB read a token |\n|---|---|---|---|")
    for name, path in models.items():
        if path is None:
            print(f"| {name} | its file is not here: {smollm2.HOW} | | |")
            continue
        llama = Llama.build(path, max_batch_size=1, device="cpu")
        for kind in ("float32", "int8"):
            if kind == "int8":
                to_int8(llama.model)
            total, count = nats(llama, texts)
            perplexity = torch.tensor(total / count).exp().item()
            print(f"| {name} | {kind} | {perplexity:.3f} | {weight_bytes(llama) / 2**20:.1f} |", flush=True)


if __name__ == "__main__":
    main()
