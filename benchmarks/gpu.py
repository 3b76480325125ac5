"""A 7B shape on an NVIDIA GPU: how close decoding comes to the memory's speed, and a prompt to the matrix units'.

Random weights in bfloat16, one row. Decoding: the bytes of weights and cache that a step reads, times steps a second,
compared with a plain copy on the same GPU. Prompt: 2 * weights of the layers * tokens operations, compared with one
large matrix product.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from benchmarks.compare import tokenizer_for
from benchmarks.context import cache_bytes, copy_bandwidth
from benchmarks.peers import SAMPLERS, minillama, transformers
from benchmarks.record import Record, parser
from minillama import Llama, ModelArgs, Transformer

SHAPE_7B = ModelArgs(dim=4096, n_layers=32, n_heads=32, vocab_size=32000, max_seq_len=4096)
PREFILL = 2048


def random_model() -> Transformer:
    with torch.device("meta"):
        model = Transformer(SHAPE_7B).to(torch.bfloat16)
    model = model.to_empty(device="cuda").requires_grad_(False)
    generator = torch.Generator("cuda").manual_seed(0)
    for parameter in model.parameters():
        parameter.normal_(std=0.02, generator=generator) if parameter.dim() == 2 else parameter.fill_(1.0)
    model.setup_cache(1, SHAPE_7B.max_seq_len)
    return model


def seconds(run: Callable[[], object], repeats: int = 5) -> float:
    """The shortest of some runs, after one that warms up."""
    times = []
    for _ in range(repeats + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def matrix_throughput(n: int = 8192) -> float:
    """Operations a second of a bfloat16 product of two (n, n) matrices."""
    a, b = (torch.randn(n, n, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    return 2 * n**3 / seconds(lambda: a @ b)


def main(argv: Sequence[str] | None = None) -> None:
    options = parser("gpu", __doc__)
    options.add_argument(
        "--new-tokens", type=int, default=128, metavar="N", help="tokens to generate (default: %(default)s)"
    )
    options.add_argument("--no-peer", action="store_true", help="leave transformers out")
    args = options.parse_args(argv)
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks.gpu needs an NVIDIA GPU that torch can use, and found none")
    model, tokenizer = random_model(), tokenizer_for(SHAPE_7B.vocab_size)
    llamas = {way: Llama(model, tokenizer, compile=way == "compile") for way in ("eager", "compile")}
    bandwidth, throughput = copy_bandwidth("cuda", mebibytes=4096), matrix_throughput()
    paces = f"a plain copy moves {bandwidth / 1e12:.2f} TB/s", f"a product makes {throughput / 1e12:.0f} TFLOP/s"
    record = Record("gpu", argv, [*paces, f"{args.new_tokens} new tokens"], "cuda")

    prompt = [list(range(3, 19))]
    weights = sum(p.nbytes for name, p in model.named_parameters() if not name.startswith("tok_embeddings"))
    read = weights + cache_bytes(model, len(prompt[0]) + args.new_tokens // 2)  # on average over the run
    decode, prefill = f"decode after {len(prompt[0])}", f"prompt of {PREFILL}"
    ways = [*llamas, *(["transformers"] if not args.no_peer else [])]
    keys = [(decode, way, sampler) for sampler in SAMPLERS for way in ways]
    for work, way, sampler in record.todo([*keys, (prefill, "eager", "–")]):
        if work == decode:
            run = transformers(llamas["eager"]) if way == "transformers" else minillama(llamas[way])
            took = [run(prompt, args.new_tokens, sampler).seconds for _ in range(6)][1:]  # the first warms up
            speed = (args.new_tokens - 1) / min(took)
            share = speed * read / bandwidth
        else:
            tokens = torch.randint(3, 30000, (1, PREFILL), device="cuda")  # (1, PREFILL)
            with torch.inference_mode():
                took = seconds(lambda tokens=tokens: model(tokens, 0, last_only=True))
            operations = 2 * sum(p.numel() for p in model.layers.parameters()) * PREFILL  # the output reads one token
            speed, share = PREFILL / took, operations / took / throughput
        record.add({"work": work, "way": way, "sampler": sampler, "speed": speed, "share": share})


if __name__ == "__main__":
    main()
