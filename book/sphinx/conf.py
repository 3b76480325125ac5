"""Sphinx, for the book in one language: BOOK_LANGUAGE says which. `python -m book` calls it."""

import logging
import os
import re
import shutil
from pathlib import Path

import jieba
from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from sphinx.search.zh import SearchChinese

from book.words import WORDS

BOOK = Path(__file__).parents[1]
ROOT = BOOK.parent
LANGUAGE = os.environ["BOOK_LANGUAGE"]
HERE = WORDS[LANGUAGE]

project, language = HERE["title"], HERE["sphinx"]
html_title, html_show_copyright, html_show_sphinx = HERE["title"], False, False
extensions = ["myst_nb"]
exclude_patterns = ["assets"]
smartquotes = False  # a page has the notebook's own characters

# ---- MyST-NB: nothing is executed, nothing is loaded from elsewhere
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_merge_streams = True
nb_render_text_lexer = "none"  # what a program prints is no program
myst_all_links_external = True  # book/pages.py has found where each link leads
myst_heading_anchors = 0

# ---- the theme
html_theme = "furo"
html_theme_options = {"top_of_page_buttons": []}
html_static_path = [str(BOOK / "static")]
html_css_files, html_js_files = ["minillama.css", "book.css"], [("book.js", {"defer": "defer"})]
templates_path = ["templates"]
html_sidebars = {"**": [f"sidebar/{name}.html" for name in ("brand", "languages", "search", "scroll-start",
                                                           "navigation", "scroll-end")]}  # fmt: skip
html_copy_source = html_show_sourcelink = html_use_index = False
html_show_search_summary = False  # it reads the pages that it found, which a page opened as a file may not
if LANGUAGE == "zh":
    jieba.setLogLevel(logging.WARNING)
    jieba.dt.tmp_dir = str(BOOK / "_build")
    html_search_language, html_search_options = "zh", {"dict": str(BOOK / "_build" / "zh.txt")}


class Chinese(SearchChinese):
    """Sphinx's, where the browser splits what is asked for by the longest words of the index, which are jieba's."""

    js_splitter_code = (BOOK / "sphinx" / "split.js").read_text(encoding="utf-8")
    alone = {each for each in (BOOK / "_build" / "zh.txt").read_text(encoding="utf-8").split() if len(each) == 1}

    def word_filter(self, stemmed_word):
        """Of single characters only those that are words of the glossary, such as 熵."""
        return super().word_filter(stemmed_word) or stemmed_word in self.alone


# ---- ids: of each cell, in both languages the same


def place_ids(app, doctree):
    """The marks of book/pages.py become the ids of what they stand before."""
    for mark in list(doctree.findall(nodes.comment)):
        kind, _, cell = mark.astext().partition(": ")
        if kind not in ("cell", "section"):
            continue
        place = mark.parent if kind == "section" else mark.next_node(descend=False, siblings=True)
        place["ids"] = [cell]  # in place of what Sphinx made of the heading's words
        place["classes"].append("book-cell")
        mark.parent.remove(mark)
    for node in doctree.findall(nodes.container):
        if node.get("nb_element") == "cell_code":
            node["ids"] = [node["cell_metadata"]["cell"]]
            node["classes"].append("book-cell")


def answers_first(app, doctree, docname):
    """Of a prediction the question comes before the code that computes its answer."""
    for node in doctree.findall(nodes.container):
        if node.get("nb_element") == "cell_code" and "tag_predict" in node["classes"]:
            node.children.reverse()


def unfold(self, node):
    self.body.append(f'<details class="book-fold"><summary>{self.encode(node["prompt_show"])}</summary>\n')


def fold(self, node):
    self.body.append("</details>\n")


# ---- pages that no one has written, and what the theme says


def sources(app):
    """Each file of the package that a page leads to, with an id for each line."""
    style = HtmlFormatter(linenos="inline", lineanchors="L", anchorlinenos=True, cssclass="highlight book-source")
    read = (path.read_text(encoding="utf-8") for path in Path(app.srcdir).iterdir() if path.suffix in (".ipynb", ".md"))
    for name in sorted({name for text in read for name in re.findall(r"source/(minillama/[\w/]+)\.html", text)}):
        title = f"{name}.py"
        body = highlight((ROOT / title).read_text(encoding="utf-8"), PythonLexer(), style)
        context = {"title": title, "body": f"<h1><code>{title}</code></h1>{body}", "parents": [], "meta": {}}
        yield f"source/{name}", context, "page.html"


def in_language(page: str) -> str:
    """The theme's own words, which stand in English in its templates."""
    for english, other in HERE["theme"].items():
        place = rf"(>\s*|(?:aria-label|title)=\"){re.escape(english)}(\s*<|\")"
        page = re.sub(place, rf"\g<1>{other}\g<2>", page)
    return page


def named(page: str) -> str:
    """What the theme lacks for a screen reader: names for its two asides, the level of the headings in one of them."""
    for place, name in (("sidebar-drawer", HERE["contents"]), ("toc-drawer", "On this page")):
        page = page.replace(f'<aside class="{place}', f'<aside aria-label="{name}" class="{place}')
    return page.replace('role="heading"', 'role="heading" aria-level="2"')


def prepare(app):
    """The words of the theme, and the style sheet that all outputs share."""
    static = Path(app.outdir, "_static")
    static.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(app.srcdir, "minillama.css"), static)
    app.builder.templates.environment.filters |= {"in_language": in_language, "named": named}


def add_languages(app, pagename, templatename, context, doctree):
    context["languages"] = {each: WORDS[each]["name"] for each in WORDS}
    context["language_here"], context["words"] = LANGUAGE, HERE


def setup(app):
    app.add_search_language(Chinese)
    app.add_node(HideCodeCellNode, override=True, html=(unfold, fold))
    app.connect("builder-inited", prepare)
    app.connect("doctree-read", place_ids, priority=100)  # before the table of contents is made
    app.connect("doctree-resolved", answers_first)
    app.connect("html-collect-pages", sources)
    app.connect("html-page-context", add_languages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
