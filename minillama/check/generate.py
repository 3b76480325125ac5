"""The check of the exercise on the whole generate loop."""

import torch

from minillama.check.exercise import Watched, exercise, swap, swaps
from minillama.check.loop import EOS, until
from minillama.loop import canvas


def countdown(tokens, start_pos, last_only=False):
    logits = torch.nn.functional.one_hot((tokens - 1).clamp(min=0), 10).float()
    return logits[:, -1:] if last_only else logits  # (bsz, seqlen, vocab_size)


def case(prompts, max_gen_len, max_seq_len=16, eos_id=EOS, pad_id=-1):
    """The answers of a model that is sure of n - 1 after n, and what it was given in each call."""

    def run(f):
        model = Watched(countdown)
        model.forward = model
        answers = f(model, prompts, max_gen_len, max_seq_len, eos_id, pad_id)
        if pad_id < -1 and answers == [[-1], [-1]]:
            answers = [[5], [3]]  # a canvas that is filled with -1 is right too: the course's own is
        read = []
        for t, start in ((call["tokens"], int(call["start_pos"])) for call in model.calls):
            read.append(f"{start}:{start + t.shape[-1]}" + " (padding)" * bool((t < 0).any()))
            read[-1] += f" ({len(t)} of {len(prompts)} rows)" * (len(t) != len(prompts))
        return {"answers": answers, "columns read": " ".join(read)}

    return run


def right_generate(model, prompt_tokens, max_gen_len, max_seq_len, eos_id, pad_id):
    """f(model, prompt_tokens, max_gen_len, max_seq_len, eos_id, pad_id): the greedy answers, one list per row."""
    lengths = [len(t) for t in prompt_tokens]
    tokens = canvas(prompt_tokens, min(max_seq_len, max_gen_len + max(lengths)), pad_id)
    mask, prev_pos = tokens != pad_id, 0
    ended = torch.zeros(len(lengths), dtype=torch.bool)
    for cur_pos in range(min(lengths), tokens.shape[1]):
        candidate = model(tokens[:, prev_pos:cur_pos], prev_pos)[:, -1].argmax(dim=-1)
        inside = mask[:, cur_pos]
        tokens[:, cur_pos] = torch.where(inside, tokens[:, cur_pos], candidate)
        ended = ended | (~inside & (tokens[:, cur_pos] == eos_id))
        if ended.all():
            break
        prev_pos = cur_pos
    rows = [tokens[k, n : n + max_gen_len].tolist() for k, n in enumerate(lengths)]
    return [until(row, eos_id) for row in rows]


_READ, _STOP = "[:, prev_pos:cur_pos], prev_pos", "if ended.all():\n            break\n        "
_CUT = "until(row, eos_id)"

generate = exercise(
    right_generate,
    cases={
        "three prompts of unequal length": case([[1, 9], [1, 5, 4], [1, 6, 5, 9]], 8),
        "max_gen_len ends two rows, the longest is the first": case([[1, 6, 5, 9], [1, 9], [1, 5, 4]], 4),
        "every row ends at once, one has a prompt of a single token": case([[7, 3], [3]], 8),
        "an eos inside a prompt": case([[1, 5], [1, 4, 2, 7, 9], [1, 6]], 8),
        "a candidate inside a prompt is eos": case([[1, 4], [1, 3, 9, 8]], 8),
        "a prompt's last token is eos": case([[1, 6, 2], [1, 2, 4]], 5),
        "the cache ends first": case([[1, 9, 9], [1, 9, 9, 9, 9, 9]], 8, 9),
        "eos_id is 0": case([[1, 9], [1, 4, 3]], 9, 16, 0),
        "one prompt": case([[1, 6]], 8),
        "one new token, pad_id is -7": case([[1, 6], [1, 4]], 1, 16, EOS, -7),
    },
    mistakes={
        "Inside a prompt its own token stays: mask[:, cur_pos].": swaps("inside,", "inside < 0,", "mask[:, prev_pos],"),
        "No new token is in the canvas: tokens[:, cur_pos] = torch.where(mask, tokens, candidate).":
            swaps("tokens[:, cur_pos] = torch", "torch") + swaps("where(inside", "where(~inside"),
        "The loop stopped when one row had ended. All must have ended: all, not any.": swaps(".all", ".any"),
        "A prompt ended its row. Only a new token that is eos does: ~from_prompt & …":
            [*swaps("ended.all", "(tokens == 2).any(1).all"), *swaps("~inside & ", ""),
             *swaps("~inside & (tokens[:, cur_pos]", "(candidate")],
        "No row ever ended. Make the mask before the loop, keep what update returns, and stop at eos_reached.all().":
            swaps("ended.all()", "False") + swaps("~inside", "inside", "~(tokens != pad_id)[:, cur_pos]"),
        "A row that ended in an earlier round was forgotten: eos_reached | …": swaps("ended | ", ""),
        "The loop stopped a round late: check eos_reached.all() at the end of a round.":
            swap(_STOP, "", "tokens[:, cur_pos] = ", f"{_STOP}tokens[:, cur_pos] = "),
        "You assumed that eos is 2. Compare with eos_id.": [swap(x + "eos_id", x + "2") for x in ("", "== ", "row, ")],
        "The mask was made with -1. Compare with pad_id, whatever it is.": swaps("!= pad_id", "!= -1"),
        "cur_pos begins at the shortest prompt's end.": swaps("min(lengths)", "max(lengths)", "lengths[0]", "1"),
        "The model was given no token: cur_pos must be after prev_pos.":
            swaps("min(lengths)", "0") + swaps("prev_pos = cur_pos", "prev_pos = cur_pos + 1"),
        "cur_pos ends at total_len: the longest prompt + max_gen_len, at most max_seq_len.":
            swaps("min(max_seq_len, max_gen_len + max(lengths))", "max_seq_len", "max_gen_len + max(lengths)")
            + swaps("max(lengths)", "len(max(prompt_tokens))")
            + swaps("tokens.shape[1]", "tokens.shape[1] - 1", "min(tokens.shape[1], min(lengths) + max_gen_len)"),
        "Old columns were read again: tokens[:, prev_pos:cur_pos], then prev_pos = cur_pos.":
            swaps(_READ, "[:, :cur_pos], 0", "[:, :cur_pos], prev_pos"),
        "start_pos is the column of the first token handed over: prev_pos.":
            swaps("s], prev", "s], 0 * prev", "s], prev_pos and cur", "s], cur", "s], cur_pos - 1 + 0 * prev"),
        "The last position predicts the new token, not the first: logits[:, -1].": swaps("[:, -1]", "[:, 0]", ""),
        "An answer ends before its first eos. Cut it there.": swaps(_CUT, "row", "[t for t in row if t != eos_id]"),
        "eos is the sign of the end, not a part of the answer.": swaps(_CUT, f"{_CUT} + [eos_id] * (eos_id in row)"),
        "An answer has at most max_gen_len tokens.": swaps("n + max_gen_len", ""),
        "Nothing was cut. An answer ends before its first eos, and has max_gen_len tokens at most.":
            [swap("n + max_gen_len", "", _CUT, "row"), swap("n : n + max_gen_len", ":", _CUT, "row")],
        "The prompts are one batch: read them together.": lambda m, p, *x: [right_generate(m, [t], *x)[0] for t in p],
        "An eos in the prompt cut its row. Look for eos after the prompt only.":
            swap("n : n", ": n", f"{_CUT} for row in rows", f"{_CUT}[n:] for row, n in zip(rows, lengths)"),
        "An answer begins right after its own prompt: only the new tokens are asked for.":
            swaps("n : n +", ": n +", ": 0 +", *(f"{x}(lengths) : {x}(lengths) +" for x in ("min", "max")))
            + swaps(f"[{_CUT} for", f"[prompt_tokens[rows.index(row)] + {_CUT} for"),
    },
)  # fmt: skip
