"""A chat format that a checkpoint's own template lays out, and the check that a known format is what a template means.

A template is more than the marks that it uses: it may put bos first, bring a system text of its own, strip contents,
rename roles, open the answer with words. So it is run (sandbox.py) and its text cut into tokens, as transformers does.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from functools import cached_property
from itertools import groupby

from minillama.chat import ChatFormat, Dialog, Segment, label_tokens
from minillama.formats import sandbox
from minillama.formats.bpe import BPETokenizer
from minillama.tokenizer import BaseTokenizer

KEPT = 64  # dialogs whose layout is remembered
ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|end_of_turn|>", "<end_of_turn>", "<end_of_utterance>")
MARK = re.compile(  # <|user|>, <start_of_turn>, </s> · [INST], [/INST] · ### Human: · USER:
    r"<<?/?[|｜]?[\w▁/.-]+[|｜]?>>?|\[/?[A-Z][A-Z_]+\]|#{2,} ?[A-Z]\w*:|\b(?:USER|HUMAN|ASSISTANT|SYSTEM):"
)


def _said(*contents: str, system: str | None = None) -> list[dict[str, str]]:
    first = [] if system is None else [{"role": "system", "content": system}]
    return first + [{"role": ("user", "assistant")[k % 2], "content": each} for k, each in enumerate(contents)]


PROBES = (
    _said("Is it old?"),
    _said("Is it old?", system="Be kind."),
    _said("Is it old?", 'It\'s "old".', "How old?"),
    _said(" Is it\n\nold? \n", "\n It is. ", "\tHow? ", "So. ", "  And now?"),
    _said(" It's 'so'?", " Yes \\n\n", 'Say "no".', system=' You\'re a "miller".\n'),
    _said("磨坊老吗？", "很老。", "多老？", system="你是磨坊主。"),
)


class TemplateFormat(ChatFormat):
    """The format of a checkpoint's template.

    known: a format of ours that the template seems to mean. At the first dialog both lay out PROBES; if their ids are
    equal, `known` is used from there on, else the template as it is. tokens: what the template is given as "bos_token"
    and the like. Raises ValueError for a dialog that the template refuses, and for a template that fails or takes more
    than sandbox.py grants.
    """

    def __init__(
        self, template: str, tokenizer: BaseTokenizer, tokens: dict[str, str], known: ChatFormat | None = None
    ):
        self.template, self.tokens, self.known, self._tokenizer = template, tokens, known, tokenizer
        ends = [tokenizer.id_of(name) for name in ENDS if name in template]
        self.end_ids = (*(known.end_ids if known else ()), *(i for i in ends if i is not None))
        self._layouts: dict[tuple, list[tuple[str, str]]] = {}

    @property
    def system(self) -> str | None:
        """The system text that stands in where a dialog has none, where it is known."""
        return getattr(self.known, "system", None)

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """Those of the known format; else the special tokens, and what looks like a mark around the contents of PROBES.

        "<think>" and the like are none: answers hold them.
        """
        if self.is_known:
            return self.known.tags
        laid_out = [label_contents(answer["text"], probe, None) or []
                    for probe, answer in zip(PROBES, self._probed, strict=True) if "text" in answer]  # fmt: skip
        marks = {mark for runs in laid_out for label, text in runs if label == "tag" for mark in MARK.findall(text)}
        return (*self._special, *sorted(mark for mark in marks - self._special.keys() if "think" not in mark))

    @cached_property
    def _probed(self) -> list[dict[str, str]]:
        return self._render(list(PROBES))

    @cached_property
    def is_known(self) -> bool:
        """Whether the known format gives the ids of the template, for all of PROBES."""
        if self.known is None:
            return False
        return all(
            "text" in answer
            and _ids(self._cut([("tag", answer["text"])])) == _ids(self.known.segments(self._tokenizer, probe))
            for probe, answer in zip(PROBES, self._probed, strict=True)
        )

    def segments(self, tokenizer: BaseTokenizer, dialog: Dialog) -> list[Segment]:
        """As `chat.segment_dialog`; contents have the label of their role, all that the template adds is "tag"."""
        if self.is_known:
            return self.known.segments(tokenizer, dialog)
        return self._cut(self._runs(dialog))

    def _runs(self, dialog: Dialog) -> list[tuple[str, str]]:
        """(label, text) for each part of what the template writes."""
        messages = [{"role": message["role"], "content": message["content"]} for message in dialog]
        key = tuple((message["role"], message["content"]) for message in messages)
        runs = self._layouts.get(key)
        if runs is None:
            signs = [message | {"content": f"\ue000{k}\ue001"} for k, message in enumerate(messages)]
            answer, outline = self._render([messages, signs])
            if "error" in answer:
                said = "".join(c if c.isprintable() else " " for c in answer["error"])
                raise self._refused(f"does not lay this dialog out ({said})")
            if not answer["text"]:
                raise self._refused("writes nothing")
            runs = label_contents(answer["text"], messages, outline.get("text"))
            if messages[-1]["content"].strip() and runs is None:
                raise self._refused("leaves the user's message out")
            if len(self._layouts) >= KEPT:
                self._layouts.clear()
            self._layouts[key] = runs = runs or [("tag", answer["text"])]
        return runs

    def _render(self, dialogs: list) -> list[dict[str, str]]:
        try:
            return sandbox.render(self.template, dialogs, self.tokens)
        except ValueError as error:
            raise self._refused(str(error)) from None

    def _refused(self, what: str) -> ValueError:
        return ValueError(
            f"dialogs: this checkpoint's chat template, {self.template[:60]!r} …, {what}; name a format to use in its "
            f"place: chat_format='llama-2' or 'chatml' in Llama.build, --chat-format on the command line. "
            f"text_completion works"
        )

    # ---- text to tokens

    @cached_property
    def _special(self) -> dict[str, int]:
        """The ids of all special tokens by their names: those that add nothing to a text."""
        tokenizer = self._tokenizer
        ids = [i for i in range(tokenizer.n_words) if not tokenizer.token_bytes(i)]
        return {name: i for name, i in zip(tokenizer.pieces(ids), ids, strict=True) if not name.startswith("<unused ")}

    @cached_property
    def _library(self) -> Callable | None:
        """The `tokenizers` library's own reading of a text with special tokens in it; None for other tokenizers."""
        if not isinstance(self._tokenizer, BPETokenizer):
            return None
        made = copy.deepcopy(self._tokenizer.tokenizer)
        made.encode_special_tokens = False  # here "<|im_end|>" is the token
        return lambda text: made.encode(text, add_special_tokens=False)

    def _cut(self, runs: list[tuple[str, str]]) -> list[Segment]:
        """The tokens of the joined texts of runs."""
        joined: list[Segment] = []
        cut = self._by_names if self._library is None else self._by_library
        for segment in cut(runs):  # neighbours of one label are one segment; bos and eos are always alone
            if joined and joined[-1].label == segment.label not in ("bos", "eos"):
                joined[-1] = Segment(segment.label, joined[-1].ids + segment.ids)
            else:
                joined.append(segment)
        return joined

    def _by_library(self, runs: list[tuple[str, str]]) -> list[Segment]:
        """All in one, for such a token may swallow the spaces around it. A token belongs to its first letter."""
        text = "".join(text for _, text in runs)
        labels = [label for label, text in runs for _ in text]
        special, segments, encoding = {*self._special.values()}, [], self._library(text)
        for i, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if i >= self._tokenizer.n_words:
                raise self._refused(f"writes {text[start:end]!r}, a token for which the model has no weights")
            token = text[start:end]
            first = start + len(token) - len(token.lstrip()) if token.strip() else start
            label = labels[min(first, len(labels) - 1)]
            if i in special:
                if label != "tag":
                    raise ValueError(
                        f"dialogs: a message of the role {label} holds {token!r}, a token of this checkpoint's chat "
                        f"format; remove it"
                    )
                label = self._label(i)
            segments.append(Segment(label, [i]))
        return segments

    def _by_names(self, runs: list[tuple[str, str]]) -> list[Segment]:
        """Special tokens by their names, in what the template wrote; the texts between them as any text."""
        segments: list[Segment] = []
        names = "|".join(re.escape(name) for name in sorted(self._special, key=len, reverse=True))
        parts = [
            (label, part)
            for label, text in runs
            for part in (re.split(f"({names})", text) if names else [text])
            if part
        ]
        for is_special, group in groupby(parts, key=lambda part: part[0] == "tag" and part[1] in self._special):
            if is_special:
                ids = [self._special[name] for _, name in group]
                segments += [Segment(self._label(i), [i]) for i in ids]
            else:
                segments += label_tokens(self._tokenizer, list(group))
        return segments

    def _label(self, i: int) -> str:
        tokenizer = self._tokenizer
        return "bos" if i == tokenizer.bos_id else "eos" if i in (tokenizer.eos_id, *self.end_ids) else "tag"


def _ids(segments: list[Segment]) -> list[int]:
    return [i for segment in segments for i in segment.ids]


def label_contents(text: str, messages: list[dict[str, str]], outline: str | None) -> list[tuple[str, str]] | None:
    """What a template wrote as (label, text), the label being a role or "tag"; None if the last content is not found.

    outline: what it wrote with the sign \\ue000k\\ue001 in place of content k. Where contents are as they were or
    stripped, it says exactly where they are; else each is looked for after the one before it.
    """
    exact = None if outline is None else _by_outline(text, messages, outline)
    if exact is not None:
        return exact
    runs, end, found = [], 0, False
    for message in messages:
        content = message["content"] if message["content"] in text[end:] else message["content"].strip()
        start = text.find(content, end)
        found = start >= 0
        if found and content:
            runs += [("tag", text[end:start]), (message["role"], content)]
            end = start + len(content)
    return [run for run in [*runs, ("tag", text[end:])] if run[1]] if found else None


def _by_outline(text: str, messages: list[dict[str, str]], outline: str) -> list[tuple[str, str]] | None:
    pieces = re.split("\ue000([0-9]{1,9})\ue001", outline)  # fixed text, k, fixed text, k … fixed text
    places = [int(k) for k in pieces[1::2]]
    if len(messages) - 1 not in places or max(places) >= len(messages) or not text.startswith(pieces[0]):
        return None
    runs, end = [("tag", pieces[0])], len(pieces[0])
    for k, fixed in zip(places, pieces[2::2], strict=True):
        content = messages[k]["content"]
        for form in (content, content.strip(), content.lstrip(), content.rstrip()):
            if text.startswith(form + fixed, end):
                break
        else:
            return None
        runs += [(messages[k]["role"], form), ("tag", fixed)]
        end += len(form) + len(fixed)
    return [run for run in runs if run[1]] if end == len(text) else None
