"""The command line, in this process where that is enough, in a process of its own where it is not."""

import io
import shutil
import subprocess
import sys

import pytest
import torch

from minillama import COURSE_MODEL, Llama, ahead
from minillama.__main__ import main


def run(capsys, *argv):
    code = main(list(argv))
    out, err = capsys.readouterr()
    return code, out, err


def test_complete_continues_the_prompt_and_repeats_with_a_seed(capsys):
    settings = ("complete", "Once upon a time", "--seed", "5", "--max-gen-len", "30")
    code, out, err = run(capsys, *settings)
    assert code == 0 and err == "" and out.startswith("Once upon a time,")
    assert run(capsys, *settings)[1] == out
    llama = Llama.build(max_batch_size=1)
    assert (
        out
        == "Once upon a time"
        + llama.text_completion(["Once upon a time"], max_gen_len=30, seed=5)[0]["generation"]
        + "\n"
    )


def test_complete_without_a_seed_varies(capsys):
    texts = {
        run(capsys, "complete", "Once upon a time", "--temperature", "1.5", "--max-gen-len", "30")[1] for _ in range(3)
    }
    assert len(texts) > 1


def test_every_setting_reaches_the_sampler(capsys):
    greedy = run(capsys, "complete", "Once", "--temperature", "0", "--max-gen-len", "20")[1]
    for option in (("--top-p", "0"), ("--top-k", "1"), ("--min-p", "1")):
        assert run(capsys, "complete", "Once", "--temperature", "2", "--max-gen-len", "20", *option)[1] == greedy
    assert (
        run(capsys, "complete", "Once", "--temperature", "0", "--stop", " a")[1] == greedy[: greedy.index(" a")] + "\n"
    )


def test_every_penalty_reaches_the_loop(capsys):
    llama, how = Llama.build(max_batch_size=1), {"temperature": 0, "max_gen_len": 40}
    plain = llama.text_completion(["Once"], **how)[0]["generation"]
    settings = {
        "--repetition-penalty": ("2.5", {"repetition_penalty": 2.5}),
        "--presence-penalty": ("2", {"presence_penalty": 2.0}),
        "--frequency-penalty": ("1.5", {"frequency_penalty": 1.5}),
        "--no-repeat-ngram-size": ("1", {"no_repeat_ngram_size": 1}),
        "--logit-bias": (f"{llama.tokenizer.encode('time', False, False)[0]}=-inf", {}),
    }
    for option, (value, same) in settings.items():
        if option == "--logit-bias":
            same = {"logit_bias": {int(value.partition("=")[0]): float("-inf")}}
        out = run(capsys, "complete", "Once", "--temperature", "0", "--max-gen-len", "40", f"{option}={value}")[1]
        due = llama.text_completion(["Once"], **how, **same)[0]["generation"]
        assert out == f"Once{due}\n" and due != plain, option


@pytest.mark.parametrize("argv", [["complete", "Once upon"], ["chat", "Hello!"]])
def test_top_logprobs_are_printed_after_the_text(capsys, argv):
    more = ("--temperature", "0", "--max-gen-len", "5")
    plain = run(capsys, *argv, *more)[1]
    out = run(capsys, *argv, *more, "--top-logprobs", "3")[1]
    assert out.startswith(plain)
    rows = [line.split() for line in out[len(plain) :].splitlines()]
    assert rows and all(len(row) == 2 + 2 * 3 for row in rows)
    for chosen, piece, best, logprob, *_ in rows:  # it was greedy: the first of the three was chosen
        assert piece == best and abs(float(chosen) - float(logprob)) < 0.002


@pytest.mark.parametrize("value", ["a=1", "5", "5=", "5=x", "=1", "5=1=2"])
def test_a_bias_that_is_none(capsys, value):
    with pytest.raises(SystemExit) as ended:
        main(["complete", "Once", "--logit-bias", value])
    assert ended.value.code == 2 and f"expected ID=NUMBER, such as 278=-5 or 278=-inf, got '{value}'" in (
        capsys.readouterr().err
    )


def test_chat_answers_one_message(capsys):
    code, out, _ = run(capsys, "chat", "Hello!", "--temperature", "0", "--max-gen-len", "40")
    assert code == 0 and out.strip()


@pytest.fixture
def asked(monkeypatch):
    """The dialogs that the model was asked to answer, one for each answer."""
    dialogs, stream = [], Llama.stream

    def spy(self, dialog, *args, **kwargs):
        dialogs.append([dict(message) for message in dialog])
        return stream(self, dialog, *args, **kwargs)

    monkeypatch.setattr(Llama, "stream", spy)
    return dialogs


def test_chat_remembers(capsys, monkeypatch, asked):
    monkeypatch.setattr("sys.stdin", io.StringIO("My name is Anna.\nWhat is my name?\n\n"))
    code, out, _ = run(capsys, "chat", "--temperature", "0")
    first, second = out.splitlines()
    assert code == 0 and [len(dialog) for dialog in asked] == [1, 3] and second.strip()
    assert [message["content"].strip() for message in asked[1]] == [
        "My name is Anna.",
        first.strip(),
        "What is my name?",
    ]
    assert [message["role"] for message in asked[1]] == ["user", "assistant", "user"]


def test_chat_system_prompt(capsys, asked):
    question, system = "What is the opposite of hot?", "Answer in capitals."
    code, out, _ = run(capsys, "chat", question, "--temperature", "0", "--system", system)
    assert code == 0 and out.strip()
    assert asked == [[{"role": "system", "content": system}, {"role": "user", "content": question}]]


def test_a_chat_that_outgrows_the_context_starts_again(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(["Tell me a story, please. " * 8] * 9)))
    code, out, err = run(capsys, "chat", "--temperature", "0", "--max-gen-len", "60")
    assert code == 0 and "Starting a new chat" in err and "max_seq_len" in err
    assert len(out.splitlines()) >= 8


def test_info(capsys):
    code, out, _ = run(capsys, "info")
    assert code == 0
    for word in ("parameters", "float16", "key-value heads", "vocabulary", "context"):
        assert word in out


def test_convert_there_and_back(capsys, tmp_path):
    """To Hugging Face's layout and back to Meta's, in two shards, in the weights' own dtype."""
    for model, folder, *options in (
        (str(COURSE_MODEL), "hf", "--format", "hf"),
        (str(tmp_path / "hf"), "meta", "--shards", "2"),
    ):
        assert run(capsys, "convert", "--model", model, str(tmp_path / folder), *options) == (0, "", "")
    settings = ("complete", "Once upon a time", "--temperature", "0", "--max-gen-len", "12")
    due = run(capsys, *settings)
    for folder in ("hf", "meta"):
        assert run(capsys, *settings, "--model", str(tmp_path / folder)) == due
        assert "float16" in run(capsys, "info", "--model", str(tmp_path / folder))[1]
    code, _, err = run(capsys, "convert", str(tmp_path / "new"), "--shards", "3")
    assert code == 2 and "shards is 3" in err


def test_doctor(capsys):
    code, out, _ = run(capsys, "doctor")
    assert code == 0
    for word in ("python", "torch", "device", "memory", "model", "font"):
        assert f"✓ {word}" in out or f"✗ {word}" in out
    code, out, _ = run(capsys, "doctor", "--model", "/nowhere")
    assert code == 1 and "✗ model" in out and "/nowhere" in out


def test_doctor_shows_and_clears_what_is_compiled(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("MINILLAMA_CACHE", str(tmp_path))
    assert f"✓ compiled      compile=True has kept nothing yet in {tmp_path}\n" in run(capsys, "doctor")[1]
    ahead.package("a" * 24, lambda folder: (folder / "step.so").write_bytes(bytes(3 * 2**20)))
    kept = f"✓ compiled      1 kept, 3 MiB in {tmp_path} (doctor --clear-compiled)\n"
    assert kept in run(capsys, "doctor")[1]
    assert "nothing yet" in run(capsys, "doctor", "--clear-compiled")[1] and ahead.packages() == []


def test_doctor_finds_changed_weights(capsys, tmp_path):
    """One bit in the middle of a weight: the shapes fit, the text would be nonsense."""
    folder = shutil.copytree(COURSE_MODEL, tmp_path / "model")
    code, out, _ = run(capsys, "doctor", "--model", str(folder))
    assert code == 0 and "consolidated.00.pth is unchanged" in out
    weights = bytearray((folder / "consolidated.00.pth").read_bytes())
    weights[len(weights) // 2] ^= 1
    (folder / "consolidated.00.pth").write_bytes(weights)
    code, out, _ = run(capsys, "doctor", "--model", str(folder))
    assert code == 1 and "✗ model" in out and "does not have its checksum" in out
    weights = torch.load(COURSE_MODEL / "consolidated.00.pth", weights_only=True)
    torch.save({name: 2 * tensor for name, tensor in weights.items()}, folder / "consolidated.00.pth")
    code, out, _ = run(capsys, "doctor", "--model", str(folder))
    assert code == 1 and "✗ model" in out and "consolidated.00.pth is not the file that its MODEL_CARD.md names" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["complete", "Once", "--top-p", "2"], "top_p must be a number from 0 to 1, got 2.0"),
        (["complete", "Once", "--temperature", "-1"], "temperature"),
        (["complete", "Once", "--repetition-penalty", "0"], "repetition_penalty must be a number from 0.01 to 100"),
        (["complete", "Once", "--logit-bias", "99999=1"], "a token id in logit_bias must be a whole number from 0 to"),
        (["complete", "Once", "--top-logprobs", "-1"], "top_logprobs must be a whole number from 0 to"),
        (["complete", "Once", "--model", "/nowhere"], "no folder '/nowhere'"),
        (["info", "--model", "/nowhere"], "no folder '/nowhere'"),
        (["chat", "Hello", "--seed", "-3"], "seed"),
        (["complete", "word " * 2000], "max_seq_len"),
        (["complete", "Once", "--device", "toaster"], "device"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(capsys, argv, message):
    code, out, err = run(capsys, *argv)
    assert code == 2 and out == ""
    assert err.startswith("minillama: ") and message in err and "Traceback" not in err


@pytest.mark.parametrize("command", [[], ["complete"], ["chat"], ["info"], ["convert"], ["doctor"], ["grade"]])
def test_help_everywhere(capsys, command):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: minillama" in capsys.readouterr().out


def test_as_a_module():
    command = [sys.executable, "-m", "minillama", "complete", "Once upon a time", "--max-gen-len", "5", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith("Once upon a time")


def test_import_needs_neither_jupyter_nor_matplotlib():
    heavy = ["IPython", "ipywidgets", "matplotlib", "transformers", "numpy.testing"]
    heavy += ["safetensors", "gguf", "tokenizers", "huggingface_hub"]  # asked for when a format needs them
    code = f"import sys, minillama; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_course_model_is_where_it_should_be():
    assert {path.name for path in COURSE_MODEL.iterdir()} >= {"params.json", "consolidated.00.pth", "tokenizer.model"}
