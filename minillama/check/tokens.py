"""Checks of the exercises on tokens."""

from minillama.check.exercise import exercise, swap, swaps


def right_token_bytes(piece):
    """f(piece): the bytes that a token of this name adds to a text."""
    if piece in ("<s>", "</s>"):
        return b""
    if piece.startswith("<0x"):
        return bytes([int(piece[3:5], 16)])
    return piece.replace("▁", " ").encode()


def each(*pieces):
    return lambda f: {piece: f(piece) for piece in pieces}


_IF, _BYTE, _NUMBER = 'piece in ("<s>", "</s>")', "bytes([int(piece[3:5], 16)])", "int(piece[3:5], 16)"

token_bytes = exercise(
    right_token_bytes,
    cases={
        "a word without a space: 'ing'": ("ing",),
        "UTF-8: two, three and four bytes a character": each("é", "喜欢", "🦙"),
        "▁ is a space, and _ is none": each("▁the", "▁", "▁▁", "▁小", "a▁b", "x▁", "_", "_▁_"),
        "a byte: '<0x41>'": ("<0x41>",),
        "every byte": each(*(f"<0x{value:02X}>" for value in range(256))),
        "bos and eos add nothing": each("<s>", "</s>"),
        "pieces that only look special": each("<", "<s", "s>", "<0", "0x", "x", "S>", "<<", "▁<", "</", "<>", "E6"),
    },
    mistakes={
        "That is text. Use encode() to get bytes.": [swap(".encode()", ""), lambda piece: piece],
        "▁ is a space: piece.replace('▁', ' '). It is not the underscore on your keyboard.":
            [swap('.replace("▁", " ")', ""), lambda piece: piece.encode(), swap("▁", "_")],
        "The space is part of the token. It was lost.":
            [swap('"▁", " "', '"▁", ""'), swap(".enc", ".strip().enc"), swap('replace("▁", " ")', 'lstrip("▁")')],
        "▁ is a space wherever it is, and as often as it comes.": [swap('" ")', '" ", 1)'),
            swap('piece.replace("▁", " ")', '(" " + piece[1:] if piece[0] == "▁" else piece)')],
        "Use UTF-8: encode().": [swap("de()", f"de({x})") for x in ("'utf-16'", "'latin-1'", "'ascii', 'ignore'")],
        "That is the name of a byte. The byte is the number in it: bytes([int(piece[3:5], 16)]).":
            swaps(_BYTE, "piece.encode()", "piece[3:5].encode()", r"(r'\x' + piece[3:5]).encode()"),
        "chr(n).encode() is two bytes above 127: bytes([n]) is one.": swap(_BYTE, f"chr({_NUMBER}).encode()"),
        "bytes(n) is n zero bytes. bytes([n]) is the one byte.": swap(_BYTE, f"bytes({_NUMBER})"),
        "That is a number. bytes([n]) turns it into a byte.": [swap(_BYTE, _NUMBER), swap(_BYTE, f"[{_NUMBER}]")],
        "A byte token adds its byte. Only bos and eos add nothing.": swap(_BYTE, 'b""'),
        "The digits are hexadecimal: int(piece[3:5], 16).": swap(", 16", ""),
        "The two digits are piece[3:5].": [swap("[3:5]", x) for x in ("[3:]", "[2:4]", "[3:4]", "[3:6]", "[4:6]")],
        "<s> and </s> both add nothing: b''.": [swap(_IF, x) for x in ('piece == "<s>"', 'piece == "</s>"', "0")],
        "For bos and eos return b'': not a string, not None, not a space.": swaps('b""', '""', "None", "b' '"),
        "Only <s> and </s> add nothing. This piece is text.":
            [swap(_IF, x) for x in ('piece[:2] == "<s"', 'piece in "<s></s>"', 'piece[0] == "<" and "x" not in piece')],
        "The name of a byte begins with <0x. This piece is text.": [swap('"<0x"', x) for x in ('"<"', '"<0"')],
    },
)  # fmt: skip


def right_stream_text(chunks):
    """f(chunks): for each token's bytes the text that can be shown, "" while a character is unfinished."""
    shown, held = [], b""
    for chunk in chunks:
        held += chunk
        try:
            shown.append(held.decode())
            held = b""
        except UnicodeDecodeError:
            shown.append("")
    return shown


_END, _CLEAR, _REST = "return shown", '            held = b""', "held.decode(errors='replace')"

stream_text = exercise(
    right_stream_text,
    cases={
        "words, and broken characters": ([b"Once", b"\xf0", b"\x9f", b"\xa6", b"\x99", b" and", b" ", b"!", b"\n"],),
        "two, three and four bytes a character": ([bytes([value]) for value in "é饕餮龘🦙é".encode()],),
        "two bytes, and none": ([b"", b"\xf0\x9f", b"", b"\xa6\x99", "喜欢".encode(), b"\xe5", b"\xb0\x8f"],),
        "no tokens": ([],),
        "the last character stays unfinished": ([b"Hi", b" ", b"\xe9", b"\xbe"],),
    },
    mistakes={
        "Each chunk was decoded alone. Keep the bytes of an unfinished character for the next one.":
            [swap("held.decode()", "chunk.decode(errors='replace')"), lambda chunks: [c.decode() for c in chunks]],
        "Bytes were lost. Keep those of an unfinished character: held += chunk.":
            [swap("held += chunk", "held = chunk"), *swaps('d("")', 'd(""); held = b""', 'd(""); held = chunk')],
        'Return one part for each chunk, "" where there is nothing to show.':
            [swap('shown.append("")', "pass"), swap("held +=", "if not chunk: continue\n        held +="),
             swap(_END, 'return ["".join(shown)]'), swap(_END, f"    {_END}")],
        "Text is shown too late. Show each character at its last byte.":
            [swap(_END, 'return [""] * (len(shown) - 1) + ["".join(shown)]'), swap(_END, 'return ["", *shown][:-1]')],
        "Text is shown again. Empty the held bytes once they are shown.":
            [swap(_CLEAR, "", "held.decode()", "held.decode(errors='ignore')"), swap(_CLEAR, f"{_CLEAR[:-3]}chunk"),
             swap(_CLEAR, ""), swap('d("")', "d(shown[-1] if shown else '')")],
        "A space is part of the text: keep it.": swap("decode()", "decode().strip()"),
        "Return a list, one part for each chunk, not one string.": swap(_END, 'return "".join(shown)'),
        "Use decode() to get text.": [list, swap("held.decode()", "held"), swap("held.decode()", "str(held)")],
        'An unfinished character is shown as "".': [swap('d("")', f"d({x})") for x in ("None", "'?'", "'\\ufffd'")],
        "Drop an unfinished character at the end.":
            [swap(_END, f"if held: shown{x}\n    {_END}") for x in (f".append({_REST})", f"[-1] = {_REST}")],
        "A character has one to four bytes. Let decode() say when it is whole.":
            [swap("held.decode()", f"(held if len(held) != {n} else b'\\xff').decode()") for n in (1, 2, 3)],
        "Bytes are UTF-8, not one character each: held.decode().": swap("decode()", 'decode("latin-1")'),
    },
)  # fmt: skip
