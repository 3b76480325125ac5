"""The command line: python -m minillama complete | chat | info | convert | doctor | grade."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import warnings
from collections.abc import Iterable

import torch

from minillama import __version__, ahead, parallel
from minillama.arguments import CHAT_FORMATS
from minillama.checkpoint import COURSE_MODEL
from minillama.doctor import examine
from minillama.formats import described, in_format, recognise
from minillama.generation import Llama
from minillama.sampling import Sampling


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="minillama",
        description="Llama 2 inference in a package small enough to read.",
        epilog="To split a model over two GPUs or processes: torchrun --nproc_per_node 2 -m minillama ...",
    )
    top.add_argument("--version", action="version", version=f"minillama {__version__}")
    commands = top.add_subparsers(
        dest="command", required=True, metavar="complete | chat | info | convert | doctor | grade"
    )

    model = argparse.ArgumentParser(add_help=False)
    model.add_argument(
        "--model",
        default=str(COURSE_MODEL),
        metavar="PATH",
        help="a folder in Meta's or Hugging Face's layout, a GGUF file, or a hub id owner/name (default: %(default)s)",
    )
    model.add_argument(
        "--tokenizer", metavar="PATH", help="a tokenizer.model or tokenizer.json (default: the model's own)"
    )
    model.add_argument(
        "--model-parallel-size", type=int, metavar="N", help="ranks that share the model under torchrun (default: all)"
    )
    model.add_argument(
        "--chat-format", choices=CHAT_FORMATS, help="how a dialog is laid out (default: as the model's files say)"
    )

    sampler = argparse.ArgumentParser(add_help=False, parents=[model])
    sampler.add_argument(
        "--temperature",
        type=float,
        default=Sampling.temperature,
        help="0: always the most probable token (default: %(default)s)",
    )
    sampler.add_argument(
        "--top-p", type=float, default=Sampling.top_p, help="nucleus threshold, 0 to 1 (default: %(default)s)"
    )
    sampler.add_argument("--top-k", type=int, help="keep the k most probable tokens")
    sampler.add_argument("--min-p", type=float, help="keep tokens at least MIN_P times as probable as the best one")
    sampler.add_argument(
        "--repetition-penalty", type=float, metavar="X", help="above 1: lower tokens that prompt and answer have"
    )
    sampler.add_argument(
        "--presence-penalty", type=float, metavar="X", help="-2 to 2: take X off the logit of a token the answer has"
    )
    sampler.add_argument(
        "--frequency-penalty", type=float, metavar="X", help="-2 to 2: the same, for each time that it has it"
    )
    sampler.add_argument(
        "--logit-bias",
        type=bias,
        action="append",
        metavar="ID=X",
        help="add X to the logit of a token id, -inf bans it; can be given several times",
    )
    sampler.add_argument(
        "--no-repeat-ngram-size", type=int, metavar="N", help="never the same N tokens in a row a second time"
    )
    sampler.add_argument(
        "--top-logprobs",
        type=int,
        default=0,
        metavar="N",
        help="after the text: each token's log-probability, and the N most probable ones at its place",
    )
    sampler.add_argument(
        "--max-gen-len", type=int, metavar="N", help="at most N new tokens (default: until the context is full)"
    )
    sampler.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="stop before TEXT; can be given several times"
    )
    sampler.add_argument("--seed", type=int, help="the same seed gives the same text (default: a new one each time)")
    sampler.add_argument("--device", help="cpu, cuda or mps (default: cuda if there is one)")
    sampler.add_argument(
        "--dtype", choices=["float32", "bfloat16", "float16"], help="default: bfloat16 on cuda, else float32"
    )
    sampler.add_argument("--int8", action="store_true", help="keep the weights in 8 bits: a quarter of the memory")
    sampler.add_argument(
        "--compile",
        action="store_true",
        help="compile the step for one token: takes a minute the first time, then runs faster",
    )

    complete = commands.add_parser(
        "complete", parents=[sampler], help="continue a text", description="Continue a text."
    )
    complete.add_argument("prompt", help="the text to continue")
    chat = commands.add_parser("chat", parents=[sampler], help="talk to the model", description="Talk to the model.")
    chat.add_argument("message", nargs="?", help="one message to answer; without it you can write one after another")
    chat.add_argument("--system", help="system prompt: how to answer")
    commands.add_parser("info", parents=[model], help="what is in a checkpoint", description="What is in a checkpoint.")
    convert = commands.add_parser(
        "convert",
        parents=[model],
        help="write a checkpoint in another format",
        description="Write a checkpoint in another format.",
    )
    convert.add_argument("folder", help="where to write it")
    convert.add_argument("--format", choices=["meta", "hf"], default="meta", help="default: %(default)s")
    convert.add_argument("--shards", type=int, default=1, metavar="N", help="files for the weights (default: 1)")
    convert.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        help="default: the checkpoint's own; float32 for quantised weights",
    )
    doctor = commands.add_parser(
        "doctor", parents=[model], help="check this machine", description="Check this machine."
    )
    doctor.add_argument("--clear-compiled", action="store_true", help="remove what --compile has kept for later")
    grade = commands.add_parser(
        "grade", help="grade notebooks that were handed in", description="Run students' notebooks, and judge them."
    )
    grade.add_argument(
        "notebooks", nargs="+", metavar="NOTEBOOK", help="such as anna/07_top_p.ipynb, 07_top_p-ben.ipynb"
    )
    grade.add_argument("--csv", metavar="F", help="write a line for each student to F")
    grade.add_argument("--json", metavar="F", help="write all there is to F, with every hint")
    grade.add_argument("--points", metavar="F", help='JSON like {"top_p": 2, "min_p": 0}; default: 1 for each exercise')
    grade.add_argument("--original", metavar="F", help="the notebook that was given out, if it is not the course's")
    grade.add_argument("--seconds", type=float, default=300, metavar="N", help="of a notebook (default: %(default)s)")
    grade.add_argument("--memory", type=float, default=4, metavar="GIB", help="of a notebook (default: %(default)s)")
    grade.add_argument("--jobs", type=int, default=1, metavar="N", help="notebooks at once (default: %(default)s)")
    return top


def bias(text: str) -> tuple[int, float]:
    """A token id and what is added to its logit, from "278=-5"."""
    try:
        token_id, added = text.split("=")
        return int(token_id), float(added)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected ID=NUMBER, such as 278=-5 or 278=-inf, got {text!r}") from None


def main(argv: list[str] | None = None) -> int:
    commands = {"complete": complete, "chat": chat, "info": info, "convert": convert, "doctor": doctor, "grade": grade}
    open_what_is_closed()
    show_any_character()
    args = parser().parse_args(argv)
    try:
        with parallel.one_voice(getattr(args, "model_parallel_size", None)):
            code = commands[args.command](args)
            sys.stdout.flush()  # here, where a full disk is still an error of ours
            return code
    except BrokenPipeError:  # whoever read the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 130
    except KeyboardInterrupt:
        return 130
    except (ValueError, TypeError, OSError) as error:
        print(f"minillama: {error}", file=sys.stderr)
        return 2


def open_what_is_closed() -> None:
    """From a stream that was closed before the start, as by `<&-`, nothing comes, and what goes there is lost."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))


def show_any_character() -> None:
    """What the terminal's code page lacks (cp1252, gbk) is printed as its number, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def build(args: argparse.Namespace) -> Llama:
    seed = parallel.from_rank_0(torch.seed) % 2**63 if args.seed is None else args.seed
    dtype = getattr(torch, args.dtype) if args.dtype else None
    return Llama.build(
        args.model,
        args.tokenizer,
        max_batch_size=1,
        model_parallel_size=args.model_parallel_size,
        seed=seed,
        device=args.device,
        dtype=dtype,
        compile=args.compile,
        int8=args.int8,
        chat_format=args.chat_format,
    )


def settings(args: argparse.Namespace) -> dict:
    names = [each.name for each in dataclasses.fields(Sampling)]
    asked = {name: getattr(args, name) for name in (*names, "max_gen_len", "stop", "seed")}
    return asked | {"logit_bias": dict(args.logit_bias) if args.logit_bias else None}


def answer(llama: Llama, prompt_or_dialog: str | list, args: argparse.Namespace, begin: str = "") -> str:
    """Print what the model makes of it, as it comes, or whole with a table of log-probabilities; return the text."""
    if args.top_logprobs == 0:
        pieces = llama.stream(prompt_or_dialog, **settings(args))
        print(begin, end="", flush=True)
        return show(pieces)
    asked = settings(args) | {"logprobs": True, "top_logprobs": args.top_logprobs}
    if isinstance(prompt_or_dialog, str):
        (result,) = llama.text_completion([prompt_or_dialog], **asked)
        text = result["generation"]
    else:
        (result,) = llama.chat_completion([prompt_or_dialog], **asked)
        text = result["generation"]["content"]
    print(begin + text)
    for piece, logprob, best in zip(result["tokens"], result["logprobs"], result["top_logprobs"], strict=True):
        others = zip(llama.tokenizer.pieces([each["token_id"] for each in best]), best, strict=True)
        print(f"{logprob:8.3f}  {piece:<14}" + "  ".join(f"{other} {each['logprob']:.3f}" for other, each in others))
    return text


def show(pieces: Iterable[str]) -> str:
    """Print a stream as it comes; return it whole."""
    text = ""
    for piece in pieces:
        print(piece, end="", flush=True)
        text += piece
    print()
    return text


def complete(args: argparse.Namespace) -> int:
    answer(build(args), args.prompt, args, begin=args.prompt)
    return 0


def chat(args: argparse.Namespace) -> int:
    llama = build(args)
    dialog = [{"role": "system", "content": args.system}] if args.system else []
    if args.message is not None:
        answer(llama, [*dialog, {"role": "user", "content": args.message}], args)
        return 0
    if sys.stdin.isatty():
        print("Write a message and press Enter; an empty line ends the chat.")
    while message := parallel.from_rank_0(ask):
        turn = [*dialog, {"role": "user", "content": message}]
        try:
            said = answer(llama, turn, args)
        except ValueError as error:
            if len(turn) <= 2:  # not the dialog's length then
                raise
            print(f"minillama: {error}\nStarting a new chat.", file=sys.stderr)
            dialog = dialog[:1] if args.system else []
            continue
        dialog = [*turn, {"role": "assistant", "content": said}]
    return 0


def ask() -> str:
    """The next line the user writes; empty at the end of the input."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return ""


def info(args: argparse.Namespace) -> int:
    source = recognise(args.model)
    params, weights = source.args, source.weights()
    tokenizer = in_format(source.tokenizer(args.tokenizer), args.chat_format)
    count = sum(weight.shape.numel() for weight in weights.values())
    stored = {id(weight): weight for weight in weights.values()}.values()  # a tied weight is there once
    size = sum(weight.nbytes for weight in stored)
    heads = f"{params.n_heads} heads, {params.n_kv_heads} key-value heads of {params.head_dim}"
    cache = 2 * params.n_layers * params.max_seq_len * params.n_kv_heads * params.head_dim
    for name, value in {
        "checkpoint": args.model,
        "parameters": f"{count:,} in {', '.join(kinds(weights))} ({size / 2**20:.1f} MiB)",
        "layers": f"{params.n_layers} of dim {params.dim}, {heads}, feed-forward {params.ffn_width()}",
        "vocabulary": f"{tokenizer.n_words:,} tokens",
        "chat format": described(tokenizer),
        "context": f"{params.max_seq_len} tokens, a cache of {cache * 4 / 2**20:.1f} MiB per row in float32",
        "rope_theta": f"{params.rope_theta:g}"
        + (f", slowed as {scaling.rope_type} by {scaling.factor:g}" if (scaling := params.rope_scaling) else ""),
    }.items():
        print(f"{name:<12}{value}")
    return 0


def kinds(weights: dict) -> list[str]:
    """The types of the numbers in a checkpoint: "float16", "Q4_1" …"""
    return sorted({each.kind for each in weights.values()})


def convert(args: argparse.Namespace) -> int:
    own = kinds(recognise(args.model).weights())
    dtype = args.dtype or (own[0] if len(own) == 1 else "float32")  # quantised weights have float32 beside them
    kind = {"dtype": getattr(torch, dtype), "chat_format": args.chat_format}
    llama = Llama.build(args.model, args.tokenizer, 1, 1, device="cpu", **kind)
    with warnings.catch_warnings(record=True) as left_out:
        warnings.simplefilter("always")
        llama.save(args.folder, args.format, args.shards)
    for warning in left_out:
        print(f"minillama: {warning.message}", file=sys.stderr)
    return 0


def doctor(args: argparse.Namespace) -> int:
    if args.clear_compiled:
        ahead.clear()
    return 0 if examine(args.model, args.tokenizer) else 1


def grade(args: argparse.Namespace) -> int:
    from minillama.grade import grade as grade_notebooks  # here: no other command needs the judges

    return grade_notebooks(**{name: value for name, value in vars(args).items() if name != "command"})


if __name__ == "__main__":
    raise SystemExit(main())
