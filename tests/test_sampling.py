"""Temperature and the filters against their definitions; the draws against exact probabilities."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillama import sampling
from minillama.sampling import apply_temperature, draw, filter_min_p, filter_top_k, nucleus, sample_top_p

NOTES = [0.5, 0.3, 0.1, 0.07, 0.03]  # the / a / an / this / that
DTYPES = [torch.float32, torch.float64, torch.bfloat16]

# Counts rather than floats, so that ties are common; a zero stands for an impossible token.
WEIGHTS = st.lists(st.integers(0, 6), min_size=1, max_size=12).filter(any)


def distribution(weights, dtype=torch.float32):
    weights = torch.tensor(weights, dtype=torch.float64)
    return (weights / weights.sum()).to(dtype)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def chi_square(counts, probs):
    """How far counts are from n * probs, in standard deviations of the chi-square distribution."""
    possible = probs > 0
    assert counts[~possible].sum() == 0, "an impossible token was drawn"
    due = counts.sum() * probs[possible]
    freedom = possible.sum().item() - 1
    return (((counts[possible] - due) ** 2 / due).sum().item() - freedom) / (2 * freedom) ** 0.5 if freedom else 0.0


# ---- temperature ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.1, 0.6, 1.0, 1.7, 30.0])
def test_temperature_against_softmax(temperature):
    logits = torch.randn(3, 4, 50, generator=generator())
    torch.testing.assert_close(apply_temperature(logits, temperature), torch.softmax(logits / temperature, dim=-1))


LOGITS = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20)


@given(LOGITS, st.sampled_from([0.0, 0.5, 1.0, 2.0, 1e30]), st.integers(-1000, 1000))
def test_a_shift_of_all_logits_changes_nothing(logits, temperature, shift):
    logits = torch.tensor(logits, dtype=torch.float64).round(decimals=2)
    probs, shifted = apply_temperature(logits, temperature), apply_temperature(logits + shift, temperature)
    torch.testing.assert_close(probs, shifted, rtol=1e-6, atol=1e-9)


def test_logits_two_apart_give_the_same_whatever_they_are():
    due = torch.tensor([0.0021, 0.0158, 0.1171, 0.8650])
    for logits in ([6.0, 8.0, 10.0, 12.0], [3.0, 5.0, 7.0, 9.0]):
        torch.testing.assert_close(apply_temperature(torch.tensor(logits), 1.0), due, rtol=0, atol=5e-5)


@given(LOGITS, st.floats(0, 1e308), st.sampled_from([*DTYPES, torch.float16]))
def test_no_temperature_overflows(logits, temperature, dtype):
    logits = torch.tensor(logits).to(dtype)
    probs = apply_temperature(logits, temperature)
    assert probs.isfinite().all() and (probs >= 0).all()
    assert abs(probs.double().sum().item() - 1) < {torch.bfloat16: 0.1, torch.float16: 0.01}.get(dtype, 1e-5)
    assert probs[logits.argmax()] == probs.max()


@pytest.mark.parametrize("temperature", [0, 0.0, 1e-320, 1e-45, 1e-38, 1e-30, 1e-10])
def test_a_tiny_temperature_is_greedy(temperature):
    probs = apply_temperature(torch.tensor([[1.0, 3.0, 2.0], [80.0, -90.0, 0.0]]), temperature)
    assert probs.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_temperature_zero_chooses_one_of_equals():
    assert apply_temperature(torch.tensor([1.0, 5.0, 5.0]), 0).tolist() == [0, 1, 0]


@pytest.mark.parametrize("temperature", [1e20, 1e38, 1e300])
def test_a_huge_temperature_makes_all_equal(temperature):
    assert apply_temperature(torch.tensor([-50.0, 50.0, 3.0, 0.0]), temperature).tolist() == [0.25] * 4


# ---- top_k and min_p -----------------------------------------------------------------------------------------------


@given(WEIGHTS, st.integers(1, 14), st.sampled_from(DTYPES))
def test_top_k_keeps_the_k_best_and_their_equals(weights, k, dtype):
    probs = distribution(weights, dtype)
    kept = filter_top_k(probs, k)
    smallest = sorted(probs.tolist(), reverse=True)[:k][-1]
    due = torch.where(probs >= smallest, probs, 0)
    torch.testing.assert_close(kept, due / due.sum())
    assert (kept > 0).sum() >= min(k, (probs > 0).sum())


@given(WEIGHTS, st.floats(0, 1), st.sampled_from(DTYPES))
def test_min_p_keeps_what_is_near_the_best(weights, min_p, dtype):
    probs = distribution(weights, dtype)
    kept = filter_min_p(probs, min_p)
    due = torch.where(probs >= min_p * probs.max(), probs, 0)
    torch.testing.assert_close(kept, due / due.sum())
    assert kept[probs.argmax()] > 0


def test_the_filters_at_their_ends():
    probs = distribution([5, 3, 2, 0])
    torch.testing.assert_close(filter_top_k(probs, 1), torch.tensor([1.0, 0, 0, 0]))
    torch.testing.assert_close(filter_top_k(probs, 100), probs)
    torch.testing.assert_close(filter_min_p(probs, 0.0), probs)
    torch.testing.assert_close(filter_min_p(probs, 1.0), torch.tensor([1.0, 0, 0, 0]))
    torch.testing.assert_close(filter_min_p(distribution([2, 2, 1]), 1.0), torch.tensor([0.5, 0.5, 0]))


def test_the_filters_judge_each_row_alone():
    rows = torch.stack([distribution([5, 3, 2]), distribution([1, 1, 8])])
    for keep in (lambda p: filter_top_k(p, 2), lambda p: filter_min_p(p, 0.5), lambda p: nucleus(p, 0.6).renormalised):
        torch.testing.assert_close(keep(rows), torch.stack([keep(row) for row in rows]))


# ---- top_p ---------------------------------------------------------------------------------------------------------


@given(WEIGHTS, st.one_of(st.floats(0, 1), st.sampled_from([0.1, 0.25, 0.5, 0.75, 0.9])), st.sampled_from(DTYPES))
def test_kept_is_what_the_definition_says(weights, p, dtype):
    probs = distribution(weights, dtype)
    top = nucleus(probs, p)
    order = sorted(range(len(weights)), key=lambda i: -probs[i].item())  # stable: ties by id
    assert top.probs_idx.tolist() == order
    assert top.probs_sort.tolist() == [probs[i].item() for i in order]
    ladder = probs[order]
    mass_before = torch.cumsum(ladder, dim=0) - ladder  # in the dtype, where rounding decides a tie
    kept = [True] * len(order) if p == 1 else (mass_before <= p).tolist()
    assert top.mass_before.tolist() == mass_before.tolist()
    assert top.kept.tolist() == kept
    due = torch.where(torch.tensor(kept), ladder, 0)
    torch.testing.assert_close(top.renormalised, due / due.sum())
    assert top.renormalised.dtype == dtype


@given(WEIGHTS, st.floats(0, 1))
def test_the_nucleus_holds_at_least_p_and_no_token_too_many(weights, p):
    """Up to rounding: the kept mass reaches p, and before the last kept token it was at most p."""
    top = nucleus(distribution(weights, torch.float64), p)
    kept = top.probs_sort[top.kept]
    assert kept.sum() >= p - 1e-9
    if p < 1:
        assert kept[:-1].sum() <= p + 1e-9


@given(WEIGHTS, st.sampled_from(DTYPES))
def test_p_zero_keeps_the_best_alone(weights, dtype):
    probs = distribution(weights, dtype)
    top = nucleus(probs, 0.0)
    assert top.kept.tolist() == [True] + [False] * (len(weights) - 1)
    assert top.renormalised[0] == 1
    assert sample_top_p(probs[None], 0.0, generator()).item() == probs.argmax().item()


@given(st.integers(0, 2**32), st.sampled_from(DTYPES))
def test_p_one_keeps_all(seed, dtype):
    probs = torch.softmax(4 * torch.randn(2, 5000, generator=generator(seed)), dim=-1).to(dtype)
    assert nucleus(probs, 1.0).kept.all()
    assert nucleus(probs, 1).kept.all()


def test_rounding_can_carry_the_mass_past_one():
    """Why p = 1 must be a case of its own: in some of these the cumulative sum exceeds 1 before its end."""
    probs = torch.softmax(4 * torch.randn(50, 32_000, generator=generator()), dim=-1)
    top = nucleus(probs, 1.0)
    assert (top.mass_before > 1).any() and top.kept.all()


@pytest.mark.parametrize(
    ("dtype", "kept"), [(torch.float32, 3), (torch.float16, 3), (torch.float64, 4), (torch.bfloat16, 4)]
)
def test_the_example_of_the_notes(dtype, kept):
    """The fourth token meets a mass of .9 before it: whether that is "at most .9", rounding decides."""
    top = nucleus(torch.tensor(NOTES, dtype=dtype), 0.9)
    assert top.kept.sum() == kept
    torch.testing.assert_close(top.renormalised[:kept], torch.tensor(NOTES[:kept], dtype=dtype) / sum(NOTES[:kept]))


def test_an_exact_tie_is_kept():
    assert nucleus(torch.tensor([0.5, 0.25, 0.25]), 0.5).kept.tolist() == [True, True, False]
    assert nucleus(torch.tensor([0.5, 0.25, 0.25]), 0.75).kept.tolist() == [True, True, True]


# ---- drawing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0.35, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_follow_the_exact_nucleus(p, dtype):
    weights = [3, 0, 8, 1, 5, 5, 2, 1]
    order = sorted(range(8), key=lambda i: -weights[i])
    kept = [i for n, i in enumerate(order) if sum(weights[j] for j in order[:n]) / 25 <= p]
    due = torch.zeros(8, dtype=torch.float64)
    due[kept] = torch.tensor([float(weights[i]) for i in kept], dtype=torch.float64)
    due /= due.sum()
    n = 40_000
    drawn = sample_top_p(distribution(weights, dtype).expand(n, -1), p, generator(7))
    assert drawn.shape == (n, 1) and drawn.dtype == torch.int64
    assert chi_square(torch.bincount(drawn.flatten(), minlength=8), due) < 4


def test_draws_with_a_generator_each_follow_the_distribution():
    probs = torch.stack([distribution([1, 2, 3, 4]), distribution([4, 0, 0, 4])])
    generators = [generator(1), generator(2)]
    drawn = torch.cat([sample_top_p(probs, 1.0, generators) for _ in range(3000)], dim=1)
    for row, due in zip(drawn, probs.double(), strict=True):
        assert chi_square(torch.bincount(row, minlength=4), due) < 4


def test_low_precision_draws_stay_in_the_nucleus():
    for dtype in (torch.bfloat16, torch.float16):
        probs = torch.tensor(NOTES, dtype=dtype).flip(0)
        kept = set(nucleus(probs, 0.6).probs_idx[nucleus(probs, 0.6).kept].tolist())
        assert set(sample_top_p(probs.expand(2000, -1), 0.6, generator()).flatten().tolist()) == kept == {4, 3}


@given(st.integers(0, 1000), st.integers(1, 5), st.floats(0, 1))
def test_a_row_with_its_own_generator_ignores_its_neighbours(seed, bsz, p):
    probs = torch.softmax(torch.randn(bsz, 30, generator=generator(seed)), dim=-1)
    together = sample_top_p(probs, p, [generator(seed + k) for k in range(bsz)])
    alone = [sample_top_p(probs[k : k + 1], p, [generator(seed + k)]) for k in range(bsz)]
    assert together.shape == (bsz, 1)
    assert together.tolist() == [row.tolist()[0] for row in alone]


@given(
    st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.9, 0.999, 1.0]), st.sampled_from([0.0, 0.2, 3.0]), st.booleans()
)
def test_looking_at_the_most_probable_alone_changes_nothing(seed, p, spread, tied):
    """Rows whose nuclei are small, large, or end among equally probable tokens."""
    logits = spread * torch.randn(3, 1000, generator=generator(seed))
    probs = torch.softmax(logits.round() if tied else logits, dim=-1)
    sizes = nucleus(probs, p).kept.sum(-1)
    drawn = sample_top_p(probs, p, [generator(seed + k) for k in range(3)])
    for k, size in enumerate(sizes.tolist()):
        top = nucleus(probs[k], p)
        place = torch.multinomial(top.probs_sort[:size], 1, generator=generator(seed + k))
        assert drawn[k] == top.probs_idx[place] == sample_top_p(probs[k : k + 1], p, generator(seed + k))
    ids = ids_with_nucleus(probs, p)
    for k, size in enumerate(sizes.tolist()):
        assert ids >= set(nucleus(probs[k], p).probs_idx[:size].tolist())


def ids_with_nucleus(probs, p):
    few, ids = sampling._few_with_nucleus(probs, p)
    ids = torch.arange(probs.shape[-1]) if ids is None else ids
    assert torch.equal(few, probs[:, ids])
    return set(ids.tolist())


def test_small_nuclei_are_found_without_sorting_the_vocabulary():
    probs = torch.softmax(6 * torch.randn(2, 5000, generator=generator(1)), dim=-1)
    assert len(ids_with_nucleus(probs, 0.9)) < 400
    assert len(ids_with_nucleus(probs, 1.0)) == 5000


@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0.1, 2), st.sampled_from(DTYPES))
def test_what_is_left_out_is_never_in_a_nucleus(seed, p, mass, dtype):
    """Many tokens that are improbable alone and weigh much together; rows that do not sum to one; 16 bits too."""
    probs = torch.rand(2, 2000, generator=generator(seed)).exp2()
    probs[0, :5] = 2000
    probs = (mass * probs / probs.sum(-1, keepdim=True)).to(dtype)
    ids = ids_with_nucleus(probs, p)
    for k in range(2):
        top = nucleus(probs[k], p)
        assert ids >= set(top.probs_idx[top.kept].tolist())
        due = top.probs_idx[torch.multinomial(top.probs_sort[top.kept], 1, generator=generator(seed))]
        assert sample_top_p(probs[k : k + 1], p, generator(seed)) == due


@pytest.mark.parametrize(
    "row", [[0.5, math.nan, 0.5], [0.9, -0.1, 0.2], [0.0, 0.0, 0.0], [math.inf, 0.5, 0.5], [1.0, -math.inf, 0.1]]
)
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_a_row_that_is_no_distribution_is_refused_beside_one_that_is(row, p):
    probs = torch.tensor([[0.2, 0.3, 0.5], row])
    with pytest.raises(ValueError, match="^probs must be finite, at least 0, and above 0 somewhere in every row"):
        sample_top_p(probs, p, [generator(0), generator(1)])


def test_the_generator_decides():
    probs = torch.full((4, 1000), 1e-3)
    assert torch.equal(sample_top_p(probs, 0.9, generator(5)), sample_top_p(probs, 0.9, generator(5)))
    assert not torch.equal(sample_top_p(probs, 0.9, generator(5)), sample_top_p(probs, 0.9, generator(6)))
    before = torch.get_rng_state()
    sample_top_p(probs, 0.9, generator(5))
    sample_top_p(probs, 0.9, [generator(k) for k in range(4)])
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_generator_torchs_own_is_used():
    probs = torch.full((4, 1000), 1e-3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = sample_top_p(probs, 1.0)
        torch.manual_seed(3)
        assert torch.equal(sample_top_p(probs, 1.0), first)


def test_the_generators_are_as_many_as_the_rows():
    with pytest.raises(ValueError, match="generator: expected one for each of the 3 rows of probs, got 2"):
        sample_top_p(torch.full((3, 4), 0.25), 0.9, [generator(), generator()])


def test_draw_several():
    probs = distribution([1, 2, 5]).expand(2, -1)
    for source in (generator(), [generator(0), generator(1)]):
        drawn = draw(probs, source, num_samples=5000)
        assert drawn.shape == (2, 5000)
        for row in drawn:
            assert chi_square(torch.bincount(row, minlength=3), distribution([1, 2, 5]).double()) < 4


def test_probs_are_left_as_they_were():
    probs = torch.softmax(torch.randn(2, 9, generator=generator()), dim=-1)
    before = probs.clone()
    sample_top_p(probs, 0.5, generator())
    filter_top_k(probs, 2), filter_min_p(probs, 0.3), nucleus(probs, 0.5)
    assert torch.equal(probs, before)


@pytest.mark.parametrize("temperature", [-1, -1e-9, float("nan")])
def test_a_temperature_below_zero_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be a finite number of at least 0, got (-1|-1e-09|nan)"):
        apply_temperature(torch.zeros(3), temperature)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("function", [nucleus, sample_top_p])
def test_a_p_outside_zero_to_one_is_refused(function, p):
    with pytest.raises(ValueError, match="p must be a number from 0 to 1, got (-0.1|1.1|nan)"):
        function(distribution([1, 2, 3])[None], p)


@pytest.mark.parametrize("vocab_size", [50, 5120])
@pytest.mark.parametrize("p", [0.0, 0.5, 0.9, 1.0])
def test_one_generator_for_all_rows_draws_as_the_six_lines_of_notebook_07(vocab_size, p):
    """Over all columns, so that a thousand rows of any nuclei draw what the lines written by hand draw."""
    probs = torch.softmax(3 * torch.randn(1000, vocab_size, generator=generator(vocab_size)), dim=-1)
    probs_sort, probs_idx = torch.sort(probs, dim=-1, descending=True)
    mask = torch.cumsum(probs_sort, dim=-1) - probs_sort > p
    probs_sort = probs_sort.masked_fill(mask, 0.0) if p < 1 else probs_sort
    probs_sort = probs_sort / probs_sort.sum(dim=-1, keepdim=True)
    due = torch.gather(probs_idx, -1, torch.multinomial(probs_sort, 1, generator=generator(7)))
    assert torch.equal(sample_top_p(probs, p, generator(7)), due)
