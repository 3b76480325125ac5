"""A cell in two languages: what of it is translated, what must stay, and how a translated notebook is put together."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
ENGLISH = ROOT / "notebooks"
LINK = re.compile(r"(\]\()([^)#\s]*)(#[^)\s]*)?(\))")  # of Markdown: its target and its anchor
WORDS = re.compile(r"[A-Za-z]{2,}[,.:;?!]*\s|\s[A-Za-z]{2,}|[A-Za-z]{2,}:$|^[A-Z][a-z]+$")  # a string that is no name
SHAPE = re.compile(r"\([^()]*[\w)],[^()]*\)|\(\w+,\)")
FENCED = re.compile(r"^```.*?^```", re.M | re.S)
DTYPE = r"(?:b?float|u?int)\d+|long|bool|noqa|fmt|off|on|skip"


def read(name: str, folder: Path = ENGLISH) -> nbformat.NotebookNode:
    return nbformat.read(folder / f"{name}.ipynb", as_version=4)


def names() -> list[str]:
    """All notebooks, without their ending."""
    return sorted(path.stem for path in ENGLISH.glob("*.ipynb"))


# ---- what a translator sees


def comments(source: str) -> list[str]:
    found = tokenize.generate_tokens(io.StringIO(source).readline)
    return [token.string.lstrip("# ") for token in found if token.type == tokenize.COMMENT]


def strings(source: str) -> list[str]:
    """The string constants of a code cell; of an f-string its text, with {} for each gap."""
    found, parts = [], set()
    for node in ast.walk(ast.parse(source)):  # from the outside in
        if isinstance(node, ast.JoinedStr) and node not in parts:
            parts |= set(ast.walk(node))
            found.append("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            found.append(node.value)
    return found


def has_words(cell: nbformat.NotebookNode) -> bool:
    """Whether a cell has a message: all text has, of code that whose comments or strings hold words of a language."""
    if cell.cell_type == "markdown":
        return True
    said = [re.sub(r"\([^()]*\)", "", text) for text in comments(cell.source)]
    if any(re.search(rf"\b(?!(?:{DTYPE})\b)[A-Za-z]{{2,}}\b", text) for text in said):
        return True
    texts = strings(cell.source)
    if "predict" in cell.metadata.get("tags", ()):
        return any(re.search(r"[A-Za-z]{2,}", text) for text in texts)
    return any(
        re.search(r"[A-Za-z]{2,}[,.:;?!]*\s|\s[A-Za-z]{2,}|[A-Za-z]{2,}:$|^[A-Z][a-z]+$", text) for text in texts
    )


# ---- what must stay


class _Bare(ast.NodeTransformer):
    """Code without what may be translated: every string is the same, of an f-string only the gaps are left, sorted."""

    def visit_Constant(self, node):
        return ast.Constant("…") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node):
        gaps = [self.visit(part.value) for part in node.values if isinstance(part, ast.FormattedValue)]
        return ast.Set(sorted(gaps, key=ast.dump)) if gaps else ast.Constant("…")


def bare(source: str) -> str:
    return ast.unparse(_Bare().visit(ast.parse(source)))


def code_differs(english: str, other: str) -> str:
    """Where two code cells differ in more than comments and strings: the first lines that do; "" if nowhere."""
    try:
        lines = [bare(source).splitlines() for source in (english, other)]
    except SyntaxError as error:
        return f"no Python: {error}"
    if lines[0] != lines[1]:
        one, two = next(
            (pair for pair in zip(*lines, strict=False) if pair[0] != pair[1]), ("the end", "more or fewer lines")
        )
        return f"the code differs: {one!r} became {two!r}"
    shapes = [
        re.findall(r"\([^()]*[\w)],[^()]*\)|\(\w+,\)", "\n".join(comments(source))) for source in (english, other)
    ]
    missing = [shape for shape in shapes[0] if shape not in shapes[1]]
    return f"the shape {missing[0]} is missing in a comment" if missing else ""


# ---- the translated notebook, one folder deeper


def heading_ids(path: Path) -> list[str]:
    """The anchors of a Markdown file's headings, in their order."""
    heads = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S), re.M
    )
    return [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads]


def moved(target: str, anchor: str, language: str, built: set[str]) -> str:
    """Where a link or picture of an English notebook leads from notebooks/<language>/.

    A notebook that is translated, a picture in assets/<language>/ and a README.<language>.md take their place. A link
    to a notebook of that language is there one to the English notebook.
    """
    if target.startswith(f"{language}/"):
        return f"../{target.removeprefix(f'{language}/')}{anchor}"
    if not target or target.startswith(("http:", "https:", "attachment:")):
        return target + anchor
    if target.endswith(".ipynb") and "/" not in target:
        return (target if target.removesuffix(".ipynb") in built else f"../{target}") + anchor
    path = (ENGLISH / target).resolve().relative_to(ROOT)
    theirs = path.with_name(f"{path.stem}.{language}{path.suffix}")
    if path.parts[0] == "assets":
        theirs = Path("assets", language, *path.parts[1:])
    if not (ROOT / theirs).exists():
        return f"../{target}{anchor}"
    if anchor and path.suffix == ".md":
        anchors = dict(zip(heading_ids(ROOT / path), heading_ids(ROOT / theirs), strict=False))
        anchor = f"#{anchors.get(anchor[1:], anchor[1:])}"
    return f"../../{theirs.as_posix()}{anchor}"


def relinked(text: str, language: str, built: set[str]) -> str:
    return LINK.sub(lambda m: m[1] + moved(m[2], m[3] or "", language, built) + m[4], text)


def built(name: str, texts: dict[str, str], language: str, done: set[str]) -> nbformat.NotebookNode:
    """A notebook in another language. texts: {cell id: its source there}; done: the notebooks that are translated."""
    notebook = read(name)
    for cell in notebook.cells:
        cell.source = texts.get(cell.id, cell.source)
        if cell.cell_type == "markdown":
            cell.source = relinked(cell.source, language, done)
    return notebook
