"""A model and its tokenizer, built from a checkpoint: what `Llama` (generation.py) stands on.

Here is all that generates nothing: `build`, `save`, and the logits of whole texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TypeVar

import torch
from torch import Tensor

from minillama import arguments, calls, checkpoint, parallel
from minillama.formats import export, in_format, recognise, with_rows
from minillama.guard import Guard
from minillama.loop import canvas
from minillama.model import Transformer
from minillama.tokenizer import BaseTokenizer

Self = TypeVar("Self", bound="Built")


class Built:
    """A model with its cache, the tokenizer that fits it, and the guard that lends the cache to one run at a time."""

    @classmethod
    def build(
        cls: type[Self],
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
    ) -> Self:
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
            sizes = calls.build(ckpt_dir, tokenizer_path, *sizes, device, dtype, chat_format)
            max_seq_len, max_batch_size, seed = sizes
            device = parallel.place(device, n_ranks)
            compile, int8 = calls.faster(compile, int8, n_ranks)
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

    @torch.no_grad()
    def logits(self, prompts_or_tokens: Sequence[str] | Sequence[Sequence[int]]) -> Tensor:
        """What the model makes of whole texts: (bsz, seqlen, vocab_size) float32, raw.

        prompts_or_tokens: texts, which get bos, or lists of token ids; bsz of them. logits[k, i] scores the token
        after position i of row k. seqlen is the longest row's; what follows the end of a shorter row means nothing.
        One forward; a run on this Llama that is under way loses its cache. Raises TypeError or ValueError as
        `generate` does.

        >>> from minillama import Llama
        >>> llama = Llama.build()
        >>> llama.logits(["Once upon a"])[0, -1].argmax().item() == llama.tokenizer.encode("time", False, False)[0]
        True
        """
        with parallel.together(self._n_ranks, locals()):
            rows = prompts_or_tokens
            if arguments.are_texts(rows):
                arguments.texts("prompts_or_tokens", rows)
                rows = [self.tokenizer.encode(text, bos=True, eos=False) for text in rows]
            rows = calls.prompt_tokens(rows, self.model.params, 0, "prompts_or_tokens")
        tokens = canvas(rows, max(len(t) for t in rows), 0, self.device)  # causal: no row looks at the 0s after its end
        return self._guard.forward(last_only=False)(tokens, 0)
