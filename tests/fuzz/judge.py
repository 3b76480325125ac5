"""What is asked of every trial, whatever it tries: a right answer or an error that names what is wrong, in little time
and memory, and a model beside it that goes on as before."""

from __future__ import annotations

import contextlib
import io
import tempfile
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import torch

from minillama import Llama, doctor
from minillama.__main__ import main
from tests.fuzz.originals import originals, place
from tests.fuzz.watch import FILLED, ROOM, SECONDS, Finding, Forbidden, Late, Watch, watched

LONGEST = 1500  # characters of a message
PROMPT, DIALOG = "the cat", [{"role": "user", "content": "the cat"}]
GOLDEN = {"max_gen_len": 4, "seed": 3, "logprobs": True, "echo": True}
PACKAGE = str(Path(doctor.__file__).parent)


class Answer(NamedTuple):
    result: object
    error: BaseException | None
    watch: Watch


def attempt(work: Callable[[], object], reads: Path, writes: Path | None = None, asked: int = 0) -> Answer:
    """What work() returned or raised, while it was watched. asked: the bytes of memory that it was asked to fill."""
    result, error = None, None
    with patch("huggingface_hub.constants.HF_HUB_OFFLINE", True), watched(reads, writes) as watch:
        try:
            result = work()
        except (Late, Forbidden, KeyboardInterrupt):
            raise
        except BaseException as caught:
            error = caught
    if watch.seconds > SECONDS + asked / FILLED:
        raise Finding(f"takes {watch.seconds:.1f} s", f"time {place_of(error)}")
    return Answer(result, error, watch)


def check_memory(watch: Watch, allowed: int, mark: str) -> None:
    """At most `allowed` bytes and ROOM."""
    if watch.taken > allowed + ROOM:
        raise Finding(f"takes {watch.taken / 2**20:.0f} MiB, {(allowed + ROOM) / 2**20:.0f} are allowed", mark)


def check_error(error: BaseException, words: Sequence[str], kinds: tuple = (ValueError,)) -> None:
    """The error is of a kind that is documented, in a line that can be read, and has one of these words in it."""
    where = f"{type(error).__name__} {place_of(error)}"
    text = "".join(traceback.format_exception(error, limit=-12))
    if type(error) not in kinds:
        raise Finding(f"raises {type(error).__name__}, which is not documented:\n{text}", where)
    check_message(str(error), words, where)


def check_message(message: str, words: Sequence[str], mark: str) -> None:
    if not any(word in message for word in words):
        raise Finding(f"the message names none of {list(words)}: {message[:LONGEST]!r}", f"unnamed {mark}")
    if len(message) > LONGEST:
        raise Finding(f"the message has {len(message)} characters: {message[:300]!r} …", f"length {mark}")
    if not message.isprintable():
        raise Finding(f"the message has line breaks or control characters: {message!r}", f"characters {mark}")
    if "weights_only" in message:
        raise Finding(f"the message tells of the inside: {message!r}", f"inside {mark}")


def place_of(error: BaseException | None) -> str:
    """The innermost line of the package that an error came through: the same for the same cause."""
    frames = [] if error is None else traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(PACKAGE)]
    return f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else "outside"


@cache
def sound_llama() -> tuple[Llama, list]:
    """A model that every trial leaves as it is, and what it says."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-sound-"))
    llama = Llama.build(place(folder / "sound", originals()["meta"]), max_batch_size=2, device="cpu")
    return llama, llama.text_completion([PROMPT], **GOLDEN)


def check_sound() -> None:
    """A good call gives what it gave, and torch is as it was."""
    llama, golden = sound_llama()
    if llama.text_completion([PROMPT], **GOLDEN) != golden:
        raise Finding("a good call gives another text afterwards", "golden")
    state = torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()
    if state != (torch.float32, torch.device("cpu"), True):
        raise Finding(f"torch's settings are {state} afterwards", "settings")


class Said(NamedTuple):
    code: int | str | None
    out: str
    err: str


def command(*argv: str, stdin: str = "") -> Said:
    """What the command line says, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        patch("sys.stdin", io.StringIO(stdin)),
        patch("minillama.doctor._font", lambda: ("font", True, "")),  # looked for in all of the system
    ):
        try:
            code = main(list(argv))
        except SystemExit as end:  # argparse ends so
            code = end.code
    return Said(code, out.getvalue(), err.getvalue())


def check_said(said: Said, words: Sequence[str], codes: Sequence[int] = (0, 2)) -> None:
    """An exit status that is documented; where it is 2, one line on stderr that says why."""
    if said.code not in codes:
        raise Finding(f"exit status {said.code!r}: {said.err[:LONGEST]!r}", f"status {said.code!r}")
    if said.code == 2:
        lines = said.err.strip("\n").split("\n")
        ours = [line for line in lines if line.startswith("minillama: ")]
        last = ours[-1] if ours else ""
        check_message(last.removeprefix("minillama: "), words, "command line")
