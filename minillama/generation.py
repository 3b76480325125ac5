"""Llama: build, the generate loop, and what stands on it: streaming, text completion, chat completion.

There is one loop, `Llama._steps`. `generate`, `stream` and the completions differ only in what they make of its steps.
Names are those of Meta's `llama/generation.py`.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike

import torch
from torch import Tensor

from minillama import arguments, checkpoint, parallel
from minillama.chat import UNSAFE_ERROR, Dialog, encode_dialog, has_special_tags
from minillama.checkpoint import COURSE_MODEL
from minillama.compiled import compile_step
from minillama.formats import export, recognise
from minillama.int8 import to_int8
from minillama.logprobs import token_logprobs
from minillama.model import Transformer
from minillama.results import ChatPrediction, Collector, CompletionPrediction, TextStream
from minillama.sampling import apply_temperature, filter_min_p, filter_top_k, sample_top_p
from minillama.tokenizer import Tokenizer

POLL_EVERY = 16  # steps between two looks at eos_reached on a GPU: each look waits for all queued work


@dataclass(frozen=True, slots=True)
class GenerationStep:
    """One column of the canvas, just written."""

    prev_pos: int  # forward read the columns prev_pos : cur_pos …
    cur_pos: int  # … and this one was written
    tokens: Tensor  # (bsz, total_len) the live canvas; clone it to keep it
    logits: Tensor  # (bsz, vocab_size) raw, for column cur_pos
    probs: Tensor | None  # (bsz, vocab_size) after temperature, top_k and min_p; None if greedy
    candidate: Tensor  # (bsz,) the model's choice; inside a prompt nothing is drawn: the most probable token
    next_token: Tensor  # (bsz,) the candidate, or the prompt's own token
    from_prompt: Tensor  # (bsz,) bool, input_text_mask[:, cur_pos]
    eos_reached: Tensor  # (bsz,) bool, this column included
    logprobs: Tensor | None  # (bsz, cur_pos - prev_pos) of the columns prev_pos + 1 : cur_pos + 1, if asked for


class CacheTaken(RuntimeError):
    """A run goes on after a later one on the same Llama has begun: its keys and values are overwritten."""


class Llama:
    """A model and its tokenizer, ready to generate.

    >>> llama = Llama.build()                                          # the course model
    >>> llama.text_completion(["Once upon a time"], temperature=0)[0]["generation"]  # doctest: +SKIP
    """

    @classmethod
    def build(
        cls,
        ckpt_dir: str | PathLike = COURSE_MODEL,
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
    ) -> Llama:
        """Load a checkpoint and give it a cache for max_batch_size rows of max_seq_len tokens.

        ckpt_dir: a folder of Meta's (params.json) or Hugging Face's (config.json, safetensors), a GGUF file, or the id
        "owner/name" of a model on the hub. tokenizer_path: None for the checkpoint's own. max_seq_len: None for the
        checkpoint's context, at most 2048. device: None for cuda if there is one, else cpu; "mps" is untested. dtype:
        None for bfloat16 on a GPU that has it (float16 on one that has not), float32 elsewhere. seed: of the rows that
        are given none. compile: compile the one-token step (a CUDA graph on a GPU; on a CPU it needs a C++ compiler and
        a second copy of the weights, compiled.py); the first tokens then take a minute. int8: keep the weights of the
        linear layers in 8 bits (int8.py). Neither with several ranks.

        Started by torchrun, all ranks share one model: each builds, and then makes the same calls with the same
        arguments, and gets the same results; rank 0 draws (parallel.py). model_parallel_size: None for all of them,
        1 for a whole model in each process. The number of ranks need not be the number of the checkpoint's files.

        No global state is touched. Raises ValueError or TypeError naming what is wrong with an argument or a file.
        """
        n_ranks = parallel.join(model_parallel_size)
        with parallel.together(n_ranks):  # what fails on one rank fails on all
            arguments.build(ckpt_dir, tokenizer_path, max_seq_len, max_batch_size, seed, device, dtype)
            device = parallel.place(device, n_ranks)
            arguments.opt_in(compile, int8, device, n_ranks)
            if dtype is None and device.type == "cuda":
                dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
            source = recognise(ckpt_dir)
            tokenizer = source.tokenizer(tokenizer_path)
            model = checkpoint.load(source, tokenizer.n_words, device, dtype or torch.float32, n_ranks)
            model = to_int8(model) if int8 else model
            model.setup_cache(max_batch_size, max_seq_len or min(model.params.max_seq_len, 2048))
        return cls(model, tokenizer, seed, compile)

    def __init__(self, model: Transformer, tokenizer: Tokenizer, seed: int = 1, compile: bool = False):
        """A model that has its cache already (`Transformer.setup_cache`), and the tokenizer that fits it."""
        if model.params.vocab_size != tokenizer.n_words:
            sizes = f"{model.params.vocab_size} and {tokenizer.n_words}"
            raise ValueError(f"tokenizer does not fit the model: their vocabularies have {sizes} tokens")
        if model.layers[0].attention.cache is None:
            raise ValueError("model has no cache; call model.setup_cache(max_batch_size, max_seq_len) first")
        self.model, self.tokenizer = model.eval(), tokenizer
        self._generator = torch.Generator().manual_seed(seed)  # seeds the rows that are given no seed
        self._decode = compile_step(model) if compile else None
        self._run: object = None  # the run that owns the cache
        self._reading = threading.Lock()  # one forward at a time: a widget may run the model in a thread of its own
        self._shared = parallel.is_shared(model.output.weight)  # several ranks hold it in parts

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

    # ---- the loop ------------------------------------------------------------------------------------------------

    def generate_steps(
        self,
        prompt_tokens: Sequence[Sequence[int]],
        max_gen_len: int,
        temperature: float = 0.6,
        top_p: float = 0.9,
        logprobs: bool = False,
        *,
        top_k: int | None = None,
        min_p: float | None = None,
        seed: int | Sequence[int] | None = None,
    ) -> Iterator[GenerationStep]:
        """The generate loop, one `GenerationStep` for each column that it writes.

        It ends when every row has reached eos (on a GPU up to 15 columns later) or the canvas is full. Arguments as
        for `generate`. A later run on this Llama takes the cache over: this one then raises CacheTaken.
        """
        sampler = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p, "seed": seed}
        seeds = arguments.generation(self.model.params, prompt_tokens, max_gen_len, **sampler)
        if self._shared:
            parallel.check_alike(prompt_tokens=prompt_tokens, max_gen_len=max_gen_len, logprobs=logprobs)
        if seeds is None:
            seeds = torch.randint(arguments.LARGEST_SEED, (len(prompt_tokens),), generator=self._generator).tolist()
        return self._steps(prompt_tokens, max_gen_len, temperature, top_p, logprobs, top_k, min_p, seeds)

    @torch.no_grad()
    def _steps(self, prompt_tokens, max_gen_len, temperature, top_p, logprobs, top_k, min_p, seeds):
        if max_gen_len == 0:
            return
        run = self._run = object()
        pad_id, eos_id, device = self.tokenizer.pad_id, self.tokenizer.eos_id, self.device
        bsz = len(prompt_tokens)
        min_prompt_len = min(len(t) for t in prompt_tokens)
        max_prompt_len = max(len(t) for t in prompt_tokens)
        total_len = min(self.model.params.max_seq_len, max_gen_len + max_prompt_len)
        generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

        tokens = torch.full((bsz, total_len), pad_id, dtype=torch.long, device=device)  # (bsz, total_len) the canvas
        for k, t in enumerate(prompt_tokens):
            tokens[k, : len(t)] = torch.tensor(t, dtype=torch.long, device=device)
        input_text_mask = tokens != pad_id  # (bsz, total_len)
        eos_reached = torch.zeros(bsz, dtype=torch.bool, device=device)  # (bsz,)

        prev_pos = 0
        for cur_pos in range(min_prompt_len, total_len):
            logits = self._forward(run, tokens[:, prev_pos:cur_pos], prev_pos, last_only=not logprobs)
            last = logits[:, -1]  # (bsz, vocab_size)
            probs, candidate = None, torch.argmax(last, dim=-1)  # (bsz,)
            if temperature > 0:
                probs = apply_temperature(last, temperature)  # (bsz, vocab_size)
                probs = filter_top_k(probs, top_k) if top_k is not None else probs
                probs = filter_min_p(probs, min_p) if min_p is not None else probs
                drawing = [k for k, t in enumerate(prompt_tokens) if len(t) <= cur_pos]  # rows past their prompt
                if drawing:
                    rows = drawing if len(drawing) < bsz else slice(None)  # a slice is no copy
                    chosen = sample_top_p(probs[rows], top_p, [generators[k] for k in drawing])  # (n drawing, 1)
                    candidate[rows] = chosen.reshape(-1)
            from_prompt = input_text_mask[:, cur_pos]  # (bsz,)
            next_token = torch.where(from_prompt, tokens[:, cur_pos], candidate)  # (bsz,)
            if self._shared:
                torch.distributed.broadcast(next_token, src=0)
            tokens[:, cur_pos] = next_token
            eos_reached = eos_reached | (~from_prompt & (next_token == eos_id))  # (bsz,)
            scores = token_logprobs(logits, tokens[:, prev_pos + 1 : cur_pos + 1]) if logprobs else None
            yield GenerationStep(
                prev_pos, cur_pos, tokens, last, probs, candidate, next_token, from_prompt, eos_reached, scores
            )
            prev_pos = cur_pos
            polled = device.type == "cpu" or (cur_pos - min_prompt_len) % POLL_EVERY == POLL_EVERY - 1
            if polled and bool(eos_reached.all()):
                break

    def _forward(self, run: object, tokens: Tensor, prev_pos: int, last_only: bool) -> Tensor:
        with self._reading:
            if self._run is not run:
                raise CacheTaken("another run on this Llama has taken the cache over; finish one before the next")
            if self._decode is None or tokens.shape[1] > 1:
                # a tenth faster than no_grad; DTensors: half as fast
                with torch.no_grad() if self._shared else torch.inference_mode():
                    logits = self.model(tokens, prev_pos, last_only)
            else:
                with torch.inference_mode():
                    start_pos = torch.full((), prev_pos, device=tokens.device)  # torch.tensor would wait
                    tokens = tokens.clone(memory_format=torch.contiguous_format)  # the same strides on any canvas
                    logits = self._decode(tokens, start_pos, last_only=True)
            return logits.clone()  # tensors of inference mode refuse gradients; a CUDA graph overwrites its own

    @torch.no_grad()
    def _score(self, prompt_tokens) -> Tensor:
        """log p of each prompt token after the first: (bsz, longest prompt - 1). One forward, nothing generated."""
        self._run = object()
        longest = max(len(t) for t in prompt_tokens)
        tokens = torch.zeros((len(prompt_tokens), longest), dtype=torch.long, device=self.device)
        for k, t in enumerate(prompt_tokens):
            tokens[k, : len(t)] = torch.tensor(t, dtype=torch.long, device=self.device)
        with self._reading:
            logits = self.model(tokens, 0)  # the zeros behind a shorter row: no earlier position looks at them
        return token_logprobs(logits[:, :-1], tokens[:, 1:])

    # ---- what stands on it ---------------------------------------------------------------------------------------

    def generate(
        self,
        prompt_tokens: Sequence[Sequence[int]],
        max_gen_len: int,
        temperature: float = 0.6,
        top_p: float = 0.9,
        logprobs: bool = False,
        echo: bool = False,
        *,
        top_k: int | None = None,
        min_p: float | None = None,
        stop: str | Sequence[str] = (),
        seed: int | Sequence[int] | None = None,
    ) -> tuple[list[list[int]], list[list[float | None]] | None]:
        """Continue every prompt by at most max_gen_len tokens; return (tokens, logprobs or None), one list a row.

        prompt_tokens: bsz lists of ids, of any lengths. temperature 0 is greedy; else a token is drawn after
        temperature, top_k, min_p and top_p, in this order. A row ends before its eos or the token in which a `stop`
        string begins, or when the context of max_seq_len is full. seed: None, an int s (row k draws with s + k), or
        one for each row; a row's draws depend on its seed alone, not on its neighbours.

        logprobs: log p of each token in nats, from the raw logits: temperature and filters do not enter. echo: the
        prompt comes first; the log-probability of its first token is None. max_gen_len=0 with echo and logprobs
        scores the prompts. Raises TypeError or ValueError naming the argument before anything runs.
        """
        sampler = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p, "seed": seed}
        collector = self._collect(prompt_tokens, max_gen_len, logprobs, echo, stop, **sampler)
        return collector.token_ids(echo), collector.logprobs(echo) if logprobs else None

    def text_completion(
        self,
        prompts: Sequence[str],
        temperature: float = 0.6,
        top_p: float = 0.9,
        max_gen_len: int | None = None,
        logprobs: bool = False,
        echo: bool = False,
        *,
        top_k: int | None = None,
        min_p: float | None = None,
        stop: str | Sequence[str] = (),
        seed: int | Sequence[int] | None = None,
    ) -> list[CompletionPrediction]:
        """Continue each prompt; arguments as for `generate`, max_gen_len None for as long as the context allows.

        A generation keeps the space that it begins with; with echo it begins with the prompt.
        """
        arguments.texts("prompts", prompts)
        prompt_tokens = [self.tokenizer.encode(text, bos=True, eos=False) for text in prompts]
        arguments.room("prompts", dict(enumerate(prompt_tokens)), self.model.params, max_gen_len)
        sampler = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p, "seed": seed}
        collector = self._collect(prompt_tokens, max_gen_len, logprobs, echo, stop, **sampler)
        return collector.predictions(logprobs, echo)

    def chat_completion(
        self,
        dialogs: Sequence[Dialog],
        temperature: float = 0.6,
        top_p: float = 0.9,
        max_gen_len: int | None = None,
        logprobs: bool = False,
        *,
        top_k: int | None = None,
        min_p: float | None = None,
        stop: str | Sequence[str] = (),
        seed: int | Sequence[int] | None = None,
    ) -> list[ChatPrediction]:
        """Answer each dialog; arguments as for `generate`, max_gen_len None for as long as the context allows.

        A dialog that holds special tags gets a fixed text and the finish_reason "refused"; it is never run.
        """
        sampler = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p}
        seeds = arguments.chat(dialogs, max_gen_len, stop, **sampler, seed=seed)
        safe = [k for k, dialog in enumerate(dialogs) if not has_special_tags(dialog, self.tokenizer)]
        prompt_tokens = {k: encode_dialog(self.tokenizer, dialogs[k]) for k in safe}
        arguments.room("dialogs", prompt_tokens, self.model.params, max_gen_len)
        empty = {"tokens": [], "token_ids": [], "token_bytes": [], "logprobs": []} if logprobs else {}
        refused = {"generation": {"role": "assistant", "content": UNSAFE_ERROR}, "finish_reason": "refused", **empty}
        predictions = [copy.deepcopy(refused) for _ in dialogs]
        if safe:
            sampler["seed"] = None if seeds is None else [seeds[k] for k in safe]
            collector = self._collect([*prompt_tokens.values()], max_gen_len, logprobs, False, stop, **sampler)
            for k, prediction in zip(safe, collector.predictions(logprobs, chat=True), strict=True):
                predictions[k] = prediction
        return predictions

    def stream(
        self,
        prompt_or_dialog: str | Dialog,
        temperature: float = 0.6,
        top_p: float = 0.9,
        max_gen_len: int | None = None,
        *,
        top_k: int | None = None,
        min_p: float | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
    ) -> Iterator[str]:
        """The text of one completion (for a str) or one answer (for a dialog), piece by piece as it comes.

        Joined, the pieces are the `generation` of the completions. Each is whole characters; what may become a stop
        string is held back until it is known.
        """
        sampler = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p, "seed": seed}
        arguments.stream(prompt_or_dialog, max_gen_len, stop, **sampler)
        is_chat = not isinstance(prompt_or_dialog, str)
        if is_chat and has_special_tags(prompt_or_dialog, self.tokenizer):
            return iter([UNSAFE_ERROR])
        if is_chat:
            row = encode_dialog(self.tokenizer, prompt_or_dialog)
        else:
            row = self.tokenizer.encode(prompt_or_dialog, bos=True, eos=False)
        arguments.room("prompt_or_dialog", {None: row}, self.model.params, max_gen_len)
        collector, steps = self._start([row], max_gen_len, False, stop, watch=True, **sampler)
        return collector.texts(steps, TextStream(drop_space=is_chat))

    def _start(self, prompt_tokens, max_gen_len, logprobs, stop, watch, **sampler):
        max_gen_len = self.model.params.max_seq_len - 1 if max_gen_len is None else max_gen_len
        stop = arguments.stops(stop)
        steps = self.generate_steps(prompt_tokens, max_gen_len, logprobs=logprobs, **sampler)
        return Collector(self.tokenizer, prompt_tokens, max_gen_len, stop, watch), steps

    def _collect(self, prompt_tokens, max_gen_len, logprobs, echo, stop, **sampler) -> Collector:
        collector, steps = self._start(prompt_tokens, max_gen_len, logprobs, stop, watch=False, **sampler)
        if max_gen_len == 0 and logprobs and echo:
            collector.blocks.append(self._score(prompt_tokens))
        for step in steps:
            if collector.add(step):
                break
        collector.finish()
        return collector
