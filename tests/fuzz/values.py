"""What people and programs pass: values written as Python expressions, so that a case can be kept, and rules that say
which of them an argument allows. The rules are written apart from the package's own judges, to be compared with them.

A rule gives True, False, or None where it depends on more than the value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st

Rule = Callable[[object], bool | None]
LARGEST = 2**63 - 1
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class Broken:
    """Cannot even be shown."""

    def __repr__(self):
        raise RuntimeError("no repr")


class Whole(int):
    """A whole number of somebody's own."""


class Listing(Sequence):
    """A sequence of somebody's own."""

    def __init__(self, *members):
        self.members = members

    def __len__(self):
        return len(self.members)

    def __getitem__(self, k):
        return self.members[k]


NAMES = {"nan": math.nan, "inf": math.inf, "np": np, "torch": torch, "Decimal": Decimal, "Fraction": Fraction,
         "Path": Path, "Broken": Broken, "Whole": Whole, "Listing": Listing}  # fmt: skip
ATOMS = (
    *"None True False 0 1 -1 2 3 64 65 300 1.0 0.0 -0.0 0.5 1.5 -1.5 nan inf -inf 5e-324 1e308 1j".split(),
    *"2**31 2**32 2**53 2**62 2**63-1 2**63 2**64 -2**63 10**30 10**400 10**5000 -10**5000".split(),
    "''", "' '", "'a'", "'the cat'", r"'\0'", r"'\ud800'", r"'a\n\x1b[31m'", "'猫'", "'a' * 5000", "'a/b'",
    "'nothing/../x'",
    "b''", "b'ab'", "bytearray(b'ab')", "memoryview(b'ab')", "[]", "()", "{}", "set()", "[[]]", "[None]", "[nan]",
    "[1]", "[1, 2]", "[[1, 300]]", "[['a']]", "['a']", "['']", "('a', 1)", "{1: 2}", "range(3)", "range(0)",
    "iter([1])", "object()", "Broken()", "[Broken()]", "int", "len", "...", "NotImplemented", "slice(1)", "Whole(1)",
    "Listing()", "Listing(1)", "Listing('a')", "Listing([1])",
    "Decimal(1)", "Fraction(1, 2)", "Path('x')", "Path('a' * 300)",
    "np.int8(3)", "np.int64(-5)", "np.uint64(2**64-1)", "np.float32(0.5)", "np.float64(nan)", "np.bool_(True)",
    "np.array(3)", "np.array(0.5)", "np.array([3])", "np.array([[1, 2]])", "np.array([])", "np.array('a')",
    "np.array(None)", "np.datetime64('2020')", "np.str_('a')", "np.complex64(1)",
    "torch.tensor(3)", "torch.tensor(0.5)", "torch.tensor(True)", "torch.tensor([3])", "torch.tensor([])",
    "torch.tensor(3, device='meta')", "torch.zeros(2, 3)", "torch.zeros(2, 0)", "torch.zeros(0, 3)", "torch.zeros(())",
    "torch.full((2, 3), nan)", "torch.full((2, 3), inf)", "-torch.full((2, 3), inf)", "torch.zeros(1, 1, 4)",
    "torch.zeros(2, 3, dtype=torch.int64)", "torch.zeros(2, 3, dtype=torch.bool)", "torch.zeros(2, 3).to_sparse()",
    "torch.zeros(2, 3, dtype=torch.complex64)", "torch.zeros(2, 3, device='meta')", "torch.ones(1, 2).half()",
    "torch.zeros(2, 3).to_sparse_csr()", "torch.tensor(3).to_sparse()", "torch.tensor([[1, 5]]).to_sparse()",
    "torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])", "torch.zeros(2, 3).to_mkldnn()",
    "torch.quantize_per_tensor(torch.zeros(2, 3), 1.0, 0, torch.qint8)", "torch.nn.UninitializedParameter()",
    "torch.zeros(2, 3).to(torch.float8_e5m2)", "torch.tensor([[1, 5]], device='meta')",
    "torch.tensor([[0.5, 0.3, 0.2]])", "torch.tensor([[1, 5]])", "torch.tensor([[-1]])", "torch.tensor([[10**9]])",
    "torch.float32", "torch.int8", "torch.float8_e5m2", "torch.device('cpu')", "torch.device('meta')", "'cuda:7'",
    "torch.Generator()", "[torch.Generator()]", "[torch.Generator(), torch.Generator()]",
    "[{'role': 'user', 'content': 'a'}]", "{'role': 'user', 'content': 'a'}", "[{'role': 'user'}]",
    "[{'role': 'user', 'content': None}]", "[{'role': ['user'], 'content': ''}]",
    "[{'role': 'assistant', 'content': ''}]",
    "[{'role': 'system', 'content': ''}]", "[[{'role': 'user', 'content': '[INST]'}]]",
)  # fmt: skip


def value_of(expression: str):
    return eval(expression, dict(NAMES))


_some = st.one_of(
    st.sampled_from(ATOMS),
    st.sampled_from(ATOMS),
    st.sampled_from(ATOMS),
    st.integers().map(repr),
    st.floats().map(repr),
    st.text(max_size=6).map(repr),
    st.binary(max_size=4).map(repr),
)
expressions = st.one_of(
    _some,
    _some,
    _some,
    st.lists(_some, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
    _some.map(lambda each: f"({each},)"),
    _some.map(lambda each: f"[[{each}]]"),
    _some.map(lambda each: f"{{'a': {each}}}"),
    _some.map(lambda each: f"[{{'role': 'user', 'content': {each}}}]"),
    _some.map(lambda each: f"[[{{'role': {each}, 'content': 'a'}}]]"),
)


# ---- rules -----------------------------------------------------------------------------------------------------------


def is_dense(value) -> bool:
    """Whether it is a tensor whose numbers are there, each in its place."""
    if not isinstance(value, torch.Tensor) or isinstance(value, torch.nn.UninitializedParameter):
        return False
    is_other = value.layout != torch.strided or value.is_nested or value.is_quantized
    return not is_other and value.device.type == "cpu"


def plain(value):
    """The one number in a scalar of numpy's or torch's."""
    if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
        return value.item()
    if is_dense(value) and value.dim() == 0:
        return value.item()
    return value


def whole(low: float = -math.inf, high: float = LARGEST) -> Rule:
    def rule(value):
        value = plain(value)
        return isinstance(value, Integral) and not isinstance(value, bool) and low <= value <= high

    return rule


def number(low: float, high: float = math.inf, above: bool = False) -> Rule:
    def rule(value):
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, Real):
            return False
        try:
            value = float(value)
        except OverflowError:
            return False
        return math.isfinite(value) and low <= value <= high and not (above and value == low)

    return rule


def flag(value) -> bool:
    return isinstance(plain(value), bool)


def optional(rule: Rule) -> Rule:
    return lambda value: value is None or rule(value)


def either(*rules: Rule) -> Rule:
    def rule(value):
        said = [each(value) for each in rules]
        return True if True in said else None if None in said else False

    return rule


def one_of(*allowed) -> Rule:
    def rule(value):
        try:
            return any(type(value) is type(each) and value == each for each in allowed)
        except Exception:
            return False

    return rule


def instance(*kinds: type) -> Rule:
    return lambda value: isinstance(value, kinds)


def listing(value) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


def texts_of(value, longest: int = 24) -> bool | None:
    """A str that UTF-8 can hold; a long one may not have room."""
    if not isinstance(value, str):
        return False
    if any("\ud800" <= c <= "\udfff" for c in value):
        return False
    return True if len(value.encode()) <= longest else None


def each(rule: Rule, least: int = 1, most: float = math.inf) -> Rule:
    """A list of so many members, all of which a rule allows; in a longer one at least none may be wrong."""

    def judge(value):
        if not listing(value) or len(value) < least or len(value) > most:
            return False
        said = [rule(member) for member in value]
        return False if False in said else None if None in said else True

    return judge


def rows_of(n_words: int, most: int, longest: int) -> Rule:
    """Lists of token ids; one that fills the context has room only where nothing is generated."""
    ids = each(whole(0, n_words - 1))

    def row(value):
        if ids(value) is not True or len(value) > longest:
            return False
        return True if len(value) < longest - 8 else None

    return each(row, 1, most)


def dialog(value) -> bool | None:
    if not listing(value) or not value:
        return False
    if not all(isinstance(message, dict) and {"role", "content"} <= message.keys() for message in value):
        return False
    contents = [texts_of(message["content"]) for message in value]
    roles = [message["role"] for message in value]
    if False in contents or not all(isinstance(role, str) for role in roles):
        return False
    turns = roles[1:] if roles[0] == "system" else roles
    if len(turns) % 2 == 0 or turns != ["user", "assistant"] * (len(turns) // 2) + ["user"]:
        return False
    return None if None in contents or len(value) > 1 else True


def stop(value) -> bool | None:
    texts = [value] if isinstance(value, str) else value
    if not listing(texts):
        return False
    said = [bool(text) and texts_of(text) is not False if isinstance(text, str) else False for text in texts]
    return all(said)


def seed(value) -> bool | None:
    """None, a whole number, or one for each row."""
    if listing(value):
        return None if all(whole(0)(each) for each in value) else False
    if value is None:
        return True
    allowed = whole(0)(value)
    return None if allowed and int(plain(value)) > LARGEST - 9 else allowed


def path(value) -> bool | None:
    """Whether there is something at a path depends on the disk."""
    if not isinstance(value, str | Path):
        return False
    return False if "\0" in str(value) or not str(value) else None


def ids_of(n_words: int) -> Rule:
    """Any iterable of token ids; what can be read only once is not looked at."""

    def rule(value):
        if isinstance(value, bytes | bytearray | memoryview) or not isinstance(value, Iterable):
            return False
        if isinstance(value, torch.Tensor) and not is_dense(value):
            return False
        if getattr(value, "ndim", 1) == 0:
            return False
        if not isinstance(value, Sequence | Mapping | set | np.ndarray | torch.Tensor):
            return None
        try:
            return all(whole(0, n_words - 1)(each) for each in value)
        except Exception:
            return None

    return rule


def tensor(dims: int | None = None, finite: bool = False) -> Rule:
    """A dense tensor of floating-point numbers that torch computes with."""

    def rule(value):
        if not is_dense(value) or value.dtype not in FLOATS or value.dim() == 0:
            return False
        if (dims is not None and value.dim() != dims) or value.shape[-1] == 0:
            return False
        return None if value.numel() == 0 or (finite and not bool(value.float().isfinite().all())) else True

    return rule


def dense(value) -> bool | None:
    """What else is asked of a tensor depends on the others."""
    return None if is_dense(value) else False


def anything(value) -> None:
    return None
