"""Right answers to the exercises on serving many."""

import itertools
import os

import numpy as np
import torch


def row_by_row(prompt_tokens, pad_id):
    bsz, width = len(prompt_tokens), max(map(len, prompt_tokens))
    input_ids = torch.full((bsz, width), pad_id)
    attention_mask = torch.zeros(bsz, width, dtype=torch.long)
    position_ids = torch.zeros(bsz, width, dtype=torch.long)
    for k, t in enumerate(prompt_tokens):
        begin = width - len(t)
        input_ids[k, begin:] = torch.tensor(t)
        attention_mask[k, begin:] = 1
        position_ids[k, begin:] = torch.arange(len(t))
    return input_ids, attention_mask, position_ids


def by_columns(prompt_tokens, pad_id):
    lengths = torch.tensor([len(t) for t in prompt_tokens])
    places = torch.arange(int(lengths.max())) - (lengths.max() - lengths)[:, None]
    ids = [t[place] if place >= 0 else pad_id for t, row in zip(prompt_tokens, places, strict=True) for place in row]
    return torch.tensor(ids).view(places.shape), places >= 0, places.clamp(min=0)


def by_padding_right_to_left(prompt_tokens, pad_id):
    turned = [torch.tensor(t[::-1]) for t in prompt_tokens]
    ids = torch.nn.utils.rnn.pad_sequence(turned, batch_first=True, padding_value=pad_id).flip(1)
    ones = [torch.ones(len(t), dtype=torch.long) for t in prompt_tokens]
    mask = torch.nn.utils.rnn.pad_sequence(ones, batch_first=True).flip(1)
    return [ids, mask, torch.relu(mask.cumsum(1) - 1)]


def with_numpy(prompt_tokens, pad_id):
    width = max(len(t) for t in prompt_tokens)
    ids = np.array([(width - len(t)) * [pad_id] + t for t in prompt_tokens])
    places = np.array([[0] * (width - len(t)) + list(range(len(t))) for t in prompt_tokens])
    mask = np.array([[column >= width - len(t) for column in range(width)] for t in prompt_tokens])
    return torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(places)


def fill_all_then_step(model, prompt_tokens, max_gen_len, eos_id, bsz):
    answers, places, following = [[] for _ in prompt_tokens], [None] * bsz, 0

    def took(row, token):
        k = places[row]
        if token != eos_id:
            answers[k] += [token]
        if token == eos_id or len(answers[k]) >= max_gen_len:
            places[row] = None

    while True:
        for row in range(bsz):
            while places[row] is None and following < len(prompt_tokens):
                places[row], following = following, following + 1
                prompt = torch.tensor([prompt_tokens[places[row]]])
                took(row, int(model(prompt, 0, rows=torch.tensor([row]))[0, -1].argmax()))
        busy = [row for row in range(bsz) if places[row] is not None]
        if not busy:
            return answers
        newest = torch.tensor([[answers[places[row]][-1]] for row in busy])
        at = torch.tensor([len(prompt_tokens[places[row]]) + len(answers[places[row]]) - 1 for row in busy])
        for row, logits in zip(busy, model.forward(newest, at, rows=torch.tensor(busy)), strict=True):
            took(row, logits[-1].argmax().item())


def with_whole_texts(model, prompt_tokens, max_gen_len, eos_id, bsz):
    texts, ended, busy = [list(t) for t in prompt_tokens], set(), {}
    waiting = iter(range(len(texts)))
    while len(ended) < len(texts):
        row = next((row for row in range(bsz) if row not in busy), None)
        k = next(waiting, None) if row is not None else None
        if k is not None:
            busy[row] = k
            asked, start = {row: texts[k]}, torch.zeros(1, dtype=torch.long)
        else:
            asked = {row: texts[k][-1:] for row, k in busy.items()}
            start = torch.tensor([len(texts[k]) - 1 for k in busy.values()])
        logits = model(torch.tensor(list(asked.values())), start, last_only=True, rows=torch.tensor(list(asked)))
        for row, token in zip(list(asked), logits.flatten(1).argmax(1).tolist(), strict=True):
            k = busy[row]
            texts[k] = texts[k] + [token]
            if token == eos_id or len(texts[k]) - len(prompt_tokens[k]) == max_gen_len:
                ended.add(busy.pop(row))
    answers = [text[len(t) :] for text, t in zip(texts, prompt_tokens, strict=True)]
    return [answer[:-1] if answer[-1] == eos_id else answer for answer in answers]


RIGHT = {
    "left_pad": [row_by_row, by_columns, by_padding_right_to_left, with_numpy],
    "serve": [fill_all_then_step, with_whole_texts],
    "reused": [
        lambda cached, prompt: len(os.path.commonprefix([cached, prompt[:-1]])),
        lambda cached, prompt: sum(
            1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(cached, prompt[:-1], strict=False))
        ),
        lambda cached, prompt: max(n for n in range(len(prompt)) if cached[:n] == prompt[:n]),
        lambda cached, prompt: int(
            torch.tensor([a == b for a, b in zip(cached, prompt[:-1], strict=False)], dtype=torch.long).cumprod(0).sum()
        ),
    ],
}

_ZIP = "for row, token in zip(rows, logits[:, {}].argmax(dim=-1).tolist(){}):"
EQUIVALENT = {
    "serve": {
        **{_ZIP.format(place, ", strict=True"): "with last_only there is one position" for place in ("0", "-0")},
        **{_ZIP.format(-1, strict): "rows and logits are equally many" for strict in ("", ", strict=False")},
        "logits = model(torch.tensor(tokens), torch.tensor(start_pos), False, rows=torch.tensor(rows))":
            "with the logits of all positions, logits[:, -1] is the same",
        "if token == eos_id or len(answers[k]) >= max_gen_len:": "an answer grows by one token a call",
        "row, k = (free[-1], queue.pop(0))": "any free place will do",
    },
}  # fmt: skip
