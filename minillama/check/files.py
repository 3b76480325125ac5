"""Checks of the exercises on checkpoint files."""

import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from minillama.check.exercise import exercise, swap, swaps
from minillama.check.judge import Wrong
from minillama.checkpoint import COURSE_MODEL, PARAMS, SHARD
from minillama.model import ModelArgs, Transformer
from minillama.words import say

SMALL = {"dim": 16, "n_layers": 1, "n_heads": 4, "n_kv_heads": 2, "vocab_size": 10, "hidden_dim": 24, "max_seq_len": 8}
OTHER = {"n_heads": 6, "dim": 84, "vocab_size": 15, "n_layers": 3, "hidden_dim": None, "ffn_dim_multiplier": None}
ALL = SMALL | {"multiple_of": 12, "norm_eps": 0.01, "max_batch_size": 5, "ffn_dim_multiplier": 1.3, "rope_theta": 5e5}


def using(file: str, write: Callable, call: Callable, caught: tuple) -> Callable:
    """A case: call(f, path) with a file that `write` writes. If exceptions are caught, what happens is compared."""

    def case(f: Callable):
        result, raised = None, False
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        with folder as name, warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")  # Python warns of a file that nobody closed, when it throws it away
            write(Path(name, file))
            try:
                result = call(f, Path(name, file))
            except caught:
                raised = True
        warned = " ".join(str(each.message) for each in heard)
        left_open = PARAMS in warned and Path(name).name in warned
        happens = {"exception": raised, "file left open": left_open, "code runs": "ran code" in warned}
        return happens if caught else result

    return case


def right_read_params(path):
    """f(path): the ModelArgs that a params.json describes, and the file closed whatever happens."""
    with open(path, encoding="utf-8") as f:
        return ModelArgs(**json.load(f))


def reading(text: str, *caught: type) -> Callable:
    def read(f: Callable, path: Path):
        try:
            args, due = f(path), ModelArgs(**({} if caught else json.loads(text)))
        except ValueError as error:
            closed = Wrong(say("The file is closed before it is read. Read inside `with`."))
            raise (closed if "closed file" in str(error) else error) from None
        lost = [key for key, value in vars(due).items() if isinstance(args, ModelArgs) and getattr(args, key) != value]
        if not caught and lost and all(getattr(args, key) == getattr(ModelArgs(), key) for key in lost):
            raise Wrong(say("{key} is lost. Pass on every key: ModelArgs(**fields).", key=lost[0]))
        return args

    return using(PARAMS, lambda path: path.write_text(text), read, caught)


_OPEN, _READ, _MAKE = 'with open(path, encoding="utf-8") as f:\n        ', "json.load(f)", "ModelArgs(**json.load(f))"
_TRY = f"try:\n            return {_MAKE}\n        except ValueError:\n            return "
read_params = exercise(
    right_read_params,
    cases={
        "a file with all keys": reading(json.dumps(ALL, indent=2)),
        "a file with few keys, and null": reading(json.dumps(OTHER, indent=2)),
        "a file without any key: the defaults": reading("{}"),
        "the file is closed afterwards": reading(json.dumps(SMALL), ValueError, TypeError),
        "the text breaks off: the exception comes out, the file is closed": reading('{"a": 1,', ValueError, TypeError),
    },
    mistakes={
        "ModelArgs(fields) fills the first field only. Write ModelArgs(**fields).": swap("**", ""),
        "json.load(f) makes a dict of the open file; json.loads is for a text.":
            swaps(_READ, "json.loads(f)", "json.loads(path)", "json.load(path)", "f.read()"),
        "The file is closed before it is read. Read inside `with`.": swap(" " * 8, "        pass\n    "),
        "Open the file to read it: no \"w\", which also empties it.": swap("path, ", "path, 'w', "),
        "`path` is the file itself. Open it, without adding a name.": lambda path: right_read_params(path / PARAMS),
        "Keys may be missing: ModelArgs(**fields) takes those that are there, and its defaults for the others.":
            swaps(_READ, "(lambda x: {key: x[key] for key in vars(ModelArgs())})(json.load(f))",
                  "json.loads((COURSE_MODEL / PARAMS).read_text()) | json.load(f)"),
        "The file is left open. `with open(…) as f:` closes it, whatever happens.":
            [swap(_OPEN, "f = open(path)\n    "), swap(_OPEN, "", "(f)", "(open(path))"),
             swap(_OPEN, "f = open(path)\n    try:\n        ", "(f))", "(f))\n    except: f.close(); raise")],
        "The exception comes before your close(). `with` closes the file then too.":
            swap(_OPEN, "f = open(path)\n    ", f"return {_MAKE}", f"x = {_MAKE}\n    f.close()\n    return x"),
        "Let the exception reach the caller: do not catch it.": swaps(f"return {_MAKE}", _TRY, _TRY + "ModelArgs()"),
        "This is the file's dict. Make a ModelArgs of it: ModelArgs(**fields).": swap(_MAKE, _READ),
        "Open `path`, not the course model's file.": lambda path: right_read_params(COURSE_MODEL / PARAMS),
        "eval reads Python, not JSON: it does not know null.": swap(_READ, "eval(f.read())"),
    },
)  # fmt: skip


def right_count_parameters(args):
    """f(args): how many parameters a Transformer(args) has, as an int."""
    dim, kv_dim = args.dim, args.n_kv_heads * args.head_dim
    attention = 2 * dim * dim + 2 * kv_dim * dim
    ffn, norms = 3 * dim * args.ffn_width(), 2 * dim
    tables = 2 * args.vocab_size * dim
    return tables + args.n_layers * (attention + ffn + norms) + dim


_KV, _WIDTH, _LAST, _SUM = "args.n_kv_heads * args.head_dim", "args.ffn_width()", ") + dim", "(attention + ffn + norms)"
count_parameters = exercise(
    right_count_parameters,
    cases={
        "as many key-value heads as heads": (ModelArgs(42, 5, 3, vocab_size=11, hidden_dim=37),),
        "four heads share two": (ModelArgs(88, 3, 4, 2, vocab_size=101, hidden_dim=57),),
        "no hidden_dim": (ModelArgs(60, 2, 6, 2, vocab_size=17, multiple_of=48),),
        "no hidden_dim, but ffn_dim_multiplier": (ModelArgs(30, 7, 3, 1, 13, 32, 1.3),),
    },
    mistakes={
        "A count is a whole number: // and not /.": lambda args: float(right_count_parameters(args)),
        "wk and wv have n_kv_heads * head_dim rows each.": swaps(_KV, "args.dim", "args.n_kv_heads", "args.head_dim"),
        "wq and wo are dim * dim. Only wk and wv are smaller.": swaps("2 * dim *", "(dim + kv_dim) *", "2 * kv_dim *"),
        "Attention has four matrices: wq, wk, wv and wo.":
            [swap("2 * dim *", f"{n} * dim *", "2 * k", f"{k}*k") for n, k in ((1, 2), (0, 2), (2, 1), (2, 0), (0, 0))],
        "The feed-forward network has three matrices: w1, w2, w3.": swaps("3 *", "2 *", "1 *", "0 *"),
        "hidden_dim is None here: args.ffn_width() knows the width.": swap(_WIDTH, "args.hidden_dim"),
        "The width is args.ffn_width(): it knows hidden_dim, multiple_of and ffn_dim_multiplier.": swaps(
            _WIDTH, *(f"({x}({y}))" for x in ("", "args.hidden_dim or ") for y in ("4 * dim", "8 * dim // 3"))),
        "Each norm has dim weights. There are two in each layer, and one at the end.":
            [swap(" 2 * dim\n", f" {x}\n", ") + dim", f") + {y}") for x in (0, "dim", 2) for y in ("dim", x and 1)],
        "One norm is missing: the last, after all layers.": swap(_LAST, ")"),
        "tok_embeddings and output have vocab_size * dim weights each.":
            [*swaps("2 * args", "args", "0 * args"), swap("2 * args", "args", _LAST, ")"), swap("e * dim", "e")],
        "That is one layer. The model has n_layers of them.": swap("args.n_layers * ", ""),
        "All of a layer counts n_layers times: use brackets.": swaps(_SUM, _SUM[1:-1], "(attention + ffn) + norms"),
        "tok_embeddings, output and the last norm are there once, not in each layer.":
            [swap("tables + args.n_layers * (", "args.n_layers * (tables + "),
             *(swap("2 * dim\n", "3 * dim\n", _LAST, x) for x in (")", _LAST))],
        "These are the course model's parameters. Count those of `args`.":
            lambda args: right_count_parameters(right_read_params(COURSE_MODEL / PARAMS)),
        "RoPE has no weights.": swaps("return", "return args.head_dim // 2 +", "return args.max_seq_len * dim +"),
        "Count parameters, not bytes.": [swap("return t", f"return {n} * (t", _LAST, _LAST + ")") for n in (2, 4)],
    },
)  # fmt: skip


def right_load_model(args, path):
    """f(args, path): a Transformer with the file's weights, read safely and strictly but for rope.freqs."""
    weights = torch.load(path, weights_only=True)
    weights.pop("rope.freqs", None)
    model = Transformer(args)
    model.load_state_dict(weights)
    return model


def loading(sizes: dict, change: dict, *caught: type) -> Callable:
    args = ModelArgs(**sizes)
    stored = {key: torch.randn(x.shape).half() for key, x in Transformer(args).state_dict().items()} | change

    def load(f: Callable, path: Path):
        model = f(args, path)
        state = model.state_dict() if isinstance(model, Transformer) else {}
        weights = {key: None if x.is_meta else x.float() for key, x in state.items()}
        return {"class": type(model).__name__, "weights": weights}

    kept = {key: x for key, x in stored.items() if x is not None}
    return using(SHARD, lambda path: torch.save(kept, path), load, caught)


_TRAP = type("Trap", (), {"__reduce__": lambda _: (warnings.warn, ("a file ran code",))})()  # a file with it calls warn
_LOAD, _FILE = "model.load_state_dict(weights)", "torch.load(path, weights_only=True)"
_SAFE = f"None\n    try:\n        weights = {_FILE}\n    except Exception:\n        "
_CATCH = f"try:\n        {_LOAD}\n    except Exception:\n        "
load_model = exercise(
    right_load_model,
    cases=lambda: {
        "a good file": loading(SMALL, {}),
        "a larger model's": loading(OTHER | {"max_seq_len": 5}, {}),
        "a file of Meta's, with rope.freqs": loading(SMALL, {"rope.freqs": torch.ones(2)}),
        "the output is missing: an exception": loading(SMALL, {"output.weight": None}, Exception),
        "a wrong name: an exception": loading(SMALL, {"norm.weight": None, "norm.bias": torch.ones(16)}, Exception),
        "a layer too many: an exception": loading(SMALL, {"layers.1.ffn_norm.weight": torch.ones(16)}, Exception),
        "a bias too many: an exception": loading(SMALL, {"output.bias": torch.ones(10)}, Exception),
        "rope.cos too many: an exception": loading(SMALL, {"rope.cos": torch.ones(2)}, Exception),
        "code in the file: an exception, and it does not run": loading(SMALL, {"rope.freqs": _TRAP}, Exception),
    },
    mistakes={
        "Meta's files have rope.freqs, which the model does not know. Take it out.": swap("weights.pop", "weights.get"),
        "Not every file has rope.freqs: weights.pop(key, None) takes it if it is there.": swap(", None", ""),
        "A missing tensor goes unnoticed. Load the file's own dict with strict=True, and let the exception out.": [
            swap(_LOAD, f"{_CATCH}pass"), *swaps("(weights)", "(weights, strict=False)",
                "(model.state_dict() | weights)", "({k: weights.get(k, x) for k, x in model.state_dict().items()})",
                "(weights, strict=len(weights) != len(model.state_dict()))")],
        "Only rope.freqs may be dropped. Any other surplus tensor must end in an exception.": [
            swap("model =", f"weights = {{k: x for k, x in weights.items() if {x}}}\n    model =")
            for x in ("k in Transformer(args).state_dict()", "'rope' not in k", "'bias' not in k", "'eight' in k")],
        "The file ran code. Read it with weights_only=True.": swap("True", "False"),
        "Let the exception reach the caller: do not catch it.":
            [swap(_FILE, f"{_SAFE}return"), swap(_FILE, f"{_SAFE}return", _LOAD, f"{_CATCH}return")],
        "The model is on the meta device, without numbers: assign=True.": swap("(args)", "(args).to('meta')"),
        "No weight came from the file: call load_state_dict.": swap(_LOAD, "pass"),
        "That is what load_state_dict returns. Return the model.": swap("return model", "", _LOAD, f"return {_LOAD}"),
        "These are the weights. Return a Transformer.": 
            [*swaps("n model", "n weights", "n model.state_dict()"), swap(_LOAD, "pass", "n model", "n weights")],
    },
)  # fmt: skip
