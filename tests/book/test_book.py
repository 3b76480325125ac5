"""The book in a browser, opened as files and without a network. `make test` builds and reads one notebook of it,
`make book-check` and `make test-full` all."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest

from book.__main__ import missing
from book.build import BUILD, make
from book.execute import ROOT
from book.words import WORDS
from minillama.words import LANGUAGES
from tests.book.reader import OPEN_ALL, PHONE, SETTLED, WIDE, Reader, ids

pytestmark = pytest.mark.browser
ONE, OTHER = "en", "zh"
SOURCES = ("notebooks", "minillama", "book", "locale", "docs", "assets", "LICENSE")
TERMS = {
    "en": ["nucleus", "token", "temperature", "perplexity", "softmax", "beam search", "key-value cache", "echo",
           "padding", "logits", "causal mask", "grouped-query attention", "system prompt", "stop string",
           "quantisation", "shard", "entropy", "underflow", "cross-entropy", "prefill"],
    "zh": ["核采样", "词元", "温度", "困惑度", "束搜索", "键值缓存", "回显", "填充", "因果掩码", "分组查询注意力",
           "系统提示", "停止字符串", "量化", "分片", "熵", "下溢", "交叉熵", "预填充", "贪心", "提示注入"],
}  # fmt: skip
# What is put into a page to break it, and what is then found.
BROKEN = {
    '<a href="gone.html">gone</a>': ["dead link"],
    '<a href="#no-such-cell">gone</a>': ["dead link"],
    '<img alt="gone" src="gone.png">': ["not loaded", "console", "no picture"],
    '<img alt="far" src="https://example.org/far.png">': ["asks for", "not loaded", "console", "no picture"],
    "<script>fetch('https://example.org/far.json').catch(() => {})</script>": ["asks for", "not loaded", "console"],
    "<script>nothing.there()</script>": ["error"],
    '<div style="width: 900px">wide</div>': ["scrolls sideways"],
    '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=">': ["axe: image-alt"],
    '<p style="color: #777777; background: #888888">pale</p>': ["axe: color-contrast"] * 2,  # dark, light
    '<div data-ml-still="a">a still without a script</div>': ["does not begin"],
    '<div class="fx fx-top-p"><button>deaf</button></div>': ["no key moves"],
}
KIND = re.compile("|".join(sorted({each for kinds in BROKEN.values() for each in kinds}, key=len, reverse=True)))


def faults(reader, name, contrast=True):
    """All that is wrong with a page: as it opens, with all unfolded, dark, and on a phone."""
    page = reader.open(name)
    found = reader.links()
    page.evaluate(OPEN_ALL)
    found += reader.explorers() + reader.axe()
    for theme in ("dark", "light") if contrast else ():
        page.emulate_media(color_scheme=theme)
        page.wait_for_timeout(SETTLED)
        found += reader.axe(contrast=True)
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(SETTLED)
    found += reader.sideways()
    page.set_viewport_size(WIDE)
    return reader.heard + found


def of_one(found):
    """Without the links to what is not built here: another language, other notebooks."""
    return [each for each in found if not re.match(rf"dead link.*/({OTHER}/|(?!07)\d\d_\w+\.html)", each)]


@pytest.fixture(scope="module")
def needed():
    """What the book is built with; absent without harm, but not in CI."""
    if lacks := missing():
        required = os.environ.get("MINILLAMA_REQUIRE_BROWSER") and sys.version_info >= (3, 11)
        pytest.fail(lacks) if required else pytest.skip(lacks)


# ---- in make test: one notebook


@pytest.fixture(scope="module")
def small(needed, tmp_path_factory):
    return make([ONE], ["07"], tmp_path_factory.mktemp("book")).parent


def test_a_notebook_can_be_read_without_a_kernel(small, browser):
    with Reader(browser, small) as reader:
        assert of_one(faults(reader, f"{ONE}/07_top_p.html", contrast=False)) == []
        counts = [reader.page.locator(name).count() for name in (".fx-top-p", ".fx-predict", ".ml-figure svg")]
        assert counts[:2] == [1, 2] and counts[2] >= 1
        assert reader.search_faults(ONE, "nucleus") == []


def test_what_is_broken_is_found(small, browser, tmp_path):
    shutil.copytree(small, tmp_path / "book")
    path = tmp_path / "book" / ONE / "search.html"  # a short page
    with Reader(browser, tmp_path / "book") as reader:
        assert of_one(faults(reader, f"{ONE}/{path.name}", contrast=False)) == []
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("</article>", "".join(BROKEN) + "</article>"), encoding="utf-8")
        ids.cache_clear()
        found = of_one(faults(reader, f"{ONE}/{path.name}"))
        assert Counter(KIND.match(each)[0] for each in found) == Counter(sum(BROKEN.values(), [])), found
        assert reader.search_faults(ONE, "xyzzy") == ["not found: xyzzy"]
        assert reader.search_faults(ONE, "licences") == ["in no notebook: licences"]


# ---- in make test-full and make book-check: all of it


@pytest.fixture(scope="module")
def book(needed):
    """The whole book; built where it is not, or is older than what it is made of."""
    start = BUILD / "html" / "index.html"
    newest = max(path.stat().st_mtime for name in SOURCES for path in [ROOT / name, *(ROOT / name).rglob("*")]
                 if path.is_file() and not path.is_relative_to(BUILD) and "__pycache__" not in path.parts)  # fmt: skip
    if not start.exists() or start.stat().st_mtime < newest:
        subprocess.run([sys.executable, "-m", "book", "--zip"], cwd=ROOT, check=True)
    return start.parent


@pytest.fixture(scope="module")
def reader(book, browser):
    with Reader(browser, book) as reader:
        yield reader


def pages(language):
    """What a reader opens: the notebooks and what stands beside them."""
    names = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    return [f"{language}/{name}.html" for name in ("index", *names, "glossary", "instructors", "licences")]


@pytest.mark.full
@pytest.mark.parametrize("name", ["index.html", *(page for language in LANGUAGES for page in pages(language))])
def test_a_page_is_sound(reader, name):
    assert faults(reader, name, contrast=not name.startswith(OTHER)) == []  # the colours are the same


@pytest.mark.full
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_other_page_opens(book, reader, language):
    """The source files; nothing moves in them."""
    others = {path.relative_to(book).as_posix() for path in (book / language).rglob("*.html")} - set(pages(language))
    expected = {f"{language}/{each}.html" for each in ("search", "source/minillama/model", "source/minillama/sampling")}
    assert expected <= others
    for name in sorted(others):
        reader.open(name)
        found = reader.links()
        reader.page.set_viewport_size(PHONE)
        found += reader.sideways()
        reader.page.set_viewport_size(WIDE)
        assert reader.heard + found == [], name


@pytest.mark.full
@pytest.mark.parametrize("language", [language for language in LANGUAGES if WORDS[language]["theme"]])
def test_the_theme_speaks_the_language(book, language):
    """What its English is stands in book/words.toml; each of these words is in the English pages and in no other."""
    read = {each: "".join(path.read_text(encoding="utf-8") for path in (book / each).glob("*.html"))
            for each in ("en", language)}  # fmt: skip
    for words in WORDS[language]["theme"]:
        place = re.compile(rf'(>\s*|="){re.escape(words)}(\s*<|")')
        assert place.search(read["en"]) and not place.search(read[language]), words


@pytest.mark.full
@pytest.mark.parametrize("language", LANGUAGES)
def test_search_finds_the_words_of_the_course(reader, language):
    assert len(TERMS[language]) >= 20
    assert [fault for words in TERMS[language] for fault in reader.search_faults(language, words)] == []
    page = reader.open(f"{language}/07_top_p.html")
    page.locator("input[name=q]").first.fill(TERMS[language][0])
    page.locator("input[name=q]").first.press("Enter")
    page.wait_for_url("**/search.html?*")
    page.locator("#search-results li a").first.wait_for()


@pytest.mark.full
@pytest.mark.parametrize("name", [page.partition("/")[2] for page in pages(ONE) if re.search(r"/\d\d_", page)])
def test_the_other_language_and_back_lands_on_the_same_cell(book, reader, name):
    cells = re.findall(r'<div class="cell [^>]*id="([^"]+)"', (book / ONE / name).read_text(encoding="utf-8"))
    assert len(cells) > 10
    places = [cells[len(cells) * k // 4] for k in (1, 2, 3)]
    assert [fault for cell in places for fault in reader.switch_faults(ONE, OTHER, name, cell)] == []
