"""Checkpoints in several files: the parts make the whole, also in slices; what does not belong together is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillama import Llama
from minillama.checkpoint import MetaFolder, load, read_weights
from minillama.shards import SPLIT_DIM, last_word
from minillama.stored import MergedWeight

SHARD = "consolidated.{:02}.pth"


def split(state: dict, n: int, dims: dict = SPLIT_DIM) -> list[dict]:
    """The state dicts of n shards."""
    parts = {key: whole.chunk(n, dims[last_word(key)]) if dims[last_word(key)] is not None else [whole] * n
             for key, whole in state.items()}  # fmt: skip
    return [{key: each[k].clone() for key, each in parts.items()} for k in range(n)]


def write(folder: Path, shards: list[dict]) -> Path:
    for path in folder.glob("consolidated.*"):
        path.unlink()
    for k, shard in enumerate(shards):
        torch.save({**shard, "rope.freqs": torch.ones(4)}, folder / SHARD.format(k))
    return folder


@pytest.fixture(scope="module")
def whole(random_model):
    """The weights of a model that can be split in 1, 2 and 4."""
    return random_model(3, vocab_size=400, n_kv_heads=4).state_dict()


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A folder with everything but the weights of `whole`."""
    folder = Path(shutil.copytree(checkpoint.folder, tmp_path / "shards"))
    (folder / "params.json").write_text(json.dumps(checkpoint.params | {"n_kv_heads": 4}))
    return folder


# ---- reading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("embeddings", [0, 1], ids=["as Llama 3", "as Llama 2"])
def test_the_parts_make_the_whole(whole, folder, n, embeddings):
    write(folder, split(whole, n, SPLIT_DIM | {"tok_embeddings": embeddings}))
    weights = read_weights(folder)
    assert weights.keys() == whole.keys()
    for key, tensor in whole.items():
        assert weights[key].shape == tensor.shape and weights[key].kind == "float32"
        assert torch.equal(weights[key][...], tensor), key
    model = load(MetaFolder(folder), 400, torch.device("cpu"), torch.float32)
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in whole.items())


def test_shapes_of_the_shards_of_llama_2(whole):
    """With 2 of 4 key and value heads each, half the hidden units, half of every embedding."""
    shard = split(whole, 2)[1]
    layer = {key.removeprefix("layers.1."): tuple(t.shape) for key, t in shard.items() if key.startswith("layers.1.")}
    assert layer == {
        "attention.wq.weight": (16, 32),
        "attention.wk.weight": (16, 32),
        "attention.wv.weight": (16, 32),
        "attention.wo.weight": (32, 16),
        "feed_forward.w1.weight": (24, 32),
        "feed_forward.w2.weight": (32, 24),
        "feed_forward.w3.weight": (24, 32),
        "attention_norm.weight": (32,),
        "ffn_norm.weight": (32,),
    }
    assert shard["tok_embeddings.weight"].shape == (400, 16) and shard["output.weight"].shape == (200, 32)


edge = st.none() | st.integers(-9, 9)
cut = st.builds(slice, edge, edge)


@given(st.integers(1, 4), st.sampled_from([0, 1]), st.lists(cut, min_size=1, max_size=2))
def test_a_slice_is_the_slice_of_the_whole(n, dim, index):
    tensor = torch.arange(8 * 8).view(8, 8)
    weight = MergedWeight(tensor.tensor_split(n, dim), dim)
    assert torch.equal(weight[tuple(index)], tensor[tuple(index)])
    assert torch.equal(weight[index[0]], tensor[index[0]])


def test_a_slice_touches_only_the_parts_it_needs():
    parts = [torch.zeros(2, 3), torch.ones(2, 3), torch.empty(2, 3, device="meta")]  # the last has no numbers
    weight = MergedWeight(parts, 0)
    assert weight[1:4, :2].tolist() == [[0, 0], [1, 1], [1, 1]]
    assert weight[2:4].data_ptr() == parts[1].data_ptr()


@pytest.mark.parametrize("index", [0, None, (slice(1), 0), slice(0, 4, 2), (slice(1),) * 3, torch.tensor([0])])
def test_anything_but_slices_is_refused(index):
    with pytest.raises(TypeError, match=r"\(4, 3\) takes"):
        MergedWeight([torch.zeros(2, 3)] * 2, 0)[index]


def test_weights_come_from_the_file_one_by_one(whole, folder, monkeypatch):
    """Mapped, not read: a merged weight is made when it is asked for, and the files stay what is behind the parts."""
    weights = read_weights(write(folder, split(whole, 2)))
    made, cat = [], torch.cat
    monkeypatch.setattr(torch, "cat", lambda tensors, dim: made.append(1) or cat(tensors, dim))
    assert weights["output.weight"][:200].data_ptr() == weights["output.weight"].parts[0].data_ptr() and not made
    assert weights["output.weight"][...].shape == (400, 32) and made == [1]


def test_bfloat16_shards(whole, folder):
    write(folder, split({key: tensor.bfloat16() for key, tensor in whole.items()}, 2))
    model = load(MetaFolder(folder), 400, torch.device("cpu"), torch.float32)
    assert all(torch.equal(model.state_dict()[key], tensor.bfloat16().float()) for key, tensor in whole.items())


def test_fields_of_newer_params(whole, folder):
    params = json.loads((folder / "params.json").read_text())
    (folder / "params.json").write_text(json.dumps(params | {"use_scaled_rope": False, "rope_theta": 500000.0}))
    model = load(MetaFolder(write(folder, split(whole, 2))), 400, torch.device("cpu"), torch.float32)
    assert model.params.rope_theta == 500000.0


# ---- what does not belong together ---------------------------------------------------------------------------------


def check_refusal(folder, *words):
    with pytest.raises(ValueError) as caught:
        Llama.build(folder, device="cpu")
    assert type(caught.value) is ValueError
    for word in ("ckpt_dir", str(folder), *words):
        assert word in str(caught.value), f"{word!r} is missing in {str(caught.value)!r}"


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_gap_in_the_numbers(whole, folder, missing):
    write(folder, split(whole, 4))
    (folder / SHARD.format(missing)).unlink()
    check_refusal(folder, SHARD.format(missing + 1), f"expected {SHARD.format(missing)}")


def test_the_last_shard_is_missing(whole, folder):
    write(folder, split(whole, 4)[:3])
    check_refusal(folder, "one of 4 parts", "has 3 of them", "consolidated.03.pth")
    write(folder, split(whole, 2)[:1])
    check_refusal(folder, "one of 2 parts", "has 1 of them", "consolidated.01.pth")


def test_params_that_claim_a_billion_layers(whole, folder):
    params = json.loads((folder / "params.json").read_text())
    (folder / "params.json").write_text(json.dumps(params | {"n_layers": 10**9}))
    check_refusal(write(folder, split(whole, 2)), "params.json", "n_layers=1000000000")


def test_a_shard_too_many(whole, folder):
    write(folder, [whole, whole])
    check_refusal(folder, "the whole model", "has 2 of them", "consolidated.00.pth alone")


def test_two_numberings(whole, folder):
    write(folder, split(whole, 2))
    shutil.copy(folder / SHARD.format(0), folder / "consolidated.0.pth")
    check_refusal(folder, "expected consolidated.01.pth")


def test_other_files_are_left_alone(whole, folder):
    write(folder, split(whole, 2))
    (folder / "consolidated.00.pth.part").write_bytes(b"")
    (folder / "consolidated.old.pth").write_bytes(b"")
    assert read_weights(folder).keys() == whole.keys()


def test_shards_of_two_models(whole, random_model, folder):
    other = random_model(4, vocab_size=400, n_kv_heads=4).state_dict()
    write(folder, [split(whole, 2)[0], split(other, 2)[1]])
    check_refusal(folder, "consolidated.01.pth", "consolidated.00.pth are not two shards", "norm.weight differ")


def test_the_same_shard_twice(whole, folder):
    write(folder, [split(whole, 2)[0]] * 2)
    check_refusal(folder, "consolidated.01.pth", "both hold the same part")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda shard: shard.pop("layers.1.feed_forward.w2.weight"), ["only consolidated.00.pth has layers.1.feed_fo"]),
        (lambda shard: shard.update(extra=torch.ones(2)), ["only consolidated.01.pth has extra"]),
        (lambda shard: shard.update({"output.weight": torch.ones(100, 32)}), ["(100, 32) and (200, 32)"]),
        (lambda shard: shard.update({"output.weight": torch.ones(200, 32).half()}), ["float16 and torch.float32"]),
        (
            lambda shard: shard.update({"output.weight": torch.ones(200, 32).int()}),
            ["int32", "dense tensor of float32"],
        ),
        (lambda shard: shard.update({"norm.weight": torch.ones(32).to_sparse()}), ["sparse"]),
        (lambda shard: shard.update({"output.weight": torch.ones(1, 1).expand(10**9, 32)}), ["(1000000000, 32)"]),
    ],
)
def test_a_shard_that_differs(whole, folder, change, words):
    shards = split(whole, 2)
    change(shards[1])
    check_refusal(write(folder, shards), "consolidated.01.pth", *words)


def test_what_is_wrong_in_every_shard(whole, folder):
    shards = split(whole, 2)
    for shard in shards:
        shard["surplus"] = torch.ones(2, 2)
    check_refusal(write(folder, shards), "has surplus, which is no weight of this model")
    shards = split(whole, 2)
    for shard in shards:
        shard["output.weight"] = torch.ones(6400)
    check_refusal(write(folder, shards), "output.weight", "(6400,)", "expected a matrix")
    shards = split(whole, 2)
    for shard in shards:
        del shard["layers.0.attention.wq.weight"], shard["norm.weight"]
    check_refusal(write(folder, shards), "missing layers.0.attention.wq.weight, norm.weight")


@pytest.mark.parametrize("left", [0, 100, -100])
def test_a_shard_that_is_cut_off(whole, folder, left):
    write(folder, split(whole, 2))
    path = folder / SHARD.format(1)
    path.write_bytes(path.read_bytes()[:left])
    check_refusal(folder, "consolidated.01.pth", "broken or cut off")


class Intruder:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.write_text, (self.target, "ran"))


def test_no_code_in_any_shard_is_run(whole, folder, tmp_path):
    shards = split(whole, 2)
    shards[1]["norm.weight"] = Intruder(tmp_path / "intruder")
    check_refusal(write(folder, shards), "consolidated.01.pth", "more than tensors")
    assert not (tmp_path / "intruder").exists()
