"""The pages of the book that are no notebooks, as they are written for Sphinx."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest

from minillama import language as language_in_use
from minillama.course import SHORT_ROUTE
from minillama.words import LANGUAGES
from tests.notebooks.minutes import minutes
from translation.style import glossary

pytest.importorskip("furo", reason="the extra `book` is not installed")

from book import extra

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[([^]]*)\]\(([^)]*)\)")
FOLDERS = {each: ROOT / "notebooks" / ("" if each == "en" else each) for each in LANGUAGES}
PAGES = ("index", "glossary", "instructors", "licences")


def cells(language, name):
    return nbformat.read(FOLDERS[language] / f"{name}.ipynb", as_version=4).cells


def write(language, folder, only=""):
    for path in FOLDERS[language].glob(f"{only}*.ipynb"):
        shutil.copy(path, folder)
    extra.write(folder, language)
    return {name: (folder / f"{name}.md").read_text(encoding="utf-8") for name in PAGES}


@pytest.fixture(scope="module", params=LANGUAGES)
def written(request, tmp_path_factory):
    return request.param, write(request.param, tmp_path_factory.mktemp(request.param))


def targets(text):
    """What the links of a page lead to in the book: [(page, cell or "")]."""
    found = [target for _, target in LINK.findall(text)] + re.findall(r'href="([^"]*)"', text)
    return [tuple(each.partition("#")[::2]) for each in found if not re.match("http|#", each)]


def test_each_term_is_in_the_glossary_and_leads_to_the_cell_that_introduces_it(written):
    language, pages = written
    entries = dict(re.findall(r"^(\S.*)\n((?:  .*\n|\n)+)", pages["glossary"].split("```")[1], re.M))
    assert set(entries) >= {term[language] for term in glossary()}
    for term in glossary():
        entry = entries[term[language]]
        assert all(f"**{term[each]}** {term['means'][language]}" in entry for each in LANGUAGES if each != language)
        found = [(page, cell) for page, cell in targets(entry) if page.startswith(term["notebook"])]
        assert found, term
        for page, cell in found:
            sources = {each.id: each.source for each in cells(language, page.removesuffix(".html"))}
            words = [term[language], term["zh"], *term.get("also", {}).get(language, ())]
            assert any(word.lower() in sources[cell].lower() for word in words), (term, cell)


def test_the_routes_are_those_of_the_course_with_the_minutes_of_the_rule(written):
    language, pages = written
    routes = dict(re.findall(r"^\((short|full)\)=\n(.*?)(?=^\()", pages["index"], re.M | re.S))
    every = range(len(list(FOLDERS["en"].glob("*.ipynb"))))
    for route, numbers in {"short": sorted(SHORT_ROUTE), "full": every}.items():
        rows = re.findall(r"^- \[(.*)\]\((\w+)\.html\) · (\d+) ", routes[route], re.M)
        assert [int(name[:2]) for _, name, _ in rows] == list(numbers)
        for title, name, stated in rows:
            assert cells(language, name)[0].source.startswith(f"# {title}\n")
            assert int(stated) == minutes(nbformat.read(FOLDERS["en"] / f"{name}.ipynb", as_version=4))
        hours = sum(int(stated) for _, _, stated in rows) / 60
        assert re.search(rf"\b{hours:.0f}\b", routes[route].partition("\n\n")[0])


def test_every_link_leads_to_a_page(written):
    language, pages = written
    known = {f"{path.stem}.html" for path in FOLDERS[language].glob("*.ipynb")} | {f"{name}.html" for name in PAGES}
    for name, text in pages.items():
        assert {page for page, _ in targets(text)} - known <= {"../minillama-book.zip"}, name
    assert len(targets(pages["instructors"])) == len(known) - len(PAGES)
    drawn = re.search("<svg.*</svg>", pages["index"])[0]
    assert len(re.findall(r'href="\w+\.html"', drawn)) == drawn.count("<foreignObject")
    assert language_in_use() == "en"


def test_the_start_page_has_the_commands_of_the_readme(written):
    language, pages = written
    suffix = "" if language == "en" else f".{language}"
    block = re.compile(r"```bash\n.*?```", re.S)
    assert block.search(pages["index"])[0] == block.search((ROOT / f"README{suffix}.md").read_text("utf-8"))[0]


def test_the_licences_name_what_is_installed_and_have_its_text(written):
    _, pages = written
    rows = dict(re.findall(r"^\| ([\w-]+) \| ([^|]+ \| [^|]+) \|", pages["licences"], re.M))
    assert rows["Sphinx"] == "8.2.3 | BSD-2-Clause" and rows["Furo"].endswith("| MIT")
    texts = dict(re.findall(r"<summary>([\w-]+)</summary>\n<pre>(.*?)</pre>", pages["licences"], re.S))
    assert set(texts) == {*extra.SHIPPED, "minillama"}
    assert all(re.search("Copyright", text) and len(text) > 1000 for text in texts.values())
    assert all("\n\n" not in text for text in texts.values())  # it would end the HTML


def test_a_part_of_the_book_has_no_link_to_the_rest(tmp_path):
    pages = write("en", tmp_path, only="07")
    for text in pages.values():
        assert {page for page, _ in targets(text)} <= {"07_top_p.html", "../minillama-book.zip"}
    assert "06 · Softmax and temperature" in pages["index"] and "07_top_p\n" in pages["index"]
    assert "06_softmax_temperature" not in pages["index"]


def test_both_languages_have_the_same_parts():
    def parts(language, name):
        text = (ROOT / "book" / language / f"{name}.md").read_text(encoding="utf-8")
        lines = [mark[0] for line in text.splitlines() if (mark := re.match(r"#+ |\||\(\w|```|:\w+", line))]
        return lines, sorted(re.findall(r"\$\w+", text))

    for name in ("index", "glossary", "licences"):
        assert parts("en", name) == parts("zh", name)
