"""Right answers to the exercises on tokens."""

import codecs
import re


def bytes_by_pattern(piece):
    if re.fullmatch(r"</?s>", piece):
        return b""
    if found := re.fullmatch("<0x([0-9A-F]{2})>", piece):
        return bytes.fromhex(found[1])
    return piece.replace("\u2581", "\u0020").encode("utf-8")


def bytes_in_a_loop(piece):
    if piece == "<s>" or piece == "</s>":
        return b""
    if len(piece) == 6 and piece[:3] == "<0x" and piece[-1] == ">":
        return int(piece[1:-1], base=16).to_bytes(1, "big")
    text = ""
    for letter in piece:
        text += " " if letter == "▁" else letter
    return bytes(text, "utf-8")


def bytes_by_table(piece):
    table = {"<s>": b"", "</s>": b""} | {f"<0x{value:02X}>": bytes((value,)) for value in range(256)}
    return table.get(piece, b" ".join(part.encode() for part in piece.split("▁")))


def text_by_decoder(chunks):
    decoder = codecs.getincrementaldecoder("utf-8")()
    return [decoder.decode(chunk) for chunk in chunks]


def text_by_what_is_new(chunks):
    parts, shown = [], ""
    for k in range(len(chunks)):
        text = b"".join(chunks[: k + 1]).decode(errors="ignore")
        parts.append(text[len(shown) :])
        shown = text
    return parts


def text_by_first_byte(chunks):
    parts, held = [], bytearray()
    for chunk in chunks:
        held.extend(chunk)
        first = held[0] if held else 0
        size = 4 if first >= 0xF0 else 3 if first >= 0xE0 else 2 if first >= 0xC0 else 1
        if len(held) >= size:
            parts += [bytes(held).decode()]
            held.clear()
        else:
            parts += [""]
    return parts


def text_by_replacement(chunks):
    parts, held = [], b""
    for chunk in chunks:
        text = (held + chunk).decode("utf-8", "replace")
        if text.endswith("\ufffd"):
            held, text = held + chunk, ""
        else:
            held = b""
        parts.append(text)
    return parts


RIGHT = {
    "token_bytes": [bytes_by_pattern, bytes_in_a_loop, bytes_by_table],
    "stream_text": [text_by_decoder, text_by_what_is_new, text_by_first_byte, text_by_replacement],
}

EQUIVALENT = {}
