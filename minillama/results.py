"""From the columns that the generate loop writes to results: the tokens that count in each row, and their exact bytes.

The loop fills whole columns and knows nothing of text. Here each row is cut at its eos, its stop string or its
length. `generate`, the completions and `stream` all get their results from one `Collector`.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from typing import Literal, TypedDict

import torch
from torch import Tensor

from minillama import arguments
from minillama.chat import UNSAFE_ERROR, Message
from minillama.logprobs import TopLogprobs
from minillama.loop import GenerationStep
from minillama.tokenizer import Tokenizer, as_written, drop_space


class TopLogprob(TypedDict):
    """One of the most probable tokens at a place, whether it was chosen or not."""

    token_id: int
    logprob: float


class Prediction(TypedDict, total=False):
    """What both kinds of completion return beside their `generation`."""

    finish_reason: Literal["stop", "length", "refused"]
    tokens: list[str]  # with logprobs, as are the three below: the tokenizer's pieces
    token_ids: list[int]
    token_bytes: list[bytes]  # joined, exactly the bytes of the text
    logprobs: list[float | None]
    top_logprobs: list[list[TopLogprob] | None]  # only if asked for: the most probable tokens at each place


class CompletionPrediction(Prediction, total=False):
    """What `text_completion` returns for a prompt: text has no roles."""

    generation: str


class ChatPrediction(Prediction, total=False):
    """What `chat_completion` returns for a dialog: a message, ready to be appended to it."""

    generation: Message


class Generated(tuple):
    """What `Llama.generate` returns: the pair (tokens, logprobs or None), one list for each row in either.

    `top_logprobs`: for each row a list like a prediction's, None unless it was asked for.
    """

    top_logprobs: list[list[list[TopLogprob] | None]] | None = None


def to_json(prediction: CompletionPrediction | ChatPrediction) -> dict:
    r"""A prediction that `json.dumps` can write: token_bytes as lists of numbers, as completion APIs have them.

    >>> to_json({"generation": "é", "token_bytes": ["é".encode()]})
    {'generation': 'é', 'token_bytes': [[195, 169]]}

    Raises TypeError for anything but a prediction.
    """
    arguments.kind("prediction", prediction, dict)
    as_lists = (
        {"token_bytes": [list(data) for data in prediction["token_bytes"]]} if "token_bytes" in prediction else {}
    )
    return {**prediction, **as_lists}


def refusal(logprobs: bool = False, top_logprobs: int = 0) -> ChatPrediction:
    """What a dialog with special tags gets instead of an answer: Meta's fixed text, and no token."""
    empty = {"tokens": [], "token_ids": [], "token_bytes": [], "logprobs": []} if logprobs else {}
    empty |= {"top_logprobs": []} if top_logprobs else {}
    return {"generation": {"role": "assistant", "content": UNSAFE_ERROR}, "finish_reason": "refused", **empty}


class Row:
    """The generated tokens of one row, up to where it ends."""

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int], max_gen_len: int, stop: Sequence[str]):
        self.tokenizer, self.prompt, self.max_gen_len = tokenizer, list(prompt), max_gen_len
        self.stop = [text.encode() for text in stop]
        self.ids: list[int] = []
        self.token_bytes: list[bytes] = []
        self.data = b""  # token_bytes, joined
        self.ended = max_gen_len == 0
        self.finish_reason = "length"  # unless eos or a stop string comes first

    def push(self, token: int) -> None:
        """Take the next generated token; what comes after the end is surplus."""
        if self.ended:
            return
        if token in self.tokenizer.stop_ids:
            self.ended, self.finish_reason = True, "stop"
            return
        old = len(self.data)
        self.ids.append(token)
        self.token_bytes.append(self.tokenizer.token_bytes(token))
        self.data += self.token_bytes[-1]
        found = [self.data.find(text, max(0, old - len(text) + 1)) for text in self.stop]
        if starts := [start for start in found if start >= 0]:
            self._cut(min(starts))
        self.ended = self.ended or len(self.ids) == self.max_gen_len

    def _cut(self, end: int) -> None:
        """Keep the first `end` bytes. A token with bytes before the end stays, its bytes shortened."""
        self.ended, self.finish_reason = True, "stop"
        start = len(self.data)
        self.data = self.data[:end]
        while self.ids and (start := start - len(self.token_bytes[-1])) >= end:
            self.ids.pop(), self.token_bytes.pop()
        if self.ids:
            self.token_bytes[-1] = self.token_bytes[-1][: end - start]

    def settled(self) -> int:
        """How many bytes are certain to stay: all but a tail that may be the beginning of a stop string."""
        longest = 0 if self.ended else max((len(text) - 1 for text in self.stop), default=0)
        for held in range(min(longest, len(self.data)), 0, -1):
            if any(text.startswith(self.data[-held:]) for text in self.stop):
                return len(self.data) - held
        return len(self.data)


class Collector:
    """Collects the steps of one run.

    With `watch` every column is read as it comes: streaming and stop strings need this, and it makes a GPU wait at each
    step. Without it the canvas is read once, at the end.
    """

    def __init__(self, tokenizer: Tokenizer, prompt_tokens, max_gen_len: int, stop: Sequence[str], watch: bool = False):
        self.tokenizer = tokenizer
        self.rows = [Row(tokenizer, prompt, max_gen_len, stop) for prompt in prompt_tokens]
        self.watch = watch or bool(stop)
        self.scores: list[Tensor] = []  # log-probabilities of the positions 1, 2, …: (bsz, columns of one step) each
        self.best: list[TopLogprobs] = []  # of the same positions, if asked for
        self.canvas: Tensor | None = None
        self.n_written = self.n_read = 0  # columns of the canvas

    def collect(self, steps: Iterator[GenerationStep]) -> Collector:
        """Take all the steps of a run, or as many as it needs."""
        for step in steps:
            if self.add(step):
                break
        self.read()
        return self

    def texts(self, steps: Iterator[GenerationStep], chat: bool) -> Iterator[str]:
        """The text of the first row, piece by piece as the steps come, as far as it is settled; chat: an answer."""
        row, shown, stream = self.rows[0], 0, TextStream(chat and answers_begin_with_space(self.tokenizer))
        for step in steps:
            ended = self.add(step)
            new, shown = row.data[shown : row.settled()], row.settled()
            if piece := stream.push(new):
                yield piece
            if ended:
                break
        if rest := stream.push(row.data[shown:], final=True):
            yield rest

    def add(self, step: GenerationStep) -> bool:
        """Take one step; True if watching and every row has ended."""
        self.canvas, self.n_written = step.tokens, step.cur_pos + 1
        if step.logprobs is not None:
            self.scores.append(step.logprobs)
        if step.top_logprobs is not None:
            self.best.append(step.top_logprobs)
        if self.watch:
            self.read()
        return self.watch and all(row.ended for row in self.rows)

    def read(self) -> None:
        """Hand the columns that were written since the last look to their rows."""
        if self.canvas is None:
            return
        for row, columns in zip(self.rows, self.canvas[:, self.n_read : self.n_written].tolist(), strict=True):
            for token in columns[max(0, len(row.prompt) - self.n_read) :]:
                row.push(token)
        self.n_read = self.n_written

    def token_ids(self, echo: bool) -> list[list[int]]:
        return [(row.prompt if echo else []) + row.ids for row in self.rows]

    def logprobs(self, echo: bool) -> list[list[float | None]]:
        """One number for each of `token_ids`; None for the first token of an echo, which nothing predicts."""
        return self._by_token(torch.cat(self.scores, dim=1).tolist() if self.scores else None, echo)

    def top_logprobs(self, echo: bool) -> list[list[list[TopLogprob] | None]]:
        """The most probable tokens at the place of each of `token_ids`; None for the first token of an echo."""
        if not self.best:
            return self._by_token(None, echo)
        ids, logprobs = (torch.cat(tensors, dim=1).tolist() for tensors in zip(*self.best, strict=True))
        named = [
            [[{"token_id": i, "logprob": p} for i, p in zip(*place, strict=True)] for place in zip(*row, strict=True)]
            for row in zip(ids, logprobs, strict=True)
        ]
        return self._by_token(named, echo)

    def _by_token(self, known: list[list] | None, echo: bool) -> list[list]:
        """From what is known of the positions 1, 2, … of each row, that of its tokens; the first position has None."""
        of_tokens = []
        for row, after_first in zip(self.rows, known or [[] for _ in self.rows], strict=True):
            by_position, first = [None, *after_first], len(row.prompt)
            of_tokens.append(by_position[0 if echo else first : first + len(row.ids)])
        return of_tokens

    def predictions(
        self,
        logprobs: bool,
        top_logprobs: int = 0,
        echo: bool = False,
        chat: bool = False,
        prompts: Sequence[str] | None = None,
    ) -> list[dict]:
        """A prediction for each row.

        echo: the prompt comes first, as it was written in `prompts`; without these, as its ids say it. chat: the one
        space before an answer is dropped, if the tokenizer or the chat format puts it there.
        """
        results = []
        scores = self.logprobs(echo) if logprobs else [[] for _ in self.rows]
        best = self.top_logprobs(echo) if top_logprobs else None
        skip_space = chat and answers_begin_with_space(self.tokenizer)
        for k, (row, ids, values) in enumerate(zip(self.rows, self.token_ids(echo), scores, strict=True)):
            token_bytes = drop_space(row.token_bytes) if skip_space else row.token_bytes
            if echo:
                said = [self.tokenizer.token_bytes(i) for i in row.prompt]
                text = (self.tokenizer.decode(row.prompt) if prompts is None else prompts[k]).encode()
                token_bytes = as_written(text, said, self.tokenizer.space_in_front) + token_bytes
            text = b"".join(token_bytes).decode(errors="replace")
            generation = {"role": "assistant", "content": text} if chat else text
            result = {"generation": generation, "finish_reason": row.finish_reason}
            if logprobs:
                result["tokens"] = self.tokenizer.pieces(ids)
                result |= {"token_ids": ids, "token_bytes": token_bytes, "logprobs": values}
                result |= {} if best is None else {"top_logprobs": best[k]}
            results.append(result)
        return results


def answers_begin_with_space(tokenizer: Tokenizer) -> bool:
    """Whether an answer begins with a space that is not its own: the tokenizer's, or that of Llama 2's format."""
    return tokenizer.space_in_front or tokenizer.chat_format is None


class TextStream:
    """Bytes in, whole characters out; with skip_space, without the one space before the first word."""

    def __init__(self, skip_space: bool):
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.skip_space = skip_space

    def push(self, data: bytes, final: bool = False) -> str:
        if self.skip_space and data:
            self.skip_space, data = False, data.removeprefix(b" ")
        return self.decoder.decode(data, final)
