"""`compile=True` on a CPU: native code that is made once, and gives the same text. (On a GPU: test_cuda.py.)"""

import os
import shutil
import subprocess
import sys
import textwrap

import pytest
import torch

from minillama import Llama, ahead, native
from minillama.checkpoint import COURSE_MODEL

HOT = {"temperature": 1.5, "top_p": 0.95, "seed": 3}
needs_compiler = pytest.mark.skipif(native.compiler() is None, reason="no C++ compiler")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder for what is compiled here, the same for all tests of this file."""
    place = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINILLAMA_CACHE", str(place))
        yield place


@pytest.fixture(scope="module")
def tiny(write_checkpoint, tmp_path_factory, kept):
    """A checkpoint with grouped queries, whose context has more than one block of positions."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny", seed=1, n_layers=1)


def build(folder, rows=1, **how):
    return Llama.build(folder, max_batch_size=rows, device="cpu", **how)


@needs_compiler
def test_twenty_texts_are_the_same(tiny, capfd):
    llama, compiled = build(tiny.folder), build(tiny.folder, compile=True)
    generator = torch.Generator().manual_seed(0)
    for n in range(20):
        prompt = torch.randint(3, llama.tokenizer.n_words, (1, 1 + n), generator=generator).tolist()
        for sampler in ({"temperature": 0}, HOT):
            due, due_scores = llama.generate(prompt, 70, logprobs=True, **sampler)  # over the end of the first block
            tokens, scores = compiled.generate(prompt, 70, logprobs=True, **sampler)
            assert tokens == due
            assert scores == [pytest.approx(row, abs=1e-4) for row in due_scores]
    said = capfd.readouterr().err
    assert said.count("compiling the step for 1 row, once") == 1 and said.count("\n") == 1, said


@pytest.mark.full
@needs_compiler
def test_a_batch_of_any_size(tiny):
    """Three rows of four; and other prompts, another canvas, a new cache between two runs."""
    llama, compiled = build(tiny.folder, 4), build(tiny.folder, 4, compile=True)
    for prompts, length in (([[1, 5], [1, 6, 7, 8], [9]], 12), ([[9, 9, 9], [1], [5, 5]], 66)):
        for sampler in ({"temperature": 0}, HOT):
            assert compiled.generate(prompts, length, **sampler) == llama.generate(prompts, length, **sampler)
        compiled.model.setup_cache(4, 80)  # sizes of the cache are no part of what is compiled
        llama.model.setup_cache(4, 80)
    assert sorted(compiled._guard.decode.loaded) == [4]


@needs_compiler
@pytest.mark.parametrize("size", [2, 3, native.BLOCK, native.BLOCK + 1, 96])
def test_every_position_of_a_cache_of_any_size(tiny, size):
    llama = build(tiny.folder, compile=True)
    model, step = llama.model, llama._guard.decode
    model.setup_cache(1, size)
    tokens = torch.arange(3, 3 + size)[None]  # (1, size)
    with torch.no_grad():
        for position in range(1, size):
            model(tokens[:, :position], 0)
            due = model(tokens[:, position : position + 1], position, last_only=True)  # (1, 1, vocab_size)
            torch.testing.assert_close(step(tokens[:, position : position + 1], position), due, rtol=1e-4, atol=1e-4)


@needs_compiler
def test_a_model_that_is_converted_later(tiny):
    """There and back: its cache lies elsewhere. To another dtype: native code would read what is not there."""
    llama, compiled = build(tiny.folder), build(tiny.folder, compile=True)
    compiled.generate([[1, 5, 9]], 12, temperature=0)
    compiled.model.double().float()
    prompt = [[1, 8, 7, 6, 12]]
    assert compiled.generate(prompt, 12, temperature=0) == llama.generate(prompt, 12, temperature=0)
    compiled.model.to(torch.bfloat16)
    with pytest.raises(ValueError, match="compiled for torch.float32 on a CPU, it is torch.bfloat16 on cpu now"):
        compiled.generate(prompt, 12, temperature=0)


@needs_compiler
def test_a_later_process_needs_no_compiler_and_imports_none(tiny, kept):
    due = build(tiny.folder, compile=True).generate([[1, 5]], 12, temperature=0)[0]
    code = f"""
        import sys
        from minillama import Llama
        llama = Llama.build({str(tiny.folder)!r}, max_batch_size=1, device="cpu", compile=True)
        print(llama.generate([[1, 5]], 12, temperature=0)[0])
        print([name for name in ("torch._inductor", "torch._dynamo", "sympy") if name in sys.modules])
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    environment = os.environ | {"CXX": "/nowhere/g++", "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(run, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{due}\n[]\n" and done.stderr == ""


@needs_compiler
def test_a_package_that_cannot_be_loaded_is_made_anew(tiny, kept, tmp_path, monkeypatch):
    """Whole and ours, but no library: as after an update of the system that the key does not know of."""
    llama = build(tiny.folder, compile=True)
    due = llama.generate([[1, 5]], 12, temperature=0)[0]
    package = llama._guard.decode.loaded[1].package.path
    before, key = ahead.packages(), package.name[:24]
    shutil.copytree(package, tmp_path / "sound")  # in place of compiling once more
    made = []

    def write(model, rows, folder):
        made.append(rows)
        shutil.copytree(tmp_path / "sound", folder, dirs_exist_ok=True)

    monkeypatch.setattr(native, "write", write)
    (package / native.LIBRARY).unlink()  # it is in use here: a new file, not other bytes in the same one
    (package / native.LIBRARY).write_bytes(b"no library")
    (package / native.LIBRARY).chmod(0o600)
    package.rename(package.with_name(f"{key}-{ahead._digest(package)}"))
    assert ahead.find(key) is not None
    again = build(tiny.folder, compile=True)
    assert again.generate([[1, 5]], 12, temperature=0)[0] == due
    assert made == [1] and ahead.packages() == before


def test_each_model_and_machine_has_its_own_package(random_llama, monkeypatch):
    llama = random_llama(1)
    step = Llama(llama.model, llama.tokenizer, compile=True)._guard.decode
    keys = {step._key(1), step._key(4)}
    other = random_llama(2)
    keys.add(Llama(other.model, other.tokenizer, compile=True)._guard.decode._key(1))
    keys.add(Llama(llama.model.to(torch.bfloat16), llama.tokenizer, compile=True)._guard.decode._key(1))
    assert step._key(1) in keys  # its weights were looked at before
    monkeypatch.setattr(torch, "__version__", "9.9")
    keys.add(step._key(1))
    monkeypatch.setattr("minillama.compiled._processor", lambda: ["another"])
    keys.add(step._key(1))
    monkeypatch.setattr("minillama.compiled._sources", lambda: "other code")
    keys.add(step._key(1))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    assert step._key(1) in keys  # so small a step runs in one thread
    keys.add(step._key(2**20))
    assert len(keys) == 8


def test_without_a_compiler_it_is_refused(checkpoint, monkeypatch, tmp_path):
    monkeypatch.setenv("MINILLAMA_CACHE", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="compile=True needs a C\\+\\+ compiler"):
        Llama.build(checkpoint.folder, device="cpu", compile=True)


def test_a_compiler_that_fails_is_named(random_llama, monkeypatch, tmp_path):
    monkeypatch.setenv("MINILLAMA_CACHE", str(tmp_path))
    monkeypatch.setattr(native, "OPTIONS", {"no such option": True})
    llama = random_llama(1)
    with pytest.raises(ValueError, match="compile=True: the step could not be compiled .*; leave compile out"):
        Llama(llama.model, llama.tokenizer, compile=True).generate([[1, 5]], 3, temperature=0)
    assert ahead.packages() == []


@pytest.mark.full
@needs_compiler
def test_the_course_model_says_the_same(kept):
    prompts = ["Once upon a time", "从前有一只小猫", "The dog", "小兔子", "[INST] Hello! [/INST]"]
    how = {"temperature": 0, "max_gen_len": 200}
    due = Llama.build(device="cpu").text_completion(prompts, **how)
    assert build(COURSE_MODEL, 8, compile=True).text_completion(prompts, **how) == due
    assert [build(COURSE_MODEL, compile=True).text_completion([prompt], **how)[0] for prompt in prompts] == due


@pytest.mark.full
@needs_compiler
@pytest.mark.parametrize("how", [{"dtype": torch.bfloat16}, {"int8": True}], ids=["bfloat16", "int8"])
def test_other_weights_can_be_compiled(tiny, how):
    due, got = (build(tiny.folder, compile=compile, **how).generate([[1, 5, 9]], 20, logprobs=True, temperature=0)
                for compile in (False, True))  # fmt: skip
    assert got[0][0][:8] == due[0][0][:8]
    assert got[1][0][:8] == pytest.approx(due[1][0][:8], abs=0.05)
