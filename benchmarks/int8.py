"""What 8 bits cost: the perplexity of the same texts before and after, and the bytes of weights that a token reads.

The texts are English stories from the corpus that no training has read. SmolLM2 reads them as well, if its file is here
(`make real-model`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, islice, product

import torch

from benchmarks.record import Record, parser
from minillama import COURSE_MODEL, Llama, smollm2
from minillama.int8 import to_int8
from minillama.logprobs import token_logprobs
from training.corpus.parts import documents


@torch.inference_mode()
def nats(llama: Llama, texts: list[str]) -> tuple[float, int]:
    """The sum of -ln p over all tokens that have one before them, and their number."""
    total, count = 0.0, 0
    for text in texts:
        ids = llama.tokenizer.encode(text, bos=True, eos=False)
        scores = token_logprobs(llama.logits([ids])[:, :-1], torch.tensor([ids[1:]]))  # (1, seqlen - 1)
        total, count = total - scores.sum().item(), count + scores.numel()
    return total, count


def weight_bytes(llama: Llama) -> int:
    """The bytes of weights that one step reads: all but the table of embeddings."""
    state = llama.model.state_dict()
    return sum(tensor.nbytes for name, tensor in state.items() if not name.startswith("tok_embeddings"))


def main(argv: Sequence[str] | None = None) -> None:
    options = parser("int8", __doc__)
    options.add_argument("--texts", type=int, default=40, metavar="N", help="stories to read (default: %(default)s)")
    args = options.parse_args(argv)
    texts = [document.texts[0] for document in islice(documents("stories_en", seed=1, held_out=True), args.texts)]
    paths = {"course": COURSE_MODEL, "smollm2": smollm2.find()}
    models = [name for name, path in paths.items() if path is not None]
    record = Record("int8", argv, [f"{args.texts} stories"])
    for name, rows in groupby(record.todo(product(models, ("float32", "int8"))), key=lambda row: row[0]):
        llama = Llama.build(paths[name], max_batch_size=1, device="cpu")
        for _, weights in rows:
            if weights == "int8":
                to_int8(llama.model)
            total, count = nats(llama, texts)
            perplexity = torch.tensor(total / count).exp().item()
            record.add({"model": name, "weights": weights, "perplexity": perplexity, "bytes": weight_bytes(llama)})
    if "smollm2" not in models:
        print(f"SmolLM2 was left out: its file is not here ({smollm2.HOW})")


if __name__ == "__main__":
    main()
