"""Trials of files: a sound checkpoint with a few bytes, values or records changed, brought in by each door."""

from __future__ import annotations

from pathlib import Path

import torch
from hypothesis import strategies as st

from minillama import Llama
from tests.fuzz.judge import (
    DIALOG,
    PROMPT,
    Answer,
    attempt,
    check_error,
    check_memory,
    check_said,
    check_sound,
    command,
    place_of,
)
from tests.fuzz.mutations import changed, edits_of
from tests.fuzz.originals import originals, place
from tests.fuzz.watch import Finding, scratch

DOORS = ("build", "build", "build", "build", "save as meta", "save as hf", "info", "convert",
         "doctor", "chat")  # fmt: skip
BYTES = {"flip", "set", "insert", "cut", "delete", "again"}
USED = ("dtype", "prompts", "dialogs", "s has", "s has ", "max_seq_len", "shards", "format")  # what a call may be about
CALL = {"max_gen_len": 3, "seed": 1, "logprobs": True}


@st.composite
def cases(draw, original: str) -> dict:
    """{"original", "door", "edits": {file: changes}}, which JSON can hold."""
    files = originals()[original]
    names = sorted(files, key=lambda name: ("config.json" not in name, name))
    most = draw(st.sampled_from([1, 1, 2]))
    some = draw(st.lists(st.sampled_from(names), min_size=1, max_size=most, unique=True))
    edits = {name: draw(edits_of(name, files[name])) for name in some}
    return {"original": original, "door": draw(st.sampled_from(DOORS)), "edits": edits}


def files_of(case: dict) -> dict[str, bytes]:
    """The files of a case: those of its original, changed."""
    files = originals()[case["original"]]
    new = {name: changed(files[name], edits) for name, edits in case.get("edits", {}).items()}
    return files | new | case.get("files", {})


def trial(case: dict) -> str:
    """Try a case; "read" or "refused". Raises Finding."""
    files = files_of(case)
    with scratch() as folder:
        path = place(folder / "checkpoint", files)
        if door := {"info": info, "convert": convert, "doctor": doctor}.get(case["door"]):
            outcome = door(path, folder / "out", files)
        else:
            outcome = build(path, folder / "out", files, case)
        left = {each.name: each.read_bytes() for each in (folder / "checkpoint").iterdir() if each.is_file()}
        if left != files:
            raise Finding(f"the checkpoint's folder holds {sorted(left)} afterwards, or their bytes differ", "written")
    check_sound()
    return outcome


def build(path: Path, out: Path, files: dict[str, bytes], case: dict) -> str:
    answer = attempt(lambda: Llama.build(path, max_batch_size=2, device="cpu"), path.parent)
    if not _settle(answer, path, files):
        return "refused"
    llama = answer.result
    edited = {edit[0] for name, edits in case.get("edits", {}).items() if name.endswith(".pth") for edit in edits}
    if edited and edited <= BYTES and case["original"] in ("meta", "meta-shards"):
        _check_weights(llama, case["original"], out.parent)

    def use():
        ids = llama.tokenizer.encode("the cat 猫", True, False)
        llama.tokenizer.decode(ids), llama.tokenizer.pieces(range(llama.tokenizer.n_words))
        if case["door"] == "chat":
            return llama.chat_completion([DIALOG], **CALL)
        return llama.text_completion([PROMPT], **CALL, echo=True)

    answer = attempt(use, path.parent)
    check_memory(answer.watch, _size(llama), "memory of a call")
    if answer.error is not None:
        check_error(answer.error, USED)
        return "read, but of no use"
    if case["door"].startswith("save as "):
        return _save(llama, out, case["door"].removeprefix("save as "))
    return "read"


def _settle(answer: Answer, path: Path, files: dict[str, bytes]) -> bool:
    """Whether a checkpoint was read; its error and its memory are judged."""
    size = sum(map(len, files.values()))
    if answer.error is not None:
        check_memory(answer.watch, size, f"memory {place_of(answer.error)}")
        check_error(answer.error, [str(path)])
        return False
    check_memory(answer.watch, size + _size(answer.result), "memory of a model")
    return True


def _size(llama: Llama) -> int:
    """The bytes of a model with its cache and its rotations."""
    held = [*llama.model.parameters(), *llama.model.buffers(), llama.model.freqs_cis]
    return sum(each.nbytes for each in held)


def _check_weights(llama: Llama, original: str, folder: Path) -> None:
    """A .pth has checksums: whatever was done to its bytes, what is read from it is what was written."""
    sound = Llama.build(place(folder / "sound", originals()[original]), max_batch_size=2, device="cpu")
    ours, due = llama.model.state_dict(), sound.model.state_dict()
    if wrong := [key for key in due if not torch.equal(ours[key], due[key])]:
        raise Finding(f"{wrong[:3]} hold other numbers than were written", "other numbers")


def _save(llama: Llama, out: Path, format: str) -> str:
    """What was read is written and read again, and says the same."""
    answer = attempt(lambda: llama.save(out, format), out, out)
    if answer.error is not None:
        check_error(answer.error, USED)
        return "read, but not written"
    answer = attempt(lambda: Llama.build(out, device="cpu", max_batch_size=2), out)
    if answer.error is not None:
        raise Finding(f"what was saved as {format} is refused: {answer.error}", f"saved {place_of(answer.error)}")
    first, second = (each.logits([[3, 5, 4]]) for each in (llama, answer.result))
    if not torch.allclose(first, second, rtol=0, atol=1e-3, equal_nan=True):
        raise Finding(f"what was saved as {format} gives other logits", "saved logits")
    return "read and saved"


def info(path: Path, out: Path, files: dict[str, bytes]) -> str:
    return _said("info", path, None, files)


def convert(path: Path, out: Path, files: dict[str, bytes]) -> str:
    return _said("convert", path, out, files, "--format", "meta" if (path / "config.json").exists() else "hf", str(out))


def _said(name: str, path: Path, out: Path | None, files: dict[str, bytes], *more: str) -> str:
    answer = attempt(lambda: command(name, "--model", str(path), *more), path.parent, out)
    if answer.error is not None:
        raise Finding(f"the command raises {answer.error!r}", f"{name} {place_of(answer.error)}") from answer.error
    check_said(answer.result, [str(path), *USED])
    check_memory(answer.watch, 4 * sum(map(len, files.values())), f"memory of {name}")
    return "read" if answer.result.code == 0 else "refused"


def doctor(path: Path, out: Path, files: dict[str, bytes]) -> str:
    """It says that all is well where `build` has nothing to say, and nowhere else."""
    answer = attempt(lambda: command("doctor", "--model", str(path)), path.parent)
    if answer.error is not None:
        raise Finding(f"doctor raises {answer.error!r}", f"doctor {place_of(answer.error)}") from answer.error
    check_said(answer.result, [str(path)], codes=(0, 1))
    built = attempt(lambda: Llama.build(path, None, 1, 1, device="cpu"), path.parent)
    if (built.error is None) != (answer.result.code == 0):
        raise Finding(f"doctor's status is {answer.result.code}, build says {built.error!r}", "doctor")
    return "read" if built.error is None else "refused"
