"""Changes of files, each a short list that JSON can hold: ["flip", at, bit], ["put", [keys …], "1e400"] …

A change is drawn for a file, then applied to its bytes; so a case can be written down, made smaller and repeated.
"""

from __future__ import annotations

import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import NamedTuple

from hypothesis import strategies as st

from minillama.formats.sentencepiece_model import _fields, _varint

Edit = list  # its kind, then what it needs
NUMBERS = {  # what a number of so many bytes is replaced by
    1: (0, 1, 2, 127, 128, 255),
    2: (0, 1, 2, 255, 2**15 - 1, 2**15, 2**16 - 1),
    4: (0, 1, 2, 3, 8, 9, 12, 99, 10**6, 2**31 - 1, 2**31, 2**32 - 1),
    8: (0, 1, 2, 3, 33, 10**6, 2**31, 2**32, 2**40, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1),
}
VALUES = (  # what a value of a JSON file is replaced by, as it is written there
    *"0 1 -1 2 3 7 8 -0.0 0.5 1.0 1e-300 5e-324 1e300 1e400 -1e400 NaN Infinity -Infinity".split(),
    *(str(n) for n in (2**20, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30, 10**400)),
    *("9" * 5000, "-" + "9" * 5000),
    *"null true false [] {} [[]] [null] [1,2] [[1],[2]] {\"a\":{}} {\"\":1}".split(),
    *('""', '" "', '"a"', '"1"', '"<s>"', '"</s>"', '"silu"', '"default"', '"linear"', '"llama3"', '"../../x"'),
    *(r'"\ud800"', r'"\u0000"', r'"\u001b[31m\r\n"', '"猫"', '"/etc/passwd"', '"nan"'),
    json.dumps("x" * 3000), '{"content":"<s>"}', '{"content":null}', '{"rope_type":"linear","factor":2}',
    "[" * 40 + "]" * 40, "[" * 3000 + "]" * 3000, '{"a":' * 3000 + "1" + "}" * 3000, "[" + "0," * 2000 + "0]",
)  # fmt: skip


# ---- bytes ---------------------------------------------------------------------------------------------------------


def on_bytes(data: bytes, edit: Edit) -> bytes:
    kind, at, *more = edit
    at = min(at, len(data))
    if kind == "flip" and data:
        at %= len(data)
        return data[:at] + bytes([data[at] ^ 1 << more[0]]) + data[at + 1 :]
    if kind == "set":
        return data[:at] + bytes.fromhex(more[0]) + data[at + len(more[0]) // 2 :]
    if kind == "insert":
        return data[:at] + bytes.fromhex(more[0]) + data[at:]
    if kind == "cut":
        return data[:at]
    if kind == "delete":
        return data[:at] + data[at + more[0] :]
    if kind == "again":  # a piece of the file twice
        return data[: at + more[0]] + data[at:]
    return data


def byte_edits(size: int, places: list[tuple[int, int]] | None = None) -> st.SearchStrategy[Edit]:
    """Changes of `size` bytes; places: where numbers are, and of how many bytes each is."""
    near = [st.integers(0, max(size - 1, 0)), st.integers(0, min(size, 256)), st.integers(max(size - 256, 0), size)]
    at = st.one_of(near)
    some = st.binary(min_size=1, max_size=8).map(bytes.hex)
    kinds = [
        st.tuples(st.just("flip"), at, st.integers(0, 7)),
        st.tuples(st.just("cut"), at),
        st.tuples(st.just("insert"), at, some),
        st.tuples(st.just("set"), at, some),
        st.tuples(st.just("delete"), at, st.integers(1, 64)),
        st.tuples(st.just("again"), at, st.integers(1, 64)),
        st.tuples(st.just("set"), at, st.sampled_from([0, 4, 255]).map(lambda byte: bytes([byte] * 8).hex())),
    ]
    if places:
        number = st.sampled_from(places).flatmap(
            lambda place: st.tuples(
                st.just("set"),
                st.just(place[0]),
                st.sampled_from(NUMBERS[place[1]]).map(lambda n: n.to_bytes(place[1], "little").hex()),
            )
        )
        kinds = [*kinds, *[number] * len(kinds)]
    return st.one_of(kinds).map(list)


def zip_places(data: bytes) -> list[tuple[int, int]]:
    """The numbers in the headers of a zip: each record's own, those in the list at the end, those of the end."""
    local = [(4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)]
    listed = [(6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (42, 4)]
    end = [(8, 2), (10, 2), (12, 4), (16, 4), (20, 2)]
    found = []
    for mark, offsets in ((b"PK\3\4", local), (b"PK\1\2", listed), (b"PK\5\6", end), (b"PK\6\6", [(4, 8), (40, 8)])):
        start = data.find(mark)
        while start >= 0:
            found += [(start + offset, size) for offset, size in offsets]
            start = data.find(mark, start + 1)
    return found


class GGUFHeader(NamedTuple):
    places: list[tuple[int, int]]  # of all numbers: counts, lengths, types, values, shapes, offsets
    n_keys: int
    entries: list[list[bytes]]  # the keys, then the tensors: the name and what follows it
    end: int


def gguf_header(data: bytes) -> GGUFHeader:
    """Raises ValueError or LookupError for a header that is broken."""
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    found, at = [], 4

    def take(size: int) -> int:
        nonlocal at
        if at + size > len(data):
            raise ValueError("the header ends after the file")
        found.append((at, size))
        at += size
        return int.from_bytes(data[at - size : at], "little")

    def text() -> bytes:
        nonlocal at
        size = take(8)
        at += size
        return data[at - size : at]

    def value() -> None:
        if (kind := take(4)) == 8:
            text()
        elif kind == 9:
            inner, count = take(4), take(8)
            for _ in range(count):
                text() if inner == 8 else take(sizes[inner])
        else:
            take(sizes[kind])

    def tensor() -> None:
        for size in (*[8] * min(take(4), 9), 4, 8):
            take(size)

    take(4)
    n_tensors, n_keys = take(8), take(8)
    if n_tensors + n_keys > 1000:
        raise ValueError("too many entries")
    entries = []
    for read in [value] * n_keys + [tensor] * n_tensors:
        name, start = text(), at
        read()
        entries.append([name, data[start:at]])
    return GGUFHeader(found, n_keys, entries, at)


def gguf_text(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


GGUF_VALUES = [  # of the metadata: a type, then the value
    *(struct.pack("<II", 4, n) for n in (0, 1, 2, 3, 8, 10**6, 2**31, 2**32 - 1)),
    *(struct.pack("<Ii", 5, n) for n in (-1, -5)),
    *(struct.pack("<IQ", 10, n) for n in (0, 2**40, 2**63, 2**64 - 1)),
    *(struct.pack("<If", 6, x) for x in (0.0, -1.0, 1.5, float("nan"), float("inf"), 1e-40, 3e38)),
    *(struct.pack("<Id", 12, x) for x in (1e300, 5e-324)),
    *(struct.pack("<I?", 7, x) for x in (True, False)),
    *(struct.pack("<I", 8) + gguf_text(x) for x in (b"", b"llama", b"\xff\xfe", b"a\n\x1b[31m", b"x" * 3000)),
    *(struct.pack("<IIQ", 9, 4, n) + bytes(4 * n) for n in (0, 1, 3)),
    *(struct.pack("<IIQ", 9, 6, n) + bytes(4 * n) for n in (1, 286)),
    *(struct.pack("<IIQ", 9, 8, len(x)) + b"".join(map(gguf_text, x)) for x in ([], [b"a"], [b"\xff"], [b"a b"] * 3)),
]


def on_gguf(data: bytes, edit: Edit) -> bytes:
    """Change an entry of the header, which is written anew: all lengths and offsets are right."""
    kind, k, *more = edit
    try:
        _, n_keys, entries, end = gguf_header(data)
        name, rest = entries[k]
    except (LookupError, ValueError):  # an earlier edit has broken it
        return data
    new = {
        "entry": [[name, bytes.fromhex(more[0])] if more else [name, rest]],
        "leave out entry": [],
        "entry twice": [[name, rest]] * 2,
        "rename entry": [[bytes.fromhex(more[0]) if more else name, rest]],
    }[kind]
    entries[k : k + 1] = new
    n_keys += len(new) - 1 if k < n_keys else 0
    packed = data[:8] + struct.pack("<QQ", len(entries) - n_keys, n_keys)
    packed += b"".join(gguf_text(name) + rest for name, rest in entries)
    return packed + bytes(-len(packed) % 32) + data[end + -end % 32 :]


def gguf_edits(data: bytes) -> st.SearchStrategy[Edit]:
    header = gguf_header(data)
    keys, all_of = st.integers(0, header.n_keys - 1), st.integers(0, len(header.entries) - 1)
    names = st.sampled_from([*(name for name, _ in header.entries), b"", b"x", b"\xff", b"a\n", b"x" * 2000])
    put = st.tuples(st.just("entry"), keys, st.sampled_from(GGUF_VALUES).map(bytes.hex))
    others = [
        st.tuples(st.sampled_from(["leave out entry", "entry twice"]), all_of),
        st.tuples(st.just("rename entry"), all_of, names.map(bytes.hex)),
    ]
    return st.one_of(put, put, *others).map(list)


# ---- JSON ----------------------------------------------------------------------------------------------------------


class Table(list):
    """The pairs of a JSON table; a key may be there twice."""


class Written(str):
    """A value as it is written in the file."""


def tree_of(text: bytes):
    return json.loads(text, object_pairs_hook=lambda pairs: Table([list(pair) for pair in pairs]))


def text_of(tree) -> str:
    if isinstance(tree, Written):
        return str(tree)
    if isinstance(tree, Table):
        return "{" + ",".join(f"{json.dumps(key)}:{text_of(value)}" for key, value in tree) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(map(text_of, tree)) + "]"
    return json.dumps(tree)


def on_tree(tree, edit: Edit) -> None:
    """Change a tree in place: edit is a kind, the way to a member (its place at each level), and what it needs."""
    kind, way, *more = edit
    parent, last = tree, way[-1]
    for k in way[:-1]:
        parent = parent[k][1] if isinstance(parent, Table) else parent[k]
    is_table = isinstance(parent, Table)
    if kind == "drop":
        del parent[last]
    elif kind == "rename" and is_table:
        parent[last][0] = more[0]
    elif kind == "twice":
        parent.append([parent[last][0], Written(more[0])] if is_table else parent[last])
    elif kind == "put" and is_table:
        parent[last][1] = Written(more[0])
    elif kind == "put":
        parent[last] = Written(more[0])


def on_json(data: bytes, edit: Edit) -> bytes:
    try:
        tree = tree_of(data)
        on_tree(tree, edit)
    except (ValueError, LookupError, TypeError, RecursionError):  # an earlier edit has taken it away
        return data
    return text_of(tree).encode(errors="surrogatepass")


@st.composite
def json_edits(draw, tree) -> Edit:
    """A change of one member of a JSON tree."""
    way, here = [], tree
    while isinstance(here, list) and here:
        way.append(draw(st.integers(0, len(here) - 1)))
        here = here[way[-1]][1] if isinstance(here, Table) else here[way[-1]]
        if draw(st.integers(0, 3)) == 0:
            break
    numbers = st.one_of(st.integers(), st.floats()).map(json.dumps)
    value = st.one_of(st.sampled_from(VALUES), st.sampled_from(VALUES), numbers, st.text(max_size=8).map(json.dumps))
    kind = draw(st.sampled_from(["put", "put", "put", "drop", "rename", "twice"]))
    more = {"put": value, "twice": value, "rename": st.sampled_from(["", "x", "dim", "rope_scaling", "a" * 500])}
    return [kind, way, *([draw(more[kind])] if kind in more else [])]


# ---- records of a zip, tensors of a safetensors file, fields of a tokenizer.model ----------------------------------


def records_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return {record.filename: archive.read(record) for record in archive.infolist()}


def on_zip(data: bytes, edit: Edit) -> bytes:
    """Write a zip anew, its checksums right: with one record changed, left out, there twice, added, or compressed."""
    kind, name, *more = edit
    try:
        records = list(records_of(data).items())
    except Exception:  # an earlier edit has broken it
        return data
    new = []
    for each, content in records:
        if each != name:
            new.append((each, content))
        elif kind == "record":
            new.append((each, on_bytes(content, more[0])))
        elif kind == "rename record":
            new.append((more[0], content))
    new += [(name, bytes.fromhex(more[0]))] if kind == "add record" else []
    buffer = BytesIO()
    how = zipfile.ZIP_DEFLATED if kind == "compress" else zipfile.ZIP_STORED
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", how) as archive:
        warnings.simplefilter("ignore")  # two records of one name are meant
        for each, content in records if kind == "compress" else new:
            archive.writestr(each or "x", content)
    return buffer.getvalue()


def zip_edits(data: bytes) -> st.SearchStrategy[Edit]:
    records = records_of(data)
    pickled = next(name for name in records if name.endswith("data.pkl"))
    inside = st.sampled_from([pickled] * 3 + list(records)).flatmap(
        lambda name: st.tuples(st.just("record"), st.just(name), byte_edits(len(records[name])))
    )
    names = st.sampled_from(list(records))
    others = [
        st.tuples(st.just("leave out"), names),
        st.tuples(st.just("rename record"), names, st.sampled_from(["../../x", "data.pkl", "a/data/0", "x" * 300])),
        st.tuples(st.just("add record"), st.sampled_from(["x", "a/data.pkl", "../../x", *records]), st.just("00" * 9)),
        st.tuples(st.just("compress"), st.just("")),
    ]
    return st.one_of(inside, inside, inside, st.one_of(others)).map(list)


def on_header(data: bytes, edit: Edit) -> bytes:
    """Change the JSON header of a safetensors file and write its length anew."""
    length = int.from_bytes(data[:8], "little")
    header = on_json(data[8 : 8 + length].rstrip(b" "), edit[1])
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def on_protobuf(data: bytes, edit: Edit) -> bytes:
    """Change one field of a tokenizer.model: its bytes, or a member of the message in it; lengths stay right."""
    kind, k, *more = edit
    try:
        fields = list(_fields(data))
        number, value, whole = fields[k]
    except (LookupError, TypeError):
        return data
    if kind == "leave out field":
        new = b""
    elif kind == "field twice":
        new = whole * 2
    elif isinstance(value, bytes):
        inner = on_protobuf(value, more[0]) if more[0][0] in PROTOBUF else on_bytes(value, more[0])
        new = _varint(number << 3 | 2) + _varint(len(inner)) + inner
    else:
        new = on_bytes(whole, more[0])
    return b"".join(new if n == k else each[2] for n, each in enumerate(fields))


UNKNOWN_FIELDS = [  # numbers, bytes, a group with nothing in it
    (_varint(99 << 3) + _varint(2**63)).hex(),
    (_varint(99 << 3 | 2) + _varint(3) + b"abc").hex(),
    (_varint(99 << 3 | 3) + _varint(99 << 3 | 4)).hex(),
]


def protobuf_edits(data: bytes) -> st.SearchStrategy[Edit]:
    last = len(list(_fields(data))) - 1
    at = st.one_of(st.integers(0, last), st.integers(max(0, last - 1), last))  # the settings are the last two
    inner = st.one_of(
        st.tuples(st.just("field"), st.integers(0, 9), byte_edits(8)),
        st.tuples(st.just("leave out field"), st.integers(0, 9)),
        byte_edits(16),
    ).map(list)
    return st.one_of(
        st.tuples(st.just("field"), at, inner),
        st.tuples(st.just("field"), at, inner),
        st.tuples(st.just("leave out field"), at),
        st.tuples(st.just("field twice"), at),
        st.tuples(st.just("insert"), st.just(len(data)), st.sampled_from(UNKNOWN_FIELDS)),
    ).map(list)


# ---- a file ----------------------------------------------------------------------------------------------------------

PROTOBUF = ("field", "leave out field", "field twice")
APPLY: dict[str, Callable[[bytes, Edit], bytes]] = {
    **dict.fromkeys(("flip", "set", "insert", "cut", "delete", "again"), on_bytes),
    **dict.fromkeys(("put", "drop", "rename", "twice"), on_json),
    **dict.fromkeys(("record", "leave out", "rename record", "add record", "compress"), on_zip),
    **dict.fromkeys(PROTOBUF, on_protobuf),
    **dict.fromkeys(("entry", "leave out entry", "entry twice", "rename entry"), on_gguf),
    "header": on_header,
}


def changed(data: bytes, edits: list[Edit]) -> bytes:
    """The bytes of a file after all of the edits."""
    for edit in edits:
        data = APPLY[edit[0]](data, edit)
    return data


@cache
def edits_of(name: str, data: bytes) -> st.SearchStrategy[list[Edit]]:
    """One to three changes, most often one, that suit a file with this name and content."""
    anywhere = byte_edits(len(data))
    if name.endswith(".json"):
        tree = tree_of(data)
        each = st.one_of(*[json_edits(tree)] * 6, anywhere)
    elif name.endswith(".gguf"):
        each = st.one_of(byte_edits(len(data), gguf_header(data).places), gguf_edits(data))
    elif name.endswith(".safetensors"):
        header = tree_of(data[8 : 8 + int.from_bytes(data[:8], "little")])
        inside = st.tuples(st.just("header"), json_edits(header)).map(list)
        each = st.one_of(*[inside] * 3, byte_edits(len(data), [(0, 8)]))
    elif name.endswith(".pth") and data[:2] == b"PK":
        each = st.one_of(*[zip_edits(data)] * 3, byte_edits(len(data), zip_places(data)))
    elif name.endswith(".model"):
        each = st.one_of(*[protobuf_edits(data)] * 2, anywhere)
    else:
        each = anywhere
    return st.one_of(st.lists(each, min_size=1, max_size=1), st.lists(each, min_size=1, max_size=3))
