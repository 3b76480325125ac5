"""The network: against transformers, against itself with a cache, and each part against its definition."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillama.model import (
    KVCache,
    ModelArgs,
    RMSNorm,
    Transformer,
    apply_rotary_emb,
    precompute_freqs_cis,
)
from tests import peers
from tests.examples import examples

TOLERANCE = {"rtol": 0, "atol": 1e-4}


def some_tokens(bsz, seqlen, vocab_size=24, seed=0):
    return torch.randint(3, vocab_size, (bsz, seqlen), generator=torch.Generator().manual_seed(seed))


# ---- against transformers ------------------------------------------------------------------------------------------


def random_sizes(seed):
    """Sizes drawn from `seed`: multi-head, grouped-query and multi-query attention in turn."""
    generator = torch.Generator().manual_seed(seed)

    def pick(*choices):
        return choices[torch.randint(len(choices), (), generator=generator).item()]

    n_heads = pick(2, 4, 6, 8)
    n_kv_heads = (n_heads, n_heads // 2, 1)[seed % 3]
    return {
        "n_heads": n_heads,
        "n_kv_heads": n_kv_heads,
        "dim": n_heads * pick(2, 4, 8, 10),
        "n_layers": pick(1, 2, 3),
        "hidden_dim": pick(None, 17, 64),
        "multiple_of": pick(8, 32),
        "ffn_dim_multiplier": pick(None, 1.3),
        "rope_theta": pick(10_000.0, 1_000_000.0, 100.0),
        "norm_eps": pick(1e-6, 1e-5, 1e-2),
        "vocab_size": pick(11, 50, 129),
        "max_seq_len": 32,
    }


@pytest.mark.parametrize("seed", range(24))
def test_parity_with_transformers(seed, random_llama):
    llama = random_llama(seed, **random_sizes(seed))
    model, network = llama.model, peers.to_transformers(llama.model)
    tokens = some_tokens(3, 19, model.params.vocab_size, seed)
    with torch.no_grad():
        torch.testing.assert_close(model(tokens, 0), network(tokens).logits, **TOLERANCE)
    for row in tokens[:, :6].tolist():
        ours, _ = llama.generate([row], max_gen_len=12, temperature=0)
        theirs = network.generate(
            torch.tensor([row]), attention_mask=torch.ones(1, len(row)), do_sample=False, max_new_tokens=12
        )
        assert ours[0] == [i for i in theirs[0, len(row) :].tolist() if i != 2]


def test_random_sizes_cover_the_kinds_of_attention():
    sizes = [random_sizes(seed) for seed in range(24)]
    kinds = {(s["n_kv_heads"] == s["n_heads"], s["n_kv_heads"] == 1) for s in sizes}
    assert {(True, False), (False, True), (False, False)} <= kinds
    for name in ("dim", "n_layers", "hidden_dim", "rope_theta", "norm_eps", "vocab_size"):
        assert len({s[name] for s in sizes}) > 1, name


# ---- the cache -----------------------------------------------------------------------------------------------------

LENGTH = 12


@pytest.fixture(scope="module")
def pair(random_model, without_cache):
    """A model with a cache, which is larger than what the tests fill, and one without; tokens; the logits due."""
    model = random_model(3, max_seq_len=LENGTH + 3)
    plain = without_cache(model)
    model.setup_cache(max_batch_size=4, max_seq_len=LENGTH + 3)
    tokens = some_tokens(3, LENGTH)
    with torch.no_grad():
        return model, plain, tokens, plain(tokens, 0)


def spoil(model):
    """Fill the cache with what must never be read."""
    for layer in model.layers:
        layer.attention.cache.k.fill_(1e4)
        layer.attention.cache.v.fill_(-1e4)


@torch.no_grad()
def in_pieces(model, tokens, cuts, position=int):
    borders = [0, *cuts, tokens.shape[1]]
    return torch.cat(
        [model(tokens[:, a:b], position(a)) for a, b in zip(borders, borders[1:], strict=False) if a < b], dim=1
    )


@pytest.mark.parametrize("position", [int, torch.tensor], ids=["int", "tensor"])
@pytest.mark.parametrize("cut", range(LENGTH + 1))
def test_two_pieces_are_the_whole(pair, cut, position):
    model, _, tokens, due = pair
    spoil(model)
    torch.testing.assert_close(in_pieces(model, tokens, [cut], position), due, **TOLERANCE)


@examples(40)
@given(st.lists(st.integers(0, LENGTH), max_size=LENGTH).map(sorted), st.sampled_from([int, torch.tensor]))
def test_any_pieces_are_the_whole(pair, cuts, position):
    model, _, tokens, due = pair
    spoil(model)
    torch.testing.assert_close(in_pieces(model, tokens, cuts, position), due, **TOLERANCE)


@pytest.mark.parametrize("cuts", [(1, 2), (4, 8), (5, 6), (1, 11)])
@pytest.mark.parametrize("position", [int, torch.tensor], ids=["int", "tensor"])
def test_three_pieces_are_the_whole(pair, cuts, position):
    model, _, tokens, due = pair
    spoil(model)
    torch.testing.assert_close(in_pieces(model, tokens, cuts, position), due, **TOLERANCE)


def test_int_and_tensor_positions_may_alternate(pair):
    model, _, tokens, due = pair
    spoil(model)
    positions = iter([int, torch.tensor, int, torch.tensor])
    torch.testing.assert_close(in_pieces(model, tokens, [3, 4, 9], lambda a: next(positions)(a)), due, **TOLERANCE)


def test_a_rewound_sequence_forgets_what_it_overwrites(pair):
    model, plain, tokens, _ = pair
    other = some_tokens(3, 5, seed=9)
    in_pieces(model, tokens, [])
    with torch.no_grad():
        torch.testing.assert_close(
            model(other, 4), plain(torch.cat([tokens[:, :4], other], dim=1), 0)[:, 4:], **TOLERANCE
        )


def test_fewer_rows_than_the_cache_leave_the_others_alone(pair):
    model, _, tokens, due = pair
    in_pieces(model, tokens, [])
    untouched = [layer.attention.cache.k[1:].clone() for layer in model.layers]
    torch.testing.assert_close(in_pieces(model, tokens[:1], [5]), due[:1], **TOLERANCE)
    for layer, before in zip(model.layers, untouched, strict=True):
        assert torch.equal(layer.attention.cache.k[1:], before)


def test_last_only_is_the_last_column(pair):
    model, plain, tokens, due = pair
    with torch.no_grad():
        for network in (model, plain):
            last = network(tokens, 0, last_only=True)
            assert last.shape == (3, 1, 24)
            torch.testing.assert_close(last, due[:, -1:], **TOLERANCE)
        torch.testing.assert_close(model(tokens[:, 7:], 7, last_only=True), due[:, -1:], **TOLERANCE)


def test_the_future_is_not_seen(pair):
    _, plain, tokens, due = pair
    changed = tokens.clone()
    changed[:, 7:] = 3
    with torch.no_grad():
        torch.testing.assert_close(plain(changed, 0)[:, :7], due[:, :7], rtol=0, atol=1e-6)


def test_update_returns_what_may_be_attended_to():
    k = torch.arange(1.0, 3.0).reshape(1, 2, 1, 1)
    cache = KVCache(max_batch_size=2, max_seq_len=5, n_kv_heads=1, head_dim=1)
    keys, values, mask = cache.update(0, k, -k)
    assert keys.flatten().tolist() == [1, 2] and values.flatten().tolist() == [-1, -2] and mask is None
    keys, _, mask = cache.update(2, k, k)
    assert keys.flatten().tolist() == [1, 2, 1, 2]
    assert mask.int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    keys, _, mask = cache.update(torch.tensor(2), k, k)
    assert keys.shape == (1, 5, 1, 1) and keys.flatten().tolist() == [1, 2, 1, 2, 0]
    assert mask.int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]


def test_the_cache_is_no_part_of_a_checkpoint(random_model):
    model = random_model()
    keys = model.state_dict().keys()
    model.setup_cache(2, 8)
    assert model.state_dict().keys() == keys


def test_setup_cache_sets_sizes_dtype_and_rotations(random_model):
    model = random_model(max_seq_len=8).to(torch.bfloat16)
    model.setup_cache(max_batch_size=2, max_seq_len=20)
    cache = model.layers[0].attention.cache
    assert cache.k.shape == cache.v.shape == (2, 20, 2, 8) and cache.k.dtype == torch.bfloat16
    assert (model.params.max_batch_size, model.params.max_seq_len) == (2, 20)
    assert model(torch.ones(2, 20, dtype=torch.long), 0).shape == (2, 20, 24)


@pytest.mark.parametrize("start_pos", [3, torch.tensor(0), torch.tensor(3)])
def test_a_position_without_a_cache_is_refused(random_model, start_pos):
    with pytest.raises(ValueError, match="start_pos must be 0 without a cache.*setup_cache"):
        random_model()(some_tokens(1, 2), start_pos)


def test_tokens_outside_the_cache_are_refused(pair):
    model, _, _, _ = pair
    for start_pos, seqlen in ((0, 16), (10, 6), (15, 1)):
        with pytest.raises(ValueError, match=f"positions {start_pos} to .* outside 0 to 14"):
            model(some_tokens(1, seqlen), start_pos)
    with pytest.raises(ValueError, match="5 rows, the cache has 4; call setup_cache"):
        model(some_tokens(5, 2), 0)


# ---- gradients and dtypes ------------------------------------------------------------------------------------------


def test_gradients_reach_every_weight_without_a_cache(random_model):
    model = random_model()
    model(some_tokens(2, 6), 0).square().mean().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_rotations_stay_complex64_whatever_the_weights_become(random_model, dtype):
    model = random_model()
    before = model.freqs_cis.clone()
    model = model.to(dtype)
    assert model.freqs_cis.dtype == torch.complex64 and torch.equal(model.freqs_cis, before)
    logits = model(some_tokens(1, 4), 0)
    assert logits.dtype == torch.float32 and logits.isfinite().all()


def test_bfloat16_is_near_float32(random_model):
    model, tokens = random_model(), some_tokens(2, 10)
    exact = model(tokens, 0)
    rough = model.to(torch.bfloat16)(tokens, 0)
    assert (rough - exact).abs().max() < 0.1 * exact.abs().max()


# ---- parts ---------------------------------------------------------------------------------------------------------


def test_rms_norm_against_its_definition():
    x = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    norm = RMSNorm(8, eps=0.1)
    norm.weight.data = torch.linspace(-1, 2, 8)
    due = x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 0.1) * norm.weight
    torch.testing.assert_close(norm(x), due)


def test_rms_norm_casts_before_it_multiplies():
    x = torch.randn(50, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    norm = RMSNorm(16, eps=1e-5).bfloat16()
    norm.weight.data.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
    normed = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5)
    assert torch.equal(norm(x), normed.bfloat16() * norm.weight)
    assert not torch.equal(norm(x), (normed * norm.weight.float()).bfloat16())


def test_rotary_embedding_turns_neighbouring_pairs():
    freqs_cis = precompute_freqs_cis(head_dim=4, end=6, theta=100.0)
    x = torch.randn(1, 6, 2, 4, generator=torch.Generator().manual_seed(0))
    turned, _ = apply_rotary_emb(x, x[:, :, :1], freqs_cis)
    for m in range(6):
        for pair_no, frequency in enumerate((1.0, 0.1)):
            angle = torch.tensor(m * frequency)
            a, b = x[0, m, :, 2 * pair_no], x[0, m, :, 2 * pair_no + 1]
            torch.testing.assert_close(turned[0, m, :, 2 * pair_no], a * angle.cos() - b * angle.sin())
            torch.testing.assert_close(turned[0, m, :, 2 * pair_no + 1], a * angle.sin() + b * angle.cos())


def test_scores_depend_on_distance_alone():
    freqs_cis = precompute_freqs_cis(head_dim=8, end=20)
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(0))

    def score(m, n):
        return (apply_rotary_emb(q, q, freqs_cis[[m]])[0] * apply_rotary_emb(k, k, freqs_cis[[n]])[1]).sum()

    torch.testing.assert_close(score(3, 1), score(19, 17))
    torch.testing.assert_close(score(5, 5), (q * k).sum())


@pytest.mark.parametrize(
    ("sizes", "width"),
    [
        ({"dim": 4096}, 11008),  # Llama 2 7B
        ({"dim": 5120, "n_heads": 40}, 13824),  # 13B
        ({"dim": 8192, "n_heads": 64, "n_kv_heads": 8, "ffn_dim_multiplier": 1.3, "multiple_of": 4096}, 28672),  # 70B
        ({"dim": 4096, "hidden_dim": 123}, 123),
    ],
)
def test_ffn_width(sizes, width):
    assert ModelArgs(**sizes).ffn_width() == width


def test_the_keys_are_those_of_metas_checkpoints():
    with torch.device("meta"):
        keys = set(Transformer(ModelArgs(dim=16, n_layers=2, n_heads=2, vocab_size=9)).state_dict())
    layer = "attention.wq attention.wk attention.wv attention.wo feed_forward.w1 feed_forward.w2 feed_forward.w3"
    names = [f"layers.{n}.{part}" for n in range(2) for part in f"{layer} attention_norm ffn_norm".split()]
    assert keys == {f"{name}.weight" for name in [*names, "tok_embeddings", "norm", "output"]}


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"dim": 0}, "ModelArgs.dim must be a whole number of at least 1, got 0"),
        ({"dim": 64.0}, "ModelArgs.dim must be a whole number"),
        ({"n_layers": True}, "ModelArgs.n_layers must be a whole number"),
        ({"dim": 100, "n_heads": 3}, "dim=100, n_heads=3"),
        ({"dim": 12, "n_heads": 4}, "an even head size, got dim=12, n_heads=4"),
        ({"dim": 64, "n_heads": 4, "n_kv_heads": 3}, "multiple of n_kv_heads, got 4 and 3"),
        ({"max_seq_len": -1}, "ModelArgs.max_seq_len must be"),
    ],
)
def test_impossible_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        ModelArgs(**sizes)


def test_a_vocabulary_must_be_known():
    with pytest.raises(ValueError, match="vocab_size must be at least 1, got -1; take tokenizer.n_words"):
        Transformer(ModelArgs(dim=16, n_layers=1, n_heads=2))


def test_a_model_keeps_to_itself(random_model):
    """Two models from one ModelArgs: the cache of one changes neither the other nor the caller's sizes."""
    args = ModelArgs(dim=16, n_layers=1, n_heads=2, vocab_size=9, max_seq_len=100, max_batch_size=3)
    first, second = Transformer(args), Transformer(args)
    mine = first.params
    first.setup_cache(1, 64)
    assert second(torch.ones(1, 100, dtype=torch.long), 0).shape == (1, 100, 9)
    assert (args.max_batch_size, args.max_seq_len) == (mine.max_batch_size, mine.max_seq_len) == (3, 100)
    assert (first.params.max_batch_size, first.params.max_seq_len, first.context) == (1, 64, 100)
    assert Transformer(args).context == 100
    args.max_seq_len = 5
    assert second.params.max_seq_len == 100


@pytest.mark.parametrize("sizes", [(0, 8), (1, 0), (1, -5), (1.5, 8)])
def test_a_cache_of_an_impossible_size_is_refused(random_model, sizes):
    model = random_model()
    with pytest.raises(ValueError, match="ModelArgs.max_(batch_size|seq_len) must be a whole number"):
        model.setup_cache(*sizes)
    assert model.params.max_seq_len == 24 and model.layers[0].attention.cache is None
