"""The judges of the exercises on tokens: the right answer passes, the answers that learners give are understood."""

import codecs

import pytest

from minillama import check


def right_token_bytes(piece):
    if piece in ("<s>", "</s>"):
        return b""
    if piece.startswith("<0x"):
        return bytes([int(piece[3:5], 16)])
    return piece.replace("▁", " ").encode()


def right_stream_text(chunks):
    shown, held = [], b""
    for chunk in chunks:
        held += chunk
        try:
            shown.append(held.decode())
            held = b""
        except UnicodeDecodeError:
            shown.append("")
    return shown


def instead(kind, wrong):
    """right_token_bytes, but for pieces of one kind."""
    kinds = {
        "control": lambda piece: piece in ("<s>", "</s>"),
        "byte": lambda piece: piece.startswith("<0x"),
        "space": lambda piece: "▁" in piece,
        "any": lambda piece: True,
    }
    return lambda piece: wrong(piece) if kinds[kind](piece) else right_token_bytes(piece)


TOKEN_BYTES_MISTAKES = {
    "a str": (instead("any", lambda piece: piece), "encode()"),
    "the sign kept": (instead("space", str.encode), "stands for a space"),
    "the space dropped": (instead("space", lambda piece: piece.replace("▁", "").encode()), "do not drop it"),
    "the name of a byte": (instead("byte", str.encode), "name of a byte token"),
    "a character of that number": (instead("byte", lambda piece: chr(int(piece[3:5], 16)).encode()), "two bytes"),
    "so many zeros": (instead("byte", lambda piece: bytes(int(piece[3:5], 16))), "zero bytes"),
    "the number": (instead("byte", lambda piece: int(piece[3:5], 16)), "bytes([number])"),
    "nothing for a byte": (instead("byte", lambda piece: b""), "A byte token adds its byte"),
    "the names of bos and eos": (instead("control", str.encode), "control token"),
    "no return for bos and eos": (instead("control", lambda piece: None), "return"),
    "decimal digits": (instead("byte", lambda piece: bytes([int(piece[3:5])])), "ValueError"),
    "all that begins with a bracket": (lambda p: b"" if p in ("<", "<s") else right_token_bytes(p), "This piece is"),
    "latin-1": (instead("any", lambda p: right_token_bytes(p).decode("latin-1").encode()), "four kinds"),
}

STREAM_TEXT_MISTAKES = {
    "each alone": (lambda chunks: [chunk.decode(errors="replace") for chunk in chunks], "decoded alone"),
    "each alone, strictly": (lambda chunks: [chunk.decode() for chunk in chunks], "UnicodeDecodeError"),
    "each alone, errors ignored": (
        lambda chunks: [chunk.decode(errors="ignore") for chunk in chunks],
        "characters are lost",
    ),
    "only what there is": (lambda chunks: [part for part in right_stream_text(chunks) if part], "parts are due"),
    "all at the end": (
        lambda chunks: [""] * (len(chunks) - 1) + ["".join(right_stream_text(chunks))] if chunks else [],
        "too late",
    ),
    "never emptied": (
        lambda chunks: [b"".join(chunks[: k + 1]).decode(errors="ignore") for k in range(len(chunks))],
        "comes twice",
    ),
    "stripped": (lambda chunks: [part.strip() for part in right_stream_text(chunks)], "space is lost"),
    "one str": (lambda chunks: "".join(right_stream_text(chunks)), "single str"),
    "bytes": (lambda chunks: list(chunks), "bytes"),
    "no return": (lambda chunks: None, "return"),
    "empties the list": (lambda chunks: [chunks.pop(0).decode() for _ in list(chunks)], "changed the list"),
}


def with_a_decoder(chunks):
    decoder = codecs.getincrementaldecoder("utf-8")()
    return [decoder.decode(chunk) for chunk in chunks]


def test_right_answers_pass():
    for report in (
        check.token_bytes(right_token_bytes),
        check.stream_text(right_stream_text),
        check.stream_text(with_a_decoder),
    ):
        assert report.status == "passed", str(report)


@pytest.mark.parametrize("name", TOKEN_BYTES_MISTAKES)
def test_token_bytes_understands(name):
    wrong, hint = TOKEN_BYTES_MISTAKES[name]
    report = check.token_bytes(wrong)
    assert report.status == "failed" and hint in report.hint, str(report)


@pytest.mark.parametrize("name", STREAM_TEXT_MISTAKES)
def test_stream_text_understands(name):
    wrong, hint = STREAM_TEXT_MISTAKES[name]
    report = check.stream_text(wrong)
    assert report.status == "failed" and hint in report.hint, str(report)


@pytest.mark.parametrize(
    ("judge", "mistakes"), [(check.token_bytes, TOKEN_BYTES_MISTAKES), (check.stream_text, STREAM_TEXT_MISTAKES)]
)
def test_every_mistake_has_a_hint_of_its_own(judge, mistakes):
    hints = [judge(wrong).hint for wrong, _ in mistakes.values()]
    assert len(set(hints)) == len(hints)


def stub(_):
    raise NotImplementedError


def dots(_):
    return ...


@pytest.mark.parametrize("judge", [check.token_bytes, check.stream_text])
@pytest.mark.parametrize("function", [stub, dots])
def test_a_stub_is_not_attempted(judge, function):
    assert judge(function).status == "not attempted"


def test_the_judges_agree_with_the_tokenizer(tokenizer):
    for i, piece in enumerate(tokenizer.pieces(range(tokenizer.n_words))):
        assert i == 0 or right_token_bytes(piece) == tokenizer.token_bytes(i)


def test_strict_mode_raises(monkeypatch):
    monkeypatch.setenv("MINILLAMA_STRICT", "1")
    for judge in (check.token_bytes, check.stream_text):
        with pytest.raises(AssertionError):
            judge(stub)
