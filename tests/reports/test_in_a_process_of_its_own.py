"""What ends a process, fills its memory or leaves files behind is tried in a process of its own."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from minillama import Llama
from minillama.formats import export
from minillama.pth import OLD
from tests.fuzz.originals import model, originals, place, sentencepiece

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.full
BEGIN = """
import json, os, resource, sys, time
from minillama import Llama
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
"""


def run(code: str, *argv, **variables) -> list:
    """What the code prints, each line as JSON."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    command = [sys.executable, "-c", BEGIN + code, *map(str, argv)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return [json.loads(line) for line in done.stdout.splitlines()]


CUT_SHORT = """
llama = Llama.build(sys.argv[1], device="cpu")
due = llama.generate([[1, 5]], 6, temperature=0)
for file in sys.argv[2:]:
    os.truncate(file, 0)
print(json.dumps(llama.generate([[1, 5]], 6, temperature=0) == due))
"""


@pytest.mark.skipif("sys.platform != 'linux'", reason="an open file cannot be cut short")
@pytest.mark.parametrize("format", ["meta", "gguf", "hf"])
def test_files_that_are_cut_short_in_use_reach_no_small_model(tmp_path, format):
    path = place(tmp_path / format, originals()[format])
    assert run(CUT_SHORT, path, *(tmp_path / format).iterdir()) == [True]


def test_a_large_model_goes_on_reading_its_files(tmp_path, monkeypatch):
    """No second copy of it is made: what is written into the file is what the model has."""
    path = place(tmp_path / "meta", originals()["meta"])
    file, copied = path / "consolidated.00.pth", Llama.build(path, device="cpu").model.norm.weight
    monkeypatch.setattr("minillama.checkpoint.COPIED", 0)
    mapped = Llama.build(path, device="cpu").model.norm.weight
    before = copied.clone()
    at = file.read_bytes().index(before.numpy().tobytes())
    with open(file, "r+b") as opened:
        opened.seek(at)
        opened.write(torch.full((8,), 7.0).numpy().tobytes())
    assert torch.equal(copied, before) and mapped.tolist() == [7.0] * 8


GROWN = """
def now(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))
Llama.build(sys.argv[1], device="cpu", int8=True)
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak counts from here
before = now("VmRSS")
llama = Llama.build(sys.argv[2], device="cpu", max_batch_size=1, int8=True)
size = sum(tensor.nbytes for tensor in llama.model.state_dict().values())
print(json.dumps([now("VmHWM") - before, now("VmRSS") - before, size]))
"""


@pytest.mark.skipif("sys.platform != 'linux'", reason="counts the pages of memory as Linux does")
def test_weights_in_8_bits_are_never_all_there_as_floats(tmp_path):
    """A file of 200 MiB is mapped; besides it there is only the model in 8 bits, and what one matrix takes."""
    large = model(286, dim=512, hidden_dim=1408, n_layers=16, n_heads=8, n_kv_heads=8)
    for format in ("meta", "hf"):
        export.save(tmp_path / format, large, sentencepiece(), format)
        file = max(path.stat().st_size for path in (tmp_path / format).iterdir())
        small = place(tmp_path / f"small-{format}", originals()[format])
        ((most, after, size),) = run(GROWN, small, tmp_path / format)
        assert file > 190 * 2**20 and size < file / 3.5
        room = 64 * 2**20  # machines differ in what they read ahead; a matrix has 3 MiB, all as floats 200
        assert most < file + size + room, format
        assert after < size + room, format  # the file is let go


WITHOUT_TRACE = """
seen = []
def look(event, args):
    if event.startswith("tempfile.") or (event == "open" and isinstance(args[2], int) and args[2] & 3 and
            "__pycache__" not in str(args[0]) and args[0] != os.devnull):
        seen.append(f"{event} {args}")
sys.addaudithook(look)
llama = Llama.build(sys.argv[1], device="cpu")
llama.text_completion(["the cat"], max_gen_len=3)
heavy = ["torch._dynamo", "torch._inductor", "sympy"]
print(json.dumps([seen, [name for name in heavy if name in sys.modules]]))
"""


@pytest.mark.parametrize("format", ["gguf", "gguf-bpe", "hf-bpe"])
def test_no_temporary_file_and_no_compiler(tmp_path, format):
    """For the tokenizers of a GGUF file, too; where nothing can be written every build failed."""
    path = place(tmp_path / "model", originals()[format])
    nowhere = str(tmp_path / "nowhere")
    assert run(WITHOUT_TRACE, path, TMPDIR=nowhere, TEMP=nowhere, TMP=nowhere) == [[[], []]]


REFUSED = """
Llama.build(sys.argv[1], device="cpu")
for path in sys.argv[2:]:
    before, start = peak(), time.process_time()
    try:
        Llama.build(path, device="cpu")
    except ValueError as error:
        print(json.dumps([path, str(error), peak() - before, time.process_time() - start]))
"""
HUGE = {  # of a file that is one GiB long, and takes no room on the disk
    "a text": OLD + b"\x80\2X" + (2**30 - 99).to_bytes(4, "little"),
    "bytes": OLD + b"\x80\3B" + (2**30 - 99).to_bytes(4, "little"),
    "a name without an end": OLD + b"\x80\2c",
    "a number": OLD + b"\x80\2\x8b" + (2**30 - 99).to_bytes(4, "little"),
    "a call for 3 GiB": OLD + b"\x80\2c__builtin__\nbytearray\nJ\0\0\0\xc0\x85R.",
}


@pytest.mark.skipif("sys.platform != 'linux'", reason="sparse files")
def test_a_message_of_a_gigabyte_is_refused_unread(tmp_path):
    sound = place(tmp_path / "sound", originals()["meta-old"])
    paths = [place(tmp_path / what, originals()["meta-old"]) for what in HUGE]
    for path in paths:
        with open(path / "consolidated.00.pth", "wb") as file:
            file.write(HUGE[path.name])
            file.truncate(2**30)
    for path, (named, said, taken, seconds) in zip(paths, run(REFUSED, sound, *paths), strict=True):
        assert named == str(path) and str(path / "consolidated.00.pth") in said and len(said) < 1500, path.name
        assert taken < 64 * 2**20 and seconds < 2, path.name


def test_torchs_advice_about_pickles_is_not_shown(tmp_path):
    path = place(tmp_path / "model", originals()["meta-old"])
    file = path / "consolidated.00.pth"
    changed = bytearray(file.read_bytes())
    changed[changed.index(b"\x80\2", len(OLD)) + 1] = 3
    file.write_bytes(changed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            Llama.build(path, device="cpu")
        except ValueError as error:
            assert str(file) in str(error) and "protocol" not in str(error)
