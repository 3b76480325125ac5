"""Llama: build, and what is built on the generate loop: streaming, text completion, chat completion.

The loop itself is in `loop.py`; here it gets a model, whose cache serves one run at a time (`guard.py`). `generate`,
`stream` and the completions differ only in what they make of its steps. Names are those of Meta's `generation.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike

import torch
from torch import Tensor

from minillama import arguments, checkpoint, parallel
from minillama.chat import Dialog, encode_dialog, has_special_tags
from minillama.formats import export, in_format, recognise, with_rows
from minillama.guard import Guard, polled
from minillama.logprobs import token_logprobs
from minillama.loop import GenerationStep, canvas, steps
from minillama.model import Transformer
from minillama.results import ChatPrediction, Collector, CompletionPrediction, refusal
from minillama.sampling import Sampling
from minillama.tokenizer import BaseTokenizer


class Llama:
    """A model and its tokenizer, ready to generate.

    >>> llama = Llama.build()                                          # the course model
    >>> llama.text_completion(["Once upon a time"], temperature=0)[0]["generation"]  # doctest: +SKIP
    """

    @classmethod
    def build(
        cls,
        ckpt_dir: str | PathLike = checkpoint.COURSE_MODEL,
        tokenizer_path: str | PathLike | None = None,
        max_seq_len: int | None = None,
        max_batch_size: int = 8,
        model_parallel_size: int | None = None,
        seed: int = 1,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        compile: bool = False,
        int8: bool = False,
        chat_format: str | None = None,
    ) -> Llama:
        """Load a checkpoint and give it a cache for max_batch_size rows of max_seq_len tokens.

        ckpt_dir: a folder in Meta's layout (params.json) or Hugging Face's (config.json, safetensors), a GGUF file, or
            the id "owner/name" of a model on the hub.
        tokenizer_path: None for the checkpoint's own.
        max_seq_len: prompt and answer together, in tokens; None for the checkpoint's context, at most 2048.
        max_batch_size: rows that can run side by side. seed: of the rows that are given no seed.
        model_parallel_size: under torchrun, how many ranks share the model; None for all of them, 1 for a whole model
            in each process. It need not be the number of the checkpoint's files.
        device: None for cuda if there is one, else cpu; "mps" is untested.
        dtype: None for bfloat16 on a GPU that has it (float16 on one that does not), float32 elsewhere.
        compile: compile the one-token step: a CUDA graph on a GPU; on a CPU native code, with a second copy of most
            weights. That takes a C++ compiler and a minute once; later processes load what was kept (compiled.py).
        int8: keep the weights of the linear layers in 8 bits; on a CPU what they multiply is rounded to bfloat16
            (int8.py). Neither works with several ranks.
        chat_format: "llama-2", "chatml" or "none" in place of the one that the checkpoint names; None for that one.

        Under torchrun every rank makes the same calls and gets the same results; rank 0 draws (parallel.py). No global
        state is touched. Raises ValueError or TypeError that names what is wrong with an argument or a file.
        """
        n_ranks = parallel.join(model_parallel_size)
        same = {"max_seq_len": max_seq_len, "max_batch_size": max_batch_size}
        same |= {"device": device, "dtype": dtype, "chat_format": chat_format}
        with parallel.together(n_ranks, same, patient=True):  # what fails on one rank fails on all
            sizes = max_seq_len, max_batch_size, seed
            sizes = arguments.build(ckpt_dir, tokenizer_path, *sizes, device, dtype, chat_format)
            max_seq_len, max_batch_size, seed = sizes
            device = parallel.place(device, n_ranks)
            compile, int8 = arguments.faster(compile, int8, n_ranks)
            source = recognise(ckpt_dir)
            tokenizer = in_format(source.tokenizer(tokenizer_path), chat_format)
            max_seq_len = max_seq_len or min(source.args.max_seq_len, 2048)
            model = checkpoint.load(source, tokenizer.n_words, device, dtype, n_ranks, max_seq_len, int8)
            model.setup_cache(max_batch_size, max_seq_len)
        return cls(model, with_rows(tokenizer, model.params.vocab_size), seed, compile)

    def __init__(self, model: Transformer, tokenizer: BaseTokenizer, seed: int = 1, compile: bool = False):
        """A model that already has its cache (`Transformer.setup_cache`), and the tokenizer that fits it."""
        arguments.kind("model", model, Transformer), arguments.kind("tokenizer", tokenizer, BaseTokenizer)
        seed, compile = arguments.whole("seed", seed, 0, arguments.LARGEST_SEED), arguments.flag("compile", compile)
        if model.params.vocab_size != tokenizer.n_words:
            sizes = f"it has {tokenizer.n_words} tokens, the model {model.params.vocab_size}"
            raise ValueError(f"tokenizer does not fit the model: {sizes}")
        if model.layers[0].attention.cache is None:
            raise ValueError("model has no cache; call model.setup_cache(max_batch_size, max_seq_len) first")
        self.model, self.tokenizer = model.eval(), tokenizer
        self._generator = torch.Generator().manual_seed(seed)  # seeds the rows that are given no seed
        self._guard = Guard(model, compile)
        self._n_ranks = parallel.ranks_of(model.output.weight)  # that hold a part of it each

    def save(
        self, ckpt_dir: str | PathLike, format: str = "meta", shards: int = 1, dtype: torch.dtype | None = None
    ) -> None:
        """Write model and tokenizer to a folder; dtype None keeps the weights' own.

        format: "meta" (params.json, consolidated.00.pth …), or "hf" (config.json, safetensors), which transformers,
        vLLM and llama.cpp's converter read. shards: the number of files for the weights. Raises ValueError naming the
        argument, before anything is written; OSError naming the file where the disk takes no more, and nothing changes.
        """
        export.save(ckpt_dir, self.model, self.tokenizer, format, shards, dtype)

    @property
    def device(self) -> torch.device:
        return self.model.norm.weight.device

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
        seed: int | Sequence[int] | None = None,
    ) -> Iterator[GenerationStep]:
        """The generate loop of `loop.steps` on this model, one `GenerationStep` for each column that it writes.

        It ends when every row has reached eos (on a GPU up to 15 columns later) or the canvas is full. Arguments as
        for `generate`. A run takes the cache over with its first step; an older one then raises CacheTaken at its next.
        """
        with parallel.together(self._n_ranks, locals()):
            sampling = Sampling(temperature, top_p, top_k, min_p)
            judged = arguments.run(prompt_tokens, max_gen_len, seed, logprobs, self.model.params)
        return self._begin(sampling, *judged)

    def _begin(self, sampling, prompt_tokens, max_gen_len, seeds, logprobs) -> Iterator[GenerationStep]:
        """A run of the loop over judged arguments; seeds None: the Llama's generator draws them, where any are used."""
        if seeds is None and sampling.temperature > 0 and max_gen_len > 0:
            seeds = torch.randint(arguments.LARGEST_SEED, (len(prompt_tokens),), generator=self._generator).tolist()
        forward, limit = self._guard.forward(last_only=not logprobs), self.model.params.max_seq_len
        how = {"max_seq_len": limit, "stop_ids": self.tokenizer.stop_ids, "pad_id": self.tokenizer.pad_id}
        how |= {"seeds": seeds, "logprobs": logprobs, "device": self.device, "all_ended": polled(self.device)}
        how |= {"agree": parallel.of_rank_0} if self._n_ranks > 1 else {}
        return steps(forward, prompt_tokens, max_gen_len, sampling, **how)

    @torch.no_grad()
    def logits(self, prompts_or_tokens: Sequence[str] | Sequence[Sequence[int]]) -> Tensor:
        """What the model makes of whole texts: (bsz, seqlen, vocab_size) float32, raw.

        prompts_or_tokens: texts, which get bos, or lists of token ids; bsz of them. logits[k, i] scores the token
        after position i of row k. seqlen is the longest row's; what follows the end of a shorter row means nothing.
        One forward; a run on this Llama that is under way loses its cache. Raises TypeError or ValueError as
        `generate` does.

        >>> llama = Llama.build()
        >>> llama.logits(["Once upon a"])[0, -1].argmax().item() == llama.tokenizer.encode("time", False, False)[0]
        True
        """
        with parallel.together(self._n_ranks, locals()):
            rows = prompts_or_tokens
            if arguments.are_texts(rows):
                arguments.texts("prompts_or_tokens", rows)
                rows = [self.tokenizer.encode(text, bos=True, eos=False) for text in rows]
            rows = arguments.prompt_tokens(rows, self.model.params, 0, "prompts_or_tokens")
        tokens = canvas(rows, max(len(t) for t in rows), 0, self.device)  # causal: no row looks at the 0s after its end
        return self._guard.forward(last_only=False)(tokens, 0)

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
        stop: str | Sequence[str] = (),
        seed: int | Sequence[int] | None = None,
    ) -> tuple[list[list[int]], list[list[float | None]] | None]:
        """Continue every prompt by at most max_gen_len tokens; return (tokens, logprobs or None), one list per row.

        prompt_tokens: bsz lists of ids, of any lengths. temperature 0 is greedy; else a token is drawn after
        temperature, top_k, min_p and top_p, in this order. A row ends before one of the tokenizer's stop_ids, at a
        `stop` string (a token with bytes before it stays), or when max_seq_len is full. seed: an int s (row k draws
        with s + k), one for each row, or None for seeds from build's; a row's draws depend on its seed alone.

        logprobs: log p of each token in nats, from the raw logits: temperature and filters do not enter. echo: the
        prompt comes first; the log-probability of its first token is None. max_gen_len=0 with echo and logprobs
        scores the prompts. Raises TypeError or ValueError naming the argument before anything runs.
        """
        with parallel.together(self._n_ranks, locals()):
            sampling, stop = Sampling(temperature, top_p, top_k, min_p), arguments.stops(stop)
            judged = arguments.run(prompt_tokens, max_gen_len, seed, logprobs, self.model.params)
            (rows, max_gen_len, _, logprobs), echo = judged, arguments.flag("echo", echo)
        collected = self._collect(self._begin(sampling, *judged), rows, max_gen_len, stop, score=echo and logprobs)
        return collected.token_ids(echo), collected.logprobs(echo) if logprobs else None

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
        stop: str | Sequence[str] = (),
        seed: int | Sequence[int] | None = None,
    ) -> list[CompletionPrediction]:
        """Continue each prompt; arguments and errors as for `generate`, max_gen_len None until the context is full.

        One prediction a prompt. A generation keeps the space that it begins with; with echo it begins with the prompt.
        Stop strings are looked for in what is generated only.
        """
        with parallel.together(self._n_ranks, locals()):
            sampling, stop = Sampling(temperature, top_p, top_k, min_p), arguments.stops(stop)
            logprobs, echo = arguments.flags(logprobs=logprobs, echo=echo)
            max_gen_len = arguments.max_gen_len(max_gen_len, self.model.params)
            arguments.texts("prompts", prompts)
            rows = [self.tokenizer.encode(text, bos=True, eos=False) for text in prompts]
            arguments.room("prompts", dict(enumerate(rows)), self.model.params, max_gen_len)
            seeds = arguments.seeds(seed, len(prompts))
        run = self._begin(sampling, rows, max_gen_len, seeds, logprobs)
        collected = self._collect(run, rows, max_gen_len, stop, score=echo and logprobs)
        return collected.predictions(logprobs, echo, prompts=prompts)

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
        stop: str | Sequence[str] = (),
        seed: int | Sequence[int] | None = None,
    ) -> list[ChatPrediction]:
        """Answer each dialog; arguments and errors as for `generate`, max_gen_len None until the context is full.

        A dialog that holds special tags gets a fixed text and the finish_reason "refused"; it is never run.
        """
        with parallel.together(self._n_ranks, locals()):
            sampling, stop = Sampling(temperature, top_p, top_k, min_p), arguments.stops(stop)
            max_gen_len = arguments.max_gen_len(max_gen_len, self.model.params)
            arguments.dialogs(dialogs)
            logprobs, seeds = arguments.flag("logprobs", logprobs), arguments.seeds(seed, len(dialogs))
            safe = [k for k, dialog in enumerate(dialogs) if not has_special_tags(dialog, self.tokenizer)]
            prompt_tokens = {k: encode_dialog(self.tokenizer, dialogs[k]) for k in safe}
            arguments.room("dialogs", prompt_tokens, self.model.params, max_gen_len)
        answers = {}
        if safe:
            rows, seeds = [*prompt_tokens.values()], None if seeds is None else [seeds[k] for k in safe]
            run = self._begin(sampling, rows, max_gen_len, seeds, logprobs)
            collected = self._collect(run, rows, max_gen_len, stop)
            answers = dict(zip(safe, collected.predictions(logprobs, chat=True), strict=True))
        return [answers.get(k) or refusal(logprobs) for k in range(len(dialogs))]

    def stream(
        self,
        prompt_or_dialog: str | Dialog,
        temperature: float = Sampling.temperature,
        top_p: float = Sampling.top_p,
        max_gen_len: int | None = None,
        *,
        top_k: int | None = None,
        min_p: float | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
    ) -> Iterator[str]:
        """The text of one completion (for a str) or one answer (for a dialog), piece by piece as it comes.

        Joined, the pieces are the text that the completions return. Each is whole characters; what may become a stop
        string is held back until it is known. Errors as for `generate`, before the first piece.
        """
        with parallel.together(self._n_ranks, locals()):
            sampling, stop = Sampling(temperature, top_p, top_k, min_p), arguments.stops(stop)
            max_gen_len, seeds = arguments.max_gen_len(max_gen_len, self.model.params), arguments.seeds(seed, 1)
            asked, is_chat = prompt_or_dialog, arguments.is_dialog(prompt_or_dialog)
            if is_chat and has_special_tags(asked, self.tokenizer):
                return iter([refusal()["generation"]["content"]])
            row = encode_dialog(self.tokenizer, asked) if is_chat else self.tokenizer.encode(asked, True, False)
            arguments.room("prompt_or_dialog", {None: row}, self.model.params, max_gen_len)
        collector = Collector(self.tokenizer, [row], max_gen_len, stop, watch=True)
        return collector.texts(self._begin(sampling, [row], max_gen_len, seeds, logprobs=False), is_chat)

    def _collect(self, run, prompt_tokens, max_gen_len, stop, score: bool = False) -> Collector:
        """The steps of a run, read to its end. score: where nothing is generated, score the prompts anyway."""
        collector = Collector(self.tokenizer, prompt_tokens, max_gen_len, stop)
        if score and max_gen_len == 0:
            tokens = canvas(prompt_tokens, max(len(t) for t in prompt_tokens), 0, self.device)  # (bsz, seqlen)
            collector.scores.append(token_logprobs(self.logits(prompt_tokens)[:, :-1], tokens[:, 1:]))
        return collector.collect(run)
