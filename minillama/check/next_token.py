"""Checks of the exercises on the next token: the candidate of each row, the column that is written, the generators."""

from itertools import product

import torch

from minillama.check.compare import About
from minillama.check.exercise import exercise, swap, swaps
from minillama.check.sampling import right_top_p, seeded
from minillama.sampling import sample_top_p

LOGITS = torch.tensor([[[0, 3, 0, 1], [2, 1, 0, -1]], [[1, 0, 0, 2], [0, 3, 1, 2]], [[2, 0, 1, 0], [1, 0, 0.5, 2]]])
TIED = torch.tensor([[[0.0, 0, 9, 0], [1, 5, 5, 5]]]).expand(64, -1, -1)


def shares(temperature, top_p):
    """How often each id came in 3000 draws of one row; chance has a part in it."""
    many = LOGITS[2:].expand(3000, -1, -1)
    return lambda f: About(f(many, temperature, top_p, seeded(1)).bincount(minlength=4)[:4] / 3000, 0.035)


def by_rank(probs, top_p, generator):
    return torch.multinomial(right_top_p(probs, top_p).sort(-1, descending=True)[0], 1, generator=generator)


def right_candidate(logits, temperature, top_p, generator):
    """f(logits (bsz, seqlen, vocab_size), temperature, top_p, generator): one id per row, (bsz,) int64."""
    last = logits[:, -1]
    if temperature == 0:
        return last.argmax(dim=-1)
    probs = torch.softmax(last / temperature, dim=-1)
    return sample_top_p(probs, top_p, generator).reshape(-1)


candidate = exercise(
    right_candidate,
    cases={
        "temperature 0: the best id of each row": (LOGITS, 0.0, 0.9, seeded(0)),
        "temperature 0, a batch of one": (LOGITS[1:2], 0, 0.9, seeded(0)),
        "temperature 0, three ids tie: how many come up": lambda f: len(set(f(TIED, 0.0, 0.9, seeded(5)).tolist())),
        "top_p 0, three rows": (LOGITS, 3.0, 0.0, seeded(1)),
        "top_p 0, a batch of one": (LOGITS[1:2], 3.0, 0.0, seeded(1)),
        "the same seed twice: how many results": lambda f: len({str(f(TIED, 1.0, 1.0, seeded(k))) for k in (7, 7)}),
        "three seeds: how many results": lambda f: len({str(f(TIED, 1.0, 1.0, seeded(k))) for k in (7, 8, 9)}),
        "3000 draws at temperature 2, top_p 0.7": shares(2.0, 0.7),
        "3000 draws at temperature 0.5, top_p 1": shares(0.5, 1.0),
    },
    mistakes={
        "Only the last position of each row counts: logits[:, -1].": swaps("[:, -1]", "[:, 0]", "", ".mean(1)"),
        "Wrong axis: the last position of every row is logits[:, -1].": swaps("[:, -1]", "[:, :, -1]", "[-1]", "[0]"),
        "argmax runs along the vocabulary, the last axis: dim=-1.": swaps("max(dim=-1)", "max(dim=0)", "max()"),
        "The id is the index of the largest logit: argmax.": swaps("argmax", "argmin", "amax"),
        "softmax ran down the rows. The vocabulary is the last axis: dim=-1.": swaps(", dim=-1", ", dim=0"),
        "sample_top_p returns a column, (bsz, 1). reshape(-1) makes it (bsz,).": swaps(".reshape(-1)", ""),
        "squeeze() drops the batch axis too where bsz is 1. reshape(-1) keeps it.":
            [swap(".reshape(-1)", ".squeeze()"), lambda *given: right_candidate(*given).squeeze()],
        "At temperature 0 you divided by 0. Take the argmax there.": swaps("== 0", "< 0"),
        "You drew at temperature 0. Nothing is left to chance there: argmax.":
            [swap("== 0", "< 0", "/ temperature", f"/ (temperature or {x})") for x in ("1", "1e-6")],
        "argmax is only for temperature 0. Above it, draw: sample_top_p.": swaps("== 0", ">= 0", "< 1", "<= 1"),
        "The same seed gave different ids. Pass generator on to the sampler.": swaps(", generator)", ")"),
        "Every seed gives the same ids. Use generator as given.": swaps(", generator)", ", seeded(0))"),
        "The temperature has no effect. Divide the logits by it before softmax.": swaps(" / temperature", ""),
        "You multiplied by the temperature. Divide by it.": swaps("/ temp", "* temp"),
        "You divided probabilities by the temperature. Divide the logits, before softmax.":
            swaps("/ temperature, dim=-1)", ", dim=-1) / temperature"),
        "top_p came before the temperature. Divide the logits by the temperature first.":
            swap("last /", "right_top_p(last.softmax(-1), top_p).log() /", "probs, top_p", "probs, 1.0"),
        "You drew tokens that top_p drops. Pass top_p on.": [*swaps("s, top_p", "s, 1.0", "s, 0.9", "s, 1 - top_p"),
            swap("sample_top_p(probs, top_p, ", "probs.multinomial(1, generator=")],
        "sample_top_p takes probabilities, not logits or logarithms: softmax.":
            [swap("torch.softmax(last / temperature, dim=-1)", "last / temperature"), swap("h.soft", "h.log_soft")],
        "You drew by rank: these are places in the sorted order, not ids. sample_top_p looks the ids up.":
            swaps("sample_top_p", "by_rank"),
        "One draw served all rows. Draw once for each row.": swaps(".reshape(-1)", "[0]", "[0].expand(len(last))"),
    },
)  # fmt: skip

CANVAS = torch.tensor([[1, 5, 9, -1, -1, -1], [1, 7, 3, 6, -1, -1], [1, 4, 8, 6, 9, -1]])
MASK = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0]]).bool()
START = torch.where(MASK, CANVAS, -1)


def right_write_column(tokens, input_text_mask, candidate, cur_pos):
    """f(tokens, input_text_mask (bsz, total_len), candidate (bsz,), cur_pos): a copy with one column written."""
    tokens, here = tokens.clone(), input_text_mask[:, cur_pos]
    tokens[:, cur_pos] = torch.where(here, tokens[:, cur_pos], candidate)
    return tokens


_LINE = "tokens[:, cur_pos] = torch.where(here, tokens[:, cur_pos], candidate)"
_ALL = "torch.where(input_text_mask, tokens, candidate[:, None])"

write_column = exercise(
    right_write_column,
    cases={
        "the first column": (START, MASK, torch.tensor([7, 3, 5]), 2),
        "a candidate that equals the prompt's token": (START, MASK, torch.tensor([9, 3, 5]), 2),
        "a later column: what earlier rounds have written stays": (CANVAS, MASK, torch.tensor([5, 7, 3]), 4),
        "the last column, no prompt left": (CANVAS, MASK, torch.tensor([3, 5, 8]), 5),
        "as many rows as columns": (START[:, :3], MASK[:, :3], torch.tensor([3, 8, 4]), 2),
        "a column that is the prompts' alone": (START, MASK, torch.tensor([3, 8, 5]), 1),
        "one row": (CANVAS[:1], MASK[:1], torch.tensor([6]), 4),
        "a canvas padded with 2": (torch.where(MASK, CANVAS, 2), MASK, torch.tensor([6, 0, 5]), 3),
    },
    mistakes={
        "You changed your input. Work on a copy: tokens.clone(). Do not change the mask.": swaps(".clone()", ""),
        "Other columns got the candidate too. Write column cur_pos only: [:, cur_pos].":
            swaps(_LINE, f"return {_ALL}", f"tokens[:, cur_pos:] = {_ALL}[:, cur_pos:]"),
        "The candidate overwrote the prompts. They stay where the mask is True.": swaps("(here,", "(here & False,"),
        "The two are swapped: where the mask is True, the prompt's token stays.": swaps("(here,", "(~here,"),
        "You looked for -1. Let the mask decide.": swaps("(here,", "(tokens[:, cur_pos] != -1,"),
        "Nothing was written. Write the candidate where this column's mask is False.": swaps("here,", "here | True,"),
        "Return the whole canvas.": swaps("rn tokens", "rn tokens[:, cur_pos]", "rn tokens[:, : cur_pos + 1]"),
        "You wrote another column. Every row writes column cur_pos.":
            [swap(_LINE, "tokens[range(len(tokens)), input_text_mask.sum(1)] = candidate"),
             *(swap(x, x.replace("pos", f"pos {n} 1")) for x in ("[:, cur_pos] =", "cur_pos]") for n in "+-")],
        "You used another column's mask: [:, cur_pos].": swaps("k[:, cur_pos]", "k[:, cur_pos - 1]", "k[:, -1]"),
        "Each row's own mask decides.": swaps("(here,", "(here.any(),", "(here.all(),", "(here[0],", "(here[-1],"),
        "The free rows took the candidates in turn. Row k takes candidate[k].":
            swaps(_LINE, "tokens[~here, cur_pos] = candidate[: int((~here).sum())]"),
        "Every row got the first row's candidate. Row k takes candidate[k].": swaps("candidate)", "candidate[0])"),
        "Inside a prompt its own token stays, not a 0.": swaps(", tokens[:, cur_pos],", ", 0,"),
        "You wrote a row. A column is [:, cur_pos].": [swap("[:, cur_pos]" + x, "[cur_pos]" + x) for x in ("", " =")],
        "The candidates ran along the rows. They make a column: candidate[:, None].":
            swaps(_LINE, f"return {_ALL}".replace("[:, None]", "")),
    },
)  # fmt: skip

SURE = torch.eye(5)[[2, 0, 3]] * 0.5 + 0.1  # three rows, sure of the ids 2, 0 and 3
NEARLY = torch.eye(64)[[9, 40, 21]] * 0.01 + 0.99 / 64
PATTERNS = [[*x] for x in product([False, True], repeat=3)]
Tapes = type("Tapes", (list,), {})  # generators that are not copied on their way to the learner's function


def used(f, inside):
    """Which of three generators a column used."""
    f(torch.full((3, 64), 1 / 64), 1.0, torch.tensor(inside), tapes := Tapes(map(seeded, (3, 7, 8))))
    pairs = zip(tapes, map(seeded, (3, 7, 8)), strict=True)
    return [not torch.equal(tape.get_state(), new.get_state()) for tape, new in pairs]


def text(f, lengths, seeds, seed=3):
    """The first 8 ids that the row with this seed writes after its prompt, where every id is equally likely."""
    tapes, k, probs = Tapes(map(seeded, seeds)), seeds.index(seed), torch.full((len(seeds), 64), 1 / 64)
    columns = [torch.tensor([cur_pos < n for n in lengths]) for cur_pos in range(min(lengths), lengths[k] + 8)]
    return [int(f(probs, 1.0, inside, tapes)[k]) for inside in columns][-8:]


def texts(f):
    alone, mates = text(f, [5], [3]), [([5, 5], [3, 4]), ([5, 2], [3, 4]), ([2, 5], [4, 3]), ([2, 7, 5], [8, 9, 3])]
    return {
        "a row draws again in each column": len(set(alone)) > 1,
        "another seed gives another text": text(f, [5], [4], 4) != alone,
        "a row's text is the same in four batches": [text(f, *batch) == alone for batch in mates],
    }


def nucleus_shares(f):
    ids = f(
        torch.tensor([[0.1, 0.05, 0.3, 0.55]]).expand(300, -1), 0.6, torch.zeros(300).bool(), [*map(seeded, range(300))]
    )
    return {"ids drawn": sorted({*ids.tolist()}), "how often": About(ids.bincount(minlength=4)[:4] / 300, 0.1)}


def right_draw_rows(probs, top_p, from_prompt, generators):
    """f(probs (bsz, vocab_size), top_p, from_prompt (bsz,) bool, generators, one per row): candidates, (bsz,).

    A row inside its prompt takes its most probable token and leaves its generator alone; every other row draws from
    its own.
    """
    candidate = probs.argmax(dim=-1)
    for k in range(len(probs)):
        if not from_prompt[k]:
            candidate[k] = sample_top_p(probs[k : k + 1], top_p, generators[k])
    return candidate


_ONE = "sample_top_p(probs[k : k + 1], top_p, generators[k])"

draw_rows = exercise(
    right_draw_rows,
    cases={
        **{f"from_prompt {x}": (SURE, 0.0, torch.tensor(x), [*map(seeded, (3, 7, 8))]) for x in PATTERNS},
        "all inside, 64 ids almost equally probable": (NEARLY, 1.0, torch.ones(3).bool(), [*map(seeded, (3, 7, 8))]),
        "which generators are used": lambda f: {f"from_prompt {x}": used(f, x) for x in PATTERNS},
        "a row's text alone and beside others": texts,
        "300 rows at top_p 0.6": nucleus_shares,
    },
    mistakes={
        "One generator served all rows. Row k draws from its own, generators[k].":
            [swap("generators[k]", "generators[0]"), lambda p, q, f, g: sample_top_p(p, q, g[0]).reshape(-1),
             lambda p, q, f, g: torch.where(f, p.argmax(-1), sample_top_p(p, q, g[0]).reshape(-1))],
        "A row inside its prompt drew for nothing: its text then depends on how long it waited.":
            [swap("not from_prompt[k]", "True"), swap("not from_prompt[k]", f"int({_ONE}) < 0 or not from_prompt[k]")],
        "Row k draws from generators[k], also where rows before it are inside their prompts.":
            swaps("generators[k]", "generators[int((~from_prompt[:k]).sum())]", "generators[~k]", "generators[k - 1]"),
        "Your generators were not used as they are. Pass generators[k] to the sampler.": swaps("generators[k]", "None",
            "generators", "seeded(k)", "seeded(0)", "seeded(generators[k].initial_seed())"),
        "Nothing was drawn. Where from_prompt is False, use sample_top_p.": swaps("not from_prompt[k]", "False"),
        "It is the wrong way round: a row draws where from_prompt is False.": swaps("not from", "from"),
        "Each row has its own from_prompt. Check each.": [swap("if n", "if from_prompt[k]: break\n        if n"),
            swap("    return", "        return"), *swaps("t[k]", "t.any()", "t.all()", "t[0]", "t[-1]")],
        "The rows are mixed up. The id of row k belongs in place k, prompt or not.":
            swaps("rn candidate", *(f"rn candidate[({x}from_prompt).argsort(stable=True)]" for x in " ~")),
        "Every row gets an id, also inside its prompt: argmax.": swaps("rn candidate", "rn candidate[~from_prompt]"),
        "Inside a prompt return the most probable id: argmax(dim=-1).":
            swaps("max(dim=-1)", "min(dim=-1)", "max(dim=0)", "max(-1) * 0", "max(-1) * 0 - 1", "max().repeat(3)"),
        "Do not seed a generator again: it goes on where it stopped.":
            swaps("generators[k]", "generators[k].manual_seed(0)", "generators[k].manual_seed(k)"),
        "generators[k] drew for all rows, so bsz changes the text. Draw row k alone.":
            [swap("s[k : k + 1]", x, "rs[k])", f"rs[k])[{k}]") for x, k in (("s", "k"), ("s[k:]", "0"))],
        "Row k draws from its own probabilities: probs[k : k + 1].": swaps("probs[k : k + 1]", "probs[:1]"),
        "probs[k] lost an axis. sample_top_p takes (1, vocab_size): probs[k : k + 1].": swaps("[k : k + 1]", "[k]"),
        "You drew tokens that top_p drops. Pass top_p on.": [*swaps(", top_p,", ", 1.0,", ", 0.9,"),
            swap(_ONE, "probs[k].multinomial(1, generator=generators[k])")],
        "You drew by rank: these are places in the sorted order, not ids. sample_top_p looks the ids up.":
            swaps("sample_top_p", "by_rank"),
    },
)  # fmt: skip
