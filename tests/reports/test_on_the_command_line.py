"""What users of such software reported of its command line: the tokenizer beside the folder, code pages, torchrun's
variables set by halves, full disks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minillama import Llama
from minillama.__main__ import main

ROOT = Path(__file__).parents[2]
SHORT = ("--max-gen-len", "2")


def shell(*args, **environment):
    """python -m minillama in a process of its own; stdout and stderr as bytes."""
    kept = {name: value for name, value in os.environ.items() if name not in ("WORLD_SIZE", "RANK", "PYTHONIOENCODING")}
    command = [sys.executable, "-m", "minillama", *args]
    return subprocess.run(command, cwd=ROOT, env={**kept, "OMP_NUM_THREADS": "1", **environment}, capture_output=True)


@pytest.fixture
def download(checkpoint, tmp_path):
    """As Meta's script leaves it: the tokenizer beside the folder, not in it."""
    shutil.copytree(checkpoint.folder, tmp_path / "llama-2-7b")
    (tmp_path / "llama-2-7b" / "tokenizer.model").rename(tmp_path / "tokenizer.model")
    return tmp_path / "llama-2-7b"


def test_a_tokenizer_beside_the_folder_is_found(download, checkpoint, tmp_path, capsys):
    for command in (
        ["info"],
        ["complete", "Once", "--max-gen-len", "2"],
        ["chat", "Hi", "--max-gen-len", "2"],
        ["doctor"],
    ):
        assert main([command[0], "--model", str(download), *command[1:]]) == 0, command
    assert main(["convert", "--model", str(download), str(tmp_path / "out")]) == 0
    alone = Llama.build(checkpoint.folder, device="cpu").generate([[1, 300]], 5, temperature=0)
    assert Llama.build(download, device="cpu").generate([[1, 300]], 5, temperature=0) == alone


def test_a_tokenizer_can_be_named(download, tmp_path, capsys):
    elsewhere = tmp_path / "elsewhere.model"
    (tmp_path / "tokenizer.model").rename(elsewhere)
    for command in (
        ["info"],
        ["complete", "Once", "--max-gen-len", "2"],
        ["doctor"],
        ["convert", str(tmp_path / "out")],
    ):
        assert main([command[0], "--model", str(download), *command[1:]]) != 0, command
        assert main([command[0], "--model", str(download), "--tokenizer", str(elsewhere), *command[1:]]) == 0, command


@pytest.mark.parametrize("broken", ["tokenizer.model", "params.json", "consolidated.00.pth"])
def test_doctor_fails_where_complete_fails(checkpoint, tmp_path, broken, capsys):
    folder = shutil.copytree(checkpoint.folder, tmp_path / "model")
    (folder / broken).write_bytes(b"junk")
    assert main(["complete", "--model", str(folder), "Once"]) != 0
    assert main(["doctor", "--model", str(folder)]) != 0
    assert "✗ model" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["tokenizer.model", "params.json", "consolidated.00.pth"])
@pytest.mark.parametrize("command", ["info", "complete", "doctor", "convert"])
def test_a_folder_where_a_file_should_be_is_no_traceback(checkpoint, tmp_path, name, command, capsys):
    folder = Path(shutil.copytree(checkpoint.folder, tmp_path / "model"))
    (folder / name).unlink()
    (folder / name).mkdir()
    more = {"complete": ["Once", *SHORT], "convert": ["--format", "hf", str(tmp_path / "out")]}.get(command, [])
    assert main([command, "--model", str(folder), *more]) == (1 if command == "doctor" else 2)
    said = capsys.readouterr()
    assert name.partition(".")[0] in said.out + said.err and said.err.count("\n") <= 1


@pytest.mark.full
@pytest.mark.parametrize("page", ["cp1252", "gbk", "ascii"])
@pytest.mark.parametrize("command", [["doctor"], ["complete", "从前 🙂", "--max-gen-len", "3", "--temperature", "0"]])
def test_what_a_code_page_lacks_is_escaped(page, command):
    run = shell(*command, PYTHONIOENCODING=page)
    assert run.returncode == 0 and run.stdout and not run.stderr, run.stderr


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WORLD_SIZE": "2"}, [b"WORLD_SIZE is 2", b"RANK is not set", b"torchrun --nproc_per_node N"]),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}, [b"MASTER_ADDR is not set"]),
        ({"WORLD_SIZE": "two"}, [b"WORLD_SIZE is 'two'", b"not a number"]),
        ({"WORLD_SIZE": "0"}, [b"WORLD_SIZE is '0'"]),
    ],
)
@pytest.mark.full
def test_half_of_torchruns_variables_is_an_error_that_says_so(variables, words):
    run = shell("complete", "Once", "--max-gen-len", "2", **variables)
    assert run.returncode == 2 and b"Traceback" not in run.stderr
    assert all(word in run.stderr for word in words), run.stderr
    assert shell("complete", "Once", "--max-gen-len", "2", "--model-parallel-size", "1", **variables).returncode == 0


@pytest.mark.full
def test_an_empty_world_size_is_none():
    assert shell("complete", "Once", "--max-gen-len", "2", WORLD_SIZE="").returncode == 0


@pytest.mark.full
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_under_the_output_is_no_traceback():
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "minillama", "complete", "Once", "--max-gen-len", "2"]
        run = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE)
    assert run.returncode == 2 and b"Traceback" not in run.stderr and b"minillama: " in run.stderr


@pytest.mark.parametrize("device", ["xpu", "meta", "mps", "cuda:99"])
def test_a_device_that_is_not_there_is_named(device, capsys):
    assert main(["complete", "Once", "--device", device]) == 2
    assert "minillama: device" in capsys.readouterr().err


def test_a_name_too_long_for_the_system_is_no_traceback(capsys):
    assert main(["complete", "Once", "--model", "x" * 5000]) == 2
    assert capsys.readouterr().err.startswith("minillama: ")


@pytest.mark.full
@pytest.mark.skipif(os.name != "posix", reason="streams are closed as on Unix")
@pytest.mark.parametrize("closed", [[0], [0, 1, 2]], ids=["input", "all"])
def test_streams_that_are_closed_are_no_traceback(closed):
    kept = {name: value for name, value in os.environ.items() if name not in ("WORLD_SIZE", "RANK")}
    command = [sys.executable, "-m", "minillama", "chat", "--max-gen-len", "2"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**kept, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        preexec_fn=lambda: [os.close(number) for number in closed],
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
