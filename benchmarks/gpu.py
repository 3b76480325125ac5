"""A 7B shape on an NVIDIA GPU: how near decode comes to the memory's pace, and prefill to that of the matrix units.

python -m benchmarks.gpu [--new-tokens 128] [--no-peer]

Random weights in bfloat16, one row. Decode: bytes of weights and cache that a step reads, times steps a second, against
a plain copy on the same GPU. Prefill: 2 * weights of the layers * tokens operations, against one large matrix product.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from benchmarks.compare import SAMPLERS, machine, ours, stretched, theirs
from benchmarks.context import cache_bytes, copy_bandwidth
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
    """The best of some runs, after one that warms up."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--no-peer", action="store_true", help="without transformers, where it is not installed")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks.gpu needs an NVIDIA GPU that torch can use; there is none here")
    model, tokenizer = random_model(), stretched(SHAPE_7B.vocab_size)
    llamas = {way: Llama(model, tokenizer, compile=way == "compile") for way in ("eager", "compile")}
    bandwidth, throughput = copy_bandwidth("cuda", mebibytes=4096), matrix_throughput()
    where = torch.cuda.get_device_name() if args.no_peer else machine("cuda")
    print(f"{where}; a copy moves {bandwidth / 1e12:.2f} TB/s, a product makes {throughput / 1e12:.0f} TFLOP/s")

    prompt = [list(range(3, 19))]
    weights = sum(p.nbytes for name, p in model.named_parameters() if not name.startswith("tok_embeddings"))
    read = weights + cache_bytes(model, len(prompt[0]) + args.new_tokens // 2)  # in the mean over the run
    print("\n| decode | sampler | tok/s | of the copy's pace |\n|---|---|---|---|")
    for sampler in SAMPLERS:
        runs = {way: ours(llama, prompt, args.new_tokens, sampler) for way, llama in llamas.items()}
        if not args.no_peer:
            runs["transformers"] = theirs(llamas["eager"], prompt, args.new_tokens, sampler)
        for way, run in runs.items():
            pace = args.new_tokens / seconds(run)
            print(f"| {way} | {sampler} | {pace:.1f} | {pace * read / bandwidth:.0%} |", flush=True)

    tokens = torch.randint(3, 30000, (1, PREFILL), device="cuda")
    with torch.inference_mode():
        took = seconds(lambda: model(tokens, 0, last_only=True))
    operations = 2 * sum(p.numel() for p in model.layers.parameters()) * PREFILL  # the output reads one token alone
    print(f"\nprefill of {PREFILL}: {PREFILL / took:,.0f} tok/s, {operations / took / throughput:.0%} of the product's")


if __name__ == "__main__":
    main()
