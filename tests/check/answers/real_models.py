"""Right answers to the exercises on real models."""

import math

import numpy as np
import torch

from minillama.formats.chat_templates import ChatML
from minillama.formats.hugging_face import rotate_halves
from minillama.tokenizer import BaseTokenizer


def rows_by_view(weight, head_dim):
    heads = weight.view(-1, head_dim, weight.shape[1])  # (n_heads, head_dim, dim)
    return torch.cat((heads[:, 0::2], heads[:, 1::2]), 1).reshape(weight.shape)


def rows_by_loop(weight, head_dim):
    order = []
    for first in range(0, len(weight), head_dim):
        order += [*range(first, first + head_dim, 2), *range(first + 1, first + head_dim, 2)]
    return weight[order]


def rows_written(weight, head_dim):
    moved, half = torch.empty_like(weight), head_dim // 2
    for k, row in enumerate(weight):
        head, place = divmod(k, head_dim)
        moved[head * head_dim + place // 2 + (half if place % 2 else 0)] = row
    return moved


def nats_in_a_loop(token_bytes, logprobs):
    nats = n_bytes = 0
    for k in range(len(logprobs)):
        if logprobs[k] is None:
            continue
        nats -= logprobs[k]
        n_bytes += len(token_bytes[k])
    return nats / n_bytes


def nats_with_numpy(token_bytes, logprobs):
    known = np.array([x is not None for x in logprobs])
    sizes = np.array([len(each) for each in token_bytes])
    return -np.array(logprobs, dtype=float)[known].sum() / sizes[known].sum()


def nats_with_torch(token_bytes, logprobs):
    scores = torch.tensor([math.nan if x is None else x for x in logprobs])
    sizes = torch.tensor([len(each) for each in token_bytes])
    return scores.nansum().abs() / sizes[~scores.isnan()].sum()


def nats_in_two_lists(token_bytes, logprobs):
    known = [k for k, x in enumerate(logprobs) if x is not None]
    return math.fsum(-x for x in logprobs if x is not None) / len(b"".join(token_bytes[k] for k in known))


def chatml_in_a_loop(dialog, system):
    text = ""
    if system is not None and not any(message["role"] == "system" for message in dialog):
        text += "<|im_start|>system\n" + system + "<|im_end|>\n"
    for message in dialog:
        text += "<|im_start|>{role}\n{content}<|im_end|>\n".format(**message)
    return text + "<|im_start|>assistant\n"


def chatml_by_join(dialog, system):
    first = [] if dialog[0]["role"] == "system" or system is None else [{"role": "system", "content": system}]
    messages = [message["role"] + "\n" + message["content"] + "<|im_end|>" for message in first + dialog]
    return "<|im_start|>" + "\n<|im_start|>".join([*messages, "assistant\n"])


class Spelled(BaseTokenizer):
    """A tokenizer of one id a byte; the two tokens of ChatML have the ids 256 and 257."""

    def encode(self, s, bos, eos):
        return list(s.encode())


def chatml_of_the_package(dialog, system):
    spelled = Spelled([bytes([byte]) for byte in range(256)], space_in_front=False)
    marks = b"<|im_start|>", b"<|im_end|>"
    ids = [i for segment in ChatML(256, 257, system).segments(spelled, dialog) for i in segment.ids]
    return b"".join(marks[i - 256] if i > 255 else bytes([i]) for i in ids).decode()


RIGHT = {
    "to_halves": [
        rows_by_view,
        rows_by_loop,
        rows_written,
        rotate_halves,
        lambda w, d: w.reshape(len(w) // d, d // 2, 2, -1).transpose(1, 2).reshape(w.shape),
        lambda w, d: torch.stack([w.unflatten(0, (-1, d))[:, k::2] for k in (0, 1)], dim=1).flatten(0, 2),
        lambda w, d: w[torch.arange(len(w)).view(-1, d // 2, 2).mT.flatten()],
        lambda w, d: torch.cat([part for head in w.split(d) for part in (head[::2], head[1::2])]),
    ],
    "nats_per_byte": [
        nats_in_a_loop,
        nats_with_numpy,
        nats_with_torch,
        nats_in_two_lists,
    ],
    "chatml": [chatml_in_a_loop, chatml_by_join, chatml_of_the_package],
}  # fmt: skip

EQUIVALENT = {
    "nats_per_byte": dict.fromkeys(
        ["known = [(data, x) for data, x in zip(token_bytes, logprobs) if x is not None]",
         "known = [(data, x) for data, x in zip(token_bytes, logprobs, strict=False) if x is not None]"],
        "both lists have the same length",
    ),
}  # fmt: skip
