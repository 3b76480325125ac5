"""Checks of the exercises on the prompt batch: the canvas, its mask, and what a row costs."""

import torch

from minillama.check.cache import COUNTS, gives
from minillama.check.exercise import exercise, swap, swaps
from minillama.model import ModelArgs

# The longest is not the last, nor what max finds; 0 and 2 are ids like others.
PROMPTS = [[1, 5, 9, 3], [1, 6], [1, 8, 2], [1, 4, 8, 6, 0, 7], [1, 7, 5, 2, 9]]


def right_canvas(prompt_tokens, max_gen_len, max_seq_len, pad_id):
    """f(prompt_tokens, max_gen_len, max_seq_len, pad_id): the canvas (bsz, total_len), int64."""
    total_len = min(max_seq_len, max_gen_len + max(len(t) for t in prompt_tokens))
    tokens = torch.full((len(prompt_tokens), total_len), pad_id)
    for k, t in enumerate(prompt_tokens):
        tokens[k, : len(t)] = torch.tensor(t)
    return tokens


_LENGTHS, _LONGEST = "[len(t) for t in prompt_tokens]", "max(len(t) for t in prompt_tokens)"
_ROW, _END = "tokens[k, : len(t)] = torch.tensor(t)", "return tokens"

canvas = exercise(
    right_canvas,
    cases={
        "five prompts of unequal length": (PROMPTS, 8, 20, -1),
        "pad_id = -100, and the id 0 in a prompt": ([[1, 0], [1, 0, 2]], 4, 16, -100),
        "pad_id = 0, and a prompt of a single token": ([[3], [1, 9, 2, 5]], 5, 16, 0),
        "the cache ends before max_gen_len": (PROMPTS, 20, 10, -1),
        "the longest prompt fills the cache": (PROMPTS, 7, 6, -1),
        "one prompt": ([[1, 5, 9]], 4, 16, -1),
        "max_gen_len = 0": ([[1, 7, 4]], 0, 16, -1),
    },
    mistakes={
        "tokens[k] is a whole row. Write the prompt's places only: tokens[k, : len(t)].": swap("k, : len(t)", "k"),
        "The prompts differ in length; a tensor's rows don't. Fill a canvas first, then write row by row.":
            [lambda p, *_: torch.tensor(p), lambda p, *_: torch.stack([torch.tensor(t) for t in p])],
        "You left no room for new tokens: total_len is longest prompt + max_gen_len.": swap("max_gen_len + ", ""),
        "The longest prompt decides total_len. You used another length.":
            [swap(_LONGEST, x) for x in (f"min({_LENGTHS})", f"{_LENGTHS}[0]", f"{_LENGTHS}[-1]", f"sum({_LENGTHS})")],
        "max(prompt_tokens) compares ids. Compare lengths: key=len.": swap(_LONGEST, "len(max(prompt_tokens))"),
        "total_len counts the prompt too: longest prompt + max_gen_len.": swap(f" + {_LONGEST}", ""),
        "total_len is at most max_seq_len: the cache ends there. Take the min.":
            [swap("min(max_seq_len,", "(0 +"), swap("max_gen_len + m", "max_gen_len) + m", "t_tokens))", "t_tokens)")],
        "max_seq_len is only a limit: take the min.": [swap("min(", "max("), swap("gen_len + m", "seq_len + m")],
        "total_len is one off. It is min(max_seq_len, max_gen_len + longest prompt).":
            [swap(x, f"{y} + {x}") for x in ("max_seq_len", "max_gen_len", "min(") for y in (1, -1)],
        "Rows and columns are swapped: the canvas is (bsz, total_len).": swap(_END, f"{_END}.T"),
        "Every prompt begins at column 0.":
            swaps(": len(t)]", "-len(t) :]", "1 : len(t) + 1]", f"(n := {_LONGEST}) - len(t) : n]"),
        "A free place holds pad_id, whatever that is.": [swap(", pad_id", f", {i}") for i in (-1, 0, 2)],
        "An id of a prompt became pad_id. Fill, then write.": swap(_END, f"{_END}.where(tokens != 0, pad_id)"),
        "The prompts are missing. Write each: tokens[k, : len(t)] = torch.tensor(t).": swap(_ROW, "pass"),
        "Row k is prompt k. Write all prompts, in their order.": [swap(_ROW, f"{_ROW}; break"),
            *swaps("[k", "[0", "[:"), swap("ate(", "ate(sorted(", "ens):", "ens, key=len)[::-1]):")],
        "A prompt lost tokens. Write all of it, from column 0 to column len(t) - 1.":
            [swap("t)]", "t) - 1]", "or(t", "or(t[:-1]"), swap(": len(t)]", "1 : len(t)]", "or(t", "or(t[1:]")],
    },
)  # fmt: skip


def right_input_text_mask(prompt_tokens, total_len):
    """f(prompt_tokens, total_len): True where the canvas holds a prompt's token, (bsz, total_len) bool."""
    lengths = torch.tensor([len(t) for t in prompt_tokens])
    mask = torch.arange(total_len) < lengths[:, None]
    return mask


input_text_mask = exercise(
    right_input_text_mask,
    cases={
        "five prompts of unequal length": (PROMPTS, 9),
        "as many prompts as columns": ([[1, 9], [1, 8, 7, 5], [4], [1, 6, 3]], 4),
        "prompts with the ids 0, 1 and 2 in them": ([[1, 0, 2, 1, 2, 0], [1, 2, 31999]], 8),
        "one prompt that fills its row": ([[1, 5, 6]], 3),
    },
    mistakes={
        "Inverted: True is where a prompt has a token, False after it.": [gives("~mask"), swap("<", ">")],
        "One column too many: columns count from 0, so a prompt ends in column len(t) - 1.": swap("<", "<="),
        "One column too few: column len(t) - 1 is still the prompt's.": swap("<", "< -1 +"),
        "A prompt's length is len(t).": swaps("len(t)", "max(t)", "t[-1]", "sum(t)", "len(prompt_tokens)"),
        "torch.tensor takes rows of one length. Compare columns with lengths.": lambda p, n: torch.tensor(p) >= 0,
        "All rows are alike. Each prompt has its own length.":
            [swap("[:, None]", x + y) for x in (".max()", ".min()", "[0]") for y in ("", ".expand(len(lengths), 1)")],
        "Each row has its own length: take lengths[:, None].": [swap("[:, None]", ""), swap("[:, None]", "[None]")],
        "An id was taken for padding or for the end. Any id may occur: compare columns with lengths.":
            [swap("len(t)", "[*t, 2].index(2)"), *(lambda p, n, i=i: right_canvas(p, n, n, i) != i for i in (0, 1, 2))],
        "Rows and columns are swapped: the mask is (bsz, total_len).": gives("mask.T"),
        "A mask is True or False, not numbers: use <.": [gives("mask.int()"), gives("mask.float()")],
        "All columns are alike. A prompt has the columns < len(t).": [gives("mask | True"), gives("mask & False")],
        "The prompts are at the end of their rows. Begin at column 0.": gives("mask.flip(1)"),
        "Only one column is True. All before len(t) should be: <.": [swap("<", "=="), swap("<", "== -1 +")],
        "The mask has total_len columns, whatever the longest prompt is.": swap("(total_len)", "(max(lengths))"),
    },
)  # fmt: skip


def right_row_bytes(args, bytes_per_number):
    """f(args, bytes_per_number): the bytes of one row of the key-value cache, all layers."""
    numbers = 2 * args.n_layers * args.n_kv_heads * args.head_dim
    return numbers * args.max_seq_len * bytes_per_number


row_bytes = exercise(
    right_row_bytes,
    cases={
        "7 of 21 heads, float32": (ModelArgs(dim=462, n_layers=5, n_heads=21, n_kv_heads=7, max_seq_len=299), 4),
        "3 of 15 heads, float16": (ModelArgs(dim=390, n_layers=11, n_heads=15, n_kv_heads=3, max_seq_len=38), 2),
        "the sizes of Llama 2 7B, float16": (ModelArgs(), 2),
    },
    mistakes={
        "That is one position. A row has max_seq_len of them.": swap(" * args.max_seq_len", ""),
        "That is all rows: leave out max_batch_size.": swap("numbers *", "args.max_batch_size * numbers *"),
        "A row has args.max_seq_len positions.": [swap("args.max_seq_len", x) for x in ("2048", "args.max_batch_size")],
        **COUNTS,
    },
)  # fmt: skip
