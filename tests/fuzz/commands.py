"""Trials of the command line, in this process: options with values of all kinds, on a small sound checkpoint."""

from __future__ import annotations

from hypothesis import strategies as st

from minillama.__main__ import parser
from tests.fuzz.judge import attempt, check_memory, check_said, check_sound, command, place_of
from tests.fuzz.originals import originals, place
from tests.fuzz.watch import Finding, scratch

TEXTS = (
    "",
    " ",
    "the cat",
    "-",
    "--",
    "-1",
    "a/b",
    "nothing/../x",
    "猫",
    "\udce9",
    "\x1b[31m",
    "a\nb",
    "x" * 5000,
    "a\0b",
    "~",
)
NUMBERS = (
    "0",
    "1",
    "-1",
    "2",
    "0.5",
    "1e400",
    "-0.0",
    "nan",
    "inf",
    "1e-320",
    "9" * 40,
    "9" * 5000,
    "1_0",
    "٣",
    "0x1",
    "5=1",
    "5=-inf",
)
PLACES = ("checkpoint", "nothing", "a/b", "checkpoint/params.json", "checkpoint/tokenizer.model", "/dev/null", ".")
LEFT_OUT = ("--compile", "--clear-compiled")  # takes a minute; touches what the user has
NAMES = (  # what a message may be about
    *"model ckpt_dir tokenizer temperature top_p top_k min_p max_gen_len stop seed device dtype shards folder".split(),
    *"prompt dialog chat_format format argument usage".split(),
    *"repetition_penalty presence_penalty frequency_penalty logit_bias no_repeat_ngram_size top_logprobs".split(),
)


def options(name: str) -> list[tuple[str, bool]]:
    """The options of a command, each with whether it takes a value; arguments without a name are ("", True)."""
    commands = next(action for action in parser()._actions if action.choices and name in action.choices)
    actions = [action for action in commands.choices[name]._actions if "--help" not in action.option_strings]
    return [(action.option_strings[-1] if action.option_strings else "", action.nargs != 0) for action in actions]


@st.composite
def cases(draw, name: str) -> dict:
    """{"argv", "stdin"}: a command with up to three options, each with a value drawn."""
    values = st.one_of(*map(st.sampled_from, (TEXTS, NUMBERS, PLACES)), st.text(max_size=5))
    known = [option for option in options(name) if option[0] and option[0] not in LEFT_OUT]
    argv = [name]
    for option, takes in draw(st.lists(st.sampled_from(known), max_size=3, unique=True)):
        argv += [f"{option}={draw(values)}" if draw(st.booleans()) else option] if takes else [option]
        if takes and "=" not in argv[-1]:
            argv.append(draw(values))
    if not any(each.startswith("--model") and "parallel" not in each for each in argv) and draw(st.integers(0, 9)):
        argv += ["--model", "checkpoint"]
    if "--max-gen-len" not in " ".join(argv) and name in ("complete", "chat"):
        argv += ["--max-gen-len", "3"]
    if any(not option for option, _ in options(name)) and draw(st.integers(0, 9)):
        argv.append("out" if name == "convert" else draw(values))
    return {"argv": argv, "stdin": draw(st.sampled_from(["", "the cat\n", "a\n\nb\n", "[INST]\n", "x" * 500 + "\n"]))}


def trial(case: dict) -> str:
    """Try a case; "answered" or "refused". Raises Finding."""
    name, argv = case["argv"][0], [str(each) for each in case["argv"]]
    with scratch() as folder:
        place(folder / "checkpoint", originals()["meta"])
        where = folder if name == "convert" else None
        answer = attempt(lambda: command(*argv, stdin=case["stdin"]), folder, where)
    if answer.error is not None:
        mark = f"{name} {type(answer.error).__name__} {place_of(answer.error)}"
        raise Finding(f"{' '.join(argv)[:500]!r} raises {answer.error!r}", mark) from answer.error
    check_memory(answer.watch, 0, f"memory of {name}")
    said, by_argparse = answer.result, f"minillama {name}: error: " in answer.result.err
    if not by_argparse and "minillama: error: " not in said.err:
        check_said(said, NAMES, codes=(0, 1, 2) if name == "doctor" else (0, 2))
    elif said.code != 2:
        raise Finding(f"exit status {said.code!r} beside {said.err[-200:]!r}", f"{name} status")
    check_sound()
    return "answered" if said.code == 0 else "refused"
