"""Checks of the exercises on checkpoint files."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from minillama.check.former import NotAttempted, Wrong, call, judge
from minillama.check.report import Report
from minillama.checkpoint import COURSE_MODEL, PARAMS, SHARD
from minillama.model import ModelArgs, Transformer

SMALL = {"dim": 16, "n_layers": 1, "n_heads": 4, "n_kv_heads": 2, "vocab_size": 10, "hidden_dim": 24, "max_seq_len": 8}
OTHER = {"dim": 96, "n_layers": 3, "n_heads": 6, "vocab_size": 50, "norm_eps": 1e-6, "rope_theta": 500000.0}

_ran: list[str] = []


def read_params(function: Callable[[Path], ModelArgs]) -> Report:
    """Judge f(path): the ModelArgs that a params.json describes, and the file closed whatever happens."""

    def fields(**due) -> Callable[[Callable], None]:
        def case(f: Callable) -> None:
            with _folder() as folder:
                (folder / PARAMS).write_text(json.dumps(due), encoding="utf-8")
                got = _args_of(f, folder / PARAMS)
            _expect_args(got, ModelArgs(**due))

        return case

    def closed(f: Callable) -> None:
        with _folder() as folder:
            (folder / PARAMS).write_text(json.dumps(SMALL), encoding="utf-8")
            if _left_open(f, folder / PARAMS)[1]:
                raise Wrong("The file is still open when your function has returned. Open it with `with`.")

    def broken(f: Callable) -> None:
        with _folder() as folder:
            (folder / PARAMS).write_text('{"dim": 16, ', encoding="utf-8")
            returned, left_open = _left_open(f, folder / PARAMS)
        if returned is not None:
            kind = "ModelArgs" if isinstance(returned[0], ModelArgs) else repr(returned[0])[:60]
            raise Wrong(f"The file breaks off in the middle, and yet you returned {kind}. Let the exception out.")
        if left_open:
            raise Wrong("The exception comes before your close(), and the file stays open. `with` closes it then too.")

    return judge(
        function,
        [
            ("a file with seven keys", fields(**SMALL)),
            ("a file with other keys", fields(**OTHER)),
            ("the file is closed afterwards", closed),
            ("a broken file: the exception comes out, the file is closed", broken),
        ],
    )


def count_parameters(function: Callable[[ModelArgs], int]) -> Report:
    """Judge f(args): how many parameters a Transformer(args) has, as an int."""

    def case(args: ModelArgs) -> Callable[[Callable], None]:
        def run(f: Callable) -> None:
            due = _n_params(args)
            try:
                got = call(f, args)
            except TypeError as error:
                if args.hidden_dim is None and "NoneType" in str(error):
                    raise Wrong("hidden_dim is None here. args.ffn_width() always knows the width.") from None
                raise
            if isinstance(got, bool) or not isinstance(got, int):
                advice = " `/` makes a float; `//` does not." if isinstance(got, float) else " Is there a `return`?"
                raise Wrong(f"An int is due, your function returned {type(got).__name__}.{advice}")
            if got == due:
                return
            for hint, number in _miscounts(args):
                if got == number:
                    raise Wrong(hint)
            raise Wrong(f"due   {due:,}\nyours {got:,} ({got - due:+,})")

        return run

    plain = ModelArgs(dim=16, n_layers=3, n_heads=4, vocab_size=10, hidden_dim=24)
    grouped = ModelArgs(dim=16, n_layers=3, n_heads=4, n_kv_heads=2, vocab_size=10, hidden_dim=24)
    width = ModelArgs(dim=32, n_layers=2, n_heads=4, n_kv_heads=1, vocab_size=11, multiple_of=8)
    return judge(
        function,
        [
            ("as many key heads as query heads", case(plain)),
            ("half as many key heads", case(grouped)),
            ("no hidden_dim in params.json", case(width)),
            ("Llama 2 7B", case(ModelArgs(vocab_size=32000))),
        ],
    )


def load_model(function: Callable[[ModelArgs, Path], Transformer]) -> Report:
    """Judge f(args, path): a Transformer with the file's weights, read safely and strictly but for rope.freqs."""

    _weights()  # the first use of the meta device imports a lot: not on the learner's time

    def good(**surplus: Tensor) -> Callable[[Callable], None]:
        def case(f: Callable) -> None:
            due = _weights()
            with _folder() as folder:
                try:
                    got = _load(f, folder, due | surplus)
                except RuntimeError as error:
                    if "rope.freqs" in str(error):
                        raise Wrong(
                            "Meta's files carry rope.freqs, which the model computes itself. Take this one key out "
                            "before you load."
                        ) from None
                    raise
                except KeyError as error:
                    if "rope.freqs" in str(error):
                        raise Wrong(
                            "Not every file has rope.freqs. Take it out only if it is there: weights.pop(key, None)."
                        ) from None
                    raise
                _expect_weights(got, due)

        return case

    def refuses(change: Callable[[dict], dict], hint: str) -> Callable[[Callable], None]:
        def case(f: Callable) -> None:
            with _folder() as folder:
                if _attempt(lambda: _load(f, folder, change(_weights()))) is not None:
                    raise Wrong(hint)

        return case

    def trap(f: Callable) -> None:
        _ran.clear()
        with _folder() as folder:
            returned = _attempt(lambda: _load(f, folder, _weights() | {"rope.freqs": _Trap()}))
        if _ran:
            raise Wrong("Loading ran a function that the file named. Read it with weights_only=True.")
        if returned is not None:
            raise Wrong("The file holds more than tensors, and your loader returned a model. Let torch.load refuse it.")

    def without(state: dict) -> dict:
        return {key: tensor for key, tensor in state.items() if key != "output.weight"}

    return judge(
        function,
        [
            ("a good file", good()),
            ("a file of Meta's, with rope.freqs", good(**{"rope.freqs": torch.ones(2)})),
            (
                "a tensor is missing: an exception",
                refuses(without, "output.weight is not in the file, and your loader returned a model: with which "
                        "numbers? Compare the file's own keys: load_state_dict(weights, strict=True)."),
            ),
            (
                "a tensor too many: an exception",
                refuses(lambda state: state | {"layers.1.ffn_norm.weight": torch.ones(16)},
                        "The file has a layer more than the model, and your loader left it out in silence. Only "
                        "rope.freqs may be dropped; every other key must fit."),
            ),
            ("a file that would run code: an exception, and nothing ran", trap),
        ],
    )  # fmt: skip


# ---- reading ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder for one case. Windows keeps a file in it that a learner's model still maps."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        yield Path(name)


def _args_of(function: Callable, path: Path) -> ModelArgs:
    try:
        got = call(function, path)
    except ValueError as error:
        if "ModelArgs.dim" in str(error) and "got dict {" in str(error):
            raise Wrong(
                "ModelArgs(fields) puts the whole dict into the first field. Spread it: ModelArgs(**fields)."
            ) from None
        raise
    except KeyError as error:
        raise Wrong(
            f"The file has no {error}. Keys may be left out; ModelArgs(**fields) takes those that are there."
        ) from None
    except TypeError as error:
        if "JSON object must be" in str(error):
            raise Wrong("json.loads takes a str. For an open file it is json.load(f).") from None
        raise
    if not isinstance(got, ModelArgs):
        advice = " ModelArgs(**fields) makes one of it." if isinstance(got, dict) else ""
        raise Wrong(f"A ModelArgs is due, your function returned {type(got).__name__}.{advice}")
    return got


def _expect_args(got: ModelArgs, due: ModelArgs) -> None:
    if got == due:
        return
    with open(COURSE_MODEL / PARAMS, encoding="utf-8") as f:
        if got == ModelArgs(**json.load(f)):
            raise Wrong("These are the course model's sizes. Open the `path` that your function is given.")
    field = next(x.name for x in dataclasses.fields(due) if getattr(got, x.name) != getattr(due, x.name))
    raise Wrong(f"{field} should be {getattr(due, field)}, yours is {getattr(got, field)}. Pass on every key.")


def _left_open(function: Callable, path: Path) -> tuple[tuple | None, bool]:
    """What function(path) returned, in a tuple, or None if it raised; and whether it left the file open.

    Python warns when it throws away a file that nobody closed: here as soon as the function's frame is gone.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        returned = _attempt(lambda: call(function, path))
    return returned, any("unclosed file" in str(w.message) and path.parent.name in str(w.message) for w in caught)


def _attempt(action: Callable) -> tuple | None:
    """What action returns, in a tuple; None if it raises."""
    try:
        return (action(),)
    except (NotAttempted, NotImplementedError):
        raise
    except Exception:
        return None


# ---- counting --------------------------------------------------------------------------------------------------------


def _n_params(args: ModelArgs) -> int:
    kv_width = args.n_kv_heads * args.head_dim
    layer = args.dim * (2 * args.dim + 2 * kv_width + 3 * args.ffn_width() + 2)
    return 2 * args.vocab_size * args.dim + args.n_layers * layer + args.dim


def _miscounts(args: ModelArgs) -> list[tuple[str, int]]:
    due, dim, layers, hidden = _n_params(args), args.dim, args.n_layers, args.ffn_width()
    table, smaller = args.vocab_size * dim, (args.n_heads - args.n_kv_heads) * args.head_dim * dim
    a_layer = (due - 2 * table - dim) // layers
    plain = int(2 * (4 * dim) / 3)
    return [
        ("wk and wv are smaller than wq: they have n_kv_heads * head_dim rows.", due + 2 * layers * smaller),
        ("The feed-forward network has three matrices: w1, w2 and w3.", due - layers * dim * hidden),
        ("The norms have weights too: dim numbers each, two norms a layer and one at the end.",
         due - (2 * layers + 1) * dim),
        ("The norms of the layers are missing: both of a layer have weights.", due - 2 * layers * dim),
        ("Each layer has two norms: attention_norm and ffn_norm.", due - layers * dim),
        ("One norm is missing: the last, after all layers.", due - dim),
        ("The output layer is a matrix of its own, as large as the embedding. Count both.", due - table),
        ("The embedding and the output layer are missing: vocab_size * dim each.", due - 2 * table),
        ("That is one layer. The model has n_layers of them.", due - (layers - 1) * a_layer),
        ("Attention has four matrices: wq, wk, wv and wo.", due - layers * dim * dim),
        ("The feed-forward network is args.ffn_width() wide, not 4 * dim.",
         due + 3 * layers * dim * (4 * dim - hidden)),
        ("The width is rounded up to a multiple of multiple_of. args.ffn_width() does all of it.",
         due + 3 * layers * dim * (plain - hidden)),
    ]  # fmt: skip


# ---- loading ---------------------------------------------------------------------------------------------------------


class _Trap:
    """Pickled as an order to call `_spring`, which only notes that it was called."""

    def __reduce__(self):
        return _spring, ()


def _spring() -> Tensor:
    _ran.append("called")
    return torch.ones(2)


def _weights() -> dict[str, Tensor]:
    """A whole file's tensors: float16, and none of them what a fresh Transformer has."""
    with torch.device("meta"):
        due = Transformer(ModelArgs(**SMALL)).state_dict()
    generator = torch.Generator().manual_seed(0)
    return {key: torch.randn(tensor.shape, generator=generator).half() for key, tensor in due.items()}


def _load(function: Callable, folder: Path, contents: dict) -> Transformer:
    torch.save(contents, folder / SHARD)
    return call(function, ModelArgs(**SMALL), folder / SHARD)


def _expect_weights(model, due: dict[str, Tensor]) -> None:
    if not isinstance(model, Transformer):
        advice = " load_state_dict returns the keys that did not fit." if hasattr(model, "missing_keys") else ""
        raise Wrong(f"A Transformer is due, your function returned {type(model).__name__}.{advice} Return the model.")
    for key, tensor in model.state_dict().items():
        if tensor.is_meta:
            raise Wrong("The model is still on the meta device: shapes without numbers. Load with assign=True.")
        if tensor.shape != due[key].shape or not torch.equal(tensor.float(), due[key].float()):
            raise Wrong(f"{key} does not hold the file's numbers. Was load_state_dict called with them?")
