"""Prompts that a learner types or a notebook gives: their fields, and their ids or why they cannot be run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import ipywidgets as W

from minillama import arguments, calls
from minillama.generation import Llama
from minillama.tokenizer import Tokenizer
from minillama.widgets.parts import shortened, sized


def prompts_field(prompts: Sequence[str], text: Mapping[str, str], width: str) -> W.Textarea:
    """A field with one prompt per line."""
    names = {"description": text["prompts"], "tooltip": text["prompts_tip"]}
    return W.Textarea("\n".join(prompts), rows=4, **names, **sized(width))


def read_prompts(
    value: str, tokenizer: Tokenizer, max_batch_size: int, text: Mapping[str, str]
) -> tuple[list[list[int]], list[str], str]:
    """The ids of the prompts that were typed, one per line; notes on them; and the problem if there is one, else ""."""
    prompt_tokens: list[list[int]] = []
    value, notes = shortened(value, text)
    lines = [line for line in value.split("\n") if line.strip()]
    if not lines:
        return [], notes, text["row_none"]
    if len(lines) > max_batch_size:
        return [], notes, text["row_many"].format(n=len(lines), most=max_batch_size)
    for k, line in enumerate(lines):
        try:
            prompt_tokens.append(tokenizer.encode(line, bos=True, eos=False))
        except ValueError:  # a lone surrogate
            return prompt_tokens, notes, text["row_surrogate"].format(k=k)
    return prompt_tokens, notes, ""


def no_room(
    prompt_tokens: Sequence[Sequence[int]],
    max_gen_len: int,
    max_seq_len: int,
    text: Mapping[str, str],
    key: str = "row_long",
) -> str:
    """A message, text[key], if a prompt does not fit the context, else ""."""
    room = max_seq_len - (max_gen_len > 0)  # one place for a new token
    for k, t in enumerate(prompt_tokens):
        if len(t) > room:
            return text[key].format(k=k, n=len(t), room=room, max_seq_len=max_seq_len)
    return ""


def trouble(llama: Llama, prompt: str, max_gen_len: int, text: Mapping[str, str]) -> str:
    """A message if one prompt that was typed cannot be run, else ""."""
    try:
        ids = llama.tokenizer.encode(prompt, bos=True, eos=False)
    except ValueError:  # a lone surrogate
        return text["surrogate"]
    return no_room([ids], max_gen_len, llama.model.params.max_seq_len, text, "prompt_long")


def check_prompts(llama: Llama, prompts: Sequence[str]) -> None:
    """Raise a TypeError or ValueError that names the first of `prompts` that cannot be run with one new token."""
    arguments.texts("prompts", prompts)
    for k, prompt in enumerate(prompts):
        ids = llama.tokenizer.encode(prompt, bos=True, eos=False)
        calls.room("prompts", {k: ids}, llama.model.params, max_gen_len=1)


def one_of(prompt, prompts: Iterable[str]) -> str:
    """The prompt that was chosen. Raises ValueError if it is none of these."""
    if isinstance(prompt, str) and prompt in prompts:
        return prompt
    raise ValueError(f"prompt must be one of {arguments.shown([*prompts])}, got {arguments.shown(prompt)}")
