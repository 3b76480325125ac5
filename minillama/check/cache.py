"""Checks of the exercises on the key-value cache."""

import torch

from minillama.check.exercise import Swap, Watched, exercise, swap, swaps
from minillama.model import ModelArgs, Transformer


def right_cache_bytes(args, bsz, seqlen, bytes_per_number):
    """f(args, bsz, seqlen, bytes_per_number): the bytes of all keys and values, an int."""
    numbers = 2 * args.n_layers * args.n_kv_heads * args.head_dim
    return bsz * seqlen * numbers * bytes_per_number


_SIZE, _BSZ, _KV, _ALL = "bytes_per_number", "args.max_batch_size", "args.n_kv_heads", "args.n_heads"
COUNTS = {  # mistakes in what one position of one row takes
    "Keys and values are stored, each in its own tensor: twice as much.": swap("2 * ", ""),
    "That is one layer. Each of the n_layers layers has its own cache.": swap("args.n_layers * ", ""),
    "Only keys and values are stored: 2 tensors per layer.": [swap("2 * ", "3 * "), swap("2 * ", "4 * ")],
    "Keys and values both have n_kv_heads heads of head_dim numbers: not n_heads, not dim.":
        [*swaps(_KV, _ALL, f"({_ALL} // {_KV})"), *(swap("2 * ", "", _KV, x) for x in (_ALL, f"({_KV} + {_ALL})"))],
    "That is one head. There are n_kv_heads of them.": swap("args.n_kv_heads * ", ""),
    "n_heads times too much: n_kv_heads heads, each of head_dim = dim // n_heads.": swap("head_dim", "dim"),
    "Each head has head_dim numbers. That factor is missing.": swap(" * args.head_dim", ""),
    "These are numbers, not bytes: times bytes_per_number.": swap(f" * {_SIZE}", ""),
    "Use bytes_per_number as given, not another size.": [swap(_SIZE, "4"), swap(_SIZE, "2")],
    "bytes_per_number is in bytes: remove the 8.": [swap(_SIZE, f"{_SIZE} {x} 8") for x in ("*", "/", "//")],
    "Do not divide: expected bytes, not kilobytes or gigabytes.":
        [swap(_SIZE, f"{_SIZE} {x} {k}**{n}") for x in ("/", "//") for k in (1000, 1024) for n in (1, 2, 3)],
}  # fmt: skip

cache_bytes = exercise(
    right_cache_bytes,
    cases={
        "3 of 15 heads, 7 rows of 11": (ModelArgs(dim=690, n_layers=5, n_heads=15, n_kv_heads=3), 7, 11, 4),
        "7 of 21 heads, 2 rows of 19, float16": (ModelArgs(dim=462, n_layers=13, n_heads=21, n_kv_heads=7), 2, 19, 2),
        "one row of 100, the sizes of Llama 2 7B": (ModelArgs(), 1, 100, 2),
    },
    mistakes={
        "That is one row. There are bsz of them.": swap("bsz * ", ""),
        "That is one position of each row. There are seqlen of them.": swap("seqlen * ", ""),
        "That is one position of one row. There are bsz * seqlen of them.": swap("bsz * seqlen * ", ""),
        "Count bsz rows of seqlen positions, not all that args allows.":
            [swap("bsz", _BSZ), swap("seqlen", "args.max_seq_len"), swap("bsz", _BSZ, "seqlen", "args.max_seq_len")],
        "There are seqlen positions, all stored.": [swap("seqlen", x) for x in ("(seqlen - 1)", "(seqlen + 1)")],
        **COUNTS,
    },
)  # fmt: skip


def right_cache_mask(start_pos, seqlen):
    """f(start_pos, seqlen): bool (seqlen, start_pos + seqlen), True where a query may look."""
    mask = torch.ones(seqlen, start_pos + seqlen, dtype=torch.bool).tril(start_pos)
    return mask


def gives(text: str) -> Swap:
    return swap("return mask", f"return {text}")


_TRIL, _OLD = "tril(start_pos)", "mask[:1].tril(start_pos - 1)"
cache_mask = exercise(
    right_cache_mask,
    cases={
        "three old tokens, two new ones": (3, 2),
        "two old tokens, five new ones": (2, 5),
        "start_pos = 0: the causal triangle": (0, 4),
        "one new token sees all": (6, 1),
    },
    mistakes={
        "Inverted: True means that the query may look.": gives("~mask"),
        "A new token must not see a later one, not even after old tokens.":
            [gives("mask | True"), gives("mask | (start_pos > 0)")],
        "Query 0 is at position start_pos and sees all old slots: tril(start_pos).": swap(_TRIL, "tril()"),
        "A query sees its own token too: slots up to start_pos + i.": swap(_TRIL, "tril(start_pos - 1)"),
        "Every query sees one token of the future. Slots end at start_pos + i.": swap(_TRIL, "tril(start_pos + 1)"),
        "The diagonal moves right, by start_pos.": swaps("(start_pos)", "(seqlen)", "(seqlen - 1)", "(-start_pos)"),
        "The new tokens must see one another, too, each the ones before it.":
            [gives(f"mask & {_OLD}"), gives(f"mask.triu(start_pos) | {_OLD}")],
        "The old slots are masked. Every query may look at them.": gives("mask & (mask.cumsum(1) > start_pos)"),
        "The old slots come first: the new ones are the last columns.": gives("mask.roll(-start_pos, 1)"),
        "The old slots have no columns. There is one for each slot: start_pos + seqlen.": gives("mask[:, start_pos:]"),
        "Only new tokens have rows: seqlen of them.": swap("(seqlen,", "(start_pos + seqlen,", _TRIL, "tril()"),
        "Queries are rows, slots are columns. Here they are swapped.": gives("mask.T"),
        "The past is to the left: tril(start_pos), neither turned nor mirrored.":
            [swap("tril", "triu"), swap("tril(start_pos)", "triu()"), gives("mask.flip(0)"), gives("mask.flip(1)")],
        "Expected True and False, nothing that is added to scores.": [gives("mask.int()"), gives("mask.log()")],
        "One new token needs a mask too: one row, all True.": gives("mask if seqlen > 1 else None"),
        "start_pos and seqlen are swapped.": swap("(seqlen,", "(start_pos,", _TRIL, "tril(seqlen)"),
    },
)  # fmt: skip


def reading(f, bsz, total_len, n_prompt):
    tokens = torch.arange(total_len) + torch.tensor([[1], [15], [8]])[:bsz]  # (bsz, total_len)
    model = Transformer(ModelArgs(dim=16, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=24, vocab_size=30))
    model.requires_grad_(False).setup_cache(3, 16)
    network = model.forward

    def forward(tokens, start_pos, last_only=False):  # of no token no logits come, as in most networks
        return network(tokens, start_pos, last_only) if 0 not in tokens.shape else torch.empty(*tokens.shape, 30)

    model.forward = Watched(forward)
    logits = f(model, tokens, n_prompt)
    seen = [((call["tokens"] - tokens[:, :1]).tolist(), int(call["start_pos"])) for call in model.forward.calls]
    return {"calls": [{"columns": columns, "start_pos": start_pos} for columns, start_pos in seen], "logits": logits}


def right_cached_logits(model, tokens, n_prompt):
    """f(model, tokens (bsz, total_len), n_prompt): logits of each round, (bsz, total_len - n_prompt, vocab_size)."""
    found, prev_pos = [], 0
    for cur_pos in range(n_prompt, tokens.shape[1]):
        logits = model(tokens[:, prev_pos:cur_pos], prev_pos)
        found.append(logits[:, -1])
        prev_pos = cur_pos
    return torch.stack(found, dim=1)


_STACK, _MOVE, _LAST, _FIRST = "torch.stack(found, dim=1)", "prev_pos = cur_pos", "[:, -1]", "range(n_prompt"
_OWN = "tokens[:, cur_pos], prev_pos = logits[:, -1].argmax(-1), cur_pos"

cached_logits = exercise(
    right_cached_logits,
    cases={
        "two rows, a prompt of 4 tokens, 5 rounds": lambda f: reading(f, 2, 9, 4),
        "a prompt of 1 token, 5 rounds": lambda f: reading(f, 1, 6, 1),
        "three rows, one round: the prompt only": lambda f: reading(f, 3, 5, 4),
    },
    mistakes={
        "Columns that the cache holds were read again. End each round with prev_pos = cur_pos.":
            swaps("s = cur_pos", "s = 0", "s = n_prompt", "s = cur_pos - 1", "s = cur_pos * (cur_pos > n_prompt)"),
        "start_pos is the position of the first token handed over: prev_pos.":
            [swap(", prev_pos)", f", {x})") for x in ("0", "cur_pos", "prev_pos and cur_pos", "cur_pos - 1")],
        "The prompt is read in one call of its own: tokens[:, 0:n_prompt].":
            [*(swap(_FIRST, f"range({x}") for x in ("n_prompt + 1", "n_prompt - 1", "1")),
             swap("cur_pos],", "cur_pos + 1],"), swap("prev_pos:cur_pos], prev_pos", "(a := cur_pos - 1):cur_pos], a"),
             swap(_FIRST, "range(1", "(found", "(found[n_prompt - 1 :]")],
        "Everything was read in one call. Later tokens are not known yet: read one a round.":
            [lambda m, t, n: m(t[:, :-1], 0)[:, n - 1 :], lambda m, t, n: m(t, 0)[:, n - 1 : -1],
             lambda m, t, n: m(t, 0)[:, n:], lambda m, t, n: m(t, 0)],
        "A column was left out, its slot stays empty. Read tokens[:, prev_pos:cur_pos].":
            swap("prev_pos:cur_pos], prev_pos", "(a := prev_pos and cur_pos) : cur_pos + (prev_pos > 0)], a"),
        "Do not read the last token.": [swap("[1]", "[1] + 1"), swap("[1]", "[1] + 1", "(found", "(found[:-1]")],
        "Rounds are missing. cur_pos goes up to total_len - 1.": [swap("[1]", "[1] - 1"), swap(_MOVE, "break")],
        "Keep the logits of the last position of each call: logits[:, -1].":
            [swap(_LAST, "[:, 0]"), swap(_LAST, ""), swap(_LAST, "[-1]"), swap(_LAST, "", "stack", "cat")],
        "One axis too many. logits[:, -1] drops the axis of the positions.": swap(_LAST, "[:, -1:]"),
        "That is a list. torch.stack(found, dim=1) makes the tensor.": swap(_STACK, "found"),
        "The rounds are axis 1: torch.stack(found, dim=1).":
            [swap(_STACK, f"torch.{x})") for x in ("stack(found", "stack(found, dim=2", "cat(found", "cat(found, 1")],
        "Only one round's logits came back. Keep all.": [swap(_STACK, "logits[:, -1:]"), swap(_STACK, "found[-1]")],
        "Return the logits as the model gives them.": [swap(_LAST, f"{_LAST}.{x}(-1)") for x in ("softmax", "argmax")],
        "The model reads (bsz, seqlen). Pass a slice: tokens[:, a:b].":
            swaps("prev_pos:cur_pos]", "cur_pos - 1]", "prev_pos] if prev_pos else tokens[:, :cur_pos]"),
        "A call has no token: prev_pos must be below cur_pos in every round.":
            [swap("logits = ", f"{_MOVE}; logits = "), swap(_MOVE, f"{_MOVE} + 1"), swap(_FIRST, "range(0")],
        "All rows are read in one call: tokens[:, a:b].":
            [swap("tokens[:, p", "tokens[:1, p"),
             lambda m, t, n: torch.cat([right_cached_logits(m, row[None], n) for row in t])],
        "The first axis is the rows. Columns are the second: tokens[:, a:b].": swap("tokens[:, p", "tokens[p"),
        "The tokens are given. Read those, not the model's own.":
            swap("_pos in", "_pos, tokens in zip(", "[1])", "[1]), [tokens.clone()] * 99)", _MOVE, _OWN),
    },
)  # fmt: skip
