"""What a .pth file claims, looked at before torch reads it: nothing is unpickled here, and no weight is read.

torch.save writes a zip archive: data.pkl, a pickle that describes the tensors, and a record of bytes for each of their
storages. torch maps these bytes into memory where a record begins, and believes the pickle about its length; so each
record is compared with what the pickle claims for it. Files from before 2020 are five pickles and then all the bytes.

Opcodes of pickles: https://docs.python.org/3/library/pickletools.html
"""

from __future__ import annotations

import os
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

ZIP, OLD = b"PK\3\4", b"\x80\2\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how the two kinds begin
MOST_STEPS = 250_000  # of a pickle; a model of 700 tensors takes 25 000
LARGEST_PICKLE = 16 * 2**20  # bytes
LARGEST_LIST = 4 * 2**20  # bytes; the list of a zip's records
TENSORS = {"collections OrderedDict", "torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2",
           "torch._utils _rebuild_parameter"}  # fmt: skip
ITEMSIZES = {"Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1,
             "Bool": 1, "ComplexFloat": 8, "ComplexDouble": 16}  # fmt: skip
STORAGES = {f"torch {name}Storage": size for name, size in ITEMSIZES.items()}
AGAIN = "copy it again"


def check(path: Path) -> bool:
    """Whether the file is a zip, whose records can be mapped into memory; else it is of the old kind.

    Raises ValueError, without the file's name, if it is neither, is damaged, or holds more than dense tensors.
    """
    with open(path, "rb") as file:
        begin = file.read(len(OLD))
        if begin.startswith(ZIP):
            _check_zip(file)
        elif begin == OLD:
            _check_old(file)
        else:
            raise ValueError(f"is broken or cut off: torch.save writes no file that begins {begin[:4]!r}; {AGAIN}")
        return begin.startswith(ZIP)


def check_sums(path: Path) -> None:
    """Read the file and compare each record with its checksum. Raises ValueError, without the file's name."""
    with open(path, "rb") as file:
        if file.read(len(ZIP)) != ZIP:
            return  # a file of the old kind has none
        for record in _records(file).values():
            if record.CRC and record.CRC != _sum(file, record):  # 0: written without, by set_crc32_options(False)
                raise ValueError(f"is damaged: its record {record.filename} does not have its checksum; {AGAIN}")


def _check_zip(file: BinaryIO) -> None:
    records = _records(file)
    name = next(iter(records), "").split("/")[0] + "/data.pkl"  # torch, too, goes by the first record's folder
    if name not in records or records[name].file_size > LARGEST_PICKLE:
        raise ValueError(f"has no data.pkl of at most {LARGEST_PICKLE} bytes, so torch.save did not write it")
    file.seek(_begin(file, records[name]))
    for key, n_bytes in _claims(BytesIO(file.read(records[name].file_size))).items():
        record = records.get(f"{name.removesuffix('data.pkl')}data/{key}")
        if record is None or record.file_size != n_bytes:
            held = "is missing" if record is None else f"has {record.file_size} bytes"
            raise ValueError(f"is damaged: the record data/{key} {held}, its tensors claim {n_bytes}; {AGAIN}")


def _check_old(file: BinaryIO) -> None:
    file.seek(0)
    pickles = _Beginning(file)
    for _ in range(3):  # a mark, a version, the sizes of C's types
        _claims(pickles)
    claims = _claims(pickles)
    _claims(pickles)  # the storages' names, in the order of their bytes; before the bytes of each are 8 with its length
    expected, held = sum(claims.values()) + 8 * len(claims), os.fstat(file.fileno()).st_size - file.tell()
    if expected != held:
        raise ValueError(f"is damaged: its tensors claim {expected} bytes, it has {held}; {AGAIN}")


class _Beginning:
    """A file that seems to end after LARGEST_PICKLE bytes: a pickle may claim a text of a gigabyte."""

    def __init__(self, file: BinaryIO):
        self._file, self.tell = file, file.tell

    def read(self, n: int) -> bytes:
        return self._file.read(max(min(n, LARGEST_PICKLE - self.tell()), 0))

    def readline(self) -> bytes:
        return self._file.readline(max(LARGEST_PICKLE - self.tell(), 0))


def _records(file: BinaryIO) -> dict[str, zipfile.ZipInfo]:
    """The records of a zip by name, each stored as it is and inside the file."""
    size = os.fstat(file.fileno()).st_size
    try:
        if (n := _length_of_list(file, size)) > LARGEST_LIST:
            raise ValueError(f"is broken: its list of records has {n} bytes, at most {LARGEST_LIST} are read")
        found = zipfile.ZipFile(file).infolist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, UnicodeDecodeError, struct.error) as error:
        raise ValueError(f"is broken or cut off ({error}); {AGAIN}") from error
    records = {record.filename: record for record in found}
    if len(records) < len(found):
        raise ValueError("is broken: two of its records have one name")
    for record in found:
        is_stored = record.compress_type == zipfile.ZIP_STORED and not record.flag_bits & 1
        if not is_stored or record.compress_size != record.file_size:
            raise ValueError(f"has the record {record.filename} compressed or encrypted, as torch.save never does")
        if _begin(file, record) + record.file_size > size:
            raise ValueError(f"is broken or cut off: the record {record.filename} ends after the file; {AGAIN}")
    return records


def _length_of_list(file: BinaryIO, size: int) -> int:
    """The length that a zip's last 22 bytes claim, or, of a large one, those before them."""
    file.seek(max(size - 98, 0))
    end = file.read(98)
    if end[-22:-18] != b"PK\5\6":
        raise ValueError(f"is broken or cut off: it does not end as a zip does; {AGAIN}")
    n = struct.unpack_from("<I", end, len(end) - 10)[0]
    return struct.unpack_from("<Q", end, 40)[0] if n == 2**32 - 1 and len(end) == 98 else n


def _begin(file: BinaryIO, record: zipfile.ZipInfo) -> int:
    """Where the record's bytes begin: after a header of its own, which says how long its two texts are."""
    file.seek(max(record.header_offset, 0))  # below 0 where bytes are missing further up
    header = file.read(30)
    if record.header_offset < 0 or header[:4] != ZIP or len(header) < 30:
        raise ValueError(f"is broken: the record {record.filename} is not where it should be; {AGAIN}")
    return record.header_offset + 30 + sum(struct.unpack("<HH", header[26:]))


def _sum(file: BinaryIO, record: zipfile.ZipInfo) -> int:
    file.seek(_begin(file, record))
    found, left = 0, record.file_size
    while left and (part := file.read(min(left, 2**20))):
        found, left = zlib.crc32(part, found), left - len(part)
    return found


def _claims(file: BinaryIO | _Beginning) -> dict[str, int]:
    """The bytes of each storage that the tensors in a pickle stand on, by the storage's name.

    The pickle is followed as far as this needs: constants, tuples, and what is kept to be used again. Raises ValueError
    for anything in it that makes no tensor.
    """
    claims: dict[str, int] = {}
    stack: list[Any] = []  # holds more than the true one: what is taken from it counts nowhere but in a tuple
    marks: list[int] = []  # where tuples begin
    kept: dict[int, Any] = {}
    for opcode, value in _steps(file):
        if opcode.name in ("BINPUT", "LONG_BINPUT"):
            kept[value] = stack[-1] if stack else None
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            stack.append(kept.get(value))
        elif opcode.name == "MARK":
            marks.append(len(stack))
        elif opcode.name == "TUPLE" and marks:
            begin = marks.pop()
            stack[begin:] = [tuple(stack[begin:])]
        elif opcode.name == "BINPERSID":
            key, n_bytes = _storage(stack[-1] if stack else None)
            if claims.setdefault(key, n_bytes) != n_bytes:
                raise ValueError(f"is damaged: its tensors disagree on the length of data/{key}; {AGAIN}")
            stack.append(None)
        elif opcode.name == "GLOBAL" and value not in TENSORS and value not in STORAGES:
            if value.startswith("torch"):
                raise ValueError(f"holds {value.split()[-1]!r}; expected plain dense tensors of numbers alone")
            raise ValueError(f"holds more than tensors and was refused unread: it names {value.replace(' ', '.')}")
        elif opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "PERSID"):
            raise ValueError(f"holds more than tensors and was refused unread: its pickle has {opcode.name}")
        else:
            if pickletools.markobject in opcode.stack_before and marks:
                del stack[marks.pop() :]
            stack += [None if opcode.stack_before else value] * len(opcode.stack_after)
    return claims


def _steps(file: BinaryIO | _Beginning) -> Iterator[tuple[pickletools.OpcodeInfo, Any]]:
    """The opcodes of one pickle, each with its value."""
    steps = pickletools.genops(file)
    for _ in range(MOST_STEPS):
        try:
            opcode, value, _position = next(steps)
        except StopIteration:
            return
        except (ValueError, struct.error) as error:
            raise ValueError(f"is broken or cut off ({error}); {AGAIN}") from error
        yield opcode, value
    raise ValueError(f"is broken: its pickle has more than {MOST_STEPS} steps")


def _storage(named: Any) -> tuple[str, int]:
    """The name and the bytes of a storage that a pickle names."""
    if isinstance(named, tuple) and len(named) in (5, 6):
        mark, kind, key, _, numel = named[:5]
        is_whole = isinstance(numel, int) and numel >= 0
        if mark == "storage" and isinstance(kind, str) and kind in STORAGES and isinstance(key, str) and is_whole:
            return key, numel * STORAGES[kind]
    raise ValueError(f"is broken: it names a storage by {str(named)[:80]}; {AGAIN}")
