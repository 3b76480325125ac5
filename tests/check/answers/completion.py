"""Right answers to the exercises on completion."""

import re

import numpy as np
import torch


def echo_in_a_loop(prompt, generated, after_first, echo):
    token_ids, logprobs = [], []
    for i, token in enumerate([*prompt, *generated]):
        if echo or i >= len(prompt):
            token_ids.append(token)
            logprobs.append(None if i == 0 else after_first[i - 1])
    return token_ids, logprobs


def echo_by_two_slices(prompt, generated, after_first, echo):
    n = len(prompt)
    new = after_first[n - 1 : n - 1 + len(generated)]
    if not echo:
        return list(generated), new
    return [*prompt, *generated], [None, *after_first[: n - 1], *new]


def echo_in_a_list(prompt, generated, after_first, echo):
    pairs = list(zip(prompt + generated, [None] + after_first, strict=False))[0 if echo else len(prompt) :]
    return [[token for token, _ in pairs], [logprob for _, logprob in pairs]]


def difference_of_two_texts(tokenizer, prompt_tokens, generated):
    return tokenizer.decode(prompt_tokens + generated)[len(tokenizer.decode(prompt_tokens)) :]


def difference_by_prefix(tokenizer, prompt_tokens, generated):
    whole = tokenizer.decode([*prompt_tokens, *generated])
    return whole.removeprefix(tokenizer.decode(prompt_tokens))


def bytes_in_a_loop(tokenizer, prompt_tokens, generated):
    data = b""
    for token in generated:
        data += tokenizer.token_bytes(token)
    return str(data, "utf-8", "replace")


def difference_of_bytes(tokenizer, prompt_tokens, generated):
    whole = tokenizer.decode_bytes(prompt_tokens + generated)
    return whole[len(tokenizer.decode_bytes(prompt_tokens)) :].decode("utf-8", errors="replace")


def space_of_the_first_piece(tokenizer, prompt_tokens, generated):
    names = tokenizer.pieces(generated)
    return (" " if names and names[0].startswith("▁") else "") + tokenizer.decode(generated)


def cut_in_a_loop(prompt, generation, stop):
    for i in range(len(generation)):
        if any(generation.startswith(text, i) for text in stop):
            return generation[:i], "stop"
    return generation, "length"


def cut_in_turn(prompt, generation, stop):
    text = generation
    for each in stop:
        text = text.split(each)[0]
    return text, "length" if text == generation else "stop"


def cut_by_pattern(prompt, generation, stop):
    found = re.search("|".join(map(re.escape, stop)), generation) if stop else None
    return [generation[: found.start()], "stop"] if found else [generation, "length"]


def cut_in_the_whole(prompt, generation, stop):
    whole = prompt + generation
    end = min((k for k in (whole.find(text, len(prompt)) for text in stop) if k != -1), default=None)
    return whole[len(prompt) : end], "length" if end is None else "stop"


def settled_by_sizes(text, stop):
    sizes = [n for each in stop for n in range(1, len(each)) if text.endswith(each[:n])]
    return text[: len(text) - max(sizes, default=0)]


def settled_from_the_front(text, stop):
    for start in range(len(text)):
        if [each for each in stop if each.startswith(text[start:])]:
            return text[:start]
    return text


def settled_by_removesuffix(text, stop):
    beginnings = {each[:n] for each in stop for n in range(1, len(each))}
    held = max((each for each in beginnings if text.endswith(each)), key=len, default="")
    return text.removesuffix(held)


def settled_each_alone(text, stop):
    results = [text]
    for each in stop:
        n = len(each) - 1
        while n > 0 and not text.endswith(each[:n]):
            n -= 1
        results.append(text[: len(text) - n])
    return min(results, key=len)


def scores_in_a_loop(rows, n_prompt):
    pairs = []
    for row in rows:
        total, count = 0.0, 0
        for i in range(n_prompt, len(row)):
            total += row[i]
            count += 1
        pairs.append([total, total / count])
    return pairs


def scores_of_tensors(rows, n_prompt):
    answers = [torch.tensor(row[n_prompt:]) for row in rows]
    return [(answer.sum(), answer.mean()) for answer in answers]


def scores_with_numpy(rows, n_prompt):
    answers = [np.array(row[n_prompt:], dtype=float) for row in rows]
    return np.array([[answer.sum(), answer.mean()] for answer in answers])


RIGHT = {
    "echo_lists": [echo_in_a_loop, echo_by_two_slices, echo_in_a_list],
    "continuation": [
        difference_of_two_texts,
        difference_by_prefix,
        bytes_in_a_loop,
        difference_of_bytes,
        space_of_the_first_piece,
    ],
    "cut_at_stop": [cut_in_a_loop, cut_in_turn, cut_by_pattern, cut_in_the_whole],
    "settled": [settled_by_sizes, settled_from_the_front, settled_by_removesuffix, settled_each_alone],
    "answer_scores": [scores_in_a_loop, scores_of_tensors, scores_with_numpy],
}

EQUIVALENT = {"settled": {"for n in range(len(text), -1, -1):": "The whole text was tried before n = 0."}}
