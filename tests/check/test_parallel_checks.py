"""The judges of the exercises on many ranks: right answers pass, the answers that learners give are understood."""

import math

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from minillama import check
from minillama.check import judge as judging
from minillama.shards import SPLIT_DIM, last_word

# ---- mlp_part --------------------------------------------------------------------------------------------------------


def part_with(rows=0, columns=1, unit=lambda a, b: F.silu(a) * b, which=lambda rank, n: rank, finish=lambda y, n: y):
    def part(x, w1, w2, w3, rank, n_ranks):
        k = which(rank, n_ranks)
        a, b = (x @ w.chunk(n_ranks, rows)[k].T for w in (w1, w3))
        return finish(unit(a, b) @ w2.chunk(n_ranks, columns)[k].T, n_ranks)

    return part


right_part = part_with()


def sliced_part(x, w1, w2, w3, rank, n_ranks):
    size = w1.shape[0] // n_ranks
    mine = slice(size * rank, size * (rank + 1))
    gate = F.linear(x, w1[mine])
    return F.linear(gate * torch.sigmoid(gate) * F.linear(x, w3[mine]), w2[:, mine])


def whole(x, w1, w2, w3, *_):
    return (F.silu(x @ w1.T) * (x @ w3.T)) @ w2.T


def sliced_late(x, w1, w2, w3, rank, n_ranks):
    hidden = F.silu(x @ w1.T) * (x @ w3.T)
    return hidden.chunk(n_ranks, -1)[rank] @ w2.chunk(n_ranks, 1)[rank].T


def columns_first(x, w1, w2, w3, rank, n_ranks):
    x = x.chunk(n_ranks, -1)[rank]
    return (F.silu(x @ w1.chunk(n_ranks, 1)[rank].T) * (x @ w3.chunk(n_ranks, 1)[rank].T)) @ w2.T


def adds_up_itself(x, w1, w2, w3, rank, n_ranks):
    part = right_part(x, w1, w2, w3, rank, n_ranks)
    dist.all_reduce(part)
    return part


def not_transposed(x, w1, w2, w3, rank, n_ranks):
    return (F.silu(x @ w1.chunk(n_ranks, 0)[rank]) * (x @ w3.chunk(n_ranks, 0)[rank])) @ w2.chunk(n_ranks, 1)[rank]


PART_MISTAKES = {
    "no silu": (part_with(unit=lambda a, b: a * b), "silu is missing"),
    "silu of w3": (part_with(unit=lambda a, b: a * F.silu(b)), "not to w3's"),
    "silu of the product": (part_with(unit=lambda a, b: F.silu(a * b)), "after the product"),
    "sigmoid": (part_with(unit=lambda a, b: torch.sigmoid(a) * b), "sigmoid alone"),
    "relu": (part_with(unit=lambda a, b: F.relu(a) * b), "That is relu"),
    "gelu": (part_with(unit=lambda a, b: F.gelu(a) * b), "That is gelu"),
    "no w2": (
        lambda x, w1, w2, w3, rank, n: F.silu(x @ w1.chunk(n)[rank].T) * (x @ w3.chunk(n)[rank].T),
        "w2 is missing",
    ),
    "averaged": (part_with(finish=lambda y, n: y / n), "not averaged"),
    "split for chunk": (
        lambda x, w1, w2, w3, rank, n: (
            (F.silu(x @ w1.split(n)[rank].T) * (x @ w3.split(n)[rank].T)) @ w2.split(n, 1)[rank].T
        ),
        "parts of n rows",
    ),
    "chunk(2)": (
        lambda x, w1, w2, w3, rank, n: (
            (F.silu(x @ w1.chunk(2)[rank].T) * (x @ w3.chunk(2)[rank].T)) @ w2.chunk(2, 1)[rank].T
        ),
        "parts for 2 ranks; here are 1",
    ),
    "every nth row": (
        lambda x, w1, w2, w3, rank, n: (F.silu(x @ w1[rank::n].T) * (x @ w3[rank::n].T)) @ w2[:, rank::n].T,
        "one row in 2",
    ),
    "no w3": (part_with(unit=lambda a, b: F.silu(a)), "w3 is missing"),
    "added": (part_with(unit=lambda a, b: F.silu(a) + b), "were added"),
    "the whole": (whole, "2 times too much"),
    "the whole, divided": (lambda *args: whole(*args) / args[-1], "does all the work"),
    "sliced at the end": (sliced_late, "more than its part"),
    "columns first": (columns_first, "silu of a summand"),
    "always rank 0": (part_with(which=lambda rank, n: 0), "part of rank 0; rank 1"),
    "backwards": (part_with(which=lambda rank, n: n - 1 - rank), "part of rank 1; rank 0"),
    "w2 by rows": (part_with(columns=0), "columns of w2 (dim=1) read"),
    "w2 whole": (
        lambda x, w1, w2, w3, rank, n: (F.silu(x @ w1.chunk(n)[rank].T) * (x @ w3.chunk(n)[rank].T)) @ w2.T,
        "cannot be multiplied (2x3 and 6x4)",
    ),
    "w3 whole": (
        lambda x, w1, w2, w3, rank, n: (F.silu(x @ w1.chunk(n)[rank].T) * (x @ w3.T)) @ w2.chunk(n, 1)[rank].T,
        "must match",
    ),
    "not transposed": (not_transposed, "nn.Linear computes x @ weight.T"),
    "all_reduce": (adds_up_itself, "no all_reduce here"),
    "two axes only": (
        lambda x, *rest: right_part(x.reshape(-1, x.shape[-1]), *rest),
        "shape should be (2, 5, 4), yours is (10, 4)",
    ),
    "no return": (lambda *_: None, "`return`"),
}


# ---- merge_shards ----------------------------------------------------------------------------------------------------


def merge_with(dim_of=lambda key: SPLIT_DIM[last_word(key)], join=torch.cat, norm=lambda parts: parts[0], order=1):
    def merge(shards):
        merged = {}
        for key in shards[0]:
            if key == "rope.freqs":
                continue
            parts, dim = [shard[key] for shard in shards][::order], dim_of(key)
            merged[key] = norm(parts) if dim is None else join(parts, dim)
        return merged

    return merge


right_merge = merge_with()


def pops(shards):
    for shard in shards:
        shard.pop("rope.freqs", None)
    return right_merge(shards)


def demands_rope(shards):
    for shard in shards:
        del shard["rope.freqs"]
    return right_merge(shards)


def only_matrices(shards):
    return {key: weight for key, weight in right_merge(shards).items() if weight.dim() == 2}


def flipped(key):
    dim = SPLIT_DIM[last_word(key)]
    return None if dim is None else 1 - dim


def no_rope_rule(shards):
    dims = {key: SPLIT_DIM[last_word(key)] for key in shards[0]}
    return {key: torch.cat([s[key] for s in shards], d) if d is not None else shards[0][key] for key, d in dims.items()}


def keeps_rope(shards):
    return {**right_merge(shards), **{key: shards[0][key] for key in shards[0] if key == "rope.freqs"}}


def two_only(shards):
    return right_merge(shards[:2])


def updates(shards):
    return {key: weight for shard in shards for key, weight in shard.items() if key != "rope.freqs"}


MERGE_MISTAKES = {
    "everything along 0": (merge_with(lambda key: 0), "tok_embeddings.weight was joined along axis 0"),
    "the other axis": (merge_with(flipped), "tok_embeddings.weight was joined along axis 0"),
    "wo along 0": (
        merge_with(lambda key: 0 if "wo" in key else SPLIT_DIM[last_word(key)]),
        "wo.weight was joined along axis 0. It is cut along axis 1",
    ),
    "norms joined": (merge_with(norm=torch.cat), "was joined. Norms are whole"),
    "norms in a list": (merge_with(norm=lambda parts: parts), "is a list, a tensor is due. Norms are whole"),
    "norms added": (merge_with(norm=sum), "was added. Norms are whole"),
    "norms, None as axis": (merge_with(norm=lambda parts: torch.cat(parts, None)), "SPLIT_DIM is None for the norms"),
    "backwards": (merge_with(order=-1), "wrong order"),
    "stacked": (merge_with(join=torch.stack), "along a new axis"),
    "added": (merge_with(join=lambda parts, dim: sum(parts)), "parts added up"),
    "lists": (merge_with(join=lambda parts, dim: parts), "is a list"),
    "the first file": (merge_with(join=lambda parts, dim: parts[0]), "first file alone"),
    "update": (updates, "overwritten"),
    "two of four": (two_only, "two files; there are 4"),
    "rope.freqs kept": (keeps_rope, "Leave this key out"),
    "rope.freqs looked up": (no_rope_rule, "Meta's files carry rope.freqs"),
    "rope.freqs demanded": (demands_rope, "only if it is there"),
    "the whole key": (merge_with(lambda key: SPLIT_DIM[key]), "last_word(key)"),
    "the very last word": (merge_with(lambda key: SPLIT_DIM[key.split(".")[-1]]), "no 'weight'"),
    "0 taken for no": (merge_with(lambda key: SPLIT_DIM[last_word(key)] or None), "test `dim is None`"),
    "no norms": (only_matrices, "norm.weight is missing"),
    "float32": (lambda shards: {key: w.float() for key, w in right_merge(shards).items()}, "torch.float32"),
    "last words": (lambda shards: {last_word(key): w for key, w in right_merge(shards).items()}, "is no key"),
    "no return": (lambda shards: None, "`return`"),
}


# ---- fitting_ranks ---------------------------------------------------------------------------------------------------


def divisors(*sizes):
    return [n for n in range(1, min(sizes) + 1) if all(size % n == 0 for size in sizes)]


def right_ranks(args):
    return divisors(args.n_heads, args.n_kv_heads, args.ffn_width())


def by_gcd(args):
    most = math.gcd(args.n_heads, args.n_kv_heads, args.ffn_width())
    return [n for n in range(1, most + 1) if most % n == 0]


RANK_MISTAKES = {
    "no hidden units": (lambda a: divisors(a.n_heads, a.n_kv_heads), "hidden_dim counts too"),
    "no key-value heads": (lambda a: divisors(a.n_heads, a.ffn_width()), "key-value heads count too"),
    "heads alone": (lambda a: divisors(a.n_heads), "Only the heads"),
    "hidden units alone": (lambda a: divisors(a.ffn_width()), "Only the hidden units"),
    "dim for heads": (lambda a: divisors(a.dim, a.ffn_width()), "not dim"),
    "from 2": (lambda a: right_ranks(a)[1:], "begin with 1"),
    "from 0": (lambda a: [n for n in range(9) if a.n_heads % n == 0], "0 ranks"),
    "range ends early": (lambda a: [n for n in range(1, math.gcd(a.n_heads, a.n_kv_heads, a.ffn_width()))
                                    if n in right_ranks(a)], "ends before n"),
    "powers of two": (lambda a: [n for n in right_ranks(a) if n in (1, 2, 4, 8)], "powers of two"),
    "backwards": (lambda a: right_ranks(a)[::-1], "Smallest first"),
    "hidden_dim": (lambda a: divisors(a.n_heads, a.n_kv_heads, a.hidden_dim), "args.ffn_width() always"),
    "the largest": (lambda a: right_ranks(a)[-1], "not one"),
    "a tuple": (lambda a: tuple(right_ranks(a)), "list(…)"),
    "something else": (lambda a: [*right_ranks(a), 1000], "1000 must not be there: n_heads 6"),
    "any of the three": (
        lambda a: [n for n in range(1, a.n_heads + 1) if not a.n_heads % n or not a.ffn_width() % n],
        "4 must not be there: n_heads 6",
    ),
    "up to 8": (lambda a: [n for n in right_ranks(a) if n <= 8], "16 is missing"),
    "one twice": (lambda a: [1, *right_ranks(a)], "due   [1, 2"),
    "floats": (lambda a: [float(n) for n in right_ranks(a)], "holds a float: 1.0"),
    "not called": (lambda a: divisors(a.n_heads, a.n_kv_heads, a.ffn_width), "call it"),
    "no return": (lambda a: None, "`return`"),
}  # fmt: skip

# ---- all three -------------------------------------------------------------------------------------------------------

JUDGES = {
    "mlp_part": (check.mlp_part, PART_MISTAKES),
    "merge_shards": (check.merge_shards, MERGE_MISTAKES),
    "fitting_ranks": (check.fitting_ranks, RANK_MISTAKES),
}


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A busy machine is no endless loop."""
    monkeypatch.setattr(judging, "TIME_LIMIT", 120.0)


@pytest.mark.parametrize(
    ("judge", "right"),
    [
        (check.mlp_part, right_part),
        (check.mlp_part, sliced_part),
        (check.merge_shards, right_merge),
        (check.merge_shards, pops),
        (check.fitting_ranks, right_ranks),
        (check.fitting_ranks, by_gcd),
    ],
)
def test_right_answers_pass(judge, right):
    report = judge(right)
    assert report.status == "passed", str(report)


@pytest.mark.parametrize(("exercise", "name"), [(key, name) for key, (_, wrong) in JUDGES.items() for name in wrong])
def test_mistakes_are_understood(exercise, name):
    judge, mistakes = JUDGES[exercise]
    wrong, hint = mistakes[name]
    report = judge(wrong)
    assert report.status == "failed"
    assert hint in report.hint, str(report)


@pytest.mark.parametrize("exercise", JUDGES)
def test_every_mistake_has_a_hint_of_its_own(exercise):
    judge, mistakes = JUDGES[exercise]
    hints = [judge(wrong).hint for name, (wrong, _) in mistakes.items() if name != "the other axis"]
    assert len(set(hints)) == len(hints)


@pytest.mark.parametrize("judge", [judge for judge, _ in JUDGES.values()])
def test_a_stub_is_not_attempted(judge):
    def stub(*_):
        raise NotImplementedError

    assert judge(stub).status == "not attempted"
    assert judge(lambda *_: ...).status == "not attempted"


@pytest.mark.parametrize("judge", [judge for judge, _ in JUDGES.values()])
def test_what_raises_is_reported(judge):
    def wrong(*_):
        raise RuntimeError("no idea")

    assert "RuntimeError: no idea" in judge(wrong).hint


def test_the_parts_of_the_right_answer_add_up_to_the_network():
    x, w1, w2, w3 = torch.randn(2, 4), torch.randn(6, 4), torch.randn(4, 6), torch.randn(6, 4)
    parts = [right_part(x, w1, w2, w3, rank, 3) for rank in range(3)]
    torch.testing.assert_close(sum(parts), whole(x, w1, w2, w3))
