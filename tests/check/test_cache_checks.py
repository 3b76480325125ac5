"""The judges of the exercises on the cache: the right answer passes, the answers that learners give are understood."""

import pytest
import torch

from minillama import check


def right_bytes(args, bsz, seqlen, size):
    return 2 * args.n_layers * bsz * seqlen * args.n_kv_heads * args.head_dim * size


def right_mask(start_pos, seqlen):
    return torch.ones(seqlen, start_pos + seqlen, dtype=torch.bool).tril(start_pos)


def right_logits(model, tokens, n_prompt):
    found, prev_pos = [], 0
    for cur_pos in range(n_prompt, tokens.shape[1]):
        found.append(model(tokens[:, prev_pos:cur_pos], prev_pos)[:, -1])
        prev_pos = cur_pos
    return torch.stack(found, dim=1)


RIGHT = [(check.cache_bytes, right_bytes), (check.cache_mask, right_mask), (check.cached_logits, right_logits)]


@pytest.mark.parametrize(("judge", "right"), RIGHT)
def test_the_right_answer_passes(judge, right):
    assert judge(right).status == "passed", str(judge(right))


@pytest.mark.parametrize("judge", [judge for judge, _ in RIGHT])
def test_a_stub_is_not_attempted(judge):
    def stub(*_):
        raise NotImplementedError

    assert judge(stub).status == "not attempted"


BYTES_MISTAKES = {
    "keys only": (lambda a, b, n, s: right_bytes(a, b, n, s) // 2, "the half"),
    "one layer": (lambda a, b, n, s: right_bytes(a, b, n, s) // a.n_layers, "one layer"),
    "query heads": (lambda a, b, n, s: 2 * a.n_layers * b * n * a.dim * s, "query heads"),
    "one head": (lambda a, b, n, s: 2 * a.n_layers * b * n * a.head_dim * s, "one head."),
    "numbers, not bytes": (lambda a, b, n, s: right_bytes(a, b, n, 1), "Times bytes_per_number"),
    "one row": (lambda a, b, n, s: right_bytes(a, 1, n, s), "one row"),
    "the largest sizes": (lambda a, b, n, s: right_bytes(a, a.max_batch_size, a.max_seq_len, s), "max_batch_size"),
    "bits": (lambda a, b, n, s: right_bytes(a, b, n, s) * 8, "bits"),
    "a float": (lambda a, b, n, s: right_bytes(a, b, n, s) / 1, "float"),
    "nothing": (lambda a, b, n, s: None, "return"),
    "another number": (lambda a, b, n, s: 17, "due"),
}


@pytest.mark.parametrize("name", BYTES_MISTAKES)
def test_cache_bytes_understands(name):
    wrong, hint = BYTES_MISTAKES[name]
    report = check.cache_bytes(wrong)
    assert report.status == "failed" and hint in report.hint, str(report)


def ones(start_pos, seqlen):
    return torch.ones(seqlen, start_pos + seqlen, dtype=torch.bool)


MASK_MISTAKES = {
    "upside down": (lambda p, n: ~right_mask(p, n), "upside down"),
    "all open": (ones, "sees everything"),
    "start_pos forgotten": (lambda p, n: ones(p, n).tril(), "tril(start_pos)"),
    "not itself": (lambda p, n: ones(p, n).tril(p - 1), "its own token"),
    "one too many": (lambda p, n: ones(p, n).tril(p + 1), "one token of the future"),
    "old ones closed": (lambda p, n: right_mask(p, n) & (torch.arange(p + n) >= p), "old slots are closed"),
    "new only": (lambda p, n: right_mask(0, n), "no columns for the 3 old slots"),
    "old ones ask": (lambda p, n: right_mask(0, p + n), "rows for the old tokens"),
    "on its side": (lambda p, n: right_mask(p, n).T, "on its side"),
    "additive": (lambda p, n: torch.zeros(n, p + n).masked_fill(~right_mask(p, n), -torch.inf), "bool tensor"),
    "ints": (lambda p, n: right_mask(p, n).int(), "int32"),
    "a list": (lambda p, n: right_mask(p, n).tolist(), "list"),
    "nothing": (lambda p, n: None, "return"),
}


@pytest.mark.parametrize("name", MASK_MISTAKES)
def test_cache_mask_understands(name):
    wrong, hint = MASK_MISTAKES[name]
    report = check.cache_mask(wrong)
    assert report.status == "failed" and hint in report.hint, str(report)


def one_further(model, tokens, n_prompt):
    found = [model(tokens[:, :n_prompt], 0)[:, -1]]
    for cur_pos in range(n_prompt + 1, tokens.shape[1]):
        found.append(model(tokens[:, cur_pos - 1 : cur_pos], cur_pos)[:, -1])
    return torch.stack(found, dim=1)


def prev_pos_stands_still(model, tokens, n_prompt):
    return torch.stack([model(tokens[:, :cur_pos], 0)[:, -1] for cur_pos in range(n_prompt, tokens.shape[1])], dim=1)


def always_zero(model, tokens, n_prompt):
    found = [model(tokens[:, :n_prompt], 0)[:, -1]]
    for cur_pos in range(n_prompt + 1, tokens.shape[1]):
        found.append(model(tokens[:, cur_pos - 1 : cur_pos], 0)[:, -1])
    return torch.stack(found, dim=1)


def token_by_token(model, tokens, n_prompt):
    found = [model(tokens[:, a : a + 1], a)[:, -1] for a in range(tokens.shape[1] - 1)]
    return torch.stack(found[n_prompt - 1 :], dim=1)


def leaves_one_out(model, tokens, n_prompt):
    found = [model(tokens[:, :n_prompt], 0)[:, -1]]
    for cur_pos in range(n_prompt + 1, tokens.shape[1]):
        found.append(model(tokens[:, cur_pos : cur_pos + 1], cur_pos)[:, -1])
    return torch.stack(found, dim=1)


def reads_the_last(model, tokens, n_prompt):
    found, prev_pos = [], 0
    for cur_pos in range(n_prompt, tokens.shape[1] + 1):
        found.append(model(tokens[:, prev_pos:cur_pos], prev_pos)[:, -1])
        prev_pos = cur_pos
    return torch.stack(found, dim=1)


def every_position(model, tokens, n_prompt):
    found, prev_pos = [], 0
    for cur_pos in range(n_prompt, tokens.shape[1]):
        found.append(model(tokens[:, prev_pos:cur_pos], prev_pos))
        prev_pos = cur_pos
    return torch.cat(found, dim=1)


def no_column_axis(model, tokens, n_prompt):
    return model(tokens[0], 0)


LOGITS_MISTAKES = {
    "one position too far": (one_further, "column 4 was handed over as position 5"),
    "prev_pos stands still": (prev_pos_stands_still, "a second time"),
    "start_pos always 0": (always_zero, "as position 0"),
    "token by token": (token_by_token, "in pieces"),
    "a column is left out": (leaves_one_out, "left out"),
    "the last token too": (reads_the_last, "last token was read"),
    "all at once": (lambda m, t, n: m(t[:, :-1], 0)[:, n - 1 :], "more than the prompt"),
    "prompt only": (lambda m, t, n: m(t[:, :n], 0)[:, -1:], "last columns were not read"),
    "never called": (lambda m, t, n: torch.zeros(1, 3, 30), "never called"),
    "a bare row": (no_column_axis, "(bsz, seqlen)"),
    "all positions": (every_position, "every position"),
    "an axis too many": (lambda m, t, n: right_logits(m, t, n)[:, :, None], "4 axes"),
    "a list": (lambda m, t, n: list(right_logits(m, t, n).unbind(1)), "list"),
    "stacked in front": (lambda m, t, n: right_logits(m, t, n).transpose(0, 1), "changed places"),
    "other numbers": (lambda m, t, n: right_logits(m, t, n) * 2, "due"),
}


@pytest.mark.parametrize("name", LOGITS_MISTAKES)
def test_cached_logits_understands(name):
    wrong, hint = LOGITS_MISTAKES[name]
    report = check.cached_logits(wrong)
    assert report.status == "failed" and hint in report.hint, str(report)


@pytest.mark.parametrize(
    ("judge", "mistakes"),
    [
        (check.cache_bytes, BYTES_MISTAKES),
        (check.cache_mask, MASK_MISTAKES),
        (check.cached_logits, LOGITS_MISTAKES),
    ],
)
def test_every_mistake_has_a_hint_of_its_own(judge, mistakes):
    hints = [judge(wrong).hint for wrong, _ in mistakes.values()]
    assert len(set(hints)) == len(hints)


def test_the_small_model_leaves_random_numbers_alone():
    torch.manual_seed(3)
    due = torch.rand(4)
    torch.manual_seed(3)
    check.cached_logits(right_logits)
    assert torch.equal(torch.rand(4), due)
