"""The judges of the exercises on the prompt batch: the right answer passes, each usual mistake gets its own hint."""

import pytest
import torch

from minillama import ModelArgs, check


def right_canvas(prompt_tokens, max_gen_len, max_seq_len, pad_id):
    total_len = min(max_seq_len, max_gen_len + max(len(t) for t in prompt_tokens))
    tokens = torch.full((len(prompt_tokens), total_len), pad_id, dtype=torch.long)
    for k, t in enumerate(prompt_tokens):
        tokens[k, : len(t)] = torch.tensor(t)
    return tokens


def filled(prompts, total_len, pad_id, place=lambda n: slice(0, n), dtype=torch.long, bsz=None):
    tokens = torch.full((bsz or len(prompts), total_len), pad_id, dtype=dtype)
    for k, t in enumerate(prompts):
        if k < len(tokens):
            tokens[k, place(len(t))] = torch.tensor(t, dtype=dtype)
    return tokens


def longest(prompts):
    return max(map(len, prompts))


def whole_row(prompts, new, most, pad_id):
    tokens = torch.full((len(prompts), min(most, new + longest(prompts))), pad_id)
    for k, t in enumerate(prompts):
        tokens[k] = torch.tensor(t)
    return tokens


def single_token_everywhere(prompts, new, most, pad_id):
    tokens = right_canvas(prompts, new, most, pad_id)
    for k, t in enumerate(prompts):
        if len(t) == 1:
            tokens[k] = torch.tensor(t)
    return tokens


def pads_the_lists(prompts, new, most, pad_id):
    total_len = min(most, new + longest(prompts))
    for t in prompts:
        t += [pad_id] * (total_len - len(t))
    return torch.tensor(prompts)


CANVAS_MISTAKES = {
    "writes whole rows": (whole_row, "tokens[k, : len(t)]"),
    "one tensor of all": (lambda p, new, most, pad: torch.tensor(p), "unequal length"),
    "one token fills its row": (single_token_everywhere, "One number fits every row"),
    "pads the lists in place": (pads_the_lists, "changed the list"),
    "no room for new tokens": (lambda p, new, most, pad: filled(p, longest(p), pad), "no room"),
    "the shortest decides": (
        lambda p, new, most, pad: filled(
            [t[: new + min(map(len, p))] for t in p], min(most, new + min(map(len, p))), pad
        ),
        "not the shortest",
    ),
    "the first decides": (
        lambda p, new, most, pad: filled([t[: new + len(p[0])] for t in p], min(most, new + len(p[0])), pad),
        "not the first",
    ),
    "never capped": (lambda p, new, most, pad: filled(p, new + longest(p), pad), "never more than max_seq_len"),
    "as wide as the cache": (lambda p, new, most, pad: filled(p, most, pad), "Take what is needed"),
    "the prompt not counted": (
        lambda p, new, most, pad: filled([t[:new] for t in p], min(most, new), pad),
        "counts the prompt too",
    ),
    "bsz from one prompt": (
        lambda p, new, most, pad: filled(p, min(most, new + longest(p)), pad, bsz=longest(p)),
        "number of prompts",
    ),
    "transposed": (lambda p, new, most, pad: right_canvas(p, new, most, pad).T, "swapped"),
    "floats": (
        lambda p, new, most, pad: filled(p, min(most, new + longest(p)), float(pad), dtype=torch.float),
        "dtype=torch.long",
    ),
    "padded in front": (
        lambda p, new, most, pad: filled(p, min(most, new + longest(p)), pad, lambda n: slice(-n, None)),
        "begins at column 0",
    ),
    "padded with 0": (lambda p, new, most, pad: right_canvas(p, new, most, 0), "holds pad_id"),
    "never written": (
        lambda p, new, most, pad: torch.full((len(p), min(most, new + longest(p))), pad),
        "not in its row",
    ),
    "int32": (lambda p, new, most, pad: right_canvas(p, new, most, pad).int(), "torch.int64"),
    "lists": (lambda p, new, most, pad: right_canvas(p, new, most, pad).tolist(), "list"),
    "no return": (lambda p, new, most, pad: None, "return"),
    "raises": (lambda p, new, most, pad: p[99], "IndexError"),
}


def right_mask(prompt_tokens, total_len):
    return torch.arange(total_len) < torch.tensor([len(t) for t in prompt_tokens])[:, None]


MASK_MISTAKES = {
    "upside down": (lambda p, n: ~right_mask(p, n), "Upside down"),
    "one too many": (lambda p, n: torch.arange(n) <= torch.tensor([len(t) for t in p])[:, None], "too many"),
    "one too few": (lambda p, n: torch.arange(n) < torch.tensor([len(t) - 1 for t in p])[:, None], "too few"),
    "one length for all": (lambda p, n: (torch.arange(n) < len(p[0])).repeat(len(p), 1), "All rows are the same"),
    "eos as pad": (lambda p, n: filled(p, n, 2) != 2, "id 2, eos"),
    "0 as pad": (lambda p, n: filled(p, n, 0) != 0, "id 0"),
    "numbers": (lambda p, n: right_mask(p, n).long(), "torch.bool"),
    "transposed": (lambda p, n: right_mask(p, n).T, "swapped"),
    "one row": (lambda p, n: right_mask(p, n)[0], "shape"),
    "all of it": (lambda p, n: torch.ones(len(p), n, dtype=torch.bool), "row 0"),
    "lists": (lambda p, n: right_mask(p, n).tolist(), "list"),
}


def right_bytes(args, size):
    return 2 * args.n_layers * args.max_seq_len * args.n_kv_heads * args.head_dim * size


BYTES_MISTAKES = {
    "keys alone": (lambda a, size: right_bytes(a, size) // 2, "Keys and values"),
    "one layer": (lambda a, size: right_bytes(a, size) // a.n_layers, "Every layer"),
    "one position": (lambda a, size: right_bytes(a, size) // a.max_seq_len, "one position"),
    "numbers": (lambda a, size: right_bytes(a, 1), "not bytes"),
    "one head": (lambda a, size: right_bytes(a, size) // a.n_kv_heads, "one head"),
    "all heads": (lambda a, size: 2 * a.n_layers * a.max_seq_len * a.dim * size, "not n_heads"),
    "all rows": (lambda a, size: right_bytes(a, size) * a.max_batch_size, "whole cache"),
    "dim a head": (lambda a, size: 2 * a.n_layers * a.max_seq_len * a.n_kv_heads * a.dim * size, "not dim"),
    "a float": (lambda a, size: right_bytes(a, size) / 1, "float"),
    "text": (lambda a, size: str(right_bytes(a, size)), "str"),
    "something else": (lambda a, size: 7, "due"),
}


def stub(*_):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("judge", "right"),
    [(check.canvas, right_canvas), (check.input_text_mask, right_mask), (check.row_bytes, right_bytes)],
)
def test_the_right_answer_passes_and_a_stub_is_reported(judge, right):
    report = judge(right)
    assert report.status == "passed", str(report)
    assert judge(stub).status == judge(lambda *_: ...).status == "not attempted"


def test_other_right_ways_pass():
    assert check.input_text_mask(lambda p, n: filled(p, n, -1) != -1).status == "passed"
    assert check.input_text_mask(lambda p, n: torch.tensor([[c < len(t) for c in range(n)] for t in p])).hint == ""

    def rows(p, new, most, pad):
        total_len = min(most, new + longest(p))
        return torch.tensor([t + [pad] * (total_len - len(t)) for t in p])

    assert check.canvas(rows).status == "passed"


@pytest.mark.parametrize(
    ("judge", "mistakes"),
    [(check.canvas, CANVAS_MISTAKES), (check.input_text_mask, MASK_MISTAKES), (check.row_bytes, BYTES_MISTAKES)],
)
def test_every_mistake_gets_its_own_hint(judge, mistakes):
    hints = {}
    for name, (wrong, hint) in mistakes.items():
        report = judge(wrong)
        assert report.status == "failed", name
        assert hint in report.hint, f"{name}: {report}"
        hints[name] = report.hint
    assert len(set(hints.values())) == len(hints)


def test_the_formula_is_the_real_cache(random_llama):
    llama = random_llama(max_batch_size=3)
    stored = sum(buffer.untyped_storage().nbytes() for buffer in llama.model.buffers())
    assert stored == 3 * right_bytes(llama.model.params, 4)
    assert right_bytes(ModelArgs(), 2) == 2**30  # Llama 2 7B: one GiB for 2048 positions
