"""What is wrong with a translation, as far as a program can see: structure, typography, terms, English left over.

The terms are in locale/glossary.toml, the typography of a language in locale/<language>/style.toml, and what is allowed
in a cell all the same in locale/<language>/allowed.toml. A fault is a line of text, "kind: what".
"""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from collections.abc import Iterator

from translation.catalogue import LOCALE
from translation.cells import LINK, code_differs, comments, strings

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

CODE = re.compile(r"```.*?```|``.+?``|`[^`]*`|\$\$.+?\$\$|\$[^$\n]+\$", re.S)
SMALL = set("the of to are it its you your that this be was has have on at by what which how do does".split())
LINE = ["ruff", "format", "--quiet", "--stdin-filename", "cell.py", "-"]


@functools.cache
def _toml(*parts: str) -> dict:
    path = LOCALE.joinpath(*parts)
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def glossary() -> list[dict]:
    return _toml("glossary.toml")["term"]


def allowed(language: str) -> dict[str, dict[str, list[str]]]:
    """{notebook: {cell: faults that are none}}"""
    return _toml(language, "allowed.toml")


def fonts(language: str) -> str:
    """Those that have its letters, as a style sheet lists them."""
    return _toml(language, "style.toml")["fonts"]


def formatted(source: str) -> str:
    """A code cell as `make format` leaves it."""
    run = subprocess.run([sys.executable, "-m", *LINE], input=source, capture_output=True, text=True, encoding="utf-8")
    return run.stdout.rstrip("\n") if run.returncode == 0 else source


# ---- what a reader reads


def prose(text: str) -> str:
    """Markdown without code, formulas, and the targets of links; code leaves a ` behind."""
    text = LINK.sub("]", CODE.sub("`", text))
    return re.sub(r"<[^<>]+>|&\w+;|https?://\S+", "", text)


def code_spans(text: str) -> set[str]:
    """What looks like code in Markdown, and not like a word that is quoted."""
    spans = (span.strip("`$") for span in CODE.findall(text))
    return {
        span for span in spans if re.search(r"[_()=\[\]./<>]", span) and not re.search(r"[a-z]{2,} [a-z]{2,}", span)
    }


# ---- faults


def faults(kind: str, english: str, other: str, language: str) -> list[str]:
    """What is wrong with the translation of a cell; kind: "markdown", "code", or "package" for what widgets show."""
    if kind == "markdown":
        checks = (_structure(english, other, language), _typography(prose(other), language), _bold(prose(other)),
                  _terms(english, other, language), _left_over(prose(other), other))  # fmt: skip
        return [fault for each in checks for fault in each]
    if kind == "package":
        return [*_gaps(english, other), *_typography(CODE.sub("`", other), language), *_left_over(prose(other), other)]
    if differs := code_differs(english, other):
        return [f"code: {differs}"]
    if "@real" in english and strings(english) != strings(other):
        return ["code: the strings of a function under @real stay: its record is that of the English ones"]
    said = [text for text in comments(other) if not text.isascii()]
    shown = [text for text in strings(other) if not text.isascii()]
    found = [*_typography("\n".join(said), language), *_typography("\n".join(shown), language, spaces=False)]
    found += [f"english: {text}" for text in comments(other) if _is_english(text)]
    shared = set(strings(english)) & set(strings(other))
    found += [f"english: {text}" for text in sorted(shared) if _is_english(re.sub(r"[{}]", " ", text))]
    if formatted(other) != other:
        found.append("format: ruff format would change it")
    if wide := [line for line in other.splitlines() if sum(1 + (ord(c) > 0x2E7F) for c in line) > 120]:
        found.append(f"format: wider than 120 columns: {wide[0].strip()}")
    return found


def _structure(english: str, other: str, language: str) -> Iterator[str]:
    counted = {"headings": r"^#+ ", "items": r"^\s*(?:[-*]|\d+\.) ", "rows of a table": r"^\|", "pictures": r"!\["}
    for what, pattern in counted.items():
        n, m = (len(re.findall(pattern, text, re.M)) for text in (english, other))
        if n != m:
            yield f"structure: {m} {what}, the English cell has {n}"
    targets = [sorted(match[1] for match in re.findall(LINK, text)) for text in (english, other)]
    if targets[0] != targets[1]:
        yield f"structure: links to {targets[1]}, the English cell to {targets[0]}"
    if missing := sorted(code_spans(english) - code_spans(other)):
        yield f"structure: the code {', '.join(f'`{each}`' for each in missing)} is missing"
    numbers = [set(re.findall(r"\d+(?:[.,]\d+)*", prose(text))) for text in (english, other)]
    in_words = {str(k) for k, digit in enumerate(_toml(language, "style.toml").get("numerals", "")) if digit in other}
    if missing := sorted(numbers[0] - numbers[1] - in_words):
        yield f"structure: the number {', '.join(missing)} is missing"


def _bold(text: str) -> Iterator[str]:
    """Markdown takes no ** for bold that stands between a letter outside and a mark inside."""
    for bold in re.finditer(r"(.?)\*\*([^*]+)\*\*(.?)", text):
        outside, inside = (bold[1] + "\n")[0] + (bold[3] + "\n")[0], bold[2][0] + bold[2][-1]
        if any(a.isalnum() and not (b.isalnum() or b in "`_ ") for a, b in zip(outside, inside, strict=True)):
            yield f"typography: Markdown does not see this as bold, put the mark outside: {bold[0]}"


def _gaps(english: str, other: str) -> Iterator[str]:
    gaps = [sorted(re.findall(r"\{[^{}]*\}", text)) for text in (english, other)]
    if gaps[0] != gaps[1]:
        yield f"gaps: {gaps[1]}, in English {gaps[0]}"


def _typography(text: str, language: str, spaces: bool = True) -> Iterator[str]:
    for rule in _toml(language, "style.toml").get("rule", ()):
        if spaces or not rule.get("space"):
            for match in re.finditer(rule["pattern"], text):
                at = text[max(0, match.start() - 8) : match.end() + 8].replace("\n", " ")
                yield f"typography: {rule['says']}: {at}"


def _terms(english: str, other: str, language: str) -> Iterator[str]:
    here, there = prose(english), other.lower()
    for term in glossary():
        right = [term[language], *term.get("also", {}).get(language, ())]
        word = re.escape(term["en"]).replace(r"\ ", r"[\s-]").replace(r"\-", r"[\s-]")
        if not term.get("common") and re.search(rf"(?<![\w`-]){word}(?:s|es)?(?![\w`-])", here, re.I):
            if not any(each.lower() in there for each in right):
                yield f"term: {term['en']} is {' or '.join(right)}"
        for wrong in term.get("not", {}).get(language, ()):
            if wrong in prose(other):
                yield f"term: {term['en']} is {term[language]}, not {wrong}"
    for bracket in re.findall(r"\(([^()]*[^\x00-\u2e7f][^()]*)\)", english):
        for introduced in re.findall(r"[^\x00-\u2e7f]+", bracket):
            if introduced not in other:
                yield f"term: {introduced} is introduced in the English cell"


def _left_over(text: str, whole: str) -> Iterator[str]:
    for part in re.split(r"[`\n]", text):
        if _is_english(part):
            yield f"english: {part.strip()}"
    if whole.isascii() and re.search(r"[a-z]{2,} [a-z]{2,}", text):
        yield f"english: {whole.strip()[:60]}"


def _is_english(text: str) -> bool:
    """Four words in a row, one of them small. What is in *italics*, “ ”, 《 》 or alone in （ ） does not count."""
    text = re.sub(r"\*[^*]+\*|“[^”]*”|（[\x00-\x7f]+）|《[^》]*》", " · ", text)
    rows = re.findall(r"(?:\b[A-Za-z][a-z']*[,;:]?[ ]+){3,}[A-Za-z][a-z']+", text)
    return any(SMALL & set(re.findall(r"\w+", row.lower())) for row in rows)
