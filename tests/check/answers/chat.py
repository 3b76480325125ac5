"""Right answers to the exercises on the chat format."""

import re
from itertools import pairwise

import numpy as np
import torch

from minillama import chat
from minillama.chat import B_INST, B_SYS, E_INST, E_SYS, SPECIAL_TAGS, UNSAFE_ERROR, has_special_tags


def encode_as_meta_does(tokenizer, dialog):
    if dialog[0]["role"] == "system":
        folded = B_SYS + dialog[0]["content"] + E_SYS + dialog[1]["content"]
        dialog = [{"role": dialog[1]["role"], "content": folded}] + dialog[2:]
    pairs = [
        tokenizer.encode(
            f"{B_INST} {(prompt['content']).strip()} {E_INST} {(answer['content']).strip()} ", bos=True, eos=True
        )
        for prompt, answer in zip(dialog[::2], dialog[1::2], strict=False)
    ]
    return sum(pairs, []) + tokenizer.encode(
        f"{B_INST} {(dialog[-1]['content']).strip()} {E_INST}", bos=True, eos=False
    )


def encode_in_a_loop(tokenizer, dialog):
    ids, system, prompt = [], "", ""
    for message in dialog:
        content = message["content"]
        if message["role"] == "system":
            system = B_SYS + content + E_SYS
        elif message["role"] == "user":
            prompt = B_INST + " " + (system + content).strip() + " " + E_INST
            system = ""
        else:
            ids.extend(tokenizer.encode(prompt + " " + content.strip() + " ", True, True))
    return ids + tokenizer.encode(prompt, True, False)


def encode_with_ids(tokenizer, dialog):
    """bos and eos put by hand, numpy's whole numbers, the parts of a pair encoded by themselves without a seam."""
    messages = [dict(message) for message in dialog]
    if messages[0]["role"] == "system":
        system = messages.pop(0)
        messages[0]["content"] = f"{B_SYS}{system['content']}{E_SYS}{messages[0]['content']}"
    ids = []
    for k in range(0, len(messages), 2):
        ids.append(tokenizer.bos_id)
        ids += tokenizer.encode(f"{B_INST} {messages[k]['content'].strip()} {E_INST}", bos=False, eos=False)
        if k + 1 < len(messages):
            ids += tokenizer.encode(messages[k + 1]["content"].strip() + " ", bos=False, eos=False)
            ids.append(tokenizer.eos_id)
    return list(np.array(ids))


def faults_by_pieces(tokenizer, ids):
    names = tokenizer.pieces(ids)
    found = set()
    if names.count("<s>") < tokenizer.decode(ids).count("[INST]"):
        found.add("bos")
    if names[-1] == "</s>":
        found.add("eos")
        names.pop()
    for before, name in pairwise(names):
        if name == "</s>" and before != "▁":
            found.add("space")
    return list(found)


def faults_turn_by_turn(tokenizer, ids):
    """The ids are cut where [INST] begins: what was before it?"""
    found, turn = [], []
    for i in ids:
        turn.append(i)
        if tokenizer.decode(turn).endswith("[INST]"):
            if tokenizer.bos_id not in turn and "bos" not in found:
                found.append("bos")
            turn = []
        if i == tokenizer.eos_id and len(turn) > 1 and not tokenizer.decode_bytes(turn).endswith(b" "):
            found.append("space")
    closed = np.array(ids)[-1] == tokenizer.eos_id
    if closed and not tokenizer.decode_bytes(turn).endswith(b" "):
        found.remove("space")
    return found + ["eos"] * int(closed)


def faults_in_a_tuple(tokenizer, ids):
    ids = torch.tensor(ids)
    spaces = torch.tensor([tokenizer.token_bytes(int(i)) == b" " for i in ids])
    closing = ids[1:-1] == tokenizer.eos_id
    faults = {
        "space": (closing & ~spaces[:-2]).any(),
        "bos": (ids == tokenizer.bos_id).sum() != len(re.findall(r"\[INST\]", tokenizer.decode(ids.tolist()))),
        "eos": ids[-1].item() == tokenizer.eos_id,
    }
    return tuple(name for name, there in faults.items() if there)


def chat_one_by_one(llama, dialogs):
    results = []
    for dialog in dialogs:
        if any(tag in message["content"] for message in dialog for tag in SPECIAL_TAGS):
            results.append({"content": UNSAFE_ERROR, "ids": [], "logprobs": []})
            continue
        rows, logprobs = llama.generate([chat.encode_dialog(llama.tokenizer, dialog)], 20, 0.0, logprobs=True)
        results.append({"content": llama.tokenizer.decode(rows[0]), "ids": rows[0], "logprobs": logprobs[0]})
    return results


def chat_by_iterators(llama, dialogs):
    safe = [dialog for dialog in dialogs if not has_special_tags(dialog)]
    answers = iter(())
    if len(safe) > 0:
        prompts = [encode_in_a_loop(llama.tokenizer, dialog) for dialog in safe]
        answers = zip(
            *llama.generate(prompt_tokens=prompts, max_gen_len=20, temperature=0, top_p=1.0, logprobs=True), strict=True
        )
    results = []
    for dialog in dialogs:
        ids, logprobs = ([], []) if has_special_tags(dialog) else next(answers)
        content = UNSAFE_ERROR if has_special_tags(dialog) else llama.tokenizer.decode(ids).strip()
        results.append(dict(logprobs=logprobs, ids=ids, content=content, finish_reason=None))
    return results


def chat_with_positions(llama, dialogs):
    results, places, prompts = [None] * len(dialogs), [], []
    for k, dialog in enumerate(dialogs):
        if has_special_tags(dialog):
            results[k] = {"content": chat.UNSAFE_ERROR, "ids": [], "logprobs": []}
        else:
            places.append(k)
            prompts.append(encode_as_meta_does(llama.tokenizer, dialog))
    if not prompts:
        return results
    rows, logprobs = llama.generate(prompts, 20, temperature=0, logprobs=True)
    for n in range(len(places)):
        results[places[n]] = {
            "content": llama.tokenizer.decode(rows[n]), "ids": np.array(rows[n]).tolist(), "logprobs": logprobs[n]
        }  # fmt: skip
    return results


def tags_by_a_pattern(text):
    gaps = ["".join(re.escape(letter) + r"\s*" for letter in tag) for tag in SPECIAL_TAGS]
    return re.search("|".join(gaps), text, flags=re.IGNORECASE) is not None


def tags_in_a_loop(text):
    letters = ""
    for letter in text:
        if not letter.isspace():
            letters += letter.upper()
    for tag in SPECIAL_TAGS:
        if letters.find(tag) >= 0:
            return True
    return False


RIGHT = {
    "encode_dialog": [
        encode_as_meta_does,
        encode_in_a_loop,
        encode_with_ids,
        chat.encode_dialog,
    ],
    "chat_faults": [
        faults_by_pieces,
        faults_turn_by_turn,
        faults_in_a_tuple,
    ],
    "guarded_chat": [
        chat_one_by_one,
        chat_by_iterators,
        chat_with_positions,
    ],
    "special_tags": [
        tags_by_a_pattern,
        tags_in_a_loop,
        lambda text: np.any([tag.casefold() in re.sub(r"\s", "", text.casefold()) for tag in SPECIAL_TAGS]),
        lambda text: bool(re.search(r"\[/?inst\]|<</?sys>>", re.sub(r"\s+", "", text), re.I)),
    ],
}

EQUIVALENT = {
    "encode_dialog": {
        "if dialog[0]['role'] <= 'system':": "the only other first role is 'user', which is larger",
        "for prompt, answer in zip(contents[::2], contents[1::2]):": "strict=False is zip's default",
    },
    "chat_faults": {
        "if ids[-1] <= tokenizer.eos_id:": "no text ends in a byte below eos_id's",
        "if any((tokenizer.token_bytes(ids[k - 1]) != b' ' for k, i in enumerate(ids[:-2]) if i == tokenizer.eos_id)):":
            "after the eos of an answer there is a turn, hence more than one id",
    },
    "guarded_chat": {
        "for k, ids, scores in zip(allowed, rows, logprobs):": "generate returns one row for each prompt",
        "for k, ids, scores in zip(allowed, rows, logprobs, strict=False):": "generate returns one row for each prompt",
    },
}  # fmt: skip
