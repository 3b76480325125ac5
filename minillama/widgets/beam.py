"""BeamView: step through a beam search and see which branches of the tree are kept, cut or ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import traitlets as T

from minillama import allowed, arguments
from minillama.generation import Llama
from minillama.markup import escape, visible, wrap
from minillama.widgets.front import SENT, Explorer, Value
from minillama.widgets.labels import labels, only
from minillama.widgets.parts import columns, number, share, small, table
from minillama.widgets.prompts import check_prompts, one_of

MOST_BEAMS, LONGEST_SEARCH = 6, 24
WORDS = ("prompt", "col_token", "col_logprob", "col_sum", "col_prob", "col_state", "col_text", "col_tokens", "col_mean",
         "short_*", "beam_*", "step_slider")  # fmt: skip


class Branch(NamedTuple):
    """A token that one of the beams may go on with."""

    parent: int  # its place among the branches of the step before, -1: the prompt
    piece: str
    logprob: float  # of this token
    total: float  # of all tokens since the prompt
    n_tokens: int  # since the prompt, this one included
    text: str  # since the prompt
    state: str  # "kept", "cut" or "ended": kept, and a stop id


@torch.no_grad()
def beam_levels(llama: Llama, prompt_tokens: Sequence[int], n_beams: int, max_gen_len: int) -> list[list[Branch]]:
    """The branches of every step of a beam search: of each beam its n_beams best tokens.

    The n_beams best of all are kept; a beam that has ended keeps its place. Every beam is read alone and from its
    beginning: slow, but it fits any cache.
    """
    tokenizer, levels = llama.tokenizer, []
    beams: list[tuple[int, list[int], float]] = [(-1, [], 0.0)]  # place in the step before, ids, sum
    places = n_beams
    for _ in range(min(max_gen_len, llama.model.params.max_seq_len - len(prompt_tokens))):
        found = []  # (sum, parent, logprob, ids)
        for parent, ids, total in beams:
            logprobs = torch.log_softmax(llama.logits([[*prompt_tokens, *ids]])[0, -1], dim=-1)  # (vocab_size,)
            best = logprobs.topk(min(n_beams, len(logprobs)))
            pairs = zip(best.values.tolist(), best.indices.tolist(), strict=True)
            found += [(total + logprob, parent, logprob, [*ids, i]) for logprob, i in pairs]
        kept = sorted(range(len(found)), key=lambda k: -found[k][0])[:places]
        level, beams = [], []
        for k, (total, parent, logprob, ids) in enumerate(found):
            state = "cut" if k not in kept else "ended" if ids[-1] in tokenizer.stop_ids else "kept"
            text = tokenizer.decode_bytes(ids).decode(errors="replace")
            level.append(Branch(parent, tokenizer.pieces(ids[-1:])[0], logprob, total, len(ids), text, state))
            places -= state == "ended"
            beams += [(k, ids, total)] if state == "kept" else []
        levels.append(level)
        if not beams:
            break
    return levels


def beam_html(levels: Sequence[Sequence[Branch]], k: int, text: Mapping[str, str], style: bool = True) -> str:
    """The tree after step k: of earlier steps what was kept, of step k every branch; below it the texts so far."""
    rows = [_row("", text["beam_prompt"], None, "", text), *_rows(levels[:k], 0, -1, "", text)]
    kept = sum(branch.state == "kept" for branch in levels[k - 1]) if k else 1
    ended = sum(branch.state == "ended" for level in levels[:k] for branch in level)
    caption = text["beam_caption"].format(k=k, n=len(levels), kept=kept, ended=ended)
    heads = columns(text, "token", "logprob", "sum", "prob", "state")
    tree = table(heads, rows, text["beam_table"], escape(caption), left=(0, 3, 4))
    return wrap(tree + _texts(levels[:k], text) + small(text["beam_legend"]), "ml-beam", style)


def _rows(levels: Sequence[Sequence[Branch]], depth: int, parent: int, indent: str, text: Mapping[str, str]):
    """The rows below a branch: its children, the best first, each with its own below it."""
    if depth == len(levels):
        return
    last = depth == len(levels) - 1
    level = [(place, branch) for place, branch in enumerate(levels[depth]) if branch.parent == parent]
    shown = sorted((p for p in level if last or p[1].state != "cut"), key=lambda pair: -pair[1].total)
    for n, (place, branch) in enumerate(shown, 1):
        end = n == len(shown)
        state = branch.state if _lives(levels, depth, place) else "later" if branch.state == "kept" else branch.state
        yield _row(f"{indent}{'└' if end else '├'}─ ", branch.piece, branch, state, text)
        if branch.state == "kept":
            yield from _rows(levels, depth + 1, place, f"{indent}{'  ' if end else '│ '} ", text)


def _lives(levels: Sequence[Sequence[Branch]], depth: int, place: int) -> bool:
    """Whether a branch, or one that grew from it, is still in the beam or has ended in it."""
    branch = levels[depth][place]
    if branch.state != "kept" or depth == len(levels) - 1:
        return branch.state != "cut"
    return any(each.parent == place and _lives(levels, depth + 1, k) for k, each in enumerate(levels[depth + 1]))


def _row(lines: str, name: str, branch: Branch | None, state: str, text: Mapping[str, str]) -> str:
    css = {"cut": "ml-cut", "later": "ml-cut", "ended": "ml-marked"}.get(state, "")
    numbers = [number(branch and branch.logprob, 3), number(branch and branch.total, 3)]
    cells = [*numbers, share(branch and math.exp(branch.total)), state and text[f"beam_{state}"]]
    head = f'<th scope="row"><span class="ml-tree">{lines}</span>{escape(name)}</th>'
    return f'<tr class="{css}">{head}{"".join(f"<td>{each}</td>" for each in cells)}</tr>'


def _texts(levels: Sequence[Sequence[Branch]], text: Mapping[str, str]) -> str:
    """The texts that are in the beam, the largest sum first; the best sum and the best mean have a sign."""
    living = levels[-1] if levels else []
    ended = [branch for level in levels for branch in level if branch.state == "ended"]
    texts = sorted(ended + [branch for branch in living if branch.state == "kept"], key=lambda branch: -branch.total)
    if not texts:
        return ""
    best = max(texts, key=lambda branch: branch.total / branch.n_tokens)
    rows = []
    for branch in texts:
        total = number(branch.total, 3) + " ★" * (branch is texts[0])
        mean = number(branch.total / branch.n_tokens, 3) + " ★" * (branch is best)
        numbers = "".join(f"<td>{each}</td>" for each in (branch.n_tokens, total, mean, text[f"beam_{branch.state}"]))
        rows.append(f'<tr><th scope="row">{escape(branch.text)}</th>{numbers}</tr>')
    return table(columns(text, "text", "tokens", "sum", "mean", "state"), rows, text["beam_texts"], left=(0, 4))


class BeamView(Explorer):
    """A beam search (1 to 6 beams) from a prompt, at most max_gen_len tokens (1 to 24), one step after another.

    prompts: a list of str to choose from. `prompt`, `beams` and `step` (0: before the first) can be read and set. The
    model runs for each prompt and number of beams; the browser has the branches of every step and draws by itself.
    Raises TypeError or ValueError, naming the argument, if prompts is empty or not a list of str, a prompt leaves no
    room for a token or a number is out of range.
    """

    name, uses = "beam", ("grid",)
    prompt = Value().tag(**SENT)
    beams = Value().tag(**SENT)
    step = Value().tag(**SENT)
    tree = T.Dict().tag(**SENT)  # the answer to `prompt` and `beams`: the branches of every step

    @allowed.only(llama=allowed.an(Llama), prompts=allowed.texts, n_beams=allowed.plain, max_gen_len=allowed.plain)
    def __init__(self, llama: Llama, prompts: Sequence[str], n_beams: int = 3, max_gen_len: int = 6):
        check_prompts(llama, prompts)
        arguments.whole("n_beams", n_beams, 1, MOST_BEAMS)
        arguments.whole("max_gen_len", max_gen_len, 1, LONGEST_SEARCH)
        self.text, self.llama, self.max_gen_len = labels(), llama, max_gen_len
        self.prompts = list(dict.fromkeys(prompts))
        data = {"prompts": self.prompts, "shown": [visible(prompt) for prompt in self.prompts],
                "text": only(self.text, WORDS), "most_beams": MOST_BEAMS}  # fmt: skip
        tree = self._search(prompts[0], n_beams)
        super().__init__(data, prompt=prompts[0], beams=n_beams, step=1, tree=tree)
        self.observe(self._again, ["prompt", "beams"])

    def __repr__(self) -> str:
        return f"BeamView({len(self.prompts)} prompts, beams={self.beams}, step={self.step} of {len(self.levels)})"

    @T.validate("prompt", "beams", "step")
    def _judge(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        if name == "prompt":
            return one_of(value, self.prompts)
        lowest, highest = (1, MOST_BEAMS) if name == "beams" else (0, len(self.levels))
        return arguments.whole(name, value, lowest, highest)

    def _again(self, _change) -> None:
        self.tree = self._search(self.prompt, self.beams)
        self.step = min(self.step, len(self.levels))  # a step beyond the last becomes the last

    def _search(self, prompt: str, n_beams: int) -> dict:
        prompt_tokens = self.llama.tokenizer.encode(prompt, bos=True, eos=False)
        self.levels = beam_levels(self.llama, prompt_tokens, n_beams, self.max_gen_len)
        levels = [
            [branch._replace(piece=visible(branch.piece), text=visible(branch.text))._asdict() for branch in level]
            for level in self.levels
        ]
        return {"prompt": prompt, "beams": n_beams, "levels": levels}

    def still(self) -> str:
        return beam_html(self.levels, self.step, self.text)
