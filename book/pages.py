"""An executed notebook as the notebook that MyST-NB makes a page of: the same cells, made for readers without a kernel.

book/sphinx/conf.py does the rest: it turns the marks that are left here (`% cell: …`) into the ids of the page.
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from book.execute import ROOT
from book.words import WORDS
from minillama import check
from minillama.markup import STYLE, wrap
from minillama.words import translated

WIDGET = "application/vnd.jupyter.widget-view+json"
LINK = re.compile(r"(!?)\[((?:`[^`]*`|\[[^\[\]]*\]|[^\[\]`])*)\]\(([^)\s]+)\)")  # of Markdown; with a ! a picture
ANCHOR = re.compile(r"""<a\b([^>]*?) (?:xlink:)?href=(["'])(.*?)\2([^>]*)>(.*?)</a>""", re.S)
FENCED = re.compile(r"(^```.*?^```)", re.M | re.S)
FALLBACK = re.compile(r'<img [^>]*src="data:image/png;base64,[^"]*">')  # of a figure, where a page may have no SVG


# ---- links: everything a page leads to is in the book, or on the web


def target(address: str, folder: str, language: str) -> str | None:
    """Where in the book a link leads that stands in a notebook of that folder; None: to nothing that it has."""
    if re.match(r"[a-z]+:|#", address):
        return address
    path, mark, anchor = address.partition("#")
    path = posixpath.normpath(posixpath.join(folder, path))
    if found := re.fullmatch(r"notebooks/(?:(\w+)/)?(\w+)\.ipynb", path):
        other = (found[1] or "en") if (found[1] or "en") != language else ""
        return f"{f'../{other}/' if other else ''}{found[2]}.html{mark}{anchor}"
    if re.fullmatch(r"README(\.\w+)?\.md", path):
        return "index.html"
    if found := re.fullmatch(r"docs/(\w+)(\.\w+)?\.md", path):
        return f"{found[1]}.html{mark}{anchor}"
    if path.startswith("minillama/") and path.endswith(".py"):
        return f"source/{path.removesuffix('.py')}.html{mark}{anchor}"
    return None


def linked(markdown: str, folder: str, language: str) -> str:
    """Text whose links lead to pages, and whose pictures lie in assets/ beside them."""

    def link(found: re.Match) -> str:
        picture, words, address = found.groups()
        if picture:
            address = posixpath.normpath(posixpath.join(folder, address))
        elif (address := target(address, folder, language)) is None:
            return words
        return f"{picture}[{words}]({address})"

    parts = FENCED.split(markdown)
    parts[::2] = [LINK.sub(link, part) for part in parts[::2]]
    return "".join(parts)


def linked_html(page: str, folder: str, language: str) -> str:
    """The same of an output. A link to a source file that names a line leads to that line."""

    def link(found: re.Match) -> str:
        before, _, address, after, inside = found.groups()
        address = target(html.unescape(address), folder, language)
        if address is None:
            return inside
        line = re.search(r"(\d+)\D*$", re.sub("<[^>]+>", "", inside))
        if address.startswith("source/") and line and "#" not in address:
            address += f"#L-{line[1]}"
        return f'<a{before} href="{html.escape(address)}"{after}>{inside}</a>'

    return ANCHOR.sub(link, page)


# ---- outputs: what a page without a kernel can show


def shown(output: NotebookNode, folder: str, language: str) -> NotebookNode | None:
    """One output: of a value its HTML, or its text if it has none. Of the two outputs of a widget the one that needs
    a kernel is left out."""
    if output.output_type not in ("display_data", "execute_result"):
        return output
    if WIDGET in output.data:
        return None
    data = {kind: value for kind, value in output.data.items() if kind != WIDGET}
    if page := data.get("text/html"):
        page = linked_html(page.replace(STYLE, ""), folder, language)  # the book has the style sheet once
        data = {"text/html": FALLBACK.sub("", page) if "ml-figure" in page else page}
    return nbformat.v4.new_output("display_data", data)


# ---- cells


def marked(source: str, cell: str) -> str:
    """A text with the mark of its cell: before it, or below the heading that it begins with."""
    head, _, rest = source.partition("\n")
    if re.match(r"#{1,6} ", head):
        return f"{head}\n\n% section: {cell}\n\n{rest.lstrip()}"
    return f"% cell: {cell}\n\n{source}"


def exercise(cell: NotebookNode, path: str, language: str) -> str:
    """What stands below a stub: the cases of its judge, and how to run it at home."""
    name, function = re.search(r"check\.(\w+)\((my_\w+)", cell.source).groups()
    cases = [translated(case, language) for case in getattr(check, name).exercise.cases]
    items = "".join(f"<li>{html.escape(case)}</li>" for case in cases)
    say = WORDS[language]
    home = say["home"].format(path=f"<code>{path}</code>", function=f"<code>{function}</code>")
    home = re.sub("`([^`]*)`", r"<code>\1</code>", home)
    body = f"<details><summary>{say['judge']}</summary><ul>{items}</ul></details><p>{home}</p>"
    return wrap(body, "book-judge", style=False)


def folded(cell: NotebookNode, language: str) -> NotebookNode:
    """The metadata of a code cell, for MyST-NB: its id, what of it is folded, and the line that unfolds it."""
    tags, hidden = cell.metadata.get("tags", []), cell.metadata.get("jupyter", {}).get("source_hidden")
    kind = next((tag for tag in ("predict", "solution") if tag in tags), "setup" if cell.id == "setup" else "code")
    tags = [tag for tag in tags if tag != "hide-input"]
    if hidden:
        tags.append("hide-cell" if kind == "solution" else "hide-input")
    title = WORDS[language][kind]
    prompts = {"code_prompt_show": title, "code_prompt_hide": title}
    return nbformat.from_dict({"tags": tags, "cell": cell.id, **({"mystnb": prompts} if hidden else {})})


def page(notebook: NotebookNode, path: str, language: str) -> NotebookNode:
    """The whole notebook. path: where it lies in the repository, such as "notebooks/zh/07_top_p.ipynb"."""
    folder, cells = posixpath.dirname(path), []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = marked(linked(cell.source, folder, language), cell.id)
            cells.append(nbformat.v4.new_markdown_cell(text, id=cell.id))
            continue
        outputs = [new for output in cell.outputs if (new := shown(output, folder, language)) is not None]
        if "exercise" in cell.metadata.get("tags", ()):
            data = {"text/html": exercise(cell, path, language)}
            outputs.append(nbformat.v4.new_output("display_data", data))
        new = nbformat.v4.new_code_cell(cell.source, id=cell.id, outputs=outputs, metadata=folded(cell, language))
        cells.append(new)
    kernel = {key: value for key, value in notebook.metadata.items() if key != "widgets"}
    return nbformat.v4.new_notebook(cells=cells, metadata=kernel)


def write(notebook: NotebookNode, path: Path, language: str, folder: Path) -> None:
    """The page of the notebook at path, into the folder that Sphinx reads."""
    made = page(notebook, path.relative_to(ROOT).as_posix(), language)
    folder.joinpath(path.name).write_text(nbformat.writes(made), encoding="utf-8")
