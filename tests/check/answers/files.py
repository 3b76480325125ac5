"""Right answers to the exercises on checkpoint files."""

import json

import torch

from minillama.model import ModelArgs, Transformer


def reads_at_once(path):
    return ModelArgs(**json.loads(path.read_text(encoding="utf-8")))


def closes_in_finally(path):
    f = open(path, "rb")
    try:
        fields = json.load(f)
    finally:
        f.close()
    return ModelArgs(**fields)


def reads_by_hand(path):
    try:
        with path.open() as f:
            fields = json.loads("".join(line for line in f))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    known = {key: value for key, value in fields.items() if value is not None}
    return ModelArgs(**known)


def count_in_a_loop(args):
    total = 2 * args.vocab_size * args.dim + args.dim
    for _ in range(args.n_layers):
        total += args.dim * args.n_heads * args.head_dim * 2
        total += args.dim * args.n_kv_heads * args.head_dim * 2
        for _ in ("w1", "w2", "w3"):
            total += args.ffn_width() * args.dim
        total += args.dim + args.dim
    return total


def count_by_key(args):
    kv, hidden = args.dim // args.n_heads * args.n_kv_heads, args.ffn_width()
    layer = {"wq": (args.dim, args.dim), "wk": (kv, args.dim), "wv": (kv, args.dim), "wo": (args.dim, args.dim)}
    layer |= {"w1": (hidden, args.dim), "w2": (args.dim, hidden), "w3": (hidden, args.dim), "norms": (2, args.dim)}
    once = {"tok_embeddings": (args.vocab_size, args.dim), "output": (args.vocab_size, args.dim), "norm": (1, args.dim)}
    return args.n_layers * sum(a * b for a, b in layer.values()) + sum(a * b for a, b in once.values())


def count_on_meta(args):
    with torch.device("meta"):
        return sum(weight.numel() for weight in Transformer(args).parameters())


def solution_load(args, path):
    weights = torch.load(path, map_location="cpu", weights_only=True)
    weights.pop("rope.freqs", None)
    model = Transformer(args)
    model.load_state_dict(weights, strict=True)
    return model


def load_on_meta(args, path):
    weights = torch.load(str(path), mmap=True, weights_only=True)
    weights = {key: tensor for key, tensor in weights.items() if key != "rope.freqs"}
    with torch.device("meta"):
        model = Transformer(args)
    model.load_state_dict(weights, assign=True)
    return model


def load_by_hand(args, path):
    with open(path, "rb") as file:
        weights = torch.load(file, weights_only=True)
    if "rope.freqs" in weights:
        del weights["rope.freqs"]
    model = Transformer(args).eval()
    own = dict(model.named_parameters())
    if own.keys() != weights.keys():
        raise KeyError(f"these do not fit: {own.keys() ^ weights.keys()}")
    with torch.no_grad():
        for key, parameter in own.items():
            parameter.copy_(weights[key])
    return model


def load_and_look(args, path):
    weights = torch.load(path, weights_only=True)
    model = Transformer(args).half()
    missing, surplus = model.load_state_dict(weights, strict=False)
    assert not missing and set(surplus) <= {"rope.freqs"}, (missing, surplus)
    return model


RIGHT = {
    "read_params": [reads_at_once, closes_in_finally, reads_by_hand],
    "count_parameters": [count_in_a_loop, count_by_key, count_on_meta],
    "load_model": [solution_load, load_on_meta, load_by_hand, load_and_look],
}

EQUIVALENT = {
    "read_params": {"with open(path) as f:": "json.dumps writes ASCII, which every encoding reads alike"},
    "load_model": {"weights = torch.load(path)": "weights_only is True by default from torch 2.6 on"},
}
