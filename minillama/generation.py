"""Llama: what is built on the generate loop: streaming, text completion, chat completion.

The loop itself is in `loop.py`; here it gets a model (`built.py`), whose cache serves one run at a time (`guard.py`).
`generate`, `stream` and the completions differ only in what they make of its steps. Names are those of Meta's
`generation.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import torch

from minillama import arguments, calls, parallel
from minillama.built import Built
from minillama.chat import Dialog, encode_dialog, has_special_tags
from minillama.guard import polled
from minillama.logprobs import token_logprobs
from minillama.logprobs import top_logprobs as most_probable
from minillama.loop import GenerationStep, canvas, steps
from minillama.results import ChatPrediction, Collector, CompletionPrediction, Generated, refusal
from minillama.sampling import Sampling


class Llama(Built):
    """A model and its tokenizer, ready to generate.

    >>> llama = Llama.build()                                          # the course model
    >>> llama.text_completion(["Once upon a time"], temperature=0)[0]["generation"]  # doctest: +SKIP
    """

    def generate_steps(
        self,
        prompt_tokens: Sequence[Sequence[int]],
        max_gen_len: int,
        temperature: float = Sampling.temperature,
        top_p: float = Sampling.top_p,
        logprobs: bool = False,
        *,
        top_k: int | None = None,
        min_p: float | None = None,
        repetition_penalty: float | None = None,
        presence_penalty: float | None = None,
        frequency_penalty: float | None = None,
        logit_bias: Mapping[int, float] | None = None,
        no_repeat_ngram_size: int | None = None,
        seed: int | Sequence[int] | None = None,
    ) -> Iterator[GenerationStep]:
        """The generate loop of `loop.steps` on this model, one `GenerationStep` for each column that it writes.

        It ends when every row has reached eos (on a GPU up to 15 columns later) or the canvas is full. Arguments as
        for `generate`. A run takes the cache over with its first step; an older one then raises CacheTaken at its next.
        """
        with parallel.together(self._n_ranks, asked := locals()):
            sampling = self._sampling(asked)
            judged = calls.run(prompt_tokens, max_gen_len, seed, logprobs, self.model.params)
        return self._begin(sampling, *judged)

    def _sampling(self, asked: Mapping[str, object]) -> Sampling:
        """The settings among the arguments of a call, judged, logit_bias by this model's vocabulary, too."""
        sampling = Sampling(**{each.name: asked[each.name] for each in dataclasses.fields(Sampling)})
        arguments.bias("logit_bias", sampling.logit_bias or {}, self.model.params.vocab_size)
        return sampling

    def _begin(self, sampling, prompt_tokens, max_gen_len, seeds, logprobs, top_logprobs=0) -> Iterator[GenerationStep]:
        """A run of the loop over judged arguments; seeds None: the Llama's generator draws them, where any are used."""
        if seeds is None and sampling.temperature > 0 and max_gen_len > 0:
            seeds = torch.randint(arguments.LARGEST_SEED, (len(prompt_tokens),), generator=self._generator).tolist()
        forward, limit = self._guard.forward(last_only=not logprobs), self.model.params.max_seq_len
        how = {"max_seq_len": limit, "stop_ids": self.tokenizer.stop_ids, "pad_id": self.tokenizer.pad_id}
        how |= {"seeds": seeds, "logprobs": logprobs, "top_logprobs": top_logprobs}
        how |= {"device": self.device, "all_ended": polled(self.device)}
        how |= {"agree": parallel.of_rank_0} if self._n_ranks > 1 else {}
        return steps(forward, prompt_tokens, max_gen_len, sampling, **how)

    def generate(
        self,
        prompt_tokens: Sequence[Sequence[int]],
        max_gen_len: int,
        temperature: float = Sampling.temperature,
        top_p: float = Sampling.top_p,
        logprobs: bool = False,
        echo: bool = False,
        *,
        top_k: int | None = None,
        min_p: float | None = None,
        repetition_penalty: float | None = None,
        presence_penalty: float | None = None,
        frequency_penalty: float | None = None,
        logit_bias: Mapping[int, float] | None = None,
        no_repeat_ngram_size: int | None = None,
        top_logprobs: int = 0,
        stop: str | Sequence[str] = (),
        seed: int | Sequence[int] | None = None,
    ) -> tuple[list[list[int]], list[list[float | None]] | None]:
        """Continue every prompt by at most max_gen_len tokens; return (tokens, logprobs or None), one list per row.

        prompt_tokens: bsz lists of ids, of any lengths. temperature 0 is greedy; else a token is drawn after
        temperature, top_k, min_p and top_p, in this order. A row ends before one of the tokenizer's stop_ids, at a
        `stop` string (a token with bytes before it stays), or when max_seq_len is full. seed: an int s (row k draws
        with s + k), one for each row, or None for seeds from build's; a row's draws depend on its seed alone.

        Before the temperature, in this order: repetition_penalty (0.01 to 100; above 1 lowers the tokens that prompt
        and answer have), presence_penalty and frequency_penalty (-2 to 2, taken off those that the answer has, once or
        each time), logit_bias ({id: number}, added; -inf bans), no_repeat_ngram_size (no n tokens in a row come twice).

        logprobs: log p of each token in nats, from the raw logits: penalties, temperature and filters do not enter.
        top_logprobs: how many of the most probable tokens to name at each place; the result has them as its attribute
        top_logprobs. echo: the prompt comes first; the log-probability of its first token is None. max_gen_len=0 with
        echo and logprobs scores the prompts. Raises TypeError or ValueError naming the argument before anything runs.
        """
        with parallel.together(self._n_ranks, asked := locals()):
            sampling, stop = self._sampling(asked), calls.stops(stop)
            judged = calls.run(prompt_tokens, max_gen_len, seed, logprobs, self.model.params)
            (rows, max_gen_len, _, logprobs), echo = judged, arguments.flag("echo", echo)
            top_logprobs = calls.top_logprobs(top_logprobs, logprobs, self.model.params.vocab_size)
        run = self._begin(sampling, *judged, top_logprobs)
        collected = self._collect(run, rows, max_gen_len, stop, echo and logprobs, top_logprobs)
        result = Generated((collected.token_ids(echo), collected.logprobs(echo) if logprobs else None))
        result.top_logprobs = collected.top_logprobs(echo) if top_logprobs else None
        return result

    def text_completion(
        self,
        prompts: Sequence[str],
        temperature: float = Sampling.temperature,
        top_p: float = Sampling.top_p,
        max_gen_len: int | None = None,
        logprobs: bool = False,
        echo: bool = False,
        *,
        top_k: int | None = None,
        min_p: float | None = None,
        repetition_penalty: float | None = None,
        presence_penalty: float | None = None,
        frequency_penalty: float | None = None,
        logit_bias: Mapping[int, float] | None = None,
        no_repeat_ngram_size: int | None = None,
        top_logprobs: int = 0,
        stop: str | Sequence[str] = (),
        seed: int | Sequence[int] | None = None,
    ) -> list[CompletionPrediction]:
        """Continue each prompt; arguments and errors as for `generate`, max_gen_len None until the context is full.

        One prediction a prompt. A generation keeps the space that it begins with; with echo it begins with the prompt.
        Stop strings are looked for in what is generated only.
        """
        with parallel.together(self._n_ranks, asked := locals()):
            sampling, stop = self._sampling(asked), calls.stops(stop)
            logprobs, echo = arguments.flags(logprobs=logprobs, echo=echo)
            top_logprobs = calls.top_logprobs(top_logprobs, logprobs, self.model.params.vocab_size)
            max_gen_len = calls.max_gen_len(max_gen_len, self.model.params)
            arguments.texts("prompts", prompts)
            rows = [self.tokenizer.encode(text, bos=True, eos=False) for text in prompts]
            calls.room("prompts", dict(enumerate(rows)), self.model.params, max_gen_len)
            seeds = calls.seeds(seed, len(prompts))
        run = self._begin(sampling, rows, max_gen_len, seeds, logprobs, top_logprobs)
        collected = self._collect(run, rows, max_gen_len, stop, echo and logprobs, top_logprobs)
        return collected.predictions(logprobs, top_logprobs, echo, prompts=prompts)

    def chat_completion(
        self,
        dialogs: Sequence[Dialog],
        temperature: float = Sampling.temperature,
        top_p: float = Sampling.top_p,
        max_gen_len: int | None = None,
        logprobs: bool = False,
        *,
        top_k: int | None = None,
        min_p: float | None = None,
        repetition_penalty: float | None = None,
        presence_penalty: float | None = None,
        frequency_penalty: float | None = None,
        logit_bias: Mapping[int, float] | None = None,
        no_repeat_ngram_size: int | None = None,
        top_logprobs: int = 0,
        stop: str | Sequence[str] = (),
        seed: int | Sequence[int] | None = None,
    ) -> list[ChatPrediction]:
        """Answer each dialog; arguments and errors as for `generate`, max_gen_len None until the context is full.

        A dialog that holds special tags gets a fixed text and the finish_reason "refused"; it is never run.
        """
        with parallel.together(self._n_ranks, asked := locals()):
            sampling, stop = self._sampling(asked), calls.stops(stop)
            max_gen_len = calls.max_gen_len(max_gen_len, self.model.params)
            arguments.dialogs(dialogs)
            logprobs, seeds = arguments.flag("logprobs", logprobs), calls.seeds(seed, len(dialogs))
            top_logprobs = calls.top_logprobs(top_logprobs, logprobs, self.model.params.vocab_size)
            safe = [k for k, dialog in enumerate(dialogs) if not has_special_tags(dialog, self.tokenizer)]
            prompt_tokens = {k: encode_dialog(self.tokenizer, dialogs[k]) for k in safe}
            calls.room("dialogs", prompt_tokens, self.model.params, max_gen_len)
        answers = {}
        if safe:
            rows, seeds = [*prompt_tokens.values()], None if seeds is None else [seeds[k] for k in safe]
            run = self._begin(sampling, rows, max_gen_len, seeds, logprobs, top_logprobs)
            collected = self._collect(run, rows, max_gen_len, stop)
            answers = dict(zip(safe, collected.predictions(logprobs, top_logprobs, chat=True), strict=True))
        return [answers.get(k) or refusal(logprobs, top_logprobs) for k in range(len(dialogs))]

    def stream(
        self,
        prompt_or_dialog: str | Dialog,
        temperature: float = Sampling.temperature,
        top_p: float = Sampling.top_p,
        max_gen_len: int | None = None,
        *,
        top_k: int | None = None,
        min_p: float | None = None,
        repetition_penalty: float | None = None,
        presence_penalty: float | None = None,
        frequency_penalty: float | None = None,
        logit_bias: Mapping[int, float] | None = None,
        no_repeat_ngram_size: int | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
    ) -> Iterator[str]:
        """The text of one completion (for a str) or one answer (for a dialog), piece by piece as it comes.

        Joined, the pieces are the text that the completions return. Each is whole characters; what may become a stop
        string is held back until it is known. Errors as for `generate`, before the first piece.
        """
        with parallel.together(self._n_ranks, asked := locals()):
            sampling, stop = self._sampling(asked), calls.stops(stop)
            max_gen_len, seeds = calls.max_gen_len(max_gen_len, self.model.params), calls.seeds(seed, 1)
            asked, is_chat = prompt_or_dialog, arguments.is_dialog(prompt_or_dialog)
            if is_chat and has_special_tags(asked, self.tokenizer):
                return iter([refusal()["generation"]["content"]])
            row = encode_dialog(self.tokenizer, asked) if is_chat else self.tokenizer.encode(asked, True, False)
            calls.room("prompt_or_dialog", {None: row}, self.model.params, max_gen_len)
        collector = Collector(self.tokenizer, [row], max_gen_len, stop, watch=True)
        return collector.texts(self._begin(sampling, [row], max_gen_len, seeds, logprobs=False), is_chat)

    def _collect(self, run, prompt_tokens, max_gen_len, stop, score: bool = False, top_logprobs: int = 0) -> Collector:
        """The steps of a run, read to its end. score: where nothing is generated, score the prompts anyway."""
        collector = Collector(self.tokenizer, prompt_tokens, max_gen_len, stop)
        if score and max_gen_len == 0:
            tokens = canvas(prompt_tokens, max(len(t) for t in prompt_tokens), 0, self.device)  # (bsz, seqlen)
            logits = self.logits(prompt_tokens)[:, :-1]  # (bsz, seqlen - 1, vocab_size)
            collector.scores.append(token_logprobs(logits, tokens[:, 1:]))
            collector.best += [most_probable(logits, top_logprobs)] if top_logprobs else []
        return collector.collect(run)
