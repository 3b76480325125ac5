"""The command line: python -m minillama complete | chat | info | convert | doctor | grade."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import warnings
from collections.abc import Iterable

import torch

from minillama import ahead, parallel
from minillama.doctor import examine
from minillama.formats import described, in_format, recognise
from minillama.generation import Llama
from minillama.options import parser
from minillama.sampling import Sampling
from minillama.words import padded, say


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
        print(
            f"{logprob:8.3f}  {padded(piece, 14)}"
            + "  ".join(f"{other} {each['logprob']:.3f}" for other, each in others)
        )
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
        print(say("Write a message and press Enter; an empty line ends the chat."))
    while message := parallel.from_rank_0(ask):
        turn = [*dialog, {"role": "user", "content": message}]
        try:
            said = answer(llama, turn, args)
        except ValueError as error:
            if len(turn) <= 2:  # not the dialog's length then
                raise
            print(f"minillama: {error}", say("Starting a new chat."), sep="\n", file=sys.stderr)
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
    cache = 2 * params.n_layers * params.max_seq_len * params.n_kv_heads * params.head_dim * 4 / 2**20
    sizes = {"n_layers": params.n_layers, "dim": params.dim, "n_heads": params.n_heads, "width": params.ffn_width(),
             "n_kv_heads": params.n_kv_heads, "head_dim": params.head_dim}  # fmt: skip
    layers = say("{n_layers} of dim {dim}, {n_heads} heads, {n_kv_heads} key-value heads of {head_dim}, "
                 "feed-forward {width}", **sizes)  # fmt: skip
    turns = f"{params.rope_theta:g}"
    if scaling := params.rope_scaling:
        turns = say(
            "{theta}, slowed as {kind} by {factor:g}", theta=turns, kind=scaling.rope_type, factor=scaling.factor
        )
    held = {"n": count, "kinds": ", ".join(kinds(weights)), "size": size / 2**20}
    for name, value in {
        say("checkpoint"): args.model,
        say("parameters"): say("{n:,} in {kinds} ({size:.1f} MiB)", **held),
        say("layers"): layers,
        say("vocabulary"): say("{n:,} tokens", n=tokenizer.n_words),
        say("chat format"): described(tokenizer),
        say("context"): say(
            "{n} tokens, a cache of {cache:.1f} MiB per row in float32", n=params.max_seq_len, cache=cache
        ),
        "rope_theta": turns,
    }.items():
        print(padded(name, 12) + value)
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
