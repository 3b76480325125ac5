"""Trials of calls: every public function with an argument or two that are not what they should be.

A case is {"call": name, "args": {argument: expression}}. What a rule forbids must be refused by a message that names
the argument, and what all rules allow must not be.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from hypothesis import strategies as st

from minillama import Llama, ModelArgs, Sampling, Tokenizer, Transformer, penalties, sampling
from minillama import logprobs as scores
from minillama.chat import encode_dialog, has_special_tags, segment_dialog
from minillama.results import to_json
from minillama.rope import RopeScaling
from minillama.tokenizer import BaseTokenizer
from tests.fuzz import values
from tests.fuzz.judge import attempt, check_error, check_memory, check_sound, place_of, sound_llama
from tests.fuzz.originals import SIZES, model, originals, place
from tests.fuzz.values import each, flag, listing, one_of, optional, tensor, value_of, whole
from tests.fuzz.watch import MOST, Finding, scratch

CONTEXT, ROWS = 64, 2  # of the model that the calls are made of


class Argument(NamedTuple):
    good: tuple[str, ...]
    allows: values.Rule
    called: tuple[str, ...] = ()  # what messages call it besides its name
    must: bool = True  # it has no default


class Call(NamedTuple):
    run: Callable
    arguments: dict[str, Argument]
    errors: tuple[type, ...] = (ValueError, TypeError)
    takes: Callable[[dict], int] = lambda passed: 0  # bytes that were asked for


class World:
    """What calls are made of; a model of its own for those that change it."""

    def __init__(self, folder: Path):
        self.folder, self.llama = folder, sound_llama()[0]
        self.tokenizer = self.llama.tokenizer

    @property
    def model(self) -> Transformer:
        made = model(self.tokenizer.n_words)
        made.setup_cache(ROWS, CONTEXT)
        return made

    def checkpoint(self) -> Path:
        path = self.folder / "checkpoint"
        return path if path.exists() else place(path, originals()["meta"])


def arg(good: str | tuple[str, ...], allows: values.Rule, *called: str, must: bool = True) -> Argument:
    return Argument((good,) if isinstance(good, str) else good, allows, called, must)


def may(good, allows: values.Rule, *called: str) -> Argument:
    return arg(good, allows, *called, must=False)


@cache
def calls() -> dict[str, Call]:
    """All that is called, by name."""
    n_words = sound_llama()[0].tokenizer.n_words
    number_of, a_text, endless = values.number, values.texts_of, float("inf")
    how = {
        "temperature": may(("0", "0.6", "3.0"), number_of(0)),
        "top_p": may(("0.9", "1", "0"), number_of(0, 1)),
        "top_k": may(("None", "5"), optional(whole(1, endless))),
        "min_p": may(("None", "0.1"), optional(number_of(0, 1))),
        "repetition_penalty": may(("None", "1.2"), optional(number_of(0.01, 100))),
        "presence_penalty": may(("None", "-0.5"), optional(number_of(-2, 2))),
        "frequency_penalty": may(("None", "2"), optional(number_of(-2, 2))),
        "logit_bias": may(("None", "{}", "{5: -1.5, 7: -inf}"), optional(some_bias(n_words))),
        "no_repeat_ngram_size": may(("None", "3"), optional(whole(1, endless))),
    }
    best = {"top_logprobs": may(("0", "2"), lambda value: None if whole(0, n_words)(value) else False)}
    more = how | {"seed": may(("1", "None"), values.seed)}
    stops = {"stop": may(("()", "'a'", "['a', 'b']"), values.stop)}
    length = {"max_gen_len": may(("3", "0"), optional(whole(0, endless)))}
    must_length = {"max_gen_len": arg(("3", "0"), whole(0, endless))}
    scored, echo = {"logprobs": may(("True", "False"), flag)}, {"echo": may(("True", "False"), flag)}
    some_rows = values.rows_of(n_words, ROWS, CONTEXT)
    rows = {"prompt_tokens": arg(("[[1, 260]]", "[[1], [1, 5, 9]]"), some_rows)}
    prompts = {"prompts": arg(("['the cat']", "['a', '']"), each(a_text, 1, ROWS))}
    message = "[{'role': 'user', 'content': 'a'}]"
    ids = {"t": arg(("[1, 260]", "[]"), values.ids_of(n_words), "token id")}
    marks = {"bos": arg(("True", "False"), flag), "eos": arg(("True", "False"), flag)}
    probs = arg("torch.tensor([[0.5, 0.3, 0.2]])", tensor(finite=True))
    rows_of_probs = arg("torch.tensor([[0.5, 0.3, 0.2]])", tensor(2, finite=True))
    logits = arg("torch.tensor([[1.0, 2.0, 3.0]])", tensor(finite=True))
    generators = may(("None", "torch.Generator()"), generator)
    listed = {"logprobs": arg("[None, -1.0, -0.5]", some_logprobs)}
    return {
        "Llama": Call(
            lambda w, **a: Llama(**{"model": w.model, "tokenizer": w.tokenizer} | a),
            {
                "model": may((), values.instance(Transformer)),
                "tokenizer": may((), values.instance(BaseTokenizer)),
                "seed": may("1", whole(0)),
            },
        ),
        "Llama.build": Call(
            lambda w, **a: Llama.build(**{"ckpt_dir": w.checkpoint()} | a), build_arguments(), takes=cache_bytes
        ),
        "Llama.generate": of("llama", "generate", rows | must_length | more | scored | best | echo | stops),
        "Llama.generate_steps": Call(
            lambda w, **a: list(itertools.islice(w.llama.generate_steps(**a), 4)), rows | must_length | more | scored
        ),
        "Llama.text_completion": of("llama", "text_completion", prompts | length | more | scored | best | echo | stops),
        "Llama.chat_completion": of(
            "llama",
            "chat_completion",
            {"dialogs": arg(f"[{message}]", some_dialogs)} | length | more | scored | best | stops,
        ),
        "Llama.stream": Call(
            lambda w, **a: "".join(w.llama.stream(**a)),
            {"prompt_or_dialog": arg(("'the cat'", message), values.either(a_text, values.dialog))}
            | (length | more | stops),
        ),
        "Llama.logits": of(
            "llama",
            "logits",
            {"prompts_or_tokens": arg(("['a']", "[[1, 260]]"), values.either(each(a_text, 1, ROWS), some_rows))},
        ),
        "Llama.save": of("llama", "save", save_arguments(), (ValueError, TypeError, OSError)),
        "Tokenizer": by(Tokenizer, model_path=arg("'checkpoint/tokenizer.model'", values.either(values.path, content))),
        "Tokenizer.encode": of("tokenizer", "encode", {"s": arg(("'the cat'", "''"), long_text)} | marks),
        "Tokenizer.decode": of("tokenizer", "decode", ids),
        "Tokenizer.decode_bytes": of("tokenizer", "decode_bytes", ids),
        "Tokenizer.pieces": of("tokenizer", "pieces", ids),
        "Tokenizer.token_bytes": of("tokenizer", "token_bytes", {"i": arg("5", whole(0, n_words - 1), "token id")}),
        "Tokenizer.id_of": of("tokenizer", "id_of", {"piece": arg("'<s>'", values.instance(str))}),
        "Sampling": by(Sampling, **how),
        "Sampling.probs": by(Sampling(0.7, top_k=2, min_p=0.1).probs, logits=logits),
        "apply_temperature": by(sampling.apply_temperature, logits=logits, temperature=arg("0.7", number_of(0))),
        "filter_top_k": by(sampling.filter_top_k, probs=probs, k=arg("2", whole(1, endless))),
        "filter_min_p": by(sampling.filter_min_p, probs=probs, min_p=arg("0.1", number_of(0, 1))),
        "nucleus": by(sampling.nucleus, probs=probs, p=arg("0.9", number_of(0, 1))),
        "Sampling.steer": by(
            Sampling(0.7, **{"presence_penalty": 0.5, "no_repeat_ngram_size": 2}).steer,
            logits=arg("torch.tensor([[1.0, 2.0, 3.0]])", tensor(2)),
            tokens=arg("torch.tensor([[1, 2, 1]])", some_tokens(3)),
            from_prompt=arg("torch.tensor([[True, False, False]])", a_mask, "tokens"),
        ),
        **{
            f"penalise_{name}": by(
                getattr(penalties, f"penalise_{name}"),
                logits=arg("torch.tensor([[1.0, 2.0, 3.0]])", tensor(2)),
                tokens=arg("torch.tensor([[1, 2, -1]])", some_tokens(3)),
                penalty=arg("1.5", limit),
            )
            for name, limit in (
                ("repetition", number_of(0.01, 100)),
                ("presence", number_of(-2, 2)),
                ("frequency", number_of(-2, 2)),
            )
        },
        "add_bias": by(
            penalties.add_bias,
            logits=arg("torch.tensor([[1.0, 2.0, 3.0]])", tensor(2)),
            bias=arg("{1: 0.5}", some_bias(3)),
        ),
        "ban_repeated_ngrams": by(
            penalties.ban_repeated_ngrams,
            logits=arg("torch.tensor([[1.0, 2.0, 3.0]])", tensor(2)),
            tokens=arg("torch.tensor([[1, 2, 1]])", some_tokens(3)),
            n=arg("2", whole(1, endless)),
        ),
        "sample_top_p": by(
            sampling.sample_top_p, probs=rows_of_probs, p=arg("0.9", number_of(0, 1)), generator=generators
        ),
        "draw": by(
            sampling.draw, probs=rows_of_probs, generator=generators, num_samples=may("1", at_most(100, whole(1)))
        ),
        "token_logprobs": by(
            scores.token_logprobs,
            logits=arg("torch.zeros(1, 1, 4)", tensor(3)),
            tokens=arg("torch.tensor([[2]])", values.dense),
            ignore_index=may("-1", whole(-values.LARGEST)),
        ),
        "top_logprobs": by(scores.top_logprobs, logits=logits, n=arg("2", whole(1, 3))),
        "entropy": by(scores.entropy, probs=probs),
        "sequence_logprob": by(scores.sequence_logprob, **listed),
        "perplexity": by(scores.perplexity, **listed),
        "least_certain": by(scores.least_certain, **listed, n=may("2", whole(0, endless))),
        "ModelArgs": Call(lambda w, **a: ModelArgs(**a).ffn_width(), sizes()),
        "RopeScaling": by(
            RopeScaling,
            rope_type=arg("'llama3'", one_of("linear", "llama3")),
            factor=arg("8.0", number_of(0, above=True)),
            **{name: arg(good, values.anything) for name, good in LLAMA_3.items()},
        ),
        "Transformer": by(Transformer, params=arg((), values.instance(ModelArgs))),
        "Transformer.setup_cache": Call(
            lambda w, **a: w.model.setup_cache(**a),
            {"max_batch_size": arg("2", at_most(2**16, whole(1))), "max_seq_len": arg("16", at_most(2**16, whole(1)))},
            takes=cache_bytes,
        ),
        "Transformer.forward": Call(
            lambda w, **a: w.model(**a),
            {
                "tokens": arg("torch.tensor([[1, 5]])", some_tokens(n_words)),
                "start_pos": arg(("0", "3", "torch.tensor(3)", "torch.tensor([3])"), some_position, "positions"),
                "last_only": may(("False", "True"), flag),
                "rows": may(("None", "torch.tensor([1])"), optional(one_row), "rows"),
            },
        ),
        "encode_dialog": Call(lambda w, **a: encode_dialog(w.tokenizer, **a), {"dialog": arg(message, values.dialog)}),
        "segment_dialog": Call(
            lambda w, **a: segment_dialog(w.tokenizer, **a), {"dialog": arg(message, values.dialog)}
        ),
        "has_special_tags": by(has_special_tags, dialog=arg(message, values.anything)),
        "to_json": by(to_json, prediction=arg("{'generation': 'a', 'token_bytes': [b'a']}", values.anything)),
    }


LEFT_OUT = {  # public, and not called here
    "COURSE_MODEL": "a path",
    "ChatPrediction": "a record, which judges nothing",
    "CompletionPrediction": "a record, which judges nothing",
    "Dialog": "a type",
    "GenerationStep": "a record, which judges nothing",
    "language": "would change what later calls say; tests/test_words.py has it",
    "Message": "a record, which judges nothing",
    "steps": "judges nothing, as it says: Llama.generate_steps does",
}
LLAMA_3 = {"low_freq_factor": "1.0", "high_freq_factor": "4.0", "original_max_position_embeddings": "8192"}


def by(function: Callable, **arguments: Argument) -> Call:
    """A call of a function as it is."""
    return Call(lambda world, **passed: function(**passed), arguments)


def of(owner: str, name: str, arguments: dict[str, Argument], errors: tuple = (ValueError, TypeError)) -> Call:
    """A call of a method of the world's llama or tokenizer."""
    return Call(lambda world, **passed: getattr(getattr(world, owner), name)(**passed), arguments, errors)


def build_arguments() -> dict[str, Argument]:
    """compile is left out: it takes a minute."""
    device = values.either(one_of(None, "cpu", torch.device("cpu")), text_or_device)
    return {
        "ckpt_dir": may((), values.path),
        "tokenizer_path": may("None", optional(values.path), "model_path", "ckpt_dir"),
        "max_seq_len": may(("None", "16"), optional(whole(1, 2**20))),
        "max_batch_size": may(("1", "4"), at_most(2**16, whole(1))),
        "model_parallel_size": may(("None", "1"), optional(whole(1, 1))),
        "seed": may("1", whole(0)),
        "device": may(("None", "'cpu'", "torch.device('cpu')"), device),
        "dtype": may(("None", "torch.bfloat16"), one_of(None, *DTYPES)),
        "int8": may(("False", "True"), flag),
        "chat_format": may(("None", "'llama-2'", "'none'"), one_of(None, "llama-2", "none")),
    }


def save_arguments() -> dict[str, Argument]:
    return {
        "ckpt_dir": arg("'out/x'", values.path),
        "format": may(("'meta'", "'hf'"), one_of("meta", "hf")),
        "shards": may(("1", "2"), at_most(2, whole(1))),
        "dtype": may(("None", "torch.float16"), one_of(None, *DTYPES[:3])),
    }


def cache_bytes(passed: dict) -> int:
    """What the cache takes that a call asks for: keys and values in float32, and the rotations of its positions."""
    given = {"max_batch_size": 8, "max_seq_len": CONTEXT} | {k: v for k, v in passed.items() if v is not None}
    rows, context = (values.plain(given[name]) for name in ("max_batch_size", "max_seq_len"))
    if not whole(1)(rows) or not whole(1)(context):
        return 0
    kept = 2 * SIZES["n_layers"] * rows * context * SIZES["dim"] * 4
    return int(kept + context * SIZES["dim"] // SIZES["n_heads"] * 4)


def sizes() -> dict[str, Argument]:
    """The fields of ModelArgs."""
    whole_numbers = {"dim": "8", "n_heads": "2", "n_kv_heads": "None", "n_layers": "1", "hidden_dim": "4",
                     "vocab_size": "9", "multiple_of": "4", "max_batch_size": "2", "max_seq_len": "8"}  # fmt: skip
    above_0 = values.number(0, above=True)
    fields = {name: arg(value, some_size(name)) for name, value in whole_numbers.items()}
    fields |= {"norm_eps": may("1e-5", above_0), "rope_theta": may("9.0", above_0)}
    fields["ffn_dim_multiplier"] = may(("None", "1.5"), optional(above_0))
    return fields | {"rope_scaling": may(("None", "{'rope_type': 'linear', 'factor': 2.0}"), some_scaling)}


DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


# ---- rules of single arguments ---------------------------------------------------------------------------------------


def at_most(limit: int, rule: values.Rule) -> values.Rule:
    """Larger ones depend on what memory and the model hold."""
    return lambda value: None if (allowed := rule(value)) and int(values.plain(value)) > limit else allowed


def some_size(name: str) -> values.Rule:
    """The sizes must fit each other: one that is none is refused in any case."""
    low = -1 if name == "vocab_size" else 1
    rule = at_most(0, whole(low))
    return optional(rule) if name in ("n_kv_heads", "hidden_dim") else rule


def some_scaling(value) -> bool | None:
    return True if value is None else None if isinstance(value, dict | RopeScaling) else False


def some_dialogs(value) -> bool | None:
    return None if each(values.dialog)(value) and len(value) > ROWS else each(values.dialog)(value)


def text_or_device(value) -> bool | None:
    return None if isinstance(value, str | torch.device) else False


def content(value) -> bool | None:
    return None if isinstance(value, bytes) and value else False


def long_text(value) -> bool | None:
    return values.texts_of(value, 10**9)


def generator(value) -> bool | None:
    if value is None or isinstance(value, torch.Generator):
        return True
    return None if listing(value) and all(isinstance(member, torch.Generator) for member in value) else False


def some_logprobs(value) -> bool | None:
    if not listing(value):
        return False
    lowest = -float("inf")
    known = [values.plain(member) for member in value if member is not None]
    numbers = [isinstance(member, float) and member == lowest or values.number(lowest)(member) for member in known]
    return None if all(numbers) else False


def some_tokens(n_words: int) -> values.Rule:
    def rule(value):
        if not values.is_dense(value) or value.dim() != 2 or value.dtype not in (torch.int64, torch.int32):
            return False
        if value.numel() == 0:
            return False
        return bool(((0 <= value) & (value < n_words)).all()) and value.shape[0] <= ROWS and value.shape[1] < 8

    return rule


def a_mask(value) -> bool:
    """Which of three tokens of one row are its prompt's."""
    return values.is_dense(value) and value.shape == (1, 3) and value.dtype == torch.bool


def one_row(value) -> bool:
    """For one row of tokens: a tensor (1,) that names a row of the cache."""
    fits = values.is_dense(value) and value.shape == (1,) and value.dtype == torch.int64
    return fits and 0 <= int(value) < ROWS


def some_bias(n_words: int) -> values.Rule:
    """A dict of token ids and numbers, minus infinity for some, but not for all."""

    def allows(value) -> bool:
        if not isinstance(value, dict) or not all(whole(0, n_words - 1)(key) for key in value):
            return False
        banned = [isinstance(plain := values.plain(each), float) and plain == -math.inf for each in value.values()]
        numbers = all(ban or values.number(-1e6, 1e6)(each) for ban, each in zip(banned, value.values(), strict=True))
        return numbers and sum(banned) < n_words

    return allows


def some_position(value) -> bool | None:
    """A whole number; as a tensor its dtype, too, is one of whole numbers, and it has no axes, or one for each row."""
    if isinstance(value, torch.Tensor) and (not values.is_dense(value) or value.dim() > 1):
        return False
    if isinstance(value, torch.Tensor) and value.dim() == 1:
        return False if value.dtype != torch.int64 else None if value.numel() else False
    return at_most(CONTEXT - 8, whole(0))(value)


# ---- cases -----------------------------------------------------------------------------------------------------------


@st.composite
def cases(draw, name: str) -> dict:
    """A call with one or two arguments drawn, the others as they should be."""
    arguments = calls()[name].arguments
    wrong = draw(st.lists(st.sampled_from(sorted(arguments)), min_size=1, max_size=2, unique=True))
    args = {}
    for each_name, argument in arguments.items():
        if each_name in wrong:
            args[each_name] = draw(values.expressions)
        elif argument.good and (argument.must or draw(st.booleans())):
            args[each_name] = draw(st.sampled_from(argument.good))
    return {"call": name, "args": args}


def trial(case: dict) -> str:
    """Try a case; "answered" or "refused". Raises Finding."""
    call = calls()[case["call"]]
    with scratch() as folder:
        (folder / "out").mkdir()
        world = World(folder)
        world.checkpoint()
        passed = {name: value_of(expression) for name, expression in case["args"].items()}
        rules = {name: call.arguments[name].allows(value) for name, value in passed.items()}
        if call.takes(passed) > MOST // 2:  # then memory decides
            rules = {name: allowed and None for name, allowed in rules.items()}
        if case["call"] == "Llama.save" and not _stays_here(passed["ckpt_dir"]):
            return "left out"
        asked = call.takes(passed)
        answer = attempt(lambda: call.run(world, **passed), folder, folder, asked)
    check_memory(answer.watch, asked, f"memory of {case['call']}")
    wrong = [name for name, allowed in rules.items() if allowed is False]
    open_ = [name for name, allowed in rules.items() if allowed is None]
    if answer.error is None and wrong:
        got = ", ".join(f"{name}={case['args'][name]}" for name in wrong)
        raise Finding(f"{case['call']} accepts {got}", f"accepts {case['call']} {wrong}")
    if answer.error is not None:
        if not wrong and not open_:
            mark = f"refuses {case['call']} {place_of(answer.error)}"
            raise Finding(f"{case['call']} refuses what is right: {answer.error!r}", mark)
        words = [word for name in (*wrong, *open_) for word in (name, *call.arguments[name].called)]
        kinds = call.errors
        if OSError in kinds and isinstance(answer.error, OSError):
            kinds = (type(answer.error),)
        check_error(answer.error, words, kinds)
    check_sound()
    return "answered" if answer.error is None else "refused"


def _stays_here(path) -> bool:
    """Whether a place to save to is inside the trial's folder."""
    return not isinstance(path, str | Path) or (not Path(path).is_absolute() and ".." not in Path(path).parts)
