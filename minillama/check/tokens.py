"""Checks of the exercises on tokens."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

from minillama.check.former import Wrong, call, judge
from minillama.check.report import Report

TEXT = ["▁Once", "▁upon", "a", "ing", "喜欢", "▁小", "é"]
SPACES = ["▁", "▁▁", "▁the"]
BYTES = ["<0x0A>", "<0xE6>", "<0xFF>", "<0x00>", "<0x5F>"]
CONTROLS = ["<s>", "</s>"]


def token_bytes(function: Callable[[str], bytes]) -> Report:
    """Judge f(piece): the bytes that a token of this name adds to a text."""

    def case(*pieces: str) -> Callable[[Callable], None]:
        def run(f: Callable) -> None:
            for piece in pieces:
                _expect_bytes(piece, call(f, piece))

        return run

    return judge(
        function,
        [
            ("a word without a space: 'ing'", case("ing")),
            ("Chinese: three bytes a character in UTF-8", case("喜欢", "é")),
            ("▁ is a space", case(*SPACES, *TEXT)),
            ("a byte: '<0xE6>'", case(*BYTES)),
            ("every byte", case(*(f"<0x{value:02X}>" for value in range(256)))),
            ("bos and eos add nothing", case(*CONTROLS)),
            ("pieces that only look special", case("<", "<s", "s>", "<0", "0x", "x", "S>", "<<", "▁<")),
        ],
    )


def _expect_bytes(piece: str, got) -> None:
    due = _bytes_of(piece)
    if isinstance(got, str):
        raise Wrong(f"For {piece!r} bytes are due, your function returned a str. text.encode() makes bytes of it.")
    if isinstance(got, int | list) and piece.startswith("<0x"):
        raise Wrong(
            f"For {piece!r} bytes are due, your function returned {type(got).__name__} {got!r}. bytes([number]) makes "
            "one byte of a number."
        )
    if not isinstance(got, bytes):
        raise Wrong(
            f"For {piece!r} bytes are due, your function returned {type(got).__name__}. Is there a `return` on every "
            "way through it?"
        )
    if got == due:
        return
    value = due[0] if len(due) == 1 else None
    if piece in CONTROLS:
        hint = "It is a control token: it adds nothing to the text, so b'' is due."
    elif piece.startswith("<0x") and got == piece.encode():
        hint = "This is the name of a byte token. Its one byte is the number in the name: int(piece[3:5], 16)."
    elif piece.startswith("<0x") and got == chr(value).encode() and value > 127:
        hint = "chr(number).encode() makes two bytes of a number above 127. bytes([number]) makes the one byte."
    elif piece.startswith("<0x") and got == bytes(value):
        hint = f"bytes({value}) is {value} zero bytes. With a list, bytes([{value}]), it is the one byte."
    elif piece.startswith("<0x") and not got:
        hint = "A byte token adds its byte. Only bos and eos add nothing."
    elif got == piece.encode() and "▁" in piece:
        hint = "The sign ▁ stands for a space. Replace it: piece.replace('▁', ' ')."
    elif got == due.strip() or got == due.replace(b" ", b""):
        hint = "The space is part of the token: replace ▁ by a space, do not drop it."
    elif not got:
        hint = "Only bos and eos, '<s>' and '</s>', add nothing. This piece is text."
    else:
        hint = "Look at the four kinds again: text, ▁, a byte, a control token."
    raise Wrong(f"{piece!r}: due {due!r}, yours {_short(got)}\n{hint}")


def stream_text(function: Callable[[list[bytes]], list[str]]) -> Report:
    """Judge f(chunks): for each token's bytes the text that can be shown, "" while a character is unfinished."""

    def case(text: str, *whole: str) -> Callable[[Callable], None]:
        return lambda f: _expect_stream(f, _chunks(text, whole))

    return judge(
        function,
        [
            ("whole words", case("Once upon a", "Once", " upon", " a")),
            ("an emoji of four bytes", case("🦙")),
            ("words and broken characters in turn", case("a 🦙 and 龘!", "a", " and", "!")),
            ("two broken characters, one after the other", case("饕餮")),
            ("two, three and four bytes a character", case("é龘🦙")),
            ("no tokens", case("")),
            ("the last character stays unfinished", lambda f: _expect_stream(f, [b"Hi", b" ", b"\xe9", b"\xbe"])),
        ],
    )


def _expect_stream(f: Callable, chunks: list[bytes]) -> None:
    got = call(f, chunks)
    if isinstance(got, str):
        raise Wrong("A list is due, one str for each token; your function returned a single str.")
    if not isinstance(got, list):
        raise Wrong(f"A list of str is due, your function returned {type(got).__name__}. Is there a `return`?")
    if odd := [part for part in got if not isinstance(part, str)]:
        raise Wrong(f"Every part must be a str, one is {type(odd[0]).__name__} {_short(odd[0])}.")
    decoder = codecs.getincrementaldecoder("utf-8")()
    due = [decoder.decode(chunk) for chunk in chunks]
    if got == due:
        return
    joined = "".join(got)
    if "\ufffd" in joined:
        hint = "Each chunk was decoded alone. Hold the bytes of an unfinished character back until it is whole."
    elif joined == "".join(due) and len(got) != len(due):
        hint = f"The text is right, but {len(due)} parts are due, one for each token; yours are {len(got)}."
        hint += ' While a character is unfinished, the part is "".'
    elif joined == "".join(due):
        hint = "The text is right, but it comes too late or too early: show a character with its last byte."
    elif joined.replace(" ", "") == "".join(due).replace(" ", ""):
        hint = "A space is lost. Decode the bytes as they are: no strip()."
    elif len(joined) < len("".join(due)):
        hint = "Some characters are lost. Bytes that are not yet a character must be kept for the next round."
    else:
        hint = "Some text comes twice. Empty the bytes that you hold once they have been shown."
    raise Wrong(f"chunks {_short(chunks)}\ndue    {_short(due)}\nyours  {_short(got)}\n{hint}")


def _bytes_of(piece: str) -> bytes:
    if piece in CONTROLS:
        return b""
    if re.fullmatch("<0x[0-9A-F]{2}>", piece):
        return bytes([int(piece[3:5], 16)])
    return piece.replace("▁", " ").encode()


def _chunks(text: str, whole: tuple[str, ...]) -> list[bytes]:
    """text cut into the given whole tokens, and single bytes where there is none."""
    data, chunks, words = text.encode(), [], list(whole)
    while data:
        size = len(words.pop(0).encode()) if words and data.startswith(words[0].encode()) else 1
        chunks.append(data[:size])
        data = data[size:]
    return chunks


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:120] + " …"
