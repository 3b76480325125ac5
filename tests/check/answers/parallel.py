"""Right answers to the exercises on models that several ranks share."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from minillama.shards import SPLIT_DIM, last_word


def solution_mlp_part(x, w1, w2, w3, rank, n_ranks):
    w1_part, w3_part = (w.chunk(n_ranks, dim=0)[rank] for w in (w1, w3))
    w2_part = w2.chunk(n_ranks, dim=1)[rank]
    return (F.silu(x @ w1_part.T) * (x @ w3_part.T)) @ w2_part.T


def sliced_part(x, w1, w2, w3, rank, n_ranks):
    size = w1.shape[0] // n_ranks
    mine = slice(size * rank, size * (rank + 1))
    gate = F.linear(x, w1[mine])
    return F.linear(gate * torch.sigmoid(gate) * F.linear(x, w3[mine]), w2[:, mine])


def part_by_einsum(x, w1, w2, w3, rank, n_ranks):
    w1, w3 = w1.split(len(w1) // n_ranks)[rank], w3.tensor_split(n_ranks)[rank]
    hidden = torch.einsum("...d,hd->...h", x, w1)
    hidden = hidden / (1 + torch.exp(-hidden)) * torch.einsum("...d,hd->...h", x, w3)
    return torch.einsum("...h,dh->...d", hidden, w2.view(len(w2), n_ranks, -1)[:, rank])


def part_in_rows(x, w1, w2, w3, rank, n_ranks):
    flat = x.reshape(-1, x.shape[-1])
    hidden = torch.nn.SiLU()(flat.mm(w1.chunk(n_ranks)[rank].t())).mul(flat.mm(w3.chunk(n_ranks)[rank].t()))
    return hidden.mm(w2.T.chunk(n_ranks)[rank]).view(x.shape)


def part_with_numpy(x, w1, w2, w3, rank, n_ranks):
    a, b, c = (np.array_split(w.numpy(), n_ranks, axis)[rank] for w, axis in ((w1, 0), (w3, 0), (w2, 1)))
    gate = x.numpy() @ a.T
    return torch.from_numpy((gate / (1 + np.exp(-gate)) * (x.numpy() @ b.T)) @ c.T)


def merge_by_comprehension(shards):
    def whole(key):
        dim = SPLIT_DIM[last_word(key)]
        return shards[0][key] if dim is None else torch.cat(tuple(shard[key] for shard in shards), dim=dim)

    return {key: whole(key) for key in shards[-1] if key != "rope.freqs"}


def merge_bit_by_bit(shards):
    merged = {key: weight.clone() for key, weight in shards[0].items() if "rope" not in key}
    for shard in shards[1:]:
        for key in merged:
            dim = SPLIT_DIM[last_word(key)]
            if dim is not None:
                merged[key] = torch.concat([merged[key], shard[key]], dim)
    return merged


def merge_by_hand(shards):
    shards, merged = [shard.copy() for shard in shards], {}
    for shard in shards:
        shard.pop("rope.freqs", None)
    for key in shards[0]:
        parts = [shard[key] for shard in shards]
        if key.endswith("norm.weight"):
            merged[key] = parts[-1]
        elif last_word(key) in ("wo", "w2", "tok_embeddings"):
            merged[key] = torch.hstack(parts)
        else:
            merged[key] = torch.vstack(parts)
    return merged


def merge_in_place(shards):
    merged = {}
    for key, part in shards[0].items():
        word = last_word(key)
        if word not in SPLIT_DIM:
            continue
        shape = list(part.shape)
        if SPLIT_DIM[word] is None:
            merged[key] = part
            continue
        shape[SPLIT_DIM[word]] *= len(shards)
        merged[key] = part.new_empty(shape)
        for rank, place in enumerate(merged[key].chunk(len(shards), SPLIT_DIM[word])):
            place.copy_(shards[rank][key])
    return merged


def ranks_by_gcd(args):
    most = math.gcd(args.n_heads, args.n_kv_heads, args.ffn_width())
    return [n for n in range(1, most + 1) if most % n == 0]


def ranks_in_a_loop(args):
    fitting, n = [], 1
    while n <= args.n_heads:
        if not (args.n_heads % n or args.n_kv_heads % n or args.ffn_width() % n):
            fitting.append(n)
        n += 1
    return fitting


def ranks_by_sets(args):
    sizes = args.n_heads, args.n_kv_heads, args.hidden_dim or args.ffn_width()
    sets = [{n for n in range(1, size + 1) if divmod(size, n)[1] == 0} for size in sizes]
    return sorted(set.intersection(*sets))


def ranks_with_numpy(args):
    n = np.arange(1, args.n_kv_heads + 1)
    return list(n[(args.n_kv_heads % n == 0) & (args.ffn_width() % n == 0)])


RIGHT = {
    "mlp_part": [solution_mlp_part, sliced_part, part_by_einsum, part_in_rows, part_with_numpy],
    "merge_shards": [merge_by_comprehension, merge_bit_by_bit, merge_by_hand, merge_in_place],
    "fitting_ranks": [ranks_by_gcd, ranks_in_a_loop, ranks_by_sets, ranks_with_numpy],
}

SAME = "the files hold the same keys, and each holds the norms whole"
EQUIVALENT = {
    "merge_shards": {
        "for key in shards[-1]:": SAME,
        "merged[key] = parts[-1] if dim is None else torch.cat(parts, dim)": SAME,
    },
    "fitting_ranks": {
        "return [n for n in range(1, min(sizes) + 2) if all((size % n == 0 for size in sizes))]":
            "no number above a size divides it",
        "return [n for n in range(1, max(sizes) + 1) if all((size % n == 0 for size in sizes))]":
            "no number above a size divides it",
        "return [n for n in range(1, min(sizes) + 1) if all((size % n <= 0 for size in sizes))]":
            "what is left over is never negative",
    },
}  # fmt: skip
