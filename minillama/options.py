"""What can be given on the command line: its commands and their options."""

from __future__ import annotations

import argparse

from minillama import __version__
from minillama.arguments import CHAT_FORMATS
from minillama.checkpoint import COURSE_MODEL
from minillama.sampling import Sampling
from minillama.words import say


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="minillama",
        description=say("Llama 2 inference in a package small enough to read."),
        epilog=say("To split a model over two GPUs or processes: torchrun --nproc_per_node 2 -m minillama ..."),
    )
    top.add_argument("--version", action="version", version=f"minillama {__version__}")
    commands = top.add_subparsers(
        dest="command", required=True, metavar="complete | chat | info | convert | doctor | grade"
    )

    def command(name: str, says: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=parents, help=says, description=says)

    model = argparse.ArgumentParser(add_help=False)
    model.add_argument(
        "--model",
        default=str(COURSE_MODEL),
        metavar="PATH",
        help=say(
            "a folder in Meta's or Hugging Face's layout, a GGUF file, or a hub id owner/name (default: %(default)s)"
        ),
    )
    model.add_argument(
        "--tokenizer", metavar="PATH", help=say("a tokenizer.model or tokenizer.json (default: the model's own)")
    )
    model.add_argument(
        "--model-parallel-size",
        type=int,
        metavar="N",
        help=say("ranks that share the model under torchrun (default: all)"),
    )
    model.add_argument(
        "--chat-format", choices=CHAT_FORMATS, help=say("how a dialog is laid out (default: as the model's files say)")
    )

    sampler = argparse.ArgumentParser(add_help=False, parents=[model])
    sampler.add_argument(
        "--temperature",
        type=float,
        default=Sampling.temperature,
        help=say("0: always the most probable token (default: %(default)s)"),
    )
    sampler.add_argument(
        "--top-p", type=float, default=Sampling.top_p, help=say("nucleus threshold, 0 to 1 (default: %(default)s)")
    )
    sampler.add_argument("--top-k", type=int, help=say("keep the k most probable tokens"))
    sampler.add_argument(
        "--min-p", type=float, help=say("keep tokens at least MIN_P times as probable as the best one")
    )
    sampler.add_argument(
        "--repetition-penalty", type=float, metavar="X", help=say("above 1: lower tokens that prompt and answer have")
    )
    sampler.add_argument(
        "--presence-penalty",
        type=float,
        metavar="X",
        help=say("-2 to 2: take X off the logit of a token the answer has"),
    )
    sampler.add_argument(
        "--frequency-penalty", type=float, metavar="X", help=say("-2 to 2: the same, for each time that it has it")
    )
    sampler.add_argument(
        "--logit-bias",
        type=bias,
        action="append",
        metavar="ID=X",
        help=say("add X to the logit of a token id, -inf bans it; can be given several times"),
    )
    sampler.add_argument(
        "--no-repeat-ngram-size", type=int, metavar="N", help=say("never the same N tokens in a row a second time")
    )
    sampler.add_argument(
        "--top-logprobs",
        type=int,
        default=0,
        metavar="N",
        help=say("after the text: each token's log-probability, and the N most probable ones at its place"),
    )
    sampler.add_argument(
        "--max-gen-len", type=int, metavar="N", help=say("at most N new tokens (default: until the context is full)")
    )
    sampler.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help=say("stop before TEXT; can be given several times")
    )
    sampler.add_argument(
        "--seed", type=int, help=say("the same seed gives the same text (default: a new one each time)")
    )
    sampler.add_argument("--device", help=say("cpu, cuda or mps (default: cuda if there is one)"))
    sampler.add_argument(
        "--dtype", choices=["float32", "bfloat16", "float16"], help=say("default: bfloat16 on cuda, else float32")
    )
    sampler.add_argument("--int8", action="store_true", help=say("keep the weights in 8 bits: a quarter of the memory"))
    sampler.add_argument(
        "--compile",
        action="store_true",
        help=say("compile the step for one token: takes a minute the first time, then runs faster"),
    )

    complete = command("complete", say("continue a text"), sampler)
    complete.add_argument("prompt", help=say("the text to continue"))
    chat = command("chat", say("talk to the model"), sampler)
    chat.add_argument(
        "message", nargs="?", help=say("one message to answer; without it you can write one after another")
    )
    chat.add_argument("--system", help=say("system prompt: how to answer"))
    command("info", say("what is in a checkpoint"), model)
    convert = command("convert", say("write a checkpoint in another format"), model)
    convert.add_argument("folder", help=say("where to write it"))
    convert.add_argument("--format", choices=["meta", "hf"], default="meta", help=say("default: %(default)s"))
    convert.add_argument("--shards", type=int, default=1, metavar="N", help=say("files for the weights (default: 1)"))
    convert.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        help=say("default: the checkpoint's own; float32 for quantised weights"),
    )
    doctor = command("doctor", say("check this machine"), model)
    doctor.add_argument("--clear-compiled", action="store_true", help=say("remove what --compile has kept for later"))
    grade = command("grade", say("run notebooks that were handed in, and judge them"))
    grade.add_argument(
        "notebooks", nargs="+", metavar="NOTEBOOK", help=say("such as anna/07_top_p.ipynb, 07_top_p-ben.ipynb")
    )
    grade.add_argument("--csv", metavar="F", help=say("write a line for each student to F"))
    grade.add_argument("--json", metavar="F", help=say("write all there is to F, with every hint"))
    grade.add_argument(
        "--points", metavar="F", help=say('JSON like {"top_p": 2, "min_p": 0}; default: 1 for each exercise')
    )
    grade.add_argument(
        "--original", metavar="F", help=say("the notebook that was given out, if it is not the course's")
    )
    grade.add_argument(
        "--seconds", type=float, default=300, metavar="N", help=say("of a notebook (default: %(default)s)")
    )
    grade.add_argument(
        "--memory", type=float, default=4, metavar="GIB", help=say("of a notebook (default: %(default)s)")
    )
    grade.add_argument("--jobs", type=int, default=1, metavar="N", help=say("notebooks at once (default: %(default)s)"))
    return top


def bias(text: str) -> tuple[int, float]:
    """A token id and what is added to its logit, from "278=-5"."""
    try:
        token_id, added = text.split("=")
        return int(token_id), float(added)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected ID=NUMBER, such as 278=-5 or 278=-inf, got {text!r}") from None
