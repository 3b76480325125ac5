"""Damaged, hostile and very old .pth files: read right or refused by name, and never with other bytes in a weight."""

import os
import pickle
import resource
import shutil
import struct
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch

from minillama import Llama, doctor, pth, shards
from minillama.checkpoint import read_weights

SHARD = "consolidated.00.pth"
WEIGHT = "layers.0.attention.wq.weight"


@pytest.fixture
def folder(checkpoint, tmp_path):
    return Path(shutil.copytree(checkpoint.folder, tmp_path / "copy"))


def check_refusal(folder, *words):
    """Llama.build raises exactly ValueError, soon, which names the file; a good call afterwards is as before."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError) as caught:
        Llama.build(folder, device="cpu")
    assert type(caught.value) is ValueError and time.perf_counter() - start < 5
    if sys.platform == "linux":
        limit = before + 64 * 1024 + (folder / SHARD).stat().st_size // 1024  # KiB
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss <= limit
    for word in ("ckpt_dir", str(folder / SHARD), *words):
        assert word in str(caught.value), f"{word!r} is missing in {str(caught.value)!r}"
    assert "weights_only" not in str(caught.value) and "\n" not in str(caught.value)


def rewritten(path, change=None, compression=zipfile.ZIP_STORED, extra=()):
    """The zip written anew: change(name, data) gives the bytes of each record, None to leave it out."""
    with zipfile.ZipFile(path) as archive:
        records = {record.filename: archive.read(record) for record in archive.infolist()}
    with zipfile.ZipFile(path.with_suffix(".new"), "w", compression) as archive:
        for name, data in (*records.items(), *extra):
            data = data if change is None else change(name, data)
            if data is not None:
                archive.writestr(name, data)
    path.with_suffix(".new").replace(path)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)


def record(path, key):
    """(where its bytes begin, how many) of the record of a storage."""
    with zipfile.ZipFile(path) as archive:
        found = next(each for each in archive.infolist() if each.filename.endswith(f"/data/{key}"))
    with open(path, "rb") as file:
        return pth._begin(file, found), found.file_size


# ---- what is read --------------------------------------------------------------------------------------------------


def test_the_course_model_and_models_that_torch_saves_in_other_ways(checkpoint, folder, tmp_path):
    state = checkpoint.model.state_dict()
    shared = torch.cat([weight.flatten() for weight in state.values()])  # one storage for all
    parts = shared.split([weight.numel() for weight in state.values()])
    views = {key: part.view(weight.shape) for (key, weight), part in zip(state.items(), parts, strict=True)}
    parameters = {key: torch.nn.Parameter(weight) for key, weight in state.items()}
    for content in (state, dict(state), views, parameters):
        torch.save(content, folder / SHARD)
        weights = read_weights(folder)
        assert all(torch.equal(weights[key][...], weight) for key, weight in state.items())


def test_a_file_as_torch_wrote_it_before_2020(checkpoint, folder, llama):
    torch.save(checkpoint.model.state_dict(), folder / SHARD, _use_new_zipfile_serialization=False)
    assert (folder / SHARD).read_bytes()[:2] != b"PK"
    ours = Llama.build(folder, device="cpu")
    assert ours.generate([[1, 300]], 8, temperature=0) == llama.generate([[1, 300]], 8, temperature=0)


def test_checksums_may_be_left_out(checkpoint, folder):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(checkpoint.model.state_dict(), folder / SHARD)
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_weights(folder)[WEIGHT][...], checkpoint.model.state_dict()[WEIGHT])
    shards.check_sums(folder)


def test_a_zip_that_another_program_wrote_as_it_is(folder, checkpoint):
    rewritten(folder / SHARD)
    assert torch.equal(read_weights(folder)[WEIGHT][...], checkpoint.model.state_dict()[WEIGHT])


# ---- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [0, 1, 64, -4])
def test_a_record_that_is_cut_short(folder, left):
    """torch fills the weight with the bytes that come next."""
    rewritten(folder / SHARD, lambda name, data: data[:left] if name.endswith("/data/2") else data)
    check_refusal(folder, "data/2 has", "claim")


def test_a_record_that_is_too_long_or_missing(folder):
    rewritten(folder / SHARD, lambda name, data: data + b"1234" if name.endswith("/data/2") else data)
    check_refusal(folder, "data/2 has", "claim")
    rewritten(folder / SHARD, lambda name, data: None if name.endswith("/data/2") else data)
    check_refusal(folder, "data/2 is missing")


def test_records_that_are_compressed(folder):
    rewritten(folder / SHARD, compression=zipfile.ZIP_DEFLATED)
    check_refusal(folder, "compressed")


def test_a_zip_bomb(folder):
    """A pickle, or a weight, that is a thousand times as large as the file."""
    zeros = (("archive/data/99", bytes(20 * 2**20)),)
    rewritten(folder / SHARD, compression=zipfile.ZIP_DEFLATED, extra=zeros)
    assert (folder / SHARD).stat().st_size < 2**20
    check_refusal(folder, "compressed")


@pytest.mark.parametrize("bit", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_flipped_bit(folder, bit):
    begin, size = record(folder / SHARD, 3)
    flip(folder / SHARD, begin + int(bit * size))
    check_refusal(folder, "data/3 does not have its checksum")


def test_doctor_compares_all_checksums(folder, monkeypatch, capsys):
    """build leaves it out where it takes long."""
    monkeypatch.setattr(shards, "SUMMED", 1000)
    monkeypatch.setattr(doctor, "_font", lambda: ("font", True, ""))  # slow to look for
    assert doctor.examine(folder)
    flip(folder / SHARD, record(folder / SHARD, 3)[0] + 8)
    assert Llama.build(folder, device="cpu")
    assert not doctor.examine(folder)
    assert "data/3 does not have its checksum" in capsys.readouterr().out


@pytest.mark.parametrize("left", [-1, -8, -1000, 5000, 200, 30])
def test_an_old_file_that_is_cut_off(checkpoint, folder, left):
    torch.save(checkpoint.model.state_dict(), folder / SHARD, _use_new_zipfile_serialization=False)
    (folder / SHARD).write_bytes((folder / SHARD).read_bytes()[:left])
    check_refusal(folder, "copy it again")


@pytest.mark.parametrize("where", ["the list", "a header", "the end"])
def test_a_zip_whose_parts_are_not_where_they_should_be(folder, where):
    rewritten(folder / SHARD)
    data = (folder / SHARD).read_bytes()
    header = data.rindex(b"PK\3\4", 0, record(folder / SHARD, 3)[0])
    place = {"the list": data.rindex(b"PK\1\2") + 42, "a header": header, "the end": len(data) - 6}[where]
    changed = bytearray(data)
    changed[place] ^= 0x55
    (folder / SHARD).write_bytes(changed)
    check_refusal(folder, "broken")


# ---- hostile pickles -------------------------------------------------------------------------------------------------


class Call:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("function", [bytearray, bytes, print, getattr, os.system])
def test_calls_in_a_pickle(folder, is_old, function):
    """torch itself calls bytearray, which takes as much memory as the file asks for."""
    state = {"norm.weight": torch.ones(32), "more": Call(function, 3 << 30)}
    torch.save(state, folder / SHARD, _use_new_zipfile_serialization=not is_old)
    check_refusal(folder, "more than tensors", "refused unread")


KINDS = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "meta": lambda: torch.empty(3, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "float8": lambda: torch.ones(3).to(torch.float8_e4m3fn),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_of_other_kinds(folder, kind):
    torch.save({"norm.weight": KINDS[kind]()}, folder / SHARD)
    check_refusal(folder, "expected plain dense tensors")


def archive_of(path, pickled, **records):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {"data.pkl": pickled, "version": b"3", **records}.items():
            archive.writestr(f"a/{name}", data)


STORAGE = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0kX\3\0\0\0cpu%stQ"
TENSOR = b"\x80\2}X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE
TENSOR += b"K\0%s\x85K\1\x85\x89ccollections\nOrderedDict\n)RtRs."
PICKLES = {
    "a storage of 2**62 numbers": TENSOR % (b"\x8a\x08" + struct.pack("<Q", 2**62), b"K\1"),
    "a storage of -1 numbers": TENSOR % (b"J\xff\xff\xff\xff", b"K\1"),
    "a tensor larger than its storage": TENSOR % (b"K\4", b"\x8a\6" + struct.pack("<Q", 2**40)[:6]),
    "no storage": b"\x80\2}X\1\0\0\0wK\1Qs.",
    "nothing to take": b"\x80\2Q.",
    "a storage of another kind": (TENSOR % (b"K\4", b"K\4")).replace(b"FloatStorage", b"QInt8Storage"),
    "cut off": (TENSOR % (b"K\4", b"K\4"))[:50],
    "no pickle": b"\xff" * 100,
    "empty": b"",
    "marks alone": b"\x80\2" + b"(" * 1000 + b".",
    "tuples in tuples": b"\x80\2" + b")" + b"\x85" * 20_000 + b".",
    "too many steps": b"\x80\2" + b"N" * 300_000 + b".",
    "a long text": b"\x80\2X\xff\xff\xff\x7fabc.",
    "a later protocol": pickle.dumps({"a": Call(os.getcwd)}, 4),
}


@pytest.mark.parametrize("what", PICKLES)
def test_hostile_pickles(folder, what):
    archive_of(folder / SHARD, PICKLES[what], **{"data/k": bytes(16)})
    check_refusal(folder)


def test_two_lengths_of_one_storage(folder):
    one = TENSOR % (b"K\4", b"K\4")
    two = one[:-1].replace(b"\x80\2", b"") + (TENSOR % (b"K\5", b"K\4"))[2:]
    archive_of(folder / SHARD, b"\x80\2" + two, **{"data/k": bytes(16)})
    check_refusal(folder, "disagree on the length of data/k")


def test_a_second_archive_inside(folder):
    """What is looked at is what torch reads."""
    with zipfile.ZipFile(folder / SHARD, "w") as archive:
        archive.writestr("b/version", b"3")
        archive.writestr("b/data.pkl", pickle.dumps({"a": Call(bytearray, 3 << 30)}, 2))
        archive.writestr("a/data.pkl", pickle.dumps({}, 2))
    check_refusal(folder, "more than tensors", "bytearray")
    with zipfile.ZipFile(folder / SHARD, "w") as archive:
        archive.writestr("b/version", b"3")
        archive.writestr("a/data.pkl", pickle.dumps({}, 2))
    check_refusal(folder, "has no data.pkl")


def test_a_record_twice(folder):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(folder / SHARD, "a") as archive:
        archive.writestr(archive.namelist()[0], b"")
    check_refusal(folder, "one name")


def test_what_is_no_file(folder):
    (folder / SHARD).unlink()
    (folder / SHARD).mkdir()
    check_refusal(folder, "is no file")
    (folder / SHARD).rmdir()
    if hasattr(os, "mkfifo"):  # opening one waits for ever
        os.mkfifo(folder / SHARD)
        check_refusal(folder, "is no file")


def test_a_sparse_file(folder):
    with open(folder / SHARD, "wb") as file:
        file.truncate(2**40)
    start = time.perf_counter()
    with pytest.raises(ValueError, match="broken or cut off"):
        Llama.build(folder, device="cpu")
    assert time.perf_counter() - start < 1
